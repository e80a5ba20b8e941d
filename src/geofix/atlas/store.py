"""Atlas: a folder with one Lance table of descriptors and positions, and the encoder that made them.

ATLAS/atlas.json       schema version, encoder fingerprint, calibration
ATLAS/encoder/         the run's recipe, preprocessing and weights: an atlas needs nothing from elsewhere
ATLAS/photos.lance/    vector, lat, lon, path, sha256, heading, time, source, group
ATLAS/tiles.lance/     the same of the tiles of maps, in an atlas that holds those; and bounds, side, CRS, attribution
ATLAS/features/        local features of those maps, where places were verified on them; made anew where they are gone
The one door to LanceDB.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, TypeVar
from zlib import crc32

import lancedb
import lancedb.index
import numpy as np
import pyarrow as pa

from geofix.atlas import consensus, spots
from geofix.atlas.calibration import Calibration
from geofix.atlas.rows import Rows, TileColumns
from geofix.data.maps.aerial_map import AerialMap
from geofix.data.maps.open import open_map
from geofix.errors import AtlasError, DataError, StorageError, storage_error
from geofix.files import AnyPath, is_file, is_folder, write_json
from geofix.models.runs import Run, copy_run, load_run
from geofix.photos import Photo
from geofix.positions import Position, latlons
from geofix.shapes import DescriptorRows, LatLons

SCHEMA_VERSION = 1
MANIFEST, ENCODER, FEATURES = "atlas.json", "encoder", "features"
Holds = Literal["photos", "tiles"]
"""What an atlas is of: photos, or tiles of maps from the air. It is also the name of its table."""

METHODS: dict[Holds, str] = {"photos": consensus.METHOD, "tiles": spots.METHOD}
"""How evidence is made of matches; a calibration holds for one method."""

_SLOTS = {
    False: ("calibration", "calibrated_photos"),
    True: ("verified_calibration", "verified_calibrated_photos"),
}
"""Whether answers were verified -> where the manifest keeps their calibration, and of how many rows it was learned."""

OF_TILE = "#"  # in the path of a tile, between the map's file or folder and the tile's name
_KEPT_HISTORY = timedelta(hours=1)  # older table versions are of no use, younger ones may be being read
_M_PER_DEGREE = 110_500.0  # less than any real degree of latitude (110 574 m at the equator): no box cuts a circle
# What a disk or its permissions refuse; anything else that goes wrong in LanceDB is about the table's content.
_STORAGE_ERRORS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_TILE_FIELDS = [
    *(pa.field(side, pa.float64(), nullable=False) for side in ("south", "west", "north", "east", "side_m")),
    pa.field("crs", pa.string(), nullable=False),
    pa.field("attribution", pa.string()),
]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ground:
    """What a tile of a map shows: the box of degrees around it (south, west, north, east), its side on the ground, the
    system in whose plane it is a square, and what the map's makers want to be read beside it.
    """

    bounds: tuple[float, float, float, float]
    side_m: float
    crs: str
    attribution: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A photo as it goes into the atlas: with its position, its bytes' hash and size, and their time.

    A tile is a photo with a `ground`, named by `tile_path`; its position is its middle, and its hash is the map's
    fingerprint.
    """

    photo: Photo
    sha256: str
    size_bytes: int
    mtime_ns: int
    ground: Ground | None = None


class Atlas:
    """An atlas folder, opened. Every change is one commit of the table: after a kill it is in or it is not."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest

    def __repr__(self) -> str:
        return f"Atlas({str(self.folder)!r}, encoder={self.fingerprint[:8]})"

    @classmethod
    def open(cls, folder: AnyPath) -> Atlas:
        """An existing atlas. Raises AtlasError when it is missing, foreign, damaged or from the future."""
        folder = Path(folder)
        path = folder / MANIFEST
        if not is_folder(folder):
            raise AtlasError(f"There is no atlas at {folder}; make one with `geofix index PHOTOS --atlas {folder}`.")
        if not is_file(path):
            raise AtlasError(f"{folder} is no atlas: it has no {MANIFEST}; choose the folder `geofix index` wrote.")
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            version = int(manifest["schema_version"])
            str(manifest["encoder"]["fingerprint"]), int(manifest["encoder"]["length"])
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise AtlasError(
                f"{path} is damaged ({type(error).__name__}: {error}); restore it from a copy, or index into a "
                "new folder."
            ) from error
        if version > SCHEMA_VERSION:
            raise AtlasError(
                f"{folder} was written by a newer geofix (schema {version}, this one reads {SCHEMA_VERSION}); "
                "update geofix."
            )
        return cls(folder, manifest)

    @classmethod
    def open_or_create(cls, folder: Path, run: Run, holds: Holds = "photos") -> Atlas:
        """The atlas at `folder`, made if there is none. Raises AtlasError when another encoder filled it, or
        when it or the folder holds something else.
        """
        if (folder / MANIFEST).exists():
            atlas = cls.open(folder)
            atlas.require(run)
            if atlas.holds != holds:
                raise AtlasError(
                    f"{folder} is an atlas of {atlas.holds}, and {holds} are another kind of answer; index them into a "
                    "new folder."
                )
            return atlas
        strangers = _strangers(folder)
        if strangers:
            raise AtlasError(
                f"{folder} is no atlas and not empty (it holds {strangers[0]}); choose a new folder for the atlas."
            )
        copy_run(run, folder / ENCODER)
        manifest: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            **({} if holds == "photos" else {"holds": holds}),
            "encoder": {
                "fingerprint": run.fingerprint,
                "recipe": run.encoder.recipe.name,
                "pretrained": run.encoder.origin()["pretrained"],
                "length": run.encoder.descriptor_length,
            },
            "calibration": None,
        }
        write_json(folder / MANIFEST, manifest)
        return cls(folder, manifest)

    @property
    def fingerprint(self) -> str:
        """The encoder whose descriptors lie here."""
        return str(self.manifest["encoder"]["fingerprint"])

    @property
    def holds(self) -> Holds:
        """Whether its rows are photos or tiles of maps."""
        return "tiles" if self.manifest.get("holds") == "tiles" else "photos"

    def file_of(self, path: str) -> Path:
        """Where the pixels of a row lie: the photo itself, or the map that the tile is of."""
        return Path(path.rpartition(OF_TILE)[0] if self.holds == "tiles" else path)

    def map_at(self, file: Path) -> AerialMap:
        """A map whose tiles lie here, in the system it was indexed with. Raises what `open_map` raises."""
        return open_map(file, crs=self.manifest.get("maps", {}).get(str(file)))

    def features_of(self, fingerprint: str) -> Path:
        """Where local features of the map with that fingerprint are kept."""
        return self.folder / FEATURES / fingerprint[:16]

    def drop_features(self) -> None:
        """Let go of what is kept of maps that are no longer those whose tiles lie here."""
        kept = {self.features_of(fingerprint) for fingerprint in set(self.hashes().values())}
        folder = self.folder / FEATURES
        for one in folder.iterdir() if is_folder(folder) else ():
            if one not in kept:
                shutil.rmtree(one, ignore_errors=True)

    def note_maps(self, crs_said: Mapping[str, str | None], ce90_m: Mapping[str, float]) -> None:
        """Remember for the files of maps which system was said to be theirs, if any was, and how near they lie."""
        said = {**self.manifest.get("maps", {}), **crs_said}
        near = {**self.manifest.get("ce90_m", {}), **ce90_m}
        if said != self.manifest.get("maps") or near != self.manifest.get("ce90_m"):
            self._note(maps=said, ce90_m=near)

    @property
    def ce90_m(self) -> float | None:
        """How far nine in ten points of the maps whose tiles lie here are from the truth at most: the worst of them."""
        near = self.manifest.get("ce90_m", {})
        return max(
            (near[file] for file in {str(self.file_of(path)) for path in self.known()} & near.keys()), default=None
        )

    @property
    def length(self) -> int:
        """Numbers a descriptor."""
        return int(self.manifest["encoder"]["length"])

    def run(self) -> Run:
        """The encoder that the atlas carries. Raises AtlasError when it is not the one that filled it."""
        run = load_run(self.folder / ENCODER)
        self.require(run)
        return run

    def require(self, run: Run) -> None:
        """Raises AtlasError when `run` is not the encoder that filled this atlas."""
        if run.fingerprint != self.fingerprint:
            raise AtlasError(
                f"{self.folder} was filled by encoder {self.manifest['encoder'].get('recipe')} "
                f"({self.fingerprint[:8]}), not by {run.name}; descriptors of two encoders cannot be compared: "
                "use the encoder of the atlas, or index into a new folder."
            )

    def known(self) -> dict[str, tuple[int, int]]:
        """Path -> (size in bytes, time of change) of every photo in the atlas."""
        return self._by_path("size_bytes", "mtime_ns")

    def positions(self) -> dict[str, tuple[float, float]]:
        """Path -> (latitude, longitude) of every photo in the atlas."""
        return self._by_path("lat", "lon")

    def hashes(self) -> dict[str, str]:
        """Path -> SHA-256 of the bytes each photo had when it was indexed."""
        return {path: sha256 for path, (sha256,) in self._by_path("sha256").items()}

    def checksums(self) -> tuple[np.ndarray, np.ndarray]:
        """For each of `rows` the checksum stored with its descriptor and position, and the one they have now."""
        stored = self._by_path("checksum")
        kept = np.array([stored[path][0] for path in self.rows.paths], dtype=np.int64)
        return kept, _checksums(self.rows.vectors, self.rows.latlons)

    def put(self, entries: Sequence[Entry], vectors: DescriptorRows) -> None:
        """Add photos in one commit; a path already there is replaced. Raises AtlasError, StorageError.

        Vectors must be float32: a float64 array would be stored as doubles without a word.
        """
        if vectors.dtype != np.float32 or vectors.shape != (len(entries), self.length):
            raise ValueError(f"expected float32 ({len(entries)}, {self.length}), found {vectors.dtype} {vectors.shape}")
        bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(bad):
            raise AtlasError(
                f"The descriptor of {entries[bad[0]].photo.path} holds a value that is no number; nothing of this "
                "part was stored: check the encoder's weights."
            )
        if not entries:
            return
        # The last of several entries of one path counts, as if they had come one after the other.
        last = sorted({str(entry.photo.path): row for row, entry in enumerate(entries)}.values())
        entries, vectors = [entries[row] for row in last], vectors[last]
        table = self._table
        if table is None:
            table = self._guarded(lambda: self._database.create_table(self.holds, schema=self._schema))
            self.__dict__["_table"] = table
        # What was learned on other contents must not outlive them, not even a kill right after this commit.
        self._drop_calibrations()
        rows = _as_arrow(entries, vectors, self._schema)
        merge = table.merge_insert("path").when_matched_update_all().when_not_matched_insert_all()
        self._guarded(lambda: merge.execute(rows))
        self.__dict__.pop("rows", None)
        if not self.manifest.get("filled"):
            self._note(filled=True)

    def remove(self, paths: Sequence[str]) -> int:
        """Take photos out by path, in one commit; returns how many were there. The calibration is dropped."""
        gone = sorted(set(paths) & set(self.known()))
        if not gone:
            return 0
        quoted = ", ".join("'" + path.replace("'", "''") + "'" for path in gone)
        table = self._table
        assert table is not None
        self._guarded(lambda: table.delete(f"path IN ({quoted})"))
        self.__dict__.pop("rows", None)
        self._drop_calibrations()
        return len(gone)

    def compact(self, *, keep_history: bool = False) -> None:
        """Merge small files, refresh the B-trees on lat and lon, and drop old versions of the table.

        Without `keep_history` removed photos are gone from the disk afterwards, not only from the table.
        """
        table = self._table
        if table is None:
            return
        if not keep_history and self._holds_removed_rows:
            rows = self._columns(None)
            self._guarded(lambda: table.add(rows, mode="overwrite"))
        indexed = {column for index in self._guarded(table.list_indices) for column in index.columns}
        for column in {"lat", "lon"} - indexed:
            self._guarded(partial(table.create_index, column, config=lancedb.index.BTree()))
        self.drop_features()
        age = _KEPT_HISTORY if keep_history else timedelta(milliseconds=1)
        self._guarded(lambda: table.optimize(cleanup_older_than=age))

    @cached_property
    def rows(self) -> Rows:
        """The whole atlas in memory. Raises AtlasError when the table is damaged."""
        if self._table is None:
            return _rows(_as_arrow([], np.empty((0, self.length), dtype=np.float32), self._schema), self.length)
        return _rows(self._columns(None), self.length)

    def rows_near(self, centre: Position, radius_m: float) -> Rows:
        """Only the rows within `radius_m`, read through the B-trees on lat and lon."""
        if self._table is None:
            return self.rows
        return _rows(self._columns(None, _box(centre, radius_m)), self.length).near(centre, radius_m)

    @property
    def calibration(self) -> Calibration | None:
        """How evidence becomes confidence and radius on this atlas, if that was measured on what it now holds."""
        return self.calibration_of(verified=False)

    def calibration_of(self, verified: bool) -> Calibration | None:
        """The same for the evidence of answers that were verified on the map, or that were not."""
        learned, count = _SLOTS[verified]
        fields = self.manifest.get(learned)
        if fields is None or self.manifest.get(count) != self.count():
            return None
        method = spots.VERIFIED_METHOD if verified else METHODS[self.holds]
        if isinstance(fields, dict) and fields.get("method", method) != method:  # learned by another geofix
            return None
        return Calibration.from_dict(fields)

    def set_calibration(self, calibration: Calibration | None, *, verified: bool = False) -> None:
        """Store (or drop) the calibration of answers that were not verified on the map, or that were."""
        learned, count = _SLOTS[verified]
        fields = calibration.to_dict() if calibration else None
        self._note(**{learned: fields, count: self.count() if calibration else None})

    def _drop_calibrations(self) -> None:
        gone = {key: None for slot in _SLOTS.values() for key in slot if self.manifest.get(key) is not None}
        if gone:
            self._note(**gone)

    def _note(self, **changes: object) -> None:
        """Change entries of atlas.json, on disk and here."""
        self.manifest = {**self.manifest, **changes}
        write_json(self.folder / MANIFEST, self.manifest)

    def count(self) -> int:
        """How many photos the atlas holds."""
        table = self._table
        return 0 if table is None else int(self._guarded(table.count_rows))

    @property
    def _holds_removed_rows(self) -> bool:
        """Whether removed rows still lie in the data files, only marked as deleted."""
        marks = self.folder / f"{self.holds}.lance" / "_deletions"
        return marks.is_dir() and any(marks.iterdir())

    @cached_property
    def _database(self) -> Any:
        return self._guarded(lambda: lancedb.connect(str(self.folder)))

    @cached_property
    def _table(self) -> Any | None:
        folder = self.folder / f"{self.holds}.lance"
        if not folder.exists() and self.manifest.get("filled"):
            raise AtlasError(
                f"{self.folder} has lost its table ({folder.name}); restore it from a copy, or index the photos into a "
                "new folder."
            )
        # A kill while the table was being made leaves a folder in which nothing was ever committed.
        if not folder.exists() or (folder.is_dir() and not [*folder.glob("_versions/*"), *folder.glob("data/*")]):
            return None
        if not folder.is_dir():
            raise self._broken(NotADirectoryError(f"{folder.name} is a file"))
        table = self._guarded(lambda: self._database.open_table(self.holds))
        if not self._guarded(lambda: table.schema).equals(self._schema):
            raise AtlasError(
                f"The table of {self.folder} does not have the columns that {MANIFEST} tells of; the two belong to "
                "different atlases: restore the folder from a copy, or index the photos into a new one."
            )
        return table

    @property
    def _schema(self) -> pa.Schema:
        return _schema(self.length, self.holds)

    def _by_path(self, *names: str) -> dict[str, Any]:
        """Path -> the values of some columns, without reading the descriptors."""
        if self._table is None:
            return {}
        table = self._columns(["path", *names])
        values = zip(*(table[name].to_pylist() for name in names), strict=True)
        return dict(zip(table["path"].to_pylist(), values, strict=True))

    def _columns(self, names: list[str] | None, where: str | None = None) -> pa.Table:
        table = self._table
        assert table is not None

        def read() -> pa.Table:
            if names is None and where is None:
                return table.to_arrow()
            query = table.search()
            query = query.where(where) if where else query
            query = query.select(names) if names else query
            return query.limit(2**31 - 1).to_arrow()

        return self._guarded(read)

    def _guarded(self, action: Callable[[], T]) -> T:
        """Run a call of LanceDB, whose errors come as many kinds, and speak about them in one sentence."""
        try:
            return action()
        except OSError as error:
            if error.errno is not None:
                raise storage_error(error, self.folder) from error
            raise self._broken(error) from error
        except (StorageError, DataError, AtlasError):
            raise
        except Exception as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> AtlasError | StorageError:
        text = " ".join(str(error).split())
        number = re.search(r"os error (\d+)", text)
        if number and int(number[1]) in _STORAGE_ERRORS:
            return storage_error(OSError(int(number[1]), os.strerror(int(number[1]))), self.folder)
        text = re.sub(r", /\S+\.rs:\d+.*", "", text)  # where in LanceDB's source it happened helps nobody here
        return AtlasError(
            f"The table of {self.folder} is damaged ({text[:160]}); restore it from a copy, or index the photos "
            "into a new folder."
        )


def tile_path(aerial: Path, tile: str) -> str:
    """The path of a tile in an atlas."""
    return f"{aerial}{OF_TILE}{tile}"


def _schema(length: int, holds: Holds) -> pa.Schema:
    return pa.schema(
        [
            pa.field("vector", pa.list_(pa.float32(), length), nullable=False),
            pa.field("lat", pa.float64(), nullable=False),
            pa.field("lon", pa.float64(), nullable=False),
            pa.field("path", pa.string(), nullable=False),
            pa.field("sha256", pa.string(), nullable=False),
            pa.field("size_bytes", pa.int64(), nullable=False),
            pa.field("mtime_ns", pa.int64(), nullable=False),
            pa.field("checksum", pa.int64(), nullable=False),
            pa.field("heading", pa.float32()),
            pa.field("time", pa.string()),
            pa.field("source", pa.string()),
            pa.field("group", pa.string()),
            *(_TILE_FIELDS if holds == "tiles" else []),
        ]
    )


def _as_arrow(entries: Sequence[Entry], vectors: DescriptorRows, schema: pa.Schema) -> pa.Table:
    flat = pa.array(np.ascontiguousarray(vectors).ravel(), type=pa.float32())
    photos = [entry.photo for entry in entries]
    positions = [photo.position for photo in photos]
    columns: list[Any] = [
        pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
        [position.lat for position in positions if position is not None],
        [position.lon for position in positions if position is not None],
        [str(photo.path) for photo in photos],
        [entry.sha256 for entry in entries],
        [entry.size_bytes for entry in entries],
        [entry.mtime_ns for entry in entries],
        _checksums(vectors, latlons([position for position in positions if position is not None])),
        [photo.heading_deg for photo in photos],
        [photo.taken_at for photo in photos],
        [photo.source for photo in photos],
        [photo.group for photo in photos],
    ]
    if "side_m" in schema.names:
        ground = [entry.ground for entry in entries if entry.ground is not None]
        columns += [[one.bounds[side] for one in ground] for side in range(4)]
        columns += [[one.side_m for one in ground], [one.crs for one in ground], [one.attribution for one in ground]]
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _checksums(vectors: DescriptorRows, places: LatLons) -> np.ndarray:
    """CRC-32 of each row's descriptor and position: Lance itself would not notice a flipped bit."""
    pairs = zip(vectors, places, strict=True)
    return np.array([crc32(place.tobytes(), crc32(vector.tobytes())) for vector, place in pairs], dtype=np.int64)


def _rows(table: pa.Table, length: int) -> Rows:
    paths = tuple(table["path"].to_pylist())
    vectors = table["vector"].combine_chunks()
    if isinstance(vectors, pa.ChunkedArray):
        vectors = pa.concat_arrays(vectors.chunks) if vectors.num_chunks else pa.array([], vectors.type)
    flat = np.asarray(vectors.flatten().to_numpy(zero_copy_only=False), dtype=np.float32)
    groups = table["group"].to_pylist()
    return Rows(
        flat.reshape(-1, length),
        np.stack([table["lat"].to_numpy(), table["lon"].to_numpy()], axis=1).astype(np.float64),
        paths,
        np.array([np.nan if value is None else value for value in table["heading"].to_pylist()], dtype=np.float64),
        tuple(group or path for group, path in zip(groups, paths, strict=True)),
        _tiles(table) if "side_m" in table.column_names else None,
    )


def _tiles(table: pa.Table) -> TileColumns:
    bounds = np.stack([table[side].to_numpy() for side in ("south", "west", "north", "east")], axis=1)
    planes = np.array([int(crs.rpartition(":")[2]) for crs in table["crs"].to_pylist()], dtype=np.int64)
    said = tuple(sorted({text for text in table["attribution"].to_pylist() if text}))
    return TileColumns(table["side_m"].to_numpy(), bounds, planes, said)


def _box(centre: Position, radius_m: float) -> str:
    """SQL for a box of degrees that holds the circle; no limit on longitude at the poles and the date line."""
    lat_deg = radius_m / _M_PER_DEGREE
    text = f"lat >= {centre.lat - lat_deg} AND lat <= {centre.lat + lat_deg}"
    shrink = np.cos(np.radians(min(abs(centre.lat) + lat_deg, 90.0)))
    lon_deg = lat_deg / shrink if shrink > 0.01 else 360.0
    if centre.lon - lon_deg < -180 or centre.lon + lon_deg > 180:
        return text
    return f"{text} AND lon >= {centre.lon - lon_deg} AND lon <= {centre.lon + lon_deg}"


def _strangers(folder: Path) -> list[str]:
    """What in a folder keeps it from becoming an atlas: anything but what a killed `index` may have left."""
    if not folder.exists():
        return []
    if not folder.is_dir():
        return [folder.name]
    return sorted(
        entry.name for entry in folder.iterdir() if entry.name != ENCODER and not entry.name.endswith(".part")
    )
