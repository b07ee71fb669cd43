"""Commands that need `training`: train, evaluate, reproduce, phantoms.

Heavy modules are imported inside the commands, so that --help answers at once.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from training.pretraining import cli as pretraining
from wscxr.console import Tracker, progress_bars, stderr, warn
from wscxr.errors import ConfigError
from wscxr.options import (
    AbnormalFolder,
    BundlePath,
    Device,
    JsonFile,
    Manifest,
    NormalFolder,
    Preset,
    SkipBad,
)

if TYPE_CHECKING:
    from training.data.samples import Sample

app = typer.Typer()
app.add_typer(pretraining.app)


@app.command(
    epilog="Example: `wscxr train --normal normal/ --abnormal abnormal/ -k 16 --seed 0 "
    "--out model_store/chest/1`"
)
def train(
    out: Annotated[Path, typer.Option(metavar="DIR", help="model_store/NAME/VERSION to write.")],
    normal: NormalFolder = None,
    abnormal: AbnormalFolder = None,
    manifest: Manifest = None,
    config: Annotated[
        Path | None, typer.Option(metavar="TOML", help="Settings; options given here win.")
    ] = None,
    preset: Preset = "default",
    method: Annotated[
        str | None,
        typer.Option(
            metavar="positional|wscxr|wscxr-authors|patchcore|simplenet",
            help="The latter two learn from normal images alone. [positional]",
        ),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting, its value as in TOML."),
    ] = None,
    k: Annotated[
        int | None, typer.Option("-k", "--k", help="Number of anomaly images. [16]")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="One seed, one bundle. [0]")] = None,
    backbone: Annotated[
        str | None, typer.Option(metavar="NAME", help="Torchvision model. [regnet_x_400mf]")
    ] = None,
    layers: Annotated[
        str | None, typer.Option(metavar="A,B", help="Its modules to use. [the family's default]")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="cxr|imagenet|random|FILE",
            help="Of the backbone; FILE may come from wscxr pretrain. [cxr, shipped with this]",
        ),
    ] = None,
    image_size: Annotated[int | None, typer.Option(help="Model input side, px. [160]")] = None,
    intensity: Annotated[
        str | None, typer.Option(metavar="percentile|full-range", help="[percentile]")
    ] = None,
    p: Annotated[int | None, typer.Option("--p", help="Neighbourhood side. [5]")] = None,
    mining: Annotated[bool | None, typer.Option(help="Eq. 4-5. [off]")] = None,
    r: Annotated[float | None, typer.Option("--r", help="Retention rate. [0.2]")] = None,
    mixing: Annotated[bool | None, typer.Option(help="Eq. 6. [on]")] = None,
    hidden: Annotated[
        str | None, typer.Option(metavar="N,N", help="Widths, method wscxr; '' is linear. [256]")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps. [400]")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pairs in a step. [1024]")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of AdamW. [0.003]")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Of AdamW. [0.1]")] = None,
    score_rule: Annotated[
        str | None, typer.Option(metavar="max|top-tenth|mean", help="Of the map. [top-tenth]")
    ] = None,
    calibration_fraction: Annotated[
        float | None, typer.Option(help="Normals kept aside. [0.2]")
    ] = None,
    false_alarm_rate: Annotated[
        float | None, typer.Option(help="Expected, of normals. [0.05]")
    ] = None,
    device: Device = "auto",
    embed_backbone: Annotated[
        bool, typer.Option(help="Put the backbone's weights into the bundle.")
    ] = True,
    notes: Annotated[
        Path | None,
        typer.Option(metavar="MD", help="Markdown for the end of the model card: data, figures."),
    ] = None,
    skip_bad: SkipBad = False,
) -> None:
    """Train a detector on normal and K abnormal images, and write its bundle."""
    from training.config import parse_settings, resolve_config
    from training.train import train as run
    from wscxr.bundle.store import check_absent
    from wscxr.device import resolve_device

    settings = resolve_config(
        config,
        {
            "method": method,
            "k": k,
            "seed": seed,
            "backbone": backbone,
            "layers": _split(layers),
            "weights": weights,
            "image_size": image_size,
            "intensity": intensity,
            "p": p,
            "mining": mining,
            "r": r,
            "mixing": mixing,
            "hidden": _split(hidden),
            "steps": steps,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "weight_decay": weight_decay,
            "score_rule": score_rule,
            "calibration_fraction": calibration_fraction,
            "false_alarm_rate": false_alarm_rate,
        }
        | parse_settings(setting or []),
        preset,
    )
    check_absent(out)
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
            embed_backbone=embed_backbone,
            notes=card_notes,
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
        bool, typer.Option(help="Put the most telling images, with their maps, into the report.")
    ] = True,
    json_file: JsonFile = None,
    device: Device = "auto",
    skip_bad: SkipBad = False,
) -> None:
    """Measure a bundle on labelled images that training never saw."""
    from training.data.annotations import read_boxes, read_masks
    from training.evaluation.evaluate import evaluate as run
    from training.evaluation.report import write_report
    from training.evaluation.table import show
    from wscxr.bundle.store import Bundle
    from wscxr.device import resolve_device
    from wscxr.files import write_file

    if boxes is not None and masks is not None:
        raise ConfigError("give either boxes or masks")
    annotations = read_boxes(boxes) if boxes else read_masks(masks) if masks else None
    loaded = Bundle.load(bundle, resolve_device(device))
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
    epilog="Example: `wscxr reproduce table1 --data chest_xray/ --out tables/`. An interrupted "
    "table is gone on with by the same command."
)
def reproduce(
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
        typer.Option(metavar="A,B|all", help="Rows. [all but networks of their own]"),
    ] = None,
    draws: Annotated[
        int, typer.Option(min=1, help="Of the K anomaly images and of the seed.")
    ] = 10,
    budget: Annotated[
        str, typer.Option(metavar="cpu|full", help="Of CutPaste, DDAD and SQUID.")
    ] = "cpu",
    preset: Preset = "default",
    backbone: Annotated[str | None, typer.Option(metavar="NAME", help="Torchvision model.")] = None,
    layers: Annotated[
        str | None, typer.Option(metavar="A,B", help="Its modules to use. [the family's default]")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="cxr|imagenet|random|FILE", help="Of the backbone.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="TOML", help="Other settings, the same for all rows.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Make a table of the paper again, under an honest protocol and under the paper's."""
    from training.config import resolve_config
    from training.paper.table import reproduce as run
    from wscxr.device import resolve_device

    settings = resolve_config(
        config, {"backbone": backbone, "layers": _split(layers), "weights": weights}, preset
    )
    with progress_bars() as progress:
        text = run(
            table,
            data,
            out,
            settings,
            resolve_device(device),
            draws=draws,
            methods=_split(methods),
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
    seed: Annotated[int, typer.Option(min=0, help="One seed, one set.")] = 0,
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


def _split(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]
