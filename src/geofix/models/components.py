"""Principal components: descriptors turned and cut to the directions in which they vary most."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from geofix.errors import UsageError
from geofix.shapes import DescriptorRows
from geofix.tensors import Pooled, Reduced


class PrincipalComponents(nn.Module):
    """x -> W (x - mean), without whitening and without a new length, as both papers use it (scikit-learn's PCA).

    Until it is fitted it gives zeros.
    """

    mean: Tensor
    directions: Tensor

    def __init__(self, length: int, components: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(length))
        self.register_buffer("directions", torch.zeros(components, length))

    @property
    def fitted(self) -> bool:
        """Whether it was fitted, or filled with what was."""
        return bool(self.directions.any())

    def forward(self, descriptors: Pooled) -> Reduced:
        """(n, d) -> (n, components)."""
        return (descriptors - self.mean) @ self.directions.T

    @torch.no_grad()
    def fit(self, rows: DescriptorRows) -> None:
        """Fit to descriptors (m, d). Raises UsageError where m or d is smaller than the number of components."""
        from sklearn.decomposition import PCA

        components = len(self.directions)
        check_components(components, *rows.shape)
        # The randomised solver is scikit-learn's choice for many numbers; the seed makes it repeatable.
        fitted = PCA(n_components=components, random_state=0).fit(rows)
        self.mean.copy_(torch.from_numpy(np.asarray(fitted.mean_)))
        self.directions.copy_(torch.from_numpy(np.ascontiguousarray(fitted.components_)))


def check_components(components: int, photos: int, length: int) -> None:
    """Raises UsageError for more components than there are photos to fit them to, or numbers in a descriptor."""
    if not 1 <= components <= min(photos, length):
        raise UsageError(
            f"A PCA to {components} components was asked for; {photos} photos with {length} numbers "
            f"each allow 1 to {min(photos, length)}."
        )
