"""Images as if taken elsewhere are noticed soon, and images as they were are left in peace."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.drift import Pool, delay, false_warnings, measure
from scripts.shift_acquisition import write_shifted
from training.data.samples import Label, Sample, find_samples
from training.paper.dataset import patients_held_out
from training.phantoms import write_phantoms
from wscxr.bundle.bundle import Bundle
from wscxr.bundle.manifest import BundleManifest
from wscxr.shipped import default_bundle

WEEK = 100
"""Images a week."""


def as_if_taken_elsewhere(samples: Sequence[Sample], folder: Path) -> list[Sample]:
    generator = torch.Generator().manual_seed(0)
    found = []
    for number, sample in enumerate(samples):
        file = folder / f"{number:05d}.png"
        write_shifted(sample.path, file, generator)
        found.append(Sample(file, sample.label))
    return found


def check(manifest: BundleManifest, taken: Pool, shifted: Pool, share: float) -> None:
    """Twelve sites, each of them 20 weeks without a change, and then with one."""
    rngs = [np.random.default_rng(seed) for seed in range(12)]
    warned = [false_warnings(manifest, taken, WEEK, share, rng) for rng in rngs]
    assert max(warned) <= 1
    assert sum(warned) <= 4
    assert max(delay(manifest, taken, shifted, WEEK, share, rng) for rng in rngs) <= 200


def test_phantoms_taken_elsewhere(trained_bundle: Bundle, tmp_path: Path) -> None:
    write_phantoms(tmp_path, normal=150, abnormal=10, size=64, seed=11)
    samples = [
        *find_samples(tmp_path / "normal", Label.NORMAL),
        *find_samples(tmp_path / "abnormal", Label.ABNORMAL),
    ]
    (tmp_path / "elsewhere").mkdir()
    taken = measure(trained_bundle, samples)
    shifted = measure(trained_bundle, as_if_taken_elsewhere(samples, tmp_path / "elsewhere"))
    check(trained_bundle.manifest, taken, shifted, share=0.1)


@pytest.mark.real_data
@pytest.mark.slow
def test_children_taken_elsewhere(real_data: Path, tmp_path: Path) -> None:
    _, test = patients_held_out(real_data / "data" / "zhanglab224")
    bundle = Bundle.load(default_bundle(), "cpu")
    manifest = bundle.manifest
    assert manifest.reference is not None
    taken = measure(bundle, test)
    shifted = measure(bundle, as_if_taken_elsewhere(test, tmp_path))
    for share in (0.0, 0.5):
        check(manifest, taken, shifted, share)
    # The reference helps from the first week on; first weeks alone do, too.
    check(manifest.model_copy(update={"reference": None}), taken, shifted, share=0.5)
