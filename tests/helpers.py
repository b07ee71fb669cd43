"""Building blocks that several test files share."""

import contextlib
import hashlib
import io
import struct
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from training.config import TrainConfig
from wscxr.anatomy import LungNetwork
from wscxr.bundle.bundle import Bundle
from wscxr.bundle.manifest import BundleManifest, Provenance, Versions
from wscxr.bundle.networks import TrainedNetworks
from wscxr.choices import Align, ScoreRule, WeightsSource
from wscxr.engines import Network
from wscxr.engines.torch_engine import TorchEngine
from wscxr.imaging import InputConfig, Radiograph
from wscxr.model.backbone import Backbone, BackboneConfig, build_backbone
from wscxr.model.calibration import Calibration
from wscxr.model.detector import Detector
from wscxr.model.features import feature_blueprint
from wscxr.model.heads.discriminator import Discriminator, DiscriminatorConfig
from wscxr.model.ood import OodConfig, OodScorer
from wscxr.model.weights import weights_sha256
from wscxr.results.png import ColourScale

T = TypeVar("T")

CPU = torch.device("cpu")
ENGINE = TorchEngine(CPU)
"""Float32 in PyTorch, what every other engine is measured against."""

SIZE = 64


# --- pictures -----------------------------------------------------------------------------------


def noise(height: int = 40, width: int = 48, seed: int = 0) -> NDArray[np.uint8]:
    """8-bit grey values that use the whole range."""
    return np.random.default_rng(seed).integers(0, 256, (height, width)).astype(np.uint8)


def encode(image: Image.Image | NDArray[Any], file_format: str = "PNG", **options: Any) -> bytes:
    """Encode a picture as a file of one format."""
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """One PNG chunk with its length and CRC."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def raw_png(width: int, height: int, *, extra: bytes = b"", body: bytes = b"") -> bytes:
    """An 8-bit grey PNG with the given header, whatever its body really holds."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + extra
        + png_chunk(b"IDAT", body)
        + png_chunk(b"IEND", b"")
    )


def radiograph(seed: int = 0, size: int = 80) -> Radiograph:
    """A smooth 8-bit picture: a gradient with a bright blob."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    centre = rng.uniform(0.3, 0.7, 2)
    blob = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / 0.02)
    pixels = 60 + 80 * y + 100 * blob + rng.normal(0, 3, (size, size))
    return Radiograph(pixels=np.clip(np.round(pixels), 0, 255).astype(np.uint8), format="PNG")


def many_scans(pixels: NDArray[np.uint8], *, extra: int) -> bytes:
    """A progressive JPEG, six scans for grey, that repeats the last one `extra` times."""
    whole = encode(pixels, "JPEG", progressive=True)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    # A scan without data: as good as any other to a decoder, and almost free of bytes.
    empty = last[: 2 + int.from_bytes(last[2:4], "big")]
    return whole[:-2] + extra * empty + whole[-2:]


# --- detectors and bundles ----------------------------------------------------------------------


def random_backbone(
    architecture: str = "resnet18",
    layers: tuple[str, ...] = ("layer1",),
    size: int = SIZE,
    seed: int = 0,
) -> Backbone:
    """An untrained backbone."""
    config = BackboneConfig(architecture=architecture, layers=layers, source=WeightsSource.RANDOM)
    return build_backbone(config, size, seed=seed)


def feature_network(backbone: Backbone, p: int = 3) -> Network:
    """A backbone and its patches, run by `ENGINE`."""
    return ENGINE.prepare(
        feature_blueprint(backbone.config, backbone.size, p, "", lambda: backbone)
    )


def lung_finder(network: LungNetwork) -> Network:
    """A lung network, run by `ENGINE`."""
    return ENGINE.prepare(LungNetwork.blueprint("", lambda: network))


def tiny_detector(seed: int = 0, rule: ScoreRule = ScoreRule.MAX) -> Detector:
    """An untrained detector that scores in milliseconds."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        discriminator = Discriminator(DiscriminatorConfig(in_features=64, hidden=(8,)))
    return Detector(feature_network(random_backbone(seed=seed)), discriminator, rule, ENGINE)


def tiny_ood(in_features: int = 64, threshold: float = 1e4) -> OodScorer:
    """An OOD scorer that was never fitted; by default no image is far from its centre."""
    scorer = OodConfig(in_features=in_features, rank=4).build()
    scorer.threshold.fill_(threshold)
    return scorer


def tiny_manifest(detector: Detector, *, seed: int = 0, **changes: Any) -> BundleManifest:
    """What a bundle of `tiny_detector` of that seed says of itself."""
    backbone = random_backbone(seed=seed)
    fields: dict[str, Any] = {
        "backbone": backbone.config,
        "backbone_sha256": weights_sha256(backbone.weights()),
        "input": InputConfig(size=backbone.size),
        "align": Align.NONE,
        "p": 3,
        "score_rule": detector.score_rule,
        "head": detector.head.config,
        "ood": tiny_ood().config,
        "calibration": Calibration.from_scores(np.linspace(-0.5, 0.5, 40), 0.05),
        "colour_scale": ColourScale(low=0.0, high=1.0),
        "training": Provenance(
            method="wscxr",
            citation="WSCXR (Ni et al., arXiv 2311.09642, 2023)",
            n_normal=100,
            n_calibration=40,
            k=4,
            seed=0,
            config={},
            data_sha256=hashlib.sha256(b"").hexdigest(),
            metrics={"loss": 0.25},
            versions=Versions.current(),
        ),
        "files": {},
    }
    return BundleManifest(**(fields | changes))


def tiny_bundle(
    manifest: BundleManifest, detector: Detector, ood: OodScorer | None, *, seed: int = 0
) -> Bundle:
    """A bundle of `tiny_detector` of that seed, not yet written."""
    networks = TrainedNetworks(random_backbone(seed=seed), None)
    return Bundle(manifest, detector, ood, networks=lambda: networks)


def scores_of(bundle: Bundle, images: Sequence[Radiograph]) -> list[float]:
    """Image-level scores alone, of images that are scored together."""
    return [prediction.score for prediction in bundle.predict(list(images))]


def write_tiny_bundle(path: Path, *, ood_threshold: float = 1e4, **changes: Any) -> BundleManifest:
    """Write a bundle that loads and scores in milliseconds; by default nothing is strange to it."""
    detector = tiny_detector()
    ood = tiny_ood(threshold=ood_threshold)
    return tiny_bundle(tiny_manifest(detector, **changes), detector, ood).write(path)


def tiny_config(**changes: Any) -> TrainConfig:
    """Settings of a training run that takes a second or two."""
    settings: dict[str, Any] = {
        "backbone": "resnet18",
        "layers": ("layer1",),
        "weights": "random",
        "image_size": SIZE,
        "p": 3,
        "align": "none",
        "lesions": "none",
        "method": "wscxr",
        "score_rule": "max",
        "hidden": (8,),
        "steps": 20,
        "batch_size": 64,
        "k": 3,
    }
    return TrainConfig(**(settings | changes))


def folder_content(folder: Path) -> dict[str, bytes]:
    """All files below a folder by their relative names, hidden ones included."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class RecordingTrack:
    """A `Track` that remembers what it was told."""

    def __init__(self) -> None:
        self.seen: dict[str, int] = {}
        self.totals: dict[str, int] = {}

    def __call__(self, items: Iterable[T], description: str, total: int) -> Iterator[T]:
        self.totals[description] = total
        for item in items:
            self.seen[description] = self.seen.get(description, 0) + 1
            yield item


# --- the command line ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str


def run_cli(*arguments: str | Path) -> Ran:
    """Run ``wscxr`` in this process, through the very function the console script calls."""
    from wscxr.cli import main

    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["wscxr", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
    return Ran(code, out.getvalue(), err.getvalue())


def one_line_error(ran: Ran, exit_code: int, code: str) -> str:
    """The message of a command that failed as it should: one line, with a code, no traceback."""
    assert ran.code == exit_code, ran.err
    assert "Traceback" not in ran.err
    [line] = [line for line in ran.err.splitlines() if line.startswith("error: ")]
    assert line.endswith(f"[{code}]")
    return line


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers, float32."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
