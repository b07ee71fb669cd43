"""The model card that goes into every bundle."""

from wscxr.bundle.manifest import BundleManifest
from wscxr.choices import Align

_TEMPLATE = """\
# Model card

**Research use only. Not a medical device. Not for diagnosis.**
{warnings}
## What it does

Gives a frontal chest X-ray an image-level anomaly score, a p-value among normal images, a decision
at a fixed threshold, and an anomaly map. Method: {training.citation}.

## How it was made

| | |
|---|---|
| normal images for training | {training.n_normal} |
| normal images kept aside for calibration | {training.n_calibration} |
| anomaly images (K) | {training.k} |
{archive}| seed | {training.seed} |
| backbone | {backbone.architecture}, layers {layers}, weights: {backbone.source} |
| model input | {input.size} x {input.size}, intensity {input.intensity} |
{view}{population}| neighbourhood p | {p} |
| image-level score | {score_rule} over the places of the image |
| data SHA-256 | `{training.data_sha256}` |
| written by | wscxr {versions.wscxr}, torch {versions.torch}, torchvision {versions.torchvision} |

This run trained and calibrated on the images counted above and on no others. The number of steps
was fixed in advance, and the threshold comes from the normal images kept aside. The *defaults* of
the project are another matter: its authors chose image size, whitening, no mining, the prior for
small K and the score rule of the default preset while looking at test images held out from the
training part of ZhangLab (children, normal or pneumonia), so figures on those are optimistic. The
full configuration is in bundle.json.

## Calibration

Threshold {threshold:.4f}: {promise}

## Limits

- Nothing above is a test result. Only images of a site can show what it is worth on the patients of
  that site.
- A low score does not mean that an image is normal: findings can be missed, small ones and (where
  K is not 0) ones unlike the K anomaly images above all.
- The anomaly map shows where the image looks unusual. It is no segmentation of a lesion. A second
  witness, where there is one, draws it alone, and gives only a part of the score.
- {ood}
"""

_TRAINED = """\
about {rate:.1%} of normal images *from the same source as the
calibration images* are expected to lie above it. On images from another hospital, device or age
group this does not hold: evaluate before use, or calibrate on images of the site."""

_SITE_NORMAL = """\
about {rate:.1%} of the normal images *of the site that calibrated
it* are expected to lie above it. Threshold, p-values, OOD threshold and colour scale come from {n}
images that this site called normal; the weights are those of {source}. On images of
another site this does not hold: calibrate there."""

_SITE_UNLABELLED = """\
about {rate:.1%} of the normal images *of the site that calibrated
it* should lie above it. Threshold, p-values, OOD threshold and colour scale come from {n} images of
this site that nobody had labelled, about {share:.0%} of them abnormal by the same estimate; the
weights are those of {source}. This is an estimate and no promise: it supposes that the
scores of normal images differ from those of the former calibration by their place and spread alone.
On images of another site it does not hold: calibrate there."""

_ARCHIVE = """\
| unlabelled images | {unlabelled:.0f}, of which {unlabelled_picked:.0f} were taken for abnormal |
"""

_ALIGNED = """\
| looks at | the box around both lung fields; the whole picture where no lungs are found |
"""

_LESIONS = """\
| second witness | a network that finds lesions, weight {lesions.weight:g}; it draws the map |
"""

_OOD = """\
Every answer has an OOD score. Above 1 the image is unlike the training images, and its anomaly
  score means little: so it is with photographs, negatives, other parts of the body. A score of at
  most 1 is no proof of the contrary: an image turned upside down, a phantom, a crop, or a patient
  of another age can pass. Some abnormal radiographs are above 1, too"""

_NO_OOD = """\
No answer has an OOD score: a photograph, a negative or another part of the body gets an anomaly
  score like any other, and nothing flags it."""


def model_card(manifest: BundleManifest, notes: str = "") -> str:
    """Write the model card of a bundle.

    Parameters
    ----------
    manifest
        What the bundle says of itself.
    notes
        Markdown by those who trained it, put at the end: data, licences, figures.

    Returns
    -------
    str
        Markdown.
    """
    training = manifest.training
    few = "." if training.k else "; with K = 0, more of them."
    card = _TEMPLATE.format(
        warnings="".join(f"\n> **{warning}**\n" for warning in manifest.warnings),
        training=training,
        versions=training.versions,
        backbone=manifest.backbone,
        layers=", ".join(manifest.backbone.layers),
        ood=_NO_OOD if manifest.ood is None else _OOD + few,
        input=manifest.input,
        promise=_promise(manifest),
        archive="" if "unlabelled" not in training.metrics else _ARCHIVE.format(**training.metrics),
        population=""
        if manifest.population is None
        else f"| patients it is for | {manifest.population} |\n",
        view=(_ALIGNED if manifest.align is Align.LUNGS else "")
        + (_LESIONS.format(lesions=manifest.lesions) if manifest.lesions else ""),
        p=manifest.p,
        score_rule=manifest.score_rule,
        threshold=manifest.calibration.threshold,
    )
    return f"{card}\n{notes}" if notes else card


def _promise(manifest: BundleManifest) -> str:
    rate, site = manifest.calibration.expected_false_alarm_rate, manifest.site
    if site is None:
        return _TRAINED.format(rate=rate)
    text = _SITE_NORMAL if site.images == "normal" else _SITE_UNLABELLED
    source = f"{site.source.name}/{site.source.version} (SHA-256 `{site.source.sha256[:16]}`)"
    return text.format(rate=rate, n=site.n, share=site.abnormal_share, source=source)
