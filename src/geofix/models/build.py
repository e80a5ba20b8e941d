"""build: a recipe -> its encoder, not yet filled with what was learned."""

from __future__ import annotations

import torch

from geofix.models.backbones import open_trunk
from geofix.models.encoder import Encoder, SingleEncoder
from geofix.models.ensemble import Ensemble
from geofix.recipes import Recipe


def build(recipe: Recipe, *, pretrained: bool) -> Encoder:
    """The encoder of a recipe, in evaluation mode; `pretrained` asks the hub (or its cache) for the trunks
    that the recipe wants from ImageNet.

    Whatever is not pretrained starts from the recipe's seed and leaves the global random state as it was.
    """
    if recipe.members:
        return Ensemble(recipe, [build(member, pretrained=pretrained) for member in recipe.member_recipes()]).eval()
    asked = pretrained and recipe.pretrained == "imagenet"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return SingleEncoder(recipe, open_trunk(recipe.backbone, recipe.cut, pretrained=asked)).eval()
