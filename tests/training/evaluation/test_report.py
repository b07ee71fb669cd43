"""The report: self-contained, complete, safe with what others wrote, and the same every time."""

import base64
import io
import math
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from PIL import Image

from tests.helpers import encode
from training.data.annotations import Annotations, read_masks
from training.data.samples import Label, Sample, load_samples
from training.evaluation.evaluate import evaluate
from training.evaluation.metrics import chance_range, false_alarm_range
from training.evaluation.report import render_report, write_report
from training.evaluation.report.charts import draw_charts
from training.evaluation.report.gallery import choose_cases, draw_gallery
from training.evaluation.report.pictures import SIDE
from training.evaluation.results import Estimate, Evaluation, ScoredImage
from wscxr.bundle.bundle import Bundle
from wscxr.errors import ConfigError, DataError
from wscxr.model.calibration import Decision

VOID = {"meta", "img", "br", "link", "base", "input", "embed", "source"}


class Page(HTMLParser):
    """What a browser would find in a report."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text = ""
        self.css = ""
        self.data: dict[float, set[str]] = {}
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["style"]:
            self.css += data
            return
        self.text += data
        if self.open[-1:] == ["data"]:
            value = float(self.tags[-1][1]["value"])
            self.data.setdefault(value, set()).add(data)

    def attributes(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.tags if name in attributes]


@pytest.fixture(scope="module")
def masks(unseen: Path) -> Annotations:
    return read_masks(unseen / "masks")


@pytest.fixture(scope="module")
def evaluation(trained_bundle: Bundle, unseen: Path, masks: Annotations) -> Evaluation:
    samples = load_samples(unseen / "normal", unseen / "abnormal", None, split="test")
    return evaluate(trained_bundle, samples, annotations=masks)


@pytest.fixture(scope="module")
def html(evaluation: Evaluation, trained_bundle: Bundle, masks: Annotations) -> str:
    return render_report(evaluation, trained_bundle, annotations=masks)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


@pytest.fixture(scope="module")
def bad_news(evaluation: Evaluation, trained_bundle: Bundle) -> str:
    """A report without images and annotations, with a confounder and a broken promise."""
    promise = {
        "promised_false_alarm_rate": 0.05,
        "false_alarm_rate": Estimate(value=1.0, low=0.9, high=1.0),
    }
    changed = evaluation.model_copy(
        update={
            "confounders": evaluation.confounders.model_copy(update={"warnings": ("CONFOUNDED",)}),
            "calibration": evaluation.calibration.model_copy(update=promise),
            "localisation": None,
        }
    )
    return render_report(changed, trained_bundle, gallery=False)


def numbers(tree: Any) -> Iterator[float]:
    """All floats of a JSON document."""
    if isinstance(tree, float):
        yield tree
    elif isinstance(tree, dict | list):
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from numbers(part)


def picture(uri: str) -> Image.Image:
    head, _, body = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(body)))


def with_paths(evaluation: Evaluation, paths: dict[str, str]) -> Evaluation:
    images = tuple(
        image.model_copy(update={"path": paths.get(image.path, image.path)})
        for image in evaluation.images
    )
    return evaluation.model_copy(update={"images": images})


# --- the page -----------------------------------------------------------------------------------


def test_it_loads_and_runs_nothing(page: Page) -> None:
    assert not {"script", "link", "iframe", "object", "embed", "base"} & {t for t, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    sources = page.attributes("src")
    assert sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    for name in ("href", "xlink:href"):
        assert all(target.startswith("#") for target in page.attributes(name))
    assert not page.attributes("srcset")
    inside = page.css + " ".join(page.attributes("style") + page.attributes("clip-path"))
    assert "@import" not in inside
    assert all(target.startswith("#") for target in re.findall(r"url\((.*?)\)", inside))


def test_it_is_well_formed(page: Page) -> None:
    assert not page.open
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    references = [target for name in ("href", "xlink:href") for target in page.attributes(name)]
    references += re.findall(r"url\((.*?)\)", " ".join(page.attributes("clip-path")))
    assert references
    assert {reference.removeprefix("#") for reference in references} <= set(ids)
    tags = [tag for tag, _ in page.tags]
    assert tags.count("table") == tags.count("caption")
    assert all(attributes.get("scope") for tag, attributes in page.tags if tag == "th")
    assert all(attributes.get("alt") for tag, attributes in page.tags if tag == "img")


def test_it_shows_every_number_of_the_json(page: Page, evaluation: Evaluation) -> None:
    document = evaluation.model_dump(mode="json", exclude={"bundle": {"training": {"config"}}})
    expected = set(numbers(document))
    assert len(expected) > 40
    assert expected <= set(page.data)


def test_numbers_read_as_their_values(page: Page) -> None:
    for value, texts in page.data.items():
        for text in texts:
            shown, percent, _ = text.partition("\N{NO-BREAK SPACE}%")
            digits = len(shown.partition(".")[2])
            exact = 100 * value if percent else value
            assert math.isclose(float(shown), exact, abs_tol=0.5 * 10**-digits + 1e-9)


def test_it_says_what_was_evaluated(page: Page, evaluation: Evaluation) -> None:
    training = evaluation.bundle.training
    for fact in (
        evaluation.bundle.sha256,
        training.data_sha256,
        f"torch {training.versions.torch}",
        '"image_size": 64',
        "5 normal and\n4 abnormal images",
    ):
        assert fact in page.text
    assert "Research use only. Not a medical device." in page.text
    assert "test-optimal Youden point(flattering)" in page.text
    for image in evaluation.images:
        assert image.path in page.text


def test_it_says_whether_it_holds_images(page: Page, bad_news: str) -> None:
    assert "This file holds images of patients" in page.text
    assert "Gallery" in page.text
    bare = Page(bad_news)
    assert "This file holds no images" in bare.text
    assert "images of patients" not in bare.text
    assert "Gallery" not in bare.text
    assert "data:image" not in bad_news


def test_warnings_come_before_the_numbers(bad_news: str) -> None:
    top, _, rest = bad_news.partition("<main>")
    for warning in ("CONFOUNDED", "RANDOM BACKBONE", "FALSE ALARMS"):
        assert warning in top
    assert "CONFOUNDED" in rest
    assert "The expected rate is exceeded" in rest


def test_localisation_is_left_out_where_there_is_none(html: str, bad_news: str) -> None:
    assert "Localisation" in html
    assert "Localisation" not in bad_news


def test_what_others_wrote_stays_text(
    evaluation: Evaluation, trained_bundle: Bundle, tmp_path: Path
) -> None:
    nasty = tmp_path / "<script>alert(1)<" / "'\"><img src=x onerror=y>{{ 7 * 7 }}&amp;.png"
    nasty.parent.mkdir()
    original = evaluation.images[0].path
    shutil.copy(original, nasty)
    changed = with_paths(evaluation, {original: str(nasty)})
    trained = evaluation.bundle.training.model_copy(update={"config": {"</pre><script>": "<b>"}})
    bundle = changed.bundle.model_copy(
        update={"method": "</title><script>", "training": trained, "warnings": ("<script>w",)}
    )
    changed = changed.model_copy(update={"bundle": bundle})
    page = Page(render_report(changed, trained_bundle))
    assert "script" not in {tag for tag, _ in page.tags}
    assert not page.attributes("onerror")
    assert str(nasty) in page.text
    for text in ("</title><script>", "</pre><script>", "<b>", "<script>w"):
        assert text in page.text


def test_same_inputs_same_bytes(
    evaluation: Evaluation,
    trained_bundle: Bundle,
    masks: Annotations,
    html: str,
    tmp_path: Path,
) -> None:
    path = tmp_path / "reports" / "report.html"
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 7}):
        write_report(path, evaluation, trained_bundle, annotations=masks)
        assert matplotlib.rcParams["font.size"] == 20
    assert path.read_text(encoding="utf-8") == html


def test_good_news_brings_no_warning_and_one_annotated_image_no_prior(
    evaluation: Evaluation, trained_bundle: Bundle
) -> None:
    assert evaluation.localisation is not None
    kept = {
        "promised_false_alarm_rate": 0.05,
        "false_alarm_rate": Estimate(value=0.0, low=0.0, high=0.4),
    }
    changed = evaluation.model_copy(
        update={
            "bundle": evaluation.bundle.model_copy(update={"warnings": ()}),
            "confounders": evaluation.confounders.model_copy(update={"warnings": ()}),
            "calibration": evaluation.calibration.model_copy(update=kept),
            "localisation": evaluation.localisation.model_copy(
                update={"n_images": 1, "location_prior": None}
            ),
        }
    )
    html = render_report(changed, trained_bundle, gallery=False)
    assert 'class="alarm"' not in html
    assert "The expected rate is exceeded" not in html
    assert "A single annotated image gives no prior" in html


def test_another_bundles_evaluation_is_refused(
    evaluation: Evaluation, trained_bundle: Bundle
) -> None:
    other = evaluation.bundle.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(ConfigError, match="0000"):
        render_report(evaluation.model_copy(update={"bundle": other}), trained_bundle)


# --- charts -------------------------------------------------------------------------------------


def marks(svg: str) -> list[tuple[float, float]]:
    """Places of all markers, in fractions of the axes."""
    found = re.search(r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', svg)
    assert found is not None
    left, top, width, height = map(float, found.groups())
    return [
        ((float(x) - left) / width, 1 - (float(y) - top) / height)
        for x, y in re.findall(r'<use xlink:href="#\S+" x="([\d.]+)" y="([\d.]+)"', svg)
    ]


def test_the_operating_points_are_marked(evaluation: Evaluation) -> None:
    own = evaluation.image_level.at_bundle_threshold.model_copy(
        # Far above all scores: nothing is called abnormal, and precision is unknown.
        update={"threshold": 1e9, "sensitivity": 0.37, "specificity": 0.71}
    )
    youden = evaluation.image_level.at_youden_point.model_copy(
        update={"threshold": -1e9, "sensitivity": 0.83, "specificity": 0.54}
    )
    metrics = evaluation.image_level.model_copy(
        update={"at_bundle_threshold": own, "at_youden_point": youden}
    )
    charts = draw_charts(evaluation.model_copy(update={"image_level": metrics}))

    def marked(chart: str, x: float, y: float | None) -> bool:
        return any(
            math.isclose(mark[0], x, abs_tol=1e-4)
            and (y is None or math.isclose(mark[1], y, abs_tol=1e-4))
            for mark in marks(charts[chart].svg)
        )

    assert marked("roc", 0.29, 0.37)
    assert marked("roc", 0.46, 0.83)
    assert marked("precision_recall", 0.83, 4 / 9)
    assert not marked("precision_recall", 0.37, None)


def test_chance_range_holds_exchangeable_images() -> None:
    rng = np.random.default_rng(0)
    n_calibration, n_normal, runs = 19, 30, 4000
    calibration = np.sort(rng.random((runs, n_calibration)))
    scores = rng.random((runs, n_normal))
    above = (calibration[:, :, None] >= scores[:, None]).sum(axis=1)
    p_values = (1 + above) / (n_calibration + 1)
    ranks = np.arange(n_calibration + 2)
    low, high = chance_range(ranks, n_calibration, n_normal)
    achieved = (p_values[:, :, None] <= ranks / (n_calibration + 1) + 1e-9).mean(axis=1)
    # Each tail holds at most 2.5 %, but for the luck of the draw; and not much less, or the band
    # would be of no use.
    tails = [(achieved < low - 1e-9).mean(axis=0), (achieved > high + 1e-9).mean(axis=0)]
    assert np.max(tails) <= 0.032
    assert np.max(tails, axis=1).min() >= 0.01


def test_the_false_alarm_rate_is_compared_with_what_chance_allows(evaluation: Evaluation) -> None:
    def judge(rate: float, n_normal: int) -> tuple[bool, bool]:
        check = evaluation.calibration.model_copy(
            update={
                "promised_false_alarm_rate": 0.05,
                "false_alarm_rate": Estimate(value=rate, low=rate, high=rate),
                "n": 19,
            }
        )
        found = false_alarm_range(check, n_normal)
        assert 0 <= found.low <= 0.05 <= found.high <= 1
        return found.above, found.below

    # The threshold is the largest of 19 scores, which 2.5 % of draws put at a rate above
    # 1 - 0.025 ** (1 / 19) = 0.176.
    assert judge(0.17, 20_000) == (False, False)
    assert judge(0.18, 20_000) == (True, False)
    # And 2.5 % at a rate below 1 - 0.975 ** (1 / 19) = 0.0013.
    assert judge(0.0008, 20_000) == (False, True)
    assert judge(0.0020, 20_000) == (False, False)
    assert judge(0.2, 10) == (False, False)


# --- gallery ------------------------------------------------------------------------------------


def scored(label: Label, scores: list[float]) -> list[ScoredImage]:
    return [
        ScoredImage(
            path=str(n),
            label=label,
            score=s,
            p_value=0.5,
            decision=Decision.NORMAL,
            ood_score=0.5,
        )
        for n, s in enumerate(scores)
    ]


def test_cases_go_from_best_to_worst() -> None:
    scores = [3.0, 1.0, 2.0, 7.0, 5.0, 6.0, 4.0]
    other = scored(Label.ABNORMAL, [100.0])
    normal = list(choose_cases(scored(Label.NORMAL, scores) + other, Label.NORMAL))
    assert [image.score for _, image in normal] == [1, 2, 3, 4, 6, 7]
    assert [kind for kind, _ in normal] == ["best"] * 2 + ["median"] * 2 + ["worst"] * 2
    abnormal = list(choose_cases(scored(Label.ABNORMAL, scores), Label.ABNORMAL))
    assert [image.score for _, image in abnormal] == [7, 6, 5, 4, 2, 1]


@pytest.mark.parametrize(
    ("count", "kinds"),
    [(1, ["worst"]), (2, ["best", "worst"]), (5, ["best", "median", "worst"])],
)
def test_no_case_is_shown_twice(count: int, kinds: list[str]) -> None:
    images = scored(Label.NORMAL, [float(n) for n in range(count)])
    cases = list(choose_cases(images, Label.NORMAL))
    assert [kind for kind, _ in cases] == kinds
    assert len({image.path for _, image in cases}) == len(cases)


def test_pictures_are_small_and_keep_their_shape(trained_bundle: Bundle, tmp_path: Path) -> None:
    ramp = np.add.outer(np.arange(500), np.arange(700)).astype(np.uint16)
    samples = []
    for label, pixels in ((Label.NORMAL, ramp + 1000), (Label.ABNORMAL, ramp[::-1] + 1000)):
        samples.append(Sample(tmp_path / f"{label}.png", label))
        samples[-1].path.write_bytes(encode(pixels))
    drawn = draw_gallery(evaluate(trained_bundle, samples), trained_bundle, None)
    [case] = drawn.normal
    for uri in (case.radiograph, case.anomaly_map, case.overlay):
        assert picture(uri).size == (SIDE, round(SIDE * 500 / 700))
    # 16-bit grey is stretched to its own range.
    grey = np.asarray(picture(case.radiograph))
    assert grey.min() <= 3
    assert grey.max() >= 252


def cyan(uri: str) -> int:
    red, green, blue = np.moveaxis(np.asarray(picture(uri), dtype=int), 2, 0)
    return int(((red < 100) & (green > 180) & (blue > 180)).sum())


def test_lesions_are_outlined_on_abnormal_images(
    evaluation: Evaluation, trained_bundle: Bundle, masks: Annotations
) -> None:
    drawn = draw_gallery(evaluation, trained_bundle, masks)
    for case in drawn.abnormal:
        assert case.n_lesions == len(masks.lesions(Path(case.image.path))) > 0
        assert min(map(cyan, (case.radiograph, case.anomaly_map, case.overlay))) > 5
    # Normal phantoms have the file names of abnormal ones.
    assert [(case.n_lesions, cyan(case.radiograph)) for case in drawn.normal] == [(0, 0)] * 3
    plain = draw_gallery(evaluation, trained_bundle, None)
    assert all(cyan(case.radiograph) == 0 for case in plain.abnormal)


@pytest.mark.parametrize("change", ["gone", "other"])
def test_a_file_that_changed_is_named(
    evaluation: Evaluation, trained_bundle: Bundle, tmp_path: Path, change: str
) -> None:
    [*_, (_, image)] = choose_cases(evaluation.images, Label.ABNORMAL)
    path = tmp_path / "moved.png"
    if change == "other":
        [(_, other), *_] = choose_cases(evaluation.images, Label.NORMAL)
        shutil.copy(other.path, path)
    with pytest.raises(DataError, match=r"moved\.png"):
        draw_gallery(with_paths(evaluation, {image.path: str(path)}), trained_bundle, None)
