"""Charts, gallery and numbers of an evaluation -> one HTML file."""

import json
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from training.data.annotations import Annotations
from training.evaluation.metrics import false_alarm_range
from training.evaluation.report.charts import draw_charts
from training.evaluation.report.gallery import draw_gallery
from training.evaluation.results import Evaluation
from wscxr.bundle.bundle import Bundle
from wscxr.errors import ConfigError
from wscxr.files import write_file

TEMPLATES = Environment(
    # File names, and all that a bundle says of itself, come from others.
    autoescape=True,
    loader=PackageLoader("training.evaluation.report", "templates"),
    lstrip_blocks=True,
    trim_blocks=True,
    undefined=StrictUndefined,
)
"""The templates of all reports."""


def render_report(
    evaluation: Evaluation,
    bundle: Bundle,
    *,
    annotations: Annotations | None = None,
    gallery: bool = True,
) -> str:
    """Render the report of an evaluation: HTML that loads nothing and runs nothing.

    The same evaluation, bundle and image files give the same text.

    Parameters
    ----------
    evaluation
        What `training.evaluation.evaluate` found.
    bundle
        The bundle it was found of.
    annotations
        Lesions to outline in the gallery.
    gallery
        Whether to show images. They are images of patients.

    Raises
    ------
    ConfigError
        The evaluation is of another bundle.
    DataError
        An image of the gallery cannot be read any more, or has changed; the message names it.
    """
    if evaluation.bundle.sha256 != bundle.manifest.sha256:
        raise ConfigError(
            f"the evaluation is of bundle {evaluation.bundle.sha256}, not of "
            f"{bundle.manifest.sha256}"
        )
    return TEMPLATES.get_template("report.html.jinja").render(
        evaluation=evaluation,
        manifest=bundle.manifest,
        chance=false_alarm_range(evaluation.calibration, evaluation.image_level.n_normal),
        charts=draw_charts(evaluation),
        gallery=draw_gallery(evaluation, bundle, annotations) if gallery else None,
        config=json.dumps(evaluation.bundle.training.config, indent=1, ensure_ascii=False),
    )


def write_report(
    path: Path,
    evaluation: Evaluation,
    bundle: Bundle,
    *,
    annotations: Annotations | None = None,
    gallery: bool = True,
) -> None:
    """Write the report to a file, atomically.

    Parameters
    ----------
    path
        The HTML file; an older one is replaced.
    evaluation, bundle, annotations, gallery
        As for `render_report`, whose errors are raised.
    """
    html = render_report(evaluation, bundle, annotations=annotations, gallery=gallery)
    write_file(path, html.encode())
