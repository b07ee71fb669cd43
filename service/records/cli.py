"""Commands of the record: records verify, export, delete, prune and drift; reviews export."""

from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from service.records.drift import MOST_WEEKS, WEEKS
from wscxr.errors import ConfigError, DataError, ImagesNotKept
from wscxr.options import JsonFile, given_settings, settings_command, validated

if TYPE_CHECKING:
    from service.records.teaching import Archive
    from service.settings import Settings

records = typer.Typer(
    help="Verify, export and thin out the record of analyses.", no_args_is_help=True
)
reviews = typer.Typer(help="Take radiologists' verdicts out of the record.", no_args_is_help=True)

_SETTINGS = "service.settings:Settings"
_RECORD = ("records", "records_key_file", "record_images")


@records.command(
    cls=settings_command(_SETTINGS, _RECORD),
    epilog="Example: `wscxr records verify --records sqlite:////var/lib/wscxr/records.sqlite3`",
)
def verify(
    context: typer.Context,
    head: Annotated[
        str | None,
        typer.Option(metavar="NUMBER:HASH", help="A head noted earlier, which must be there."),
    ] = None,
) -> None:
    """Verify the hash chain: print its head, and everything that was changed or is missing."""
    from service.records.ledger import ChainHead
    from service.records.opened import opened

    try:
        expected = None if head is None else ChainHead.parse(head)
    except ValueError:
        raise ConfigError("a head is NUMBER:HASH, as this command prints it") from None
    with opened(_settings(context)) as record:
        found, faults = record.records.verify(expected)
    for fault in faults:
        typer.echo(f"{fault.problem}\t{fault.number}\t{fault.subject}")
    typer.echo(f"head\t{found}")
    if faults:
        raise DataError(f"the record was changed: {len(faults)} faults")


@records.command(
    cls=settings_command(_SETTINGS, _RECORD),
    epilog="Example: `wscxr records export --out analyses.parquet`",
)
def export(
    context: typer.Context,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="File to write: .csv, .parquet or .jsonl.")
    ],
) -> None:
    """Write every analysis, with the latest verdict on it, as a table."""
    from service.records.export import flat, write_export
    from service.records.opened import opened

    with opened(_settings(context)) as record:
        count = write_export((flat(*pair) for pair in record.records.all()), out)
    typer.echo(f"{count} analyses")


@records.command(
    cls=settings_command(_SETTINGS, _RECORD),
    epilog="Example: `wscxr records delete --study 1.2.3.4`",
)
def delete(
    context: typer.Context,
    study: Annotated[
        str | None, typer.Option(metavar="UID", help="Study Instance UID: all its analyses.")
    ] = None,
    analysis: Annotated[
        UUID | None, typer.Option(metavar="ID", help="One analysis, such as that of a PNG.")
    ] = None,
) -> None:
    """Erase a patient's analyses, the verdicts on them and their pictures; the chain holds."""
    from service.records.facts import study_hash
    from service.records.opened import opened

    if (study is None) == (analysis is None):
        raise ConfigError("give --study or --analysis")
    with opened(_settings(context)) as record:
        if analysis is not None:
            count, names = 1, record.records.erase_analysis(analysis)
        else:
            count, names = record.records.erase_study(study_hash(str(study), record.key))
        record.remove(names)
    typer.echo(f"{count} analyses erased")
    if not count:
        raise DataError("the record holds no analysis of that study")


@records.command(
    cls=settings_command(_SETTINGS, _RECORD),
    epilog="Example: `wscxr records prune --days 365`",
)
def prune(
    context: typer.Context,
    days: Annotated[int, typer.Option(min=1, help="Erase analyses older than this.")],
) -> None:
    """Erase old analyses now; the service does so by itself with WSCXR_RECORDS_RETENTION_DAYS."""
    from datetime import UTC, datetime, timedelta

    from service.records.opened import opened

    with opened(_settings(context)) as record:
        before = datetime.now(UTC) - timedelta(days=days)
        count, names = record.records.erase_before(before)
        record.remove(names)
    typer.echo(f"{count} analyses erased")


@records.command(
    cls=settings_command(_SETTINGS, (*_RECORD, "model_store")),
    epilog="Example: `wscxr records drift --weeks 4 --json drift.json`",
)
def drift(
    context: typer.Context,
    weeks: Annotated[
        int, typer.Option(min=1, max=MOST_WEEKS, help="Weeks to report, this one among them.")
    ] = WEEKS,
    json_file: JsonFile = None,
) -> None:
    """Compare each week's images with the calibration and with the first weeks here.

    By model, source and device: scores, OOD scores, brightness, contrast, sharpness, false alarms.
    """
    from service.records.drift.advice import summary, warning_lines
    from service.records.drift.weekly import look_for_drift
    from service.records.opened import opened
    from wscxr.files import write_file

    settings = _settings(context)
    with opened(settings) as record:
        found = look_for_drift(record.records, settings.model_store, weeks)
    if json_file is not None:
        write_file(json_file, found.model_dump_json(indent=1).encode())
    for row in found.rows:
        typer.echo(summary(row))
    for text in (*found.notes, *warning_lines(found)):
        typer.echo(text)


@reviews.command(
    "export",
    cls=settings_command(_SETTINGS, _RECORD),
    epilog="Example: `wscxr reviews export --model chest --out reviewed`",
)
def export_reviews(
    context: typer.Context,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write; must not exist.")],
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only answers of this model.")
    ] = None,
    dates: Annotated[
        str | None,
        typer.Option(
            metavar="YYYYMMDD-YYYYMMDD",
            help="Look for pictures that were not kept in the PACS, among studies of these days.",
        ),
    ] = None,
) -> None:
    """Write judged radiographs and their manifest, `reviews.csv`, for `wscxr teach`.

    With --dates, pictures that were not kept come from the PACS of WSCXR_PACS_URL.
    """
    from service.records.opened import opened
    from service.records.teaching import export_judged

    with ExitStack() as stack:
        record = stack.enter_context(opened(_settings(context)))
        archive = None if dates is None else _archive(dates, stack)
        done = export_judged(record, out, model, archive)
    typer.echo(f"{done.abnormal} abnormal and {done.normal} normal images")
    if done.missing:
        raise ImagesNotKept(
            f"{done.missing} judged images are not in the manifest: the record did not keep them "
            "(WSCXR_RECORD_IMAGES), and they were not found in the PACS (--dates)"
        )


def _archive(dates: str, stack: ExitStack) -> "Archive":
    """The instances of the PACS that the environment names, of some days."""
    from service.archive.pacs import PacsReader
    from service.archive.settings import ArchiveSettings
    from service.pacs.settings import PacsSettings

    days = validated(ArchiveSettings, {"dates": dates}).days
    validated(PacsSettings, {})
    reader = stack.enter_context(closing(PacsReader({})))
    return (
        (found.name.rpartition("/")[2], partial(reader.read, found.place))
        for found in reader.between(*(days or ()))
    )


def _settings(context: typer.Context) -> "Settings":
    from service.settings import Settings

    return validated(Settings, given_settings(context))
