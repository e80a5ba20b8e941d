"""Pictures of places from above and from the street, and the tables that say what took them and where."""

from __future__ import annotations

from collections.abc import Sequence
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
from geofix.world.writers.cameras import CAMERAS, camera_row
from geofix.world.writers.tables import Row, latlon, write_table
from geofix.world.writers.view_layouts import Entry

TILES, PLACES = "tiles.csv", "places.csv"  # beside the folders of the views, as cameras.csv


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
    rows = [_row(town, picture, path) for picture in pictures for path in picture.paths]
    write_table(folder / CAMERAS, [row for row in rows if "focal_px" in row])
    write_table(folder / TILES, [row for row in rows if "crs" in row])
    write_table(folder / PLACES, [_place(town, entry) for entry in entries])


def _row(town: Town, picture: Picture, path: str) -> Row:
    """Of a photo its pose and intrinsics; of a tile its middle, and the outer corner of its upper left pixel."""
    position, heading_deg = picture.position(town), picture.true_heading_deg(town)
    if isinstance(picture.camera, MapCamera):
        crs = {"crs": f"EPSG:{utm_epsg(town.zone, town.north)}"}
        return {"path": path, **latlon(position), **crs, **asdict(picture.camera)}
    assert heading_deg is not None
    return camera_row(path, position, heading_deg, picture.camera, picture.conditions)


def _place(town: Town, entry: Entry) -> Row:
    return {"place": entry.name, "role": entry.role, **latlon(town.positions(entry.place.point)[0])}
