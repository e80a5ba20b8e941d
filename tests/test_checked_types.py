"""Types and shapes are checked while geofix is tested: inside the renderer here alone, elsewhere in all tests."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from geofix.positions import Position
from geofix.search import nearest

CODE = """
from jaxtyping import TypeCheckError, install_import_hook

install_import_hook("geofix.world", "beartype.beartype")

from geofix.world.conditions import Conditions
from geofix.world.geometry.town import build_town
from geofix.world.renderer.above import DroneCamera, MapCamera, render_above
from geofix.world.renderer.street import Camera, render

conditions = [
    Conditions(),
    Conditions(night=1.0, noise=0.3, occlusion=1.0),
    Conditions(night=0.5, fog=0.5, season=1.0, rebuilt=0.5, occlusion=0.5),
]
town = build_town(9, seed=3)
east, north = (float(part) for part in town.spots.points[4])
for under in conditions:
    for heading in (20.0, 200.0):
        photo = render(town, Camera(east, north, 2.0, heading, 6.0, 72.0, 64, 48), under, 1)
        assert photo.shape == (48, 64, 3)
    for camera in (
        DroneCamera(east, north, 90.0, 40.0, 60.0, 60.0, 64, 48),
        MapCamera(east - 40, north + 40, 1.25, 64, 64),
    ):
        assert render_above(town, camera, under, 1).shape == (camera.height, camera.width, 3)
try:
    render(town, "no camera", conditions[0], 1)
except TypeCheckError:
    print("checked")
"""


def test_types_and_shapes_are_checked() -> None:
    with pytest.raises(TypeCheckError):
        Position("52.2", 0.1)
    with pytest.raises(TypeCheckError):
        nearest(np.zeros((2, 3), dtype=np.float32), np.zeros((2, 4), dtype=np.float32), 1)


def test_types_and_shapes_inside_the_renderer(tmp_path: Path) -> None:
    # Compiled anew: modules compiled unchecked beside checked ones are kept under the same name.
    run = [sys.executable, "-X", f"pycache_prefix={tmp_path}", "-c", CODE]
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.stdout == "checked\n", done.stderr
