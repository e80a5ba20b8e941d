"""mining: parity case P10, the choice against a naive loop, the audit, and what cannot be learned from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

import toy_places
from geofix.data.layouts import open_dataset
from geofix.data.neighbours import Nearness
from geofix.data.places import Split
from geofix.data.triplets import TripletPhotos, triplet_photos
from geofix.errors import DataError
from geofix.mining import Draw, Miner
from geofix.photos import Photo, read_pixels
from geofix.positions import Position
from geofix.recipes import Mining
from geofix.transforms import Preprocess, normalised, stacked, views

# What the benchmark's mended code chose on the toy places: numpy's legacy stream 0, 4 queries, 20 candidates.
P10: dict[Mining, list[list[int]]] = {
    "partial": [[5, 31, 15, 3, 4], [2, 10, 28, 27, 26], [1, 6, 25, 29, 2], [3, 21, 4, 39, 3]],
    "full": [[5, 31, 15, 3, 4], [2, 10, 27, 26, 38], [1, 6, 24, 19, 2], [3, 21, 38, 39, 5]],
    "random": [[5, 31, 28, 4, 18], [2, 10, 24, 27, 30], [1, 6, 24, 19, 35], [3, 21, 25, 7, 24]],
}
MODES = list(P10)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> TripletPhotos:
    dataset = open_dataset(toy_places.write(tmp_path_factory.mktemp("toy")))
    return triplet_photos(dataset.split("train"), Nearness())


def averages(photos: tuple[Photo, ...]) -> np.ndarray:
    """The descriptor of the parity cases: 2x2 averages of the normalised photo, unit length."""
    preprocess = Preprocess((48, 64), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    pixels = [views(read_pixels(photo.path), (48, 64))[0] for photo in photos]
    maps = functional.adaptive_avg_pool2d(normalised(stacked(pixels), preprocess), 2)
    return functional.normalize(maps.flatten(1), dim=1).numpy()


def miner(toy: TripletPhotos, mining: Mining, negatives: int = 3, candidates: int = 20) -> Miner:
    return Miner(toy.positives, toy.near, len(toy.gallery), mining=mining, negatives=negatives, candidates=candidates)


def mined(one: Miner, toy: TripletPhotos, draw: Draw) -> np.ndarray:
    queries, gallery = averages(toy.queries), averages(toy.gallery)
    return one.choose(draw, queries[draw.queries], gallery[draw.gallery])


# -- parity P9, P10 -----------------------------------------------------------------------------------------------


def test_p9_queries_with_a_positive(toy: TripletPhotos) -> None:
    kept = [rows for rows in toy_places.HARD_10_M if rows]
    assert [rows.tolist() for rows in toy.positives] == kept
    assert (len(toy.queries), len(toy.gallery), toy.dropped) == (6, 40, 2)


@pytest.mark.parametrize("mining", MODES)
def test_p10_triplets_of_the_mended_benchmark(toy: TripletPhotos, mining: Mining) -> None:
    one = miner(toy, mining)
    triplets = mined(one, toy, one.draw(np.random.RandomState(0), 4))
    assert triplets.tolist() == P10[mining]
    assert toy.false_negatives(triplets) == 0


def test_the_audit_finds_the_papers_false_negatives(toy: TripletPhotos) -> None:
    # The first row of the papers' own code, where index-shifted lists let a negative equal the positive.
    assert toy.false_negatives(np.array([[5, 31, 31, 32, 15]])) == 2
    shifted = replace(toy, near=(np.array([], dtype=np.int64), *toy.near[:-1]))
    one = miner(shifted, "partial", negatives=10, candidates=40)
    assert toy.false_negatives(mined(one, shifted, one.draw(np.random.RandomState(0), 6))) > 0


# -- the choice ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("mining", ["partial", "full"])
def test_choice_against_a_naive_loop(toy: TripletPhotos, mining: Mining, seed: int) -> None:
    one = miner(toy, mining, negatives=4)
    draw = one.draw(np.random.default_rng(seed), 6)
    queries, gallery = averages(toy.queries), averages(toy.gallery)
    for row, triplet in zip(range(6), mined(one, toy, draw), strict=True):
        query = int(draw.queries[row])
        apart = [float(np.linalg.norm(queries[query] - other)) for other in gallery]
        pool = [int(g) for g, usable in zip(draw.gallery, draw.candidates[row], strict=True) if usable]
        assert triplet[0] == query
        assert triplet[1] == min(toy.positives[query], key=lambda g: apart[g])
        assert triplet[2:].tolist() == sorted(pool, key=lambda g: apart[g])[:4]


@pytest.mark.parametrize("mining", MODES)
@pytest.mark.parametrize("seed", range(5))
def test_invariants(toy: TripletPhotos, mining: Mining, seed: int) -> None:
    one = miner(toy, mining)
    rng = np.random.default_rng(seed)
    for _ in range(3):
        draw = one.draw(rng, 5)
        assert len(set(draw.queries.tolist())) == 5
        if mining == "partial":
            assert len(draw.gallery) <= 20 + sum(len(toy.positives[row]) for row in draw.queries)
        for query, positive, *negatives in mined(one, toy, draw).tolist():
            assert positive in toy.positives[query]
            assert not set(negatives) & set(toy.near[query].tolist())
            assert len(set(negatives)) == 3


def test_full_mining_remembers_its_negatives(toy: TripletPhotos) -> None:
    one = miner(toy, "full", candidates=4)
    first = mined(one, toy, one.draw(np.random.default_rng(0), 6))
    before = {int(row[0]): set(row[2:].tolist()) for row in first}
    again = one.draw(np.random.default_rng(1), 6)
    for row, query in enumerate(again.queries.tolist()):
        assert before[query] <= set(again.gallery[again.candidates[row]].tolist())


def test_samples_that_hold_too_few_negatives_are_filled_up(toy: TripletPhotos) -> None:
    one = miner(toy, "partial", negatives=10, candidates=2)
    triplets = mined(one, toy, one.draw(np.random.default_rng(0), 6))
    assert triplets.shape == (6, 12)
    assert toy.false_negatives(triplets) == 0


def test_equal_positives_go_by_row() -> None:
    one = Miner([np.array([1, 2])], [np.array([1, 2])], 4, mining="partial", negatives=1, candidates=4)
    same = np.ones((4, 3), dtype=np.float32)
    draw = one.draw(np.random.default_rng(0), 1)
    assert one.choose(draw, same[:1], same[draw.gallery])[0, 1] == 1


# -- who is near whom ---------------------------------------------------------------------------------------------


def photo(name: str, east_m: float, heading: float | None = None, place: str | None = None) -> Photo:
    position = None if place else Position.from_utm(500_000.0 + east_m, 5_000_000.0, 31, "T")
    return Photo(name, Path(name), position, heading_deg=heading, place=place)


def near_in(split: Split, heading_deg: float | None = None) -> TripletPhotos:
    return triplet_photos(split, Nearness(heading_deg=heading_deg))


def test_positives_look_the_same_way() -> None:
    gallery = (photo("a", 3, 90.0), photo("b", 4, 350.0), photo("c", 5), photo("d", 100, 0.0))
    split = Split("train", gallery, (photo("q", 0, 20.0),))
    assert near_in(split).positives[0].tolist() == [0, 1, 2]
    assert near_in(split, heading_deg=45.0).positives[0].tolist() == [1, 2]
    assert near_in(split, heading_deg=45.0).near[0].tolist() == [0, 1, 2]


def test_one_pool_of_photos_never_learns_a_photo_from_itself() -> None:
    pool = (photo("a", 0), photo("b", 5), photo("c", 100))
    found = near_in(Split("train", pool, pool, leave_one_out=True))
    assert [rows.tolist() for rows in found.positives] == [[1], [0]]
    assert found.dropped == 1


def test_places_without_positions() -> None:
    gallery = (photo("a", 0, place="x"), photo("b", 0, place="x"), photo("c", 0, place="y"))
    found = near_in(Split("train", gallery, (photo("q", 0, place="x"),)))
    assert found.positives[0].tolist() == found.near[0].tolist() == [0, 1]
    assert found.false_negatives(np.array([[0, 1, 2]])) == 0
    assert found.false_negatives(np.array([[0, 1, 0]])) == 1


def test_a_split_without_positives() -> None:
    split = Split("train", (photo("a", 50), photo("b", 90)), (photo("q", 0),))
    with pytest.raises(DataError, match="None of the 1 photos to learn from in split 'train' has another within 10 m"):
        near_in(split)


def test_a_split_of_one_place() -> None:
    split = Split("train", (photo("a", 5), photo("b", 9)), (photo("q", 0),))
    with pytest.raises(DataError, match="All 2 photos of split 'train' lie within 25 m of each other"):
        near_in(split)


def test_photos_of_nowhere() -> None:
    lost = replace(photo("a", 5), position=None)
    with pytest.raises(DataError, match="1 photos of split 'train' have neither a position nor a place"):
        near_in(Split("train", (lost, photo("b", 9)), (photo("q", 0),)))


def test_torch_is_left_as_it_was(toy: TripletPhotos) -> None:
    before = torch.random.get_rng_state()
    one = miner(toy, "partial")
    mined(one, toy, one.draw(np.random.default_rng(0), 4))
    assert torch.equal(before, torch.random.get_rng_state())
