"""calibrate: learn on an atlas what confidence and radius its evidence deserves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geofix.atlas.calibration import RIGHT_WITHIN_M, Calibration, calibrate
from geofix.atlas.consensus import LINK_M, MATCHES, consensus
from geofix.atlas.rows import Rows
from geofix.atlas.store import Atlas
from geofix.encode import Progress, encode
from geofix.errors import AtlasError, DataError, PhotoError, UsageError
from geofix.files import absolute
from geofix.frames.calibrate import ask, learned_on
from geofix.frames.locate import searched_tiles
from geofix.frames.looks import Camera
from geofix.frames.verify import Verifier
from geofix.photos import Photo
from geofix.positions import geodesic_m, latlons, within_m
from geofix.recipes import Precision
from geofix.search import nearest_without
from geofix.shapes import DescriptorRows, Distances, LatLons, Neighbours

STRANGER_M = 2 * LINK_M  # with all photos this near taken out, the atlas does not know a place
_SAMPLE = 1000  # photos of that number know a 90 % quantile to about 2 %


def on_itself(rows: Rows) -> Calibration | None:
    """The calibration of an atlas on its own photos, each located with its own group taken out.

    Photos without anything in reach once their group is gone are no fair question and are left out. None when
    too few are left. Where the gallery is sparse this is too modest: the next photo is farther from a gallery
    photo than from a query.
    """
    sample = np.arange(len(rows))
    if len(sample) > _SAMPLE:
        sample = np.sort(np.random.default_rng(0).choice(len(rows), _SAMPLE, replace=False))
    groups = np.array(rows.groups)
    excluded = [np.flatnonzero(groups == groups[row]) for row in sample]
    fair = [number for number, row in enumerate(sample) if _answerable(rows, int(row), excluded[number])]
    if not fair:
        return None
    sample, excluded = sample[fair], [excluded[number] for number in fair]
    distances, neighbours = nearest_without(rows.vectors[sample], rows.vectors, MATCHES, excluded)
    return _learned(rows, rows.vectors[sample], distances, neighbours, rows.latlons[sample], "the atlas's own photos")


def on_photos(
    atlas: Atlas,
    photos: Sequence[Photo],
    *,
    camera: Camera | None = None,
    verify: bool = False,
    precision: Precision | None = None,
    progress: Progress | None = None,
    errors: list[PhotoError] | None = None,
) -> Calibration:
    """The calibration of an atlas on other photos with known positions, like those it will be asked about.

    Of an atlas of map tiles photos are frames, taken by the `camera` if one is given; with `verify` it is that of
    answers which are verified on the map.

    One error for each photo that could not be used is appended to `errors`. Raises DataError when they are too
    few, or when all or none of them are found, so that nothing can be learned; AtlasError for an empty atlas.
    """
    rows = atlas.rows
    if not len(rows):
        raise AtlasError(
            f"{atlas.folder} holds no {atlas.holds}; fill it with `geofix index PHOTOS --atlas {atlas.folder}`."
        )
    if atlas.holds == "tiles":
        return _on_frames(atlas, photos, camera, verify, precision, progress, errors)
    if camera:
        raise UsageError(f"{atlas.folder} holds photos; altitude and field of view help on maps from the air only.")
    if verify:
        raise UsageError(f"{atlas.folder} holds photos; places are verified on maps from the air only.")
    inside = atlas.known()
    known = [photo for photo in photos if photo.position is not None and str(absolute(photo.path)) not in inside]
    encoded = encode(atlas.run(), known, precision=precision, progress=progress)
    truth = latlons([known[row].position for row in encoded.rows if known[row].position is not None])
    if errors is not None:
        lost = [photo for photo in photos if photo.position is None and str(absolute(photo.path)) not in inside]
        errors += [PhotoError(f"{photo.name} has no position in its name or EXIF to calibrate on.") for photo in lost]
        held = [photo for photo in photos if str(absolute(photo.path)) in inside]
        proves = "is in the atlas itself, so it proves nothing; leave it out."
        errors += [PhotoError(f"{photo.name} {proves}") for photo in held]
        errors += encoded.errors
    distances, neighbours = rows.search(encoded.single, min(MATCHES, len(rows)))
    learned = _learned(rows, encoded.single, distances, neighbours, truth, "held-out photos")
    if learned is None:
        raise DataError(
            f"{len(known)} of {len(photos)} photos have a position and are not in the atlas, and too few of them were "
            "located rightly to learn from; at least 40, with 5 located rightly, are needed."
        )
    return learned


def _on_frames(
    atlas: Atlas,
    frames: Sequence[Photo],
    camera: Camera | None,
    verify: bool,
    precision: Precision | None,
    progress: Progress | None,
    errors: list[PhotoError] | None,
) -> Calibration:
    verifier = Verifier.of(atlas) if verify else None
    searched = searched_tiles(atlas.run(), atlas.rows, camera, precision, verifier)
    asked = ask(searched, frames, progress=progress, errors=errors)
    if errors is not None:
        errors += [PhotoError(f"{one.name} has no position in its name or EXIF.") for one in frames if not one.position]
    learned = learned_on(asked, float(searched.tiles.sides_m.min()), "frames with known positions", verified=verify)
    if learned is None:
        raise DataError(
            f"{len(asked.errors_m)} of {len(frames)} frames have a position on the map, and too few of them were "
            "located rightly to learn from; at least 40, with 5 located rightly, are needed."
        )
    return learned


def _learned(
    rows: Rows, asked: DescriptorRows, distances: Distances, neighbours: Neighbours, truth: LatLons, source: str
) -> Calibration | None:
    """Learn from descriptors `asked` and their matches, and from the matches they would have if the atlas did not
    know their place."""
    evidence, errors_m = _located(rows, distances, neighbours, truth)
    if not len(evidence):
        return None
    nearby = within_m(truth, rows.latlons, STRANGER_M)
    strangers, away_m = _located(rows, *nearest_without(asked, rows.vectors, MATCHES, nearby), truth)
    return calibrate(evidence, errors_m, source, strangers=strangers[away_m > RIGHT_WITHIN_M])


def _located(rows: Rows, distances: Distances, neighbours: Neighbours, truth: LatLons) -> tuple[np.ndarray, np.ndarray]:
    """Evidence (n, features) and errors (n,) in metres of the consensus of each photo that has any match."""
    evidence, places, known = [], [], []
    for apart, found, where in zip(distances, neighbours, truth, strict=True):
        if (found >= 0).any():
            spot = consensus(rows.latlons[found[found >= 0]], apart[found >= 0])
            evidence.append(spot.evidence)
            places.append((spot.lat, spot.lon))
            known.append(where)
    if not evidence:
        return np.empty((0, 3)), np.empty(0)
    return np.array(evidence), geodesic_m(np.array(places), np.array(known))


def _answerable(rows: Rows, row: int, gone: np.ndarray) -> bool:
    """Whether anything lies within reach of a photo once `gone` is out."""
    # Degrees first: a geodesic to every photo of a large atlas would cost more than the search.
    close = np.abs(rows.latlons[:, 0] - rows.latlons[row, 0]) < 2 * LINK_M / 111_000
    close[gone] = False
    near = np.flatnonzero(close)
    here = np.broadcast_to(rows.latlons[row], (len(near), 2))
    return bool((geodesic_m(here, rows.latlons[near]) <= LINK_M).any())
