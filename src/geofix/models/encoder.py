"""Encoder: images (n, 3, h, w) -> descriptors (n, d). Always one tensor."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from geofix.models.backbones import open_trunk
from geofix.models.multiscale import every_size, joined
from geofix.models.pooling import MAC, RMAC, GeM, NetVLAD, SPoC
from geofix.models.whitening import LearnedWhitening
from geofix.recipes import Recipe
from geofix.tensors import Descriptors, Images, Maps
from geofix.transforms import Preprocess


class Encoder(nn.Module):
    """A trunk, a pooling and, if the recipe wants them, a learned whitening and a projection.

    With l2 "before_pool" the descriptor of GeM, MAC, SPoC and R-MAC is not of unit length, exactly as in the
    papers' code; NetVLAD always is.
    """

    def __init__(self, recipe: Recipe, trunk: nn.Module) -> None:
        super().__init__()
        channels = int(trunk.channels)  # type: ignore[arg-type]
        self.recipe = recipe
        mean, std = recipe.mean or trunk.mean, recipe.std or trunk.std
        self.preprocess = Preprocess(recipe.image_size, mean, std)  # type: ignore[arg-type]
        self.trunk = trunk
        self.pooling = _pooling(recipe, channels)
        pooled = self.pooling.length(channels)
        self.whitening = LearnedWhitening(pooled, recipe.whiten_directions) if recipe.whiten_directions else None
        self.projection = None if recipe.projection is None else nn.Linear(pooled, recipe.projection)
        self.descriptor_length = recipe.projection or pooled

    def forward(self, images: Images) -> Descriptors:
        """Normalised photos -> descriptors."""
        return self.head(self.maps(images))

    def maps(self, images: Images) -> Maps:
        """What the trunk makes of images at every size the recipe names, joined as it says."""
        return joined([self.trunk(one) for one in every_size(images, self.recipe)], self.recipe.join)

    def head(self, maps: Maps) -> Descriptors:
        """Everything after the trunk, in the precision of `maps`."""
        # NetVLAD takes local descriptors at unit length anyway.
        if self.recipe.l2 == "before_pool" and not isinstance(self.pooling, NetVLAD):
            maps = functional.normalize(maps, dim=1)
        descriptors: Descriptors = self.pooling(maps)
        if self.recipe.l2 == "after_pool":
            descriptors = functional.normalize(descriptors, dim=1)
        if self.whitening is not None:
            descriptors = self.whitening(descriptors)
        if self.projection is not None:
            descriptors = functional.normalize(self.projection(descriptors), dim=1)
        return descriptors


def build(recipe: Recipe, *, pretrained: bool) -> Encoder:
    """The encoder of a recipe, in evaluation mode; `pretrained` asks the hub (or its cache) for the trunk.

    Whatever is not pretrained starts from the recipe's seed and leaves the global random state as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        trunk = open_trunk(recipe.backbone, recipe.cut, pretrained=pretrained)
        return Encoder(recipe, trunk).eval()


def _pooling(recipe: Recipe, channels: int) -> GeM | MAC | SPoC | RMAC | NetVLAD:
    if recipe.pooling == "gem":
        return GeM(recipe.gem_p, recipe.gem_p_learnable)
    if recipe.pooling == "netvlad":
        return NetVLAD(channels, recipe.netvlad_clusters)
    if recipe.pooling == "rmac":
        return RMAC(recipe.rmac_levels)
    return MAC() if recipe.pooling == "mac" else SPoC()
