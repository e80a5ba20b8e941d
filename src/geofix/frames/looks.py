"""Looks: squares of a frame from the air, turned so that north would be up if the frame had a certain heading.

A map's tiles are north up, and which way a frame was turned is not known: it is looked at in every direction. A square
that fits into the frame at every turn has the frame's shorter side as its diagonal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from geofix.errors import UsageError
from geofix.photos import resized
from geofix.shapes import Pixels, ResizedPixels

ANY_TURN = 1 / math.sqrt(2)  # of a frame's shorter side: the largest square that can be turned in it


@dataclass(frozen=True, slots=True)
class Look:
    """One way of looking at a frame: as if its upper edge pointed to `heading_deg` (from grid north, clockwise), at the
    middle square of `share` (0..1) of the largest that can be turned. `scale_m` is the side of the tiles that it is
    compared with, None for all.
    """

    heading_deg: float
    share: float = 1.0
    scale_m: float | None = None


@dataclass(frozen=True, slots=True)
class Camera:
    """What is known of a camera that looks straight down: `altitude_m` above the ground and the field of view along the
    picture's rows, `fov_deg`. Raises UsageError for what cannot be flown.
    """

    altitude_m: float
    fov_deg: float

    def __post_init__(self) -> None:
        if not 1 <= self.altitude_m <= 100_000:
            raise UsageError(f"An altitude of {self.altitude_m:g} m was given; 1 to 100000 m above the ground can be.")
        if not 1 <= self.fov_deg <= 150:
            raise UsageError(f"A field of view of {self.fov_deg:g} degrees was given; 1 to 150 can be, as in 73.")

    def turned_square_m(self, rows: int, columns: int) -> float:
        """The side on the ground of the largest square that can be turned in a frame of that size."""
        width_m = 2 * self.altitude_m * math.tan(math.radians(self.fov_deg) / 2)
        return width_m * min(rows, columns) / columns * ANY_TURN


def headings(count: int) -> list[float]:
    """So many directions all around, from north."""
    return [360 * number / count for number in range(count)]


def looks_without_camera(turns: Sequence[float], shares: Sequence[float]) -> list[Look]:
    """Every direction with every share, compared with tiles of all scales."""
    return [Look(heading, share) for share in shares for heading in turns]


def looks_with_camera(turns: Sequence[float], square_m: float, scales_m: Sequence[float]) -> list[Look]:
    """Every direction for each scale of tiles that the frame can be cut to, and with those tiles only.

    Tiles of which it would be less than half are left out. Where the smallest are still wider than the frame they are
    compared with all of it. `square_m` is the largest square that can be turned in it, on the ground.
    """
    fitting = [scale for scale in scales_m if square_m / 2 <= scale <= square_m]
    if not fitting:
        fitting = [min(scales_m, key=lambda scale: abs(math.log(scale / square_m)))]
    return [Look(heading, min(1.0, scale / square_m), scale) for scale in fitting for heading in turns]


def squares(pixels: Pixels, looks: Sequence[Look], size: tuple[int, int]) -> list[ResizedPixels]:
    """The pixels of each look at a frame, (rows, columns) = `size`."""
    seen: dict[float, torch.Tensor] = {}
    rows, columns = pixels.shape[:2]
    side_px = max(size)
    found = []
    for one in looks:
        cut_px = min(rows, columns) * ANY_TURN * one.share
        if one.share not in seen:
            # Made small first, so that turning takes one pixel for each: nothing is aliased.
            scale = min(1.0, side_px / cut_px)
            small = resized(pixels, (max(2, round(rows * scale)), max(2, round(columns * scale))))
            seen[one.share] = torch.tensor(small).permute(2, 0, 1)[None].float()
        found.append(_turned(seen[one.share], one, size, cut_px / rows, cut_px / columns))
    return found


def _turned(frame: torch.Tensor, one: Look, size: tuple[int, int], high: float, wide: float) -> ResizedPixels:
    """The middle square, turned; `high` and `wide` are its side as shares of the frame's rows and columns."""
    angle = math.radians(one.heading_deg)
    cos, sin = math.cos(angle), math.sin(angle)
    # What is `right` and `down` in the look, in the frame: turned against the clock by the heading.
    matrix = torch.tensor([[wide * cos, wide * sin, 0.0], [-high * sin, high * cos, 0.0]])
    grid = functional.affine_grid(matrix[None], [1, 3, *size], align_corners=False)
    turned = functional.grid_sample(frame, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return np.asarray(turned[0].round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy())
