"""``import wscxr``: what it exports, and that importing it changes nothing."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import wscxr
from tests.helpers import encode, noise, radiograph
from wscxr.errors import BlankImage, ImageError, ImageTooSmall
from wscxr.imaging import Source, from_array


def test_what_is_exported_is_pinned() -> None:
    assert sorted(wscxr.__all__) == [
        "Bundle",
        "Decision",
        "DicomRules",
        "EngineIdentity",
        "ModelIdentity",
        "Prediction",
        "Radiograph",
        "WscxrError",
        "__version__",
        "load",
    ]
    for name in wscxr.__all__:
        assert getattr(wscxr, name)
        assert name in dir(wscxr)
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        getattr(wscxr, "lod")  # noqa: B009 - mypy would know better


def run(code: str) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_importing_it_has_no_side_effect_and_loads_no_torch() -> None:
    run(
        "import logging, os, sys, warnings\n"
        "environ, filters = dict(os.environ), list(warnings.filters)\n"
        "import wscxr, wscxr.bundle.identity, wscxr.results.dicom.identity\n"
        "assert wscxr.ModelIdentity and wscxr.WscxrError\n"
        "assert not {'torch', 'pydicom', 'PIL'} & sys.modules.keys()\n"
        "assert os.environ == environ\n"
        "assert warnings.filters == filters\n"
        "assert not logging.getLogger().handlers\n"
    )


def test_using_it_changes_nothing_in_the_process(tmp_path: Path) -> None:
    """Not even reading a DICOM file whose header pydicom would complain of."""
    from tests.dicom_files import dataset, written

    file = tmp_path / "chest.dcm"
    file.write_bytes(written(dataset(PatientAge="not an age")))
    run(
        "import logging, os, warnings\n"
        "import PIL.Image, pydicom.config, safetensors.torch\n"
        "import torchvision.models.feature_extraction  # changes some of it itself\n"
        "def state():\n"
        "    return (dict(os.environ), list(warnings.filters), PIL.Image.MAX_IMAGE_PIXELS,\n"
        "        pydicom.config.settings.reading_validation_mode,\n"
        "        logging.getLogger('pydicom').level, len(logging.getLogger().handlers))\n"
        "before = state()\n"
        "import wscxr, wscxr.bundle.bundle, wscxr.imaging\n"
        f"wscxr.load(device='cpu').predict({str(file)!r})\n"
        "assert state() == before\n"
    )


def test_a_path_bytes_an_array_and_a_radiograph_are_the_same_picture(
    trained_bundle: wscxr.Bundle, tmp_path: Path
) -> None:
    picture = radiograph(3)
    data = encode(picture.pixels)
    file = tmp_path / "chest.png"
    file.write_bytes(data)
    sources: list[Source] = [file, str(file), data, picture.pixels, picture]
    alone = [trained_bundle.predict(source) for source in sources]
    assert len({prediction.score for prediction in alone}) == 1
    together = trained_bundle.predict(sources)
    assert [p.score for p in together] == pytest.approx([p.score for p in alone], abs=1e-4)
    assert trained_bundle.predict([]) == []
    for prediction in (*alone, *together):
        assert prediction.model == trained_bundle.identity
        assert prediction.warnings[:-1] == tuple(trained_bundle.manifest.warnings)
        assert prediction.warnings[-1].startswith("OUT OF DISTRIBUTION")
        drawn = prediction.overlay()
        assert drawn.size == (picture.width, picture.height)
        with Image.open(io.BytesIO(prediction.png())) as png:
            assert encode(drawn) == encode(png)


def test_long_lists_are_scored_in_batches_in_order(trained_bundle: wscxr.Bundle) -> None:
    pictures = [radiograph(seed % 5) for seed in range(18)]
    found = [prediction.score for prediction in trained_bundle.predict(pictures)]
    assert found == pytest.approx([found[seed % 5] for seed in range(18)], abs=1e-4)
    assert len(set(found[:5])) == 5


def test_a_prediction_without_its_radiograph_has_no_overlay(trained_bundle: wscxr.Bundle) -> None:
    inputs = [trained_bundle.prepare(radiograph())]
    [prediction] = trained_bundle.predict_inputs(inputs)
    with pytest.raises(ValueError, match="does not hold the radiograph"):
        prediction.overlay()
    assert prediction.of(radiograph()).overlay().size == (80, 80)


# --- arrays -------------------------------------------------------------------------------------


def test_arrays_keep_their_depth() -> None:
    grey = noise(40, 48)
    np.testing.assert_array_equal(from_array(grey).pixels, grey)
    assert from_array(grey).bits == 8
    deep = grey.astype(np.uint16) * 257
    np.testing.assert_array_equal(from_array(deep).pixels, deep)
    np.testing.assert_array_equal(from_array(deep.astype(">u2")).pixels, deep)
    for kind in (np.float32, np.float64):
        np.testing.assert_array_equal(from_array((grey / 255).astype(kind)).pixels, deep)


@pytest.mark.parametrize(
    ("pixels", "error"),
    [
        (noise(40, 48)[..., None], ImageError),
        (noise(40, 48).astype(np.int32), ImageError),
        (noise(40, 48) > 100, ImageError),
        (noise(40, 48) / 100, ImageError),
        (noise(40, 48) / -255, ImageError),
        (np.full((40, 48), np.nan), ImageError),
        (noise(31, 48), ImageTooSmall),
        (np.zeros((0, 0), np.uint8), ImageTooSmall),
        (np.full((40, 48), 0.5), BlankImage),
    ],
)
def test_what_is_no_grey_picture_is_refused(
    pixels: NDArray[np.generic], error: type[ImageError]
) -> None:
    with pytest.raises(error) as caught:
        from_array(pixels)
    assert type(caught.value) is error
