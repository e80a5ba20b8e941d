"""Pooling: maps (n, c, h, w) -> one vector a photo. GeM, MAC, SPoC, R-MAC and NetVLAD.

Every module states `length(channels)`, the length of what it returns.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from geofix.tensors import Maps, Pooled

_EPS = 1e-6


class GeM(nn.Module):
    """Generalised mean: (mean of clamp(x, eps)^p)^(1/p) per channel.

    Radenović, Tolias, Chum, "Fine-tuning CNN image retrieval with no human annotation" (2018), eq. 3. One exponent for
    all channels, or one for each of `channels`.
    """

    def __init__(self, p: float = 3.0, learnable: bool = True, channels: int = 1) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full((channels,), float(p)), requires_grad=learnable)

    def forward(self, maps: Maps) -> Pooled:
        """(n, c, h, w) -> (n, c), positive."""
        # A Python exponent takes torch's fast path for whole powers; gradients need the tensor.
        if len(self.p) == 1 and not (torch.is_grad_enabled() and self.p.requires_grad):
            p = float(self.p.detach())
            return maps.clamp(min=_EPS).pow(p).mean(dim=(-2, -1)).pow(1.0 / p)
        return maps.clamp(min=_EPS).pow(self.p[:, None, None]).mean(dim=(-2, -1)).pow(1.0 / self.p)

    def length(self, channels: int) -> int:
        """As many numbers as channels."""
        return channels


class MAC(nn.Module):
    """Maximum activation of each channel. Tolias, Sicre, Jégou (2016), section 3."""

    def forward(self, maps: Maps) -> Pooled:
        """(n, c, h, w) -> (n, c)."""
        return maps.amax(dim=(-2, -1))

    def length(self, channels: int) -> int:
        """As many numbers as channels."""
        return channels


class SPoC(nn.Module):
    """Mean activation of each channel. Babenko, Lempitsky (2015), without the centre prior, as in the benchmark."""

    def forward(self, maps: Maps) -> Pooled:
        """(n, c, h, w) -> (n, c)."""
        return maps.mean(dim=(-2, -1))

    def length(self, channels: int) -> int:
        """As many numbers as channels."""
        return channels


class RMAC(nn.Module):
    """Sum of the L2-normalised MACs of overlapping square regions at several scales, the whole map included.

    Tolias, Sicre, Jégou (2016), section 4: at level l the square's side is 2 * min(h, w) / (l + 1), with the
    number of squares along the longer side chosen so that neighbours overlap by about 40 %.
    """

    def __init__(self, levels: int = 3) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, maps: Maps) -> Pooled:
        """(n, c, h, w) -> (n, c)."""
        rows, columns = maps.shape[-2:]
        pooled = _unit_mac(maps)
        for top, left, side in rmac_regions(rows, columns, self.levels):
            pooled = pooled + _unit_mac(maps[:, :, top : top + side, left : left + side])
        return pooled

    def length(self, channels: int) -> int:
        """As many numbers as channels."""
        return channels


class NetVLAD(nn.Module):
    """Residuals to `clusters` centroids, softly assigned, summed, normalised per cluster and as a whole.

    Arandjelović et al., "NetVLAD" (2016), eq. 4, with unit local descriptors. Written as one matrix product
    minus weighted centroids, so that no (n, clusters, channels, h * w) tensor ever exists.
    """

    def __init__(self, channels: int, clusters: int = 64) -> None:
        super().__init__()
        self.clusters = clusters
        self.assign = nn.Parameter(torch.randn(clusters, channels) / channels**0.5)
        self.centroids = nn.Parameter(torch.rand(clusters, channels))

    def forward(self, maps: Maps) -> Pooled:
        """(n, c, h, w) -> (n, clusters * c), unit length, cluster by cluster."""
        x = maps.flatten(2)  # (n, c, m)
        # Unit local descriptors, as a factor on both products: the scaled copy of x is never made.
        scale = x.square().sum(dim=1, keepdim=True).clamp(min=_EPS**4).rsqrt()  # (n, 1, m)
        weights = torch.softmax(torch.matmul(self.assign, x) * scale, dim=1)  # (n, k, m)
        residuals = torch.bmm(weights * scale, x.transpose(1, 2))  # (n, k, c)
        residuals = residuals - weights.sum(dim=2, keepdim=True) * self.centroids
        return functional.normalize(functional.normalize(residuals, dim=2).flatten(1), dim=1)

    def length(self, channels: int) -> int:
        """Clusters times channels."""
        return self.clusters * channels

    @torch.no_grad()
    def place_clusters(self, centroids: Tensor, descriptors: Tensor) -> float:
        """Set the centroids (k, c) and the assignment so that the nearest gets about 100 times the next one's
        weight on `descriptors` (n, c), unit rows; returns that sharpness alpha.

        The benchmark's rule: alpha = -ln(0.01) / mean(top1 - top2 cosine), assign = alpha * unit centroids.
        """
        unit = functional.normalize(centroids, dim=1)
        top = (descriptors @ unit.T).topk(2, dim=1).values
        alpha = float(-torch.log(torch.tensor(0.01)) / (top[:, 0] - top[:, 1]).mean())
        self.assign.copy_(alpha * unit)
        self.centroids.copy_(centroids)
        return alpha


def rmac_regions(rows: int, columns: int, levels: int) -> list[tuple[int, int, int]]:
    """(top, left, side) of R-MAC's squares in a map of rows x columns, without the whole map itself."""
    short, long = min(rows, columns), max(rows, columns)
    overlaps = [abs((short**2 - short * (long - short) / steps) / short**2 - 0.4) for steps in (1, 2, 3, 4, 5, 6)]
    more = 1 + overlaps.index(min(overlaps)) if long > short else 0
    extra_rows, extra_columns = (more, 0) if rows > columns else (0, more) if columns > rows else (0, 0)
    regions = []
    for level in range(1, levels + 1):
        side = 2 * short // (level + 1)
        tops = _starts(rows, side, level + extra_rows)
        lefts = _starts(columns, side, level + extra_columns)
        regions += [(top, left, side) for top in tops for left in lefts if side > 0]
    return regions


def _starts(length: int, side: int, count: int) -> list[int]:
    """Where `count` squares of `side` start along `length`, the first at 0 and the last flush with the end."""
    half = side // 2 - 1
    step = 0.0 if count == 1 else (length - side) / (count - 1)
    return [int(half + index * step) - half for index in range(count)]


def _unit_mac(maps: Maps) -> Pooled:
    pooled = maps.amax(dim=(-2, -1))
    unit: Tensor = pooled / (pooled.norm(dim=1, keepdim=True) + _EPS)
    return unit
