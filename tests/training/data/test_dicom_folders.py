"""Training and evaluation take DICOM files as they take PNG and JPEG."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.dicom_files import dataset, written
from tests.helpers import CPU, scores_of, tiny_config
from training.data.annotations import read_boxes
from training.data.samples import load_samples
from training.train import train
from wscxr.bundle.bundle import Bundle
from wscxr.imaging import read_radiograph


@pytest.fixture(scope="module")
def exported(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`phantoms` as 8-bit DICOM, half of them without a suffix, as exports of a PACS are."""
    folder = tmp_path_factory.mktemp("exported")
    for kind in ("normal", "abnormal"):
        (folder / kind).mkdir()
        for number, png in enumerate(sorted((phantoms / kind).iterdir())):
            name = f"IM{number:05d}" if number % 2 else f"{number:05d}.dcm"
            with Image.open(png) as image:
                (folder / kind / name).write_bytes(written(dataset(np.asarray(image), 8)))
    return folder


def test_a_bundle_is_trained_from_dicom(exported: Path, tmp_path: Path, phantoms: Path) -> None:
    samples = load_samples(exported / "normal", exported / "abnormal", None, split="train")
    assert len(samples) == 30
    out = tmp_path / "store" / "chest" / "1"
    train(samples, tiny_config(), out, CPU)
    bundle = Bundle.load(out, CPU)
    png = sorted((phantoms / "abnormal").iterdir())[0]
    dicom = sorted((exported / "abnormal").glob("*.dcm"))[0]
    one, other = scores_of(bundle, [read_radiograph(path.read_bytes()) for path in (png, dicom)])
    assert one == pytest.approx(other, abs=0.05)


def test_boxes_lie_on_dicom_images(exported: Path, tmp_path: Path) -> None:
    image = sorted((exported / "abnormal").iterdir())[0]
    table = tmp_path / "boxes.csv"
    table.write_text(f"file,x,y,w,h\n{image},16,16,32,32\n")
    assert read_boxes(table)
