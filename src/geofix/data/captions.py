"""Text burned into the edge of a photo: dashboard and surveillance cameras write time and coordinates there.

A network that learns from such photos can read where they were taken, and its scores then say little of others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from scipy.ndimage import find_objects, label, uniform_filter

from geofix.shapes import Pixels

DECODE_AT = (288, 512)  # rows, columns; a JPEG keeps at least twice that
LETTERS = 8  # in a row, at least: a coordinate, a date, a name
_EDGE = 0.14  # of the photo's height, above and below, in which text is looked for
_INK_GREYS = 45.0  # from the mean of what is around
_AROUND_PX = (31, 61)
_LEAST_PX = 6  # height of a letter
_HIGHEST = 0.6  # of the edge
_WIDEST, _GAP = 1.6, 1.6  # of a letter's height: a letter, and the space between two
_OFF = 0.1  # of its height: how far its top and bottom may be from those of its neighbours
_SOLID = 0.8  # of its box; what is filled more and no thin stroke is a window or a lamp
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)

Boxes = Int[np.ndarray, "n 4"]
"""Top, bottom, left and right of shapes in pixels."""


@dataclass(frozen=True, slots=True)
class Caption:
    """A row of shapes as high as each other and evenly close, at the "top" or "bottom": most likely letters."""

    edge: str
    letters: int


def caption(pixels: Pixels) -> Caption | None:
    """The longest row of letters in the upper or lower edge of a photo, of LETTERS at least; lighter or darker than
    what is around them.

    Of 676 street views, webcam and car photos without text one was said to have some (the slots of a dashboard); of
    58 with coordinates written into them in white, yellow or on a bar, 5 to 9 % of the photo high, 81 to 100 % were
    found (docs/log.md, 2026-11-27). Letters that touch, lean or stand elsewhere are missed.
    """
    grey = pixels.astype(np.float32) @ _LUMA
    deep = round(_EDGE * len(grey))
    if deep <= 2 * _LEAST_PX or grey.shape[1] <= LETTERS * _LEAST_PX / 2:
        return None
    edges = {"top": grey[:deep], "bottom": grey[-deep:]}
    contrast = {edge: strip - uniform_filter(strip, size=_AROUND_PX) for edge, strip in edges.items()}
    found = [
        Caption(edge, _longest_row(_letters(sign * strip > _INK_GREYS)))
        for edge, strip in contrast.items()
        for sign in (1, -1)
    ]
    best = max(found, key=lambda one: one.letters)
    return best if best.letters >= LETTERS else None


def _letters(ink: np.ndarray) -> Boxes:
    """The shapes that may be letters: whole, neither too high nor too wide, and drawn in strokes."""
    shapes, _ = label(ink, structure=np.ones((3, 3)))
    boxes = []
    for number, (rows, columns) in enumerate(find_objects(shapes), start=1):
        high, wide = rows.stop - rows.start, columns.stop - columns.start
        cut = rows.start == 0 or rows.stop == len(ink)
        if cut or not _LEAST_PX <= high <= _HIGHEST * len(ink) or wide > _WIDEST * high:
            continue
        solid = (shapes[rows, columns] == number).mean() > _SOLID
        if not (solid and wide > 0.45 * high):
            boxes.append((rows.start, rows.stop, columns.start, columns.stop))
    return np.array(boxes, dtype=np.int64).reshape(-1, 4)


def _longest_row(boxes: Boxes) -> int:
    """How many shapes stand next to each other, at most, with tops and bottoms in line; 0 where too few are there."""
    longest = 0
    if len(boxes) < LETTERS:
        return longest
    for top, bottom in np.unique(boxes[:, :2], axis=0):
        high = int(bottom - top)
        off = max(1, round(_OFF * high))
        row = boxes[(np.abs(boxes[:, :2] - [top, bottom]) <= off).all(axis=1)]
        row = row[np.argsort(row[:, 2], kind="stable")]
        breaks = np.flatnonzero(row[1:, 2] - row[:-1, 3] >= _GAP * high) + 1
        longest = max(longest, int(np.diff(np.concatenate([[0], breaks, [len(row)]])).max()))
    return longest
