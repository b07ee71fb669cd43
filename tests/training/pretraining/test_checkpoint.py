import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import safetensors.torch
import torch
from safetensors import safe_open

from tests.helpers import CPU, RecordingTrack
from tests.training.pretraining.runs import EPOCHS, STEPS, config, files, run
from training.pretraining.backbone.config import ObjectiveName
from training.pretraining.backbone.run import pretrain
from wscxr.errors import DataError

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
