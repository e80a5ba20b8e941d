"""train with epochs: it learns, logs, chooses, stops, resumes to the bit, and says what went wrong."""

from __future__ import annotations

import csv
import importlib
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import geofix.files
import toy_places
from geofix import recipes
from geofix.data import deep_vg
from geofix.data.places import Dataset, Split
from geofix.errors import (
    DataError,
    PhotoError,
    RecipeError,
    StorageError,
    TrainingError,
    UsageError,
    WeightsError,
)
from geofix.evaluate import Scores
from geofix.learn import checkpoints, course
from geofix.learn.learner import Learner, Progress
from geofix.learn.triplets import TripletLesson
from geofix.models.build import build
from geofix.models.runs import load_run
from geofix.recipes import Recipe
from geofix.train import train

SMALL = [
    "pretrained=none", "image_size=48x64", "cut=layer1", "frozen_through=conv1", "epochs=2", "queries_per_epoch=6",
    "cache_refresh=2", "batch_size=1", "negatives=3", "negative_candidates=20", "block_share=0.3", "learning_rate=1e-3",
]  # fmt: skip


def small(*settings: str, name: str = "resnet18-gem") -> Recipe:
    return recipes.with_settings(recipes.load(name), [*SMALL, *settings])


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return deep_vg.read(toy_places.write(tmp_path_factory.mktemp("toy_to_learn")))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums of several threads are not the same to the bit every time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def rows(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((out / course.METRICS).read_text(encoding="utf-8").splitlines()))


# -- it learns ----------------------------------------------------------------------------------------------------


def test_what_a_training_leaves(toy: Dataset, tmp_path: Path) -> None:
    told: list[str] = []
    run = train(small(), toy, tmp_path / "run", say=told)
    assert sorted(entry.name for entry in (tmp_path / "run").iterdir()) == [
        "last.ckpt", "logs", "metrics.csv", "preprocess.json", "recipe.yaml", "scores.json", "weights.safetensors",
    ]  # fmt: skip
    assert load_run(tmp_path / "run").fingerprint == run.fingerprint
    assert list((tmp_path / "run" / "logs").glob("events.out.tfevents.*"))
    log = rows(tmp_path / "run")
    assert [row["epoch"] for row in log] == ["0", "1", "2"]
    assert [row["false_negatives"] for row in log] == ["0", "0", "0"]
    assert log[0]["loss"] == ""
    assert float(log[1]["loss"]) > 0
    assert not any(p.requires_grad for p in run.encoder.trunk.network.conv1.parameters())  # type: ignore[union-attr]


def test_the_scores_show_before_and_after(toy: Dataset, tmp_path: Path) -> None:
    train(small(), toy, tmp_path / "run")
    found = json.loads((tmp_path / "run" / "scores.json").read_text(encoding="utf-8"))
    assert Scores.from_dict(found, "here").protocol["split"] == "block"
    assert set(found["training"]["splits"]) == {"train", "block"}
    for split in found["training"]["splits"].values():
        for n in ("1", "5"):
            difference = split["trained"]["recall"][n] - split["untrained"]["recall"][n]
            assert split["difference"][n]["points"] == pytest.approx(difference)


def test_the_loss_goes_down(toy: Dataset, tmp_path: Path) -> None:
    settings = ["epochs=8", "patience=8", "mining=random", "batch_norm=frozen", "loss=sare_joint"]
    train(small(*settings), toy, tmp_path / "run")
    losses = [float(row["loss"]) for row in rows(tmp_path / "run")[1:]]
    assert np.mean(losses[5:]) < np.mean(losses[:3])


@pytest.mark.parametrize("loss", ["sare_ind", "sare_joint"])
def test_other_losses(toy: Dataset, tmp_path: Path, loss: str) -> None:
    train(small(f"loss={loss}", "epochs=1", "mining=random"), toy, tmp_path / "run")
    assert float(rows(tmp_path / "run")[1]["loss"]) > 0


@pytest.mark.parametrize("pooling", ["gem", "netvlad"])
def test_places_as_classes(toy: Dataset, tmp_path: Path, pooling: str) -> None:
    settings = ["learn=classes", "loss=multi_similarity", "photos_per_place=3", "batch_size=3", "netvlad_clusters=4"]
    augment = [
        "augment_colour=0.3",
        "augment_crop=0.6",
        "augment_perspective=0.2",
        "augment_erase=0.5",
        "augment_flip=true",
    ]
    train(small(*settings, *augment, f"pooling={pooling}"), toy, tmp_path / "run")
    assert [row["false_negatives"] for row in rows(tmp_path / "run")] == ["0", "0", "0"]


PAIRS = ["learn=pairs", "whiten_directions=6", "positive_within_m=25", "pooling=netvlad", "netvlad_clusters=4"]


def test_whitening_from_pairs(toy: Dataset, tmp_path: Path) -> None:
    run = train(small(*PAIRS, "scales=[1.0, 1.5]"), toy, tmp_path / "run")
    log = rows(tmp_path / "run")
    assert [row["epoch"] for row in log] == ["0", "1", "2"]
    assert int(log[1]["steps"]) > 0
    assert torch.count_nonzero(run.encoder.whitening.gains) == 6  # type: ignore[union-attr]
    assert sorted(entry.name for entry in (tmp_path / "run").iterdir()) == [
        "metrics.csv", "preprocess.json", "recipe.yaml", "scores.json", "weights.safetensors",
    ]  # fmt: skip
    loaded = load_run(tmp_path / "run").encoder.whitening
    assert torch.equal(loaded.directions, run.encoder.whitening.directions)  # type: ignore[union-attr]


def test_pairs_stopped_and_gone_on_with(toy: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(small(*PAIRS), toy, tmp_path / "whole")
    pairs = importlib.import_module("geofix.learn.pairs")
    with monkeypatch.context() as patched:
        patched.setattr(pairs, "mutual_pairs", lambda *_: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            train(small(*PAIRS), toy, tmp_path / "run")
    with pytest.raises(UsageError, match="add --resume"):
        train(small(*PAIRS), toy, tmp_path / "run")
    assert train(small(*PAIRS), toy, tmp_path / "run", resume=True).fingerprint == whole.fingerprint


def test_pairs_of_nothing_alike(toy: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("geofix.learn.pairs"), "mutual_pairs", lambda *_: np.empty((0, 2)))
    with pytest.raises(DataError, match="No two photos of split 'train' look like one place"):
        train(small(*PAIRS), toy, tmp_path / "run")


def test_bf16_and_accumulation(toy: Dataset, tmp_path: Path) -> None:
    settings = ["train_precision=bf16", "accumulate=2", "optimizer=adamw", "schedule=cosine", "warmup_steps=1"]
    train(small(*settings, "weight_decay=0.01"), toy, tmp_path / "run")
    assert np.isfinite(float(rows(tmp_path / "run")[2]["loss"]))


def test_channels_last_learns_the_same(toy: Dataset, tmp_path: Path) -> None:
    train(small(), toy, tmp_path / "a")
    train(small("channels_last=false"), toy, tmp_path / "b")
    for one, other in zip(rows(tmp_path / "a")[1:], rows(tmp_path / "b")[1:], strict=True):
        assert float(one["loss"]) == pytest.approx(float(other["loss"]), rel=1e-3)


def test_weights_are_chosen_and_patience_ends_it(toy: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recalls = iter([0.5, 0.6, 0.9, 0.7, 0.9, 0.8])
    monkeypatch.setattr(course, "recall_now", lambda *_: {1: 0.1, 5: next(recalls)})
    train(small("epochs=9", "patience=3", "cache_refresh=6"), toy, tmp_path / "run")
    found = json.loads((tmp_path / "run" / "scores.json").read_text(encoding="utf-8"))["training"]
    assert (found["best_epoch"], found["epochs"]) == (2, 5)
    assert found["stopped"] == "no better R@5 for 3 epochs"


def test_the_kept_weights_are_those_of_the_best_epoch(
    toy: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train(small("epochs=1"), toy, tmp_path / "one")
    recalls = iter([0.5, 0.9, 0.7])
    monkeypatch.setattr(course, "recall_now", lambda *_: {1: 0.1, 5: next(recalls)})
    both = train(small("epochs=2"), toy, tmp_path / "two")
    for name, value in first.encoder.state_dict().items():
        assert torch.equal(value, both.encoder.state_dict()[name]), name


def test_it_says_when_training_did_not_help(toy: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recalls = iter([0.9, 0.8, 0.7])
    monkeypatch.setattr(course, "recall_now", lambda *_: {1: 0.1, 5: next(recalls)})
    told: list[str] = []
    train(small(), toy, tmp_path / "run", say=told)
    assert any("Training did not help: on the block no epoch has a better R@5" in sentence for sentence in told)


def test_numbers_shrink_to_the_data_and_say_so(toy: Dataset, tmp_path: Path) -> None:
    told: list[str] = []
    settings = ["queries_per_epoch=5000", "cache_refresh=1000", "negatives=99", "negative_candidates=1000"]
    train(small(*settings, "epochs=1"), toy, tmp_path / "run", say=told)
    text = " ".join(told)
    for what in ("queries an epoch", "negatives a query", "candidates for negatives"):
        assert what in text


def test_other_splits_than_train(toy: Dataset, tmp_path: Path) -> None:
    whole = Dataset(
        toy.root, toy.layout, {"train": toy.splits["train"], "val": replace(toy.splits["test"], name="val")}
    )
    train(small("choose_on=val", "epochs=1"), whole, tmp_path / "run")
    found = json.loads((tmp_path / "run" / "scores.json").read_text(encoding="utf-8"))
    assert set(found["training"]["splits"]) == {"train", "val"}
    pool = replace(toy.splits["train"], queries=toy.splits["train"].gallery, leave_one_out=True)
    train(small("epochs=1"), Dataset(toy.root, "exif", {"all": pool}), tmp_path / "pool")
    with pytest.raises(DataError, match="has no split 'train'; found: a, b"):
        train(small(), Dataset(toy.root, "x", {"a": pool, "b": pool}), tmp_path / "none")


def test_pairs_with_their_nights(toy: Dataset, tmp_path: Path) -> None:
    """Beside pairs of photos, pairs of a photo and its night: another whitening, and the same bits again."""
    plain, nights, again = (
        train(small(*PAIRS, "epochs=1", f"night_pairs={share}"), toy, tmp_path / name)
        for name, share in (("plain", 0), ("nights", 0.5), ("again", 0.5))
    )
    days = int(rows(plain.folder)[1]["steps"])
    assert days < int(rows(nights.folder)[1]["steps"]) <= days + round(0.5 * days)
    assert nights.fingerprint == again.fingerprint != plain.fingerprint
    with pytest.raises(RecipeError, match="night_pairs belong to learn=pairs; queries are learned at night by augment"):
        small("night_pairs=0.5")


# -- it resumes ---------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for a kill: nothing of ours catches it."""


def killed_at(step: int) -> Progress:
    calls = {"n": 0}

    def progress(what: str, done: int, total: int) -> None:
        if what == "training":
            calls["n"] += 1
            if calls["n"] == step:
                raise Killed

    return progress


@pytest.mark.parametrize("step", [1, 2, 3, 5])
@pytest.mark.parametrize("way", ["partial", "full", "classes"])
def test_a_killed_training_ends_with_the_same_bits(toy: Dataset, tmp_path: Path, way: str, step: int) -> None:
    settings = [f"mining={way}"] if way != "classes" else ["learn=classes", "loss=multi_similarity", "augment_crop=0.7"]
    recipe = small(*settings, "epochs=3", "schedule=cosine", "patience=9")
    whole = train(recipe, toy, tmp_path / "whole")
    with pytest.raises(Killed):
        train(recipe, toy, tmp_path / "run", progress=killed_at(step))
    assert not (tmp_path / "run" / "weights.safetensors").exists()
    again = train(recipe, toy, tmp_path / "run", resume=True)
    assert again.fingerprint == whole.fingerprint
    for one, other in zip(rows(tmp_path / "run"), rows(tmp_path / "whole"), strict=True):
        assert {k: v for k, v in one.items() if k != "seconds"} == {k: v for k, v in other.items() if k != "seconds"}


@pytest.mark.parametrize("schedule", ["plateau", "cosine_rounds"])
def test_a_killed_training_with_a_schedule_by_rounds(toy: Dataset, tmp_path: Path, schedule: str) -> None:
    recipe = small(f"schedule={schedule}", "optimizer=asgd", "epochs=3", "patience=9")
    whole = train(recipe, toy, tmp_path / "whole")
    with pytest.raises(Killed):
        train(recipe, toy, tmp_path / "run", progress=killed_at(6))
    assert train(recipe, toy, tmp_path / "run", resume=True).fingerprint == whole.fingerprint


def test_the_plateau_lowers_the_rate_after_two_rounds_without_a_lower_loss(toy: Dataset, tmp_path: Path) -> None:
    """A rate too small to learn anything: the loss stands still, and each patience of one round costs a tenth."""
    recipe = small("schedule=plateau", "learning_rate=1e-6", "epochs=6", "patience=9", "batch_norm=frozen")
    train(recipe, toy, tmp_path / "run")
    rates = [float(row["learning_rate"]) for row in rows(tmp_path / "run")[1:]]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.2 * rates[0]


def test_the_cosine_by_rounds_follows_its_formula(toy: Dataset, tmp_path: Path) -> None:
    recipe = small("schedule=cosine_rounds", "epochs=3", "patience=9")
    train(recipe, toy, tmp_path / "run")
    rounds = 2  # of an epoch: the toy has 4 queries to learn from, a mining every 2; the last rate is logged
    for epoch, row in enumerate(rows(tmp_path / "run")[1:], start=1):
        expected = 1e-3 * (1 + math.cos(math.pi * (rounds * epoch - 1) / (rounds * 3))) / 2
        assert float(row["learning_rate"]) == pytest.approx(expected)


def test_killed_before_the_scores(toy: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(small(), toy, tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr(
            importlib.import_module("geofix.train"), "before_and_after", lambda *_: (_ for _ in ()).throw(Killed())
        )
        with pytest.raises(Killed):
            train(small(), toy, tmp_path / "run")
    monkeypatch.setattr(Learner, "training_step", lambda *_: pytest.fail("it trained again"))
    again = train(small(), toy, tmp_path / "run", resume=True)
    assert again.fingerprint == whole.fingerprint
    assert not (tmp_path / "run" / course.BEST).exists()


def test_resume_begins_where_there_is_nothing_and_ends_where_all_is_done(toy: Dataset, tmp_path: Path) -> None:
    told: list[str] = []
    first = train(small("epochs=1"), toy, tmp_path / "run", resume=True)
    again = train(small("epochs=1"), toy, tmp_path / "run", resume=True, say=told)
    assert again.fingerprint == first.fingerprint
    assert told == [f"{tmp_path / 'run'} is a finished run; nothing is left to do."]


def test_a_stopped_training_is_not_begun_anew_by_mistake(toy: Dataset, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(small(), toy, tmp_path / "run", progress=killed_at(3))
    with pytest.raises(UsageError, match=r"holds a training that was stopped; add --resume to go on with it"):
        train(small(), toy, tmp_path / "run")
    with pytest.raises(WeightsError, match="of a training with another recipe or other photos"):
        train(small("learning_rate=0.5"), toy, tmp_path / "run", resume=True)
    fewer = replace(toy.splits["train"], queries=toy.splits["train"].queries[:-1])
    with pytest.raises(WeightsError, match="of a training with another recipe or other photos"):
        train(small(), Dataset(toy.root, toy.layout, {"train": fewer}), tmp_path / "run", resume=True)


def test_a_damaged_checkpoint(toy: Dataset, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(small(), toy, tmp_path / "run", progress=killed_at(3))
    (tmp_path / "run" / checkpoints.CHECKPOINT).write_bytes(b"no checkpoint")
    with pytest.raises(
        WeightsError, match=r"last.ckpt cannot be read .*remove the folder and start the training again"
    ):
        train(small(), toy, tmp_path / "run", resume=True)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_a_polite_kill_stop_it_and_lose_nothing(toy: Dataset, tmp_path: Path, sent: signal.Signals) -> None:
    def stopped(what: str, done: int, _: int) -> None:
        if what == "training" and done == 3:
            if sent == signal.SIGINT:
                raise KeyboardInterrupt
            os.kill(os.getpid(), sent)

    before = signal.getsignal(sent)
    whole = train(small(), toy, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(small(), toy, tmp_path / "run", progress=stopped)
    assert signal.getsignal(sent) == before
    assert train(small(), toy, tmp_path / "run", resume=True).fingerprint == whole.fingerprint


# -- it shares the work -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_processes(tmp_path: Path) -> None:
    toy_places.write(tmp_path / "toy")
    settings = [part for setting in [*SMALL, "batch_norm=frozen"] for part in ("--set", setting)]
    command = ["train", "resnet18-gem", "--data", str(tmp_path / "toy"), "--out", str(tmp_path / "run"), *settings]
    done = subprocess.run(
        [sys.executable, "-m", "geofix", *command, "--devices", "2"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("block (held out of train)") == 1
    assert [row["epoch"] for row in rows(tmp_path / "run")] == ["0", "1", "2"]
    load_run(tmp_path / "run")


# -- what goes wrong ----------------------------------------------------------------------------------------------


def exploding(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    steps = {"n": 0}
    loss = TripletLesson.loss

    def explode(self: TripletLesson, descriptors: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        steps["n"] += 1
        return loss(self, descriptors, places) * (float("nan") if steps["n"] > after else 1.0)

    monkeypatch.setattr(TripletLesson, "loss", explode)


def test_an_exploding_loss_names_the_last_good_weights(
    toy: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exploding(monkeypatch, after=4)
    with pytest.raises(
        TrainingError, match=r"The loss became nan .* the weights of epoch 1, .* are in .*best.safetensors"
    ):
        train(small(), toy, tmp_path / "run")
    encoder = build(small(), pretrained=False)
    encoder.load_state_dict(course.load_file(tmp_path / "run" / course.BEST))
    assert not (tmp_path / "run" / "weights.safetensors").exists()


def test_a_loss_that_explodes_at_once(toy: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exploding(monkeypatch, after=0)
    with pytest.raises(TrainingError, match="no epoch had been completed, so there are no weights"):
        train(small(), toy, tmp_path / "run")


def test_a_full_disk_during_a_checkpoint(toy: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = geofix.files.write_atomically
    saved = {"n": 0}

    def full(path: Path, content: str | bytes) -> None:
        if path.name == checkpoints.CHECKPOINT:
            saved["n"] += 1
            if saved["n"] == 3:
                raise StorageError(f"The disk is full: {path} could not be written; free some space and run again.")
        write(path, content)

    whole = train(small(), toy, tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "write_atomically", full)
        with pytest.raises(
            StorageError, match=r"The disk is full: .*last.ckpt .* The weights of epoch 1, the best so far"
        ):
            train(small(), toy, tmp_path / "run")
    assert train(small(), toy, tmp_path / "run", resume=True).fingerprint == whole.fingerprint


def test_the_audit_stops_a_training(toy: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geofix.data.triplets.TripletPhotos.false_negatives", lambda *_: 2)
    with pytest.raises(TrainingError, match="The mining audit found 2 negatives .* in epoch 1"):
        train(small(), toy, tmp_path / "run")


def test_photos_that_cannot_be_read_are_left_out_and_named(tmp_path: Path) -> None:
    root = toy_places.write(tmp_path / "toy")
    broken = sorted((root / "images" / "train" / "database").iterdir())[20]
    broken.write_bytes(b"no photo")
    for way in (["mining=full"], ["mining=random"], ["learn=classes", "loss=multi_similarity"]):
        errors: list[PhotoError] = []
        out = tmp_path / way[0]
        train(small(*way, "negative_candidates=40", "epochs=9", "patience=9"), deep_vg.read(root), out, errors=errors)
        assert errors or way == ["mining=random"]  # chance may never have drawn it
        assert all(str(broken) in str(error) for error in errors)


def test_what_cannot_be_trained(toy: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There are no photos to learn from; name a dataset with --data DIR"):
        train(small(), None, tmp_path / "a")
    with pytest.raises(
        RecipeError, match="frozen_through is 'layer9', which is no part of this backbone; its parts are"
    ):
        train(small("frozen_through=layer9"), toy, tmp_path / "b")
    with pytest.raises(RecipeError, match="Nothing is left to train: the backbone is frozen through layer1 and what"):
        train(small("frozen_through=layer1", "pooling=mac"), toy, tmp_path / "c")
    with pytest.raises(DataError, match="too small to hold out a block of 1%"):
        train(small("block_share=0.01"), toy, tmp_path / "d")
    lonely = Split("train", toy.splits["train"].gallery[:2], toy.splits["train"].queries[-2:])
    with pytest.raises(DataError, match="too small to hold out a block"):
        train(small(), Dataset(toy.root, "x", {"train": lonely}), tmp_path / "e")
    with pytest.raises(DataError, match="has no split 'val'"):
        train(small("choose_on=val"), toy, tmp_path / "f")
