import json
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open

from tests.helpers import CPU
from training.pretraining.backbone.views import find_unlabelled
from training.pretraining.lesions import frames
from training.pretraining.lesions.config import LesionsConfig
from training.pretraining.lesions.run import TrainedLesions, pretrain_lesions
from wscxr.anatomy import LungBox, LungFields
from wscxr.engines import Network
from wscxr.errors import ConfigError, NotEnoughImages
from wscxr.imaging import Radiograph
from wscxr.model.lesions import LESION_SIDE, LesionNetwork

CONFIG = LesionsConfig(steps=3, batch_size=4, teach_after=0.5)


class Nothing:
    """Stands for the lung network, whose answers are given."""

    def run(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        raise AssertionError(batch.shape)


@pytest.fixture
def lungs(monkeypatch: pytest.MonkeyPatch) -> Network:
    """Lungs are found in the middle of each radiograph but the third."""
    numbers = count()

    def find(_: Network, __: Radiograph) -> LungFields:
        probability: NDArray[np.float32] = np.zeros((128, 128), np.float32)
        if next(numbers) % 5 == 2:
            return LungFields(probability, None)
        probability[20:110, 20:55] = probability[20:110, 75:110] = 1
        return LungFields(probability, LungBox(0.16, 0.16, 0.86, 0.86))

    monkeypatch.setattr(frames, "find_lungs", find)
    return Nothing()


def test_a_seed_gives_the_same_file_byte_for_byte_however_many_paint(
    phantoms: Path, lungs: Network, tmp_path: Path
) -> None:
    normal = find_unlabelled([phantoms / "normal"])[:5]
    others = find_unlabelled([phantoms / "abnormal"])[:5]
    done = [
        pretrain_lesions(
            normal, others, lungs, CONFIG, tmp_path / f"{n}.safetensors", CPU, workers=n
        )
        for n in (0, 1)
    ]
    assert done[0] == done[1]
    assert (done[0].images, done[0].unlabelled, done[0].without_lungs) == (4, 4, 2)
    first, second = (tmp_path / f"{n}.safetensors" for n in (0, 1))
    assert first.read_bytes() == second.read_bytes()
    with safe_open(first, "pt") as file:
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
        assert TrainedLesions(**json.loads(file.metadata()["lesions"])) == done[0]
    network = LesionNetwork()
    network.load_state_dict(state)
    assert network(torch.zeros(1, 1, LESION_SIDE, LESION_SIDE)).shape[-1] == LESION_SIDE


def test_unlabelled_chests_are_learned_from(phantoms: Path, lungs: Network, tmp_path: Path) -> None:
    normal = find_unlabelled([phantoms / "normal"])[:5]
    done = [
        pretrain_lesions(normal, others, lungs, CONFIG, tmp_path / f"{n}.safetensors", CPU)
        for n, others in enumerate([[], normal])
    ]
    assert [each.unlabelled for each in done] == [0, 4]
    assert done[0].loss != done[1].loss


def test_one_chest_is_not_enough(phantoms: Path, lungs: Network, tmp_path: Path) -> None:
    files = find_unlabelled([phantoms / "normal"])[:1]
    with pytest.raises(NotEnoughImages, match="two chests"):
        pretrain_lesions(files, [], lungs, CONFIG, tmp_path / "own.safetensors", CPU)


def test_a_file_that_exists_is_left_alone(lungs: Network, tmp_path: Path) -> None:
    (tmp_path / "own.safetensors").write_bytes(b"mine")
    for name, problem in (("own.safetensors", "exists"), ("own.pt", r"\.safetensors")):
        with pytest.raises(ConfigError, match=problem):
            pretrain_lesions([], [], lungs, CONFIG, tmp_path / name, CPU)
