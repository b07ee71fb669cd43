"""Who is calling, and the cookie that the reading room signs in with."""

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from service.errors import KEY_ERRORS, CrossSite, InvalidRequest, Unauthorized
from service.http.auth import Caller, keys_in
from service.http.keys import Role
from service.http.problems import problems
from service.http.sessions import COOKIE, LIFETIME_S, Sessions

router = APIRouter(tags=["session"])

_SESSION_ERRORS = problems(*KEY_ERRORS, CrossSite, InvalidRequest)


class SessionInfo(BaseModel):
    """Who sent the request, and what this service has for them."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="Name of the key; anonymous where no key is set.")
    role: Role = Field(description="What the key allows.")
    records: bool = Field(description="Whether analyses are recorded, and can be judged.")


@router.get("/v1/session", responses=_SESSION_ERRORS)
async def read_session(request: Request) -> SessionInfo:
    """Whose key came with the request, in a header or by a cookie."""
    caller: Caller = request.state.caller
    records = request.app.state.recorder is not None
    return SessionInfo(name=caller.name, role=caller.role, records=records)


@router.post("/v1/session", responses=_SESSION_ERRORS)
async def sign_in(request: Request, response: Response) -> SessionInfo:
    """Exchange the API key in the headers for a cookie, with which a browser needs no key.

    The cookie is HttpOnly and SameSite=Strict, and lasts twelve hours, until the key is revoked or
    the service restarts. Requests with it that may change something need the header
    `X-Reading-Room`.
    """
    if request.app.state.authenticator.required:
        key = next(keys_in(request.headers), None)
        if key is None:
            raise Unauthorized
        sessions: Sessions = request.app.state.sessions
        sessions.end(request.headers)
        response.set_cookie(
            COOKIE,
            sessions.start(key),
            max_age=LIFETIME_S,
            path=_path(request),
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
    return await read_session(request)


@router.delete("/v1/session", status_code=204, responses=_SESSION_ERRORS)
async def sign_out(request: Request, response: Response) -> None:
    """End the session of the cookie."""
    sessions: Sessions = request.app.state.sessions
    sessions.end(request.headers)
    response.delete_cookie(COOKIE, path=_path(request), httponly=True, samesite="strict")


def _path(request: Request) -> str:
    root: str = request.scope.get("root_path", "")
    return root or "/"
