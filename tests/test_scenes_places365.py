"""scenes.places365: the leaves and their order, probabilities against loops, and the labels of Im2GPS3k and YFCC26k."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from geofix.errors import DataError, UsageError
from geofix.scenes import places365
from geofix.scenes.places365 import INDOOR, LEAVES, SCENES, STATES, leaf, leaves, scene_of

PAGE = (Path(__file__).parents[1] / "docs" / "scenes.md").read_text(encoding="utf-8")
S3 = (INDOOR, "natural", "urban")
# What of S3 a scene may be: a beach is natural, a harbour is not, and both are at the coast.
FITS = {"city": {"urban"}, "nature": {"natural"}, "coast": {"natural", "urban"}, "industrial": {"urban"}}
FITS[INDOOR] = {INDOOR}


def some_probabilities(rows: int = 7, seed: int = 0) -> np.ndarray:
    scores = np.exp(3 * np.random.default_rng(seed).standard_normal((rows, LEAVES)))
    shares: np.ndarray = scores / scores.sum(axis=1, keepdims=True)
    return shares


def labelled(shared: Path, name: str) -> list[dict[str, str]]:
    path = shared / "data" / "im2gps_meta" / name
    if not path.is_file():
        pytest.skip(f"no labels at {path}")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module", params=["im2gps3k_places365.csv", "yfcc25600_places365.csv"])
def labels(request: pytest.FixtureRequest, shared: Path) -> list[dict[str, str]]:
    """Rows with the S3, S16 and S365 labels of a test set."""
    return labelled(shared, request.param)


def spec(shared: Path, name: str) -> dict[str, dict[str, float]]:
    path = shared / "specs" / name
    if not path.is_file():
        pytest.skip(f"no votes at {path}")
    found: dict[str, dict[str, float]] = json.loads(path.read_text(encoding="utf-8"))
    return found


# -- the table ----------------------------------------------------------------------------------------------------


def test_all_leaves_are_there_once_in_the_official_order() -> None:
    """The official list is sorted as ASCII is, and its index counts on from 0."""
    names = [one.name for one in leaves()]
    assert len(names) == len(set(names)) == LEAVES == 365
    assert [one.index for one in leaves()] == list(range(365))
    assert names == sorted(names)
    anchors = {
        "airfield": 0,
        "apartment_building/outdoor": 8,
        "forest/broadleaf": 150,
        "street": 319,
        "zen_garden": 364,
    }
    assert {name: leaf(name).index for name in anchors} == anchors


def test_every_leaf_has_a_scene_and_a_reason() -> None:
    assert {one.scene for one in leaves()} == set(STATES)
    for one in leaves():
        assert re.fullmatch(r"[a-z][a-z;:\- ]{4,85}[a-z]", one.reason), one
    assert "/".join(STATES) == "city/nature/coast/industrial/indoor"
    assert STATES[:4] == SCENES


def test_names_and_scenes_agree() -> None:
    """Where a name says in or out of doors, its scene does too, unless the leaf is marked as open."""
    for one in leaves():
        if one.name.endswith(("/indoor", "_interior", "_room")) and one.open_to is None:
            assert one.scene == INDOOR, one
        if one.name.endswith(("/outdoor", "/exterior")):
            assert one.scene != INDOOR, one


def test_the_order_is_that_of_the_votes(shared: Path) -> None:
    votes = spec(shared, "s365_to_s16_vote.json")
    assert {name: vote["id"] for name, vote in votes.items()} == {one.name: one.index for one in leaves()}


def test_a_leaf_by_index_and_by_name() -> None:
    assert leaf("harbor") is leaf(171) is leaf(np.int64(171)) is leaves()[171]
    assert [scene_of(name) for name in ("harbor", "alley", "oilrig", "sky", "kitchen")] == [
        *("coast", "city", "industrial", "nature", "indoor")
    ]
    assert leaf("cliff").open_to == "nature" and leaf("beach").open_to is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("airfeild", "There is no Places365 class 'airfeild'; did you mean 'airfield'?"),
        ("swimming_pool", "did you mean 'swimming_pool/"),
        ("", "There is no Places365 class ''"),
        (365, "There is no Places365 class number 365; 0 to 364 are expected."),
        (-1, "There is no Places365 class number -1; 0 to 364 are expected."),
    ],
)
def test_a_leaf_that_is_none(name: str | int, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        scene_of(name)


@pytest.mark.parametrize("change", [{"scene": "rural"}, {"open_to": "coast"}, {"open_to": "sea"}, {"reason": ""}])
def test_a_damaged_table_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(DataError, match="Leaf 171, harbor, has scene .* are expected"):
        replace(leaf("harbor"), **change)


# -- probabilities ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fold_indoor", [False, True])
def test_scene_probabilities_against_a_loop(fold_indoor: bool) -> None:
    given = some_probabilities()
    expected = np.zeros((len(given), 4 if fold_indoor else 5))
    for row in range(len(given)):
        for one in leaves():
            state = "city" if fold_indoor and one.scene == "indoor" else one.scene
            expected[row, ["city", "nature", "coast", "industrial", "indoor"].index(state)] += given[row, one.index]
    found = places365.scene_probabilities(given, fold_indoor)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)


def test_one_leaf_is_its_scene() -> None:
    found = places365.scene_probabilities(np.eye(LEAVES, dtype=np.float32), fold_indoor=False)
    assert [STATES[column] for column in found.argmax(axis=1)] == [one.scene for one in leaves()]
    assert set(np.unique(found)) == {0.0, 1.0}
    folded = places365.scene_probabilities(np.eye(LEAVES), fold_indoor=True)
    assert all(folded[one.index, 0] == (one.scene in ("city", INDOOR)) for one in leaves())
    assert places365.scene_probabilities(np.empty((0, LEAVES)), fold_indoor=True).shape == (0, 4)


def test_single_precision_does_not_add_up_errors() -> None:
    given = some_probabilities().astype(np.float32)
    found = places365.scene_probabilities(given, fold_indoor=False)
    np.testing.assert_allclose(found, places365.scene_probabilities(given.astype(np.float64), False), atol=1e-12)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((1, LEAVES)), "a row that sums to 0;"),
        (np.full((1, LEAVES), 1.0), "a row that sums to 365;"),
        (np.array([[1.5, -0.5, *[0.0] * 363]]), "have -0.5 as their least"),
        (np.full((1, LEAVES), np.nan), "a row that sums to nan;"),
    ],
)
def test_scores_are_no_probabilities(given: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message) + ".* take the softmax of the scores first"):
        places365.scene_probabilities(given, fold_indoor=True)


def test_a_leaf_in_several_groups_gives_each_its_part() -> None:
    """P H against a loop, with rows of H divided by their sums."""
    random = np.random.default_rng(1)
    membership = (random.random((LEAVES, 3)) < 0.4).astype(np.float64)
    membership[membership.sum(axis=1) == 0, 2] = 1
    assert (membership.sum(axis=1) > 1).sum() > 50
    given = some_probabilities(4, seed=2)
    expected = [[0.0] * 3 for _ in given]
    for row, shares in enumerate(given):
        for index, share in enumerate(shares):
            groups = [group for group in range(3) if membership[index, group]]
            for group in groups:
                expected[row][group] += share / len(groups)
    found = places365.group_probabilities(given, membership)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(places365.group_probabilities(given, 10 * membership), found, atol=1e-12)


@pytest.mark.parametrize("weights", [(0.0, 0.0), (2.0, -1.0)])
def test_a_leaf_in_no_group(weights: tuple[float, float]) -> None:
    membership = np.ones((LEAVES, 2))
    membership[171] = weights
    with pytest.raises(DataError, match="harbor belongs to no group"):
        places365.group_probabilities(some_probabilities(), membership)


# -- against the labels of Im2GPS3k and YFCC26k -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rows"),
    [("im2gps3k_places365.csv", 2997), ("yfcc25600_places365.csv", 25600), ("meta_im2gps_places365.csv", 237)],
)
def test_the_stored_probabilities_give_the_stored_label(shared: Path, name: str, rows: int) -> None:
    found = labelled(shared, name)
    stored = np.array([[float(row[f"Prob_{kind}"]) for kind in ("indoor", "natural", "urban")] for row in found])
    np.testing.assert_allclose(stored.sum(axis=1), 1, atol=1e-6)
    assert (stored.argmax(axis=1) == [int(row["S3_Label"]) for row in found]).sum() == rows


def column(rows: list[dict[str, str]], key: str) -> np.ndarray:
    return np.array([int(row[key]) for row in rows])


def agreement(chosen: np.ndarray, groups: np.ndarray, shift: int = 0) -> float:
    """How many photos have a leaf whose scene may be what S3 says; of leaves `shift` further on."""
    fits = np.array([[group in FITS[one.scene] for group in S3] for one in leaves()])
    return float(fits[(chosen + shift) % LEAVES, groups].mean())


def test_scenes_fit_the_stored_groups_and_no_other_order_does(labels: list[dict[str, str]]) -> None:
    chosen, groups = column(labels, "S365_Label"), column(labels, "S3_Label")
    assert agreement(chosen, groups) > 0.90
    assert max(agreement(chosen, groups, shift) for shift in range(1, LEAVES)) < 0.6


def disagreeing(shared: Path) -> Iterator[tuple[str, str]]:
    """Leaves that S3 mostly takes for something else, and what for."""
    rows = labelled(shared, "im2gps3k_places365.csv") + labelled(shared, "yfcc25600_places365.csv")
    found: list[Counter[str]] = [Counter() for _ in leaves()]
    for row in rows:
        found[int(row["S365_Label"])][S3[int(row["S3_Label"])]] += 1
    for one, counted in zip(leaves(), found, strict=True):
        ((mostly, _),) = counted.most_common(1)
        if mostly not in FITS[one.scene]:
            yield one.name, mostly


def test_leaves_that_the_stored_groups_contradict_are_open_and_on_the_page(shared: Path) -> None:
    found = dict(disagreeing(shared))
    assert len(found) == 28
    assert all(leaf(name).open_to is not None for name in found)
    listed = PAGE.partition("## Where the official groups say otherwise")[2].partition("\n## ")[0]
    assert set(re.findall(r"`([a-z_/]+)`", listed)) == set(found)


def test_the_page_names_every_leaf_that_differs_from_the_draft(shared: Path) -> None:
    path = shared / "specs" / "places365_to_4.json"
    if not path.is_file():
        pytest.skip(f"no draft at {path}")
    draft = json.loads(path.read_text(encoding="utf-8"))
    differs = {one.name: (draft[one.name], one.scene) for one in leaves() if one.scene != draft[one.name]}
    section = PAGE.partition("## Against the first draft")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `([a-z_/]+)` \| (\w+) \| (\w+) \|", section, re.MULTILINE)
    assert {name: (before, now) for name, before, now in listed} == differs
    for file, title in (("im2gps3k_places365.csv", "Im2GPS3k"), ("yfcc25600_places365.csv", "YFCC26k")):
        chosen = column(labelled(shared, file), "S365_Label")
        counts = Counter(draft[leaves()[index].name] for index in chosen.tolist())
        cells = " | ".join(f"{100 * counts[state] / len(chosen):.1f}" for state in STATES)
        assert f"| {title}, first draft | {cells} |" in PAGE


@pytest.mark.parametrize(
    ("name", "title"), [("im2gps3k_places365.csv", "Im2GPS3k"), ("yfcc25600_places365.csv", "YFCC26k")]
)
def test_shares_are_those_of_the_page(shared: Path, name: str, title: str) -> None:
    rows = labelled(shared, name)
    chosen = column(rows, "S365_Label")
    counts: Counter[str] = Counter()
    other: Counter[str] = Counter()
    for one, photos in zip(leaves(), np.bincount(chosen, minlength=LEAVES).tolist(), strict=True):
        counts[one.scene] += photos
        other[one.open_to or one.scene] += photos
    if title == "Im2GPS3k":
        assert [counts[state] for state in STATES] == [1227, 840, 257, 156, 517]
    for label, found in ((title, counts), (f"{title}, every open leaf the other way", other)):
        cells = " | ".join(f"{100 * found[state] / len(rows):.1f}" for state in STATES)
        assert f"| {label} | {cells} |" in PAGE
    assert f"{100 * agreement(chosen, column(rows, 'S3_Label')):.1f} % of the rows of {title}" in PAGE


def test_counts_of_the_page() -> None:
    counts = Counter(one.scene for one in leaves())
    assert f"| leaves | {' | '.join(str(counts[state]) for state in STATES)} |" in PAGE
    assert f"{sum(one.open_to is not None for one in leaves())} leaves are open" in PAGE
