"""The whole run: determinism, the file that is written, and what is refused."""

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import safetensors.torch
import torch
from safetensors import safe_open

from tests.helpers import CPU, RecordingTrack
from tests.training.pretraining.backbone.runs import EPOCHS, STEPS, config, files, run
from training.pretraining.backbone.config import ObjectiveName
from training.pretraining.backbone.run import Pretrained, pretrain
from wscxr import __version__
from wscxr.choices import WeightsSource
from wscxr.errors import ConfigError, DataError, NotEnoughImages, WeightsUnavailable
from wscxr.model.backbone import BackboneConfig, build_backbone
from wscxr.model.weights import read_weights


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


T = TypeVar("T")


class Stop:
    """A `Track` that interrupts the run after some steps, or at its end."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def __call__(self, items: Iterable[T], description: str, total: int) -> Iterator[T]:
        for number, item in enumerate(items):
            if description == "pretraining" and number == self._steps:
                raise KeyboardInterrupt
            yield item
        if description == "pretraining" and total == self._steps:
            raise KeyboardInterrupt


def interrupt(phantoms: Path, out: Path, steps: int = STEPS + 1) -> Path:
    """Leave a run in its second epoch, if not said otherwise; returns the checkpoint."""
    with pytest.raises(KeyboardInterrupt):
        run(phantoms, out, Stop(steps))
    assert not out.exists()
    return out.with_suffix(".checkpoint")


@pytest.fixture(scope="module")
def unfinished(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a run that was interrupted in its second epoch; read only."""
    return interrupt(phantoms, tmp_path_factory.mktemp("unfinished") / "own.safetensors")


@pytest.fixture
def left(unfinished: Path, tmp_path: Path) -> Path:
    """Such a checkpoint, which a test may damage."""
    return Path(shutil.copy(unfinished, tmp_path))


def test_a_run_that_is_gone_on_with_gives_what_it_would_have_given(
    phantoms: Path, tmp_path: Path
) -> None:
    """Byte for byte, probes included, even where it was interrupted twice."""
    out = tmp_path / "own.safetensors"
    assert interrupt(phantoms, out).exists()
    assert interrupt(phantoms, out, steps=STEPS + 1).exists()
    track = RecordingTrack()
    torch.manual_seed(3)
    done = run(phantoms, out, track)
    assert track.seen["pretraining"] == track.totals["pretraining"] == (EPOCHS - 2) * STEPS
    assert len(done.probes) == EPOCHS
    run(phantoms, tmp_path / "whole.safetensors")
    assert out.read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
    assert not list(tmp_path.glob("*.checkpoint"))


def test_before_the_first_epoch_is_done_there_is_nothing_to_go_on_from(
    phantoms: Path, tmp_path: Path
) -> None:
    assert not interrupt(phantoms, tmp_path / "own.safetensors", steps=1).exists()


def test_a_run_interrupted_at_its_very_end_only_writes_its_file(
    phantoms: Path, tmp_path: Path
) -> None:
    out = tmp_path / "own.safetensors"
    interrupt(phantoms, out, steps=EPOCHS * STEPS)
    track = RecordingTrack()
    assert len(run(phantoms, out, track).probes) == EPOCHS
    assert track.totals["pretraining"] == 0
    assert out.exists()


def test_nothing_in_it_can_be_run(left: Path) -> None:
    with safe_open(left, framework="pt") as file:
        assert file.metadata().keys() == {"checkpoint"}
    state = safetensors.torch.load_file(left)
    assert state["network.backbone.trunk.conv1.weight"].dtype == torch.float32


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["empty", "cut", "garbage", "no metadata", "other metadata"])
def test_a_damaged_checkpoint(phantoms: Path, left: Path, damage: str) -> None:
    whole = left.read_bytes()
    state = safetensors.torch.load(whole)
    left.write_bytes(
        {
            "empty": b"",
            "cut": whole[: len(whole) // 2],
            "garbage": b"not a checkpoint",
            "no metadata": safetensors.torch.save(state),
            "other metadata": safetensors.torch.save(state, {"checkpoint": "{}"}),
        }[damage]
    )
    with pytest.raises(DataError, match=r"own\.checkpoint is not a readable checkpoint"):
        run(phantoms, left.with_suffix(".safetensors"))
    assert left.exists()


@pytest.mark.parametrize(
    "what", ["missing", "without moments", "of another shape", "of another name"]
)
def test_a_checkpoint_whose_tensors_are_not_those_of_the_run(
    phantoms: Path, left: Path, what: str
) -> None:
    with safe_open(left, framework="pt") as file:
        metadata = file.metadata()
    state = safetensors.torch.load_file(left)
    key = "network.backbone.trunk.conv1.weight"
    if what == "without moments":
        state = {name: value for name, value in state.items() if name.startswith("network.")}
    weight = state.pop(key)
    if what == "of another shape":
        state[key] = weight[:3].contiguous()
    elif what == "without moments":
        state[key] = weight
    elif what == "of another name":
        state["conv1"] = weight
    left.write_bytes(safetensors.torch.save(state, metadata))
    with pytest.raises(DataError, match="not a whole checkpoint"):
        run(phantoms, left.with_suffix(".safetensors"))


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"epochs": 4}, {"learning_rate": 1e-3}, {"objective": ObjectiveName.GLOBAL}],
    ids=str,
)
def test_a_checkpoint_of_a_run_with_other_settings(
    phantoms: Path, left: Path, change: dict[str, Any]
) -> None:
    before = left.read_bytes()
    with pytest.raises(DataError, match="other images, settings or version"):
        run(phantoms, left.with_suffix(".safetensors"), **change)
    assert left.read_bytes() == before


def test_a_checkpoint_of_a_run_with_other_images(phantoms: Path, left: Path) -> None:
    with pytest.raises(DataError, match="other images, settings or version"):
        pretrain(files(phantoms)[:-1], config(), left.with_suffix(".safetensors"), CPU)
