"""The block cut from train: far from what is learned from, about as large as asked, always the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geofix.data.blocks import cut_block
from geofix.data.places import Split
from geofix.errors import DataError
from geofix.photos import Photo
from geofix.positions import Position


def photo(name: str, east_m: float, north_m: float = 0.0) -> Photo:
    return Photo(name, Path(name), Position.from_utm(500_000.0 + east_m, 5_000_000.0 + north_m, 31, "T"))


@pytest.fixture
def split() -> Split:
    """A street of 200 photos, 5 m apart, running mostly east; every fourth is a query."""
    street = [photo(f"{n:03d}", 5.0 * n, 1.0 * n) for n in range(200)]
    return Split("train", tuple(p for n, p in enumerate(street) if n % 4), tuple(street[::4]))


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_the_block_is_as_large_as_asked_and_far_from_the_rest(split: Split, share: float) -> None:
    cut = cut_block(split, share, 25.0)
    assert abs(len(cut.block.photos) / 200 - share) < 0.02
    nearest = min(
        one.position.metres_to(other.position)  # type: ignore[union-attr,arg-type]
        for one in cut.learned.photos
        for other in cut.block.photos
    )
    assert 25 < nearest < 35
    assert len(cut.learned.photos) + len(cut.block.photos) >= 200 - 6
    assert cut.block.name == "block"
    assert cut.block.queries


def test_the_same_photos_give_the_same_block(split: Split) -> None:
    backwards = Split("train", split.gallery[::-1], split.queries[::-1])
    first, second = cut_block(split, 0.2, 25.0), cut_block(backwards, 0.2, 25.0)
    assert {p.name for p in first.block.photos} == {p.name for p in second.block.photos}


def test_places_without_positions_are_held_out_whole() -> None:
    photos = tuple(Photo(f"{n}", Path(f"{n}"), place=f"p{n // 4}") for n in range(40))
    cut = cut_block(Split("train", photos, photos, leave_one_out=True), 0.2, 25.0)
    held = {p.place for p in cut.block.photos}
    assert len(held) == 2
    assert not held & {p.place for p in cut.learned.photos}
    assert cut.block.leave_one_out


def test_a_split_too_small_for_a_block() -> None:
    small = Split("train", tuple(photo(f"{n}", 5.0 * n) for n in range(4)), (photo("q", 0),))
    with pytest.raises(DataError, match="too small to hold out a block of 20% with a gap of 25 m"):
        cut_block(small, 0.2, 25.0)


def test_the_sides_share_nothing(split: Split) -> None:
    cut = cut_block(split, 0.3, 25.0)
    names = [p.name for p in (*cut.learned.photos, *cut.block.photos)]
    assert len(set(names)) == len(names)
    assert np.isin(names, [p.name for p in split.photos]).all()
