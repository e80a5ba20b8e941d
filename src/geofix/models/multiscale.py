"""Several scales: smaller images beside the full one, and ways to join their maps before pooling.

Atadjanov et al., section III-C, and Martin Garre et al., section IV-D: the trunk sees the image and the image
with only every step-th row and column, and the maps of all are concatenated place by place, or averaged.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from geofix.recipes import Joining, Recipe, Stepping
from geofix.tensors import Images, MapsOfAnySize, ScaledImages


def every_size(images: Images, recipe: Recipe) -> list[ScaledImages]:
    """The images at each of the recipe's scales, then with each of its steps."""
    scaled = [_scaled(images, scale) for scale in recipe.scales]
    return scaled + [stepped(images, step, recipe.steps_by) for step in recipe.steps]


def stepped(images: Images, step: int, how: Stepping) -> ScaledImages:
    """Images with 1/step of the rows and columns (rounded up): "skip" takes every step-th pixel of the normalised
    image, as the papers' code does, which aliases; "resize" filters first."""
    if how == "skip":
        return images[:, :, ::step, ::step].contiguous(memory_format=_layout(images))
    return _resized(images, [-(-side // step) for side in images.shape[-2:]])


def joined(maps: Sequence[MapsOfAnySize], how: Joining) -> MapsOfAnySize:
    """Maps of several sizes, the largest first, as one map.

    concat: all places in one row (n, c, m, 1), for the pooling to pool together. average: every map stretched to
    the first's size and averaged place by place. tile: the papers' naive average: a smaller map is flattened,
    repeated until it is as long as the first, cut, and averaged, so that places are mixed up.
    """
    if len(maps) == 1:
        return maps[0]
    if how == "concat":
        return torch.cat([one.flatten(2) for one in maps], dim=2).unsqueeze(3)
    first = maps[0]
    if how == "average":
        size = list(first.shape[-2:])
        others = [functional.interpolate(one, size, mode="bilinear", antialias=False) for one in maps[1:]]
    else:
        others = [_tiled(one, first) for one in maps[1:]]
    return torch.stack([first, *others]).mean(dim=0)


def _tiled(small: MapsOfAnySize, like: MapsOfAnySize) -> MapsOfAnySize:
    places = like.shape[-2] * like.shape[-1]
    row = small.flatten(2)
    repeated: Tensor = row.repeat(1, 1, -(-places // row.shape[2]))
    return repeated[:, :, :places].reshape(like.shape)


def _scaled(images: Images, scale: float) -> ScaledImages:
    if scale == 1.0:
        return images
    return _resized(images, [round(side * scale) for side in images.shape[-2:]])


def _resized(images: Images, size: list[int]) -> ScaledImages:
    """Filtered where it becomes smaller; in float32, as processors have no such filter for bfloat16."""
    smaller = size[0] < images.shape[-2]
    scaled = functional.interpolate(images.float(), size, mode="bilinear", antialias=smaller)
    return scaled.to(images.dtype)


def _layout(images: Images) -> torch.memory_format:
    return torch.channels_last if images.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
