"""The clients that hospitals use, against a real server: Triton's and KServe's."""

import json
import subprocess
from pathlib import Path

import httpx
import numpy as np
import pytest
import tritonclient.http as triton

from tests.service import pictures
from tests.service.serving import RunningServer

KSERVE = Path(__file__).parents[3] / ".venv-kserve" / "bin" / "python"
"""The Python of an environment that has `kserve`, which pins other versions than ours."""

FILES = [pictures.png(), pictures.png(1)]


@pytest.mark.parametrize("binary", [True, False])
def test_triton(server: RunningServer, client: httpx.Client, *, binary: bool) -> None:
    expected = [client.post("/v1/predict", files={"file": file}).json() for file in FILES]
    with triton.InferenceServerClient(server.url.removeprefix("http://")) as asked:
        assert asked.is_server_live()
        assert asked.is_server_ready()
        assert asked.is_model_ready("tiny")
        assert asked.is_model_ready("tiny", "1")
        assert not asked.is_model_ready("other")
        assert asked.get_server_metadata()["name"] == "wscxr"
        names = [output["name"] for output in asked.get_model_metadata("tiny")["outputs"]]
        image = triton.InferInput("image", [len(FILES)], "BYTES")
        image.set_data_from_numpy(np.array(FILES, dtype=object))
        wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in names]
        found = asked.infer("tiny", [image], request_id="7", outputs=wanted)
        assert found.get_response()["id"] == "7"
        for name in ("score", "p_value", "ood_score"):
            numbers = [answer[name] for answer in expected]
            np.testing.assert_allclose(found.as_numpy(name), numbers, rtol=1e-4)
        decisions = [answer["decision"] for answer in expected]
        said = found.as_numpy("decision")
        assert [x.decode() if isinstance(x, bytes) else x for x in said] == decisions
        assert list(found.as_numpy("anomalous")) == [word == "abnormal" for word in decisions]
        assert found.as_numpy("anomaly_map").ndim == 3
        # Without a choice the client asks for all outputs in binary; the map is not among them.
        by_default = asked.infer("tiny", [image], model_version="1")
        assert by_default.as_numpy("anomaly_map") is None
        np.testing.assert_array_equal(by_default.as_numpy("score"), found.as_numpy("score"))


def test_triton_shows_our_errors(server: RunningServer) -> None:
    with triton.InferenceServerClient(server.url.removeprefix("http://")) as asked:
        image = triton.InferInput("image", [2], "BYTES")
        image.set_data_from_numpy(np.array([FILES[0], b"no image"], dtype=object))
        with pytest.raises(triton.InferenceServerException) as caught:
            asked.infer("tiny", [image])
        assert caught.value.status() == "400"
        assert caught.value.message().startswith("unsupported_format: image 1: ")
        with pytest.raises(triton.InferenceServerException) as caught:
            asked.infer("other", [image])
        assert caught.value.status() == "404"


def test_kserve(server: RunningServer, client: httpx.Client, tmp_path: Path) -> None:
    if not KSERVE.exists():
        pytest.skip("NOT TESTED: `make deploy-tools` installs KServe's client")
    paths = [tmp_path / f"{place}.png" for place in range(len(FILES))]
    for path, file in zip(paths, FILES, strict=True):
        path.write_bytes(file)
    script = Path(__file__).with_name("kserve_client.py")
    command = [str(KSERVE), "-W", "ignore", str(script), server.url, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    expected = [client.post("/v1/predict", files={"file": file}).json() for file in FILES]
    assert (said["live"], said["ready"], said["model_ready"]) == (True, True, True)
    assert said["other_ready"] is False
    assert said["id"] == "from-kserve"
    assert said["outputs"]["score"] == pytest.approx([e["score"] for e in expected], rel=1e-4)
    assert said["outputs"]["decision"] == [e["decision"] for e in expected]
    assert said["error"].startswith("unsupported_format: image 1: ")
