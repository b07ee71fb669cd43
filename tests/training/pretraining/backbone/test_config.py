from pathlib import Path

import pytest
from pydantic import ValidationError

from training.pretraining.backbone.config import ObjectiveName, PretrainConfig
from wscxr.choices import WeightsSource
from wscxr.errors import ConfigError
from wscxr.model.backbone import BackboneConfig
from wscxr.options import validated


def test_the_defaults_are_a_small_regnet_from_nothing() -> None:
    config = PretrainConfig()
    assert config.backbone_config == BackboneConfig(
        architecture="regnet_x_400mf",
        layers=("trunk_output.block3",),
        source=WeightsSource.RANDOM,
    )
    assert config.layer == "trunk_output.block3"
    assert config.weights_file is None
    assert config.objective is ObjectiveName.BOTH


def test_training_may_start_from_a_file() -> None:
    config = PretrainConfig(backbone="resnet18", layer="layer2", weights="some/where.pth")
    assert config.weights_file == Path("some/where.pth")
    assert config.backbone_config.source is WeightsSource.FILE
    assert config.backbone_config.layers == ("layer2",)


def test_a_resolved_configuration_can_be_resolved_again() -> None:
    config = PretrainConfig(backbone="resnet18", seed=3)
    assert PretrainConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"backbone": "resnet99"}, "'resnet99' is not a torchvision classification model"),
        ({"backbone": "vgg11"}, "name the layers to use of vgg11"),
        ({"objective": "labels"}, "objective: "),
        ({"epochs": 0}, "epochs: "),
        ({"batch_size": 1}, "batch_size: "),
        ({"learning_rate": 0}, "learning_rate: "),
        ({"image_size": 16}, "image_size: "),
        ({"seed": -1}, "seed: "),
        ({"seed": 2**32}, "seed: "),
        ({"view": {"scale": (1.0, 0.5)}}, "scale must be a range"),
        ({"k": 3}, "k: "),
    ],
)
def test_a_bad_setting_is_named(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        validated(PretrainConfig, settings)


def test_settings_do_not_change_afterwards() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        PretrainConfig().epochs = 3  # type: ignore[misc]
