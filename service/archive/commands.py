"""``wscxr archive score``: a run from its settings to its rows."""

import logging
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import torch

from service.archive.errors import NothingToScore, RowsMissing
from service.archive.local import score_locally
from service.archive.plan import Plan
from service.archive.rows import SHARD
from service.archive.settings import ArchiveSettings
from service.archive.shards import WORK, Shards
from service.archive.sources import Found, in_folders, in_manifest
from service.archive.worklist import RowIds, WorkList
from wscxr.bundle.store import read_manifest
from wscxr.device import resolve_device
from wscxr.errors import ConfigError
from wscxr.options import validated
from wscxr.progress import Track
from wscxr.shipped import default_bundle

T = TypeVar("T")

logger = logging.getLogger(__name__)

_LOG_EVERY_S = 30.0


@dataclass
class Summary:
    """What a run did.

    Attributes
    ----------
    before
        Instances that had a row when it started.
    scored
        Instances that it scored.
    failed
        Instances that it could not score, by code.
    seconds
        How long scoring took, the start of its processes included.
    """

    before: int = 0
    scored: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def score(
    settings: ArchiveSettings,
    out: Path,
    folders: Sequence[Path],
    pacs: dict[str, Any],
    track: Track,
) -> Summary:
    """Score all instances that have no row yet.

    Parameters
    ----------
    settings
        What to score, and how.
    out
        Folder of the rows; see `Shards`.
    folders
        Folders to score, where the settings name no other source.
    pacs
        Settings of the DICOMweb server, for `PacsSettings`; used where the settings name dates.
    track
        Shows the progress.

    Raises
    ------
    ConfigError
        There is no source, or more than one; the key of the ids cannot be used.
    NothingToScore
        The source is empty.
    OtherRun, RunUnderWay
        See `Shards`.
    BundleError
        The bundle is not there or is damaged.
    ScorerUnusable, ClusterUnusable
        Nothing can be scored.
    ServerUnavailable, ServerFault
        The DICOMweb server cannot be searched.
    """
    ids = RowIds(settings.id_key_file)
    bundle = settings.bundle or default_bundle()
    model_sha256 = read_manifest(bundle).sha256
    found = _source(settings, folders, pacs)
    plans = _plans(settings, bundle, pacs)
    with Shards.writing(out, ids.mark, model_sha256, settings.shard_rows) as shards:
        file = out / WORK / "worklist.parquet"
        work = WorkList(file, found, shards.ids(), ids)
        if not work.count and not work.done:
            raise NothingToScore
        summary = Summary(before=work.done)
        started = time.monotonic()
        if work.count:
            for row in track(_rows(settings, plans, work, shards), "scoring", work.count):
                if row is None:
                    summary.scored += 1
                else:
                    summary.failed[row] += 1
        summary.seconds = time.monotonic() - started
        file.unlink()
    return summary


def logged(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    """Report progress and the time left as log lines; a `Track` for where there is no terminal."""
    started = last = 0.0
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        started = started or now  # what came before was loading
        if now - last > _LOG_EVERY_S or done == total:
            last = now
            per_s = done / max(now - started, 1.0)
            logger.info(
                description,
                extra={
                    "done": done,
                    "total": total,
                    "per_s": round(per_s, 2),
                    "left_s": round((total - done) / per_s),
                },
            )


def _source(
    settings: ArchiveSettings, folders: Sequence[Path], pacs: dict[str, Any]
) -> Iterator[Found]:
    given = [bool(folders), settings.manifest is not None, settings.days is not None]
    if sum(given) != 1:
        raise ConfigError("give folders, --manifest, or --dates and --url")
    if settings.manifest is not None:
        return in_manifest(settings.manifest)
    if settings.days is not None:
        from service.archive.pacs import on_server
        from service.pacs.settings import PacsSettings

        validated(PacsSettings, pacs)
        return on_server(pacs, *settings.days)
    return in_folders(folders)


def _plans(settings: ArchiveSettings, bundle: Path, pacs: dict[str, Any]) -> list[Plan]:
    """One for each process on this machine; for Ray, one alone."""
    plan = Plan(
        bundle=str(bundle.absolute()),
        device=settings.device,
        engine=settings.engine,
        precision=settings.precision,
        threads=1,
        lateral=settings.lateral.value,
        maps=settings.maps,
        pacs=pacs if settings.days is not None else None,
    )
    if settings.ray is not None:
        return [plan]
    cores = os.cpu_count() or 1
    device = resolve_device(settings.device)
    devices = [str(device)]
    if device.type == "cuda" and device.index is None:
        devices = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    count = settings.processes or (cores if device.type == "cpu" else len(devices))
    threads = max(1, cores // count)
    return [
        replace(plan, device=devices[number % len(devices)], threads=threads)
        for number in range(count)
    ]


def _rows(
    settings: ArchiveSettings, plans: Sequence[Plan], work: WorkList, shards: Shards
) -> Iterator[str | None]:
    """Score and write, each work item once; yields the code of its error, or None."""
    if settings.ray is None:
        batches = score_locally(plans, work)
    else:
        from service.archive.cluster import score_on_ray

        batches = score_on_ray(plans[0], work, settings.ray, settings.processes)
    written = np.zeros(work.count, np.bool_)
    for batch in batches:
        numbers = batch["number"].to_numpy()
        # Work that was lost and done again may end twice.
        rows = batch.filter(pa.array(~written[numbers])).select(SHARD.names)
        written[numbers] = True
        if rows.num_rows:
            shards.add(rows)
            yield from rows["error"].to_pylist()
    if not written.all():
        raise RowsMissing
