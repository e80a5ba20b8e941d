"""The positions that photos themselves carry, for scoring answers against them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from geofix.data.deep_vg import photo_from_name
from geofix.errors import PhotoError
from geofix.photos import read_capture
from geofix.positions import Position


def own_positions(paths: Sequence[Path]) -> dict[str, Position]:
    """Path -> position from a deep-VG file name or else from EXIF; photos without either are left out."""
    truth: dict[str, Position] = {}
    for path in paths:
        position = photo_from_name(path, path.name)[0].position
        if position is None:
            try:
                position = read_capture(path).position
            except PhotoError:
                continue
        if position is not None:
            truth[str(path)] = position
    return truth
