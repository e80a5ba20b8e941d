"""Places of a town from a drone, a satellite and the street, in the layouts of cross-view benchmarks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from geofix.errors import UsageError
from geofix.files import keep, whole_folder
from geofix.photos import save_png
from geofix.shapes import Pixels
from geofix.world.conditions import Conditions
from geofix.world.geometry.town import Town
from geofix.world.renderer.above import MapCamera, render_above
from geofix.world.renderer.street import Camera, render
from geofix.world.writers.flights import Flight, check_altitudes, spots_near, town_with_places
from geofix.world.writers.jpegs import tagged_jpeg
from geofix.world.writers.orthophoto import SURVEY
from geofix.world.writers.pictures import Picture, write_tables
from geofix.world.writers.view_layouts import DRONE, LAYOUTS, SATELLITE, STREET, Entry, ViewLayout

FLOWN = Conditions(noise=0.05, occlusion=0.35)
FROM_SPACE = Conditions(noise=0.02, occlusion=0.3, season=0.3)  # an older picture, from the end of another summer
SURVEYED = replace(SURVEY, noise=0.0)
_FLIGHT, _PASS = datetime(2024, 6, 3, 10), datetime(2021, 9, 14, 10, 40)
_TILE_M = 90.0


@dataclass(frozen=True)
class CrossviewSummary:
    """What was written: folder, layout, places by split (distractors apart), and pictures by view."""

    root: Path
    layout: str
    places: dict[str, int]
    by_view: dict[str, int]

    @property
    def photos(self) -> int:
        """Every picture rendered; some layouts have it in two folders."""
        return sum(self.by_view.values())


def write_crossview(
    out: Path,
    *,
    places: int = 40,
    seed: int = 0,
    layout: str = "university-1652",
    flight: Flight | None = None,
    drone_views: int | None = None,
    street_views: int = 3,
    size: int = 256,
    conditions: Sequence[Conditions] = (FLOWN,),
    outskirts_m: float | None = None,
    shares: tuple[float, float] | None = None,
    survey: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> CrossviewSummary:
    """Photograph `places` houses of a town from above, and from the street where the layout has that view.

    `layout` is one of LAYOUTS. Each place has one satellite tile 90 m wide and the drone views of `flight`, by
    default the layout's own with fewer views; `drone_views` is how many (of SUES-200: at every altitude). They are
    taken under `conditions` in turn. `size` is the side of every picture in pixels. The quarters of the town are
    the splits; `shares` are those of train and val instead of the layout's own. With `survey` the tile is a part of
    a survey's orthophoto of the same summer instead of a satellite's older picture. With `outskirts_m` places are any
    ground, streets and fields so far around a quarter as well, and nothing is photographed from the
    street. Beside the views lie cameras.csv (intrinsics and poses), tiles.csv (georeference of the satellite tiles)
    and places.csv. The folder appears only when it is whole. The same arguments give the same bytes. Raises
    UsageError or StorageError.
    """
    chosen = _layout(layout, shares)
    flown = _flight(chosen, flight, drone_views)
    _check(size, conditions, street_views)
    town, found = town_with_places(chosen.quarters(places), seed, outskirts_m=outskirts_m)
    check_altitudes(town, flown)
    plan = _Plan(town, chosen, flown, street_views if outskirts_m is None else 0, size, tuple(conditions), survey)
    entries = chosen.entries(found)
    shots = [picture for entry in entries for picture in plan.pictures(entry)]
    progress = progress or (lambda _done, _total: None)
    order = {"kind": "crossview", "places": places, "seed": seed, "size": size, "survey": survey}
    order |= {"layout": layout, "shares": shares, "flight": flown, "conditions": conditions}
    with whole_folder(out, order | {"streets": plan.street_views, "outskirts": outskirts_m}) as partial:
        for folder in chosen.empty_folders(entries):
            (partial / folder).mkdir(parents=True, exist_ok=True)
        for done, shot in enumerate(shots, start=1):
            _write(partial, town, shot)
            progress(done, len(shots))
        write_tables(partial, town, entries, shots)
    roles, views = Counter(entry.role for entry in entries), Counter(shot.view for shot in shots)
    return CrossviewSummary(out, layout, dict(roles), dict(views))


def crossview_town(
    places: int,
    seed: int,
    layout: str,
    *,
    outskirts_m: float | None = None,
    shares: tuple[float, float] | None = None,
) -> Town:
    """The town that `write_crossview` photographs for the same arguments."""
    counts = _layout(layout, shares).quarters(places)
    return town_with_places(counts, seed, outskirts_m=outskirts_m)[0]


def layout_flight(layout: str) -> Flight:
    """The flight of a layout, as its dataset was flown, with fewer views. Raises UsageError for an unknown one."""
    return _layout(layout).flight


def _layout(name: str, shares: tuple[float, float] | None = None) -> ViewLayout:
    """A layout, with other shares of train and val if they are given. Raises UsageError for what cannot be."""
    if name not in LAYOUTS:
        raise UsageError(f"There is no cross-view layout {name!r}; known are: {', '.join(LAYOUTS)}.")
    if shares is None:
        return LAYOUTS[name]
    train, val = shares
    if min(train, val) < 0 or train + val >= 1:
        raise UsageError(f"Shares of {train:g} and {val:g} leave nothing to test on; less than 1 together is expected.")
    return replace(LAYOUTS[name], train=train, val=val)


def _check(size: int, conditions: Sequence[Conditions], street_views: int) -> None:
    if size < 16:
        raise UsageError(f"Pictures of {size}x{size} pixels were asked for; at least 16x16 are needed.")
    if not conditions:
        raise UsageError("No conditions were given; at least one is needed to fly under.")
    if street_views < 0:
        raise UsageError(f"{street_views} street views of every place were asked for; 0 or more are expected.")


def _flight(layout: ViewLayout, flight: Flight | None, views: int | None) -> Flight:
    """The flight asked for, or the layout's own; whether altitudes are folders is the layout's to say."""
    flown = replace(flight or layout.flight, level=layout.flight.level)
    return flown if views is None else replace(flown, views=views)


@dataclass(frozen=True)
class _Plan:
    """What is photographed of every place, and how."""

    town: Town
    layout: ViewLayout
    flight: Flight
    street_views: int
    size: int
    conditions: tuple[Conditions, ...]
    survey: bool

    def pictures(self, entry: Entry) -> Iterator[Picture]:
        """Every picture of one place: satellite, drone, street."""
        east, north = (round(float(part), 2) for part in entry.place.point[0])
        tile = MapCamera.around(east, north, _TILE_M, self.size)
        # One pass of the satellite: the same cars in every tile.
        under = SURVEYED if self.survey else FROM_SPACE
        yield Picture(self._paths(entry, SATELLITE, 0, 0.0), SATELLITE, tile, under, _PASS, self._seed(0, 0))
        yield from self._flown(entry)
        if self.layout.street:
            yield from self._walked(entry)

    def _flown(self, entry: Entry) -> Iterator[Picture]:
        number = entry.place.number
        rng = np.random.default_rng([self.town.seed, 82, number])
        for view, camera in enumerate(self.flight.cameras(entry.place.point, self.size, rng)):
            under = self.conditions[view % len(self.conditions)]
            late = 11 if under.night >= 0.5 else 0
            taken = _FLIGHT + timedelta(days=number % 60, hours=late, seconds=20 * view)
            paths = self._paths(entry, DRONE, view % self.flight.views, camera.height_m)
            yield Picture(paths, DRONE, camera, under, taken, self._seed(number, 1 + view))

    def _walked(self, entry: Entry) -> Iterator[Picture]:
        number = entry.place.number
        for view, spot in enumerate(spots_near(self.town, entry.place)[: self.street_views]):
            camera = _street_camera(self.town.spots.points[spot], entry.place.point[0], self.size)
            taken = _FLIGHT + timedelta(days=90 + number % 60, seconds=40 * view)
            paths = self._paths(entry, STREET, view, 0.0)
            yield Picture(paths, STREET, camera, FLOWN, taken, self._seed(number, 10_000 + view))

    def _paths(self, entry: Entry, view: str, number: int, altitude_m: float) -> tuple[str, ...]:
        return self.layout.paths(entry, view, number, altitude_m, self.flight.altitudes_m)

    def _seed(self, place: int, picture: int) -> int:
        return int(np.random.SeedSequence([self.town.seed, 81, place, picture]).generate_state(1)[0])


def _street_camera(spot: np.ndarray, aim: np.ndarray, size: int) -> Camera:
    """From a photo spot in the street towards a place."""
    east, north = (round(float(part), 2) for part in spot)
    heading = float(np.rad2deg(np.arctan2(*(aim - spot))) % 360)
    return Camera(east, north, 2.0, round(heading, 3) % 360, 8.0, 76.0, size, size)


def _write(folder: Path, town: Town, shot: Picture) -> None:
    """Render a picture once and put it wherever it belongs, a JPEG with its position."""

    def taken() -> bytes:
        pixels = _rendered(town, shot)
        if shot.paths[0].endswith(".png"):
            return save_png(pixels)
        return tagged_jpeg(pixels, shot.conditions, shot.position(town), shot.true_heading_deg(town), shot.taken)

    keep(folder, shot.paths, taken)


def _rendered(town: Town, shot: Picture) -> Pixels:
    if isinstance(shot.camera, Camera):
        return render(town, shot.camera, shot.conditions, shot.seed)
    pixels = render_above(town, shot.camera, shot.conditions, shot.seed)
    return _from_space(pixels) if shot.conditions == FROM_SPACE else pixels


def _from_space(pixels: Pixels) -> Pixels:
    """What 500 km of air and a satellite's optics do: less contrast, a blue cast, a blur of about a pixel."""
    wide = np.pad(pixels.astype(np.float32), ((1, 1), (1, 1), (0, 0)), mode="edge")
    rows = (wide[:-2] + 2 * wide[1:-1] + wide[2:]) / 4
    soft = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4
    cast = np.array([0.97, 1.0, 1.04], dtype=np.float32)
    return np.asarray(np.clip(16.5 + np.float32(0.88) * soft * cast, 0, 255), dtype=np.uint8)
