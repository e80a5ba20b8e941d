"""MBTiles: a web map in one SQLite file (https://github.com/mapbox/mbtiles-spec), with pictures as its tiles."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geofix.data.maps.source import CE90, Notes, Sheet, ce90_of
from geofix.data.maps.tile_pyramid import DEEPEST_ZOOM, Address, bounds_of, sheet
from geofix.errors import DataError

SUFFIX = ".mbtiles"
_BEGINNING = b"SQLite format 3\x00"
_OPAQUE = ("jpg", "jpeg")
_PICTURES = ("png", "webp", *_OPAQUE)
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class MBTilesStore:
    """The tiles of a file. Rows count from the south (TMS), as the standard has it, unless the file says xyz."""

    path: Path
    from_south: bool

    def picture(self, address: Address) -> bytes | None:
        """See `tile_pyramid.Store`."""
        zoom, column, row = address
        row = 2**zoom - 1 - row if self.from_south else row
        asked = "SELECT tile_data FROM tiles WHERE zoom_level = ? AND tile_column = ? AND tile_row = ?"
        with _opened(self.path) as file:
            found = file.execute(asked, (zoom, column, row)).fetchone()
        return bytes(found[0]) if found and found[0] else None


def found(path: Path) -> bool:
    """Whether a file is named like MBTiles or begins like SQLite."""
    if path.suffix.lower() == SUFFIX:
        return True
    try:
        with path.open("rb") as stream:
            return stream.read(len(_BEGINNING)) == _BEGINNING
    except OSError:
        return False


def read(path: Path) -> tuple[Sheet, Notes]:
    """The raster of a file, and what it says of itself.

    Raises DataError for what is no SQLite, holds no tiles, or tiles that are no pictures.
    """
    said = _metadata(path)
    kind = said.get("format", "").lower()
    store = MBTilesStore(path, said.get("scheme", "tms").lower() != "xyz")
    pictures = _listed(store)
    if not pictures:
        raise DataError(f"{path} holds no tiles; make it again from its source.")
    zoom = min(pictures)
    column, row = pictures[zoom][0].tolist()
    if kind == "pbf" or (store.picture((zoom, column, row)) or b"").startswith(_GZIP):
        raise DataError(
            f"{path} holds vector tiles (pbf), drawings without pixels; tiles of png, jpg or webp are needed."
        )
    if kind and kind.split("/")[-1] not in _PICTURES:
        raise DataError(f"{path} holds tiles of the format {kind!r}; png, jpg or webp was expected.")
    bounds = bounds_of(said["bounds"], path) if said.get("bounds") else None
    raster = sheet(path, store, pictures, bounds, opaque=kind.split("/")[-1] in _OPAQUE)
    return raster, Notes(plain(said.get("attribution")), ce90_of(said.get(CE90), path))


def plain(text: str | None) -> str | None:
    """An attribution without the links that web maps put into it."""
    return re.sub(r"<[^>]*>", "", text or "").strip() or None


def _metadata(path: Path) -> dict[str, str]:
    with _opened(path) as file:
        tables = {name for (name,) in file.execute("SELECT name FROM sqlite_master")}
        if "tiles" not in tables:
            raise DataError(f"{path} is an SQLite file without the table tiles, so it is no MBTiles; name one that is.")
        if "metadata" not in tables:
            return {}
        rows = file.execute("SELECT name, value FROM metadata").fetchall()
    return {str(name).lower(): str(value) for name, value in rows if value is not None}


def _listed(store: MBTilesStore) -> dict[int, np.ndarray]:
    with _opened(store.path) as file:
        rows = file.execute("SELECT zoom_level, tile_column, tile_row FROM tiles")
        numbers = np.fromiter((number for row in rows for number in row), dtype=np.int64).reshape(-1, 3)
    if not len(numbers):
        return {}
    if numbers[:, 0].min() < 0 or numbers[:, 0].max() > DEEPEST_ZOOM:
        raise DataError(f"{store.path} has tiles of zoom {numbers[:, 0].max()}; 0 to {DEEPEST_ZOOM} was expected.")
    if store.from_south:
        numbers[:, 2] = 2 ** numbers[:, 0] - 1 - numbers[:, 2]
    return {int(zoom): numbers[numbers[:, 0] == zoom, 1:] for zoom in np.unique(numbers[:, 0])}


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of its own for every question: it costs little, and none may be shared by threads."""
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as file:
            yield file
    except (sqlite3.Error, TypeError, ValueError) as error:
        raise DataError(f"{path} is no MBTiles that can be read ({error}); copy it again from its source.") from error
