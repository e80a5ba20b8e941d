"""Verification: the map at the likeliest places is compared with a frame by local features.

Descriptors of tiles say where a frame may lie; how many features of the frame lie on the ground just as they lie in the
frame says whether it does, and where to a metre.
"""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from geofix.atlas.spots import Spot
from geofix.atlas.store import Atlas
from geofix.data.maps.aerial_map import AerialMap
from geofix.data.maps.source import Window
from geofix.frames.local_features import (
    LocalFeatures,
    OtherPoints,
    Pairs,
    Points,
    Similarity,
    features_of,
    require,
    similarity,
)
from geofix.frames.looks import ANY_TURN, Look, squares
from geofix.photos import resized
from geofix.positions import Position
from geofix.shapes import Degrees, Pixels, ResizedPixels

FEWEST_INLIERS = 6  # that may lie as in the frame for a reason
ENOUGH = 25.0  # support of a place: no further ones are looked at
COMPARED = 5  # places, those with most inliers, at which frame and map are compared as a whole
MAP_PX = 128  # of the map, along the side of its smallest tiles; coarser maps as they are
FRAME_FEATURES = 500
BLOCK_PX, BLOCK_FEATURES = 256, 600  # the map is looked at in blocks, which are kept for the next frames
_MARGIN_PX = 24  # around a block, so that features at its edge are as they would be in the whole map
_BLOCKS = 3000  # that are kept: 300 MB
_WIDEST = 8.0  # smallest tiles, from its middle, that are looked at of a frame
_OFF = 0.5  # of the smallest tile's side: how far off a place may be
_TURN_DEG = 20.0  # off: looks are 15 degrees apart
_STRETCH = 1.35  # off, where the camera is unknown by up to 1.1
_WITHIN_PX = 3.0
_WRAP_DEG = 65_536 / 360
_SQUARE_PX, _CELLS = 64, 16  # of the square that is compared as a whole: a side, and cells along it
_LEAST_CONTRAST = 1.0  # of 255


@dataclass(frozen=True, slots=True)
class Seen:
    """A place looked at closely: the position of the frame's middle, the heading of its upper edge from grid north of
    UTM `zone`, how wide the frame is on the ground, how many features of it were matched there, how many of those lie
    as in the frame (the inliers), and how alike frame and map are there (`agreement`, -1..1; 0 where they were not
    compared).
    """

    position: Position
    heading_deg: float
    zone: int
    width_m: float
    matched: int
    inliers: int
    agreement: float

    @property
    def support(self) -> float:
        """How much the map speaks for the place: inliers as far as colours agree, 0 where it does not."""
        return self.inliers * max(0.0, self.agreement)

    @property
    def evidence(self) -> tuple[float, float]:
        """What confidence is made of: the logarithm of the inliers, and the agreement."""
        return math.log1p(self.inliers), self.agreement


@dataclass(frozen=True, eq=False)
class Verifier:
    """The maps that the tiles of an atlas were cut from, and the local features found on them so far.

    `finest_m` is the side of the smallest tiles. Raises MissingExtraError without OpenCV.
    """

    atlas: Atlas
    finest_m: float
    _maps: dict[Path, AerialMap] = field(default_factory=dict, repr=False)
    _blocks: OrderedDict[tuple[Path, int, int], LocalFeatures] = field(default_factory=OrderedDict, repr=False)

    def __post_init__(self) -> None:
        require()

    @classmethod
    def of(cls, atlas: Atlas) -> Verifier:
        """The maps of an atlas of tiles, one at least."""
        tiles = atlas.rows.tiles
        assert tiles is not None
        return cls(atlas, float(tiles.sides_m.min()))

    def map_of(self, tile: str) -> AerialMap:
        """The map that a tile is of. Raises DataError where it is no longer there."""
        file = self.atlas.file_of(tile)
        if file not in self._maps:
            self._maps[file] = self.atlas.map_at(file)
        return self._maps[file]

    def metres_per_pixel(self, aerial: AerialMap) -> float:
        """How finely a map is looked at."""
        return max(aerial.metres_per_pixel, self.finest_m / MAP_PX)

    def around(self, aerial: AerialMap, point: np.ndarray, radius_m: float) -> LocalFeatures:
        """The features of the map within a square around a point (easting, northing), in metres from it."""
        side_m = self.metres_per_pixel(aerial) * BLOCK_PX
        first, last = (np.floor((point + reach) / side_m).astype(int) for reach in (-radius_m, radius_m))
        parts = [
            self._block(aerial, column, row)
            for column, row in itertools.product(*(range(low, high + 1) for low, high in zip(first, last, strict=True)))
        ]
        found = LocalFeatures.joined(parts).measured(point * [1, -1], 1.0)
        return found.take(np.flatnonzero((np.abs(found.points) <= radius_m).all(axis=1)))

    def _block(self, aerial: AerialMap, column: int, row: int) -> LocalFeatures:
        """The features of one block, in metres east and south of the plane's origin."""
        key = (aerial.path, column, row)
        if key not in self._blocks:
            self._blocks[key] = self._looked_at(aerial, column, row)
            if len(self._blocks) > _BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(key)
        return self._blocks[key]

    def _looked_at(self, aerial: AerialMap, column: int, row: int) -> LocalFeatures:
        unit_m = self.metres_per_pixel(aerial)
        size_px = BLOCK_PX + 2 * _MARGIN_PX
        east_m, north_m = ((number + 0.5) * BLOCK_PX * unit_m for number in (column, row))
        extent, reach_m = aerial.extent, size_px * unit_m / 2
        if not (extent.west_m - reach_m < east_m < extent.east_m + reach_m):
            return LocalFeatures.none()
        if not (extent.south_m - reach_m < north_m < extent.north_m + reach_m):
            return LocalFeatures.none()
        pixels = aerial.read(Window(east_m, north_m, size_px * unit_m, size_px))
        if pixels is None:
            return LocalFeatures.none()
        found = features_of(pixels, BLOCK_FEATURES)
        found = found.take(np.flatnonzero((np.abs(found.points - size_px / 2) <= BLOCK_PX / 2).all(axis=1)))
        moved = found.measured(np.full(2, size_px / 2), unit_m)
        return moved.measured(np.array([-east_m, north_m]), 1.0)


def seen_at(
    verifier: Verifier, pixels: Pixels, spots: Sequence[Spot], tiles: Sequence[str], widths_m: Sequence[float]
) -> list[Seen]:
    """A frame's spots looked at closely, in order: each on the map of its tile (the path in the atlas), as if the frame
    were so wide on the ground. Raises DataError where a map is no longer there, or damaged.
    """
    looked: dict[tuple[float, float], LocalFeatures] = {}
    seen: list[Seen] = []
    for spot, tile, width_m in zip(spots, tiles, widths_m, strict=True):
        aerial = verifier.map_of(tile)
        unit_m = verifier.metres_per_pixel(aerial)
        if (width_m, unit_m) not in looked:
            looked[width_m, unit_m] = frame_features(pixels, width_m, unit_m)
        seen.append(_seen(verifier, aerial, spot, looked[width_m, unit_m], width_m, pixels.shape[0] / pixels.shape[1]))
    for number in sorted(range(len(seen)), key=lambda number: -seen[number].inliers)[:COMPARED]:
        if seen[number].inliers >= FEWEST_INLIERS:
            alike = _compared(verifier.map_of(tiles[number]), pixels, seen[number])
            seen[number] = replace(seen[number], agreement=alike)
    return seen


def frame_features(pixels: Pixels, width_m: float, unit_m: float) -> LocalFeatures:
    """The features of a frame that is so wide on the ground, looked at as finely as the map, in metres right and down
    of its middle.
    """
    rows, columns = pixels.shape[:2]
    scale = min(1.0, width_m / columns / unit_m)
    small = resized(pixels, (max(2, round(rows * scale)), max(2, round(columns * scale))))
    middle = np.array([small.shape[1], small.shape[0]]) / 2
    return features_of(small, FRAME_FEATURES).measured(middle, width_m / small.shape[1])


def _seen(verifier: Verifier, aerial: AerialMap, spot: Spot, frame: LocalFeatures, width_m: float, high: float) -> Seen:
    """`high` is the frame's height as a share of its width."""
    off_m = _OFF * verifier.finest_m
    point = aerial.points(np.array([[spot.position.lat, spot.position.lon]]))[0]
    reach_m = min(width_m * math.hypot(1, high) / 2 + off_m, _WIDEST * verifier.finest_m)
    there = verifier.around(aerial, point, reach_m)
    pairs = matched(frame, there, spot.heading_deg, off_m)
    within_m = _WITHIN_PX * verifier.metres_per_pixel(aerial)
    fit = similarity(frame.points[pairs[:, 0]], there.points[pairs[:, 1]], within_m)
    if fit is None or fit.inliers < FEWEST_INLIERS or not _plausible(fit, spot.heading_deg, off_m):
        inliers = fit.inliers if fit else 0
        return Seen(spot.position, spot.heading_deg, aerial.zone, width_m, len(pairs), inliers, 0.0)
    lat, lon = (float(part) for part in aerial.latlons((point + np.array([fit.right, -fit.down]))[None])[0])
    width_m *= fit.stretch
    return Seen(Position(lat, lon), fit.turn_deg, aerial.zone, width_m, len(pairs), fit.inliers, 0.0)


def _compared(aerial: AerialMap, pixels: Pixels, seen: Seen) -> float:
    """How alike frame and map are at a place: in the largest square that can be turned in the frame."""
    rows, columns = pixels.shape[:2]
    east_m, north_m = (float(part) for part in aerial.points(np.array([[seen.position.lat, seen.position.lon]]))[0])
    square_m = seen.width_m * min(rows, columns) / columns * ANY_TURN
    ground = aerial.read(Window(east_m, north_m, square_m, _SQUARE_PX))
    look = squares(pixels, [Look(seen.heading_deg)], (_SQUARE_PX, _SQUARE_PX))[0]
    return 0.0 if ground is None else agreement(look, ground)


def matched(frame: LocalFeatures, there: LocalFeatures, heading_deg: float, off_m: float) -> Pairs:
    """Features of a frame and of the map (both in metres from the same point) that are each other's most alike, among
    those that may be the same: within `off_m` east and north of where the heading makes expect them, about as wide and
    turned as that.
    """
    angle = math.radians(heading_deg)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    here, other = _within(frame.points @ turn, there.points, off_m)
    turned = _wrapped(there.angles_deg)[other] - _wrapped(frame.angles_deg + heading_deg)[here]
    most = round(_TURN_DEG * _WRAP_DEG)
    kept = (turned <= most) & (turned >= -most)  # the absolute of the lowest number of 16 bits is that number
    here, other = here[kept], other[kept]
    stretched = np.abs(np.log(there.widths)[other] - np.log(frame.widths)[here])
    kept = stretched <= math.log(_STRETCH)
    here, other = here[kept], other[kept]
    alike = np.einsum("nd,nd->n", frame.roots()[here], there.roots()[other])
    best = _first_of_each(here, alike) & _first_of_each(other, alike)
    return np.stack([here[best], other[best]], axis=1)


def _wrapped(angles_deg: Degrees) -> np.ndarray:
    """Angles as numbers of 16 bits that wrap where angles do, so that a difference is the shorter way round."""
    return np.round(angles_deg % 360 * _WRAP_DEG).astype(np.int64).astype(np.uint16).view(np.int16)


def _within(expected: Points, points: OtherPoints, off_m: float) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of all pairs of points that are at most `off_m` apart in both directions."""
    order = np.argsort(points[:, 0])
    first = np.searchsorted(points[order, 0], expected[:, 0] - off_m, side="left")
    last = np.searchsorted(points[order, 0], expected[:, 0] + off_m, side="right")
    count = last - first
    here = np.repeat(np.arange(len(expected)), count)
    along = np.arange(len(here)) - np.repeat(np.cumsum(count) - count, count)
    other = order[np.repeat(first, count) + along]
    near = np.abs(expected[here, 1] - points[other, 1]) <= off_m
    return here[near], other[near]


def _first_of_each(numbers: np.ndarray, alike: np.ndarray) -> np.ndarray:
    """Which pairs are the most alike of all pairs of their number; of equal ones the earliest."""
    order = np.lexsort((np.arange(len(numbers)), -alike, numbers))
    sorted_numbers = numbers[order]
    firsts = np.ones(len(numbers), dtype=np.bool_)
    firsts[1:] = sorted_numbers[1:] != sorted_numbers[:-1]
    first = np.zeros(len(numbers), dtype=np.bool_)
    first[order[firsts]] = True
    return first


def agreement(look: ResizedPixels, ground: Pixels) -> float:
    """How alike two squares of one size are (-1..1), seen coarsely: the least of the correlations of their brightness
    and of their two differences of colours, as fields of one shape differ in what grows on them.

    What has no contrast in one of them is not compared; 0 where nothing can be.
    """
    told = []
    for one, other in zip(_coarse_layers(look), _coarse_layers(ground), strict=True):
        if min(one.std(), other.std()) >= _LEAST_CONTRAST:
            told.append(float(np.corrcoef(one, other)[0, 1]))
    return min(told, default=0.0)


def _coarse_layers(square: ResizedPixels) -> np.ndarray:
    """Brightness, red without green and blue without green, each over _CELLS x _CELLS cells: (3, cells)."""
    red, green, blue = np.moveaxis(square.astype(np.float64), 2, 0)
    layers = np.stack([(red + green + blue) / 3, red - green, blue - green])
    step = len(red) // _CELLS
    return np.asarray(layers.reshape(3, _CELLS, step, _CELLS, step).mean(axis=(2, 4)).reshape(3, -1))


def best_of(seen: Sequence[Seen]) -> int:
    """The number of the place that the map speaks for most, or 0, the likeliest, where it speaks for none."""
    best = max(range(len(seen)), key=lambda number: seen[number].support)
    return best if seen[best].support > 0 else 0


def _plausible(fit: Similarity, heading_deg: float, off_m: float) -> bool:
    """Whether the frame still lies about where it was looked for, as wide and turned as that."""
    turned = abs((fit.turn_deg - heading_deg + 180) % 360 - 180)
    near = math.hypot(fit.right, fit.down) <= 1.5 * off_m
    return near and turned <= _TURN_DEG and 1 / _STRETCH <= fit.stretch <= _STRETCH
