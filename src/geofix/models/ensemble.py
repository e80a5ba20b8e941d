"""Ensemble: several encoders that look at the same pixels, their descriptors combined into one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from geofix.errors import RecipeError
from geofix.models.encoder import Encoder
from geofix.recipes import Recipe
from geofix.tensors import Descriptors, Images


class Ensemble(Encoder):
    """Descriptors of its members added, divided (added, then divided by their number) or put side by side.

    Atadjanov et al., section IV-C (addition, division), Martin Garre et al., section IV-B (concatenation). Division
    ranks exactly as addition does: all distances shrink by one factor; only a margin learned with sees it. With
    `equal_norms` each member's descriptor is brought to unit length first, and `member_weights` are factors on that,
    so that what a member counts does not hang on how long its descriptors happen to be.

    Raises RecipeError for members that want their photos prepared unlike each other, or that cannot be added.
    """

    recipe: Recipe

    def __init__(self, recipe: Recipe, members: Sequence[Encoder]) -> None:
        super().__init__()
        first = members[0]
        concatenates = recipe.combine in (None, "concat")
        if recipe.member_weights and len(recipe.member_weights) != len(members):
            raise RecipeError(f"There are {len(recipe.member_weights)} member_weights for {len(members)} members.")
        for number, member in enumerate(members[1:], start=2):
            if member.preprocess != first.preprocess:
                raise RecipeError(
                    f"Member 1 of the ensemble looks at photos as {first.preprocess} and member {number} as "
                    f"{member.preprocess}; the members of an ensemble look at the same pixels: train them with one "
                    "image_size, mean and std."
                )
            if not concatenates and member.descriptor_length != first.descriptor_length:
                raise RecipeError(
                    f"Member 1 of the ensemble gives {first.descriptor_length} numbers and member {number} "
                    f"{member.descriptor_length}, which cannot be added; use combine=concat."
                )
        self.recipe = recipe
        self.concatenates = concatenates
        self.preprocess = first.preprocess
        self.members = nn.ModuleList(members)
        self.factors = recipe.member_weights or (1.0,) * len(members)
        lengths = [member.descriptor_length for member in members]
        self._finish(sum(lengths) if concatenates else lengths[0], recipe.pca)

    def forward(self, images: Images) -> Descriptors:
        """Normalised photos -> descriptors."""
        parts = [factor * self._part(member, images) for member, factor in zip(self.members, self.factors, strict=True)]
        if self.concatenates:
            return self.reduced(torch.cat(parts, dim=1))
        together = torch.stack(parts).sum(dim=0)
        return self.reduced(together / len(parts) if self.recipe.combine == "divide" else together)

    def _part(self, member: nn.Module, images: Images) -> Descriptors:
        descriptors: Descriptors = member(images)
        return functional.normalize(descriptors, dim=1) if self.recipe.equal_norms else descriptors
