"""What training does to photos before an encoder sees them, by chance. The door to torchvision's transforms."""

from __future__ import annotations

import torch
from torchvision.transforms import v2

from geofix.recipes import Recipe
from geofix.tensors import PixelBatch, PlaceNumbers


def augments(recipe: Recipe) -> bool:
    """Whether a recipe changes photos at all."""
    return (
        recipe.augment_colour > 0
        or recipe.augment_crop < 1
        or recipe.augment_perspective > 0
        or recipe.augment_erase > 0
        or recipe.augment_flip
    )


def augmented(pixels: PixelBatch, places: PlaceNumbers, recipe: Recipe, seed: int) -> PixelBatch:
    """Each photo changed on its own, but mirrored only together with the others of its place.

    The same seed gives the same photos; the global random state is left as it was.
    """
    devices = [pixels.device] if pixels.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        change = _change(recipe, (pixels.shape[-2], pixels.shape[-1]))
        mirrored = torch.rand(int(places.max()) + 1) < 0.5 if recipe.augment_flip else None
        changed = [change(photo) for photo in pixels]
        if mirrored is not None:
            changed = [
                v2.functional.horizontal_flip(photo) if mirrored[place] else photo
                for photo, place in zip(changed, places.tolist(), strict=True)
            ]
    return torch.stack(changed)


def _change(recipe: Recipe, size: tuple[int, int]) -> v2.Compose:
    """Colour, perspective, crop and blot, in that order: a blot hides what is seen, so it comes last."""
    steps: list[v2.Transform] = []
    if recipe.augment_colour:
        jitter = recipe.augment_colour
        steps.append(v2.ColorJitter(jitter, jitter, jitter))
    if recipe.augment_perspective:
        steps.append(v2.RandomPerspective(recipe.augment_perspective, p=0.5))
    if recipe.augment_crop < 1:
        steps.append(v2.RandomResizedCrop(size, (recipe.augment_crop, 1.0), ratio=(0.9, 1.1), antialias=True))
    if recipe.augment_erase:
        steps.append(v2.RandomErasing(recipe.augment_erase, scale=(0.02, 0.2)))
    return v2.Compose(steps or [v2.Identity()])
