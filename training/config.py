"""All settings of a training run, as one typed tree that a TOML file can give."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from training.methods import METHODS, AnyMethod
from training.methods.base import Method
from training.methods.positional import PositionalWscxr
from wscxr.bundle import shipped
from wscxr.errors import ConfigError
from wscxr.imaging import Intensity
from wscxr.model.backbone import BackboneConfig
from wscxr.model.detector import ScoreRule
from wscxr.model.weights import WeightsSource, file_of, source_of

DEFAULT_K = 16

PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": {
        "backbone": "densenet121",
        "weights": WeightsSource.IMAGENET.value,
        "image_size": 256,
        "method": "wscxr",
        "score_rule": ScoreRule.MAX.value,
    },
}
"""Settings by name, which a file and options are laid over: ours, and the paper's."""

Settings = TypeVar("Settings", bound=BaseModel)


class TrainConfig(BaseModel):
    """Settings of one training run; see `PRESETS` for the paper's own.

    The method's own settings may be given beside the others, as in a flat TOML file:
    ``TrainConfig(method="patchcore", coreset_ratio=0.1)``.

    Attributes
    ----------
    backbone
        Name of a torchvision classification model.
    layers
        Modules of it whose outputs are used; empty for the family's default.
    weights
        ``cxr`` (the project's own), ``imagenet``, ``random``, or the path of a weights file.
    image_size
        Side of the square model input, in pixels.
    intensity
        How grey values become numbers in [0, 1].
    p
        Side of the neighbourhood of a patch feature (Eq. 2); odd.
    method
        What learns from the patch features, with its own settings.
    score_rule
        How an anomaly map becomes one image-level score (the paper, Eq. 8: its maximum).
    k
        Number of anomaly images; 16, but 0 for a method that uses none.
    calibration_fraction
        Fraction of the normal patients (images, where patients are unknown) kept aside for
        calibration; at most 0.5, and raised where the false-alarm rate needs more of them.
    false_alarm_rate
        Expected fraction of normal images above the threshold.
    seed
        One seed gives the same bundle, byte for byte, on the same machine and versions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str = shipped.ARCHITECTURE
    layers: tuple[str, ...] = ()
    weights: str = WeightsSource.CXR.value
    image_size: int = Field(default=160, ge=32, le=2048)
    intensity: Intensity = Intensity.PERCENTILE
    p: int = Field(default=5, ge=1, le=31)
    method: AnyMethod = PositionalWscxr()
    score_rule: ScoreRule = ScoreRule.TOP_TENTH
    k: int = Field(default=DEFAULT_K, ge=0)
    calibration_fraction: float = Field(default=0.2, gt=0, le=0.5)
    false_alarm_rate: float = Field(default=0.05, gt=0, lt=1)
    seed: int = Field(default=0, ge=0, lt=2**32)

    @model_validator(mode="before")
    @classmethod
    def _gather_method(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        method = data.get("method", PositionalWscxr())
        if isinstance(method, Method):
            method = method.model_dump()
        settings = {"name": method} if isinstance(method, str) else dict(method)
        if (name := settings.get("name")) not in METHODS:
            raise ValueError(f"method {name!r} is none of {', '.join(METHODS)}")
        chosen = METHODS[str(name)]
        own = {key: value for key, value in data.items() if key in cls.model_fields}
        settings |= {key: value for key, value in data.items() if key not in own}
        if unknown := sorted(settings.keys() - chosen.model_fields.keys()):
            raise ValueError(f"{name} has no setting {', '.join(unknown)}")
        k = {} if chosen.uses_anomalies else {"k": 0}
        return k | own | {"method": settings}

    @model_validator(mode="after")
    def _settings_fit_each_other(self) -> Self:
        if self.p % 2 == 0:
            raise ValueError("p must be odd")
        object.__setattr__(self, "layers", self.backbone_config.layers)
        if self.weights == WeightsSource.CXR and self.backbone != shipped.ARCHITECTURE:
            raise ValueError(
                f"the weights cxr are of {shipped.ARCHITECTURE}; give --weights imagenet or a file "
                f"for {self.backbone}"
            )
        if self.method.uses_anomalies and self.k == 0:
            raise ValueError(f"{self.method.name} needs anomaly images: k must be at least 1")
        if not self.method.uses_anomalies and self.k > 0:
            raise ValueError(f"{self.method.name} uses no anomaly images: k must be 0")
        return self

    @property
    def backbone_config(self) -> BackboneConfig:
        """The part of the settings that goes into the bundle as the backbone's."""
        return BackboneConfig(
            architecture=self.backbone,
            layers=self.layers,
            source=source_of(self.weights),
        )

    @property
    def weights_file(self) -> Path | None:
        """The weights file, where the weights come from one."""
        return file_of(self.weights)


def parse_settings(settings: Sequence[str]) -> dict[str, object]:
    """Parse ``NAME=VALUE`` settings; a value that is no TOML is taken as text.

    Raises
    ------
    ConfigError
        One has no ``=``.
    """
    found: dict[str, object] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"{setting!r} is not NAME=VALUE")
        try:
            found[name.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            found[name.strip()] = value.strip()
    return found


def resolve_config(
    file: Path | None, options: dict[str, object], preset: str = "default"
) -> TrainConfig:
    """Merge a preset, a TOML file and options given one by one; the later wins.

    Parameters
    ----------
    preset
        Name of one of `PRESETS`.
    file
        TOML with the fields of `TrainConfig`, and of its method, at the top level.
    options
        Field values; None means not given.

    Raises
    ------
    ConfigError
        There is no such preset, the file cannot be read, or a setting is unknown or out of range.
    """
    if preset not in PRESETS:
        raise ConfigError(f"preset {preset!r} is none of {', '.join(PRESETS)}")
    settings = dict(PRESETS[preset])
    if file is not None:
        try:
            settings |= tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read the configuration {file}: {error}") from error
    settings |= {key: value for key, value in options.items() if value is not None}
    return validated(TrainConfig, settings)


def validated(kind: type[Settings], settings: dict[str, Any]) -> Settings:
    """Check settings that a person gave.

    Raises
    ------
    ConfigError
        One is unknown or out of range; each is named.
    """
    try:
        return kind.model_validate(settings)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'settings'}: "
            f"{e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        )
        raise ConfigError(f"invalid settings: {problems}") from error
