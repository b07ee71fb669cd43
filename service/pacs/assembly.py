"""The parts of the bridge, put together from settings."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from service.pacs.analyser import Analyser, ServiceAnalyser
from service.pacs.bridge import Bridge
from service.pacs.dicomweb import DicomWeb
from service.pacs.errors import PacsError
from service.pacs.feed import Feed
from service.pacs.metrics import PacsMetrics
from service.pacs.orthanc_feed import OrthancFeed
from service.pacs.qido_feed import QidoFeed
from service.pacs.retries import Retries
from service.pacs.settings import PacsSettings
from service.pacs.state import State
from service.pacs.transport import Server, archive_server, service_server
from service.pacs.watcher import Watcher
from wscxr.results.dicom.identity import is_own_result

logger = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def connected(settings: PacsSettings) -> AsyncIterator[tuple[Server, Server]]:
    """The PACS and the scoring service, until the block ends."""
    async with contextlib.AsyncExitStack() as stack:
        servers = archive_server(settings), service_server(settings)
        for server in servers:
            stack.push_async_callback(server.close)
        yield servers


@contextlib.asynccontextmanager
async def opened(settings: PacsSettings) -> AsyncIterator[State]:
    """The state file, until the block ends; errors as `State`."""
    with contextlib.closing(State(settings.state, str(settings.url))) as state:
        yield state


def make_dicomweb(settings: PacsSettings, server: Server) -> DicomWeb:
    """DICOMweb of the PACS."""
    if settings.kind == "dicomweb":
        return DicomWeb(server)
    return DicomWeb(server, f"{settings.dicomweb_path.strip('/')}/")


def make_bridge(settings: PacsSettings, archive: DicomWeb, analyser: Analyser) -> Bridge:
    """The way of an instance, with whoever scores it."""
    return Bridge(archive, analyser, settings.modalities, is_own_result)


def make_retries(
    settings: PacsSettings, stop: asyncio.Event, metrics: PacsMetrics, *, patient: bool
) -> Retries:
    """Retries that are counted and logged; see `Retries`."""

    def note(error: PacsError) -> None:
        metrics.failing(error)
        logger.warning("trying again", extra={"code": error.code})

    return Retries(
        stop,
        note,
        tries=settings.tries,
        min_pause_s=settings.min_pause_s,
        max_pause_s=settings.max_pause_s,
        patient=patient,
    )


def make_watcher(
    settings: PacsSettings,
    server: Server,
    service: Server,
    state: State,
    metrics: PacsMetrics,
    retries: Retries,
) -> Watcher:
    """A watcher of the PACS that has the service score."""
    archive = make_dicomweb(settings, server)
    feed: Feed
    if settings.kind == "orthanc":
        feed = OrthancFeed(server, state, from_now=settings.start == "now")
    else:
        feed = QidoFeed(archive, state, settings.modalities, settings.since_days)
    bridge = make_bridge(settings, archive, ServiceAnalyser(service, settings.model))
    workers, poll_s = settings.workers, settings.poll_s
    return Watcher(feed, bridge, state, metrics, retries, workers=workers, poll_s=poll_s)
