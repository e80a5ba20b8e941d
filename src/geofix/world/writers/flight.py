"""A flight over a town: its map from the air, frames that look straight down, a track, and frames of another town."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from geofix.errors import UsageError
from geofix.files import is_written, keep, whole_folder
from geofix.positions import Position
from geofix.world.conditions import Conditions
from geofix.world.geometry.town import ORIGIN, Town, build_town
from geofix.world.renderer.above import render_above
from geofix.world.renderer.aerial.cameras import LOWEST_M, DroneCamera
from geofix.world.writers.cameras import CAMERAS, camera_row
from geofix.world.writers.crossview import FLOWN
from geofix.world.writers.jpegs import tagged_jpeg
from geofix.world.writers.orthophoto import Orthophoto, planned_orthophoto, write_orthophoto
from geofix.world.writers.tables import Row, write_table

MAP, FRAMES, TRACK, ELSEWHERE = "map", "frames", "track", "elsewhere"  # folders
ROWS, COLUMNS = 384, 512  # pixels of a frame
SPEED_M_S, SECONDS = 12.0, 2.0  # along a track, and between two of its frames
_TURN_DEG_S = 6.0  # how fast a track bends, at most
_FAR = Position(ORIGIN.lat + 0.5, ORIGIN.lon)  # of the other town, 55 km to the north
_FLIGHT = datetime(2024, 6, 3, 10)


@dataclass(frozen=True)
class FlightSummary:
    """What was written: the folder, the map, and how many frames in which folder."""

    root: Path
    map: Orthophoto
    frames: dict[str, int]


@dataclass(frozen=True)
class Frame:
    """One picture of the flight: its path, what took it over which town, and when."""

    path: str
    town: Town
    camera: DroneCamera
    taken: datetime
    seed: int


def write_flight(
    out: Path,
    *,
    places: int = 400,
    seed: int = 0,
    frames: int = 100,
    track: int = 60,
    altitudes_m: tuple[float, float] = (90.0, 160.0),
    fov_deg: float = 60.0,
    conditions: Conditions = FLOWN,
    progress: Callable[[int, int], None] | None = None,
) -> FlightSummary:
    """Photograph a town of `places` photo spots (about 2 per hectare of map) straight from above.

    `map/` holds its orthophoto; `frames/` pictures anywhere on it, at any heading and at altitudes between the two;
    `track/` pictures along one way, the upper edge in the direction of flight, at the mean altitude; `elsewhere/` as
    many as `frames/` of another town. All carry position, heading and time in EXIF; cameras.csv has pose and camera.
    The folder appears only when it is whole. The same arguments give the same pictures. Raises UsageError for what
    cannot be flown, StorageError.
    """
    low, high = sorted(altitudes_m)
    if frames < 0 or track < 0:
        raise UsageError(f"{frames} frames and a track of {track} were asked for; 0 or more are expected.")
    if low < LOWEST_M:
        raise UsageError(f"A flight at {low:g} m is too low; {LOWEST_M:g} m above the ground or more is expected.")
    DroneCamera(0.0, 0.0, high, 0.0, 90.0, fov_deg)  # says what is wrong with the field of view
    town, other = build_town(places, seed), build_town(places, seed + 100_000, origin=_FAR)
    progress = progress or (lambda _done, _total: None)
    order = {"kind": "flight", "places": places, "seed": seed, "frames": frames, "track": track}
    with whole_folder(out, order | {"altitudes": (low, high), "fov": fov_deg, "conditions": conditions}) as partial:
        made = planned_orthophoto(partial / MAP, town)
        if not is_written(made.path):
            write_orthophoto(partial / MAP, town, seed=seed)
        box = _box(made)
        flown = [
            *_anywhere(town, box, FRAMES, frames, (low, high), fov_deg, seed),
            *_along(town, box, track, (low + high) / 2, fov_deg, seed),
            *_anywhere(other, box + _shift(town, other), ELSEWHERE, frames, (low, high), fov_deg, seed + 1),
        ]
        rows: list[Row] = []
        for done, frame in enumerate(flown, start=1):
            rows.append(_written(partial, frame, conditions))
            progress(done, len(flown))
        if rows:
            write_table(partial / CAMERAS, rows)
    counts = {name: sum(frame.path.startswith(name) for frame in flown) for name in (FRAMES, TRACK, ELSEWHERE)}
    return FlightSummary(out, made, counts)


def _box(made: Orthophoto) -> np.ndarray:
    """The corners of the map, ((west, south), (east, north))."""
    east_m = made.west_m + made.width * made.metres_per_pixel
    south_m = made.north_m - made.height * made.metres_per_pixel
    return np.array([[made.west_m, south_m], [east_m, made.north_m]])


def _shift(town: Town, other: Town) -> np.ndarray:
    """From one town to the same corner of the other, in metres of the plane."""
    return np.asarray(other.spots.points.min(axis=0) - town.spots.points.min(axis=0))


def _anywhere(
    town: Town, box: np.ndarray, folder: str, count: int, altitudes_m: tuple[float, float], fov_deg: float, seed: int
) -> Iterator[Frame]:
    rng = np.random.default_rng([seed, 84])
    for number in range(count):
        altitude = round(float(rng.uniform(*altitudes_m)), 2)
        camera = _camera(_inside(rng, box, altitude, fov_deg), altitude, float(rng.uniform(0, 360)), fov_deg)
        taken = _FLIGHT + timedelta(minutes=number)
        yield Frame(f"{folder}/{number + 1:04d}.jpg", town, camera, taken, seed * 10_000 + number)


def _along(town: Town, box: np.ndarray, count: int, altitude_m: float, fov_deg: float, seed: int) -> Iterator[Frame]:
    """A way that bends by chance and turns back to the middle of the map where it comes near an edge."""
    rng = np.random.default_rng([seed, 85])
    point = _inside(rng, box, altitude_m, fov_deg)
    heading, bend = float(rng.uniform(0, 360)), 0.0
    inner = np.array([box[0], box[1]]) + np.array([[1.0], [-1.0]]) * 1.5 * _reach(altitude_m, fov_deg)
    for number in range(count):
        taken = _FLIGHT + timedelta(hours=3, seconds=SECONDS * number)
        camera = _camera(point, altitude_m, heading, fov_deg)
        yield Frame(f"{TRACK}/{number + 1:04d}.jpg", town, camera, taken, seed * 10_000 + 5_000 + number)
        bend = float(np.clip(0.8 * bend + rng.normal(0, 2.0), -_TURN_DEG_S, _TURN_DEG_S))
        if (point < inner[0]).any() or (point > inner[1]).any():
            back = np.degrees(np.arctan2(*(box.mean(axis=0) - point)))
            bend = _TURN_DEG_S * float(np.sign((back - heading + 180) % 360 - 180))
        heading = (heading + bend * SECONDS) % 360
        point = point + SPEED_M_S * SECONDS * np.array([np.sin(np.radians(heading)), np.cos(np.radians(heading))])


def _reach(altitude_m: float, fov_deg: float) -> float:
    """From the middle of a frame to its corner, on the ground."""
    half = altitude_m * float(np.tan(np.radians(fov_deg) / 2))
    return half * float(np.hypot(1, ROWS / COLUMNS))


def _inside(rng: np.random.Generator, box: np.ndarray, altitude_m: float, fov_deg: float) -> np.ndarray:
    """A point from which a frame shows nothing beyond the map. Raises UsageError where the map is smaller."""
    reach = _reach(altitude_m, fov_deg)
    if (box[1] - box[0] <= 2 * reach).any():
        raise UsageError(
            f"A frame from {altitude_m:g} m with {fov_deg:g} degrees shows more than the whole town; fly lower, or ask "
            "for more --places."
        )
    return np.asarray(rng.uniform(box[0] + reach, box[1] - reach))


def _camera(point: np.ndarray, altitude_m: float, heading_deg: float, fov_deg: float) -> DroneCamera:
    east, north = (round(float(part), 2) for part in point)
    return DroneCamera(east, north, altitude_m, round(heading_deg, 3) % 360, 90.0, fov_deg, COLUMNS, ROWS)


def _written(folder: Path, frame: Frame, conditions: Conditions) -> Row:
    camera, town = frame.camera, frame.town
    position = town.positions(np.array([[camera.easting_m, camera.northing_m]]))[0]
    heading_deg = town.true_heading_deg(position, camera.heading_deg)

    def taken() -> bytes:
        pixels = render_above(town, camera, conditions, frame.seed)
        return tagged_jpeg(pixels, conditions, position, heading_deg, frame.taken)

    keep(folder, [frame.path], taken)
    return camera_row(frame.path, position, heading_deg, camera, conditions)
