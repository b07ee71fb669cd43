"""Patch features and head as one: images in, anomaly maps and scores out (Eq. 8)."""

import torch
from torch import Tensor

from wscxr.choices import ScoreRule
from wscxr.engines import Engine, Network
from wscxr.model.heads import Head

_BLOCK = 16
"""Images whose patch features are scored together."""


def image_score(maps: Tensor, rule: ScoreRule) -> Tensor:
    """Reduce anomaly maps to image-level scores.

    Parameters
    ----------
    maps
        float32 of shape (B, H', W').
    rule
        Which reduction.

    Returns
    -------
    Tensor
        float32 of shape (B,).
    """
    flat = maps.flatten(1)
    match rule:
        case ScoreRule.MAX:
            return flat.amax(dim=1)
        case ScoreRule.TOP_TENTH:
            return flat.topk(max(1, flat.shape[1] // 10), dim=1).values.mean(dim=1)
        case ScoreRule.MEAN:
            return flat.mean(dim=1)


class Detector:
    """The whole way from model inputs to anomaly maps and scores.

    Parameters
    ----------
    network
        A `wscxr.model.features.FeatureNetwork` that the engine runs.
    head
        Trained on its patch features.
    score_rule
        How a map becomes an image-level score.
    engine
        Runs the network; the head computes on its device, in float32.
    """

    def __init__(self, network: Network, head: Head, score_rule: ScoreRule, engine: Engine) -> None:
        self.network = network
        self.engine = engine
        self.device = torch.device(engine.device)
        self.head = head.to(self.device).eval()
        self.score_rule = score_rule

    def features(self, images: Tensor) -> Tensor:
        """Patch features of a batch.

        Parameters
        ----------
        images
            Model inputs, float32 of shape (B, 3, size, size), on any device.

        Returns
        -------
        Tensor
            float32 of shape (B, H', W', C'), on the detector's device.
        """
        [features] = self.network.run(images.cpu().numpy())
        return torch.from_numpy(features).to(self.device)

    @torch.no_grad()
    def detect_features(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Score patch features that `features` computed.

        Parameters
        ----------
        features
            float32 of shape (B, H', W', C'), on any device.

        Returns
        -------
        maps : Tensor
            Anomaly maps to show, float32 of shape (B, H', W'), unbounded; see
            `wscxr.model.heads.Head.anomaly_maps`.
        scores : Tensor
            Image-level scores, float32 of shape (B,): the score rule of the head's scores, at most
            0 on normal images and at least 1 on anomalous ones where training reached its aim.
        """
        # Block by block: a whole calibration set may lie on disk, larger than memory.
        blocks = [
            self._detect_block(block.to(self.device)) for block in torch.split(features, _BLOCK)
        ]
        maps, scores = (torch.cat(parts) for parts in zip(*blocks, strict=True))
        return maps, scores

    def _detect_block(self, features: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.head(features)
        scores = image_score(maps, self.score_rule)
        return self.head.anomaly_maps(features, maps, scores), scores

    def detect(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Score model inputs, float32 of shape (B, 3, size, size); see `detect_features`."""
        return self.detect_features(self.features(images))
