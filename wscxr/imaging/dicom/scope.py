"""Whether an object is a frontal chest radiograph, as far as its header tells."""

from pydicom import Dataset

from wscxr.errors import LateralView, WrongBodyPart, WrongModality
from wscxr.imaging.dicom.rules import DicomRules, LateralRule

_LATERAL_VIEWS = frozenset({"LL", "RL", "LAT", "LATERAL", "LLAT", "RLAT"})
# SNOMED CT and its older forms, PS3.16 CID 4010: lateral, left and right lateral.
_LATERAL_CODES = frozenset({"399067008", "399173006", "399198007", "R-10206", "R-10232", "R-10236"})
# SNOMED CT and its older form: thorax, of PS3.16 CID 4031.
_CHEST_CODES = frozenset({"51185008", "T-D3000"})


def check_scope(dataset: Dataset, rules: DicomRules) -> tuple[str, ...]:
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


def _lateral(dataset: Dataset, assumed: str | None) -> bool:
    if assumed is not None:
        return _word(assumed) in _LATERAL_VIEWS
    if _word(dataset.get("ViewPosition")) in _LATERAL_VIEWS:
        return True
    return bool(_codes(dataset, "ViewCodeSequence") & _LATERAL_CODES)


def _word(value: object) -> str:
    return str(value or "").strip().upper()


def _codes(dataset: Dataset, name: str) -> set[str]:
    return {str(item.get("CodeValue", "")) for item in dataset.get(name) or ()}
