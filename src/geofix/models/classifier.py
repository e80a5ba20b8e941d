"""Classifier: a whole network with one layer of classes on what it sees last."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from geofix.errors import RecipeError, UsageError
from geofix.models.backbones import (
    Coverage,
    PooledTrunk,
    WholeTrunk,
    load_trunk_weights,
    open_whole_trunk,
    parts_through,
)
from geofix.tensors import ClassLogits, Images, Pooled
from geofix.transforms import Preprocess

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)


@dataclass(frozen=True, slots=True)
class Design:
    """What a classifier is made of: timm's name of the trunk, what timm is told, the last part of it that never learns,
    the modules whose maps are pooled beside the last ones, and how photos are prepared for it (the trunk's own mean and
    deviation where they are None).
    """

    backbone: str
    frozen_through: str | None
    dropout: float
    image_size: tuple[int, int]
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    stages: tuple[str, ...] = ()


class Classifier(nn.Module):
    """Images (n, 3, h, w) -> logits (n, classes): convolutions, global average pooling, dropout, one dense layer.

    Lavinskyi and Skurat (2025), section "Method"; the softmax is the caller's. Where the design names stages, their
    pooled maps are standardised before the layer, by a mean and a deviation that come with its weights.
    """

    def __init__(self, design: Design, trunk: WholeTrunk, classes: int) -> None:
        super().__init__()
        self.design = design
        mean, std = design.mean or trunk.mean, design.std or trunk.std
        self.preprocess = Preprocess(design.image_size, mean, std)
        self.trunk = trunk
        self.dropout = nn.Dropout(design.dropout)
        self.layer = nn.Linear(trunk.channels, classes)
        self.standard = Standard(trunk.widths) if isinstance(trunk, PooledTrunk) else nn.Identity()

    def forward(self, images: Images) -> ClassLogits:
        """The trunk in the precision it is in, the classes in float32."""
        return self.named(self.trunk.pooled(self.trunk(images)))

    def named(self, vectors: Pooled) -> ClassLogits:
        """Pooled vectors -> logits."""
        with torch.autocast(vectors.device.type, enabled=False):
            logits: Tensor = self.layer(self.dropout(self.standard(vectors.float())))
        return logits

    def open_parameters(self) -> list[nn.Parameter]:
        """Those of the trunk that learn in the second phase: all behind `frozen_through`. Raises RecipeError."""
        frozen = {id(parameter) for parameter in parts_through(self.trunk, self.design.frozen_through)}
        return [parameter for parameter in self.trunk.parameters() if id(parameter) not in frozen]

    def open_modules(self) -> list[nn.Module]:
        """The trunk's modules with parameters of their own that learn in the second phase."""
        learned = {id(parameter) for parameter in self.open_parameters()}
        return [
            module
            for module in self.trunk.modules()
            if any(id(own) in learned for own in module.parameters(recurse=False))
        ]

    def ready(self, *, trunk_learns: bool, batch_norm_learns: bool) -> None:
        """Training mode of a phase: dropout on; of the trunk nothing moves but, in the second phase, its open part,
        whose batch norms keep their statistics unless they are to learn, too.
        """
        self.train()
        self.trunk.eval()
        self.trunk.requires_grad_(False)
        if not trunk_learns:
            return
        for parameter in self.open_parameters():
            parameter.requires_grad_(True)
        for module in self.open_modules():
            if batch_norm_learns or not isinstance(module, _BATCH_NORMS):
                module.train()


class Standard(nn.Module):
    """Pooled vectors (n, d) of several modules -> less their mean, by their deviation, within 4 of these, and so scaled
    that every module counts alike, however many channels it has; a typical vector has length 1.
    """

    WITHIN = 4.0  # deviations; a photo of another kind must not outshout the photos that were learned from

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.centre: Tensor
        self.deviation: Tensor
        self.register_buffer("centre", torch.zeros(3 * sum(widths)))
        self.register_buffer("deviation", torch.ones(3 * sum(widths)))
        scale = [1 / math.sqrt(3 * len(widths) * width) for width in widths for _ in range(3 * width)]
        self.register_buffer("scale", torch.tensor(scale), persistent=False)
        self.scale: Tensor

    def forward(self, vectors: Pooled) -> Pooled:
        """Standardised vectors (n, d)."""
        away = ((vectors - self.centre) / self.deviation).clamp(-self.WITHIN, self.WITHIN)
        return away * self.scale

    def learn(self, vectors: Pooled) -> None:
        """Take mean and deviation from vectors (n, d). A channel that hardly moves is not blown up to count as much as
        others: no deviation is taken for less than a thousandth of the mean of all.
        """
        self.centre.copy_(vectors.mean(dim=0))
        deviation = vectors.std(dim=0, correction=0)
        self.deviation.copy_(deviation + 1e-3 * deviation.mean() + 1e-6)


def open_classifier(design: Design, classes: int, *, pretrained: bool, seed: int) -> Classifier:
    """A classifier whose trunk comes by name (`pretrained`, from the hub's cache) or from the seed, and whose classes
    know nothing yet. The global random state stays as it was. Raises RecipeError and WeightsError.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        trunk = open_whole_trunk(
            design.backbone,
            pretrained=pretrained,
            options=design.options,
            stages=design.stages,
            image_size=design.image_size,
        )
        classifier = Classifier(design, trunk, classes)
    classifier.open_parameters()  # a part that does not exist is better told now
    return classifier.eval()


def with_layer(classifier: Classifier, weight: np.ndarray, bias: np.ndarray) -> Classifier:
    """A classifier with the same trunk and standardisation and the layer weight (k, d), bias (k)."""
    other = copy.deepcopy(classifier)
    other.layer = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        other.layer.weight.copy_(torch.from_numpy(weight))
        other.layer.bias.copy_(torch.from_numpy(bias))
    return other.eval()


def fill_trunk(classifier: Classifier, path: Path) -> Coverage:
    """Fill a classifier's trunk from a file of weights; the file's own classes are left out. Raises WeightsError."""
    return load_trunk_weights(classifier.trunk, path)


@torch.inference_mode()
def check_looks(classifier: Classifier) -> None:
    """Raises RecipeError where the trunk takes no images of the size it is to be given."""
    rows, columns = classifier.preprocess.size
    try:
        classifier(torch.zeros(1, 3, rows, columns))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise RecipeError(
            f"{classifier.design.backbone} cannot look at images of {rows}x{columns} "
            f"({' '.join(str(error).split())[:200]}); choose another size with --set image_size=HxW, or another "
            "backbone."
        ) from error


def activation(classifier: Classifier, images: Images, number: int) -> Tensor:
    """What each place of the last maps adds to the logit of class `number` beyond the mean of all classes' logits,
    which a softmax does not see: (n, rows, columns), its mean over places that difference, less the biases'.

    The class-activation map of Zhou et al. (2016), written as gradient times maps, which is the same for mean pooling
    (Draelos and Carin 2020); for networks with a layer between the two, to first order. Where several modules' maps are
    pooled, what each adds beyond its mean over the photos learned from, summed over the last maps' places. Raises
    UsageError for a trunk whose last output is no map.
    """
    classifier.eval()
    with torch.no_grad():
        seen = classifier.trunk(images)
    every = seen if isinstance(seen, tuple) else (seen,)
    if every[-1].ndim != 4:
        raise UsageError(f"{classifier.design.backbone} has no maps to show; take a convolutional backbone.")
    with torch.enable_grad():
        for maps in every:
            maps.requires_grad_(True)
        logits = classifier.named(classifier.trunk.pooled(seen))
        gradients = torch.autograd.grad((logits[:, number] - logits.mean(dim=1)).sum(), every)
    speaks: Tensor = torch.zeros(())
    for maps, gradient, usual in zip(every, gradients, _usual(classifier), strict=True):
        places = maps.shape[2] * maps.shape[3]
        adds = (gradient * (maps.detach() - usual)).sum(dim=1) * places
        speaks = speaks + functional.adaptive_avg_pool2d(adds, tuple(every[-1].shape[2:]))
    return speaks


def _usual(classifier: Classifier) -> list[Tensor]:
    """What each channel of every module's maps is on average (1, c, 1, 1); 0 where nothing is standardised."""
    standard, trunk = classifier.standard, classifier.trunk
    if not isinstance(standard, Standard) or not isinstance(trunk, PooledTrunk):
        return [torch.zeros(1, 1, 1, 1)]
    parts = torch.split(standard.centre, [width for width in trunk.widths for _ in range(3)])
    return [((parts[at] + parts[at + 1]) / 2)[None, :, None, None] for at in range(0, len(parts), 3)]
