"""Where an encoder begins: a run trained before, in another form or learning on, and what its recipe says of it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

import toy_places
from geofix import recipes
from geofix.data import deep_vg
from geofix.data.places import Dataset
from geofix.encode import encode
from geofix.errors import RecipeError, UsageError, WeightsError
from geofix.evaluate import evaluate
from geofix.learn.course import METRICS
from geofix.models.build import build
from geofix.models.encoder import Encoder
from geofix.models.pooling import NetVLAD
from geofix.models.runs import WEIGHTS, Run, load_run
from geofix.models.start import start
from geofix.train import train
from test_cli import Captured, called, refused
from test_ensemble import described, ensemble, parameters, quick, short, some_images
from test_train import tiny, trunk_weights
from test_train_epochs import Killed, killed_at
from toy_places import put

CLUSTERS = ["netvlad_clusters=4", "netvlad_photos=9"]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return deep_vg.read(toy_places.write(tmp_path_factory.mktemp("toy")))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(quick("name=plain"), None, tmp_path_factory.mktemp("runs") / "plain")


@pytest.fixture(scope="module")
def vlad(toy: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("runs") / "vlad"
    return train(quick(*CLUSTERS, name="resnet18-netvlad"), toy, folder)


@pytest.fixture(scope="module")
def learned(toy: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Trained for an epoch at 48x64 pixels."""
    return train(short("name=learned", "epochs=1", "margin=5"), toy, tmp_path_factory.mktemp("runs") / "learned")


def assert_taken_over(found: Encoder, expected: Encoder, part: str = "") -> None:
    ours = {key: value for key, value in found.state_dict().items() if key.startswith(part)}
    assert ours
    for key, value in ours.items():
        assert torch.equal(value, expected.state_dict()[key]), key


# -- in another form ----------------------------------------------------------------------------------------------


def test_the_whole_encoder_is_taken_over(vlad: Run, tmp_path: Path) -> None:
    """No dataset is named: the clusters are not placed anew."""
    told: list[str] = []
    recipe = quick(*CLUSTERS, "seed=7", name="resnet18-netvlad")
    run = train(recipe, None, tmp_path / "run", weights=vlad.folder, say=told)
    assert_taken_over(run.encoder, vlad.encoder)
    assert torch.equal(described(load_run(run.folder).encoder, some_images()), described(vlad.encoder, some_images()))
    assert told == [f"{vlad.folder} gives {vlad.name}, which is untrained, from random weights."]
    assert run.encoder.recipe.seed == 7


@pytest.mark.parametrize("sizes", ["steps=[2]", "scales=[1.0, 0.5]", "image_size=48x64"])
def test_other_sizes_change_descriptors_and_no_tensor(sizes: str, vlad: Run, tmp_path: Path) -> None:
    run = train(quick(*CLUSTERS, sizes, name="resnet18-netvlad"), None, tmp_path / "run", weights=vlad.folder)
    assert_taken_over(run.encoder, vlad.encoder)
    before, after = (described(one.encoder, some_images(rows=one.encoder.preprocess.size[0])) for one in (vlad, run))
    assert before.shape == after.shape
    assert not torch.allclose(before, after, atol=1e-3)


def test_an_earlier_cut_takes_the_trunk_so_far(plain: Run, tmp_path: Path) -> None:
    deep = train(quick("cut=layer2"), None, tmp_path / "deep")
    run = train(quick("seed=3"), None, tmp_path / "run", weights=deep.folder)
    assert_taken_over(run.encoder, deep.encoder)
    assert run.encoder.descriptor_length < deep.encoder.descriptor_length


def test_another_pooling_starts_anew_and_says_so(toy: Dataset, plain: Run, vlad: Run, tmp_path: Path) -> None:
    recipe = quick(*CLUSTERS, name="resnet18-netvlad")
    with pytest.raises(UsageError, match="NetVLAD places its clusters on photos"):
        train(recipe, None, tmp_path / "run", weights=plain.folder)
    told: list[str] = []
    run = train(recipe, toy, tmp_path / "run", weights=plain.folder, say=told)
    assert told[1] == "The run has no pooling of that kind; it starts anew."
    assert_taken_over(run.encoder, plain.encoder, "trunk.")
    assert isinstance(run.encoder.pooling, NetVLAD)
    assert not torch.equal(run.encoder.pooling.centroids, build(recipe, pretrained=False).pooling.centroids)
    told.clear()
    more = train(
        quick("netvlad_clusters=3", name="resnet18-netvlad"), toy, tmp_path / "3", weights=vlad.folder, say=told
    )
    assert told[1] == "The run has no pooling of that kind; it starts anew."
    assert more.encoder.pooling.centroids.shape == (3, 32)
    told.clear()
    train(quick("projection=5"), None, tmp_path / "both", weights=vlad.folder, say=told)
    assert told[1] == "The run has no pooling and no projection of that kind; it starts anew."


def test_a_pooling_without_weights_has_nothing_to_start(plain: Run, tmp_path: Path) -> None:
    told: list[str] = []
    run = train(quick("pooling=mac"), None, tmp_path / "run", weights=plain.folder, say=told)
    assert_taken_over(run.encoder, plain.encoder)
    assert len(told) == 1


def test_a_pca_on_top_of_a_run(toy: Dataset, plain: Run, tmp_path: Path) -> None:
    run = train(quick("pca=6"), toy, tmp_path / "6", weights=plain.folder)
    photos = toy.splits["train"].photos
    expected = PCA(6, random_state=0).fit_transform(encode(plain, photos).single)
    np.testing.assert_allclose(encode(run, photos).single, expected, rtol=0, atol=1e-5)
    with pytest.raises(UsageError, match="A PCA is fitted to the descriptors of photos; name a dataset"):
        train(quick("pca=6"), None, tmp_path / "none", weights=plain.folder)
    same = train(quick("pca=6"), None, tmp_path / "same", weights=run.folder)  # fitted already
    assert_taken_over(same.encoder, run.encoder)
    fewer = train(quick("pca=2"), toy, tmp_path / "2", weights=run.folder)
    np.testing.assert_allclose(encode(fewer, photos).single, expected[:, :2], rtol=0, atol=1e-5)
    whole = train(quick(), None, tmp_path / "whole", weights=run.folder)
    assert torch.equal(described(whole.encoder, some_images()), described(plain.encoder, some_images()))


def test_a_run_that_comes_with_geofix(tmp_path: Path) -> None:
    name = "geofix-town-small"
    recipe = recipes.with_settings(recipes.load(name), ["epochs=0", "image_size=64x64", "steps=[2]"])
    run = train(recipe, None, tmp_path / "run", weights=Path(name))
    shipped = load_run(Path(name))
    assert_taken_over(run.encoder, shipped.encoder)
    assert not torch.allclose(described(run.encoder, some_images()), described(shipped.encoder, some_images()))
    assert run.encoder.origin()["epochs"] == 16


# -- what it had learned ------------------------------------------------------------------------------------------


def test_what_the_recipe_says_of_the_run(toy: Dataset, learned: Run, tmp_path: Path) -> None:
    told: list[str] = []
    first = train(short("epochs=0", "name=first"), None, tmp_path / "first", weights=learned.folder, say=told)
    recipe = load_run(first.folder).encoder.recipe
    assert recipe.weights == f"run {learned.name}, which learned 1 epochs from random weights"
    assert told == [f"{learned.folder} gives {recipe.weights.removeprefix('run ')}."]
    assert (recipe.name, recipe.pretrained, recipe.epochs, recipe.epochs_before) == ("first", "none", 0, 1)
    second = train(short("epochs=0"), None, tmp_path / "second", weights=first.folder).encoder.recipe
    assert second.weights == f"run {first.name}, which is untrained, from {recipe.weights}"
    assert (second.epochs, second.epochs_before) == (0, 1)
    protocol = evaluate(load_run(first.folder), toy).protocol
    assert [protocol[key] for key in ("pretrained", "weights", "epochs")] == ["none", recipe.weights, 1]


def test_random_tensors_are_not_forgotten(tmp_path: Path) -> None:
    file = trunk_weights(tmp_path / "w.safetensors", without="layer1.1")
    settings = ["backbone=resnet18.tv_in1k"]
    part = train(quick(*settings), None, tmp_path / "part", weights=file)
    run = train(quick(*settings), None, tmp_path / "run", weights=part.folder)
    assert run.encoder.recipe.random_tensors == part.encoder.recipe.random_tensors > 0
    assert run.encoder.recipe.pretrained == "file"
    assert "which is untrained, from w.safetensors (sha256 " in (run.encoder.recipe.weights or "")


def test_training_goes_on_from_a_run(toy: Dataset, learned: Run, tmp_path: Path) -> None:
    asked = short("epochs=2", "margin=5")
    run = train(asked, toy, tmp_path / "run", weights=learned.folder)
    before, after = parameters(learned.encoder), parameters(run.encoder)
    for key, value in after.items():
        assert torch.equal(value, before[key]) == key.startswith("trunk.network.conv1."), key
    recipe = load_run(run.folder).encoder.recipe
    assert (recipe.epochs, recipe.epochs_before) == (2, 1)
    assert recipe.weights == f"run {learned.name}, which learned 1 epochs from random weights"
    assert run.encoder.origin()["epochs"] == 3
    with (tmp_path / "run" / METRICS).open(encoding="utf-8") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1", "2"]
    stopped = tmp_path / "stopped"
    with pytest.raises(Killed):
        train(asked, toy, stopped, weights=learned.folder, progress=killed_at(4))
    assert train(asked, toy, stopped, weights=learned.folder, resume=True).fingerprint == run.fingerprint


# -- what cannot be started from ----------------------------------------------------------------------------------


def test_runs_that_do_not_fit(plain: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for setting in ("cut=layer2", "backbone=test_byobnet", "backbone=resnet18.tv_in1k"):
        cut = "cut=last" if "byobnet" in setting else setting
        with pytest.raises(
            RecipeError, match=r"another trunk \(test_resnet cut at layer1\) than the recipe \(.*set back"
        ):
            train(quick(setting, cut), None, out, weights=plain.folder)
    with pytest.raises(UsageError, match="An ensemble that is trained as one does not start from a run"):
        train(quick("members=[{}, {}]"), None, out, weights=plain.folder)
    both = train(ensemble(), None, tmp_path / "both", members=[plain.folder, plain.folder])
    for recipe in (quick(), both.encoder.recipe):
        with pytest.raises(UsageError, match="both is an ensemble, which nothing can be started from; .*--member"):
            train(recipe, None, out, weights=both.folder)
    assert not out.exists()


def test_weights_that_are_nowhere_or_half_there(plain: Run, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="nowhere"):
        train(quick(), None, tmp_path / "out", weights=tmp_path / "nowhere")
    put(tmp_path / "half" / "recipe.yaml", b"name: half")
    with pytest.raises(WeightsError, match=rf"half is no whole run folder: .*{WEIGHTS} is missing"):
        train(quick(), None, tmp_path / "out", weights=tmp_path / "half")


def test_a_start_places_nothing_and_writes_nothing(plain: Run, vlad: Run) -> None:
    recipe = quick(*CLUSTERS, name="resnet18-netvlad")
    assert start(recipe, vlad.folder, (), []).unplaced == ()
    for weights in (plain.folder, None):
        begun = start(recipe, weights, (), [])
        assert begun.unplaced == (begun.encoder,)
    members = start(quick("members=[{pooling: netvlad}, {}, {pooling: netvlad}]"), None, (), [])
    assert members.unplaced == (members.encoder.members[0], members.encoder.members[2])
    mixed = ensemble("members=[{}, {pooling: netvlad, netvlad_clusters: 2}]")
    runs = start(mixed, None, [vlad.folder, plain.folder], [])
    assert runs.unplaced == (runs.encoder.members[1],)


# -- the command line ---------------------------------------------------------------------------------------------


def test_the_command(capsys: Captured, plain: Run, tmp_path: Path) -> None:
    settings = ["--set", "backbone=test_resnet", "--set", "cut=layer1", "--set", "image_size=64x64", "--epochs", 0]
    command = ["train", "resnet18-gem", *settings, "--out", tmp_path / "run", "--weights"]
    assert "another trunk" in refused(capsys, *command, "geofix-town-small")
    assert "nowhere" in refused(capsys, *command, tmp_path / "nowhere")
    status, out, err = called(capsys, *command, plain.folder)
    assert status == 0
    assert out.endswith("32 numbers a photo\n")
    assert out.count("\n") == 1
    assert err == f"geofix: {plain.folder} gives {plain.name}, which is untrained, from random weights.\n"


def test_what_a_run_s_own_recipe_says_of_its_start_is_not_taken_over(tmp_path: Path) -> None:
    first = train(quick(), None, tmp_path / "first")
    again = train(quick(), None, tmp_path / "second", weights=first.folder)
    assert again.encoder.recipe.weights is not None
    third = train(again.encoder.recipe, None, tmp_path / "third")
    assert third.encoder.recipe.weights is None
    assert third.encoder.recipe.epochs_before == 0


def test_an_ensemble_without_members(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names no members; name trained runs with --member RUN"):
        train(recipes.load("ensemble"), None, tmp_path / "run")


def test_members_are_trained_in_one_way(tmp_path: Path) -> None:
    recipe = quick("members=[{loss: sare_ind}, {seed: 1, batch_norm: frozen}]", "combine=add", "epochs=1")
    with pytest.raises(RecipeError, match="Members set batch_norm, loss, but an ensemble that is trained as one"):
        train(recipe, None, tmp_path / "run")


def test_weights_that_no_member_uses(tmp_path: Path) -> None:
    told: list[str] = []
    recipe = tiny("members=[{}, {seed: 1}]", "combine=add", name="resnet18-gem")
    with pytest.raises(WeightsError, match="There is no weights file at"):
        train(recipe, None, tmp_path / "run", weights=tmp_path / "nowhere")
    file = trunk_weights(tmp_path / "trunk.safetensors")
    train(recipe, None, tmp_path / "run", weights=file, say=told)
    assert told[0] == "trunk.safetensors is used by none of the members, which all start from random weights."


def test_another_exponent_than_the_run_s(tmp_path: Path) -> None:
    first = train(quick(), None, tmp_path / "first")
    again = train(quick("gem_p=5.0"), None, tmp_path / "second", weights=first.folder)
    assert again.encoder.with_trunks()[0].pooling.p.item() == 5.0  # type: ignore[arg-type]
