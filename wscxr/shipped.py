"""The bundles that come with the project, and the backbone inside the default one."""

from importlib.resources import files
from pathlib import Path

from wscxr.errors import BundleNotFound, WeightsUnavailable

BUNDLE = Path("cxr-pediatric-pneumonia") / "2"
"""Place of the default one in the model store."""

ARCHITECTURE = "regnet_x_400mf"
"""Its backbone's architecture."""


def model_store() -> Path:
    """The model store that is served unless another is named.

    Returns
    -------
    Path
        ``model_store`` in the working folder where there is one, else the one that ships.
    """
    own = Path("model_store")
    return own if own.is_dir() else _shipped_store()


def default_bundle() -> Path:
    """The folder of the default bundle, one of those that ship.

    Raises
    ------
    BundleNotFound
        This installation lacks it.
    """
    path = _shipped_store() / BUNDLE
    if not path.is_dir():
        raise BundleNotFound(f"this installation lacks the bundle {BUNDLE.as_posix()}; name one")
    return path


def backbone_file() -> Path:
    """The weights of the shipped bundle's backbone.

    Raises
    ------
    WeightsUnavailable
        This installation lacks that bundle.
    """
    file = _shipped_store() / BUNDLE / "backbone.safetensors"
    if not file.is_file():
        raise WeightsUnavailable(
            f"this installation lacks the bundle {BUNDLE.as_posix()} with the weights cxr; give "
            "imagenet, or a file of wscxr pretrain backbone"
        )
    return file


def _shipped_store() -> Path:
    package = Path(str(files("wscxr")))
    inside = package / "model_store"
    # setup.py puts it into the installed package; in a checkout it lies beside the package.
    return inside if inside.is_dir() else package.parent / "model_store"
