"""Versions of bundle.json: which are read, and how an older one becomes the current one.

Schema 1 names the shape of its discriminator ``discriminator``; the only method was WSCXR.
Schema 2 names it ``head``, of one kind or another, and names the method.
Schema 3 adds the OOD scorer, ``ood``. An upgraded bundle has none, and says so in its warnings.
Schema 4 adds the frame, ``align``; until then the whole picture was looked at.
Schema 5 adds the ages the bundle is for, ``population``, and the site whose images calibrated it,
``site``, and the second witness, ``lesions``, and what calibration images look like, ``reference``.
An upgraded bundle has none of them.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from wscxr.choices import Align
from wscxr.errors import UnknownSchema

CURRENT: Literal[5] = 5

_WSCXR = {"method": "wscxr", "citation": "WSCXR (Ni et al., arXiv 2311.09642, 2023)"}


def check_version(version: object, path: Path) -> None:
    """Refuse what this version cannot read.

    Raises
    ------
    UnknownSchema
        The number is not one of those in use.
    """
    if type(version) is not int or not 1 <= version <= CURRENT:
        raise UnknownSchema(
            f"the bundle at {path} has schema {version}; this version reads 1 to {CURRENT}"
        )


def digest(document: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON of all fields but ``sha256``, as 64 hex digits."""
    content = {key: value for key, value in document.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def upgrade(document: dict[str, Any]) -> dict[str, Any]:
    """Bring a manifest of any known schema to the current one.

    Its ``sha256`` stays as it was: it is the identity of the bundle, and that of the file on disk.

    Parameters
    ----------
    document
        The parsed bundle.json; stays as it is.

    Raises
    ------
    KeyError
        A field of its schema is missing.
    """
    upgraded = dict(document)
    if upgraded["schema_version"] == 1:
        upgraded["head"] = {"kind": "discriminator", **upgraded.pop("discriminator")}
        upgraded["schema_version"] = 2
    if upgraded["schema_version"] == 2:
        upgraded["training"] = {**_WSCXR, **upgraded["training"]}
        upgraded["ood"] = None
        upgraded["schema_version"] = 3
    if upgraded["schema_version"] == 3:
        upgraded["align"] = Align.NONE.value
        upgraded["schema_version"] = 4
    if upgraded["schema_version"] == 4:
        upgraded["population"] = None
        upgraded["site"] = None
        upgraded["schema_version"] = 5
    return upgraded
