"""Maps from the air -> an atlas of their tiles."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geofix.atlas.calibration import Calibration
from geofix.atlas.store import OF_TILE, Atlas, Entry, Ground, tile_path
from geofix.data.maps.aerial_map import AerialMap
from geofix.data.maps.grid import MapTile, Tiling, read_tile, tiles
from geofix.data.maps.open import open_map
from geofix.encode import Inference, Progress, encode_views
from geofix.errors import DataError, GeofixError, PhotoError, UsageError, WeightsError
from geofix.files import AnyPath, absolute, is_file, paths_of
from geofix.models.runs import Run
from geofix.photos import Photo
from geofix.recipes import Precision
from geofix.shapes import Pixels
from geofix.transforms import views

# Of one tile and the next: whatever a frame shows, a tile lies within an eighth of its side. With half, and so within a
# quarter, frames of streets that look alike are found a third as often (docs/maps.md).
OVERLAP = 0.75
# Beside an encoder's weights, what was learned on frames that were not verified, and that were: see
# benchmarks/flights.py --learn.
FRAMES, VERIFIED_FRAMES = "frames.json", "frames-verified.json"
SCALES, SCALE_STEP = 3, 1.5  # by default: how many, and from one to the next
MOST_AT_FIRST = 60_000  # tiles at the smallest scale, where none are named
UNKNOWN_CE90_M = 5.0  # of maps that say nothing: satellite pictures and web maps lie some metres off
COMMIT_TILES = 256  # tiles between two commits: what a kill can cost


@dataclass(frozen=True, slots=True)
class Tiled:
    """What an indexing of maps did: tiles added or renewed, left as they were and gone; empty ground that was left
    out; and one error for each tile or map that could not be used.
    """

    atlas: Atlas
    added: int
    unchanged: int
    removed: int
    empty: int
    errors: tuple[GeofixError, ...]


def index_maps(
    sources: AnyPath | Sequence[AnyPath],
    run: Run,
    atlas_folder: AnyPath,
    *,
    scales_m: Sequence[float] | None = None,
    overlap: float = OVERLAP,
    crs: str | None = None,
    ce90_m: float | None = None,
    precision: Precision | None = None,
    progress: Progress | None = None,
) -> Tiled:
    """Put the tiles of maps into the atlas at `atlas_folder`, made if it is not there yet.

    `scales_m` are the tiles' sides on the ground, by default `own_scales`, and `overlap` is what neighbours share at
    least, see `maps.grid`; `crs` is for files that name no system. `ce90_m` is how far nine in ten points of the maps
    lie from where they are at most; by default what they say themselves, or UNKNOWN_CE90_M. Tiles already in the atlas
    whose map has not changed are left alone, so that the same command continues a killed one; tiles of a map that it no
    longer has, or that was cut otherwise, go. An encoder that brings a calibration (`frames_calibration`) gives it to
    the atlas, with what the maps are off by. Raises UsageError for a `ce90_m` that is no length, and DataError where no
    map can be used.
    """
    if ce90_m is not None and not 0 <= ce90_m < math.inf:
        raise UsageError(f"The maps' accuracy is {ce90_m:g} m; metres, 0 or more, are expected.")
    sources, atlas_folder = paths_of(sources), Path(atlas_folder)
    rows, columns = run.encoder.preprocess.size
    size_px = max(rows, columns)
    plans: list[tuple[AerialMap, Tiling]] = []
    errors: list[GeofixError] = []
    for source in sources:
        try:
            aerial = open_map(absolute(source), crs=crs)
            chosen_m = own_scales(aerial, size_px, overlap) if scales_m is None else scales_m
            plans.append((aerial, tiles(aerial, size_px=size_px, scales_m=chosen_m, overlap=overlap)))
        except DataError as error:
            if len(sources) == 1:
                raise
            errors.append(error)
    if not plans:
        raise DataError(f"None of the {len(sources)} maps can be used. The first: {errors[0]}")
    atlas = Atlas.open_or_create(atlas_folder, run, "tiles")
    near_m = {str(aerial.path): _first_said(ce90_m, aerial.ce90_m, UNKNOWN_CE90_M) for aerial, _ in plans}
    atlas.note_maps(dict.fromkeys(near_m, crs), near_m)
    known = atlas.hashes()
    wanted = {tile_path(aerial.path, tile.name): (aerial, tile) for aerial, tiling in plans for tile in tiling.tiles}
    fresh = [path for path, (aerial, _) in wanted.items() if known.get(path) != aerial.fingerprint]
    inference = Inference(run.encoder, precision or run.encoder.recipe.precision)

    def look(source: tuple[AerialMap, MapTile]) -> list[Pixels]:
        aerial, tile = source
        try:
            return views(read_tile(aerial, tile, size_px), (rows, columns))
        except DataError as error:
            raise PhotoError(str(error)) from error

    added = done = 0
    for start in range(0, len(fresh), COMMIT_TILES):
        paths = fresh[start : start + COMMIT_TILES]
        parts = [wanted[path] for path in paths]
        encoded = encode_views(inference, parts, look, paths)
        atlas.put([_entry(paths[row], *parts[row]) for row in encoded.rows], encoded.single)
        errors += encoded.errors
        added += len(encoded.rows)
        done += len(paths)
        if progress:
            progress(done, len(fresh))
    # Last, so that a kill never leaves a map with fewer tiles than before.
    read = {str(aerial.path) for aerial, _ in plans}
    gone = [path for path in known if path not in wanted and path.rpartition(OF_TILE)[0] in read]
    atlas.remove(gone)
    if not atlas.count():
        raise DataError(f"None of the {len(wanted)} tiles could be indexed. The first: {errors[0]}")
    if added or gone:
        atlas.compact(keep_history=True)
    for verified in (False, True):
        _take_over(frames_calibration(run, verified), atlas, verified)
    empty = sum(tiling.skipped for _, tiling in plans)
    return Tiled(atlas, added, len(wanted) - len(fresh), len(gone), empty, tuple(errors))


def own_scales(aerial: AerialMap, size_px: int, overlap: float) -> tuple[float, ...]:
    """Sides in metres for a map whose frames are unknown: three, each 1.5 times the one before.

    The first is what `size_px` pixels of the map show, or more where that would make too many tiles; where the map is
    smaller than a scale it has none of it, but one at least.
    """
    extent = aerial.extent
    spread = math.sqrt(extent.width_m * extent.height_m / MOST_AT_FIRST) / max(1 - overlap, 0.05)
    first = float(f"{max(size_px * aerial.metres_per_pixel, spread):.2g}")
    scales = [first * SCALE_STEP**power for power in range(SCALES)]
    shorter = min(extent.width_m, extent.height_m)
    return tuple(scale for scale in scales if scale <= shorter) or (float(f"{shorter:.2g}"),)


def frames_calibration(run: Run, verified: bool = False) -> Calibration | None:
    """What the encoder's evidence deserved on frames that it was tried on, if that lies beside its weights; for answers
    that were not verified on the map, or that were.
    """
    file = run.folder / (VERIFIED_FRAMES if verified else FRAMES)
    if not is_file(file):
        return None
    try:
        return Calibration.from_dict(json.loads(file.read_text(encoding="utf-8")))
    except ValueError as error:
        raise WeightsError(f"{file} is damaged ({error}); copy the run again, or leave the file out.") from error


def _first_said(*lengths_m: float | None) -> float:
    """The first that is known; nought is a length, too."""
    return next(length_m for length_m in lengths_m if length_m is not None)


def _take_over(brought: Calibration | None, atlas: Atlas, verified: bool) -> None:
    """What an encoder brings goes into the atlas, where nothing was learned on the atlas itself.

    It was learned on maps that lie exactly where they say, so what these maps are off by is added.
    """
    kept = atlas.calibration_of(verified)
    if kept is None or (brought is not None and kept.source == brought.source):
        atlas.set_calibration(brought and brought.widened(atlas.ce90_m or 0.0), verified=verified)


def _entry(path: str, aerial: AerialMap, tile: MapTile) -> Entry:
    """A tile as it goes into the atlas; the map's fingerprint tells whether it must be encoded again."""
    photo = Photo(tile.name, Path(path), position=tile.centre, source="map", group=str(aerial.path))
    ground = Ground((*tile.bounds,), tile.side_m, tile.crs, tile.attribution)
    return Entry(photo, aerial.fingerprint, 0, 0, ground)
