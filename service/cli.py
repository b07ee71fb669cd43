"""Commands of the service: serve, keys, pacs, archive, records and reviews.

Their options are made from the settings; secrets are no options, as a list of processes shows them.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from service.records.cli import records, reviews
from wscxr.errors import DataError
from wscxr.options import SettingOption, given_settings, options_of, settings_command, validated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from service.pacs.bridge import Analyser
    from service.pacs.settings import PacsSettings

T = TypeVar("T")

app = typer.Typer()
pacs = typer.Typer(
    help="Analyse what arrives at a PACS. Every setting is an environment variable too; "
    "credentials are only that, or files.",
    no_args_is_help=True,
)
app.add_typer(pacs, name="pacs")
app.add_typer(records, name="records")
app.add_typer(reviews, name="reviews")
keys = typer.Typer(help="API keys of the service.", no_args_is_help=True)
app.add_typer(keys, name="keys")

archive = typer.Typer(help="Score whole archives.", no_args_is_help=True)
app.add_typer(archive, name="archive")

_PACS_SETTINGS = "service.pacs.settings:PacsSettings"
_ARCHIVE = ("url", "kind", "user", "password_file", "token_file", "ca_file")
_DICOMWEB = (*_ARCHIVE, "dicomweb_path", "modalities")
_STATE = ("state", "archive")
_SERVICE = ("service_url", "service_key_file", "in_process", "model", "modalities")


def serve_options() -> list[SettingOption]:
    """The options of serve: every setting of the service but the API key itself."""
    from service.settings import Settings

    return [option for option in options_of(Settings) if option.name != "api_key"]


def watch_options() -> list[SettingOption]:
    """The options of pacs watch: every setting of the bridge but the secrets themselves."""
    from service.pacs.settings import PacsSettings

    secrets = {"password", "token", "service_key"}
    return [option for option in options_of(PacsSettings) if option.name not in secrets]


def archive_options() -> list[SettingOption]:
    """The options of archive score: its settings, and those of the bridge that name a server."""
    from service.archive.settings import ArchiveSettings
    from service.pacs.settings import PacsSettings

    server = options_of(PacsSettings, _DICOMWEB, panel="DICOMweb server")
    return [*options_of(ArchiveSettings), *server]


@app.command(
    cls=settings_command("service.cli:serve_options"),
    epilog="Example: `wscxr serve --model-store model_store --model chest --port 8000`",
)
def serve(context: typer.Context) -> None:
    """Serve bundles over HTTP until SIGTERM or Ctrl-C."""
    from service.app import serve as run
    from service.settings import Settings

    run(validated(Settings, given_settings(context)))


@keys.command(epilog="Example: `wscxr keys new reading-room --expires 2027-01-01 >> keys.toml`")
def new(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="Who gets the key; letters, digits, '.', '_', '-'."),
    ],
    role: Annotated[str, typer.Option(help="reader or admin.")] = "reader",
    not_before: Annotated[
        str | None, typer.Option(metavar="DATE", help="In force from this date or time on.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="DATE", help="In force until this date or time.")
    ] = None,
) -> None:
    """Make an API key: its entry for WSCXR_API_KEYS_FILE goes to standard output.

    The key itself is shown once, on standard error, and kept nowhere.
    """
    from service.http.keys import new_key

    key, entry = new_key(name, role, not_before=not_before, expires=expires)
    typer.echo(entry.toml())
    typer.echo(f"the key of {name}, shown only now: {key}", err=True)


@pacs.command(
    cls=settings_command("service.cli:watch_options"),
    epilog="Example: `wscxr pacs watch --url http://pacs:8042 --service-url http://scorer:8000 "
    "--state /var/lib/wscxr/pacs.sqlite3 --metrics-port 9100`",
)
def watch(context: typer.Context) -> None:
    """Follow a PACS, and push the results of all that arrives, until SIGTERM or Ctrl-C."""
    settings = _pacs_settings(context)
    import asyncio

    from service.pacs.commands import watch as run

    asyncio.run(_with_analyser(settings, lambda analyser: run(settings, analyser)))


@pacs.command(
    cls=settings_command(_PACS_SETTINGS, (*_ARCHIVE, *_SERVICE)),
    epilog="Example: `wscxr pacs analyze --study 1.2.3.4 --url http://pacs:8042`",
)
def analyze(
    context: typer.Context,
    study: Annotated[str, typer.Option(metavar="UID", help="Study Instance UID.")],
) -> None:
    """Pull one study, have it scored, push the results; print one line for each instance."""
    settings = _pacs_settings(context)
    import asyncio

    from service.pacs.bridge import Ending
    from service.pacs.commands import analyse

    work = _with_analyser(settings, lambda analyser: analyse(settings, study, analyser))
    done = asyncio.run(work)
    for item in done:
        typer.echo(_line(item.instance.sop, item.outcome.ending, item.outcome.code))
    failed = sum(item.outcome.ending is Ending.FAILED for item in done)
    if failed:
        raise DataError(f"{failed} of {len(done)} instances could not be analysed")


@pacs.command(
    cls=settings_command(_PACS_SETTINGS, ("url", *_STATE)),
    epilog="Example: `wscxr pacs failed --url http://pacs:8042`",
)
def failed(context: typer.Context) -> None:
    """List what failed for good: number, time, code, Study Instance UID, request id.

    Under the request id the log of the scoring service says what happened.
    """
    settings = _pacs_settings(context)
    from datetime import UTC, datetime

    from service.pacs.commands import failures

    for item in failures(settings):
        at = datetime.fromtimestamp(item.at, UTC).isoformat(timespec="seconds")
        typer.echo(_line(str(item.id), at, item.code, item.study, item.request_id))


@pacs.command(
    cls=settings_command(_PACS_SETTINGS, (*_ARCHIVE, *_SERVICE, *_STATE)),
    epilog="Example: `wscxr pacs retry 7 --url http://pacs:8042`",
)
def retry(
    context: typer.Context,
    number: Annotated[
        int | None, typer.Argument(metavar="[ID]", help="Number in the list of failed; or all.")
    ] = None,
) -> None:
    """Work again on what failed; what fails again stays on the list."""
    settings = _pacs_settings(context)
    import asyncio

    from service.pacs.bridge import Ending
    from service.pacs.commands import retry as run

    work = _with_analyser(settings, lambda analyser: run(settings, number, analyser))
    done = asyncio.run(work)
    for item, outcome in done:
        typer.echo(_line(str(item.id), outcome.ending, outcome.code))
    failed = sum(outcome.ending is Ending.FAILED for _, outcome in done)
    if failed:
        raise DataError(f"{failed} of {len(done)} instances failed again")


@archive.command(
    cls=settings_command("service.cli:archive_options"),
    epilog="Example: `wscxr archive score scores /data/cxr --maps`",
)
def score(
    context: typer.Context,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder of the rows, as Parquet files.")
    ],
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="[FOLDER]...", help="Folders to score.")
    ] = None,
) -> None:
    """Score all that has no row yet, in folders, a manifest or a DICOMweb server.

    Started again after any end, it goes on where it was. An image that cannot be scored gets a row
    with the code of its error.
    """
    from service.archive.commands import logged
    from service.archive.commands import score as run
    from service.archive.settings import ArchiveSettings
    from service.logs import configure_logging
    from wscxr.console import Tracker, progress_bars, stderr

    given = given_settings(context)
    pacs = {name: given.pop(name) for name in _DICOMWEB if name in given}
    settings = validated(ArchiveSettings, given)
    configure_logging("info")
    if stderr.is_terminal:
        with progress_bars() as progress:
            done = run(settings, out, folders or [], pacs, Tracker(progress))
    else:
        done = run(settings, out, folders or [], pacs, logged)
    typer.echo(_line("already scored", str(done.before)))
    typer.echo(_line("scored", str(done.scored)))
    for code, count in sorted(done.failed.items()):
        typer.echo(_line(code, str(count)))


def _pacs_settings(context: typer.Context) -> "PacsSettings":
    from service.logs import configure_logging
    from service.pacs.settings import PacsSettings

    given: dict[str, Any] = given_settings(context)
    settings = validated(PacsSettings, given)
    configure_logging(settings.log_level)
    return settings


async def _with_analyser(
    settings: "PacsSettings", work: "Callable[[Analyser | None], Awaitable[T]]"
) -> T:
    """Do some work with a model in this process where the settings say so, else with None."""
    if not settings.in_process:
        return await work(None)
    # Not above: the bridge alone loads no PyTorch.
    from service.scoring.analyser import loaded_analyser
    from service.settings import Settings

    async with loaded_analyser(validated(Settings, {}), settings.model) as analyser:
        return await work(analyser)


def _line(*fields: str | None) -> str:
    return "\t".join(field or "-" for field in fields)
