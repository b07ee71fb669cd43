"""Reading DICOM: encodings, the grayscale pipeline, scope rules and hostile files."""

import contextlib
import csv
import functools
import io
import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.processing import apply_modality_lut, apply_windowing
from pydicom.uid import (
    JPEG2000,
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests import dicom_files
from tests.dicom_files import dataset, deflated_bomb, picture, without_meta, written
from tests.helpers import encode, many_scans, noise, scores_of
from wscxr.bundle.bundle import Bundle
from wscxr.errors import (
    BlankImage,
    ColourImage,
    CorruptImage,
    FileTooLarge,
    ImageError,
    ImageTooSmall,
    LateralView,
    MultiFrameImage,
    NoPixelData,
    TooManyPixels,
    TooManyScans,
    UnsupportedSyntax,
    WrongBodyPart,
    WrongModality,
)
from wscxr.imaging import (
    Assumed,
    DicomRules,
    ImageLimits,
    LateralRule,
    Radiograph,
    find_images,
    looks_like_dicom,
    read_radiograph,
)

WINDOW: dict[str, Any] = {"WindowCenter": 1500, "WindowWidth": 2000}


def read(source: Dataset, rules: DicomRules | None = None) -> Radiograph:
    return read_radiograph(written(source), rules=rules)


def expected(stored: NDArray[np.uint16], low: float, high: float) -> NDArray[np.float64]:
    return 65535 * np.clip((stored.astype(np.float64) - low) / (high - low), 0, 1)


@pytest.fixture(scope="module")
def reference() -> Radiograph:
    return read(dataset(**WINDOW))


def test_a_linear_window_follows_the_standard(reference: Radiograph) -> None:
    # PS3.3 C.11.2.1.2.1, with center - 0.5 and width - 1.
    assert reference.pixels.dtype == np.uint16
    np.testing.assert_allclose(
        reference.pixels, expected(picture(), 1499.5 - 999.5, 1499.5 + 999.5), atol=1
    )
    assert reference.format == "DICOM"
    assert reference.warnings == ()
    assert reference.header is not None
    assert reference.header.PatientID == dicom_files.PATIENT_ID
    assert "PixelData" not in reference.header


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    ],
    ids=lambda uid: uid.keyword,
)
def test_native_syntaxes_give_the_same_pixels(syntax: Any, reference: Radiograph) -> None:
    found = read_radiograph(written(dataset(**WINDOW), syntax))
    np.testing.assert_array_equal(found.pixels, reference.pixels)


@pytest.mark.parametrize("implicit", [True, False])
def test_files_without_meta_information_are_read(implicit: bool, reference: Radiograph) -> None:
    data = without_meta(dataset(**WINDOW), implicit=implicit)
    assert looks_like_dicom(data)
    np.testing.assert_array_equal(read_radiograph(data).pixels, reference.pixels)


@pytest.mark.parametrize(
    "syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda uid: uid.keyword
)
@pytest.mark.parametrize("bits", [8, 10, 12, 15, 16])
def test_lossless_compression_changes_nothing(syntax: Any, bits: int) -> None:
    native = dataset(picture(bits), bits)
    compressed = dataset(picture(bits), bits)
    compressed.compress(syntax, generate_instance_uid=False)
    np.testing.assert_array_equal(read(compressed).pixels, read(native).pixels)


def test_both_monochromes_give_the_same_pixels(reference: Radiograph) -> None:
    inverse = (2**12 - 1) - picture()
    mirrored = dataset(
        inverse, PhotometricInterpretation="MONOCHROME1", WindowCenter=2596, WindowWidth=2000
    )
    np.testing.assert_allclose(read(mirrored).pixels.astype(int), reference.pixels, atol=1)
    # Without a window too.
    plain, turned = dataset(), dataset(inverse, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_allclose(read(turned).pixels.astype(int), read(plain).pixels, atol=40)


@pytest.mark.parametrize(
    ("attributes", "inverted"),
    [
        ({"PhotometricInterpretation": "MONOCHROME1"}, True),
        ({"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}, True),
        ({"PresentationLUTShape": "INVERSE"}, True),
        ({"PresentationLUTShape": "IDENTITY"}, False),
    ],
)
def test_inversion_happens_once(
    attributes: dict[str, Any], inverted: bool, reference: Radiograph
) -> None:
    found = read(dataset(**WINDOW, **attributes)).pixels
    wanted = 65535 - reference.pixels if inverted else reference.pixels
    np.testing.assert_array_equal(found, wanted)


def test_a_wrong_photometric_interpretation_can_be_overridden(reference: Radiograph) -> None:
    wrong = dataset(**WINDOW, PhotometricInterpretation="MONOCHROME1")
    rules = DicomRules(assume=Assumed(photometric_interpretation="MONOCHROME2"))
    np.testing.assert_array_equal(read(wrong, rules).pixels, reference.pixels)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_every_window_function_is_that_of_pydicom(function: str) -> None:
    source = dataset(**WINDOW, VOILUTFunction=function, RescaleSlope=2, RescaleIntercept=-100)
    shown = apply_windowing(apply_modality_lut(picture(), source), source)
    table = apply_windowing(apply_modality_lut(np.arange(4096), source), source)
    wanted = expected(shown, float(table.min()), float(table.max()))
    np.testing.assert_allclose(read(source).pixels, wanted, atol=1)


def test_the_first_of_several_windows_is_used(reference: Radiograph) -> None:
    several = dataset(WindowCenter=[1500, 40], WindowWidth=[2000, 400])
    np.testing.assert_array_equal(read(several).pixels, reference.pixels)


def lut(values: list[int], bits: int = 12) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [len(values) % 65536, 0, bits]
    item["LUTDescriptor"].VR = "US"
    item.LUTData = values
    item["LUTData"].VR = "US"
    return item


def test_lookup_tables_are_applied_in_order() -> None:
    halves = lut([value // 2 for value in range(4096)], 16)
    steps = lut([0] * 1024 + [4095] * 3072)
    source = dataset(ModalityLUTSequence=[halves], VOILUTSequence=[steps])
    np.testing.assert_array_equal(read(source).pixels, np.where(picture() // 2 >= 1024, 65535, 0))


@pytest.mark.parametrize(
    "window",
    [
        {"WindowCenter": 90000, "WindowWidth": 10},
        {"WindowCenter": 100, "WindowWidth": 0},
        {"WindowCenter": 100, "WindowWidth": 50, "VOILUTFunction": "NONSENSE"},
    ],
)
def test_a_window_that_shows_nothing_is_left_out_and_said(window: dict[str, Any]) -> None:
    found = read(dataset(**window))
    assert found.warnings == ("window_unusable",)
    np.testing.assert_array_equal(found.pixels, read(dataset()).pixels)


def test_without_a_window_a_dead_pixel_does_not_spoil_the_range() -> None:
    pixels = picture() // 8 + 1000
    spoilt = pixels.copy()
    spoilt[0, 0] = 4095
    np.testing.assert_allclose(
        read(dataset(spoilt)).pixels[1:].astype(float), read(dataset(pixels)).pixels[1:], atol=600
    )


@pytest.mark.parametrize("bits", [7, 10, 12, 15, 16])
def test_signed_values_are_signed(bits: int) -> None:
    pixels = picture(bits)
    shifted = ((pixels.astype(int) - 2 ** (bits - 1)) % 2**bits).astype(np.uint16)
    signed = dataset(shifted, bits, PixelRepresentation=1)
    np.testing.assert_array_equal(read(signed).pixels, read(dataset(pixels, bits)).pixels)


def test_overlays_in_unused_bits_are_not_seen(reference: Radiograph) -> None:
    with_overlay = picture() | np.where(np.arange(80) % 2, 0x8000, 0).astype(np.uint16)
    found = read(dataset(with_overlay, **WINDOW))
    np.testing.assert_array_equal(found.pixels, reference.pixels)
    shifted = dataset(picture() << 4, **WINDOW, HighBit=15)
    np.testing.assert_array_equal(read(shifted).pixels, reference.pixels)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_does_not_count(photometric: str) -> None:
    pixels = picture() // 2 + 100
    padded = pixels.copy()
    padded[:, :20] = 4000
    padded[:, 20:30] = 4001
    found = read(
        dataset(
            padded,
            PhotometricInterpretation=photometric,
            PixelPaddingValue=4000,
            PixelPaddingRangeLimit=4001,
        )
    )
    assert not found.pixels[:, :30].any()
    assert found.pixels[:, 30:].max() == 65535
    assert found.pixels[:, 30:].min() == 0


IN_SCOPE: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "cr": ({}, ()),
    "dx": ({"Modality": "DX"}, ()),
    "no body part": ({"BodyPartExamined": None}, ("body_part_unknown",)),
    "port chest": ({"BodyPartExamined": "PORT CHEST"}, ()),
    "secondary capture of a chest": ({"Modality": "SC"}, ()),
    "decubitus": ({"ViewPosition": "LLD"}, ()),
}


@pytest.mark.parametrize("name", IN_SCOPE)
def test_chest_radiographs_are_scored(name: str) -> None:
    attributes, warnings = IN_SCOPE[name]
    assert read(dataset(**attributes)).warnings == warnings


OUT_OF_SCOPE: dict[str, tuple[dict[str, Any], type[ImageError], Assumed]] = {
    "ct": ({"Modality": "CT"}, WrongModality, Assumed(modality="CR")),
    "no modality": ({"Modality": None}, WrongModality, Assumed(modality="DX")),
    "leg": ({"BodyPartExamined": "LEG"}, WrongBodyPart, Assumed(body_part="CHEST")),
    "capture of something": (
        {"Modality": "OT", "BodyPartExamined": None},
        WrongBodyPart,
        Assumed(body_part="CHEST"),
    ),
    "lateral": ({"ViewPosition": "LL"}, LateralView, Assumed(view="PA")),
}


@pytest.mark.parametrize("name", OUT_OF_SCOPE)
def test_other_objects_are_refused_unless_overridden(name: str) -> None:
    attributes, error, assume = OUT_OF_SCOPE[name]
    with pytest.raises(error):
        read(dataset(**attributes))
    read(dataset(**attributes), DicomRules(assume=assume))


def test_codes_in_the_header_count_too() -> None:
    def coded(value: str) -> Dataset:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", "x"
        return item

    with pytest.raises(WrongBodyPart):
        read(dataset(BodyPartExamined=None, AnatomicRegionSequence=[coded("30021000")]))
    read(dataset(Modality="OT", BodyPartExamined=None, AnatomicRegionSequence=[coded("51185008")]))
    with pytest.raises(LateralView):
        read(dataset(ViewPosition=None, ViewCodeSequence=[coded("399067008")]))


def test_what_is_done_with_a_lateral_view_is_a_setting() -> None:
    lateral = dataset(ViewPosition="LATERAL")
    assert read(lateral, DicomRules(lateral=LateralRule.WARN)).warnings == ("lateral_view",)
    assert read(lateral, DicomRules(lateral=LateralRule.ACCEPT)).warnings == ()


def report() -> bytes:
    source = dataset(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", Modality="SR")
    for name in ("Rows", "Columns", "PixelData"):
        delattr(source, name)
    return written(source)


def compressed(syntax: Any = JPEGLSLossless) -> Dataset:
    source = dataset()
    source.compress(syntax, generate_instance_uid=False)
    return source


def lying_stream() -> bytes:
    """A J2K stream of another size than the header says."""
    other = dataset(picture(rows=160, columns=160))
    other.compress(JPEG2000Lossless, generate_instance_uid=False)
    other.Rows = other.Columns = 96
    return written(other)


def unknown_syntax() -> bytes:
    source = dataset()
    source.file_meta.TransferSyntaxUID = MPEG2MPML
    source.PixelData = encapsulate([b"\x00" * 64])
    source["PixelData"].is_undefined_length = True
    return written(source)


def private_syntax() -> bytes:
    data = written(dataset(), ExplicitVRLittleEndian)
    return data.replace(b"1.2.840.10008.1.2.1\x00", b"1.2.840.99999.1.2.1\x00")


def with_value(tag: tuple[int, int], value: bytes) -> bytes:
    """An implicit little endian file, one element of which holds other bytes."""
    data = written(dataset(), ImplicitVRLittleEndian)
    start = data.index(struct.pack("<HH", *tag))
    length = int.from_bytes(data[start + 4 : start + 8], "little")
    element = struct.pack("<HHI", *tag, len(value)) + value
    return data[:start] + element + data[start + 8 + length :]


def long_element(vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sHI", 0x08, 0x1140, vr, 0, len(value)) + value


def with_element(element: bytes) -> bytes:
    """An explicit little endian file with one more element before Patient Name."""
    data = written(dataset())
    start = data.index(struct.pack("<HH", 0x10, 0x10))
    return data[:start] + element + data[start:]


def with_item(content: bytes) -> bytes:
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content
    return with_element(long_element(b"SQ", item))


def long_syntax() -> bytes:
    """File meta information that swallowed the data set."""
    data = written(dataset())
    start = data.index(struct.pack("<HH2s", 0x02, 0x10, b"UI"))
    swallowed = struct.pack("<HH2sHI", 0x02, 0x10, b"UC", 0, 5000) + b"\\x" * 2500
    return data[:start] + swallowed + data[data.index(struct.pack("<HH", 8, 5)) :]


MANY = 2_000_000

BAD: dict[str, tuple[Callable[[], bytes], type[ImageError]]] = {
    "truncated native": (lambda: written(dataset())[:-100], CorruptImage),
    "truncated header": (lambda: written(dataset())[:400], CorruptImage),
    "truncated compressed": (lambda: written(compressed())[:-2000], CorruptImage),
    "truncated deflated": (
        lambda: written(dataset(), DeflatedExplicitVRLittleEndian)[:-100], CorruptImage,
    ),
    "head alone": (lambda: bytes(128) + b"DICM", CorruptImage),
    "random after the head": (
        lambda: bytes(128) + b"DICM" + np.random.default_rng(0).bytes(4000), CorruptImage,
    ),
    "png and dicom": (lambda: b"\x89PNG\r\n\x1a\n" + written(dataset())[8:], CorruptImage),
    "program and dicom": (lambda: b"MZ" + written(dataset())[2:], CorruptImage),
    "deflated bomb": (lambda: deflated_bomb(100 * 2**20), FileTooLarge),
    "many pixels": (lambda: written(dataset(Rows=60000, Columns=60000)), TooManyPixels),
    "few pixels": (lambda: written(dataset(picture(rows=16, columns=16))), ImageTooSmall),
    "frames": (lambda: written(dataset(NumberOfFrames=3)), MultiFrameImage),
    "colour": (
        lambda: written(dataset(SamplesPerPixel=3, PhotometricInterpretation="RGB")), ColourImage,
    ),
    "report": (report, NoPixelData),
    "another size inside": (lying_stream, CorruptImage),
    "film": (unknown_syntax, UnsupportedSyntax),
    "private syntax": (private_syntax, UnsupportedSyntax),
    "blank": (lambda: written(dataset(np.full((64, 64), 7))), BlankImage),
    "contradicting bits": (lambda: written(dataset(BitsStored=14, HighBit=9)), CorruptImage),
    "32 bits": (lambda: written(dataset(BitsAllocated=32)), CorruptImage),
    "too many elements": (
        lambda: bytes(128) + b"DICM" + struct.pack("<HH2sHI", 2, 0, b"UL", 4, 0)
        + b"\x08\x00\x08\x00CS\x00\x00" * 500_000,
        CorruptImage,
    ),
    "too many values": (lambda: with_value((0x10, 0x10), b"\\" * MANY), CorruptImage),
    "too many numbers": (lambda: with_value((0x28, 0x10), bytes(8 * MANY)), CorruptImage),
    "too many character sets": (lambda: with_value((0x08, 0x05), b"\\" * MANY), CorruptImage),
    "too many values in an item": (
        lambda: with_item(long_element(b"UC", b"\\" * MANY)), CorruptImage,
    ),
    "too many elements in an item": (
        lambda: with_item(b"\x08\x00\x08\x00CS\x00\x00" * 500_000), CorruptImage,
    ),
    "a syntax of many values": (long_syntax, CorruptImage),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_without_quoting_them(name: str) -> None:
    make, error = BAD[name]
    with pytest.raises(ImageError) as caught:
        read_radiograph(make())
    assert type(caught.value) is error
    assert dicom_files.PATIENT_ID not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("start", [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"MZ", b"%PDF"])
def test_a_file_of_two_formats_is_refused(start: bytes) -> None:
    whole = written(dataset())
    with pytest.raises(CorruptImage, match="another format"):
        read_radiograph(start + whole[len(start) :])


@pytest.mark.parametrize(
    "start",
    [
        b"II*\0" + (10**6).to_bytes(4, "little"),
        b"MM\0*" + (10**6).to_bytes(4, "big"),
        b"II+\0" + bytes(4) + (10**6).to_bytes(8, "little"),
    ],
)
def test_the_remains_of_a_tiff_head_do_no_harm(start: bytes) -> None:
    whole = written(dataset())
    assert len(whole) < 10**6
    found = read_radiograph(start + whole[len(start) :])
    assert np.array_equal(found.pixels, read_radiograph(whole).pixels)


def test_an_unsupported_syntax_is_named() -> None:
    with pytest.raises(UnsupportedSyntax, match="MPEG2 Main Profile"):
        read_radiograph(unknown_syntax())


def test_a_damaged_modality_table_is_refused() -> None:
    damaged = lut([1, 2, 3])
    damaged.LUTDescriptor = [0, 0, 99]
    with pytest.raises(CorruptImage, match="Modality LUT"):
        read(dataset(ModalityLUTSequence=[damaged]))


def test_limits_are_those_given() -> None:
    with pytest.raises(TooManyPixels):
        read_radiograph(written(dataset()), ImageLimits(max_pixels=7000))


def test_an_exported_folder_is_searched(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "IM000001").write_bytes(written(dataset()))
    (tmp_path / "b.dcm").write_bytes(written(dataset()))
    (tmp_path / "DICOMDIR").write_bytes(written(dataset()))
    (tmp_path / "notes").write_text("nothing")
    (tmp_path / "table.csv").write_text("nothing")
    assert [path.name for path in find_images(tmp_path)] == ["IM000001", "b.dcm"]


DCMCJPEG = shutil.which("dcmcjpeg")


@pytest.mark.skipif(DCMCJPEG is None, reason="needs DCMTK; on Debian: apt-get install dcmtk")
@pytest.mark.parametrize(
    ("option", "syntax", "tolerance"),
    [
        ("--encode-lossless", JPEGLossless, 0),
        ("--encode-lossless-sv1", JPEGLosslessSV1, 0),
        ("--encode-extended", JPEGExtended12Bit, 1500),
    ],
)
def test_jpeg_of_another_maker_is_read(
    option: str, syntax: Any, tolerance: int, tmp_path: Path
) -> None:
    plain, coded = tmp_path / "plain.dcm", tmp_path / "coded.dcm"
    plain.write_bytes(written(dataset(**WINDOW)))
    assert DCMCJPEG is not None
    subprocess.run([DCMCJPEG, option, plain, coded], check=True)
    found = read_radiograph(coded.read_bytes())
    assert found.header is not None
    assert found.header.file_meta.TransferSyntaxUID == syntax
    wanted = read(dataset(**WINDOW)).pixels.astype(float)
    assert np.abs(found.pixels - wanted).mean() <= tolerance


@pytest.mark.skipif(DCMCJPEG is None, reason="needs DCMTK; on Debian: apt-get install dcmtk")
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("predictor", range(1, 8))
def test_lossless_jpeg_changes_nothing(
    predictor: int, bits: int, signed: bool, tmp_path: Path
) -> None:
    native = dataset(picture(bits), bits, PixelRepresentation=int(signed))
    plain, coded = tmp_path / "plain.dcm", tmp_path / "coded.dcm"
    plain.write_bytes(written(native))
    assert DCMCJPEG is not None
    options = ["--encode-lossless", "+sv", str(predictor)]
    subprocess.run([DCMCJPEG, *options, plain, coded], check=True)
    np.testing.assert_array_equal(read_radiograph(coded.read_bytes()).pixels, read(native).pixels)


OJPH = shutil.which("ojph_compress")


@pytest.mark.skipif(OJPH is None, reason="needs OpenJPH; on Debian: apt-get install openjph-tools")
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_high_throughput_jpeg_2000_is_read(bits: int, tmp_path: Path) -> None:
    pixels = picture(bits)
    grey, stream = tmp_path / "grey.pgm", tmp_path / "coded.j2c"
    rows, columns = pixels.shape
    content = pixels.astype("u1" if bits == 8 else ">u2").tobytes()
    grey.write_bytes(f"P5\n{columns} {rows}\n{2**bits - 1}\n".encode() + content)
    assert OJPH is not None
    command: list[str | Path] = [OJPH, "-i", grey, "-o", stream, "-reversible", "true"]
    subprocess.run(command, check=True, capture_output=True)
    coded = dataset(pixels, bits)
    coded.PixelData = encapsulate([stream.read_bytes()])
    coded["PixelData"].is_undefined_length = True
    coded.file_meta.TransferSyntaxUID = HTJ2KLossless
    np.testing.assert_array_equal(read(coded).pixels, read(dataset(pixels, bits)).pixels)


def test_eight_bit_jpeg_is_read() -> None:
    smooth = (picture(8)[::16, ::16].repeat(16, 0).repeat(16, 1)).astype(np.uint8)
    coded = dataset(smooth, 8)
    buffer = io.BytesIO()
    Image.fromarray(smooth).save(buffer, "JPEG", quality=95)
    coded.PixelData = encapsulate([buffer.getvalue()])
    coded["PixelData"].is_undefined_length = True
    coded.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    difference = read(coded).pixels.astype(float) - read(dataset(smooth, 8)).pixels
    assert np.abs(difference).mean() < 400


def jpeg_dicom(frame: bytes, pixels: NDArray[Any]) -> bytes:
    coded = dataset(pixels, 8)
    coded.PixelData = encapsulate([frame])
    coded["PixelData"].is_undefined_length = True
    coded.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    return written(coded)


def test_many_scans_of_a_frame_are_refused_before_decoding() -> None:
    pixels = noise(900, 1000)
    with pytest.raises(TooManyScans):
        read_radiograph(jpeg_dicom(many_scans(pixels, extra=3000), pixels))


def test_a_damaged_frame_is_refused() -> None:
    pixels = noise(200, 304)
    frame = encode(pixels, "JPEG")
    assert read_radiograph(jpeg_dicom(frame, pixels)).width == 304
    half = len(frame) // 2
    for damaged in (frame[:half], frame[:half] + frame[half + 40 :], frame[:-4] + b"\xff\xd9"):
        with pytest.raises(CorruptImage, match="truncated"):
            read_radiograph(jpeg_dicom(damaged, pixels))


@pytest.mark.skipif(DCMCJPEG is None, reason="needs DCMTK; on Debian: apt-get install dcmtk")
@pytest.mark.parametrize("option", ["--encode-lossless-sv1", "--encode-extended"])
def test_a_frame_that_is_cut_off_is_refused(option: str, tmp_path: Path) -> None:
    plain, coded = tmp_path / "plain.dcm", tmp_path / "coded.dcm"
    plain.write_bytes(written(dataset(**WINDOW)))
    assert DCMCJPEG is not None
    subprocess.run([DCMCJPEG, option, plain, coded], check=True)
    source = dcmread(coded)
    frame = next(generate_frames(source.PixelData, number_of_frames=1))
    source.PixelData = encapsulate([frame[: len(frame) // 2]])
    with pytest.raises(CorruptImage, match="truncated"):
        read_radiograph(written(source))


@pytest.mark.parametrize(("stored", "allocated"), [(8, 8), (12, 16)])
def test_the_bits_are_those_of_the_file(stored: int, allocated: int) -> None:
    assert read(dataset(picture(stored), stored)).bits == allocated


def test_white_that_lossy_coding_pushed_too_high_stays_white() -> None:
    # 10 bits stored in a stream of 12: decoders may hand out more than 1023.
    over = dataset(np.where(picture(10) > 500, 1030, 100).astype(np.uint16), 12)
    over.compress(JPEG2000Lossless, generate_instance_uid=False)
    over.file_meta.TransferSyntaxUID = JPEG2000
    over.BitsStored, over.HighBit = 10, 9
    assert (read(over).pixels[picture(10) > 500] == 65535).all()


@given(
    changes=st.lists(st.tuples(st.integers(0, 8000), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.none() | st.integers(0, 8000),
    syntax=st.sampled_from([None, RLELossless, JPEGLSLossless, JPEG2000Lossless]),
)
@settings(max_examples=150, deadline=None)
def test_mutated_files_are_read_or_refused(
    changes: list[tuple[int, int]], cut: int | None, syntax: Any
) -> None:
    mutated = bytearray(original(syntax))
    for place, value in changes:
        mutated[place % len(mutated)] = value
    with contextlib.suppress(ImageError):
        assert read_radiograph(bytes(mutated[:cut])).pixels.dtype == np.uint16


@functools.cache
def original(syntax: Any) -> bytes:
    return written(dataset() if syntax is None else compressed(syntax))


DATA = os.environ.get("WSCXR_TEST_DATA")
REAL = Path(DATA, "data", "dicom") if DATA else None
ANY_PART = DicomRules(assume=Assumed(body_part="CHEST"))
PLACE = st.integers(0, 3000) | st.floats(0, 1)
"""A byte of the header, or a share of the whole file."""


def real(name: str, rules: DicomRules = ANY_PART) -> Radiograph:
    assert REAL is not None
    return read_radiograph((REAL / name).read_bytes(), rules=rules)


@pytest.mark.skipif(
    REAL is None, reason="WSCXR_TEST_DATA names no folder of real X-rays: see CONTRIBUTING"
)
class TestRealFiles:
    def test_every_one_is_read(self) -> None:
        assert REAL is not None
        for row in csv.DictReader((REAL / "index.csv").read_text().splitlines()):
            found = real(row["file"])
            assert found.pixels.shape == (int(row["rows"]), int(row["cols"]))

    def test_one_leg_in_six_syntaxes_is_one_picture(self, trained_bundle: Bundle) -> None:
        names = ("RLE", "JPLL", "JLSL", "J2KR")
        scores = scores_of(trained_bundle, [real(f"wg04_RG3_{name}.dcm") for name in names])
        assert max(scores) - min(scores) < 1e-3
        rle = real("wg04_RG3_RLE.dcm").pixels.astype(float)
        lossy = real("wg04_RG3_JPLY.dcm").pixels.astype(float)
        assert np.abs(rle - lossy).mean() < 0.005 * 65535

    def test_a_flipped_tag_inverts(self) -> None:
        plain, flipped = real("rsna_850819.dcm"), real("txrv_Fake_MONOCHROME1.dcm")
        np.testing.assert_allclose(65535 - flipped.pixels.astype(int), plain.pixels, atol=1)

    @given(
        name=st.sampled_from(sorted(path.name for path in REAL.glob("*.dcm")) if REAL else [""]),
        changes=st.lists(st.tuples(PLACE, st.integers(0, 255)), min_size=1, max_size=8),
        cut=st.none() | st.floats(0, 1),
    )
    @settings(max_examples=60, deadline=None)
    def test_mutated_real_files_are_read_or_refused(
        self, name: str, changes: list[tuple[int | float, int]], cut: float | None
    ) -> None:
        assert REAL is not None
        mutated = bytearray((REAL / name).read_bytes())
        for place, value in changes:
            where = place if isinstance(place, int) else int(place * len(mutated))
            mutated[where % len(mutated)] = value
        whole = None if cut is None else int(cut * len(mutated))
        with contextlib.suppress(ImageError):
            assert read_radiograph(bytes(mutated[:whole]), rules=ANY_PART).pixels.ndim == 2

    def test_the_leg_and_the_jaw_are_not_taken_for_chests(self) -> None:
        with pytest.raises(WrongBodyPart):
            real("wg04_RG3_RLE.dcm", DicomRules())
        assert real("fodicom_CR-ModalitySequenceLUT.dcm", DicomRules()).warnings == (
            "body_part_unknown",
        )


@pytest.mark.parametrize(
    "compress",
    [
        lambda source: source.compress(RLELossless, generate_instance_uid=False),
        lambda source: source.compress(JPEGLSLossless, generate_instance_uid=False),
        lambda _: None,
    ],
)
def test_one_picture_has_one_score(
    compress: Callable[[Dataset], None], trained_bundle: Bundle
) -> None:
    inverse = dataset((2**12 - 1) - picture(), PhotometricInterpretation="MONOCHROME1")
    compress(inverse)
    [wanted], [found] = (scores_of(trained_bundle, [read(s)]) for s in (dataset(), inverse))
    assert found == pytest.approx(wanted, abs=1e-3)
