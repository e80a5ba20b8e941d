"""Trainings that failed for a reason that would come again: noted in their folder, so that they are not tried again."""

from __future__ import annotations

from pathlib import Path

from geofix.files import is_file, write_atomically

FAILURE = "failure.txt"


def failure_in(folder: Path) -> str:
    """Why the training in a folder failed; empty where it did not."""
    path = folder / FAILURE
    return path.read_text(encoding="utf-8").strip() if is_file(path) else ""


def note_failure(folder: Path, why: object) -> None:
    """Write it down; whoever removes the file may try again. Raises StorageError."""
    write_atomically(folder / FAILURE, f"{why}\n")
