from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

import numpy as np
import pytest
import safetensors.torch
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from tests.helpers import CPU, RecordingTrack, random_backbone, tiny_config
from training.data.images import load_batches
from training.data.samples import Label, with_label
from training.data.splits import draw_split
from training.evaluation.evaluate import evaluate
from training.methods.fitting import CHECKPOINTS
from training.methods.settings import PositionalWscxr, Wscxr
from training.paper.dataset import TableData, read_table_data
from training.paper.network import Budget, ImageScorer, OnScorer, PictureMethod
from training.paper.protocols import Record, RecordStore
from training.paper.rows import Row
from training.paper.runs import Run, Runner
from training.train import train
from wscxr.anatomy import Preparation
from wscxr.bundle.bundle import Bundle
from wscxr.errors import DataError
from wscxr.imaging import InputConfig
from wscxr.progress import Track, untracked

T = TypeVar("T")

METHOD = Wscxr(hidden=(8,), steps=20, batch_size=64)
ROW = Row("wscxr", "WSCXR", METHOD, (2, 3), {})


class Brightness(PictureMethod):
    """The simplest network there is: the mean, less that of the training images, in two steps."""

    uses_anomalies: ClassVar[bool] = True
    name: Literal["brightness"] = "brightness"
    size: int = 32

    @classmethod
    def within(cls, budget: Budget) -> "Brightness":
        return cls(size=32 if budget is Budget.CPU else 64)

    def fit(
        self,
        normal: Tensor,
        anomaly: Tensor,
        *,
        seed: int,
        device: torch.device,
        track: Track = untracked,
        on_checkpoint: OnScorer | None = None,
    ) -> ImageScorer:
        assert normal.shape[1:] == anomaly.shape[1:] == (1, self.size, self.size)
        assert device == CPU
        level = float(normal.mean()) + seed

        def score(images: Tensor) -> Tensor:
            return images.mean(dim=(1, 2, 3)) - level

        for step in track(range(2), "looking", 2):
            if on_checkpoint is not None:
                on_checkpoint(score if step else lambda images: -score(images))
        return score


@pytest.fixture(scope="module")
def data(zhanglab: Path) -> TableData:
    return read_table_data(zhanglab)


def runner(data: TableData, folder: Path, track: Track = untracked) -> Runner:
    return Runner(data, tiny_config(), RecordStore(folder), CPU, track)


def runs(row: Row = ROW, draws: int = 2) -> list[Run]:
    return [Run(row, k, draw) for k in row.ks for draw in range(draws)]


@pytest.fixture(scope="module")
def records(data: TableData, tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    return runner(data, tmp_path_factory.mktemp("table")).run_all(runs())


def test_each_run_is_kept_in_its_place(records: list[Record], data: TableData) -> None:
    assert [(r.row, r.k, r.draw) for r in records] == [
        ("wscxr", k, draw) for k in (2, 3) for draw in (0, 1)
    ]
    assert len({r.scores for r in records}) == 4
    abnormal = [sample.label is Label.ABNORMAL for sample in data.test]
    for record in records:
        assert record.honest.checkpoint == CHECKPOINTS
        assert record.honest.auroc == pytest.approx(roc_auc_score(abnormal, record.scores))
        assert 1 <= record.paper.checkpoint <= CHECKPOINTS


@pytest.mark.parametrize(
    ("row", "settings"),
    [
        (ROW, {}),
        (replace(ROW, witness=True), {"align": "lungs", "lesions": "cxr", "score_rule": "mean"}),
    ],
    ids=["alone", "with the lesion network"],
)
def test_a_run_is_what_train_and_evaluate_give(
    data: TableData, tmp_path: Path, row: Row, settings: dict[str, str]
) -> None:
    """The number in the table is that of the bundle a user gets with the same K and seed."""
    # From a file: random weights would follow the seed.
    weights = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(random_backbone().weights(), weights)
    config = tiny_config(weights=str(weights), k=3, seed=1, **settings)
    train(data.pool, config, tmp_path / "b", CPU)
    found = evaluate(Bundle.load(tmp_path / "b", CPU), data.test)
    [record] = Runner(data, config, RecordStore(tmp_path), CPU).run_all([Run(row, 3, 1)])
    np.testing.assert_allclose([i.score for i in found.images], record.scores, atol=1e-3)
    assert found.image_level.auroc.value == pytest.approx(record.honest.auroc)
    for name, value in record.honest.point.model_dump().items():
        at_threshold = getattr(found.image_level.at_bundle_threshold, name)
        assert at_threshold == pytest.approx(value, abs=1e-3)


def test_the_lesion_network_is_heard_where_a_row_says_so(data: TableData, tmp_path: Path) -> None:
    """Not beside other methods, whatever the settings are."""
    config = tiny_config(align="lungs", lesions="cxr", score_rule="mean")
    rows = [ROW, replace(ROW, name="both", witness=True)]
    both = Runner(data, config, RecordStore(tmp_path / "a"), CPU)
    alone, heard = both.run_all([Run(row, 3, 0) for row in rows])
    without = Runner(
        data, tiny_config(align="lungs", score_rule="mean"), RecordStore(tmp_path / "b"), CPU
    )
    assert without.run_all([Run(ROW, 3, 0)])[0].scores == alone.scores != heard.scores


def test_every_image_goes_through_the_backbone_once_for_all_runs(
    data: TableData, tmp_path: Path
) -> None:
    track = RecordingTrack()
    runner(data, tmp_path, track).run_all(runs())
    assert track.seen["reading images"] <= len(data.pool) + len(data.test)
    assert track.seen["runs"] == 4


def test_what_was_done_is_not_done_again(data: TableData, tmp_path: Path) -> None:
    first = runner(data, tmp_path).run_all(runs()[:3])
    track = RecordingTrack()
    again = runner(data, tmp_path, track).run_all(runs())
    assert again[:3] == first
    assert track.totals["runs"] == 1
    nothing = RecordingTrack()
    assert runner(data, tmp_path, nothing).run_all(runs()) == again
    assert nothing.seen == {}


def test_an_interrupted_table_keeps_what_was_done(data: TableData, tmp_path: Path) -> None:
    def stop(items: Iterable[T], description: str, total: int) -> Iterator[T]:
        for number, item in enumerate(items):
            if (description, number, total) == ("runs", 2, 4):
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        runner(data, tmp_path, stop).run_all(runs())
    assert len(list((tmp_path / "runs").iterdir())) == 2
    assert len(runner(data, tmp_path).run_all(runs())) == 4


@pytest.mark.parametrize("change", ["method", "settings", "data"])
def test_runs_of_another_table_are_not_mixed_in(
    data: TableData, tmp_path: Path, change: str
) -> None:
    runner(data, tmp_path).run_all(runs(draws=1))
    other_row, config, other = ROW, tiny_config(), data
    match change:
        case "method":
            other_row = Row("wscxr", "WSCXR", METHOD.model_copy(update={"r": 0.5}), (2,), {})
        case "settings":
            config = tiny_config(p=1)
        case "data":
            other = TableData(data.pool[:-1], data.test, "")
    with pytest.raises(DataError, match="another folder"):
        Runner(other, config, RecordStore(tmp_path), CPU).run_all(runs(other_row, draws=1))


def test_a_network_of_its_own_sees_images_of_its_own_size(data: TableData, tmp_path: Path) -> None:
    row = Row("brightness", "Brightness", Brightness(), (3,), {})
    track = RecordingTrack()
    records = runner(data, tmp_path, track).run_all(runs(row))
    plain = Preparation(InputConfig(size=32, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)), None)
    brightness = [
        float(image.prepared.tensor[0].mean())
        for b in load_batches(data.test, plain)
        for image in b
    ]
    for record in records:
        assert record.honest.checkpoint == 2
        scores = np.array(record.scores)
        np.testing.assert_allclose(np.diff(scores), np.diff(brightness), atol=1e-5)
    # The seed is the draw's number, and it is all that differs here.
    np.testing.assert_allclose(
        np.array(records[0].scores) - np.array(records[1].scores), 1.0, atol=0.2
    )
    assert track.seen["looking"] == 4


def test_the_networks_checkpoints_are_judged_by_the_papers_protocol(
    data: TableData, tmp_path: Path
) -> None:
    """One of two opposite scorers is at least as good as chance; the protocol finds it."""
    row = Row("brightness", "Brightness", Brightness(), (3,), {})
    [record] = runner(data, tmp_path).run_all(runs(row, draws=1))
    assert record.paper.auroc == max(record.honest.auroc, 1 - record.honest.auroc)


def test_an_archive_has_no_patient_of_the_labelled_images_and_no_label(
    data: TableData, tmp_path: Path
) -> None:
    # The last eight normals stand for those beyond the pool.
    normal = with_label(data.pool, Label.NORMAL)
    pool = [sample for sample in data.pool if sample not in normal[-8:]]
    more = replace(data, pool=pool, other_normals=normal[-8:])
    row = Row("unlabelled-30", "+ unlabelled", PositionalWscxr(rank=4, steps=5), (2,), {}, 0.3)
    split = draw_split(pool, tiny_config(k=2, seed=0))
    archive = more.archive(split, 0.3, 0)
    patients = {sample.patient_id for sample in split.samples}
    assert archive
    assert not patients & {sample.patient_id for sample in archive}
    assert all(sample.label is None for sample in archive)
    assert more.archive(split, 0.3, 0) == archive
    [record] = runner(more, tmp_path).run_all(runs(row, draws=1))
    assert (record.row, record.k) == ("unlabelled-30", 2)
    # The archive is part of what the record depends on.
    other = Row("unlabelled-30", "+ unlabelled", row.method, (2,), {}, 0.1)
    with pytest.raises(DataError, match="other data, settings"):
        runner(more, tmp_path).run_all(runs(other, draws=1))
