"""A flight's frames one after the other -> a smoothed track: a Bayes filter over the cells of a map.

The state is the cell that the frame's middle lies in. From frame to frame it moves at most so far as the drone flies,
and with a small chance anywhere, so that the filter finds the way again after it was lost. What a frame says is spread
over the map as its confidence allows; what frames say one after the other is not taken for independent. Forward and
backward passes (Rabiner 1989, "A tutorial on hidden Markov models", equations 19 to 27) give each frame's place from
all frames, the later ones too.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from geofix.atlas.spots import Found
from geofix.errors import UsageError
from geofix.positions import Position, project, unproject
from geofix.shapes import LatLons, Metres, PlanePoints

MOST_CELLS = 1_000_000
_CELLS_A_TILE = 8  # along the side of the smallest tile
_LOST = 0.01  # the chance, from one frame to the next, of being anywhere
_WIDTH = 0.25  # of a tile's side: the standard deviation of where its ground may lie
_DOUBT = 0.02  # of what a frame says, at least, is that it may lie anywhere
# Learned on tracks of rendered flights by the probability that they give to the truth (docs/log.md, 2026-11-26):
_AGAIN = 0.9  # the share of wrong frames that claim what frames before them claimed
_REMEMBERED = 0.8  # of what was claimed before, from one frame to the next
LEARNED_M = 24.0  # between two frames of these tracks

Cells = Float[np.ndarray, "rows columns"]
"""A probability for each cell of the map, row by row from the south."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Square cells over a map in the plane of a UTM zone; the south-west corner and the side in metres."""

    west_m: float
    south_m: float
    side_m: float
    rows: int
    columns: int
    zone: int
    north: bool

    @classmethod
    def over(cls, latlons: LatLons, sides_m: Metres, zone: int) -> Grid:
        """The cells over tiles with these middles and sides; an eighth of the smallest wide, or wider on huge maps."""
        north = bool(latlons[0, 0] >= 0)
        points = project(latlons, zone, north)
        low = (points - sides_m[:, None] / 2).min(axis=0)
        width, height = (points + sides_m[:, None] / 2).max(axis=0) - low
        side_m = max(float(sides_m.min()) / _CELLS_A_TILE, math.sqrt(width * height / MOST_CELLS))
        rows, columns = (max(1, math.ceil(length / side_m)) for length in (height, width))
        return cls(float(low[0]), float(low[1]), side_m, rows, columns, zone, north)

    def middles(self) -> tuple[np.ndarray, np.ndarray]:
        """Eastings (columns,) and northings (rows,) of the cells' middles."""
        east = self.west_m + (np.arange(self.columns) + 0.5) * self.side_m
        return east, self.south_m + (np.arange(self.rows) + 0.5) * self.side_m

    def points(self, latlons: LatLons) -> PlanePoints:
        """Positions in the plane."""
        return project(latlons, self.zone, self.north)

    def position(self, point: np.ndarray) -> Position:
        """A point of the plane as a position."""
        lat, lon = unproject(point[None], self.zone, self.north)[0]
        return Position(float(lat), float(lon))


def claimed(grid: Grid, found: Found, latlons: LatLons, sides_m: Metres) -> Cells | None:
    """Where one frame claims to lie, adding up to 1: around its tiles. None where it found none on the grid.

    `latlons` (k, 2) and `sides_m` (k,) are those of the k tiles found.
    """
    if not len(found.tiles):
        return None
    east, north = grid.middles()
    said = np.zeros((grid.rows, grid.columns))
    for (x, y), side_m, weight in zip(grid.points(latlons), sides_m, found.weights(), strict=True):
        spread = 2 * (_WIDTH * side_m) ** 2
        down, across = np.exp(-((north - y) ** 2) / spread), np.exp(-((east - x) ** 2) / spread)
        total = down.sum() * across.sum()
        if total > 0:
            said += weight / total * np.outer(down, across)
    return said / said.sum() if said.sum() > 0 else None


def believed(
    claims: Iterable[Cells | None],
    confidences: Sequence[float],
    reach_m: Sequence[float],
    grid: Grid,
    moves_m: PlanePoints | None = None,
) -> list[Cells]:
    """What each of n frames says of every cell, adding up to 1: its claim, so far as its confidence (0..1) goes.

    A frame that is wrong may claim any place, but mostly one that the frames before it claimed: neighbours show much
    of the same ground and are misled by the same. So a claim that was made before counts for little more than its
    frame's confidence, where a new one counts for all the places that it rules out. `reach_m` and `moves_m` are those
    of `smoothed`.
    """
    anywhere = np.full((grid.rows, grid.columns), 1 / (grid.rows * grid.columns))
    spectra, steps, reach_m = _ways(anywhere.shape, reach_m, grid.side_m, moves_m)
    remembered: Cells = anywhere
    said = []
    for number, (claim, confidence, share) in enumerate(
        zip(claims, confidences, _shares(reach_m, grid.side_m, steps if moves_m is not None else None), strict=True)
    ):
        if number:
            remembered = _moved(remembered, spectra[reach_m[number - 1]], steps[number - 1])
        trust = min(confidence, 1 - _DOUBT)
        if claim is None or trust <= 0:
            said.append(anywhere)
            continue
        wrong = _AGAIN * float((claim * remembered).sum()) + (1 - _AGAIN) / anywhere.size
        said.append(_normal((trust * claim + (1 - trust) * wrong) ** share))
        remembered = _REMEMBERED * remembered + (1 - _REMEMBERED) * claim
    return said


def _shares(reach_m: Sequence[float], side_m: float, steps: np.ndarray | None) -> np.ndarray:
    """How much each frame counts (n,), 1 at most: where frames are taken nearer than LEARNED_M to each other, a stretch
    of that length counts as one frame. A drone flies half of its reach, if its steps (in cells) are not known.
    """
    flown_m = np.array(reach_m) / 2 if steps is None else np.hypot(*steps.T) * side_m
    own_m = (np.append(flown_m, LEARNED_M) + np.insert(flown_m, 0, LEARNED_M)) / 2
    return np.asarray(np.minimum(1.0, own_m / LEARNED_M))


def smoothed(
    said: Sequence[Cells], reach_m: Sequence[float], side_m: float, moves_m: PlanePoints | None = None
) -> list[Cells]:
    """Where each of n frames lies, from what all say: the product of a forward and a backward pass, adding up to 1.

    `reach_m` (n - 1,) is how far the drone may have flown from each frame to the next or, with `moves_m` (n - 1, 2) in
    metres east and north, how far it may be from where that leads; cells are `side_m` wide.
    """
    if len(reach_m) != max(0, len(said) - 1):
        raise ValueError(f"{len(said)} frames have {len(said) - 1} steps between them, not {len(reach_m)}")
    if not said:
        return []
    spectra, steps, reach_m = _ways(said[0].shape, reach_m, side_m, moves_m)
    forward = [said[0]]
    for one, reach, step in zip(said[1:], reach_m, steps, strict=True):
        forward.append(_normal(_moved(forward[-1], spectra[reach], step) * one))
    backward = [np.ones_like(said[-1])]
    for one, reach, step in zip(said[:0:-1], reversed(reach_m), steps[::-1], strict=True):
        backward.append(_normal(_moved(_normal(backward[-1] * one), spectra[reach], -step)))
    return [_normal(ahead * behind) for ahead, behind in zip(forward, reversed(backward), strict=True)]


def _ways(
    shape: tuple[int, ...], reach_m: Sequence[float], side_m: float, moves_m: PlanePoints | None
) -> tuple[dict[float, np.ndarray], np.ndarray, list[float]]:
    """The spectrum of each reach, the steps (n - 1, 2) in cells, and the reaches by which the spectra are found."""
    # Beyond the map's diagonal all is within reach, and nothing larger has to be transformed.
    reach_m = [round(min(reach, side_m * math.hypot(*shape)), 3) for reach in reach_m]
    # A flight has few different steps; the same one is transformed once.
    spectra = {reach: _spectrum(shape, reach / side_m) for reach in dict.fromkeys(reach_m)}
    return spectra, np.zeros((len(reach_m), 2)) if moves_m is None else moves_m / side_m, reach_m


def _moved(cells: Cells, spectrum: np.ndarray, step: np.ndarray) -> Cells:
    """A step of the drone, (east, north) in cells: moved, spread over the reach, and a little over everything."""
    rows, columns = cells.shape
    # The size that the spectrum was made for: what leaves the map on one side must not come back on the other.
    padded = spectrum.shape[0], 2 * (spectrum.shape[1] - 1)
    spread = np.fft.irfft2(np.fft.rfft2(_shifted(cells, step), s=padded) * spectrum, s=padded)[:rows, :columns]
    kept = _normal(np.maximum(spread, 0))
    return np.asarray((1 - _LOST) * kept + _LOST / cells.size)


def _shifted(cells: Cells, step: np.ndarray) -> Cells:
    """Moved by whole cells (east, north); what leaves the map is gone."""
    across, down = (int(part) for part in np.rint(step))
    rows, columns = cells.shape
    moved = np.zeros_like(cells)
    if abs(down) < rows and abs(across) < columns:
        moved[max(0, down) : rows + min(0, down), max(0, across) : columns + min(0, across)] = cells[
            max(0, -down) : rows + min(0, -down), max(0, -across) : columns + min(0, -across)
        ]
    return moved


def _spectrum(shape: tuple[int, ...], reach: float) -> np.ndarray:
    """The transform of a disc of `reach` cells, with soft edges, around the first cell."""
    radius = math.ceil(reach) + 1
    rows, columns = shape[0] + radius, shape[1] + radius
    columns += columns % 2
    down = np.minimum(np.arange(rows), rows - np.arange(rows))
    across = np.minimum(np.arange(columns), columns - np.arange(columns))
    apart = np.hypot(down[:, None], across[None])
    disc = np.clip(reach + 0.5 - apart, 0, 1) if reach >= 0.5 else (apart == 0).astype(np.float64)
    return np.asarray(np.fft.rfft2(disc / disc.sum()))


def _normal(cells: np.ndarray) -> Cells:
    total = cells.sum()
    return np.asarray(cells / total) if total > 0 else np.full(cells.shape, 1 / cells.size)


@dataclass(frozen=True, slots=True)
class Point:
    """Where a frame lies by its cells: the mean around the likeliest cell, the radius that holds 90 % of all
    probability, and how much (0..1) lies within `within_m` of it.
    """

    position: Position
    radius_m: float
    confidence: float


def point_of(cells: Cells, grid: Grid, within_m: float) -> Point:
    """The place that a frame's cells speak for."""
    east, north = grid.middles()
    row, column = np.unravel_index(int(np.argmax(cells)), cells.shape)
    apart = np.hypot((north - north[row])[:, None], (east - east[column])[None])
    near = np.where(apart <= max(within_m, grid.side_m), cells, 0)
    centre = np.array([(near.sum(axis=0) * east).sum(), (near.sum(axis=1) * north).sum()]) / near.sum()
    apart = np.hypot((north - centre[1])[:, None], (east - centre[0])[None]).ravel()
    order = np.argsort(apart)
    mass = np.cumsum(cells.ravel()[order])
    radius_m = float(apart[order][min(int(np.searchsorted(mass, 0.9)), len(order) - 1)])
    held = float(cells.ravel()[apart <= within_m].sum())
    return Point(grid.position(centre), max(radius_m, grid.side_m), min(1.0, held))


def reaches_m(times_s: Sequence[float | None], speed_m_s: float, interval_s: float) -> list[float]:
    """How far the drone may fly from each frame to the next; where a time is unknown, in `interval_s` seconds.

    Raises UsageError for what is no speed or no interval.
    """
    if not (0 < speed_m_s <= 1000 and 0 < interval_s <= 86_400):
        raise UsageError(
            f"A drone with {speed_m_s:g} m/s and a frame every {interval_s:g} s was given; up to 1000 m/s and a day, "
            "both above 0, can be."
        )
    seconds = [
        interval_s if earlier is None or later is None or later <= earlier else later - earlier
        for earlier, later in itertools.pairwise(times_s)
    ]
    return [speed_m_s * step for step in seconds]
