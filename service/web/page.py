"""The page itself and its files, which hold no data: those come over the API."""

from importlib.resources import files

from fastapi import FastAPI
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

STATIC = "/page"
"""Path of the scripts, the style sheet and the icon of the page."""

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "base-uri 'none'",
        "connect-src 'self'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "img-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
        # No script may make HTML, script or a script's address of a text.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""What a browser may do with the page: run its own files, and ask this service."""


def install_page(app: FastAPI) -> None:
    """Serve the page at ``/``, under a Content-Security-Policy that trusts its own files alone."""
    html = (files("service.web") / "static" / "index.html").read_text(encoding="utf-8")
    app.mount(STATIC, StaticFiles(packages=[("service.web", "static")]))

    @app.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(html, headers={"Content-Security-Policy": _POLICY})
