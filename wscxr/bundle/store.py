"""The artifact on disk: written whole or not at all, verified whenever it is read."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError
from safetensors import SafetensorError
from torch import Tensor

from wscxr.bundle.card import model_card
from wscxr.bundle.golden import GoldenCase, GoldenScores, Scorer, check_golden, make_golden
from wscxr.bundle.manifest import SCHEMA_VERSION, BundleManifest, FileName
from wscxr.errors import (
    BundleDamaged,
    BundleExists,
    BundleNotFound,
    ConfigError,
    ImageError,
    UnknownSchema,
    WeightsError,
    WeightsUnavailable,
)
from wscxr.files import default_mode
from wscxr.imaging import Radiograph, to_model_input
from wscxr.model.backbone import Backbone, BackboneConfig, build_backbone
from wscxr.model.calibration import Decision
from wscxr.model.detector import Detector
from wscxr.model.ood import OodScorer
from wscxr.model.weights import WeightsSource, half_where_exact, weights_sha256

_MANIFEST = "bundle.json"
_GOLDEN = TypeAdapter(Annotated[list[GoldenCase], Field(min_length=1)])

# What files raise whose hashes are right, but whose content fits neither each other nor its kind.
_CONTENT_ERRORS = (KeyError, RuntimeError, UnicodeDecodeError, SafetensorError, ValidationError)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a bundle says of one radiograph.

    Attributes
    ----------
    score
        Image-level anomaly score, unbounded.
    p_value
        Conformal p-value of the score among normals, in (0, 1].
    threshold
        The bundle's threshold on the score.
    decision
        Whether the score lies above the threshold.
    ood_score
        At least 0; above 1 the radiograph is unlike the training images.
    anomaly_map
        float32 of shape (H', W').
    """

    score: float
    p_value: float
    threshold: float
    decision: Decision
    ood_score: float
    anomaly_map: NDArray[np.float32]

    @property
    def out_of_distribution(self) -> bool:
        """Whether the radiograph is unlike the training images."""
        return self.ood_score > 1

    @property
    def warnings(self) -> list[str]:
        """What whoever reads the score must know of this radiograph."""
        if not self.out_of_distribution:
            return []
        return [
            f"OUT OF DISTRIBUTION: this image is unlike the training images (OOD score "
            f"{self.ood_score:.2f}, above 1); its anomaly score means little."
        ]


class Bundle:
    """A loaded bundle: the detector with its input handling and calibration.

    Parameters
    ----------
    manifest
        What the bundle says of itself.
    detector
        The detector it describes.
    ood
        The OOD scorer it describes, fitted on the detector's patch features.
    card
        Its model card, Markdown.
    """

    def __init__(
        self, manifest: BundleManifest, detector: Detector, ood: OodScorer, card: str
    ) -> None:
        self.manifest = manifest
        self.detector = detector
        self.ood = ood.to(detector.device).eval()
        self.card = card

    @classmethod
    def load(cls, path: Path, device: torch.device) -> Self:
        """Load a bundle, verify every hash and run the golden check.

        Raises
        ------
        BundleNotFound
            There is no bundle.json.
        UnknownSchema
            It was written by a version with another schema.
        BundleDamaged
            A file is missing or differs from its hash, or the manifest contradicts itself.
        GoldenCheckFailed
            It does not give the scores it gave when it was written.
        WeightsUnavailable
            The backbone is not in the bundle and could not be fetched.
        """
        manifest = read_manifest(path)
        content = {name: _read_verified(path, name, sha) for name, sha in manifest.files.items()}
        try:
            backbone = _load_backbone(manifest, content.get("backbone.safetensors"))
            head = manifest.head.build()
            head.load_state_dict(safetensors.torch.load(content["discriminator.safetensors"]))
            ood = manifest.ood.build()
            ood.load_state_dict(safetensors.torch.load(content["ood.safetensors"]))
            golden = _GOLDEN.validate_json(content["golden.json"])
            card = content["MODEL_CARD.md"].decode()
        except WeightsUnavailable:
            raise
        except (*_CONTENT_ERRORS, ConfigError, WeightsError) as error:
            raise BundleDamaged(f"the bundle at {path} contradicts itself: {error}") from error
        bundle = cls(
            manifest,
            Detector(backbone, manifest.p, head, manifest.score_rule, device),
            ood,
            card,
        )
        try:
            check_golden(golden, _golden_scorer(bundle))
        except ImageError as error:
            raise BundleDamaged(f"the bundle at {path} has no readable golden image") from error
        return bundle

    def prepare(self, radiograph: Radiograph) -> Tensor:
        """Model input of one radiograph: float32 of shape (3, size, size)."""
        return to_model_input(radiograph, self.manifest.input)

    def predict_inputs(self, images: Tensor) -> list[Prediction]:
        """Score a batch of model inputs, float32 of shape (B, 3, size, size)."""
        features = self.detector.features(images)
        detection = self.detector.detect_features(features)
        calibration = self.manifest.calibration
        return [
            Prediction(
                score=score,
                p_value=calibration.p_value(score),
                threshold=calibration.threshold,
                decision=calibration.decide(score),
                ood_score=ood_score,
                anomaly_map=anomaly_map,
            )
            for score, ood_score, anomaly_map in zip(
                detection.scores.tolist(),
                self.ood(features).tolist(),
                detection.maps.cpu().numpy(),
                strict=True,
            )
        ]

    def predict(self, radiographs: Sequence[Radiograph]) -> list[Prediction]:
        """Score radiographs, in one batch."""
        return self.predict_inputs(torch.stack([self.prepare(r) for r in radiographs]))

    def scores(self, radiographs: Sequence[Radiograph]) -> list[float]:
        """Image-level scores alone, in one batch."""
        return [prediction.score for prediction in self.predict(radiographs)]


def check_absent(path: Path) -> None:
    """Make sure that a bundle can be written at a place, before hours of work are spent.

    Raises
    ------
    BundleExists
        There is something already.
    """
    if path.exists():
        raise BundleExists(f"{path} exists; bundles are never overwritten: give another version")


def check_embedding(backbone: BackboneConfig, *, embed_backbone: bool) -> None:
    """Make sure that whoever loads a bundle will have the backbone's weights.

    Raises
    ------
    ConfigError
        They are to be left out, but are not torchvision's own.
    """
    if not embed_backbone and backbone.source is not WeightsSource.IMAGENET:
        raise ConfigError(
            f"a backbone with {backbone.source} weights cannot be fetched again: embed it"
        )


def write_bundle(
    path: Path,
    manifest: BundleManifest,
    detector: Detector,
    ood: OodScorer,
    *,
    embed_backbone: bool,
    notes: str = "",
) -> BundleManifest:
    """Write a bundle in one step: it is there whole, or not at all.

    Parameters
    ----------
    path
        Its folder, ``model_store/<name>/<version>``; must not exist.
    manifest
        All but ``files`` and ``sha256``, which are filled in here.
    detector, ood
        What the manifest describes.
    embed_backbone
        Put the backbone's weights in, so that loading needs no network.
    notes
        For the end of the model card.

    Returns
    -------
    BundleManifest
        The manifest as written.

    Raises
    ------
    BundleExists
        There is something at `path`.
    ConfigError
        The backbone is to be left out, but nobody could fetch its weights again.
    """
    check_absent(path)
    check_embedding(manifest.backbone, embed_backbone=embed_backbone)
    scorer = _golden_scorer(Bundle(manifest, detector, ood, card=""))
    content: dict[FileName, bytes] = {
        "discriminator.safetensors": safetensors.torch.save(_cpu(detector.head)),
        "ood.safetensors": safetensors.torch.save(_cpu(ood)),
        "golden.json": _GOLDEN.dump_json(make_golden(scorer), indent=1),
        "MODEL_CARD.md": model_card(manifest, notes).encode(),
    }
    if embed_backbone:
        content["backbone.safetensors"] = safetensors.torch.save(
            half_where_exact(detector.backbone.weights())
        )
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    manifest = manifest.model_copy(update={"files": hashes}).sealed()
    document = manifest.model_dump_json(indent=1).encode()
    _write_folder(path, [*content.items(), (_MANIFEST, document)])
    return manifest


def read_manifest(path: Path) -> BundleManifest:
    """Read and verify bundle.json alone; errors as `Bundle.load`."""
    try:
        document = json.loads((path / _MANIFEST).read_bytes())
        version = document["schema_version"]
    except (FileNotFoundError, NotADirectoryError):
        raise BundleNotFound(f"there is no bundle at {path} (no {_MANIFEST})") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleDamaged(f"{path / _MANIFEST} is not a bundle manifest") from error
    if version != SCHEMA_VERSION:
        raise UnknownSchema(
            f"the bundle at {path} has schema {version}; this version reads {SCHEMA_VERSION}"
        )
    try:
        manifest = BundleManifest.model_validate(document)
    except ValidationError as error:
        raise BundleDamaged(f"{path / _MANIFEST} is damaged: {error}") from error
    if manifest.sha256 != manifest.digest():
        raise BundleDamaged(f"{path / _MANIFEST} was changed: its own hash is wrong")
    return manifest


def _read_verified(path: Path, name: FileName, sha256: str) -> bytes:
    try:
        data = (path / name).read_bytes()
    except FileNotFoundError:
        raise BundleDamaged(f"the bundle at {path} lacks {name}") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise BundleDamaged(f"{name} of the bundle at {path} is damaged: its hash is wrong")
    return data


def _golden_scorer(bundle: Bundle) -> Scorer:
    return lambda radiographs: [
        GoldenScores(found.score, found.ood_score) for found in bundle.predict(radiographs)
    ]


def _load_backbone(manifest: BundleManifest, embedded: bytes | None) -> Backbone:
    if embedded is None:
        backbone = build_backbone(manifest.backbone, manifest.input.size)
    else:
        backbone = Backbone(manifest.backbone, manifest.input.size)
        backbone.load_weights(safetensors.torch.load(embedded))
    if weights_sha256(backbone.weights()) != manifest.backbone_sha256:
        raise WeightsError("these are not the backbone weights it was trained with")
    return backbone


def _cpu(module: torch.nn.Module) -> dict[str, Tensor]:
    return {key: value.cpu() for key, value in module.state_dict().items()}


def _write_folder(path: Path, files: Sequence[tuple[str, bytes]]) -> None:
    """Write to a temporary folder beside `path`, sync, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The leading dot keeps it out of a model store that is being read.
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        # mkdtemp allows the owner alone; a service runs as somebody else.
        temporary.chmod(default_mode(0o777))
        for name, data in files:
            with (temporary / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        _sync_folder(temporary)
        try:
            temporary.rename(path)
        except OSError:
            check_absent(path)
            raise
        _sync_folder(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
