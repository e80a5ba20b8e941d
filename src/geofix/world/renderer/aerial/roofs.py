"""Roofs as skins: tiles, gravel, corrugated sheets, and what people put on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geofix.world.geometry.plan import CONTAINER, HALL
from geofix.world.geometry.town import FLAT
from geofix.world.renderer.aerial.skins import TEXELS_PER_M, Paint, Piece, canvas, finished, part
from geofix.world.renderer.facades import FacadeStyle, Packed, house_look
from geofix.world.renderer.looks import GLASS, Look, scaled, varied
from geofix.world.styles import Colour, Palette

# Gravel, bitumen, membrane, plants, terrace tiles, weathered copper.
_FLAT_ROOFS: Palette = (
    (166, 160, 150), (88, 88, 93), (198, 196, 190), (112, 130, 84), (174, 122, 96), (132, 128, 122), (120, 140, 128),
)  # fmt: skip
_SHEETS: Palette = ((150, 154, 158), (182, 184, 182), (118, 126, 138), (146, 92, 78), (92, 108, 100), (206, 204, 198))
_METAL: Colour = (196, 198, 198)
_PANEL: Colour = (34, 44, 78)


@dataclass(frozen=True, slots=True)
class RoofSkin:
    """The roof above one side of a house: `style` is its front's, `side` 0 or 1 the slope, sizes in metres."""

    style: FacadeStyle
    side: int
    width_m: float
    height_m: float

    def painted(self) -> Packed:
        """The eaves are the lowest row."""
        style = self.style
        house = [*style.house, 62 if style.rebuilt else 61]
        rng = np.random.default_rng([*house, self.side])
        look = house_look(style)
        if style.kind == CONTAINER:
            return finished(_ribbed(self._bare(scaled(look.wall, 0.9)), 0.5))
        if style.kind == HALL:
            return finished(self._sheets(varied(_SHEETS, np.random.default_rng(house)), rng))
        if style.roof == FLAT:
            return finished(self._flat(look, rng))
        return finished(self._tiles(look, rng))

    def _bare(self, colour: Colour) -> Paint:
        return canvas(self.width_m, self.height_m, colour)

    def _tiles(self, look: Look, rng: np.random.Generator) -> Paint:
        paint = self._bare(look.roof)
        rows, columns = paint.shape[:2]
        tones = rng.normal(1, 0.045, (rows, 1)) * rng.normal(1, 0.06, (rows, columns)) * _blotches(rows, columns, rng)
        tones[1::2] *= 0.93
        paint[..., :3] *= tones[..., None].astype(np.float32)
        part(paint, 0, 0, self.width_m, 0.25)[..., :3] *= np.float32(0.66)
        part(paint, 0, self.height_m - 0.3, 99, 0.5)[..., :3] *= np.float32(0.74)
        if rng.random() < 0.16:
            self._solar(paint, rng)
        else:
            self._skylights(paint, look, rng)
        return paint

    def _skylights(self, paint: Paint, look: Look, rng: np.random.Generator) -> None:
        """Where the street sees dormers, and some on the other side."""
        count = max(int((self.width_m - 0.8) / look.spacing_m), 1)
        centres = (np.arange(count) + 0.5) * (self.width_m - 0.8) / count + 0.4
        for at in centres[::2] if self.side == 0 else centres[rng.random(count) < 0.3]:
            low = 0.38 * self.height_m
            part(paint, at - 0.6, low, 1.2, 1.5)[..., :3] = look.trim
            glow = 200.0 if rng.random() < 0.4 else 0.0
            part(paint, at - 0.35, low + 0.25, 0.7, 1.0)[:] = (*scaled(GLASS, 1.1), glow)

    def _solar(self, paint: Paint, rng: np.random.Generator) -> None:
        """Rows of dark panels with bright seams."""
        left, width = 0.18 * self.width_m, (0.4 + 0.25 * rng.random()) * self.width_m
        field = part(paint, left, 0.2 * self.height_m, width, 0.6 * self.height_m)
        field[..., :3] = _PANEL
        field[::7, :, :3] = (120, 126, 140)
        field[:, ::5, :3] = (96, 104, 124)

    def _flat(self, look: Look, rng: np.random.Generator) -> Paint:
        paint = self._bare(varied(_FLAT_ROOFS, rng))
        rows, columns = paint.shape[:2]
        grain = rng.normal(1, 0.035, (rows, columns)) * _blotches(rows, columns, rng)
        paint[..., :3] *= grain[..., None].astype(np.float32)
        for _ in range(int(rng.integers(1, 5))):
            self._thing(paint, rng)
        for shadow in _rims(paint, 0.6):
            shadow[..., :3] *= np.float32(0.8)
        for parapet in _rims(paint, 0.35):
            parapet[..., :3] = scaled(look.trim, 0.95)
        return paint

    def _thing(self, paint: Paint, rng: np.random.Generator) -> None:
        """A ventilator, a hatch, a skylight or a stairhead, with its shadow."""
        width, height = rng.uniform(0.7, 2.6, 2)
        u = float(rng.uniform(0.6, max(self.width_m - width - 0.6, 0.7)))
        v = float(rng.uniform(0.6, max(self.height_m - height - 0.6, 0.7)))
        part(paint, u - 0.4, v + 0.3, width, height)[..., :3] *= np.float32(0.6)
        glass = rng.random() < 0.3
        colour = scaled(GLASS, 1.5) if glass else scaled(_METAL, float(rng.uniform(0.6, 1.1)))
        part(paint, u, v, width, height)[:] = (*colour, 120 if glass else 0)

    def _sheets(self, colour: Colour, rng: np.random.Generator) -> Paint:
        """Corrugated sheets with bands of skylights and a row of ventilators."""
        paint = _ribbed(self._bare(colour), 1.0)
        rows, columns = paint.shape[:2]
        paint[..., :3] *= _blotches(rows, columns, rng)[..., None].astype(np.float32)
        gap = float(rng.uniform(4.5, 9))
        for at in np.arange(gap / 2, self.width_m - 1, gap):
            part(paint, at, 0.12 * self.height_m, 1.1, 0.7 * self.height_m)[:] = (206, 216, 218, 90)
        for at in np.arange(3.0, self.width_m - 2, float(rng.uniform(5, 12))):
            part(paint, at - 0.4, 0.86 * self.height_m, 1.0, 1.0)[..., :3] *= np.float32(0.6)
            part(paint, at, 0.86 * self.height_m, 1.0, 1.0)[..., :3] = _METAL
        for rim in _rims(paint, 0.3):
            rim[..., :3] *= np.float32(0.8)
        return paint


def _ribbed(paint: Paint, period_m: float) -> Paint:
    """Sheets whose ribs run up the slope."""
    ribs = 1 + 0.07 * np.sin(np.arange(paint.shape[1]) * (2 * np.pi / (period_m * TEXELS_PER_M)))
    paint[..., :3] *= ribs[None, :, None].astype(np.float32)
    return paint


def _blotches(rows: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    """Factors around 1 in patches of a metre and a half, where rain and moss have been."""
    side = 6
    coarse = rng.normal(1, 0.05, (rows // side + 1, columns // side + 1))
    return np.repeat(np.repeat(coarse, side, 0), side, 1)[:rows, :columns]


def _rims(paint: Paint, inset_m: float) -> tuple[Piece, ...]:
    """The four edges of a skin, each that wide."""
    texels = max(round(inset_m * TEXELS_PER_M), 1)
    return paint[:texels], paint[-texels:], paint[:, :texels], paint[:, -texels:]
