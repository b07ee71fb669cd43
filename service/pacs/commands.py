"""The bridge put together from settings, and what the command line and the service do with it."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass

from service.pacs.audit import AuditTrail
from service.pacs.azure import AzureArchive
from service.pacs.bridge import Analyser, Bridge, Outcome, ServiceAnalyser
from service.pacs.changes import ChangesFeed
from service.pacs.dicomweb import DicomWeb, Instance, is_uid
from service.pacs.errors import PacsError, Refused, ServerFault, StudyNotFound
from service.pacs.feeds import Feed
from service.pacs.lease import sole_watcher
from service.pacs.monitor import PacsMetrics, monitoring
from service.pacs.orthanc import OrthancArchive
from service.pacs.qido import QidoFeed
from service.pacs.retries import Retries, Stopping
from service.pacs.settings import PacsSettings
from service.pacs.state import Failure, State
from service.pacs.transport import Server, archive_server, service_server
from service.pacs.watcher import Watcher
from wscxr.errors import DataError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Analysed:
    """One instance, and how the work on it ended."""

    instance: Instance
    outcome: Outcome


async def watch(settings: PacsSettings, analyser: Analyser | None = None) -> None:
    """Follow the archive until SIGTERM or SIGINT; where another watcher does, wait for its end.

    Parameters
    ----------
    analyser
        Scores in place of the scoring service.

    Raises
    ------
    StateError
        The state file cannot be used.
    OSError
        The port for metrics is taken.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    metrics = PacsMetrics()
    with contextlib.ExitStack() as stack:
        audit = None
        if settings.audit is not None:
            audit = AuditTrail(settings, metrics.audit_lost)
            stack.enter_context(audit.running())
        if settings.metrics_port is not None:
            listening = monitoring(metrics, settings.metrics_host, settings.metrics_port)
            logger.info("monitoring", extra={"port": stack.enter_context(listening)})
        await _watch_alone(settings, stop, metrics, analyser, audit)
    logger.info("stopped")


async def _watch_alone(
    settings: PacsSettings,
    stop: asyncio.Event,
    metrics: PacsMetrics,
    analyser: Analyser | None,
    audit: AuditTrail | None,
) -> None:
    def waiting(holder: str) -> None:
        metrics.active = holder
        logger.info("another watcher is active", extra={"active": holder})

    retries = make_retries(settings, stop, metrics, patient=True)
    try:
        async with (
            sole_watcher(settings.state, waiting, retries.pause),
            _watcher(settings, retries, metrics, analyser, audit) as watcher,
        ):
            metrics.active = None
            logger.info("watching", extra={"kind": settings.kind, "workers": settings.workers})
            await watcher.run(stop, settings.shutdown_timeout_s)
    except Stopping:
        pass  # before it was its turn


async def analyse(
    settings: PacsSettings, study: str, analyser: Analyser | None = None
) -> list[Analysed]:
    """Analyse one study of the archive.

    Parameters
    ----------
    study
        Study Instance UID.
    analyser
        Scores in place of the scoring service.

    Raises
    ------
    DataError
        `study` is no UID.
    StudyNotFound
        The archive has no such study.
    ServerUnavailable, ServerFault
        A server cannot be used.
    """
    async with _connected(settings) as (archive, service):
        web = make_archive(settings, archive)
        bridge = Bridge(
            web, analyser or ServiceAnalyser(service, settings.model), settings.modalities
        )
        retries = make_retries(settings, asyncio.Event(), PacsMetrics(), patient=False)
        return await analyse_study(web, bridge, retries, study)


async def analyse_study(
    archive: DicomWeb, bridge: Bridge, retries: Retries, study: str
) -> list[Analysed]:
    """Analyse all instances of a study, one after the other; errors as `analyse`."""
    if not is_uid(study):
        raise DataError("this is not a Study Instance UID")
    instances = await retries.run(lambda: archive.instances(study), bridge.probe)
    if not instances:
        raise StudyNotFound
    return [Analysed(found, await _outcome(bridge, retries, found)) for found in instances]


def failures(settings: PacsSettings) -> list[Failure]:
    """List all instances that failed for good.

    Raises
    ------
    StateError
        The state file cannot be used, is not there, or does not know the archive.
    """
    with _state(settings, create=False) as state:
        return state.failures()


async def retry(
    settings: PacsSettings, number: int | None, analyser: Analyser | None = None
) -> list[tuple[Failure, Outcome]]:
    """Work again on what failed; what fails again stays on the list.

    Parameters
    ----------
    number
        `Failure.id` of one failure; None for all.
    analyser
        Scores in place of the scoring service.

    Raises
    ------
    DataError
        No failure has that number.
    ServerUnavailable
        A server cannot be used.
    """
    chosen = [item for item in failures(settings) if number in (None, item.id)]
    if number is not None and not chosen:
        raise DataError("no failure has that number; see `wscxr pacs failed`")
    metrics = PacsMetrics()
    retries = make_retries(settings, asyncio.Event(), metrics, patient=False)
    async with _watcher(settings, retries, metrics, analyser) as watcher:
        return [(item, await watcher.work_on(item.key)) for item in chosen]


def make_archive(settings: PacsSettings, server: Server) -> DicomWeb:
    """Speak DICOMweb with the PACS, and with some also its own language."""
    match settings.kind:
        case "dicomweb":
            return DicomWeb(server)
        case "azure":
            return AzureArchive(server)
        case "orthanc":
            return OrthancArchive(server, f"{settings.dicomweb_path.strip('/')}/")


def make_retries(
    settings: PacsSettings, stop: asyncio.Event, metrics: PacsMetrics, *, patient: bool
) -> Retries:
    """Count and log each retry; the arguments are those of `Retries`."""

    def note(error: PacsError) -> None:
        metrics.failing(error)
        facts = {"code": error.code, "reason": str(error)}
        if isinstance(error, ServerFault) and error.request_id is not None:
            facts["request_id"] = error.request_id
        logger.warning("trying again", extra=facts)

    return Retries(
        stop,
        note,
        tries=settings.tries,
        min_pause_s=settings.min_pause_s,
        max_pause_s=settings.max_pause_s,
        patient=patient,
    )


@contextlib.asynccontextmanager
async def _connected(settings: PacsSettings) -> AsyncIterator[tuple[Server, Server]]:
    """The PACS and the scoring service, until the block ends."""
    async with contextlib.AsyncExitStack() as stack:
        servers = archive_server(settings), service_server(settings)
        for server in servers:
            stack.push_async_callback(server.close)
        yield servers


def _state(settings: PacsSettings, *, create: bool = True) -> contextlib.closing[State]:
    name, *formerly = settings.archive_names
    return contextlib.closing(State(settings.state, name, formerly=formerly, create=create))


@contextlib.asynccontextmanager
async def _watcher(
    settings: PacsSettings,
    retries: Retries,
    metrics: PacsMetrics,
    analyser: Analyser | None,
    audit: AuditTrail | None = None,
) -> AsyncIterator[Watcher]:
    """A watcher of the PACS that has the scoring service score where no analyser is given."""
    async with _connected(settings) as (server, service):
        with _state(settings) as state:
            archive = make_archive(settings, server)
            feed: Feed
            if isinstance(archive, OrthancArchive | AzureArchive):
                feed = ChangesFeed(archive, state, from_now=settings.start == "now")
            else:
                feed = QidoFeed(
                    archive,
                    state,
                    settings.modalities,
                    start=settings.start or "window",
                    since_days=settings.since_days,
                    rescan_s=settings.rescan_s,
                )
            analyser = analyser or ServiceAnalyser(service, settings.model)
            yield Watcher(
                feed,
                Bridge(archive, analyser, settings.modalities, audit),
                state,
                metrics,
                retries,
                workers=settings.workers,
                poll_s=settings.poll_s,
            )


async def _outcome(bridge: Bridge, retries: Retries, instance: Instance) -> Outcome:
    try:
        return await retries.run(lambda: bridge.process(instance), bridge.probe)
    except (Refused, ServerFault) as error:
        return Outcome.failed(error)
