"""The networks: encoder, decoders and generator, and the critic of real and rebuilt images."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.paper.squid.memory import InpaintingBlock, MaskedShortcut, MemoryMatrix, cut, join

LEVELS = 4
"""Halvings of the encoder; the critic has one more."""

GRID = 2
"""Patches along each side of the image."""

_SKIPS = 2
"""Levels at which the decoder takes the encoder's features; then the patches are joined."""

_WINDOWS = 2
"""Windows of a memory matrix along each side of a patch."""


class ConvBlock(nn.Module):
    """A convolution, and two more around which there is a residual connection."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, stride, padding=1),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(),
        )
        self.second = nn.Sequential(
            nn.Conv2d(channels_out, channels_out, 3, padding=1),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(),
            nn.Conv2d(channels_out, channels_out, 3, padding=1),
            nn.BatchNorm2d(channels_out),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, channels_in, H, W) to (B, channels_out, H / stride, W / stride)."""
        features = self.first(features)
        return functional.relu(features + self.second(features))


class Encoder(nn.Module):
    """Patches to features, `LEVELS` times halved in side and doubled in channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([ConvBlock(1, width)])
        for level in range(LEVELS):
            self.blocks.append(ConvBlock(width << level, width << (level + 1), stride=2))

    def forward(self, patches: Tensor) -> list[Tensor]:
        """Features of every level of patches of shape (P, 1, h, w), the finest first."""
        features = [patches]
        for block in self.blocks:
            features.append(block(features[-1]))
        return features[1:]


class Decoder(nn.Module):
    """Features of patches to one image.

    Parameters
    ----------
    width
        Channels of the finest level.
    memories
        Applied to the features of the first levels: nothing at the teacher, a look-up in a
        memory at the student.
    """

    def __init__(self, width: int, memories: Sequence[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        for level in range(LEVELS, 0, -1):
            fine = width << (level - 1)
            skipped = fine if LEVELS - level < _SKIPS else 0
            self.blocks.append(ConvBlock(2 * fine + skipped, fine))
        self.memories = nn.ModuleList(memories)
        self.out = nn.Conv2d(width, 1, 1)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Rebuild the image.

        Parameters
        ----------
        features
            As the encoder gives them, the finest first.

        Returns
        -------
        tuple
            The image, shape (B, 1, size, size) in (0, 1), and the features of every level.
        """
        current = features[-1]
        levels = []
        for number, block in enumerate(self.blocks):
            if number == _SKIPS:
                current = join(current, GRID)
            current = functional.interpolate(current, scale_factor=2, mode="bilinear")
            if number < _SKIPS:
                current = block(torch.cat([features[-2 - number], current], dim=1))
                current = self.memories[number](current)
            else:
                current = block(current)
            levels.append(current)
        return torch.sigmoid(self.out(current)), levels


def teacher_decoder(width: int) -> Decoder:
    """A decoder without memory."""
    return Decoder(width, [nn.Identity() for _ in range(_SKIPS)])


def student_decoder(width: int, size: int, slots: int, shortcut: MaskedShortcut) -> Decoder:
    """A decoder with a memory matrix at its first levels."""
    memories = []
    for number in range(_SKIPS):
        level = LEVELS - 1 - number
        side = (size // GRID >> level) // _WINDOWS
        memories.append(MemoryMatrix(_WINDOWS, slots, (width << level) * side * side, shortcut))
    return Decoder(width, memories)


class Critic(nn.Module):
    """Says how real an image looks, as opposed to rebuilt.

    Parameters
    ----------
    width
        Channels of its first level.
    size
        Side of the images.
    """

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        channels = [1, *(width << min(level, 3) for level in range(LEVELS + 1))]
        layers: list[nn.Module] = []
        for level in range(LEVELS + 1):
            layers.append(nn.Conv2d(channels[level], channels[level + 1], 5, 2, padding=2))
            if level > 0:
                layers.append(nn.BatchNorm2d(channels[level + 1]))
            layers.append(nn.LeakyReLU(0.2))
        side = size >> (LEVELS + 1)
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1] * side**2, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Logits of being real, shape (B,), of images of shape (B, 1, size, size)."""
        logits: Tensor = self.layers(images)
        return logits.squeeze(1)


@dataclass(frozen=True, eq=False)
class Rebuilt:
    """The outputs of the generator that a training step needs.

    Attributes
    ----------
    student, teacher
        Rebuilt images, shape (B, 1, size, size) in (0, 1).
    student_levels, teacher_levels
        Features of every level of the two decoders.
    patches
        Features for the memory queue.
    """

    student: Tensor
    teacher: Tensor
    student_levels: list[Tensor]
    teacher_levels: list[Tensor]
    patches: Tensor


class Generator(nn.Module):
    """Rebuilds an image from normal patterns (student) and, in training, as it is (teacher).

    Parameters
    ----------
    size
        Side of the images.
    width
        Channels of the finest level.
    slots
        Patterns of every memory.
    generator
        Where the masks are drawn from, on the CPU.
    """

    def __init__(self, size: int, width: int, slots: int, generator: torch.Generator) -> None:
        super().__init__()
        shortcut = MaskedShortcut(generator)
        self.encoder = Encoder(width)
        self.inpainting = InpaintingBlock(
            width << LEVELS, size // GRID >> LEVELS, GRID, slots, shortcut
        )
        self.student = student_decoder(width, size, slots, shortcut)
        self.teacher = teacher_decoder(width)

    def forward(self, images: Tensor) -> Rebuilt:
        """Rebuild images of shape (B, 1, size, size) both ways."""
        features = self.encoder(cut(images, GRID))
        in_painted, patches = self.inpainting(features[-1])
        student, student_levels = self.student([*features[:-1], in_painted])
        # The encoder learns from the student alone.
        teacher, teacher_levels = self.teacher([level.detach() for level in features])
        return Rebuilt(student, teacher, student_levels, teacher_levels, patches)

    def rebuild(self, images: Tensor) -> Tensor:
        """Rebuild images of shape (B, 1, size, size) from normal patterns."""
        features = self.encoder(cut(images, GRID))
        in_painted, _ = self.inpainting(features[-1])
        image: Tensor = self.student([*features[:-1], in_painted])[0]
        return image

    def remember(self, rebuilt: Rebuilt) -> None:
        """Copy what was seen into the queue; only after the backward pass, which reads it."""
        self.inpainting.queue.enqueue(rebuilt.patches)
