"""The commands ``wscxr pretrain``: backbone, lungs, lesions; see `training.cli`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from wscxr.choices import WeightsSource
from wscxr.console import Tracker, progress_bars
from wscxr.options import Device, given_settings, settings_command, validated


class _Networks(TyperGroup):
    """``wscxr pretrain --images ...``, as it was before there were lungs, means the backbone."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        first = args[0] if args else "--help"
        if first.startswith("-") and first not in ctx.help_option_names:
            args = ["backbone", *args]
        return super().parse_args(ctx, args)


pretrain_app = typer.Typer(
    cls=_Networks, help="Train a network that detectors are built on.", no_args_is_help=True
)


@pretrain_app.command(
    "backbone",
    cls=settings_command("training.pretraining.backbone.config:PretrainConfig"),
    epilog="Example: `wscxr pretrain backbone --images archive/ --out own.safetensors`, then "
    "`wscxr train --weights own.safetensors ...`. The same command resumes an interrupted run.",
)
def pretrain_backbone(
    context: typer.Context,
    images: Annotated[
        list[Path],
        typer.Option(metavar="DIR|CSV", help="Unlabelled radiographs; may be given several times."),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The .safetensors file to write.")],
    device: Device = "auto",
) -> None:
    """Train a backbone on unlabelled radiographs, by self-supervision."""
    from training.pretraining.backbone.config import PretrainConfig
    from training.pretraining.backbone.run import pretrain as run
    from training.pretraining.backbone.views import find_unlabelled
    from wscxr.device import resolve_device

    config = validated(PretrainConfig, given_settings(context))
    with progress_bars() as progress:
        done = run(
            find_unlabelled(images), config, out, resolve_device(device), track=Tracker(progress)
        )
    last = done.probes[-1]
    typer.echo(
        f"{out}: {done.images} radiographs, {config.epochs} epochs; on {last.images} others: "
        f"effective rank {last.rank:.1f}, retrieval {last.retrieval:.3f}"
    )


@pretrain_app.command(
    "lungs",
    cls=settings_command("training.pretraining.lungs.config:LungsConfig"),
    epilog="Example: `wscxr pretrain lungs --masks masks.csv --out lungs.safetensors`",
)
def pretrain_lungs(
    context: typer.Context,
    masks: Annotated[
        Path,
        typer.Option(
            metavar="CSV",
            help="image,mask[,patient_id,group]: radiographs and the lungs drawn on them.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The .safetensors file to write.")],
    unlabelled: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR|CSV",
            help="Upright, frontal chests without masks, to learn from too; may be given several "
            "times.",
        ),
    ] = None,
    device: Device = "auto",
) -> None:
    """Train the network that finds the lungs, on radiographs and masks."""
    from training.pretraining.backbone.views import find_unlabelled
    from training.pretraining.lungs.config import LungsConfig
    from training.pretraining.lungs.masks import read_masked_images
    from training.pretraining.lungs.run import pretrain_lungs as run
    from wscxr.device import resolve_device

    config = validated(LungsConfig, given_settings(context))
    with progress_bars() as progress:
        done = run(
            read_masked_images(masks),
            find_unlabelled(unlabelled) if unlabelled else [],
            config,
            out,
            resolve_device(device),
            track=Tracker(progress),
        )
    typer.echo(f"{out}: {done.images} radiographs with masks, {done.unlabelled} without")
    for group in done.dice:
        name = f"{group.group}: " if group.group else ""
        typer.echo(f"{name}Dice {group.mean:.3f} on {group.images} images of other patients")


@pretrain_app.command(
    "lesions",
    cls=settings_command("training.pretraining.lesions.config:LesionsConfig"),
    epilog="Example: `wscxr pretrain lesions --images normal/ --out lesions.safetensors`",
)
def pretrain_lesions(
    context: typer.Context,
    images: Annotated[
        list[Path],
        typer.Option(
            metavar="DIR|CSV",
            help="Normal chests, to paint lesions on; may be given several times.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The .safetensors file to write.")],
    unlabelled: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR|CSV",
            help="Chests with and without disease, to learn from too; may be given several times.",
        ),
    ] = None,
    lungs: Annotated[
        str,
        typer.Option(metavar="cxr|FILE", help="Weights of the network that finds the lungs."),
    ] = WeightsSource.CXR.value,
    workers: Annotated[
        int,
        typer.Option(
            min=0, help="Processes that paint beside this one; they do not change the weights."
        ),
    ] = 0,
    device: Device = "auto",
) -> None:
    """Train the network that finds lesions, on lesions painted into normal chests."""
    from training.data.features import lung_network, run_by
    from training.pretraining.backbone.views import find_unlabelled
    from training.pretraining.lesions.config import LesionsConfig
    from training.pretraining.lesions.run import pretrain_lesions as run
    from wscxr.device import resolve_device
    from wscxr.engines import open_engine

    config = validated(LesionsConfig, given_settings(context))
    network = lung_network(None if lungs == WeightsSource.CXR else Path(lungs))
    with progress_bars() as progress:
        done = run(
            find_unlabelled(images),
            find_unlabelled(unlabelled) if unlabelled else [],
            run_by(open_engine("cpu"), network),
            config,
            out,
            resolve_device(device),
            workers=workers,
            track=Tracker(progress),
        )
    typer.echo(
        f"{out}: painted on {done.images} chests, {done.unlabelled} unlabelled ones; no lungs in "
        f"{done.without_lungs} radiographs; loss {done.loss:.3f}"
    )
