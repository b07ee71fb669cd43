"""``wscxr ...``: predict and bundle, and the commands that other packages bring.

Training and service name theirs as entry points of the group ``wscxr.commands``; nothing here
imports them.

Exit codes: 0 done; 1 a file that cannot be written, or an unexpected failure; 2 wrong usage or
setting; 3 images or labels that cannot be used; 4 a bundle that cannot be used; 5 backbone weights
or device not there; 130 interrupted.
What a command found goes to standard output; progress and messages to standard error.
"""

from enum import StrEnum
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import Console

from wscxr.console import Tracker, progress_bars, stderr, warn
from wscxr.errors import (
    ConfigError,
    DataError,
    WscxrError,
)
from wscxr.options import BundlePath, Device, Engine, JsonFile, Precision, TrustedKeyFiles
from wscxr.process import configure_process

if TYPE_CHECKING:
    from wscxr.bundle.signing import TrustedKeys

E = TypeVar("E", bound=StrEnum)

_EXTRAS = {
    **dict.fromkeys(("jinja2", "matplotlib", "scipy", "sklearn"), "train"),
    **dict.fromkeys(("httpx", "pydicom", "tenacity"), "dicom"),
    "pyarrow": "archive",
    "ray": "ray",
    **dict.fromkeys(("alembic", "sqlalchemy"), "records"),
    "psycopg": "postgres",
}

app = typer.Typer(
    help="Weakly supervised anomaly detection for chest X-rays. Research use only; "
    "not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
bundle_app = typer.Typer(help="Inspect and verify bundles.", no_args_is_help=True)
app.add_typer(bundle_app, name="bundle")


@app.command(epilog="Example: `wscxr predict model_store/chest/1 a.png b.jpg --maps maps/`")
def predict(
    bundle: BundlePath,
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE...", help="PNG, JPEG or DICOM files, or folders of them."),
    ],
    json_file: JsonFile = None,
    maps: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write one anomaly map per image here.")
    ] = None,
    style: Annotated[
        str,
        typer.Option(
            help="Style of the maps: overlay, outlined (with the lung fields), heat or raw16."
        ),
    ] = "overlay",
    dicom: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write DICOM results for DICOM images here."),
    ] = None,
    objects: Annotated[
        str, typer.Option(help="DICOM results to write, of sc, sr, seg and gsps.")
    ] = "sc,sr",
    lateral: Annotated[
        str, typer.Option(help="Lateral DICOM views: refuse, warn or accept.")
    ] = "refuse",
    modality: Annotated[
        str | None, typer.Option(help="Overrides Modality of the DICOM header.")
    ] = None,
    body_part: Annotated[
        str | None, typer.Option(help="Overrides Body Part Examined of the DICOM header.")
    ] = None,
    view: Annotated[
        str | None, typer.Option(help="Overrides View Position of the DICOM header.")
    ] = None,
    device: Device = "auto",
    engine: Engine = "auto",
    precision: Precision = "auto",
    trusted_keys: TrustedKeyFiles = None,
) -> None:
    """Score images; one that cannot be read is reported, and the others are still scored."""
    from wscxr.bundle.bundle import Bundle
    from wscxr.imaging import Assumed, DicomRules, LateralRule, find_images
    from wscxr.results.dicom.identity import ResultKind
    from wscxr.results.png import MapStyle
    from wscxr.results.table import PredictionTable

    rules = DicomRules(
        lateral=_choice(LateralRule, "lateral", lateral),
        assume=Assumed(modality=modality, body_part=body_part, view=view),
    )
    map_style = _choice(MapStyle, "style", style)
    kinds = [_choice(ResultKind, "objects", name) for name in objects.split(",")]
    loaded = Bundle.load(bundle, device, engine, precision, trusted_keys=_trusted(trusted_keys))
    images = [file for path in images for file in (find_images(path) if path.is_dir() else [path])]
    if not images:
        raise DataError("the folders hold no PNG, JPEG or DICOM file")
    table = PredictionTable(
        loaded,
        images,
        rules,
        maps=maps,
        style=map_style,
        dicom=dicom,
        kinds=kinds,
    )
    warn(loaded.manifest.warnings)
    with progress_bars() as progress:
        for image in Tracker(progress)(images, "scoring", len(images)):
            table.add(image)
    table.show(Console())
    if json_file is not None:
        table.write_json(json_file)
    if table.failed:
        raise DataError(f"{table.failed} of {len(images)} images could not be scored")


@bundle_app.command(epilog="Example: `wscxr bundle show model_store/chest/1`")
def show(bundle: BundlePath) -> None:
    """Print the manifest of a bundle as JSON."""
    from wscxr.bundle.store import read_manifest

    manifest = read_manifest(bundle)
    warn(manifest.warnings)
    typer.echo(manifest.model_dump_json(indent=1))


@bundle_app.command(epilog="Example: `wscxr bundle verify model_store/chest/1 --key key.pub.pem`")
def verify(
    bundle: BundlePath,
    key: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Public key, PEM, that must have signed the bundle."),
    ] = None,
    device: Device = "auto",
    engine: Engine = "auto",
    precision: Precision = "auto",
) -> None:
    """Check every hash of a bundle and, with --key, its signature; run its golden check."""
    from wscxr.bundle.bundle import Bundle

    loaded = Bundle.load(bundle, device, engine, precision, trusted_keys=_trusted(key))
    warn(loaded.manifest.warnings)
    where = f"{loaded.detector.device} ({loaded.engine.name}, {loaded.engine.precision})"
    typer.echo(f"{bundle}: verified on {where}, sha256 {loaded.manifest.sha256}")


@bundle_app.command(epilog="Example: `wscxr bundle sign model_store/chest/1 --key key.pem`")
def sign(
    bundle: BundlePath,
    key: Annotated[
        Path, typer.Option(metavar="FILE", help="Private key, PEM, of wscxr bundle new-key.")
    ],
) -> None:
    """Check every hash of a bundle, and sign it under its name and version."""
    from wscxr.bundle.identity import ModelIdentity
    from wscxr.bundle.signing import sign as sign_bundle
    from wscxr.bundle.store import read_files, read_manifest

    manifest = read_manifest(bundle)
    read_files(bundle, manifest)
    identity = ModelIdentity.at(bundle, manifest.sha256)
    known = sign_bundle(bundle, identity, key)
    typer.echo(f"{identity.name}/{identity.version}: signed with the key {known}")


@bundle_app.command(epilog="Example: `wscxr bundle new-key key.pem`")
def new_key(
    key: Annotated[Path, typer.Argument(metavar="FILE", help="File of the private key, PEM.")],
) -> None:
    """Make a key to sign bundles with: FILE stays secret, FILE's .pub.pem goes to the services."""
    from wscxr.bundle.signing import new_key as make

    typer.echo(f"{make(key)}")


def _trusted(paths: str | None) -> "TrustedKeys | None":
    if not paths:
        return None
    from wscxr.bundle.signing import TrustedKeys

    return TrustedKeys.read(Path(path.strip()) for path in paths.split(","))


@bundle_app.command(epilog="Example: `wscxr bundle promote chest/2 --model-store model_store`")
def promote(
    bundle: Annotated[str, typer.Argument(metavar="NAME/VERSION", help="Bundle in the store.")],
    model_store: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Folder of bundles; default: model_store.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Have services use this version, newer or older, once it has passed its golden check."""
    from wscxr import shipped
    from wscxr.bundle.bundle import Bundle
    from wscxr.bundle.promotion import current_version, set_current

    name, _, version = bundle.partition("/")
    model = (model_store or shipped.model_store()) / name
    before = current_version(model)
    Bundle.load(model / version, device)
    set_current(model, version)
    typer.echo(f"{name}: {version} is in use" + (f"; it was {before}" if before else ""))


def _choice(kind: type[E], option: str, name: str) -> E:
    try:
        return kind(name)
    except ValueError:
        raise ConfigError(f"{option} {name!r} is none of {', '.join(kind)}") from None


def main() -> None:
    """Run the command line; expected errors become one line and an exit code."""
    configure_process()
    try:
        for command in entry_points(group="wscxr.commands"):
            app.add_typer(command.load())
        app()
    except WscxrError as error:
        stderr.print(f"error: {error} [{error.code}]", style="red", markup=False, soft_wrap=True)
        raise SystemExit(error.exit_code) from None
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        stderr.print(
            f"error: this command needs the extra: pip install 'wscxr[{extra}]'", markup=False
        )
        raise SystemExit(1) from None
    except OSError as error:
        # Images that cannot be read have errors of their own; most likely this is an output.
        stderr.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        raise SystemExit(1) from None
