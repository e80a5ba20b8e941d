"""cameras.csv: what took each photo, from where and under what conditions."""

from __future__ import annotations

from dataclasses import asdict

from geofix.positions import Position
from geofix.world.conditions import Conditions
from geofix.world.renderer.aerial.cameras import DroneCamera
from geofix.world.renderer.frame import Camera
from geofix.world.writers.tables import Row, latlon

CAMERAS = "cameras.csv"


def camera_row(
    path: str, position: Position, heading_deg: float, camera: Camera | DroneCamera, conditions: Conditions
) -> Row:
    """Pose and intrinsics of one photo; `heading_deg` from true north.

    The pitch is counted upwards from the horizon, so that drones have a negative one. In street views uprights stay
    upright at any pitch, as with a shift lens: the optical axis meets the row of the horizon.
    """
    if isinstance(camera, DroneCamera):
        pitch, focal, principal = -camera.pitch_deg, camera.focal_px, camera.principal_px
    else:
        pitch, focal, principal = camera.pitch_deg, camera.focal, (camera.width / 2, camera.horizon)
    return {
        "path": path,
        **latlon(position),
        "height_m": camera.height_m,
        "heading_deg": f"{heading_deg:.3f}",
        "pitch_deg": pitch,
        "hfov_deg": f"{camera.hfov_deg:.3f}",
        "focal_px": f"{focal:.3f}",
        "principal_x_px": f"{principal[0]:.3f}",
        "principal_y_px": f"{principal[1]:.3f}",
        "width": camera.width,
        "height": camera.height,
        **asdict(conditions),
    }
