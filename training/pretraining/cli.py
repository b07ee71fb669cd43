"""The command that trains a backbone without labels."""

from pathlib import Path
from typing import Annotated

import typer

from wscxr.console import Tracker, progress_bars
from wscxr.options import Device

app = typer.Typer()


@app.command(
    epilog="Example: `wscxr pretrain --images archive/ --out own.safetensors`, then `wscxr train "
    "--weights own.safetensors ...`. An interrupted run is gone on with by the same command."
)
def pretrain(
    images: Annotated[
        list[Path],
        typer.Option(metavar="DIR|CSV", help="Unlabelled radiographs; may be given several times."),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The .safetensors file to write.")],
    epochs: Annotated[int | None, typer.Option(help="How often each is seen. [24]")] = None,
    seed: Annotated[int | None, typer.Option(help="One seed, one backbone. [0]")] = None,
    backbone: Annotated[
        str | None, typer.Option(metavar="NAME", help="Torchvision model. [regnet_x_400mf]")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Where it is cut. [the family's default]")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(metavar="random|cxr|imagenet|FILE", help="Where to start. [random]"),
    ] = None,
    objective: Annotated[
        str | None, typer.Option(metavar="global|dense|both|simsiam", help="[both]")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Radiographs in a step. [96]")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of AdamW. [0.002]")] = None,
    device: Device = "auto",
) -> None:
    """Train a backbone on unlabelled radiographs, by self-supervision."""
    from training.config import validated
    from training.pretraining.backbone import PretrainConfig, find_unlabelled
    from training.pretraining.backbone import pretrain as run
    from wscxr.device import resolve_device

    options = {
        "epochs": epochs,
        "seed": seed,
        "backbone": backbone,
        "layer": layer,
        "weights": weights,
        "objective": objective,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
    }
    config = validated(
        PretrainConfig, {key: value for key, value in options.items() if value is not None}
    )
    with progress_bars() as progress:
        done = run(
            find_unlabelled(images), config, out, resolve_device(device), track=Tracker(progress)
        )
    last = done.probes[-1]
    typer.echo(
        f"{out}: {done.images} radiographs, {config.epochs} epochs; on {last.images} others: "
        f"effective rank {last.rank:.1f}, retrieval {last.retrieval:.3f}"
    )
