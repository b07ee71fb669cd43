"""Unlabelled radiographs in memory, and random views: other framing and exposure, the same chest.

Both views of a radiograph are mirrored or neither is: left and right stay apart. Crops keep lungs
at a size that the detector sees. Tone goes through gamma, gain and offset as exposure and window
do; blur, noise and burnt-in markers are what differs between devices and says nothing of the
patient.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import functional as transforms

from training.data.images import in_batches, open_radiograph
from training.data.samples import read_rows
from training.pretraining.backbone.config import RandomView
from wscxr.choices import Intensity
from wscxr.errors import DataError, NotEnoughImages
from wscxr.imaging import find_images, to_unit_range
from wscxr.progress import Track, untracked


@dataclass(frozen=True, eq=False)
class Pictures:
    """Radiographs as pretraining sees them.

    Attributes
    ----------
    pixels
        uint8 of shape (N, 1, side, side), percentile-stretched.
    sha256
        Hash over the contents of all files; names and order do not matter.
    """

    pixels: Tensor
    sha256: str


def find_unlabelled(places: Sequence[Path]) -> list[Path]:
    """Find the images of several folders, and those that CSV files name, each once.

    Parameters
    ----------
    places
        Folders, searched with all below them, and CSV files with a column ``path``; relative paths
        start at the CSV's own folder. Other columns are not read.

    Raises
    ------
    DataError
        A folder does not exist.
    SampleListError
        A CSV file cannot be read or lacks the column.
    NotEnoughImages
        One of them holds no image.
    """
    found: list[Path] = []
    for place in places:
        if not place.exists():
            raise DataError(f"there is no folder or CSV file {place}")
        images = find_images(place) if place.is_dir() else _listed(place)
        if not images:
            raise NotEnoughImages(f"{place} holds no PNG, JPEG or DICOM file")
        found += images
    unique: dict[Path, Path] = {}
    for path in found:
        # Also where two spellings lead to one file.
        unique.setdefault(path.resolve(), path)
    return list(unique.values())


def _listed(file: Path) -> list[Path]:
    return [file.parent / row["path"] for _, row in read_rows(file, ["path"]) if row["path"]]


def load_pictures(files: Sequence[Path], side: int, track: Track = untracked) -> Pictures:
    """Read radiographs, each once.

    Parameters
    ----------
    files
        The image files; at least one.
    side
        Side to which each is squashed, px.

    Raises
    ------
    DataError
        A file cannot be read; the message names it.
    """

    def load(path: Path) -> tuple[Tensor, str]:
        radiograph, data = open_radiograph(path)
        picture = to_unit_range(radiograph, side, Intensity.PERCENTILE)
        pixels = torch.from_numpy((picture * 255).round().astype("uint8"))
        return pixels, hashlib.sha256(data).hexdigest()

    pixels = torch.empty(len(files), 1, side, side, dtype=torch.uint8)
    hashes: list[str] = []
    for batch in in_batches(files, load, track):
        for picture, sha256 in batch:
            pixels[len(hashes), 0] = picture
            hashes.append(sha256)
    return Pictures(pixels, hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest())


_MAX_ASPECT = 0.2  # natural logarithm of the largest stretch
_MAX_ANGLE = 0.2  # radians
_MAX_GAMMA = 0.6  # natural logarithm
_MAX_GAIN, _MAX_OFFSET, _MAX_NOISE = 0.3, 0.15, 0.04
_BLURS = (0.6, 1.2)
"""Standard deviations, px; as many views again stay sharp as each of them blurs."""
_APART = 0.2
"""How far the centres of two views lie apart at most, beside what their sizes allow."""
_MARKED = 0.3
"""Share of views with a burnt-in marker."""
_GLYPH = 5


@dataclass(frozen=True, eq=False)
class Views:
    """One view of each radiograph of a batch.

    Attributes
    ----------
    pixels
        float32 of shape (B, 1, size, size), about [0, 1].
    frames
        Where each view lies: float32 of shape (B, 2, 3), from the view's coordinates to the
        radiograph's, both in [-1, 1] (as `torch.nn.functional.affine_grid` has them).
    """

    pixels: Tensor
    frames: Tensor


def draw_views(
    pictures: Tensor, view: RandomView, generator: torch.Generator
) -> tuple[Views, Views]:
    """Draw two views of each radiograph.

    Parameters
    ----------
    pictures
        float32 of shape (B, 1, side, side) in [0, 1], on any device.
    view
        Size and scale.
    generator
        The random stream, on the CPU.
    """
    count = len(pictures)
    mirror = 1 - 2 * torch.randint(2, (count,), generator=generator)
    centre = _uniform((2, count), 1, generator) * (1 - view.scale[0])
    first, second = (
        _one_view(pictures, _frames(view, centre, mirror, generator), view, generator)
        for _ in range(2)
    )
    return first, second


def _one_view(
    pictures: Tensor, frames: Tensor, view: RandomView, generator: torch.Generator
) -> Views:
    frames = frames.to(pictures.device)
    grid = functional.affine_grid(
        frames, [len(pictures), 1, view.size, view.size], align_corners=False
    )
    cut = functional.grid_sample(pictures, grid, align_corners=False, padding_mode="border")
    return Views(_expose(_mark(cut, generator), generator), frames)


def _frames(view: RandomView, centre: Tensor, mirror: Tensor, generator: torch.Generator) -> Tensor:
    count = len(mirror)
    low, high = view.scale
    scale = low + (high - low) * torch.rand(count, generator=generator)
    aspect = torch.exp(_uniform((count,), _MAX_ASPECT, generator))
    sides = torch.stack([scale * aspect, scale / aspect]).clamp(max=1)
    moved = centre + _uniform((2, count), _APART, generator)
    moved = torch.minimum(torch.maximum(moved, sides - 1), 1 - sides)
    angle = _uniform((count,), _MAX_ANGLE, generator)
    cos, sin = torch.cos(angle), torch.sin(angle)
    rows = [
        torch.stack([sides[0] * cos * mirror, -sides[1] * sin, moved[0]], dim=1),
        torch.stack([sides[0] * sin * mirror, sides[1] * cos, moved[1]], dim=1),
    ]
    return torch.stack(rows, dim=1)


def _expose(cut: Tensor, generator: torch.Generator) -> Tensor:
    """Another exposure, sharpness and noise for each view."""
    count, device = len(cut), cut.device

    def each(half_width: float) -> Tensor:
        return _uniform((count, 1, 1, 1), half_width, generator).to(device)

    cut = cut.clamp(min=1e-3, max=1) ** torch.exp(each(_MAX_GAMMA))
    cut = cut * (1 + each(_MAX_GAIN)) + each(_MAX_OFFSET)
    kind = torch.randint(len(_BLURS) + 2, (count,), generator=generator)
    for number, sigma in enumerate(_BLURS):
        chosen = (kind == number).to(device)
        if chosen.any():
            blurred = transforms.gaussian_blur_image(cut[chosen], [5, 5], [sigma, sigma])
            cut = cut.masked_scatter(chosen[:, None, None, None], blurred)
    noise = torch.randn(cut.shape, generator=generator).to(device)
    return cut + noise * each(_MAX_NOISE).abs()


def _mark(cut: Tensor, generator: torch.Generator) -> Tensor:
    """Burn a bright random glyph into some views, anywhere near the frame's edge."""
    size = cut.shape[-1]
    cut = cut.clone()
    marked = torch.rand(len(cut), generator=generator) < _MARKED
    for number in marked.nonzero()[:, 0].tolist():
        side = _GLYPH * int(torch.randint(1, max(2, size // 32), (1,), generator=generator))
        glyph = torch.randint(2, (1, 1, _GLYPH, _GLYPH), generator=generator).float()
        glyph = functional.interpolate(glyph, side, mode="nearest")[0, 0].to(cut.device)
        angle = float(torch.rand(1, generator=generator)) * 2 * math.pi
        reach = (size - side) / 2
        # On the border of a square, at any angle.
        stretch = reach / max(abs(math.cos(angle)), abs(math.sin(angle)))
        left, top = (int(reach + stretch * part) for part in (math.cos(angle), math.sin(angle)))
        place = cut[number, 0, top : top + side, left : left + side]
        place.copy_(torch.maximum(place, glyph))
    return cut


def _uniform(shape: tuple[int, ...], half_width: float, generator: torch.Generator) -> Tensor:
    return (2 * torch.rand(shape, generator=generator) - 1) * half_width
