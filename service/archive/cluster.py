"""A run on many machines: Ray Data's actors, each with a scoring process of its own."""

import logging
import os
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from service.archive.errors import ClusterUnusable
from service.archive.plan import Plan
from service.archive.process import ScoringProcess
from service.archive.rows import ROWS, chunks_of

# Ray's actors import this module; PyTorch, which the list's own imports load, is for their
# scoring processes alone.
if TYPE_CHECKING:
    from service.archive.worklist import WorkList

_BLOCKS = (32, 64, 128, 256, 512)
"""Work items that an actor takes at a time, at most: whole chunks, and parts of a batch of the
list. An actor computes nothing while it reads the first chunk of a block, and waits at the end of
the run while another computes its last block."""
_BLOCKS_AN_ACTOR = 8
_MAX_LOST_STARTS = 10
"""Starts of actors that may fail one after the other before the bundle is what is at fault."""


class ScoringActor:
    """What Ray starts on a node: scores batches of work items in a scoring process.

    It is found by its name and gets plain data alone, so that Ray has nothing of this project to
    pickle but that.

    Parameters
    ----------
    plan
        The fields of `Plan`.
    """

    def __init__(self, plan: dict[str, Any]) -> None:
        self._process = ScoringProcess(Plan(**plan))

    def __call__(self, items: pa.Table) -> pa.Table:
        """Score work items; one row each, in their order."""
        rows = self._process.score(chunks_of(iter(items.to_batches())))
        return pa.Table.from_batches(list(rows), ROWS)


def score_on_ray(
    plan: Plan, items: "WorkList", address: str, actors: int | None
) -> Iterator[pa.RecordBatch]:
    """Score work items on a Ray cluster.

    A worker or a node that is lost costs what it had under way, which Ray gives to others. Token
    authentication is on unless the environment says otherwise (RAY_AUTH_MODE).

    Parameters
    ----------
    plan
        What to score with; bundle and files must be at the same paths on every node.
    items
        The work list.
    address
        As `ray.init` takes it: ``auto``, ``HOST:6379``, ``ray://HOST:10001``.
    actors
        How many scoring processes; None for as many as the cluster has room for.

    Yields
    ------
    RecordBatch
        Rows, in the order in which they are ready.

    Raises
    ------
    ClusterUnusable
        The cluster cannot be reached, or its actors cannot be started.
    """
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    gpu = plan.device.startswith("cuda")
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        raise ClusterUnusable from error
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        # An actor that starts while its machine is lost must not end the run.
        context.max_consecutive_actor_init_deaths = _MAX_LOST_STARTS
        # Whatever else it would print is in its own log files.
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        room = ray.cluster_resources().get("GPU" if gpu else "CPU", 0)
        count = actors or max(1, int(room if gpu else room // plan.threads))
        share = max(_BLOCKS[0], items.count // (count * _BLOCKS_AN_ACTOR))
        size = max(size for size in _BLOCKS if size <= share)
        blocks = [pa.Table.from_batches([part]) for part in chunks_of(iter(items), size)]
        rows = ray.data.from_arrow(blocks).map_batches(
            ScoringActor,
            fn_constructor_args=[asdict(plan)],
            batch_size=None,
            batch_format="pyarrow",
            zero_copy_batch=True,
            compute=ray.data.ActorPoolStrategy(size=count),
            num_cpus=plan.threads,
            num_gpus=1 if gpu else None,
        )
        for table in rows.iter_batches(batch_size=None, batch_format="pyarrow"):
            yield from table.to_batches()
    except ray.exceptions.RayError as error:
        raise ClusterUnusable("the Ray cluster gave up: its own log files say why") from error
    finally:
        ray.shutdown()
