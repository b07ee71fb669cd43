from pathlib import Path

import pytest

from training.data.samples import (
    Label,
    Sample,
    find_samples,
    load_samples,
    patient_groups,
    read_samples,
    with_label,
)
from wscxr.errors import DataError, NotEnoughImages, SampleListError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def manifest(folder: Path, text: str | bytes) -> Path:
    file = folder / "images.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


# --- folders ------------------------------------------------------------------------------------


def test_folders_are_read_recursively_in_the_order_of_paths(tmp_path: Path) -> None:
    touch(tmp_path, "b.PNG", "a/z.jpg", "a/deep/er/x.jpeg", "c.JpEg", "notes.txt", "d.tiff")
    (tmp_path / "folder.png").mkdir()
    found = find_samples(tmp_path, Label.NORMAL)
    names = [sample.path.relative_to(tmp_path).as_posix() for sample in found]
    assert names == ["a/deep/er/x.jpeg", "a/z.jpg", "b.PNG", "c.JpEg"]
    assert {(sample.label, sample.patient_id) for sample in found} == {(Label.NORMAL, None)}


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "file.png")
    for folder in (tmp_path / "none", tmp_path / "file.png"):
        with pytest.raises(DataError, match=f"no folder {folder}"):
            find_samples(folder, Label.NORMAL)


def test_a_folder_without_images_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.txt")
    with pytest.raises(NotEnoughImages, match=str(tmp_path)):
        find_samples(tmp_path, Label.ABNORMAL)


# --- manifests ----------------------------------------------------------------------------------


def test_a_manifest_gives_paths_and_labels(tmp_path: Path) -> None:
    file = manifest(tmp_path, "path,label\na.png,normal\nsub/b.jpg,abnormal\n/abs/c.png,normal\n")
    assert read_samples(file, "train") == [
        Sample(tmp_path / "a.png", Label.NORMAL),
        Sample(tmp_path / "sub/b.jpg", Label.ABNORMAL),
        Sample(Path("/abs/c.png"), Label.NORMAL),
    ]


def test_a_manifest_may_tell_patients(tmp_path: Path) -> None:
    file = manifest(tmp_path, "patient_id,label,path\np1,normal,a\n,normal,b\n01,abnormal,c\n")
    assert [sample.patient_id for sample in read_samples(file, "train")] == ["p1", None, "01"]


def test_a_manifest_may_tell_views(tmp_path: Path) -> None:
    file = manifest(tmp_path, "path,label,view\na,normal,PA\nb,normal,\nc,abnormal\n")
    assert [sample.view for sample in read_samples(file, "test")] == ["PA", None, None]
    file = manifest(tmp_path, "path,label\na,normal\n")
    assert [sample.view for sample in read_samples(file, "test")] == [None]


def test_only_the_rows_of_the_split_are_taken(tmp_path: Path) -> None:
    file = manifest(
        tmp_path, "path,label,split\na,normal,train\nb,normal,test\nc,abnormal,test\nd,normal,val\n"
    )
    assert [sample.path.name for sample in read_samples(file, "train")] == ["a"]
    assert [sample.path.name for sample in read_samples(file, "test")] == ["b", "c"]


def test_quotes_windows_line_ends_and_a_byte_order_mark_are_fine(tmp_path: Path) -> None:
    text = '\ufeffpath,label\r\n"with, comma.png",normal\r\n"Bräuer.png",abnormal\r\n'
    found = read_samples(manifest(tmp_path, text), "train")
    assert [sample.path.name for sample in found] == ["with, comma.png", "Bräuer.png"]


def test_other_columns_are_ignored(tmp_path: Path) -> None:
    file = manifest(tmp_path, "age,path,label\n63,a,normal\n")
    assert read_samples(file, "train") == [Sample(tmp_path / "a", Label.NORMAL)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "lacks column label, path"),
        ("path,class\na,normal\n", "lacks column label"),
        ("file,label\na,normal\n", "lacks column path"),
        ("path,label\na,normal\nb,sick\n", "line 3: label 'sick'"),
        ("path,label\na,Normal\n", "line 2: label 'Normal'"),
        ("path,label\na\n", "line 2: label None"),
        ("label,path\nnormal\n", "line 2"),
        ("path,label\n,normal\n", "line 2"),
        ("path,label,split\na,normal,tset\n", "line 2: split 'tset'"),
        (b"path,label\n\xff\xfe,normal\n", "cannot be read"),
    ],
)
def test_what_no_manifest_can_be_is_refused(tmp_path: Path, text: str | bytes, said: str) -> None:
    file = manifest(tmp_path, text)
    with pytest.raises(SampleListError, match=said) as caught:
        read_samples(file, "train")
    assert str(file) in str(caught.value)


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    for file in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(SampleListError, match=str(file)):
            read_samples(file, "train")


# --- either way -----------------------------------------------------------------------------------


def test_two_folders_or_a_manifest(tmp_path: Path) -> None:
    normal, abnormal = tmp_path / "n", tmp_path / "a"
    touch(normal, "1.png", "2.png")
    touch(abnormal, "3.png")
    file = manifest(tmp_path, "path,label,split\nx,normal,test\n")
    folders = load_samples(normal, abnormal, None, split="train")
    assert [(s.path.name, s.label) for s in folders] == [
        ("1.png", "normal"),
        ("2.png", "normal"),
        ("3.png", "abnormal"),
    ]
    assert [s.path.name for s in load_samples(None, None, file, split="test")] == ["x"]
    for given in [
        (normal, None, None),
        (None, abnormal, None),
        (None, None, None),
        (normal, abnormal, file),
        (normal, None, file),
    ]:
        with pytest.raises(DataError, match="either a manifest, or both"):
            load_samples(*given, split="train")


# --- labels and groups ----------------------------------------------------------------------------


def test_labels_are_picked_in_order() -> None:
    samples = [Sample(Path(str(i)), label) for i, label in enumerate([*Label, *Label])]
    assert with_label(samples, Label.ABNORMAL) == [samples[1], samples[3]]


def test_images_without_a_patient_are_groups_of_their_own() -> None:
    ids = ["p", None, "p", None, "1", "image 1"]
    groups = patient_groups([Sample(Path("x"), Label.NORMAL, patient) for patient in ids])
    assert groups[0] == groups[2]
    # Not even a patient called like an image is mistaken for it.
    assert len(set(groups)) == 5
