"""What covers patches seen from far: walls as in the street, coarser, and plain colours; cached at every size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, UInt8, UInt32

from geofix.world.geometry.plan import DWELLING
from geofix.world.geometry.town import FLAT, GABLE, STEPPED
from geofix.world.renderer.facades import PIXELS_PER_M, FacadeStyle, Packed, house_look, painted
from geofix.world.renderer.looks import scaled
from geofix.world.styles import Colour, Number

TEXELS_PER_M = 4  # of the finest texture; from the air no more is ever seen

Paint = Float32[np.ndarray, "v u 4"]
"""A skin being painted: red, green, blue and glow 0..255, the lowest row first."""

Piece = Float32[np.ndarray, "rows columns 4"]
"""A part of a skin being painted."""

Coarser = UInt8[np.ndarray, "rows columns 4"]
"""A finished skin at another size."""

Texels = UInt32[np.ndarray, "v u"]
"""A finished skin, each texel red, green, blue and glow in memory order."""


@runtime_checkable
class Skin(Protocol):
    """Anything hashable that can paint itself: from left to right along the patch, the lowest row first."""

    def __hash__(self) -> int:
        """Equal skins are painted once."""

    def painted(self) -> Packed:
        """Red, green, blue and glow 0..255, at about TEXELS_PER_M."""


@dataclass(frozen=True, slots=True)
class Plain:
    """One colour."""

    colour: Colour
    glow: Number = 0

    def painted(self) -> Packed:
        """A single texel."""
        return np.array([[[*self.colour, self.glow]]]).clip(0, 255).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class WallSkin:
    """A wall as it is seen from the street up to its eaves, and bare masonry from there to `top_m`, unless the
    street sees its gable or parapet too."""

    style: FacadeStyle
    top_m: float

    def painted(self) -> Packed:
        """The street's own texels, averaged."""
        near = painted(self.style)
        if self.style.roof not in (FLAT, GABLE, STEPPED):
            near = near[: round(self.style.eave_m * PIXELS_PER_M)]
        missing = round(self.top_m * PIXELS_PER_M) - len(near)
        if missing > 0:
            bare = scaled(house_look(self.style).wall, 0.97 if self.style.kind == DWELLING else 0.9)
            gable = np.broadcast_to(np.array([*bare, 0]).clip(0, 255).astype(np.uint8), (missing, near.shape[1], 4))
            near = np.concatenate([near, gable])
        step = TEXELS_PER_M / PIXELS_PER_M
        return averaged(near, max(round(len(near) * step), 1), max(round(near.shape[1] * step), 1))


@lru_cache(maxsize=1 << 14)
def texture(skin: Skin, halved_up: int = 0, halved_along: int = 0) -> Texels:
    """A skin with its rows and columns halved so many times, a single one at least."""
    if not (halved_up or halved_along):
        return np.ascontiguousarray(skin.painted()).view(np.uint32)[..., 0]
    full = texture(skin)
    rows, columns = (max(side >> halved, 1) for side, halved in zip(full.shape, (halved_up, halved_along), strict=True))
    colours = np.ascontiguousarray(full).view(np.uint8).reshape(*full.shape, 4)
    return np.ascontiguousarray(averaged(colours, rows, columns)).view(np.uint32)[..., 0]


def averaged(packed: Packed, rows: int, columns: int) -> Coarser:
    """A texture with at most as many rows and columns, each the mean of what it stands for."""
    total = packed.astype(np.uint32)
    for axis, parts in enumerate((rows, columns)):
        edges = np.arange(parts) * packed.shape[axis] // parts
        counts = np.diff(edges, append=packed.shape[axis])
        shape = [-1 if number == axis else 1 for number in range(3)]
        total = np.add.reduceat(total, edges, axis=axis) // counts.astype(np.uint32).reshape(shape)
    return total.astype(np.uint8)


def canvas(width_m: float, height_m: float, colour: Colour) -> Paint:
    """A skin of that size to be painted on."""
    rows, columns = (max(round(side * TEXELS_PER_M), 1) for side in (height_m, width_m))
    paint = np.zeros((rows, columns, 4), dtype=np.float32)
    paint[..., :3] = colour
    return paint


def part(paint: Paint, u: Number, v: Number, width: Number, height: Number) -> Piece:
    """The texels of a rectangle in metres, to be changed; empty where it lies outside."""
    left, right, low, high = (max(round(at * TEXELS_PER_M), 0) for at in (u, u + width, v, v + height))
    return paint[low:high, left:right]


def finished(paint: Paint) -> Packed:
    """A painted skin as whole numbers."""
    return np.asarray(np.clip(paint, 0, 255), dtype=np.uint8)
