"""Bad input of every kind, and odd input that is accepted."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.helpers import encode
from tests.service import pictures
from tests.service.serving import check_problem

PNG = pictures.png()
JPEG = encode(pictures.grey(400, 300), "JPEG")

REFUSED: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "not an image": (lambda: b"%PDF-1.7 not an image", 415, "unsupported_format"),
    "text named as an image": (lambda: b"hello", 415, "unsupported_format"),
    "truncated PNG": (lambda: PNG[: len(PNG) // 2], 422, "corrupt_image"),
    "truncated JPEG": (lambda: JPEG[: len(JPEG) // 2], 422, "corrupt_image"),
    "signature alone": (lambda: PNG[:8], 422, "corrupt_image"),
    "empty file": (lambda: b"", 422, "empty_file"),
    "1x1": (lambda: pictures.png_of_zeros(1, 1, rows=1), 422, "image_too_small"),
    "30000x30000": (
        lambda: pictures.png_of_zeros(30_000, 30_000, rows=1),
        413,
        "too_many_pixels",
    ),
    "PNG bomb": (lambda: pictures.png_of_zeros(20_000, 20_000, rows=2000), 413, "too_many_pixels"),
    "text chunk bomb": (pictures.text_bomb, 422, "corrupt_image"),
    "animated PNG": (pictures.animated_png, 422, "multi_frame_image"),
    "multi-page TIFF": (pictures.two_page_tiff, 415, "unsupported_format"),
    "constant image": (
        lambda: encode(Image.new("L", (64, 64), 128)),
        422,
        "blank_image",
    ),
}

ACCEPTED: dict[str, tuple[Callable[[], bytes], int]] = {
    "grey JPEG": (lambda: JPEG, 8),
    "CMYK JPEG": (lambda: encode(pictures.grey().convert("CMYK"), "JPEG"), 8),
    "colour": (lambda: encode(pictures.grey().convert("RGB")), 8),
    "palette": (lambda: encode(pictures.grey().convert("P")), 8),
    "alpha": (pictures.with_alpha, 8),
    "16 bit": (pictures.sixteen_bit, 16),
    "1 bit": (lambda: encode(pictures.grey().convert("1")), 8),
}


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/predict/map"])
@pytest.mark.parametrize("row", REFUSED)
def test_refused(client: httpx.Client, path: str, row: str) -> None:
    make, status, code = REFUSED[row]
    check_problem(client.post(path, files={"file": ("scan.png", make())}), status, code)


@pytest.mark.parametrize("row", ACCEPTED)
def test_accepted(client: httpx.Client, row: str) -> None:
    make, bits = ACCEPTED[row]
    response = client.post("/v1/predict", files={"file": ("scan.txt", make(), "text/plain")})
    assert response.status_code == 200, response.text
    assert response.json()["image"]["bits"] == bits


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ([("image", PNG)], "missing_file"),
        ([], "missing_file"),
        ([("file", PNG), ("file", PNG)], "too_many_files"),
        ([("file", PNG), ("other", PNG)], "too_many_files"),
    ],
)
def test_wrong_fields(client: httpx.Client, files: list[Any], code: str) -> None:
    for path in ("/v1/predict", "/v1/predict/map"):
        detail = check_problem(client.post(path, files=files), 422, code)
        assert code != "missing_file" or "'file'" in detail


def test_a_field_that_is_no_file(client: httpx.Client) -> None:
    response = client.post("/v1/predict", data={"file": "hello"})
    check_problem(response, 422, "missing_file")


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ([], 422, "missing_file"),
        (["file"], 422, "missing_file"),
        (["files", "file"], 422, "invalid_request"),
        (["files"] * 5, 413, "too_many_files"),
    ],
)
def test_wrong_fields_of_a_batch(
    client: httpx.Client, fields: list[str], status: int, code: str
) -> None:
    files: list[Any] = [(field, PNG) for field in fields]
    detail = check_problem(client.post("/v1/predict/batch", files=files), status, code)
    assert code != "missing_file" or "'files'" in detail


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"--x\r\nno header\r\n\r\n--x--\r\n", "multipart/form-data; boundary=x"),
        (b"", "multipart/form-data"),
    ],
)
def test_a_malformed_body(client: httpx.Client, content: bytes, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    response = client.post("/v1/predict", content=content, headers=headers)
    check_problem(response, 400, "malformed_body")


def test_a_body_of_another_type(client: httpx.Client) -> None:
    check_problem(client.post("/v1/predict", json={"file": 1}), 422, "missing_file")


@pytest.mark.parametrize("query", ["map=yes", "style=rainbow", "map="])
def test_wrong_parameters(client: httpx.Client, query: str) -> None:
    response = client.post(f"/v1/predict?{query}", files={"file": PNG})
    detail = check_problem(response, 422, "invalid_request")
    assert query.partition("=")[0] in detail


def test_paths_and_methods(client: httpx.Client) -> None:
    check_problem(client.get("/v1/nothing"), 404, "not_found")
    check_problem(client.get("/v1/models/"), 404, "not_found")
    response = client.delete("/v1/predict")
    check_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"
    check_problem(client.request("PROPFIND", "/v1/predict"), 405, "method_not_allowed")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/predict?maps=url"),
        ("POST", "/v1/predict?Map=url"),
        ("POST", "/v1/predict?map=url&modell=tiny"),
        ("POST", "/v1/predict/map?map=url"),
        ("POST", "/v1/predict/batch?only=sc"),
        ("GET", "/v1/models?name=tiny"),
        ("GET", "/v1/models/tiny?x=1"),
    ],
)
def test_query_parameters_that_a_path_does_not_take(
    client: httpx.Client, method: str, path: str
) -> None:
    field = "files" if "batch" in path else "file"
    response = client.request(method, path, files={field: PNG} if method == "POST" else None)
    detail = check_problem(response, 422, "invalid_request")
    assert "does not take" in detail


def test_whoever_watches_the_service_may_send_any_query(client: httpx.Client) -> None:
    for path in ("/health/live?x=1", "/health/ready?x=1", "/metrics?x=1"):
        assert client.get(path).status_code == 200
