import hashlib
import io
import os
import pickle
from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import safetensors.torch
import torch
import torchvision
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.helpers import random_backbone
from wscxr.choices import WeightsSource
from wscxr.errors import WeightsError, WeightsUnavailable
from wscxr.model.backbone import BackboneConfig, build_backbone
from wscxr.model.weights import fetch_imagenet_weights, read_weights, weights_sha256

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.tensor([1.0, -1.0])}


def torch_file(content: object, *, legacy: bool = False) -> bytes:
    """What `torch.save` writes."""
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


# --- files --------------------------------------------------------------------------------------


def test_a_safetensors_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(safetensors.torch.save(STATE))
    assert same(read_weights(file), STATE)


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.bin"])
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_a_pytorch_state_dict_is_read(tmp_path: Path, name: str, legacy: bool, kind: Any) -> None:
    file = tmp_path / name
    file.write_bytes(torch_file(kind(STATE), legacy=legacy))
    assert same(read_weights(file), STATE)


def test_old_densenet_keys_become_the_current_ones(tmp_path: Path) -> None:
    backbone = random_backbone("densenet121", ("features.denseblock1",), seed=1)
    weights = backbone.weights()
    old = {
        key.replace(".norm1.", ".norm.1.")
        .replace(".norm2.", ".norm.2.")
        .replace(".conv1.", ".conv.1.")
        .replace(".conv2.", ".conv.2."): value
        for key, value in weights.items()
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    # The stem's and the transitions' names never had that dot.
    assert "features.norm0.weight" in old
    file = tmp_path / "old.pth"
    file.write_bytes(torch_file(old))
    assert same(read_weights(file), weights)


def test_a_missing_file_says_what_may_be_given(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(WeightsUnavailable, match="imagenet, random, or an existing file"):
            read_weights(path)


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.marker),))


@pytest.mark.parametrize("how", ["torch", "legacy", "bare pickle"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_malicious_pickle_is_refused_and_never_run(tmp_path: Path, how: str, suffix: str) -> None:
    marker = tmp_path / "executed"
    content = {"a.weight": Evil(marker)}
    data = (
        pickle.dumps(content, protocol=2)
        if how == "bare pickle"
        else torch_file(content, legacy=how == "legacy")
    )
    file = tmp_path / f"evil{suffix}"
    file.write_bytes(data)
    with pytest.raises(WeightsError):
        read_weights(file)
    assert not marker.exists()
    # The file would have done it.
    if how == "bare pickle":
        pickle.loads(data)  # noqa: S301
        assert marker.exists()


@pytest.mark.parametrize(
    "content",
    [
        [torch.zeros(1)],
        torch.zeros(3),
        {"epoch": 3, "state_dict": {}},
        {1: torch.zeros(1)},
        "text",
        None,
    ],
    ids=str,
)
def test_what_is_no_state_dict_is_refused(tmp_path: Path, content: object) -> None:
    file = tmp_path / "w.pth"
    file.write_bytes(torch_file(content))
    with pytest.raises(WeightsError):
        read_weights(file)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("data", [b"", b"\x80", b"not weights at all", bytes(1000)], ids=repr)
def test_a_damaged_file_is_refused(tmp_path: Path, suffix: str, data: bytes) -> None:
    file = tmp_path / f"w{suffix}"
    file.write_bytes(data)
    with pytest.raises(WeightsError, match="not a readable weights file"):
        read_weights(file)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".legacy"])
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)
@given(data=st.data())
def test_whatever_happened_to_a_file_it_is_read_or_refused(
    tmp_path: Path, suffix: str, data: st.DataObject
) -> None:
    whole = {
        ".pth": torch_file(STATE),
        ".safetensors": safetensors.torch.save(STATE),
        ".legacy": torch_file(STATE, legacy=True),
    }[suffix]
    content = bytearray(whole)
    places = st.integers(0, len(whole) - 1)
    for place, byte in data.draw(
        st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=4)
    ):
        content[place] = byte
    if data.draw(st.booleans()):
        del content[data.draw(places) :]
    file = tmp_path / f"w{suffix}"
    file.write_bytes(content)
    try:
        found = read_weights(file)
    except WeightsError:
        return
    assert all(isinstance(value, Tensor) for value in found.values())


def test_a_weights_file_makes_a_backbone(tmp_path: Path) -> None:
    wanted = random_backbone(seed=7).weights()
    file = tmp_path / "resnet18.safetensors"
    file.write_bytes(safetensors.torch.save(wanted))
    config = BackboneConfig(architecture="resnet18", layers=("layer1",), source=WeightsSource.FILE)
    assert same(build_backbone(config, 64, file=file).weights(), wanted)


# --- the hash -----------------------------------------------------------------------------------


def test_the_hash_is_that_of_the_safetensors_serialization() -> None:
    assert weights_sha256(STATE) == hashlib.sha256(safetensors.torch.save(STATE)).hexdigest()


def test_the_hash_sees_every_change_but_no_order() -> None:
    found = weights_sha256(STATE)
    assert weights_sha256(dict(reversed(STATE.items()))) == found
    changed = {key: value.clone() for key, value in STATE.items()}
    changed["a.bias"][1] += 1e-6
    renamed = {key.replace("bias", "b"): value for key, value in STATE.items()}
    reshaped = STATE | {"a.weight": STATE["a.weight"].view(3, 2)}
    assert found not in {weights_sha256(other) for other in (changed, renamed, reshaped)}


# --- ImageNet weights, over a real socket -------------------------------------------------------

ARCHITECTURE = "squeezenet1_1"
LAYERS = ("features.4",)


class Files(SimpleHTTPRequestHandler):
    """Serves a folder and remembers what was asked for."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


class Mirror:
    """A local stand-in for download.pytorch.org that has weights of `ARCHITECTURE`."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder / "mirror"
        self.folder.mkdir()
        self.cache = folder / "torch"
        self.asked: list[str] = []
        handler = type("Handler", (Files,), {"asked": self.asked})
        self.server = ThreadingHTTPServer(
            ("127.0.0.1", 0), partial(handler, directory=str(self.folder))
        )
        self.monkeypatch = monkeypatch
        monkeypatch.setenv("TORCH_HOME", str(self.cache))
        torch.manual_seed(11)
        self.state = torchvision.models.get_model(ARCHITECTURE, weights=None).state_dict()

    def publish(self, content: bytes, *, sha256: str | None = None) -> str:
        """Put a file up under a name that carries (or feigns) its hash."""
        digest = sha256 or hashlib.sha256(content).hexdigest()
        name = f"{ARCHITECTURE}-{digest[:8]}.pth"
        (self.folder / name).write_bytes(content)
        self.point_to(f"http://127.0.0.1:{self.server.server_port}/{name}")
        return name

    def point_to(self, url: str) -> None:
        weights = torchvision.models.get_model_weights(ARCHITECTURE).DEFAULT
        self.monkeypatch.setattr(weights.value, "url", url)


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    made = Mirror(tmp_path, monkeypatch)
    thread = Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def test_imagenet_weights_are_downloaded_once(mirror: Mirror) -> None:
    name = mirror.publish(torch_file(mirror.state))
    assert same(fetch_imagenet_weights(ARCHITECTURE), mirror.state)
    assert mirror.asked == [f"/{name}"]
    assert (mirror.cache / "hub" / "checkpoints" / name).is_file()
    assert same(fetch_imagenet_weights(ARCHITECTURE), mirror.state)
    assert mirror.asked == [f"/{name}"]


def test_a_backbone_takes_the_downloaded_weights(mirror: Mirror) -> None:
    mirror.publish(torch_file(mirror.state))
    config = BackboneConfig(architecture=ARCHITECTURE, layers=LAYERS)
    weights = build_backbone(config, 64).weights()
    assert weights
    assert all(torch.equal(value, mirror.state[key]) for key, value in weights.items())


def config_of_the_mirror() -> BackboneConfig:
    return BackboneConfig(architecture=ARCHITECTURE, layers=LAYERS)


def test_a_download_with_a_wrong_hash_is_refused_and_not_kept(mirror: Mirror) -> None:
    mirror.publish(torch_file(mirror.state), sha256="0123456789abcdef")
    with pytest.raises(WeightsUnavailable, match="hash"):
        build_backbone(config_of_the_mirror(), 64)
    assert not [path for path in mirror.cache.rglob("*") if path.is_file()]


def test_a_file_that_is_not_on_the_server(mirror: Mirror) -> None:
    name = mirror.publish(b"")
    (mirror.folder / name).unlink()
    with pytest.raises(WeightsUnavailable, match="404"):
        build_backbone(config_of_the_mirror(), 64)


def test_without_network_the_error_says_what_to_do(mirror: Mirror) -> None:
    """Never random weights in silence."""
    url = f"http://127.0.0.1:1/{ARCHITECTURE}-b8a52dc0.pth"
    mirror.point_to(url)
    with pytest.raises(WeightsUnavailable) as caught:
        build_backbone(config_of_the_mirror(), 64)
    message = str(caught.value)
    for hint in (ARCHITECTURE, url, "--weights FILE", str(mirror.cache / "hub" / "checkpoints")):
        assert hint in message


@pytest.mark.parametrize("damage", ["empty", "truncated", "malicious"])
def test_a_damaged_file_in_the_cache_is_an_error_that_names_it(
    mirror: Mirror, damage: str, tmp_path: Path
) -> None:
    whole = torch_file(mirror.state)
    name = mirror.publish(whole)
    cached = mirror.cache / "hub" / "checkpoints" / name
    cached.parent.mkdir(parents=True)
    marker = tmp_path / "executed"
    cached.write_bytes(
        {
            "empty": b"",
            "truncated": whole[: len(whole) // 2],
            "malicious": torch_file({"a": Evil(marker)}),
        }[damage]
    )
    with pytest.raises(WeightsError, match=str(cached.parent)):
        build_backbone(config_of_the_mirror(), 64)
    assert not marker.exists()


def test_weights_of_another_architecture_are_refused(mirror: Mirror) -> None:
    mirror.publish(torch_file(STATE))
    with pytest.raises(WeightsError, match="lack"):
        build_backbone(config_of_the_mirror(), 64)
