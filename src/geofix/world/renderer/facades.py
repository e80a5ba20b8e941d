"""House walls as textures: walls, windows, doors, shops, roofs, painted in metres and cached.

A texture is anchored to its wall, u metres from its left end and v metres above the pavement, so that two
photos of a house agree wherever they were taken from.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8, UInt32

from geofix.world.geometry.plan import CONTAINER, DWELLING, HALL
from geofix.world.geometry.town import BACK, CORNER, FLAT, FRONT, GABLE, STEPPED, TILED, roof_profile
from geofix.world.renderer.looks import BRICK, GLASS, SIGNS, Look, drawn_look, masonry, scaled, stains, varied
from geofix.world.styles import Colour, Number, Style

PIXELS_PER_M = 16
LEVELS = 5  # halvings kept in each direction, the finest included
GROUND_M = 3.7  # the ground floor's height
_SNOW: Colour = (236, 240, 246)

Texels = UInt32[np.ndarray, " n"]
"""Texels of all levels in a row, each red, green, blue and glow (0..255) in memory order."""

Paint = Float32[np.ndarray, "v u 4"]
"""A texture being painted: red, green, blue and glow 0..255, the lowest row first."""

Packed = UInt8[np.ndarray, "v u 4"]
"""A finished texture level: red, green, blue, glow."""


@dataclass(frozen=True, slots=True)
class FacadeStyle:
    """What decides how a wall looks: `house` seeds what a house's walls share, `wall` what is its own, `taste`
    is the country's. `rebuilt` is the house after its front was built anew; `snowy` has snow on the roof."""

    taste: Style
    house: tuple[int, int]
    wall: int
    kind: int
    role: int
    storeys: int
    roof: int
    width_m: float
    eave_m: float
    roof_m: float
    chimney: float
    rebuilt: bool = False
    snowy: bool = False


class Texture(NamedTuple):
    """A wall at every resolution: where each (u level, v level) starts in `texels`, its columns and rows.

    Sizes are padded to whole texels of the coarsest level; `width_m` is the wall without the padding.
    """

    width_m: float
    texels: Texels
    start: np.ndarray  # (LEVELS, LEVELS) whole numbers, as the next two
    columns: np.ndarray
    rows: np.ndarray


@lru_cache(maxsize=160)
def facade(style: FacadeStyle) -> Texture:
    """The texture of a wall; a few milliseconds to paint and half a mebibyte to keep."""
    return _levels(painted(style), style.width_m)


def house_look(style: FacadeStyle) -> Look:
    """The look that all walls of a house share."""
    look = drawn_look(style.taste, np.random.default_rng([*style.house, 57 if style.rebuilt else 7]))
    if style.kind == DWELLING:
        return look
    return look._replace(wall=look.sign, ground=look.sign) if style.kind == CONTAINER else look


def painted(style: FacadeStyle) -> Packed:
    """A wall at its finest resolution, the lowest row first."""
    rng = np.random.default_rng([*style.house, 58 if style.rebuilt else 8, style.wall])
    wall = _Wall(style, house_look(style), rng)
    if style.kind == DWELLING:
        wall.paint_masonry()
        wall.paint_floors()
    else:
        wall.paint_sheets()
    wall.paint_roof()
    return np.asarray(np.clip(wall.paint, 0, 255), dtype=np.uint8)


class _Wall:
    """A wall being painted; all lengths in metres from its lower left corner."""

    def __init__(self, style: FacadeStyle, look: Look, rng: np.random.Generator) -> None:
        self.style, self.look, self.rng = style, look, rng
        self.width, self.eave = style.width_m, style.eave_m
        rows = int(np.ceil((style.eave_m + style.roof_m) * PIXELS_PER_M))
        columns = int(np.ceil(style.width_m * PIXELS_PER_M))
        self.paint: Paint = np.zeros((rows, columns, 4), dtype=np.float32)

    def rect(self, u: Number, v: Number, width: Number, height: Number, colour: Colour, glow: Number = 0) -> None:
        """Fill a rectangle whose lower left corner is (u, v)."""
        self._part(u, v, width, height)[:] = (*colour, glow)

    def dim(self, u: Number, v: Number, width: Number, height: Number, factor: Number) -> None:
        """Darken (below 1) or lighten a rectangle."""
        self._part(u, v, width, height)[..., :3] *= np.float32(factor)

    def _part(self, u: Number, v: Number, width: Number, height: Number) -> Paint:
        left, right, low, high = (max(round(at * PIXELS_PER_M), 0) for at in (u, u + width, v, v + height))
        return self.paint[low:high, left:right]

    def paint_masonry(self) -> None:
        """The bare wall: colour, masonry pattern, stains, a plinth and bands between the floors."""
        look = self.look
        rows, columns = self.paint.shape[:2]
        bare = np.where(np.arange(rows)[:, None] < GROUND_M * PIXELS_PER_M, look.ground, look.wall)
        laid = masonry(look.pattern, rows, columns, self.rng)
        stained = stains(rows, columns, self.rng)
        for channel in range(3):
            self.paint[..., channel] = bare[:, channel : channel + 1].astype(np.float32) * laid + stained
        self.rect(0, 0, 99, 0.45, scaled(look.ground, 0.62))
        if self.style.role != BACK:
            self.rect(0, GROUND_M - 0.12, 99, 0.24, look.trim)
            self.dim(0, GROUND_M - 0.3, 99, 0.18, 0.72)
        self.dim(0, 0, 0.12, 99, 0.7)
        self.dim(self.width - 0.12, 0, 0.12, 99, 0.8)

    def paint_sheets(self) -> None:
        """The corrugated walls of a hall, with gates and a band of high windows, or of a container."""
        look, hall = self.look, self.style.kind == HALL
        rows, columns = self.paint.shape[:2]
        self.rect(0, 0, 99, 99, scaled(look.wall, 0.9))
        ribs = 1 + 0.09 * np.sin(np.arange(columns) * (2 * np.pi / (6 if hall else 4)))
        self.paint[..., :3] *= ribs[None, :, None].astype(np.float32)
        self.paint[..., :3] += stains(rows, columns, self.rng)[..., None]
        if not hall:
            for at in np.arange(0, self.eave, 2.6):
                self.dim(0, at + 2.45, 99, 0.15, 0.6)
            return
        self.rect(0, 0, 99, 0.9, scaled(look.ground, 0.55))
        self.rect(0, self.eave - 0.9, 99, 0.7, look.sign if look.shop else scaled(look.wall, 0.7))
        if self.style.role != BACK:
            for at in np.arange(1.5, self.width - 3, 3.2):
                self._pane(float(at), self.eave - 2.6, 2.4, 1.1, 0.25)
        if self.style.role == FRONT:
            self._gates()

    def _gates(self) -> None:
        """Roller gates, a small door, and the company's name."""
        for at in np.arange(self.rng.uniform(2, 8), self.width - 5, self.rng.uniform(7, 14)):
            self.rect(at - 0.2, 0, 4.4, 4.4, self.look.trim)
            self.rect(at, 0.05, 4.0, 4.15, scaled(self.look.door, 1.2))
            for slat in np.arange(0.4, 4, 0.5):
                self.dim(at, slat, 4.0, 0.12, 0.75)
        self.rect(0.6, 0, 1.0, 2.2, self.look.door)
        if self.width > 8 and self.eave > 6:
            self._sign(4.6, 1.2)

    def paint_floors(self) -> None:
        """The ground floor and the windows above it; a flank between two houses has few of them."""
        role = self.style.role
        if role == FRONT:
            (self._shop if self.look.shop else self._entrance)()
        elif role == CORNER:
            self._windows_in(0.9)
        height = (self.eave - GROUND_M) / self.style.storeys
        columns = self._columns()
        for floor in range(self.style.storeys):
            sill = GROUND_M + floor * height + 0.95
            balcony = role == FRONT and floor + 1 == self.look.balcony_floor
            for centre in columns:
                if role in (FRONT, CORNER) or self.rng.random() < 0.3:
                    self._window(centre, sill, min(height - 1.3, self.look.window_m[1]))
            if balcony:
                self._balcony(GROUND_M + floor * height + 0.1)

    def _columns(self) -> np.ndarray:
        """Where the middles of the windows are."""
        count = max(int((self.width - 0.8) / self.look.spacing_m), 1)
        return (np.arange(count) + 0.5) * (self.width - 0.8) / count + 0.4

    def _windows_in(self, sill: float) -> None:
        for centre in self._columns():
            self._window(centre, sill, self.look.window_m[1])

    def _window(self, centre: float, sill: float, height: float) -> None:
        look = self.look
        width = min(look.window_m[0], look.spacing_m - 0.5)
        left = centre - width / 2
        if look.shutters:
            self.rect(left - 0.5, sill, width + 1.0, height, look.shutter)
            self.dim(left - 0.5, sill + height / 2, width + 1.0, 0.08, 0.7)
        if look.arched:
            self._disc(centre, sill + height, width / 2 + 0.14, look.trim)
            self._disc(centre, sill + height, width / 2 - 0.06, GLASS)
        self.rect(left - 0.14, sill - 0.1, width + 0.28, height + 0.26, look.trim)
        self._pane(left, sill, width, height, 0.42)
        for bar in range(look.bars + 1):
            self.rect(left + width * (bar + 1) / (look.bars + 2) - 0.03, sill, 0.07, height, look.trim)
        self.rect(left, sill + height * 0.62, width, 0.07, look.trim)
        self.rect(left - 0.22, sill - 0.16, width + 0.44, 0.14, scaled(look.trim, 1.05))
        self.dim(left - 0.22, sill - 0.36, width + 0.44, 0.2, 0.75)

    def _pane(self, left: float, sill: float, width: float, height: float, lit: float) -> None:
        """Glass that mirrors the sky a little, with curtains now and then; `lit` is its chance of a light."""
        glow = float(self.rng.uniform(170, 255)) if self.rng.random() < lit else 0.0
        self.rect(left, sill, width, height, scaled(GLASS, float(self.rng.uniform(0.65, 1.05))), glow)
        self.dim(left, sill + height * 0.55, width, height * 0.45, 1.28)
        self.dim(left, sill + height - 0.14, width, 0.14, 0.6)
        if self.rng.random() < 0.4:
            for at in (left, left + width * 0.78):
                self.rect(at, sill, width * 0.22, height, (206, 198, 186), glow * 0.55)

    def _disc(self, u: Number, v: Number, radius: Number, colour: Colour) -> None:
        """The upper half of a disc around (u, v)."""
        left, low = (max(round(at * PIXELS_PER_M), 0) for at in (u - radius, v))
        part = self._part(u - radius, v, 2 * radius, radius)
        rows, columns = np.ogrid[: part.shape[0], : part.shape[1]]
        du, dv = (columns + left + 0.5) / PIXELS_PER_M - u, (rows + low + 0.5) / PIXELS_PER_M - v
        part[du * du + dv * dv < radius * radius] = (*colour, 0)

    def _balcony(self, floor: float) -> None:
        width = self.width * 0.62
        left = (self.width - width) / 2
        self.rect(left, floor, width, 0.22, scaled(self.look.trim, 0.85))
        self.dim(left, floor - 0.4, width, 0.4, 0.66)
        for at in np.arange(left, left + width, 0.22):
            self.rect(at, floor + 0.2, 0.07, 0.9, (52, 52, 58))
        self.rect(left, floor + 1.05, width, 0.1, (52, 52, 58))

    def _entrance(self) -> None:
        """A house door with steps, a light above it, and windows beside it."""
        columns = self._columns()
        door = columns[int(self.rng.integers(len(columns)))]
        for centre in columns:
            if centre != door:
                self._window(centre, 1.05, min(self.look.window_m[1], 1.8))
        self.rect(door - 0.75, 0, 1.5, 2.75, self.look.trim)
        self.rect(door - 0.55, 0.15, 1.1, 2.05, self.look.door)
        self.rect(door - 0.55, 2.26, 1.1, 0.36, GLASS, 210)
        for side in (-0.42, 0.08):
            for low in (0.35, 1.25):
                self.dim(door + side, low, 0.34, 0.75, 0.78)
        self.rect(door + 0.38, 1.1, 0.1, 0.12, (222, 190, 90))
        self.rect(door - 0.95, 0, 1.9, 0.18, (150, 146, 140))

    def _shop(self) -> None:
        """Shop windows with things in them, a door, a sign and perhaps an awning."""
        look, rng = self.look, self.rng
        self.rect(0.35, 0.3, self.width - 0.7, 3.1, scaled(look.sign, 0.7))
        door = 0.55 + float(rng.random()) * (self.width - 2.1)
        for left, right in ((0.5, door - 0.1), (door + 1.1, self.width - 0.5)):
            if right - left > 0.5:
                self._showcase(left, right - left)
        self.rect(door, 0.12, 1.0, 2.3, scaled(look.sign, 0.45))
        self.rect(door + 0.15, 0.5, 0.7, 1.8, GLASS, 200)
        self._sign(2.62, 0.86)
        if look.awning:
            self._awning(1.95, 0.7)

    def _showcase(self, left: float, width: float) -> None:
        self.rect(left, 0.6, width, 1.95, scaled(GLASS, 0.95), 235)
        self.dim(left, 1.7, width, 0.85, 1.25)
        for at in np.arange(left + 0.1, left + width - 0.3, 0.48):
            height = float(self.rng.uniform(0.25, 1.1))
            self.rect(at, 0.62, 0.34, height, varied(SIGNS, self.rng), 150)
        for at in np.arange(left, left + width + 0.05, max(width / max(round(width / 1.8), 1), 0.6)):
            self.rect(at - 0.05, 0.6, 0.1, 1.95, scaled(self.look.sign, 0.5))

    def _sign(self, v: float, height: float) -> None:
        """A board with a word in an alphabet of blocks."""
        dark = sum(self.look.sign) < 380
        ink: Colour = (250, 246, 230) if dark else (40, 36, 40)
        self.rect(0.35, v, self.width - 0.7, height, self.look.sign, 120)
        cell = height * 0.125
        letters = min(int(self.rng.integers(4, 9)), int((self.width - 1.2) / (4.4 * cell)))
        left = (self.width - letters * 4.4 * cell) / 2
        for letter in range(letters):
            marks = self.rng.random((5, 3)) < 0.62
            for row, column in zip(*np.nonzero(marks), strict=True):
                u = left + (letter * 4.4 + float(column)) * cell
                self.rect(u, v + (1.5 + float(row)) * cell, cell, cell, ink, 230)

    def _awning(self, v: float, height: float) -> None:
        for number, at in enumerate(np.arange(0.3, self.width - 0.3, 0.4)):
            width = min(0.4, self.width - 0.3 - at)
            self.rect(at, v, width, height, self.look.sign if number % 2 else (244, 240, 230), 40)
        self.dim(0.3, v, self.width - 0.6, 0.14, 0.8)
        self.dim(0.3, v - 0.3, self.width - 0.6, 0.3, 0.6)

    def paint_roof(self) -> None:
        """What rises above the eaves; beyond the outline nothing is ever looked up."""
        style, look = self.style, self.look
        if style.roof == TILED:
            self._tiles()
        if style.roof in (GABLE, STEPPED):
            self._gable()
        if style.roof == FLAT:
            self.rect(0, self.eave + style.roof_m - 0.22, 99, 0.3, scaled(look.trim, 0.95))
        if style.kind == CONTAINER:
            return
        self.dim(0, self.eave - 0.42, 99, 0.26, 0.7)
        self.rect(0, self.eave - 0.16, 99, 0.3, look.trim)
        if style.snowy:
            self.rect(0, self.eave + 0.05, 99, 0.12 if style.roof == FLAT else 0.3, _SNOW)

    def _tiles(self) -> None:
        self.rect(0, self.eave, 99, 99, self.look.roof)
        part = self._part(0, self.eave, 99, 99)
        part[..., :3] *= masonry(BRICK, part.shape[0], part.shape[1], self.rng)[..., None]
        part[::5, :, :3] *= np.float32(0.82)
        ridge = self.eave + 0.72 * self.style.roof_m
        self.rect(0, ridge - 0.16, 99, 0.2, scaled(self.look.roof, 0.62))
        centre = self.style.chimney * self.width
        self.rect(centre - 0.05 * self.width, ridge, 0.1 * self.width, 99, (134, 84, 70))
        self.rect(
            centre - 0.05 * self.width,
            self.eave + self.style.roof_m - 0.2,
            0.1 * self.width,
            99,
            (84, 60, 54),
        )
        if self.style.role != BACK and self.style.roof_m > 2:
            if self.style.snowy:
                self._whiten(self.eave, ridge)
            for at in self._columns()[::2]:
                self.rect(at - 0.62, self.eave + 0.25, 1.24, 1.3, self.look.trim)
                self._pane(at - 0.42, self.eave + 0.4, 0.84, 0.95, 0.4)

    def _whiten(self, low: float, high: float) -> None:
        """Snow on a slope, thin enough to show the tiles a little."""
        part = self._part(0, low, 99, high - low)
        part[..., :3] += (np.array(_SNOW, dtype=np.float32) - part[..., :3]) * np.float32(0.8)

    def _gable(self) -> None:
        rows, columns = self.paint.shape[:2]
        along = (np.arange(columns) + 0.5) / columns
        kind = np.array(self.style.roof)
        outline = self.eave + self.style.roof_m * roof_profile(kind, along, np.array(self.style.chimney))
        edge = (np.arange(rows)[:, None] + 0.5) / PIXELS_PER_M > np.maximum(outline - 0.32, self.eave)
        self.paint[edge] = (*self.look.trim, 0)
        self._window(self.width / 2, self.eave + 0.5, 0.9)


def _levels(packed: Packed, width_m: float) -> Texture:
    """Every halving of u with each no coarser one of v, so that walls seen at a slant stay sharp upright."""
    step = 2 ** (LEVELS - 1)
    rows, columns = packed.shape[:2]
    full = np.pad(packed, ((0, -rows % step), (0, -columns % step), (0, 0)), mode="edge")
    level = np.ascontiguousarray(full).view(np.uint32)[..., 0]
    parts: list[np.ndarray] = []
    place = np.zeros((LEVELS, LEVELS), dtype=np.int32)
    for coarse_u in range(LEVELS):
        shorter = level
        for coarse_v in range(coarse_u + 1):
            place[coarse_u, coarse_v:] = len(parts)
            parts.append(shorter)
            if coarse_v < coarse_u:
                shorter = _mean(shorter[::2], shorter[1::2])
        if coarse_u + 1 < LEVELS:
            level = _mean(level[:, ::2], level[:, 1::2])
    start = np.cumsum([0] + [part.size for part in parts[:-1]], dtype=np.int32)
    shape = np.array([part.shape for part in parts], dtype=np.int32)
    texels = np.concatenate([part.ravel() for part in parts])
    return Texture(width_m, texels, start[place], shape[place, 1], shape[place, 0])


def _mean(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The mean of packed texels, each of their four bytes on its own, rounded up."""
    # a + b = 2 (a | b) - (a ^ b) holds for every byte and borrows nothing from its neighbour.
    return np.asarray((one | other) - (((one ^ other) >> np.uint32(1)) & np.uint32(0x7F7F7F7F)))
