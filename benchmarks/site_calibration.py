"""False alarms and sensitivity of a bundle before and after a site calibrates it.

``python -m benchmarks.site_calibration BUNDLE --manifest CSV``: the manifest's test rows are the
site. In each draw, some of its normal images (of other patients than the rest) calibrate, as in
``wscxr calibrate --normal``; then unlabelled images with a known share of abnormal ones, as in
``--unlabelled``. False alarms and sensitivity are those of the site's other images.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from training.calibrate.mixture import estimate_normal_part
from training.data.images import in_batches, open_radiograph
from training.data.samples import Label, Sample, patient_groups, read_samples
from wscxr.anatomy import ModelInput
from wscxr.bundle.bundle import Bundle
from wscxr.model.calibration import Calibration


def main() -> None:
    """Score the site once, calibrate many times, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=200)
    arguments = parser.parse_args()
    bundle = Bundle.load(arguments.bundle, "cpu")
    samples = read_samples(arguments.manifest, "test")
    scores = _scores(bundle, samples)
    abnormal = np.array([sample.label is Label.ABNORMAL for sample in samples])
    groups = np.array(patient_groups(samples))
    before = bundle.manifest.calibration
    print(f"{(~abnormal).sum()} normal, {abnormal.sum()} abnormal images")
    print("calibrated on | false alarms % (sd, 95 % of draws below) | sensitivity % (sd)")
    rates = [(scores[~abnormal] > before.threshold).mean()]
    _show("training's own normals", rates, [(scores[abnormal] > before.threshold).mean()])
    for n in (20, 50, 100):
        found = [
            _draw(scores, abnormal, groups, before, (n, 0), seed) for seed in range(arguments.draws)
        ]
        _show(f"{n} local normals", *zip(*found, strict=True))
    for n in (100, 150):
        for share in (0.0, 0.1, 0.3):
            mixed = (round(n * (1 - share)), round(n * share))
            found = [
                _draw(scores, abnormal, groups, before, mixed, seed, labelled=False)
                for seed in range(arguments.draws)
            ]
            _show(f"{n} unlabelled, {share:.0%} abnormal", *zip(*found, strict=True))


def _draw(
    scores: NDArray[np.float64],
    abnormal: NDArray[np.bool_],
    groups: NDArray[np.str_],
    before: Calibration,
    counts: tuple[int, int],
    seed: int,
    *,
    labelled: bool = True,
) -> tuple[float, float]:
    """False alarms and sensitivity after one calibration."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(scores))
    # One image for each patient.
    _, first = np.unique(groups[order], return_index=True)
    single = order[np.sort(first)]
    chosen = np.concatenate(
        [single[abnormal[single] == kind][:count] for kind, count in enumerate(counts)]
    )
    local = scores[chosen]
    if not labelled:
        local = estimate_normal_part(local, np.asarray(before.scores)).scores
    threshold = Calibration.from_scores(local, before.false_alarm_rate).threshold
    rest = ~np.isin(groups, groups[chosen])
    above = scores > threshold
    return float(above[rest & ~abnormal].mean()), float(above[rest & abnormal].mean())


def _scores(bundle: Bundle, samples: Sequence[Sample]) -> NDArray[np.float64]:
    def load(sample: Sample) -> ModelInput:
        return bundle.prepare(open_radiograph(sample.path)[0])

    batches = in_batches(samples, load, lambda items, text, total: track(items, text, total))
    return np.array([found.score for batch in batches for found in bundle.predict_inputs(batch)])


def _show(what: str, alarms: Sequence[float], hits: Sequence[float]) -> None:
    rates, sensitivity = 100 * np.array(alarms), 100 * np.array(hits)
    print(
        f"{what} | {rates.mean():.1f} ({rates.std():.1f}, {np.quantile(rates, 0.95):.1f}) | "
        f"{sensitivity.mean():.1f} ({sensitivity.std():.1f})"
    )


if __name__ == "__main__":
    main()
