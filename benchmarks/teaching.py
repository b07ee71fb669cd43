"""Does it pay to judge the most unusual images? AUROC after each round of teaching.

``python -m benchmarks.teaching --zhanglab DIR --nih DIR --adult DIR``: a detector starts with K =
2. Then images arrive in rounds. A reader, who is always right, judges a tenth of each round: the
most unusual ones, or as many chosen at random. What is judged abnormal joins the K, what is judged
normal joins the normal set, and the detector is trained anew. AUROC and false alarms are those of
patients who were never shown.

ZhangLab (children): 250 normal images to start from, rounds of 200, a fifth of them abnormal.
NIH (adults): 500 normal images of another source (``--adult``) to start from, as of a bundle that
comes to a new site; rounds of 40, three tenths abnormal, for there are few images.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupShuffleSplit

from benchmarks.images import Features, nih_samples
from training.config import TrainConfig, resolve_config
from training.data.images import open_radiograph
from training.data.samples import Label, Sample, find_samples, patient_groups, with_label
from training.data.splits import TrainSplit, draw_split
from training.evaluation.confounders import check_confounders, trivial_features
from training.learn import Learned
from training.paper.dataset import patients_held_out

ROUNDS = 5
K = 2


@dataclass(frozen=True)
class Site:
    """The images of one experiment.

    Attributes
    ----------
    name
        For the table.
    start
        Normal images to start from; empty where they come from the site's own pool.
    pool, test
        Labelled images of the site; no patient is in both.
    n_start
        How many normal images there are to start from.
    size, share
        Images of a round, and the share of abnormal ones among them.
    """

    name: str
    start: list[Sample]
    pool: list[Sample]
    test: list[Sample]
    n_start: int
    size: int
    share: float


@dataclass(frozen=True)
class Draw:
    """The images of one seed: what the detector starts from, and the rounds that arrive."""

    split: TrainSplit
    rounds: list[list[Sample]]

    @property
    def samples(self) -> list[Sample]:
        """All of them."""
        return [*self.split.samples, *(sample for arrived in self.rounds for sample in arrived)]


def zhanglab(folder: Path) -> Site:
    """Children; test patients are held out from the published training part."""
    pool, test = patients_held_out(folder)
    return Site("ZhangLab", [], pool, test, n_start=250, size=200, share=0.2)


def nih(folder: Path, adult: Path) -> Site:
    """Adults, frontal; two fifths of the patients are for testing."""
    samples = nih_samples(folder)
    splitter = GroupShuffleSplit(n_splits=1, test_size=0.4, random_state=0)
    pool, test = next(splitter.split(samples, groups=patient_groups(samples)))
    return Site(
        "NIH",
        find_samples(adult, Label.NORMAL),
        [samples[i] for i in pool],
        [samples[i] for i in test],
        n_start=500,
        size=40,
        share=0.3,
    )


def draw(site: Site, config: TrainConfig) -> Draw:
    """Draw what a seed starts from, and what arrives later: images of other patients."""
    rng = np.random.default_rng(config.seed)
    order = [site.pool[i] for i in rng.permutation(len(site.pool))]
    first = with_label(order, Label.ABNORMAL)[:K]
    source = site.start or with_label(order, Label.NORMAL)
    # Whole patients, so that none of them arrives later.
    names = patients(source)
    chosen = rng.permutation(sorted(set(names) - set(patients(first))))
    place = {name: number for number, name in enumerate(chosen.tolist())}
    ranked = sorted(zip(names, source, strict=True), key=lambda one: place.get(one[0], len(place)))
    normal = [sample for _, sample in ranked[: site.n_start]]
    used = set(patients([*first, *normal]))
    rest = [sample for sample, who in zip(order, patients(order), strict=True) if who not in used]
    n_abnormal = round(site.size * site.share)
    rounds = []
    for number in range(ROUNDS):
        parts = [
            with_label(rest, label)[number * count : (number + 1) * count]
            for label, count in (
                (Label.ABNORMAL, n_abnormal),
                (Label.NORMAL, site.size - n_abnormal),
            )
        ]
        rounds.append([*parts[0], *parts[1]])
        if len(rounds[-1]) < site.size:
            raise SystemExit(f"{site.name}: too few images for {ROUNDS} rounds")
    return Draw(draw_split([*normal, *first], config), rounds)


def patients(samples: Sequence[Sample]) -> list[str]:
    """Who each image is of: its patient, else the file."""
    return [sample.patient_id or str(sample.path) for sample in samples]


@dataclass(frozen=True)
class AfterRound:
    """What was measured after a round; rates are fractions.

    Attributes
    ----------
    k
        Anomaly images by then.
    auroc, false_alarms
        On patients who were never shown.
    """

    k: int
    auroc: float
    false_alarms: float


Choose = Callable[[NDArray[np.float32], int, np.random.Generator], NDArray[np.intp]]
"""Scores of a round, and how many to judge -> places of the images to judge."""


def most_unusual(
    scores: NDArray[np.float32], count: int, _: np.random.Generator
) -> NDArray[np.intp]:
    """Those with the highest scores."""
    return np.argsort(-scores, kind="stable")[:count]


def at_random(
    scores: NDArray[np.float32], count: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Any."""
    return rng.permutation(len(scores))[:count]


def rounds(
    site: Site,
    drawn: Draw,
    features: Features,
    config: TrainConfig,
    choose: Choose,
) -> Iterator[AfterRound]:
    """Teach a detector round by round; yields what it is worth before the first and after each."""
    rng = np.random.default_rng(config.seed)
    split = drawn.split
    abnormal = np.array([sample.label is Label.ABNORMAL for sample in site.test])
    test = features(site.test)

    def taught() -> tuple[Learned, AfterRound]:
        learned = features.learn(config, split)
        scores = learned.scores(test)
        alarms = scores[~abnormal] > learned.calibration.threshold
        auroc = float(roc_auc_score(abnormal, scores))
        return learned, AfterRound(len(split.anomaly), auroc, float(alarms.mean()))

    learned, found = taught()
    yield found
    for arrived in drawn.rounds:
        places = choose(learned.scores(features(arrived)), site.size // 10, rng)
        judged = [arrived[place] for place in places]
        split = TrainSplit(
            normal=split.normal + with_label(judged, Label.NORMAL),
            calibration=split.calibration,
            anomaly=split.anomaly + with_label(judged, Label.ABNORMAL),
        )
        learned, found = taught()
        yield found


STRATEGIES: dict[str, Choose] = {"most unusual": most_unusual, "random": at_random}


def main() -> None:
    """Run every site, strategy and seed, and print a table of each site."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--zhanglab", type=Path)
    parser.add_argument("--nih", type=Path)
    parser.add_argument("--adult", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--preset", default="default")
    arguments = parser.parse_args()
    sites = []
    if arguments.zhanglab is not None:
        sites.append(zhanglab(arguments.zhanglab))
    if arguments.nih is not None and arguments.adult is not None:
        sites.append(nih(arguments.nih, arguments.adult))
    for site in sites:
        configs = [
            resolve_config(None, {"k": K, "seed": seed}, arguments.preset)
            for seed in range(arguments.seeds)
        ]
        draws = [draw(site, config) for config in configs]
        needed = [*site.test, *(sample for drawn in draws for sample in drawn.samples)]
        features = Features(needed, configs[0])
        show(site, configs, draws, features)


def trivial(site: Site) -> str:
    """How well trivial features separate the same test images: what AUROC must be read against."""
    found = []
    for sample in site.test:
        radiograph, data = open_radiograph(sample.path)
        found.append(trivial_features(radiograph, len(data)))
    check = check_confounders(
        found,
        [None] * len(found),
        np.array([sample.label is Label.ABNORMAL for sample in site.test]),
        1.0,
        patient_groups(site.test),
    )
    alone = ", ".join(f"{one.feature} {100 * one.auroc:.1f}" for one in check.features[:3])
    together = "-" if check.together is None else f"{100 * check.together:.1f}"
    return f"AUROC of trivial features on these images: {alone}; all together {together}"


def show(
    site: Site, configs: Sequence[TrainConfig], draws: Sequence[Draw], features: Features
) -> None:
    """Run one site, and print its table: mean and standard deviation over the seeds."""
    n_abnormal = len(with_label(site.test, Label.ABNORMAL))
    split = draws[0].split
    print(
        f"\n{site.name}: starts with {len(split.normal)} + {len(split.calibration)} normal images, "
        f"K = {K}; {site.size // 10} of {site.size} judged in a round; tested on "
        f"{len(site.test) - n_abnormal} normal and {n_abnormal} abnormal images; "
        f"{len(draws)} seeds; {features.engine.identity.name}"
    )
    print(trivial(site))
    print("\n| judged | rounds | K | AUROC | false alarms |\n|---|---|---|---|---|")
    for name, choose in STRATEGIES.items():
        runs = [
            list(rounds(site, drawn, features, config, choose))
            for config, drawn in zip(configs, draws, strict=True)
        ]
        for number, found in enumerate(zip(*runs, strict=True)):
            k = np.mean([one.k for one in found])
            auroc = 100 * np.array([one.auroc for one in found])
            alarms = 100 * np.array([one.false_alarms for one in found])
            print(
                f"| {name} | {number} | {k:.0f} | {auroc.mean():.1f} ± {auroc.std(ddof=1):.1f} | "
                f"{alarms.mean():.1f} ± {alarms.std(ddof=1):.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
