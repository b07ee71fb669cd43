"""Analyses as the recorder writes them."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4


def analysis(**changes: Any) -> dict[str, Any]:
    """Columns of one analysis."""
    name = str(uuid4())
    columns: dict[str, Any] = {
        "id": name,
        "time": datetime.now(UTC),
        "request_id": name,
        "source": "upload",
        "caller": "anonymous",
        "model_name": "chest",
        "model_version": "1",
        "model_sha256": "0" * 64,
        "engine": "torch",
        "precision": "float32",
        "score": 0.1234567890123456,
        "p_value": 1 / 3,
        "threshold": 0.5,
        "decision": "normal",
        "ood_score": None,
        "warnings": ["a", "ü"],
        "image_rows": 10,
        "image_columns": 20,
        "bits": 8,
        "brightness": 0.1,
        "contrast": 0.2,
        "sharpness": 0.3,
    }
    nothing = ("manufacturer", "device", "view", "age_band", "sex", "instance_hash")
    more = ("study_hash", "patient_hash", "image_sha256", "map_sha256")
    return {**columns, **dict.fromkeys((*nothing, *more)), **changes}
