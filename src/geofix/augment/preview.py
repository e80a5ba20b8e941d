"""preview: photos as the encoder sees them, as they are and in several draws of what a recipe does to queries."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from geofix.augment.effects import levels
from geofix.augment.papers import AUGMENTATIONS
from geofix.augment.prepare import prepared
from geofix.recipes import AugmentAs, Recipe
from geofix.tensors import PixelBatch
from geofix.transforms import Preprocess, normalised


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """One photo: as it is, then draws; pixels (1 + draws, 3, h, w), a caption each."""

    pixels: PixelBatch
    captions: tuple[str, ...]


def previewed(recipe: Recipe, preprocess: Preprocess, photo: PixelBatch, number: int, draws: int) -> Strip:
    """Photo `number` (1, 3, h, w) of a sheet as it is, and `draws` of each form of what the recipe does to a query.

    What is shown is what the encoder gets, taken back to levels and cut to 0..255. Both forms draw from the same
    seeds.
    """
    shown = [levels(normalised(photo, preprocess), preprocess)]
    captions = ["as it is"]
    for done_as in forms_of(recipe):
        for draw in range(draws):
            seed = (recipe.seed * 1_000_003 + number) * 1_000_003 + draw
            as_asked = recipe.model_copy(update={"augment_as": done_as})
            images = prepared(photo, torch.zeros(1, dtype=torch.int64), as_asked, preprocess, seed)
            shown.append(levels(images, preprocess))
            captions.append(done_as if len(forms_of(recipe)) > 1 else f"draw {draw + 1}")
    return Strip(torch.cat(shown).round().clamp(0, 255).to(torch.uint8), tuple(captions))


def forms_of(recipe: Recipe) -> tuple[AugmentAs, ...]:
    """Both forms where a named augmentation of the recipe has two, else the recipe's own."""
    differs = any(one.differs for name, one in AUGMENTATIONS.items() if name in recipe.augment)
    return ("described", "coded") if differs else (recipe.augment_as,)
