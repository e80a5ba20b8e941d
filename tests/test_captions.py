"""Text burned into photos: found where it is, and not seen in bricks, windows and noise."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from geofix.data.captions import LETTERS, Caption, caption
from geofix.shapes import Pixels


def street(seed: int = 0, rows: int = 240, columns: int = 320) -> Pixels:
    """Soft blotches with sensor noise."""
    rng = np.random.default_rng(seed)
    blotches = rng.integers(60, 150, (rows // 20 + 1, columns // 20 + 1, 3)).repeat(20, 0).repeat(20, 1)
    noisy = blotches[:rows, :columns] + rng.normal(0, 5, (rows, columns, 3))
    return np.asarray(np.clip(noisy, 0, 255), dtype=np.uint8)


def written(pixels: Pixels, text: str, top: int, size: int = 14, colour: str = "white") -> Pixels:
    image = Image.fromarray(pixels)
    ImageDraw.Draw(image).text((12, top), text, colour, font=ImageFont.load_default(size))
    return np.asarray(image)


@pytest.mark.parametrize("colour", ["white", "yellow", "black"])
@pytest.mark.parametrize(("edge", "top"), [("top", 6), ("bottom", 218)])
def test_coordinates_in_an_edge_are_found(edge: str, top: int, colour: str) -> None:
    pale = street() if colour != "black" else street() + np.uint8(90)
    found = caption(written(pale, "52.20505N 0.11960E 12:30", top, colour=colour))
    assert found is not None
    assert found.edge == edge and LETTERS <= found.letters <= 22


@pytest.mark.parametrize("seed", range(5))
def test_a_street_says_nothing(seed: int) -> None:
    assert caption(street(seed)) is None


def test_signs_in_the_middle_and_short_words_are_no_captions() -> None:
    assert caption(written(street(), "52.20505N 0.11960E 12:30", 110)) is None
    assert caption(written(street(), "STOP", 218)) is None


def test_a_row_of_windows_is_no_caption() -> None:
    house = street()
    for left in range(10, 300, 16):
        house[214:228, left : left + 10] = 250
    assert caption(house) is None


@pytest.mark.parametrize("size", [(1, 1), (60, 400), (400, 12)])
def test_what_is_too_small_to_be_read_has_none(size: tuple[int, int]) -> None:
    assert caption(np.zeros((*size, 3), dtype=np.uint8)) is None


def test_the_longest_row_counts() -> None:
    both = written(written(street(), "ABCDEFGHIJ", 6), "ABCDEFGHIJKLMNOP", 218)
    assert caption(both) == Caption("bottom", 16)
