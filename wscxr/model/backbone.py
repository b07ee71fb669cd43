"""A torchvision classification network, frozen and cut at the named layers."""

import copy
import math
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import BaseModel, ConfigDict, model_validator
from torch import Tensor, fx, nn

from wscxr import shipped
from wscxr.choices import WeightsSource
from wscxr.errors import ConfigError, WeightsError
from wscxr.model.weights import fetch_imagenet_weights, read_weights

_DEFAULT_LAYERS = {
    # The paper's choice for DenseNet121: "the fourth layer".
    "densenet": ("features.denseblock4",),
    # Mid-level features locate anomalies best in residual networks (PatchCore, sec. 3.1).
    "resnet": ("layer3",),
    "wide_resnet": ("layer3",),
    "resnext": ("layer3",),
    "regnet": ("trunk_output.block3",),
}

_COMMON = frozenset({"densenet121", "regnet_x_400mf", "resnet18", "resnet50"})
"""Architectures that are known without torchvision, whose import takes longer than PyTorch's.

A service with compiled networks in its cache needs nothing else of it.
"""

_BUILD_ARGUMENTS: dict[str, dict[str, Any]] = {
    # ImageNet weights of these two expect torchvision's own input transform.
    "googlenet": {"init_weights": False, "transform_input": True},
    "inception_v3": {"init_weights": False, "transform_input": True},
}

_SIZE_ARGUMENT = {"vit": "image_size", "maxvit": "input_size"}
"""Families whose parameters depend on the input size, and the name of that argument."""


class BackboneConfig(BaseModel):
    """Which network, cut where, with weights from where; part of the bundle.

    Attributes
    ----------
    architecture
        Name of a torchvision classification model, for example ``"densenet121"``.
    layers
        Names of the modules whose outputs are used, in torchvision's spelling. When none is
        given, the family's default (DenseNet: ``features.denseblock4``, as in the paper).
    source
        Where the weights came from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: str = "densenet121"
    layers: tuple[str, ...] = ()
    source: WeightsSource = WeightsSource.IMAGENET

    @model_validator(mode="after")
    def _known_architecture_and_layers(self) -> Self:
        if self.architecture not in _COMMON and self.architecture not in _classification_models():
            raise ValueError(f"{self.architecture!r} is not a torchvision classification model")
        if not self.layers:
            layers = _DEFAULT_LAYERS.get(_family(self.architecture))
            if layers is None:
                raise ValueError(f"name the layers to use of {self.architecture}")
            object.__setattr__(self, "layers", layers)
        return self


class Backbone(nn.Module):
    """The frozen trunk: images in, one feature map for each named layer out.

    Always in evaluation mode and without gradients. Weights are as torchvision initialises them
    until `load_weights` is called.

    Parameters
    ----------
    config
        Architecture and layers.
    size
        Side of the model input, in pixels.

    Attributes
    ----------
    channels
        Depth C_j of each map.

    Raises
    ------
    ConfigError
        A layer does not exist, has no spatial extent, or the network cannot take this size.
    """

    def __init__(self, config: BackboneConfig, size: int) -> None:
        import torchvision

        super().__init__()
        self.config = config
        self.size = size
        name = config.architecture
        arguments = dict(_BUILD_ARGUMENTS.get(name, {}))
        if argument := _SIZE_ARGUMENT.get(_family(name)):
            arguments[argument] = (size, size) if argument == "input_size" else size
        try:
            model = torchvision.models.get_model(name, weights=None, **arguments).eval()
            self.trunk = _cut(model, config, size)
            self.requires_grad_(requires_grad=False).eval().to(memory_format=torch.channels_last)
            # Buffers that tracing adds are constants of the code, not weights.
            self._keys = self.trunk.state_dict().keys() & model.state_dict().keys()
            self.channels = tuple(m.shape[1] for m in self(torch.zeros(1, 3, size, size)))
        except (RuntimeError, ValueError, AssertionError) as error:
            raise ConfigError(f"{name} cannot take {size} px: {error}") from error

    @torch.no_grad()
    def forward(self, images: Tensor) -> list[Tensor]:
        """Compute the feature maps phi_j(x) of the named layers.

        Parameters
        ----------
        images
            float32 of shape (B, 3, size, size), normalised.

        Returns
        -------
        list of Tensor
            float32 maps of shape (B, C_j, H_j, W_j), in the order of ``config.layers``.
        """
        # Channels-last is the layout CPU convolutions are fastest in. TF32 would round the
        # features to ten bits on a GPU, and scores would differ from the CPU's.
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            outputs = self.trunk(images)
        return [self.to_nchw(layer, outputs[layer]) for layer in self.config.layers]

    def to_nchw(self, layer: str, output: object) -> Tensor:
        """What the trunk gave at a layer, as feature maps of shape (B, C_j, H_j, W_j).

        Raises
        ------
        ConfigError
            It has no spatial extent.
        """
        family = _family(self.config.architecture)
        if isinstance(output, Tensor) and output.ndim == 3 and family == "vit":
            # (B, 1 + side^2, C): the first token is the class token, not a place.
            batch, tokens, channels = output.shape
            side = math.isqrt(int(tokens) - 1)
            return output[:, 1:].transpose(1, 2).reshape(batch, channels, side, side)
        if not isinstance(output, Tensor) or output.ndim != 4:
            raise ConfigError(f"layer {layer} has no spatial extent; choose an earlier one")
        # Maps of square inputs are square, so the odd one out is the channels; some layers put
        # them last. Where all three agree, the family decides.
        _, first, middle, last = output.shape
        channels_last = family == "swin" if first == middle == last else first == middle
        return output.permute(0, 3, 1, 2) if channels_last else output

    def load_weights(self, state: dict[str, Tensor]) -> None:
        """Load a state dict in torchvision's key names.

        Keys that the cut network does not have are ignored, so the file may be a whole
        classifier or end at the last layer used.

        Raises
        ------
        WeightsError
            A key is missing or has another shape.
        """
        own = self.weights()
        # A counter that evaluation never reads; older files lack it.
        needed = {key for key in own if not key.endswith("num_batches_tracked")}
        if missing := sorted(needed - state.keys()):
            raise WeightsError(
                f"the weights lack {len(missing)} of {len(needed)} keys of "
                f"{self.config.architecture} up to {', '.join(self.config.layers)}: "
                f"{', '.join(missing[:3])} ..."
            )
        if "encoder.pos_embedding" in needed:
            state = self._fit_position_embedding(state)
        for key in sorted(needed):
            if state[key].shape != own[key].shape:
                raise WeightsError(
                    f"weight {key} has shape {tuple(state[key].shape)}; "
                    f"{self.config.architecture} needs {tuple(own[key].shape)}"
                )
        self.trunk.load_state_dict({key: state[key] for key in needed}, strict=False)

    def _fit_position_embedding(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        from torchvision.models.vision_transformer import interpolate_embeddings

        patch = int(self.config.architecture.rpartition("_")[2])
        try:
            return dict(interpolate_embeddings(self.size, patch, dict(state)))
        except ValueError as error:
            raise WeightsError(f"the position embedding does not fit: {error}") from error

    def weights(self) -> dict[str, Tensor]:
        """The weights in use, in torchvision's key names, contiguous and on the CPU."""
        state = self.trunk.state_dict()
        return {key: state[key].cpu().contiguous() for key in state if key in self._keys}


def build_backbone(
    config: BackboneConfig, size: int, *, file: Path | None = None, seed: int = 0
) -> Backbone:
    """Make a backbone with weights from the source its configuration names.

    Parameters
    ----------
    config
        Architecture, layers and source of the weights.
    size
        Side of the model input, in pixels.
    file
        The weights file; needed when the source is a file, unused otherwise.
    seed
        Seeds the initialisation; it matters only when the source is random.

    Raises
    ------
    ConfigError, WeightsError, WeightsUnavailable
        See `Backbone`, `Backbone.load_weights` and `wscxr.model.weights`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = Backbone(config, size)
    match config.source:
        case WeightsSource.IMAGENET:
            backbone.load_weights(fetch_imagenet_weights(config.architecture))
        case WeightsSource.CXR:
            backbone.load_weights(read_weights(shipped.backbone_file()))
        case WeightsSource.FILE:
            if file is None:
                raise ConfigError("the backbone's weights come from a file; name it")
            backbone.load_weights(read_weights(file))
        case WeightsSource.RANDOM:
            pass
    return backbone


def _cut(model: nn.Module, config: BackboneConfig, size: int) -> fx.GraphModule:
    """Cut a network after the last layer used; nothing later is kept or computed."""
    known = [name for name, _ in model.named_modules() if name]
    if missing := [layer for layer in config.layers if layer not in known]:
        outer = ", ".join(name for name in known if name.count(".") < 2)
        raise ConfigError(
            f"{config.architecture} has no layer {', '.join(missing)}; it has {outer}"
        )
    key = (config.architecture, config.layers, size)
    graph = _GRAPHS.get(key) or _trace(model, config)
    # Constants that tracing found are attributes of that model alone.
    if all(node.op != "get_attr" for node in graph.nodes):
        _GRAPHS[key] = graph
    return fx.GraphModule(model, copy.deepcopy(graph))


_GRAPHS: dict[tuple[str, tuple[str, ...], int], fx.Graph] = {}
"""Traced networks, by architecture, layers and size.

While a network is traced, no other may compute on any thread: tracing replaces the call of every
module of the process. A service that loads another version of a bundle must not trace again.
"""


def _trace(model: nn.Module, config: BackboneConfig) -> fx.Graph:
    from torchvision.models.feature_extraction import create_feature_extractor

    traced = create_feature_extractor(model, list(config.layers), suppress_diff_warning=True)
    graph: fx.Graph = traced.graph
    # Assertions on later layers' inputs would keep those layers alive.
    for node in list(graph.nodes):
        if node.target is torch._assert:  # noqa: SLF001 - torchvision's own way to assert
            graph.erase_node(node)
    graph.eliminate_dead_code()
    return graph


def _classification_models() -> list[str]:
    import torchvision

    names: list[str] = torchvision.models.list_models(module=torchvision.models)
    return names


def _family(architecture: str) -> str:
    """``"swin_v2_t"`` -> ``"swin"``, ``"densenet121"`` -> ``"densenet"``."""
    if architecture.startswith("wide_resnet"):
        return "wide_resnet"
    return architecture.partition("_")[0].rstrip("0123456789")
