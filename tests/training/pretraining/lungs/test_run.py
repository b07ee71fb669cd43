"""Training runs of a few steps on phantoms, with two rectangles for lungs."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from tests.helpers import CPU, RecordingTrack, lung_finder
from training.pretraining.lungs.config import LungsConfig
from training.pretraining.lungs.masks import MaskedImage, MaskedPictures, read_masked_images
from training.pretraining.lungs.run import TrainedLungs, pretrain_lungs
from training.pretraining.lungs.training import LungTraining
from wscxr.anatomy import LungNetwork, find_lungs
from wscxr.errors import ConfigError, DataError, NotEnoughImages, SampleListError
from wscxr.imaging import Radiograph
from wscxr.progress import Track, untracked

CONFIG = LungsConfig(steps=4, batch_size=4, mispaired_below=0)


@pytest.fixture(scope="module")
def manifest(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 phantoms, every third an adult."""
    folder = tmp_path_factory.mktemp("masks")
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 10:28] = mask[16:48, 36:54] = 255
    Image.fromarray(mask).save(folder / "lungs.png")
    images = sorted((phantoms / "normal").iterdir())
    with (folder / "masks.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "mask", "patient_id", "group"])
        for number, image in enumerate(images):
            group = "adults" if number % 3 == 0 else "children"
            rows.writerow([image, "lungs.png", f"patient {number}", group])
    return folder / "masks.csv"


def run(manifest: Path, out: Path, track: Track = untracked) -> TrainedLungs:
    unlabelled = [image.image for image in read_masked_images(manifest)[:5]]
    return pretrain_lungs(read_masked_images(manifest), unlabelled, CONFIG, out, CPU, track=track)


@pytest.fixture(scope="module")
def trained(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainedLungs]:
    out = tmp_path_factory.mktemp("lungs") / "lungs.safetensors"
    return out, run(manifest, out)


def test_the_file_holds_the_network_and_says_how_it_was_made(
    trained: tuple[Path, TrainedLungs],
) -> None:
    out, done = trained
    with safe_open(out, "pt") as file:
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
        assert TrainedLungs(**json.loads(file.metadata()["lungs"])) == done
    network = LungNetwork()
    network.load_state_dict(state)
    found = find_lungs(lung_finder(network), Radiograph(np.eye(64, dtype=np.uint8) * 255, "PNG"))
    assert found.probability.shape == (128, 128)
    assert 0 < sum(group.images for group in done.dice) == 24 - done.images
    assert done.unlabelled == 5


def test_a_seed_gives_the_same_file_byte_for_byte(
    manifest: Path, trained: tuple[Path, TrainedLungs], tmp_path: Path
) -> None:
    track = RecordingTrack()
    torch.manual_seed(5)
    run(manifest, tmp_path / "again.safetensors", track)
    assert (tmp_path / "again.safetensors").read_bytes() == trained[0].read_bytes()
    assert track.seen["training the lung network"] == CONFIG.steps


def test_a_patient_is_held_out_whatever_the_image() -> None:
    places = [
        {
            MaskedImage(Path(name), Path("mask"), f"patient {number}", "").held_out
            for name in ("first", "second")
        }
        for number in range(500)
    ]
    assert all(len(place) == 1 for place in places)
    assert 30 <= sum(place == {True} for place in places) <= 70


def test_masks_of_other_radiographs_are_dropped(
    manifest: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The network's own masks are made to agree with all drawn ones but the third's."""

    def dice(_: LungTraining, pictures: MaskedPictures) -> torch.Tensor:
        found = torch.full((len(pictures.pixels),), 0.9)
        found[2:3] = 0.2
        return found

    monkeypatch.setattr(LungTraining, "dice", dice)
    config = CONFIG.model_copy(update={"mispaired_below": 0.75})
    images = read_masked_images(manifest)
    done = pretrain_lungs(images, [], config, tmp_path / "lungs.safetensors", CPU)
    assert done.mispaired == 1


def test_a_file_that_exists_is_left_alone(manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "lungs.safetensors"
    out.write_bytes(b"mine")
    with pytest.raises(ConfigError, match="exists"):
        run(manifest, out)
    with pytest.raises(ConfigError, match=r"\.safetensors"):
        run(manifest, tmp_path / "lungs.pt")


def test_one_patient_is_not_enough(manifest: Path, tmp_path: Path) -> None:
    images = read_masked_images(manifest)[:1]
    with pytest.raises(NotEnoughImages, match="more patients"):
        pretrain_lungs(images, [], CONFIG, tmp_path / "lungs.safetensors", CPU)


def test_a_mask_that_is_no_image_is_named(manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    images = [
        MaskedImage(image.image, tmp_path / "bad.png", image.patient, "")
        for image in read_masked_images(manifest)
    ]
    with pytest.raises(DataError, match=r"bad\.png"):
        pretrain_lungs(images, [], CONFIG, tmp_path / "lungs.safetensors", CPU)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("image\na.png\n", "lacks column mask"),
        ("image,mask\na.png,\n", "line 2: there is no image or no mask"),
    ],
)
def test_a_bad_list_is_named(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "masks.csv"
    path.write_text(text)
    with pytest.raises(SampleListError, match=problem):
        read_masked_images(path)
