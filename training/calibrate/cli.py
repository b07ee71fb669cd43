"""The command ``wscxr calibrate``; heavy modules are imported inside it."""

from pathlib import Path
from typing import Annotated

import typer

from wscxr.console import Tracker, progress_bars
from wscxr.errors import ConfigError
from wscxr.options import BundlePath, Device, JsonFile

EXAMPLE = "Example: `wscxr calibrate model_store/chest/1 --normal ours/ --out model_store/chest/2`"


def calibrate(
    bundle: BundlePath,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="model_store/NAME/VERSION to write: the next one.")
    ],
    normal: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Normal images of the site, one for each patient; 50 are enough."
        ),
    ] = None,
    unlabelled: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="In their place, images nobody has labelled, mostly normal."
        ),
    ] = None,
    abnormal: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Abnormal images: what the new threshold costs in sensitivity. They set nothing.",
        ),
    ] = None,
    false_alarm_rate: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=0.5,
            help="Fraction of normal images that may be called abnormal; by "
            "default, the bundle's own.",
        ),
    ] = None,
    json_file: JsonFile = None,
    device: Device = "auto",
) -> None:
    """Set a bundle's threshold by a site's own images; its weights stay as they are."""
    from training.calibrate.run import calibrate as run
    from training.data.samples import image_files
    from wscxr.bundle.bundle import Bundle
    from wscxr.device import resolve_device
    from wscxr.files import write_file

    if (normal is None) == (unlabelled is None):
        raise ConfigError("give either --normal or --unlabelled")
    loaded = Bundle.load(bundle, resolve_device(device))
    with progress_bars() as progress:
        found = run(
            loaded,
            bundle,
            out,
            normal=image_files(normal),
            unlabelled=image_files(unlabelled),
            abnormal=image_files(abnormal),
            false_alarm_rate=false_alarm_rate,
            track=Tracker(progress),
        )
    if json_file is not None:
        write_file(json_file, found.document().encode())
    for line in found.lines():
        typer.echo(line)
    typer.echo(f"{out}: sha256 {found.sha256}")
