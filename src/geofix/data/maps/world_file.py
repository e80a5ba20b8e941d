"""Georeferences that lie beside a picture: a world file with six numbers, and a .prj with the system."""

from __future__ import annotations

import math
from pathlib import Path

from geofix.data.maps.source import Affine
from geofix.errors import DataError
from geofix.files import is_file
from geofix.positions import crs_name

NEEDED = (
    "a GeoTIFF, or a picture with a world file (.pgw, .jgw, .tfw or .wld) and a .prj beside it, was expected; "
    "export it with its georeference"
)


def world_file(picture: Path) -> Path | None:
    """The world file of a picture: map.pgw, map.pngw, map.png.wld or map.wld beside map.png, in any case."""
    ending = picture.suffix.lower()
    if len(ending) < 3:
        return None
    return _beside(picture, f"{ending[:2]}{ending[-1]}w", f"{ending}w", f"{ending}.wld", ".wld")


def affine_beside(picture: Path) -> Affine | None:
    """What the world file of a picture says; None where there is none. Raises DataError where it is unusable."""
    file = world_file(picture)
    if file is None:
        return None
    words = file.read_text(encoding="utf-8-sig", errors="replace").replace(",", ".").split()
    try:
        a, d, b, e, c, f = (float(word) for word in words)
    except ValueError as error:
        raise DataError(f"{file} holds {len(words)} words instead of the six numbers of a world file.") from error
    if not all(math.isfinite(number) for number in (a, d, b, e, c, f)):
        raise DataError(f"{file} holds numbers that are not finite; export the map again with its world file.")
    # It names the middle of the first pixel, we its corner.
    return Affine(a, b, c - (a + b) / 2, d, e, f - (d + e) / 2)


def crs_beside(picture: Path) -> str | None:
    """The system that the .prj of a picture names; None where there is none. Raises DataError for an unusable one."""
    file = _beside(picture, ".prj")
    if file is None:
        return None
    try:
        return crs_name(file.read_text(encoding="utf-8-sig", errors="replace"))
    except DataError as error:
        raise DataError(f"{file} names no usable coordinate reference system: {error}") from error


def sidecars(picture: Path) -> list[Path]:
    """The files that georeference a picture."""
    return [file for file in (world_file(picture), _beside(picture, ".prj")) if file is not None]


def _beside(picture: Path, *endings: str) -> Path | None:
    spelt = (picture.with_name(picture.stem + way) for ending in endings for way in (ending, ending.upper()))
    return next(filter(is_file, spelt), None)
