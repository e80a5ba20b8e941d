"""The local features of a map, looked at in chunks that the atlas keeps, so that every one is looked at once."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from geofix.data.maps.aerial_map import AerialMap
from geofix.data.maps.source import Window
from geofix.errors import StorageError
from geofix.files import is_file, write_atomically
from geofix.frames.local_features import LocalFeatures, features_of
from geofix.shapes import PlanePoints

BLOCK_PX, BLOCK_FEATURES = 256, 600  # the map is looked at in blocks, so that features are spread over it
CHUNK = 4  # blocks along the side of what is kept as one file
MOST_CHUNKS = 256  # in memory at once: some 250 MB
_MARGIN_PX = 24  # around a block, so that features at its edge are as they would be in the whole map
_COLUMNS = ("points", "widths", "angles_deg", "descriptors")  # of LocalFeatures, in its order
_METHOD = f"SIFT, {BLOCK_FEATURES} of {BLOCK_PX} pixels, first kind"

Chunk = tuple[int, int]
"""Column and row of a chunk: its numbers from the plane's origin, eastwards and northwards."""


@dataclass(frozen=True, eq=False)
class MapFeatures:
    """A map and its local features, in metres east and south of its plane's origin. The map is looked at with pixels of
    `unit_m`; what was seen is kept in `folder`, if there is one that can be written.
    """

    aerial: AerialMap
    unit_m: float
    folder: Path | None = None
    _chunks: OrderedDict[Chunk, tuple[LocalFeatures, np.ndarray]] = field(default_factory=OrderedDict, repr=False)

    @property
    def block_m(self) -> float:
        """The side of a block."""
        return self.unit_m * BLOCK_PX

    def around(self, point: np.ndarray, radius_m: float) -> LocalFeatures:
        """The features within a square around a point (easting, northing), in metres from it.

        Raises DataError where the map is damaged.
        """
        first, last = (np.floor((point + reach) / self.block_m).astype(int) for reach in (-radius_m, radius_m))
        parts = []
        for chunk in _within(first // CHUNK, last // CHUNK):
            features, blocks = self.chunk(chunk)
            parts.append(features.take(np.flatnonzero(((blocks >= first) & (blocks <= last)).all(axis=1))))
        found = LocalFeatures.joined(parts).measured(point * [1, -1], 1.0)
        return found.take(np.flatnonzero((np.abs(found.points) <= radius_m).all(axis=1)))

    def chunks_of(self, middles: PlanePoints, sides_m: np.ndarray) -> list[Chunk]:
        """The chunks that hold any of these squares of the plane, in order."""
        reach = (sides_m / 2)[:, None]
        side_m = self.block_m * CHUNK
        corners = np.stack([np.floor((middles - reach) / side_m), np.floor((middles + reach) / side_m)], axis=1)
        named = {chunk for first, last in np.unique(corners.astype(int), axis=0) for chunk in _within(first, last)}
        return sorted(named)

    def chunk(self, chunk: Chunk) -> tuple[LocalFeatures, np.ndarray]:
        """The features of one chunk, and the block (n, 2) in which each of them lies."""
        if chunk not in self._chunks:
            self._chunks[chunk] = self._kept(chunk) or self._looked_at(chunk)
            if len(self._chunks) > MOST_CHUNKS:
                self._chunks.popitem(last=False)
        self._chunks.move_to_end(chunk)
        return self._chunks[chunk]

    def is_kept(self, chunk: Chunk) -> bool:
        """Whether a chunk was looked at before."""
        return chunk in self._chunks or is_file(self._file(chunk))

    def _file(self, chunk: Chunk) -> Path:
        name = f"{chunk[0]}_{chunk[1]}.safetensors"
        return (self.folder or Path()) / f"{self.unit_m:.6g}" / name

    def _about(self) -> dict[str, str]:
        """What makes kept features those of this map, looked at in this way."""
        return {"features": json.dumps([_METHOD, self.aerial.fingerprint, round(self.unit_m, 9), self.aerial.plane])}

    def _kept(self, chunk: Chunk) -> tuple[LocalFeatures, np.ndarray] | None:
        """A chunk as it was kept; None where there is none, or none that can be used."""
        file = self._file(chunk)
        if self.folder is None or not is_file(file):
            return None
        try:
            with safe_open(str(file), "numpy") as opened:
                if opened.metadata() != self._about():
                    return None
                parts = {name: opened.get_tensor(name) for name in ("blocks", *_COLUMNS)}
        except (OSError, SafetensorError):
            return None
        return LocalFeatures(*(parts[name] for name in _COLUMNS)), parts["blocks"]

    def _looked_at(self, chunk: Chunk) -> tuple[LocalFeatures, np.ndarray]:
        parts, blocks = [], []
        for block in itertools.product(*(range(CHUNK * number, CHUNK * (number + 1)) for number in chunk)):
            parts.append(self._block(*block))
            blocks.append(np.tile(np.array(block, dtype=np.int64), (len(parts[-1]), 1)))
        features, numbers = LocalFeatures.joined(parts), np.concatenate(blocks)
        if self.folder is not None:
            columns = {name: np.ascontiguousarray(getattr(features, name)) for name in _COLUMNS}
            # An atlas on a medium that cannot be written works all the same, and looks again next time.
            with contextlib.suppress(StorageError):
                write_atomically(self._file(chunk), save({"blocks": numbers, **columns}, self._about()))
        return features, numbers

    def _block(self, column: int, row: int) -> LocalFeatures:
        size_px = BLOCK_PX + 2 * _MARGIN_PX
        east_m, north_m = ((number + 0.5) * self.block_m for number in (column, row))
        extent, reach_m = self.aerial.extent, size_px * self.unit_m / 2
        if not (extent.west_m - reach_m < east_m < extent.east_m + reach_m):
            return LocalFeatures.none()
        if not (extent.south_m - reach_m < north_m < extent.north_m + reach_m):
            return LocalFeatures.none()
        pixels = self.aerial.read(Window(east_m, north_m, size_px * self.unit_m, size_px))
        if pixels is None:
            return LocalFeatures.none()
        found = features_of(pixels, BLOCK_FEATURES)
        found = found.take(np.flatnonzero((np.abs(found.points - size_px / 2) <= BLOCK_PX / 2).all(axis=1)))
        moved = found.measured(np.full(2, size_px / 2), self.unit_m)
        return moved.measured(np.array([-east_m, north_m]), 1.0)


def _within(first: np.ndarray, last: np.ndarray) -> Iterator[Chunk]:
    for column, row in itertools.product(*(range(low, high + 1) for low, high in zip(first, last, strict=True))):
        yield int(column), int(row)
