"""The scoring process itself, ``python -m service.archive.child``; `process` starts it.

Standard input: a line of JSON with the `Plan`, then an Arrow stream of work items. Standard
output: a line of JSON that says which bundle is loaded and what runs it, or what went wrong; then
an Arrow stream of rows, one batch for each of items. Nothing is pickled.
"""

import json
import os
import queue
import signal
import sys
import threading
from typing import IO, Any

import pyarrow as pa

from service.archive.plan import Plan
from service.logs import configure_logging
from wscxr.errors import WscxrError
from wscxr.process import configure_process

_AHEAD = 2
"""Chunks that are read while another is computed."""


def main() -> None:
    """Load the bundle, then score what arrives until the input ends."""
    # Ctrl-C reaches the whole group; the parent then ends the input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    configure_process()
    configure_logging("info")
    source, target = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not get among the rows
    try:
        _serve(json.loads(source.readline()), source, target)
    except BrokenPipeError:
        os._exit(1)  # the parent is gone


def _serve(plan_values: dict[str, Any], source: IO[bytes], target: IO[bytes]) -> None:
    # Not before the process is set up: they load PyTorch.
    from service.archive.rows import ROWS
    from service.archive.scorer import Begun, Scorer, read_file

    plan = Plan(**plan_values)
    try:
        if plan.pacs is None:
            scorer = Scorer(plan, read_file)
        else:
            from service.archive.pacs import PacsReader

            scorer = Scorer(plan, PacsReader(plan.pacs).read)
    except WscxrError as error:
        _say(target, {"error": f"{error} [{error.code}]"})
        return
    _say(
        target,
        {
            "model": scorer.by.model.model_dump(mode="json"),
            "engine": scorer.by.engine.model_dump(mode="json"),
        },
    )
    begun: queue.Queue[Begun | None] = queue.Queue(_AHEAD)

    def receive() -> None:
        try:
            for items in pa.ipc.open_stream(source):
                begun.put(scorer.begin(items))
        except (pa.ArrowException, OSError):
            pass  # cut off: the parent is gone
        begun.put(None)

    threading.Thread(target=receive, daemon=True).start()
    with pa.ipc.new_stream(target, ROWS) as rows:
        while (chunk := begun.get()) is not None:
            rows.write_batch(scorer.finish(chunk))
            target.flush()


def _say(target: IO[bytes], what: dict[str, object]) -> None:
    target.write(json.dumps(what).encode() + b"\n")
    target.flush()


if __name__ == "__main__":
    main()
