"""The papers' augmentations: which there are, whom they change, in which order, and by which chance."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

import toy_places
from geofix import recipes
from geofix.augment.papers import AUGMENTATIONS, chosen
from geofix.augment.prepare import changes, prepared
from geofix.augment.steps import Adjust, ByNight, Erase, Jitter, NormaliseAgain, Perspective, Solarize
from geofix.data import deep_vg
from geofix.data.places import Dataset
from geofix.night.simple import SimpleNight
from geofix.recipes import AugmentName, Recipe
from geofix.train import train
from geofix.transforms import Preprocess, normalised
from toy_places import blobs

PREPROCESS = Preprocess((48, 64), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PLACES = torch.tensor([0, 0, 0, 1, 1, 1])
QUERIES, OTHERS = [0, 3], [1, 2, 4, 5]
COLOURS = [name for name in AUGMENTATIONS if "night" in name or "colour" in name]


@pytest.fixture
def pixels() -> torch.Tensor:
    return torch.from_numpy(np.stack([blobs(n) for n in range(6)])).permute(0, 3, 1, 2)


def recipe_with(*settings: str) -> Recipe:
    return recipes.with_settings(recipes.load("resnet18-gem"), list(settings))


def made(pixels: torch.Tensor, *settings: str, seed: int = 0) -> torch.Tensor:
    return prepared(pixels, PLACES, recipe_with(*settings), PREPROCESS, seed)


# -- which there are ----------------------------------------------------------------------------------------------


def test_recipes_know_exactly_the_augmentations_there_are() -> None:
    assert tuple(AUGMENTATIONS) == get_args(AugmentName)


def test_the_papers_order_is_kept_however_it_is_written() -> None:
    recipe = recipe_with("augment=[occlusion, perspective-crop, perspective-fill, night]")
    order = ("night", "perspective-fill", "perspective-crop", "occlusion")
    assert chosen(recipe) == tuple(AUGMENTATIONS[name].described for name in order)
    assert chosen(recipe_with("augment=[night]", "augment_as=coded")) == (AUGMENTATIONS["night"].coded,)
    assert list(AUGMENTATIONS)[: len(COLOURS)] == COLOURS
    assert list(AUGMENTATIONS)[-1] == "occlusion"


def test_the_table_of_perspectives() -> None:
    """martin IV-A: pRP, dRP, fRP, pRE; RandomErasing's other numbers are torchvision's."""
    table = [
        (0.33, 0.4, 0, 0.33), (0.33, 0.4, 150, 0.33), (0.33, 0.4, 300, 0.33),
        (0.5, 0.2, 0, 0.2), (0.5, 0.2, 150, 0.2), (0.5, 0.2, 300, 0.2),
    ]  # fmt: skip
    for number, (probability, distortion, fill, erased) in enumerate(table, start=1):
        one = AUGMENTATIONS[f"martin-perspective-{number}"]
        perspective = Perspective(distortion, probability, float(fill))
        erase = Erase(erased, (0.02, 0.33), (0.3, 3.3), 0.0)
        assert (one.described.on_pixels, one.described.on_normalised) == ((perspective, erase), ())
        assert (one.coded.on_pixels, one.coded.on_normalised) == ((perspective,), (erase, NormaliseAgain()))


def test_the_table_of_colours() -> None:
    """martin IV-A, and what ran: apart, and drawn once where the program did not draw inside of its loop."""
    fixed, wide, even = ((1.0, 1.0), (1.0, 1.0), (2.0, 2.0), (0.0, 0.0)), ((0.2, 3.0),) * 3, ((0.0, 1.0),) * 3
    half = (0.0, 0.5)
    expected = {
        "1": (Jitter(*fixed), Jitter(*fixed, apart=True)),
        "2": (Jitter(*wide, half), Jitter(*wide, half, apart=True, once=True)),
        "3": (Jitter(*even, half), Jitter(*even, half, apart=True, once=True)),
        "3-inside": (Jitter(*even, half), Jitter(*even, half, apart=True)),
        "4": (Adjust((0.25, 0.25)),) * 2,
        "5": (Adjust((0.5, 0.5)),) * 2,
        "6": (Adjust(*even, half), Adjust(*even, half, once=True)),
    }
    for number, forms in expected.items():
        one = AUGMENTATIONS[f"martin-colour-{number}"]
        assert (one.described.on_pixels, one.coded.on_pixels) == tuple((form,) for form in forms)


def test_the_numbers_of_atadjanov() -> None:
    night, occlusion = AUGMENTATIONS["night"], AUGMENTATIONS["occlusion"]
    assert night.described.on_pixels == (Solarize(63.75), Adjust((0.55, 0.55)))
    assert night.coded.on_pixels == (Solarize(0.25), Adjust((0.55, 0.55)))
    assert occlusion.described.on_normalised == (Erase(0.7, (0.05, 0.08), (0.3, 5.3), "random"),)
    assert not occlusion.differs
    fill = AUGMENTATIONS["perspective-fill"]
    assert (fill.described.on_pixels, fill.coded.on_pixels) == (
        (Perspective(0.5, 0.7, 255.0),),
        (Perspective(0.5, 0.7, 1.0),),
    )


# -- whom they change ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("done_as", ["described", "coded"])
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_only_the_first_photo_of_each_place_is_changed(pixels: torch.Tensor, name: str, done_as: str) -> None:
    plain = normalised(pixels, PREPROCESS)
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    before = pixels.clone()
    seen = [made(pixels, f"augment=[{name}]", f"augment_as={done_as}", seed=seed) for seed in range(12)]
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(pixels, before)
    assert all(torch.equal(one[OTHERS], plain[OTHERS]) for one in seen)
    assert all(any(not torch.equal(one[row], plain[row]) for one in seen) for row in QUERIES)
    assert torch.equal(seen[5], made(pixels, f"augment=[{name}]", f"augment_as={done_as}", seed=5))


def test_numbers_change_all_photos_as_they_do_alone(pixels: torch.Tensor) -> None:
    numbers = ("augment_colour=0.5", "augment_crop=0.6", "augment_flip=true")
    alone, both = made(pixels, *numbers), made(pixels, *numbers, "augment=[night, occlusion]")
    assert torch.equal(alone[OTHERS], both[OTHERS])
    assert not torch.equal(alone[QUERIES], both[QUERIES])
    assert torch.equal(made(pixels), normalised(pixels, PREPROCESS))


def test_order_in_the_recipe_makes_no_difference(pixels: torch.Tensor) -> None:
    assert torch.equal(
        made(pixels, "augment=[perspective-fill, occlusion, night]"),
        made(pixels, "augment=[night, perspective-fill, occlusion]"),
    )


def test_night_and_double_normalisation_pixel_by_pixel(pixels: torch.Tensor) -> None:
    night = made(pixels, "augment=[night]", "augment_as=coded")[0]
    mean, std = (torch.tensor(three).view(3, 1, 1) for three in (PREPROCESS.mean, PREPROCESS.std))
    solarized = torch.where(pixels[0] >= 0.25, 255 - pixels[0], pixels[0])
    expected = ((solarized.double() * 0.55).floor() / 255 - mean) / std
    assert torch.allclose(night.double(), expected, atol=0.02)
    seeds = [made(pixels, "augment=[martin-perspective-4]", "augment_as=coded", seed=seed)[0] for seed in range(20)]
    once = (pixels[0].double() / 255 - mean) / std
    assert any(torch.allclose(one.double(), (once - mean) / std, atol=1e-4) for one in seeds)


def test_who_changes_photos() -> None:
    assert not changes(recipe_with())
    assert changes(recipe_with("augment=[night]"))
    assert changes(recipe_with("augment_flip=true"))
    assert not changes(recipe_with("augment=[night]", "learn=pairs", "whiten_directions=3"))


# -- in training --------------------------------------------------------------------------------------------------

SMALL = [
    "pretrained=none", "image_size=48x64", "cut=layer1", "frozen_through=conv1", "epochs=2", "queries_per_epoch=6",
    "cache_refresh=2", "batch_size=1", "negatives=3", "negative_candidates=20", "block_share=0.3", "learning_rate=1e-3",
    "patience=9",
]  # fmt: skip
CLASSES = ["learn=classes", "loss=multi_similarity", "photos_per_place=3", "batch_size=2"]
ASKED = ["augment=[night, occlusion, martin-perspective-3]", "augment_as=coded"]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return deep_vg.read(toy_places.write(tmp_path_factory.mktemp("toy_to_change")))


class Killed(BaseException):
    """Stands for a kill: nothing of ours catches it."""


@pytest.mark.parametrize("way", [[], CLASSES], ids=["triplets", "classes"])
def test_a_killed_training_ends_with_the_same_bits(toy: Dataset, tmp_path: Path, way: list[str]) -> None:
    recipe = recipe_with(*SMALL, *way, *ASKED)
    whole = train(recipe, toy, tmp_path / "whole")
    steps = iter(range(99))

    def progress(what: str, done: int, total: int) -> None:
        if what == "training" and next(steps) == 2:
            raise Killed

    with pytest.raises(Killed):
        train(recipe, toy, tmp_path / "run", progress=progress)
    assert train(recipe, toy, tmp_path / "run", resume=True).fingerprint == whole.fingerprint
    plain = train(recipe_with(*SMALL, *way), toy, tmp_path / "plain")
    assert not torch.equal(_conv(plain.encoder), _conv(whole.encoder))


def _conv(encoder: torch.nn.Module) -> torch.Tensor:
    return next(value for name, value in encoder.state_dict().items() if "layer1" in name and name.endswith("weight"))


def test_the_queries_of_triplets_are_what_is_changed(
    toy: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = importlib.import_module("geofix.learn.place_learner")
    seen: list[list[bool]] = []

    def looked_at(pixels: torch.Tensor, places: torch.Tensor, recipe: Recipe, preprocess: Preprocess, seed: int):  # type: ignore[no-untyped-def]
        images = prepared(pixels, places, recipe, preprocess, seed)
        plain = normalised(pixels, preprocess)
        seen.append([not torch.equal(one, other) for one, other in zip(images, plain, strict=True)])
        return images

    monkeypatch.setattr(learner, "prepared", looked_at)
    train(recipe_with(*SMALL, "batch_size=2", "epochs=1", "augment=[night]"), toy, tmp_path / "run")
    assert seen
    assert all(row == ([True] + [False] * 4) * (len(row) // 5) for row in seen)


def test_the_simple_night_is_of_no_paper() -> None:
    one = AUGMENTATIONS["simple-night"]
    assert not one.differs and one.promise.darker and "no paper" in one.source
    assert one.described.on_pixels == (ByNight(SimpleNight()),) and not one.described.on_normalised
    assert chosen(recipe_with("augment=[perspective-fill, simple-night]"))[0] == one.described


def test_training_says_what_a_name_does_not(toy: Dataset, tmp_path: Path) -> None:
    told: list[str] = []
    train(recipe_with(*SMALL, "epochs=1", *ASKED), toy, tmp_path / "coded", say=told)
    said = [sentence for sentence in told if sentence.startswith("Augmentation: ")]
    assert [sentence.split(" ")[1] for sentence in said] == ["night", "martin-perspective-3", "martin-perspective-3"]
    told.clear()
    train(recipe_with(*SMALL, "epochs=1", "augment=[night, occlusion]"), toy, tmp_path / "described", say=told)
    assert not [sentence for sentence in told if "Augmentation" in sentence]


def test_pairs_are_learned_from_photos_as_they_are(toy: Dataset, tmp_path: Path) -> None:
    told: list[str] = []
    pairs = ["learn=pairs", "whiten_directions=6", "positive_within_m=25", "augment=[night]"]
    train(recipe_with(*SMALL, "epochs=1", *pairs), toy, tmp_path / "run", say=told)
    assert any("what the recipe says of augmentation is not used" in sentence for sentence in told)
