"""Every error as ``application/problem+json`` (RFC 9457), or as the inference protocol has it.

Clients of the Open Inference Protocol read ``{"error": ...}`` as ``application/json``; they get
that below ``/v2``, and only there.
"""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import Scope

from service import errors
from service.errors import InferenceFailed, InternalError, InvalidRequest, MissingFile, ServiceError
from service.http.problem import MEDIA_TYPE, Problem
from wscxr.errors import ImageError, WscxrError

logger = logging.getLogger(__name__)

Responses = dict[int | str, dict[str, Any]]
"""FastAPI's description of the answers of a route, by HTTP status."""

_HTTP_ERRORS: dict[int, type[ServiceError]] = {
    400: errors.MalformedBody,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    408: errors.UploadTooSlow,
    413: errors.BodyTooLarge,
    503: errors.QueueFull,
}


_INFERENCE_STATUS = {415: 400, 422: 400}
"""Statuses that the inference protocol does not know, and what stands for them there."""


class InferenceError(BaseModel):
    """An error, as the Open Inference Protocol describes them."""

    model_config = ConfigDict(frozen=True)

    error: str = Field(description="The code of the error, a colon, and what happened this time.")

    @classmethod
    def of(cls, problem: Problem) -> "InferenceError":
        """Say the same as a problem."""
        return cls(error=f"{problem.code}: {problem.detail}")


def to_problem(error: Exception, request_id: str) -> Problem:
    """Describe any error to a client, and log what only the operator may read.

    Parameters
    ----------
    error
        What happened. `ServiceError` and `ImageError` reach the client as they are; anything else
        is logged and becomes ``internal_error``.
    request_id
        Id of the request.
    """
    if not isinstance(error, ServiceError | ImageError):
        logger.error("unexpected error", exc_info=error, extra={"request_id": request_id})
        error = InternalError()
    elif isinstance(error, InferenceFailed):
        cause = error.__cause__
        logger.error("inference failed", exc_info=cause, extra={"request_id": request_id})
    return Problem.of(error, request_id)


def problem_response(error: Exception, scope: Scope) -> JSONResponse:
    """Answer a request with an error, and note its code for log and metrics."""
    state = scope["state"]
    problem = to_problem(error, state["request_id"])
    state["outcome"] = problem.code
    headers, members = None, {}
    if isinstance(error, ServiceError):
        headers, members = dict(error.headers), dict(error.members)
    if _is_inference(scope):
        status = _INFERENCE_STATUS.get(problem.status, problem.status)
        return JSONResponse(InferenceError.of(problem).model_dump(), status, headers)
    return JSONResponse(problem.model_dump() | members, problem.status, headers, MEDIA_TYPE)


def _is_inference(scope: Scope) -> bool:
    path: str = scope["path"].removeprefix(scope.get("root_path", ""))
    return path == "/v2" or path.startswith("/v2/")


def install_problem_handlers(app: FastAPI) -> None:
    """Answer every expected error of an app with a problem."""
    for kind in (ServiceError, ImageError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _answer)


def problems(*kinds: type[WscxrError]) -> Responses:
    """Describe in the OpenAPI document the errors that a route may answer with.

    Each HTTP status lists its codes with their summaries, and has one example for each code.
    """
    found: Responses = {}
    for kind in sorted(kinds, key=lambda kind: (kind.status, kind.code)):
        content = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}
        empty = {"description": "", "content": {MEDIA_TYPE: content}}
        answer = found.setdefault(kind.status, empty)
        answer["description"] += f"\n- `{kind.code}`: {kind.summary}"
        example = Problem.of(kind(), "0b0e4a0e-6f0b-4c39-8f0b-2f6f7d1c9a55")
        answer["content"][MEDIA_TYPE]["examples"][kind.code] = {"value": example.model_dump()}
    for answer in found.values():
        answer["description"] = answer["description"].lstrip("\n")
    return found


def inference_problems(*kinds: type[WscxrError]) -> Responses:
    """Describe errors as `problems` does, in the form of the Open Inference Protocol."""
    found: Responses = {}
    schema = InferenceError.model_json_schema()
    for kind in kinds:
        status = _INFERENCE_STATUS.get(kind.status, kind.status)
        content = {"application/json": {"schema": schema, "examples": {}}}
        answer = found.setdefault(status, {"description": "", "content": content})
        answer["description"] += f"\n- `{kind.code}`: {kind.summary}"
        example = InferenceError.of(Problem.of(kind(), "")).model_dump()
        answer["content"]["application/json"]["examples"][kind.code] = {"value": example}
    for answer in found.values():
        answer["description"] = answer["description"].lstrip("\n")
    # In place of the 422 that FastAPI describes for every route with parameters.
    rest = {
        "description": "Any other refusal.",
        "content": {"application/json": {"schema": schema}},
    }
    return {**dict(sorted(found.items())), "4XX": rest}


async def _answer(request: Request, error: Exception) -> JSONResponse:
    match error:
        case RequestValidationError():
            return problem_response(_from_validation(error), request.scope)
        case HTTPException():
            response = problem_response(_from_http(error), request.scope)
            response.headers.update(error.headers or {})
            if "Allow" in response.headers:
                response.headers["Allow"] = _allowed(request, response.headers["Allow"])
            return response
        case _:
            return problem_response(error, request.scope)


def _allowed(request: Request, otherwise: str) -> str:
    """The Allow header for a path that has several routes: the router names the first one's method.

    Parameters
    ----------
    otherwise
        What the router says; right for a path that the OpenAPI document does not have.
    """
    path = getattr(request.scope.get("route"), "path", "")
    documented = request.app.openapi()["paths"].get(path)
    return ", ".join(sorted(map(str.upper, documented))) if documented else otherwise


def _from_validation(error: RequestValidationError) -> ServiceError:
    first: dict[str, Any] = error.errors()[0]
    place, *rest = (str(part) for part in first["loc"])
    if place == "body" and rest[:1] in (["file"], ["files"]):
        return MissingFile(f"send the file as multipart/form-data in the field {rest[0]!r}")
    return InvalidRequest(f"{place} parameter {'.'.join(rest)!r}: {first['msg']}")


def _from_http(error: HTTPException) -> ServiceError:
    if isinstance(error.__cause__, ClientDisconnect):
        return errors.ClientGone()
    return _HTTP_ERRORS.get(error.status_code, InternalError)()
