"""Write the test images of a manifest as if taken elsewhere: same chests, other acquisition.

Run as ``python scripts/shift_acquisition.py --manifest CSV --out DIR``. ``DIR/shifted.csv`` has the
same training rows, and the shifted test images. Each image gets, at random and independently of its
label, another framing (zoom 0.85 to 1.05, moved by up to 3 % of a side, turned by up to 5 degrees),
exposure (gamma 0.7 to 1.4), blur (every other one) and noise. A detector that reads disease keeps
its AUROC; one that reads how pictures were made loses it.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.progress import track
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import functional as transforms

from training.data.samples import read_samples
from wscxr.choices import Intensity
from wscxr.imaging import read_radiograph, to_unit_range

SIDE = 224


def main() -> None:
    """Write the images and the manifest."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--manifest", type=Path, required=True, help="with train and test rows")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    arguments = parser.parse_args()
    manifest: Path = arguments.manifest.resolve()
    out: Path = arguments.out.resolve()
    (out / "test").mkdir(parents=True, exist_ok=True)
    rows = [
        [sample.path, sample.label, sample.patient_id or "", "train"]
        for sample in read_samples(manifest, "train")
    ]
    generator = torch.Generator().manual_seed(0)
    for number, sample in enumerate(track(read_samples(manifest, "test"), "shifting")):
        file = out / "test" / f"{number:05d}.png"
        write_shifted(sample.path, file, generator)
        rows.append([file, sample.label, sample.patient_id or "", "test"])
    with (out / "shifted.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "label", "patient_id", "split"])
        writer.writerows(rows)


def write_shifted(source: Path, out: Path, generator: torch.Generator) -> None:
    """Write an image as if taken elsewhere, as PNG of `SIDE` pixels a side; see `shift`."""
    radiograph = read_radiograph(source.read_bytes())
    picture = torch.from_numpy(to_unit_range(radiograph, SIDE, Intensity.FULL_RANGE))
    pixels = shift(picture, generator).mul(255).round().numpy().astype(np.uint8)
    Image.fromarray(pixels).save(out)


def shift(picture: Tensor, generator: torch.Generator) -> Tensor:
    """Another framing, exposure, sharpness and noise.

    Parameters
    ----------
    picture
        float32 of shape (H, W) in [0, 1].
    generator
        The random stream.

    Returns
    -------
    Tensor
        float32 of shape (H, W) in [0, 1].
    """
    drawn = torch.rand(8, generator=generator).tolist()
    zoom, right, down, turn, gamma, blurred, sigma, noise = drawn
    scale, angle = torch.tensor(0.85 + 0.2 * zoom), torch.tensor(0.16 * (turn - 0.5))
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    moved = [torch.tensor(0.12 * (part - 0.5)) for part in (right, down)]
    frame = torch.stack([cos, -sin, moved[0], sin, cos, moved[1]]).reshape(1, 2, 3)
    grid = functional.affine_grid(frame, [1, 1, *picture.shape], align_corners=False)
    found = functional.grid_sample(
        picture[None, None], grid, align_corners=False, padding_mode="border"
    )
    found = found.clamp(min=1e-3) ** torch.exp(torch.tensor(0.7 * (gamma - 0.5)))
    if blurred < 0.5:
        width = 0.4 + 0.8 * sigma
        found = transforms.gaussian_blur_image(found, [5, 5], [width, width])
    grain = torch.randn(found.shape, generator=generator) * 0.02 * noise
    shifted: Tensor = (found + grain).clamp(0, 1)[0, 0]
    return shifted


if __name__ == "__main__":
    main()
