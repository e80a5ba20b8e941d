"""Batches: parity case P11, places that never lie near each other, and what training does to pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import toy_places
from geofix import losses, recipes
from geofix.augment.steps import Setting
from geofix.augment.strengths import all_changed, changes_all
from geofix.data import deep_vg
from geofix.data.batches import Batches, triplet_batches
from geofix.data.classes import PlacePhotos, place_photos
from geofix.data.neighbours import Nearness
from geofix.data.places import Dataset, Split
from geofix.errors import DataError
from geofix.learn.triplets import TripletLesson
from geofix.photos import Photo, save_jpeg
from geofix.positions import Position
from geofix.recipes import Recipe
from geofix.transforms import Preprocess
from toy_places import blobs


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return deep_vg.read(toy_places.write(tmp_path_factory.mktemp("toy")))


# -- parity P11 ---------------------------------------------------------------------------------------------------

TRIPLETS = np.array([[5, 31, 15, 3, 4], [2, 10, 28, 27, 26]])
LOCAL = [[0, 1, 2], [0, 1, 3], [0, 1, 4], [5, 6, 7], [5, 6, 8], [5, 6, 9]]


def test_p11_a_batch_of_two_triplets(toy: Dataset) -> None:
    train = toy.split("train")
    [groups] = triplet_batches(TRIPLETS, train.queries, train.gallery, 2)
    batch = Batches([groups], (48, 64))[0]
    assert tuple(batch.pixels.shape) == (10, 3, 48, 64)
    assert batch.places.tolist() == [0] * 5 + [1] * 5
    assert groups[1][0] is train.queries[2]
    assert groups[1][3] is train.gallery[27]


def test_p11_the_loss_pairs_photos_as_the_reference_does(toy: Dataset) -> None:
    descriptors = torch.randn(10, 7, generator=torch.Generator().manual_seed(0))
    recipe = recipes.with_settings(recipes.load("resnet18-gem"), ["negatives=3", "margin=0.4"])
    lesson = TripletLesson(recipe, toy.split("train"), [])
    expected = torch.stack(
        [
            losses.triplet(descriptors[q, None], descriptors[p, None], descriptors[n, None, None], 0.4)
            for q, p, n in LOCAL
        ]
    ).mean()
    assert torch.allclose(lesson.loss(descriptors, torch.tensor([0] * 5 + [1] * 5)), expected)


def test_a_smaller_rest_is_left_out_but_one_batch_is_always_made(toy: Dataset) -> None:
    train = toy.split("train")
    five = np.repeat(TRIPLETS[:1], 5, axis=0)
    assert [len(batch) for batch in triplet_batches(five, train.queries, train.gallery, 2)] == [2, 2]
    assert [len(batch) for batch in triplet_batches(five[:1], train.queries, train.gallery, 2)] == [1]


def test_a_group_with_a_photo_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    good = [Photo(f"{n}", tmp_path / f"{n}.jpg") for n in range(4)]
    for n, photo in enumerate(good):
        photo.path.write_bytes(save_jpeg(blobs(n)))
    bad = Photo("bad", tmp_path / "bad.jpg")
    bad.path.write_bytes(b"no photo")
    batch = Batches([[(good[0], good[1]), (good[2], bad), (good[3],)]], (32, 32))[0]
    assert batch.places.tolist() == [0, 0, 1]
    assert [str(bad.path) in str(error) for error in batch.errors] == [True]
    nothing = Batches([[(bad,)]], (32, 32))[0]
    assert tuple(nothing.pixels.shape) == (0, 3, 32, 32)


# -- places as classes --------------------------------------------------------------------------------------------


def street(count: int, step_m: float) -> tuple[Photo, ...]:
    return tuple(
        Photo(f"{n}", Path(f"{n}"), Position.from_utm(500_000.0 + step_m * n, 5_000_000.0, 31, "T"))
        for n in range(count)
    )


@pytest.mark.parametrize("seed", range(5))
def test_no_batch_holds_two_places_near_each_other(seed: int) -> None:
    photos = place_photos(Split("train", street(120, 6.0)), Nearness(12.0, 25.0))
    rng = np.random.default_rng(seed)
    batch = photos.batch(rng, 6, 4, start=seed)
    assert len(batch) == 6
    for place in batch:
        assert 2 <= len(place.photos) <= 4
        metres = [place.photos[0].position.metres_to(other.position) for other in place.photos]  # type: ignore[union-attr,arg-type]
        assert max(metres) <= 12.01
    for number, place in enumerate(batch):
        for other in batch[number + 1 :]:
            apart = [a.position.metres_to(b.position) for a in place.photos for b in other.photos]  # type: ignore[union-attr,arg-type]
            assert min(apart) > 25
    assert photos.false_negatives(batch) == 0


def test_the_audit_of_places_finds_what_it_looks_for() -> None:
    photos = street(4, 10.0)
    every = PlacePhotos(
        photos, tuple(np.array([0])[:0] for _ in photos), tuple(np.array([0])[:0] for _ in photos), 25.0
    )
    near = tuple(
        place_photos(Split("train", street(40, 10.0)), Nearness(12.0)).batch(np.random.default_rng(0), 1, 2, 0)
    )
    assert every.false_negatives((near[0], near[0])) == 4


def test_a_street_too_short_for_all_the_places_gives_fewer() -> None:
    photos = place_photos(Split("train", street(12, 6.0)), Nearness(6.5, 25.0))
    assert 1 <= len(photos.batch(np.random.default_rng(0), 9, 2, start=0)) < 9


def test_places_that_cannot_be_learned() -> None:
    with pytest.raises(DataError, match="None of the 5 photos to learn from in split 'train' has another within 10 m"):
        place_photos(Split("train", street(5, 50.0)), Nearness())
    with pytest.raises(DataError, match="All 3 photos of split 'train' lie within 25 m of each other"):
        place_photos(Split("train", street(3, 5.0)), Nearness())


# -- what training does to pixels ---------------------------------------------------------------------------------

PLACES = torch.tensor([0, 0, 1, 1])
CHANGES = [
    "augment_colour=0.5",
    "augment_crop=0.4",
    "augment_perspective=0.6",
    "augment_erase=1.0",
    "augment_flip=true",
]


def recipe_with(*settings: str) -> Recipe:
    return recipes.with_settings(recipes.load("resnet18-gem"), list(settings))


def changed(pixels: torch.Tensor, recipe: Recipe, seed: int) -> torch.Tensor:
    return all_changed(pixels, PLACES, recipe, Setting(0, Preprocess((48, 64), (0.5,) * 3, (0.2,) * 3)), seed)


@pytest.fixture
def pixels() -> torch.Tensor:
    return torch.from_numpy(np.stack([blobs(n) for n in range(4)])).permute(0, 3, 1, 2)


def test_nothing_is_changed_unless_asked(pixels: torch.Tensor) -> None:
    assert not changes_all(recipe_with())
    assert torch.equal(changed(pixels, recipe_with(), 0), pixels)


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_changes_and_hangs_on_the_seed_alone(pixels: torch.Tensor, change: str) -> None:
    recipe = recipe_with(change)
    assert changes_all(recipe)
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    made = [changed(pixels, recipe, seed) for seed in range(6)]
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(one.shape == pixels.shape and one.dtype == torch.uint8 for one in made)
    assert torch.equal(changed(pixels, recipe, 4), made[4])
    assert any(not torch.equal(one, pixels) for one in made)
    assert any(not torch.equal(one, made[0]) for one in made[1:])


def test_a_place_is_mirrored_as_a_whole(pixels: torch.Tensor) -> None:
    recipe = recipe_with("augment_flip=true")
    seen = set()
    for seed in range(12):
        made = changed(pixels, recipe, seed)
        mirrored = [torch.equal(one, photo.flip(2)) for one, photo in zip(made, pixels, strict=True)]
        assert mirrored[0] == mirrored[1]
        assert mirrored[2] == mirrored[3]
        seen.add((mirrored[0], mirrored[2]))
    assert len(seen) == 4
