"""A town photographed and written to disk in the deep-VG layout, every JPEG with an EXIF position."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from geofix.errors import UsageError
from geofix.files import whole_folder
from geofix.photos import save_jpeg, with_gps
from geofix.positions import Position
from geofix.world.conditions import Conditions
from geofix.world.difficulty import STREET, Difficulty
from geofix.world.geometry.town import QUARTERS, SHARES, Town, build_town
from geofix.world.renderer.street import Camera, render
from geofix.world.writers.shots import Shot, planned

CAMERAS = "cameras.csv"  # beside `images`: what took each photo, and under what conditions


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
    is whole. The same arguments give the same bytes. Raises UsageError or StorageError.
    """
    conditions = {"day": level.day, "night": level.night} if conditions is None else conditions
    if not conditions:
        raise UsageError("No conditions were given; at least one is needed to take queries under.")
    if visits < 1:
        raise UsageError(f"{visits} visits to every spot were asked for; at least 1 is needed for queries.")
    if min(size) < 16:
        raise UsageError(f"Photos of {size[0]}x{size[1]} pixels were asked for; at least 16x16 are needed.")
    town = build_town(places, seed, shares=shares)
    shots = list(planned(town, conditions, size, level, visits))
    progress = progress or (lambda _done, _total: None)
    with whole_folder(out) as partial:
        for split in QUARTERS:
            for role in ("database", "queries"):
                (partial / "images" / split / role).mkdir(parents=True)
        for done, shot in enumerate(shots, start=1):
            (partial / _path(town, shot)).write_bytes(_jpeg(town, shot))
            progress(done, len(shots))
        _write_cameras(partial / CAMERAS, town, shots)
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


def _path(town: Town, shot: Shot) -> str:
    return f"images/{shot.split}/{shot.role}/{photo_name(town, shot)}"


def _jpeg(town: Town, shot: Shot) -> bytes:
    pixels = render(town, shot.camera, shot.conditions, shot.seed)
    position = _position(town, shot.camera)
    return with_gps(
        save_jpeg(pixels, shot.conditions.jpeg_quality),
        position,
        town.true_heading_deg(position, shot.camera.heading_deg),
        shot.taken.isoformat(),
    )


def _write_cameras(path: Path, town: Town, shots: list[Shot]) -> None:
    """Intrinsics, pose and conditions of every photo. Uprights stay upright at any pitch, as with a shift lens:
    the principal point lies in the middle of the columns and in the row of the horizon."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = [_camera_row(town, shot) for shot in shots]
        table = csv.DictWriter(file, rows[0], lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def _camera_row(town: Town, shot: Shot) -> dict[str, object]:
    camera, position = shot.camera, _position(town, shot.camera)
    return {
        "path": _path(town, shot),
        "lat": f"{position.lat:.7f}",
        "lon": f"{position.lon:.7f}",
        "height_m": camera.height_m,
        "heading_deg": f"{town.true_heading_deg(position, camera.heading_deg):.2f}",
        "pitch_deg": camera.pitch_deg,
        "hfov_deg": f"{camera.hfov_deg:.3f}",
        "focal_px": f"{camera.focal:.3f}",
        "principal_x_px": camera.width / 2,
        "principal_y_px": f"{camera.horizon:.3f}",
        "width": camera.width,
        "height": camera.height,
        **asdict(shot.conditions),
    }


def _summary(out: Path, places: int, shots: list[Shot]) -> PlacesSummary:
    count = Counter((shot.role, shot.split) for shot in shots)
    gallery, queries = ({name: count[role, name] for name in QUARTERS} for role in ("database", "queries"))
    notes = Counter(shot.note for shot in shots if shot.role == "queries")
    return PlacesSummary(out, places, gallery, queries, dict(notes))
