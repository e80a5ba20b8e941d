"""Frames from the air and an atlas of map tiles -> Fixes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from geofix.atlas.calibration import FALSE_REJECTION, Calibration
from geofix.atlas.rows import Rows, TileColumns
from geofix.atlas.spots import (
    PER_LOOK,
    PLACES,
    POOL,
    POOL_PER_LOOK,
    ROUNDS,
    TILES,
    Found,
    Spot,
    found_tiles,
    spot_near,
    spots_of,
)
from geofix.encode import Inference, Progress, encode_views
from geofix.errors import PhotoError
from geofix.fixes import Fix, Match
from geofix.frames.looks import (
    ANY_TURN,
    Camera,
    Look,
    headings,
    looks_with_camera,
    looks_without_camera,
    squares,
)
from geofix.frames.verify import ENOUGH, FrameFeatures, Hint, Seen, Verifier, best_of, seen_at
from geofix.models.runs import Run
from geofix.photos import read_pixels
from geofix.positions import Position, grid_convergence_deg
from geofix.recipes import Precision
from geofix.search import nearest
from geofix.shapes import DescriptorRows, Pixels

TURNS = 24  # directions that a frame is looked at in: every 15 degrees
SHARES = (1.0, 0.82)  # of the frame, where its width on the ground is not known: halfway between scales 1.5 apart
MATCHES = 20  # that a Fix names
UNLEARNED_RADIUS_M = 5.0  # of a place that the map speaks for, where nothing was learned
SURELY = 2  # places that landmarks point to most: where these are right no others are looked at
_HALF_SURE = 20.0


@dataclass(frozen=True, eq=False)
class Searched:
    """The tiles of an atlas, ready to be compared with frames; `camera` is None where nothing is known of it, and
    `verifier` where places are not verified on the map.
    """

    rows: Rows
    inference: Inference
    camera: Camera | None = None
    verifier: Verifier | None = None
    turns: tuple[float, ...] = tuple(headings(TURNS))
    _scales: dict[float, tuple[np.ndarray, DescriptorRows]] = field(default_factory=dict, repr=False)

    @property
    def tiles(self) -> TileColumns:
        """What the rows show."""
        assert self.rows.tiles is not None
        return self.rows.tiles

    @property
    def evidence_length(self) -> int:
        """How many numbers the evidence of a place is."""
        return 3 if self.verifier is None else 5

    def looks(self, rows: int, columns: int) -> list[Look]:
        """How a frame of that size is looked at."""
        if self.camera is None:
            return looks_without_camera(self.turns, SHARES)
        square_m = self.camera.turned_square_m(rows, columns)
        return looks_with_camera(self.turns, square_m, np.unique(self.tiles.sides_m).tolist())

    def described(self, pixels: Pixels, looks: Sequence[Look]) -> DescriptorRows:
        """The descriptors (q, d) of looks at a frame."""
        pictures = squares(pixels, looks, self.inference.preprocess.size)
        return encode_views(self.inference, pictures, lambda one: [one], ["the frame"] * len(pictures)).single

    def found(self, descriptors: DescriptorRows, looks: Sequence[Look], without: np.ndarray | None = None) -> Found:
        """The tiles most alike to a frame's looks (q, d), more of them with a verifier; rows `without` are as if they
        were not there.
        """
        per_look, most = (PER_LOOK, TILES) if self.verifier is None else (POOL_PER_LOOK, POOL)
        parts = []
        for scale_m in dict.fromkeys(one.scale_m for one in looks):
            asked = np.flatnonzero([one.scale_m == scale_m for one in looks])
            searched, vectors = self._of_scale(scale_m)
            if without is not None:
                kept = ~np.isin(searched, without)
                searched, vectors = searched[kept], np.ascontiguousarray(vectors[kept])
            if len(searched):
                apart, tiles = nearest(descriptors[asked], vectors, per_look)
                parts.append((asked, apart, np.where(tiles >= 0, searched[tiles], -1)))
        if not parts:
            return Found.none()
        looked, apart, tiles = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return found_tiles(apart, tiles, np.array([looks[number].heading_deg for number in looked]), most)

    def _of_scale(self, scale_m: float | None) -> tuple[np.ndarray, DescriptorRows]:
        """The rows of one scale, or all, and their descriptors; taken out once, not for every frame."""
        if scale_m is None:
            return np.arange(len(self.rows)), self.rows.vectors
        if scale_m not in self._scales:
            rows = np.flatnonzero(self.tiles.sides_m == scale_m)
            self._scales[scale_m] = rows, np.ascontiguousarray(self.rows.vectors[rows])
        return self._scales[scale_m]

    def spot(self, found: Found) -> Spot:
        """The spot of found tiles, one at least."""
        return self._spots(found, 1)[0]

    def _spots(self, found: Found, most: int) -> list[Spot]:
        zone = int(self.tiles.planes[found.tiles[0]]) % 100
        return spots_of(found, self.rows.latlons[found.tiles], self.tiles.sides_m[found.tiles], zone, most)

    def place(self, pixels: Pixels, found: Found, without: np.ndarray | None = None) -> Place:
        """Where a frame lies by the tiles found, one at least: at their spot or, with a verifier, at the place that the
        map itself speaks for, of those that landmarks point to and of the spots of the tiles. Rows `without` are as if
        they were not there.
        """
        if self.verifier is None:
            return Place.at_spot(self.spot(found), found, float(self.tiles.sides_m.min()))
        frame = FrameFeatures(pixels)
        pointed = self._landmarked(self.verifier, frame, found, without)
        hints: list[Hint] = []
        seen: list[Seen] = []
        for some in self._rounds(pointed, pixels, found):
            hints += some
            seen += seen_at(self.verifier, frame, some)
            if any(one.support >= ENOUGH for one in seen):
                break
        # Where the map speaks for no place, it is the one that most tiles speak for.
        best = best_of(seen, likeliest=len(pointed))
        return Place.verified(hints[best].spot, seen[best], found)

    def _rounds(self, pointed: list[Hint], pixels: Pixels, found: Found) -> Iterator[list[Hint]]:
        """What to look at closely, in turn; the places that tiles point to are worked out where it comes to them."""
        yield pointed[:SURELY]
        yield pointed[SURELY:]
        by_tiles = self._hinted(pixels, found)
        for first in range(0, len(by_tiles), PLACES):
            yield by_tiles[first : first + PLACES]

    def _hinted(self, pixels: Pixels, found: Found) -> list[Hint]:
        """The places that tiles point to; of a spot's tiles the first is the most alike."""
        spots = self._spots(found, PLACES * ROUNDS)
        nearest_tiles = [int(found.tiles[spot.members[0]]) for spot in spots]
        widths_m = self._widths_m(pixels, nearest_tiles)
        return [
            Hint(spot, self.rows.paths[tile], width_m)
            for spot, tile, width_m in zip(spots, nearest_tiles, widths_m, strict=True)
        ]

    def _landmarked(
        self, verifier: Verifier, frame: FrameFeatures, found: Found, without: np.ndarray | None
    ) -> list[Hint]:
        """The places that landmarks point to, with what the found tiles say for each."""
        _, one_of_each_side = np.unique(self.tiles.sides_m, return_index=True)
        widths_m = sorted(set(self._widths_m(frame.pixels, one_of_each_side.tolist())))
        places, sides_m = self.rows.latlons[found.tiles], self.tiles.sides_m[found.tiles]
        hints = []
        for guess in verifier.guesses(frame, widths_m, without):
            position, zone, tile = verifier.position_of(guess)
            spot = spot_near(found, places, sides_m, zone, position, guess.heading_deg)
            hints.append(Hint(spot, tile, guess.width_m))
        return hints

    def _widths_m(self, pixels: Pixels, tiles: Sequence[int]) -> list[float]:
        """How wide a frame is on the ground if it was found on these tiles."""
        rows, columns = pixels.shape[:2]
        if self.camera is not None:
            return [self.camera.turned_square_m(rows, columns) / ANY_TURN * columns / min(rows, columns)] * len(tiles)
        # Which of the shares it was found with is not kept; between them it is wrong by a tenth at most.
        middle_share = math.sqrt(math.prod(SHARES))
        squares_m = self.tiles.sides_m[list(tiles)] / middle_share
        return [float(side_m) / ANY_TURN * columns / min(rows, columns) for side_m in squares_m]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a frame lies: the position of its middle, the heading of its upper edge from grid north of UTM `zone`, the
    evidence for both as a calibration takes it, and the tiles that speak for it.

    `order` (0..1) and `radius_m` stand for confidence and radius where nothing was calibrated; `doubt` says what the
    evidence is, in words.
    """

    position: Position
    heading_deg: float
    zone: int
    evidence: tuple[float, ...]
    found: Found
    order: float
    radius_m: float
    doubt: str

    @classmethod
    def at_spot(cls, spot: Spot, found: Found, finest_m: float) -> Place:
        """A spot as it is. Its order is half the share of the evidence there, its radius holds 90 % of that, or a
        quarter of the smallest tiles' side (`finest_m`).
        """
        doubt = f"only {spot.share:.0%} of the evidence of the best {len(found.tiles)} tiles lies at one spot"
        radius_m = max(spot.spread_m, finest_m / 4)
        return cls(spot.position, spot.heading_deg, spot.zone, spot.evidence, found, spot.share / 2, radius_m, doubt)

    @classmethod
    def verified(cls, spot: Spot, seen: Seen, found: Found) -> Place:
        """A spot as it was seen on the map. Its order is 0.5 for 20 inliers that agree wholly, and nears 1 with more;
        where the map does not speak for it the radius is that of the tiles.
        """
        doubt = f"only {seen.inliers} of {seen.matched} local features lie on the map as they do in the frame"
        evidence = (*seen.evidence, *spot.evidence)
        order = seen.support / (seen.support + _HALF_SURE)
        if not order:
            return cls(spot.position, spot.heading_deg, spot.zone, evidence, found, order, spot.spread_m, doubt)
        # Tiles elsewhere were looked at and are out of it.
        left = found.take(spot.members)
        return cls(seen.position, seen.heading_deg, seen.zone, evidence, left, order, UNLEARNED_RADIUS_M, doubt)


def searched_tiles(
    run: Run,
    rows: Rows,
    camera: Camera | None = None,
    precision: Precision | None = None,
    verifier: Verifier | None = None,
) -> Searched:
    """Tiles and the encoder that described them, made ready."""
    return Searched(rows, Inference(run.encoder, precision or run.encoder.recipe.precision), camera, verifier)


def locate_frames(
    frames: Sequence[Path],
    searched: Searched,
    calibration: Calibration | None,
    min_confidence: float,
    progress: Progress | None = None,
) -> list[Fix]:
    """One Fix a frame, in order: the ground in the middle of the frame, and the heading of its upper edge.

    A frame that cannot be read has its `error` set; where the evidence is weaker than `min_confidence` the Fix has no
    position and says why.
    """
    if not len(searched.rows):
        return [Fix(str(path), reason="can't tell: the atlas has no tile there") for path in frames]
    fixes = []
    for done, path in enumerate(frames, start=1):
        try:
            fixes.append(fix_of(str(path), read_pixels(path), searched, calibration, min_confidence)[0])
        except PhotoError as error:
            fixes.append(Fix(str(path), reason="the photo could not be read", error=str(error)))
        if progress:
            progress(done, len(frames))
    return fixes


def fix_of(
    frame: str,
    pixels: Pixels,
    searched: Searched,
    calibration: Calibration | None,
    min_confidence: float,
    without: np.ndarray | None = None,
) -> tuple[Fix, Found]:
    """The Fix of one frame, and the tiles that it was made of; rows `without` are as if they were not there."""
    looks = searched.looks(*pixels.shape[:2])
    found = searched.found(searched.described(pixels, looks), looks, without)
    return fix_by_tiles(frame, pixels, found, searched, calibration, min_confidence, without)


def fix_by_tiles(
    frame: str,
    pixels: Pixels,
    found: Found,
    searched: Searched,
    calibration: Calibration | None,
    min_confidence: float,
    without: np.ndarray | None = None,
) -> tuple[Fix, Found]:
    """The Fix of a frame that resembles these tiles, and those of them that speak for it; rows `without` are as if they
    were not there.
    """
    if not len(found.tiles):
        return Fix(frame, reason="can't tell: the map has no tile to compare with"), found
    place = searched.place(pixels, found, without)
    confidence, radius_m = certainty(place, calibration)
    told = Fix(frame, confidence=confidence, calibrated=calibration is not None, matches=_matches(searched.rows, found))
    if confidence < min_confidence:
        return replace(told, reason=_doubt(place, confidence, calibration, min_confidence)), place.found
    return replace(told, position=place.position, radius_m=radius_m, heading_deg=_true_heading(place)), place.found


def _doubt(place: Place, confidence: float, calibration: Calibration | None, min_confidence: float) -> str:
    """Why nothing is told: most likely not on this map, where few frames that are on one have so little confidence."""
    least = None if calibration is None else calibration.least
    if least is not None and confidence < least:
        known = (
            f"confidence {confidence:.2f}; {FALSE_REJECTION:.0%} of the frames that are on a map are below {least:.2f}"
        )
        return f"can't tell, most likely not on this map: {place.doubt} ({known})"
    below = f"confidence {confidence:.2f}, below {min_confidence:.2f}"
    return f"can't tell, perhaps not on this map: {place.doubt} ({below})"


def certainty(place: Place, calibration: Calibration | None) -> tuple[float, float]:
    """Confidence and radius in metres. Without a calibration they are an order and not a promise, see `Place`."""
    if calibration is None:
        return place.order, place.radius_m
    confidence = calibration.confidence(place.evidence)
    return confidence, calibration.radius(confidence)


def _true_heading(place: Place) -> float:
    """From grid north, along which tiles are cut, to true north."""
    return (place.heading_deg + grid_convergence_deg(place.position, place.zone)) % 360 % 360


def _matches(rows: Rows, found: Found) -> tuple[Match, ...]:
    assert rows.tiles is not None
    matches = []
    for tile, apart, heading_deg in zip(found.tiles[:MATCHES], found.distances, found.headings_deg, strict=False):
        lat, lon = (float(part) for part in rows.latlons[tile])
        south, west, north, east = (float(side) for side in rows.tiles.bounds[tile])
        score = float(1 - apart**2 / 2)
        bounds = (south, west, north, east)
        matches.append(Match(rows.paths[tile], Position(lat, lon), score, float(heading_deg), bounds))
    return tuple(matches)
