"""A dataset folder that appears only when it is whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geofix.errors import UsageError, storage_error


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A hidden folder beside `out` to write into, which takes its name at the end and is gone after a failure.

    Raises UsageError when `out` holds anything already, and StorageError for what the disk refuses.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; name a folder that does not exist yet.")
    partial = out.with_name(f".{out.name}.partial")
    try:
        if out.is_dir() and any(out.iterdir()):
            raise UsageError(f"{out} is not empty; name a folder that does not exist yet, or empty this one.")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        if out.is_dir():
            out.rmdir()
        partial.rename(out)
    except OSError as error:
        raise storage_error(error, out) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
