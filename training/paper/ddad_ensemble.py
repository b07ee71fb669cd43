"""The two modules of DDAD and the discrepancies between what they reconstruct."""

import torch
from torch import Tensor, nn

from training.paper.ddad_autoencoder import AutoencoderU


class DualEnsemble(nn.Module):
    """Module A, which also knows unlabelled images, and module B, which knows normal ones only.

    Each is an ensemble of reconstruction networks (Cai et al., 2022, Sec. 2.1). In both
    discrepancies the standard deviation that module B predicts takes away what is hard to
    reconstruct anyhow, such as edges: sigma^2 is the mean of its members' variances.

    Parameters
    ----------
    members
        Networks in each module.
    size
        Side of the images.
    """

    def __init__(self, members: int, size: int) -> None:
        super().__init__()
        self.module_a = nn.ModuleList([AutoencoderU(size) for _ in range(members)])
        self.module_b = nn.ModuleList([AutoencoderU(size) for _ in range(members)])

    @property
    def networks(self) -> list[AutoencoderU]:
        """All members, those of module A first."""
        return [*self.module_a, *self.module_b]

    def intra_discrepancy(self, images: Tensor) -> Tensor:
        """Map of module B's disagreement with itself: std of its reconstructions over sigma.

        Parameters
        ----------
        images
            float32 of shape (B, 1, size, size) in [-1, 1].

        Returns
        -------
        Tensor
            float32 of the same shape, 0 or more.
        """
        reconstructions, sigma = _reconstruct(self.module_b, images)
        return reconstructions.std(dim=0) / sigma

    def inter_discrepancy(self, images: Tensor) -> Tensor:
        """Map of the modules' disagreement: ``|mean of A - mean of B|`` over sigma.

        Parameters
        ----------
        images
            float32 of shape (B, 1, size, size) in [-1, 1].

        Returns
        -------
        Tensor
            float32 of the same shape, 0 or more.
        """
        of_a, _ = _reconstruct(self.module_a, images)
        of_b, sigma = _reconstruct(self.module_b, images)
        return (of_a.mean(dim=0) - of_b.mean(dim=0)).abs() / sigma


def _reconstruct(module: nn.ModuleList, images: Tensor) -> tuple[Tensor, Tensor]:
    """All members' reconstructions, one more dimension in front, and sigma."""
    reconstructions, log_variances = zip(*(member(images) for member in module), strict=True)
    variance = torch.stack(log_variances).exp().mean(dim=0)
    return torch.stack(reconstructions), variance.sqrt()
