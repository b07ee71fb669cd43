"""The charts of a comparison."""

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from training.data.samples import Label
from training.evaluation.comparison.results import BundleComparison
from training.evaluation.report.charts import (
    ABNORMAL,
    FAINT,
    INK,
    NORMAL,
    Chart,
    house_style,
    legend,
    make_chart,
    unit_square,
)


def draw_charts(comparison: BundleComparison) -> dict[str, Chart]:
    """Draw the ROC curves of both bundles, and each image's p-values; ``roc`` and ``p_values``."""
    with house_style():
        charts = [_roc(comparison), _p_values(comparison)]
    return {chart.name: chart for chart in charts}


def _roc(comparison: BundleComparison) -> Chart:
    abnormal = [image.label is Label.ABNORMAL for image in comparison.images]
    figure, axes = unit_square("false-alarm rate (1 - specificity)", "sensitivity")
    axes.plot([0, 1], [0, 1], color=FAINT, linestyle=":", label="chance")
    for name, style, scores in (
        ("old", "--", [image.old_score for image in comparison.images]),
        ("new", "-", [image.new_score for image in comparison.images]),
    ):
        false_positive, true_positive, _ = roc_curve(abnormal, scores)
        axes.plot(
            false_positive, true_positive, color=INK, linestyle=style, label=name, clip_on=False
        )
    legend(figure)
    areas = comparison.overall.auroc
    text = "" if areas is None else f"; area {areas.old.value:.3f} before, {areas.new.value:.3f}"
    return make_chart(
        "roc",
        "ROC curves of both versions",
        f"Sensitivity over false-alarm rate{text} after.",
        figure,
    )


def _p_values(comparison: BundleComparison) -> Chart:
    figure = Figure()
    axes = figure.subplots()
    for label, colour, marker in ((Label.NORMAL, NORMAL, "o"), (Label.ABNORMAL, ABNORMAL, "x")):
        points = np.array(
            [
                (image.old_p_value, image.new_p_value)
                for image in comparison.images
                if image.label is label
            ]
        )
        axes.plot(
            points[:, 0],
            points[:, 1],
            color=colour,
            marker=marker,
            markersize=4,
            linestyle="none",
            alpha=0.5,
            label=label.value,
        )
    axes.axline((0.1, 0.1), (1, 1), color=FAINT, linestyle=":")
    axes.set(
        xlabel="p-value, old version",
        ylabel="p-value, new version",
        xscale="log",
        yscale="log",
        aspect="equal",
    )
    legend(figure)
    changed = sum(image.changed for image in comparison.images)
    return make_chart(
        "p_values",
        "Each image's p-value under both versions",
        f"Below the dotted line the new version finds an image more unusual than the old one did; "
        f"the decision changes on {changed} of {len(comparison.images)} images.",
        figure,
    )
