"""What the numbers `augment_*` of a recipe do to every photo of a batch."""

from __future__ import annotations

import torch

from geofix.augment.chance import seeded
from geofix.augment.steps import Erase, Jitter, Perspective, RandomCrop, Setting, Step, through
from geofix.recipes import Recipe
from geofix.tensors import PixelBatch, PlaceNumbers


def changes_all(recipe: Recipe) -> bool:
    """Whether a recipe's numbers change photos at all."""
    return bool(_steps(recipe)) or recipe.augment_flip


def all_changed(pixels: PixelBatch, places: PlaceNumbers, recipe: Recipe, setting: Setting, seed: int) -> PixelBatch:
    """Each photo changed on its own, but mirrored only together with the others of its place.

    The same seed gives the same photos; the global random state is left as it was.
    """
    steps = _steps(recipe)
    with seeded(seed, pixels.device):
        mirrored = torch.rand(int(places.max()) + 1) < 0.5 if recipe.augment_flip else None
        changed = [through(steps, photo, setting) for photo in pixels]
    if mirrored is not None:
        changed = [
            photo.flip(-1) if mirrored[place] else photo for photo, place in zip(changed, places.tolist(), strict=True)
        ]
    return torch.stack(changed)


def _steps(recipe: Recipe) -> list[Step]:
    """Colour, perspective, crop and blot, in that order: a blot hides what is seen, so it comes last."""
    steps: list[Step] = []
    if recipe.augment_colour:
        steps.append(colour_jitter(recipe.augment_colour))
    if recipe.augment_perspective:
        steps.append(Perspective(recipe.augment_perspective, probability=0.5))
    if recipe.augment_crop < 1:
        steps.append(RandomCrop(recipe.augment_crop))
    if recipe.augment_erase:
        steps.append(blot(recipe.augment_erase))
    return steps


def colour_jitter(strength: float) -> Step:
    """Brightness, contrast and saturation, each by a factor of up to `strength` from 1."""
    return Jitter((strength, strength), (strength, strength), (strength, strength))


def blot(probability: float) -> Step:
    """A rectangle of up to a fifth of the photo is overwritten."""
    return Erase(probability, scale=(0.02, 0.2))
