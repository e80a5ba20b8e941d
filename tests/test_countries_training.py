"""Scenes and countries learned on tiny photos: what is written, what a stop costs, what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

import toy_countries
from geofix import recipes
from geofix.augment.crops import mixed, prepared_crops
from geofix.data.layouts import open_dataset
from geofix.data.places import Dataset
from geofix.errors import DataError, PhotoError, RecipeError, TrainingError, UsageError, WeightsError
from geofix.files import is_file
from geofix.learn import countries as learning
from geofix.learn.checkpoints import CHECKPOINT
from geofix.learn.class_learner import METRICS, class_weights, cross_entropy
from geofix.learn.countries import train_countries
from geofix.models.countries import CLASSES, WEIGHTS, CountryRun, load_country_run
from geofix.recipes import CountryRecipe
from geofix.transforms import Preprocess
from toy_countries import tiny, tiny_scenes
from toy_places import put


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(toy_countries.write(tmp_path_factory.mktemp("countries")))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Class folders without a table: no scenes."""
    return open_dataset(toy_countries.write(tmp_path_factory.mktemp("plain"), table=False))


def equal(first: CountryRun, second: CountryRun) -> bool:
    ours, others = first.model.state_dict(), second.model.state_dict()
    return ours.keys() == others.keys() and all(torch.equal(ours[key], others[key]) for key in ours)


def log(folder: Path) -> list[dict[str, str]]:
    """metrics.csv without the seconds."""
    with (folder / METRICS).open(encoding="utf-8", newline="") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def test_a_router_and_a_specialist_for_each_scene(dataset: Dataset, tmp_path: Path) -> None:
    told: list[str] = []
    run = train_countries(tiny(), dataset, tmp_path / "run", say=told)
    knows = run.knows
    assert knows.router is not None
    assert knows.router.classes == ("city", "coast")
    assert [head.name for head in knows.heads] == ["city", "coast"]
    assert knows.countries == ("BR", "FR", "JP")
    assert sum(sum(head.photos) for head in knows.heads) == sum(knows.router.photos)
    assert knows.sureness.photos == 12 and knows.sureness.groups == 6
    again = load_country_run(tmp_path / "run")
    assert (again.recipe, again.knows, again.fingerprint) == (run.recipe, run.knows, run.fingerprint)
    assert equal(run, again)
    assert {(row["network"], row["phase"]) for row in log(tmp_path / "run")} == {
        (name, phase) for name in ("router", "city", "coast") for phase in ("1", "2")
    }
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "classes.json", "logs", "metrics.csv", "preprocess.json", "recipe.yaml", "weights.safetensors",
    ]  # fmt: skip
    assert any("fewer than 20: its probabilities are not calibrated" in line for line in told)


def test_it_learns(dataset: Dataset, tmp_path: Path) -> None:
    recipe = tiny(routing="none", epochs=12, frozen_epochs=2, learning_rate=0.01, dropout=0.0)
    run = train_countries(recipe, dataset, tmp_path / "run")
    assert run.knows.router is None
    assert [head.name for head in run.knows.heads] == ["all"]
    losses = [float(row["loss"]) for row in log(tmp_path / "run")]
    assert losses[-1] < 0.5 * losses[0]


def test_the_router_alone(dataset: Dataset, tmp_path: Path) -> None:
    run = train_countries(tiny_scenes(), dataset, tmp_path / "run")
    assert run.knows.router is not None and run.knows.heads == ()
    assert run.knows.router.classes == ("city", "coast")
    assert run.knows.router.design.backbone == "test_resnet"


def test_scenes_come_from_a_trained_router(dataset: Dataset, plain: Dataset, tmp_path: Path) -> None:
    router = train_countries(
        tiny_scenes(epochs=12, frozen_epochs=0, learning_rate=0.01, dropout=0.0), dataset, tmp_path / "router"
    )
    told: list[str] = []
    run = train_countries(tiny(router=str(tmp_path / "router")), plain, tmp_path / "run", say=told)
    assert f"The scenes of 48 photos are those that {router.name} finds likeliest." in told
    assert run.knows.router == router.knows.router
    assert run.knows.router_from == router.name
    assert [head.name for head in run.knows.heads] == ["city", "coast"]
    for name, value in router.model.network("router").state_dict().items():
        assert torch.equal(run.model.network("router").state_dict()[name], value)
    # Scenes are bright or dark, and half of the photos show each.
    assert abs(sum(run.knows.heads[0].photos) - sum(run.knows.heads[1].photos)) <= 4


def test_without_scenes_and_without_a_router_a_single_network_is_trained_and_that_is_said(
    plain: Dataset, tmp_path: Path
) -> None:
    told: list[str] = []
    run = train_countries(tiny(), plain, tmp_path / "run", say=told)
    assert run.knows.router is None and [head.name for head in run.knows.heads] == ["all"]
    assert told[0].startswith("The data name no scenes and no router was given (--set router=RUN): a single network")


def test_specialists_may_start_from_a_network_of_all_scenes(dataset: Dataset, tmp_path: Path) -> None:
    run = train_countries(tiny(specialists_from="single", epochs=1, frozen_epochs=1), dataset, tmp_path / "run")
    assert [row["network"] for row in log(tmp_path / "run")][2:] == ["all", "city", "coast"]
    # Their only epoch leaves trunks as they are: those of both are that of the network of all scenes.
    city, coast = (run.model.network(name).trunk.state_dict() for name in ("city", "coast"))
    assert all(torch.equal(city[name], coast[name]) for name in city)


def test_a_stopped_training_ends_with_the_same_bits(dataset: Dataset, tmp_path: Path) -> None:
    whole = train_countries(tiny(), dataset, tmp_path / "whole")
    for stops in (1, 3, 5):  # in the router's first epoch, in the first specialist's, in the second's
        out, seen = tmp_path / f"run{stops}", 0

        def kill(stops: int = stops) -> None:
            nonlocal seen
            seen += 1
            if seen == stops:
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            train_countries(tiny(), dataset, out, after_epoch=kill)
        assert not is_file(out / WEIGHTS)
        with pytest.raises(UsageError, match="holds a training that was stopped; add --resume"):
            train_countries(tiny(), dataset, out)
        resumed = train_countries(tiny(), dataset, out, resume=True)
        assert equal(resumed, whole)
        assert log(out) == log(tmp_path / "whole")
        assert resumed.knows == whole.knows
    told: list[str] = []
    train_countries(tiny(), dataset, tmp_path / "whole", resume=True, say=told)
    assert told == [f"{tmp_path / 'whole'} is a finished run; nothing is left to do."]


def test_a_checkpoint_of_another_recipe(dataset: Dataset, tmp_path: Path) -> None:
    def kill() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train_countries(tiny(), dataset, tmp_path / "run", after_epoch=kill)
    assert is_file(tmp_path / "run" / CHECKPOINT)
    with pytest.raises(WeightsError, match="is of a training with another recipe or other photos"):
        train_countries(tiny(learning_rate=0.5), dataset, tmp_path / "run", resume=True)


def test_the_best_weights_on_the_block_are_kept(dataset: Dataset, tmp_path: Path) -> None:
    settings = {"routing": "none", "epochs": 6, "frozen_epochs": 0, "learning_rate": 0.03}
    best = train_countries(tiny(choose_on="block", **settings), dataset, tmp_path / "block")
    last = train_countries(tiny(**settings), dataset, tmp_path / "last")
    likelihoods = [float(row["held_nll"]) for row in log(tmp_path / "block")]
    assert likelihoods.index(min(likelihoods)) != len(likelihoods) - 1, "the toy must have a best epoch in the middle"
    assert not equal(best, last)


def test_what_cannot_be_learned_from(dataset: Dataset, tmp_path: Path) -> None:
    one = tmp_path / "one"
    for number in range(4):
        put(one / "train" / "FR" / f"{number}.jpg", (dataset.root / "train/FR/city0_0.jpg").read_bytes())
    with pytest.raises(DataError, match=r"show 1 countries \(FR\); at least two are needed"):
        train_countries(tiny(), open_dataset(one), tmp_path / "a")
    for number in range(4):
        put(one / "train" / "Atlantis" / f"{number}.jpg", (dataset.root / "train/FR/city0_0.jpg").read_bytes())
    errors: list[PhotoError] = []
    with pytest.raises(DataError, match="show 1 countries"):
        train_countries(tiny(), open_dataset(one), tmp_path / "b", errors=errors)
    assert "is said to be in 'Atlantis', which is no country code" in str(errors[0])
    with pytest.raises(UsageError, match="start from a file of weights and none was named; add --weights FILE"):
        train_countries(tiny(pretrained="file"), dataset, tmp_path / "c")
    with pytest.raises(WeightsError, match="There is no run folder at"):
        train_countries(tiny(router=str(tmp_path / "none")), dataset, tmp_path / "d")
    with pytest.raises(TrainingError, match=r"The loss of router became (nan|inf) in epoch \d"):
        train_countries(tiny(learning_rate=1e30), dataset, tmp_path / "e")


def test_a_scene_that_one_country_shows_has_no_specialist(dataset: Dataset, tmp_path: Path) -> None:
    root = toy_countries.write(tmp_path / "data")
    table = (root / "photos.csv").read_text(encoding="utf-8").splitlines()
    # Coasts of France alone; one single photo of a coast in Japan is held out by nobody.
    kept = [line for line in table if ",coast," not in line or ",FR," in line]
    for line in set(table) - set(kept):
        (root / line.split(",")[0]).unlink()
    (root / "photos.csv").write_text("\n".join(kept) + "\n", encoding="utf-8")
    told: list[str] = []
    run = train_countries(tiny(), open_dataset(root), tmp_path / "run", say=told)
    assert [head.name for head in run.knows.heads] == ["city"]
    assert any(line.startswith("No specialist of coast:") and "of 1 countries show it" in line for line in told)


def test_unreadable_photos_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    root = toy_countries.write(tmp_path / "data")
    (root / "train/FR/city0_0.jpg").write_bytes(b"no photo")
    errors: list[PhotoError] = []
    run = train_countries(
        tiny(routing="none", epochs=1, frozen_epochs=1), open_dataset(root), tmp_path / "run", errors=errors
    )
    assert run.knows.countries == ("BR", "FR", "JP")
    assert len({str(error) for error in errors}) == 1
    assert "city0_0.jpg" in str(errors[0])


@pytest.mark.parametrize("name", [CLASSES, WEIGHTS, "preprocess.json"])
def test_torn_runs_are_told(dataset: Dataset, tmp_path: Path, name: str) -> None:
    train_countries(tiny(routing="none", epochs=1, frozen_epochs=1), dataset, tmp_path / "run")
    whole = (tmp_path / "run" / name).read_bytes()
    (tmp_path / "run" / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError):
        load_country_run(tmp_path / "run")
    (tmp_path / "run" / name).unlink()
    with pytest.raises(WeightsError, match=f"no whole run that names countries: {name} is missing"):
        load_country_run(tmp_path / "run")


def test_another_runs_weights_do_not_fit(dataset: Dataset, tmp_path: Path) -> None:
    first = train_countries(tiny(routing="none", epochs=1, frozen_epochs=1), dataset, tmp_path / "first")
    train_countries(tiny(epochs=1, router_epochs=1, frozen_epochs=1), dataset, tmp_path / "second")
    (first.folder / WEIGHTS).write_bytes((tmp_path / "second" / WEIGHTS).read_bytes())
    with pytest.raises(WeightsError, match="does not fit classes.json beside it"):
        load_country_run(first.folder)
    classes = json.loads((first.folder / CLASSES).read_text(encoding="utf-8"))
    classes["heads"][0]["temperature"] = 0.0
    (first.folder / CLASSES).write_text(json.dumps(classes), encoding="utf-8")
    with pytest.raises(WeightsError, match=r"classes.json is damaged \(a temperature is above 0, not 0.0\)"):
        load_country_run(first.folder)


# -- parts of the lesson --------------------------------------------------------------------------------------------


def test_cross_entropy_of_weighed_and_smoothed_targets_against_a_loop() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(5, 4), torch.rand(5, 4)
    for smoothing in (0.0, 0.3):
        total = 0.0
        for row in range(5):
            powers = [float(torch.exp(value)) for value in logits[row]]
            weight = float(targets[row].sum())
            for column in range(4):
                wanted = (1 - smoothing) * float(targets[row, column]) + smoothing * weight / 4
                total -= wanted * np.log(powers[column] / sum(powers))
        assert float(cross_entropy(logits, targets, smoothing)) == pytest.approx(total / 5, rel=1e-5)
    hard = torch.tensor([1, 0, 3, 2, 2])
    plain = functional.cross_entropy(logits, hard, label_smoothing=0.1)
    assert torch.allclose(cross_entropy(logits, functional.one_hot(hard, 4).float(), 0.1), plain)


def test_class_weights_make_classes_count_alike() -> None:
    targets = np.array([0, 0, 0, 1])
    weights = class_weights(targets, 2)
    assert weights == pytest.approx([4 / 6, 2.0])
    assert weights[targets].mean() == pytest.approx(1.0)
    assert (weights * [3, 1]) == pytest.approx([2.0, 2.0])


@pytest.mark.parametrize("balance", ["loss", "draw"])
def test_balance_changes_what_is_learned(dataset: Dataset, tmp_path: Path, balance: str) -> None:
    settings = {"routing": "none", "epochs": 1, "frozen_epochs": 1}
    unlike = tmp_path / "unlike"
    for path in sorted((dataset.root / "train").rglob("*.jpg")):
        if path.parent.name != "FR" or path.name.startswith("city0"):
            put(unlike / path.relative_to(dataset.root), path.read_bytes())
    data = open_dataset(unlike)
    plain_run = train_countries(tiny(**settings), data, tmp_path / "plain")
    assert not equal(plain_run, train_countries(tiny(balance=balance, **settings), data, tmp_path / "balanced"))


def crops(**settings: object) -> CountryRecipe:
    still = {
        "augment_flip": False, "augment_rotate_deg": 0.0, "augment_zoom": 0.0, "augment_area": 1.0,
        "augment_aspect": (1.0, 1.0),
    }  # fmt: skip
    return tiny(**{**still, **settings})


LOOKS = Preprocess((16, 24), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
PIXELS = torch.arange(2 * 3 * 16 * 24, dtype=torch.int64).remainder(251).to(torch.uint8).reshape(2, 3, 16, 24)


def test_crops_that_change_nothing_give_the_photo() -> None:
    # Aspects are of the picture, which is not square: 1 keeps it where the crop is all of it.
    recipe = crops(augment_aspect=(24 / 16, 24 / 16))
    assert torch.allclose(prepared_crops(PIXELS, recipe, LOOKS, 0) * 255, PIXELS.float(), atol=0.6)


def test_crops_hang_on_the_seed_alone() -> None:
    recipe = tiny()
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    first, again, other = (prepared_crops(PIXELS, recipe, LOOKS, seed) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.rand(1), expected)


def test_a_mirrored_photo_is_mirrored_exactly() -> None:
    recipe = crops(augment_flip=True, augment_aspect=(24 / 16, 24 / 16))
    seen = set()
    for seed in range(8):
        found = prepared_crops(PIXELS, recipe, LOOKS, seed) * 255
        for photo, result in zip(PIXELS.float(), found, strict=True):
            mirrored = torch.allclose(result, photo.flip(2), atol=0.6)
            assert mirrored or torch.allclose(result, photo, atol=0.6)
            seen.add(mirrored)
    assert seen == {True, False}


def test_grey_photos_have_three_equal_channels() -> None:
    found = prepared_crops(PIXELS, crops(augment_grey=1.0), LOOKS, 0)
    assert torch.equal(found[:, 0], found[:, 1]) and torch.equal(found[:, 1], found[:, 2])


def test_crops_show_at_least_the_share_they_say() -> None:
    """Of a ramp from left to right the crop's range tells how wide it is."""
    ramp = torch.linspace(0, 250, 240).round().to(torch.uint8).expand(1, 3, 160, 240)
    looks = Preprocess((160, 240), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    wide = []
    for seed in range(40):
        found = prepared_crops(ramp, crops(augment_area=0.5, augment_aspect=(0.75, 16 / 9)), looks, seed) * 255
        wide.append(float(found.max() - found.min()) / 250)
    assert 0.4 < min(wide) < 0.75
    assert max(wide) > 0.9


def test_mixing_against_a_loop() -> None:
    images, targets = torch.rand(4, 3, 8, 8), torch.eye(4)
    found, labels = mixed(images, targets, 0.4, 5)
    assert labels.sum(dim=1) == pytest.approx(torch.ones(4))
    for row in range(4):
        share = float(labels[row, row]) if labels[row].max() < 1 else 1.0
        other = int(labels[row].masked_fill(torch.eye(4, dtype=torch.bool)[row], 0).argmax())
        by_hand = images[row] if share == 1.0 else share * images[row] + (1 - share) * images[other]
        assert torch.allclose(found[row], by_hand, atol=1e-6)


def test_recipes_that_contradict_themselves() -> None:
    for settings, message in (
        ({"learn": "scene", "routing": "none"}, "a network of scenes is itself the router"),
        ({"routing": "none", "router": "x"}, "a single network needs no router"),
        ({"routing": "none", "specialists_from": "single"}, "a single network has no specialists"),
        ({"augment_aspect": (2.0, 1.0)}, "augment_aspect is two numbers above 0, the smaller first"),
        ({"frozen_epochs": 99}, "frozen_epochs are among the epochs"),
    ):
        with pytest.raises(RecipeError, match=message):
            tiny(**settings)


@pytest.mark.parametrize("name", [name for name in recipes.names() if name.startswith("lavinskyi")])
def test_recipes_by_name_are_read_back(name: str) -> None:
    recipe = recipes.load_any(name)
    assert isinstance(recipe, CountryRecipe)
    assert recipes.parse_any(recipe.to_yaml(), name) == recipe
    assert recipe.without_origin() == recipe


def test_the_papers_numbers() -> None:
    for name, backbone, epochs in (("lavinskyi-scene", "efficientnet_b0", 50), ("lavinskyi-country", "resnet50", 40)):
        recipe = recipes.load_any(name)
        assert isinstance(recipe, CountryRecipe)
        assert (recipe.backbone, recipe.epochs, recipe.frozen_epochs) == (backbone, epochs, 10)
        assert (recipe.optimizer, recipe.learning_rate, recipe.trunk_rate, recipe.dropout) == ("adam", 1e-3, 1.0, 0.5)
        assert (recipe.batch_size, recipe.augment_area, recipe.augment_rotate_deg, recipe.augment_zoom) == (
            32,
            0.6,
            15,
            0.2,
        )
    assert learning.PARTS == "parts"


def test_a_finished_network_of_another_recipe_is_not_taken(dataset: Dataset, tmp_path: Path) -> None:
    """Stopped in the second network; the first had been learned at another rate."""

    def killed(out: Path, rate: float, resume: bool) -> None:
        seen = 0

        def kill() -> None:
            nonlocal seen
            seen += 1
            if seen == 3:
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            train_countries(tiny(learning_rate=rate), dataset, out, resume=resume, after_epoch=kill)
        (out / CHECKPOINT).unlink()

    killed(tmp_path / "run", 0.01, False)
    whole = train_countries(tiny(), dataset, tmp_path / "whole")
    assert equal(train_countries(tiny(), dataset, tmp_path / "run", resume=True), whole)
