"""The default bundle that comes with the project, and the backbone inside it."""

import sys
from pathlib import Path

from wscxr.errors import WeightsUnavailable

BUNDLE = Path("cxr-pediatric-pneumonia") / "1"
"""Its place in the model store."""

ARCHITECTURE = "regnet_x_400mf"
"""Its backbone's architecture."""

_STORES = (
    # A checkout, or an editable installation of it; then what a wheel installs.
    Path(__file__).resolve().parents[2] / "model_store",
    Path(sys.prefix) / "share" / "wscxr" / "model_store",
)


def model_store() -> Path:
    """The model store that is served unless another is named.

    Returns
    -------
    Path
        ``model_store`` in the working folder where there is one, else the one that was installed.
    """
    own = Path("model_store")
    if own.is_dir():
        return own
    return next((store for store in _STORES if (store / BUNDLE).is_dir()), own)


def backbone_file() -> Path:
    """The weights of the default bundle's backbone.

    Raises
    ------
    WeightsUnavailable
        This installation lacks the default bundle.
    """
    for store in _STORES:
        file = store / BUNDLE / "backbone.safetensors"
        if file.is_file():
            return file
    raise WeightsUnavailable(
        f"this installation lacks the bundle {BUNDLE.as_posix()} with the weights cxr; give "
        "imagenet, or a file of wscxr pretrain"
    )
