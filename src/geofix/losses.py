"""What training lowers: losses of descriptors. The one door to pytorch-metric-learning.

Triplets come as groups: q queries, their positives and n negatives each.
"""

from __future__ import annotations

import torch
from pytorch_metric_learning.losses import MultiSimilarityLoss
from pytorch_metric_learning.miners import MultiSimilarityMiner
from torch import Tensor
from torch.nn import functional

from geofix.tensors import Descriptors, Loss, Negatives, PlaceNumbers


def triplet(queries: Descriptors, positives: Descriptors, negatives: Negatives, margin: float) -> Loss:
    """Mean over all q * n triplets of max(0, |q - p| - |q - n| + margin), Euclidean distances.

    Schroff et al., "FaceNet" (2015), with plain instead of squared distances, as the benchmark has it.
    """
    count = negatives.shape[1]
    return functional.triplet_margin_loss(
        queries.repeat_interleave(count, 0), positives.repeat_interleave(count, 0), negatives.flatten(0, 1), margin
    )


def sare_independent(queries: Descriptors, positives: Descriptors, negatives: Negatives) -> Loss:
    """Mean over all q * n triplets of ln(1 + exp(|q - p|^2 - |q - n|^2)).

    Liu, Li, Dai, "Stochastic attraction-repulsion embedding" (2019), eq. 12 with the Gaussian kernel.
    """
    return functional.softplus(_gaps(queries, positives, negatives)).mean()


def sare_joint(queries: Descriptors, positives: Descriptors, negatives: Negatives) -> Loss:
    """Mean over the queries of ln(1 + sum over negatives of exp(|q - p|^2 - |q - n|^2)). Ibid., eq. 9."""
    gaps = _gaps(queries, positives, negatives)
    return torch.logsumexp(functional.pad(gaps, (1, 0)), dim=1).mean()


def multi_similarity(descriptors: Descriptors, places: PlaceNumbers) -> Loss:
    """Photos of one place are drawn together and the others apart, weighted by how hard each pair is.

    Wang et al., "Multi-similarity loss" (2019), with the settings of GSV-Cities (Ali-bey et al., 2022, section
    4.2): alpha 1, beta 50, base 0, and its miner of informative pairs with epsilon 0.1, on cosines.
    """
    loss = MultiSimilarityLoss(alpha=1.0, beta=50.0, base=0.0)
    value: Tensor = loss(descriptors, places, MultiSimilarityMiner(epsilon=0.1)(descriptors, places))
    return value


def _gaps(queries: Descriptors, positives: Descriptors, negatives: Negatives) -> Tensor:
    """|q - p|^2 - |q - n|^2 for every negative of every query, (q, n)."""
    near = (queries - positives).square().sum(dim=1, keepdim=True)
    return near - (queries[:, None] - negatives).square().sum(dim=2)
