"""Reading a DICOM file up to the model input, over the bare call of its decoder.

A radiograph of 2500 x 2048 pixels with 12 bits stored in 16, like picture noise and all. Both are
timed in one run, in turns, and the medians compared. The bare call is pydicom's decoder for the
syntax, with the data set read already.
"""

import io
import statistics
import time
from collections.abc import Callable

import numpy as np
import pydicom
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)
from rich.table import Table
from scipy import ndimage

from benchmarks.common import console
from wscxr.imaging import InputConfig, read_radiograph, to_model_input

ROWS, COLUMNS, BITS = 2500, 2048, 12
RUNS = 9
SYNTAXES: tuple[tuple[UID, str], ...] = (
    (ExplicitVRLittleEndian, ""),
    (RLELossless, "pydicom"),
    (JPEGLSLossless, "pyjpegls"),
    (JPEG2000Lossless, "pylibjpeg"),
)


def make_file(syntax: UID) -> bytes:
    """A CR file of smooth structure and noise, compressed without loss."""
    rng = np.random.default_rng(0)
    smooth = ndimage.zoom(rng.random((25, 20)), (100, 102.4), order=1)
    pixels = 3500 * smooth + rng.normal(0, 20, smooth.shape)
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = pydicom.uid.ComputedRadiographyImageStorage
    dataset.SOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=["benchmark"])
    dataset.Modality, dataset.BodyPartExamined = "CR", "CHEST"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = ROWS, COLUMNS, 1
    dataset.PhotometricInterpretation = "MONOCHROME1"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, BITS, BITS - 1
    dataset.PixelRepresentation = 0
    dataset.WindowCenter, dataset.WindowWidth = 1750, 3500
    dataset.PixelData = np.clip(pixels, 0, 2**BITS - 1).astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    if syntax != ExplicitVRLittleEndian:
        dataset.compress(syntax, generate_instance_uid=False)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def medians(works: list[Callable[[], object]]) -> list[float]:
    """Median milliseconds of each, run in turns; the first turn is thrown away."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(RUNS + 1):
        for work, found in zip(works, times, strict=True):
            started = time.perf_counter()
            work()
            found.append(1000 * (time.perf_counter() - started))
    return [statistics.median(found[1:]) for found in times]


def main() -> None:
    """Print one row for each transfer syntax."""
    table = Table("transfer syntax", "bare decoder, ms", "to model input, ms", "ratio")
    for syntax, plugin in SYNTAXES:
        data = make_file(syntax)
        dataset = pydicom.dcmread(io.BytesIO(data))
        decoder = get_decoder(syntax)
        bare, whole = medians(
            [
                lambda: decoder.as_array(dataset, raw=True, decoding_plugin=plugin),  # noqa: B023 - run before the next turn
                lambda: to_model_input(read_radiograph(data), InputConfig()),  # noqa: B023 - run before the next turn
            ]
        )
        table.add_row(syntax.name, f"{bare:.1f}", f"{whole:.1f}", f"{whole / bare:.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
