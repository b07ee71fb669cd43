"""The command ``wscxr bundle compare``; heavy modules are imported inside it."""

from pathlib import Path
from typing import Annotated

import typer

from wscxr.console import Tracker, progress_bars, warn
from wscxr.options import AbnormalFolder, Device, Engine, Manifest, NormalFolder, Precision

EXAMPLE = (
    "Example: `wscxr bundle compare model_store/chest/1 model_store/chest/2 "
    "--manifest test.csv --out comparison`"
)

Margin = Annotated[
    float, typer.Option(min=0, max=1, help="How much lower the AUROC may be, set beforehand.")
]
Changed = Annotated[bool, typer.Option(help="Show images whose decision changes in the report.")]


def compare(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="Bundle in use.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Bundle that may take its place.")],
    normal: NormalFolder = None,
    abnormal: AbnormalFolder = None,
    manifest: Manifest = None,
    subgroups: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Columns of the manifest; by default those it has of sex, age_band, view, "
            "manufacturer and device.",
        ),
    ] = None,
    margin: Margin = 0.02,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write comparison.html and comparison.json here."),
    ] = None,
    gallery: Changed = True,
    device: Device = "auto",
    engine: Engine = "auto",
    precision: Precision = "auto",
) -> None:
    """Compare two bundles on labelled images that the training of neither has seen."""
    from training.data.samples import load_samples
    from training.evaluation.comparison.compare import compare as run
    from training.evaluation.comparison.page import write_comparison
    from training.evaluation.comparison.terminal import lines
    from wscxr.bundle.bundle import Bundle

    samples = load_samples(normal, abnormal, manifest, split="test")
    before, after = (Bundle.load(path, device, engine, precision) for path in (old, new))
    with progress_bars() as progress:
        found = run(
            before,
            after,
            samples,
            subgroups=[column.strip() for column in subgroups.split(",")] if subgroups else (),
            margin=margin,
            track=Tracker(progress),
        )
    warn([*found.new.warnings, *found.confounders])
    for line in lines(found):
        typer.echo(line)
    if out is not None:
        write_comparison(out, found, before, after, gallery=gallery)
        typer.echo(f"{out / 'comparison.html'}")
