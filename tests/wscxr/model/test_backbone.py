import gc
import re
import warnings
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
import torchvision
from pydantic import ValidationError
from torch import Tensor, nn

from tests.helpers import random_backbone
from wscxr.choices import WeightsSource
from wscxr.errors import ConfigError, WeightsError
from wscxr.model.backbone import Backbone, BackboneConfig, build_backbone


@pytest.fixture(scope="module", autouse=True)
def _give_memory_back() -> Iterator[None]:
    """Keep the networks no longer than these tests run: they take gigabytes."""
    yield
    full_model.cache_clear()
    loaded.cache_clear()
    gc.collect()


@dataclass(frozen=True)
class Case:
    """A torchvision model, some of its layers, and a small input."""

    name: str
    layers: tuple[str, ...]
    size: int

    def __str__(self) -> str:
        return self.name


# One of each family, each with an early and a deep layer.
CASES = [
    Case("alexnet", ("features.2", "features.5"), 96),
    Case("convnext_tiny", ("features.1", "features.3"), 64),
    Case("densenet121", ("features.denseblock1", "features.denseblock2"), 64),
    Case("efficientnet_b0", ("features.2", "features.3.0"), 64),
    Case("googlenet", ("maxpool1", "inception3b"), 64),
    Case("inception_v3", ("Conv2d_2b_3x3", "Mixed_5c"), 96),
    Case("maxvit_t", ("stem", "blocks.0"), 224),
    Case("mnasnet0_5", ("layers.8", "layers.10"), 64),
    Case("mobilenet_v3_small", ("features.1", "features.4"), 64),
    Case("regnet_y_400mf", ("stem", "trunk_output.block2"), 64),
    Case("resnet18", ("layer1", "layer3"), 64),
    Case("shufflenet_v2_x0_5", ("conv1", "stage2"), 64),
    Case("squeezenet1_0", ("features.4", "features.9"), 64),
    Case("swin_t", ("features.1", "features.3"), 64),
    Case("swin_v2_t", ("features.1", "features.2"), 64),
    Case("vgg11", ("features.2", "features.10"), 64),
    Case("vit_b_32", ("conv_proj", "encoder.layers.encoder_layer_1"), 128),
]
families = pytest.mark.parametrize("case", CASES, ids=str)


@cache
def full_model(name: str, size: int) -> nn.Module:
    """The whole torchvision classifier, with statistics that are not the trivial ones."""
    special: dict[str, dict[str, Any]] = {
        "vit_b_32": {"image_size": size},
        "maxvit_t": {"input_size": (size, size)},
        "googlenet": {"init_weights": False, "transform_input": True},
        "inception_v3": {"init_weights": False, "transform_input": True},
    }
    arguments = special.get(name, {})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model: nn.Module = torchvision.models.get_model(name, weights=None, **arguments).eval()
        for key, buffer in model.named_buffers():
            if key.endswith("running_mean"):
                buffer.normal_(0, 0.1)
            elif key.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
    return model


@cache
def loaded(case: Case) -> Backbone:
    """The case's backbone with the weights of `full_model`; never changed by a test."""
    backbone = random_backbone(case.name, case.layers, case.size)
    backbone.load_weights(full_model(case.name, case.size).state_dict())
    return backbone


@pytest.fixture(scope="module", autouse=True)
def _forget_models() -> Iterator[None]:
    yield
    full_model.cache_clear()
    loaded.cache_clear()


@torch.no_grad()
def hooked(model: nn.Module, layers: tuple[str, ...], images: Tensor) -> list[Tensor]:
    """Outputs of some modules while the whole classifier runs."""
    seen: dict[str, Tensor] = {}
    modules = dict(model.named_modules())

    def remember(layer: str) -> Any:
        # A copy: some models change the output in place afterwards.
        return lambda _module, _inputs, output: seen.__setitem__(layer, output.clone())

    handles = [modules[layer].register_forward_hook(remember(layer)) for layer in layers]
    try:
        model(images)
    finally:
        for handle in handles:
            handle.remove()
    return [seen[layer] for layer in layers]


def as_maps(name: str, output: Tensor) -> Tensor:
    """Bring an output to (B, C, H, W), spelled out for each odd family."""
    if name.startswith("swin"):
        return output.permute(0, 3, 1, 2)
    if name.startswith("vit") and output.ndim == 3:
        batch, tokens, channels = output.shape
        side = int((tokens - 1) ** 0.5)
        maps = torch.empty(batch, channels, side, side)
        for row in range(side):
            for column in range(side):
                maps[:, :, row, column] = output[:, 1 + row * side + column]
        return maps
    return output


def images(size: int, count: int = 2) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


@families
def test_the_trunk_is_the_whole_model_cut_at_the_layers(case: Case) -> None:
    full, backbone = full_model(case.name, case.size), loaded(case)
    batch = images(case.size)
    expected = [as_maps(case.name, output) for output in hooked(full, case.layers, batch)]
    found = backbone(batch)
    assert len(found) == len(expected) == len(case.layers)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == torch.float32
        assert ours.shape == theirs.shape
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4 * float(theirs.abs().max()))
    assert backbone.channels == tuple(theirs.shape[1] for theirs in expected)


@families
def test_maps_are_not_turned(case: Case) -> None:
    """A change in one corner of the input shows in the same corner of every map.

    The upper right and the lower left: a transposed map would swap them.
    """
    backbone = loaded(case)
    quarter = case.size // 4
    plain = 0.1 * images(case.size, 1)
    for rows, columns, corner in [
        (slice(0, quarter), slice(-quarter, None), (0, 1)),
        (slice(-quarter, None), slice(0, quarter), (1, 0)),
    ]:
        changed = plain.clone()
        changed[:, :, rows, columns] += 3.0
        for before, after in zip(backbone(plain), backbone(changed), strict=True):
            change = (after - before).abs().mean(dim=(0, 1))
            height, width = change.shape
            quadrants = {
                (y, x): change[
                    (height - height // 2) * y : (height // 2 if y == 0 else height),
                    (width - width // 2) * x : (width // 2 if x == 0 else width),
                ].mean()
                for y in (0, 1)
                for x in (0, 1)
            }
            assert max(quadrants, key=lambda q: float(quadrants[q])) == corner


@families
def test_weights_survive_being_saved_and_loaded(case: Case) -> None:
    """What a bundle embeds is enough to rebuild the trunk."""
    batch = images(case.size, 1)
    saved = {key: value.clone() for key, value in loaded(case).weights().items()}
    second = deepcopy(loaded(case)).eval()
    second.load_weights({key: value / 2 for key, value in saved.items()})
    changed = [m.clone() for m in second(batch)]
    second.load_weights(saved)
    for one, two, old in zip(loaded(case)(batch), second(batch), changed, strict=True):
        assert torch.equal(one, two)
        assert not torch.equal(one, old)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        # Inside these models both layouts occur, (B, C, H, W) and (B, H, W, C).
        ("swin_t", "features.0.0"),
        ("swin_t", "permute"),
        ("convnext_tiny", "features.1.0.block.1"),
        ("convnext_tiny", "features.1.0.block.2"),
        ("vit_b_32", "encoder.ln"),
    ],
)
def test_any_layer_gives_maps_or_is_refused(name: str, layer: str) -> None:
    """Never maps whose axes are mistaken for each other."""
    size = 128
    try:
        backbone = random_backbone(name, (layer,), size)
    except ConfigError:
        return
    [found] = backbone(images(size))
    assert found.ndim == 4
    # All maps here are square and have more channels than rows.
    assert found.shape[2] == found.shape[3] < found.shape[1]


# --- several layers, and how they are run -------------------------------------------------------


def test_layers_come_in_the_order_they_were_named() -> None:
    forward = random_backbone(layers=("layer1", "layer2"))
    backward = random_backbone(layers=("layer2", "layer1"))
    assert forward.channels == (64, 128)
    assert backward.channels == (128, 64)
    batch = images(64)
    for one, two in zip(forward(batch), reversed(backward(batch)), strict=True):
        assert torch.equal(one, two)


def test_the_backbone_is_frozen_and_stateless() -> None:
    backbone = random_backbone()
    assert not backbone.training
    assert not any(p.requires_grad for p in backbone.parameters())
    before = backbone.weights()
    first = backbone(images(64))[0]
    assert not first.requires_grad
    assert torch.equal(first, backbone(images(64))[0])
    assert all(torch.equal(before[key], value) for key, value in backbone.weights().items())


def test_nothing_past_the_last_layer_is_kept() -> None:
    keys = random_backbone(layers=("layer1",)).weights().keys()
    assert any(key.startswith("layer1.") for key in keys)
    assert not any(key.startswith(("layer2.", "fc.")) for key in keys)


@families
def test_nothing_past_the_last_layer_is_computed(case: Case) -> None:
    """The cut network has no parameter that is nothing to its maps."""
    backbone = deepcopy(loaded(case)).eval().requires_grad_(requires_grad=True)
    outputs = backbone.trunk(images(case.size, 1).requires_grad_())
    torch.autograd.backward(sum(outputs[layer].sum() for layer in case.layers))
    idle = [name for name, p in backbone.named_parameters() if p.grad is None]
    assert not idle, f"{len(idle)} parameters are kept for nothing, for example {idle[0]}"


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.name in {"googlenet", "inception_v3"}], ids=str
)
def test_building_does_not_warn(case: Case) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        random_backbone(case.name, case.layers, case.size)


# --- configuration ------------------------------------------------------------------------------


def test_the_defaults_are_the_papers() -> None:
    config = BackboneConfig()
    assert config.architecture == "densenet121"
    assert config.layers == ("features.denseblock4",)
    assert config.source is WeightsSource.IMAGENET


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("densenet169", ("features.denseblock4",)),
        ("resnet50", ("layer3",)),
        ("wide_resnet50_2", ("layer3",)),
        ("resnext50_32x4d", ("layer3",)),
    ],
)
def test_families_have_default_layers(name: str, layers: tuple[str, ...]) -> None:
    assert BackboneConfig(architecture=name).layers == layers


def test_a_model_without_default_layers_asks_for_them() -> None:
    with pytest.raises(ValidationError, match="name the layers to use of vgg11"):
        BackboneConfig(architecture="vgg11")


@pytest.mark.parametrize("name", ["resnet99", "fcn_resnet50", "raft_large", "r3d_18", ""])
def test_only_classification_models_are_backbones(name: str) -> None:
    with pytest.raises(ValidationError, match="not a torchvision classification model"):
        BackboneConfig(architecture=name, layers=("layer1",))


def test_an_unknown_layer_is_named_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"resnet18 has no layer nope, layer9; it has .*layer1"):
        random_backbone(layers=("layer1", "nope", "layer9"))


@pytest.mark.parametrize(
    ("name", "layer", "size"),
    [
        ("resnet18", "fc", 64),
        ("densenet121", "classifier", 64),
        ("vit_b_32", "heads", 64),
        ("vit_b_32", "encoder.layers.encoder_layer_0.self_attention", 64),  # a tuple
        ("resnet18", "", 64),  # the whole model
    ],
)
def test_a_layer_without_places_is_refused(name: str, layer: str, size: int) -> None:
    with pytest.raises(ConfigError, match="layer"):
        random_backbone(name, (layer,), size)


@pytest.mark.parametrize(
    ("name", "layer", "size"),
    [
        ("alexnet", "features", 32),
        ("inception_v3", "Mixed_7c", 64),
        ("maxvit_t", "blocks.0", 64),
        ("vit_b_32", "encoder.layers.encoder_layer_0", 100),  # no multiple of the patch
    ],
)
@pytest.mark.filterwarnings("ignore:NOTE. The nodes obtained by tracing:UserWarning")
def test_a_size_the_network_cannot_take_is_refused(name: str, layer: str, size: int) -> None:
    with pytest.raises(ConfigError, match=f"{name} cannot take {size} px"):
        random_backbone(name, (layer,), size)


# --- weights ------------------------------------------------------------------------------------


def test_a_state_dict_may_end_at_the_last_layer_used() -> None:
    full = full_model("resnet18", 64)
    truncated = {
        key: value
        for key, value in full.state_dict().items()
        if key.startswith(("conv1.", "bn1.", "layer1."))
    }
    backbone = random_backbone(layers=("layer1",))
    backbone.load_weights(truncated)
    [expected] = hooked(full, ("layer1",), images(64))
    torch.testing.assert_close(backbone(images(64))[0], expected, rtol=1e-4, atol=1e-5)


def test_counters_that_evaluation_never_reads_may_be_missing() -> None:
    backbone = random_backbone()
    state = {k: v for k, v in backbone.weights().items() if "num_batches_tracked" not in k}
    assert len(state) < len(backbone.weights())
    backbone.load_weights(state)


def test_missing_keys_are_named_and_nothing_is_loaded() -> None:
    backbone = random_backbone()
    before = backbone.weights()["conv1.weight"].clone()
    state = {key: torch.ones_like(value) for key, value in backbone.weights().items()}
    del state["layer1.0.conv1.weight"]
    with pytest.raises(
        WeightsError,
        match=re.escape("lack 1 of 25 keys of resnet18 up to layer1: layer1.0.conv1.weight"),
    ):
        backbone.load_weights(state)
    assert torch.equal(backbone.weights()["conv1.weight"], before)


def test_a_wrong_shape_is_named_and_nothing_is_loaded() -> None:
    backbone = random_backbone()
    before = backbone.weights()["bn1.weight"].clone()
    state = {key: torch.full_like(value, 7) for key, value in backbone.weights().items()}
    state["conv1.weight"] = torch.zeros(64, 1, 7, 7)
    with pytest.raises(WeightsError, match=re.escape("conv1.weight has shape (64, 1, 7, 7)")):
        backbone.load_weights(state)
    assert torch.equal(backbone.weights()["bn1.weight"], before)


def test_vit_position_embeddings_are_fitted_to_the_input_size() -> None:
    """ImageNet's are for 224 px: 7 x 7 places; here there are 4 x 4."""
    layers = ("encoder.layers.encoder_layer_0",)
    state = full_model("vit_b_32", 224).state_dict()
    backbone = random_backbone("vit_b_32", layers, 128)
    backbone.load_weights(state)
    fitted = backbone.weights()["encoder.pos_embedding"]
    assert state["encoder.pos_embedding"].shape == (1, 50, 768)
    assert fitted.shape == (1, 17, 768)
    # The class token is no place.
    assert torch.equal(fitted[:, 0], state["encoder.pos_embedding"][:, 0])
    places = state["encoder.pos_embedding"][:, 1:].reshape(1, 7, 7, 768).permute(0, 3, 1, 2)
    small = nn.functional.interpolate(places, size=4, mode="bicubic", align_corners=True)
    torch.testing.assert_close(
        fitted[:, 1:].reshape(1, 4, 4, 768), small.permute(0, 2, 3, 1), rtol=1e-4, atol=1e-5
    )


def test_vit_without_position_embeddings_needs_none() -> None:
    backbone = random_backbone("vit_b_32", ("conv_proj",), 64)
    state = full_model("vit_b_32", 128).state_dict()
    backbone.load_weights({key: state[key] for key in ("conv_proj.weight", "conv_proj.bias")})
    assert torch.equal(backbone.weights()["conv_proj.bias"], state["conv_proj.bias"])


def test_vit_position_embeddings_that_are_no_square_are_refused() -> None:
    backbone = random_backbone("vit_b_32", ("encoder.layers.encoder_layer_0",), 64)
    state = backbone.weights() | {"encoder.pos_embedding": torch.zeros(1, 4, 768)}
    with pytest.raises(WeightsError):
        backbone.load_weights(state)


# --- build_backbone -----------------------------------------------------------------------------


def test_random_weights_follow_the_seed_and_leave_the_stream_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    first, again, other = (random_backbone(seed=seed).weights() for seed in (5, 5, 6))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


def test_weights_from_a_file_need_the_file() -> None:
    config = BackboneConfig(architecture="resnet18", layers=("layer1",), source=WeightsSource.FILE)
    with pytest.raises(ConfigError, match="file"):
        build_backbone(config, 64)


def test_cudnn_stays_on_while_features_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = random_backbone()
    seen: list[tuple[bool, bool]] = []

    def spy(_: torch.Tensor) -> dict[str, torch.Tensor]:
        seen.append((torch.backends.cudnn.enabled, torch.backends.cudnn.allow_tf32))
        return {"layer1": torch.zeros(1, 2, 3, 3)}

    monkeypatch.setattr(backbone.trunk, "forward", spy)
    backbone(torch.zeros(1, 3, 64, 64))
    assert seen == [(True, False)]
