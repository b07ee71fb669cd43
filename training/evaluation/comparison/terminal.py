"""A comparison as lines of text."""

from collections.abc import Iterator

from training.evaluation.comparison.results import BundleComparison, DecisionChanges
from training.evaluation.results import Estimate


def lines(found: BundleComparison) -> Iterator[str]:
    """Yield what a comparison found, a sentence a line."""
    old, new = (f"{one.identity.name}/{one.identity.version}" for one in (found.old, found.new))
    overall = found.overall
    yield f"{old} -> {new}, {len(found.images)} images of {overall.n_patients} patients"
    if (areas := overall.auroc) is not None:
        yield (
            f"AUROC {areas.old.value:.3f} -> {areas.new.value:.3f}, difference "
            f"{_interval(areas.difference, '+.3f')}, {_p_value(areas.p_value)}"
        )
    if overall.abnormal is not None:
        yield f"sensitivity {_changes(overall.abnormal)}"
    if overall.normal is not None:
        yield f"false alarms {_changes(overall.normal)}"
    for criterion in found.criteria:
        yield f"{'met' if criterion.met else 'NOT MET'}: {criterion.name} {criterion.found}"


def _changes(changes: DecisionChanges) -> str:
    rates = changes.abnormal
    return (
        f"{_interval(rates.old, '.1%')} -> {_interval(rates.new, '.1%')}: {changes.to_abnormal} of "
        f"{changes.n} images become abnormal, {changes.to_normal} normal "
        f"({_p_value(changes.p_value)})"
    )


def _interval(estimate: Estimate, form: str) -> str:
    return f"{estimate.value:{form}} ({estimate.low:{form}} to {estimate.high:{form}})"


def _p_value(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
