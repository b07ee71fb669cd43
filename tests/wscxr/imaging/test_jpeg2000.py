"""JPEG 2000 streams that announce more than a decoder copes with."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEG2000Lossless

from tests.dicom_files import dataset, picture, written
from wscxr.errors import CorruptImage, TooManyParts
from wscxr.imaging import read_radiograph
from wscxr.imaging.dicom import jpeg2000

SIZ, COD, SOT = b"\xff\x51", b"\xff\x52", b"\xff\x90"


@pytest.fixture(scope="module")
def stream() -> bytes:
    source = dataset(picture(rows=320, columns=208))
    source.compress(JPEG2000Lossless, generate_instance_uid=False)
    return next(generate_frames(source.PixelData, number_of_frames=1))


def changed(stream: bytes, marker: bytes, offset: int, form: str, *values: int) -> bytes:
    """Put numbers into a segment, so many bytes after its marker."""
    data = bytearray(stream)
    struct.pack_into(form, data, data.index(marker) + offset, *values)
    return bytes(data)


def large(stream: bytes) -> bytes:
    return changed(stream, SIZ, 6, ">II", 9_900, 9_900)


def with_coding(stream: bytes, *precincts: int) -> bytes:
    """A second COD segment, with precincts, behind the first."""
    at = stream.index(COD)
    end = at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    said = bytes([stream[at + 4] | 1]) + stream[at + 5 : end] + bytes(precincts)
    return stream[:end] + COD + struct.pack(">H", len(said) + 2) + said + stream[end:]


def in_tile(stream: bytes) -> bytes:
    """The header of the first tile-part says that there are 65,535 layers."""
    at, start = stream.index(COD), stream.index(SOT)
    end = at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    segment = changed(stream[at:end], COD, 6, ">H", 65_535)
    return stream[: start + 12] + segment + stream[start + 12 :]


def test_what_encoders_write_passes(stream: bytes) -> None:
    jpeg2000.check_work(stream)
    jpeg2000.check_work(changed(stream, SIZ, 6, ">II", 10_000, 10_000)[: stream.index(SOT)])


ATTACKS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "tiles": (lambda s: changed(s, SIZ, 22, ">II", 1, 1), "66560 tiles"),
    "code-blocks": (lambda s: changed(large(s), COD, 10, "BB", 0, 0), "code-blocks"),
    "layers": (lambda s: changed(s, COD, 6, ">H", 65_535), "packets"),
    "layers of a tile": (in_tile, "packets"),
    "precincts": (lambda s: with_coding(large(s), 0x11, *5 * [0x00]), "packets"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_stream_of_too_many_parts_is_refused_before_decoding(
    stream: bytes, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*_: object, **__: object) -> None:
        raise AssertionError("it was decoded")

    monkeypatch.setattr("wscxr.imaging.dicom.pixels.get_decoder", decode)
    attack, message = ATTACKS[name]
    data = attack(stream)
    size = struct.unpack_from(">II", data, data.index(SIZ) + 6)
    source = dataset(picture(rows=320, columns=208))
    source.Columns, source.Rows = size
    source.file_meta.TransferSyntaxUID = JPEG2000Lossless
    source.PixelData = encapsulate([data])
    source["PixelData"].VR = "OB"
    source["PixelData"].is_undefined_length = True
    with pytest.raises(TooManyParts, match=message):
        read_radiograph(written(source))


@pytest.mark.parametrize(
    "damage",
    [
        lambda s: s[:0],
        lambda s: s[:4],
        lambda s: changed(s, SIZ, 22, ">II", 0, 0),
        lambda s: changed(s, SIZ, 6, ">II", 0, 0),
        lambda s: s[: s.index(SOT)] + 100_001 * b"\xff\x64\x00\x02",
    ],
)
def test_damaged_headers(stream: bytes, damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(CorruptImage):
        jpeg2000.check_work(damage(stream))


def test_every_prefix_is_read_in_bounds(stream: bytes) -> None:
    for length in range(400):
        try:
            jpeg2000.check_work(stream[:length])
        except CorruptImage:
            assert length < stream.index(SOT) + 12


@pytest.mark.real_data
def test_real_files_pass(real_data: Path) -> None:
    seen = 0
    for file in sorted((real_data / "data" / "dicom").iterdir()):
        header = dcmread(file, force=True)
        if "JPEG 2000" in getattr(header.file_meta.get("TransferSyntaxUID"), "name", ""):
            jpeg2000.check_work(next(generate_frames(header.PixelData, number_of_frames=1)))
            seen += 1
    assert seen
