"""Flat patches in space: parallelograms, or parts of them, that carry a skin.

A point of a patch is corner + u * along + v * up with u and v from 0 to 1. Seen from its outside, `along` runs to
the right and `up` upwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from itertools import chain

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int

from geofix.world.geometry.town import Labels
from geofix.world.renderer.aerial.skins import Skin
from geofix.world.renderer.grain import TILE, fine_grain

# Which part of its parallelogram a patch is. The outlines from DISC on are masks.
FULL, PEAKED, STEPPED_UP, DISC, LATTICE, STAR, CROWN = range(7)
CROWNS = 6  # different crowns, from CROWN on
_MASK_SIDE = 40

Points = Float64[np.ndarray, "n 3"]
"""East, north, up in metres."""

Numbers = Float64[np.ndarray, " n"]
"""One number a patch."""

Flags = Bool[np.ndarray, " n"]
"""One yes or no a patch."""

Chosen = Int[np.ndarray, " m"]
"""Rows of some patches."""

Masks = Float32[np.ndarray, "outlines side side"]
"""How surely a point of a patch is there, 0..1: where that is above a patch's own threshold."""


@dataclass(frozen=True)
class Patches:
    """n patches. `shoulder` is the share of the height from which a gable narrows, or for masks the threshold;
    `one_sided` ones are seen from outside only; `lying` ones are ground, `ball` ones balls seen as discs."""

    corner: Points
    along: Points
    up: Points
    outline: Labels
    shoulder: Numbers
    skin: Labels
    one_sided: Flags
    lying: Flags
    ball: Flags
    skins: tuple[Skin, ...]

    def __len__(self) -> int:
        return len(self.corner)

    @property
    def normal(self) -> Points:
        """Unit vectors to the outside."""
        across = np.cross(self.along, self.up)
        return np.asarray(across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-12))

    def only(self, rows: Chosen | Flags) -> Patches:
        """Some of the patches, with all the skins."""
        return replace(self, **{name: getattr(self, name)[rows] for name in _COLUMNS})


_COLUMNS = tuple(field.name for field in fields(Patches) if field.name != "skins")


def patches(
    corner: np.ndarray,
    along: np.ndarray,
    up: np.ndarray,
    skin: np.ndarray,
    skins: Sequence[Skin],
    *,
    outline: int | np.ndarray = FULL,
    shoulder: float | np.ndarray = 0.0,
    one_sided: bool = True,
    lying: bool = False,
    ball: bool = False,
) -> Patches:
    """Patches from arrays of (n, 3), with what most have in common as defaults."""
    n = len(corner)
    return Patches(
        corner=np.asarray(corner, dtype=np.float64).reshape(n, 3),
        along=np.asarray(along, dtype=np.float64).reshape(n, 3),
        up=np.asarray(up, dtype=np.float64).reshape(n, 3),
        outline=np.broadcast_to(np.asarray(outline, dtype=np.int64), n).copy(),
        shoulder=np.broadcast_to(np.asarray(shoulder, dtype=np.float64), n).copy(),
        skin=np.asarray(skin, dtype=np.int64),
        one_sided=np.full(n, one_sided),
        lying=np.full(n, lying),
        ball=np.full(n, ball),
        skins=tuple(skins),
    )


def together(parts: Sequence[Patches]) -> Patches:
    """All patches in one; their skins follow each other."""
    first = np.cumsum([0] + [len(part.skins) for part in parts])
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS}
    columns["skin"] = np.concatenate([part.skin + at for part, at in zip(parts, first, strict=False)])
    return Patches(**columns, skins=tuple(chain.from_iterable(part.skins for part in parts)))


def boxes(
    foot: Points, along: Points, across: Points, height_m: Numbers, sides: Labels, tops: Labels, skins: Sequence[Skin]
) -> Patches:
    """Upright boxes of four sides and a top; `across` lies to the left of `along`."""
    up = np.column_stack([np.zeros((len(foot), 2)), height_m])
    around = [
        (foot, along, up, sides),
        (foot + along, across, up, sides),
        (foot + along + across, -along, up, sides),
        (foot + across, -across, up, sides),
        (foot + up, along, across, tops),
    ]
    corner, run, rise, skin = (np.concatenate(column) for column in zip(*around, strict=True))
    return patches(corner, run, rise, skin, skins)


@lru_cache(maxsize=1)
def masks() -> Masks:
    """Every outline that is a mask, by its number; rows upwards, the first ones empty."""
    centre = (np.arange(_MASK_SIDE) + 0.5) / _MASK_SIDE * 2 - 1
    x, y = np.meshgrid(centre, centre)
    far, angle = np.hypot(x, y), np.arctan2(y, x)
    found = np.zeros((CROWN + CROWNS, _MASK_SIDE, _MASK_SIDE), dtype=np.float32)
    found[DISC] = far < 1
    found[LATTICE] = _lattice(x, y)
    found[STAR] = far < 0.42 + 0.58 * np.abs(np.cos(angle * 4.5))
    for number in range(CROWNS):
        found[CROWN + number] = _leafy(far, angle, number)
    return found


def _lattice(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A pylon: legs that meet at the top, struts between them and two arms."""
    half = 0.45 * (1 - y) / 2 + 0.04
    legs = np.abs(np.abs(x) - half) < 0.07
    struts = (np.abs(x) < half) & (np.abs((y * 4) % 1 - np.abs(x) / half) < 0.2)
    arms = ((np.abs(y - 0.3) < 0.03) | (np.abs(y - 0.62) < 0.03)) & (np.abs(x) < 0.9)
    return np.asarray(legs | struts | arms)


def _leafy(far: np.ndarray, angle: np.ndarray, number: int) -> np.ndarray:
    """A round crown with a ragged edge; single leaves are the surer the nearer they are to the middle."""
    rng = np.random.default_rng([33, number])
    edge = 0.9 + sum(
        rng.uniform(0.02, 0.07) * np.cos(waves * angle + rng.uniform(0, 2 * np.pi)) for waves in (2, 3, 5, 7)
    )
    at = int(rng.integers(TILE - _MASK_SIDE))
    grain = fine_grain()[at : at + _MASK_SIDE, at : at + _MASK_SIDE]
    leaves = 0.55 + 0.18 * grain + 0.25 * (1 - far)
    return np.asarray(np.where(far < edge, np.clip(leaves, 0.05, 1), 0))
