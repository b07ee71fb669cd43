"""Commands that work on a PACS: pacs watch, analyze, failed, retry."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wscxr.errors import ConfigError, DataError

if TYPE_CHECKING:
    from service.pacs.settings import PacsSettings

app = typer.Typer(
    help="Analyse what arrives at a PACS. Every setting is an environment variable too, "
    "`WSCXR_PACS_URL` and so on; credentials are only that, or files.",
    no_args_is_help=True,
)

Url = Annotated[
    str | None, typer.Option(metavar="URL", help="Root of Orthanc, or of a DICOMweb server.")
]
Kind = Annotated[str | None, typer.Option(help="orthanc or dicomweb. [orthanc]")]
ServiceUrl = Annotated[
    str | None, typer.Option(metavar="URL", help="The scoring service. [http://127.0.0.1:8000]")
]
Model = Annotated[str | None, typer.Option(metavar="NAME", help="Model to score with.")]
State = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Cursor and failures. [pacs.sqlite3]")
]
CaFile = Annotated[Path | None, typer.Option(metavar="FILE", help="Certificates to trust.")]


@app.command(
    epilog="Example: `wscxr pacs watch --url http://pacs:8042 --service-url http://scorer:8000 "
    "--state /var/lib/wscxr/pacs.sqlite3 --metrics-port 9100`"
)
def watch(
    url: Url = None,
    kind: Kind = None,
    service_url: ServiceUrl = None,
    model: Model = None,
    state: State = None,
    ca_file: CaFile = None,
    start: Annotated[
        str | None, typer.Option(help="Orthanc, no state yet: beginning or now. [beginning]")
    ] = None,
    since_days: Annotated[
        int | None, typer.Option(help="DICOMweb: oldest study date, in days. [3]")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Instances at once. [4]")] = None,
    poll_s: Annotated[float | None, typer.Option(help="Pause between looks. [2]")] = None,
    metrics_port: Annotated[
        int | None, typer.Option(help="Port of /metrics and /health. [none]")
    ] = None,
    metrics_host: Annotated[str | None, typer.Option(help="Its address. [127.0.0.1]")] = None,
) -> None:
    """Follow a PACS, and push the results of all that arrives, until SIGTERM or Ctrl-C."""
    settings = _settings(
        url=url,
        kind=kind,
        service_url=service_url,
        model=model,
        state=state,
        ca_file=ca_file,
        start=start,
        since_days=since_days,
        workers=workers,
        poll_s=poll_s,
        metrics_port=metrics_port,
        metrics_host=metrics_host,
    )
    import asyncio

    from service.pacs.commands import watch as run

    asyncio.run(run(settings))


@app.command(epilog="Example: `wscxr pacs analyze --study 1.2.3.4 --url http://pacs:8042`")
def analyze(
    study: Annotated[str, typer.Option(metavar="UID", help="Study Instance UID.")],
    url: Url = None,
    kind: Kind = None,
    service_url: ServiceUrl = None,
    model: Model = None,
    ca_file: CaFile = None,
) -> None:
    """Pull one study, have it scored, push the results; one line for each instance."""
    settings = _settings(url=url, kind=kind, service_url=service_url, model=model, ca_file=ca_file)
    import asyncio

    from service.pacs.bridge import Ending
    from service.pacs.commands import analyse

    done = asyncio.run(analyse(settings, study))
    for item in done:
        typer.echo(_line(item.instance.sop, item.outcome.ending, item.outcome.code))
    failed = sum(item.outcome.ending is Ending.FAILED for item in done)
    if failed:
        raise DataError(f"{failed} of {len(done)} instances could not be analysed")


@app.command(epilog="Example: `wscxr pacs failed --url http://pacs:8042`")
def failed(url: Url = None, state: State = None) -> None:
    """List what failed for good: number, time, code, Study Instance UID."""
    settings = _settings(url=url, state=state)
    from datetime import UTC, datetime

    from service.pacs.commands import failures

    for item in failures(settings):
        at = datetime.fromtimestamp(item.at, UTC).isoformat(timespec="seconds")
        typer.echo(_line(str(item.id), at, item.code, item.study))


@app.command(epilog="Example: `wscxr pacs retry 7 --url http://pacs:8042`")
def retry(
    number: Annotated[
        int | None, typer.Argument(metavar="[ID]", help="As listed by failed; all if left out.")
    ] = None,
    url: Url = None,
    kind: Kind = None,
    service_url: ServiceUrl = None,
    model: Model = None,
    state: State = None,
    ca_file: CaFile = None,
) -> None:
    """Work again on what failed; what fails again stays on the list."""
    settings = _settings(
        url=url, kind=kind, service_url=service_url, model=model, state=state, ca_file=ca_file
    )
    import asyncio

    from service.pacs.bridge import Ending
    from service.pacs.commands import retry as run

    done = asyncio.run(run(settings, number))
    for item, outcome in done:
        typer.echo(_line(str(item.id), outcome.ending, outcome.code))
    failed = sum(outcome.ending is Ending.FAILED for _, outcome in done)
    if failed:
        raise DataError(f"{failed} of {len(done)} instances failed again")


def _settings(**options: Any) -> "PacsSettings":
    from pydantic import ValidationError

    from service.logs import configure_logging
    from service.pacs.settings import PacsSettings
    from service.settings import describe_settings_error

    try:
        given = {key: value for key, value in options.items() if value is not None}
        settings = PacsSettings(**given)
    except ValidationError as error:
        raise ConfigError(f"PACS: {describe_settings_error(error)}") from None
    configure_logging(settings.log_level)
    return settings


def _line(*fields: str | None) -> str:
    return "\t".join(field or "-" for field in fields)
