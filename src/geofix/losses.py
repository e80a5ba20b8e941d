"""What training lowers: losses of descriptors. The one door to pytorch-metric-learning.

Triplets come as groups: q queries, their positives and n negatives each.
"""

from __future__ import annotations

import torch
from pytorch_metric_learning.losses import MultiSimilarityLoss
from pytorch_metric_learning.miners import MultiSimilarityMiner
from torch import Tensor
from torch.nn import functional

from geofix.recipes import KLDirection
from geofix.tensors import Descriptors, Logits, Loss, Negatives, PlaceNumbers


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


def between_views(
    gallery: Logits, queries: Logits, direction: KLDirection = "gallery_learns", *, detach: bool = True
) -> Loss:
    """Mean over the pairs of sum p2 * ln(p2 / p1): how far the class probabilities p1 of the gallery's view are from
    p2 of the asking one. Bui, Kubo, Sato (2022), eq. 2.

    "gallery_learns" draws p1 to p2, "query_learns" p2 to p1, "both" adds the two. With `detach` the view that is drawn
    to gets no gradient, as in the code of Dai et al. (FSRA, 2022), from which the term comes.
    """
    if direction == "both":
        return _drawn(gallery, queries, detach) + _drawn(queries, gallery, detach)
    learner, teacher = (gallery, queries) if direction == "gallery_learns" else (queries, gallery)
    return _drawn(learner, teacher, detach)


def info_nce(queries: Descriptors, gallery: Descriptors, temperature: float) -> Loss:
    """Row i of both shows one place: the mean of both directions' cross-entropy over cosines / temperature.

    Van den Oord et al. (2018), symmetric as in Deuser et al., "Sample4Geo" (2023), eq. 2.
    """
    cosines = functional.normalize(queries, dim=1) @ functional.normalize(gallery, dim=1).T / temperature
    own = torch.arange(len(cosines), device=cosines.device)
    return (functional.cross_entropy(cosines, own) + functional.cross_entropy(cosines.T, own)) / 2


def _drawn(learner: Logits, teacher: Logits, detach: bool) -> Loss:
    """KL(teacher || learner), the mean over rows."""
    target = teacher.detach() if detach else teacher
    return functional.kl_div(
        learner.log_softmax(dim=1), target.log_softmax(dim=1), reduction="batchmean", log_target=True
    )


def _gaps(queries: Descriptors, positives: Descriptors, negatives: Negatives) -> Tensor:
    """|q - p|^2 - |q - n|^2 for every negative of every query, (q, n)."""
    near = (queries - positives).square().sum(dim=1, keepdim=True)
    return near - (queries[:, None] - negatives).square().sum(dim=2)
