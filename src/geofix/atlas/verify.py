"""verify: is an atlas whole?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from geofix.atlas.store import Atlas
from geofix.errors import AtlasError, DataError, GeofixError, PhotoError
from geofix.photos import read_bytes
from geofix.positions import Position


def verify(
    atlas: Atlas, *, files: bool = False, progress: Callable[[int, int], None] | None = None
) -> list[AtlasError]:
    """Everything that is wrong with an atlas, one error each; empty when it is whole.

    With `files` every photo is read and compared with the hash it had when it was indexed. Raises AtlasError
    when the table or the encoder cannot be opened at all.
    """
    atlas.run()
    rows = atlas.rows
    problems = [AtlasError(sentence) for sentence in _wrong_rows(atlas).values()]
    for verified in (False, True):
        try:
            atlas.calibration_of(verified)
        except AtlasError as error:
            problems.append(error)
    if len(set(rows.paths)) != len(rows):
        twice = len(rows) - len(set(rows.paths))
        problems.append(AtlasError(f"{twice} {atlas.holds} are in the table more than once."))
    if files:
        problems += (_changed_maps if atlas.holds == "tiles" else _changed)(atlas, progress)
    return problems


def _wrong_rows(atlas: Atlas) -> dict[int, str]:
    """For each row of the table that is not as it was stored, what is wrong with it."""
    rows = atlas.rows
    stored, found = atlas.checksums()
    again = "remove it and index it again."
    wrong = {
        int(row): f"{rows.paths[row]} has a descriptor or position that changed on disk; {again}"
        for row in np.flatnonzero(stored != found)
    }
    for row, (lat, lon) in enumerate(rows.latlons):
        try:
            Position(float(lat), float(lon))
        except DataError as error:
            wrong[row] = f"{rows.paths[row]}: {error}"
    for number in np.flatnonzero(~np.isfinite(rows.vectors).all(axis=1)):
        row = int(number)
        wrong[row] = f"{rows.paths[row]} has a descriptor that is no number; {again}"
    return wrong


def _changed(atlas: Atlas, progress: Callable[[int, int], None] | None) -> list[AtlasError]:
    problems = []
    hashes = atlas.hashes()
    for done, (path, expected) in enumerate(hashes.items(), start=1):
        try:
            if hashlib.sha256(read_bytes(Path(path))).hexdigest() != expected:
                problems.append(AtlasError(f"{path} has changed since it was indexed; index it again."))
        except PhotoError as error:
            problems.append(AtlasError(str(error)))
        if progress:
            progress(done, len(hashes))
    return problems


def _changed_maps(atlas: Atlas, progress: Callable[[int, int], None] | None) -> list[AtlasError]:
    """Maps that are no longer what their tiles were cut from."""
    problems = []
    stored = {str(atlas.file_of(path)): mark for path, mark in atlas.hashes().items()}
    for done, (file, mark) in enumerate(stored.items(), start=1):
        try:
            if atlas.map_at(Path(file)).fingerprint != mark:
                problems.append(AtlasError(f"{file} has changed since it was indexed; index it again."))
        except GeofixError as error:
            problems.append(AtlasError(str(error)))
        if progress:
            progress(done, len(stored))
    return problems
