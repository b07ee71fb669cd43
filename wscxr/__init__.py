"""Weakly supervised anomaly detection for chest X-rays (WSCXR, Ni et al., arXiv 2311.09642).

Score a radiograph with the bundle that ships, or with one of your own::

    import wscxr

    model = wscxr.load()
    prediction = model.predict("chest.dcm")
    prediction.score, prediction.p_value, prediction.decision
    prediction.overlay().save("map.png")

Research use only; not a medical device. Importing this package changes nothing in the process, and
PyTorch is loaded when something needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from wscxr.errors import WscxrError

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from wscxr.bundle.bundle import Bundle
    from wscxr.bundle.identity import ModelIdentity
    from wscxr.engines.identity import EngineIdentity
    from wscxr.imaging.dicom.rules import DicomRules
    from wscxr.imaging.radiograph import Radiograph
    from wscxr.model.calibration import Decision
    from wscxr.prediction import Prediction

__all__ = [
    "Bundle",
    "Decision",
    "DicomRules",
    "EngineIdentity",
    "ModelIdentity",
    "Prediction",
    "Radiograph",
    "WscxrError",
    "__version__",
    "load",
]

__version__ = "0.2.0"

_HOMES = {
    "Bundle": "wscxr.bundle.bundle",
    "Decision": "wscxr.model.calibration",
    "DicomRules": "wscxr.imaging.dicom.rules",
    "EngineIdentity": "wscxr.engines.identity",
    "ModelIdentity": "wscxr.bundle.identity",
    "Prediction": "wscxr.prediction",
    "Radiograph": "wscxr.imaging.radiograph",
}


def load(
    path: "Path | str | None" = None,
    device: "torch.device | str" = "auto",
    engine: str = "auto",
    precision: str = "auto",
) -> "Bundle":
    """Load a model.

    Parameters
    ----------
    path
        A bundle's folder, ``model_store/<name>/<version>``; the bundle that ships when not given.
    device
        ``"auto"`` (a CUDA device where there is one), ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
    engine
        What runs the networks: ``"auto"``, ``"torch"`` or ``"openvino"``; see
        `wscxr.engines.open_engine`.
    precision
        What they compute in: ``"auto"``, ``"float32"`` or ``"bfloat16"``.

    Raises
    ------
    BundleError
        There is no bundle, it is damaged, or it does not give the scores it was written with.
    DeviceUnavailable
        The device is not there.
    EngineUnavailable
        The engine is not there, or cannot compute in this precision.
    """
    from wscxr.bundle.bundle import Bundle
    from wscxr.shipped import default_bundle

    return Bundle.load(default_bundle() if path is None else path, device, engine, precision)


def __getattr__(name: str) -> object:
    """Import what is exported when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
