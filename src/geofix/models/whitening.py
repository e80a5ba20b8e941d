"""Learned whitening: shrink the directions in which photos of one place differ."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from geofix.tensors import Pooled


class LearnedWhitening(nn.Module):
    """x -> (C / floor + I)^(-1/2) x, unit length, for the covariance C of the differences within places.

    The within-class normalisation of Mikolajczyk and Matas, "Improving descriptors for fast tree matching by optimal
    linear projection" (2007), as Radenović et al. (2018, section IV-B) learn it from matching photos; but no
    direction is thrown away. C is known in a few hundred directions v with variance s only, so the matrix is
    I - sum of (1 - sqrt(floor / (floor + s))) v v^T, and the rest of x passes as it is. Before it is fitted it
    changes nothing but the length.
    """

    directions: Tensor
    gains: Tensor

    def __init__(self, length: int, directions: int) -> None:
        super().__init__()
        self.register_buffer("directions", torch.zeros(directions, length))
        self.register_buffer("gains", torch.zeros(directions))

    def forward(self, pooled: Pooled) -> Pooled:
        """(n, d) -> (n, d), unit length."""
        along = functional.linear(pooled, self.directions) * self.gains
        return functional.normalize(pooled - along @ self.directions, dim=1)

    @torch.no_grad()
    def fit(self, differences: Pooled, floor: float) -> None:
        """Learn from differences (m, d) of descriptors of one place, in as many directions as they allow.

        `floor` is in units of the mean variance along the directions kept, so it does not hang on m.
        """
        count = len(differences)
        # Eigenvectors through the small (m, m) matrix: m is thousands where d is tens of thousands.
        values, vectors = torch.linalg.eigh(differences @ differences.T / (2 * count))
        kept = min(len(self.gains), count)
        values, vectors = values.flip(0)[:kept].clamp(min=0), vectors.flip(1)[:, :kept]
        self.gains.zero_()
        self.directions.zero_()
        self.directions[:kept] = functional.normalize(vectors.T @ differences, dim=1)
        least = floor * values.mean()
        self.gains[:kept] = 1 - torch.sqrt(least / (least + values))
