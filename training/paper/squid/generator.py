"""Encoder, in-painting block, and the student's and the teacher's decoder (Fig. 2)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.paper.squid.inpainting import InpaintingBlock
from training.paper.squid.layers import (
    GRID,
    LEVELS,
    Encoder,
    student_decoder,
    teacher_decoder,
)
from training.paper.squid.patches import cut
from training.paper.squid.shortcut import MaskedShortcut


@dataclass(frozen=True, eq=False)
class Rebuilt:
    """What a training step needs to know.

    Attributes
    ----------
    student, teacher
        Rebuilt images, shape (B, 1, size, size) in (0, 1).
    student_levels, teacher_levels
        Features of every level of the two decoders.
    patches
        What the queue is to remember.
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
