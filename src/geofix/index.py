"""index: photos with positions -> an atlas."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from geofix.atlas.store import Atlas, Entry
from geofix.calibrate import on_itself
from geofix.data import deep_vg, geotag_csv
from geofix.data.geotag_csv import Row
from geofix.data.maps.open import is_map
from geofix.encode import Inference, Progress, encode_chunk
from geofix.errors import AtlasError, DataError, PhotoError, UsageError
from geofix.files import AnyPath, absolute, is_file, is_folder, path_if, paths_of
from geofix.models.runs import Run
from geofix.photos import Photo, find_photos, read_bytes, read_capture
from geofix.recipes import Precision

_SAME_DEGREES = 1e-9  # a tenth of a millimetre: what arithmetic may do to a position, and no correction
COMMIT_PHOTOS = 64  # photos between two commits: what a kill can cost


@dataclass(frozen=True, slots=True)
class Indexed:
    """What an indexing did: photos added or renewed, left as they were, and one error for each unusable one."""

    atlas: Atlas
    added: int
    unchanged: int
    errors: tuple[PhotoError, ...]


def index(
    sources: AnyPath | Sequence[AnyPath],
    run: Run,
    atlas_folder: AnyPath,
    *,
    csv: AnyPath | None = None,
    images: AnyPath | None = None,
    precision: Precision | None = None,
    progress: Progress | None = None,
) -> Indexed:
    """Put photos into the atlas at `atlas_folder`, made if it is not there yet.

    `sources` are photos, folders of photos (positions from deep-VG file names, otherwise from EXIF), deep-VG
    datasets (their galleries) or geotagged CSV files, whose photos lie in `images` or beside them; `csv` gives
    or overrides positions by file name. Photos already in the atlas, unchanged on disk and in the
    position a name or table gives them, are left alone, so the same command continues a killed one.
    """
    photos, problems = gather(paths_of(sources), path_if(csv), path_if(images))
    atlas = Atlas.open_or_create(Path(atlas_folder), run)
    known, positions = atlas.known(), atlas.positions()
    fresh = [
        photo
        for photo in photos
        if _stamp(photo.path) != known.get(str(photo.path), ()) or _moved(photo, positions.get(str(photo.path)))
    ]
    inference = Inference(run.encoder, precision or run.encoder.recipe.precision)
    errors = list(problems)
    added = done = 0
    for chunk in _chunks(fresh):
        stored, failed = _commit(atlas, inference, chunk)
        added += stored
        errors += failed
        done += len(chunk)
        if progress:
            progress(done, len(fresh))
    if not atlas.count():
        raise DataError(_nothing(photos, errors))
    if added:
        atlas.compact(keep_history=True)
    if added or not _is_calibrated(atlas):
        atlas.set_calibration(on_itself(atlas.rows))
    return Indexed(atlas, added, len(photos) - len(fresh), tuple(errors))


def gather(
    sources: Sequence[Path], csv: Path | None = None, images: Path | None = None
) -> tuple[list[Photo], list[PhotoError]]:
    """The photos of all sources, each once by absolute path, without positions from EXIF yet; and what is wrong
    with rows of tables and with names.
    """
    found: dict[Path, Photo] = {}
    problems: list[PhotoError] = []
    for source in sources:
        photos, wrong = _photos_of(source, images)
        problems += wrong
        for photo in photos:
            path = absolute(photo.path)
            found[path] = replace(photo, path=path)
    if csv is not None:
        table = geotag_csv.read_table(csv)
        problems += table.problems
        found = _with_table(found, table.rows, csv.parent)
    return list(found.values()), problems


def _commit(atlas: Atlas, inference: Inference, photos: list[Photo]) -> tuple[int, list[PhotoError]]:
    """Encode and store one chunk; returns how many went in and what was wrong with the others."""
    entries: list[Entry] = []
    errors: list[PhotoError] = []
    for photo in photos:
        try:
            entries.append(_entry(photo))
        except PhotoError as error:
            errors.append(error)
    encoded = encode_chunk(inference, [entry.photo for entry in entries])
    atlas.put([entries[row] for row in encoded.rows], encoded.single)
    return len(encoded.rows), [*errors, *encoded.errors]


def _entry(photo: Photo) -> Entry:
    """A photo with its EXIF position, if it has no other, and its bytes' hash. Raises PhotoError."""
    try:
        str(photo.path).encode()
    except UnicodeEncodeError as error:
        raise PhotoError(f"{photo.path} has a name that is not UTF-8, as the atlas needs it; rename it.") from error
    stamp = _stamp(photo.path)
    data = read_bytes(photo.path)
    capture = read_capture(data, str(photo.path))
    complete = photo.with_capture(capture)
    if complete.position is None:
        why = capture.problem or "its EXIF has none"
        raise PhotoError(
            f"{photo.path} has no position ({why}); give one with --csv, or geotag the photo, to have it indexed."
        )
    assert stamp is not None
    return Entry(complete, hashlib.sha256(data).hexdigest(), *stamp)


def _photos_of(source: Path, images: Path | None) -> tuple[tuple[Photo, ...], tuple[PhotoError, ...]]:
    """The photos of one source, and what its reader had to say about some of them."""
    if not (is_file(source) or is_folder(source)):
        raise DataError(f"{source} does not exist; a folder of photos, a photo or a CSV file was expected.")
    if geotag_csv.found(source):
        dataset = geotag_csv.read(source, images)
        return dataset.photos, dataset.problems
    if is_map(source):
        raise UsageError(f"{source} is a map from the air; put its tiles into an atlas with index_maps.")
    if deep_vg.found(source):
        dataset = deep_vg.read(source)
        return tuple(photo for split in dataset.splits.values() for photo in split.gallery), dataset.problems
    closed: list[PhotoError] = []
    paths = [source] if is_file(source) else find_photos(source, closed)
    if not paths and not closed:
        raise DataError(f"{source} holds no photos; a folder with JPEG, PNG, WebP, TIFF or HEIC was expected.")
    understood = [deep_vg.photo_from_name(path, str(path)) for path in paths]
    return tuple(photo for photo, _ in understood), (*closed, *(problem for _, problem in understood if problem))


def _with_table(found: dict[Path, Photo], rows: Sequence[Row], folder: Path) -> dict[Path, Photo]:
    """The photos with positions from a table, matched by path or, where no other has it, by file name."""
    by_path = {absolute(folder / row.path): row for row in rows}
    spare = [row for path, row in by_path.items() if path not in found]
    rows_named = Counter(Path(row.path).name for row in spare)
    photos_named = Counter(path.name for path in found if path not in by_path)
    by_name = {Path(row.path).name: row for row in spare}
    joined = {}
    for path, photo in found.items():
        row = by_path.get(path)
        if row is None and rows_named[path.name] == photos_named[path.name] == 1:
            row = by_name[path.name]
        joined[path] = photo if row is None else _placed(photo, row)
    return joined


def _placed(photo: Photo, row: Row) -> Photo:
    return replace(
        photo,
        position=row.position,
        heading_deg=photo.heading_deg if row.heading_deg is None else row.heading_deg,
        taken_at=row.taken_at or photo.taken_at,
        group=row.sequence or row.author or photo.group,
        author=row.author,
        source="csv",
    )


def _is_calibrated(atlas: Atlas) -> bool:
    try:
        return atlas.calibration is not None
    except AtlasError:  # damaged: it is measured anew
        return False


def _moved(photo: Photo, stored: tuple[float, float] | None) -> bool:
    """Whether a table or a file name now gives another position than the one stored."""
    if photo.position is None or stored is None:
        return False
    return max(abs(photo.position.lat - stored[0]), abs(photo.position.lon - stored[1])) > _SAME_DEGREES


def _stamp(path: Path) -> tuple[int, int] | None:
    """Size in bytes and time of change, which tell whether a photo must be encoded again."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def _chunks(photos: list[Photo]) -> Iterator[list[Photo]]:
    for start in range(0, len(photos), COMMIT_PHOTOS):
        yield photos[start : start + COMMIT_PHOTOS]


def _nothing(photos: list[Photo], errors: list[PhotoError]) -> str:
    first = f" The first: {errors[0]}" if errors else ""
    return f"None of the {len(photos)} photos found could be indexed.{first}"
