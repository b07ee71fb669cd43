"""Which bundle said it: the one identity that answers, DICOM results, metrics and records share.

Importing this module loads no PyTorch.
"""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field


class ModelIdentity(BaseModel):
    """Which bundle answered."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "name": "chest",
                    "version": "1.2.0",
                    "sha256": "9f2c0d0c54c1f0a7c8b0a2f2f1c7b0d8a7e6b5c4d3e2f1a0b9c8d7e6f5a4b3c2",
                }
            ]
        },
    )

    name: str = Field(description="Its name in the model store.")
    version: str = Field(description="Its version in the model store.")
    sha256: str = Field(description="SHA-256 of its manifest, which holds that of every file.")

    @classmethod
    def at(cls, path: Path, sha256: str) -> Self:
        """The identity of the bundle in a folder, ``<name>/<version>``."""
        place = path.absolute()
        return cls(name=place.parent.name, version=place.name, sha256=sha256)
