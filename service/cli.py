"""Commands that use a bundle: predict, serve, bundle show, bundle verify."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from wscxr.cli.console import Tracker, progress_bars, warn
from wscxr.cli.options import BundlePath, Device, JsonFile
from wscxr.errors import ConfigError, DataError

app = typer.Typer()
bundle_app = typer.Typer(help="Look at bundles.", no_args_is_help=True)


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
    style: Annotated[str, typer.Option(help="Of the maps: overlay, heat or raw16.")] = "overlay",
    dicom: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write DICOM results of DICOM images."),
    ] = None,
    objects: Annotated[
        str, typer.Option(help="Which DICOM results: of sc, sr, seg and gsps.")
    ] = "sc,sr",
    lateral: Annotated[
        str, typer.Option(help="What is done with lateral DICOM views: refuse, warn or accept.")
    ] = "refuse",
    modality: Annotated[str | None, typer.Option(help="In place of the DICOM header's.")] = None,
    body_part: Annotated[str | None, typer.Option(help="In place of the DICOM header's.")] = None,
    view: Annotated[str | None, typer.Option(help="In place of the DICOM header's.")] = None,
    device: Device = "auto",
) -> None:
    """Score images; one that cannot be read is reported, and the others are still scored."""
    from wscxr.bundle import Bundle
    from wscxr.cli.predictions import PredictionTable, lateral_rule, map_style
    from wscxr.cli.result_files import ResultFiles
    from wscxr.device import resolve_device
    from wscxr.imaging import Assumed, DicomRules, find_images

    loaded = Bundle.load(bundle, resolve_device(device))
    results = (
        None if dicom is None else ResultFiles(loaded, bundle.resolve(), dicom, objects.split(","))
    )
    assume = Assumed(modality=modality, body_part=body_part, view=view)
    rules = DicomRules(lateral=lateral_rule(lateral), assume=assume)
    images = [file for path in images for file in (find_images(path) if path.is_dir() else [path])]
    if not images:
        raise DataError("there is no PNG, JPEG or DICOM file in it")
    table = PredictionTable(loaded, images, map_style(style), maps, rules, results)
    warn(table.bundle.manifest.warnings)
    with progress_bars() as progress:
        for image in Tracker(progress)(images, "scoring", len(images)):
            table.add(image)
    table.show(Console())
    if json_file is not None:
        table.write_json(json_file)
    if table.failed:
        raise DataError(f"{table.failed} of {len(images)} images could not be scored")


@app.command(
    epilog="Example: `wscxr serve --model-store model_store --model chest --port 8000`. Every "
    "setting is also an environment variable, WSCXR_MODEL_STORE and so on: see the README."
)
def serve(
    model_store: Annotated[Path | None, typer.Option(help="[model_store]")] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME[/VERSION]", help="[all]")] = None,
    host: Annotated[str | None, typer.Option(help="[127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="[8000]")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N. [auto]")] = None,
) -> None:
    """Serve bundles over HTTP until SIGTERM or Ctrl-C."""
    from pydantic import ValidationError

    from service.server import serve as run
    from service.settings import Settings, describe_settings_error

    options: dict[str, Any] = {
        "model_store": model_store,
        "model": model,
        "host": host,
        "port": port,
        "device": device,
    }
    try:
        settings = Settings(**{key: value for key, value in options.items() if value is not None})
    except ValidationError as error:
        raise ConfigError(describe_settings_error(error)) from None
    run(settings)


@bundle_app.command(epilog="Example: `wscxr bundle show model_store/chest/1`")
def show(bundle: BundlePath) -> None:
    """Print what a bundle says of itself, as JSON."""
    from wscxr.bundle import read_manifest

    manifest = read_manifest(bundle)
    warn(manifest.warnings)
    typer.echo(manifest.model_dump_json(indent=1))


@bundle_app.command(epilog="Example: `wscxr bundle verify model_store/chest/1`")
def verify(bundle: BundlePath, device: Device = "auto") -> None:
    """Check every hash of a bundle, load it, and run its golden check."""
    from wscxr.bundle import Bundle
    from wscxr.device import resolve_device

    loaded = Bundle.load(bundle, resolve_device(device))
    warn(loaded.manifest.warnings)
    typer.echo(f"{bundle}: verified on {loaded.detector.device}, sha256 {loaded.manifest.sha256}")
