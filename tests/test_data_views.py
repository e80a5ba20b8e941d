"""Views of a split: which of them asks for which, what is lacking, and sentences for what cannot be asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from geofix.data.blocks import cut_block
from geofix.data.places import Split, benchmark
from geofix.data.views import (
    Lack,
    ViewCount,
    asked,
    counts,
    default_direction,
    directed,
    directions,
    from_views,
    lacks,
)
from geofix.errors import DataError
from geofix.photos import Photo


def view(name: str, places: str, photos: int = 1) -> tuple[Photo, ...]:
    names = [(f"{name}/{place}/{number}", place) for place in places for number in range(photos)]
    return tuple(Photo(name, Path(name), place=place, group=place) for name, place in names)


def split_of(*names: str) -> Split:
    return from_views("test", {name: view(name, "ab") for name in names})


@pytest.mark.parametrize(
    ("names", "direction"),
    [
        (["satellite", "street", "drone"], "drone-satellite"),
        (["satellite", "google", "street"], "street-satellite"),
        (["street", "drone"], "drone-street"),
        (["winter", "summer", "autumn"], "autumn-summer"),
        (["query_drone", "gallery_drone", "gallery_satellite"], "drone-satellite"),
        (["query_satellite", "gallery_drone"], "satellite-drone"),
        (["query_drone", "satellite"], "drone-satellite"),
        (["drone"], None),
        (["query_drone", "gallery_drone"], None),
        (["query_drone", "query_satellite"], None),
    ],
)
def test_the_default_direction(names: list[str], direction: str | None) -> None:
    split = split_of(*names)
    assert default_direction(split.views) == split.direction == direction
    assert {photo.name for photo in split.photos} == {f"{name}/{place}/0" for name in names for place in "ab"}
    if direction is None:
        assert (split.gallery, split.queries) == (split.photos, ())


def test_queries_come_first_in_a_direction() -> None:
    split = split_of("drone", "satellite")
    back = directed(split, "satellite-drone")
    assert split.queries == back.gallery == split.views["drone"]
    assert split.gallery == back.queries == split.views["satellite"]
    assert (back.direction, back.photos, back.views) == ("satellite-drone", split.photos, split.views)
    assert directed(back, "drone-satellite") == split


def test_views_in_two_parts() -> None:
    names = ("query_drone", "gallery_drone", "query_satellite", "gallery_satellite", "street")
    split = split_of(*names)
    assert directions(split.views) == {
        "drone-satellite": ("query_drone", "gallery_satellite"),
        "drone-street": ("query_drone", "street"),
        "satellite-drone": ("query_satellite", "gallery_drone"),
        "satellite-street": ("query_satellite", "street"),
        "street-drone": ("street", "gallery_drone"),
        "street-satellite": ("street", "gallery_satellite"),
    }
    back = directed(split, "satellite-drone")
    assert (back.queries, back.gallery) == (split.views["query_satellite"], split.views["gallery_drone"])
    assert {photo.name.split("/")[0] for photo in asked(split)} == {"query_drone", "query_satellite", "street"}


def test_names_with_a_dash_are_views_too() -> None:
    assert split_of("drone-low", "satellite-view").direction == "drone-low-satellite-view"


@pytest.mark.parametrize(
    "direction", ["drone-street", "drone", "drone-drone", "satellite_drone", "", "Drone-Satellite"]
)
def test_no_such_direction(direction: str) -> None:
    found = "found: drone, satellite; choose e.g. --direction drone-satellite."
    with pytest.raises(DataError) as error:
        directed(split_of("satellite", "drone"), direction)
    assert str(error.value) == f"Split 'test' has no direction {direction!r}; {found}"


def test_half_a_view_is_said_to_be_one() -> None:
    split = split_of("query_drone", "gallery_satellite", "gallery_street")
    with pytest.raises(
        DataError,
        match=r"found: drone \(queries only\), satellite \(gallery only\), street \(gallery only\); choose e.g. --dir",
    ):
        directed(split, "satellite-drone")


def test_one_view_has_no_direction() -> None:
    with pytest.raises(DataError, match=r"found: drone; a view that asks and another that is searched are needed\."):
        directed(split_of("drone"), "drone-satellite")


def test_a_split_without_views_has_no_direction() -> None:
    split = Split("val", view("a", "xy"), view("b", "x"))
    with pytest.raises(
        DataError, match="Split 'val' has no views to ask from, only 2 gallery photos and 1 queries; leave --direction"
    ):
        directed(split, "drone-satellite")
    assert asked(split) == split.queries


def test_what_places_lack() -> None:
    views = {"drone": view("drone", "abcd", 3), "satellite": view("satellite", "cde"), "street": ()}
    assert counts(views) == (ViewCount("drone", 12, 4), ViewCount("satellite", 3, 3), ViewCount("street", 0, 0))
    assert lacks(views) == (
        Lack("drone", "satellite", ("a", "b")),
        Lack("drone", "street", ("a", "b", "c", "d")),
        Lack("satellite", "drone", ("e",)),
        Lack("satellite", "street", ("c", "d", "e")),
    )


def test_distractors_lack_nothing() -> None:
    views = {"query_drone": view("query_drone", "ab"), "gallery_satellite": view("gallery_satellite", "bcd")}
    assert lacks(views) == (Lack("drone", "satellite", ("a",)),)


def test_relevant_is_the_same_place_in_the_other_view() -> None:
    split = from_views("test", {"drone": view("drone", "ab", 2), "satellite": view("satellite", "bca")})
    assert [rows.tolist() for rows in benchmark(split).relevant] == [[2], [2], [0], [0]]
    back = benchmark(directed(split, "satellite-drone"))
    assert [rows.tolist() for rows in back.relevant] == [[2, 3], [], [0, 1]]
    assert (back.answerable, back.clusters) == (2, ("b", "c", "a"))


def test_fewer_photos_in_every_view() -> None:
    split = split_of("drone", "satellite").only(lambda photo: photo.place == "b")
    assert [photo.name for photo in split.photos] == ["drone/b/0", "satellite/b/0"]
    assert (len(split.gallery), len(split.queries)) == (1, 1)


def test_a_block_of_places_takes_all_their_views() -> None:
    views = {name: view(name, "abcdefghij", 2) for name in ("drone", "satellite")}
    cut = cut_block(from_views("train", views), 0.2, 25.0)
    held = {photo.place for photo in cut.block.photos}
    assert len(held) == 2
    assert len(cut.block.photos) == 8
    assert len(cut.block.queries) == len(cut.block.gallery) == 4
    assert not held & {photo.place for photo in cut.learned.photos}
