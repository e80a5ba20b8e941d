"""UNIT's networks: an encoder, a decoder, the VAE made of both, and a discriminator at several scales.

Liu, Breuel, Kautz, "Unsupervised image-to-image translation networks" (2017), written from the paper and from the
shapes that Atadjanov et al. trained with. Of each domain there is one VAE and one discriminator. No layers are
shared: that both latent spaces are one is learned through the cycles alone, in `objectives.py`.

Images are normalised to -1..1. Convolutions pad by reflection, which needs something to reflect at every depth: with
the paper's numbers of layers a VAE takes pictures of 8x8 pixels and more, a discriminator of 64x64.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from geofix.tensors import Images, Maps, ScaledImages

Scores = Float[Tensor, "_ 1 _ _"]
"""How real each patch of images looks, at one of several scales."""

Norm = Literal["none", "batch", "instance", "layer"]

CHANNELS = 64  # the paper's width
_SLOPE = 0.2  # of the discriminator's leaky ReLU


class ContentEncoder(nn.Sequential):
    """Images (n, 3, h, w) -> latent means (n, channels * 2^d, h / 2^d, w / 2^d) for d `downsamplings`, sides rounded
    down at every halving.

    A 7x7 convolution, d of 4x4 that halve the sides and double the channels, then `residual_blocks`; each convolution
    with instance normalisation.
    """

    def __init__(self, channels: int = CHANNELS, residual_blocks: int = 4, downsamplings: int = 2) -> None:
        layers: list[nn.Module] = [_conv(3, channels, 7), nn.InstanceNorm2d(channels), nn.ReLU()]
        for _ in range(downsamplings):
            layers += [_conv(channels, 2 * channels, 4, stride=2), nn.InstanceNorm2d(2 * channels), nn.ReLU()]
            channels *= 2
        layers += [ResidualBlock(channels) for _ in range(residual_blocks)]
        super().__init__(*layers)
        self.apply(_start_kaiming)


class Decoder(nn.Sequential):
    """Latents (n, channels * 2^u, h, w) -> images (n, 3, h * 2^u, w * 2^u) in -1..1, for u `upsamplings`.

    The encoder turned round: `residual_blocks`, u times the nearest pixel doubled and a 5x5 convolution that halves the
    channels, with layer normalisation, then a 7x7 convolution and tanh. `channels` are those before the last one.
    """

    def __init__(self, channels: int = CHANNELS, residual_blocks: int = 4, upsamplings: int = 2) -> None:
        width = channels * 2**upsamplings
        layers: list[nn.Module] = [ResidualBlock(width) for _ in range(residual_blocks)]
        for _ in range(upsamplings):
            layers += [nn.Upsample(scale_factor=2), _conv(width, width // 2, 5), _layer_norm(width // 2), nn.ReLU()]
            width //= 2
        super().__init__(*layers, _conv(width, 3, 7), nn.Tanh())
        self.apply(_start_kaiming)


class ResidualBlock(nn.Module):
    """x + f(x), where f is two 3x3 convolutions with instance normalisation and a ReLU between. He et al. (2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first = [_conv(channels, channels, 3), nn.InstanceNorm2d(channels), nn.ReLU()]
        self.change = nn.Sequential(*first, _conv(channels, channels, 3), nn.InstanceNorm2d(channels))

    def forward(self, maps: Maps) -> Maps:
        """(n, c, h, w) -> the same shape."""
        changed: Maps = self.change(maps)
        return maps + changed


class VAE(nn.Module):
    """One domain's encoder and decoder. The posterior is a Gaussian of unit variance around what the encoder says.

    Section 3: q(z | x) = N(z | E(x), I), and z is drawn as E(x) + noise. Only in training mode; else z is the mean, so
    that translating a photo gives the same picture every time.
    """

    def __init__(self, channels: int = CHANNELS, residual_blocks: int = 4, downsamplings: int = 2) -> None:
        super().__init__()
        self.encoder = ContentEncoder(channels, residual_blocks, downsamplings)
        self.decoder = Decoder(channels, residual_blocks, downsamplings)

    def encode(self, images: Images) -> Maps:
        """Images -> latent means."""
        mean: Maps = self.encoder(images)
        return mean

    def sample(self, mean: Maps) -> Maps:
        """A draw from the posterior around a latent mean, from torch's random state; in evaluation the mean itself."""
        return mean + torch.randn_like(mean) if self.training else mean

    def decode(self, latent: Maps) -> Images:
        """Latents, of this domain's encoder or of the other's -> images of this domain in -1..1."""
        images: Images = self.decoder(latent)
        return images

    def forward(self, images: Images) -> ScaledImages:
        """Images rebuilt. Sides that 2^downsamplings does not divide come back shorter: 512x682 as 512x680."""
        return self.decode(self.sample(self.encode(images)))


class Discriminator(nn.Module):
    """How real images of a domain look, patch by patch and at several scales: real ones are to score 1, others 0.

    `scales` networks of the same make, the next one always on images averaged to half the size (Wang et al., "High-
    resolution image synthesis with conditional GANs", 2018). Each halves the sides `layers` times, from `channels` on
    with twice as many each time, and ends in one score a patch. `norm` follows every convolution but the first and the
    last.
    """

    def __init__(self, channels: int = CHANNELS, scales: int = 3, layers: int = 4, norm: Norm = "none") -> None:
        super().__init__()
        self.scales = nn.ModuleList(_patch_scores(channels, layers, norm) for _ in range(scales))
        self.apply(_start_gaussian)

    def forward(self, images: Images) -> list[Scores]:
        """(n, 3, h, w) -> scores (n, 1, rows, columns), of the full size first; any numbers."""
        scores = []
        for scale in self.scales:
            scores.append(scale(images))
            images = functional.avg_pool2d(images, 3, stride=2, padding=1, count_include_pad=False)
        return scores


def _patch_scores(channels: int, layers: int, norm: Norm) -> nn.Sequential:
    """One scale of the discriminator."""
    parts: list[nn.Module] = [_conv(3, channels, 4, stride=2), nn.LeakyReLU(_SLOPE)]
    for _ in range(layers - 1):
        parts += [_conv(channels, 2 * channels, 4, stride=2), *_norm(norm, 2 * channels), nn.LeakyReLU(_SLOPE)]
        channels *= 2
    return nn.Sequential(*parts, nn.Conv2d(channels, 1, 1))


def _conv(channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the sides, or divides them by its stride."""
    return nn.Conv2d(channels, out_channels, kernel, stride, (kernel - stride + 1) // 2, padding_mode="reflect")


def _layer_norm(channels: int) -> nn.GroupNorm:
    """Over a whole sample, all channels and places at once, then a scale and a shift learned for each channel.

    Ba, Kiros, Hinton, "Layer normalization" (2016); group normalisation with a single group is the same.
    """
    return nn.GroupNorm(1, channels)


def _norm(norm: Norm, channels: int) -> list[nn.Module]:
    if norm == "batch":
        return [nn.BatchNorm2d(channels)]
    if norm == "instance":
        return [nn.InstanceNorm2d(channels)]
    return [_layer_norm(channels)] if norm == "layer" else []


def _start_kaiming(module: nn.Module) -> None:
    """He et al., "Delving deep into rectifiers" (2015)."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight)
        _start_at_zero(module)


def _start_gaussian(module: nn.Module) -> None:
    """N(0, 0.02). Radford, Metz, Chintala, "DCGAN" (2016)."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        _start_at_zero(module)


def _start_at_zero(module: nn.Conv2d) -> None:
    if module.bias is not None:
        nn.init.zeros_(module.bias)
