"""Calibrates a bundle on a site's own images, and writes the result as a new version."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
from numpy.typing import NDArray
from pydantic import TypeAdapter

from training.calibrate.mixture import estimate_normal_part
from training.calibrate.promise import false_alarm_interval
from training.calibrate.results import BeforeAfter, SiteReport
from training.data.images import in_batches, open_radiograph
from training.evaluation.metrics import exact_rate
from training.evaluation.results import Estimate
from training.ood import site_threshold
from wscxr.anatomy import ModelInput
from wscxr.bundle.bundle import Bundle
from wscxr.bundle.card import model_card
from wscxr.bundle.golden import GoldenCase, GoldenScores, make_golden
from wscxr.bundle.manifest import BundleManifest, SiteCalibration, Versions
from wscxr.bundle.reference import Reference
from wscxr.bundle.store import check_absent, read_files, write_files
from wscxr.choices import Align
from wscxr.errors import NotEnoughImages
from wscxr.imaging import Radiograph
from wscxr.imaging.statistics import ImageStatistics, image_statistics
from wscxr.model.calibration import Calibration
from wscxr.progress import Track, untracked
from wscxr.results.png import ColourScale

LEAST_UNLABELLED = 30
"""Fewer unlabelled images say too little of how many of them are normal."""


@dataclass(frozen=True, eq=False)
class _Scored:
    """What a bundle says of the images of one kind, in their order."""

    scores: NDArray[np.float64]
    peaks: NDArray[np.float32]
    ood: NDArray[np.float64]
    shows_chest: NDArray[np.bool_]
    statistics: list[ImageStatistics]
    sha256: list[str]

    def ood_after(self, stretch: float) -> NDArray[np.float64]:
        """OOD scores once their threshold has grown; 1 for missing lungs is not part of it."""
        return np.where(self.shows_chest, self.ood / stretch, 1 + (self.ood - 1) / stretch)


def calibrate(
    bundle: Bundle,
    source: Path,
    out: Path,
    *,
    normal: Sequence[Path] = (),
    unlabelled: Sequence[Path] = (),
    abnormal: Sequence[Path] = (),
    false_alarm_rate: float | None = None,
    track: Track = untracked,
) -> SiteReport:
    """Set threshold, p-values, OOD threshold and colour scale by a site's images.

    Every file of the bundle but bundle.json, the card, the golden scores and the OOD threshold
    stays as it is, byte for byte.

    Parameters
    ----------
    bundle
        The bundle to calibrate; it takes the new OOD threshold.
    source
        Its folder.
    out
        The new bundle's folder, ``model_store/<name>/<version>``; must not exist.
    normal
        Image files that the site calls normal, one for each patient. Either these or `unlabelled`.
    unlabelled
        Image files nobody has labelled, mostly normal; see
        `training.calibrate.mixture.estimate_normal_part`.
    abnormal
        Abnormal image files, to learn what the new threshold costs in sensitivity; they set
        nothing.
    false_alarm_rate
        Wanted fraction of normal images above the threshold, in (0, 1); the bundle's own when not
        given.

    Returns
    -------
    SiteReport
        What was found.

    Raises
    ------
    BundleExists
        Something is at `out` already.
    NotEnoughImages
        There is no normal image, or fewer unlabelled ones than `LEAST_UNLABELLED`.
    DataError
        A file cannot be read; the message names it.
    """
    check_absent(out)
    if bool(normal) == bool(unlabelled):
        raise NotEnoughImages("give either normal or unlabelled images of the site")
    if unlabelled and len(unlabelled) < LEAST_UNLABELLED:
        raise NotEnoughImages(
            f"unlabelled images must be {LEAST_UNLABELLED} or more; there are {len(unlabelled)}"
        )
    before = bundle.manifest.calibration
    rate = before.false_alarm_rate if false_alarm_rate is None else false_alarm_rate
    images = _score(bundle, [*normal, *unlabelled], track)
    share, scores, peaks = 0.0, images.scores, images.peaks
    if unlabelled:
        part = estimate_normal_part(images.scores, np.asarray(before.scores))
        share, scores = part.abnormal_share, part.scores
        # Those with the lowest scores stand for the normal ones.
        kept = np.argsort(images.scores, kind="stable")[: round((1 - share) * len(peaks))]
        peaks = images.peaks[kept]
    after = Calibration.from_scores(scores, rate)
    stretch = _set_ood_threshold(bundle, images, labelled=not unlabelled)
    manifest = bundle.manifest.model_copy(
        update={
            "calibration": after,
            "reference": Reference.of(
                images.scores <= after.threshold,
                None if bundle.ood is None else images.ood_after(stretch),
                images.statistics,
            ),
            "colour_scale": ColourScale.from_calibration(peaks, rate),
            "site": SiteCalibration(
                source=bundle.identity,
                images="unlabelled" if unlabelled else "normal",
                n=len(images.scores),
                abnormal_share=share,
                data_sha256=hashlib.sha256("".join(sorted(images.sha256)).encode()).hexdigest(),
                versions=Versions.current(),
            ),
        }
    )
    written = _write(bundle, source, out, manifest)
    known = np.isfinite(images.ood)
    return SiteReport(
        sha256=written.sha256,
        images="unlabelled" if unlabelled else "normal",
        n=len(images.scores),
        abnormal_share=share,
        threshold_before=before.threshold,
        threshold=after.threshold,
        alarms_before=_rate(images.scores, before.threshold),
        expected=after.expected_false_alarm_rate,
        promised=None if unlabelled else false_alarm_interval(after),
        unlike_before=float((images.ood[known] > 1).mean()) if known.any() else None,
        unlike=float((images.ood_after(stretch)[known] > 1).mean()) if known.any() else None,
        n_abnormal=len(abnormal),
        sensitivity=_sensitivity(bundle, abnormal, before, after, track),
    )


def _score(bundle: Bundle, files: Sequence[Path], track: Track) -> _Scored:
    hashes: list[str] = []
    statistics: list[ImageStatistics] = []
    rows: list[tuple[float, float, float, bool]] = []

    def load(file: Path) -> tuple[ModelInput, str]:
        radiograph, data = open_radiograph(file)
        return bundle.prepare(radiograph), hashlib.sha256(data).hexdigest()

    for batch in in_batches(files, load, track):
        hashes += [sha256 for _, sha256 in batch]
        statistics += [image_statistics(one.tensor, bundle.manifest.input) for one, _ in batch]
        for found in bundle.predict_inputs([prepared for prepared, _ in batch]):
            chest = found.lung_fields is None or found.lung_fields.found
            ood = np.nan if found.ood_score is None else found.ood_score
            rows.append((found.score, float(found.anomaly_map.max()), ood, chest))
    table = np.array(rows, dtype=np.float64)
    return _Scored(
        scores=table[:, 0],
        peaks=table[:, 1].astype(np.float32),
        ood=table[:, 2],
        shows_chest=table[:, 3] > 0,
        statistics=statistics,
        sha256=hashes,
    )


def _set_ood_threshold(bundle: Bundle, images: _Scored, *, labelled: bool) -> float:
    """Make the OOD threshold fit the site; by which factor it grew."""
    known = images.ood[images.shows_chest & np.isfinite(images.ood)]
    if bundle.ood is None or not len(known):
        return 1.0
    before = float(bundle.ood.threshold)
    after = max(before, site_threshold(before * known, labelled=labelled))
    bundle.ood.threshold.fill_(after)
    return after / before


def _write(bundle: Bundle, source: Path, out: Path, manifest: BundleManifest) -> BundleManifest:
    """Write the files of the source again, with what the calibration changed."""

    def golden(radiographs: Sequence[Radiograph]) -> list[GoldenScores]:
        found = bundle.predict(list(radiographs))
        return [GoldenScores(prediction.score, prediction.ood_score) for prediction in found]

    content = read_files(source, bundle.manifest)
    if bundle.ood is not None:
        content["ood.safetensors"] = safetensors.torch.save(
            {name: value.cpu() for name, value in bundle.ood.state_dict().items()}
        )
    cases = make_golden(golden, bundle.engine, chest=manifest.align is Align.LUNGS)
    content["golden.json"] = TypeAdapter(list[GoldenCase]).dump_json(cases, indent=1)
    name = f"{bundle.identity.name}/{bundle.identity.version}"
    notes = f"# The card of {name}, which this bundle was calibrated from\n\n{bundle.card}"
    content["MODEL_CARD.md"] = model_card(manifest, notes).encode()
    return write_files(out, manifest, content)


def _sensitivity(
    bundle: Bundle,
    abnormal: Sequence[Path],
    before: Calibration,
    after: Calibration,
    track: Track,
) -> BeforeAfter | None:
    if not abnormal:
        return None
    scores = _score(bundle, abnormal, track).scores
    return BeforeAfter(before=_rate(scores, before.threshold), after=_rate(scores, after.threshold))


def _rate(scores: NDArray[np.float64], threshold: float) -> Estimate:
    """Share of scores above a threshold."""
    return exact_rate(int((scores > threshold).sum()), len(scores))
