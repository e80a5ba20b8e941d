"""What stands in the street: trees, lamps, parked cars and people, as upright flat cards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from geofix.world.geometry.town import Town
from geofix.world.renderer.frame import Frame, Line
from geofix.world.renderer.sprites import (
    CAR_M,
    CARS,
    PEOPLE,
    PERSON_M,
    Sprite,
    car_end,
    car_side,
    lamp,
    mast,
    person,
    tree,
)

_REACH_M = 75.0
_OPEN_REACH_M, _MAST_REACH_M = 150.0, 300.0  # where few houses stand in the way
_VERGE_M = 1.0  # a strip beside the road no wider than this is no pavement
_SEASONS = 8  # steps of the season trees are drawn at
_NEAR_M = 0.8
_SLOT_M = 6.2  # from one parking place to the next


class Card(NamedTuple):
    """A picture upright on the ground between two plane points (2, 2), as high as `height_m`."""

    ends: np.ndarray
    height_m: float
    sizes: tuple[Sprite, ...]


def paint_cards(frame: Frame, cards: Sequence[Card]) -> None:
    """Draw cards over what is there, far ones first, each only where nothing nearer stands."""
    if not cards:
        return
    ahead = frame.seen(np.concatenate([card.ends for card in cards]))[1].reshape(-1, 2)
    for number in np.argsort(-ahead.mean(axis=1), kind="stable"):
        if ahead[number].min() > _NEAR_M:
            _paint_card(frame, cards[int(number)])


def standing(frame: Frame, town: Town, season: float) -> list[Card]:
    """The trees, lamps and masts of the town that are near enough, turned towards the camera."""
    step = round(season * _SEASONS) / _SEASONS
    drawn = (
        (
            town.trees,
            _REACH_M if town.scene == "city" else _OPEN_REACH_M,
            lambda kind: tree(kind, town.style.leaves, step),
        ),
        (town.lamps, _REACH_M, lambda _: lamp()),
        (town.masts, _MAST_REACH_M, mast),
    )
    cards = []
    for uprights, reach_m, draw in drawn:
        for row in _near(frame, uprights.points, reach_m):
            height, width = float(uprights.height_m[row]), float(uprights.width_m[row])
            sizes = draw(int(uprights.kind[row]))
            cards.append(Card(_facing(frame, uprights.points[row], width), height, sizes))
    return cards


def passing(frame: Frame, town: Town, amount: float, rng: np.random.Generator) -> list[Card]:
    """Parked cars and people; `amount` 0..1 fills that share of the parking places."""
    if not amount:
        return []
    cards: list[Card] = []
    middles = (town.streets.lines[:, :2] + town.streets.lines[:, 2:]) / 2
    lengths = np.hypot(*(town.streets.lines[:, 2:] - town.streets.lines[:, :2]).T)
    here = np.array([frame.camera.easting_m, frame.camera.northing_m])
    pavement_m = town.streets.space_half_m - town.streets.road_half_m
    for row in np.flatnonzero(np.hypot(*(middles - here).T) < lengths / 2 + 30):
        if pavement_m[row] > _VERGE_M:  # nobody parks on a country road
            cards += _parked(frame, town, int(row), amount, rng)
        cards += _walking(frame, town, int(row), amount, rng)
    return cards


def _near(frame: Frame, points: np.ndarray, reach_m: float) -> np.ndarray:
    if not len(points):
        return np.empty(0, dtype=np.int64)
    right, ahead = frame.seen(points)
    edge = float(frame.across[-1])
    return np.flatnonzero((ahead > _NEAR_M) & (ahead < reach_m) & (np.abs(right) < edge * ahead + 3))


def _facing(frame: Frame, point: np.ndarray, width_m: float) -> np.ndarray:
    heading = np.deg2rad(frame.camera.heading_deg)
    half = np.array([np.cos(heading), -np.sin(heading)]) * width_m / 2
    return np.stack([point - half, point + half])


def _parked(frame: Frame, town: Town, row: int, amount: float, rng: np.random.Generator) -> list[Card]:
    """Cars at both kerbs of one street, none near a crossing."""
    start, along, across, length = _axes(town, row)
    cards: list[Card] = []
    for side in (-1, 1):
        kerb = start + across * side * (float(town.streets.road_half_m[row]) - 0.2 - CAR_M[2] / 2)
        slots = np.arange(14, length - 14, _SLOT_M) + rng.uniform(-0.5, 0.5)
        taken, kinds = rng.random(len(slots)) < amount, rng.integers(0, CARS, len(slots))
        for at, kind in zip(slots[taken], kinds[taken], strict=True):
            middle = kerb + along * at
            if _clear(frame, town, row, middle, 5.0):
                cards += _car(frame, middle, along, across, int(kind))
    return cards


def _walking(frame: Frame, town: Town, row: int, amount: float, rng: np.random.Generator) -> list[Card]:
    start, along, across, length = _axes(town, row)
    road, space = float(town.streets.road_half_m[row]), float(town.streets.space_half_m[row])
    cards = []
    for _ in range(int(rng.poisson(amount * length / 18))):
        side, aside = rng.choice([-1, 1]), rng.uniform(road + 0.6, max(space - 0.7, road + 0.8))
        point = start + along * rng.uniform(0, length) + across * side * aside
        if _clear(frame, town, -1, point, 2.5):
            sizes = person(int(rng.integers(PEOPLE)))
            cards.append(Card(_facing(frame, point, PERSON_M[0]), PERSON_M[1], sizes))
    return cards


def _axes(town: Town, row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """A street's start, its unit vectors along and to the right, and its length."""
    start, run = town.streets.lines[row, :2], town.streets.lines[row, 2:] - town.streets.lines[row, :2]
    length = float(np.hypot(*run))
    along = run / length
    return start, along, np.array([along[1], -along[0]]), length


def _clear(frame: Frame, town: Town, row: int, point: np.ndarray, distance_m: float) -> bool:
    """Whether a point is clear of the camera, near enough to matter and (`row` >= 0) on no other street."""
    away = float(np.hypot(point[0] - frame.camera.easting_m, point[1] - frame.camera.northing_m))
    if not distance_m < away < _REACH_M:
        return False
    return row < 0 or not _crossed(town, row, point)


def _crossed(town: Town, row: int, point: np.ndarray) -> bool:
    start, run = town.streets.lines[:, :2], town.streets.lines[:, 2:] - town.streets.lines[:, :2]
    share = ((point - start) * run).sum(1) / (run * run).sum(1)
    foot = start + np.clip(share, 0, 1)[:, None] * run
    near = np.hypot(*(point - foot).T) < town.streets.space_half_m + 3
    near[row] = False
    return bool(near.any())


def _car(frame: Frame, middle: np.ndarray, along: np.ndarray, across: np.ndarray, kind: int) -> list[Card]:
    """The side and the end of a parked car that the camera sees."""
    to_camera = np.array([frame.camera.easting_m, frame.camera.northing_m]) - middle
    side = np.copysign(CAR_M[2] / 2, to_camera @ across) * across
    end = np.copysign(CAR_M[0] / 2, to_camera @ along) * along
    flank = np.stack([middle + side - end, middle + side + end])  # its rear is the end that is seen
    back = np.stack([middle + end - across * CAR_M[2] / 2, middle + end + across * CAR_M[2] / 2])
    return [Card(flank, CAR_M[1], car_side(kind)), Card(back, CAR_M[1], car_end(kind))]


def _paint_card(frame: Frame, card: Card) -> None:
    (x0, x1), (y0, y1) = frame.seen(card.ends)
    columns = _columns(frame, float(x0 / y0), float(x1 / y1))
    if columns.start >= columns.stop:
        return
    ray = frame.across[columns]
    along = np.clip((ray * y0 - x0) / ((x1 - x0) - ray * (y1 - y0)), 0, 0.9999).astype(np.float32)
    depth = (y0 + along * (y1 - y0)).astype(np.float32)
    eye = np.float32(frame.camera.height_m)
    top, foot = frame.row((np.float32(card.height_m) - eye) / depth), frame.row(-eye / depth)
    first, last = (int(np.clip(e, 0, frame.camera.height)) for e in (np.floor(top.min()), np.ceil(foot.max())))
    if first < last:
        texels = _sampled(frame, card, along, depth, slice(first, last))
        _blend(frame, (slice(first, last), columns), texels, depth)


def _columns(frame: Frame, first: float, last: float) -> slice:
    left, right = sorted((first, last))
    edges = frame.camera.focal * np.array([left, right]) + frame.camera.width / 2
    start, stop = np.clip(np.round(edges), 0, frame.camera.width).astype(int)
    return slice(int(start), int(stop))


def _sampled(frame: Frame, card: Card, along: Line, depth: Line, rows: slice) -> Sprite:
    pixels = frame.camera.focal * card.height_m / float(depth.mean())
    size = int(np.clip(np.log2(max(len(card.sizes[0]) / pixels, 1)) + 0.3, 0, len(card.sizes) - 1))
    picture = card.sizes[size]
    rise = frame.slopes[rows, None] * depth + np.float32(frame.camera.height_m)
    v = np.floor(rise * np.float32(len(picture) / card.height_m)).astype(np.int32)
    texels = picture[np.clip(v, 0, len(picture) - 1), (along * picture.shape[1]).astype(np.int32)]
    texels[(v < 0) | (v >= len(picture)), 3] = 0
    return np.asarray(texels)


def _blend(frame: Frame, area: tuple[slice, slice], texels: Sprite, depth: Line) -> None:
    shown = depth < frame.depth_m[area]
    opacity = (texels[..., 3] * np.float32(1 / 255) * shown)[..., None]
    below = frame.colours[area].astype(np.float32)
    over = texels.astype(np.float32)
    over[..., 3] = 0  # nothing on a card glows
    frame.colours[area] = (below + (over - below) * opacity).astype(np.uint8)
    solid = opacity[..., 0] > 0.5
    np.copyto(frame.depth_m[area], depth[None, :], where=solid)
    np.copyto(frame.shade[area], np.float32(1), where=solid)
