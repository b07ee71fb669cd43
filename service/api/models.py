"""What is loaded, which other versions there are, and taking one of them into use."""

from typing import Annotated, Literal

from fastapi import APIRouter, Body, Path, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from service.api.dependencies import RegistryDep
from service.errors import (
    KEY_ERRORS,
    Forbidden,
    InvalidRequest,
    MalformedBody,
    ModelNotFound,
    ModelPinned,
    NotReady,
    PromotionFailed,
    ShuttingDown,
    VersionNotFound,
)
from service.http.auth import require_role
from service.http.problems import problems
from service.scoring.promotion import Promoter
from service.scoring.registry import Registry
from service.scoring.versions import StoredVersion, stored_versions
from service.settings import Settings
from wscxr.bundle.bundle import Bundle
from wscxr.bundle.identity import ModelIdentity
from wscxr.bundle.manifest import Population
from wscxr.choices import Align, ScoreRule, WeightsSource
from wscxr.engines.identity import EngineIdentity
from wscxr.imaging import InputConfig

router = APIRouter(tags=["models"])


class _Facts(BaseModel):
    # from_attributes: facts are read straight off a bundle's manifest.
    model_config = ConfigDict(frozen=True, from_attributes=True)


class BackboneFacts(_Facts):
    """The frozen network whose features a bundle scores."""

    architecture: str = Field(description="torchvision's name of it.")
    layers: tuple[str, ...] = Field(description="The layers whose outputs are used.")
    source: WeightsSource = Field(description="Where its weights came from.")


class CalibrationFacts(_Facts):
    """Where the threshold comes from."""

    threshold: float = Field(description="Scores above it are called abnormal.")
    false_alarm_rate: float = Field(description="The share of normals that was asked for.")
    expected_false_alarm_rate: float = Field(description="The share that can be promised.")
    n: int = Field(ge=1, description="Scores that calibration rests on.")
    images: Literal["training", "normal", "unlabelled"] = Field(
        description="Whose: normals of the training kept aside, or a site's own images, called "
        "normal by it or unlabelled."
    )


class TrainingFacts(_Facts):
    """How a bundle was trained, and on how much."""

    method: str = Field(description="Name of the method.")
    n_normal: int = Field(description="Normal images.")
    n_calibration: int = Field(description="Normal images kept aside for calibration.")
    k: int = Field(description="Anomaly images (K); 0 where the method uses none.")
    seed: int = Field(description="Seed of the run.")


class ModelSummary(ModelIdentity):
    """A loaded bundle."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "chest",
                    "version": "1.2.0",
                    "sha256": "9f2c0d0c54c1f0a7c8b0a2f2f1c7b0d8a7e6b5c4d3e2f1a0b9c8d7e6f5a4b3c2",
                    "default": True,
                    "engine": {"name": "openvino", "precision": "bfloat16"},
                    "backbone": {
                        "architecture": "densenet121",
                        "layers": ["features.denseblock4"],
                        "source": "imagenet",
                    },
                    "input": {
                        "size": 256,
                        "intensity": "percentile",
                        "mean": [0.485, 0.456, 0.406],
                        "std": [0.229, 0.224, 0.225],
                    },
                    "align": "none",
                    "population": {"min_age": 18, "max_age": None},
                    "p": 5,
                    "score_rule": "max",
                    "calibration": {
                        "threshold": 0.5127,
                        "false_alarm_rate": 0.05,
                        "expected_false_alarm_rate": 0.0495,
                        "n": 100,
                        "images": "training",
                    },
                    "training": {
                        "method": "wscxr",
                        "n_normal": 400,
                        "n_calibration": 100,
                        "k": 16,
                        "seed": 0,
                    },
                    "warnings": [],
                }
            ]
        }
    )

    default: bool = Field(description="Whether it answers requests that name no model.")
    engine: EngineIdentity = Field(
        description="What runs the networks of the model, and in which precision."
    )
    backbone: BackboneFacts
    input: InputConfig = Field(description="How a radiograph becomes a model input.")
    align: Align = Field(
        description="What the model looks at: the whole image, or the box around both lung fields."
    )
    population: Population | None = Field(
        description="Ages it is for, in years; null where nobody declared them."
    )
    p: int = Field(ge=1, description="Side of the neighbourhood of a patch feature.")
    score_rule: ScoreRule = Field(description="How the map becomes one score.")
    calibration: CalibrationFacts
    training: TrainingFacts
    warnings: list[str] = Field(description="What a reader of its scores must know.")

    @classmethod
    def of(cls, bundle: Bundle, registry: Registry) -> "ModelSummary":
        """Summarise one of the loaded bundles."""
        manifest = bundle.manifest
        calibration = manifest.calibration
        return cls(
            **bundle.identity.model_dump(),
            default=bundle is registry.default,
            engine=bundle.engine,
            backbone=BackboneFacts.model_validate(manifest.backbone),
            input=manifest.input,
            align=manifest.align,
            population=manifest.population,
            p=manifest.p,
            score_rule=manifest.score_rule,
            calibration=CalibrationFacts(
                threshold=calibration.threshold,
                false_alarm_rate=calibration.false_alarm_rate,
                expected_false_alarm_rate=calibration.expected_false_alarm_rate,
                n=len(calibration.scores),
                images="training" if manifest.site is None else manifest.site.images,
            ),
            training=TrainingFacts.model_validate(manifest.training),
            warnings=manifest.warnings,
        )


class ModelDetail(ModelSummary):
    """A loaded bundle with its model card."""

    card: str = Field(description="The model card, Markdown.")


class ModelList(BaseModel):
    """Every loaded bundle, by name."""

    models: list[ModelSummary]


@router.get("/v1/models", responses=problems(*KEY_ERRORS, InvalidRequest, NotReady, ShuttingDown))
async def list_models(registry: RegistryDep) -> ModelList:
    """Every loaded bundle: facts, calibration, warnings."""
    return ModelList(models=[ModelSummary.of(bundle, registry) for bundle in registry.bundles])


@router.get(
    "/v1/models/{name}",
    responses=problems(*KEY_ERRORS, ModelNotFound, InvalidRequest, NotReady, ShuttingDown),
)
async def read_model(
    registry: RegistryDep, name: Annotated[str, Path(description="Name of the model.")]
) -> ModelDetail:
    """One loaded bundle, with its model card."""
    bundle = registry.get(name).bundle
    return ModelDetail(**dict(ModelSummary.of(bundle, registry)), card=bundle.card)


class VersionError(BaseModel):
    """Why a version cannot be taken into use."""

    model_config = ConfigDict(frozen=True)

    code: str = Field(description="Stable code of the error.")
    summary: str = Field(description="What the code means, in one sentence.")


class ModelVersion(BaseModel):
    """A version of a model in the model store."""

    model_config = ConfigDict(frozen=True)

    version: str = Field(description="Its name in the model store.")
    sha256: str | None = Field(
        description="SHA-256 of its manifest; null where that cannot be used."
    )
    in_use: bool = Field(description="Whether it is the one that answers.")
    training: TrainingFacts | None = Field(
        description="How it was trained; null where its manifest cannot be used."
    )
    error: VersionError | None = Field(
        description="Why it cannot be taken into use; null where manifest and signature are sound. "
        "The other files are verified when it is promoted."
    )

    @classmethod
    def of(cls, stored: StoredVersion, answering: ModelIdentity) -> "ModelVersion":
        """Describe a stored version, beside the identity of the bundle that answers."""
        manifest, error = stored.manifest, stored.error
        # A folder whose content was replaced since is not what answers.
        same = manifest is None or manifest.sha256 == answering.sha256
        return cls(
            version=stored.version,
            sha256=None if manifest is None else manifest.sha256,
            in_use=stored.version == answering.version and same,
            training=None if manifest is None else TrainingFacts.model_validate(manifest.training),
            error=None if error is None else VersionError(code=error.code, summary=error.summary),
        )


class ModelVersions(BaseModel):
    """The versions of a served model."""

    model_config = ConfigDict(frozen=True)

    in_use: ModelIdentity = Field(description="The bundle that answers.")
    versions: list[ModelVersion] = Field(
        description="What the model store holds of the model, latest first."
    )


@router.get(
    "/v1/models/{name}/versions",
    responses=problems(*KEY_ERRORS, ModelNotFound, InvalidRequest, NotReady, ShuttingDown),
)
async def list_versions(
    request: Request,
    registry: RegistryDep,
    name: Annotated[str, Path(description="Name of the model.")],
) -> ModelVersions:
    """The versions that the model store holds of a served model, by their manifests.

    No weights are read. A version that cannot be used is listed with the code of its error.
    """
    # The folder is that of the served model: nothing that was sent becomes part of a path.
    answering = registry.get(name).bundle.identity
    settings: Settings = request.app.state.settings
    folder = settings.model_store / answering.name
    stored = await run_in_threadpool(stored_versions, folder, settings.trusted_keys)
    versions = [ModelVersion.of(each, answering) for each in stored]
    return ModelVersions(in_use=answering, versions=versions)


class Promotion(BaseModel):
    """The version to take into use."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str = Field(min_length=1, max_length=100, description="A version in the model store.")


@router.post(
    "/v1/models/{name}/promote",
    dependencies=[require_role("admin")],
    responses=problems(
        *KEY_ERRORS,
        MalformedBody,
        Forbidden,
        ModelNotFound,
        VersionNotFound,
        ModelPinned,
        PromotionFailed,
        InvalidRequest,
        NotReady,
        ShuttingDown,
    ),
)
async def promote_model(
    request: Request,
    name: Annotated[str, Path(description="Name of the model.")],
    wanted: Annotated[Promotion, Body()],
) -> ModelIdentity:
    """Take another version of a model into use, newer or older, without a request being refused.

    It is loaded and passes its golden check first; if anything fails, the old one stays. The file
    `current` of the model store names it from then on, for other services and for the next start.
    """
    promoter: Promoter = request.app.state.promoter
    return await promoter.promote(name, wanted.version)
