"""What is loaded."""

from typing import Annotated

from fastapi import APIRouter, Path

from service.api.dependencies import RegistryDep
from service.api.schemas import (
    BackboneFacts,
    CalibrationFacts,
    ModelDetail,
    ModelList,
    ModelSummary,
    TrainingFacts,
)
from service.http.documented import problems
from service.scoring.registry import Registry
from wscxr.bundle.bundle import Bundle

router = APIRouter(tags=["models"])


@router.get("/v1/models", responses=problems(401, 503))
async def list_models(registry: RegistryDep) -> ModelList:
    """Every loaded bundle: facts, calibration, warnings."""
    return ModelList(models=[_summary(registry, bundle) for bundle in registry.bundles])


@router.get("/v1/models/{name}", responses=problems(401, 404, 422, 503))
async def read_model(
    registry: RegistryDep, name: Annotated[str, Path(description="Name of the model.")]
) -> ModelDetail:
    """One loaded bundle, with its model card."""
    bundle = registry.get(name)
    return ModelDetail(**dict(_summary(registry, bundle)), card=bundle.card)


def _summary(registry: Registry, bundle: Bundle) -> ModelSummary:
    manifest = bundle.manifest
    calibration = manifest.calibration
    return ModelSummary(
        **bundle.identity.model_dump(),
        default=bundle is registry.default,
        backbone=BackboneFacts.model_validate(manifest.backbone),
        input=manifest.input,
        p=manifest.p,
        score_rule=manifest.score_rule,
        calibration=CalibrationFacts(
            threshold=calibration.threshold,
            false_alarm_rate=calibration.false_alarm_rate,
            expected_false_alarm_rate=calibration.expected_false_alarm_rate,
            n=len(calibration.scores),
        ),
        training=TrainingFacts.model_validate(manifest.training),
        warnings=manifest.warnings,
    )
