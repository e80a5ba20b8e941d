"""verify: is an atlas whole?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from geofix.atlas.store import Atlas
from geofix.errors import AtlasError, DataError, PhotoError
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
    problems = [
        AtlasError(f"{path} has a descriptor that is no number; remove it and index it again.")
        for path, vector in zip(rows.paths, rows.vectors, strict=True)
        if not np.isfinite(vector).all()
    ]
    for path, (lat, lon) in zip(rows.paths, rows.latlons, strict=True):
        try:
            Position(float(lat), float(lon))
        except DataError as error:
            problems.append(AtlasError(f"{path}: {error}"))
    try:
        _ = atlas.calibration
    except AtlasError as error:
        problems.append(error)
    if len(set(rows.paths)) != len(rows):
        problems.append(AtlasError(f"{len(rows) - len(set(rows.paths))} photos are in the table more than once."))
    if files:
        problems += _changed(atlas, progress)
    return problems


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
