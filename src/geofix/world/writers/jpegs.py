"""A rendered photo as a JPEG that says where, in which direction and when it was taken."""

from __future__ import annotations

from datetime import datetime

from geofix.photos import save_jpeg, with_gps
from geofix.positions import Position
from geofix.shapes import Pixels
from geofix.world.conditions import Conditions


def tagged_jpeg(
    pixels: Pixels, conditions: Conditions, position: Position, heading_deg: float | None, taken: datetime
) -> bytes:
    """Its bytes, at the conditions' quality; `heading_deg` is from true north."""
    return with_gps(save_jpeg(pixels, conditions.jpeg_quality), position, heading_deg, taken.isoformat())
