"""What a scoring process is told when it starts."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Plan:
    """What a scoring process needs to know; plain data, and no secret.

    Attributes
    ----------
    bundle
        Folder of the bundle; None for the one that ships.
    device
        See `wscxr.device.resolve_device`.
    engine, precision
        See `wscxr.engines.open_engine`.
    threads
        Cores that one process computes on.
    lateral
        What is done with lateral DICOM views; a value of `LateralRule`.
    maps
        Whether rows get an anomaly map.
    pacs
        Settings of the DICOMweb server that work items lie on, as texts by name; None for files.
    """

    bundle: str | None
    device: str
    engine: str
    precision: str
    threads: int
    lateral: str
    maps: bool
    pacs: dict[str, Any] | None
