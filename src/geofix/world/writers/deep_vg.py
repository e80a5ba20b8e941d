"""A town photographed and written to disk in the deep-VG layout, every JPEG with an EXIF position."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geofix.errors import UsageError
from geofix.files import keep, whole_folder
from geofix.positions import Position
from geofix.world.conditions import Conditions
from geofix.world.difficulty import STREET, Difficulty
from geofix.world.geometry.town import QUARTERS, SHARES, Town, build_town
from geofix.world.renderer.street import Camera, render
from geofix.world.writers.cameras import CAMERAS, camera_row
from geofix.world.writers.jpegs import tagged_jpeg
from geofix.world.writers.shots import Shot, check_size, planned
from geofix.world.writers.tables import Row, write_table


@dataclass(frozen=True)
class PlacesSummary:
    """What was written: folder, photo spots, gallery photos and queries by split, queries by condition."""

    root: Path
    places: int
    gallery: dict[str, int]
    queries: dict[str, int]
    by_condition: dict[str, int]

    @property
    def photos(self) -> int:
        """Every photo written."""
        return sum(self.gallery.values()) + sum(self.queries.values())


def write_places(
    out: Path,
    *,
    places: int = 60,
    seed: int = 0,
    level: Difficulty = STREET,
    conditions: Mapping[str, Conditions] | None = None,
    shares: tuple[float, float] = SHARES,
    visits: int = 1,
    size: tuple[int, int] = (240, 320),
    progress: Callable[[int, int], None] | None = None,
) -> PlacesSummary:
    """Photograph a town of `places` spots and write it to `out`, which must not hold anything yet.

    At every spot the gallery has one photo by day for each of `HEADINGS_DEG`, and there is one query for
    each of `conditions`, by default the level's day and night, all from the same pose near the spot, so that
    conditions are compared on equal terms; a photo's name ends with the name of its conditions. On every one of
    `visits` they are taken from another pose. `shares` 0..1 of the spots lie in the train and the val quarter.
    `size` is (rows, columns); `progress` is told the photos done and their total. The folder appears only when it
    is whole; what a call that was broken off had rendered is there for the next with the same arguments. The same
    arguments give the same bytes. Raises UsageError or StorageError.
    """
    conditions = {"day": level.day, "night": level.night} if conditions is None else conditions
    if not conditions:
        raise UsageError("No conditions were given; at least one is needed to take queries under.")
    if visits < 1:
        raise UsageError(f"{visits} visits to every spot were asked for; at least 1 is needed for queries.")
    check_size(size)
    town = build_town(places, seed, shares=shares)
    shots = list(planned(town, conditions, size, level, visits))
    progress = progress or (lambda _done, _total: None)
    order = {"kind": "places", "places": places, "seed": seed, "level": level, "conditions": conditions}
    with whole_folder(out, order | {"shares": shares, "visits": visits, "size": size}) as partial:
        for split in QUARTERS:
            for role in ("database", "queries"):
                (partial / "images" / split / role).mkdir(parents=True, exist_ok=True)
        rows = []
        for shot in shots:
            rows.append(_write(partial, town, shot))
            progress(len(rows), len(shots))
        write_table(partial / CAMERAS, rows)
    return _summary(out, places, shots)


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
        f"{round(town.true_heading_deg(position, camera.heading_deg)) % 360:03d}",
        f"{round(camera.pitch_deg):03d}",
        "000",
        f"{camera.height_m:.1f}",
        f"{shot.taken:%Y%m%d_%H%M%S}",
        shot.note,
    )
    return "@" + "@".join(fields) + "@.jpg"


def _position(town: Town, camera: Camera) -> Position:
    return town.positions(np.array([[camera.easting_m, camera.northing_m]]))[0]


def _write(partial: Path, town: Town, shot: Shot) -> Row:
    """Render a photo and put it where it belongs; returns its row of cameras.csv."""
    path = f"images/{shot.split}/{shot.role}/{photo_name(town, shot)}"
    position = _position(town, shot.camera)
    heading_deg = town.true_heading_deg(position, shot.camera.heading_deg)

    def taken() -> bytes:
        pixels = render(town, shot.camera, shot.conditions, shot.seed)
        return tagged_jpeg(pixels, shot.conditions, position, heading_deg, shot.taken)

    keep(partial, [path], taken)
    return camera_row(path, position, heading_deg, shot.camera, shot.conditions)


def _summary(out: Path, places: int, shots: list[Shot]) -> PlacesSummary:
    count = Counter((shot.role, shot.split) for shot in shots)
    gallery, queries = ({name: count[role, name] for name in QUARTERS} for role in ("database", "queries"))
    notes = Counter(shot.note for shot in shots if shot.role == "queries")
    return PlacesSummary(out, places, gallery, queries, dict(notes))
