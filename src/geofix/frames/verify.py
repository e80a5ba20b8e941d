"""Verification: the map at the likeliest places is compared with a frame by local features.

Descriptors of tiles say where a frame may lie; how many features of the frame lie on the ground just as they lie in the
frame says whether it does, and where to a metre.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from geofix.atlas.rows import Rows, TileColumns
from geofix.atlas.spots import Spot
from geofix.atlas.store import Atlas
from geofix.data.maps.aerial_map import AerialMap
from geofix.data.maps.source import Window
from geofix.encode import Progress
from geofix.frames.landmarks import Guess, Landmarks, Votes, few_enough, guesses, look
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
from geofix.frames.map_features import Chunk, MapFeatures
from geofix.photos import resized
from geofix.positions import Position
from geofix.shapes import Degrees, Pixels, ResizedPixels

FEWEST_INLIERS = 6  # that may lie as in the frame for a reason
ENOUGH = 25.0  # support of a place: no further ones are looked at
COMPARED = 5  # places, those with most inliers, at which frame and map are compared as a whole
MAP_PX = 128  # of the map, along the side of its smallest tiles; coarser maps as they are
FRAME_FEATURES = 500
_WIDEST = 8.0  # smallest tiles, from its middle, that are looked at of a frame
_OFF = 0.5  # of the smallest tile's side: how far off a place may be
_TURN_DEG = 20.0  # off: looks are 15 degrees apart
_STRETCH = 1.35  # off, where the camera is unknown by up to 1.1
_WITHIN_PX = 3.0
_WRAP_DEG = 65_536 / 360
_SQUARE_PX, _CELLS = 64, 16  # of the square that is compared as a whole: a side, and cells along it
_LEAST_CONTRAST = 1.0  # of 255


@dataclass(frozen=True, slots=True)
class Hint:
    """Where a frame may lie: a spot on the map of a tile (its path in the atlas), and how wide the frame is there."""

    spot: Spot
    tile: str
    width_m: float


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
    """The maps that the searched tiles of an atlas (`rows`) were cut from, and the local features found on them.

    `finest_m` is the side of the atlas's smallest tiles. Raises MissingExtraError without OpenCV.
    """

    atlas: Atlas
    rows: Rows
    finest_m: float
    _maps: dict[Path, AerialMap] = field(default_factory=dict, repr=False)
    _features: dict[Path, MapFeatures] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        require()

    @classmethod
    def of(cls, atlas: Atlas, rows: Rows | None = None) -> Verifier:
        """The maps of an atlas of tiles, one at least, where these rows of it are searched, or all."""
        tiles = atlas.rows.tiles
        assert tiles is not None
        return cls(atlas, atlas.rows if rows is None else rows, float(tiles.sides_m.min()))

    @property
    def tiles(self) -> TileColumns:
        """What the searched rows show."""
        assert self.rows.tiles is not None
        return self.rows.tiles

    def map_of(self, tile: str) -> AerialMap:
        """The map that a tile is of. Raises DataError where it is no longer there."""
        file = self.atlas.file_of(tile)
        if file not in self._maps:
            self._maps[file] = self.atlas.map_at(file)
        return self._maps[file]

    def _metres_per_pixel(self, aerial: AerialMap) -> float:
        """How finely a map is looked at."""
        return max(aerial.metres_per_pixel, self.finest_m / MAP_PX)

    def features_of(self, aerial: AerialMap) -> MapFeatures:
        """The local features of a map."""
        if aerial.path not in self._features:
            kept = self.atlas.features_of(aerial.fingerprint)
            self._features[aerial.path] = MapFeatures(aerial, self._metres_per_pixel(aerial), kept)
        return self._features[aerial.path]

    def look(self, progress: Progress | None = None) -> None:
        """Look for local features on all of the ground that is searched; what was looked at before lies in the atlas.

        Ground too large to be searched by landmarks is left for when places on it are verified. Raises DataError where
        a map is no longer there, or damaged.
        """
        if few_enough([chunks for _, chunks in self._ground]):
            look(self._ground, progress)

    @cached_property
    def landmarks(self) -> Landmarks | None:
        """The local features of all of the ground that is searched; None where that is too large."""
        return Landmarks(self._ground) if few_enough([chunks for _, chunks in self._ground]) else None

    @cached_property
    def _ground(self) -> list[tuple[MapFeatures, list[Chunk]]]:
        """The maps of the searched tiles, and which chunks of each show any of them."""
        return [
            (one, one.chunks_of(one.aerial.points(self.rows.latlons[numbers]), self.tiles.sides_m[numbers]))
            for one, numbers in self._of_each_map(np.arange(len(self.rows)))
        ]

    @cached_property
    def _a_tile_of_each(self) -> list[str]:
        return [self.rows.paths[own[0]] for _, own in self._of_each_map(np.arange(len(self.rows)))]

    def _of_each_map(self, numbers: np.ndarray) -> list[tuple[MapFeatures, np.ndarray]]:
        """The maps of some of the searched tiles, and the numbers of those of each."""
        files = np.array(self.rows.groups)
        groups = [numbers[files[numbers] == file] for file in dict.fromkeys(self.rows.groups)]
        return [(self.features_of(self.map_of(self.rows.paths[own[0]])), own) for own in groups if len(own)]

    def guesses(
        self, frame: FrameFeatures, widths_m: Sequence[float], without: np.ndarray | None = None
    ) -> list[Guess]:
        """The places that a frame's features point to, looked at as if it were so wide on the ground, each one of these
        widths; without what tiles number `without` show. None where the ground is too large.
        """
        landmarks = self.landmarks
        if landmarks is None:
            return []
        kept = None
        if without is not None and len(without):
            kept = np.ones(len(landmarks), dtype=np.bool_)
            for one, numbers in self._of_each_map(without):
                middles = one.aerial.points(self.rows.latlons[numbers])
                kept &= landmarks.outside(landmarks.maps.index(one), middles, self.tiles.sides_m[numbers])
        units_m = {one.unit_m for one in landmarks.maps}
        parts = [
            landmarks.votes(frame.of(width_m, unit_m), width_m, kept)
            for width_m, unit_m in itertools.product(widths_m, sorted(units_m))
        ]
        found = guesses(Votes.joined(parts))
        nearest_m = [min(widths_m, key=lambda width_m: abs(math.log(width_m / one.width_m))) for one in found]
        return [replace(one, width_m=width_m) for one, width_m in zip(found, nearest_m, strict=True)]

    def position_of(self, guess: Guess) -> tuple[Position, int, str]:
        """Where a guess lies, the zone of its map, and a tile of that map."""
        assert self.landmarks is not None
        aerial = self.landmarks.maps[guess.on].aerial
        lat, lon = (float(part) for part in aerial.latlons(np.array([guess.point]))[0])
        return Position(lat, lon), aerial.zone, self._a_tile_of_each[guess.on]


@dataclass(frozen=True, eq=False)
class FrameFeatures:
    """A frame and its local features, found once for every width that it is looked at with."""

    pixels: Pixels
    _found: dict[tuple[float, float], LocalFeatures] = field(default_factory=dict, repr=False)

    def of(self, width_m: float, unit_m: float) -> LocalFeatures:
        """The features of the frame if it is so wide on the ground, looked at as finely as the map, in metres right and
        down of its middle.
        """
        if (width_m, unit_m) not in self._found:
            rows, columns = self.pixels.shape[:2]
            scale = min(1.0, width_m / columns / unit_m)
            small = resized(self.pixels, (max(2, round(rows * scale)), max(2, round(columns * scale))))
            middle = np.array([small.shape[1], small.shape[0]]) / 2
            found = features_of(small, FRAME_FEATURES).measured(middle, width_m / small.shape[1])
            self._found[width_m, unit_m] = found
        return self._found[width_m, unit_m]


def seen_at(verifier: Verifier, frame: FrameFeatures, hints: Sequence[Hint]) -> list[Seen]:
    """Hints for a frame looked at closely, in order. Raises DataError where a map is no longer there, or damaged."""
    pixels = frame.pixels
    high = pixels.shape[0] / pixels.shape[1]
    seen: list[Seen] = []
    for hint in hints:
        there = verifier.features_of(verifier.map_of(hint.tile))
        seen.append(_seen(there, verifier.finest_m, hint, frame.of(hint.width_m, there.unit_m), high))
    for number in sorted(range(len(seen)), key=lambda number: -seen[number].inliers)[:COMPARED]:
        if seen[number].inliers >= FEWEST_INLIERS:
            alike = _compared(verifier.map_of(hints[number].tile), pixels, seen[number])
            seen[number] = replace(seen[number], agreement=alike)
    return seen


def _seen(ground: MapFeatures, finest_m: float, hint: Hint, frame: LocalFeatures, high: float) -> Seen:
    """`high` is the frame's height as a share of its width."""
    spot, width_m = hint.spot, hint.width_m
    off_m = _OFF * finest_m
    aerial = ground.aerial
    point = aerial.points(np.array([[spot.position.lat, spot.position.lon]]))[0]
    there = ground.around(point, min(width_m * math.hypot(1, high) / 2 + off_m, _WIDEST * finest_m))
    pairs = matched(frame, there, spot.heading_deg, off_m)
    fit = similarity(frame.points[pairs[:, 0]], there.points[pairs[:, 1]], _WITHIN_PX * ground.unit_m)
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


def best_of(seen: Sequence[Seen], likeliest: int = 0) -> int:
    """The number of the place that the map speaks for most; `likeliest` where it speaks for none."""
    best = max(range(len(seen)), key=lambda number: seen[number].support)
    return best if seen[best].support > 0 else likeliest


def _plausible(fit: Similarity, heading_deg: float, off_m: float) -> bool:
    """Whether the frame still lies about where it was looked for, as wide and turned as that."""
    turned = abs((fit.turn_deg - heading_deg + 180) % 360 - 180)
    near = math.hypot(fit.right, fit.down) <= 1.5 * off_m
    return near and turned <= _TURN_DEG and 1 / _STRETCH <= fit.stretch <= _STRETCH
