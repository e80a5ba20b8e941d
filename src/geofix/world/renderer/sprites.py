"""Flat pictures of trees, lamps, cars and people, drawn once and kept at several sizes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import UInt8

from geofix.world.geometry.regions import CHIMNEY, TANK
from geofix.world.geometry.town import TREE_VARIANTS
from geofix.world.seasons import bare, turned
from geofix.world.styles import BROADLEAF, CONIFER, CYPRESS, PALM, Colour, Number

Sprite = UInt8[np.ndarray, "rows columns 4"]
"""A picture with its lowest row first: red, green, blue, opacity."""

Span = tuple[Number, Number]  # from, to

CARS, PEOPLE = 8, 12  # how many different ones there are
LAMP_HEAD_M = 4.75  # how high the light of a lamp sits
CAR_M = (4.3, 1.5, 1.75)  # length, height, width
PERSON_M = (0.7, 1.75)  # width, height
_CAR_COLOURS: tuple[Colour, ...] = (
    (176, 30, 34), (34, 62, 128), (222, 222, 224), (40, 42, 46), (142, 146, 150), (64, 108, 84),
    (214, 176, 70), (96, 60, 44),
)  # fmt: skip
_LEAVES: tuple[Colour, ...] = (
    (78, 116, 58), (98, 130, 60), (64, 102, 70), (118, 134, 62), (150, 120, 54), (84, 122, 84),
)  # fmt: skip


_RUSTY = 4  # a broadleaved variant that is no colour for an evergreen
_AUTUMN: tuple[Colour, ...] = ((206, 148, 52), (190, 98, 44), (216, 180, 70), (160, 110, 60))


class _Easel:
    """A sprite being drawn; lengths in shares 0..1 of its width and height, up being up."""

    def __init__(self, rows: int, columns: int) -> None:
        self.paint = np.zeros((rows, columns, 4), dtype=np.float32)
        self.v = ((np.arange(rows) + 0.5) / rows)[:, None]
        self.u = ((np.arange(columns) + 0.5) / columns)[None, :]
        self.ratio = rows / columns

    def rect(self, u: Number, v: Number, width: Number, height: Number, colour: Colour, opacity: Number = 255) -> None:
        across, up = (self.u >= u) & (self.u < u + width), (self.v >= v) & (self.v < v + height)
        self.paint[across & up] = (*colour, opacity)

    def disc(self, u: Number, v: Number, radius: Number, colour: Colour, opacity: Number = 255) -> None:
        """A disc whose radius is a share of the width."""
        inside = (self.u - u) ** 2 + ((self.v - v) * self.ratio) ** 2 < radius**2
        self.paint[inside] = (*colour, opacity)

    def slanted(self, v: Span, foot: Span, top: Span, colour: Colour) -> None:
        """A trapezoid between two heights, given by its left and right edge at its foot and at its top."""
        share = (self.v - v[0]) / (v[1] - v[0])
        left, right = (foot[i] + (top[i] - foot[i]) * share for i in (0, 1))
        self.paint[(share >= 0) & (share < 1) & (self.u >= left) & (self.u < right)] = (*colour, 255)

    def finished(self) -> tuple[Sprite, ...]:
        return _sizes(np.clip(self.paint, 0, 255))


def _sizes(paint: np.ndarray) -> tuple[Sprite, ...]:
    """The picture and its halvings; colours count by opacity, so that no dark rim appears."""
    sizes = [paint]
    while min(sizes[-1].shape[:2]) >= 4:
        even = sizes[-1][: sizes[-1].shape[0] // 2 * 2, : sizes[-1].shape[1] // 2 * 2]
        blocks = even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2, 4)
        weight = blocks[..., 3:].sum(axis=(1, 3))
        colour = (blocks[..., :3] * blocks[..., 3:]).sum(axis=(1, 3)) / np.maximum(weight, 1e-3)
        sizes.append(np.concatenate([colour, weight / 4], axis=2))
    return tuple(size.astype(np.uint8) for size in sizes)


@lru_cache(maxsize=256)
def tree(kind: int, leaves: Colour, season: float) -> tuple[Sprite, ...]:
    """A tree of a family (TREE_VARIANTS kinds each); `leaves` is percent of a leaf's own red, green, blue.

    Broadleaved trees turn and lose their leaves with the season, the others keep them.
    """
    rng = np.random.default_rng([31, kind])
    easel = _Easel(144, 96)
    family, variant = divmod(kind, TREE_VARIANTS)
    draw = {BROADLEAF: _broadleaf, CONIFER: _conifer, PALM: _palm, CYPRESS: _cypress}[family]
    green = variant if family == BROADLEAF or variant != _RUSTY else 0
    leaf = np.array(_LEAVES[green]) * np.array(leaves) / 100
    draw(easel, leaf, season if family == BROADLEAF else 0.0, rng)
    crown = easel.v[:, 0] > 0.4
    easel.paint[crown, :, :3] *= rng.uniform(0.82, 1.14, (int(crown.sum()), 96, 1)).astype(np.float32)
    return easel.finished()


def _broadleaf(easel: _Easel, leaf: np.ndarray, season: float, rng: np.random.Generator) -> None:
    """A crown of many leafy discs, darker below, around the branches that winter shows."""
    leaf = leaf + (np.array(_AUTUMN[int(rng.integers(len(_AUTUMN)))]) - leaf) * turned(season)
    wood: Colour = (92, 74, 60)
    easel.slanted((0, 0.5), (0.46, 0.55), (0.48, 0.53), wood)
    if season:
        for side in (-0.3, -0.16, 0.0, 0.14, 0.28):
            easel.slanted((0.42, 0.88 - abs(side) / 2), (0.485, 0.52), (0.495 + side, 0.51 + side), wood)
    for number in range(150):
        angle, far = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random())
        u, v = 0.5 + 0.38 * far * np.cos(angle), 0.66 + 0.26 * far * np.sin(angle)
        tone = 0.62 + 0.45 * (v - 0.4) / 0.55 + rng.uniform(-0.12, 0.12) + 0.1 * number / 150
        radius, falls = float(rng.uniform(0.045, 0.1)), float(rng.random())
        if falls >= bare(season):
            easel.disc(u, v, radius, _triple(leaf * tone))


def _conifer(easel: _Easel, leaf: np.ndarray, _season: float, rng: np.random.Generator) -> None:
    """Tiers of drooping branches, each a little narrower than the one below."""
    easel.slanted((0, 0.2), (0.46, 0.54), (0.47, 0.53), (84, 66, 54))
    for tier in range(9):
        foot, half = 0.1 + 0.092 * tier, 0.44 * (1 - tier / 9.5) + 0.02
        tone = (0.5 + 0.05 * tier + rng.uniform(-0.06, 0.06)) * np.array([0.72, 0.84, 0.86])
        easel.slanted((foot, foot + 0.19), (0.5 - half, 0.5 + half), (0.48, 0.52), _triple(leaf * tone))


def _palm(easel: _Easel, leaf: np.ndarray, _season: float, rng: np.random.Generator) -> None:
    """A thin stem with a tuft of arched fronds."""
    easel.slanted((0, 0.78), (0.45, 0.53), (0.485, 0.525), (136, 116, 92))
    for number, angle in enumerate(np.linspace(-0.25 * np.pi, 1.25 * np.pi, 13) + rng.uniform(-0.1, 0.1, 13)):
        colour = _triple(leaf * (0.75 + 0.04 * number) * np.array([1.0, 1.02, 0.8]))
        for step in np.linspace(0.03, 1, 26):
            droop = 0.16 * step * step
            u, v = 0.505 + 0.44 * step * np.cos(angle), 0.8 + 0.2 * step * np.sin(angle) - droop
            easel.disc(float(u), float(v), 0.034 * (1.15 - step), colour)


def _cypress(easel: _Easel, leaf: np.ndarray, _season: float, rng: np.random.Generator) -> None:
    """A dark column that tapers to both ends."""
    easel.slanted((0, 0.08), (0.45, 0.55), (0.46, 0.54), (84, 66, 54))
    for v in np.linspace(0.06, 0.97, 90):
        half = 0.42 * np.sin(np.pi * min(0.12 + 0.88 * v, 1)) ** 0.6
        for _ in range(3):
            tone = (0.5 + 0.2 * v + rng.uniform(-0.1, 0.1)) * np.array([0.8, 0.92, 0.86])
            easel.disc(0.5 + half * float(rng.uniform(-1, 1)), float(v), 0.07, _triple(leaf * tone))


def _triple(colour: np.ndarray) -> Colour:
    red, green, blue = colour
    return float(red), float(green), float(blue)


@lru_cache(maxsize=3)
def mast(kind: int) -> tuple[Sprite, ...]:
    """A chimney with red and white bands, a round tank, or a lattice pylon."""
    easel = _Easel(192, 64)
    if kind == CHIMNEY:
        easel.slanted((0, 1), (0.1, 0.9), (0.28, 0.72), (178, 170, 162))
        for low in (0.72, 0.84, 0.96):
            easel.slanted((low, low + 0.06), (0.235, 0.765), (0.26, 0.74), (186, 54, 46))
    elif kind == TANK:
        easel.rect(0.0, 0.0, 1.0, 0.9, (206, 206, 200))
        easel.slanted((0.9, 1.0), (0.0, 1.0), (0.3, 0.7), (190, 190, 184))
        easel.rect(0.0, 0.44, 1.0, 0.02, (150, 150, 146))
        easel.paint[..., :3] *= (0.62 + 0.5 * np.sin(np.pi * easel.u) ** 0.8)[..., None]
    else:
        steel: Colour = (112, 118, 122)
        for low, high in ((0.0, 0.34), (0.34, 0.64), (0.64, 1.0)):
            half, above = 0.42 * (1 - low) + 0.03, 0.42 * (1 - high) + 0.03
            for foot, top in ((-half, -above), (half, above), (-half, above), (half, -above)):
                easel.slanted((low, high), (0.48 + foot, 0.52 + foot), (0.48 + top, 0.52 + top), steel)
        for at in (0.64, 0.8):
            easel.rect(0.0, at, 1.0, 0.015, steel)
    return easel.finished()


@lru_cache(maxsize=1)
def lamp() -> tuple[Sprite, ...]:
    """A street lamp: a pole with a lantern on top."""
    easel = _Easel(160, 40)
    iron: Colour = (46, 50, 54)
    easel.rect(0.38, 0, 0.24, 0.07, iron)
    easel.rect(0.455, 0, 0.09, 0.88, iron)
    easel.slanted((0.85, 0.95), (0.4, 0.6), (0.3, 0.7), (250, 240, 206))
    easel.slanted((0.95, 0.99), (0.26, 0.74), (0.44, 0.56), iron)
    easel.rect(0.36, 0.835, 0.28, 0.02, iron)
    return easel.finished()


@lru_cache(maxsize=CARS)
def car_side(kind: int) -> tuple[Sprite, ...]:
    """A hatchback from its left side, its upright rear on the right."""
    body = _CAR_COLOURS[kind]
    easel = _Easel(48, 136)
    easel.rect(0.03, 0, 0.94, 0.06, (20, 20, 22), 150)
    easel.slanted((0.16, 0.4), (0.01, 0.99), (0.0, 0.995), body)
    easel.slanted((0.4, 0.6), (0.0, 0.995), (0.03, 0.975), body)
    easel.slanted((0.6, 1.0), (0.14, 0.965), (0.29, 0.93), body)
    easel.slanted((0.62, 0.92), (0.19, 0.48), (0.3, 0.48), (48, 58, 70))
    easel.slanted((0.62, 0.92), (0.51, 0.74), (0.51, 0.74), (58, 68, 80))
    easel.slanted((0.62, 0.92), (0.77, 0.93), (0.77, 0.9), (50, 60, 72))
    easel.rect(0.0, 0.42, 0.035, 0.1, (236, 230, 200))
    easel.rect(0.96, 0.42, 0.035, 0.1, (190, 30, 26))
    easel.rect(0.02, 0.16, 0.96, 0.05, (38, 38, 42))
    for at in (0.2, 0.79):
        easel.disc(at, 0.2, 0.078, (26, 26, 28))
        easel.disc(at, 0.2, 0.04, (150, 152, 156))
    return easel.finished()


@lru_cache(maxsize=CARS)
def car_end(kind: int) -> tuple[Sprite, ...]:
    """The same car from behind."""
    body = _CAR_COLOURS[kind]
    easel = _Easel(48, 56)
    easel.rect(0.05, 0, 0.9, 0.06, (20, 20, 22), 150)
    for at in (0.06, 0.8):
        easel.rect(at, 0.02, 0.14, 0.25, (26, 26, 28))
    easel.slanted((0.15, 0.62), (0.02, 0.98), (0.04, 0.96), body)
    easel.slanted((0.6, 1.0), (0.04, 0.96), (0.1, 0.9), body)
    easel.slanted((0.64, 0.92), (0.12, 0.88), (0.17, 0.83), (48, 58, 70))
    for at in (0.05, 0.81):
        easel.rect(at, 0.44, 0.14, 0.12, (196, 34, 30))
    easel.rect(0.36, 0.3, 0.28, 0.1, (232, 230, 220))
    return easel.finished()


@lru_cache(maxsize=PEOPLE)
def person(kind: int) -> tuple[Sprite, ...]:
    """Somebody standing."""
    rng = np.random.default_rng([32, kind])
    coat, trousers = _any_colour(rng, 30, 210), _any_colour(rng, 20, 110)
    easel = _Easel(96, 38)
    for foot in (0.3, 0.53):
        easel.slanted((0.0, 0.48), (foot, foot + 0.16), (0.32, 0.68), trousers)
    easel.slanted((0.42, 0.82), (0.26, 0.74), (0.2, 0.8), coat)
    tan = float(rng.uniform(0.45, 1))
    easel.disc(0.5, 0.91, 0.15, (236 * tan, 196 * tan, 170 * tan))
    easel.disc(0.5, 0.95, 0.14, (52, 40, 34))
    return easel.finished()


def _any_colour(rng: np.random.Generator, low: Number, high: Number) -> Colour:
    red, green, blue = rng.uniform(low, high, 3)
    return float(red), float(green), float(blue)
