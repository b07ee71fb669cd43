"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

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
    typer.Option(metavar="CSV", help="path,label[,patient_id,split,view] instead of two folders."),
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out unreadable files, each named, and go on.")
]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write JSON here.")]
Preset = Annotated[
    str,
    typer.Option(
        metavar="default|paper",
        help="Settings to start from; paper: DenseNet121 of ImageNet at 256 px, mining and mixing.",
    ),
]
