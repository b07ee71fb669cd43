"""Examples of answers, for the OpenAPI document."""

from pydantic.config import JsonDict

_ID = "0b0e4a0e-6f0b-4c39-8f0b-2f6f7d1c9a55"
_SHA256 = "9f2c0d0c54c1f0a7c8b0a2f2f1c7b0d8a7e6b5c4d3e2f1a0b9c8d7e6f5a4b3c2"
MODEL: JsonDict = {"name": "chest", "version": "1.2.0", "sha256": _SHA256}
PROBLEM: JsonDict = {
    "type": "urn:wscxr:problem:corrupt_image",
    "title": "Corrupt image",
    "status": 422,
    "detail": "the image is truncated or damaged",
    "code": "corrupt_image",
    "request_id": _ID,
}
PREDICTION: JsonDict = {
    "id": _ID,
    "model": MODEL,
    "score": 0.8134,
    "p_value": 0.0198,
    "threshold": 0.5127,
    "decision": "abnormal",
    "ood_score": 0.7841,
    "image": {"width": 2500, "height": 2048, "format": "PNG", "bits": 8},
    "timings_ms": {
        "decode": 61.2,
        "queue": 0.2,
        "inference": 31.9,
        "encode": 0.0,
        "total": 94.1,
    },
    "map": None,
    "warnings": [],
}
SUMMARY: JsonDict = {
    **MODEL,
    "default": True,
    "backbone": {
        "architecture": "densenet121",
        "layers": ["features.denseblock4"],
        "source": "imagenet",
    },
    "input": {
        "size": 256,
        "intensity": "percentile",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    },
    "p": 5,
    "score_rule": "max",
    "calibration": {
        "threshold": 0.5127,
        "false_alarm_rate": 0.05,
        "expected_false_alarm_rate": 0.0495,
        "n": 100,
    },
    "training": {"method": "wscxr", "n_normal": 400, "n_calibration": 100, "k": 16, "seed": 0},
    "warnings": [],
}
DETAIL: JsonDict = {**SUMMARY, "card": "# Model card\n\n**Research use only.** ..."}
BATCH: JsonDict = {
    "id": _ID,
    "items": [
        {"index": 0, "result": PREDICTION, "error": None},
        {"index": 1, "result": None, "error": PROBLEM},
    ],
}
