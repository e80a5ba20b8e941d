"""Reader of the deep-VG layout: images/<split>/{database,queries}/**/@easting@northing@zone@band@...@.jpg."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from geofix.data.places import Dataset, Split
from geofix.errors import DataError, PhotoError
from geofix.files import is_folder
from geofix.photos import Photo, find_photos
from geofix.positions import Position

LAYOUT = "deep-vg"
ROLES = ("database", "queries")
# Between the @ of the file name, in this order; any may be empty and the last ones may be absent.
FIELDS = (
    "easting", "northing", "zone", "band", "lat", "lon", "pano", "tile",
    "heading", "pitch", "roll", "height", "timestamp", "note",
)  # fmt: skip
_APART_M = 50.0  # a name's degrees are rounded to about a metre; beyond this one of its positions is wrong
_TIMESTAMP = re.compile(r"(\d{4})(?:(\d{2})(?:(\d{2})(?:_(\d{2})(?:(\d{2})(\d{2})?)?)?)?)?")


def found(path: Path) -> bool:
    """Whether `path` is a dataset folder, its `images` folder, or one split of it."""
    return bool(_split_folders(path))


def read(path: Path) -> Dataset:
    """Every split found: `database` photos as gallery, `queries` as queries, either may be empty.

    Photo names are relative to the `images` folder. A name that cannot be understood, or whose UTM and
    degrees disagree, becomes a problem; its photo is kept.
    """
    splits: dict[str, Split] = {}
    problems: list[PhotoError] = []
    for folder in _split_folders(path):
        read_roles = [_read_role(folder, role) for role in ROLES]
        (gallery, _), (queries, _) = read_roles
        splits[folder.name] = Split(folder.name, gallery, queries)
        problems += [problem for _, found_problems in read_roles for problem in found_problems]
    return Dataset(path, LAYOUT, splits, tuple(problems))


def name_fields(file_name: str) -> dict[str, str]:
    """The filled fields of a photo's file name (no folders); empty when it is no deep-VG name."""
    parts = file_name.split("@")
    if len(parts) < 4 or parts[0]:
        return {}
    # The last part is the ending, with whatever a tool appended to the stem before it.
    return {field: text.strip() for field, text in zip(FIELDS, parts[1:-1], strict=False) if text.strip()}


def photo_from_name(path: Path, name: str) -> tuple[Photo, PhotoError | None]:
    """A photo with what its file name says, and what is wrong with that name."""
    fields = name_fields(path.name)
    position, problem = _position(fields)
    photo = Photo(
        name,
        path,
        position,
        heading_deg=_heading_deg(fields.get("heading", "")),
        taken_at=_iso_time(fields.get("timestamp", "")),
        group=_panorama(fields),
        source="name" if position else None,
        condition=fields.get("note"),
    )
    return photo, PhotoError(f"{name}: {problem}") if problem else None


def _split_folders(path: Path) -> list[Path]:
    if not is_folder(path):
        return []
    if _is_split(path):
        return [path.absolute()]
    images = path / "images" if is_folder(path / "images") else path
    return sorted(folder for folder in images.iterdir() if _is_split(folder))


def _is_split(folder: Path) -> bool:
    return any(is_folder(folder / role) for role in ROLES)


def _read_role(folder: Path, role: str) -> tuple[tuple[Photo, ...], list[PhotoError]]:
    images = folder.parent
    closed: list[PhotoError] = []
    files = find_photos(folder / role, closed)
    understood = [photo_from_name(file, file.relative_to(images).as_posix()) for file in files]
    photos = tuple(photo for photo, _ in understood)
    return photos, [*closed, *(problem for _, problem in understood if problem is not None)]


def _position(fields: dict[str, str]) -> tuple[Position | None, str | None]:
    """The UTM position, else the degrees; and the sentence about what is wrong, if anything is."""
    utm, utm_problem = _tried(_from_utm, fields)
    degrees, degrees_problem = _tried(_from_degrees, fields)
    if utm is None and degrees is None and "easting" in fields and not utm_problem:
        utm_problem = "the name has an easting but neither UTM zone and band nor degrees; add the zone and its band."
    if utm is None or degrees is None:
        return utm or degrees, utm_problem or degrees_problem
    apart_m = utm.metres_to(degrees)
    if apart_m <= _APART_M:
        return utm, None
    return utm, (
        f"UTM and degrees in the name lie {apart_m:.0f} m apart, at most {_APART_M:.0f} m are expected; "
        "the UTM position is used, correct the name if that is the wrong one."
    )


def _tried(
    read_position: Callable[[dict[str, str]], Position | None], fields: dict[str, str]
) -> tuple[Position | None, str | None]:
    try:
        return read_position(fields), None
    except DataError as error:
        return None, str(error)


def _from_utm(fields: dict[str, str]) -> Position | None:
    if not {"easting", "northing", "zone", "band"} <= set(fields):
        return None
    zone = _number(fields, "zone")
    if zone != int(zone):
        raise DataError(f"UTM zone {fields['zone']} in the name is no whole number 1..60.")
    easting_m, northing_m = _number(fields, "easting"), _number(fields, "northing")
    return Position.from_utm(easting_m, northing_m, int(zone), fields["band"])


def _from_degrees(fields: dict[str, str]) -> Position | None:
    if not {"lat", "lon"} <= set(fields):
        return None
    return Position(_number(fields, "lat"), _number(fields, "lon"))


def _number(fields: dict[str, str], field: str) -> float:
    text = fields[field]
    if not re.fullmatch(r"[+-]?\d+(\.\d*)?", text):
        raise DataError(f"the {field} in the name is {text!r}; a decimal number is expected.")
    return float(text)


def _heading_deg(text: str) -> float | None:
    return float(text) % 360 if re.fullmatch(r"[+-]?\d+(\.\d*)?", text) else None


def _panorama(fields: dict[str, str]) -> str | None:
    """The panorama's id with its position: some sets number their panoramas anew in every folder, so the id
    alone would tie photos together that have nothing in common.
    """
    if "pano" not in fields:
        return None
    return "@".join([fields["pano"], fields.get("easting", ""), fields.get("northing", "")])


def _iso_time(text: str) -> str | None:
    """YYYY[MM[DD[_hh[mm[ss]]]]] as ISO 8601 of the same precision; None for anything else."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = match.groups()
    date = "-".join(part for part in (year, month, day) if part)
    if hour is None:
        return date
    return f"{date}T{hour}:{minute or '00'}" + (f":{second}" if second else "")
