"""Pieces of the OpenAPI document that several routes share."""

from typing import Any

from service.api.schemas import Problem
from service.http.problems import MEDIA_TYPE

Responses = dict[int | str, dict[str, Any]]

_CODES = {
    400: "malformed_body",
    401: "unauthorized",
    404: "model_not_found, map_not_found, job_not_found, pacs_not_configured or not_found",
    408: "upload_too_slow",
    413: "body_too_large, too_many_pixels or too_many_files",
    415: "unsupported_format",
    422: "empty_file, corrupt_image, unsupported_transfer_syntax, no_pixel_data, colour_image, "
    "wrong_modality, wrong_body_part, lateral_view, multi_frame_image, image_too_small, "
    "blank_image, "
    "missing_file, too_many_files, model_required, map_too_large or invalid_request",
    500: "inference_failed or internal_error",
    503: "not_ready, queue_full or shutting_down; see Retry-After",
    504: "deadline_exceeded",
}


def problems(*statuses: int) -> Responses:
    """Describe the errors a route may answer with.

    Parameters
    ----------
    statuses
        HTTP statuses; each is described with the codes that come with it.
    """
    return {
        status: {
            "description": f"Code {_CODES[status]}.",
            "content": {
                MEDIA_TYPE: {
                    # Problem is part of BatchItem, so it is among the components.
                    "schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}
                }
            },
        }
        for status in statuses
    }


PREDICT_PROBLEMS = problems(400, 401, 404, 408, 413, 415, 422, 500, 503, 504)


def _header(kind: str, description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind}}


PNG_RESPONSE: dict[str, Any] = {
    "description": "The anomaly map.",
    "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
}

SCORE_HEADERS = {
    "X-Result-ID": _header("string", "Id of the result."),
    "X-Score": _header("number", "Image-level anomaly score."),
    "X-P-Value": _header("number", "Conformal p-value, in (0, 1]."),
    "X-Threshold": _header("number", "Scores above it are called abnormal."),
    "X-Decision": _header("string", "normal or abnormal."),
    "X-OOD-Score": _header(
        "number", "Above 1 the image is unlike the training images; its score means little."
    ),
    "X-Model-Name": _header("string", "Name of the model."),
    "X-Model-Version": _header("string", "Its version."),
    "X-Model-SHA256": _header("string", "Its identity."),
}

SCORED_PNG_RESPONSE: dict[str, Any] = {
    **PNG_RESPONSE,
    "headers": {
        **SCORE_HEADERS,
        "X-Score-Offset": _header("number", "raw16 only: score = offset + slope * grey value."),
        "X-Score-Slope": _header("number", "raw16 only: see X-Score-Offset."),
    },
}
