"""The reconstruction network of DDAD: an autoencoder that says how sure it is of each pixel.

AE-U (Mao et al., *Abnormality Detection in Chest X-ray Images Using Uncertainty Prediction
Autoencoders*, MICCAI 2020), in the form that Cai et al. (2022) give it.
"""

import torch
from torch import Tensor, nn

DOWNSAMPLING = 16
"""Side of the input over side of the deepest feature map."""

_CHANNELS = (16, 32, 64, 64)
_HIDDEN = 2048
_LATENT = 16


class AutoencoderU(nn.Module):
    """AE-U with a latent code of 16 numbers.

    Four convolutions halve the image each, two linear layers take it to the latent code, and the
    decoder mirrors them. Every layer but the latent code and the output is followed by batch
    normalisation and ReLU.

    Parameters
    ----------
    size
        Side of the images, a multiple of 16.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        side = size // DOWNSAMPLING
        deepest = _CHANNELS[-1]
        encoder: list[nn.Module] = []
        for before, after in zip((1, *_CHANNELS), _CHANNELS, strict=False):
            encoder += [
                nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
        self.encoder = nn.Sequential(
            *encoder,
            nn.Flatten(),
            nn.Linear(deepest * side**2, _HIDDEN),
            nn.BatchNorm1d(_HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, _LATENT),
        )
        decoder: list[nn.Module] = []
        for before, after in zip(_CHANNELS[:0:-1], _CHANNELS[-2::-1], strict=True):
            decoder += [
                nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
        self.decoder = nn.Sequential(
            nn.Linear(_LATENT, _HIDDEN),
            nn.BatchNorm1d(_HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, deepest * side**2),
            nn.Unflatten(1, (deepest, side, side)),
            *decoder,
            nn.ConvTranspose2d(_CHANNELS[0], 2, 4, stride=2, padding=1, bias=False),
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruct images.

        Parameters
        ----------
        images
            float32 of shape (B, 1, size, size) in [-1, 1].

        Returns
        -------
        tuple
            The reconstruction, and the logarithm of the variance it is expected to be wrong by;
            both of the images' shape.
        """
        reconstruction, log_variance = self.decoder(self.encoder(images)).chunk(2, dim=1)
        return reconstruction, log_variance


def reconstruction_loss(images: Tensor, reconstruction: Tensor, log_variance: Tensor) -> Tensor:
    """Negative Gaussian log-likelihood up to constants: mean of exp(-s) (x - x')^2 + s.

    Parameters
    ----------
    images, reconstruction, log_variance
        x, x' and s, of one shape.

    Returns
    -------
    Tensor
        A scalar.
    """
    return (torch.exp(-log_variance) * (images - reconstruction).square() + log_variance).mean()
