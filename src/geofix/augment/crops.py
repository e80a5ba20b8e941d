"""What happens to photos while classes are learned: cropped, turned, zoomed, mirrored, jittered, mixed."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from geofix.augment.chance import seeded
from geofix.augment.steps import Setting
from geofix.augment.strengths import colour_jitter
from geofix.recipes import CountryRecipe
from geofix.tensors import Images, PixelBatch
from geofix.transforms import Preprocess, normalised

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def prepared_crops(pixels: PixelBatch, recipe: CountryRecipe, preprocess: Preprocess, seed: int) -> Images:
    """A batch as a classifier sees it while it learns (Lavinskyi and Skurat 2025, section "Method").

    Every photo by its own draw: a crop of at least `augment_area` of it, of an aspect within `augment_aspect`, is
    turned, zoomed and mirrored, with what lies outside mirrored; colours are jittered or taken away. The same seed
    gives the same images; the global random state is left as it was.
    """
    with seeded(seed, pixels.device):
        levels = _cropped(pixels.float(), recipe).round().clamp(0, 255)
        grey = torch.rand(len(levels), 1, 1, 1) < recipe.augment_grey
        if recipe.augment_grey:
            luma = (levels * torch.tensor(_LUMA, device=levels.device).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
            levels = torch.where(grey.to(levels.device), luma.round().expand_as(levels), levels)
        levels = levels.to(torch.uint8)
        if recipe.augment_colour:
            jitter, setting = colour_jitter(recipe.augment_colour), Setting(recipe.seed, preprocess)
            levels = torch.stack([jitter(photo, setting) for photo in levels])
    return normalised(levels.contiguous(memory_format=torch.channels_last), preprocess)


def mixed(images: Images, targets: Tensor, alpha: float, seed: int) -> tuple[Images, Tensor]:
    """Photos and their classes (n, k) mixed with those of another of the batch, by one share drawn from Beta(a, a).

    Zhang et al., "mixup: Beyond empirical risk minimization" (2018).
    """
    with seeded(seed, images.device):
        share = float(torch.distributions.Beta(alpha, alpha).sample())
        other = torch.randperm(len(images)).to(images.device)
    return share * images + (1 - share) * images[other], share * targets + (1 - share) * targets[other]


def _cropped(photos: Images, recipe: CountryRecipe) -> Images:
    """One resampling for all that moves pixels."""
    count, _, rows, columns = photos.shape
    area = recipe.augment_area + (1 - recipe.augment_area) * torch.rand(count)
    low, high = (math.log(aspect) for aspect in recipe.augment_aspect)
    aspect = torch.exp(low + (high - low) * torch.rand(count)) * rows / columns
    wide, tall = (area * aspect).sqrt().clamp(max=1.0), (area / aspect).sqrt().clamp(max=1.0)
    room = torch.stack([1 - wide, 1 - tall], dim=1) * (2 * torch.rand(count, 2) - 1)
    zoom = 1 + recipe.augment_zoom * (2 * torch.rand(count) - 1)
    angle = (2 * torch.rand(count) - 1) * recipe.augment_rotate_deg * (math.pi / 180)
    mirror = torch.where(torch.rand(count) < (0.5 if recipe.augment_flip else 0.0), -1.0, 1.0)
    cos, sin, shape = angle.cos() * zoom, angle.sin() * zoom, rows / columns
    # Where each pixel of the result is taken from, in half sides; rows are longer than columns in other units.
    matrix = torch.stack(
        [
            torch.stack([cos * wide * mirror, -sin * shape * tall, room[:, 0]], dim=1),
            torch.stack([sin * wide * mirror / shape, cos * tall, room[:, 1]], dim=1),
        ],
        dim=1,
    ).to(photos.device)
    grid = functional.affine_grid(matrix, [count, 3, rows, columns], align_corners=False)
    moved: Images = functional.grid_sample(
        photos, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    return moved
