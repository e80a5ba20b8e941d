"""Countries of many points: all at once, one `country_at` after another, and shapely one point after another.

python benchmarks/geography.py [--points 100000] [--rounds 5]
"""

from __future__ import annotations

import argparse

import numpy as np
import shapely
from sides import in_turn, table

from geofix.geography.codes import known_codes
from geofix.geography.countries import countries_at, country_at
from geofix.geography.features import features
from geofix.positions import Position


def plain_lookup() -> tuple[shapely.STRtree, list[str]]:
    """The polygons in a tree, and the code of each."""
    named = [(polygon, feature.code or "") for feature in features() for polygon in feature.polygons]
    return shapely.STRtree([shapely.Polygon(outer, holes) for (outer, *holes), _ in named]), [code for _, code in named]


def one_by_one(points: np.ndarray, tree: shapely.STRtree, codes: list[str]) -> list[str]:
    """The plain way: each point asked of the tree by itself."""
    found = (tree.query(shapely.Point(lon, lat), predicate="intersects") for lat, lon in points.tolist())
    return [codes[hits[0]] if len(hits) else "" for hits in found]


def anywhere(count: int) -> np.ndarray:
    """Points spread evenly over the globe, most of them at sea."""
    rng = np.random.default_rng(0)
    lats = np.degrees(np.arcsin(rng.uniform(-1, 1, count)))
    return np.stack([lats, rng.uniform(-180, 180, count)], axis=1)


def in_countries(count: int) -> np.ndarray:
    """Points that crowd at a few places of every country, as photos do; of tiny ones as chance has it."""
    spread = anywhere(40 * len(known_codes()))
    codes = countries_at(spread, nearest_km=0.0).codes
    rng = np.random.default_rng(1)
    chosen = [spread[rng.choice(np.flatnonzero(codes == code), 5)] for code in sorted(set(codes) - {""})]
    return np.resize(np.concatenate(chosen), (count, 2)) + rng.normal(0, 0.1, (count, 2)).clip(-0.5, 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds of ours; the loops have one")
    chosen = parser.parse_args()
    tree, codes = plain_lookup()
    for name, points in (("in countries", in_countries(chosen.points)), ("anywhere", anywhere(chosen.points))):
        positions = [Position(lat, lon) for lat, lon in points.clip((-90, -180), (90, 180)).tolist()]
        figures = in_turn({"geofix": lambda points=points: countries_at(points)}, chosen.rounds)
        figures |= in_turn(
            {
                "country_at in a loop": lambda positions=positions: [country_at(one) for one in positions],
                "shapely in a loop": lambda points=points: one_by_one(points, tree, codes),
            },
            1,
        )
        print(table(f"{chosen.points} points {name}", figures, "points", chosen.points, "geofix", "shapely in a loop"))


if __name__ == "__main__":
    main()
