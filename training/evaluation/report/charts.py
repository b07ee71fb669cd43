"""The charts of a report, as SVG to be put into its HTML.

Normal is blue and solid, abnormal vermilion and dashed (Okabe and Ito's palette, 2008): they can
be distinguished by colour-blind readers, and on a grey print.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from training.data.samples import Label
from training.evaluation.metrics import chance_range
from training.evaluation.results import Evaluation

NORMAL, ABNORMAL = "#0072B2", "#D55E00"
INK, FAINT, _BAND = "#1a1a1a", "#767676", "#d9d9d9"
_BINS = 24

_STYLE: dict[Any, Any] = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "figure.figsize": (4.4, 4.0),
    "font.size": 10,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "svg.fonttype": "none",  # Text stays text, in the page's own font.
    "svg.hashsalt": "wscxr",
}


@dataclass(frozen=True)
class Chart:
    """One chart.

    Attributes
    ----------
    name
        Unique in the report; its element ids start with it.
    title, description
        Heading, and alternative text for readers who do not see the picture.
    svg
        An ``<svg>`` element.
    """

    name: str
    title: str
    description: str
    svg: str


def draw_charts(evaluation: Evaluation) -> dict[str, Chart]:
    """Draw all charts of a report.

    The same evaluation gives the same bytes; the user's matplotlib settings do not matter.

    Returns
    -------
    dict
        ``roc``, ``precision_recall``, ``scores`` and ``calibration``.
    """
    with house_style():
        charts = [
            _roc(evaluation),
            _precision_recall(evaluation),
            _scores(evaluation),
            _calibration(evaluation),
        ]
    return {chart.name: chart for chart in charts}


@contextmanager
def house_style() -> Iterator[None]:
    """Draw as all reports do, whatever the user's own settings of matplotlib are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def labels_and_scores(evaluation: Evaluation) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Whether each image is abnormal, and its score; both of shape (n,)."""
    abnormal = np.array([image.label is Label.ABNORMAL for image in evaluation.images])
    return abnormal, np.array([image.score for image in evaluation.images])


def _roc(evaluation: Evaluation) -> Chart:
    metrics = evaluation.image_level
    false_positive, true_positive, _ = roc_curve(*labels_and_scores(evaluation))
    figure, axes = unit_square("false-alarm rate (1 - specificity)", "sensitivity")
    axes.plot([0, 1], [0, 1], color=FAINT, linestyle=":", label="chance")
    axes.plot(false_positive, true_positive, color=INK, label="this bundle", clip_on=False)
    own, youden = metrics.at_bundle_threshold, metrics.at_youden_point
    _mark(
        axes,
        (1 - own.specificity, own.sensitivity),
        (1 - youden.specificity, youden.sensitivity),
    )
    legend(figure)
    return make_chart(
        "roc",
        "ROC curve",
        f"Sensitivity over false-alarm rate; area {metrics.auroc.value:.3f}. At the bundle's "
        f"threshold: sensitivity {own.sensitivity:.3f}, "
        f"false-alarm rate {1 - own.specificity:.3f}.",
        figure,
    )


def _precision_recall(evaluation: Evaluation) -> Chart:
    metrics = evaluation.image_level
    abnormal, scores = labels_and_scores(evaluation)
    precision, recall, _ = precision_recall_curve(abnormal, scores)
    prevalence = metrics.n_abnormal / (metrics.n_normal + metrics.n_abnormal)
    figure, axes = unit_square("recall (sensitivity)", "precision")
    axes.axhline(prevalence, color=FAINT, linestyle=":", label="chance")
    # Recall falls along the curve, and average precision sums its steps.
    axes.plot(recall, precision, color=INK, drawstyle="steps-post", label="this bundle")
    own, youden = metrics.at_bundle_threshold, metrics.at_youden_point
    _mark(
        axes,
        (own.sensitivity, _precision(abnormal, scores > own.threshold)),
        (youden.sensitivity, _precision(abnormal, scores > youden.threshold)),
    )
    legend(figure)
    return make_chart(
        "precision_recall",
        "Precision-recall curve",
        f"Precision over recall; average precision {metrics.average_precision.value:.3f}. "
        f"Chance is the share of abnormal images, {prevalence:.3f}.",
        figure,
    )


def _precision(abnormal: NDArray[np.bool_], called: NDArray[np.bool_]) -> float:
    """Precision; NaN, which is not drawn, where nothing is called abnormal."""
    return float(abnormal[called].mean()) if called.any() else float("nan")


def _scores(evaluation: Evaluation) -> Chart:
    metrics = evaluation.image_level
    abnormal, scores = labels_and_scores(evaluation)
    edges = np.histogram_bin_edges(scores, _BINS)
    figure = Figure()
    axes = figure.subplots()
    for label, chosen, colour, line, hatch in (
        ("normal", ~abnormal, NORMAL, "-", ""),
        ("abnormal", abnormal, ABNORMAL, "--", "////"),
    ):
        counts, _ = np.histogram(scores[chosen], edges)
        share = counts / chosen.sum()
        text = f"{label} (n = {chosen.sum()})"
        axes.stairs(share, edges, fill=True, color=colour, alpha=0.25, hatch=hatch)
        axes.stairs(share, edges, color=colour, linestyle=line, linewidth=1.6, label=text)
    own, youden = metrics.at_bundle_threshold.threshold, metrics.at_youden_point.threshold
    axes.axvline(own, color=INK, linewidth=1.6, label="bundle's threshold")
    axes.axvline(youden, color=FAINT, linestyle="-.", label="test-optimal (flattering)")
    axes.margins(x=0.03)
    axes.set(xlabel="anomaly score", ylabel="share of the class", ylim=(0, None))
    legend(figure)
    return make_chart(
        "scores",
        "Anomaly scores of both classes",
        f"Histograms of the anomaly score of normal and of abnormal images; the bundle's "
        f"threshold is {own:.3f}.",
        figure,
    )


def _calibration(evaluation: Evaluation) -> Chart:
    check = evaluation.calibration
    figure, axes = unit_square("nominal false-alarm rate (p-value level)", "achieved rate")
    # The margin is for rounding: a level of 0.05 reaches the p-value 1 / 20.
    ranks = np.floor(np.array(check.levels) * (check.n + 1) + 1e-9).astype(int)
    low, high = chance_range(ranks, check.n, evaluation.image_level.n_normal)
    axes.fill_between(check.levels, low, high, color=_BAND, linewidth=0, label="95 % by chance")
    axes.plot([0, 1], [0, 1], color=FAINT, linestyle=":", label="as expected")
    axes.plot(check.levels, check.achieved, color=NORMAL, label="normal images here")
    rate = check.false_alarm_rate
    axes.errorbar(
        [check.promised_false_alarm_rate],
        [rate.value],
        yerr=[[rate.value - rate.low], [rate.high - rate.value]],
        color=INK,
        marker="o",
        linestyle="none",
        capsize=3,
        label="at the threshold, 95 %",
        clip_on=False,
        zorder=3,
    )
    legend(figure)
    return make_chart(
        "calibration",
        "Calibration on normal images",
        f"Achieved over nominal false-alarm rate; mean absolute difference {check.error:.3f}. At "
        f"the threshold {rate.value:.3f} of the normal images are called abnormal; "
        f"{check.promised_false_alarm_rate:.3f} was expected.",
        figure,
    )


def unit_square(xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    """Axes from 0 to 1 both ways."""
    figure = Figure()
    axes = figure.subplots()
    axes.set(xlabel=xlabel, ylabel=ylabel, xlim=(0, 1), ylim=(0, 1), aspect="equal")
    return figure, axes


def _mark(axes: Axes, own: tuple[float, float], youden: tuple[float, float]) -> None:
    """Mark the two operating points."""
    style: dict[str, Any] = {"linestyle": "none", "markersize": 8, "clip_on": False, "zorder": 3}
    axes.plot(*own, marker="o", color=INK, label="at the bundle's threshold", **style)
    style |= {"color": FAINT, "markerfacecolor": "none"}
    axes.plot(*youden, marker="D", label="test-optimal (flattering)", **style)


def legend(figure: Figure) -> None:
    """Put the legend below."""
    figure.legend(loc="outside lower center", ncols=2)


def make_chart(name: str, title: str, description: str, figure: Figure) -> Chart:
    """Turn a figure into SVG that may lie in a page with others."""
    file = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file, format="svg", metadata=nothing)
    svg = file.getvalue()
    # Neither prologue nor size; and ids that no other chart of the page has.
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'(?<= )(?:width|height)="[\d.]+pt" ?', "", svg, count=2)
    svg = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    return Chart(name=name, title=title, description=description, svg=svg)
