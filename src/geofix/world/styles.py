"""How a country builds, plants, paves and is lit: what makes two invented countries differ in statistics only.

No single photo need give its country away: every country draws houses, trees and light from its own
distribution, and the distributions overlap.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from geofix.positions import Position

Number = int | float
Colour = tuple[Number, Number, Number]  # red, green, blue 0..255
Palette = tuple[Colour, ...]
Odds = tuple[float, ...]  # of each kind, adding up to 1
Span = tuple[float, float]  # from, to

BROADLEAF, CONIFER, PALM, CYPRESS = range(4)  # families of trees


@dataclass(frozen=True, eq=False)
class Style:
    """What a country's houses, roads, plants and light are drawn from; compared and cached by identity.

    Colours are 0..255, lengths metres, `odds` and shares 0..1. `sun` and `haze` are factors on and colours of
    daylight, 1 being white.
    """

    name: str = "mixed"
    walls: Palette = (
        (234, 222, 196), (216, 178, 112), (194, 112, 82), (164, 84, 66), (136, 98, 78), (238, 224, 160),
        (228, 192, 182), (172, 186, 152), (158, 188, 208), (182, 178, 170), (240, 238, 232), (122, 122, 128),
        (210, 160, 74), (186, 212, 194), (150, 66, 60), (206, 196, 214),
    )  # fmt: skip
    trims: Palette = ((246, 242, 232), (226, 214, 190), (92, 82, 76), (200, 196, 190))
    roofs: Palette = ((172, 88, 66), (94, 100, 112), (124, 86, 68), (112, 146, 130), (70, 72, 80))
    masonry: Odds = (0.45, 0.3, 0.15, 0.1)  # plaster, brick, stone, boards
    roof_kinds: Odds = (0.3, 0.16, 0.1, 0.44)  # flat, gable, stepped, tiled
    storeys: Odds = (0.2, 0.42, 0.28, 0.1)  # one to four above the ground floor
    window_m: tuple[Span, Span] = ((0.8, 1.5), (1.2, 1.9))  # width, height
    spacing_m: Span = (1.9, 3.4)
    shutters: float = 0.25
    arched: float = 0.22
    balconies: float = 0.4
    shops: float = 0.55
    leafy: float = 0.6  # share of the streets with trees
    trees: Odds = (1.0, 0.0, 0.0, 0.0)  # broadleaf, conifer, palm, cypress
    leaves: Colour = (100, 100, 100)  # percent of a leaf's own red, green, blue
    grass: Colour = (116, 140, 84)
    asphalt: Colour = (98, 98, 104)
    paving: Colour = (176, 169, 158)
    paint: Colour = (228, 226, 216)  # of road markings
    dash_m: Span = (2.2, 5.0)  # length of a dash of the middle line, and from one to the next
    edge_lines: bool = True
    sun: tuple[float, float, float] = (1.0, 1.0, 1.0)
    zenith: Colour = (104, 152, 214)
    haze: tuple[float, float, float] = (0.80, 0.84, 0.88)


MIXED = Style()


class Country(NamedTuple):
    """An invented country that borrows the code and the middle of a real one, so that positions, borders and
    distances work; its architecture has nothing to do with that country's."""

    code: str
    middle: Position


# Far from borders and from the edges of UTM zones.
COUNTRIES = (
    Country("FR", Position(46.6, 2.6)), Country("PL", Position(52.2, 20.4)), Country("SE", Position(62.6, 15.0)),
    Country("TR", Position(39.0, 33.2)), Country("BR", Position(-10.5, -51.2)), Country("AU", Position(-25.0, 135.2)),
    Country("ZA", Position(-30.0, 21.0)), Country("US", Position(40.6, -99.2)), Country("KZ", Position(48.2, 69.2)),
    Country("CN", Position(33.4, 105.4)), Country("AR", Position(-34.6, -63.0)), Country("DZ", Position(29.0, 2.8)),
)  # fmt: skip


@lru_cache(maxsize=64)
def country_style(code: str) -> Style:
    """The style of an invented country, the same in every run; raises KeyError for a code not in COUNTRIES."""
    numbers = {country.code: number for number, country in enumerate(COUNTRIES)}
    rng = np.random.default_rng([40, numbers[code]])
    hue = float(rng.uniform(0, 1))
    dry = float(rng.uniform(0, 1))
    return Style(
        name=code,
        walls=_walls(hue, rng),
        trims=_picked(MIXED.trims, 2, rng),
        roofs=_picked(MIXED.roofs, 2, rng),
        masonry=_odds(4, rng),
        roof_kinds=_odds(4, rng),
        storeys=_odds(4, rng),
        window_m=(_span(0.7, 1.7, 0.5, rng), _span(1.1, 2.1, 0.5, rng)),
        spacing_m=_span(1.8, 3.8, 0.8, rng),
        shutters=float(rng.beta(0.5, 1.0)),
        arched=float(rng.beta(0.4, 1.4)),
        balconies=float(rng.beta(0.6, 1.0)),
        shops=float(rng.uniform(0.2, 0.7)),
        leafy=float(rng.uniform(0.3, 0.9)),
        trees=_odds(4, rng),
        leaves=_colour(rng.uniform((85, 90, 75), (125, 110, 110))),
        grass=_colour((1 - dry) * np.array([96, 138, 70]) + dry * np.array([182, 160, 104]) + rng.uniform(-8, 8, 3)),
        asphalt=_colour(rng.uniform(74, 124) + rng.uniform(-6, 6, 3)),
        paving=_colour(rng.uniform(140, 196) + rng.uniform(-16, 16, 3)),
        paint=((228, 226, 216), (232, 186, 60))[int(rng.random() < 0.4)],
        dash_m=((2.2, 5.0), (3.0, 9.0), (5.0, 5.0), (1.0, 2.0))[int(rng.integers(4))],
        edge_lines=bool(rng.random() < 0.5),
        sun=_factors(rng.uniform((0.96, 0.95, 0.86), (1.08, 1.03, 1.06))),
        zenith=_colour(np.array(MIXED.zenith) + rng.uniform((-30, -24, -30), (30, 24, 20))),
        haze=_factors(rng.uniform((0.76, 0.78, 0.76), (0.90, 0.86, 0.92))),
    )


def _walls(hue: float, rng: np.random.Generator) -> Palette:
    """Six colours, most of them near one hue."""
    colours = []
    for _ in range(6):
        near = (hue + float(rng.normal(0, 0.06))) % 1
        rgb = colorsys.hsv_to_rgb(near, float(rng.uniform(0.05, 0.4)), float(rng.uniform(0.5, 0.95)))
        colours.append(_colour(np.array(rgb) * 255))
    return (*colours, *_picked(MIXED.walls, 2, rng))


def _picked(palette: Palette, count: int, rng: np.random.Generator) -> Palette:
    return tuple(palette[int(number)] for number in rng.choice(len(palette), count, replace=False))


def _odds(kinds: int, rng: np.random.Generator) -> Odds:
    """Odds with one or two kinds much commoner than the others, none of them impossible."""
    odds = 0.9 * rng.dirichlet([0.5] * kinds) + 0.1 / kinds
    return tuple(float(part) for part in odds / odds.sum())


def _span(low: float, high: float, width: float, rng: np.random.Generator) -> Span:
    start = float(rng.uniform(low, high - width))
    return start, start + width


def _colour(parts: Sequence[float] | np.ndarray) -> Colour:
    red, green, blue = (float(np.clip(part, 0, 255)) for part in parts)
    return red, green, blue


def _factors(parts: np.ndarray) -> tuple[float, float, float]:
    red, green, blue = (float(part) for part in parts)
    return red, green, blue
