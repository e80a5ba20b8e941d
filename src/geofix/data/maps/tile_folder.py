"""Folders of a web map, {z}/{x}/{y}.png: rows count from the north, or from the south where the folder says so."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from geofix.data.maps.mbtiles import plain
from geofix.data.maps.source import CE90, Bounds, Notes, Sheet, ce90_of
from geofix.data.maps.tile_pyramid import DEEPEST_ZOOM, Address, bounds_of, sheet
from geofix.errors import DataError
from geofix.files import is_file, is_folder

TMS_FILE = "tilemapresource.xml"
METADATA = ("metadata.json", "tile.json", "tilejson.json")
_SUFFIXES = ("png", "jpg", "jpeg", "webp")
_OPAQUE = (".jpg", ".jpeg")
_NUMBER = re.compile(r"0|[1-9][0-9]*", re.ASCII)
_MERCATOR = ("3857", "900913", "3785", "102100", "mercator")


@dataclass(frozen=True, slots=True)
class TileFolder:
    """The pictures of a folder; `suffixes` are tried in turn."""

    path: Path
    suffixes: tuple[str, ...]
    from_south: bool

    def picture(self, address: Address) -> bytes | None:
        """See `tile_pyramid.Store`."""
        zoom, column, row = address
        row = 2**zoom - 1 - row if self.from_south else row
        for suffix in self.suffixes:
            try:
                return (self.path / str(zoom) / str(column) / f"{row}{suffix}").read_bytes() or None
            except OSError:
                continue
        return None


@dataclass(frozen=True, slots=True)
class _Said:
    """What the files beside the pictures say."""

    from_south: bool = False
    bounds: Bounds | None = None
    notes: Notes = field(default_factory=Notes)


def found(path: Path) -> bool:
    """Whether a folder holds {z}/{x}/{y}.png, .jpg or .webp."""
    return is_folder(path) and next(_pictures(path), None) is not None


def read(path: Path) -> tuple[Sheet, Notes]:
    """The raster of a folder, and what it says of itself.

    Raises DataError for tiles outside web mercator, and metadata that make no sense.
    """
    said = _said(path)
    places: dict[int, list[tuple[int, int]]] = {}
    suffixes: Counter[str] = Counter()
    for zoom, column, row, suffix in _pictures(path):
        places.setdefault(zoom, []).append((column, 2**zoom - 1 - row if said.from_south else row))
        suffixes[suffix] += 1
    kinds = tuple(suffix for suffix, _ in suffixes.most_common())
    pictures = {zoom: np.array(listed, dtype=np.int64) for zoom, listed in places.items()}
    opaque = all(suffix.lower() in _OPAQUE for suffix in kinds)
    return sheet(path, TileFolder(path, kinds, said.from_south), pictures, said.bounds, opaque=opaque), said.notes


def files(path: Path) -> list[Path]:
    """All files that the map consists of."""
    tiles = [path / str(zoom) / str(column) / f"{row}{suffix}" for zoom, column, row, suffix in _pictures(path)]
    return tiles + [path / name for name in (TMS_FILE, *METADATA) if is_file(path / name)]


def _pictures(path: Path) -> Iterator[tuple[int, int, int, str]]:
    """Zoom, column and row as they are written, and the ending, of every picture."""
    for zoom in _numbers(path):
        for column in _numbers(path / str(zoom)) if zoom <= DEEPEST_ZOOM else ():
            for name in _names(path / str(zoom) / str(column)):
                row, dot, suffix = name.partition(".")
                if _NUMBER.fullmatch(row) and suffix.lower() in _SUFFIXES and max(column, int(row)) < 2**zoom:
                    yield zoom, column, int(row), dot + suffix


def _names(folder: Path) -> list[str]:
    # Not Path.iterdir: a hundred thousand paths take seconds to make.
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries)


def _numbers(folder: Path) -> list[int]:
    """The folders in it that are named by a number."""
    with os.scandir(folder) as entries:
        return sorted(int(entry.name) for entry in entries if _NUMBER.fullmatch(entry.name) and entry.is_dir())


def _said(path: Path) -> _Said:
    if is_file(path / TMS_FILE):
        return _said_by_tms(path / TMS_FILE)
    file = next((path / name for name in METADATA if is_file(path / name)), None)
    if file is None:
        return _Said()
    try:
        said: Any = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{file} is no JSON ({error}); mend or remove it.") from error
    said = said if isinstance(said, dict) else {}
    bounds = said.get("bounds")
    text = bounds if isinstance(bounds, str) or bounds is None else ",".join(str(number) for number in bounds)
    attribution = said.get("attribution")
    return _Said(
        str(said.get("scheme", "xyz")).lower() == "tms",
        bounds_of(text, path) if text else None,
        Notes(plain(str(attribution)) if attribution else None, ce90_of(said.get(CE90), file)),
    )


def _said_by_tms(file: Path) -> _Said:
    """What gdal2tiles says. Its bounding box is left alone: several versions wrote latitudes as x."""
    try:
        root = ElementTree.parse(file).getroot()
    except ElementTree.ParseError as error:
        raise DataError(f"{file} is no XML ({error}); mend or remove it.") from error
    sets = root.find("TileSets")
    words = f"{root.findtext('SRS') or ''} {sets.get('profile', '') if sets is not None else ''}".lower()
    if words.strip() and not any(name in words for name in _MERCATOR):
        raise DataError(
            f"{file} says that the tiles lie in {words.strip()!r}; web mercator (EPSG:3857) was expected, so make the "
            "tiles again with that profile."
        )
    return _Said(from_south=True)
