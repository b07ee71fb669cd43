"""What bfloat16 may change on real radiographs, and what OpenVINO may not."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.precision import ENGINES, class_folders, compare, score_all
from wscxr.bundle.bundle import Bundle
from wscxr.engines import open_engine
from wscxr.errors import EngineUnavailable
from wscxr.imaging import find_images
from wscxr.shipped import default_bundle

pytest.importorskip("openvino", reason="pip install 'wscxr[openvino]'")

IMAGES = 250
"""Of each class, at most."""


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.parametrize("name", ["zhanglab224", "nih512"])
def test_engines_agree_on_real_radiographs(real_data: Path, name: str) -> None:
    try:
        open_engine("cpu", "openvino", "bfloat16")
    except EngineUnavailable:
        pytest.skip("this processor does not multiply bfloat16")
    images = [find_images(folder)[:IMAGES] for folder in class_folders(real_data / "data" / name)]
    abnormal = np.repeat([False, True], [len(part) for part in images])
    bundles = [Bundle.load(default_bundle(), "cpu", *engine) for engine in ENGINES]
    reference, exact, rounded = score_all(bundles, [file for part in images for file in part])
    threshold = bundles[0].manifest.calibration.threshold
    assert np.abs(exact - reference).max() < 1e-4
    change = compare(abnormal, reference, rounded, threshold)
    assert abs(change.auroc) < 0.1
    # One of the 330 adults is 3.03 of a thousand.
    assert change.decisions <= 4
