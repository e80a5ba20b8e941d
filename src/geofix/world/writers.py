"""A town photographed and written to disk in the deep-VG layout, every JPEG with an EXIF position."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from geofix.errors import UsageError, storage_error
from geofix.photos import save_jpeg, with_gps
from geofix.positions import Position
from geofix.world.conditions import DAY, NIGHT, Conditions
from geofix.world.geometry import QUARTERS, Town, build_town
from geofix.world.renderer import Camera, render

GALLERY = Conditions(noise=0.05, occlusion=0.2)
HEADINGS_DEG = (40.0, 140.0, 220.0, 320.0)  # of the gallery, from the bearing of the street
_HFOV_DEG = 72.0
_FIRST_DAY = datetime(2024, 5, 13)


@dataclass(frozen=True)
class PlacesSummary:
    """What was written: folder, photo spots, gallery photos and queries by split, queries by night."""

    root: Path
    places: int
    gallery: dict[str, int]
    queries: dict[str, int]
    night_queries: int

    @property
    def photos(self) -> int:
        """Every photo written."""
        return sum(self.gallery.values()) + sum(self.queries.values())


@dataclass(frozen=True)
class Shot:
    """One photo to be taken: where it belongs and everything its name says."""

    split: str
    role: str  # database or queries
    camera: Camera
    conditions: Conditions
    pano: str
    tile: int
    taken: datetime
    seed: int

    @property
    def note(self) -> str:
        """day, or night from half dark on."""
        return "night" if self.conditions.night >= 0.5 else "day"


def write_places(
    out: Path,
    *,
    places: int = 60,
    seed: int = 0,
    conditions: Sequence[Conditions] = (DAY, NIGHT),
    size: tuple[int, int] = (240, 320),
    progress: Callable[[int, int], None] | None = None,
) -> PlacesSummary:
    """Photograph a town of `places` spots and write it to `out`, which must not hold anything yet.

    At every spot the gallery has one photo by day for each of `HEADINGS_DEG`, and there is one query for
    each of `conditions`, all from the same pose 1 to 8 m away, so that conditions are compared on equal
    terms. `size` is (rows, columns); `progress` is told the photos done and their total. The folder appears
    only when it is whole. The same arguments give the same bytes. Raises UsageError or StorageError.
    """
    if not conditions:
        raise UsageError("No conditions were given; at least one is needed to take queries under.")
    if min(size) < 16:
        raise UsageError(f"Photos of {size[0]}x{size[1]} pixels were asked for; at least 16x16 are needed.")
    town = build_town(places, seed)
    shots = list(planned(town, conditions, size))
    try:
        _check_free(out)
        _write_whole(out, town, shots, progress or (lambda _done, _total: None))
    except OSError as error:
        raise storage_error(error, out) from error
    return _summary(out, places, shots)


def planned(town: Town, conditions: Sequence[Conditions], size: tuple[int, int]) -> Iterator[Shot]:
    """The photos of a town, spot by spot, gallery first."""
    for spot in range(len(town.spots.points)):
        yield from _gallery_shots(town, spot, size)
        yield from _query_shots(town, spot, conditions, size)


def photo_name(town: Town, shot: Shot) -> str:
    """`@E@N@zone@band@lat@lon@pano@tile@heading@pitch@roll@height@time@note@.jpg`, true north."""
    camera, position = shot.camera, _position(town, shot.camera)
    fields = (
        f"{camera.easting_m:010.2f}",
        f"{camera.northing_m:010.2f}",
        f"{town.zone:02d}",
        position.utm().band,
        f"{position.lat:09.5f}",
        f"{position.lon:010.5f}",
        shot.pano,
        f"{shot.tile:02d}",
        f"{round(_true_heading(town, position, camera)) % 360:03d}",
        f"{round(camera.pitch_deg):03d}",
        "000",
        f"{camera.height_m:.1f}",
        f"{shot.taken:%Y%m%d_%H%M%S}",
        shot.note,
    )
    return "@" + "@".join(fields) + "@.jpg"


def _gallery_shots(town: Town, spot: int, size: tuple[int, int]) -> Iterator[Shot]:
    east, north = town.spots.points[spot]
    for tile, offset in enumerate(HEADINGS_DEG):
        heading = float(town.spots.bearing_deg[spot]) + offset
        yield Shot(
            split=QUARTERS[int(town.spots.quarter[spot])],
            role="database",
            camera=_camera(float(east), float(north), heading, size),
            conditions=GALLERY,
            pano=f"spot{spot:05d}",
            tile=tile,
            taken=_FIRST_DAY + timedelta(hours=11, seconds=10 * spot % 10_000 + tile),
            seed=_seed(town, spot, tile),
        )


def _query_shots(town: Town, spot: int, conditions: Sequence[Conditions], size: tuple[int, int]) -> Iterator[Shot]:
    camera = _query_camera(town, spot, size, np.random.default_rng([town.seed, 4, spot]))
    for number, condition in enumerate(conditions):
        hour = 21 if condition.night >= 0.5 else 10
        yield Shot(
            split=QUARTERS[int(town.spots.quarter[spot])],
            role="queries",
            camera=camera,
            conditions=condition,
            pano=f"walk{spot:05d}",
            tile=number,
            taken=_FIRST_DAY + timedelta(days=number + 1, hours=hour, seconds=41 * spot % 10_000),
            seed=_seed(town, spot, 100 + number),
        )


def _query_camera(town: Town, spot: int, size: tuple[int, int], rng: np.random.Generator) -> Camera:
    """A pose 1 to 8 m from the spot and still on its street, near one of the gallery's headings."""
    bearing = float(town.spots.bearing_deg[spot])
    away = 1 + 7 * rng.random() ** 2  # small steps are commoner
    most = min(away, float(town.spots.sideways_m[spot]))
    sideways = rng.uniform(-most, most)
    along = rng.choice([-1, 1]) * math.sqrt(away**2 - sideways**2)
    sin, cos = math.sin(math.radians(bearing)), math.cos(math.radians(bearing))
    east, north = town.spots.points[spot] + [along * sin + sideways * cos, along * cos - sideways * sin]
    heading = bearing + float(rng.choice(HEADINGS_DEG)) + rng.uniform(-12, 12)
    return _camera(
        float(east),
        float(north),
        heading,
        size,
        height_m=round(rng.uniform(1.5, 2.0), 1),
        pitch_deg=float(rng.integers(3, 9)),
        hfov_deg=float(rng.uniform(64, 80)),
    )


def _camera(
    east: float,
    north: float,
    heading_deg: float,
    size: tuple[int, int],
    *,
    height_m: float = 2.0,
    pitch_deg: float = 6.0,
    hfov_deg: float = _HFOV_DEG,
) -> Camera:
    """A camera at whole centimetres, which is what names can say."""
    rows, columns = size
    place = round(east, 2), round(north, 2)
    return Camera(*place, height_m, heading_deg % 360, pitch_deg, hfov_deg, width=columns, height=rows)


def _seed(town: Town, spot: int, photo: int) -> int:
    return int(np.random.SeedSequence([town.seed, 5, spot, photo]).generate_state(1)[0])


def _position(town: Town, camera: Camera) -> Position:
    return town.positions(np.array([[camera.easting_m, camera.northing_m]]))[0]


def _true_heading(town: Town, position: Position, camera: Camera) -> float:
    """The camera's heading from true north: a UTM grid leans by the meridian convergence."""
    from_centre = math.radians(position.lon - (6 * town.zone - 183))
    lean = math.atan(math.tan(from_centre) * math.sin(math.radians(position.lat)))
    return (camera.heading_deg + math.degrees(lean)) % 360


def _check_free(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; name a folder that does not exist yet.")
    if out.is_dir() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty; name a folder that does not exist yet, or empty this one.")


def _write_whole(out: Path, town: Town, shots: list[Shot], progress: Callable[[int, int], None]) -> None:
    """Write next to `out` and move there at the end, so that a killed run leaves nothing that looks whole."""
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for split in QUARTERS:
            for role in ("database", "queries"):
                (partial / "images" / split / role).mkdir(parents=True)
        for done, shot in enumerate(shots, start=1):
            folder = partial / "images" / shot.split / shot.role
            (folder / photo_name(town, shot)).write_bytes(_jpeg(town, shot))
            progress(done, len(shots))
        if out.is_dir():
            out.rmdir()
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _jpeg(town: Town, shot: Shot) -> bytes:
    pixels = render(town, shot.camera, shot.conditions, shot.seed)
    position = _position(town, shot.camera)
    return with_gps(
        save_jpeg(pixels, shot.conditions.jpeg_quality),
        position,
        _true_heading(town, position, shot.camera),
        shot.taken.isoformat(),
    )


def _summary(out: Path, places: int, shots: list[Shot]) -> PlacesSummary:
    count = Counter((shot.role, shot.split) for shot in shots)
    gallery, queries = ({name: count[role, name] for name in QUARTERS} for role in ("database", "queries"))
    nights = sum(shot.role == "queries" and shot.note == "night" for shot in shots)
    return PlacesSummary(out, places, gallery, queries, nights)
