"""Ensembles: every way to combine against a naive loop, PCA against scikit-learn, runs combined and trained as one."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.decomposition import PCA
from torch import nn

import toy_places
from geofix import recipes
from geofix.atlas.store import Atlas
from geofix.data import deep_vg
from geofix.data.places import Dataset
from geofix.encode import Inference, encode
from geofix.errors import DataError, PhotoError, RecipeError, UsageError, WeightsError
from geofix.evaluate import evaluate
from geofix.index import index
from geofix.locate import locate
from geofix.models.build import build
from geofix.models.encoder import Encoder, SingleEncoder
from geofix.models.ensemble import Ensemble
from geofix.models.runs import SCORES, Run, load_run, save_run
from geofix.recipes import Recipe
from geofix.train import train
from geofix.transforms import normalised
from test_cli import Captured, called, refused
from test_encode import randomised
from test_train import folder_of, tiny
from test_train_epochs import small


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return deep_vg.read(toy_places.write(tmp_path_factory.mktemp("toy")))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(quick("name=plain"), None, tmp_path_factory.mktemp("runs") / "plain")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(quick("name=other", "seed=1", "pooling=mac"), None, tmp_path_factory.mktemp("runs") / "other")


@pytest.fixture(scope="module")
def learned(toy: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Trained for an epoch at 48x64 pixels, from a file that covers part of the trunk."""
    folder = tmp_path_factory.mktemp("runs")
    state = build(short(), pretrained=False).trunk.network.state_dict()
    save_file(
        {key: value for key, value in state.items() if not key.startswith("layer1.0.conv2")}, folder / "w.safetensors"
    )
    return train(short("name=learned", "epochs=1"), toy, folder / "learned", weights=folder / "w.safetensors")


def quick(*settings: str, name: str = "resnet18-gem") -> Recipe:
    """Untrained, 32 numbers a photo of 64x64 pixels."""
    return tiny("backbone=test_resnet", *settings, name=name)


def short(*settings: str, name: str = "resnet18-gem") -> Recipe:
    """A training of seconds at 48x64 pixels."""
    return small("backbone=test_resnet", *settings, name=name)


def ensemble(*settings: str) -> Recipe:
    return recipes.with_settings(recipes.load("ensemble"), list(settings))


def some_images(count: int = 4, rows: int = 64, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, rows, 64, generator=torch.Generator().manual_seed(seed))


def described(encoder: Encoder, images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return encoder(images)


def filled(encoder: Encoder, seed: int = 0) -> Encoder:
    """With random principal components, as if they had been fitted."""
    generator = torch.Generator().manual_seed(seed)
    for part in encoder.modules():
        if isinstance(part, Encoder) and part.pca is not None:
            part.pca.mean.normal_(generator=generator)
            part.pca.directions.normal_(generator=generator)
    return encoder


# -- what is combined, and how -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_p8_addition_and_division_rank_alike(seed: int) -> None:
    members = [build(quick(f"seed={seed}"), pretrained=False), build(quick("pooling=mac", "l2=none"), pretrained=False)]
    images = some_images(12, seed=seed)
    added = torch.cdist(*[described(Ensemble(Recipe(combine="add"), members), images)] * 2)
    divided = torch.cdist(*[described(Ensemble(Recipe(combine="divide"), members), images)] * 2)
    assert torch.equal(added.argsort(dim=1), divided.argsort(dim=1))
    assert torch.equal(added.square(), 4 * divided.square())
    assert added.unique().numel() > 12


def test_the_lengths_of_martin_s_ensembles() -> None:
    members = "members=[{pooling: netvlad}, {}]"
    whole = build(tiny("cut=conv4", members), pretrained=False)
    assert whole.descriptor_length == 16640
    reduced = build(tiny("cut=conv4", "members=[{pooling: netvlad, pca: 2048}, {}]"), pretrained=False)
    assert reduced.descriptor_length == 2304
    images = some_images(1)
    before = described(whole, images)
    assert before.shape == (1, 16640)
    pca = filled(reduced).members[0].pca
    found = described(reduced, images)
    assert found.shape == (1, 2304)
    torch.testing.assert_close(found[:, :2048], (before[:, :16384] - pca.mean) @ pca.directions.T, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(found[:, 2048:], before[:, 16384:])


def combined(parts: list[list[list[float]]], recipe: Recipe) -> list[list[float]]:
    rows = []
    for photo in range(len(parts[0])):
        row = [] if recipe.combine == "concat" else [0.0] * len(parts[0][photo])
        for number, part in enumerate(parts):
            own = part[photo]
            if recipe.equal_norms:
                own = [value / math.sqrt(sum(v * v for v in part[photo])) for value in own]
            if recipe.member_weights:
                own = [recipe.member_weights[number] * value for value in own]
            if recipe.combine == "concat":
                row += own
                continue
            for place, value in enumerate(own):
                row[place] += value / len(parts) if recipe.combine == "divide" else value
        rows.append(row)
    return rows


@pytest.mark.parametrize("combine", ["add", "divide", "concat"])
@pytest.mark.parametrize("weights", [(), (0.5, -2.0, 1.0)])
@pytest.mark.parametrize("equal_norms", [False, True])
def test_every_way_to_combine_is_a_naive_loop(combine: str, weights: tuple[float, ...], equal_norms: bool) -> None:
    third = "{pooling: netvlad, netvlad_clusters: 2}" if combine == "concat" else "{l2: none, seed: 2}"
    settings = [f"members=[{{}}, {{pooling: mac, l2: none}}, {third}]", f"member_weights={list(weights)}"]
    recipe = quick(*settings, f"combine={combine}", f"equal_norms={equal_norms}")
    encoder, images = build(recipe, pretrained=False), some_images()
    expected = combined([described(member, images).tolist() for member in encoder.members], recipe)
    found = described(encoder, images)
    assert found.shape == (4, encoder.descriptor_length)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_a_pca_of_the_ensemble_is_a_naive_loop() -> None:
    members = "members=[{}, {pooling: mac}]"
    encoder = filled(build(quick(members, "pca=3"), pretrained=False))
    whole = described(build(quick(members), pretrained=False), some_images()).tolist()
    mean, directions = encoder.pca.mean.tolist(), encoder.pca.directions.tolist()
    expected = [
        [sum((row[place] - mean[place]) * to[place] for place in range(64)) for to in directions] for row in whole
    ]
    assert encoder.descriptor_length == 3
    np.testing.assert_allclose(described(encoder, some_images()).numpy(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_inference_fuses_every_trunk(precision: str) -> None:
    members = "members=[{}, {pooling: netvlad, netvlad_clusters: 2}, {members: [{pooling: mac}, {seed: 3}]}]"
    encoder = build(tiny(members), pretrained=False)
    for single in encoder.with_trunks():
        single.trunk = randomised(single.trunk)
    inference = Inference(encoder, precision, "cpu")
    for single in inference.encoder.with_trunks():
        assert not any(isinstance(module, nn.BatchNorm2d) for module in single.trunk.modules())
        assert {p.dtype for p in single.trunk.parameters()} == {inference.dtype}
        assert {p.dtype for p in single.pooling.parameters()} <= {torch.float32}
    assert all(any(isinstance(m, nn.BatchNorm2d) for m in single.trunk.modules()) for single in encoder.with_trunks())
    pixels = torch.randint(0, 256, (3, 3, 64, 64), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    expected = described(encoder, normalised(pixels, encoder.preprocess)).numpy()
    found = inference(pixels)
    assert found.dtype == np.float32
    for part in (slice(0, 64), slice(64, 192), slice(192, 256), slice(256, 320)):
        error = np.linalg.norm(found[:, part] - expected[:, part]) / np.linalg.norm(expected[:, part])
        assert error < (1e-4 if precision == "fp32" else 0.05)
        assert (error > 1e-4) == (precision == "bf16")


# -- recipe and run folder ----------------------------------------------------------------------------------------

KINDS = [
    ["members=[{}, {pooling: mac, steps: [2]}]"],
    ["members=[{}, {pooling: mac}]", "combine=add", "equal_norms=true", "member_weights=[0.5, -1]"],
    ["members=[{pca: 3}, {pooling: netvlad, netvlad_clusters: 2}]", "pca=5"],
    ["members=[{pca: 5}, {}]", "pca=5"],
    ["members=[{members: [{}, {seed: 1}], combine: add, equal_norms: true}, {}]", "combine=add", "equal_norms=true"],
    ["members=[{members: [{}, {seed: 1}], combine: divide, pca: 7}, {members: [{}, {pca: 2}]}]", "pca=4"],
]


@pytest.mark.parametrize("settings", KINDS)
def test_a_run_folder_gives_the_same_descriptors(settings: list[str], tmp_path: Path) -> None:
    encoder = filled(build(quick(*settings), pretrained=False))
    run = save_run(encoder, tmp_path)
    again = load_run(tmp_path)
    assert again.fingerprint == run.fingerprint
    assert again.encoder.recipe == encoder.recipe
    assert torch.equal(described(again.encoder, some_images()), described(encoder, some_images()))


@pytest.mark.parametrize("settings", KINDS)
def test_recipes_of_members_there_and_back(settings: list[str]) -> None:
    recipe = quick(*settings)
    again = recipe.of_members(recipe.member_recipes())
    assert again.member_recipes() == recipe.member_recipes()
    for one in (recipe, again):
        assert recipes.parse(one.to_yaml(), "again") == one


def test_members_say_what_they_have_other_than_the_rest() -> None:
    recipe = quick("members=[{}, {seed: 4, pca: 3}]", "combine=add", "pca=9", "member_weights=[1, 2]")
    first, second = recipe.member_recipes()
    assert first == quick()
    assert second == quick("seed=4", "pca=3")
    assert quick().member_recipes() == ()
    members = [quick("pooling=mac"), quick("image_size=48x64", "seed=2")]
    made = quick().of_members(members, image_size=(96, 96), mean=(0.1, 0.2, 0.3))
    assert made.members == ({"pooling": "mac"}, {"seed": 2})
    assert (made.image_size, made.mean) == ((96, 96), (0.1, 0.2, 0.3))


def test_without_origin_the_members_have_none_either() -> None:
    asked = quick("members=[{}, {seed: 1}]", "pretrained=imagenet")
    members = (
        {"pretrained": "file", "weights": "w", "random_tensors": 3},
        {"seed": 1, "epochs_before": 2},
    )
    done = asked.model_copy(update={"members": members, "weights": "w", "epochs_before": 4})
    assert done.without_origin("none") == asked.without_origin("none") == quick("members=[{}, {seed: 1}]")
    assert done.without_origin().members == ({"pretrained": "file"}, {"seed": 1})


def test_changed_names_who_asked() -> None:
    assert recipes.changed(quick(), {"seed": 5, "steps": [2]}, "Row 1") == quick("seed=5", "steps=[2]")
    with pytest.raises(RecipeError, match="Row 1 sets 'sed', which is no key .*did you mean 'seed'"):
        recipes.changed(quick(), {"sed": 5}, "Row 1")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["members=[{poolling: mac}, {}]"], r"member 1 sets 'poolling', which is no key \(did you mean 'pooling'\?\)"),
        (["members=[{}, {7: mac}]"], "member 2 sets 7, which is no key"),
        (["members=[{}, {image_size: 64x64}]"], "member 2 sets image_size, but the members .* look at the same pixels"),
        (["members=[{mean: [0, 0, 0]}, {}]"], "member 1 sets mean, but the members .* look at the same pixels"),
        (["members=[{std: [1, 1, 1]}, {}]"], "member 1 sets std, but"),
        (["members=[{}, {pooling: max}]"], "member 2: Input should be 'gem'"),
        (["members=[{members: [{}, {poolling: mac}]}, {}]"], "member 1: member 2 sets 'poolling'"),
        (["members=[{}]"], "two or more members; one is no ensemble"),
        (["members=[{members: [{}]}, {}]"], "member 1: an ensemble has two or more members"),
        (["members=3"], "members are a list of maps"),
        (["members=[mac, {}]"], "members are a list of maps"),
        (["member_weights=[1, 0]"], "a number other than 0; leave out a member that counts nothing"),
        (["member_weights=[1, .nan]"], "a number other than 0"),
        (["member_weights=[.inf, 1]"], "a number other than 0"),
        (["members=[{}, {}]", "member_weights=[1, 2, 3]"], "there are 3 weights for 2 members"),
        (["members=[{}, {}]", "learn=pairs", "whiten_directions=3"], "an ensemble does not learn from pairs"),
        (["pca=3", "epochs=1"], "a PCA is fitted to an encoder that is trained already; .*--weights RUN --epochs 0"),
        (["members=[{pca: 3}, {}]", "epochs=1"], "member 1: a PCA is fitted to an encoder that is trained already"),
        (["pca=0"], "--set sets pca"),
        (["combine=multiply"], "--set sets combine"),
    ],
)
def test_recipes_that_are_refused(settings: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        quick(*settings)


def test_what_yaml_takes_for_a_date_is_text_in_a_member() -> None:
    assert recipes.parse("members: [{name: 2024-01-01}, {}]", "x.yaml").members[0] == {"name": "2024-01-01"}


# -- principal components -----------------------------------------------------------------------------------------


def test_a_pca_is_that_of_scikit_learn(toy: Dataset, plain: Run, tmp_path: Path) -> None:
    run = train(quick("pca=8"), toy, tmp_path / "run")
    photos = toy.splits["train"].photos
    rows = encode(plain, photos).single
    fitted = PCA(8, random_state=0).fit(rows)
    np.testing.assert_allclose(run.encoder.pca.directions.numpy(), fitted.components_, rtol=0, atol=1e-5)
    np.testing.assert_allclose(encode(run, photos).single, fitted.transform(rows), rtol=0, atol=1e-5)
    loaded = load_run(tmp_path / "run")
    assert loaded.fingerprint == run.fingerprint
    assert loaded.encoder.descriptor_length == 8
    assert torch.equal(loaded.encoder.pca.directions, run.encoder.pca.directions)
    assert train(quick("pca=8"), toy, tmp_path / "again").fingerprint == run.fingerprint


def test_members_are_fitted_before_the_ensemble(toy: Dataset, plain: Run, other: Run, tmp_path: Path) -> None:
    recipe = ensemble("members=[{}, {pca: 3}]", "pca=5")
    run = train(recipe, toy, tmp_path / "run", members=[plain.folder, other.folder])
    photos = toy.splits["train"].photos
    first, second = (encode(one, photos).single for one in (plain, other))
    both = np.concatenate([first, PCA(3, random_state=0).fit_transform(second)], axis=1)
    expected = PCA(5, random_state=0).fit_transform(both)
    np.testing.assert_allclose(encode(run, photos).single, expected, rtol=0, atol=1e-5)
    assert load_run(tmp_path / "run").fingerprint == run.fingerprint


def test_a_pca_leaves_out_photos_that_cannot_be_read(tmp_path: Path) -> None:
    photos = [toy_places.blobs(number) for number in range(6)]
    whole = train(quick("pca=4"), folder_of(tmp_path / "whole", photos), tmp_path / "a")
    errors: list[PhotoError] = []
    dataset = folder_of(tmp_path / "broken", [*photos, b"no photo"])
    members = "members=[{pca: 4}, {pca: 4, seed: 1}]"
    run = train(quick(members), dataset, tmp_path / "b", errors=errors)
    assert len(errors) == 1
    assert "@500006@" in str(errors[0])
    torch.testing.assert_close(run.encoder.members[0].pca.mean, whole.encoder.pca.mean)


def test_a_pca_that_cannot_be_fitted(toy: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="A PCA to 50 components .* 48 photos with 64 numbers each allow 1 to 48"):
        train(quick("members=[{}, {}]", "pca=50"), toy, tmp_path / "a")
    with pytest.raises(RecipeError, match="pca is 33, but the descriptor has only 32 numbers; choose fewer"):
        train(quick("pca=33"), toy, tmp_path / "b")
    with pytest.raises(RecipeError, match="pca is 65, but the descriptor has only 64 numbers"):
        train(quick("members=[{}, {}]", "pca=65"), toy, tmp_path / "c")
    with pytest.raises(UsageError, match="A PCA is fitted to the descriptors of photos; name a dataset with --data"):
        train(quick("pca=4"), None, tmp_path / "d")
    with pytest.raises(DataError, match="None of the 2 photos for the PCA can be used. The first: .*@500000@"):
        train(quick("pca=2"), folder_of(tmp_path, [b"no photo", b"either"]), tmp_path / "e")
    with pytest.raises(UsageError, match="1 photos with 32 numbers each allow 1 to 1"):
        train(quick("pca=2"), folder_of(tmp_path / "x", [toy_places.blobs(1), b"no photo"]), tmp_path / "f")
    assert not any((tmp_path / name).exists() for name in "abcdef")


# -- runs combined ------------------------------------------------------------------------------------------------


def test_two_runs_put_side_by_side(toy: Dataset, learned: Run, tmp_path: Path) -> None:
    untrained = train(
        quick("image_size=48x64", "seed=1", "pooling=mac", "name=untrained"), None, tmp_path / "untrained"
    )
    told: list[str] = []
    run = train(ensemble(), None, tmp_path / "run", members=[learned.folder, untrained.folder], say=told)
    images = some_images(rows=48)
    side_by_side = torch.cat([described(one.encoder, images) for one in (learned, untrained)], dim=1)
    assert torch.equal(described(run.encoder, images), side_by_side)
    assert torch.equal(described(load_run(tmp_path / "run").encoder, images), side_by_side)
    assert run.encoder.preprocess == learned.encoder.preprocess
    recipe = run.encoder.recipe
    assert recipes.load(str(tmp_path / "run" / "recipe.yaml")) == recipe
    assert (recipe.name, recipe.image_size, recipe.epochs) == ("ensemble", (48, 64), 0)
    first, second = recipe.member_recipes()
    assert (first.pretrained, first.epochs, first.epochs_before, first.random_tensors) == ("file", 0, 1, 1)
    assert (second.pretrained, second.epochs, second.epochs_before, second.random_tensors) == ("none", 0, 0, 0)
    assert (first.weights or "").startswith(f"run {learned.name}, which learned 1 epochs from w.safetensors (sha256 ")
    assert second.weights == f"run {untrained.name}, which is untrained, from random weights"
    assert told == [
        f"{one.folder} gives {(part.weights or '').removeprefix('run ')}."
        for one, part in ((learned, first), (untrained, second))
    ]
    protocol = evaluate(run, toy).protocol
    assert protocol["pretrained"] == "file + none"
    assert protocol["weights"] == f"{first.weights} + {second.weights}"
    assert (protocol["epochs"], protocol["random_tensors"]) == (1, 1)
    assert protocol["image_size"] == [48, 64]


@pytest.mark.parametrize("combine", ["add", "divide"])
def test_an_ensemble_is_a_member_again(combine: str, plain: Run, other: Run, tmp_path: Path) -> None:
    recipe = ensemble(f"combine={combine}", "equal_norms=true")
    inner = train(recipe, None, tmp_path / "inner", members=[plain.folder, other.folder])
    told: list[str] = []
    outer = train(recipe, None, tmp_path / "outer", members=[inner.folder, plain.folder], say=told)
    assert told[0] == f"{inner.folder} gives {inner.name}, which is an ensemble of 2."
    images, again = some_images(), load_run(outer.folder)
    parts = [nn.functional.normalize(described(one.encoder, images), dim=1) for one in (inner, plain)]
    expected = sum(parts) / (2 if combine == "divide" else 1)
    torch.testing.assert_close(described(outer.encoder, images), expected)
    assert torch.equal(described(again.encoder, images), described(outer.encoder, images))
    assert again.encoder.origin() == outer.encoder.origin()
    assert again.encoder.recipe == outer.encoder.recipe


def test_an_ensemble_is_indexed_and_locates(tiny_run: Run, other_run: Run, street: Path, tmp_path: Path) -> None:
    run = train(ensemble(), None, tmp_path / "run", members=[tiny_run.folder, other_run.folder])
    done = index([street], run, tmp_path / "atlas")
    assert (done.added, done.errors) == (24, ())
    (fix,) = locate([street / "007.jpg"], Atlas.open(tmp_path / "atlas"), min_confidence=0.0)
    assert fix.matches[0].path.endswith("007.jpg")
    assert fix.position is not None


def test_runs_that_come_with_geofix(tmp_path: Path) -> None:
    shipped = Path("geofix-town-small")
    run = train(ensemble("combine=add", "member_weights=[2, 1]"), None, tmp_path / "run", members=[shipped, shipped])
    one = load_run(shipped)
    assert run.encoder.preprocess == one.encoder.preprocess
    images = torch.randn(1, 3, 120, 160, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(described(run.encoder, images), 3 * described(one.encoder, images))
    assert run.encoder.origin()["epochs"] == 16


def test_runs_that_cannot_be_combined(plain: Run, other: Run, learned: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    both = [plain.folder, other.folder]
    with pytest.raises(
        RecipeError, match=r"Member 1 .*size=\(64, 64\).* and member 2 as .*size=\(48, 64\).*image_size"
    ):
        train(ensemble(), None, out, members=[plain.folder, learned.folder])
    for key in ("mean", "std"):
        unlike = train(quick(f"{key}=[0.5, 0.25, 0.125]"), None, tmp_path / key)
        with pytest.raises(RecipeError, match=rf"{key}=\(0.5, 0.5, 0.5\).* and member 2 .*{key}=\(0.5, 0.25, 0.125\)"):
            train(ensemble(), None, out, members=[plain.folder, unlike.folder])
    with pytest.raises(RecipeError, match=r"mean=\(0.5, 0.5, 0.5\).* and member 2 .*mean=\(0.485, 0.456, 0.406\)"):
        build(quick("members=[{}, {backbone: test_byobnet, cut: last}]"), pretrained=False)
    longer = train(quick("projection=7"), None, tmp_path / "longer")
    for combine in ("add", "divide"):
        with pytest.raises(RecipeError, match="gives 32 numbers and member 2 7, which cannot be added; use combine"):
            train(ensemble(f"combine={combine}"), None, out, members=[plain.folder, longer.folder])
    with pytest.raises(RecipeError, match="There are 3 member_weights for 2 members"):
        train(ensemble("member_weights=[1, 2, 3]"), None, out, members=both)
    with pytest.raises(UsageError, match="two or more members; name each with --member RUN"):
        train(ensemble(), None, out, members=both[:1])
    with pytest.raises(UsageError, match="combined as they are and nothing is learned; add --epochs 0"):
        train(ensemble("epochs=1"), None, out, members=both)
    with pytest.raises(UsageError, match="needs no other weights; leave --weights or --member out"):
        train(ensemble(), None, out, members=both, weights=plain.folder)
    with pytest.raises(UsageError, match="The recipe has 3 members and 2 runs were named"):
        train(ensemble("members=[{}, {}, {}]"), None, out, members=both)
    with pytest.raises(WeightsError, match="There is no run folder at .*nowhere"):
        train(ensemble(), None, out, members=[plain.folder, tmp_path / "nowhere"])
    with pytest.raises(RecipeError, match="another trunk .*cut at layer1.* than the recipe .*cut at layer2"):
        train(ensemble("members=[{cut: layer2}, {}]"), None, out, members=both)
    combined = train(ensemble(), None, tmp_path / "combined", members=both)
    with pytest.raises(UsageError, match="combined is an ensemble, which nothing can be started from"):
        train(ensemble("members=[{seed: 3}, {}]"), None, out, members=[combined.folder, plain.folder])
    assert not out.exists()


def test_settings_of_the_recipe_s_members(plain: Run, other: Run, tmp_path: Path) -> None:
    recipe = ensemble("members=[{steps: [2], name: small, epochs: 9}, {}]")
    run = train(recipe, None, tmp_path / "run", members=[plain.folder, other.folder])
    first, second = run.encoder.members
    assert (first.recipe.steps, first.recipe.name, first.recipe.epochs) == ((2,), "small", 0)
    assert not torch.equal(described(first, some_images()), described(plain.encoder, some_images()))
    assert torch.equal(described(second, some_images()), described(other.encoder, some_images()))
    for key, value in plain.encoder.state_dict().items():
        assert torch.equal(first.state_dict()[key], value), key


# -- trained as one -----------------------------------------------------------------------------------------------

TOGETHER = [
    "epochs=1",
    "members=[{}, {seed: 1, frozen_through: layer1.0.conv1, pooling: netvlad, netvlad_clusters: 2}]",
]


def parameters(encoder: Encoder) -> dict[str, torch.Tensor]:
    return {key: value.detach().clone() for key, value in encoder.named_parameters()}


def test_members_learn_together(toy: Dataset, tmp_path: Path) -> None:
    run = train(short(*TOGETHER, "margin=5"), toy, tmp_path / "run", compare_on=("block",))
    before, after = parameters(build(short(*TOGETHER), pretrained=False)), parameters(run.encoder)
    changed = {key for key in after if not torch.equal(before[key], after[key])}
    frozen = ("0.trunk.network.conv1.", *(f"1.trunk.network.{part}." for part in ("conv1", "bn1", "layer1.0.conv1")))
    assert changed == {key for key in after if not key.removeprefix("members.").startswith(frozen)}
    assert run.encoder.origin()["epochs"] == 1
    again = load_run(tmp_path / "run")
    assert torch.equal(described(again.encoder, some_images(rows=48)), described(run.encoder, some_images(rows=48)))
    found = json.loads((tmp_path / "run" / SCORES).read_text(encoding="utf-8"))
    assert set(found["training"]["splits"]) == {"block"}
    assert found["protocol"]["epochs"] == 1


def test_an_ensemble_learns_as_its_only_kind_of_member_would(toy: Dataset, tmp_path: Path) -> None:
    """Twice the same encoder, averaged, is that encoder; and so is what both become."""
    settings = ["epochs=1", "margin=5", "optimizer=sgd", "batch_norm=frozen", "learning_rate=0.05"]
    alone = train(short(*settings), toy, tmp_path / "alone", compare_on=("block",))
    settings[-1] = "learning_rate=0.1"  # each gets half of the gradient
    both = train(short(*settings, "members=[{}, {}]", "combine=divide"), toy, tmp_path / "both", compare_on=("block",))
    before = parameters(build(short(), pretrained=False))
    for key, value in parameters(alone.encoder).items():
        assert torch.equal(value, before[key]) == key.startswith("trunk.network.conv1."), key
        for member in both.encoder.members:
            torch.testing.assert_close(parameters(member)[key], value, rtol=1e-4, atol=1e-5)


def test_one_file_of_weights_for_one_of_the_members(toy: Dataset, tmp_path: Path) -> None:
    network = build(quick(), pretrained=False).trunk.network.state_dict()
    save_file({key: value + 1 for key, value in network.items()}, tmp_path / "w.safetensors")
    recipe = quick("pretrained=imagenet", "members=[{}, {pretrained: none, seed: 3}, {members: [{}, {seed: 4}]}]")
    told: list[str] = []
    run = train(recipe, None, tmp_path / "run", weights=tmp_path / "w.safetensors", say=told)
    random = "The trunk of the member test_resnet starts from random weights (seed 3); nothing was learned."
    taken = "w.safetensors: 25 of 25 tensors of the trunk were loaded."
    assert told == [taken, random, taken, taken]
    first, second, third, fourth = run.encoder.with_trunks()
    for single in (first, third, fourth):
        assert torch.equal(single.trunk.network.conv1[0].weight, network["conv1.0.weight"] + 1)
    expected = build(quick("seed=3"), pretrained=False).trunk.network.conv1[0].weight
    assert torch.equal(second.trunk.network.conv1[0].weight, expected)
    assert run.encoder.origin()["pretrained"] == "file + none"
    assert load_run(run.folder).encoder.origin() == run.encoder.origin()
    loaded = load_run(run.folder).encoder.with_trunks()
    assert [one.recipe.pretrained for one in loaded] == ["file", "none", "file", "file"]


@pytest.mark.parametrize("members", ["[{pretrained: file}, {}]", "[{members: [{}, {pretrained: file}]}, {}]"])
def test_members_that_ask_for_a_file_are_not_silently_random(members: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none was named; add --weights FILE"):
        train(quick(f"members={members}"), None, tmp_path / "run")


def test_nothing_left_to_train(toy: Dataset, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="Nothing is left to train"):
        train(short("frozen_through=layer1", "pooling=mac", "members=[{}, {seed: 1}]"), toy, tmp_path / "run")


@pytest.mark.parametrize(
    ("only", "kept"), [(None, {"train", "block"}), (("block",), {"block"}), (("block", "val"), {"block"})]
)
def test_only_what_is_asked_for_is_compared(
    toy: Dataset, tmp_path: Path, only: tuple[str, ...] | None, kept: set[str]
) -> None:
    train(short("epochs=1"), toy, tmp_path / "run", compare_on=only)
    found = json.loads((tmp_path / "run" / SCORES).read_text(encoding="utf-8"))
    assert set(found["training"]["splits"]) == kept
    assert found["protocol"]["split"] == "block"


def test_the_part_where_weights_are_chosen_is_always_compared(toy: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Weights are chosen on the block; compare on it at least"):
        train(short("epochs=1"), toy, tmp_path / "run", compare_on=("train",))


# -- the command line ---------------------------------------------------------------------------------------------


def test_the_command(capsys: Captured, plain: Run, other: Run, tmp_path: Path) -> None:
    command = ["train", "ensemble", "--member", plain.folder, "--member", other.folder, "--out", tmp_path / "run"]
    status, out, err = called(capsys, *command)
    assert status == 0
    assert out == f"{tmp_path}/run: {load_run(tmp_path / 'run').name}, 64 numbers a photo\n"
    assert err.splitlines() == [
        f"geofix: {one.folder} gives {one.name}, which is untrained, from random weights." for one in (plain, other)
    ]


def test_what_the_command_refuses(capsys: Captured, plain: Run, other: Run, tmp_path: Path) -> None:
    begin = ["train", "ensemble", "--out", tmp_path / "run", "--member", plain.folder]
    both = [*begin, "--member", other.folder]
    assert "two or more members; name each with --member RUN" in refused(capsys, *begin)
    assert "leave --weights or --member out" in refused(capsys, *both, "--weights", plain.folder)
    assert "add --epochs 0" in refused(capsys, *both, "--epochs", 1)
    assert "did you mean 'pooling'?" in refused(capsys, *both, "--set", "members=[{poolling: mac}, {}]")
    assert "a number other than 0" in refused(capsys, *both, "--set", "member_weights=[0, 1]")
    assert "name a dataset with --data DIR" in refused(capsys, *both, "--set", "pca=3")
    assert "leave --member out" in refused(capsys, *both, "--grid", "x.yaml")
    assert not (tmp_path / "run").exists()


def test_singles_are_the_encoders_with_a_trunk() -> None:
    one = build(quick(), pretrained=False)
    assert one.with_trunks() == [one]
    nested = build(quick("members=[{members: [{}, {seed: 1}]}, {seed: 2}]"), pretrained=False)
    assert [single.recipe.seed for single in nested.with_trunks()] == [0, 1, 2]
    assert all(isinstance(single, SingleEncoder) for single in nested.with_trunks())
