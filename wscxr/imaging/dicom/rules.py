"""Which DICOM objects are scored: the settings, and the check of a header against them."""

from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from wscxr.errors import LateralView, WrongBodyPart, WrongModality

if TYPE_CHECKING:
    from pydicom import Dataset

_LATERAL_VIEWS = frozenset({"LL", "RL", "LAT", "LATERAL", "LLAT", "RLAT"})
# SNOMED CT and its older forms, PS3.16 CID 4010: lateral, left and right lateral.
_LATERAL_CODES = frozenset({"399067008", "399173006", "399198007", "R-10206", "R-10232", "R-10236"})
# SNOMED CT and its older form: thorax, of PS3.16 CID 4031.
_CHEST_CODES = frozenset({"51185008", "T-D3000"})


class LateralRule(StrEnum):
    """What is done with a view that the header calls lateral."""

    REFUSE = "refuse"
    WARN = "warn"
    ACCEPT = "accept"


class Assumed(BaseModel):
    """What the caller states in place of the header; None leaves an attribute as it is.

    Attributes
    ----------
    modality
        In place of Modality (0008,0060).
    body_part
        In place of Body Part Examined (0018,0015).
    view
        In place of View Position (0018,5101).
    photometric_interpretation
        In place of Photometric Interpretation (0028,0004).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    modality: str | None = Field(default=None, max_length=16)
    body_part: str | None = Field(default=None, max_length=16)
    view: str | None = Field(default=None, max_length=16)
    photometric_interpretation: Literal["MONOCHROME1", "MONOCHROME2"] | None = None


class DicomRules(BaseModel):
    """Which DICOM objects are scored.

    Attributes
    ----------
    modalities
        Modalities (PS3.3, C.7.3.1.1.1) that are scored unless the header names another body part.
    modalities_if_chest
        Modalities that are scored only where the header says that it is a chest.
    body_parts
        Words of Body Part Examined, one of which says that it is a chest.
    lateral
        What is done with a lateral view.
    assume
        What the caller states in place of the header.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    modalities: tuple[str, ...] = ("CR", "DX")
    modalities_if_chest: tuple[str, ...] = ("SC", "OT")
    body_parts: tuple[str, ...] = ("CHEST", "THORAX", "LUNG")
    lateral: LateralRule = LateralRule.REFUSE
    assume: Assumed = Assumed()


def check_scope(dataset: "Dataset", rules: DicomRules) -> tuple[str, ...]:
    """Refuse what is not to be scored.

    Returns
    -------
    tuple of str
        What had to be assumed: ``body_part_unknown``, ``lateral_view``.

    Raises
    ------
    WrongModality, WrongBodyPart, LateralView
        By the rules.
    """
    modality = _word(rules.assume.modality or dataset.get("Modality"))
    body_part = _word(rules.assume.body_part or dataset.get("BodyPartExamined"))
    codes = _codes(dataset, "AnatomicRegionSequence") if rules.assume.body_part is None else set()
    chest = bool(codes & _CHEST_CODES) or any(word in body_part for word in rules.body_parts)
    elsewhere = not chest and bool(body_part or codes)
    if modality not in rules.modalities and modality not in rules.modalities_if_chest:
        raise WrongModality(
            f"the modality is none of {', '.join(rules.modalities + rules.modalities_if_chest)}"
        )
    if elsewhere:
        raise WrongBodyPart("the header says that the picture does not show a chest")
    if not chest and modality not in rules.modalities:
        raise WrongBodyPart(
            "an object of this modality is scored only where its header says that it is a chest"
        )
    warnings = () if chest else ("body_part_unknown",)
    if rules.lateral is not LateralRule.ACCEPT and _lateral(dataset, rules.assume.view):
        if rules.lateral is LateralRule.REFUSE:
            raise LateralView("the header says that the view is lateral; send a frontal one")
        return (*warnings, "lateral_view")
    return warnings


def _lateral(dataset: "Dataset", assumed: str | None) -> bool:
    if assumed is not None:
        return _word(assumed) in _LATERAL_VIEWS
    if _word(dataset.get("ViewPosition")) in _LATERAL_VIEWS:
        return True
    return bool(_codes(dataset, "ViewCodeSequence") & _LATERAL_CODES)


def _word(value: object) -> str:
    return str(value or "").strip().upper()


def _codes(dataset: "Dataset", name: str) -> set[str]:
    return {str(item.get("CodeValue", "")) for item in dataset.get(name) or ()}
