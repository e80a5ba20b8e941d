"""benchmark(): relevant rows against a naive loop, what is excluded, pools, and photos taken out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from geofix.data.places import Benchmark, Dataset, Split, benchmark, split_hash, without
from geofix.errors import DataError
from geofix.photos import Photo
from geofix.positions import Position


def photo(name: str, position: Position | None = None, place: str | None = None, group: str | None = None) -> Photo:
    return Photo(name, Path(name), position, place=place, group=group)


def scattered(count: int, centre: Position, seed: int, letter: str) -> tuple[Photo, ...]:
    rng = np.random.default_rng(seed)
    return tuple(
        photo(f"{letter}{number}", centre.moved(float(rng.uniform(0, 360)), float(rng.uniform(0, 90))))
        for number in range(count)
    )


def naive(split: Split, low_m: float, high_m: float) -> list[list[int]]:
    return [
        [row for row, other in enumerate(split.gallery) if low_m <= query.position.metres_to(other.position) <= high_m]
        for query in split.queries
    ]


def clear_of(radii_m: tuple[float, ...], split: Split) -> Split:
    """The split without gallery photos so near to a radius that a UTM plane's scale decides their side."""
    kept = tuple(
        other
        for other in split.gallery
        if all(
            abs(query.position.metres_to(other.position) - radius_m) > 0.1
            for query in split.queries
            for radius_m in radii_m
        )
    )
    return replace(split, gallery=kept)


# The second lies on a zone border, the third on the date line.
@pytest.mark.parametrize("centre", [Position(52.2, 3.0), Position(48.0, 6.0), Position(-17.0, 180.0)])
def test_relevant_against_a_naive_loop(centre: Position) -> None:
    everything = Split("test", scattered(60, centre, 1, "g"), scattered(20, centre, 2, "q"))
    split = clear_of((12.0, 25.0, 40.0), everything)
    assert len(split.gallery) > 20
    mark = benchmark(split)
    assert [rows.tolist() for rows in mark.relevant] == naive(split, 0, 25.0)
    assert mark.answerable == sum(bool(rows) for rows in naive(split, 0, 25.0))
    assert all(not len(rows) for rows in mark.excluded)
    nearer = benchmark(split, threshold_m=40.0, exclude_nearer_than_m=12.0)
    assert [rows.tolist() for rows in nearer.relevant] == naive(split, 12.0, 40.0)
    assert [rows.tolist() for rows in nearer.excluded] == naive(split, 0, 12.0)


def line(*offsets_m: float) -> tuple[Photo, ...]:
    return tuple(
        photo(f"p{at}", Position.from_utm(5e5 + offset_m, 5e6, 31, "T")) for at, offset_m in enumerate(offsets_m)
    )


def test_both_limits_are_exact() -> None:
    split = Split("test", line(0.0, 11.99, 12.0, 25.0, 25.01), line(0.0))
    mark = benchmark(split, exclude_nearer_than_m=12.0)
    assert mark.excluded[0].tolist() == [0, 1]
    assert mark.relevant[0].tolist() == [2, 3]
    assert (mark.threshold_m, mark.exclude_nearer_than_m) == (25.0, 12.0)


def test_a_pool_is_searched_without_the_query_itself() -> None:
    pool = line(0.0, 10.0, 30.0)
    split = Split("all", pool, pool, leave_one_out=True)
    mark = benchmark(split)
    assert split.photos == pool
    assert [rows.tolist() for rows in mark.relevant] == [[1], [0, 2], [1]]
    assert [rows.tolist() for rows in mark.excluded] == [[0], [1], [2]]
    assert benchmark(split, exclude_nearer_than_m=15.0).excluded[0].tolist() == [0, 1]


def test_place_labels_take_the_place_of_positions() -> None:
    gallery = tuple(photo(f"g{at}", place=place) for at, place in enumerate("aabc"))
    split = Split("test", gallery, (photo("q", place="a", group="cam"), photo("r", place="z")))
    mark = benchmark(split)
    assert [rows.tolist() for rows in mark.relevant] == [[0, 1], []]
    assert (mark.threshold_m, mark.clusters, mark.answerable) == (None, ("cam", "r"), 1)
    with pytest.raises(DataError, match="which --exclude-nearer-than needs"):
        benchmark(split, exclude_nearer_than_m=1.0)


def test_what_cannot_be_scored() -> None:
    with pytest.raises(DataError, match="0 gallery photos and 1 queries"):
        benchmark(Split("val", (), line(0.0)))
    with pytest.raises(DataError, match=r"None of the 2 gallery photos .*the first is x"):
        benchmark(Split("val", (photo("x"), photo("y")), line(0.0)))
    with pytest.raises(DataError, match=r"None of the 1 query photos .*the first is z"):
        benchmark(Split("val", line(0.0), (photo("z"),)))
    with pytest.raises(ValueError, match="same length"):
        Benchmark("x", line(0.0), line(0.0), (), (), ())


def test_photos_without_a_position_take_no_part_and_are_counted() -> None:
    gallery, queries = (photo("lost"), *line(0.0, 60.0)), (*line(5.0), photo("unknown"))
    mark = benchmark(Split("val", gallery, queries))
    assert mark.without_position == 2
    assert [one.name for one in mark.gallery] == ["p0", "p1"]
    assert [one.name for one in mark.queries] == ["p0"]
    assert mark.relevant[0].tolist() == [0]


def test_without_renumbers() -> None:
    mark = benchmark(Split("test", line(0.0, 5.0, 11.0, 20.0, 90.0), line(0.0)), exclude_nearer_than_m=8.0)
    less = without(mark, {"p0", "p2", "not there"})
    assert [one.name for one in less.gallery] == ["p1", "p3", "p4"]
    assert (less.relevant[0].tolist(), less.excluded[0].tolist()) == ([1], [0])
    assert less.split_hash == mark.split_hash
    assert without(mark, set()).relevant[0].tolist() == mark.relevant[0].tolist()


def test_the_hash_follows_names_positions_and_roles() -> None:
    one, two = line(0.0, 5.0)
    first = split_hash([one], [two])
    assert first == split_hash([replace(one, heading_deg=5.0)], [two])
    moved = replace(two, position=Position(1.0, 2.0))
    assert len({first, split_hash([two], [one]), split_hash([one], [moved]), split_hash([one], [])}) == 4


def test_dataset_names_its_splits() -> None:
    pool = line(0.0, 1.0)
    dataset = Dataset(
        Path("x"), "layout", {"val": Split("val", pool[:1], pool[1:]), "all": Split("all", pool, pool, True)}
    )
    assert dataset.photos == pool  # each once, though they are in both splits
    with pytest.raises(DataError, match=r"no split 'test'; found: all, val; choose one with --split"):
        dataset.split("test")
