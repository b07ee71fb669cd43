"""The bundle in memory: the detector with its input handling, calibration and identity."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self, TypeVar, overload

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError
from safetensors import SafetensorError
from torch import Tensor

from wscxr.anatomy import LungFacts, LungNetwork, ModelInput, Preparation
from wscxr.bundle.card import model_card
from wscxr.bundle.golden import GoldenCase, GoldenScores, check_golden, make_golden
from wscxr.bundle.identity import ModelIdentity
from wscxr.bundle.manifest import BundleManifest, FileName
from wscxr.bundle.networks import Networks, StoredNetworks, network_files
from wscxr.bundle.store import read_files, read_manifest, write_files
from wscxr.choices import Align, WeightsSource
from wscxr.engines import EngineIdentity, Network, open_engine
from wscxr.errors import (
    BundleDamaged,
    ConfigError,
    EngineUnavailable,
    ImageError,
    WeightsError,
    WeightsUnavailable,
)
from wscxr.imaging import DicomRules, Radiograph, Source, open_source
from wscxr.model.backbone import BackboneConfig
from wscxr.model.detector import Detector
from wscxr.model.features import feature_blueprint
from wscxr.model.lesions import LesionNetwork
from wscxr.model.ood import OodScorer
from wscxr.prediction import Prediction

if TYPE_CHECKING:
    from wscxr.bundle.signing import TrustedKeys

S = TypeVar("S", bound=Source)

_BATCH = 16
"""Radiographs of a list that are computed together."""

_NO_LUNGS = (
    "NO LUNGS FOUND: the image does not show the lungs of an upright chest, in positive tones; the "
    "whole image was looked at, and its anomaly score means little."
)

_GOLDEN = TypeAdapter(Annotated[list[GoldenCase], Field(min_length=1)])

# What files raise whose hashes are right, but whose content fits neither each other nor its kind.
_CONTENT_ERRORS = (KeyError, RuntimeError, UnicodeDecodeError, SafetensorError, ValidationError)


class Bundle:
    """A trained detector that scores radiographs. Research use only; not a medical device.

    Parameters
    ----------
    manifest
        What the bundle says of itself.
    detector
        The detector it describes.
    ood
        The OOD scorer it describes, fitted on the detector's patch features; None where the
        manifest describes none.
    networks
        Gives the networks in PyTorch; called when the bundle is written.
    lungs
        The network that finds the lungs, where the manifest describes a detector that looks at
        their box; None otherwise.
    lesions
        The network that finds lesions, where the manifest describes a detector that hears it;
        None otherwise.
    card
        Its model card, Markdown.
    path
        Its folder, ``<name>/<version>``, from which its name and version come; None while it has
        not been written.

    Attributes
    ----------
    identity
        Name, version and hash.
    engine
        What runs its networks, and in which precision.
    batch
        How many model inputs are worth scoring together; more at once are no faster.
    """

    def __init__(
        self,
        manifest: BundleManifest,
        detector: Detector,
        ood: OodScorer | None,
        *,
        networks: Callable[[], Networks],
        lungs: Network | None = None,
        lesions: Network | None = None,
        card: str = "",
        path: Path | None = None,
    ) -> None:
        if (lungs is not None) != (manifest.align is Align.LUNGS):
            raise ValueError("a lung network belongs to a bundle that looks at the lungs' box")
        if (lesions is None) != (manifest.lesions is None):
            raise ValueError("a lesion network belongs to a bundle that hears it")
        self.manifest = manifest
        self.detector = detector
        self.ood = None if ood is None else ood.to(detector.device).eval()
        self._preparation = Preparation(manifest.input, lungs, lesions)
        self._networks = networks
        self.card = card
        self.engine: EngineIdentity = detector.engine.identity
        self.batch = detector.engine.batch
        self.identity = ModelIdentity.at(path or Path("unwritten", "0"), manifest.sha256)

    @classmethod
    def load(
        cls,
        path: Path | str,
        device: torch.device | str = "auto",
        engine: str = "auto",
        precision: str = "auto",
        *,
        cache: Path | None = None,
        trusted_keys: "TrustedKeys | None" = None,
    ) -> Self:
        """Load a bundle, verify every hash and run the golden check.

        Parameters
        ----------
        path
            Its folder, ``model_store/<name>/<version>``.
        device, engine, precision, cache
            See `wscxr.engines.open_engine`.
        trusted_keys
            Whose signature the bundle must have; None takes any bundle.

        Raises
        ------
        BundleUnsigned, BundleUntrusted
            None of the trusted keys signed it.
        BundleNotFound
            There is no bundle.json.
        UnknownSchema
            A later version of this program wrote it.
        BundleDamaged
            A file is missing or differs from its hash, or the manifest contradicts itself.
        GoldenCheckFailed
            It does not give the scores it gave when it was written.
        WeightsUnavailable
            The backbone is not in the bundle and could not be fetched.
        DeviceUnavailable
            The device is not there.
        EngineUnavailable
            The engine is not there, or cannot compute in this precision.
        """
        path = Path(path)
        manifest = read_manifest(path)
        if trusted_keys is not None:
            trusted_keys.check(path, ModelIdentity.at(path, manifest.sha256))
        content = read_files(path, manifest)
        chosen = open_engine(device, engine, precision, cache)
        stored = StoredNetworks(manifest, content)
        try:
            features = chosen.prepare(
                feature_blueprint(
                    manifest.backbone,
                    manifest.input.size,
                    manifest.p,
                    manifest.backbone_sha256,
                    lambda: stored.backbone,
                )
            )
            lungs = None
            if manifest.align is Align.LUNGS:
                sha256 = manifest.files["lungs.safetensors"]
                lungs = chosen.prepare(LungNetwork.blueprint(sha256, stored.load_lungs))
            lesions = None
            if manifest.lesions is not None:
                sha256 = manifest.files["lesions.safetensors"]
                lesions = chosen.prepare(LesionNetwork.blueprint(sha256, stored.load_lesions))
            head = manifest.head.build()
            head.load_state_dict(safetensors.torch.load(content["discriminator.safetensors"]))
            ood = None
            if manifest.ood is not None:
                ood = manifest.ood.build()
                ood.load_state_dict(safetensors.torch.load(content["ood.safetensors"]))
            golden = _GOLDEN.validate_json(content["golden.json"])
            card = content["MODEL_CARD.md"].decode()
        except (WeightsUnavailable, EngineUnavailable):
            raise
        except (*_CONTENT_ERRORS, ConfigError, WeightsError) as error:
            raise BundleDamaged(f"the bundle at {path} contradicts itself: {error}") from error
        bundle = cls(
            manifest,
            Detector(features, head, manifest.score_rule, chosen),
            ood,
            # Read again when it is needed, which is seldom: the engine has what it needs.
            networks=lambda: StoredNetworks(manifest, read_files(path, manifest)),
            lungs=lungs,
            lesions=lesions,
            card=card,
            path=path,
        )
        try:
            check_golden(golden, bundle._golden_scores, bundle.engine)
        except ImageError as error:
            raise BundleDamaged(f"the bundle at {path} has no readable golden image") from error
        return bundle

    def write(self, path: Path, *, embed_backbone: bool = True, notes: str = "") -> BundleManifest:
        """Write the bundle in one step: it is there whole, or not at all.

        The golden scores and the model card are made anew.

        Parameters
        ----------
        path
            Its folder, ``model_store/<name>/<version>``; must not exist.
        embed_backbone
            Put the backbone's weights in, so that loading needs no network.
        notes
            Markdown for the end of the model card.

        Returns
        -------
        BundleManifest
            The manifest as written.

        Raises
        ------
        BundleExists
            Something is at `path` already.
        ConfigError
            The backbone is to be left out, but nobody could fetch its weights again.
        """
        check_embedding(self.manifest.backbone, embed_backbone=embed_backbone)
        content: dict[FileName, bytes] = {
            "discriminator.safetensors": _to_bytes(self.detector.head.state_dict()),
            "golden.json": _GOLDEN.dump_json(self._make_golden(), indent=1),
            "MODEL_CARD.md": model_card(self.manifest, notes).encode(),
        }
        if self.ood is not None:
            content["ood.safetensors"] = _to_bytes(self.ood.state_dict())
        content |= network_files(self._networks(), embed_backbone=embed_backbone)
        return write_files(path, self.manifest, content)

    @overload
    def predict(self, source: Source, *, rules: DicomRules | None = ...) -> Prediction: ...

    @overload
    def predict(
        self, source: list[S] | tuple[S, ...], *, rules: DicomRules | None = ...
    ) -> list[Prediction]: ...

    def predict(
        self,
        source: Source | list[S] | tuple[S, ...],
        *,
        rules: DicomRules | None = None,
    ) -> Prediction | list[Prediction]:
        """Score one radiograph, or a list of them.

        Every prediction holds its radiograph, so that the anomaly map can be drawn over it: score
        thousands one by one rather than in one list.

        Parameters
        ----------
        source
            A path, the bytes of a file (PNG, JPEG or DICOM), a grey picture as an array (see
            `wscxr.imaging.from_array`), a `Radiograph`; or a list of these.
        rules
            Which DICOM objects are scored; the defaults of `DicomRules` when not given.

        Returns
        -------
        Prediction or list of Prediction
            One for each, in order.

        Raises
        ------
        ImageError
            An image cannot be used; the rest of a list is not scored.
        OSError
            A file cannot be opened.
        """
        if not isinstance(source, list | tuple):
            return self._predict([open_source(source, rules, side=self.view_side)])[0]
        found: list[Prediction] = []
        for start in range(0, len(source), _BATCH):
            batch = source[start : start + _BATCH]
            found += self._predict(
                [open_source(item, rules, side=self.view_side) for item in batch]
            )
        return found

    @property
    def view_side(self) -> int:
        """What `read_radiograph` should be given as `side` for a radiograph to `prepare`."""
        return self._preparation.view_side

    def prepare(self, radiograph: Radiograph) -> ModelInput:
        """Model input of one radiograph, in the frame that the detector looks at."""
        return self._preparation(radiograph)

    def predict_inputs(self, inputs: Sequence[ModelInput]) -> list[Prediction]:
        """Score a batch of model inputs; the predictions hold no radiographs.

        Parameters
        ----------
        inputs
            From `prepare`; at least one.
        """
        features = self.detector.features(torch.stack([one.tensor for one in inputs]))
        maps, scores = (found.cpu().numpy() for found in self.detector.detect_features(features))
        if (witness := self.manifest.lesions) is not None:
            lesion_maps = [one.lesions for one in inputs if one.lesions is not None]
            maps, scores = witness.join(scores, np.stack(lesion_maps))
        ood_scores = [None] * len(maps) if self.ood is None else self.ood(features).tolist()
        return [
            self._prediction(*values)
            for values in zip(inputs, scores.tolist(), ood_scores, maps, strict=True)
        ]

    def _prediction(
        self,
        prepared: ModelInput,
        score: float,
        ood_score: float | None,
        anomaly_map: NDArray[np.float32],
    ) -> Prediction:
        calibration, scale = self.manifest.calibration, self.manifest.colour_scale
        warnings = list(self.manifest.warnings)
        lungs = None
        if prepared.lungs is not None:
            lungs = LungFacts.of(prepared.lungs, prepared.frame, anomaly_map, scale.low)
            # Twice as fine, so that little is lost. Outside lies neither colour nor region.
            anomaly_map = prepared.frame.to_radiograph(
                anomaly_map,
                (2 * anomaly_map.shape[0], 2 * anomaly_map.shape[1]),
                outside=min(float(anomaly_map.min()), scale.low, calibration.threshold),
            )
            if not lungs.found:
                warnings.append(_NO_LUNGS)
                # Whatever its distance from the training images, those showed lungs.
                ood_score = None if ood_score is None else 1 + ood_score
        if ood_score is not None and ood_score > 1:
            warnings.append(
                f"OUT OF DISTRIBUTION: this image is unlike the training images (OOD score "
                f"{ood_score:.2f}, above 1); its anomaly score means little."
            )
        return Prediction(
            model=self.identity,
            score=score,
            p_value=calibration.p_value(score),
            threshold=calibration.threshold,
            decision=calibration.decide(score),
            ood_score=ood_score,
            anomaly_map=anomaly_map,
            colour_scale=scale,
            lung_fields=lungs,
            lungs=prepared.lungs,
            warnings=tuple(warnings),
        )

    def _predict(self, radiographs: Sequence[Radiograph]) -> list[Prediction]:
        inputs = [self.prepare(radiograph) for radiograph in radiographs]
        found = zip(self.predict_inputs(inputs), radiographs, strict=True)
        return [prediction.of(radiograph) for prediction, radiograph in found]

    def _make_golden(self) -> list[GoldenCase]:
        chest = self.manifest.align is Align.LUNGS
        return make_golden(self._golden_scores, self.engine, chest=chest)

    def _golden_scores(self, radiographs: Sequence[Radiograph]) -> list[GoldenScores]:
        return [GoldenScores(p.score, p.ood_score) for p in self._predict(radiographs)]


def check_embedding(backbone: BackboneConfig, *, embed_backbone: bool) -> None:
    """Make sure that a bundle will find its backbone's weights when it is loaded.

    Raises
    ------
    ConfigError
        They are to be left out, but are not torchvision's own.
    """
    if not embed_backbone and backbone.source is not WeightsSource.IMAGENET:
        raise ConfigError(
            f"a backbone with {backbone.source} weights cannot be fetched again: embed it"
        )


def _to_bytes(state: dict[str, Tensor]) -> bytes:
    return safetensors.torch.save({key: value.cpu() for key, value in state.items()})
