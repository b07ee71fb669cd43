"""A table of the paper from end to end: images in, runs, a Markdown and a JSON file out."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from training.config import TrainConfig
from training.data.images import in_batches, open_radiograph
from training.data.samples import Label, Sample, patient_groups
from training.evaluation.confounders import TrivialFeatures, check_confounders, trivial_features
from training.methods.settings import Method
from training.paper.dataset import ARCHIVE, POOL_NORMALS, TableData, read_table_data
from training.paper.network import Budget
from training.paper.protocols import Measured, Record, RecordStore
from training.paper.rows import Row, TableName, rows_of
from training.paper.runs import Run, Runner
from wscxr.errors import ConfigError
from wscxr.files import write_file
from wscxr.progress import Track, untracked

_PROTOCOLS = {
    "honest": "the last checkpoint, at the threshold calibrated on normal images kept aside",
    "paper": "checkpoint and threshold are chosen on the test images, as the authors' code does: "
    "this flatters",
}


class Spread(BaseModel):
    """Mean and sample standard deviation over the draws, as fractions; no deviation of one draw."""

    model_config = ConfigDict(frozen=True)

    mean: float
    sd: float | None

    def __str__(self) -> str:
        """In percent, as the paper prints it."""
        deviation = "" if self.sd is None else f" ± {100 * self.sd:.1f}"
        return f"{100 * self.mean:.1f}{deviation}"


class Cell(BaseModel):
    """One row at one K under one protocol.

    Attributes
    ----------
    row, k, protocol
        Its place.
    draws
        How many runs it sums up.
    auroc, accuracy, f1
        Over those runs.
    published
        The published AUROC in percent, where it is known.
    """

    model_config = ConfigDict(frozen=True)

    row: str
    k: int
    protocol: str
    draws: int
    auroc: Spread
    accuracy: Spread
    f1: Spread
    published: str | None


def cells_of(rows: Sequence[Row], records: Sequence[Record]) -> list[Cell]:
    """Sum up the records: a cell for each row, K and protocol that has any."""
    cells = []
    for row in rows:
        for k in row.ks:
            own = [record for record in records if (record.row, record.k) == (row.name, k)]
            if not own:
                continue
            for protocol in _PROTOCOLS:
                measured: list[Measured] = [getattr(record, protocol) for record in own]
                cells.append(
                    Cell(
                        row=row.name,
                        k=k,
                        protocol=protocol,
                        draws=len(own),
                        auroc=_spread([m.auroc for m in measured]),
                        accuracy=_spread([m.point.accuracy for m in measured]),
                        f1=_spread([m.point.f1 for m in measured]),
                        published=row.published.get(k),
                    )
                )
    return cells


def markdown(title: str, rows: Sequence[Row], cells: Sequence[Cell], notes: Sequence[str]) -> str:
    """Lay the cells out, one table for each protocol.

    Parameters
    ----------
    title
        Heading of the document.
    rows
        Decide the order of the lines and what they are called.
    cells
        Cells to show, in percent.
    notes
        Sentences below the tables.
    """
    lines = [f"# {title}"]
    for protocol, meaning in _PROTOCOLS.items():
        lines += [
            "",
            f"## Protocol `{protocol}`: {meaning}",
            "",
            "| method | K | draws | AUROC | ACC | F1 | published AUROC |",
            "|---|---|---|---|---|---|---|",
        ]
        for row in rows:
            for cell in cells:
                if (cell.row, cell.protocol) == (row.name, protocol):
                    columns: list[object] = [row.title, cell.k or "-", cell.draws]
                    columns += [cell.auroc, cell.accuracy, cell.f1, cell.published or "-"]
                    lines.append(f"| {' | '.join(map(str, columns))} |")
    return "\n".join([*lines, "", *(f"- {note}" for note in notes), ""])


def _spread(values: Sequence[float]) -> Spread:
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Spread(mean=float(np.mean(values)), sd=sd)


_Choice = TypeVar("_Choice", TableName, Budget)

_TITLES = {
    TableName.TABLE1: "Table I: the compared methods on ZhangLab",
    TableName.TABLE2: "Table II: mining and mixing at K = 16",
    TableName.ABLATION: "The default method, one part changed at a time",
}


def reproduce(
    table: str,
    data: Path,
    out: Path,
    config: TrainConfig,
    device: torch.device,
    *,
    draws: int = 10,
    methods: Sequence[str] | None = None,
    budget: str = Budget.CPU,
    track: Track = untracked,
) -> str:
    """Do the missing runs of a table, and write the table.

    Parameters
    ----------
    table
        ``table1``, ``table2`` or ``ablation``.
    data
        See `training.paper.dataset.read_table_data`.
    out
        Folder for ``runs/``, one JSON file for each run, and for the table as ``.md`` and as
        ``.json``. Runs found there are not done again.
    config
        Backbone, model input, score rule and calibration of every row.
    draws
        How many draws of the K anomaly images and of the seed.
    methods
        Names of the rows to make, or ``all``; where none are given, all but the networks of
        their own, which train for minutes to hours each.
    budget
        How much work these may do: ``cpu`` or ``full``.

    Returns
    -------
    str
        The table, Markdown.

    Raises
    ------
    ConfigError
        There is no such table, row or budget, or settings do not fit.
    DataError, WeightsError
        See `wscxr.errors`.
    """
    name, allowed = _choice(TableName, table), _choice(Budget, budget)
    found = read_table_data(data)
    rows = _chosen(rows_of(name, allowed), methods)
    archives = [row for row in rows if row.archive is not None]
    if archives and not found.other_normals:
        rows = [row for row in rows if row.archive is None]
    runner = Runner(found, config, RecordStore(out), device, track)
    runs = [Run(row, k, draw) for row in rows for k in row.ks for draw in range(draws)]
    cells = cells_of(rows, runner.run_all(runs))
    notes = [
        found.description,
        f"{config.backbone}, layers {', '.join(config.layers)}, {config.image_size} px, align "
        f"{config.align}, score: {config.score_rule} of the map; networks of their own at budget "
        f"{budget}."
        + (" Our default alone hears the lesion network." if config.hears_lesions else ""),
        "Mean and standard deviation over the draws of the K images and of the seed; percent.",
        "No run sees a test image under `honest`. But the defaults of wscxr were chosen while "
        "looking at the images held out from ZhangLab's training part: those flatter its rows.",
        "Published: WSCXR (three runs, DenseNet121, checkpoint and threshold chosen on the test "
        "images) from its paper; CutPaste and SQUID from the SQUID paper, as quoted by others. All "
        "on the official test part: only a run there, with that backbone, can be set beside them.",
    ]
    if archives:
        notes.append(_about_archives(found))
    notes += _trivial_features(found.test, max(cell.auroc.mean for cell in cells), track)
    text = markdown(_TITLES[name], rows, cells, notes)
    write_file(out / f"{name}.md", text.encode())
    write_file(out / f"{name}.json", _as_json(cells, notes))
    return text


def _about_archives(data: TableData) -> str:
    if not data.other_normals:
        return (
            "No row with an unlabelled archive: the training part has no normal images beyond the "
            f"pool's {POOL_NORMALS}."
        )
    return (
        f"Unlabelled: up to {ARCHIVE} images of the training part, of other patients than the "
        f"labelled ones, no label read; at most {len(data.other_normals)} normal ones."
    )


def _trivial_features(test: Sequence[Sample], best_auroc: float, track: Track) -> list[str]:
    """How well the classes separate on the same test images without a look at the lungs."""

    def load(sample: Sample) -> TrivialFeatures:
        radiograph, data = open_radiograph(sample.path)
        return trivial_features(radiograph, len(data))

    check = check_confounders(
        [features for batch in in_batches(test, load, track) for features in batch],
        [sample.view for sample in test],
        np.array([sample.label is Label.ABNORMAL for sample in test]),
        best_auroc,
        patient_groups(test),
    )
    best = ", ".join(f"{found.feature} {100 * found.auroc:.1f}" for found in check.features[:3])
    together = "-" if check.together is None else f"{100 * check.together:.1f}"
    note = f"AUROC of trivial features on the same test images: {best}; all together {together}."
    return [note, *check.warnings]


def _choice(kind: type[_Choice], value: str) -> _Choice:
    try:
        return kind(value)
    except ValueError:
        raise ConfigError(f"{value!r} is none of {', '.join(kind)}") from None


def _chosen(rows: list[Row], names: Sequence[str] | None) -> list[Row]:
    if names is None:
        return [row for row in rows if isinstance(row.method, Method)]
    if unknown := sorted(set(names) - {"all"} - {row.name for row in rows}):
        known = ", ".join(row.name for row in rows)
        raise ConfigError(f"{', '.join(unknown)} is not a row of the table; there are {known}")
    return [row for row in rows if "all" in names or row.name in names]


def _as_json(cells: Sequence[Cell], notes: Sequence[str]) -> bytes:
    content = {"notes": list(notes), "cells": [cell.model_dump() for cell in cells]}
    return json.dumps(content, indent=1, ensure_ascii=False).encode()
