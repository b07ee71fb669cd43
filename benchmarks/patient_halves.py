"""What detectors of adults do on patients they never saw: AUROC over random halves by patient.

``python -m benchmarks.patient_halves --nih DIR``: in each draw half of the patients train a
detector, with K abnormal images and the normal ones, and the other half test it. The table has the
discriminator alone, joined with the lesion network, and the lesion network alone; the mean of the
AUROC within each view, since views differ in more than disease. Then, at one K, groups of patients:
their normal images against their abnormal ones.

DIR holds images, and ``metadata.csv`` with columns ``file,patient_id,age,sex,view,nih_labels``;
files below ``normal/`` are normal.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupShuffleSplit

from benchmarks.images import Features, nih_samples
from training.config import TrainConfig, resolve_config
from training.data.features import FeatureSet
from training.data.samples import Label, Sample, patient_groups
from training.data.splits import draw_split
from training.learn import Learned

KS = (2, 16, 48)
GROUPS_AT = 16
FEWEST = 5
"""Abnormal images of a group in one draw, below which it says nothing."""

Measured = dict[str, list[float]]
"""What is measured, by name, a value for each draw."""


def by_view(scores: NDArray[np.float64], samples: Sequence[Sample]) -> float:
    """Mean of the AUROC within each view."""
    views = np.array([sample.view for sample in samples])
    abnormal = np.array([sample.label is Label.ABNORMAL for sample in samples])
    return float(
        np.mean([roc_auc_score(abnormal[views == v], scores[views == v]) for v in set(views)])
    )


def groups_of(sample: Sample) -> Iterator[str]:
    """The groups of patients that an image belongs to."""
    yield f"view {sample.view}"
    yield f"sex {sample.facts['sex']}"
    yield f"age {sample.facts['age']}"


def by_group(scores: NDArray[np.float64], samples: Sequence[Sample]) -> Mapping[str, float]:
    """AUROC of each group, and of each finding against all normal images."""
    members = defaultdict[str, list[int]](list)
    normal = [place for place, one in enumerate(samples) if one.label is Label.NORMAL]
    for place, sample in enumerate(samples):
        for group in groups_of(sample):
            members[group].append(place)
        if sample.label is Label.ABNORMAL:
            for finding in sample.facts["findings"].split("|"):
                members[f"finding {finding}"].append(place)
            boxed = "boxed" if sample.path.parent.name == "boxed" else "not boxed"
            members[f"abnormal, {boxed}"].append(place)
    found = {}
    for group, places in members.items():
        against = [] if group.startswith(("view", "sex", "age")) else normal
        chosen = [*places, *against]
        abnormal = np.array([samples[place].label is Label.ABNORMAL for place in chosen])
        if min(abnormal.sum(), (~abnormal).sum()) >= FEWEST:
            found[group] = float(roc_auc_score(abnormal, scores[chosen]))
    return found


def alone(learned: Learned, features: FeatureSet) -> NDArray[np.float64]:
    """Scores of the discriminator without the lesion network."""
    return learned.detector.detect_features(features.maps)[1].double().numpy()


def measure(
    config: TrainConfig, samples: Sequence[Sample], features: Features
) -> Iterator[tuple[str, float]]:
    """One draw: what is measured, by name."""
    splitter = GroupShuffleSplit(n_splits=1, test_size=0.5, random_state=config.seed)
    kept, held_out = next(splitter.split(samples, groups=patient_groups(samples)))
    split = draw_split([samples[i] for i in kept], config)
    test = [samples[i] for i in held_out]
    seen = features(test)
    learned = features.learn(config, split)
    scores = learned.scores(seen).astype(np.float64)
    abnormal = np.array([sample.label is Label.ABNORMAL for sample in test])
    above = scores > learned.calibration.threshold
    yield f"K = {config.k}: discriminator alone", by_view(alone(learned, seen), test)
    yield f"K = {config.k}: joined", by_view(scores, test)
    yield f"K = {config.k}: joined, false alarms", float(above[~abnormal].mean())
    yield f"K = {config.k}: joined, sensitivity", float(above[abnormal].mean())
    if config.k == GROUPS_AT:
        if seen.lesions is not None:
            yield (
                "lesion network alone",
                by_view(seen.lesions.mean(axis=(1, 2), dtype=np.float64), test),
            )
        yield from by_group(scores, test).items()


def main() -> None:
    """Do all draws, and print mean and standard deviation, in percent."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nih", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--lesion-weight", type=float, default=2.0)
    arguments = parser.parse_args()
    samples = nih_samples(arguments.nih)
    configs = [
        resolve_config(None, {"k": k, "seed": seed, "lesion_weight": arguments.lesion_weight})
        for k in KS
        for seed in range(arguments.draws)
    ]
    features = Features(samples, configs[0])
    found: Measured = defaultdict(list)
    for config in track(configs, "draws"):
        for name, value in measure(config, samples, features):
            found[name].append(100 * value)
    print("| | mean ± sd | draws |\n|---|---|---|")
    for name in sorted(found, key=lambda name: (name.split()[0], len(name))):
        values = found[name]
        if len(values) > 1:
            sd = np.std(values, ddof=1)
            print(f"| {name} | {np.mean(values):.1f} ± {sd:.1f} | {len(values)} |")


if __name__ == "__main__":
    main()
