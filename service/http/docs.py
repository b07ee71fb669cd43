"""The page that shows the OpenAPI document, served without a content network."""

import base64
import hashlib
import re

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

STATIC = "/docs/static"
"""Path of the script, style and icon of the page."""


def install_docs(app: FastAPI) -> None:
    """Serve Swagger UI at ``/docs``, its files from the package fastapi-offline.

    The page may run these files and its one script of a few lines, by its hash, and nothing else.
    """
    app.mount(STATIC, StaticFiles(packages=[("fastapi_offline", "static")]))

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        root = request.scope.get("root_path", "")
        page = get_swagger_ui_html(
            openapi_url=f"{root}{app.openapi_url}",
            title=app.title,
            swagger_js_url=f"{root}{STATIC}/swagger-ui-bundle.js",
            swagger_css_url=f"{root}{STATIC}/swagger-ui.css",
            swagger_favicon_url=f"{root}{STATIC}/favicon.png",
        )
        page.headers["Content-Security-Policy"] = _policy(bytes(page.body))
        return page


def _policy(page: bytes) -> str:
    scripts = re.findall(rb"<script>(.*?)</script>", page, re.DOTALL)
    hashes = (base64.b64encode(hashlib.sha256(script).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{each}'" for each in hashes)
    return (
        "default-src 'none'; connect-src 'self'; frame-ancestors 'none'; img-src 'self' data:; "
        # Swagger UI sets styles from its script.
        f"script-src 'self' {allowed}; style-src 'self' 'unsafe-inline'"
    )
