"""The plan of one quarter in its own axes: x to the east, y to the north before the town is turned.

A quarter of a town is an uneven grid of streets. Houses stand around every block and, facing inwards, around
the quarter.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from geofix.world.styles import Span

SPOT_SPACING_M = 17.0
DEPTH_M = 10.5  # of every house, from the street to its back
CROSSING_M = 9.0  # no photo spot is nearer to a crossing than this

DWELLING, HALL, CONTAINER = range(3)  # kinds of house


class House(NamedTuple):
    """A house as a box in the town's own axes; `front` is the index of its street side (0 = south, then
    counter-clockwise), `corners` the sides that face a second street."""

    west: float
    south: float
    east: float
    north: float
    front: int
    corners: tuple[int, ...]
    kind: int = DWELLING


class Grid(NamedTuple):
    """The streets of a quarter: where they lie and how wide they are, north-south ones first."""

    xs: np.ndarray
    ys: np.ndarray
    x_half: np.ndarray
    y_half: np.ndarray


class Plan(NamedTuple):
    """One quarter in the town's own axes, before it is turned and moved to its place on Earth.

    `east` is where it ends; south of `shore` lies the sea, if there is any.
    """

    east: float
    streets: np.ndarray  # (n, 6): x, y of both ends, half widths of the roadway and of the space between houses
    houses: list[House]
    trees: np.ndarray  # (t, 3): x, y, size as a factor
    lamps: np.ndarray  # (l, 2)
    spots: np.ndarray  # (s, 4): x, y, 0 for a street that runs north and 90 for one that runs east, sideways
    masts: np.ndarray = np.empty((0, 3))  # (m, 3): x, y, kind
    shore: float | None = None


def plan_quarter(spots: int, west: float, leafy: float, rng: np.random.Generator) -> Plan:
    """A quarter of a town with `spots` photo spots, from `west` on; `leafy` 0..1 of its streets have trees."""
    blocks = 1
    while True:
        grid = _grid(blocks, max(blocks - 1, 1), west + DEPTH_M + 14, rng)
        candidates = _spot_candidates(grid, rng)
        if len(candidates) >= spots:
            break
        blocks += 1
    centre = np.array([grid.xs.mean(), grid.ys.mean()])
    nearest = np.argsort(np.hypot(*(candidates[:, :2] - centre).T), kind="stable")[:spots]
    houses = _houses(grid, rng)
    trees, lamps = _street_furniture(grid, leafy, rng)
    east = float(grid.xs[-1] + grid.x_half[-1] + DEPTH_M)
    trees = np.column_stack([trees, np.ones(len(trees))])
    return Plan(east, _streets(grid), houses, trees, lamps, candidates[np.sort(nearest)])


def _streets(grid: Grid) -> np.ndarray:
    xs, ys, x_half, y_half = grid
    lines = [(x, ys[0], x, ys[-1]) for x in xs] + [(xs[0], y, xs[-1], y) for y in ys]
    space = np.concatenate([x_half, y_half])
    return np.column_stack([np.array(lines), road_half_m(1.0) * space, space])


def _grid(columns: int, rows: int, west: float, rng: np.random.Generator) -> Grid:
    """Streets around and between `columns` x `rows` blocks, the westernmost at `west`."""
    xs = west + np.concatenate([[0], np.cumsum(rng.uniform(66, 92, columns))])
    ys = 30 + np.concatenate([[0], np.cumsum(rng.uniform(58, 78, rows))])
    return Grid(xs, ys, rng.uniform(8.5, 11.5, columns + 1), rng.uniform(8.5, 11.5, rows + 1))


def _stretches(grid: Grid) -> list[tuple[int, int, float, float, float, float]]:
    """Every stretch of street between two crossings: axis (0 north, 1 east), street number, across, from, to,
    half width between the houses."""
    north = [
        (0, i, float(x), float(a), float(b), float(grid.x_half[i]))
        for i, x in enumerate(grid.xs)
        for a, b in pairwise(grid.ys)
    ]
    east = [
        (1, i, float(y), float(a), float(b), float(grid.y_half[i]))
        for i, y in enumerate(grid.ys)
        for a, b in pairwise(grid.xs)
    ]
    return north + east


def _spot_candidates(grid: Grid, rng: np.random.Generator) -> np.ndarray:
    rows = []
    for axis, _, across, start, end, half in _stretches(grid):
        free = end - start - 2 * CROSSING_M
        along = start + CROSSING_M + np.linspace(0, free, round(free / SPOT_SPACING_M) + 1)
        aside = across + rng.uniform(-1.5, 1.5, len(along))
        points = np.stack([aside, along] if axis == 0 else [along, aside], axis=1)
        rest = np.tile([90.0 * axis, half - 3.0 - 1.5], (len(along), 1))
        rows.append(np.hstack([points, rest]))
    return np.concatenate(rows)


def _street_furniture(grid: Grid, leafy_share: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points of trees and lamps on the pavements."""
    trees: list[tuple[float, float]] = []
    lamps: list[tuple[float, float]] = []
    leafy = rng.random((2, max(len(grid.xs), len(grid.ys)))) < leafy_share
    for axis, street, across, start, end, half in _stretches(grid):
        for along in np.arange(start + 11, end - 8, 22):
            side = float(rng.choice([-1, 1]))
            lamps.append(_placed(axis, across + side * (road_half_m(half) + 0.6), float(along)))
        for side in (-1, 1) if leafy[axis, street] else ():
            for along in np.arange(start + 14, end - 12, 13):
                if rng.random() < 0.62:
                    point = across + side * (road_half_m(half) + 1.1), float(along + rng.uniform(-3, 3))
                    trees.append(_placed(axis, *point))
    return np.array(trees).reshape(-1, 2), np.array(lamps).reshape(-1, 2)


def _placed(axis: int, across: float, along: float) -> tuple[float, float]:
    return (across, along) if axis == 0 else (along, across)


def road_half_m(space_half_m: float) -> float:
    """Half the roadway's width where opposite houses are twice `space_half_m` apart."""
    return 0.52 * space_half_m


def _houses(grid: Grid, rng: np.random.Generator) -> list[House]:
    """Houses around every block and, facing inwards, around the quarter."""
    west, east = grid.xs + grid.x_half, grid.xs - grid.x_half
    south, north = grid.ys + grid.y_half, grid.ys - grid.y_half
    houses: list[House] = []
    for x0, x1 in zip(west, east[1:], strict=False):
        for y0, y1 in zip(south, north[1:], strict=False):
            houses += _block((float(x0), float(x1)), (float(y0), float(y1)), rng)
    across, up = (float(east[0]), float(west[-1])), (float(north[0]), float(south[-1]))
    houses += row_of_houses(across, (up[0] - DEPTH_M, up[0]), 2, rng)
    houses += row_of_houses(across, (up[1], up[1] + DEPTH_M), 0, rng)
    houses += row_of_houses((across[0] - DEPTH_M, across[0]), up, 1, rng)
    houses += row_of_houses((across[1], across[1] + DEPTH_M), up, 3, rng)
    return houses


def _block(x: Span, y: Span, rng: np.random.Generator) -> list[House]:
    """A block's four rows; those along x hold the corner houses."""
    inner = (y[0] + DEPTH_M, y[1] - DEPTH_M)
    return [
        *row_of_houses(x, (y[0], inner[0]), 0, rng, corners=True),
        *row_of_houses(x, (inner[1], y[1]), 2, rng, corners=True),
        *row_of_houses((x[0], x[0] + DEPTH_M), inner, 3, rng),
        *row_of_houses((x[1] - DEPTH_M, x[1]), inner, 1, rng),
    ]


def row_of_houses(x: Span, y: Span, front: int, rng: np.random.Generator, corners: bool = False) -> list[House]:
    """Houses side by side in a box; now and then an alley is left between two."""
    start, end = x if front in (0, 2) else y
    cuts = _cuts(end - start, rng)
    houses = []
    for number, (a, b) in enumerate(pairwise(cuts)):
        last = number == len(cuts) - 2
        alley = 0.0 if last or rng.random() > 0.12 else float(rng.uniform(1.6, 3.2))
        ends = ((3,) if number == 0 else ()) + ((1,) if last else ())
        span = (start + float(a), start + float(b) - alley)
        box = (span[0], y[0], span[1], y[1]) if front in (0, 2) else (x[0], span[0], x[1], span[1])
        houses.append(House(*box, front, ends if corners else ()))
    return houses


def _cuts(length_m: float, rng: np.random.Generator) -> np.ndarray:
    """0, the borders between houses 6 to 14 m wide, and `length_m`."""
    widths = rng.uniform(6.5, 14, max(round(length_m / 10), 1))
    return np.concatenate([[0], np.cumsum(widths) * (length_m / widths.sum())])
