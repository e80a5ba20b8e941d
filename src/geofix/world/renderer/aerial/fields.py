"""Open country around a town, seen from above: fields of crops, meadows and bare soil in a loose grid."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from geofix.shapes import PlanePoints
from geofix.world.geometry.town import Town
from geofix.world.renderer.aerial.patches import Flags, Patches, patches
from geofix.world.renderer.aerial.skins import canvas, finished
from geofix.world.renderer.facades import Packed
from geofix.world.seasons import withered
from geofix.world.styles import Colour, Palette, Style

_CELL_M = np.array([72.0, 56.0])
_MARGIN_M = 640.0  # of country around the streets
_CLEAR_M = 34.0  # between a field and the nearest house, which has its yard there
_VERGE_M = 12.0  # between a field and the houses' side of a street
_KINDS = 14
_SOILS = 32  # of a town, so that hardly two of its fields, and none of two towns, are the same to the texel
_LOW_M = 0.5  # so far below the yards, which are drawn over them
_SIZE_M = (40.0, 30.0)  # of a skin; a field stretches it
_CROPS: Palette = ((204, 184, 116), (222, 206, 92), (142, 118, 90), (110, 140, 74), (176, 160, 110), (92, 118, 66))


@dataclass(frozen=True, slots=True)
class _FieldSkin:
    """One kind of field in a season, a crop in rows or a meadow, on one of a town's soils."""

    kind: int
    seed: int
    soil: int
    style: Style
    season: float

    def painted(self) -> Packed:
        """Rows run upwards."""
        rng = np.random.default_rng([35, self.kind])
        crop = _CROPS[int(rng.integers(len(_CROPS)))] if self.kind % 3 else self.style.grass
        paint = canvas(*_SIZE_M, withered(_mixed(crop, self.style.grass, 0.35), self.season))
        rows, columns = paint.shape[:2]
        furrows = 1 + rng.uniform(0.01, 0.06) * np.sin(np.arange(columns) * rng.uniform(0.5, 1.6))
        every = int(rng.integers(24, 56))
        own = np.random.default_rng([self.seed, 76, self.soil])
        tracks = np.where((np.arange(columns) + int(own.integers(every))) % every < 2, 0.86, 1.0)
        side = 10
        soil = own.normal(1, 0.018, (rows // side + 1, columns // side + 1)).repeat(side, 0).repeat(side, 1)
        tones = furrows * tracks * soil[:rows, :columns] * own.normal(1, 0.03, (rows, columns))
        paint[..., :3] *= tones[..., None].astype(np.float32)
        return finished(paint)


def fields_of(town: Town, season: float) -> Patches:
    """The fields around a town, none of them on a street, a yard, a wood or the sea."""
    rng = np.random.default_rng([town.seed, 75])
    axes = _axes(town)
    ends = town.streets.lines.reshape(-1, 2) @ axes.T
    low, high = ends.min(axis=0) - _MARGIN_M, ends.max(axis=0) + _MARGIN_M
    shape = np.ceil((high - low) / _CELL_M).astype(np.int64)
    cell = np.indices(shape).reshape(2, -1).T
    inset = rng.uniform(1.5, 6, (len(cell), 4))
    kind, fallow = rng.integers(_KINDS, size=len(cell)), rng.random(len(cell)) > 0.86
    soil = rng.integers(_SOILS, size=len(cell))
    first = low + cell * _CELL_M + inset[:, :2]
    size = _CELL_M - inset[:, :2] - inset[:, 2:]
    taken = _built_on(town, axes, low, shape).ravel() | _crossed(town, axes, first, size)
    free = np.flatnonzero(~taken & ~fallow)
    level = np.zeros(len(free))
    return patches(
        np.column_stack([first[free] @ axes, level - _LOW_M]),
        np.column_stack([size[free, :1] * axes[0], level]),
        np.column_stack([size[free, 1:] * axes[1], level]),
        (kind * _SOILS + soil)[free],
        [
            _FieldSkin(number, town.seed, soil, town.style, round(season, 2))
            for number, soil in itertools.product(range(_KINDS), range(_SOILS))
        ],
        lying=True,
    )


def _axes(town: Town) -> np.ndarray:
    """Unit vectors along the town's first street and to the left of it."""
    run = town.streets.lines[0, 2:] - town.streets.lines[0, :2]
    along = run / np.hypot(*run)
    return np.array([along, [-along[1], along[0]]])


def _built_on(town: Town, axes: np.ndarray, low: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Which cells are near a house or hold a wood."""
    cells = np.zeros(shape, dtype=np.int64)
    houses = town.walls.lines[::4, :2] @ axes.T
    for east in (-_CLEAR_M, 0, _CLEAR_M):
        for north in (-_CLEAR_M, 0, _CLEAR_M):
            _count(cells, houses + np.array([east, north]), low)
    woods = np.zeros(shape, dtype=np.int64)
    _count(woods, town.trees.points @ axes.T, low)
    return np.asarray((cells > 0) | (woods > 2))


def _count(cells: np.ndarray, points: PlanePoints, low: np.ndarray) -> None:
    at = np.floor((points - low) / _CELL_M).astype(np.int64)
    within = ((at >= 0) & (at < cells.shape)).all(axis=1)
    np.add.at(cells, tuple(at[within].T), 1)


def _crossed(town: Town, axes: np.ndarray, first: PlanePoints, size: np.ndarray) -> Flags:
    """Which fields would lie on a street or in the sea, told by a lattice of their points."""
    u, v = (axis.ravel() for axis in np.meshgrid(*[np.linspace(0, 1, 4)] * 2))
    inside = np.stack([u * size[:, :1], v * size[:, 1:]], axis=2)  # (fields, points, 2)
    points = ((first[:, None] + inside) @ axes).reshape(-1, 2)
    taken = np.zeros(len(points), dtype=bool)
    for line, half in zip(town.streets.lines, town.streets.space_half_m, strict=True):
        start, run = line[:2], line[2:] - line[:2]
        share = np.clip((points - start) @ run / (run @ run), 0, 1)
        taken |= np.hypot(*(points - start - share[:, None] * run).T) < half + _VERGE_M
    if town.shore is not None:
        bearing = np.deg2rad(town.shore.seaward_deg)
        taken |= (points - town.shore.point) @ np.array([np.sin(bearing), np.cos(bearing)]) > -_CLEAR_M
    return np.asarray(taken.reshape(len(first), -1).any(axis=1))


def _mixed(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (a + (b - a) * share for a, b in zip(one, other, strict=True))
    return red, green, blue
