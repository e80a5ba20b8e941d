"""Contact sheets: photos and what is done to them, side by side, pixel for pixel. A door to matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from matplotlib.figure import Figure

from geofix.augment.preview import Strip
from geofix.photos import resized

_INK, _DPI = "#333333", 100
_WIDEST, _GAP, _LINE = 200, 8, 15  # pixels: of a picture, between two, of a line of text


def contact_sheet(strips: Sequence[Strip], names: Sequence[str]) -> bytes:
    """A PNG with one row a photo: its name, its pictures (at most 200 pixels wide), a caption under each."""
    rows = [[_small(picture) for picture in strip.pixels.permute(0, 2, 3, 1).numpy()] for strip in strips]
    across, down = rows[0][0].shape[1] + _GAP, rows[0][0].shape[0] + 2 * _LINE + _GAP
    width, height = _GAP + across * max(len(row) for row in rows), _GAP + down * len(rows)
    canvas = np.full((height, width, 3), 255, dtype=np.uint8)
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    for number, (row, strip, name) in enumerate(zip(rows, strips, names, strict=True)):
        top = _GAP + down * number
        _write(figure, _GAP, top, plain_name(name, max(8, width // 7)))
        for column, (picture, caption) in enumerate(zip(row, strip.captions, strict=True)):
            left, under = _GAP + across * column, top + _LINE + picture.shape[0]
            canvas[top + _LINE : under, left : left + picture.shape[1]] = picture
            _write(figure, left, under, caption)
    figure.figimage(canvas, origin="upper")
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()


def _small(picture: np.ndarray) -> np.ndarray:
    rows, columns = picture.shape[:2]
    if columns <= _WIDEST:
        return picture
    return resized(np.ascontiguousarray(picture), (max(1, round(rows * _WIDEST / columns)), _WIDEST))


def _write(figure: Figure, left: int, top: int, text: str) -> None:
    """Text whose upper left corner is at that pixel."""
    width, height = figure.get_size_inches() * _DPI
    place = (left / width, 1 - (top + 2) / height)
    figure.text(*place, text, color=_INK, fontsize=7, va="top", ha="left", parse_math=False)


def plain_name(name: str, letters: int) -> str:
    """A file name in letters that every font has, its end if it is longer than so many."""
    shown = "".join(letter if letter.isprintable() and ord(letter) < 256 else "?" for letter in name)
    return shown if len(shown) <= letters else f"...{shown[3 - letters :]}"
