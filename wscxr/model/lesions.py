"""The network that says where a chest, in its frame, looks changed by a lesion."""

from importlib.resources import files
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from wscxr.engines import Network
from wscxr.model.unet import DenseNetwork, load_weights, probability

LESION_SIDE = 128
"""Side of the frame as the network sees it, px."""

MAP_SIDE = 32
"""Side of a lesion map: 4 x 4 pixels become one place, which takes the grain out of it."""

_SHIPPED = Path("weights") / "lesions.safetensors"


class LesionNetwork(DenseNetwork):
    """Finds lesions in a chest in its frame; 1.7 million parameters.

    It is trained on lesions painted into normal chests, without any label.
    """

    side = LESION_SIDE
    widths = (32, 64, 96, 128, 192)


class LesionWitness(BaseModel):
    """How a detector hears the lesion network; part of the bundle.

    The image-level score is the sum of two witnesses, each in standard deviations over the normal
    set: the head's score, and the mean of the lesion map. The map that is shown is the lesion
    network's, on the score's scale: 0 is the peak of a typical normal chest, and as many normal
    chests have a peak above the threshold as have a score above it.

    Attributes
    ----------
    weight
        Weight of the lesion map's mean against the head's score.
    score_mean, score_std
        Of the head's score over the normal set.
    lesion_mean, lesion_std
        Of the lesion map's mean over the normal set.
    map_offset, map_slope
        Of the map that is shown, as a function of the lesion map.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float = Field(ge=0)
    score_mean: FiniteFloat
    score_std: float = Field(gt=0)
    lesion_mean: FiniteFloat
    lesion_std: float = Field(gt=0)
    map_offset: FiniteFloat = 0.0
    map_slope: float = Field(gt=0, default=1.0)

    @classmethod
    def of(
        cls, weight: float, scores: NDArray[np.float32], lesion_maps: NDArray[np.float32]
    ) -> Self:
        """Measure both witnesses on the normal set.

        Parameters
        ----------
        weight
            See the class.
        scores
            The head's scores, float32 of shape (N,).
        lesion_maps
            float32 of shape (N, MAP_SIDE, MAP_SIDE).
        """
        means = _means(lesion_maps)
        return cls(
            weight=weight,
            score_mean=float(scores.mean(dtype=np.float64)),
            score_std=max(float(scores.std(dtype=np.float64)), _LEAST),
            lesion_mean=float(means.mean()),
            lesion_std=max(float(means.std()), _LEAST),
        )

    def scaled(
        self, lesion_maps: NDArray[np.float32], threshold: float, false_alarm_rate: float
    ) -> Self:
        """The same witness, with its map on the score's scale.

        Parameters
        ----------
        lesion_maps
            Of normal images kept aside, float32 of shape (n, MAP_SIDE, MAP_SIDE).
        threshold
            Of the joint score.
        false_alarm_rate
            Share of these images whose peak may lie above the threshold, in (0, 1).
        """
        peaks = lesion_maps.max(axis=(1, 2)).astype(np.float64)
        usual, high = np.quantile(peaks, (0.5, 1 - false_alarm_rate))
        slope = max(threshold, 1.0) / max(float(high - usual), _LEAST)
        offset = threshold - slope * float(high)
        return self.model_copy(update={"map_offset": offset, "map_slope": slope})

    def join(
        self, scores: NDArray[np.float32], lesion_maps: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Join the witnesses.

        Parameters
        ----------
        scores, lesion_maps
            As `of` takes them.

        Returns
        -------
        maps : ndarray
            Anomaly maps to show, float32 of the shape of `lesion_maps`.
        scores : ndarray
            Image-level scores, float32 of shape (N,): 0 for a typical normal image.
        """
        head = (scores - self.score_mean) / self.score_std
        lesions = (_means(lesion_maps) - self.lesion_mean) / self.lesion_std
        maps = self.map_offset + self.map_slope * lesion_maps
        return maps.astype(np.float32), (head + self.weight * lesions).astype(np.float32)


_LEAST = 1e-6


def _means(lesion_maps: NDArray[np.float32]) -> NDArray[np.float64]:
    means: NDArray[np.float64] = lesion_maps.mean(axis=(1, 2), dtype=np.float64)
    return means


def lesion_map(
    network: Network, frame: NDArray[np.float32], lungs: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Find lesions in the lung fields of one chest.

    Parameters
    ----------
    network
        A `LesionNetwork` that an engine runs.
    frame
        The chest in its frame, float32 of shape (LESION_SIDE, LESION_SIDE), percentile-stretched
        to [0, 1].
    lungs
        Probability of lung in the frame, float32 of shape (MAP_SIDE, MAP_SIDE).

    Returns
    -------
    ndarray
        How likely there is a lesion in each place of the lungs, float32 of shape
        (MAP_SIDE, MAP_SIDE) in [0, 1].
    """
    likely = probability(network, frame)
    block = LESION_SIDE // MAP_SIDE
    places = likely.reshape(MAP_SIDE, block, MAP_SIDE, block).mean(axis=(1, 3))
    return np.asarray(places * lungs, dtype=np.float32)


def shipped_lesion_network() -> LesionNetwork:
    """The lesion network that comes with the project, in evaluation mode, on the CPU."""
    return load_weights(LesionNetwork(), Path(str(files("wscxr.model"))) / _SHIPPED)
