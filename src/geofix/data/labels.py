"""Labels of photos: the country (by code, folder or position) and the scene of each, for learning and for scoring."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geofix.data.places import Split
from geofix.errors import DataError, PhotoError, first_few
from geofix.geography.codes import at_level, known_codes
from geofix.geography.countries import countries_at
from geofix.geography.swapped import seems_swapped
from geofix.photos import Photo
from geofix.positions import latlons
from geofix.scenes.places365 import INDOOR


@dataclass(frozen=True, slots=True)
class Labelled:
    """Photos with a label each (n), the scene of each or None (n), and the group (n) that a photo is not independent
    of: its location, sequence or photographer, or itself.
    """

    photos: tuple[Photo, ...]
    labels: tuple[str, ...]
    scenes: tuple[str | None, ...]
    groups: tuple[str, ...]

    def __post_init__(self) -> None:
        if len({len(self.photos), len(self.labels), len(self.scenes), len(self.groups)}) != 1:
            raise ValueError("photos, labels, scenes and groups must have the same length")

    def __len__(self) -> int:
        return len(self.photos)

    def take(self, rows: Sequence[int] | np.ndarray) -> Labelled:
        """Those rows, in that order."""
        numbers = [int(row) for row in rows]
        return Labelled(
            tuple(self.photos[row] for row in numbers),
            tuple(self.labels[row] for row in numbers),
            tuple(self.scenes[row] for row in numbers),
            tuple(self.groups[row] for row in numbers),
        )

    def with_scenes(self, scenes: Sequence[str | None]) -> Labelled:
        """The same photos with these scenes."""
        return Labelled(self.photos, self.labels, tuple(scenes), self.groups)

    @property
    def clusters(self) -> tuple[str, ...]:
        """What is independent of each other: the photographer where one is named, as all their sequences tell of the
        same habits and journeys, else the group."""
        return tuple(photo.author or group for photo, group in zip(self.photos, self.groups, strict=True))

    @property
    def counts(self) -> dict[str, int]:
        """How many photos carry each label, labels sorted."""
        return dict(sorted(Counter(self.labels).items()))


def labelled_countries(split: Split, level: str, problems: list[PhotoError]) -> Labelled:
    """Every photo of a split whose country is known, at a level: what a table says, else the name of its class folder,
    else the polygon that its position lies in. The others are appended to `problems`.

    Raises DataError where no photo has a country.
    """
    codes = _codes(split.photos, problems)
    kept = [(photo, at_level(code, level)) for photo, code in zip(split.photos, codes, strict=True) if code]
    if not kept:
        raise DataError(
            f"None of the {len(split.photos)} photos of split {split.name!r} has a country; class folders named by ISO "
            "code (train/FR/*.jpg), or a table with a column `country`, or lat and lon, are expected."
        )
    return _labelled(kept)


def labelled_scenes(split: Split) -> Labelled:
    """Every photo of a split with its scene: what a table says, else the name of its class folder; indoors is city.

    Raises DataError where a photo has neither.
    """
    named = [(photo, _scene(photo.scene or photo.place)) for photo in split.photos]
    lacking = [photo.name for photo, scene in named if scene is None]
    if lacking:
        raise DataError(
            f"{len(lacking)} of {len(named)} photos of split {split.name!r} have no scene ({first_few(lacking, 3)}); "
            "class folders named by scene (train/coast/*.jpg), or a table with a column `scene`, are expected."
        )
    return _labelled([(photo, str(scene)) for photo, scene in named])


def _labelled(kept: Sequence[tuple[Photo, str]]) -> Labelled:
    photos = tuple(photo for photo, _ in kept)
    return Labelled(
        photos,
        tuple(label for _, label in kept),
        tuple(_scene(photo.scene) for photo in photos),
        tuple(photo.group or photo.name for photo in photos),
    )


def _scene(said: str | None) -> str | None:
    """A scene as it is learned, in lower case. There is none for indoors; as the paper's system must, that counts as
    city (docs/scenes.md).
    """
    return "city" if said and said.lower() == INDOOR else said and said.lower()


def _codes(photos: Sequence[Photo], problems: list[PhotoError]) -> list[str]:
    """The code of each photo at the level of territories; "" where there is none. Raises DataError for positions whose
    latitude and longitude are exchanged.
    """
    known = set(known_codes())
    stated = [photo.country or photo.place or "" for photo in photos]
    found = [code if code in known else "" for code in stated]
    placed = [row for row, photo in enumerate(photos) if not stated[row] and photo.position is not None]
    if placed:
        points = latlons([position for row in placed if (position := photos[row].position) is not None])
        if swapped := seems_swapped(points):
            raise DataError(f"{swapped} Countries would be learned from the wrong places.")
        for row, code in zip(placed, countries_at(points).codes, strict=True):
            found[row] = str(code)
    for photo, said, code in zip(photos, stated, found, strict=True):
        if not code:
            problems.append(_without_country(photo, said))
    return found


def _without_country(photo: Photo, said: str) -> PhotoError:
    if said:
        meant = f" (did you mean {said.upper()}?)" if said.upper() in known_codes() else ""
        return PhotoError(
            f"{photo.name} is said to be in {said!r}, which is no country code{meant}; two capitals of ISO 3166-1 are "
            "expected, as in FR."
        )
    if photo.position is None:
        return PhotoError(f"{photo.name} has neither a country nor a position; it is left out.")
    where = f"{photo.position.lat:.4f}, {photo.position.lon:.4f}"
    return PhotoError(f"{photo.name} lies at {where}, in no country; it is left out.")


def middles(labelled: Labelled) -> dict[str, tuple[float, float]]:
    """The middle (lat, lon in degrees) of the positions of each label's photos, for labels that have any.

    It is the direction of the mean of their points on the unit sphere, so that no date line divides a country.
    """
    found = {}
    for label in labelled.counts:
        rows = [row for row, one in enumerate(labelled.labels) if one == label]
        at = [position for row in rows if (position := labelled.photos[row].position) is not None]
        if at:
            lats, lons = np.radians([one.lat for one in at]), np.radians([one.lon for one in at])
            x, y, z = (np.cos(lats) * np.cos(lons)).mean(), (np.cos(lats) * np.sin(lons)).mean(), np.sin(lats).mean()
            middle = np.degrees(np.arctan2(z, np.hypot(x, y))), np.degrees(np.arctan2(y, x))
            found[label] = (float(middle[0]), float(middle[1]))
    return found


def held_out_groups(labelled: Labelled, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to learn from and rows held out: about `share` of the photos, whole clusters drawn by chance.

    A cluster that holds all photos of a label is never held out: nothing could be learned of that label then.
    """
    rows_of: dict[str, list[int]] = {}
    for row, group in enumerate(labelled.clusters):
        rows_of.setdefault(group, []).append(row)
    left = Counter(labelled.labels)
    held: list[int] = []
    groups = sorted(rows_of)
    for number in np.random.default_rng([seed, 61]).permutation(len(groups)):
        rows = rows_of[groups[number]]
        taken = Counter(labelled.labels[row] for row in rows)
        if len(held) + len(rows) > share * len(labelled):
            continue
        if any(left[label] <= count for label, count in taken.items()):
            continue
        left -= taken
        held += rows
    kept = np.setdiff1d(np.arange(len(labelled)), held)
    return kept, np.array(sorted(held), dtype=np.int64)
