"""The command ``wscxr teach``; heavy modules are imported inside it."""

from pathlib import Path
from typing import Annotated

import typer

from training.evaluation.comparison.cli import Changed, Margin
from wscxr.console import Tracker, progress_bars, stderr, warn
from wscxr.errors import ConfigError
from wscxr.options import AbnormalFolder, Device, Engine, Manifest, NormalFolder, Precision

EXAMPLE = "Example: `wscxr teach chest --reviews reviewed --manifest training.csv`"


def teach(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name in the model store.")],
    reviews: Annotated[
        Path,
        typer.Option(
            metavar="DIR|CSV", help="Folder of wscxr reviews export, or a manifest like its own."
        ),
    ],
    normal: NormalFolder = None,
    abnormal: AbnormalFolder = None,
    manifest: Manifest = None,
    unlabelled: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The archive, where the last version learnt from one."),
    ] = None,
    model_store: Annotated[Path, typer.Option(metavar="PATH", help="Folder of bundles.")] = Path(
        "model_store"
    ),
    source: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="VERSION", help="Version to teach from; default: the one in use."
        ),
    ] = None,
    version: Annotated[
        str | None,
        typer.Option(metavar="VERSION", help="Version to write; default: the next number."),
    ] = None,
    kept_aside: Annotated[
        float,
        typer.Option(
            min=0,
            max=0.9,
            help="Share of the reviewed patients on whom both versions are compared; 0: none.",
        ),
    ] = 0.3,
    calibrate_on_reviews: Annotated[
        bool,
        typer.Option(
            "--calibrate-on-reviews",
            help="Reviewed normals set the threshold, too: only where the images to review were "
            "chosen at random.",
        ),
    ] = False,
    margin: Margin = 0.02,
    report: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the comparison. [default: NAME-comparison]"),
    ] = None,
    gallery: Changed = True,
    device: Device = "auto",
    engine: Engine = "auto",
    precision: Precision = "auto",
) -> None:
    """Train the next version from reviews, beside the last one, and compare both.

    Give the training data that the last version had, as for `wscxr train`. Nothing is promoted.
    """
    from training.data.samples import image_files, load_samples
    from training.evaluation.comparison.terminal import lines
    from training.teach.reviews import read_reviews
    from training.teach.run import teach as run
    from wscxr.device import resolve_device

    if "/" in name or name.startswith("."):
        raise ConfigError("give the name alone, and a version with --from")
    folder = report or Path(f"{name}-comparison")
    with progress_bars() as progress:
        done = run(
            model_store / name,
            load_samples(normal, abnormal, manifest, split="train"),
            read_reviews(reviews),
            folder,
            resolve_device(device),
            source=source,
            version=version,
            fraction=kept_aside,
            calibrate=calibrate_on_reviews,
            margin=margin,
            gallery=gallery,
            unlabelled=image_files(unlabelled),
            engine=engine,
            precision=precision,
            track=Tracker(progress),
        )
    warn(done.manifest.warnings)
    if not done.same_data:
        stderr.print(
            f"warning: the training data given are not those of any version of {name}",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
    typer.echo(f"{done.path}: K = {done.manifest.training.k}, sha256 {done.manifest.sha256}")
    if done.comparison is not None:
        for line in lines(done.comparison):
            typer.echo(line)
        typer.echo(f"{folder / 'comparison.html'}")
    typer.echo(f"To take it into use: wscxr bundle promote {name}/{done.path.name}")
