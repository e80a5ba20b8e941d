"""Learn on frames with known positions what confidence and radius the evidence on a map deserves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from geofix.atlas.calibration import RIGHT_WITHIN_M, Calibration, calibrate
from geofix.atlas.spots import METHOD, VERIFIED_METHOD, Found
from geofix.encode import Progress
from geofix.errors import PhotoError
from geofix.frames.locate import Searched
from geofix.photos import Photo, read_pixels
from geofix.positions import metres_from


class Asked(NamedTuple):
    """Of n frames: the evidence (n, features) and the error (n,) in metres of each answer; and the evidence
    (m, features) of the answers that would have been given if the map did not show the place.
    """

    evidence: np.ndarray
    errors_m: np.ndarray
    strangers: np.ndarray


def ask(
    searched: Searched,
    frames: Sequence[Photo],
    *,
    progress: Progress | None = None,
    errors: list[PhotoError] | None = None,
) -> Asked:
    """Locate frames whose position is known, once on the whole map and once without what they show.

    Frames without a position, or that lie where no tile does, are no fair question and are left out; one error for each
    that cannot be read is appended to `errors`.
    """
    evidence, away_m, strangers = [], [], []
    for done, frame in enumerate(frames, start=1):
        if frame.position is not None:
            try:
                pixels = read_pixels(frame.path)
            except PhotoError as error:
                if errors is not None:
                    errors.append(error)
                continue
            apart_m = metres_from(frame.position, searched.rows.latlons)
            looks = searched.looks(*pixels.shape[:2])
            descriptors = searched.described(pixels, looks)
            if (apart_m <= searched.tiles.sides_m / 2).any():
                place = searched.place(pixels, searched.found(descriptors, looks))
                evidence.append(place.evidence)
                away_m.append(place.position.metres_to(frame.position))
            # As if the map ended before the frame: no tile that shares any ground with it.
            shown = np.flatnonzero(apart_m <= 1.5 * searched.tiles.sides_m)
            left: Found = searched.found(descriptors, looks, shown)
            if len(left.tiles):
                strangers.append(searched.place(pixels, left, shown).evidence)
        if progress:
            progress(done, len(frames))
    features = searched.evidence_length
    return Asked(_rows(evidence, features), np.array(away_m), _rows(strangers, features))


def learned_on(asked: Asked, finest_m: float, source: str, *, verified: bool = False) -> Calibration | None:
    """The calibration of what was asked on a map whose smallest tiles are `finest_m` wide; see `calibration.calibrate`.

    Right is an answer within 25 m, or within half of such a tile where that is more.
    """
    return calibrate(
        asked.evidence,
        asked.errors_m,
        source,
        strangers=asked.strangers,
        method=VERIFIED_METHOD if verified else METHOD,
        right_within_m=max(RIGHT_WITHIN_M, finest_m / 2),
    )


def _rows(evidence: list[tuple[float, ...]], features: int) -> np.ndarray:
    return np.array(evidence, dtype=np.float64).reshape(-1, features)
