"""Several processes that serve one port: started, replaced when they die, and ended together."""

import logging
import multiprocessing
import os
import secrets
import signal
import tempfile
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import FrameType

from prometheus_client import multiprocess

from service.app import bound, local_stores, serve_worker
from service.logs import configure_logging
from service.settings import Settings
from service.stores import SharedStore, StoreServer

logger = logging.getLogger(__name__)

_PRELOADED = ["service.app", "service.api.predict", "service.scoring.registry"]
"""What workers share in memory: loaded once, before they part."""

_LONGEST_PAUSE_S = 30.0
_LAST_S = 10
"""How much longer than its requests a worker may take to end, in seconds."""


@dataclass(frozen=True)
class _Place:
    """Where a worker finds the stores of the process above it, and sees that it lives."""

    path: Path
    secret: bytes
    alive: Connection


class Supervisor:
    """Runs the workers of one service.

    The kernel deals connections out among them (SO_REUSEPORT). Each has models, a queue and limits
    of its own; maps behind a URL, sessions and jobs lie in this process, and metrics add up.

    Parameters
    ----------
    settings
        With more than one worker.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._workers: dict[ForkServerProcess, float] = {}
        self._stopping, self._stop = multiprocessing.Pipe(duplex=False)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; then have all workers finish what is under way.

        Raises
        ------
        SystemExit
            With code 1 where the workers cannot be started; the log has the reason.
        """
        configure_logging(self._settings.log_level)
        count = self._settings.workers
        cores = max(1, (os.cpu_count() or 1) // count)
        # Workers do not know of each other: together they would start a team on every core each.
        os.environ.setdefault("OMP_NUM_THREADS", str(cores))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        with (
            tempfile.TemporaryDirectory(prefix="wscxr-") as folder,
            bound(self._settings.host, self._settings.port) as reserved,
        ):
            metrics = Path(folder) / "metrics"
            metrics.mkdir()
            # Read when prometheus_client is first imported in a worker.
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics)
            given: dict[str, object] = {"workers": 1, "port": reserved.getsockname()[1]}
            if "decode_workers" not in self._settings.model_fields_set:
                given["decode_workers"] = cores
            secret = secrets.token_bytes(32)
            stores = StoreServer(local_stores(self._settings), Path(folder) / "stores", secret)
            # The write end stays here alone: where this process dies, workers read its end.
            alive, living = multiprocessing.Pipe(duplex=False)
            self._place = _Place(Path(folder) / "stores", secret, alive)
            self._given = self._settings.model_copy(update=given)
            self._context = multiprocessing.get_context("forkserver")
            self._context.set_forkserver_preload(_PRELOADED)
            try:
                failed = self._watch(metrics)
                self._end()
            finally:
                living.close()
                stores.close()
        raise SystemExit(1 if failed else 0)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop.send_bytes(b"")

    def _start(self) -> None:
        worker = self._context.Process(target=_work, args=(self._given, self._place))
        worker.start()
        self._workers[worker] = time.monotonic()

    def _watch(self, metrics: Path) -> bool:
        """Keep the workers alive until a signal comes; True where they cannot be started."""
        for _ in range(self._settings.workers):
            self._start()
        pause, replaced = 0.0, False
        while True:
            ready = wait([self._stopping, *(worker.sentinel for worker in self._workers)])
            if self._stopping in ready:
                return False
            for worker in [worker for worker in self._workers if worker.sentinel in ready]:
                lived = time.monotonic() - self._workers.pop(worker)
                worker.join()
                code = worker.exitcode or 0
                multiprocess.mark_process_dead(worker.pid, str(metrics))
                if code > 0 and not replaced:
                    return True  # the others would say the same
                replaced = True
                logger.warning("a worker died", extra={"exit": code, "seconds": round(lived)})
                pause = min(2 * pause + 0.1, _LONGEST_PAUSE_S) if lived < _LONGEST_PAUSE_S else 0.0
                if self._stopping.poll(pause):
                    return False
                self._start()

    def _end(self) -> None:
        for worker in self._workers:
            worker.terminate()
        deadline = time.monotonic() + self._settings.shutdown_timeout_s + _LAST_S
        for worker in self._workers:
            worker.join(max(0.0, deadline - time.monotonic()))
            if worker.is_alive():
                worker.kill()


def _work(settings: Settings, place: _Place) -> None:
    """Serve as one of several workers; runs in a process of its own."""

    def end_with_supervisor() -> None:
        try:
            place.alive.recv_bytes()
        except (EOFError, OSError):
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end_with_supervisor, daemon=True).start()
    stores = {
        name: SharedStore(name, place.path, place.secret) for name in ("maps", "sessions", "jobs")
    }
    serve_worker(settings, stores)
