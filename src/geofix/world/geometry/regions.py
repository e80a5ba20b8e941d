"""The plans of small regions outside the big town: open country, a seafront, an industrial estate."""

from __future__ import annotations

import numpy as np

from geofix.errors import UsageError
from geofix.world.geometry.plan import CONTAINER, HALL, House, Plan, plan_quarter, row_of_houses
from geofix.world.styles import Span

SCENES = ("city", "nature", "coast", "industrial")
CHIMNEY, TANK, PYLON = range(3)  # kinds of masts
_LENGTH_M = 300.0  # of a region's main street


def plan_region(scene: str, spots: int, leafy: float, rng: np.random.Generator) -> Plan:
    """A region of one of SCENES with `spots` photo spots along its streets, `leafy` 0..1 of a city's with trees.

    Raises UsageError for another scene.
    """
    check_scene(scene)
    if scene == "city":
        return plan_quarter(spots, 0.0, leafy, rng)
    plan = {"nature": _nature, "coast": _coast, "industrial": _industrial}[scene](rng)
    return plan._replace(spots=_along(plan.streets, spots, rng))


def check_scene(scene: str) -> None:
    """Raises UsageError for a scene that is none of SCENES."""
    if scene not in SCENES:
        raise UsageError(f"There is no scene {scene!r}; known are: {', '.join(SCENES)}.")


def _nature(rng: np.random.Generator) -> Plan:
    """A country road and a track off it, woods and single trees, and now and then a farm."""
    road = rng.uniform(2.2, 3.4)
    fork = rng.uniform(0.3, 0.7) * _LENGTH_M
    streets = np.array([(0, 0, _LENGTH_M, 0, road, road + 0.5), (fork, 0, fork, 140, 1.6, 2.0)])
    woods = np.column_stack([rng.uniform(0, _LENGTH_M, 9), rng.normal(0, 45, 9)])[: int(rng.integers(3, 10))]
    clusters = woods[rng.integers(len(woods), size=260)] + rng.normal(0, rng.uniform(8, 24), (260, 2))
    single = rng.uniform((-40, -70), (_LENGTH_M + 40, 150), (int(rng.integers(30, 160)), 2))
    bushes = rng.uniform((-10, -25), (_LENGTH_M + 10, 25), (int(rng.integers(10, 120)), 2))
    trees = np.concatenate([_scaled(clusters, (0.6, 1.7), rng), _scaled(single, (0.4, 1.5), rng)])
    trees = np.concatenate([trees, _scaled(bushes, (0.1, 0.35), rng)])
    houses = []
    for _ in range(int(rng.integers(0, 3))):
        x, far = rng.uniform(20, _LENGTH_M - 40), rng.uniform(12, 30)
        houses.append(House(x, far, x + rng.uniform(8, 14), far + rng.uniform(7, 10), 0, (1, 3)))
    trees = _clear(trees, streets, houses, 3.2)
    return Plan(_LENGTH_M, streets, houses, trees, np.empty((0, 2)), np.empty((0, 4)))


def _coast(rng: np.random.Generator) -> Plan:
    """A seafront: houses on the landward side, a promenade, a beach and the sea to the south."""
    half = rng.uniform(6.5, 9.5)
    shore = -half - rng.uniform(6, 26)
    streets = np.array([(0, 0, _LENGTH_M, 0, 0.55 * half, half), (_LENGTH_M / 2, 0, _LENGTH_M / 2, 90, 3.4, 6.5)])
    built = rng.uniform(0.25, 1.0)
    houses = []
    for start, end in ((8.0, _LENGTH_M / 2 - 6.5), (_LENGTH_M / 2 + 6.5, _LENGTH_M - 8)):
        row = row_of_houses((start, end), (half + 1, half + 12), 0, rng)
        houses += [house for house in row if rng.random() < built]
    lamps = [(x, -0.55 * half - 0.8) for x in np.arange(9, _LENGTH_M, 24)]
    line = np.arange(14, _LENGTH_M - 8, rng.uniform(8, 16))
    leafy = rng.uniform(0.1, 1)
    alley = [(x, -half - 0.5) for x in line if rng.random() < leafy]
    inland = rng.uniform((-30, half + 16), (_LENGTH_M + 30, 120), (int(rng.integers(20, 90)), 2))
    trees = np.concatenate([_scaled(np.reshape(alley, (-1, 2)), (0.9, 1.1), rng), _scaled(inland, (0.3, 1.3), rng)])
    trees = _clear(trees, streets[1:], houses, 2.0)
    return Plan(_LENGTH_M, streets, houses, trees, np.array(lamps), np.empty((0, 4)), shore=float(shore))


def _industrial(rng: np.random.Generator) -> Plan:
    """Halls along two wide streets, yards with containers, chimneys, tanks and pylons behind them."""
    half = rng.uniform(9.5, 13)
    cross = rng.uniform(0.35, 0.65) * _LENGTH_M
    streets = np.array([(0, 0, _LENGTH_M, 0, 0.5 * half, half), (cross, -110, cross, 110, 0.42 * half, half * 0.85)])
    houses: list[House] = []
    for side in (-1, 1):
        for start, end in ((0.0, cross - half), (cross + half, _LENGTH_M)):
            houses += _halls((start, end), side, half, rng)
            houses += _halls((start, end), side, half + 48, rng)
    back = rng.uniform(50, 95)
    masts = [
        (rng.uniform(0, _LENGTH_M), rng.choice([-1, 1]) * rng.uniform(46, back + 20), kind)
        for kind in rng.choice(3, int(rng.integers(3, 10)), p=[0.35, 0.4, 0.25])
    ]
    lamps = [(x, (-1) ** i * (0.5 * half + 0.8)) for i, x in enumerate(np.arange(10, _LENGTH_M, 30))]
    trees = rng.uniform((0, -120), (_LENGTH_M, 120), (int(rng.integers(4, 40)), 2))
    trees = _clear(_scaled(trees, (0.2, 1.2), rng), streets, houses, 2.5)
    return Plan(_LENGTH_M, streets, houses, trees, np.array(lamps), np.empty((0, 4)), masts=np.array(masts))


def _scaled(points: np.ndarray, scale: Span, rng: np.random.Generator) -> np.ndarray:
    """Trees at those points, each of its own size."""
    return np.column_stack([points, rng.uniform(*scale, len(points))])


def _halls(x: Span, side: int, half: float, rng: np.random.Generator) -> list[House]:
    """Halls side by side on one side of the main street, with yards of containers between them."""
    houses: list[House] = []
    at = x[0] + rng.uniform(2, 8)
    while at + 16 < x[1]:
        width = min(rng.uniform(16, 46), x[1] - at)
        if rng.random() < 0.72:
            near = half + rng.uniform(2, 9)
            box = _mirrored(at, near, at + width, near + rng.uniform(16, 30), side)
            houses.append(House(*box, 0 if side > 0 else 2, (1, 3), HALL))
        else:
            houses += _containers(at, width, side, half + rng.uniform(4, 12), rng)
        at += width + rng.uniform(4, 12)
    return houses


def _containers(x: float, width: float, side: int, near: float, rng: np.random.Generator) -> list[House]:
    rows = []
    for row in range(int(rng.integers(1, 3))):
        for at in np.arange(x, x + width - 6.2, 6.6):
            if rng.random() < 0.75:
                box = _mirrored(float(at), near + 5 * row, float(at) + 6.1, near + 5 * row + 2.5, side)
                rows.append(House(*box, 0 if side > 0 else 2, (), CONTAINER))
    return rows


def _mirrored(west: float, near: float, east: float, far: float, side: int) -> tuple[float, float, float, float]:
    return (west, near, east, far) if side > 0 else (west, -far, east, -near)


def _clear(points: np.ndarray, streets: np.ndarray, houses: list[House], apart_m: float) -> np.ndarray:
    """The points (x, y, ...) that stand on no street and in no house."""
    free = np.ones(len(points), dtype=bool)
    for x0, y0, x1, y1, _, space in streets:
        inside_x = (points[:, 0] > min(x0, x1) - space - apart_m) & (points[:, 0] < max(x0, x1) + space + apart_m)
        inside_y = (points[:, 1] > min(y0, y1) - space - apart_m) & (points[:, 1] < max(y0, y1) + space + apart_m)
        free &= ~(inside_x & inside_y)
    for house in houses:
        inside_x = (points[:, 0] > house.west - apart_m) & (points[:, 0] < house.east + apart_m)
        free &= ~(inside_x & (points[:, 1] > house.south - apart_m) & (points[:, 1] < house.north + apart_m))
    return points[free]


def _along(streets: np.ndarray, spots: int, rng: np.random.Generator) -> np.ndarray:
    """Spots spread over all streets by their length."""
    lengths = np.hypot(streets[:, 2] - streets[:, 0], streets[:, 3] - streets[:, 1])
    ends = np.cumsum(lengths)
    rows = []
    for far in (np.arange(spots) + rng.uniform(0.25, 0.75, spots)) / spots * ends[-1]:
        street = min(int(np.searchsorted(ends, far)), len(streets) - 1)
        x0, y0, x1, y1, road, _ = streets[street]
        along = np.clip((far - (ends[street] - lengths[street])) / lengths[street], 0.05, 0.95)
        north = 0.0 if x0 == x1 else 90.0
        rows.append((x0 + along * (x1 - x0), y0 + along * (y1 - y0), north, 0.6 * road))
    return np.array(rows)
