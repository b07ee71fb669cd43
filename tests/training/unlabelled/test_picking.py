"""On features drawn at random: who is picked of an archive, and what becomes of the fit."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.helpers import CPU
from training.methods.fitting import fit_maps
from training.methods.settings import PositionalWscxr, Wscxr
from training.unlabelled.fitting import MOST, fit_with_archive, join
from training.unlabelled.picking import pick, train_teachers
from wscxr.choices import ScoreRule
from wscxr.errors import NotEnoughImages
from wscxr.model.detector import image_score
from wscxr.model.heads import Head

METHOD = PositionalWscxr(rank=6, steps=60, batch_size=64)
RULE = ScoreRule.MEAN


def images(count: int, seed: int, *, shift: float = 0.0, channel: int = 0) -> Tensor:
    """Maps of 3 x 3 places and 8 channels; abnormal ones lie elsewhere in one channel."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(count, 3, 3, 8, generator=generator)
    # Images differ as wholes, too: not only their places do.
    maps += 0.2 * torch.randn(count, 1, 1, 8, generator=generator)
    maps[..., channel] += shift
    return maps


NORMAL, ANOMALY = images(150, 1), images(4, 2, shift=2.0)
GROUPS = ([f"n{i // 2}" for i in range(150)], list("abcd"))


def picked(archive: Tensor) -> list[int]:
    teachers = train_teachers(METHOD, NORMAL, ANOMALY, GROUPS, rule=RULE, seed=0, device=CPU)
    return [int(place) for place in pick(teachers, archive, rule=RULE, device=CPU)]


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_most_of_what_is_picked_is_abnormal(share: float) -> None:
    count = round(200 * share)
    archive = torch.cat([images(200 - count, 3), images(count, 4, shift=2.0)])
    found = picked(archive)
    hits = sum(place >= 200 - count for place in found)
    assert hits >= 0.7 * count
    assert hits >= 0.75 * len(found)


def test_nothing_is_picked_where_nothing_is_abnormal() -> None:
    counts = [len(picked(images(200, seed))) for seed in range(5, 11)]
    # The rate of false discoveries allows an accident in a fifth of all archives.
    assert np.median(counts) == 0
    assert max(counts) <= 3


def test_what_is_no_chest_is_never_picked() -> None:
    strange = images(20, 12, shift=60.0, channel=5)
    strange[..., 0] += 2.0
    found = picked(torch.cat([images(150, 13), images(20, 14, shift=2.0), strange]))
    assert found
    assert max(found) < 170


def test_teachers_need_normals_of_several_patients() -> None:
    groups = (["a", "b"] * 75, list("abcd"))
    with pytest.raises(NotEnoughImages, match="3 patients"):
        train_teachers(METHOD, NORMAL, ANOMALY, groups, rule=RULE, seed=0, device=CPU)


def score(head: Head, maps: Tensor) -> Tensor:
    with torch.no_grad():
        return image_score(head(maps), RULE)


@dataclass(frozen=True)
class Case:
    anomaly: Tensor
    archive: Tensor

    def separation(self, *, archive: bool) -> float:
        """Distance between the scores of unseen images of both kinds, in deviations of normals."""
        fit = fit_with_archive(
            METHOD,
            NORMAL,
            self.anomaly,
            self.archive if archive else self.archive[:0],
            (GROUPS[0], GROUPS[1][: len(self.anomaly)]),
            rule=RULE,
            seed=0,
            device=CPU,
        )
        normal, abnormal = (
            score(fit.head, images(300, 20)),
            score(fit.head, images(300, 21, shift=1)),
        )
        return float((abnormal.mean() - normal.mean()) / normal.std())


def test_an_archive_helps_where_two_images_teach_little() -> None:
    archive = torch.cat([images(140, 3), images(60, 4, shift=2.0)])
    case = Case(ANOMALY[:2], archive)
    assert case.separation(archive=True) > case.separation(archive=False) + 0.1


def test_an_archive_in_which_nothing_is_picked_changes_no_bit() -> None:
    archive = images(200, 5)
    assert picked(archive) == []
    fits = [
        fit_with_archive(METHOD, NORMAL, ANOMALY, a, GROUPS, rule=RULE, seed=0, device=CPU)
        for a in (archive, archive[:0])
    ]
    alone = fit_maps(METHOD, NORMAL, ANOMALY, seed=0, device=CPU)
    for fit in fits:
        for name, value in alone.head.state_dict().items():
            assert torch.equal(fit.head.state_dict()[name], value)
    assert fits[0].metrics.keys() - fits[1].metrics.keys() == {"unlabelled", "unlabelled_picked"}


def test_the_labelled_images_keep_their_weight() -> None:
    method, joined = join(METHOD, ANOMALY, images(40, 4, shift=2.0))
    # Forty picked images weigh as eight labelled ones: each labelled one is there five times.
    assert len(joined) == 40 + 5 * 4
    assert isinstance(method, PositionalWscxr)
    assert method.counted_images == 4 + MOST
    assert method.model_copy(update={"counted_images": None}) == METHOD
    few, joined = join(METHOD, ANOMALY, images(3, 4))
    assert len(joined) == 4 + 3
    assert isinstance(few, PositionalWscxr)
    assert few.counted_images == 7
    other = Wscxr()
    assert join(other, ANOMALY, images(3, 4))[0] is other
