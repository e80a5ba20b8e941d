"""What patches look like at the pixels that show them: texels of their skins, and the light on them."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from geofix.world.renderer.aerial.cameras import Projection
from geofix.world.renderer.aerial.patches import Patches
from geofix.world.renderer.aerial.shadows import Sun
from geofix.world.renderer.aerial.skins import texture
from geofix.world.renderer.aerial.visibility import Seen
from geofix.world.renderer.frame import Line
from geofix.world.styles import Colour

_SNOW: Colour = (236, 240, 246)
_COARSEST = 6  # halvings of a texture
_UPWARD = 0.3  # of a normal, from which snow lies on a patch

Texels = UInt8[np.ndarray, "n 4"]
"""Red, green, blue and glow of some pixels."""


class Shown:
    """The pixels of a picture that show patches, one after the other (`pixel` counts through the picture)."""

    def __init__(self, seen: Seen, patches: Patches, projection: Projection) -> None:
        owner = seen.patch.ravel()
        self.pixel = np.flatnonzero(owner >= 0)
        counts = np.bincount(owner[self.pixel], minlength=len(patches))
        rows = np.flatnonzero(counts)
        place = np.zeros(len(patches), dtype=np.int32)
        place[rows] = np.arange(len(rows), dtype=np.int32)
        self.number = place[owner[self.pixel]]  # which of the patches shown
        self.patches = patches.only(rows)
        self.along, self.up = seen.along.ravel()[self.pixel], seen.up.ravel()[self.pixel]
        self._projection = projection

    @property
    def lying(self) -> np.ndarray:
        """Which of the pixels show ground."""
        return np.asarray(self.patches.lying[self.number])

    def texels(self, snow: float) -> Texels:
        """The skins where they are seen; of what lies open to the sky that share is white."""
        pieces = self._textures()
        shapes = np.array([piece.shape for piece in pieces], dtype=np.int32).reshape(-1, 2)
        start = np.cumsum([0] + [piece.size for piece in pieces[:-1]], dtype=np.int32)
        pool = np.concatenate([piece.ravel() for piece in pieces]) if pieces else np.empty(0, dtype=np.uint32)
        rows, columns = shapes[self.number].T
        row = np.clip((self.up * rows).astype(np.int32), 0, rows - 1)
        column = np.clip((self.along * columns).astype(np.int32), 0, columns - 1)
        found = pool[start[self.number] + row * columns + column].view(np.uint8).reshape(-1, 4)
        return self._snowed(found, snow) if snow else found

    def shade(self, sun: Sun) -> Line:
        """Daylight on every pixel, about 1; ground and what stands in shadows is left to others."""
        light = sun.light_on(self.patches.normal).astype(np.float32)[self.number]
        ball = np.flatnonzero(self.patches.ball[self.number])
        x, y = 2 * self.along[ball] - 1, 2 * self.up[ball] - 1
        out = np.sqrt(np.maximum(1 - x * x - y * y, 0))
        toward = [float(axis @ sun.direction) for axis in self._axes()]
        light[ball] = 0.84 + (0.12 + 0.3 * sun.strength) * (x * toward[0] + y * toward[1] + out * toward[2])
        return np.asarray(light)

    def _axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self._projection.right, self._projection.up, self._projection.facing

    def _textures(self) -> list[np.ndarray]:
        """The skin of every patch shown, about one texel to a pixel."""
        skins = [self.patches.skins[skin] for skin in self.patches.skin]
        full = np.array([texture(skin).shape for skin in skins]).reshape(-1, 2)
        pixels = np.column_stack([self._pixels(axis) for axis in (self.patches.up, self.patches.along)])
        halved = np.log2(np.maximum(full / np.maximum(pixels, 0.1), 1)) + 0.3
        levels = np.where(full > 1, np.minimum(halved.astype(np.int64), _COARSEST), 0).tolist()
        return [texture(skin, high, wide) for skin, (high, wide) in zip(skins, levels, strict=True)]

    def _pixels(self, axis: np.ndarray) -> np.ndarray:
        """How many pixels long that axis of every patch is."""
        middle = self.patches.corner + (self.patches.along + self.patches.up) / 2
        ends = [self._projection.seen(middle + side * axis)[:, :2] for side in (-0.25, 0.25)]
        return np.asarray(2 * np.hypot(*(ends[1] - ends[0]).T))

    def _snowed(self, texels: Texels, snow: float) -> Texels:
        share = 0.85 * snow * (self.patches.normal[:, 2] > _UPWARD) * ~self.patches.ball
        white = share.astype(np.float32)[self.number, None]
        mixed = texels.astype(np.float32)
        mixed[:, :3] += (np.array(_SNOW, dtype=np.float32) - mixed[:, :3]) * white
        return mixed.astype(np.uint8)
