"""Every error as ``application/problem+json`` (RFC 9457)."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import Scope

from service.api.schemas import Problem
from service.errors import (
    BodyTooLarge,
    ClientGone,
    InferenceFailed,
    InternalError,
    InvalidRequest,
    MalformedBody,
    MethodNotAllowed,
    MissingFile,
    NotFound,
    QueueFull,
    ServiceError,
    UploadTooSlow,
)
from wscxr.errors import FileTooLarge, ImageError, TooManyPixels, UnsupportedFormat

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

AnswerableError = ServiceError | ImageError
"""What is told to the client as it is."""

_IMAGE_STATUS: dict[type[ImageError], int] = {
    FileTooLarge: 413,
    TooManyPixels: 413,
    UnsupportedFormat: 415,
}

_HTTP_ERRORS: dict[int, type[ServiceError]] = {
    400: MalformedBody,
    404: NotFound,
    405: MethodNotAllowed,
    408: UploadTooSlow,
    413: BodyTooLarge,
    503: QueueFull,
}


def to_problem(error: Exception, request_id: str) -> Problem:
    """Describe an error to the client.

    Parameters
    ----------
    error
        What happened; anything but a `ServiceError` or `ImageError` becomes ``internal_error``
        and goes into the log.
    request_id
        Id of the request.
    """
    if not isinstance(error, AnswerableError):
        logger.error("unexpected error", exc_info=error, extra={"request_id": request_id})
        error = InternalError()
    elif isinstance(error, InferenceFailed):
        cause = error.__cause__
        logger.error("inference failed", exc_info=cause, extra={"request_id": request_id})
    return Problem(
        type=f"urn:wscxr:problem:{error.code}",
        title=error.code.replace("_", " ").capitalize(),
        status=_status(error),
        detail=str(error),
        code=error.code,
        request_id=request_id,
    )


def problem_response(error: Exception, scope: Scope) -> JSONResponse:
    """Answer a request with an error, and note its code for log and metrics."""
    state = scope["state"]
    problem = to_problem(error, state["request_id"])
    state["outcome"] = problem.code
    headers = dict(error.headers) if isinstance(error, ServiceError) else None
    return JSONResponse(
        problem.model_dump(), status_code=problem.status, headers=headers, media_type=MEDIA_TYPE
    )


def install_problem_handlers(app: FastAPI) -> None:
    """Have the app answer every error it foresees with a problem."""
    for kind in (ServiceError, ImageError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _answer)


async def _answer(request: Request, error: Exception) -> JSONResponse:
    match error:
        case RequestValidationError():
            return problem_response(_from_validation(error), request.scope)
        case HTTPException():
            response = problem_response(_from_http(error), request.scope)
            response.headers.update(error.headers or {})
            return response
        case _:
            return problem_response(error, request.scope)


def _from_validation(error: RequestValidationError) -> ServiceError:
    first: dict[str, Any] = error.errors()[0]
    place, *rest = (str(part) for part in first["loc"])
    if place == "body":
        # Every field of every body is a file.
        return MissingFile(f"send the file as multipart/form-data in the field {rest[0]!r}")
    return InvalidRequest(f"{place} parameter {'.'.join(rest)!r}: {first['msg']}")


def _from_http(error: HTTPException) -> ServiceError:
    if isinstance(error.__cause__, ClientDisconnect):
        return ClientGone()
    return _HTTP_ERRORS.get(error.status_code, InternalError)()


def _status(error: AnswerableError) -> int:
    if isinstance(error, ServiceError):
        return error.status
    return _IMAGE_STATUS.get(type(error), 422)
