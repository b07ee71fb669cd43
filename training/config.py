"""All settings of a training run, as one typed tree that a TOML file can give."""

import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from training.methods.settings import METHODS, AnyMethod, Method, PositionalWscxr
from wscxr import shipped
from wscxr.choices import Align, Intensity, ScoreRule, WeightsSource, file_of, source_of
from wscxr.errors import ConfigError
from wscxr.options import SettingOption, options_of, split_commas, validated

if TYPE_CHECKING:
    from wscxr.model.backbone import BackboneConfig

DEFAULT_K = 16
NO_LESIONS = "none"
_DEFAULT_METHOD = PositionalWscxr()

PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "whole": {
        "align": Align.NONE.value,
        "lesions": NO_LESIONS,
        "score_rule": ScoreRule.TOP_TENTH.value,
    },
    "paper": {
        "backbone": "densenet121",
        "weights": WeightsSource.IMAGENET.value,
        "image_size": 256,
        "align": Align.NONE.value,
        "lesions": NO_LESIONS,
        "method": "wscxr",
        "score_rule": ScoreRule.MAX.value,
    },
}
"""Settings by name, which a file and options are laid over.

Ours; ours on the whole picture, without any knowledge of lungs and lesions; and the paper's.
"""


class TrainConfig(BaseModel):
    """Settings of one training run; see `PRESETS` for the paper's own.

    The method's own settings may be given beside the others, as in a flat TOML file:
    ``TrainConfig(method="patchcore", coreset_ratio=0.1)``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str = Field(
        default=shipped.ARCHITECTURE,
        description="Torchvision classification model.",
        json_schema_extra={"metavar": "NAME"},
    )
    layers: Annotated[tuple[str, ...], BeforeValidator(split_commas)] = Field(
        default=(),
        description="Modules of the backbone whose outputs are used; the family's default if "
        "none is named.",
    )
    weights: str = Field(
        default=WeightsSource.CXR.value,
        description="Weights of the backbone: cxr ships with wscxr; FILE may come from wscxr "
        "pretrain backbone.",
        json_schema_extra={"metavar": "cxr|imagenet|random|FILE"},
    )
    image_size: int = Field(
        default=160, ge=32, le=2048, description="Side of the square model input, px."
    )
    intensity: Intensity = Field(
        default=Intensity.PERCENTILE, description="How grey values become numbers in [0, 1]."
    )
    align: Align = Field(
        default=Align.LUNGS,
        description="What is looked at: the whole picture, or the box around both lung fields.",
    )
    lungs: str = Field(
        default=WeightsSource.CXR.value,
        description="Weights of the network that finds the lungs, for align lungs: cxr ships with "
        "wscxr; FILE comes from wscxr pretrain lungs.",
        json_schema_extra={"metavar": "cxr|FILE"},
    )
    lesions: str = Field(
        default=WeightsSource.CXR.value,
        description="A second witness, for align lungs: a network that finds lesions and draws the "
        "anomaly map. cxr ships with wscxr; FILE comes from wscxr pretrain lesions.",
        json_schema_extra={"metavar": "none|cxr|FILE"},
    )
    lesion_weight: float = Field(
        default=1.0,
        ge=0,
        description="Weight of the lesion network in the score, against the method's own score.",
    )
    p: int = Field(
        default=5,
        ge=1,
        le=31,
        description="Side of the neighbourhood of a patch feature (Eq. 2); odd.",
    )
    method: AnyMethod = Field(
        default=_DEFAULT_METHOD,
        description="Method that learns from the patch features.",
    )
    score_rule: ScoreRule = Field(
        default=ScoreRule.MEAN,
        description="How an anomaly map becomes the image-level score (paper, Eq. 8: max).",
    )
    k: int = Field(
        default=DEFAULT_K,
        ge=0,
        description="Number of anomaly images; 0 for a method that uses none.",
    )
    calibration_fraction: float = Field(
        default=0.2,
        gt=0,
        le=0.5,
        description="Fraction of the normal patients (images, where patients are unknown) kept "
        "aside for calibration; more where the false-alarm rate needs more.",
    )
    false_alarm_rate: float = Field(
        default=0.05,
        gt=0,
        lt=1,
        description="Expected fraction of normal images above the threshold.",
    )
    min_age: int | None = Field(
        default=None,
        ge=0,
        le=130,
        description="Youngest patients the bundle is for, in years; a service that chooses among "
        "bundles goes by it.",
        json_schema_extra={"metavar": "YEARS"},
    )
    max_age: int | None = Field(
        default=None,
        ge=0,
        le=130,
        description="Oldest patients it is for, in years.",
        json_schema_extra={"metavar": "YEARS"},
    )
    seed: int = Field(
        default=0,
        ge=0,
        lt=2**32,
        description="The same seed gives the same bundle, byte for byte, on the same machine and "
        "versions.",
    )

    @model_validator(mode="before")
    @classmethod
    def _gather_method(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        method = data.get("method", _DEFAULT_METHOD)
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
        if self.hears_lesions and self.align is not Align.LUNGS:
            raise ValueError(
                "lesions are looked for in the lungs: give align lungs, or lesions none"
            )
        object.__setattr__(self, "layers", self.backbone_config.layers)
        if self.weights == WeightsSource.CXR and self.backbone != shipped.ARCHITECTURE:
            raise ValueError(
                f"the weights cxr are of {shipped.ARCHITECTURE}; give --weights imagenet or a file "
                f"for {self.backbone}"
            )
        if self.min_age is not None and self.max_age is not None and self.min_age > self.max_age:
            raise ValueError("min_age is above max_age")
        if self.method.uses_anomalies and self.k == 0:
            raise ValueError(f"{self.method.name} needs anomaly images: k must be at least 1")
        if not self.method.uses_anomalies and self.k > 0:
            raise ValueError(f"{self.method.name} uses no anomaly images: k must be 0")
        return self

    @property
    def backbone_config(self) -> "BackboneConfig":
        """The part of the settings that goes into the bundle as the backbone's."""
        # Here, because a command's help must not wait for PyTorch.
        from wscxr.model.backbone import BackboneConfig

        return BackboneConfig(
            architecture=self.backbone,
            layers=self.layers,
            source=source_of(self.weights),
        )

    @property
    def weights_file(self) -> Path | None:
        """The weights file, where the weights come from one."""
        return file_of(self.weights)

    @property
    def hears_lesions(self) -> bool:
        """Whether a lesion network is a second witness."""
        return self.lesions != NO_LESIONS

    @property
    def lesions_file(self) -> Path | None:
        """The weights file of the lesion network, where it is one."""
        return None if self.lesions in (NO_LESIONS, WeightsSource.CXR) else Path(self.lesions)

    @property
    def lungs_file(self) -> Path | None:
        """The weights file of the lung network, where it is not the one that ships."""
        return None if self.lungs == WeightsSource.CXR else Path(self.lungs)


def train_options() -> list[SettingOption]:
    """List every setting of a training run, the methods' own among them, as options.

    Presets' defaults stand beside ours. A setting that several methods have is one option, with
    the default of each.
    """
    method = SettingOption(
        "method",
        TrainConfig.model_fields["method"].description or "",
        "|".join(METHODS),
        (
            f"default: {_DEFAULT_METHOD.name}",
            *(
                f"{preset}: {values['method']}"
                for preset, values in PRESETS.items()
                if "method" in values
            ),
        ),
    )
    names = [name for name in TrainConfig.model_fields if name != "method"]
    return [method, *_common_options(names), *_method_options()]


def backbone_options() -> list[SettingOption]:
    """List the settings of a backbone as options."""
    return _common_options(["backbone", "layers", "weights"])


def _common_options(names: list[str]) -> list[SettingOption]:
    presets = {
        name: {preset: values[name] for preset, values in PRESETS.items() if name in values}
        for name in names
    }
    return options_of(TrainConfig, names, defaults=presets)


def _method_options() -> list[SettingOption]:
    merged: dict[str, SettingOption] = {}
    for method, kind in METHODS.items():
        own = [name for name in kind.model_fields if name != "name"]
        for option in options_of(kind, own, panel="Settings of the method"):
            notes = [note.replace("default:", f"{method}:") for note in option.notes]
            first = merged.setdefault(option.name, replace(option, notes=()))
            merged[option.name] = replace(first, notes=tuple(dict.fromkeys([*first.notes, *notes])))
    return list(merged.values())


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
