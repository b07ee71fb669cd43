from pathlib import Path

import pytest
from pydantic import ValidationError

from training.config import TrainConfig, resolve_config
from training.methods.settings import PositionalWscxr, Wscxr
from wscxr.choices import Intensity, ScoreRule, WeightsSource
from wscxr.errors import ConfigError
from wscxr.model.backbone import BackboneConfig


def toml(folder: Path, text: str) -> Path:
    file = folder / "train.toml"
    file.write_text(text)
    return file


def test_the_default_preset_needs_no_download() -> None:
    config = resolve_config(None, {})
    assert config == TrainConfig()
    assert (config.backbone, config.weights) == ("regnet_x_400mf", "cxr")
    assert config.layers == ("trunk_output.block3",)
    assert config.method == PositionalWscxr()
    assert (config.align, config.lesions, config.score_rule) == ("lungs", "cxr", "mean")


def test_the_shipped_weights_fit_their_own_architecture_alone() -> None:
    with pytest.raises(ConfigError, match="the weights cxr are of regnet_x_400mf"):
        resolve_config(None, {"backbone": "resnet18"})


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ConfigError, match="preset 'best' is none of default, whole, paper"):
        resolve_config(None, {}, "best")


def test_a_file_and_options_are_laid_over_the_preset(tmp_path: Path) -> None:
    config = resolve_config(toml(tmp_path, "r = 0.3\np = 3\n"), {"p": 1}, "paper")
    assert config.method == Wscxr(r=0.3)
    assert (config.p, config.backbone) == (1, "densenet121")


def test_the_paper_preset_is_the_papers() -> None:
    config = resolve_config(None, {}, "paper")
    assert config.backbone == "densenet121"
    assert config.layers == ("features.denseblock4",)
    assert config.weights == "imagenet"
    assert (config.p, config.k) == (5, 16)
    assert config.method == Wscxr(mining=True, r=0.2, mixing=True)
    assert config.score_rule is ScoreRule.MAX
    assert config.false_alarm_rate == 0.05


def test_a_toml_file_gives_any_setting(tmp_path: Path) -> None:
    file = toml(
        tmp_path,
        'backbone = "resnet18"\nlayers = ["layer1", "layer2"]\nweights = "random"\n'
        'method = "wscxr"\n'
        'hidden = []\nintensity = "full-range"\nmixing = false\nr = 0.5\nk = 2\n',
    )
    config = resolve_config(file, {})
    assert config.layers == ("layer1", "layer2")
    assert config.intensity is Intensity.FULL_RANGE
    assert config.k == 2
    assert config.method == Wscxr(hidden=(), mixing=False, r=0.5)


def test_options_win_over_the_file_and_missing_ones_do_not(tmp_path: Path) -> None:
    file = toml(tmp_path, "k = 2\nsteps = 7\nmining = false\n")
    config = resolve_config(file, {"k": 3, "steps": None, "mining": None, "seed": 0}, "paper")
    assert (config.k, config.seed) == (3, 0)
    assert config.method == Wscxr(steps=7, mining=False)


def test_options_that_mean_nothing_win_too(tmp_path: Path) -> None:
    """0, false and an empty list are given; only None is not."""
    file = toml(tmp_path, "hidden = [8]\nmixing = true\nseed = 5\nweight_decay = 0.5\n")
    options = {"hidden": [], "mixing": False, "seed": 0, "weight_decay": 0.0}
    config = resolve_config(file, options, "paper")
    assert config.seed == 0
    assert config.method == Wscxr(hidden=(), mixing=False, weight_decay=0.0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"k": -1}, "k: "),
        ({"k": 0}, "positional needs anomaly images"),
        ({"method": "patchcore", "k": 3}, "patchcore uses no anomaly images"),
        ({"method": "patchcore", "steps": 3}, "patchcore has no setting steps"),
        ({"method": "svm"}, "'svm' is none of positional, wscxr, wscxr-authors, patchcore"),
        ({"p": 4}, "p must be odd"),
        ({"p": -1}, "p: "),
        ({"r": 0.0}, "r: "),
        ({"r": 1.1}, "r: "),
        ({"steps": 0}, "steps: "),
        ({"image_size": 16}, "image_size: "),
        ({"false_alarm_rate": 1.0}, "false_alarm_rate: "),
        ({"calibration_fraction": 0.0}, "calibration_fraction: "),
        ({"score_rule": "median"}, "score_rule: "),
        ({"intensity": "log"}, "intensity: "),
        ({"method": "wscxr", "hidden": [8, 0]}, r"hidden\.1: "),
        ({"seed": -1}, "seed: "),
        ({"seed": 2**32}, "seed: "),
        ({"learning_rate": "fast"}, "learning_rate: "),
        ({"epochs": 100}, "positional has no setting epochs"),
        ({"backbone": "resnet99"}, "'resnet99' is not a torchvision classification model"),
        ({"backbone": "vgg11"}, "name the layers to use of vgg11"),
    ],
)
def test_a_bad_setting_is_named_in_one_line(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        resolve_config(None, settings)
    assert "\n" not in str(caught.value)


def test_all_bad_settings_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_config(None, {"k": -1, "r": 7})
    for said in ("k: Input", "; ", "r: Input"):
        assert said in str(caught.value)


@pytest.mark.parametrize("text", ["k = ", "k", "\0", "[train]\nk = 3\n"])
def test_a_file_that_cannot_be_understood_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        resolve_config(toml(tmp_path, text), {})


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    for file in (tmp_path / "none.toml", tmp_path, binary):
        with pytest.raises(ConfigError, match=str(file)):
            resolve_config(file, {})


@pytest.mark.parametrize(
    ("weights", "source", "file"),
    [
        ("imagenet", WeightsSource.IMAGENET, None),
        ("random", WeightsSource.RANDOM, None),
        ("some/where.pth", WeightsSource.FILE, Path("some/where.pth")),
        # A file may be called like a source's value that is not a name of its own.
        ("file", WeightsSource.FILE, Path("file")),
    ],
)
def test_weights_are_a_source_or_a_file(
    weights: str, source: WeightsSource, file: Path | None
) -> None:
    config = TrainConfig(backbone="resnet18", weights=weights)
    assert config.backbone_config == BackboneConfig(
        architecture="resnet18", layers=("layer3",), source=source
    )
    assert config.weights_file == file


def test_a_resolved_configuration_can_be_resolved_again() -> None:
    config = TrainConfig(backbone="resnet18", weights="random", seed=4, method=Wscxr(hidden=(3, 2)))
    assert config.layers == ("layer3",)
    assert resolve_config(None, config.model_dump(mode="json")) == config


def test_settings_do_not_change_afterwards() -> None:
    config = TrainConfig()
    with pytest.raises(ValidationError, match="frozen"):
        config.k = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    "text", ['method = "wscxr"\nsteps = 7\n', '[method]\nname = "wscxr"\nsteps = 7\n']
)
def test_the_methods_settings_stand_beside_the_others_or_in_a_table(
    tmp_path: Path, text: str
) -> None:
    config = resolve_config(toml(tmp_path, text), {"r": 0.5})
    assert config.method == Wscxr(steps=7, r=0.5)


def test_a_method_without_anomalies_has_k_0() -> None:
    assert resolve_config(None, {"method": "patchcore"}).k == 0
