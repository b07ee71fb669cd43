"""Backbone and patches as one network: model inputs -> patch features (Eq. 1-3)."""

from collections.abc import Callable

from torch import Tensor, nn

from wscxr.engines import Blueprint
from wscxr.model.backbone import Backbone, BackboneConfig
from wscxr.model.patches import patch_features


class FeatureNetwork(nn.Module):
    """Model inputs -> patch features.

    Parameters
    ----------
    backbone
        Frozen trunk.
    p
        Side of the neighbourhood of a patch feature.
    """

    def __init__(self, backbone: Backbone, p: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.p = p

    def forward(self, images: Tensor) -> Tensor:
        """Compute patch features.

        Parameters
        ----------
        images
            float32 of shape (B, 3, size, size), normalised.

        Returns
        -------
        Tensor
            float32 of shape (B, H', W', C'), whatever precision the backbone computes in.
        """
        return patch_features([maps.float() for maps in self.backbone(images)], self.p)


def feature_blueprint(
    config: BackboneConfig, size: int, p: int, weights_sha256: str, build: Callable[[], Backbone]
) -> Blueprint:
    """Describe a `FeatureNetwork` for an engine.

    Parameters
    ----------
    config
        Architecture and layers of the backbone.
    size
        Side of the model input, in pixels.
    p
        Side of the neighbourhood of a patch feature.
    weights_sha256
        Hash of the backbone's weights.
    build
        Makes the backbone.
    """
    layers = ",".join(config.layers)
    return Blueprint(
        shape=(3, size, size),
        key=f"features {config.architecture} {layers} {size} {p} {weights_sha256}",
        build=lambda: FeatureNetwork(build(), p),
    )
