"""Logistic regression on what a trunk sees: the layer, its folds, and runs of countries trained that way."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import toy_countries
from geofix.countries.look import Networks, alike, look
from geofix.countries.routing import softmax
from geofix.data.labels import labelled_countries
from geofix.data.layouts import open_dataset
from geofix.data.places import Dataset
from geofix.errors import PhotoError, RecipeError, WeightsError
from geofix.learn import fitted_countries
from geofix.learn.countries import train_countries
from geofix.learn.logistic import Layer, fit, fitted, folds, restricted, stretches_of
from geofix.learn.scatter import stretch_of
from geofix.models.classifier import Classifier, Design, Standard, activation, open_classifier
from geofix.models.countries import load_country_run
from geofix.recipes import CountryRecipe
from toy_countries import tiny, tiny_scenes
from toy_places import put

STAGES = ("layer1", "layer3")


def pooling(**settings: object) -> CountryRecipe:
    """A tiny recipe that learns by logistic regression."""
    return tiny(method="logistic", stages=list(STAGES), router_backbone="test_resnet", flip_test=True, **settings)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(toy_countries.write(tmp_path_factory.mktemp("countries")))


def problem(seed: int = 0, count: int = 40, length: int = 5, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    targets = rng.integers(classes, size=count)
    vectors = rng.normal(size=(count, 2, length)) + np.eye(length)[targets][:, None] * 2
    return vectors.astype(np.float32), targets


def lost(layer: Layer, vectors: np.ndarray, targets: np.ndarray, penalty: float, home: np.ndarray) -> float:
    """The objective, by loops."""
    total = 0.0
    for views, target in zip(vectors, targets, strict=True):
        for view in views:
            logits = np.array([float(row @ view + b) for row, b in zip(layer.weight, layer.bias, strict=True)])
            total += float(np.log(np.exp(logits).sum()) - logits[target])
    away = sum(float(value) ** 2 for value in (layer.weight - home).ravel())
    return total / (len(vectors) * vectors.shape[1]) + penalty / 2 * away


def test_the_layer_is_scikit_learns() -> None:
    vectors, targets = problem()
    penalty = 0.05
    layer = fit(vectors, targets, 3, penalty)
    flat, twice = vectors.reshape(-1, vectors.shape[2]), np.repeat(targets, 2)
    theirs = LogisticRegression(C=1 / (penalty * len(flat)), tol=1e-8, max_iter=1000).fit(flat, twice)
    ours = softmax(flat @ layer.weight.T + layer.bias)
    np.testing.assert_allclose(ours, theirs.predict_proba(flat), atol=2e-3)


def test_nothing_near_it_loses_less() -> None:
    vectors, targets = problem()
    start = Layer(np.full((3, 5), 0.3, np.float32), np.zeros(3, np.float32))
    layer = fit(vectors, targets, 3, 0.1, start=start)
    least = lost(layer, vectors, targets, 0.1, start.weight)
    rng = np.random.default_rng(0)
    for _ in range(30):
        other = Layer(layer.weight + 0.02 * rng.normal(size=(3, 5)), layer.bias + 0.02 * rng.normal(size=3))
        assert lost(other, vectors, targets, 0.1, start.weight) > least


def test_a_strong_penalty_leaves_the_start_and_a_weight_is_so_many_photos() -> None:
    vectors, targets = problem()
    start = Layer(np.random.default_rng(1).normal(size=(3, 5)).astype(np.float32), np.zeros(3, np.float32))
    np.testing.assert_allclose(fit(vectors, targets, 3, 1e6, start=start).weight, start.weight, atol=1e-4)
    doubled = np.concatenate([vectors, vectors[:7]]), np.concatenate([targets, targets[:7]])
    by_weight = fit(vectors, targets, 3, 0.1, weights=np.where(np.arange(40) < 7, 2.0, 1.0))
    np.testing.assert_allclose(by_weight.weight, fit(*doubled, 3, 0.1).weight, atol=5e-3)


def test_folds_keep_groups_whole_and_spread_labels() -> None:
    groups = [f"g{number // 2}" for number in range(60)]
    labels = ["FR" if number < 30 else "JP" for number in range(60)]
    of = folds(labels, groups, seed=3)
    assert sorted(set(of.tolist())) == [0, 1, 2, 3, 4]
    assert all(len({int(one) for one, group in zip(of, groups, strict=True) if group == name}) == 1 for name in groups)
    for fold in range(5):
        inside = [label for label, one in zip(labels, of, strict=True) if one == fold]
        assert 4 <= inside.count("FR") <= 8 and 4 <= inside.count("JP") <= 8
    assert (folds(labels, groups, seed=3) == of).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folds([*labels, "GB"], [*groups, "alone"], seed=3)  # a country of one photo
    assert (folds(["FR", "JP", "FR"], ["one"] * 3, seed=0) == 0).all()
    assert set(folds(["FR", "JP", "FR", "JP"], list("abcd"), seed=0).tolist()) == {0, 1}


def test_every_photo_is_answered_for_by_a_layer_without_its_fold() -> None:
    vectors, targets = problem()
    of = np.arange(40) % 4
    rows = np.array([row for row in range(40) if row % 5])  # a specialist's; the others are only asked about
    found = fitted(vectors, rows, targets[rows], 3, of, 0.1, looks=1)
    np.testing.assert_array_equal(found.layer.weight, fit(vectors[rows], targets[rows], 3, 0.1).weight)
    for fold in range(4):
        kept = rows[of[rows] != fold]
        layer = fit(vectors[kept], targets[kept], 3, 0.1)
        for row in np.flatnonzero(of == fold):
            by_hand = [
                float(weight @ vectors[row, 0] + bias) for weight, bias in zip(layer.weight, layer.bias, strict=True)
            ]
            np.testing.assert_allclose(found.unseen[row], by_hand, atol=1e-4)


def test_what_a_specialist_starts_from_never_saw_its_fold_either() -> None:
    vectors, targets = problem()
    of = np.arange(40) % 4
    whole = fitted(vectors, np.arange(40), targets, 3, of, 0.1)
    part = restricted(whole, [0, 2])
    rows = np.flatnonzero(targets != 1)
    near = fitted(vectors, rows, targets[rows] // 2, 2, of, 1e6, start=part)
    for place in range(4):
        np.testing.assert_allclose(near.without[place].weight, whole.without[place].weight[[0, 2]], atol=1e-4)


# --- what differs within groups


def within(vectors: np.ndarray, groups: list[int], shrinkage: float) -> np.ndarray:
    """The covariance about the means of groups, drawn to a sphere, by loops."""
    length = vectors.shape[2]
    total = np.zeros((length, length))
    for group in set(groups):
        views = [view for photo, own in zip(vectors, groups, strict=True) if own == group for view in photo]
        mean = sum(views) / len(views)
        for view in views:
            total += np.outer(view - mean, view - mean)
    total /= len(vectors) * vectors.shape[1]
    return (1 - shrinkage) * total + shrinkage * np.trace(total) / length * np.eye(length)


@pytest.mark.parametrize(("count", "length"), [(40, 5), (6, 20)])
def test_a_stretch_is_the_inverse_root_of_what_differs_within_groups(count: int, length: int) -> None:
    vectors, _ = problem(3, count, length)
    groups = [row // 2 for row in range(count)]
    stretch = stretch_of(vectors, [str(group) for group in groups], 0.3)
    assert stretch is not None
    as_matrix = stretch.of(np.eye(length, dtype=np.float32)).astype(np.float64)
    wanted = np.linalg.inv(within(vectors.astype(np.float64), groups, 0.3))
    square = as_matrix @ as_matrix
    np.testing.assert_allclose(square / np.trace(square), wanted / np.trace(wanted), atol=1e-5)
    lengths = [float((stretch.of(vectors) ** 2).sum()), float((vectors**2).sum())]
    assert lengths[0] == pytest.approx(lengths[1], rel=1e-4)
    np.testing.assert_allclose(stretch.undone(stretch.of(vectors)), vectors, atol=1e-4)
    same = np.repeat(vectors[:, :1], 2, axis=1)
    assert stretch_of(same, [str(row) for row in range(count)], 0.3) is None  # nothing differs within a photo


def test_weights_are_penalised_by_what_differs_within_groups() -> None:
    """No layer near the one found has less loss plus the length of its weights in that measure."""
    vectors, targets = problem(1)
    groups = [row // 2 for row in range(40)]
    of, names = np.arange(40) // 8, [str(group) for group in groups]
    stretches = stretches_of(vectors, of, names, 0.4)
    found = fitted(vectors, np.arange(40), targets, 3, of, 0.1, stretches=stretches)
    assert stretches[-1] is not None and len(stretches) == len(found.without) + 1 == 6

    def least(layer: Layer) -> float:
        assert stretches[-1] is not None
        inner = Layer(stretches[-1].undone(layer.weight), layer.bias)
        return lost(inner, stretches[-1].of(vectors), targets, 0.1, np.zeros((3, 5)))

    rng = np.random.default_rng(0)
    for _ in range(20):
        weight = found.layer.weight + 0.02 * rng.normal(size=(3, 5))
        bias = found.layer.bias + 0.02 * rng.normal(size=3)
        assert least(Layer(weight.astype(np.float32), bias.astype(np.float32))) > least(found.layer)
    for place in range(5):
        kept = of != place
        alone = stretch_of(vectors[kept], [names[row] for row in np.flatnonzero(kept)], 0.4)
        assert alone is not None and stretches[place] is not None
        np.testing.assert_allclose(stretches[place].factors, alone.factors)
    near = fitted(vectors, np.arange(40), targets, 3, of, 1e6, start=found, stretches=stretches)
    np.testing.assert_allclose(near.layer.weight, found.layer.weight, atol=1e-4)


def test_a_nuisance_within_locations_is_not_learned() -> None:
    """Two numbers tell the class, and one of them also changes from photo to photo of a location. With few locations a
    plain penalty trusts both, and the other less than it deserves.
    """
    rng = np.random.default_rng(5)

    def drawn(locations: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
        targets = np.repeat(rng.integers(2, size=locations), 4)
        shared = np.repeat(rng.normal(0, 0.6, locations), 4)
        steady = (2 * targets - 1) * 0.5 + shared
        shaky = (2 * targets - 1) * 0.5 + rng.normal(0, 6.0, len(targets))
        vectors = np.stack([steady, shaky, *rng.normal(size=(6, len(targets)))], axis=1)[:, None, :]
        return vectors.astype(np.float32), targets, [str(row // 4) for row in range(len(targets))]

    right = {0.1: 0.0, 1.0: 0.0}
    for _ in range(20):
        vectors, targets, names = drawn(12)
        asked, truth, _ = drawn(60)
        of = np.zeros(len(targets), dtype=np.int64)
        for shrinkage in right:
            stretches = stretches_of(vectors, of, names, shrinkage)
            layer = fitted(vectors, np.arange(len(targets)), targets, 2, of, 0.3, stretches=stretches).layer
            right[shrinkage] += float((layer.logits(asked).argmax(axis=1) == truth).mean()) / 20
    assert right[0.1] > right[1.0] + 0.02


def staged(size: tuple[int, int] = (32, 32), stages: tuple[str, ...] = STAGES) -> Classifier:
    return open_classifier(Design("test_resnet", None, 0.5, size, stages=stages), 3, pretrained=False, seed=0)


def test_pooled_maps_against_loops() -> None:
    classifier = staged((32, 48))
    trunk = classifier.trunk
    images = torch.randn(2, 3, 32, 48)
    with torch.no_grad():
        seen = trunk(images)
        vectors = trunk.pooled(seen)
        last = trunk.network.forward_features(images)  # type: ignore[operator]
    assert torch.equal(seen[-1], last)
    assert len(seen) == 3 and vectors.shape == (2, trunk.channels)
    for number in range(2):
        wanted: list[float] = []
        for maps in seen:
            rows = maps.shape[2]
            upper, lower = range((rows + 1) // 2), range(rows // 2, rows)
            for half in (upper, lower):
                for channel in range(maps.shape[1]):
                    wanted.append(float(np.mean([maps[number, channel, row].mean() for row in half])))
            for channel in range(maps.shape[1]):
                wanted.append(float(np.std(maps[number, channel].numpy())))
        np.testing.assert_allclose(vectors[number].numpy(), wanted, atol=1e-4)


def test_standardised_vectors_are_about_1_long_and_every_module_counts_alike() -> None:
    standard = Standard((4, 100))
    vectors = torch.randn(500, 312, generator=torch.Generator().manual_seed(0)) * 7 + 3
    standard.learn(vectors)
    out = standard(vectors)
    assert float(out.square().sum(1).mean()) == pytest.approx(1, abs=0.05)
    assert float(out[:, :12].square().sum(1).mean()) == pytest.approx(0.5, abs=0.05)
    assert torch.equal(standard(vectors * 1e6).abs().amax(), standard(vectors * 1e7).abs().amax())  # no outshouting


def test_activation_adds_up_over_all_modules() -> None:
    classifier = staged((64, 64), ("layer1", "layer2"))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        classifier.standard.learn(classifier.trunk.pooled(classifier.trunk(torch.randn(20, 3, 64, 64))))
    speaks = activation(classifier, images, 1)
    last = classifier.trunk(images)[-1]
    assert speaks.shape == (2, *last.shape[2:])
    for number in range(2):  # its mean is gradient times what is beyond the usual, of every module
        maps = [one.detach().requires_grad_(True) for one in classifier.trunk(images[number : number + 1])]
        logits = classifier.named(classifier.trunk.pooled(tuple(maps)))[0]
        (logits[1] - logits.mean()).backward()
        total, at = 0.0, 0
        for one in maps:
            width = one.shape[1]
            centre = classifier.standard.centre[at : at + 2 * width].reshape(2, width).mean(0)
            at += 3 * width
            assert one.grad is not None
            total += float((one.grad * (one.detach() - centre[None, :, None, None])).sum())
        assert float(speaks[number].mean()) == pytest.approx(total, abs=1e-5)


def test_a_run_of_router_and_specialists(dataset: Dataset, tmp_path: Path) -> None:
    told: list[str] = []
    run = train_countries(pooling(specialists_from="single"), dataset, tmp_path / "run", say=told)
    assert run.knows.router is not None and run.knows.router.classes == ("city", "coast")
    assert [head.name for head in run.knows.heads] == ["city", "coast"]
    assert [sum(head.photos) for head in run.knows.heads] == [24, 24]
    assert run.knows.sureness.photos == 48 and run.knows.sureness.groups == 24  # nothing is held out
    again = load_country_run(tmp_path / "run")
    assert again.knows == run.knows and again.fingerprint == run.fingerprint
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "classes.json", "metrics.csv", "preprocess.json", "recipe.yaml", "weights.safetensors",
    ]  # fmt: skip
    lines = (tmp_path / "run" / "metrics.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[0] for line in lines] == ["network", "router", "all", "city", "coast"]


def test_it_learns_and_networks_of_one_trunk_let_it_look_once(dataset: Dataset, tmp_path: Path) -> None:
    run = train_countries(pooling(), dataset, tmp_path / "run")
    networks = [run.model.network(head.name) for head in run.knows.every]
    assert all(alike(networks[0], one) for one in networks)
    together = Networks(networks, flip=True)
    assert together.trunk_of == [0, 0, 0]
    batch = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    apart = np.concatenate([Networks([one], flip=True)(batch) for one in networks], axis=1)
    np.testing.assert_allclose(together(batch), apart, atol=1e-5)
    test = labelled_countries(dataset.split("test"), "territory", [])
    seen = look(run, test.photos)
    names = run.knows.countries
    found = [names[int(best)] for best in seen.countries().argmax(axis=1)]
    assert np.mean([name == label for name, label in zip(found, test.labels, strict=True)]) > 0.9


def test_networks_of_other_trunks_are_not_alike(dataset: Dataset) -> None:
    first, other = staged(), open_classifier(staged().design, 3, pretrained=False, seed=1)
    assert not alike(first, other)
    assert not alike(first, staged(stages=("layer2",)))
    assert not alike(first, staged((48, 48)))
    assert Networks([first, other]).trunk_of == [0, 1]


def test_scenes_alone_and_a_router_from_elsewhere(dataset: Dataset, tmp_path: Path) -> None:
    router = train_countries(
        tiny_scenes(method="logistic", stages=list(STAGES), flip_test=True), dataset, tmp_path / "router"
    )
    assert router.knows.heads == () and router.knows.router is not None
    plain = open_dataset(toy_countries.write(tmp_path / "plain", table=False))
    told: list[str] = []
    run = train_countries(pooling(router=str(tmp_path / "router")), plain, tmp_path / "run", say=told)
    assert run.knows.router_from == router.name
    assert any("The scenes of 48 photos are those that" in line for line in told)


def test_a_stopped_training_looks_at_no_photo_again(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_countries(pooling(), dataset, tmp_path / "whole")

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fitted_countries, "fitted", stopped)
        with pytest.raises(KeyboardInterrupt):
            train_countries(pooling(), dataset, tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(fitted_countries, "described", stopped)
        run = train_countries(pooling(), dataset, tmp_path / "run", resume=True)
    assert run.fingerprint == whole.fingerprint


def test_torn_vectors_are_told(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fitted_countries, "fitted", stopped)
    with pytest.raises(KeyboardInterrupt):
        train_countries(pooling(), dataset, tmp_path / "run")
    (file,) = (tmp_path / "run" / "parts").iterdir()
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(WeightsError, match="vectors-"):
        train_countries(pooling(), dataset, tmp_path / "run", resume=True)


def test_unreadable_photos_are_named(tmp_path: Path) -> None:
    root = toy_countries.write(tmp_path / "photos", table=False)
    put(root / "train/FR/torn.jpg", b"no photo")
    errors: list[PhotoError] = []
    run = train_countries(pooling(routing="none"), open_dataset(root), tmp_path / "run", errors=errors)
    assert any("torn.jpg" in str(error) for error in errors)
    assert sum(run.knows.heads[0].photos) == 48


def test_what_does_not_go_together() -> None:
    with pytest.raises(RecipeError, match="method logistic needs stages"):
        tiny(method="logistic")
    with pytest.raises(RecipeError, match="method logistic needs stages"):
        tiny(stages=["layer1"])
    with pytest.raises(RecipeError, match="logistic regression draws no photos"):
        pooling(balance="draw")
    with pytest.raises(RecipeError, match=r"test_resnet has no part named 'layer9'; near to it are"):
        staged(stages=("layer9",))
    with pytest.raises(RecipeError, match="fc of this backbone gives no maps|gives no maps to pool"):
        staged(stages=("global_pool",))
