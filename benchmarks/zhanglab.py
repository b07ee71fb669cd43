"""AUROC on ZhangLab chest X-rays: ten draws of the K images, patients disjoint, nothing tuned.

Data: the folders ``normal`` and ``pneumonia`` of Kermany et al., Cell 172 (2018); file names carry
the patient. Test patients are set aside before anything is trained. Each image goes through the
backbone once for all draws.
"""

import argparse
import io
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.progress import track
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupShuffleSplit

from benchmarks.common import console
from training.config import resolve_config
from training.features import extract_features
from training.fit import fit_discriminator
from training.samples import Label, Sample, find_samples, patient_groups, with_label
from training.splits import draw_split
from wscxr.backbone import build_backbone
from wscxr.detector import Detection, Detector, ScoreRule, image_score
from wscxr.device import resolve_device
from wscxr.heatmap import ColourScale, overlay_png
from wscxr.imaging import InputConfig, read_radiograph

DRAWS = 10
TRAIN_NORMALS, TEST_NORMALS, TEST_ABNORMALS = 500, 240, 390
SHOWN = 24
SHOWN_SIDE = 224


def main(arguments: Sequence[str] | None = None) -> None:
    """Print mean and standard deviation of AUROC over the draws, for each score rule."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="holds normal/ and pneumonia/")
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--config", type=Path, help="TOML with other settings")
    parser.add_argument("--maps", type=Path, help="write a contact sheet of test maps here")
    options = parser.parse_args(arguments)
    device = resolve_device(options.device)
    config = resolve_config(
        options.config, {"backbone": options.backbone, "weights": options.weights}
    )

    pool, test = set_aside(options.data)
    draws = [draw_split(pool, config.model_copy(update={"seed": seed})) for seed in range(DRAWS)]
    samples = sorted({s for draw in draws for s in draw.samples} | set(test), key=by_path)
    backbone = build_backbone(
        config.backbone_config, config.image_size, file=config.weights_file
    ).to(device)
    inputs = InputConfig(size=config.image_size, intensity=config.intensity)
    features = extract_features(
        samples, backbone, config.p, inputs, device, track=lambda i, d, n: track(i, d, n)
    )
    rows = {sample: row for row, sample in enumerate(samples)}

    def maps_of(chosen: Sequence[Sample]) -> torch.Tensor:
        return features.maps[[rows[sample] for sample in chosen]]

    abnormal = [sample.label is Label.ABNORMAL for sample in test]
    found: dict[ScoreRule, list[float]] = {rule: [] for rule in ScoreRule}
    for seed, draw in enumerate(track(draws, "draws")):
        settings = config.model_copy(update={"seed": seed})
        normal, anomaly = (maps_of(part).flatten(0, 2) for part in (draw.normal, draw.anomaly))
        fit = fit_discriminator(normal, anomaly, settings, device)
        detector = Detector(backbone, config.p, fit.discriminator, config.score_rule, device)
        detection = detector.detect_features(maps_of(test))
        for rule, values in found.items():
            scores = image_score(detection.maps, rule).cpu().numpy()
            values.append(float(roc_auc_score(abnormal, scores)))
        if seed == 0 and options.maps is not None:
            peaks = detector.detect_features(maps_of(draw.calibration)).maps.flatten(1).amax(1)
            scale = ColourScale.from_calibration(peaks.cpu().numpy(), config.false_alarm_rate)
            contact_sheet(test, detection, scale).save(options.maps)
    for rule, values in found.items():
        console.print(
            f"K = {config.k}, score {rule}: AUROC {np.mean(values):.4f} +- {np.std(values):.4f} "
            f"({DRAWS} draws; {abnormal.count(False)} normal, {abnormal.count(True)} abnormal)"
        )


def by_path(sample: Sample) -> Path:
    """Sort key."""
    return sample.path


def set_aside(data: Path) -> tuple[list[Sample], list[Sample]]:
    """Part the images into a training pool and a test set that share no patient."""
    pool: list[Sample] = []
    test: list[Sample] = []
    for folder, label, size in (
        ("normal", Label.NORMAL, TEST_NORMALS),
        ("pneumonia", Label.ABNORMAL, TEST_ABNORMALS),
    ):
        samples = [with_patient(sample) for sample in find_samples(data / folder, label)]
        splitter = GroupShuffleSplit(1, test_size=size / len(samples), random_state=0)
        kept, aside = next(splitter.split(samples, groups=patient_groups(samples)))
        pool += [samples[i] for i in kept]
        test += [samples[i] for i in aside]
    rng = np.random.default_rng(0)
    normal = with_label(pool, Label.NORMAL)
    chosen = rng.choice(len(normal), TRAIN_NORMALS, replace=False)
    return [normal[i] for i in np.sort(chosen)] + with_label(pool, Label.ABNORMAL), test


def with_patient(sample: Sample) -> Sample:
    """Read the patient from a file name: ``person12_...`` or ``...IM-0115-...``."""
    match = re.search(r"person(\d+)|IM-(\d+)", sample.path.name)
    if match is None:
        raise ValueError("a file name carries no patient")
    return replace(sample, patient_id=match.group())


def contact_sheet(test: Sequence[Sample], detection: Detection, scale: ColourScale) -> Image.Image:
    """Overlays of test images, half of them normal, half abnormal, spread over the set."""
    labels = np.array([sample.label is Label.ABNORMAL for sample in test])
    chosen: list[int] = []
    for abnormal in (False, True):
        rows = np.flatnonzero(labels == abnormal)
        chosen += rows[np.linspace(0, len(rows) - 1, SHOWN // 2, dtype=int)].tolist()
    columns = 6
    sheet = Image.new("RGB", (columns * SHOWN_SIDE, -(-len(chosen) // columns) * SHOWN_SIDE))
    for place, row in enumerate(chosen):
        radiograph = read_radiograph(test[row].path.read_bytes())
        png = overlay_png(radiograph, detection.maps[row].cpu().numpy(), scale)
        tile = Image.open(io.BytesIO(png)).resize((SHOWN_SIDE, SHOWN_SIDE))
        sheet.paste(tile, (place % columns * SHOWN_SIDE, place // columns * SHOWN_SIDE))
    return sheet


if __name__ == "__main__":
    main()
