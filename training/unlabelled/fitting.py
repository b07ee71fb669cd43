"""A fit on labelled images and on an unlabelled archive."""

from collections.abc import Hashable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from training.methods.fitting import Fit, OnCheckpoint, fit_maps
from training.methods.settings import Method, PositionalWscxr
from training.unlabelled.picking import pick, train_teachers
from wscxr.choices import ScoreRule
from wscxr.progress import Track, untracked

MOST = 8
"""Picked images count together as at most so many of the K that a person labelled."""


def fit_with_archive(
    method: Method,
    normal: Tensor,
    anomaly: Tensor,
    archive: Tensor,
    groups: tuple[Sequence[Hashable], Sequence[Hashable]],
    *,
    rule: ScoreRule,
    seed: int,
    device: torch.device,
    track: Track = untracked,
    on_checkpoint: OnCheckpoint | None = None,
) -> Fit:
    """Let a method learn from labelled images, and from those picked of an unlabelled archive.

    Where nothing is picked, or there is no archive, it is `training.methods.fitting.fit_maps`.

    Parameters
    ----------
    method
        Settings of the method, which uses anomaly images.
    normal, anomaly, archive
        Patch features, float32 of shape (images, H', W', C'), on the CPU.
    groups, rule
        See `train_teachers`, for the errors too.
    seed, device, track, on_checkpoint
        See `Method.fit`.

    Returns
    -------
    Fit
        With an archive, its metrics have the numbers of images ``unlabelled`` and
        ``unlabelled_picked``.
    """
    found: dict[str, float] = {}
    if len(archive):
        teachers = train_teachers(
            method, normal, anomaly, groups, rule=rule, seed=seed, device=device, track=track
        )
        picked = archive[pick(teachers, archive, rule=rule, device=device)]
        method, anomaly = join(method, anomaly, picked)
        found = {"unlabelled": float(len(archive)), "unlabelled_picked": float(len(picked))}
    fit = fit_maps(
        method,
        normal,
        anomaly,
        seed=seed,
        device=device,
        track=track,
        on_checkpoint=on_checkpoint,
    )
    return replace(fit, metrics=fit.metrics | found)


def join(method: Method, anomaly: Tensor, picked: Tensor) -> tuple[Method, Tensor]:
    """Put picked images beside the labelled ones.

    Picked ones are many, some are wrong, and all are what a detector found by itself. So the
    labelled ones are repeated until the picked ones have the weight of `MOST` of them: for K = 16
    two thirds of what is drawn are labelled images, for K = 2 a fifth.

    Parameters
    ----------
    method
        Settings of the method.
    anomaly
        Patch features of the K labelled images, float32 of shape (K, H', W', C').
    picked
        Those of the picked ones, float32 of shape (n, H', W', C').

    Returns
    -------
    method : Method
        The same, with the number of images that its prior goes by.
    anomaly : Tensor
        float32 of shape (m, H', W', C').
    """
    if not len(picked):
        return method, anomaly
    repeats = max(1, round(len(picked) / MOST))
    if isinstance(method, PositionalWscxr):
        counted = len(anomaly) + min(MOST, len(picked))
        method = method.model_copy(update={"counted_images": counted})
    return method, torch.cat([anomaly.repeat(repeats, 1, 1, 1), picked])
