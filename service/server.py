"""Run the app in this process; what ``wscxr serve`` calls."""

import logging
import signal
import threading
from types import FrameType

import uvicorn

from service.app import create_app
from service.logs import configure_logging
from service.settings import Settings

logger = logging.getLogger(__name__)

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; then finish what is under way, within the bound.

    Parameters
    ----------
    settings
        All settings.

    Raises
    ------
    SystemExit
        With code 0 after SIGTERM; with another when the device is not there, a bundle cannot be
        used, or the port is taken, and the log has the reason.
    """
    configure_logging(settings.log_level)
    if settings.key is None and settings.host not in _LOOPBACK:
        logger.warning("no API key is set: whoever reaches this host can use the service")
    failed = False

    def stop() -> None:
        nonlocal failed
        failed = True
        server.should_exit = True

    server = uvicorn.Server(
        uvicorn.Config(
            create_app(settings, stop=stop),
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=settings.shutdown_timeout_s,
        )
    )
    # Once the work is done uvicorn raises SIGTERM again, whose default action would end a clean
    # stop with exit code 143. Only the main thread may set handlers.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _exit_cleanly)
    server.run()
    if failed:
        raise SystemExit(1)


def _exit_cleanly(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
