"""Which kind of map lies at a path, told by its structure, and the map."""

from __future__ import annotations

from pathlib import Path

from geofix.data.maps import geotiff, mbtiles, picture, tile_folder
from geofix.data.maps.aerial_map import AerialMap
from geofix.data.maps.source import Notes, Sheet, fingerprint
from geofix.data.maps.world_file import NEEDED, sidecars
from geofix.errors import DataError, first_few
from geofix.files import is_file, is_folder
from geofix.photos import is_georeferenced, is_photo
from geofix.positions import crs_name

KNOWN = (
    "a GeoTIFF, a picture with a world file and a .prj, a folder of these, {z}/{x}/{y}.png, .jpg or .webp (a web map's "
    "folder) or an .mbtiles file with pictures"
)


def open_map(path: Path, *, crs: str | None = None) -> AerialMap:
    """The map at `path`, a file or a folder; nothing of it is decoded yet.

    `crs`, such as "EPSG:32633", is for files that name no coordinate reference system; others keep their own. A folder
    with several GeoTIFFs or pictures is one map; where they overlap the first by name counts. Raises DataError for
    what is damaged, no map, or not to be placed on Earth, and MissingExtraError for a GeoTIFF without rasterio.
    """
    named = crs_name(crs) if crs else None
    try:
        if is_folder(path):
            return _tile_folder(path) if tile_folder.found(path) else _sheets_in(path, named)
        if is_file(path):
            return _mbtiles(path) if mbtiles.found(path) else _sheets(path, [_usable(path)], named)
    except OSError as error:
        raise DataError(
            f"{error.filename or path} cannot be read ({error.strerror}); check its permissions."
        ) from error
    what = "is a link that leads nowhere" if path.is_symlink() else "does not exist"
    raise DataError(f"{path} {what}; known maps are {KNOWN}.")


def is_map(path: Path) -> bool:
    """Whether `open_map` is the one to open a file or folder: it says where on Earth its pixels lie.

    A TIFF without any georeference is none, nor is a folder that holds other photos as well; a TIFF whose tags cannot
    be read is for `open_map` to speak about.
    """
    if is_folder(path):
        if tile_folder.found(path):
            return True
        files = [child for child in path.iterdir() if is_file(child) and (is_photo(child) or _is_sheet(child))]
        return bool(files) and all(_is_placed(child) for child in files)
    return is_file(path) and (mbtiles.found(path) or _is_placed(path, unknown=True))


def _is_placed(path: Path, unknown: bool = False) -> bool:
    if picture.found(path):
        return True
    placed = is_georeferenced(path) if geotiff.found(path) else False
    return unknown if placed is None else placed


def _tile_folder(path: Path) -> AerialMap:
    sheet, notes = tile_folder.read(path)
    # Sizes and times only: to look into a hundred thousand small files is to read them all.
    state = fingerprint(path, tile_folder.files(path), heads=False)
    return AerialMap.of(_name(path), path, (sheet,), state, notes)


def _mbtiles(path: Path) -> AerialMap:
    sheet, notes = mbtiles.read(path)
    return AerialMap.of(_name(path), path, (sheet,), fingerprint(path.parent, [path]), notes)


def _sheets_in(path: Path, crs: str | None) -> AerialMap:
    names = sorted(child.name for child in path.iterdir() if not child.name.startswith("."))
    files = [path / name for name in names if is_file(path / name) and _is_sheet(path / name)]
    if not files:
        what = f"holds no map that can be placed ({first_few(names)})" if names else "is empty"
        raise DataError(f"{path} {what}; known maps are {KNOWN}.")
    return _sheets(path, files, crs)


def _sheets(path: Path, files: list[Path], crs: str | None) -> AerialMap:
    """The map of some files, in their order."""
    tiffs = geotiff.read([file for file in files if geotiff.found(file)], crs)
    by_file: dict[Path, Sheet] = {sheet.path: sheet for sheet in tiffs}
    sheets = tuple(by_file.get(file) or picture.read(file, crs) for file in files)
    beside = [other for file in files for other in sidecars(file)]
    notes = [geotiff.notes_of(sheet.path) for sheet in tiffs]
    said = dict.fromkeys(one.attribution for one in notes if one.attribution)
    # A map is as good as its worst part; a picture with a world file says nothing.
    ce90s_m = [one.ce90_m for one in notes if one.ce90_m is not None]
    ce90_m = max(ce90s_m) if len(ce90s_m) == len(sheets) else None
    root = path if is_folder(path) else path.parent
    state = fingerprint(root, {*files, *beside}, crs)
    return AerialMap.of(_name(path), path, sheets, state, Notes("; ".join(said) or None, ce90_m))


def _usable(path: Path) -> Path:
    if _is_sheet(path):
        return path
    if is_photo(path):
        raise DataError(f"{path} is a picture without a world file, so it is unknown where it lies; {NEEDED}.")
    with path.open("rb") as stream:
        beginning = stream.read(4)
    raise DataError(f"{path} is no map (it starts with {beginning!r}); known maps are {KNOWN}.")


def _is_sheet(path: Path) -> bool:
    return geotiff.found(path) or picture.found(path)


def _name(path: Path) -> str:
    return path.name or path.resolve().name
