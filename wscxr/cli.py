"""``wscxr ...``: the composition root, the one module that knows training and service alike.

Exit codes: 0 done; 1 a file that cannot be written, or an unexpected failure; 2 wrong usage or
setting; 3 images or labels that cannot be used; 4 a bundle that cannot be used; 5 backbone weights
or device not there; 130 interrupted.
What a command found goes to standard output; progress and messages to standard error.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from wscxr.errors import (
    BundleError,
    ConfigError,
    DataError,
    DeviceUnavailable,
    ImageError,
    WeightsError,
    WscxrError,
)

if TYPE_CHECKING:
    from training.samples import Sample

# Heavy modules are imported inside the commands, so that --help answers at once.

T = TypeVar("T")

_EXIT_CODES: dict[type[WscxrError], int] = {
    ConfigError: 2,
    DataError: 3,
    ImageError: 3,
    BundleError: 4,
    WeightsError: 5,
    DeviceUnavailable: 5,
}

app = typer.Typer(
    help="Weakly supervised anomaly detection for chest X-rays. Research use only; "
    "not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
bundle_app = typer.Typer(help="Look at bundles.", no_args_is_help=True)
app.add_typer(bundle_app, name="bundle")

_stderr = Console(stderr=True)

BundlePath = Annotated[
    Path, typer.Argument(metavar="BUNDLE", help="Folder of a bundle: model_store/NAME/VERSION.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N; never replaced in silence.")]
NormalFolder = Annotated[
    Path | None, typer.Option("--normal", metavar="DIR", help="Folder of normal images.")
]
AbnormalFolder = Annotated[
    Path | None, typer.Option("--abnormal", metavar="DIR", help="Folder of abnormal images.")
]
Manifest = Annotated[
    Path | None,
    typer.Option(metavar="CSV", help="path,label[,patient_id,split] instead of two folders."),
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out unreadable files, each named, and go on.")
]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write JSON here.")]


def main() -> None:
    """Run the command line; expected errors become one line and an exit code."""
    try:
        app()
    except WscxrError as error:
        _stderr.print(f"error: {error} [{error.code}]", style="red", markup=False, soft_wrap=True)
        code = next((c for kind, c in _EXIT_CODES.items() if isinstance(error, kind)), 1)
        raise SystemExit(code) from None
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("sklearn", "scipy"):
            raise
        _stderr.print("error: this command needs the training extra: pip install 'wscxr[train]'")
        raise SystemExit(1) from None
    except OSError as error:
        # Images that cannot be read have errors of their own; most likely this is an output.
        _stderr.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        raise SystemExit(1) from None


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
    k: Annotated[
        int | None, typer.Option("-k", "--k", help="Number of anomaly images. [16]")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="One seed, one bundle. [0]")] = None,
    backbone: Annotated[
        str | None, typer.Option(metavar="NAME", help="Torchvision model. [densenet121]")
    ] = None,
    layers: Annotated[
        str | None, typer.Option(metavar="A,B", help="Its modules to use. [the family's default]")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="imagenet|random|FILE", help="[imagenet]")
    ] = None,
    image_size: Annotated[int | None, typer.Option(help="Model input side, px. [256]")] = None,
    intensity: Annotated[
        str | None, typer.Option(metavar="percentile|full-range", help="[percentile]")
    ] = None,
    p: Annotated[int | None, typer.Option("--p", help="Neighbourhood side. [5]")] = None,
    mining: Annotated[bool | None, typer.Option(help="Eq. 4-5. [on]")] = None,
    r: Annotated[float | None, typer.Option("--r", help="Retention rate. [0.2]")] = None,
    mixing: Annotated[bool | None, typer.Option(help="Eq. 6. [on]")] = None,
    hidden: Annotated[
        str | None, typer.Option(metavar="N,N", help="Hidden widths; '' is linear. [256]")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps. [500]")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pairs in a step. [512]")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of AdamW. [0.001]")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Of AdamW. [0.01]")] = None,
    score_rule: Annotated[
        str | None, typer.Option(metavar="max|top-tenth|mean", help="Of the map. [max]")
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
    skip_bad: SkipBad = False,
) -> None:
    """Train a detector on normal and K abnormal images, and write its bundle."""
    from training.config import resolve_config
    from training.train import train as run
    from wscxr.bundle import check_absent
    from wscxr.device import resolve_device

    settings = resolve_config(
        config,
        {
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
        },
    )
    check_absent(out)
    with _progress() as progress:
        track = _Tracker(progress)
        samples = _samples(normal, abnormal, manifest, "train", skip_bad, track)
        written = run(
            samples,
            settings,
            out,
            resolve_device(device),
            embed_backbone=embed_backbone,
            track=track,
        )
    _warn(written.warnings)
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
    json_file: JsonFile = None,
    device: Device = "auto",
    skip_bad: SkipBad = False,
) -> None:
    """Measure a bundle on labelled images that training never saw."""
    from training.evaluation import evaluate as run
    from wscxr.bundle import Bundle
    from wscxr.device import resolve_device
    from wscxr.files import write_file

    loaded = Bundle.load(bundle, resolve_device(device))
    with _progress() as progress:
        track = _Tracker(progress)
        samples = _samples(normal, abnormal, manifest, "test", skip_bad, track)
        found = run(loaded, samples, track)
    _warn(loaded.manifest.warnings)
    table = Table("metric", "value", title="abnormal is the positive class")
    for name, value in found.model_dump().items():
        table.add_row(name, str(value) if isinstance(value, int) else f"{value:.4f}")
    Console().print(table)
    if json_file is not None:
        write_file(json_file, found.model_dump_json(indent=1).encode())


@app.command(epilog="Example: `wscxr predict model_store/chest/1 a.png b.jpg --maps maps/`")
def predict(
    bundle: BundlePath,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="PNG or JPEG files.")],
    json_file: JsonFile = None,
    maps: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write one anomaly map per image here.")
    ] = None,
    style: Annotated[str, typer.Option(help="Of the maps: overlay, heat or raw16.")] = "overlay",
    device: Device = "auto",
) -> None:
    """Score images; one that cannot be read is reported, and the others are still scored."""
    from wscxr.bundle import Bundle
    from wscxr.cli_predict import PredictionTable, map_style
    from wscxr.device import resolve_device

    table = PredictionTable(
        Bundle.load(bundle, resolve_device(device)), images, map_style(style), maps
    )
    _warn(table.bundle.manifest.warnings)
    with _progress() as progress:
        for image in _Tracker(progress)(images, "scoring", len(images)):
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

    with _progress() as progress:
        write_phantoms(
            out, normal=normal, abnormal=abnormal, size=size, seed=seed, track=_Tracker(progress)
        )
    typer.echo(f"{out}: {normal} normal and {abnormal} abnormal phantoms")


@bundle_app.command(epilog="Example: `wscxr bundle show model_store/chest/1`")
def show(bundle: BundlePath) -> None:
    """Print what a bundle says of itself, as JSON."""
    from wscxr.bundle import read_manifest

    manifest = read_manifest(bundle)
    _warn(manifest.warnings)
    typer.echo(manifest.model_dump_json(indent=1))


@bundle_app.command(epilog="Example: `wscxr bundle verify model_store/chest/1`")
def verify(bundle: BundlePath, device: Device = "auto") -> None:
    """Check every hash of a bundle, load it, and run its golden check."""
    from wscxr.bundle import Bundle
    from wscxr.device import resolve_device

    loaded = Bundle.load(bundle, resolve_device(device))
    _warn(loaded.manifest.warnings)
    typer.echo(f"{bundle}: verified on {loaded.detector.device}, sha256 {loaded.manifest.sha256}")


class _Tracker:
    """Shows each piece of long work as a progress bar on standard error."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __call__(self, items: Iterable[T], description: str, total: int) -> Iterable[T]:
        return self._progress.track(items, total=total, description=description)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description:>26}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=_stderr,
    )


def _samples(
    normal: Path | None,
    abnormal: Path | None,
    manifest: Path | None,
    split: str,
    skip_bad: bool,
    track: _Tracker,
) -> "list[Sample]":
    from training.images import readable
    from training.samples import load_samples

    samples = load_samples(normal, abnormal, manifest, split=split)
    if skip_bad:
        samples, reasons = readable(samples, track)
        for reason in reasons:
            _stderr.print(f"skipped: {reason}", style="yellow", markup=False, soft_wrap=True)
    return samples


def _warn(warnings: list[str]) -> None:
    for warning in warnings:
        _stderr.print(f"WARNING: {warning}", style="bold yellow", markup=False, soft_wrap=True)


def _split(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


if __name__ == "__main__":
    main()
