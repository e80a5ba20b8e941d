"""A dataset's photos by night, in the same folders under names like `stem` + n.jpg: Pitts30k-night from Pitts30k.

What file names, EXIF and tables say of a photo is said of its night as well, so that the readers find it. Work goes on
in a folder beside the new one, where a killed run leaves off and the same command goes on.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from geofix.data import geotag_csv
from geofix.errors import DataError, GeofixError, PhotoError, UsageError, storage_error
from geofix.files import (
    is_file,
    is_folder,
    is_half,
    link_or_copy,
    remove_halves,
    write_atomically,
    write_json,
)
from geofix.night.translators import Translator
from geofix.photos import is_photo, read_bytes, read_pixels, save_jpeg, upright_exif, visible_files
from geofix.version import __version__

Progress = Callable[[int, int], None]
RECORD = "night.json"
"""In the new folder: of what, by what and with which options it was made."""

_QUALITY = 95


@dataclass(frozen=True, slots=True)
class Translated:
    """What was made at `root`.

    `photos` are the photos and their nights; `already` of them were there from a run before. `tables` were written
    anew, without `rows_left_out` rows that name none of these photos; `left_out` are the other files. Names are
    relative to the source.
    """

    root: Path
    photos: tuple[tuple[Path, Path], ...]
    already: int = 0
    tables: tuple[str, ...] = ()
    rows_left_out: int = 0
    left_out: tuple[str, ...] = ()
    problems: tuple[PhotoError, ...] = ()


@dataclass(frozen=True, slots=True)
class _Source:
    """What lies in the source: the photos with the names of their nights, tables, other files, closed folders."""

    root: Path
    nights: dict[str, str]
    tables: tuple[str, ...]
    others: tuple[str, ...]
    problems: tuple[PhotoError, ...]


def translated(
    source: Path,
    out: Path,
    translator: Translator,
    *,
    seed: int = 0,
    merge: bool = False,
    progress: Progress | None = None,
    before_naming: Callable[[Path, Sequence[tuple[Path, Path]]], None] | None = None,
) -> Translated:
    """Every photo below `source` by night, in a new folder `out` with the same folders in it.

    With `merge` the photos themselves lie beside their nights, as hard links or, where the disk cannot link, copies. A
    photo's night hangs on its name, its pixels, the translator and `seed` alone. Until all is done the work is in
    `out` + .unfinished; `before_naming` is called with that folder and the photos and their nights when all else is
    done, so that what it makes is there whenever `out` is. Photos that cannot be read are `problems`. Raises UsageError
    for an `out` that exists or lies in the source, and for work begun otherwise; DataError where nothing can be made;
    StorageError.
    """
    _refuse(source, out)
    found = _found(source, merge)
    work = out.with_name(f"{out.name}.unfinished")
    record = {
        "geofix": __version__,
        "source": str(source.resolve()),
        "model": translator.name,
        "fingerprint": translator.fingerprint,
        "seed": seed,
        "merge": merge,
    }
    try:
        _begin(work, record)
        done, already, problems = _photos(found, work, translator, seed, merge, progress)
        if not done:
            shutil.rmtree(work)
            raise problems[0]
        tables, rows_left_out = _tables(found, done, work, merge)
        remove_halves(work)
        if before_naming:
            before_naming(work, [(source / name, work / found.nights[name]) for name in done])
        work.rename(out)
    except OSError as error:
        raise storage_error(error, out) from error
    return Translated(
        root=out,
        photos=tuple((source / name, out / found.nights[name]) for name in done),
        already=already,
        tables=tuple(tables),
        rows_left_out=rows_left_out,
        left_out=(*found.others, *(table for table in found.tables if table not in tables)),
        problems=(*found.problems, *problems),
    )


def night_name(name: str) -> str:
    """The name of a photo's night: stem + n.jpg, as Atadjanov et al. have it. What is between @ stays valid."""
    return PurePosixPath(name).with_suffix("").as_posix() + "n.jpg"


def photo_seed(name: str, seed: int) -> int:
    """The seed of one photo, 0..2^63 - 1, told by its name below the source."""
    hashed = hashlib.sha256(f"{seed}/{name}".encode(errors="surrogateescape")).digest()
    return int.from_bytes(hashed[:8], "big") >> 1


def _refuse(source: Path, out: Path) -> None:
    """Whatever is wrong with the two folders."""
    if is_file(source):
        raise UsageError(f"{source} is a file; name the folder of its photos, a table in it is translated with them.")
    if not is_folder(source):
        raise DataError(f"{source} does not exist; give a folder of photos.")
    inner, outer = source.resolve(), out.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise UsageError(
            f"{out} and {source} are one folder or lie in each other; name a new folder beside the photos."
        )
    if os.path.lexists(out):
        raise UsageError(f"{out} exists; name a folder that does not exist yet, or remove this one.")


def _found(source: Path, merge: bool) -> _Source:
    problems: list[PhotoError] = []
    files = sorted(visible_files(source, problems))
    photos = [file.relative_to(source).as_posix() for file in files if is_photo(file)]
    if not photos and problems:
        raise problems[0]
    if not photos:
        raise DataError(f"{source} holds no photos; a folder with JPEG, PNG, WebP, TIFF or HEIC in it was expected.")
    others = [file.relative_to(source).as_posix() for file in files if not is_photo(file)]
    tables = [name for name in others if name.lower().endswith(geotag_csv.SUFFIXES)]
    nights = {name: night_name(name) for name in photos}
    _refuse_same_names(nights, merge)
    return _Source(source, nights, tuple(tables), tuple(name for name in others if name not in tables), tuple(problems))


def _refuse_same_names(nights: dict[str, str], merge: bool) -> None:
    """No file of the new folder may stand for two."""
    taken = {name: f"the photo {name}" for name in nights} if merge else {}
    for name, night in nights.items():
        if night in taken:
            raise DataError(
                f"The night of {name} would have the name {night}, as {taken[night]}; rename one of the photos."
            )
        taken[night] = f"the night of {name}"


def _begin(work: Path, record: dict[str, Any]) -> None:
    """The folder of the work, with what it was begun with; or the one that is there, if it was begun alike."""
    at = work / RECORD
    if not os.path.lexists(work) or (is_folder(work) and all(is_half(child) for child in work.iterdir())):
        work.mkdir(parents=True, exist_ok=True)
        write_json(at, record)
        return
    try:
        begun = dict(json.loads(at.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(
            f"{work} is in the way: no {RECORD} in it says what was begun there; remove it or name another folder."
        ) from error
    differing = [key for key in record if begun.get(key) != record[key]]
    if differing:
        raise UsageError(
            f"{work} was begun with {_said(begun, differing)} and this is {_said(record, differing)}; run the command "
            f"that it was begun with, or remove {work.name} to start anew."
        )


def _said(record: dict[str, Any], keys: Sequence[str]) -> str:
    return " and ".join(f"{key} {record.get(key)}" for key in keys if key != "fingerprint" or len(keys) == 1)


def _photos(
    found: _Source, work: Path, translator: Translator, seed: int, merge: bool, progress: Progress | None
) -> tuple[list[str], int, list[PhotoError]]:
    """The names of the photos whose nights are there now, how many of these were before, and what could not be read."""
    done: list[str] = []
    problems: list[PhotoError] = []
    already = 0
    for number, (name, night) in enumerate(found.nights.items(), start=1):
        there = is_file(work / night)
        try:
            if not there:
                write_atomically(work / night, _night(found.root / name, translator, photo_seed(name, seed)))
        except PhotoError as error:
            problems.append(error)
        else:
            if merge and not is_file(work / name):
                link_or_copy(found.root / name, work / name)
            done.append(name)
            already += there
        if progress:
            progress(number, len(found.nights))
    return done, already, problems


def _night(photo: Path, translator: Translator, seed: int) -> bytes:
    """One photo by night as a JPEG, upright, with the EXIF of the photo."""
    data = read_bytes(photo)
    pixels = read_pixels(data, str(photo))
    try:
        night = translator.translate(pixels, seed)
    except MemoryError as error:
        rows, columns = pixels.shape[:2]
        raise PhotoError(
            f"{photo} has {columns}x{rows} pixels, too many to translate in the memory there is; scale it down."
        ) from error
    assert night.shape == pixels.shape, f"{translator.name} made {night.shape} of {pixels.shape}"
    return save_jpeg(night, _QUALITY, upright_exif(data, str(photo)))


def _tables(found: _Source, done: Sequence[str], work: Path, merge: bool) -> tuple[list[str], int]:
    """Write the tables that list any of the photos, with their nights in place of them, or below them with `merge`.

    Their names, and how many of their rows were left out.
    """
    written, rows_left_out = [], 0
    nights = {name: found.nights[name] for name in done}
    for table in found.tables:
        try:
            paths = geotag_csv.photo_paths(found.root / table)
        except GeofixError:
            continue  # no table after all; named with the other files
        listed = _listed(paths, table, found.nights)
        new = {path: _beside(path, nights[name], merge) for path, name in listed.items() if name in nights}
        if new:
            write_atomically(work / table, geotag_csv.with_paths(found.root / table, new))
            written.append(table)
            rows_left_out += sum(path not in new for path in paths)
    return written, rows_left_out


def _listed(paths: Sequence[str], table: str, names: Iterable[str]) -> dict[str, str]:
    """The photo of each path in a table; none where most are not there, which the reader would refuse as well.

    Paths start from the table's own folder or, as nobody knows yet with which --images it will be read, from whichever
    gives the most photos.
    """
    there = set(names)
    spelt = {path: os.path.normpath(path) for path in paths if not path.startswith("/")}
    here = PurePosixPath(table).parent
    found = {path: os.path.normpath(f"{here}/{spelling}") for path, spelling in spelt.items()}
    if 2 * len(there.intersection(found.values())) < len(spelt):
        root = _likeliest_root(set(spelt.values()), there)
        found = {path: root + spelling for path, spelling in spelt.items()}
    listed = _photos_with_ids(spelt, there, here) | {path: name for path, name in found.items() if name in there}
    return listed if 2 * len(listed) >= len(set(paths)) else {}


def _photos_with_ids(paths: Iterable[str], names: Iterable[str], folder: PurePosixPath) -> dict[str, str]:
    """The one photo below a table's folder that an id, a path without the ending of a photo, stands for."""
    ids = {path for path in paths if not is_photo(Path(path))}
    below = (name for name in map(PurePosixPath, names if ids else ()) if name.is_relative_to(folder))
    called = geotag_csv.called_by(ids, (name.relative_to(folder) for name in below))
    return {id_: (folder / photos[0]).as_posix() for id_, photos in called.items() if len(photos) == 1}


def _likeliest_root(spellings: Iterable[str], names: Iterable[str]) -> str:
    """What stands before these paths in the names of most photos."""
    by_file: dict[str, list[str]] = {}
    for name in names:
        by_file.setdefault(PurePosixPath(name).name, []).append(f"/{name}")
    roots = Counter(
        name[1 : len(name) - len(path)]
        for path in spellings
        for name in by_file.get(PurePosixPath(path).name, ())
        if name.endswith(f"/{path}")
    )
    return roots.most_common(1)[0][0] if roots else ""


def _beside(path: str, night: str, merge: bool) -> list[str]:
    """The path of a photo's night as the table would write it, after its own with `merge`."""
    name = PurePosixPath(night)
    written = path[: path.rfind("/") + 1] + (name.name if is_photo(Path(path)) else name.stem)
    return [path, written] if merge else [written]
