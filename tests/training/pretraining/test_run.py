"""The whole run: determinism, the file that is written, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from tests.helpers import CPU, RecordingTrack
from tests.training.pretraining.runs import EPOCHS, STEPS, config, files, run
from training.pretraining.backbone.config import ObjectiveName
from training.pretraining.backbone.run import Pretrained, pretrain
from wscxr import __version__
from wscxr.errors import ConfigError, DataError, NotEnoughImages, WeightsUnavailable
from wscxr.model.backbone import BackboneConfig, build_backbone
from wscxr.model.weights import WeightsSource, read_weights


@pytest.fixture(scope="module")
def whole(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of a finished run with the default seed; read only."""
    out = tmp_path_factory.mktemp("pretrain") / "own.safetensors"
    torch.manual_seed(17)
    run(phantoms, out)
    return out


def test_one_seed_gives_the_same_bytes_whatever_the_global_state(
    phantoms: Path, whole: Path, tmp_path: Path
) -> None:
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    track = RecordingTrack()
    run(phantoms, tmp_path / "again.safetensors", track)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (tmp_path / "again.safetensors").read_bytes() == whole.read_bytes()
    assert track.seen == track.totals == {"reading images": 12, "pretraining": EPOCHS * STEPS}
    run(phantoms, tmp_path / "other.safetensors", seed=1)
    ours, other = (read_weights(path) for path in (whole, tmp_path / "other.safetensors"))
    assert not torch.equal(ours["conv1.weight"], other["conv1.weight"])


@pytest.fixture(scope="module")
def short(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of one epoch; read only."""
    out = tmp_path_factory.mktemp("short") / "own.safetensors"
    run(phantoms, out, epochs=1)
    return out


@pytest.mark.parametrize(
    "change",
    [
        {"objective": ObjectiveName.GLOBAL},
        {"objective": ObjectiveName.DENSE},
        {"learning_rate": 1e-3},
        {"weight_decay": 0.5},
    ],
    ids=str,
)
def test_every_setting_is_used(
    phantoms: Path, short: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    run(phantoms, tmp_path / "changed.safetensors", **({"epochs": 1} | change))
    base, changed = (read_weights(path) for path in (short, tmp_path / "changed.safetensors"))
    assert not torch.equal(base["conv1.weight"], changed["conv1.weight"])


def test_the_file_makes_a_backbone(whole: Path) -> None:
    settings = BackboneConfig(
        architecture="resnet18", layers=("layer1",), source=WeightsSource.FILE
    )
    trained = build_backbone(settings, 64, file=whole).weights()
    start = build_backbone(
        settings.model_copy(update={"source": WeightsSource.RANDOM}), 64, seed=config().seed
    ).weights()
    stored = read_weights(whole)
    assert stored.keys() == trained.keys()
    for key in ("conv1.weight", "layer1.1.conv2.weight", "bn1.running_mean", "bn1.weight"):
        assert not torch.equal(trained[key], start[key])
        torch.testing.assert_close(trained[key], stored[key].float())
    assert stored["conv1.weight"].dtype == torch.float16
    assert stored["bn1.running_var"].dtype == torch.float32
    assert all(torch.isfinite(value).all() for value in stored.values())


def test_the_file_tells_what_it_was_made_of(whole: Path) -> None:
    with safe_open(whole, framework="pt") as file:
        told = Pretrained.model_validate(json.loads(file.metadata()["pretrained"]))
    assert told.config == config()
    assert (told.backbone, told.layer, told.images) == ("resnet18", "layer1", 10)
    assert told.version == __version__
    assert len(told.data_sha256) == 64
    assert [probe.images for probe in told.probes] == [2] * EPOCHS
    assert len({probe.rank for probe in told.probes}) == EPOCHS


def test_training_may_go_on_from_a_file(phantoms: Path, whole: Path, tmp_path: Path) -> None:
    """At a rate of nearly nothing only the statistics of batch normalisation move."""
    out = tmp_path / "further.safetensors"
    run(phantoms, out, weights=str(whole), learning_rate=1e-30, epochs=1)
    further, before = read_weights(out), read_weights(whole)
    assert torch.equal(further["conv1.weight"], before["conv1.weight"])
    assert not torch.equal(further["bn1.running_mean"], before["bn1.running_mean"])


@pytest.mark.parametrize(
    ("backbone", "layer"), [("regnet_x_400mf", "trunk_output.block1"), ("swin_t", "features.1")]
)
def test_other_families_are_trained_too(
    phantoms: Path, tmp_path: Path, backbone: str, layer: str
) -> None:
    """Some of them put the channels last."""
    done = run(phantoms, tmp_path / "w.safetensors", backbone=backbone, layer=layer, epochs=1)
    assert done.layer == layer
    assert done.probes[0].rank > 1


# --- what is refused ----------------------------------------------------------------------------


def test_an_existing_file_is_left_alone(phantoms: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.safetensors"
    out.write_bytes(b"precious")
    with pytest.raises(ConfigError, match="exists"):
        run(phantoms, out)
    assert out.read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["own", "own.pth", "own.safetensors.bak"])
def test_the_name_must_say_what_the_file_is(phantoms: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"name a \.safetensors file"):
        run(phantoms, tmp_path / name)


def test_two_batches_are_the_least(phantoms: Path, tmp_path: Path) -> None:
    found = files(phantoms)
    with pytest.raises(NotEnoughImages, match="needs at least 8 radiographs, but there are 7"):
        pretrain(found[:7], config(), tmp_path / "w.safetensors", CPU)
    done = pretrain(found[:8], config(epochs=1), tmp_path / "w.safetensors", CPU)
    assert (done.images, done.probes[0].images) == (6, 2)


@pytest.mark.parametrize("epochs", [1, 3])
def test_training_that_diverges_is_an_error(phantoms: Path, tmp_path: Path, epochs: int) -> None:
    """Whether the next step sees it or the probe."""
    out = tmp_path / "w.safetensors"
    with pytest.raises(ConfigError, match="diverged: lower learning_rate"):
        run(phantoms, out, learning_rate=1e30, epochs=epochs)
    assert not out.exists()


def test_an_image_that_cannot_be_read_is_named(phantoms: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"broken")
    with pytest.raises(DataError, match=r"broken\.png"):
        pretrain([*files(phantoms), broken], config(), tmp_path / "w.safetensors", CPU)


def test_weights_to_start_from_that_are_not_there(phantoms: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match=r"gone\.pth"):
        run(phantoms, tmp_path / "w.safetensors", weights=str(tmp_path / "gone.pth"))
