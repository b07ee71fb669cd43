"""What the command line and the service ask of the bridge."""

import asyncio
import contextlib
import logging
import signal
from dataclasses import dataclass

from service.pacs.analyser import Analyser, ServiceAnalyser
from service.pacs.assembly import (
    connected,
    make_bridge,
    make_dicomweb,
    make_retries,
    make_watcher,
    opened,
)
from service.pacs.bridge import Bridge, Ending, Outcome
from service.pacs.dicomweb import DicomWeb
from service.pacs.errors import Faulty, Refused, StudyNotFound
from service.pacs.instance import Instance, is_uid
from service.pacs.metrics import PacsMetrics
from service.pacs.monitor import monitoring
from service.pacs.retries import Retries
from service.pacs.settings import PacsSettings
from service.pacs.state import SetAside, State
from service.pacs.transport import Server
from wscxr.errors import DataError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Done:
    """One instance, and how the work on it ended."""

    instance: Instance
    outcome: Outcome


async def watch(settings: PacsSettings) -> None:
    """Follow the archive until SIGTERM or SIGINT.

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
        if settings.metrics_port is not None:
            listening = monitoring(metrics, settings.metrics_host, settings.metrics_port)
            logger.info("monitoring", extra={"port": stack.enter_context(listening)})
        async with connected(settings) as (archive, service), opened(settings) as state:
            retries = make_retries(settings, stop, metrics, patient=True)
            watcher = make_watcher(settings, archive, service, state, metrics, retries)
            logger.info("watching", extra={"kind": settings.kind, "workers": settings.workers})
            await watcher.run(stop, settings.shutdown_timeout_s)
    logger.info("stopped")


async def analyse_study(
    archive: DicomWeb, bridge: Bridge, retries: Retries, study: str
) -> list[Done]:
    """Analyse all instances of a study, one after the other.

    Parameters
    ----------
    archive
        Where the study is.
    bridge
        Does the work.
    retries
        How often to try again.
    study
        Study Instance UID.

    Raises
    ------
    DataError
        This is no UID.
    StudyNotFound
        The archive has no such study.
    Unavailable, Faulty
        A server cannot be used.
    """
    if not is_uid(study):
        raise DataError("this is not a Study Instance UID")
    instances = await retries.run(lambda: archive.instances(study), bridge.probe)
    if not instances:
        raise StudyNotFound
    return [Done(instance, await _outcome(bridge, retries, instance)) for instance in instances]


async def analyse(settings: PacsSettings, study: str) -> list[Done]:
    """Analyse a study with the scoring service; errors as `analyse_study`."""
    async with connected(settings) as (archive, service):
        analyser = ServiceAnalyser(service, settings.model)
        return await _analyse(settings, archive, analyser, study)


async def analyse_with(settings: PacsSettings, analyser: Analyser, study: str) -> list[Done]:
    """Analyse a study with whoever scores; errors as `analyse_study`."""
    async with connected(settings) as (archive, _):
        return await _analyse(settings, archive, analyser, study)


def failures(settings: PacsSettings) -> list[SetAside]:
    """All instances that are set aside.

    Raises
    ------
    StateError
        The state file cannot be used.
    """
    with contextlib.closing(State(settings.state, str(settings.url))) as state:
        return state.failures()


async def retry(settings: PacsSettings, number: int | None) -> list[tuple[SetAside, Outcome]]:
    """Work again on what was set aside; what fails again stays there.

    Parameters
    ----------
    settings
        All settings.
    number
        Which one, by `SetAside.id`; None for all.

    Raises
    ------
    DataError
        There is none of that number.
    Unavailable
        A server cannot be used.
    """
    chosen = [item for item in failures(settings) if number in (None, item.id)]
    if number is not None and not chosen:
        raise DataError("nothing of that number is set aside; see `wscxr pacs failed`")
    metrics = PacsMetrics()
    retries = make_retries(settings, asyncio.Event(), metrics, patient=False)
    async with connected(settings) as (archive, service), opened(settings) as state:
        watcher = make_watcher(settings, archive, service, state, metrics, retries)
        return [(item, await watcher.work_on(item.key)) for item in chosen]


async def _analyse(
    settings: PacsSettings, server: Server, analyser: Analyser, study: str
) -> list[Done]:
    archive = make_dicomweb(settings, server)
    bridge = make_bridge(settings, archive, analyser)
    retries = make_retries(settings, asyncio.Event(), PacsMetrics(), patient=False)
    return await analyse_study(archive, bridge, retries, study)


async def _outcome(bridge: Bridge, retries: Retries, instance: Instance) -> Outcome:
    try:
        return await retries.run(lambda: bridge.process(instance), bridge.probe)
    except Refused as refusal:
        return Outcome(Ending.FAILED, refusal.reason)
    except Faulty as error:
        return Outcome(Ending.FAILED, error.code)
