"""The grey values of a radiograph, as the reading room shows them."""

import json
from pathlib import Path

import httpx
import numpy as np
from safetensors.numpy import load

from tests.helpers import CPU
from tests.service import pictures
from tests.service.serving import RunningServer, check_problem, make_settings, running
from wscxr.bundle.bundle import Bundle
from wscxr.imaging import read_radiograph


def post(client: httpx.Client, data: bytes) -> httpx.Response:
    return client.post("/v1/radiograph", files={"file": data})


def window(content: bytes) -> list[int]:
    size = int.from_bytes(content[:8], "little")
    found: list[int] = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["window"])
    return found


def test_deep_values_come_as_they_are(client: httpx.Client) -> None:
    data = pictures.sixteen_bit()
    content = post(client, data).content
    pixels = load(content)["pixels"]
    expected = read_radiograph(data).pixels
    assert pixels.dtype == np.uint16
    np.testing.assert_array_equal(pixels, expected)
    assert window(content) == [expected.min(), expected.max()]


def test_eight_bits_stay_eight(client: httpx.Client) -> None:
    content = post(client, pictures.png()).content
    np.testing.assert_array_equal(load(content)["pixels"], read_radiograph(pictures.png()).pixels)
    assert window(content) == [0, 255]


def test_numbers_lie_where_their_type_wants_them(client: httpx.Client) -> None:
    content = post(client, pictures.sixteen_bit()).content
    assert int.from_bytes(content[:8], "little") % 8 == 0
    assert list(load(content)) == ["pixels"]


def test_nothing_is_scored(client: httpx.Client, server: RunningServer) -> None:
    def images() -> float | None:
        found = [s for m in server.metrics.images.collect() for s in m.samples]
        return sum(sample.value for sample in found if sample.name.endswith("_total"))

    before = images()
    assert post(client, pictures.png()).status_code == 200
    assert images() == before


def test_bad_files_are_refused_as_by_predictions(client: httpx.Client) -> None:
    check_problem(post(client, b"no picture"), 415, "unsupported_format")
    check_problem(post(client, pictures.png()[:-40]), 422, "corrupt_image")
    check_problem(client.post("/v1/radiograph"), 422, "missing_file")
    answer = client.post("/v1/radiograph?model=no", files={"file": pictures.png()})
    check_problem(answer, 404, "model_not_found")


def test_the_lung_fields_come_along(trained_aligned: Path, unseen: Path) -> None:
    chest = sorted((unseen / "normal").iterdir())[0].read_bytes()
    with (
        running(make_settings(trained_aligned.parent.parent)) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        lungs = load(post(client, chest).content)["lungs"]
        assert "lungs" not in load(post(client, pictures.png()).content)
    bundle = Bundle.load(trained_aligned, CPU)
    found = bundle.prepare(read_radiograph(chest)).lungs
    assert found is not None
    np.testing.assert_allclose(lungs / 255, found.probability, atol=0.5 / 255 + 1e-6)
