"""Writing files so that a reader, or the next run after a kill, never meets half of one."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from geofix.errors import StorageError, UsageError, storage_error
from geofix.version import __version__

AnyPath = str | Path
"""A file or folder as people name it; inside geofix it is a Path."""
_ORDER = ".order"  # in a folder that is not whole yet


def paths_of(named: AnyPath | Iterable[AnyPath]) -> list[Path]:
    """One path or several, in order."""
    return [Path(named)] if isinstance(named, str | Path) else [Path(one) for one in named]


def path_if(named: AnyPath | None) -> Path | None:
    """The path, if one is named."""
    return None if named is None else Path(named)


def shipped_files(folder: str, suffix: str) -> dict[str, Traversable]:
    """The files of a folder that comes with geofix, by name without suffix: from the wheel or, in a checkout, from
    its root; nothing where there is no such folder."""
    packaged = resources.files("geofix") / "builtin" / folder
    found: Traversable = packaged if packaged.is_dir() else Path(__file__).parents[2] / folder
    if not found.is_dir():
        return {}
    return {file.name.removesuffix(suffix): file for file in found.iterdir() if file.name.endswith(suffix)}


def absolute(path: Path) -> Path:
    """One spelling for each file: its folder without links and `..`, and the name it has there."""
    return path.parent.resolve() / path.name


def is_file(path: Path) -> bool:
    """Whether a file is there and may be looked at; a name too long or a closed folder is no file, not an error."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Whether a folder is there and may be looked at, as `is_file`."""
    try:
        return path.is_dir()
    except OSError:
        return False


def write_atomically(path: Path, content: str | bytes) -> None:
    """Put `content` at `path` whole or not at all (temporary file in the same folder, fsync, rename).

    Raises StorageError when the disk is full or the folder may not be written.
    """
    # File names that are no UTF-8 arrive as surrogates and leave as the bytes they were.
    data = content.encode(errors="surrogateescape") if isinstance(content, str) else content
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        raise storage_error(error, path) from error


def link_or_copy(source: Path, target: Path) -> None:
    """A hard link to `source` at `target`, folders included, or a copy where the disk cannot link; whole or not at all.

    Of a link the file itself is linked, as the link may lead nowhere from there. Raises OSError.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:  # another disk, or one that has no hard links
        copy = target.with_name(f".{target.name}.part")
        try:
            shutil.copy2(source, copy)
            copy.replace(target)
        finally:
            copy.unlink(missing_ok=True)


def write_json(path: Path, value: dict[str, Any]) -> None:
    """A dictionary as indented JSON, written whole or not at all; NaN is refused."""
    write_atomically(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def whole_folder(out: Path, order: dict[str, object] | None = None) -> Iterator[Path]:
    """A hidden folder beside `out` to write into, which takes its name at the end and is gone after a failure.

    With an `order`, all that decides what is written, it stays after a stop, a kill or a full disk: the next call with
    the same order finds what `keep` wrote there, one with another begins anew. Raises UsageError when `out` holds
    anything already, and StorageError for what the disk refuses.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; name a folder that does not exist yet.")
    out = out.resolve()  # a link to an empty folder, or a dot
    partial = out.with_name(f".{out.name}.partial")
    was_there = out.is_dir()
    asked = None if order is None else json.dumps({"geofix": __version__, **order}, default=repr)
    _refuse_full(out)
    try:
        if asked is None or not _began(partial, asked):
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            if asked is not None:
                write_atomically(partial / _ORDER, asked)
        if out.is_dir():
            out.rmdir()  # now rather than after hours: a mount point cannot be replaced
        yield partial
        (partial / _ORDER).unlink(missing_ok=True)
        partial.rename(out)
    except BaseException as error:
        broken_off = not isinstance(error, Exception) or isinstance(error, OSError | StorageError)
        if asked is None or not broken_off:
            shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError):
            raise storage_error(error, out) from error
        raise
    finally:
        if was_there:
            out.mkdir(exist_ok=True)


def _refuse_full(out: Path) -> None:
    try:
        full = out.is_dir() and any(out.iterdir())
    except OSError as error:
        raise storage_error(error, out) from error
    if full:
        raise UsageError(f"{out} is not empty; name a folder that does not exist yet, or empty this one.")


def _began(partial: Path, order: str) -> bool:
    """Whether a broken-off call of the same order left its work here; halves of files are taken away."""
    try:
        if (partial / _ORDER).read_text(encoding="utf-8") != order:
            return False
    except (OSError, ValueError):
        return False
    remove_halves(partial)
    return True


def is_half(path: Path) -> bool:
    """Whether that is what a killed run left of a file that it was writing."""
    return path.name.startswith(".") and path.name.endswith(".part")


def remove_halves(folder: Path) -> None:
    """Take away what killed runs left of files below a folder."""
    for inner, _, names in os.walk(folder):
        for file in filter(is_half, (Path(inner, name) for name in names)):
            file.unlink()


def is_written(path: Path) -> bool:
    """Whether a file is there, and not the empty one that a power cut leaves of a rename it overtook."""
    return path.is_file() and path.stat().st_size > 0


def keep(folder: Path, paths: Sequence[str], made: Callable[[], bytes]) -> None:
    """Write what `made` gives to every one of `paths` in a folder, each whole, unless all of them are there."""
    files = [folder / path for path in paths]
    if all(is_written(file) for file in files):
        return
    content = made()
    # Not `write_atomically`: waiting for the disk each time would make small pictures a third slower.
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        half = file.with_name(f".{file.name}.part")
        half.write_bytes(content)
        half.replace(file)
