"""Trees and lamps from any side: balls of leaves that turn to the camera, fronds, trunks and poles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geofix.world.geometry.town import TREE_VARIANTS, Labels, Uprights
from geofix.world.renderer.aerial.cameras import Triple
from geofix.world.renderer.aerial.patches import (
    CROWN,
    CROWNS,
    DISC,
    PEAKED,
    STAR,
    Numbers,
    Patches,
    Points,
    patches,
    together,
)
from geofix.world.renderer.aerial.skins import Plain, Skin, finished
from geofix.world.renderer.facades import Packed
from geofix.world.renderer.sprites import LAMP_HEAD_M
from geofix.world.seasons import bare, snow, turned
from geofix.world.styles import BROADLEAF, CONIFER, CYPRESS, PALM, Colour, Palette, Style

_LEAVES: Palette = ((78, 116, 58), (98, 130, 60), (64, 102, 70), (118, 134, 62), (130, 124, 58), (84, 122, 84))
_AUTUMN: Palette = ((206, 148, 52), (190, 98, 44), (216, 180, 70), (160, 110, 60))
_NEEDLES, _FRONDS, _CYPRESS = (0.62, 0.74, 0.74), (0.9, 0.96, 0.72), (0.58, 0.68, 0.62)
_WOOD: Colour = (104, 92, 80)
_SNOW: Colour = (236, 240, 246)
# Height and radius of the balls of a crown, as shares of the tree's height and width.
_BALLS = {
    BROADLEAF: ((0.66, 0.46),),
    CONIFER: ((0.24, 0.44), (0.42, 0.35), (0.6, 0.25), (0.78, 0.15), (0.92, 0.08)),
    CYPRESS: ((0.5, 0.42),),
}
# Families with a tall crown: where it starts, its width, as such shares, and its outline from the side.
_SPIRES = {CONIFER: (0.12, 0.8, PEAKED), CYPRESS: (0.04, 0.86, CROWN)}


@dataclass(frozen=True, slots=True)
class CrownSkin:
    """The leaves of a family and variant of trees in a season, of a style's hue (percent of a leaf's own)."""

    family: int
    variant: int
    hue: Colour
    season: float

    def painted(self) -> Packed:
        """Clumps of leaves, some lighter than others."""
        rng = np.random.default_rng([34, self.family, self.variant])
        leaf = np.array(_LEAVES[self.variant]) * np.array(self.hue) / 100
        if self.family == BROADLEAF:
            autumn = np.array(_AUTUMN[int(rng.integers(len(_AUTUMN)))])
            leaf = leaf + (autumn - leaf) * turned(self.season)
            leaf = leaf + (np.array(_WOOD) - leaf) * 0.8 * bare(self.season)
        else:
            leaf = leaf * np.array({CONIFER: _NEEDLES, PALM: _FRONDS, CYPRESS: _CYPRESS}[self.family])
        leaf = leaf + (np.array(_SNOW) - leaf) * 0.35 * snow(self.season)
        clumps = np.repeat(np.repeat(rng.normal(1, 0.1, (6, 6)), 3, 0), 3, 1) + rng.normal(0, 0.1, (18, 18))
        paint = np.zeros((18, 18, 4), dtype=np.float32)
        paint[..., :3] = clumps[..., None] * leaf
        return finished(paint)


def crowns(trees: Uprights, style: Style, season: float, right: Triple, up: Triple) -> Patches:
    """Trees as seen by a camera whose pictures run to the `right` and `up` in space."""
    season = round(season, 2)
    families = range(len(_BALLS) + 1)
    skins = [CrownSkin(family, variant, style.leaves, season) for family in families for variant in range(CROWNS)]
    family, variant = np.divmod(trees.kind, TREE_VARIANTS)
    parts = [_trunks(trees, right)]
    for kind, balls in _BALLS.items():
        rows = np.flatnonzero(family == kind)
        for height, radius in balls:
            middle = np.column_stack([trees.points[rows], trees.height_m[rows] * height])
            ragged = CROWN + variant[rows] % CROWNS
            made = _balls(middle, trees.width_m[rows] * radius, right, up, trees.kind[rows], skins, ragged)
            made.shoulder[:] = 0.02 + (0.62 * bare(season) if kind == BROADLEAF else 0)
            parts.append(made)
    for kind, (foot, width, outline) in _SPIRES.items():
        rows = np.flatnonzero(family == kind)
        parts.append(_spires(trees, rows, foot, width, right, skins, outline))
    return together([*parts, _fronds(trees, np.flatnonzero(family == PALM), skins)])


def lamp_posts(lamps: Uprights, right: Triple, up: Triple) -> Patches:
    """Street lamps: thin poles with a lantern that glows in the dark."""
    n = len(lamps.points)
    heads = np.column_stack([lamps.points, np.full(n, LAMP_HEAD_M)])
    skins = (Plain((226, 220, 198), 255),)
    lanterns = _balls(heads, np.full(n, 0.3), right, up, np.zeros(n, dtype=np.int64), skins, np.full(n, DISC))
    lanterns.ball[:] = False
    return together([lanterns, _poles(lamps.points, np.full(n, 0.14), lamps.height_m * 0.9, right, (46, 50, 54))])


def _balls(
    middle: Points,
    radius: Numbers,
    right: Triple,
    up: Triple,
    skin: Labels,
    skins: tuple[Skin, ...] | list[CrownSkin],
    outline: Labels,
) -> Patches:
    along, rise = (2 * radius[:, None] * axis for axis in (right, up))
    corner = middle - along / 2 - rise / 2
    return patches(corner, along, rise, skin, skins, outline=outline, one_sided=False, ball=True)


def _spires(
    trees: Uprights, rows: Labels, foot: float, width: float, right: Triple, skins: list[CrownSkin], outline: int
) -> Patches:
    """Crowns taller than wide, as upright shapes that turn to the camera."""
    height = trees.height_m[rows]
    along = trees.width_m[rows, None] * width * right
    corner = np.column_stack([trees.points[rows], height * foot]) - along / 2
    up = np.column_stack([np.zeros((len(rows), 2)), height * (1 - foot)])
    return patches(corner, along, up, trees.kind[rows], skins, outline=outline, one_sided=False)


def _fronds(trees: Uprights, rows: Labels, skins: list[CrownSkin]) -> Patches:
    """The tufts of palms: two flat stars, the upper one smaller and turned."""
    parts = []
    for height, reach, turn in ((0.84, 0.46, 0.3), (0.88, 0.3, 1.0)):
        radius = trees.width_m[rows, None] * reach
        ahead, aside = np.array([np.cos(turn), np.sin(turn), 0.0]), np.array([-np.sin(turn), np.cos(turn), 0.0])
        middle = np.column_stack([trees.points[rows], trees.height_m[rows] * height])
        corner, along, up = middle - radius * (ahead + aside), 2 * radius * ahead, 2 * radius * aside
        parts.append(patches(corner, along, up, trees.kind[rows], skins, outline=STAR, one_sided=False))
    return together(parts)


def _trunks(trees: Uprights, right: Triple) -> Patches:
    height = np.where(trees.kind // TREE_VARIANTS == PALM, 0.86, 0.5) * trees.height_m
    return _poles(trees.points, 0.06 * trees.width_m + 0.05, height, right, (92, 74, 60))


def _poles(points: np.ndarray, width_m: Numbers, height_m: Numbers, right: Triple, colour: Colour) -> Patches:
    """Upright strips that turn to the camera."""
    n = len(points)
    along = width_m[:, None] * right
    corner = np.column_stack([points, np.zeros(n)]) - along / 2
    up = np.column_stack([np.zeros((n, 2)), height_m])
    return patches(corner, along, up, np.zeros(n, dtype=np.int64), (Plain(colour),), one_sided=False)
