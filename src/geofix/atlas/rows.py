"""What an atlas holds, in memory: column by column, to be searched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from geofix.positions import Position, metres_from
from geofix.search import nearest
from geofix.shapes import DescriptorRows, Distances, LatLons, Neighbours


@dataclass(frozen=True, eq=False)
class TileColumns:
    """Of n tiles: their sides on the ground (n,), the boxes of degrees around them (n, 4: south, west, north, east),
    the EPSG codes (n,) of the planes of UTM in which they are squares, and what is to be read beside their maps.
    """

    sides_m: np.ndarray
    bounds: np.ndarray
    planes: np.ndarray
    attributions: tuple[str, ...]

    def take(self, rows: np.ndarray) -> TileColumns:
        """Some tiles, in the order given; the attributions are those of all."""
        return TileColumns(self.sides_m[rows], self.bounds[rows], self.planes[rows], self.attributions)


@dataclass(frozen=True, eq=False)
class Rows:
    """The atlas in memory, column by column: n photos with vectors (n, d) and positions (n, 2).

    `tiles` says what rows show that are tiles of maps.
    """

    vectors: DescriptorRows
    latlons: LatLons
    paths: tuple[str, ...]
    headings_deg: np.ndarray
    groups: tuple[str, ...]
    tiles: TileColumns | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def near(self, centre: Position, radius_m: float) -> Rows:
        """The rows within `radius_m` of a position."""
        return self.take(np.flatnonzero(metres_from(centre, self.latlons) <= radius_m))

    def take(self, rows: np.ndarray) -> Rows:
        """Some rows, in the order given."""
        return Rows(
            np.ascontiguousarray(self.vectors[rows]),
            self.latlons[rows],
            tuple(self.paths[row] for row in rows),
            self.headings_deg[rows],
            tuple(self.groups[row] for row in rows),
            None if self.tiles is None else self.tiles.take(rows),
        )

    def group_under(self, places: Iterable[Position]) -> str:
        """Of groups of tiles, which are maps, the one that most of some places lie on; of equals the first."""
        assert self.tiles is not None
        south, west, north, east = self.tiles.bounds.T
        held = Counter(dict.fromkeys(self.groups, 0))
        for place in places:
            over = (south <= place.lat) & (place.lat <= north) & (west <= place.lon) & (place.lon <= east)
            held.update({self.groups[row] for row in np.flatnonzero(over)})
        return held.most_common(1)[0][0]

    def search(self, descriptors: DescriptorRows, k: int) -> tuple[Distances, Neighbours]:
        """The k nearest rows of each descriptor, exact."""
        return nearest(descriptors, self.vectors, k)
