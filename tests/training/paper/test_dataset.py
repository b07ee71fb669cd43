from pathlib import Path

import pytest

from tests.helpers import encode, noise
from training.data.samples import Label, Sample, with_label
from training.paper import dataset
from training.paper.dataset import read_table_data
from wscxr.errors import DataError, NotEnoughImages


def counts(samples: list[Sample]) -> tuple[int, int]:
    return len(with_label(samples, Label.NORMAL)), len(with_label(samples, Label.ABNORMAL))


def touch(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True)
    for number, name in enumerate(names):
        (folder / name).write_bytes(encode(noise(seed=number)))


def test_held_out_patients_are_in_no_draw(zhanglab: Path) -> None:
    data = read_table_data(zhanglab)
    assert counts(data.pool) == (14, 4)
    assert counts(data.test) == (15, 6)
    pool, test = ({sample.patient_id for sample in part} for part in (data.pool, data.test))
    assert None not in pool | test
    assert not pool & test
    assert "not its official test part" in data.description
    assert "15 normal and 6 abnormal" in data.description


def test_it_is_the_same_every_time(zhanglab: Path) -> None:
    assert read_table_data(zhanglab) == read_table_data(zhanglab)


def test_the_official_test_part_is_used_where_it_is_there(tmp_path: Path) -> None:
    touch(tmp_path / "train/NORMAL", "IM-0001-0001.jpeg", "NORMAL2-IM-0002-0001.jpeg")
    touch(tmp_path / "train/PNEUMONIA", "person1_virus_1.jpeg")
    touch(tmp_path / "test/NORMAL", "IM-0003-0001.jpeg")
    touch(tmp_path / "test/PNEUMONIA", "person2_bacteria_4.jpeg")
    data = read_table_data(tmp_path)
    assert (counts(data.pool), counts(data.test)) == ((2, 1), (1, 1))
    assert [sample.patient_id for sample in data.pool] == ["IM-0001", "IM-0002", "person1"]
    assert {sample.path.parts[-3] for sample in data.test} == {"test"}
    assert "official test part." in data.description


def test_a_manifest_gives_its_own_parts(tmp_path: Path) -> None:
    manifest = tmp_path / "data.csv"
    manifest.write_text(
        "path,label,split\na.png,normal,train\nb.png,abnormal,train\nc.png,normal,test\n"
        "d.png,abnormal,test\ne.png,normal,val\n"
    )
    data = read_table_data(manifest)
    assert [sample.path.name for sample in data.pool] == ["a.png", "b.png"]
    assert [sample.path.name for sample in data.test] == ["c.png", "d.png"]


def test_no_more_normals_than_the_paper_has(
    zhanglab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = read_table_data(zhanglab)
    monkeypatch.setattr(dataset, "POOL_NORMALS", 5)
    fewer = read_table_data(zhanglab)
    assert counts(fewer.pool) == (5, 4)
    assert set(fewer.pool) < set(everything.pool)
    assert fewer.test == everything.test


def test_what_is_no_such_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds neither"):
        read_table_data(tmp_path)
    touch(tmp_path / "normal", "somebody.png", "else.png")
    (tmp_path / "pneumonia").mkdir()
    with pytest.raises(DataError, match="carries a patient"):
        read_table_data(tmp_path)
    for path in (tmp_path / "normal").iterdir():
        path.rename(path.with_name(f"IM-{path.name}"))
    with pytest.raises(DataError, match="carries a patient"):
        read_table_data(tmp_path)


def test_an_empty_class_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "normal", "IM-0001-0001.png", "IM-0002-0001.png")
    (tmp_path / "pneumonia").mkdir()
    with pytest.raises(NotEnoughImages):
        read_table_data(tmp_path)
