"""The commands of training, from train to phantoms; ``bundle compare`` joins those of bundles.

Settings become options by `wscxr.options`. Heavy modules are imported inside the commands, so that
``--help`` answers at once.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from training.calibrate.cli import EXAMPLE as CALIBRATE_EXAMPLE
from training.calibrate.cli import calibrate
from training.evaluation.comparison.cli import EXAMPLE as COMPARE_EXAMPLE
from training.evaluation.comparison.cli import compare
from training.pretraining.cli import pretrain_app
from training.teach.cli import EXAMPLE as TEACH_EXAMPLE
from training.teach.cli import teach
from wscxr.cli import bundle_app
from wscxr.console import Tracker, progress_bars, stderr, warn
from wscxr.errors import ConfigError
from wscxr.options import (
    AbnormalFolder,
    BundlePath,
    Device,
    Engine,
    JsonFile,
    Manifest,
    NormalFolder,
    Precision,
    SkipBad,
    given_settings,
    settings_command,
)

if TYPE_CHECKING:
    from training.data.samples import Sample

Preset = Annotated[
    str,
    typer.Option(
        metavar="default|whole|paper",
        help="Settings to start from; whole: the whole picture, without any knowledge of lungs "
        "and lesions; paper: DenseNet121 of ImageNet at 256 px, mining and mixing.",
    ),
]
Settings = Annotated[
    Path | None, typer.Option(metavar="TOML", help="Settings; options given here win.")
]


app = typer.Typer()
app.add_typer(pretrain_app, name="pretrain")
app.command(epilog=CALIBRATE_EXAMPLE)(calibrate)
app.command(epilog=TEACH_EXAMPLE)(teach)
bundle_app.command(epilog=COMPARE_EXAMPLE)(compare)


@app.command(
    cls=settings_command("training.config:train_options"),
    epilog="Example: `wscxr train --normal normal/ --abnormal abnormal/ -k 16 --seed 0 "
    "--out model_store/chest/1`",
)
def train(
    context: typer.Context,
    out: Annotated[Path, typer.Option(metavar="DIR", help="model_store/NAME/VERSION to write.")],
    normal: NormalFolder = None,
    abnormal: AbnormalFolder = None,
    manifest: Manifest = None,
    unlabelled: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="An archive nobody has labelled: what detectors agree to be abnormal in it joins "
            "the K.",
        ),
    ] = None,
    skip_bad: SkipBad = False,
    embed_backbone: Annotated[
        bool, typer.Option(help="Put the backbone's weights into the bundle.")
    ] = True,
    notes: Annotated[
        Path | None,
        typer.Option(metavar="MD", help="Markdown for the end of the model card: data, figures."),
    ] = None,
    device: Device = "auto",
    engine: Engine = "auto",
    precision: Precision = "auto",
    config: Settings = None,
    preset: Preset = "default",
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting, its value as in TOML."),
    ] = None,
) -> None:
    """Train a detector on normal and K abnormal images, and write its bundle."""
    from training.config import parse_settings, resolve_config
    from training.data.samples import image_files
    from training.train import train as run
    from wscxr.device import resolve_device

    options = given_settings(context) | parse_settings(setting or [])
    settings = resolve_config(config, options, preset)
    archive = image_files(unlabelled)
    card_notes = "" if notes is None else _read_notes(notes)
    with progress_bars() as progress:
        track = Tracker(progress)
        samples = _samples(
            normal, abnormal, manifest, "train", skip_bad, track, normal_only=settings.k == 0
        )
        written = run(
            samples,
            settings,
            out,
            resolve_device(device),
            engine=engine,
            precision=precision,
            embed_backbone=embed_backbone,
            notes=card_notes,
            unlabelled=archive,
            track=track,
        )
    warn(written.warnings)
    typer.echo(f"{out}: threshold {written.calibration.threshold:.4f}, sha256 {written.sha256}")


@app.command(
    epilog="Example: `wscxr evaluate model_store/chest/1 --normal test/normal "
    "--abnormal test/abnormal --json metrics.json`"
)
def evaluate(
    bundle: BundlePath,
    normal: NormalFolder = None,
    abnormal: AbnormalFolder = None,
    manifest: Manifest = None,
    skip_bad: SkipBad = False,
    boxes: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Lesion boxes: file,x,y,w,h in pixels of the image."),
    ] = None,
    masks: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Lesion masks, named like the images.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="HTML", help="Write a self-contained report here.")
    ] = None,
    gallery: Annotated[
        bool,
        typer.Option(help="Show the best, median and worst images with their maps in the report."),
    ] = True,
    json_file: JsonFile = None,
    device: Device = "auto",
    engine: Engine = "auto",
    precision: Precision = "auto",
) -> None:
    """Measure a bundle on labelled images that its training did not see."""
    from training.data.annotations import read_boxes, read_masks
    from training.evaluation.evaluate import evaluate as run
    from training.evaluation.report import write_report
    from training.evaluation.terminal import show
    from wscxr.bundle.bundle import Bundle
    from wscxr.files import write_file

    if boxes is not None and masks is not None:
        raise ConfigError("give either boxes or masks")
    annotations = read_boxes(boxes) if boxes else read_masks(masks) if masks else None
    loaded = Bundle.load(bundle, device, engine, precision)
    with progress_bars() as progress:
        track = Tracker(progress)
        samples = _samples(normal, abnormal, manifest, "test", skip_bad, track)
        found = run(loaded, samples, annotations=annotations, track=track)
    warn([*loaded.manifest.warnings, *found.confounders.warnings])
    show(found, Console())
    if json_file is not None:
        write_file(json_file, found.document().encode())
    if report is not None:
        write_report(report, found, loaded, annotations=annotations, gallery=gallery)


@app.command(
    cls=settings_command("training.config:backbone_options"),
    epilog="Example: `wscxr reproduce table1 --data chest_xray/ --out tables/`. The same command "
    "resumes an interrupted table.",
)
def reproduce(
    context: typer.Context,
    table: Annotated[str, typer.Argument(metavar="table1|table2|ablation", help="Which table.")],
    data: Annotated[
        Path,
        typer.Option(
            metavar="DIR|CSV",
            help="ZhangLab as published (train/NORMAL ...), its training part alone (normal/, "
            "pneumonia/), or a manifest with train and test rows.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Runs and the table go here.")],
    methods: Annotated[
        str | None,
        typer.Option(metavar="A,B|all", help="Rows. [default: all but CutPaste, DDAD and SQUID]"),
    ] = None,
    draws: Annotated[
        int, typer.Option(min=1, help="Draws of the K anomaly images and of the seed.")
    ] = 10,
    budget: Annotated[
        str, typer.Option(metavar="cpu|full", help="Size of CutPaste, DDAD and SQUID.")
    ] = "cpu",
    device: Device = "auto",
    config: Settings = None,
    preset: Preset = "default",
) -> None:
    """Reproduce a table of the paper, under an honest protocol and under the paper's."""
    from training.config import resolve_config
    from training.paper.reproduce import reproduce as run
    from wscxr.device import resolve_device

    settings = resolve_config(config, given_settings(context), preset)
    with progress_bars() as progress:
        text = run(
            table,
            data,
            out,
            settings,
            resolve_device(device),
            draws=draws,
            methods=None if methods is None else methods.split(","),
            budget=budget,
            track=Tracker(progress),
        )
    typer.echo(text)


@app.command(epilog="Example: `wscxr phantoms phantoms/ --normal 100 --abnormal 20`")
def phantoms(
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write.")],
    normal: Annotated[int, typer.Option(min=0, help="Number of normal phantoms.")] = 100,
    abnormal: Annotated[int, typer.Option(min=0, help="Number of abnormal phantoms.")] = 20,
    size: Annotated[int, typer.Option(min=64, max=2048, help="Side, px.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same set.")] = 0,
) -> None:
    """Make phantom radiographs, with masks of their opacities: no patient, no download."""
    from training.phantoms import write_phantoms

    with progress_bars() as progress:
        write_phantoms(
            out, normal=normal, abnormal=abnormal, size=size, seed=seed, track=Tracker(progress)
        )
    typer.echo(f"{out}: {normal} normal and {abnormal} abnormal phantoms")


def _samples(
    normal: Path | None,
    abnormal: Path | None,
    manifest: Path | None,
    split: str,
    skip_bad: bool,
    track: Tracker,
    *,
    normal_only: bool = False,
) -> "list[Sample]":
    from training.data.images import readable
    from training.data.samples import load_samples

    samples = load_samples(normal, abnormal, manifest, split=split, normal_only=normal_only)
    if skip_bad:
        samples, reasons = readable(samples, track)
        for reason in reasons:
            stderr.print(f"skipped: {reason}", style="yellow", markup=False, soft_wrap=True)
    return samples


def _read_notes(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the notes {file} cannot be read: {error}") from error
