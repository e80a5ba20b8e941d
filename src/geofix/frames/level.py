"""Frames that looked aslant, made into what a camera straight above the ground in their middle would have seen.

Ground that is flat goes from one picture into the other by a homography; what stands on it leans as before.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional

from geofix.errors import DataError
from geofix.orientation import Orientation
from geofix.shapes import Pixels

MOST_TILT_DEG = 30.0  # beyond it the far edge is seen at half the scale, and walls more than roofs


def levelled(pixels: Pixels, orientation: Orientation, fov_deg: float) -> Pixels:
    """The frame as from straight above the ground in its middle, at the same distance and heading; `fov_deg` is along
    its rows.

    What the frame does not show repeats its edge. Raises DataError beyond MOST_TILT_DEG.
    """
    if orientation.tilt_deg > MOST_TILT_DEG:
        raise DataError(
            f"its camera looked {orientation.tilt_deg:.0f} degrees off straight down, more than the "
            f"{MOST_TILT_DEG:g} that can be levelled"
        )
    rows, columns = pixels.shape[:2]
    across = math.tan(math.radians(fov_deg) / 2)  # half the picture's width, seen from a distance of 1
    grid = torch.tensor(sources(orientation, rows, columns, across), dtype=torch.float32)[None]
    frame = torch.tensor(pixels).permute(2, 0, 1)[None].float()
    turned = functional.grid_sample(frame, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return np.asarray(turned[0].round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy())


def sources(orientation: Orientation, rows: int, columns: int, across: float) -> np.ndarray:
    """Where each pixel of a levelled frame comes from (rows, columns, 2): across and down, -1 to 1 from edge to edge.

    `across` is the tangent of half the field of view along the rows.
    """
    right_m = across * ((2 * np.arange(columns) + 1) / columns - 1)  # on the ground, for a distance of 1
    down_m = across * rows / columns * ((2 * np.arange(rows) + 1) / rows - 1)
    heading = math.radians(orientation.heading_deg)
    up, right = np.array([math.cos(heading), math.sin(heading)]), np.array([-math.sin(heading), math.cos(heading)])
    altitude = math.cos(math.radians(orientation.tilt_deg))  # where the middle is at a distance of 1
    middle = np.array(orientation.middle_m(altitude))
    ground = middle + right_m[None, :, None] * right - down_m[:, None, None] * up
    rays = np.concatenate([ground, np.full((rows, columns, 1), altitude)], axis=2) @ orientation.axes
    return np.stack([rays[..., 1] / rays[..., 0] / across, rays[..., 2] / rays[..., 0] / (across * rows / columns)], 2)
