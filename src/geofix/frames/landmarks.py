"""Landmarks: all local features of the ground that is searched, and the places that a frame's own features point to.

Each feature of a frame has a position, a width and a direction. So has each feature of the map that looks like it, and
the two together say where the frame would lie, how it would be turned and how wide it would be, if they were the same
thing. Where a frame belongs many of them say the same (Lowe 2004, "Distinctive image features from scale-invariant
keypoints", sections 7.2 and 7.3). No descriptor of a tile takes part: fields that look alike from above differ in where
their spots lie.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from scipy.spatial import cKDTree

from geofix.encode import Progress
from geofix.frames.local_features import LocalFeatures
from geofix.frames.map_features import MOST_CHUNKS, Chunk, MapFeatures
from geofix.search import ApproximateGallery
from geofix.shapes import Degrees, Metres, PlanePoints

GUESSES = 8  # places of one frame
_ALIKE = 4  # features of the map that a feature of the frame may be
# Votes that are this near speak for one place: in shares of the frame's width, degrees, and by what factor in width.
_APART, _TURN_DEG, _STRETCH = 0.12, 22.0, 1.35

Numbers = Int[np.ndarray, " n"]


@dataclass(frozen=True, slots=True)
class Guess:
    """A place that `votes` features of a frame point to: the middle of the frame in the plane of map number `on`
    (easting, northing), the heading of its upper edge from grid north, and its width on the ground.
    """

    on: int
    point: tuple[float, float]
    heading_deg: float
    width_m: float
    votes: int


@dataclass(frozen=True, slots=True, eq=False)
class Votes:
    """What pairs of a frame's and a map's features say: where the frame's middle would lie (n, 2), from which heading
    and how wide it would be, and which feature of the frame says so, on which map.
    """

    middles: PlanePoints
    headings_deg: Degrees
    widths_m: Metres
    features: Numbers
    maps: Numbers

    def take(self, rows: np.ndarray) -> Votes:
        """Some votes, by number."""
        return Votes(*(getattr(self, name)[rows] for name in self.__slots__))

    @classmethod
    def joined(cls, parts: Sequence[Votes]) -> Votes:
        """All of them; features of different parts are different ones."""
        first = np.cumsum([0, *(one.features.max(initial=-1) + 1 for one in parts)])
        moved = [one.features + start for one, start in zip(parts, first, strict=False)]
        columns = {name: np.concatenate([getattr(one, name) for one in parts]) for name in cls.__slots__}
        return cls(**{**columns, "features": np.concatenate(moved)})


class Landmarks:
    """Every local feature of some maps where they are searched: of n, where they lie in the planes of their maps (n, 2:
    easting, northing), how wide they are, their directions, and `on` (n,) which of the `maps`.
    """

    def __init__(self, ground: Sequence[tuple[MapFeatures, Sequence[Chunk]]]) -> None:
        """Look at these chunks of each map, or take what is kept of them."""
        self.maps = [one for one, _ in ground]
        parts = [(number, one.chunk(chunk)[0]) for number, (one, chunks) in enumerate(ground) for chunk in chunks]
        features = LocalFeatures.joined([found for _, found in parts])
        self.points: PlanePoints = features.points * [1, -1]
        self.widths_m, self.angles_deg = features.widths, features.angles_deg
        lengths = [len(found) for _, found in parts]
        self.on: Numbers = np.repeat(np.array([number for number, _ in parts], dtype=np.int64), lengths)
        self._gallery = ApproximateGallery(features.roots())

    def __len__(self) -> int:
        return len(self.points)

    def votes(self, frame: LocalFeatures, width_m: float, kept: np.ndarray | None = None) -> Votes:
        """What the features of a frame, in metres right and down of its middle as if it were so wide on the ground, say
        with those of the map (only such as are `kept`, if that is said) that are most alike.
        """
        alike = self._gallery.nearest(frame.roots(), _ALIKE, kept)
        here, column = np.nonzero(alike >= 0)
        there = alike[here, column]
        stretch = self.widths_m[there] / frame.widths[here]
        heading_deg = (self.angles_deg[there] - frame.angles_deg[here]) % 360
        turn = np.radians(heading_deg)
        right, down = (frame.points[here] * stretch[:, None]).T
        east = right * np.cos(turn) - down * np.sin(turn)
        south = right * np.sin(turn) + down * np.cos(turn)
        middles = self.points[there] - np.stack([east, -south], axis=1)
        return Votes(middles, heading_deg, width_m * stretch, here, self.on[there])

    def outside(self, number: int, middles: PlanePoints, sides_m: np.ndarray) -> np.ndarray:
        """(n,) which features do not lie in any of these squares of the plane of map `number`."""
        free = np.ones(len(self), dtype=np.bool_)
        own = np.flatnonzero(self.on == number)
        for side_m in np.unique(sides_m):
            tree = cKDTree(middles[sides_m == side_m])
            apart_m, _ = tree.query(self.points[own], p=np.inf, distance_upper_bound=side_m / 2)
            free[own[np.isfinite(apart_m)]] = False
        return free


def look(ground: Sequence[tuple[MapFeatures, Sequence[Chunk]]], progress: Progress | None = None) -> None:
    """Look at chunks that were not looked at before, so that `Landmarks` finds them kept."""
    fresh = [(one, chunk) for one, chunks in ground for chunk in chunks if not one.is_kept(chunk)]
    for done, (one, chunk) in enumerate(fresh, start=1):
        one.chunk(chunk)
        if progress:
            progress(done, len(fresh))


def few_enough(chunks: Sequence[Sequence[Chunk]]) -> bool:
    """Whether the ground is small enough to be searched by landmarks."""
    return sum(len(named) for named in chunks) <= MOST_CHUNKS


def guesses(votes: Votes, most: int = GUESSES) -> list[Guess]:
    """The places that most different features of the frame vote for, each vote for one place at most."""
    if not len(votes.features):
        return []
    turn = np.radians(votes.headings_deg)
    chord = 2 * math.sin(math.radians(_TURN_DEG) / 2)
    apart_m = _APART * float(np.median(votes.widths_m))
    places = np.stack(
        [
            *(votes.middles / apart_m).T,
            np.cos(turn) / chord,
            np.sin(turn) / chord,
            np.log(votes.widths_m) / math.log(_STRETCH),
            votes.maps * 2.0,  # those of two maps are never near
        ],
        axis=1,
    )
    near = cKDTree(places).query_pairs(1.0, output_type="ndarray")
    every = np.arange(len(places))
    one, other = np.concatenate([near[:, 0], near[:, 1], every]), np.concatenate([near[:, 1], near[:, 0], every])
    # How many different features speak for the place of each vote.
    said = np.unique(np.stack([one, votes.features[other]], axis=1), axis=0)
    count = np.bincount(said[:, 0], minlength=len(places))
    order = np.argsort(one, kind="stable")
    starts = np.searchsorted(one[order], np.arange(len(places) + 1))
    free = np.ones(len(places), dtype=np.bool_)
    found: list[Guess] = []
    for vote in np.lexsort((np.arange(len(count)), -count)):
        if len(found) == most:
            break
        if free[vote]:
            members = other[order[starts[vote] : starts[vote + 1]]]
            free[members] = False
            east, north = (float(part) for part in votes.middles[vote])
            heading, width_m = float(votes.headings_deg[vote]), float(votes.widths_m[vote])
            found.append(Guess(int(votes.maps[vote]), (east, north), heading, width_m, int(count[vote])))
    return found
