"""Classifier: a whole network with one layer of classes on what it sees last."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from geofix.errors import RecipeError, UsageError
from geofix.models.backbones import Coverage, WholeTrunk, load_trunk_weights, open_whole_trunk, parts_through
from geofix.tensors import ClassLogits, Images, Pooled
from geofix.transforms import Preprocess

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)


@dataclass(frozen=True, slots=True)
class Design:
    """What a classifier is made of: timm's name of the trunk, what timm is told, the last part of it that never learns,
    and how photos are prepared for it (the trunk's own mean and deviation where they are None).
    """

    backbone: str
    frozen_through: str | None
    dropout: float
    image_size: tuple[int, int]
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    options: dict[str, Any] = field(default_factory=dict)


class Classifier(nn.Module):
    """Images (n, 3, h, w) -> logits (n, classes): convolutions, global average pooling, dropout, one dense layer.

    Lavinskyi and Skurat (2025), section "Method"; the softmax is the caller's.
    """

    def __init__(self, design: Design, trunk: WholeTrunk, classes: int) -> None:
        super().__init__()
        self.design = design
        mean, std = design.mean or trunk.mean, design.std or trunk.std
        self.preprocess = Preprocess(design.image_size, mean, std)
        self.trunk = trunk
        self.dropout = nn.Dropout(design.dropout)
        self.layer = nn.Linear(trunk.channels, classes)

    def forward(self, images: Images) -> ClassLogits:
        """The trunk in the precision it is in, the classes in float32."""
        return self.named(self.trunk.pooled(self.trunk(images)))

    def named(self, vectors: Pooled) -> ClassLogits:
        """Pooled vectors -> logits."""
        with torch.autocast(vectors.device.type, enabled=False):
            logits: Tensor = self.layer(self.dropout(vectors.float()))
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


def open_classifier(design: Design, classes: int, *, pretrained: bool, seed: int) -> Classifier:
    """A classifier whose trunk comes by name (`pretrained`, from the hub's cache) or from the seed, and whose classes
    know nothing yet. The global random state stays as it was. Raises RecipeError and WeightsError.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        trunk = open_whole_trunk(design.backbone, pretrained=pretrained, options=design.options)
        classifier = Classifier(design, trunk, classes)
    classifier.open_parameters()  # a part that does not exist is better told now
    return classifier.eval()


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
    (Draelos and Carin 2020); for networks with a layer between the two, to first order. Raises UsageError for a trunk
    whose last output is no map.
    """
    classifier.eval()
    with torch.no_grad():
        maps = classifier.trunk(images)
    if maps.ndim != 4:
        raise UsageError(f"{classifier.design.backbone} has no maps to show; take a convolutional backbone.")
    with torch.enable_grad():
        maps.requires_grad_(True)
        logits = classifier.named(classifier.trunk.pooled(maps))
        (gradient,) = torch.autograd.grad((logits[:, number] - logits.mean(dim=1)).sum(), maps)
    places = maps.shape[2] * maps.shape[3]
    speaks: Tensor = (gradient * maps.detach()).sum(dim=1) * places
    return speaks
