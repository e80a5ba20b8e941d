"""What happens to photos from above while they are learned: moved, turned, zoomed, mirrored, jittered."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from geofix.augment.chance import seeded
from geofix.augment.steps import Setting
from geofix.augment.strengths import blot, colour_jitter
from geofix.recipes import CrossviewRecipe
from geofix.tensors import Images, PixelBatch
from geofix.transforms import Preprocess, normalised


def prepared_views(
    pixels: PixelBatch, searched: Tensor, recipe: CrossviewRecipe, preprocess: Preprocess, seed: int
) -> Images:
    """A batch as the encoder sees it while it learns. `searched` (n,) says which photos are of the searched view.

    Every photo by its own draw: its edges are drawn out by `pad` pixels and a crop of the old size is cut (Bui, Kubo,
    Sato 2022, section 4.1.1: random cropping and flipping); turned and zoomed in, if the recipe wants that, with what
    lies outside mirrored; colours jittered; a rectangle blotted out. The same seed gives the same images; the global
    random state is left as it was.
    """
    with seeded(seed, pixels.device):
        moved = _moved(pixels.float(), searched, recipe)
        setting = Setting(recipe.seed, preprocess)
        levels = moved.round().clamp(0, 255).to(torch.uint8)
        if recipe.augment_colour:
            jitter = colour_jitter(recipe.augment_colour)
            levels = torch.stack([jitter(photo, setting) for photo in levels])
        images = normalised(levels, preprocess)
        if recipe.augment_erase:
            erase = blot(recipe.augment_erase)
            images = torch.stack([erase(image, setting) for image in images])
        return images


def _moved(photos: Images, searched: Tensor, recipe: CrossviewRecipe) -> Images:
    """One resampling for all that moves pixels; whole pixels and mirrored ones come out as they were."""
    count, _, rows, columns = photos.shape
    turned = torch.where(searched.to(torch.bool), max(recipe.rotate_deg, recipe.rotate_gallery_deg), recipe.rotate_deg)
    angle = (2 * torch.rand(count) - 1) * turned * (math.pi / 180)
    zoom = recipe.augment_scale + (1 - recipe.augment_scale) * torch.rand(count)
    mirror = torch.where(torch.rand(count) < (0.5 if recipe.augment_flip else 0.0), -1.0, 1.0)
    shift = torch.randint(-recipe.pad, recipe.pad + 1, (count, 2)) if recipe.pad else torch.zeros(count, 2)
    room = (1 - zoom)[:, None] * (2 * torch.rand(count, 2) - 1)  # of the middle of what is zoomed to, in half sides
    step = 2 / torch.tensor([columns, rows])
    middle = room + shift * step
    # Where each pixel of the result is taken from, in half sides; rows are longer than columns in other units.
    cos, sin, aspect = angle.cos() * zoom, angle.sin() * zoom, rows / columns
    matrix = torch.stack(
        [
            torch.stack([cos * mirror, -sin * aspect, middle[:, 0]], dim=1),
            torch.stack([sin * mirror / aspect, cos, middle[:, 1]], dim=1),
        ],
        dim=1,
    ).to(photos.device)
    grid = functional.affine_grid(matrix, [count, 3, rows, columns], align_corners=False)
    outside = "reflection" if recipe.rotate_deg or recipe.rotate_gallery_deg else "border"
    moved: Images = functional.grid_sample(photos, grid, mode="bilinear", padding_mode=outside, align_corners=False)
    return moved
