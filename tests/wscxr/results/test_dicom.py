"""DICOM objects made of a scored radiograph."""

import io
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from highdicom import sr
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

from tests.dicom_files import PATIENT_ID, PATIENT_NAME, dataset, picture, written
from wscxr.bundle.identity import ModelIdentity
from wscxr.errors import OutOfScope
from wscxr.imaging import Assumed, DicomRules, Radiograph, read_radiograph
from wscxr.model.calibration import Decision
from wscxr.prediction import Prediction
from wscxr.process import quiet_dicom
from wscxr.results.dicom.capture import Capture, Encoding
from wscxr.results.dicom.identity import DEFAULT_KINDS, ResultKind, is_own_result
from wscxr.results.dicom.make import make_results, to_bytes
from wscxr.results.png import ColourScale

MODEL = ModelIdentity(name="chest", version="3", sha256="ab" * 32)
DCIODVFY = shutil.which("dciodvfy")
SCALE = ColourScale(low=0.0, high=1.5)
ALL = list(ResultKind)
ANY_PART = DicomRules(assume=Assumed(body_part="CHEST", modality="CR"))

every_kind = pytest.mark.parametrize("kind", ALL)


def spots() -> NDArray[np.float32]:
    """A map of two regions over 0.8: one inside, one over the corner."""
    anomaly_map = np.full((16, 16), 0.1, np.float32)
    anomaly_map[3:6, 4:8] = 1.3
    anomaly_map[13:, :2] = 1.1
    return anomaly_map


def prediction(
    anomaly_map: NDArray[np.float32] | None = None,
    ood_score: float | None = 0.5,
    model: ModelIdentity = MODEL,
) -> Prediction:
    anomaly_map = spots() if anomaly_map is None else anomaly_map
    score = float(anomaly_map.max())
    decision = Decision.ABNORMAL if score > 0.8 else Decision.NORMAL
    return Prediction(
        model=model,
        score=score,
        p_value=0.0123,
        threshold=0.8,
        decision=decision,
        ood_score=ood_score,
        anomaly_map=anomaly_map,
        colour_scale=SCALE,
    )


def made(
    kind: ResultKind,
    source: Dataset | Radiograph | None = None,
    found: Prediction | None = None,
    capture: Capture | None = None,
) -> Dataset:
    """One result, written and read again."""
    if not isinstance(source, Radiograph):
        source = read_radiograph(written(source or dataset()), rules=ANY_PART)
    results = make_results((found or prediction()).of(source), [kind], capture)
    assert list(results) == [kind]
    return pydicom.dcmread(io.BytesIO(to_bytes(results[kind])))


def test_the_default_is_a_picture_and_a_report() -> None:
    radiograph = read_radiograph(written(dataset()))
    results = make_results(prediction().of(radiograph))
    assert tuple(results) == DEFAULT_KINDS == (ResultKind.SC, ResultKind.SR)


@every_kind
def test_patient_and_study_are_those_of_the_source(kind: ResultKind) -> None:
    source = dataset(PatientName="Yamada^Tarou=山田^太郎", StudyDescription="Thorax p.a.")
    result = made(kind, source)
    for name in (
        "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID",
        "StudyDate", "StudyTime", "AccessionNumber", "StudyID", "SpecificCharacterSet",
    ):  # fmt: skip
        assert result.get(name) == source.get(name), name
    assert result.SeriesInstanceUID != source.SeriesInstanceUID
    assert result.ManufacturerModelName == "wscxr"
    assert is_own_result(result)
    assert not is_own_result(source)


LATIN, JAPANESE = "Müller^Jörg", "Yamada^Tarou=山田^太郎=やまだ^たろう"
HALF_WIDTH = "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"
CHARACTER_SETS = {
    # Every one of PS3.3, tables C.12-2 to C.12-5, with a name that only it, or its kind, can write.
    "": ("Smith^John", "ascii"),
    "ISO_IR 6": ("Smith^John", "ascii"),
    "ISO_IR 100": (LATIN, "latin_1"),
    "ISO_IR 101": ("Wałęsa^Lech", "iso8859_2"),
    "ISO_IR 109": ("Ĉapelo^Ĝoĝo", "iso8859_3"),
    "ISO_IR 110": ("Bērziņš^Jānis", "iso8859_4"),
    "ISO_IR 144": ("Люксембург^Роза", "iso8859_5"),
    "ISO_IR 127": ("قباني^لنزار", "iso8859_6"),
    "ISO_IR 126": ("Διονυσιος^Νικος", "iso8859_7"),
    "ISO_IR 138": ("שרון^דבורה", "iso8859_8"),
    "ISO_IR 148": ("Çavuşoğlu^İbrahim", "iso8859_9"),
    "ISO_IR 203": ("Škoda^Žofie", "iso8859_15"),
    "ISO_IR 13": ("ﾔﾏﾀﾞ^ﾀﾛｳ", "shift_jis"),
    "ISO_IR 166": ("สมชาย^ใจดี", "iso8859_11"),
    "ISO_IR 192": (JAPANESE, "utf_8"),
    "GB18030": ("Wang^XiaoDong=王^小东", "gb18030"),
    "GBK": ("Wang^XiaoDong=王^小东", "gbk"),
    "ISO 2022 IR 100": (LATIN, "latin_1"),
    "ISO 2022 IR 203": ("Škoda^Žofie", "iso8859_15"),
    "\\ISO 2022 IR 87": (JAPANESE, None),
    "\\ISO 2022 IR 87\\ISO 2022 IR 159": (JAPANESE, None),
    "ISO 2022 IR 13\\ISO 2022 IR 87": (HALF_WIDTH, None),
    "\\ISO 2022 IR 149": ("Hong^Gildong=洪^吉洞=홍^길동", None),
    "\\ISO 2022 IR 58": ("Zhang^XiaoDong=张^小东", None),
    "\\ISO 2022 IR 144": ("Lyuk^Roza=Люк^Роза", None),
    # Wrong, but met.
    "ISO_IR 192\\ISO 2022 IR 87": (JAPANESE, "utf_8"),
    "UTF-8": (JAPANESE, "utf_8"),
    "UTF8": (JAPANESE, "utf_8"),
    "utf-8": (JAPANESE, "utf_8"),
    "ISO_IR_192": (JAPANESE, "utf_8"),
    "ISO IR 192": (JAPANESE, "utf_8"),
    "ISO-IR 100": (LATIN, "latin_1"),
    "ISO IR 100": (LATIN, "latin_1"),
    "ISO_IR100": (LATIN, "latin_1"),
    "ISO8859-1": (LATIN, "latin_1"),
    "ISO_8859-1": (LATIN, "latin_1"),
    "LATIN1": (LATIN, "latin_1"),
    "WINDOWS-1252": (LATIN, "latin_1"),
    "NONSENSE": ("Smith^John", "ascii"),
}


def with_character_set(said: str, name: str, encoding: str | None) -> bytes:
    """A file whose character set is written as given, and whose name is in `encoding`."""
    if said.endswith("IR 58"):  # after each delimiter anew (PS3.5, K.2), which pydicom does not do
        escape = b"\x1b$)A"
        encoded = name.encode("gb2312").replace(b"=", b"=" + escape)
        encoded = encoded[:-5] + encoded[-5:].replace(b"^", b"^" + escape)
    elif encoding is None:
        whole = written(dataset(SpecificCharacterSet=said.split("\\"), PatientName=name))
        found = pydicom.dcmread(io.BytesIO(whole)).get_item("PatientName")
        encoded = found.value
    else:
        encoded = name.encode(encoding)
    source = dataset(SpecificCharacterSet=None, PatientName=None)
    for tag, vr, value in [(0x00080005, "CS", said.encode()), (0x00100010, "PN", encoded)]:
        padded = value + b" " * (len(value) % 2)
        source[tag] = RawDataElement(
            Tag(tag), vr, len(padded), padded, 0, is_implicit_VR=False, is_little_endian=True
        )
    with quiet_dicom:
        return written(source)


@pytest.mark.parametrize("said", CHARACTER_SETS)
def test_every_character_set_becomes_unicode(said: str, tmp_path: Path) -> None:
    name, encoding = CHARACTER_SETS[said]
    source = read_radiograph(with_character_set(said, name, encoding))
    for kind in ALL:
        result = made(kind, source)
        assert result.SpecificCharacterSet == "ISO_IR 192"
        assert str(result.PatientName) == name
        if DCIODVFY is not None:
            file = tmp_path / "result.dcm"
            file.write_bytes(to_bytes(result))
            assert errors(file) == set()


@every_kind
def test_invalid_values_of_the_source_are_not_copied(kind: ResultKind, tmp_path: Path) -> None:
    invalid: dict[str, Any] = {
        "PatientAge": "81",
        "PatientBirthDate": "04.07.1950",
        "PatientSex": "weiblich",
        "StudyDate": "2024-05-01",
        "StudyTime": "10:11:12 Uhr",
        "AccessionNumber": "ACC-1",
    }
    source = dataset(**invalid)
    result = made(kind, source)
    for name in ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"):
        assert not result[name].value, name
    assert not result.get("PatientAge")
    assert result.AccessionNumber == "ACC-1"
    assert result.PatientID == source.PatientID
    assert not set(invalid.values()) - {"ACC-1"} & {str(e.value) for e in result.iterall()}
    if DCIODVFY is not None:
        file = tmp_path / "result.dcm"
        file.write_bytes(to_bytes(result))
        assert errors(file) == set()


@pytest.mark.parametrize("missing", ["SOPInstanceUID", "Manufacturer", "ManufacturerModelName"])
def test_a_radiograph_is_no_result_for_one_likeness_alone(missing: str) -> None:
    result = made(ResultKind.SC)
    assert is_own_result(result)
    result[missing].value = dataset()[missing].value if missing in dataset() else "Other"
    assert not is_own_result(result)


@every_kind
def test_a_name_with_a_backslash_in_it_is_its_first_part(kind: ResultKind) -> None:
    source = dataset(PatientName=["Smith^John", "Jones"], OtherPatientNames=["A", "B"])
    assert str(made(kind, source).PatientName) == "Smith^John"


@every_kind
def test_work_done_twice_gives_the_same_bytes(kind: ResultKind) -> None:
    radiograph = read_radiograph(written(dataset()))
    first = to_bytes(make_results(prediction().of(radiograph), [kind])[kind])
    time.sleep(1.1)  # times of day are written to the second
    second = to_bytes(make_results(prediction().of(radiograph), [kind])[kind])
    assert first == second


@every_kind
def test_uids_follow_from_instance_bundle_and_kind(kind: ResultKind) -> None:
    result = made(kind)
    other_image = made(kind, dataset(SOPInstanceUID="1.2.3.4.5"))
    later = ModelIdentity(name="chest", version="4", sha256="cd" * 32)
    other_bundle = made(kind, found=prediction(model=later))
    uids = {item.SOPInstanceUID for item in (result, other_image, other_bundle)}
    assert len(uids) == 3
    # One series for all images of a study that one bundle scored.
    assert result.SeriesInstanceUID == other_image.SeriesInstanceUID
    assert result.SeriesInstanceUID != other_bundle.SeriesInstanceUID
    assert len({made(other).SOPInstanceUID for other in ALL}) == len(ALL)


@every_kind
def test_results_are_not_scored_themselves(kind: ResultKind) -> None:
    with pytest.raises(OutOfScope):
        read_radiograph(to_bytes(made(kind)))


BARE: dict[str, Any] = dict.fromkeys(
    ["PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
     "AccessionNumber", "StudyID", "ReferringPhysicianName", "PatientOrientation",
     "BodyPartExamined", "ViewPosition", "InstanceNumber", "SpecificCharacterSet", "Manufacturer"]
)  # fmt: skip


@every_kind
def test_a_header_with_next_to_nothing_will_do(kind: ResultKind) -> None:
    result = made(kind, dataset(**BARE))
    assert result.PatientID in ("", None)
    assert to_bytes(result) == to_bytes(made(kind, dataset(**BARE)))


def test_the_capture_shows_the_overlay_and_a_legend_below_it() -> None:
    radiograph = read_radiograph(written(dataset()))
    result = made(ResultKind.SC, radiograph)
    pixels = result.pixel_array
    # 96 x 80 is shown eight times as large.
    assert pixels.shape[1] == 640
    legend = pixels[768:]
    assert legend.max() == 255
    hot, cold = pixels[200:230, 210:270], pixels[400:480, 400:480]
    colour = hot.astype(int).max(axis=2) - hot.astype(int).min(axis=2)
    assert colour.mean() > 60
    assert (cold.astype(int).max(axis=2) - cold.astype(int).min(axis=2)).mean() < 20
    assert result.BurnedInAnnotation == "NO"
    assert result.SourceImageSequence[0].ReferencedSOPInstanceUID == dataset().SOPInstanceUID


def test_the_legend_tells_the_numbers_apart() -> None:
    radiograph = read_radiograph(written(dataset()))
    one = made(ResultKind.SC, radiograph).pixel_array[768:]
    calm = prediction(np.full((16, 16), 0.1, np.float32))
    two = made(ResultKind.SC, radiograph, calm).pixel_array[768:]
    assert (one != two).any()


def test_the_legend_has_a_line_more_for_what_is_unlike_the_training_images() -> None:
    radiograph = read_radiograph(written(dataset()))
    plain = made(ResultKind.SC, radiograph, prediction(ood_score=1.0))
    marked = made(ResultKind.SC, radiograph, prediction(ood_score=1.2))
    assert marked.Columns == plain.Columns
    assert marked.Rows > plain.Rows
    np.testing.assert_array_equal(marked.pixel_array[:768], plain.pixel_array[:768])


@pytest.mark.parametrize("longest", [512, 1024, 1280])
def test_large_pictures_are_made_smaller(longest: int) -> None:
    large = dataset(np.kron(np.arange(48).reshape(6, 8), np.ones((500, 500))).astype(np.uint16))
    result = made(ResultKind.SC, large, capture=Capture(longest=longest))
    assert result.Columns == longest
    shown = result.pixel_array[: longest * 3 // 4]
    assert shown[8, 8].max() < 16
    # The last square is the brightest: the whole radiograph is there.
    assert shown[-16, -16].min() > 200


def test_a_capture_is_compressed_unless_it_must_not_be() -> None:
    source = dataset(picture(rows=960, columns=800))
    small = made(ResultKind.SC, source)
    native = made(ResultKind.SC, source, capture=Capture(encoding=Encoding.NATIVE))
    assert small.file_meta.TransferSyntaxUID == JPEGBaseline8Bit
    assert (small.LossyImageCompression, small.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
    assert native.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert native.PhotometricInterpretation == "RGB"
    assert "LossyImageCompression" not in native
    assert small.SOPInstanceUID == native.SOPInstanceUID
    assert len(native.PixelData) > 5 * len(small.PixelData)
    difference = np.abs(small.pixel_array.astype(int) - native.pixel_array.astype(int))
    assert difference.mean() < 4  # most of it is noise


def content(result: Dataset) -> dict[str, Any]:
    """Numbers and codes of the report by their concept."""
    found: dict[str, Any] = {}

    def walk(items: Any) -> None:
        for item in items:
            name = item.ConceptNameCodeSequence[0] if "ConceptNameCodeSequence" in item else None
            if item.ValueType == "NUM" and name:
                value = item.MeasuredValueSequence[0].NumericValue
                found.setdefault(name.CodeValue, []).append(float(value))
            elif item.ValueType == "CODE" and name:
                found[name.CodeValue] = item.ConceptCodeSequence[0].CodeValue
            elif item.ValueType == "TEXT" and name:
                found.setdefault(name.CodeMeaning, []).append(item.TextValue)
            elif item.ValueType == "SCOORD":
                found.setdefault("outlines", []).append(item)
            walk(item.get("ContentSequence", []))

    walk(result.ContentSequence)
    return found


def test_the_report_holds_every_number() -> None:
    found = content(made(ResultKind.SR))
    assert found["SCORE"] == [pytest.approx(1.3)]
    assert found["PVALUE"] == [pytest.approx(0.0123)]
    assert found["THRESHOLD"] == [pytest.approx(0.8)]
    assert found["DECISION"] == "ABNORMAL"
    assert found["PEAK"] == [pytest.approx(1.3), pytest.approx(1.1)]
    assert "chest" in found["Algorithm Name"]
    assert "3" in found["Algorithm Version"]
    assert f"sha256={MODEL.sha256}" in found["Algorithm Parameters"]


@pytest.mark.parametrize(
    ("ood_score", "trust"), [(0.7, None), (1.2, "UNLIKE"), (None, "NOTCHECKED")]
)
def test_the_report_says_what_is_unlike_the_training_images(
    ood_score: float | None, trust: str | None
) -> None:
    result = made(ResultKind.SR, found=prediction(ood_score=ood_score))
    found = content(result)
    assert found.get("OODSCORE") == (None if ood_score is None else [pytest.approx(ood_score)])
    assert found.get("TRUST") == trust
    assert found["RESEARCH"] == "RESEARCH"
    sr.Comprehensive3DSR.from_dataset(result)


def test_the_report_outlines_the_regions_in_the_source() -> None:
    # The source has 80 columns and 96 rows; the map 16 and 16.
    found = content(made(ResultKind.SR))
    inside, corner = found["outlines"]
    points = np.reshape(inside.GraphicData, (-1, 2))
    np.testing.assert_array_equal(points[0], points[-1])
    np.testing.assert_allclose(points.mean(axis=0), [6 * 5, 4.5 * 6], atol=6)
    at_the_corner = np.reshape(corner.GraphicData, (-1, 2))
    assert at_the_corner[:, 0].min() < 3
    assert at_the_corner[:, 1].max() > 93
    assert at_the_corner[:, 1].max() <= 96


def test_highdicom_reads_the_report() -> None:
    report = sr.Comprehensive3DSR.from_dataset(made(ResultKind.SR))
    assert isinstance(report.content, sr.MeasurementReport)
    assert len(report.content.get_image_measurement_groups()) == 1
    assert len(report.content.get_planar_roi_measurement_groups()) == 2


def test_the_segmentation_is_the_region() -> None:
    mask = made(ResultKind.SEGMENTATION).pixel_array
    assert mask.shape == (96, 80)
    assert mask[27, 30] == 1
    assert mask[93, 3] == 1
    assert mask[50, 60] == 0
    assert 0.03 < mask.mean() < 0.12


@every_kind
def test_a_normal_radiograph_has_results_without_regions(kind: ResultKind) -> None:
    calm = prediction(np.full((16, 16), 0.1, np.float32))
    result = made(kind, found=calm)
    if kind is ResultKind.SR:
        assert content(result)["DECISION"] == "NORMAL"
        assert "outlines" not in content(result)
    if kind is ResultKind.SEGMENTATION:
        assert not result.pixel_array.any()


def test_the_presentation_state_draws_over_the_source() -> None:
    annotation = made(ResultKind.GSPS).GraphicAnnotationSequence[0]
    reference = annotation.ReferencedImageSequence[0]
    assert reference.ReferencedSOPInstanceUID == dataset().SOPInstanceUID
    assert len(annotation.GraphicObjectSequence) == 2
    assert "research" in annotation.TextObjectSequence[0].UnformattedTextValue.lower()


def test_without_an_ood_score_the_drawn_results_say_so() -> None:
    unchecked = prediction(ood_score=None)
    annotation = made(ResultKind.GSPS, found=unchecked).GraphicAnnotationSequence[0]
    assert "Not checked" in annotation.TextObjectSequence[0].UnformattedTextValue
    plain = made(ResultKind.SC).pixel_array
    assert made(ResultKind.SC, found=unchecked).pixel_array.shape[0] > plain.shape[0]


def test_only_dicom_has_dicom_results() -> None:
    with pytest.raises(ValueError, match="DICOM"):
        make_results(prediction().of(Radiograph(np.zeros((64, 64), np.uint8), "PNG")))
    with pytest.raises(ValueError, match="DICOM"):
        make_results(prediction())


# --- validity -----------------------------------------------------------------------------------

DATA = os.environ.get("WSCXR_TEST_DATA")
REAL = sorted(Path(DATA, "data", "dicom").glob("*.dcm")) if DATA else []
SYNTHETIC: dict[str, Callable[[], Dataset]] = {
    "cr": dataset,
    "bare": lambda: dataset(**BARE),
    "japanese": lambda: dataset(PatientName="Yamada^Tarou=山田^太郎"),
    "no spacing": lambda: dataset(ImagerPixelSpacing=["0", "0"]),
    "spacing": lambda: dataset(ImagerPixelSpacing=["0.15", "0.15"]),
    "leg": lambda: dataset(BodyPartExamined="LEG"),
}


def errors(file: Path) -> set[str]:
    """What dciodvfy finds, by the values it complains of where it names them."""
    assert DCIODVFY is not None
    told = subprocess.run([DCIODVFY, file], capture_output=True, check=False).stderr
    lines = [line for line in told.decode(errors="replace").splitlines() if "Error" in line]
    general = re.compile(r"Error - Dicom dataset contains invalid data values")
    return {
        "; ".join(re.findall(r'"[^"]+"|= <[^>]*>', line)) or line
        for line in lines
        if not general.match(line)
    }


def check_valid(data: bytes, kind: ResultKind, folder: Path) -> None:
    source, target = folder / "source.dcm", folder / "result.dcm"
    source.write_bytes(data)
    target.write_bytes(to_bytes(made(kind, read_radiograph(data, rules=ANY_PART))))
    assert errors(target) <= errors(source)


@pytest.mark.skipif(
    DCIODVFY is None, reason="needs dicom3tools; on Debian: apt-get install dicom3tools"
)
class TestValidity:
    @every_kind
    @pytest.mark.parametrize("name", SYNTHETIC)
    def test_of_made_files(self, name: str, kind: ResultKind, tmp_path: Path) -> None:
        check_valid(written(SYNTHETIC[name]()), kind, tmp_path)

    @pytest.mark.parametrize("encoding", Encoding)
    def test_of_every_encoding(self, encoding: Encoding, tmp_path: Path) -> None:
        target = tmp_path / "result.dcm"
        drawn = Capture(encoding=encoding)
        target.write_bytes(to_bytes(made(ResultKind.SC, capture=drawn)))
        assert not errors(target)

    @every_kind
    @pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
    def test_of_real_files(self, path: Path, kind: ResultKind, tmp_path: Path) -> None:
        check_valid(path.read_bytes(), kind, tmp_path)


def test_no_result_shows_the_patient_in_its_pixels_or_logs(caplog: Any) -> None:
    made(ResultKind.SC)
    assert PATIENT_NAME not in caplog.text
    assert PATIENT_ID not in caplog.text
