"""A comparison -> one HTML file that needs nothing else, and one JSON file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from training.data.images import open_radiograph
from training.evaluation.comparison.charts import draw_charts
from training.evaluation.comparison.results import BundleComparison, ComparedImage
from training.evaluation.metrics import false_alarm_range
from training.evaluation.report.page import TEMPLATES
from training.evaluation.report.pictures import jpeg_uri, picture, shrunk
from wscxr.bundle.bundle import Bundle
from wscxr.errors import ConfigError
from wscxr.files import write_file
from wscxr.results.png import overlay_png

MOST_CASES = 24
"""So many images are shown at most: those whose p-value changes by the largest factor."""


@dataclass(frozen=True)
class ShownChange:
    """An image whose decision changes.

    Attributes
    ----------
    image
        What both bundles say of it.
    radiograph, old, new
        Pictures as ``data:`` URIs: the radiograph, and over it each bundle's anomaly map.
    """

    image: ComparedImage
    radiograph: str
    old: str
    new: str


def write_comparison(
    folder: Path, comparison: BundleComparison, old: Bundle, new: Bundle, *, gallery: bool = True
) -> None:
    """Write ``comparison.html`` and ``comparison.json``; older ones are replaced.

    Parameters
    ----------
    folder
        Made where it is missing.
    comparison, old, new
        What was found, and the bundles it was found of.
    gallery
        Whether to show images whose decision changes. They are images of patients.

    Raises
    ------
    ConfigError
        The comparison is of other bundles.
    DataError
        An image cannot be read any more; the message names it.
    """
    html = render_comparison(comparison, old, new, gallery=gallery)
    write_file(folder / "comparison.html", html.encode())
    write_file(folder / "comparison.json", comparison.document().encode())


def render_comparison(
    comparison: BundleComparison, old: Bundle, new: Bundle, *, gallery: bool = True
) -> str:
    """Render the report, as `write_comparison` writes it; it loads nothing and runs nothing."""
    if (comparison.old.identity, comparison.new.identity) != (old.identity, new.identity):
        raise ConfigError("the comparison is of other bundles")
    n_normal = 0 if comparison.overall.normal is None else comparison.overall.normal.n
    checks = (comparison.calibration.old, comparison.calibration.new)
    return TEMPLATES.get_template("comparison.html.jinja").render(
        comparison=comparison,
        chances=[false_alarm_range(check, n_normal) for check in checks],
        charts=draw_charts(comparison),
        changed=sum(image.changed for image in comparison.images),
        cases=list(_cases(comparison, old, new)) if gallery else None,
    )


def _cases(comparison: BundleComparison, old: Bundle, new: Bundle) -> Iterator[ShownChange]:
    def factor(image: ComparedImage) -> float:
        ratio = image.old_p_value / image.new_p_value
        return max(ratio, 1 / ratio)

    changed = sorted((one for one in comparison.images if one.changed), key=factor, reverse=True)
    for image in changed[:MOST_CASES]:
        radiograph, _ = open_radiograph(Path(image.path))
        small = shrunk(radiograph)
        before, after = (
            overlay_png(small, bundle.predict(radiograph).anomaly_map, bundle.manifest.colour_scale)
            for bundle in (old, new)
        )
        yield ShownChange(
            image=image,
            radiograph=jpeg_uri(Image.fromarray(small.pixels).convert("RGB")),
            old=jpeg_uri(picture(before)),
            new=jpeg_uri(picture(after)),
        )
