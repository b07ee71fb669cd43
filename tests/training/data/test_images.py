import hashlib
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers import RecordingTrack, encode, noise
from training.data import images as images_module
from training.data.images import BATCH, in_batches, load_batches, open_radiograph, readable
from training.data.samples import Label, Sample
from wscxr.anatomy import Preparation
from wscxr.errors import DataError
from wscxr.imaging import InputConfig, read_radiograph, to_model_input

CONFIG = InputConfig(size=32)
PREPARE = Preparation(CONFIG, None)


def write_images(folder: Path, count: int) -> list[Sample]:
    samples = []
    for number in range(count):
        path = folder / f"{number:03d}.png"
        path.write_bytes(encode(noise(40, 33 + number % 5, seed=number)))
        samples.append(Sample(path, Label.NORMAL))
    return samples


def bad_files(folder: Path) -> dict[str, Path]:
    """One file of each kind that cannot be used."""
    folder.mkdir(exist_ok=True)
    files = {
        "truncated": encode(noise())[:-100],
        "text": b"text",
        "empty": b"",
        "blank": encode(np.zeros((40, 40), np.uint8)),
    }
    for name, data in files.items():
        (folder / f"{name}.png").write_bytes(data)
    (folder / "folder.png").mkdir(exist_ok=True)
    return {name: folder / f"{name}.png" for name in [*files, "folder", "missing"]}


REASONS = {
    "truncated": "corrupt_image",
    "text": "unsupported_format",
    "empty": "empty_file",
    "blank": "blank_image",
    "folder": "directory",
    "missing": "No such file",
}


def test_an_image_comes_with_its_bytes(tmp_path: Path) -> None:
    [sample] = write_images(tmp_path, 1)
    radiograph, data = open_radiograph(sample.path)
    assert data == sample.path.read_bytes()
    np.testing.assert_array_equal(radiograph.pixels, read_radiograph(data).pixels)


@pytest.mark.parametrize("kind", REASONS)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(tmp_path: Path, kind: str) -> None:
    path = bad_files(tmp_path)[kind]
    with pytest.raises(DataError, match=REASONS[kind]) as caught:
        open_radiograph(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("count", [0, 1, BATCH, BATCH + 1, 3 * BATCH - 1, 70, 140])
def test_batches_keep_the_order_and_lose_nothing(tmp_path: Path, count: int) -> None:
    samples = write_images(tmp_path, count)
    track = RecordingTrack()
    batches = list(load_batches(samples, PREPARE, track))
    assert [len(batch) for batch in batches[:-1]] == [BATCH] * max(0, len(batches) - 1)
    found = [image for batch in batches for image in batch]
    assert [image.sha256 for image in found] == [
        hashlib.sha256(sample.path.read_bytes()).hexdigest() for sample in samples
    ]
    for sample, image in list(zip(samples, found, strict=True))[::13]:
        expected = to_model_input(read_radiograph(sample.path.read_bytes()), CONFIG)
        assert torch.equal(image.prepared.tensor, expected)
    assert track.seen.get("reading images", 0) == track.totals["reading images"] == count


def test_whatever_is_wanted_of_an_image_is_loaded_on_other_threads(tmp_path: Path) -> None:
    samples = write_images(tmp_path, 2 * BATCH + 1)
    threads = set()

    def load(sample: Sample) -> str:
        threads.add(threading.get_ident())
        return sample.path.name

    track = RecordingTrack()
    batches = list(in_batches(samples, load, track))
    assert [len(batch) for batch in batches] == [BATCH, BATCH, 1]
    assert [name for batch in batches for name in batch] == [s.path.name for s in samples]
    assert threading.get_ident() not in threads
    assert track.seen == track.totals == {"reading images": 2 * BATCH + 1}


def test_an_unreadable_file_among_many_stops_and_is_named(tmp_path: Path) -> None:
    samples = write_images(tmp_path, 30)
    samples[20].path.write_bytes(b"broken")
    with pytest.raises(DataError, match=r"020\.png"):
        list(load_batches(samples, PREPARE))


def test_files_are_not_all_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = write_images(tmp_path, 40)
    opened: list[Path] = []
    lock = threading.Lock()
    original = images_module.open_radiograph

    def spy(path: Path, side: int | None = None) -> object:
        with lock:
            opened.append(path)
        return original(path, side)

    monkeypatch.setattr(images_module, "open_radiograph", spy)
    monkeypatch.setattr(images_module, "_READ_AHEAD", 4)
    batches = load_batches(samples, PREPARE)
    next(batches)
    assert len(opened) <= BATCH + 4
    assert sum(len(batch) for batch in batches) == 40 - BATCH
    assert len(opened) == 40


def test_no_thread_is_left_when_the_reader_is_dropped(tmp_path: Path) -> None:
    before = threading.active_count()
    batches = load_batches(write_images(tmp_path, 40), PREPARE)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_readable_parts_the_good_from_the_bad(tmp_path: Path) -> None:
    good = write_images(tmp_path, 5)
    bad = [Sample(path, Label.NORMAL) for path in bad_files(tmp_path / "bad").values()]
    mixed = [good[0], *bad[:3], *good[1:4], *bad[3:], good[4]]
    track = RecordingTrack()
    kept, reasons = readable(mixed, track)
    assert kept == good
    assert len(reasons) == len(bad)
    for sample, reason in zip(bad, reasons, strict=True):
        assert reason.startswith(f"{sample.path}: ")
        assert REASONS[sample.path.stem] in reason
    assert track.seen["checking images"] == track.totals["checking images"] == len(mixed)
    assert readable([]) == ([], [])
