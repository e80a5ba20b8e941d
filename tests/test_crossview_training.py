"""Learning across views: what is drawn, what is lowered, which weights are kept, kills, and data that do not fit."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from geofix import recipes
from geofix.cli import run as command
from geofix.data.layouts import open_dataset
from geofix.data.pairs import view_pairs, without_places
from geofix.data.places import Dataset
from geofix.errors import DataError, RecipeError, TrainingError, UsageError
from geofix.learn.crossview import ViewLearner, ViewLesson
from geofix.models.build import build
from geofix.models.crossview import BlockEncoder
from geofix.models.runs import SCORES, load_run
from geofix.recipes import CrossviewRecipe
from geofix.train import train
from test_train_epochs import Killed, killed_at
from toy_views import put_places, university

TINY = ["backbone=test_resnet", "cut=layer3", "global_stages=[layer2, layer3]", "image_size=64x64", "blocks=2",
        "part_length=8", "pretrained=none", "batch_size=3", "epochs=2", "pad=2", "dropout=0.2"]  # fmt: skip


def small(*settings: str) -> CrossviewRecipe:
    return recipes.with_settings(CrossviewRecipe(name="tiny"), [*TINY, *settings])


def put_views(root: Path, train_places: int = 7, val_places: int = 4, drones: int = 2) -> Path:
    for split, places in (("train", range(train_places)), ("val", range(90, 90 + val_places))):
        labels = [f"{place:04d}" for place in places]
        put_places(root / split / "drone", labels, drones)
        put_places(root / split / "satellite", labels)
    return root


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(put_views(tmp_path_factory.mktemp("views")))


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


# -- what is drawn -------------------------------------------------------------------------------------------------


def test_an_epoch_passes_over_the_places_once_both_views_of_each(toy: Dataset) -> None:
    lesson = ViewLesson(small(), toy.splits["train"], [])
    assert (lesson.places, lesson.rounds, lesson.steps) == (7, 1, 2)  # a rest of one place is left out
    first = lesson.round(0, lambda photos: pytest.fail("nothing is mined")).batches
    groups = [group for batch in first.batches for group in batch]
    assert len(groups) == 6
    for asking, searched in groups:
        assert asking.place == searched.place
        assert "drone" in asking.name and "satellite" in searched.name
    assert len({asking.place for asking, _ in groups}) == 6
    batch = first[0]
    assert batch.pixels.shape == (6, 3, 64, 64)
    labels = [lesson.pairs.places[place] for place in batch.places.tolist()]
    assert labels == [photo.place for group in first.batches[0] for photo in group]
    again, other = (lesson.round(number, lambda photos: pytest.fail("no")).batches for number in (0, 1))
    assert again.batches == first.batches and other.batches != first.batches


def test_places_come_as_often_as_asked(toy: Dataset) -> None:
    lesson = ViewLesson(small("photos_per_place=3"), toy.splits["train"], [])
    assert lesson.steps == 7
    drawn = lesson.pairs.drawn(np.random.default_rng(0), 3)
    assert sorted(place for place, _ in drawn) == sorted([*range(7)] * 3)
    assert {asking.name for place, (asking, _) in drawn if place == 0} <= {p.name for p in lesson.pairs.queries[0]}


def test_fewer_places_than_a_batch_are_said(toy: Dataset) -> None:
    told: list[str] = []
    assert ViewLesson(small("batch_size=50"), toy.splits["train"], told).steps == 1
    assert told == ["There are 7 places, fewer than a batch of 50: all are in each."]


def test_places_seen_from_one_view_alone_are_named(tmp_path: Path) -> None:
    root = put_views(tmp_path / "views")
    put_places(root / "train/drone", ["0500"])
    put_places(root / "train/satellite", ["0600", "0601"])
    told: list[str] = []
    split = open_dataset(root).splits["train"]
    assert ViewLesson(small(), split, told).places == 7
    assert told == [
        "3 of 10 places are seen from only one of drone and satellite and are not learned from: 0500, 0600, 0601."
    ]
    with pytest.raises(DataError, match=r"has no view 'street'; found: drone, satellite. Choose the views to learn"):
        view_pairs(split, ("street", "satellite"))


def test_views_with_no_place_in_common_are_an_error(tmp_path: Path) -> None:
    put_places(tmp_path / "train/drone", ["0001", "0002"])
    put_places(tmp_path / "train/satellite", ["1", "2"])
    with pytest.raises(DataError, match=r"No place of split 'train' is seen from both drone and satellite \(2 and 2"):
        view_pairs(open_dataset(tmp_path).splits["train"], ("drone", "satellite"))


def test_views_in_two_parts_are_taken_together(tmp_path: Path) -> None:
    split = open_dataset(university(tmp_path)).splits["test"]
    pairs = view_pairs(split, ("drone", "satellite"))
    assert pairs.places == ("0000", "0007", "0101")
    assert [len(photos) for photos in pairs.queries] == [6, 6, 3]


def test_a_share_of_the_places_is_kept_aside(toy: Dataset) -> None:
    learned, aside = without_places(toy.splits["train"], 0.3, 0)
    one, other = ({photo.place for photo in split.photos} for split in (learned, aside))
    assert (len(one), len(other)) == (5, 2) and not one & other
    assert aside.queries and aside.gallery and set(aside.views) == {"drone", "satellite"}
    with pytest.raises(DataError, match="0.99 of the 7 places of split 'train' leaves none to learn from"):
        without_places(toy.splits["train"], 0.99, 0)


# -- what is lowered -----------------------------------------------------------------------------------------------


def learner(toy: Dataset, *settings: str) -> ViewLearner:
    recipe = small(*settings)
    encoder = build(recipe, pretrained=False)
    assert isinstance(encoder, BlockEncoder)
    return ViewLearner(encoder, ViewLesson(recipe, toy.splits["train"], []))


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_the_loss_is_cross_entropy_of_both_views_and_the_mean_divergence(toy: Dataset, reduction: str) -> None:
    learning = learner(toy, "dropout=0", "kl=0.5", f"head_reduction={reduction}")
    rng = torch.Generator().manual_seed(0)
    asked, found = torch.randn(3, 3, 8, generator=rng), torch.randn(3, 3, 8, generator=rng)
    places = torch.tensor([4, 0, 6])
    instance, apart = [], []
    for part, classifier in enumerate(learning.classifiers):
        one, other = classifier(asked[:, part]), classifier(found[:, part])
        instance.append(functional.cross_entropy(one, places) + functional.cross_entropy(other, places))
        p2, p1 = one.softmax(1), other.softmax(1)
        apart.append((p2 * (p2 / p1).log()).sum(1).mean())
    total = torch.stack(instance).sum() if reduction == "sum" else torch.stack(instance).mean()
    naive = total + 0.5 * torch.stack(apart).mean()
    assert learning.loss(asked, found, places, 0).item() == pytest.approx(float(naive.detach()), rel=1e-5)


@pytest.mark.parametrize("parts", [1, 4])
def test_the_loss_of_the_stated_logits(toy: Dataset, parts: int) -> None:
    """Cross-entropies .3171074 + .4639394, divergence .3628019; parts that are alike change no mean."""
    learning = learner(toy, "dropout=0", "kl=1.0", "head_reduction=mean")
    learning.classifiers = torch.nn.ModuleList([torch.nn.Identity() for _ in range(parts)])
    satellite = torch.tensor([[2.0, 0.0, -1.0], [0.5, 1.5, 0.0]])[:, None].repeat(1, parts, 1)
    drone = torch.tensor([[1.0, 1.0, 0.0], [0.0, 3.0, -1.0]])[:, None].repeat(1, parts, 1)
    total = learning.loss(drone, satellite, torch.tensor([0, 1]), 0).item()
    assert total == pytest.approx(0.3171074 + 0.4639394 + 0.3628019, abs=1e-6)
    mean = 0.1209340  # the divergence where it is averaged over the three classes, too
    assert total - 0.7810468 == pytest.approx(3 * mean, abs=1e-6)


def test_untrained_classes_are_all_alike(toy: Dataset) -> None:
    """Cross-entropy starts at ln(places) for each view and part: nothing is known yet."""
    learning = learner(toy, "kl=0", "head_reduction=mean")
    rows = torch.randn(3, 3, 8, generator=torch.Generator().manual_seed(0))
    assert learning.loss(rows, rows, torch.tensor([0, 1, 2]), 0).item() == pytest.approx(2 * math.log(7), abs=0.02)


def test_every_parameter_learns(toy: Dataset) -> None:
    learning = learner(toy)
    learning.encoder.train()
    batch = learning.lesson.round(0, lambda photos: pytest.fail("no")).batches[0]
    learning.lowered(batch, 1).backward()
    without = [name for name, p in learning.named_parameters() if p.requires_grad and p.grad is None]
    assert not without


def test_the_trunk_learns_slower_and_can_stand_still(toy: Dataset) -> None:
    groups = learner(toy).configure_optimizers()["optimizer"].param_groups
    assert [group["lr"] for group in groups] == [1e-3, pytest.approx(1e-4)]
    assert groups[0]["nesterov"] and groups[0]["momentum"] == 0.9 and groups[0]["weight_decay"] == 5e-4
    gems = {id(p) for gem in learner(toy).encoder.pooling.gems for p in gem.parameters()}  # type: ignore[union-attr]
    assert gems
    frozen = learner(toy, "trunk_rate=0")
    assert not any(p.requires_grad for p in frozen.encoder.with_trunks()[0].trunk.parameters())
    assert len(frozen.configure_optimizers()["optimizer"].param_groups) == 1


def test_every_parameter_that_learns_is_in_a_group(toy: Dataset) -> None:
    learning = learner(toy, "block_stages=[layer1]")
    groups = learning.configure_optimizers()["optimizer"].param_groups
    known = {id(p) for group in groups for p in group["params"]}
    assert not [name for name, p in learning.named_parameters() if p.requires_grad and id(p) not in known]


@pytest.mark.parametrize(
    ("schedule", "rates"), [("step", [1, 1, 0.1, 0.1]), ("constant", [1, 1, 1, 1]), ("cosine", [1, 0.854, 0.5, 0.146])]
)
def test_schedules(toy: Dataset, schedule: str, rates: list[float]) -> None:
    made: dict[str, Any] = learner(toy, f"schedule={schedule}", "step_epochs=2", "epochs=4").configure_optimizers()
    found = []
    for _ in range(4):
        found.append(made["optimizer"].param_groups[0]["lr"] / 1e-3)
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()
    assert found == pytest.approx(rates, abs=1e-3)


# -- whole trainings -----------------------------------------------------------------------------------------------


def test_it_learns_the_places_and_keeps_the_last_weights(toy: Dataset, tmp_path: Path) -> None:
    fast = ["optimizer=adamw", "learning_rate=0.01", "trunk_rate=0.3", "schedule=constant"]
    recipe = small("epochs=8", "dropout=0", "kl=0", "batch_size=7", *fast)
    run = train(recipe, toy, tmp_path / "run")
    log = rows(tmp_path / "run")
    assert [row["epoch"] for row in log] == [str(n) for n in range(9)]
    assert float(log[-1]["loss"]) < 0.8 * float(log[1]["loss"])
    kept = json.loads((tmp_path / "run/scores.json").read_text())
    assert kept["task"] == "crossview" and 0 < kept["ap"] <= 1
    assert kept["training"]["chosen_on"] == "last" and kept["training"]["best_epoch"] == 8
    assert set(kept["training"]["splits"]) == {"train", "val"}
    state = load_run(tmp_path / "run").encoder.state_dict()
    assert not any("classifier" in key for key in state)
    assert load_run(tmp_path / "run").fingerprint == run.fingerprint
    assert not (tmp_path / "run/best.safetensors").exists()


def test_it_is_measured_now_and_then(toy: Dataset, tmp_path: Path) -> None:
    train(small("epochs=3", "measure_every=2"), toy, tmp_path / "run")
    assert [bool(row["recall@5"]) for row in rows(tmp_path / "run")] == [True, False, True, True]


def test_without_val_nothing_is_measured_and_that_is_said(tmp_path: Path) -> None:
    root = put_views(tmp_path / "views", val_places=0)
    told: list[str] = []
    train(small(), open_dataset(root), tmp_path / "run", say=told)
    assert "There is no split val to measure on; whether it was worth it is for `geofix evaluate` to say." in told
    assert not any(row["recall@1"] for row in rows(tmp_path / "run"))
    assert json.loads((tmp_path / "run/scores.json").read_text())["training"]["splits"].keys() == {"train"}


@pytest.mark.parametrize("where", ["block", "val"])
def test_weights_can_be_chosen(toy: Dataset, tmp_path: Path, where: str) -> None:
    train(small(f"choose_on={where}", "block_share=0.4"), toy, tmp_path / "run")
    training = json.loads((tmp_path / "run/scores.json").read_text())["training"]
    assert training["chosen_on"] == where and where in training["splits"]


@pytest.mark.parametrize("loss", ["instance", "infonce"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_ways_of_learning(toy: Dataset, tmp_path: Path, loss: str, precision: str) -> None:
    settings = [f"loss={loss}", f"train_precision={precision}", "warmup_epochs=1", "rotate_gallery_deg=30"]
    run = train(small(*settings, *(["kl=0"] if loss == "infonce" else [])), toy, tmp_path / "run")
    assert math.isfinite(float(rows(run.folder)[-1]["loss"]))


@pytest.mark.parametrize("step", [1, 3, 5])
def test_a_killed_training_ends_with_the_same_bits(toy: Dataset, tmp_path: Path, step: int) -> None:
    recipe = small("epochs=3", "warmup_epochs=2", "schedule=cosine", "augment_erase=0.5")
    whole = train(recipe, toy, tmp_path / "whole")
    with pytest.raises(Killed):
        train(recipe, toy, tmp_path / "run", progress=killed_at(step))
    again = train(recipe, toy, tmp_path / "run", resume=True)
    assert again.fingerprint == whole.fingerprint


def test_a_loss_that_is_no_number_ends_it_with_a_way_on(toy: Dataset, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="The loss became .* in step .* of the epoch; (no epoch|the state after)"):
        train(small("learning_rate=1e30", "epochs=3"), toy, tmp_path / "run")


def test_broken_photos_are_left_out_and_named(tmp_path: Path) -> None:
    root = put_views(tmp_path / "views")
    for place in ("0000", "0001", "0002", "0003", "0004"):
        (root / f"train/satellite/{place}/image-00.jpg").write_bytes(b"no photo")
    errors: list[Any] = []
    train(small("batch_size=2"), open_dataset(root), tmp_path / "run", errors=errors)
    assert any("train/satellite/0000" in str(error) for error in errors)


def test_a_run_can_be_started_from_and_asked(toy: Dataset, tmp_path: Path) -> None:
    first = train(small(), toy, tmp_path / "first")
    told: list[str] = []
    again = train(small("epochs=0", "partition=ring"), None, tmp_path / "again", weights=first.folder, say=told)
    assert any("which learned 2 epochs" in line for line in told)
    own, other = first.encoder.state_dict(), again.encoder.state_dict()
    assert all(torch.equal(own[key], other[key]) for key in own)


def test_what_does_not_fit_together(toy: Dataset, tmp_path: Path) -> None:
    run = train(small("epochs=0"), None, tmp_path / "run")
    with pytest.raises(UsageError, match="leave --member out of a recipe across views"):
        train(small("epochs=0"), None, tmp_path / "a", members=[run.folder, run.folder])
    with pytest.raises(UsageError, match="is a run of the task crossview; the members of an ensemble"):
        ensemble = recipes.with_settings(recipes.load("ensemble"), ["epochs=0"])
        train(ensemble, None, tmp_path / "b", members=[run.folder, run.folder])
    with pytest.raises(UsageError, match="There are no photos to learn from"):
        train(small(), None, tmp_path / "c")
    with pytest.raises(RecipeError, match="sets 'pooling_p', which is no key of a recipe"):
        small("pooling_p=3")


def test_the_command(toy: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(small().to_yaml())
    asked = ["train", str(recipe), "--data", str(toy.root), "--out", str(tmp_path / "run")]
    assert command(asked) == 0
    out = capsys.readouterr().out
    assert "weights of epoch 2 of 2 (all epochs done), not chosen" in out and "val, " in out
    assert (tmp_path / "run/curves.png").read_bytes().startswith(b"\x89PNG")
    assert command([*asked[:-1], str(tmp_path / "g"), "--grid", "x.yaml"]) == 2
    assert "--grid is for encoders of places; leave it out." in capsys.readouterr().err


def test_nothing_need_be_compared_where_the_last_epoch_counts(tmp_path: Path) -> None:
    views = open_dataset(put_views(tmp_path / "views"))
    train(small("choose_on=last", "epochs=1"), views, tmp_path / "run", compare_on=())
    found = json.loads((tmp_path / "run" / SCORES).read_text(encoding="utf-8"))
    assert found["training"]["splits"] == {} and "recall" not in found
    assert load_run(tmp_path / "run").name
