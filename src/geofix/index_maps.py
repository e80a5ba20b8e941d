"""Maps from the air -> an atlas of their tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geofix.atlas.store import OF_TILE, Atlas, Entry, Ground, tile_path
from geofix.data.maps.aerial_map import AerialMap
from geofix.data.maps.grid import MapTile, Tiling, read_tile, tiles
from geofix.data.maps.open import open_map
from geofix.encode import Inference, Progress, encode_views
from geofix.errors import DataError, GeofixError, PhotoError
from geofix.files import absolute
from geofix.models.runs import Run
from geofix.photos import Photo
from geofix.recipes import Precision
from geofix.shapes import Pixels
from geofix.transforms import views

# Of one tile and the next: whatever a frame shows, a tile lies within an eighth of its side. With half, and so within a
# quarter, frames of streets that look alike are found a third as often (docs/maps.md).
OVERLAP = 0.75
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
    sources: Sequence[Path],
    run: Run,
    atlas_folder: Path,
    *,
    scales_m: Sequence[float] | None = None,
    overlap: float = OVERLAP,
    crs: str | None = None,
    precision: Precision | None = None,
    progress: Progress | None = None,
) -> Tiled:
    """Put the tiles of maps into the atlas at `atlas_folder`, made if it is not there yet.

    `scales_m` are the tiles' sides on the ground and `overlap` is what neighbours share at least, see `maps.grid`;
    `crs` is for files that name no system. Tiles already in the atlas whose map has not changed are left alone, so
    that the same command continues a killed one; tiles of a map that it no longer has, or that was cut otherwise, go.
    Raises DataError where no map can be used.
    """
    rows, columns = run.encoder.preprocess.size
    size_px = max(rows, columns)
    plans: list[tuple[AerialMap, Tiling]] = []
    errors: list[GeofixError] = []
    for source in sources:
        try:
            aerial = open_map(absolute(source), crs=crs)
            plans.append((aerial, tiles(aerial, size_px=size_px, scales_m=scales_m, overlap=overlap)))
        except DataError as error:
            if len(sources) == 1:
                raise
            errors.append(error)
    if not plans:
        raise DataError(f"None of the {len(sources)} maps can be used. The first: {errors[0]}")
    atlas = Atlas.open_or_create(atlas_folder, run, "tiles")
    atlas.note_maps({str(aerial.path): crs for aerial, _ in plans})
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
    empty = sum(tiling.skipped for _, tiling in plans)
    return Tiled(atlas, added, len(wanted) - len(fresh), len(gone), empty, tuple(errors))


def _entry(path: str, aerial: AerialMap, tile: MapTile) -> Entry:
    """A tile as it goes into the atlas; the map's fingerprint tells whether it must be encoded again."""
    photo = Photo(tile.name, Path(path), position=tile.centre, source="map", group=str(aerial.path))
    ground = Ground((*tile.bounds,), tile.side_m, tile.crs, tile.attribution)
    return Entry(photo, aerial.fingerprint, 0, 0, ground)
