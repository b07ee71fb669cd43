"""What must hold before a new version may take the place of the old one."""

from collections.abc import Sequence

from training.evaluation.comparison.results import Calibrations, Criterion, Group
from training.evaluation.metrics import false_alarm_range

LEVEL = 0.05
"""Two-sided level of the test of subgroups, over all of them together (Bonferroni)."""


def criteria(
    overall: Group,
    subgroups: Sequence[Group],
    calibration: Calibrations,
    n_normal: int,
    margin: float,
) -> tuple[Criterion, ...]:
    """Judge a comparison by conditions that do not depend on its result.

    Parameters
    ----------
    overall, subgroups
        What was measured on all images, where both classes occur, and on those of each subgroup.
    calibration
        Of both bundles.
    n_normal
        How many normal images there are.
    margin
        How much lower the AUROC may be, as a fraction.
    """
    found = [_false_alarms(calibration, n_normal)]
    if overall.auroc is not None:
        low = overall.auroc.difference.low
        found.insert(
            0,
            Criterion(
                name=f"The AUROC is lower by no more than {margin:.3f}: the lower end of the "
                "interval of the difference lies above that.",
                met=low > -margin,
                found=f"The lower end is {low:+.3f}.",
            ),
        )
    tested = [group for group in subgroups if group.auroc is not None]
    if tested:
        found.append(_subgroups(tested))
    return tuple(found)


def _false_alarms(calibration: Calibrations, n_normal: int) -> Criterion:
    check, chance = calibration.new, false_alarm_range(calibration.new, n_normal)
    return Criterion(
        name="The false-alarm rate of the new version is no higher than chance allows for what it "
        "promises.",
        met=not chance.above,
        found=f"{check.false_alarm_rate.value:.1%} of {n_normal} normal images; "
        f"{check.promised_false_alarm_rate:.1%} were expected, and chance explains up to "
        f"{chance.high:.1%}.",
    )


def _subgroups(tested: Sequence[Group]) -> Criterion:
    worse = [
        f"{group.column} {group.value}"
        for group in tested
        if group.auroc is not None
        and group.auroc.difference.value < 0
        and group.auroc.p_value * len(tested) < LEVEL
    ]
    return Criterion(
        name=f"No subgroup's AUROC is lower beyond chance (level {LEVEL}, over all "
        f"{len(tested)} subgroups together).",
        met=not worse,
        found=f"Lower: {', '.join(worse)}." if worse else "None is.",
    )
