"""Pictures of places from above and from the street, and the tables that say what took them and where."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from geofix.positions import Position, utm_epsg
from geofix.shapes import PlanePoints
from geofix.world.conditions import Conditions
from geofix.world.geometry.town import Town
from geofix.world.renderer.aerial.cameras import DroneCamera, MapCamera
from geofix.world.renderer.frame import Camera
from geofix.world.writers.view_layouts import Entry

CAMERAS, TILES, PLACES = "cameras.csv", "tiles.csv", "places.csv"  # beside the folders of the views


@dataclass(frozen=True)
class Picture:
    """One picture to be rendered: what it shows from where, and every path it is written to."""

    paths: tuple[str, ...]
    view: str
    camera: DroneCamera | MapCamera | Camera
    conditions: Conditions
    taken: datetime
    seed: int

    def position(self, town: Town) -> Position:
        """Where the camera is, or the middle of a tile."""
        return town.positions(self._point())[0]

    def true_heading_deg(self, town: Town) -> float | None:
        """The heading from true north; None for a tile, whose columns run along the grid."""
        if isinstance(self.camera, MapCamera):
            return None
        return town.true_heading_deg(self.position(town), self.camera.heading_deg)

    def _point(self) -> PlanePoints:
        camera = self.camera
        if not isinstance(camera, MapCamera):
            return np.array([[camera.easting_m, camera.northing_m]])
        across, down = (side * camera.metres_per_pixel / 2 for side in (camera.width, camera.height))
        return np.array([[camera.west_m + across, camera.north_m - down]])


def write_tables(folder: Path, town: Town, entries: Sequence[Entry], pictures: Sequence[Picture]) -> None:
    """cameras.csv, tiles.csv and places.csv; a picture that is written twice has two rows."""
    rows = [(picture, path) for picture in pictures for path in picture.paths]
    tables = {
        CAMERAS: [_camera(town, one, path) for one, path in rows if not isinstance(one.camera, MapCamera)],
        TILES: [_tile(town, one, path) for one, path in rows if isinstance(one.camera, MapCamera)],
        PLACES: [_place(town, entry) for entry in entries],
    }
    for name, lines in tables.items():
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, lines[0], lineterminator="\n")
            table.writeheader()
            table.writerows(lines)


def _camera(town: Town, picture: Picture, path: str) -> dict[str, object]:
    """Pose and intrinsics. The pitch is counted upwards from the horizon, so that drones have a negative one."""
    camera = picture.camera
    assert not isinstance(camera, MapCamera)
    if isinstance(camera, DroneCamera):
        pitch, focal, principal = -camera.pitch_deg, camera.focal_px, camera.principal_px
    else:  # uprights stay upright, as with a shift lens: the optical axis meets the row of the horizon
        pitch, focal, principal = camera.pitch_deg, camera.focal, (camera.width / 2, camera.horizon)
    return {
        "path": path,
        **dict(_latlon(picture.position(town))),
        "height_m": camera.height_m,
        "heading_deg": f"{picture.true_heading_deg(town):.3f}",
        "pitch_deg": pitch,
        "hfov_deg": camera.hfov_deg,
        "focal_px": f"{focal:.3f}",
        "principal_x_px": f"{principal[0]:.3f}",
        "principal_y_px": f"{principal[1]:.3f}",
        "width": camera.width,
        "height": camera.height,
        **asdict(picture.conditions),
    }


def _tile(town: Town, picture: Picture, path: str) -> dict[str, object]:
    """The middle of a tile, and the outer corner of its upper left pixel in its plane."""
    camera = picture.camera
    assert isinstance(camera, MapCamera)
    crs = {"crs": f"EPSG:{utm_epsg(town.zone, town.north)}"}
    return {"path": path, **dict(_latlon(picture.position(town))), **crs, **asdict(camera)}


def _place(town: Town, entry: Entry) -> dict[str, object]:
    return {"place": entry.name, "role": entry.role, **dict(_latlon(town.positions(entry.place.point)[0]))}


def _latlon(position: Position) -> Iterator[tuple[str, str]]:
    yield "lat", f"{position.lat:.7f}"
    yield "lon", f"{position.lon:.7f}"
