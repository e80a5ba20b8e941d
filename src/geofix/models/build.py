"""build: a recipe -> its encoder, not yet filled with what was learned."""

from __future__ import annotations

import torch

from geofix.models.backbones import open_staged_trunk, open_trunk
from geofix.models.crossview import BlockEncoder
from geofix.models.encoder import Encoder, SingleEncoder
from geofix.models.ensemble import Ensemble
from geofix.recipes import CrossviewRecipe, EncoderRecipe


def build(recipe: EncoderRecipe, *, pretrained: bool) -> Encoder:
    """The encoder of a recipe, in evaluation mode; `pretrained` asks the hub (or its cache) for the trunks
    that the recipe wants from ImageNet.

    Whatever is not pretrained starts from the recipe's seed and leaves the global random state as it was.
    """
    if not isinstance(recipe, CrossviewRecipe) and recipe.members:
        return Ensemble(recipe, [build(member, pretrained=pretrained) for member in recipe.member_recipes()]).eval()
    asked = pretrained and recipe.pretrained == "imagenet"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        if isinstance(recipe, CrossviewRecipe):
            trunk = open_staged_trunk(
                recipe.backbone,
                recipe.cut,
                (*recipe.global_stages, *recipe.block_stages),
                pretrained=asked,
                last_stride=recipe.last_stride,
            )
            return BlockEncoder(recipe, trunk).eval()
        return SingleEncoder(recipe, open_trunk(recipe.backbone, recipe.cut, pretrained=asked)).eval()
