"""reproduce: rows trained once and scored, the pace that fits a budget, and the command."""

from __future__ import annotations

import importlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from geofix import papers, recipes
from geofix.data import deep_vg
from geofix.data.places import Dataset
from geofix.errors import DataError, GeofixError, UsageError
from geofix.files import is_file
from geofix.learn.learner import Learner
from geofix.learn.triplets import TripletLesson
from geofix.models.backbones import open_trunk
from geofix.models.runs import SCORES, WEIGHTS, load_run
from geofix.papers import Row
from geofix.recipes import Recipe
from geofix.reproduce import pace, rows
from geofix.reproduce.pace import Pace, distinct, pace_for
from geofix.reproduce.rows import (
    NIGHTS_NEEDED,
    NOT_RUN,
    PLAN,
    RUNS,
    Bench,
    RowResult,
    planned,
    queries_of,
    read_row,
    recipe_of,
    run_rows,
)
from geofix.world.writers.deep_vg import write_places
from test_claims import NEEDY, made_up, read_csv, result, some
from test_cli import Captured, called, refused
from test_train_epochs import Killed

TINY = (
    "pretrained=none", "image_size=32x32", "cut=layer1", "frozen_through=conv1", "queries_per_epoch=4",
    "cache_refresh=4", "negatives=2", "negative_candidates=12", "netvlad_clusters=2", "netvlad_photos=10", "patience=1",
)  # fmt: skip
ROW = "martin/figure-2/vanilla"  # NetVLAD, one epoch
STEPPED = "martin/1/gem-multiscale"
WHOLE = tuple(setting for setting in TINY if not setting.startswith(("pretrained", "cut", "frozen")))


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """12 spots; three queries by day and three at night to learn from."""
    out = tmp_path_factory.mktemp("to_reproduce") / "town"
    write_places(out, places=12, seed=3, size=(48, 64))
    return deep_vg.read(out)


def tiny(town: Dataset, out: Path, *settings: str, **fields: object) -> Bench:
    return Bench((town,), out, settings=(*TINY, *settings), **fields)  # type: ignore[arg-type]


def ran(bench: Bench, *names: str, seeds: int = 1) -> list[RowResult]:
    return run_rows(bench, [papers.open_row(name) for name in names], seeds)


def runs(bench: Bench) -> list[Path]:
    return sorted((bench.out / RUNS).glob("*"))


def numbers(one: RowResult) -> tuple[object, ...]:
    """What a result says, but for the row's name."""
    ranks = {data: [scores.ranks.tolist() for scores in seeds] for data, seeds in one.scores.items()}
    return ranks, one.epochs, one.said, one.problem


def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "train", lambda *_, **__: pytest.fail("it trained again"))


def trunk_file(path: Path, backbone: str, cut: str) -> Path:
    """Weights of a trunk, random ones."""
    trunk = open_trunk(backbone, cut, pretrained=False)
    inside = getattr(trunk, "network", trunk)
    save_file({key: value.contiguous() for key, value in inside.state_dict().items()}, path)
    return path


# -- rows ---------------------------------------------------------------------------------------------------------


def test_rows_that_agree_share_a_training_and_a_second_call_trains_nothing(
    town: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = tiny(town, tmp_path)
    first = ran(bench, ROW)[0]
    assert (first.problem, first.seeds, set(first.scores)) == (None, 1, {"town"})
    assert len(first.epochs[0]) == 2  # untrained, and one epoch
    assert [path.name.rpartition("-")[0] for path in runs(bench)] == ["martin-figure-2-vanilla"]
    before = (runs(bench)[0] / WEIGHTS).stat().st_mtime_ns
    no_training(monkeypatch)
    monkeypatch.setattr(rows, "evaluate", lambda *_, **__: pytest.fail("it scored again"))
    again, other = ran(bench, ROW, "martin/3/vanilla")
    assert (runs(bench)[0] / WEIGHTS).stat().st_mtime_ns == before
    assert numbers(first) == numbers(again) == numbers(other) == numbers(read_row(bench, papers.open_row(ROW)))
    assert other.row.name == "martin/3/vanilla"
    assert other.recall("town", 5) == first.recall("town", 5)


def test_what_decides_a_training_names_its_folder(town: Dataset, tmp_path: Path) -> None:
    """Seed, settings, photos that are learned from, and the bytes of the weights."""
    bench = tiny(town, tmp_path, "epochs=0")
    assert ran(bench, ROW, seeds=2)[0].seeds == 2
    assert len(runs(bench)) == 2
    ran(tiny(town, tmp_path, "epochs=0", "margin=0.2"), ROW)
    assert len(runs(bench)) == 3
    train = town.splits["train"]
    fewer = replace(town, splits={**town.splits, "train": replace(train, gallery=train.gallery[1:])})
    ran(tiny(fewer, tmp_path, "epochs=0"), ROW)
    assert len(runs(bench)) == 4
    for number in range(2):
        torch.manual_seed(number)
        (tmp_path / str(number)).mkdir()
        weights = trunk_file(tmp_path / str(number) / "trunk.safetensors", "resnet18", "layer1")
        ran(replace(bench, weights=weights), ROW)
    assert len(runs(bench)) == 6


def test_seeds_run_before_are_read_back(town: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = tiny(town, tmp_path, "epochs=0")
    both = ran(bench, ROW, seeds=2)[0]
    assert len(both.epochs) == len(both.scores["town"]) == 2
    assert sorted(load_run(path).encoder.recipe.seed for path in runs(bench)) == [0, 1]
    no_training(monkeypatch)
    assert numbers(ran(bench, ROW)[0]) == numbers(both)
    assert both.hits("town", 5).shape == (2, len(both.scores["town"][0].names))


def test_learned_by_day_and_tested_by_night_too(town: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = tiny(town, tmp_path)
    seen: list[Dataset] = []
    train = rows.train

    def watched(recipe: Recipe, dataset: Dataset, *arguments: object, **named: object) -> object:
        seen.append(dataset)
        return train(recipe, dataset, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(rows, "train", watched)
    found = ran(bench, ROW)[0]
    assert any(photo.condition == "night" for photo in town.splits["train"].queries)
    assert len(seen) == 1
    for name in ("train", "val"):
        split = seen[0].splits[name]
        assert {photo.condition for photo in split.photos} == {"day"}
        assert len(split.queries) == len(town.splits[name].queries) / 2
    assert found.scores["town"][0].names == tuple(photo.name for photo in town.splits["test"].queries)
    day, night = (queries_of(bench, "town", asked) for asked in ("day", "night"))
    assert day is not None and night is not None
    assert np.array_equal(day, ~night)
    assert day.sum() == night.sum() > 0
    assert queries_of(bench, "town", "all") is None


def test_recall_of_a_part_of_the_queries(tmp_path: Path) -> None:
    bench, hits = made_up(tmp_path), [some(0.5, seed) for seed in range(3)]
    night = queries_of(bench, "town", "night")
    mean, low, high = result(ROW, *hits, at=5).recall("town", 5, night)
    assert mean == pytest.approx(np.mean([one[3::4].mean() for one in hits]))
    assert low < mean < high
    assert result(ROW, *hits, at=5).recall("town", 1, night) == (0, 0, 0)


def test_where_weights_are_chosen_and_what_is_tested(town: Dataset, tmp_path: Path) -> None:
    """On val, as in the papers, unless val is what is tested."""
    row = papers.open_row(ROW)
    found = {}
    for kept in (("train", "val", "test"), ("train", "test"), ("train", "val")):
        part = replace(town, splits={name: town.splits[name] for name in kept})
        bench = tiny(part, tmp_path)
        found[kept[1:]] = recipe_of(bench, row, 0).choose_on, bench.tested["town"][1]
    assert found == {("val", "test"): ("val", "test"), ("test",): ("block", "test"), ("val",): ("block", "val")}


def test_data_sets_beside_the_first_are_tested_on(
    town: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = town.splits["train"], town.splits["test"]
    alone = Dataset(tmp_path / "Tokyo-XS", "deep-vg", {"all": replace(test, name="all", queries=test.queries[:6])})
    other = Dataset(tmp_path / "other", "deep-vg", {"train": train, "val": replace(test, name="val")})
    bench = replace(tiny(town, tmp_path / "out"), datasets=(town, alone, other))
    assert {name: split for name, (_, split) in bench.tested.items()} == {
        "town": "test",
        "tokyo_xs": "all",
        "other": "val",
    }
    assert recipe_of(bench, papers.open_row(ROW), 0).choose_on == "block"  # a val is tested, if not this one
    found = ran(replace(bench, datasets=(town, alone)), ROW)[0]
    assert {data: len(scores[0].names) for data, scores in found.scores.items()} == {
        "town": len(test.queries),
        "tokyo_xs": 6,
    }
    untestable = replace(town, splits={"train": train})
    with pytest.raises(DataError, match=r"has no split to test on .it has train.; a split test or val is expected"):
        _ = tiny(untestable, tmp_path).tested


def test_rows_that_cannot_be_run_are_recorded_and_the_rest_goes_on(town: Dataset, tmp_path: Path) -> None:
    told: list[RowResult] = []
    chosen = [papers.open_row(name) for name in (NEEDY, STEPPED, ROW)]
    found = run_rows(tiny(town, tmp_path), chosen, 1, told.append)
    assert found == told
    assert [bool(one.scores) for one in found] == [False, False, True]
    assert found[0].problem == NIGHTS_NEEDED
    assert "a step of 4 leaves 8 of 32 pixels" in str(found[1].problem)
    assert read_row(tiny(town, tmp_path), papers.open_row("martin/6/m1")).problem == "not run yet"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (["learning_rate=1e30", "batch_size=1"], "The loss became"),
        (["learning_rate=1e30"], "no number"),
        (["positive_within_m=0.001"], "has another within 0.001 m"),
    ],
)
def test_a_training_that_fails_is_not_tried_again(
    town: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: list[str], problem: str
) -> None:
    bench = tiny(town, tmp_path, *settings)
    first = ran(bench, ROW)[0]
    assert problem in str(first.problem)
    assert not first.scores
    no_training(monkeypatch)
    assert ran(bench, ROW)[0].problem == first.problem


def test_a_row_whose_source_fails_says_why(town: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loss = TripletLesson.loss
    monkeypatch.setattr(TripletLesson, "loss", lambda *arguments: loss(*arguments) * float("nan"))
    bench = tiny(town, tmp_path)
    together, alone = ran(bench, "martin/4/concat", "martin/1/netvlad")
    assert "The loss became nan" in str(together.problem)
    assert alone.problem == together.problem
    assert read_row(bench, alone.row).problem == alone.problem


def test_ensembles_test_what_was_trained(town: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The members are the rows' own runs, and a PCA has at most half as many components as there are photos."""
    bench = tiny(town, tmp_path)
    ran(bench, "martin/4/netvlad", "martin/1/gem")
    trained = {path.name for path in runs(bench)}
    concat, pca = ran(bench, "martin/4/concat", "martin/5/pca-concat")
    assert len(runs(bench)) == len(trained) + 2
    assert (concat.problem, pca.problem, concat.epochs) == (None, None, ((),))
    lengths = {run.encoder.recipe.name: run.encoder.descriptor_length for run in map(load_run, runs(bench))}
    photos = len(bench.learned["day"].splits["train"].photos)
    assert lengths == {
        "martin/4/netvlad": 128,
        "martin/1/gem": 64,
        "martin/4/concat": 192,
        "martin/5/pca-concat": 64 + photos // 2,
    }
    assert f"PCA to {photos // 2} components, not 2048: there are too few photos." in pca.said
    assert not any("PCA" in line for line in concat.said)


def test_several_scales_test_what_was_trained(town: Dataset, tmp_path: Path) -> None:
    bench = tiny(town, tmp_path, "image_size=128x128")
    found = ran(bench, STEPPED)[0]
    assert found.problem is None
    assert [path.name.rpartition("-")[0] for path in runs(bench)] == ["martin-1-gem", "martin-1-gem-multiscale"]
    trained, tested = (load_run(path).encoder for path in runs(bench))
    assert (trained.recipe.steps, tested.recipe.steps) == ((), (2, 4))
    assert all(torch.equal(tested.state_dict()[key], value) for key, value in trained.state_dict().items())


@pytest.mark.parametrize("name", [STEPPED, "martin/4/concat", "martin/5/pca-concat", "atadjanov/4/addition-gem-coded"])
def test_rows_that_train_nothing_train_nothing_whatever_is_set(town: Dataset, tmp_path: Path, name: str) -> None:
    bench = tiny(town, tmp_path, "image_size=128x128", "epochs=1")
    assert recipe_of(bench, papers.open_row(name), 0).epochs == 0
    assert recipe_of(bench, papers.open_row("martin/1/gem"), 0).epochs == 1


@pytest.mark.parametrize(
    ("backbone", "cut", "random"), [("resnet18", "layer3", "alexnet"), ("alexnet", "conv5", "resnet18")]
)
def test_a_backbone_that_the_weights_do_not_fit_starts_from_random_numbers(
    town: Dataset, tmp_path: Path, backbone: str, cut: str, random: str
) -> None:
    weights = trunk_file(tmp_path / "trunk.safetensors", backbone, cut)
    bench = Bench((town,), tmp_path / "out", weights, WHOLE)
    found = ran(bench, "atadjanov/4/addition-gem-coded")[0]
    assert found.problem is None
    text = "\n".join(found.said)
    assert "starts from random weights: trunk.safetensors is for another network." in text
    assert random in text.split(" starts from random weights: trunk")[0]
    assert "trunk.safetensors: " in text


def test_weights_that_fit_no_row(town: Dataset, tmp_path: Path) -> None:
    weights = trunk_file(tmp_path / "trunk.safetensors", "alexnet", "conv5")
    found = ran(tiny(town, tmp_path, weights=weights), ROW)[0]
    assert "covers nothing of this trunk" in str(found.problem)


# -- going on -----------------------------------------------------------------------------------------------------


def test_a_kill_between_training_and_scoring(town: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = tiny(town, tmp_path)
    first = ran(bench, ROW)[0]
    scores = list(runs(bench)[0].glob("scores-town-*.json"))
    assert len(scores) == 1
    scores[0].unlink()
    assert read_row(bench, papers.open_row(ROW)).problem == "not run yet"
    no_training(monkeypatch)
    assert numbers(ran(bench, ROW)[0]) == numbers(first)
    assert is_file(scores[0])


def test_a_kill_before_the_trainings_own_scores(town: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ran(tiny(town, tmp_path / "whole"), ROW)[0]
    bench = tiny(town, tmp_path / "killed")
    with monkeypatch.context() as patched:
        patched.setattr(
            importlib.import_module("geofix.train"), "before_and_after", lambda *_: (_ for _ in ()).throw(Killed())
        )
        with pytest.raises(Killed):
            ran(bench, ROW)
    assert not is_file(runs(bench)[0] / SCORES)
    monkeypatch.setattr(Learner, "training_step", lambda *_: pytest.fail("it trained again"))
    assert numbers(ran(bench, ROW)[0]) == numbers(whole)


def test_a_killed_training_is_gone_on_with_by_a_row_that_shares_it(
    town: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ran(tiny(town, tmp_path / "whole"), ROW)[0]
    bench = tiny(town, tmp_path / "killed")
    with monkeypatch.context() as patched:
        patched.setattr(importlib.import_module("geofix.train"), "save_run", lambda *_: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            ran(bench, ROW)
    assert is_file(runs(bench)[0] / "last.ckpt") and not is_file(runs(bench)[0] / WEIGHTS)
    monkeypatch.setattr(Learner, "training_step", lambda *_: pytest.fail("it trained again"))
    other = ran(bench, "martin/3/vanilla")[0]
    assert other.problem is None
    assert numbers(other) == numbers(whole)


def test_damaged_scores(town: Dataset, tmp_path: Path) -> None:
    bench = tiny(town, tmp_path, "epochs=0")
    ran(bench, ROW)
    for text in ("{", "{}"):
        next(runs(bench)[0].glob("scores-town-*.json")).write_text(text, encoding="utf-8")
        with pytest.raises(GeofixError, match=r"scores-town-.*json is damaged .*; remove it and run the same command"):
            ran(bench, ROW)


def test_a_folder_begun_otherwise_is_refused(town: Dataset, tmp_path: Path) -> None:
    row, weights = [papers.open_row(ROW)], tmp_path / "trunk.safetensors"
    bench = tiny(town, tmp_path)
    assert planned(bench, row, 1, None) == planned(bench, row, 1, None) == bench
    with pytest.raises(UsageError, match=r"was begun with settings .* and weights None, .*margin=0.2.* another --out"):
        planned(tiny(town, tmp_path, "margin=0.2"), row, 1, None)
    with pytest.raises(UsageError, match=r"was begun .*and trunk.safetensors are asked for; give the same"):
        planned(replace(bench, weights=weights), row, 1, None)


# -- pace ---------------------------------------------------------------------------------------------------------

STEP, LOOK, MEASURED = 0.02, 0.004, 300  # seconds a photo, photos


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_seconds_a_photo", lambda _: (STEP, LOOK))


def minutes_of(found: Pace, trainings: list[Recipe]) -> float:
    """What trainings take, looked at epoch by epoch."""
    seconds = 0.0
    for recipe in trainings:
        for _ in range(recipe.epochs):
            seconds += found.queries_per_epoch * (12 * STEP + 2 * LOOK)
            seconds += -(-found.queries_per_epoch // found.cache_refresh) * found.negative_candidates * LOOK
            seconds += MEASURED * LOOK
        seconds += 3 * MEASURED * LOOK
    return seconds / 60


@pytest.mark.usefixtures("speed")
def test_the_pace_fits_the_budget() -> None:
    trainings = [recipes.load("martin/1/gem"), recipes.load("martin/2/vanilla"), recipes.load("martin/figure-3/asgd")]
    before = Pace(5000, 1000, 1000)
    for minutes in (120.0, 60.0, 30.0, 12.0, 6.0, 3.0):
        found = pace_for(trainings, minutes, MEASURED, tests=0)
        assert found is not None
        assert minutes_of(found, trainings) <= minutes
        assert found.queries_per_epoch <= before.queries_per_epoch
        assert found.negative_candidates <= before.negative_candidates
        assert -(-found.queries_per_epoch // found.cache_refresh) == 5
        before = found
        if found.queries_per_epoch < 5000:  # not much of the time is left over
            more = replace(found, queries_per_epoch=2 * found.queries_per_epoch + found.negative_candidates)
            assert minutes_of(more, trainings) > minutes
    assert before.queries_per_epoch < 100


@pytest.mark.usefixtures("speed")
def test_nothing_is_made_longer_than_the_recipe() -> None:
    recipe = recipes.load("martin/1/gem")
    assert pace_for([recipe], 1e6, MEASURED, tests=0) is None
    assert pace_for([], 1.0, MEASURED, tests=9) is None
    short = recipes.with_settings(recipe, ["queries_per_epoch=50", "negative_candidates=30"])
    assert Pace(100, 20, 200).settings(short) == {
        "queries_per_epoch": 50,
        "cache_refresh": 20,
        "negative_candidates": 30,
    }


@pytest.mark.usefixtures("speed")
def test_too_small_a_budget() -> None:
    trainings = [recipes.load("martin/1/gem"), recipes.load("martin/1/netvlad")]
    with pytest.raises(
        UsageError, match=r"0.5 minutes are too few for 2 trainings of 10 epochs together: .*give a larger --budget"
    ):
        pace_for(trainings, 0.5, MEASURED, tests=0)


def test_the_speed_is_measured_here() -> None:
    recipe = recipes.with_settings(recipes.load("resnet18-netvlad"), list(TINY))
    step, look = pace._seconds_a_photo(recipe)
    assert 0 < look < 1
    assert 0 < step < 1


def test_trainings_are_counted_once(town: Dataset, tmp_path: Path) -> None:
    bench = tiny(town, tmp_path, "image_size=128x128")
    names = (ROW, "martin/3/vanilla", "martin/1/gem", STEPPED, "martin/4/concat", "atadjanov/4/addition-gem-coded")
    found = distinct(recipe_of(bench, papers.open_row(name), 0) for name in names)
    assert [recipe.epochs for recipe in found] == [1, 5]
    assert len(distinct(recipe_of(bench, papers.open_row(ROW), seed) for seed in (0, 1, 1))) == 2


@pytest.mark.usefixtures("speed")
def test_the_pace_is_written_down_and_used_again(
    town: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted are the rows that are trained and the rows whose weights others test."""
    bench = replace(
        tiny(town, tmp_path), settings=tuple(one for one in TINY if not one.startswith(("quer", "cache", "negative_c")))
    )
    chosen = [papers.open_row(name) for name in ("martin/4/concat", ROW, NEEDY)]
    asked: list[list[str]] = []
    monkeypatch.setattr(
        rows, "pace_for", lambda trainings, *_, **__: asked.append([one.name for one in trainings]) or Pace(40, 8, 200)
    )
    first = planned(bench, chosen, 1, 5.0)
    assert asked == [["martin/1/netvlad", "martin/1/gem", ROW]]
    assert first.pace == Pace(40, 8, 200)
    monkeypatch.setattr(rows, "pace_for", lambda *_, **__: pytest.fail("it was measured again"))
    assert planned(bench, chosen, 1, 7.0) == planned(bench, chosen, 1, None) == first
    assert json.loads((tmp_path / PLAN).read_text(encoding="utf-8"))["pace"]["cache_refresh"] == 8
    found = ran(first, ROW)[0]
    assert "Trained shorter than in the paper: 40 queries an epoch, mined from 200 gallery photos" in found.said[0]
    recipe = load_run(runs(first)[0]).encoder.recipe
    assert (recipe.queries_per_epoch, recipe.cache_refresh, recipe.negative_candidates) == (40, 8, 200)
    assert recipe_of(first, papers.open_row("martin/4/concat"), 0).queries_per_epoch == Recipe().queries_per_epoch


@pytest.mark.usefixtures("speed")
def test_a_budget_for_rows_that_cannot_be_run(town: Dataset, tmp_path: Path) -> None:
    """They are recorded later; the others share the time."""
    chosen = [papers.open_row(name) for name in (STEPPED, ROW)]
    bench = replace(tiny(town, tmp_path), settings=tuple(one for one in TINY if not one.startswith("quer")))
    assert planned(bench, chosen, 1, 3.0).pace is not None


def test_a_pace_that_changes_nothing_is_not_called_shorter(town: Dataset, tmp_path: Path) -> None:
    found = ran(tiny(town, tmp_path, pace=Pace(5000, 1000, 1000)), ROW)[0]
    assert not any("shorter" in line for line in found.said)


# -- the command --------------------------------------------------------------------------------------------------

OPTIONS = [part for setting in TINY for part in ("--set", setting)]


def test_reproduce(capsys: Captured, town: Dataset, tmp_path: Path) -> None:
    command = ["reproduce", "atadjanov/1/gem", "--data", town.root, "--out", tmp_path / "out", *OPTIONS]
    status, out, err = called(capsys, *command)
    assert status == 0
    written = [tmp_path / "out" / name for name in ("atadjanov.md", "rows.csv", "claims.md")]
    assert out.splitlines() == [str(path) for path in written]
    assert err.startswith("geofix: atadjanov/1/gem: town R@1 ")
    pages = [path.read_bytes() for path in written]
    assert "published pitts30k" in written[0].read_text(encoding="utf-8")
    lines = read_csv(written[1].read_text(encoding="utf-8"))
    ours = [line for line in lines if line["row"] == "atadjanov/1/gem"]
    assert len(ours) == 3 * 4
    shared = {line["row"] for line in lines if line["recall"]}
    assert shared == {f"atadjanov/{table}/gem" for table in (1, 2, 3, 4)}
    runs_before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / RUNS).rglob("*")}
    status, out, _ = called(capsys, *command)
    assert (status, [path.read_bytes() for path in written]) == (0, pages)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / RUNS).rglob("*")} == runs_before


def test_reproduce_names_a_row_that_cannot_be_run(capsys: Captured, town: Dataset, tmp_path: Path) -> None:
    status, out, err = called(
        capsys, "reproduce", STEPPED, NEEDY, "--data", town.root, "--out", tmp_path / "out", *OPTIONS
    )
    assert status == 1
    assert len(out.splitlines()) == 4
    assert f"geofix: {STEPPED}: " in err
    assert "a step of 4 leaves 8 of 32 pixels" in err
    assert f"geofix: {NEEDY}: {NIGHTS_NEEDED}" in err


def test_all_rows_that_claims_rest_on(
    capsys: Captured, town: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Row] = []
    monkeypatch.setattr(rows, "run_rows", lambda bench, chosen, *_: asked.extend(chosen) or [])
    status, out, _ = called(
        capsys, "reproduce", "claims", "martin/3/asgd", "--data", town.root, "--out", tmp_path / "out", *OPTIONS
    )
    assert status == 0
    of_places = [claim for claim in papers.claims() if not claim.across_views]
    expected = dict.fromkeys([name for claim in of_places for name in claim.rows] + ["martin/3/asgd"])
    assert [row.name for row in asked] == list(expected)
    assert [Path(line).name for line in out.splitlines()] == ["atadjanov.md", "martin.md", "rows.csv", "claims.md"]


def test_rows_that_nothing_runs_yet_beside_others(
    capsys: Captured, town: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their page is written, they are in the table of all rows, and they are no failures."""
    asked: list[Row] = []
    monkeypatch.setattr(rows, "run_rows", lambda bench, chosen, *_: asked.extend(chosen) or [])
    command = ["reproduce", "lavinskyi/2", ROW, "--data", town.root, "--out", tmp_path / "out", *OPTIONS]
    status, out, err = called(capsys, *command)
    assert (status, [row.name for row in asked]) == (0, [ROW])
    names = ["lavinskyi.md", f"{ROW.split('/')[0]}.md", "rows.csv", "claims.md"]
    assert [Path(line).name for line in out.splitlines()] == names
    assert err == f"geofix: lavinskyi: {NOT_RUN}; its page has what was published.\n"
    lines = read_csv((tmp_path / "out" / "rows.csv").read_text(encoding="utf-8"))
    found = {line["row"]: line["problem"] for line in lines if line["row"].startswith("lavinskyi/")}
    assert found == dict.fromkeys([row.name for row in papers.chosen_rows("lavinskyi")], NOT_RUN)


def test_a_row_that_nothing_runs_yet_is_no_part_of_a_plan(town: Dataset, tmp_path: Path) -> None:
    bench = planned(tiny(town, tmp_path), [papers.open_row("lavinskyi/2/city")], 1, None)
    assert ran(bench, "lavinskyi/2/city")[0].problem == NOT_RUN


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["martin/3", "--seeds", "0"], "0 seeds and a budget of None minutes were asked for; both are above 0"),
        (["martin/3", "--budget", "-3"], "1 seeds and a budget of -3.0 minutes were asked for; both are above 0"),
        (["martin/3", "--budget", "nan"], "budget"),
        (["martn"], "There is no paper 'martn'; did you mean 'martin'?"),
        (["martin/33"], "There is no table 'martin/33'; did you mean 'martin/3'?"),
        (["martin/3/adam"], "There is no row 'martin/3/adam'; did you mean 'martin/3/adamw'?"),
    ],
)
def test_reproduce_refuses(capsys: Captured, town: Dataset, tmp_path: Path, arguments: list[str], message: str) -> None:
    out = tmp_path / "out"
    assert message in refused(capsys, "reproduce", *arguments, "--data", town.root, "--out", out, *OPTIONS)
    assert not out.exists()


def test_a_setting_that_is_none_is_refused_before_the_folder_is_begun(
    capsys: Captured, town: Dataset, tmp_path: Path
) -> None:
    command = ["reproduce", ROW, "--data", town.root, "--out", tmp_path / "out", *OPTIONS]
    status, _, err = called(capsys, *command, "--set", "imagesize=64x64")
    assert status != 0
    assert "did you mean 'image_size'" in err
    assert called(capsys, *command)[0] == 0


def test_a_damaged_plan(capsys: Captured, town: Dataset, tmp_path: Path) -> None:
    (tmp_path / PLAN).write_text("{", encoding="utf-8")
    command = ["reproduce", ROW, "--data", town.root, "--out", tmp_path, *OPTIONS]
    assert str(tmp_path / PLAN) in refused(capsys, *command)


def test_two_data_sets_of_one_name(capsys: Captured, town: Dataset, tmp_path: Path) -> None:
    """They would share a column."""
    other = shutil.copytree(town.root, tmp_path / "other" / town.root.name)
    command = ["reproduce", ROW, "--data", town.root, "--data", other, "--out", tmp_path / "out", *OPTIONS]
    assert town.root.name in refused(capsys, *command)
