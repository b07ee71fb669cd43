"""Studies for the archive."""

from datetime import UTC, datetime
from typing import Any

from tests.dicom_files import dataset, written
from tests.service.pacs.scorer import result_uid


def study(seed: int, **attributes: Any) -> tuple[str, bytes]:
    """SOP Instance UID and file of a study with one radiograph, of today."""
    made = dataset(seed=seed, StudyDate=f"{datetime.now(UTC):%Y%m%d}", **attributes)
    return str(made.SOPInstanceUID), written(made)


def studies(count: int) -> dict[str, bytes]:
    return dict(study(seed) for seed in range(count))


def with_results(sources: list[str]) -> list[str]:
    """What the archive must hold when all of these are done: each, and one result of each."""
    return sorted([*sources, *map(result_uid, sources)])
