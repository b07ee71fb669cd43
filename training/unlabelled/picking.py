"""Which images of an unlabelled archive are taken for abnormal ones.

Teachers are trained on the labelled images, each without a third of the normal ones. Those left out
have no part in it, so they show how such a teacher scores normal images it has not seen, and every
image of the archive gets a conformal p-value against them. The procedure of Benjamini and Hochberg
then picks images so that about one in five at most is wrong (Bates et al., *Testing for outliers
with conformal p-values*, 2023: on conformal p-values it controls the false discovery rate). So the
archive itself decides how many are picked: of one without abnormal images, usually none.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import false_discovery_control
from sklearn.model_selection import GroupKFold
from torch import Tensor

from training.methods.fitting import fit_maps
from training.methods.settings import Method
from training.ood import fit_ood
from wscxr.choices import ScoreRule
from wscxr.errors import NotEnoughImages
from wscxr.model.detector import image_score
from wscxr.model.heads import Head
from wscxr.model.ood import OodScorer
from wscxr.progress import Track, untracked

FALSE_DISCOVERY_RATE = 0.2
"""Share of the picked images that may be normal. With 0.1 nothing was picked from archives with one
abnormal image in ten at K = 2; see the page on evaluation."""

_TEACHERS = 3
_BLOCK = 32


@dataclass(frozen=True, eq=False)
class Teacher:
    """A detector trained without some of the normal images.

    Attributes
    ----------
    head
        What it learned.
    ood
        Flags images unlike those it was trained on: they teach nothing.
    place, spread
        Mean and standard deviation of its scores of the normal images left out.
    left_out
        These scores, in units of `spread` from `place`: float64 of shape (n,).
    """

    head: Head
    ood: OodScorer
    place: float
    spread: float
    left_out: NDArray[np.float64]


def train_teachers(
    method: Method,
    normal: Tensor,
    anomaly: Tensor,
    groups: tuple[Sequence[Hashable], Sequence[Hashable]],
    *,
    rule: ScoreRule,
    seed: int,
    device: torch.device,
    track: Track = untracked,
) -> list[Teacher]:
    """Train the teachers on labelled images.

    Parameters
    ----------
    method
        Settings of the method.
    normal, anomaly
        Patch features, float32 of shape (images, H', W', C'), on the CPU.
    groups
        The patients of the normal, and of the anomaly images.
    rule
        How a map becomes an image-level score.
    seed, device, track
        See `training.methods.settings.Method.fit`.

    Raises
    ------
    NotEnoughImages
        There are normal images of fewer than three patients.
    """
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups[0]))}
    if len(numbers) < _TEACHERS:
        raise NotEnoughImages(
            f"unlabelled images need normal ones of {_TEACHERS} patients or more beside them"
        )
    folds = GroupKFold(_TEACHERS).split(groups[0], groups=[numbers[one] for one in groups[0]])
    teachers = []
    for seen, left_out in folds:
        fit = fit_maps(method, normal[seen], anomaly, seed=seed, device=device, track=track)
        scores = _score(fit.head, normal[left_out], rule, device)
        place, spread = float(scores.mean()), max(float(scores.std()), 1e-6)
        teachers.append(
            Teacher(
                head=fit.head,
                ood=fit_ood(normal[seen], normal[left_out], anomaly, groups[1]),
                place=place,
                spread=spread,
                left_out=(scores - place) / spread,
            )
        )
    return teachers


def pick(
    teachers: Sequence[Teacher], archive: Tensor, *, rule: ScoreRule, device: torch.device
) -> NDArray[np.int64]:
    """Pick the images of an archive that the teachers agree to be abnormal.

    Their scores, each on the scale of the normal images left out, are averaged. An image unlike the
    training images (mean OOD score above 1) is never picked: it may be no chest at all.

    Parameters
    ----------
    teachers
        From `train_teachers`.
    archive
        Patch features of unlabelled images, float32 of shape (images, H', W', C'), on the CPU.
    rule
        How a map becomes an image-level score.

    Returns
    -------
    NDArray
        Their places, ascending; often none.
    """
    scores = np.mean(
        [(_score(one.head, archive, rule, device) - one.place) / one.spread for one in teachers],
        axis=0,
    )
    left_out = np.sort(np.concatenate([one.left_out for one in teachers]))
    above = len(left_out) - np.searchsorted(left_out, scores, side="left")
    chosen = false_discovery_control((1 + above) / (len(left_out) + 1)) <= FALSE_DISCOVERY_RATE
    with torch.no_grad():
        strange = np.mean(
            [
                torch.cat([one.ood(part) for part in torch.split(archive, _BLOCK)])
                for one in teachers
            ],
            axis=0,
        )
    return np.flatnonzero(chosen & (strange <= 1))


@torch.no_grad()
def _score(head: Head, maps: Tensor, rule: ScoreRule, device: torch.device) -> NDArray[np.float64]:
    head.to(device)
    parts = [image_score(head(part.to(device)), rule).cpu() for part in torch.split(maps, _BLOCK)]
    scores: NDArray[np.float64] = torch.cat(parts).double().numpy()
    return scores
