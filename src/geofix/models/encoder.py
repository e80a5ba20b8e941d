"""Encoder: images (n, 3, h, w) -> descriptors (n, d). Always one tensor."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from geofix.errors import RecipeError
from geofix.models.components import PrincipalComponents
from geofix.models.multiscale import every_size, joined
from geofix.models.pooling import MAC, RMAC, GeM, NetVLAD, SPoC
from geofix.models.whitening import LearnedWhitening
from geofix.recipes import EncoderRecipe, Recipe
from geofix.tensors import Descriptors, Images, Maps, Pooled, Reduced
from geofix.transforms import Preprocess


class Encoder(nn.Module):
    """What turns photos into descriptors: a trunk with its head (SingleEncoder), or several combined (Ensemble)."""

    recipe: EncoderRecipe
    preprocess: Preprocess
    descriptor_length: int
    pca: PrincipalComponents | None

    def with_trunks(self) -> list[TrunkEncoder]:
        """Every encoder in it that has a trunk of its own; of a single one, itself."""
        return [module for module in self.modules() if isinstance(module, TrunkEncoder)]

    def origin(self) -> dict[str, Any]:
        """Where its trunks started ("imagenet", "file" or "none"; the files and runs; tensors left random), and how
        many epochs they learned since."""
        parts = [one.recipe for one in self.with_trunks()]
        return {
            "pretrained": " + ".join(dict.fromkeys(part.pretrained for part in parts)),
            "weights": " + ".join(dict.fromkeys(part.weights for part in parts if part.weights)) or None,
            "random_tensors": sum(part.random_tensors for part in parts),
            "epochs": max(part.epochs + part.epochs_before for part in parts),
        }

    def reduced(self, descriptors: Pooled) -> Pooled | Reduced:
        """The descriptors by their principal components, if the recipe wants that."""
        return descriptors if self.pca is None else self.pca(descriptors)

    def _finish(self, length: int, components: int | None) -> None:
        """Set the length of the descriptors, made from `length` numbers, or that many components of them."""
        if components is not None and components > length:
            raise RecipeError(f"pca is {components}, but the descriptor has only {length} numbers; choose fewer.")
        self.pca = None if components is None else PrincipalComponents(length, components)
        self.descriptor_length = components or length


class TrunkEncoder(Encoder):
    """An encoder with a trunk of its own, and what that wants photos to look like."""

    def __init__(self, recipe: EncoderRecipe, trunk: nn.Module) -> None:
        super().__init__()
        self.recipe = recipe
        mean, std = recipe.mean or trunk.mean, recipe.std or trunk.std
        self.preprocess = Preprocess(recipe.image_size, mean, std)  # type: ignore[arg-type]
        self.trunk = trunk


class SingleEncoder(TrunkEncoder):
    """A trunk, a pooling and, if the recipe wants them, a learned whitening, a projection and a PCA.

    With l2 "before_pool" the descriptor of GeM, MAC, SPoC and R-MAC is not of unit length, exactly as in the
    papers' code; NetVLAD always is.
    """

    recipe: Recipe

    def __init__(self, recipe: Recipe, trunk: nn.Module) -> None:
        super().__init__(recipe, trunk)
        channels = int(trunk.channels)  # type: ignore[arg-type]
        self.pooling = _pooling(recipe, channels)
        pooled = self.pooling.length(channels)
        self.whitening = LearnedWhitening(pooled, recipe.whiten_directions) if recipe.whiten_directions else None
        self.projection = None if recipe.projection is None else nn.Linear(pooled, recipe.projection)
        self._finish(recipe.projection or pooled, recipe.pca)

    def forward(self, images: Images) -> Descriptors:
        """Normalised photos -> descriptors: the trunk in the precision it is in, everything after it in float32."""
        maps = self.maps(images)
        with torch.autocast(maps.device.type, enabled=False):
            return self.head(maps.float())

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
        return self.reduced(descriptors)


def _pooling(recipe: Recipe, channels: int) -> GeM | MAC | SPoC | RMAC | NetVLAD:
    if recipe.pooling == "gem":
        return GeM(recipe.gem_p, recipe.gem_p_learnable)
    if recipe.pooling == "netvlad":
        return NetVLAD(channels, recipe.netvlad_clusters)
    if recipe.pooling == "rmac":
        return RMAC(recipe.rmac_levels)
    return MAC() if recipe.pooling == "mac" else SPoC()
