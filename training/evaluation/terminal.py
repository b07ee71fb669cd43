"""The results of ``wscxr evaluate`` as tables on a terminal."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from training.evaluation.results import Estimate, Evaluation, LocalisationMetrics


def show(found: "Evaluation", console: Console) -> None:
    """Print the tables of an evaluation."""
    console.print(_image_level(found))
    console.print(_confounders(found))
    if found.localisation is not None:
        console.print(_localisation(found))


def _image_level(found: "Evaluation") -> Table:
    level, check, strange = found.image_level, found.calibration, found.out_of_distribution
    honest, flattering = level.at_bundle_threshold, level.at_youden_point
    table = Table(
        "metric",
        "at the bundle's threshold",
        "at the best threshold for these images",
        title=f"{level.n_normal} normal, {level.n_abnormal} abnormal images; abnormal is positive",
        caption="The second column is chosen with the labels: the paper's way, and flattering.",
    )
    for name, estimate in (("AUROC", level.auroc), ("average precision", level.average_precision)):
        table.add_row(name, _interval(estimate), "")
    for field in ("accuracy", "f1", "sensitivity", "specificity", "threshold"):
        values = (getattr(point, field) for point in (honest, flattering))
        table.add_row(field, *(f"{value:.4f}" for value in values))
    table.add_row("false-alarm rate", _interval(check.false_alarm_rate), "")
    table.add_row("false-alarm rate expected", f"{check.promised_false_alarm_rate:.4f}", "")
    table.add_row("p-value calibration error", f"{check.error:.4f}", "")
    if strange is not None:
        table.add_row("OOD score > 1, normal", f"{strange.normal:.4f}", "")
        table.add_row("OOD score > 1, abnormal", f"{strange.abnormal:.4f}", "")
    return table


def _confounders(found: "Evaluation") -> Table:
    table = Table("trivial feature", "AUROC", title="Without a look at the lungs")
    for confounder in found.confounders.features:
        table.add_row(confounder.feature, f"{confounder.auroc:.3f}")
    if found.confounders.together is not None:
        table.add_row("all together", f"{found.confounders.together:.3f}")
    table.add_section()
    table.add_row("this bundle", f"{found.image_level.auroc.value:.3f}")
    return table


def _localisation(found: "Evaluation") -> Table:
    located = found.localisation
    assert located is not None  # noqa: S101 - the caller looked
    table = Table(
        *("map", "pixel AUROC", "pointing game", "best IoU", "lesion recall"),
        title=f"{located.n_lesions} lesions in {located.n_images} images",
    )

    def add(name: str, metrics: "LocalisationMetrics") -> None:
        fields = ("pixel_auroc", "pointing_game", "best_iou", "lesion_recall")
        table.add_row(name, *(f"{getattr(metrics, field):.3f}" for field in fields))

    add("this bundle", located.model)
    if located.location_prior is not None:
        add("location prior", located.location_prior)
    add("constant", located.constant)
    return table


def _interval(estimate: "Estimate") -> str:
    return f"{estimate.value:.4f} ({estimate.low:.4f} to {estimate.high:.4f})"
