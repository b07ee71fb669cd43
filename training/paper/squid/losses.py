"""What generator and discriminator minimise, with the weights of the paper (Sec. 3.4)."""

import torch
from torch import Tensor
from torch.nn import functional

from training.paper.squid.generator import Rebuilt

TEACHER = 0.01
STUDENT = 10.0
DISTILLATION = 0.001
GENERATOR = 0.005
DISCRIMINATOR = 0.005


def distillation(student: list[Tensor], teacher: list[Tensor]) -> Tensor:
    """Mean squared difference of the two decoders' features, summed over the levels."""
    pairs = zip(student, teacher, strict=True)
    return torch.stack([functional.mse_loss(one, two) for one, two in pairs]).sum()


def generator_loss(rebuilt: Rebuilt, images: Tensor, logits: Tensor) -> Tensor:
    """Rebuild the images, follow the teacher, and look real.

    Parameters
    ----------
    rebuilt
        What the generator made of the images.
    images
        Shape (B, 1, size, size).
    logits
        What the discriminator says of the student's images, shape (B,).
    """
    return (
        STUDENT * functional.mse_loss(rebuilt.student, images)
        + TEACHER * functional.mse_loss(rebuilt.teacher, images)
        + DISTILLATION * distillation(rebuilt.student_levels, rebuilt.teacher_levels)
        + GENERATOR * functional.softplus(-logits).mean()
    )


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Binary cross-entropy of the logits of real and of rebuilt images, each of shape (B,)."""
    return DISCRIMINATOR * (functional.softplus(-real).mean() + functional.softplus(fake).mean())
