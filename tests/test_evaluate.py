"""evaluate: parity case P9, every protocol against naive loops, and comparisons that are fair or refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA

import toy_places
import toy_views
from conftest import write_street
from geofix import metrics
from geofix.data import deep_vg, exif_folder, plain_places, plain_views, university1652
from geofix.data.places import Dataset, benchmark
from geofix.encode import encode
from geofix.errors import DataError, ProtocolError, UsageError
from geofix.evaluate import Predictions, Scores, compare, evaluate
from geofix.models.runs import Run
from geofix.photos import Photo, save_jpeg
from geofix.transforms import METHODS
from toy_places import blobs, put


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return deep_vg.read(toy_places.write(tmp_path_factory.mktemp("toy")))


def made(scores: Scores) -> Predictions:
    assert scores.predictions is not None
    return scores.predictions


# -- parity P9 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_p9_all_test_methods(toy: Dataset, averages: Run, method: str) -> None:
    scores = evaluate(averages, toy, method=method)
    assert scores.recall == {1: 0.5, 5: 0.875, 10: 0.875, 20: 0.875}
    assert (scores.queries, scores.answerable, scores.gallery) == (8, 7, 40)


@pytest.mark.parametrize("method", ["hard_resize", "single_query", "central_crop"])
def test_p9_other_recall_values(toy: Dataset, averages: Run, method: str) -> None:
    scores = evaluate(averages, toy, method=method, recalls_at=(1, 2, 3))
    assert scores.recall == {1: 0.5, 2: 0.875, 3: 0.875}
    assert made(scores).neighbours.shape == (8, 3)


def test_p9_relevant_photos(toy: Dataset) -> None:
    found = {tuple(rows.tolist()) for rows in benchmark(toy.split("test")).relevant}
    assert found == {tuple(rows) for rows in toy_places.RELEVANT}


@pytest.mark.parametrize("method", ["nearest_crop", "maj_voting"])
def test_p14_crops_with_few_recall_values(toy: Dataset, averages: Run, method: str) -> None:
    assert evaluate(averages, toy, method=method, recalls_at=(1, 5)).recall == {1: 0.5, 5: 0.875}


def test_unanswerable_queries_count_as_misses(toy: Dataset, averages: Run) -> None:
    scores = evaluate(averages, toy, recalls_at=(40,))
    assert scores.recall == {40: 7 / 8}  # the whole gallery is listed: only the query without any is missed
    assert np.flatnonzero(scores.ranks == metrics.NEVER).tolist() == [0]  # the photo at 700 m


# -- rankings against naive loops ---------------------------------------------------------------------------------


def described(run: Run, photos: tuple[Photo, ...], method: str = "hard_resize") -> np.ndarray:
    return encode(run, photos, method=method).descriptors


def naive_crops(run: Run, toy: Dataset, method: str, k: int) -> list[list[int]]:
    """Section 1.1, "Test methods": k predictions of each of 5 crops, sorted by distance, each place once, first k;
    before that, for maj_voting, .01 * count / n off the distances of what repeats in the first n = 1, 5, 10 columns.
    """
    split = toy.split("test")
    gallery = described(run, split.gallery)[:, 0].astype(np.float64)
    found = []
    for crops in described(run, split.queries, method):
        squared = ((crops[:, None].astype(np.float64) - gallery[None]) ** 2).sum(axis=2)
        rows = np.argsort(squared, axis=1, kind="stable")[:, :k]
        apart = np.take_along_axis(squared, rows, axis=1)
        if method == "maj_voting":
            for n in (1, 5, 10):
                columns = rows[:, :n].ravel().tolist()
                for crop in range(5):
                    for column in range(min(n, k)):
                        count = columns.count(int(rows[crop, column]))
                        if count > 1:
                            apart[crop, column] -= 0.01 * count / n
        pairs = sorted((apart[crop, column], int(rows[crop, column])) for crop in range(5) for column in range(k))
        ranking: list[int] = []
        for _, row in pairs:
            if row not in ranking:
                ranking.append(row)
        found.append(ranking[:k])
    return found


@pytest.mark.parametrize("method", ["nearest_crop", "maj_voting"])
@pytest.mark.parametrize("k", [1, 5, 20])
def test_crop_methods_against_a_naive_loop(toy: Dataset, averages: Run, method: str, k: int) -> None:
    found = made(evaluate(averages, toy, method=method, recalls_at=(k,))).neighbours
    for row, expected in enumerate(naive_crops(averages, toy, method, k)):
        assert found[row][found[row] >= 0].tolist() == expected


def test_voting_changes_rankings_at_all(toy: Dataset, averages: Run) -> None:
    """Else the loop above would prove nothing about votes."""
    assert naive_crops(averages, toy, "maj_voting", 20) != naive_crops(averages, toy, "nearest_crop", 20)


def test_five_crops_average_descriptors(toy: Dataset, averages: Run) -> None:
    split = toy.split("test")
    gallery = described(averages, split.gallery)[:, 0]
    mean = described(averages, split.queries, "five_crops").mean(axis=1)
    expected = np.linalg.norm(mean[:, None] - gallery[None], axis=2).argmin(axis=1)
    assert made(evaluate(averages, toy, method="five_crops")).neighbours[:, 0].tolist() == expected.tolist()


@pytest.mark.parametrize("metres", [7.5, 16.5, 30.0, 1e6])
def test_exclude_nearer_than_against_a_naive_loop(toy: Dataset, averages: Run, metres: float) -> None:
    split = toy.split("test")
    gallery = described(averages, split.gallery)[:, 0].astype(np.float64)
    queries = described(averages, split.queries)[:, 0].astype(np.float64)
    expected, answerable = [], 0
    for (easting_m, _), descriptor in zip(sorted(toy_places.QUERIES), queries, strict=True):
        apart_m = [abs(easting_m - other_m) for other_m, _ in toy_places.GALLERY]
        allowed = [row for row, gap_m in enumerate(apart_m) if gap_m >= metres]
        allowed.sort(key=lambda row: (float(np.linalg.norm(descriptor - gallery[row])), row))
        expected.append(allowed[:5])
        answerable += any(metres <= gap_m <= 25.0 for gap_m in apart_m)
    scores = evaluate(averages, toy, exclude_nearer_than_m=metres, recalls_at=(1, 5))
    assert scores.answerable == answerable
    assert scores.protocol["exclude_nearer_than_m"] == metres
    assert [rows[rows >= 0].tolist() for rows in made(scores).neighbours] == expected


@pytest.mark.parametrize("metres", [0.0, -5.0, float("nan"), float("inf")])
def test_exclude_nearer_than_nonsense(toy: Dataset, averages: Run, metres: float) -> None:
    with pytest.raises(UsageError, match="number of metres above 0"):
        evaluate(averages, toy, exclude_nearer_than_m=metres)


def test_leave_one_out_never_finds_the_photo_itself(tiny_run: Run, street: Path) -> None:
    scores = evaluate(tiny_run, exif_folder.read(street), split="all")
    assert scores.queries == scores.gallery == 24
    assert scores.answerable == 24
    assert scores.protocol["leave_one_out"] is True
    for row, found in enumerate(made(scores).neighbours):
        assert row not in found.tolist()


def test_places_without_positions(tiny_run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for place in range(3):
        for visit in range(3):
            noisy = np.clip(blobs(place).astype(int) + rng.integers(-10, 11, (48, 64, 3)), 0, 255).astype(np.uint8)
            put(tmp_path / "places" / f"p{place}" / f"{visit}.jpg", save_jpeg(noisy))
    scores = evaluate(tiny_run, plain_places.read(tmp_path / "places"), split="all")
    assert scores.recall[1] == 1.0
    assert scores.protocol["threshold_m"] is None


# -- views --------------------------------------------------------------------------------------------------------


def test_directions_of_views(tiny_run: Run, tmp_path: Path) -> None:
    dataset = university1652.read(toy_views.university(tmp_path))
    default, there, back = (
        evaluate(tiny_run, dataset, direction=way) for way in (None, "drone-satellite", "satellite-drone")
    )
    assert default.to_dict() == there.to_dict()
    assert (there.queries, there.gallery, back.queries, back.gallery) == (6, 3, 2, 9)
    assert there.recall[1] == back.recall[1] == 1.0
    assert len(set(there.clusters)) == 2
    for scores, way in ((there, "drone-satellite"), (back, "satellite-drone")):
        fields = scores.to_dict()
        assert (fields["task"], fields["direction"], fields["protocol"]["direction"]) == ("crossview", way, way)
        assert Scores.from_dict(fields, "scores.json").to_dict()["direction"] == way
    with pytest.raises(ProtocolError, match="direction is drone-satellite and satellite-drone"):
        compare(there, back)


def test_pca_of_a_direction_is_fitted_on_its_gallery(tiny_run: Run, tmp_path: Path) -> None:
    whole = plain_views.read(toy_views.plain(tmp_path))
    only = replace(whole, splits={"val": whole.split("val")})
    assert evaluate(tiny_run, only, split="val", pca=2).protocol["pca"]["fitted_on"] == "gallery"
    with pytest.raises(UsageError, match="6 photos with"):  # train, in both of its views
        evaluate(tiny_run, whole, split="val", pca=7)


def test_without_views_there_is_no_direction(toy: Dataset, averages: Run) -> None:
    with pytest.raises(DataError, match=r"Split 'test' has no views .* leave --direction out"):
        evaluate(averages, toy, direction="drone-satellite")
    fields = evaluate(averages, toy).to_dict()
    assert (fields["task"], fields["protocol"]["direction"], "direction" in fields) == ("places", None, False)


# -- PCA ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("components", [1, 3, 12])
def test_pca_is_sklearn_s(toy: Dataset, averages: Run, components: int) -> None:
    split = toy.split("test")
    fitted = PCA(n_components=components, random_state=0).fit(described(averages, toy.split("train").photos)[:, 0])
    gallery, queries = (fitted.transform(described(averages, p)[:, 0]) for p in (split.gallery, split.queries))
    apart = np.linalg.norm(queries[:, None] - gallery[None], axis=2)
    scores = evaluate(averages, toy, pca=components)
    np.testing.assert_allclose(made(scores).distances[:, 0], apart.min(axis=1), atol=1e-4)
    if components > 1:  # with one number there are near ties
        assert made(scores).neighbours[:, 0].tolist() == apart.argmin(axis=1).tolist()
    assert scores.protocol["pca"] == {"components": components, "fitted_on": "train"}


def test_pca_with_all_components_changes_nothing_but_the_axes(toy: Dataset, averages: Run) -> None:
    whole, plain = evaluate(averages, toy, pca=12), evaluate(averages, toy)
    assert whole.recall == plain.recall
    np.testing.assert_allclose(made(whole).distances, made(plain).distances, atol=1e-4)


def test_pca_without_a_train_split_uses_the_gallery(toy: Dataset, averages: Run) -> None:
    only = replace(toy, splits={"test": toy.split("test")})
    assert evaluate(averages, only, pca=3).protocol["pca"]["fitted_on"] == "gallery"


@pytest.mark.parametrize("components", [13, 0, -1])
def test_pca_to_too_many_or_no_components(toy: Dataset, averages: Run, components: int) -> None:
    told: list[int] = []
    with pytest.raises(UsageError, match=rf"PCA to {components} .*48 photos with 12 numbers each allow 1 to 12"):
        evaluate(averages, toy, pca=components, progress=lambda done, _: told.append(done))
    assert told == []  # before hours were spent on descriptors


# -- photos that cannot be read -----------------------------------------------------------------------------------


@pytest.fixture
def spoilt(tmp_path: Path) -> Dataset:
    root = toy_places.write(tmp_path / "toy")
    for folder, number in (("database", 7), ("database", 20), ("queries", 3)):
        sorted((root / "images" / "test" / folder).iterdir())[number].write_bytes(b"broken")
    return deep_vg.read(root)


def test_unreadable_gallery_photos_are_left_out_and_queries_are_misses(
    spoilt: Dataset, toy: Dataset, averages: Run
) -> None:
    whole, scores = evaluate(averages, toy), evaluate(averages, spoilt)
    assert (scores.queries, scores.gallery, whole.gallery) == (8, 38, 40)
    assert len(scores.errors) == scores.protocol["unreadable"] == 3
    lost = {photo.name for photo in made(whole).gallery} - {photo.name for photo in made(scores).gallery}
    assert len(lost) == 2
    for query, photo in enumerate(made(whole).queries):
        old = [made(whole).gallery[row].name for row in made(whole).neighbours[query]]
        new = [made(scores).gallery[row].name for row in made(scores).neighbours[query] if row >= 0]
        unreadable = photo.path.name == sorted(p.path.name for p in made(whole).queries)[3]
        kept = [name for name in old if name not in lost]
        assert new[: len(kept)] == ([] if unreadable else kept)
        if unreadable:
            assert scores.ranks[query] == metrics.NEVER


def test_every_relevant_row_is_renumbered(spoilt: Dataset, averages: Run) -> None:
    scores = evaluate(averages, spoilt)
    found = made(scores)
    for query, rows, rank in zip(found.queries, found.neighbours, scores.ranks, strict=True):
        near = [
            at for at, row in enumerate(rows) if row >= 0 and query.position is not None
            and found.gallery[row].position is not None
            and query.position.metres_to(found.gallery[row].position) <= 25.02  # a UTM metre is not a metre
        ]  # fmt: skip
        assert rank == (near[0] if near else metrics.NEVER)


@pytest.mark.parametrize(("folder", "side"), [("database", "gallery"), ("queries", "query")])
def test_nothing_readable_on_one_side(averages: Run, tmp_path: Path, folder: str, side: str) -> None:
    root = toy_places.write(tmp_path / "toy")
    for path in (root / "images" / "test" / folder).iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(DataError, match=f"None of the {side} photos of split 'test' can be used. The first: "):
        evaluate(averages, deep_vg.read(root))


def test_one_pool_reports_each_bad_photo_once(tiny_run: Run, tmp_path: Path) -> None:
    street = write_street(tmp_path / "street", 6)
    data = (street / "002.jpg").read_bytes()
    (street / "002.jpg").write_bytes(data[: len(data) // 2])  # its EXIF can be read, its pixels cannot
    scores = evaluate(tiny_run, exif_folder.read(street), split="all")
    assert (len(scores.errors), scores.gallery, scores.queries) == (1, 5, 6)


# -- scores and comparisons ---------------------------------------------------------------------------------------


def test_missing_split_lists_those_there_are(toy: Dataset, averages: Run) -> None:
    with pytest.raises(DataError, match=r"no split 'val'; found: test, train"):
        evaluate(averages, toy, split="val")


@pytest.mark.parametrize("at", [(), (0,), (1, -5)])
def test_recall_at_nonsense(toy: Dataset, averages: Run, at: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="whole numbers from 1 on"):
        evaluate(averages, toy, recalls_at=at)


def test_round_trip_through_json(toy: Dataset, averages: Run) -> None:
    scores = evaluate(averages, toy, pca=4)
    fields = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    again = Scores.from_dict(fields, "scores.json")
    assert again.to_dict() == {**scores.to_dict(), "slices": {}}
    np.testing.assert_array_equal(again.ranks, scores.ranks)
    assert compare(scores, again).differences[1] == (0.0, 0.0, 0.0, 1.0)
    assert set(fields) >= {"task", "recall", "recall_ci95", "queries", "answerable", "gallery", "protocol"}
    assert all(0 <= low <= fields["recall"][n] <= high <= 1 for n, (low, high) in fields["recall_ci95"].items())


@pytest.mark.parametrize("damage", [{"per_query": None}, {"recall": {"one": 1}}, {"ranks": 3, "per_query": {"a": {}}}])
def test_scores_that_are_none(toy: Dataset, averages: Run, damage: dict[str, object]) -> None:
    fields = {**evaluate(averages, toy).to_dict(), **damage}
    with pytest.raises(ProtocolError, match=r"x.json holds no scores .*write them anew"):
        Scores.from_dict(fields, "x.json")


def test_the_protocol_says_what_was_measured(toy: Dataset, averages: Run) -> None:
    protocol = evaluate(averages, toy, method="central_crop", precision="bf16", threshold_m=10.0).protocol
    expected = {
        "split": "test", "threshold_m": 10.0, "method": "central_crop", "precision": "bf16", "pca": None,
        "pretrained": "none", "image_size": [48, 64], "unreadable": 0, "layout": "deep-vg",
    }  # fmt: skip
    assert expected.items() <= protocol.items()


def test_compare_is_paired_and_second_minus_first(toy: Dataset, averages: Run, tiny_run: Run) -> None:
    first = evaluate(averages, toy)
    second = evaluate(tiny_run, toy)
    found = compare(first, second, ["image_size"])
    for n in (1, 5, 10, 20):
        value, low, high, p = found.differences[n]
        assert value == pytest.approx(second.recall[n] - first.recall[n])
        assert low <= value <= high
        assert 0 < p <= 1
        expected = metrics.paired_difference(first.ranks < n, second.ranks < n, first.clusters)
        assert found.differences[n] == expected
    back = compare(second, first, ["image_size"])
    assert back.differences[1][0] == pytest.approx(-found.differences[1][0])


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ({"method": "central_crop"}, "method is hard_resize and central_crop"),
        ({"threshold_m": 10.0}, "threshold_m is 25.0 and 10.0"),
        ({"exclude_nearer_than_m": 5.0}, "exclude_nearer_than_m is None and 5.0"),
        ({"pca": 3}, "pca is None and"),
        ({"split": "train"}, "split_hash is"),
    ],
)
def test_unlike_protocols_are_refused_by_name(toy: Dataset, averages: Run, how: dict[str, object], what: str) -> None:
    first, second = evaluate(averages, toy), evaluate(averages, toy, **how)
    with pytest.raises(ProtocolError, match=rf"unlike protocols .*{what}"):
        compare(first, second)
    if "split" not in how:
        assert compare(first, second, list(how)).clusters == 8


def test_allow_unlike_takes_parts_of_the_protocol_only(toy: Dataset, averages: Run) -> None:
    scores = evaluate(averages, toy)
    with pytest.raises(UsageError, match=r"'colour' is no part of the protocol; --allow-unlike takes split_hash"):
        compare(scores, scores, ["colour"])


def test_slices_add_up(tmp_path: Path, averages: Run) -> None:
    for role, count in (("database", 6), ("queries", 8)):
        for number in range(count):
            note = ("day", "night")[number % 2]
            easting_m, day = 500000 + 9 * (number // 2), number % 9 + 1
            name = f"@{easting_m}@5000000@30@U@@@p{number // 2}@@{number * 45}@@@@2024050{day}@{note}@.jpg"
            put(tmp_path / "town" / "images" / "test" / role / name, save_jpeg(blobs(number)))
    scores = evaluate(averages, deep_vg.read(tmp_path / "town"))
    assert set(scores.slices) == {"condition", "heading", "nearest_gallery_photo"}
    for cells in scores.slices.values():
        assert sum(cell["queries"] for cell in cells.values()) == 8
        mean = sum(cell["recall@1"] * cell["queries"] for cell in cells.values()) / 8
        assert mean == pytest.approx(scores.recall[1])
    assert len(set(scores.clusters)) == 4  # two queries a panorama


def test_descriptors_that_are_no_numbers_are_an_error(toy: Dataset, averages: Run) -> None:
    class Broken(type(averages.encoder.trunk)):  # type: ignore[misc]
        def forward(self, images: object) -> object:
            return super().forward(images) * float("nan")

    averages.encoder.trunk = Broken()
    with pytest.raises(Exception, match="no number"):
        evaluate(averages, toy)


def test_a_journal_changes_nothing(toy: Dataset, tiny_run: Run, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    first = evaluate(tiny_run, toy, method="five_crops", journal=journal)
    assert list(journal.iterdir())
    second = evaluate(tiny_run, toy, method="five_crops", journal=journal)
    assert first.to_dict() == second.to_dict() == evaluate(tiny_run, toy, method="five_crops").to_dict()


def test_progress_counts_every_photo(toy: Dataset, averages: Run) -> None:
    told: list[tuple[int, int]] = []
    evaluate(averages, toy, pca=3, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (48 + 48, 48 + 48)
    assert told == sorted(told)
