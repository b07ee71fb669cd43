"""How soon drift is seen, and how often it is seen where there is none.

``python -m benchmarks.drift BUNDLE --manifest CSV --shifted CSV``: the test rows of the first
manifest are the site; those of the second are the same images as if taken elsewhere
(`scripts/shift_acquisition.py`). Each simulated site draws its weeks from them with replacement.
False warnings: 20 weeks after the first ones, nothing changes. Delay: as-taken weeks, then a week
of shifted images, looked at after every 25 of them.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from service.records.drift.observed import Images, Observed, Stream
from service.records.drift.report import QUANTITIES, DriftRow, Quantity
from service.records.drift.weekly import BASELINE, drift_report
from service.records.record import Source
from training.data.images import in_batches, open_radiograph
from training.data.samples import Label, Sample, read_samples
from wscxr.anatomy import ModelInput
from wscxr.bundle.bundle import Bundle
from wscxr.bundle.identity import ModelIdentity
from wscxr.bundle.manifest import BundleManifest
from wscxr.imaging.statistics import image_statistics

WEEKS = 20
STEP = 25
LONGEST = 400
START = date(2026, 1, 5)
_IDENTITY = ModelIdentity(name="chest", version="1", sha256="0" * 64)


@dataclass(frozen=True, eq=False)
class Pool:
    """Images to draw from: values of each quantity and whether each is abnormal, of shape (n,)."""

    values: dict[Quantity, NDArray[np.float64]]
    abnormal: NDArray[np.bool_]


def main() -> None:
    """Score all images once, simulate many sites, and print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--shifted", type=Path, required=True)
    parser.add_argument("--sites", type=int, default=200)
    arguments = parser.parse_args()
    bundle = Bundle.load(arguments.bundle, "cpu")
    manifest = bundle.manifest
    taken, shifted = (
        measure(bundle, read_samples(file, "test"))
        for file in (arguments.manifest, arguments.shifted)
    )
    print("abnormal | images a week | false warnings in 20 weeks: mean, sites with several", end="")
    print(" | shifted images until a warning: median, 95 % of sites | within 200")
    for share in (0.0, 0.1, 0.5):
        for n in (50, 100, 200):
            rngs = [np.random.default_rng(seed) for seed in range(arguments.sites)]
            false = [
                false_warnings(manifest, taken, n, share, rng)
                for rng in track(rngs, f"{share:.0%}, {n} a week", transient=True)
            ]
            soon = np.array([delay(manifest, taken, shifted, n, share, rng) for rng in rngs])
            print(
                f"{share:.0%} | {n} | {np.mean(false):.2f}, {np.mean(np.array(false) > 1):.1%} | "
                f"{np.median(soon):.0f}, {np.quantile(soon, 0.95):.0f} | {(soon <= 200).mean():.1%}"
            )


def measure(bundle: Bundle, samples: Sequence[Sample]) -> Pool:
    """What a bundle says of images, and their statistics."""

    def load(sample: Sample) -> ModelInput:
        return bundle.prepare(open_radiograph(sample.path)[0])

    rows = []
    for batch in in_batches(samples, load, lambda items, text, total: track(items, text, total)):
        for prepared, found in zip(batch, bundle.predict_inputs(batch), strict=True):
            statistics = image_statistics(prepared.tensor, bundle.manifest.input)
            rows.append((found.score, found.ood_score, *statistics))
    columns = np.array(rows, dtype=np.float64).T
    abnormal = np.array([sample.label is Label.ABNORMAL for sample in samples])
    return Pool(dict(zip(QUANTITIES, columns, strict=True)), abnormal)


def false_warnings(
    manifest: BundleManifest, pool: Pool, n: int, share: float, rng: np.random.Generator
) -> int:
    """Weeks with a warning at a site where nothing changes, of `WEEKS` after the first ones."""
    first = -(-BASELINE // n)
    weeks = [draw(pool, manifest, n, share, week, rng) for week in range(first + WEEKS)]
    rows = report(manifest, weeks, START + timedelta(weeks=first))
    return sum(bool(row.warnings) for row in rows)


def delay(
    manifest: BundleManifest,
    pool: Pool,
    shifted: Pool,
    n: int,
    share: float,
    rng: np.random.Generator,
) -> int:
    """Shifted images after weeks as taken until there is a warning; at most `LONGEST`."""
    first = -(-BASELINE // n) + 1
    before = [draw(pool, manifest, n, share, week, rng) for week in range(first)]
    changed = draw(shifted, manifest, LONGEST, share, first, rng)
    for seen in range(STEP, LONGEST, STEP):
        week = changed[np.arange(seen)]
        rows = report(manifest, [*before, week], START + timedelta(weeks=first))
        if any(row.warnings for row in rows):
            return seen
    return LONGEST


def draw(
    pool: Pool,
    manifest: BundleManifest,
    n: int,
    share: float,
    week: int,
    rng: np.random.Generator,
) -> Images:
    """One week of n images, each abnormal with a chance."""
    wanted = rng.random(n) < share
    chosen = np.where(
        wanted,
        rng.choice(np.flatnonzero(pool.abnormal), n),
        rng.choice(np.flatnonzero(~pool.abnormal), n),
    )
    ids = np.array([str(UUID(int=week * LONGEST + number)) for number in range(n)])
    values = {name: column[chosen] for name, column in pool.values.items()}
    return Images(
        ids=ids,
        weeks=np.full(n, np.datetime64(START + timedelta(weeks=week))),
        patients=ids,
        abnormal=values["score"] > manifest.calibration.threshold,
        verdicts=np.full(n, ""),
        values=values,
    )


def report(manifest: BundleManifest, weeks: Sequence[Images], since: date) -> list[DriftRow]:
    """What the service would report of these weeks."""
    joined = Images(
        ids=np.concatenate([week.ids for week in weeks]),
        weeks=np.concatenate([week.weeks for week in weeks]),
        patients=np.concatenate([week.patients for week in weeks]),
        abnormal=np.concatenate([week.abnormal for week in weeks]),
        verdicts=np.concatenate([week.verdicts for week in weeks]),
        values={name: np.concatenate([week.values[name] for week in weeks]) for name in QUANTITIES},
    )
    stream = Stream(_IDENTITY, Source.UPLOAD, None, None)
    observed = [Observed(stream, joined, joined)]
    return drift_report(observed, {_IDENTITY.sha256: manifest}, since).rows


if __name__ == "__main__":
    main()
