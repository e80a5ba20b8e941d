"""Reader of a geotagged table: one row a photo, with its path, latitude and longitude under usual names."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

import numpy as np

from geofix.data.places import Dataset, Split
from geofix.errors import DataError, PhotoError, UsageError
from geofix.files import is_file
from geofix.photos import Photo, is_photo, photo_files
from geofix.positions import Position, looks_swapped
from geofix.scenes.places365 import scene_of

LAYOUT = "geotag-csv"
SPLIT = "all"
SUFFIXES = (".csv", ".tsv")
DELIMITERS = (",", ";", "\t")
# The first alias that is a column wins; compared in lower case with spaces and dashes as underscores.
ALIASES: dict[str, tuple[str, ...]] = {
    "path": (
        "path", "file", "filename", "file_name", "file_path", "filepath", "image", "image_path", "img",
        "img_path", "img_id", "image_id", "photo", "photo_path", "photo_id", "name", "id",
    ),
    "lat": ("lat", "latitude", "gps_lat", "gps_latitude", "gpslatitude", "gt_lat", "gt_latitude", "y"),
    "lon": (
        "lon", "lng", "long", "longitude", "gps_lon", "gps_lng", "gps_long", "gps_longitude",
        "gpslongitude", "gt_lon", "gt_lng", "gt_long", "gt_longitude", "x",
    ),
    "scene": ("scene", "scene_label"),
    "leaf": ("s365_label", "places365", "places365_label"),
    "country": ("country", "country_code", "iso"),
    "author": ("author", "user", "user_id", "photographer", "owner", "creator_id", "creator_username"),
    "sequence": (
        "sequence", "sequence_id", "seq", "pano", "pano_id", "panorama", "group", "group_id", "location_id",
    ),
    "heading": ("heading", "heading_deg", "compass_angle", "bearing", "yaw"),
    "split": ("split", "subset", "fold"),
    "time": ("time", "taken_at", "timestamp", "datetime", "captured_at", "date"),
}  # fmt: skip
_NEEDED = ("path", "lat", "lon")
_SWAPPED_SHARE = 0.01  # fewer impossible latitudes than this are typing errors, not a swap


@dataclass(frozen=True, slots=True)
class Row:
    """One usable row: where it stands in the file, its photo's path as written, and what else it says."""

    line: int
    path: str
    position: Position
    scene: str | None = None
    country: str | None = None
    author: str | None = None
    sequence: str | None = None
    heading_deg: float | None = None
    split: str | None = None
    taken_at: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """The usable rows of a geotagged table and what is wrong with the others; no photo is looked for yet."""

    path: Path
    rows: tuple[Row, ...]
    problems: tuple[PhotoError, ...] = ()


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table as it is written: the header, the lines that are not empty with their numbers, and the delimiter."""

    header: list[str]
    lines: list[tuple[int, list[str]]]
    delimiter: str


@dataclass(frozen=True, slots=True)
class Record:
    """The cells of one line by column kind; `texts` lacks what is empty."""

    line: int
    texts: dict[str, str]

    def number(self, kind: str) -> float:
        """A finite number, or NaN for what is none. A decimal comma counts as a point."""
        try:
            number = float(self.texts.get(kind, "").replace(",", "."))
        except ValueError:
            return math.nan
        return number if math.isfinite(number) else math.nan


def found(path: Path) -> bool:
    """Whether `path` is a file that ends like a table."""
    return is_file(path) and path.suffix.lower() in SUFFIXES


def read(csv_path: Path, image_root: Path | None = None) -> Dataset:
    """The photos of a table whose files exist, in leave-one-out splits by its split column, or in "all".

    Paths are relative to `image_root`, or to the table's folder. A path that lacks the ending of a photo and is no
    file is an id (as in OSV-5M): the photo named so, in whichever folder below. Rows that cannot be used and files that
    are not there become problems. Raises DataError as `read_table` does, and when most files are missing.
    """
    table = read_table(csv_path)
    root = csv_path.parent if image_root is None else image_root
    table = _with_ids_found(table, root)
    photos = [(row.split or SPLIT, _photo(row, root)) for row in table.rows]
    there = [(split, photo) for split, photo in photos if is_file(photo.path)]
    missing = [photo for _, photo in photos if not is_file(photo.path)]
    if len(missing) > len(photos) / 2:
        raise DataError(
            f"{len(missing)} of the {len(photos)} photos listed in {csv_path} are not in {root} (the first "
            f"is {missing[0].name}); say with --images in which folder they lie."
        )
    absent = [PhotoError(f"{photo.path} is listed in {csv_path.name} but is not there.") for photo in missing]
    return Dataset(csv_path, LAYOUT, _splits(there), (*table.problems, *absent))


def read_table(csv_path: Path) -> Table:
    """The rows of a table, photos not looked for.

    Raises DataError when the file is no table, lacks a column, has latitude and longitude provably swapped,
    or has no usable row.
    """
    sheet = read_sheet(csv_path)
    columns = find_columns(csv_path, sheet.header)
    records = [to_record(line, cells, columns) for line, cells in sheet.lines]
    _refuse_swapped(csv_path, records, sheet.header[columns["lat"]], sheet.header[columns["lon"]])
    rows: dict[str, Row] = {}
    problems: list[PhotoError] = []
    for record in records:
        try:
            row = _row(csv_path, record, rows)
        except PhotoError as error:
            problems.append(error)
        else:
            rows[row.path] = row
    if not rows:
        first = f" (the first: {problems[0]})" if problems else ""
        raise DataError(f"{csv_path} has no usable row of {len(records)}{first}; path, lat and lon are needed.")
    return Table(csv_path, tuple(rows.values()), tuple(problems))


def _with_ids_found(table: Table, root: Path) -> Table:
    """A table whose ids are the paths of the photos named so below `root`; an id of two photos becomes a problem."""
    ids = {row.path for row in table.rows if not is_photo(Path(row.path)) and not is_file(root / row.path)}
    if not ids:
        return table
    problems = list(table.problems)
    files = called_by(ids, (file.relative_to(root) for file in photo_files(root, problems)))
    rows = []
    for row in table.rows:
        paths = files.get(row.path, [row.path]) if row.path in ids else [row.path]
        if len(paths) > 1:
            problems.append(
                PhotoError(
                    f"{table.path.name} line {row.line} names the photo {row.path}, and {paths[0]} and {paths[1]} are "
                    "both called so; it was left out."
                )
            )
        else:
            rows.append(replace(row, path=paths[0]))
    return Table(table.path, tuple(rows), tuple(problems))


def called_by(ids: Set[str], paths: Iterable[PurePath]) -> dict[str, list[str]]:
    """The photos, of those with these paths, that each id is the name or the whole path of, without the ending."""
    found: dict[str, list[str]] = {}
    for path in paths:
        for name in {path.stem, path.with_suffix("").as_posix()} & ids:
            found.setdefault(name, []).append(path.as_posix())
    return found


def photo_paths(csv_path: Path) -> list[str]:
    """The photo paths of a table, with positions or without; with forward slashes. Raises DataError for no table."""
    sheet = read_sheet(csv_path)
    return [path for _, cells in sheet.lines if (path := _path(cells, _path_column(csv_path, sheet.header)))]


def with_paths(csv_path: Path, new: Mapping[str, Sequence[str]]) -> str:
    """The text of a table in which each row stands once for each new path of its photo; others are left out.

    All other cells are as they were. Raises DataError as `photo_paths`, which says how paths are written in `new`.
    """
    sheet = read_sheet(csv_path)
    at = _path_column(csv_path, sheet.header)
    out = io.StringIO()
    writer = csv.writer(out, delimiter=sheet.delimiter, lineterminator="\n")
    writer.writerow(sheet.header)
    for _, cells in sheet.lines:
        writer.writerows([*cells[:at], path, *cells[at + 1 :]] for path in new.get(_path(cells, at), ()))
    return out.getvalue()


def _path(cells: list[str], at: int) -> str:
    return cells[at].strip().replace("\\", "/") if at < len(cells) else ""


def read_sheet(csv_path: Path) -> Sheet:
    """A table as it is written. Raises DataError where it cannot be read or holds nothing."""
    try:
        with csv_path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            delimiter = max(DELIMITERS, key=first.count)
            reader = csv.reader(file, delimiter=delimiter)
            lines = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except UnicodeDecodeError as error:
        raise DataError(f"{csv_path} is not UTF-8 text ({error.reason}); save it as CSV in UTF-8.") from error
    except csv.Error as error:
        raise DataError(f"{csv_path} is no readable table ({error}); save it as CSV again.") from error
    except OSError as error:
        raise DataError(f"{csv_path} cannot be read ({error.strerror}); check its permissions.") from error
    if not lines:
        raise DataError(f"{csv_path} is empty; a header line with lat, lon and, for photos, path is expected.")
    return Sheet([cell.strip() for cell in lines[0][1]], lines[1:], delimiter)


def _path_column(csv_path: Path, header: list[str]) -> int:
    return find_columns(csv_path, header, ("path",))["path"]


def find_columns(csv_path: Path, header: list[str], needed: Sequence[str] = _NEEDED) -> dict[str, int]:
    """Column numbers by kind."""
    names = [cell.lower().replace(" ", "_").replace("-", "_") for cell in header]
    number = {name: names.index(name) for name in names}
    columns = {
        kind: number[next(alias for alias in aliases if alias in number)]
        for kind, aliases in ALIASES.items()
        if any(alias in number for alias in aliases)
    }
    lacking = [kind for kind in needed if kind not in columns]
    if lacking:
        wanted = "; ".join(f"{kind} as one of {', '.join(ALIASES[kind])}" for kind in lacking)
        raise DataError(
            f"{csv_path} has the columns {', '.join(header)} but none for {' and '.join(lacking)}; "
            f"name them in the first line ({wanted})."
        )
    return columns


def to_record(line: int, cells: list[str], columns: dict[str, int]) -> Record:
    """The cells of a line by the kinds that `find_columns` found."""
    texts = {kind: cells[at].strip() for kind, at in columns.items() if at < len(cells)}
    return Record(line, {kind: text for kind, text in texts.items() if text})


def _refuse_swapped(csv_path: Path, records: list[Record], lat_name: str, lon_name: str) -> None:
    """Only what the ranges prove is refused: a swapped table of Europe looks like a right one of Somalia."""
    points = np.array([(record.number("lat"), record.number("lon")) for record in records], dtype=np.float64)
    points = points.reshape(-1, 2)
    points = points[np.all(np.abs(points) <= 180, axis=1)]
    impossible = int(np.count_nonzero(np.abs(points[:, 0]) > 90))
    enough = impossible == len(points) or impossible >= max(2.0, _SWAPPED_SHARE * len(points))
    if enough and looks_swapped(points):
        raise DataError(
            f"{csv_path} has latitude and longitude swapped: {impossible} of {len(points)} values under "
            f"{lat_name!r} are outside -90..90 while all under {lon_name!r} are inside; exchange the two "
            "names in its first line."
        )


def _row(csv_path: Path, record: Record, earlier: dict[str, Row]) -> Row:
    where = f"{csv_path.name} line {record.line}"
    texts = record.texts
    if "path" not in texts:
        raise PhotoError(f"{where} has no photo path; it was left out.")
    path = texts["path"].replace("\\", "/")
    if path in earlier:
        raise PhotoError(f"{where} names {path} again (first in line {earlier[path].line}); it was left out.")
    heading_deg = record.number("heading")
    return Row(
        record.line,
        path,
        _position(where, record),
        scene=texts.get("scene") or _scene_of_leaf(where, texts.get("leaf")),
        country=texts.get("country"),
        author=texts.get("author"),
        sequence=texts.get("sequence"),
        heading_deg=None if math.isnan(heading_deg) else heading_deg % 360,
        split=texts.get("split"),
        taken_at=texts.get("time"),
    )


def _scene_of_leaf(where: str, leaf: str | None) -> str | None:
    """The scene of a class of Places365, by number or name, "indoor" among them; None for none."""
    if not leaf:
        return None
    try:
        return scene_of(int(leaf) if leaf.lstrip("-").isdigit() else leaf)
    except UsageError as error:
        raise PhotoError(f"{where}: {error}") from error


def _position(where: str, record: Record) -> Position:
    for kind in ("lat", "lon"):
        if math.isnan(record.number(kind)):
            text = record.texts.get(kind, "")
            raise PhotoError(f"{where} has {text!r} as {kind}; a decimal number of degrees is expected.")
    try:
        return Position(record.number("lat"), record.number("lon"))
    except DataError as error:
        raise PhotoError(f"{where}: {error}") from error


def _photo(row: Row, root: Path) -> Photo:
    return Photo(
        row.path,
        root / row.path,
        row.position,
        heading_deg=row.heading_deg,
        taken_at=row.taken_at,
        # Photos of one sequence, or failing that of one photographer, are not independent.
        group=row.sequence or row.author,
        author=row.author,
        source="csv",
        scene=row.scene,
        country=row.country,
    )


def _splits(photos: list[tuple[str, Photo]]) -> dict[str, Split]:
    counts = Counter(name for name, _ in photos)
    pools = {name: tuple(photo for split, photo in photos if split == name) for name in counts}
    return {name: Split(name, pool, pool, leave_one_out=True) for name, pool in pools.items()}
