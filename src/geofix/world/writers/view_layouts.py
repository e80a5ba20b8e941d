"""Where the pictures of places go in University-1652, in SUES-200 and as plain views."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from geofix.world.geometry.town import whole_part
from geofix.world.writers.flights import Flight, Place

TRAIN, VAL, QUERY, DISTRACTOR = "train", "val", "query", "distractor"  # what a place is in a dataset
SATELLITE, DRONE, STREET = "satellite", "drone", "street"  # views


@dataclass(frozen=True)
class Entry:
    """A place in a dataset: its id as folders have it, and whether it is learned from, asked about or neither."""

    place: Place
    name: str
    role: str


Paths = Callable[[Entry, str, int, float, tuple[float, ...]], tuple[str, ...]]
"""Every path of a picture of a place, from its view, its number, its altitude and all altitudes flown."""


@dataclass(frozen=True)
class ViewLayout:
    """A benchmark's folders and proportions: `train` and `val` are shares of all places, `asked` is the share of
    the test places that are queries, the others being distractors. `folders` are there even where empty."""

    flight: Flight
    train: float
    val: float
    asked: float
    first_id: int
    street: bool
    paths: Paths
    folders: tuple[str, ...] = ()

    def quarters(self, places: int) -> tuple[int, int, int]:
        """How many of the places lie in the train, val and test quarters; test has one at least."""
        train, val = (whole_part(places, share) for share in (self.train, self.val))
        return train, val, places - train - val

    def entries(self, places: Sequence[Place]) -> list[Entry]:
        """Ids in the order of the benchmark: what is asked about first, then distractors, then the rest."""
        test = [place for place in places if place.quarter == 2]
        asked = max(round(len(test) * self.asked), 1)
        roles = [(place, QUERY) for place in test[:asked]] + [(place, DISTRACTOR) for place in test[asked:]]
        roles += [(place, (TRAIN, VAL)[place.quarter]) for place in places if place.quarter != 2]
        return [Entry(place, f"{number:04d}", role) for number, (place, role) in enumerate(roles, start=self.first_id)]

    def empty_folders(self, entries: Sequence[Entry]) -> Iterator[str]:
        """Folders that a layout has whether or not a picture belongs there."""
        for folder in self.folders:
            yield from (f"{folder}/{entry.name}" for entry in entries if entry.role == TRAIN)


def _university(entry: Entry, view: str, number: int, _altitude: float, _all: tuple[float, ...]) -> tuple[str, ...]:
    name = {DRONE: f"image-{number + 1:02d}.jpeg", SATELLITE: f"{entry.name}.jpg"}.get(view, f"{number + 1}.jpg")
    folders = {
        TRAIN: (f"train/{view}",),
        QUERY: (f"test/query_{view}", f"test/gallery_{view}"),
        DISTRACTOR: (f"test/gallery_{view}",),
    }[entry.role]
    return tuple(f"{folder}/{entry.name}/{name}" for folder in folders)


def _sues(entry: Entry, view: str, number: int, altitude: float, altitudes: tuple[float, ...]) -> tuple[str, ...]:
    """Every altitude is a data set of its own, with the same satellite pictures; all places are searched."""
    heights = (altitude,) if view == DRONE else altitudes
    name = f"{number}.jpg" if view == DRONE else "0.png"
    parts = (
        f"Testing/{{0}}/gallery_{view}",
        f"{'Training/{0}/' if entry.role == TRAIN else 'Testing/{0}/query_'}{view}",
    )
    return tuple(f"{part.format(f'{height:g}')}/{entry.name}/{name}" for height in heights for part in parts)


def _plain(entry: Entry, view: str, number: int, _altitude: float, _all: tuple[float, ...]) -> tuple[str, ...]:
    split = entry.role if entry.role in (TRAIN, VAL) else "test"
    return (f"{split}/{view}/{entry.name}/{number + 1:02d}.jpg",)


LAYOUTS = {
    "university-1652": ViewLayout(
        flight=Flight((256.0, 121.5)),
        train=701 / 1652,
        val=0.0,
        asked=701 / 951,
        first_id=0,
        street=True,
        paths=_university,
        folders=("train/google",),  # its pictures were taken back, their folders were not
    ),
    "sues-200": ViewLayout(
        flight=Flight((150.0, 200.0, 250.0, 300.0), views=5, pitch_deg=60.0, hfov_deg=35.0, turns=1.0, level=True),
        train=0.6,
        val=0.0,
        asked=1.0,
        first_id=1,
        street=False,
        paths=_sues,
    ),
    "plain-views": ViewLayout(
        flight=Flight((160.0, 100.0), views=6),
        train=0.5,
        val=0.15,
        asked=1.0,
        first_id=1,
        street=True,
        paths=_plain,
    ),
}
