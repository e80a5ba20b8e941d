"""locate: a photo and an atlas -> a Fix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geofix.atlas.calibration import Calibration
from geofix.atlas.consensus import MATCHES, Consensus, consensus
from geofix.atlas.rows import Rows
from geofix.atlas.store import Atlas
from geofix.countries.locate import credible, with_countries
from geofix.encode import Progress, encode
from geofix.errors import AtlasError, UsageError
from geofix.files import AnyPath, paths_of
from geofix.fixes import Fix, Match
from geofix.frames.locate import Searched, locate_frames, searched_tiles
from geofix.frames.looks import Camera
from geofix.frames.shots import shots
from geofix.frames.track import INTERVAL_S, SPEED_M_S, Track, locate_track
from geofix.frames.trust import Ledger, Trust, fix_of_shot
from geofix.frames.verify import Verifier
from geofix.geography.countries import countries_at
from geofix.night.translators import Translator
from geofix.photos import Photo
from geofix.positions import Position
from geofix.recipes import Precision
from geofix.search import nearest
from geofix.shapes import DescriptorRows, Distances, Neighbours, PlanePoints

MIN_CONFIDENCE = 0.5  # below this an answer would be wrong more often than right
MIN_UNCALIBRATED = 0.3  # where confidence is an order and no probability: three fifths of the evidence at one spot
_SMALLEST_RADIUS_M = 5.0  # the positions of the gallery photos themselves are no better
_HEADINGS_AGREE = 0.8  # mean resultant length from which the matches' headings are one heading


@dataclass(frozen=True, slots=True)
class Near:
    """Where the photo must have been taken: a circle."""

    centre: Position
    radius_m: float

    @classmethod
    def parse(cls, text: str) -> Near:
        """From LAT,LON,KM. Raises UsageError."""
        try:
            lat, lon, km = (float(part) for part in text.split(","))
        except ValueError as error:
            raise UsageError(
                f"--near {text!r} is not LAT,LON,KM; write degrees and kilometres, for example 52.2,0.12,3."
            ) from error
        if not 0 < km < float("inf"):
            raise UsageError(f"--near asks for a circle of {km:g} km; a finite radius above 0 is expected.")
        return cls(Position(lat, lon), km * 1000)


def locate(
    photos: AnyPath | Sequence[AnyPath],
    atlas: Atlas,
    *,
    near: Near | None = None,
    min_confidence: float | None = None,
    precision: Precision | None = None,
    night_to_day: Translator | None = None,
    camera: Camera | None = None,
    named: Sequence[Fix] = (),
    country_prior: float | None = None,
    trust: Trust | None = None,
    say: list[str] | None = None,
    verify: bool = False,
    progress: Progress | None = None,
) -> list[Fix]:
    """One Fix a photo, in order; a photo that cannot be read has its `error` set.

    Where the atlas holds tiles of maps, photos are frames from the air that look straight down: the position is that of
    the ground in the frame's middle, the heading that of its upper edge, and what is known of the `camera` tells how
    wide the frame is on the ground. `trust` is what is used of the frames' own telemetry, nothing by default; what that
    came to is appended to `say` in sentences. Headings and positions that are trusted leave confidence uncalibrated.
    With `verify` the likeliest places are compared with the map itself, by local features (see `frames.verify`); the
    maps must then lie where they were indexed.

    `named` are what `locate_countries` said of the same photos: scene and countries go into the Fixes, and with a
    `country_prior` (0..1) each photo is searched only among those of the likeliest countries, as many as it takes for
    that probability; confidence is not calibrated then.

    With `near` only the atlas's photos in that circle are searched, with `night_to_day` every photo is translated
    before it is looked at; either way confidence is not calibrated. Where the evidence is weaker than `min_confidence`
    (0..1; by default MIN_CONFIDENCE, or MIN_UNCALIBRATED where nothing was calibrated) the Fix has no position and says
    why. Raises AtlasError for an empty or damaged atlas.
    """
    photos = paths_of(photos)
    _check_prior(country_prior, named, len(photos))
    changed = night_to_day is not None or country_prior is not None or (trust is not None and trust.narrows)
    rows, calibration, least = _searched(atlas, near, changed, min_confidence, verify)
    if atlas.holds == "tiles":
        if night_to_day:
            raise UsageError(f"{atlas.folder} holds tiles of maps, and photos from the air are not made into days.")
        if named:
            raise UsageError(f"{atlas.folder} holds tiles of maps, and countries are named of photos from the ground.")
        searched = searched_tiles(atlas.run(), rows, camera, precision, Verifier.of(atlas, rows) if verify else None)
        if trust is not None:
            return _trusting(photos, searched, calibration, least, trust, say, progress)
        return locate_frames(photos, searched, calibration, least, progress)
    if trust:
        raise UsageError(f"{atlas.folder} holds photos; --trust helps with frames on maps from the air only.")
    if camera:
        raise UsageError(f"{atlas.folder} holds photos; altitude and field of view help on maps from the air only.")
    if verify:
        raise UsageError(f"{atlas.folder} holds photos; places are verified on maps from the air only.")
    asked = [Photo(str(path), path) for path in photos]
    encoded = encode(atlas.run(), asked, precision=precision, translator=night_to_day, progress=progress)
    fixes: list[Fix] = [Fix(str(path)) for path in photos]
    failed = sorted(set(range(len(photos))) - set(encoded.rows.tolist()))
    for row, error in zip(failed, encoded.errors, strict=True):
        fixes[row] = Fix(str(photos[row]), reason="the photo could not be read", error=str(error))
    if not len(rows):
        return [fix if fix.error else _nothing_near(fix.photo, near) for fix in fixes]
    if country_prior is not None:
        allowed = [credible(named[row], country_prior) for row in encoded.rows.tolist()]
        distances, neighbours = _search_countries(rows, encoded.single, allowed)
    else:
        distances, neighbours = rows.search(encoded.single, min(MATCHES, len(rows)))
    for row, apart, found in zip(encoded.rows.tolist(), distances, neighbours, strict=True):
        there = found >= 0
        fixes[row] = (
            fix_from(str(photos[row]), rows, apart[there], found[there], calibration, least)
            if there.any()
            else Fix(str(photos[row]), reason="can't tell: the atlas has no photo in the likeliest countries")
        )
    return [with_countries(fix, one) for fix, one in zip(fixes, named, strict=True)] if named else fixes


def look_at_maps(atlas: Atlas, *, near: Near | None = None, progress: Progress | None = None) -> None:
    """Look for local features on all of the ground that `locate` and `locate_flight` search with `verify`, so that they
    find them kept in the atlas: half a minute for 4 km2, once. Where the atlas holds no tiles there is nothing to do.

    Raises DataError where a map is no longer there, or damaged; MissingExtraError without OpenCV.
    """
    if atlas.holds == "tiles" and atlas.count():
        rows = atlas.rows_near(near.centre, near.radius_m) if near else atlas.rows
        Verifier.of(atlas, rows).look(progress)


def _check_prior(country_prior: float | None, named: Sequence[Fix], photos: int) -> None:
    if country_prior is not None and not 0 < country_prior <= 1:
        raise UsageError(
            f"A country prior of {country_prior:g} was asked for; a probability above 0, as 0.95, is expected."
        )
    if country_prior is not None and len(named) != photos:
        raise UsageError("A country prior needs to know the countries of the photos; name a run with --country RUN.")


def _search_countries(
    rows: Rows, descriptors: DescriptorRows, allowed: Sequence[set[str]]
) -> tuple[Distances, Neighbours]:
    """As `Rows.search`, each query among the rows in its own countries only; -1 and inf where there are too few."""
    codes = countries_at(rows.latlons).codes
    distances = np.full((len(descriptors), MATCHES), np.inf, dtype=np.float32)
    neighbours = np.full((len(descriptors), MATCHES), -1, dtype=np.int64)
    for among in {frozenset(one) for one in allowed}:
        asked = np.array([query for query, one in enumerate(allowed) if one == among])
        kept = np.flatnonzero(np.isin(codes, sorted(among)))
        if len(kept):
            count = min(MATCHES, len(kept))
            apart, found = nearest(descriptors[asked], np.ascontiguousarray(rows.vectors[kept]), count)
            distances[asked, :count], neighbours[asked, :count] = apart, kept[found]
    return distances, neighbours


def locate_flight(
    paths: AnyPath | Sequence[AnyPath],
    atlas: Atlas,
    *,
    near: Near | None = None,
    camera: Camera | None = None,
    verify: bool = False,
    min_confidence: float | None = None,
    precision: Precision | None = None,
    speed_m_s: float = SPEED_M_S,
    interval_s: float = INTERVAL_S,
    moves_m: PlanePoints | None = None,
    trust: Trust | None = None,
    say: list[str] | None = None,
    progress: Progress | None = None,
) -> Track:
    """The frames of one flight over a map, photos or videos in order, smoothed as a whole; see `frames.track`.

    With `verify` each frame's likeliest places are compared with the map itself, as by `locate`. Of a video one frame
    every `interval_s` seconds is taken. `trust` and `say` are those of `locate`. Raises UsageError for an atlas of
    photos, AtlasError for an empty one, and what `locate_track` raises.
    """
    if atlas.holds != "tiles":
        raise UsageError(f"{atlas.folder} holds photos; a track is of frames on a map from the air.")
    rows, calibration, least = _searched(atlas, near, trust is not None and trust.narrows, min_confidence, verify)
    searched = searched_tiles(atlas.run(), rows, camera, precision, Verifier.of(atlas, rows) if verify else None)
    ledger = Ledger(trust) if trust else None
    track = locate_track(
        shots(paths_of(paths), interval_s, telemetry=trust is not None),
        searched,
        calibration,
        min_confidence=least,
        speed_m_s=speed_m_s,
        interval_s=interval_s,
        moves_m=moves_m,
        trust=trust,
        ledger=ledger,
        progress=progress,
    )
    if ledger and say is not None:
        say += ledger.told()
    return track


def _trusting(
    frames: Sequence[Path],
    searched: Searched,
    calibration: Calibration | None,
    min_confidence: float,
    trust: Trust,
    say: list[str] | None,
    progress: Progress | None,
) -> list[Fix]:
    """As `locate_frames`, with what is trusted of the frames' own telemetry."""
    if not len(searched.rows):
        return locate_frames(frames, searched, calibration, min_confidence, progress)
    ledger, fixes = Ledger(trust), []
    for done, shot in enumerate(shots(frames, INTERVAL_S, telemetry=True), start=1):
        fixes.append(fix_of_shot(shot, searched, calibration, min_confidence, trust, ledger)[0])
        if progress:
            progress(done, len(frames))
    if say is not None:
        say += ledger.told()
    return fixes


def fix_from(
    photo: str,
    rows: Rows,
    distances: np.ndarray,
    neighbours: np.ndarray,
    calibration: Calibration | None,
    min_confidence: float,
) -> Fix:
    """The Fix of one photo from its k nearest rows (k,) and their descriptor distances (k,), ascending."""
    spot = consensus(rows.latlons[neighbours], distances)
    confidence, radius_m = _certainty(spot, calibration)
    matched = zip(neighbours.tolist(), distances.tolist(), strict=True)
    matches = tuple(_match(rows, row, apart) for row, apart in matched)
    if confidence < min_confidence:
        return Fix(
            photo,
            confidence=confidence,
            calibrated=calibration is not None,
            reason=_doubt(spot, confidence, min_confidence),
            matches=matches,
        )
    return Fix(
        photo,
        position=Position(spot.lat, spot.lon),
        radius_m=radius_m,
        heading_deg=_common_heading(rows.headings_deg[neighbours[spot.members]]),
        confidence=confidence,
        calibrated=calibration is not None,
        matches=matches,
    )


def _searched(
    atlas: Atlas, near: Near | None, changed: bool, min_confidence: float | None, verify: bool
) -> tuple[Rows, Calibration | None, float]:
    """The rows to search, the calibration that holds for them, and the least confidence of an answer."""
    if min_confidence is not None and not 0 <= min_confidence <= 1:
        raise UsageError(f"A confidence of {min_confidence:g} was asked for; 0 to 1 is expected.")
    if not atlas.count():
        raise AtlasError(
            f"{atlas.folder} holds no {atlas.holds}; fill it with `geofix index PHOTOS --atlas {atlas.folder}`."
        )
    rows = atlas.rows_near(near.centre, near.radius_m) if near else atlas.rows
    # What was learned on the whole atlas does not hold in a circle, where fewer spots compete.
    # And what was learned on photos as they are does not hold for pictures made of them.
    calibration = None if near or changed else atlas.calibration_of(verify)
    if min_confidence is None:
        min_confidence = MIN_CONFIDENCE if calibration else MIN_UNCALIBRATED
    return rows, calibration, min_confidence


def _certainty(spot: Consensus, calibration: Calibration | None) -> tuple[float, float]:
    """Confidence and radius in metres. Without a calibration: half the share of evidence at the spot, and the radius
    that holds 90 % of it; an order, not a promise. Half, because a small atlas that shows one spot only would
    otherwise be sure of every photo.
    """
    if calibration is None:
        return spot.share / 2, max(spot.spread_m, _SMALLEST_RADIUS_M)
    confidence = calibration.confidence(spot.evidence)
    return confidence, max(calibration.radius(confidence), _SMALLEST_RADIUS_M)


def _match(rows: Rows, row: int, distance: float) -> Match:
    heading = float(rows.headings_deg[row])
    return Match(
        path=rows.paths[row],
        position=Position(float(rows.latlons[row, 0]), float(rows.latlons[row, 1])),
        score=float(1 - distance**2 / 2),
        heading_deg=None if np.isnan(heading) else heading,
    )


def _common_heading(headings_deg: np.ndarray) -> float | None:
    """The mean heading when the known ones agree, else None."""
    known = np.radians(headings_deg[~np.isnan(headings_deg)])
    if not len(known):
        return None
    east, north = np.sin(known).mean(), np.cos(known).mean()
    if np.hypot(east, north) < _HEADINGS_AGREE:
        return None
    return float(np.degrees(np.arctan2(east, north)) % 360 % 360)  # a hair below 0 becomes 360 at first


def _doubt(spot: Consensus, confidence: float, wanted: float) -> str:
    where = f"only {spot.share:.0%} of the evidence of the best {MATCHES} matches lies at one spot"
    return f"can't tell: {where} (confidence {confidence:.2f}, below {wanted:.2f})"


def _nothing_near(photo: str, near: Near | None) -> Fix:
    assert near is not None
    centre = f"{near.centre.lat:.5f}, {near.centre.lon:.5f}"
    return Fix(photo, reason=f"can't tell: the atlas has no photo within {near.radius_m / 1000:g} km of {centre}")
