"""The taste of a house: its colours, windows, masonry and whether it holds a shop."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from geofix.world.styles import Colour, Number, Style

Tones = Float32[np.ndarray, "v u"]
"""One number a texel."""

SIGNS: tuple[Colour, ...] = (
    (190, 36, 40), (26, 92, 160), (20, 120, 76), (238, 176, 28), (40, 38, 44), (120, 50, 130), (226, 96, 30),
    (240, 240, 236),
)  # fmt: skip
_DOORS: tuple[Colour, ...] = (
    (110, 40, 34),
    (34, 70, 58),
    (44, 58, 100),
    (92, 64, 42),
    (50, 50, 54),
    (196, 150, 60),
)
GLASS: Colour = (74, 92, 112)
PLASTER, BRICK, STONE, BOARDS = range(4)


class Look(NamedTuple):
    """The taste of a house, drawn once and shared by its walls."""

    wall: Colour
    ground: Colour
    trim: Colour
    roof: Colour
    door: Colour
    sign: Colour
    shutter: Colour
    pattern: int
    window_m: tuple[float, float]
    spacing_m: float
    shutters: bool
    arched: bool
    balcony_floor: int
    bars: int
    shop: bool
    awning: bool


def drawn_look(style: Style, rng: np.random.Generator) -> Look:
    """A look at random, in the taste of a country."""
    wall = varied(style.walls, rng)
    return Look(
        wall=wall,
        ground=varied(style.walls, rng) if rng.random() < 0.3 else scaled(wall, 0.86),
        trim=varied(style.trims, rng),
        roof=varied(style.roofs, rng),
        door=varied(_DOORS, rng),
        sign=varied(SIGNS, rng),
        shutter=varied(_DOORS, rng),
        pattern=int(rng.choice(4, p=style.masonry)),
        window_m=(float(rng.uniform(*style.window_m[0])), float(rng.uniform(*style.window_m[1]))),
        spacing_m=float(rng.uniform(*style.spacing_m)),
        shutters=bool(rng.random() < style.shutters),
        arched=bool(rng.random() < style.arched),
        balcony_floor=int(rng.integers(1, 4)) if rng.random() < style.balconies else 0,
        bars=int(rng.integers(0, 3)),
        shop=bool(rng.random() < style.shops),
        awning=bool(rng.random() < 0.5),
    )


def varied(palette: tuple[Colour, ...], rng: np.random.Generator) -> Colour:
    """One of a palette's colours, a little off."""
    red, green, blue = np.array(palette[int(rng.integers(len(palette)))]) + rng.uniform(-12, 12, 3)
    return float(red), float(green), float(blue)


def scaled(colour: Colour, factor: Number) -> Colour:
    """A colour made darker (below 1) or lighter."""
    red, green, blue = colour
    return red * factor, green * factor, blue * factor


def masonry(pattern: int, rows: int, columns: int, rng: np.random.Generator) -> Tones:
    """Factors around 1 that make a wall look laid of bricks, ashlar or boards."""
    course, length = {PLASTER: (8, 64), BRICK: (4, 8), STONE: (8, 16), BOARDS: (5, 640)}[pattern]
    spread = {PLASTER: 0.012, BRICK: 0.08, STONE: 0.05, BOARDS: 0.04}[pattern]
    row, column = np.arange(rows)[:, None], np.arange(columns)[None, :]
    layer = row // course
    across = column + layer % 2 * (length // 2)
    tones = rng.normal(1, spread, (rows // course + 1, columns // length + 3)).astype(np.float32)
    factors = tones[layer, across // length]
    if pattern != PLASTER:
        joints = (row % course == 0) | ((across % length == 0) & (pattern != BOARDS))
        factors = factors * np.where(joints, np.float32(1.1 if pattern == BRICK else 0.84), np.float32(1))
    return np.asarray(factors, dtype=np.float32)


def stains(rows: int, columns: int, rng: np.random.Generator) -> Tones:
    """Grain and broad stains to be added, in grey levels: a random cut-out of one large sheet."""
    sheet = _stained_sheet()
    low, left = rng.integers(0, sheet.shape[0] - rows), rng.integers(0, sheet.shape[1] - columns)
    return sheet[low : low + rows, left : left + columns]


@lru_cache(maxsize=1)
def _stained_sheet() -> Tones:
    rng = np.random.default_rng(30)
    coarse = np.repeat(np.repeat(rng.normal(0, 3.5, (32, 32)), 24, 0), 24, 1)
    return np.asarray(coarse + rng.normal(0, 2.5, coarse.shape), dtype=np.float32)
