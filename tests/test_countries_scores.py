"""Runs that name scenes and countries, scored, asked and explained; from Python and from the command line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import toy_countries
from commands import Captured, called, refused
from conftest import write_street
from geofix.cli.countries import shown
from geofix.coordinates import great_circle_km
from geofix.countries.calibrate import sureness, temperature_of
from geofix.countries.evaluate import evaluate_country
from geofix.countries.explain import explain
from geofix.countries.locate import credible, locate_countries
from geofix.countries.look import Networks, Seen, look
from geofix.countries.routing import softmax
from geofix.data.labels import Labelled
from geofix.data.layouts import open_dataset
from geofix.data.places import Dataset
from geofix.errors import UsageError
from geofix.fixes import Fix
from geofix.index import index
from geofix.learn.countries import train_countries
from geofix.locate import locate
from geofix.models.classifier import Design, open_classifier
from geofix.models.countries import CountryRun, Head, Knowledge, Sureness, load_country_run
from geofix.models.runs import Run
from geofix.photos import Photo, read_pixels, with_gps
from geofix.positions import Position, latlons
from geofix.reports.countries import country_sheet, world_png
from geofix.transforms import five_windows, stacked
from toy_countries import tiny, tiny_scenes


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(toy_countries.write(tmp_path_factory.mktemp("countries"), places=10))


@pytest.fixture(scope="module")
def run(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> CountryRun:
    """Learned well enough to be right most of the time."""
    folder = tmp_path_factory.mktemp("runs") / "country"
    settings = {"epochs": 10, "router_epochs": 10, "frozen_epochs": 0, "learning_rate": 0.01, "dropout": 0.0}
    return train_countries(tiny(**settings), dataset, folder)


@pytest.fixture(scope="module")
def scenes(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> CountryRun:
    settings = {"epochs": 6, "frozen_epochs": 0, "learning_rate": 0.01, "dropout": 0.0}
    return train_countries(tiny_scenes(**settings), dataset, tmp_path_factory.mktemp("runs") / "scenes")


def paths(dataset: Dataset) -> list[Path]:
    return [photo.path for photo in dataset.split("test").photos]


# -- looking ----------------------------------------------------------------------------------------------------------


def test_what_is_seen_does_not_hang_on_the_batch(run: CountryRun, dataset: Dataset) -> None:
    photos = dataset.split("test").photos[:5]
    together = look(run, photos)
    assert together.rows.tolist() == [0, 1, 2, 3, 4]
    for row, photo in enumerate(photos):
        alone = look(run, [photo])
        for name in together.logits:
            assert alone.logits[name][0] == pytest.approx(together.logits[name][row], abs=1e-4)
    assert together.countries("soft").sum(axis=1) == pytest.approx(np.ones(5))


def test_unreadable_photos_keep_the_others_in_order(run: CountryRun, dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "torn.jpg").write_bytes(b"no photo")
    good = dataset.split("test").photos[:2]
    seen = look(run, [good[0], Photo("torn.jpg", tmp_path / "torn.jpg"), good[1]])
    assert seen.rows.tolist() == [0, 2]
    assert [("torn.jpg" in str(error)) for error in seen.errors] == [True]


def test_mirrored_logits_are_averaged() -> None:
    classifier = open_classifier(Design("test_resnet", None, 0.0, (32, 32)), 3, pretrained=False, seed=0)
    batch = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    plain, both = Networks([classifier]), Networks([classifier], flip=True)
    assert both(batch) == pytest.approx((plain(batch) + plain(batch.flip(3))) / 2, abs=1e-5)


def test_five_windows_of_every_photo(run: CountryRun, scenes: CountryRun, dataset: Dataset) -> None:
    photos = dataset.split("test").photos[:4]
    seen = look(run, photos, windows=True)
    for head in run.knows.every:
        network = Networks([run.model.network(head.name)])
        for row, photo in enumerate(photos):
            parts = five_windows(read_pixels(photo.path), network.preprocess.size)
            each = [softmax(network(stacked([part])), head.temperature)[0] for part in parts]
            assert seen.probabilities(head)[row] == pytest.approx(np.mean(each, axis=0), abs=1e-4)
    for one in (run, scenes):
        scores = evaluate_country(one, dataset, windows=True)
        assert scores.protocol["view"] == "mean of five windows of 7/8"
        assert evaluate_country(one, dataset).protocol["view"] == "single, whole photo"
        assert scores.predictions is not None
        assert scores.predictions.probabilities.sum(axis=1) == pytest.approx(1.0, abs=1e-4)


# -- calibration ------------------------------------------------------------------------------------------------------


def seen_of(logits: np.ndarray, classes: Sequence[str]) -> Seen:
    head = Head("all", tuple(classes), (1,) * len(classes), Design("test_resnet", None, 0.0, (32, 32)))
    knows = Knowledge("territory", None, (head,), Sureness(0.2))
    return Seen(knows, np.arange(len(logits)), {"all": logits})


def test_the_limit_keeps_the_stated_error_rate() -> None:
    """100 answers, the less sure the more often wrong: of those above the limit at most a fifth are."""
    rng = np.random.default_rng(0)
    sure = np.linspace(0.4, 0.99, 100)
    right = rng.random(100) < sure
    logits = np.log(np.stack([sure, (1 - sure) / 2, (1 - sure) / 2], axis=1))
    truth = ["FR" if one else "JP" for one in right]
    found = sureness(seen_of(logits, ["FR", "BR", "JP"]), truth, 0.2, photos=100, groups=100)
    assert found.soft is not None and found.hard == found.soft
    answered = sure >= found.soft - 1e-9
    assert answered.sum() > 20
    assert (~right[answered]).mean() <= 0.2
    below = sure >= sure[~answered].max()
    assert (~right[below]).mean() > 0.2
    assert found.continent is not None


def test_nothing_is_answered_where_no_limit_reaches_the_rate() -> None:
    logits = np.zeros((40, 3))
    found = sureness(seen_of(logits, ["FR", "BR", "JP"]), ["JP"] * 40, 0.2, photos=40, groups=40)
    assert (found.soft, found.hard) == (None, None)
    few = sureness(seen_of(logits[:5], ["FR", "BR", "JP"]), ["FR"] * 5, 0.2, photos=5, groups=5)
    assert (few.soft, few.photos) == (None, 5)


def test_a_temperature_is_learned_on_enough_photos_only(dataset: Dataset) -> None:
    design = Design("test_resnet", None, 0.0, (32, 32))
    classifier = open_classifier(design, 3, pretrained=False, seed=0)
    with torch.no_grad():
        classifier.layer.weight.mul_(200)  # far too sure of what it says
    head = Head("all", ("BR", "FR", "JP"), (1, 1, 1), design)
    photos = dataset.split("test").photos[::4]
    labels = tuple(str(photo.place) for photo in photos)
    held = Labelled(photos, labels, (None,) * len(photos), labels)
    temperature, told = temperature_of(classifier, head, held, "fp32", False)
    assert told is None and temperature > 1.5
    temperature, told = temperature_of(classifier, head, held.take(range(5)), "fp32", False)
    assert temperature == 1.0
    assert told == "5 photos of all were held out, fewer than 20: its probabilities are not calibrated."


# -- scores -----------------------------------------------------------------------------------------------------------


def test_scores_against_a_loop(run: CountryRun, dataset: Dataset) -> None:
    scores = evaluate_country(run, dataset)
    photos = dataset.split("test").photos
    seen = look(run, photos)
    assert run.knows.router is not None
    for way in ("soft", "hard"):
        right = 0
        for row, photo in enumerate(photos):
            scenes = softmax(seen.logits["router"][row : row + 1], run.knows.router.temperature)[0]
            total = dict.fromkeys(run.knows.countries, 0.0)
            for column, head in enumerate(run.knows.heads):
                weight = scenes[column] if way == "soft" else float(scenes.argmax() == column)
                said = softmax(seen.logits[head.name][row : row + 1], head.temperature)[0]
                for country, value in zip(head.classes, said, strict=True):
                    total[country] += weight * value
            right += max(total, key=lambda country: total[country]) == photo.place
        assert scores.countries[way].top[1].share == pytest.approx(right / len(photos))
    assert scores.countries["soft"].top[1].share > 0.6
    assert scores.scene is not None and scores.scene.top[1].share > 0.8
    assert scores.scenes_by == "true"
    parts = scores.per_scene["soft"]
    assert sum(part.photos for part in parts.values()) == len(photos)
    weighted = sum(part.top1 * part.photos for part in parts.values()) / len(photos)
    assert weighted == pytest.approx(scores.countries["soft"].top[1].share)
    assert sum(one.right for one in scores.failures) == round(weighted * len(photos))
    assert scores.hits["soft"][1].mean() == pytest.approx(weighted)
    assert scores.groups["soft"].queries == len({photo.group for photo in photos})


def test_the_named_countrys_middle_as_a_position_against_a_loop(run: CountryRun, dataset: Dataset) -> None:
    scores = evaluate_country(run, dataset)
    photos = dataset.split("test").photos
    seen = look(run, photos).countries()
    errors = []
    for row, photo in enumerate(photos):
        middle = run.knows.centres[run.knows.countries[int(seen[row].argmax())]]
        assert photo.position is not None
        errors.append(float(great_circle_km(np.array([middle]), latlons([photo.position]))[0]))
    assert scores.coordinates is not None
    for radius, means in scores.coordinates.within.items():
        assert means.all_rows.value == pytest.approx(np.mean([error <= radius for error in errors]))
    assert scores.coordinates.median_km == pytest.approx(np.median(errors))
    assert scores.to_dict()["coordinates"]["geoscore"] == pytest.approx(scores.coordinates.geoscore.all_rows.value)


def test_temperatures_of_1_give_the_error_before_calibration(run: CountryRun, dataset: Dataset) -> None:
    knows = run.knows
    assert knows.router is not None
    heads = tuple(replace(head, temperature=1.0) for head in knows.heads)
    plain = replace(run, knows=replace(knows, router=replace(knows.router, temperature=1.0), heads=heads))
    before, after = evaluate_country(run, dataset), evaluate_country(plain, dataset)
    for way in ("soft", "hard"):
        assert before.uncalibrated[way] == pytest.approx(after.countries[way].reliability.error)


def test_photos_that_share_a_group_with_train_are_counted(run: CountryRun, dataset: Dataset, tmp_path: Path) -> None:
    assert evaluate_country(run, dataset).leaking == 0
    root = toy_countries.write(tmp_path / "leaking", places=2)
    table = root / "photos.csv"
    text = table.read_text(encoding="utf-8")
    table.write_text(text.replace("testFRcity0", "trainFRcity0"), encoding="utf-8")
    scores = evaluate_country(run, open_dataset(root))
    assert scores.leaking == 2
    assert shown("run", scores).count("leak: 2 photos share a location, sequence or photographer") == 1
    assert evaluate_country(run, open_dataset(root), split="train").leaking is None


def test_scores_as_json(run: CountryRun, scenes: CountryRun, dataset: Dataset) -> None:
    found = json.loads(json.dumps(evaluate_country(run, dataset).to_dict(), allow_nan=False))
    assert found["task"] == "country"
    assert {"top1", "top5", "per_scene", "queries", "answerable", "gallery", "protocol"} <= found.keys()
    assert set(found["routing"]) == set(found["by_group"]) == {"soft", "hard"}
    assert found["classes"] == ["BR", "FR", "JP"]
    alone = json.loads(json.dumps(evaluate_country(scenes, dataset).to_dict(), allow_nan=False))
    assert alone["task"] == "scene"
    assert set(alone["per_scene"]) == {"city", "coast"}


def test_a_country_the_run_cannot_say_is_a_miss_and_is_named(run: CountryRun, dataset: Dataset, tmp_path: Path) -> None:
    for number, path in enumerate(paths(dataset)[:6]):
        target = tmp_path / "test" / ("IT" if number < 2 else path.parent.name) / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    scores = evaluate_country(run, open_dataset(tmp_path))
    assert scores.countries["soft"].unknown == ("IT",)
    assert scores.countries["soft"].ceiling == pytest.approx(4 / 6)
    assert scores.scenes_by == "predicted"


def test_sovereigns_add_territories_up(run: CountryRun, dataset: Dataset) -> None:
    scores = evaluate_country(run, dataset, level="sovereign")
    assert scores.protocol["level"] == "sovereign"
    sovereign = CountryRun(run.folder, run.recipe, run.model, replace(run.knows, level="sovereign"), "x")
    with pytest.raises(UsageError, match="learned sovereign states and cannot tell their territories"):
        evaluate_country(sovereign, dataset, level="territory")
    with pytest.raises(UsageError, match="There is no level 'teritory'"):
        evaluate_country(run, dataset, level="teritory")


# -- answers ----------------------------------------------------------------------------------------------------------


def test_a_fix_says_all_there_is(run: CountryRun, dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "torn.jpg").write_bytes(b"")
    first, torn = locate_countries([paths(dataset)[0], tmp_path / "torn.jpg"], run)
    assert torn.error is not None and torn.countries is None
    assert first.position is None and first.countries is not None and first.scene is not None
    assert [one["code"] for one in first.countries] == sorted(
        run.knows.countries,
        key=lambda code: -next(o["probability"] for o in first.countries or () if o["code"] == code),
    )
    assert sum(one["probability"] for one in first.countries) == pytest.approx(1.0)
    assert sum(first.scene.values()) == pytest.approx(1.0)
    assert first.routing is not None
    assert set(first.routing.heads) == {"city", "coast"}
    assert sum(first.routing.weights.values()) == pytest.approx(1.0)
    assert first.confidence == pytest.approx(first.countries[0]["probability"])
    found = json.loads(json.dumps(first.to_dict(), allow_nan=False))
    assert found["position"] is None
    assert found["routing"]["continent"]["name"] in {"Europe", "Asia", "South America"}
    assert "routing" not in Fix("x").to_dict()


def test_hard_routing_asks_one_head(run: CountryRun, dataset: Dataset) -> None:
    [fix] = locate_countries(paths(dataset)[:1], run, way="hard")
    assert fix.routing is not None
    assert sorted(fix.routing.weights.values()) == [0.0, 1.0]
    assert fix.routing.weights[fix.routing.head] == 1.0


def test_what_is_not_sure_enough_is_not_told(run: CountryRun, dataset: Dataset) -> None:
    def asked(**limits: float | None) -> Fix:
        sure = Sureness(0.2, photos=40, groups=40, **limits)
        other = CountryRun(run.folder, run.recipe, run.model, replace(run.knows, sureness=sure), "x")
        [fix] = locate_countries(paths(dataset)[:1], other)
        return fix

    told = asked(soft=0.0, continent=0.0)
    assert told.reason is None and told.calibrated and told.routing is not None and told.routing.told
    doubted = asked(soft=1.01, continent=0.0)
    assert doubted.reason is not None and doubted.routing is not None and not doubted.routing.told
    assert "below the 1.01 from which 20% of the answers are wrong; the continent is" in doubted.reason
    never = asked(soft=None, continent=None)
    assert never.reason is not None and never.calibrated
    assert never.reason.endswith("and no probability was high enough for only 20% of the answers to be wrong")
    few = CountryRun(run.folder, run.recipe, run.model, replace(run.knows, sureness=Sureness(0.2, photos=5)), "x")
    [unknown] = locate_countries(paths(dataset)[:1], few)
    assert unknown.reason is not None and not unknown.calibrated
    assert unknown.reason.endswith("and nothing was learned of when to answer")


def test_a_position_in_the_photo_is_said_and_not_used(run: CountryRun, tmp_path: Path) -> None:
    street = write_street(tmp_path / "street", 1)
    [fix] = locate_countries([street / "000.jpg"], run)
    assert fix.routing is not None and fix.routing.carries_position
    assert fix.position is None


def test_a_position_in_the_photo_is_the_answer_where_it_is_trusted(
    capsys: Captured, run: CountryRun, dataset: Dataset, tmp_path: Path
) -> None:
    """In Great Britain, which this run can never say; photos without a position, or at sea, are as before."""
    placed = write_street(tmp_path / "street", 1) / "000.jpg"
    (tmp_path / "sea.jpg").write_bytes(with_gps(placed.read_bytes(), Position(-40.0, -120.0)))
    asked = [placed, paths(dataset)[0], tmp_path / "sea.jpg"]
    fixes = locate_countries(asked, run, trust_position=True)
    assert fixes[1:] == locate_countries(asked, run)[1:]
    fix, routing = fixes[0], fixes[0].routing
    assert routing is not None and routing.by_position and routing.told and not fix.calibrated
    assert fix.countries is not None and fix.countries[0] == {
        "code": "GB",
        "name": "United Kingdom",
        "probability": 1.0,
    }
    assert [one["probability"] for one in fix.countries[1:]] == [0.0] * 3
    assert (routing.continent, fix.reason, fix.position) == ("Europe", None, None)
    assert routing.heads.keys() == {head.name for head in run.knows.heads}  # what they say is still there
    command = ("locate", placed, "--country", run.folder)
    status, out, _ = called(capsys, *command, "--trust", "gps")
    assert status == 0 and f"{placed}: United Kingdom\n" in out and "by the photo's own position (EXIF or XMP)" in out
    status, out, _ = called(capsys, *command)
    assert "that was not used (--trust gps uses it)" in out
    assert "--trust fov is for frames on a map; of a country --trust gps alone can be used." in refused(
        capsys, *command, "--trust", "fov"
    )


def test_the_fewest_countries_that_add_up() -> None:
    countries = tuple({"code": code, "probability": p} for code, p in (("FR", 0.6), ("JP", 0.3), ("BR", 0.1)))
    fix = Fix("x", countries=countries)
    assert credible(fix, 0.5) == {"FR"}
    assert credible(fix, 0.6) == {"FR"}
    assert credible(fix, 0.61) == {"FR", "JP"}
    assert credible(fix, 1.0) == {"FR", "JP", "BR"}
    assert credible(Fix("x"), 0.9) == set()


def test_a_country_prior_narrows_the_search(tiny_run: Run, tmp_path: Path) -> None:
    """Photos of a street in Britain, searched once among all and once in France, where the atlas has none."""
    street = write_street(tmp_path / "street")
    atlas = index([street], tiny_run, tmp_path / "atlas").atlas
    asked = [street / "003.jpg"]

    def named(code: str) -> list[Fix]:
        return [Fix(str(asked[0]), countries=({"code": code, "name": code, "probability": 1.0},))]

    [free] = locate(asked, atlas, named=named("GB"))
    [there] = locate(asked, atlas, named=named("GB"), country_prior=0.95)
    [elsewhere] = locate(asked, atlas, named=named("FR"), country_prior=0.95)
    assert [match.path for match in there.matches] == [match.path for match in free.matches]
    assert there.countries == free.countries and not there.calibrated
    assert elsewhere.reason == "can't tell: the atlas has no photo in the likeliest countries"
    with pytest.raises(UsageError, match="A country prior needs to know the countries of the photos"):
        locate(asked, atlas, country_prior=0.95)
    with pytest.raises(UsageError, match="A country prior of 1.5 was asked for"):
        locate(asked, atlas, named=named("FR"), country_prior=1.5)


# -- explanations -----------------------------------------------------------------------------------------------------


def test_covering_what_an_answer_rests_on_costs_it(run: CountryRun, tmp_path: Path) -> None:
    """A red photo with everything but one corner made grey: the corner is what says France."""
    picture = np.full((48, 48, 3), 128, dtype=np.uint8)
    picture[:20, :20] = (220, 40, 40)
    Image.fromarray(picture).save(tmp_path / "corner.png")
    [fix] = locate_countries([tmp_path / "corner.png"], run)
    found = explain(tmp_path / "corner.png", fix, run)
    assert found is not None
    assert found.heat.shape == found.pixels.shape[:2] == (32, 32)
    assert found.heat.max() == pytest.approx(1.0)
    assert found.heat.min() >= 0 and found.heat.max() <= 1
    assert 0 <= found.covered <= 1 and 0 <= found.elsewhere <= 1
    head = next(one for one in run.knows.heads if one.name == found.head)
    [row] = [head.classes.index(found.country)]
    whole = softmax(look(run, [Photo("x", tmp_path / "corner.png")]).logits[found.head], head.temperature)[0, row]
    assert found.whole == pytest.approx(whole, abs=1e-4)
    sheet = country_sheet(fix, found)
    with Image.open(io.BytesIO(sheet)) as image:
        assert image.width > 1000
    assert explain(tmp_path / "corner.png", Fix("x", error="torn"), run) is None


def test_the_world_is_darker_where_it_is_likelier() -> None:
    def green(probability: float) -> np.ndarray:
        with Image.open(io.BytesIO(world_png({"BR": probability}, "Brazil"))) as image:
            return np.asarray(image.convert("RGB")).astype(int)

    dark, light, none = green(0.9), green(0.05), green(0.0)
    changed = (dark != none).any(axis=2)
    assert 0.005 < changed.mean() < 0.2
    assert dark[changed].mean() < light[changed].mean()


# -- the command line -------------------------------------------------------------------------------------------------


def test_train_evaluate_and_locate(capsys: Captured, dataset: Dataset, tmp_path: Path) -> None:
    settings = [
        "backbone=test_resnet", "frozen_through=layer2", "router_backbone=test_resnet", "router_frozen_through=layer2",
        "pretrained=none", "image_size=32x32", "router_epochs=1", "frozen_epochs=1", "block_share=0.25",
    ]  # fmt: skip
    sets = [part for one in settings for part in ("--set", one)]
    status, out, err = called(
        capsys, "train", "lavinskyi-country", "--data", dataset.root, "--out", tmp_path / "run", "--epochs", 1, *sets
    )
    assert status == 0
    assert "countries it can ever name: BR, FR, JP" in out
    assert "starts from random weights" in err
    assert (tmp_path / "run/curves.png").is_file()
    run = load_country_run(tmp_path / "run")
    status, out, _ = called(
        capsys, "evaluate", tmp_path / "run", "--data", dataset.root, "--json", tmp_path / "scores.json",
        "--predictions", tmp_path / "predictions.csv", "--plot", tmp_path / "trust.png",
    )  # fmt: skip
    assert status == 0
    status, windows, _ = called(capsys, "evaluate", tmp_path / "run", "--data", dataset.root, "--method", "five_crops")
    assert status == 0 and "view mean of five windows of 7/8" in windows and "view single, whole photo" in out
    with Image.open(tmp_path / "trust.png") as picture:
        assert picture.format == "PNG" and picture.width > 800
    for line in (
        "countries, soft",
        "countries, hard",
        "a location, soft",
        "the router",
        "by true scene",
        "level territory",
        "single, whole photo",
        " (lift ",
    ):
        assert line in out
    assert "pretrained none" in out
    scores = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert scores["protocol"]["run"] == run.name
    rows = list(csv.DictReader((tmp_path / "predictions.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 120 and {row["truth"] for row in rows} == {"BR", "FR", "JP"}
    top1 = sum(row["truth"] == row["answer_1"] for row in rows) / len(rows)
    assert scores["top1"] == pytest.approx(top1)
    photo = paths(dataset)[0]
    status, out, _ = called(capsys, "locate", photo, "--country", tmp_path / "run", "--explain", tmp_path / "sheets")
    assert status == 0
    assert "scene: " in out and "says" in out and "told: " in out
    assert [path.name for path in (tmp_path / "sheets").iterdir()] == [f"000-{photo.stem}.png"]
    status, out, _ = called(capsys, "locate", photo, "--country", tmp_path / "run", "--json", "--routing", "hard")
    assert json.loads(out)["routing"]["way"] == "hard"
    status, out, _ = called(capsys, "locate", photo, "--country", tmp_path / "run", "--csv", "-")
    [row] = csv.DictReader(io.StringIO(out))
    assert row["country_1"] in {"BR", "FR", "JP"} and row["told"] in {"true", "false"}


def test_country_and_atlas_in_one_fix(
    capsys: Captured, run: CountryRun, tiny_run: Run, street: Path, tmp_path: Path
) -> None:
    called(capsys, "index", street, "--encoder", tiny_run.folder, "--atlas", tmp_path / "atlas")
    status, out, _ = called(
        capsys, "locate", street / "003.jpg", "--atlas", tmp_path / "atlas", "--country", run.folder, "--json"
    )
    found = json.loads(out)
    assert status == 0 and found["matches"] and found["countries"] and found["routing"]["carries_position"]
    status, out, _ = called(
        capsys, "locate", street / "003.jpg", "--atlas", tmp_path / "atlas", "--country", run.folder
    )
    assert "latitude" in out and "countries (territory level): " in out


def test_wrong_usage(capsys: Captured, run: CountryRun, scenes: CountryRun, dataset: Dataset, tmp_path: Path) -> None:
    photo = paths(dataset)[0]
    country = ("--country", run.folder)
    assert "add --atlas ATLAS" in refused(capsys, "locate", photo)
    assert "--explain is about countries; add --country RUN" in refused(
        capsys, "locate", photo, "--atlas", tmp_path, "--explain", tmp_path / "x"
    )
    assert "are for an atlas; add --atlas ATLAS" in refused(capsys, "locate", photo, *country, "--country-prior", 0.9)
    assert "--geojson shows positions, and a country is none" in refused(
        capsys, "locate", photo, *country, "--geojson", tmp_path / "x.json"
    )
    assert "no way of routing 'softly'; did you mean 'soft'" in refused(
        capsys, "locate", photo, *country, "--routing", "softly"
    )
    assert "names scenes and no countries; train specialists with it" in refused(
        capsys, "locate", photo, "--country", scenes.folder
    )
    assert "There is no run folder at" in refused(capsys, "locate", photo, "--country", tmp_path / "none")
    assert "No data were named; add --data DIR with class folders" in refused(capsys, "evaluate", run.folder)
    assert "such runs are scored one at a time" in refused(
        capsys, "evaluate", run.folder, scenes.folder, "--data", dataset.root
    )
    assert "--pca is not for a run that names scenes or countries; leave it out." in refused(
        capsys, "evaluate", run.folder, "--data", dataset.root, "--pca", 8
    )
    assert "name a dataset with --data DIR" in refused(capsys, "train", "lavinskyi-scene", "--out", tmp_path / "r")
    assert "trained on one device; leave --devices out" in refused(
        capsys, "train", "lavinskyi-scene", "--data", dataset.root, "--out", tmp_path / "r", "--devices", 2
    )
    assert "are for encoders of places" in refused(
        capsys, "train", "lavinskyi-scene", "--data", dataset.root, "--out", tmp_path / "r", "--grid", "x.yaml"
    )


# -- the paper's tables -----------------------------------------------------------------------------------------------


def test_the_papers_tables_on_other_photos(capsys: Captured, dataset: Dataset, tmp_path: Path) -> None:
    settings = [
        "backbone=test_resnet", "frozen_through=layer2", "router_backbone=test_resnet", "router_frozen_through=layer2",
        "pretrained=none", "image_size=32x32", "epochs=1", "router_epochs=1", "frozen_epochs=1", "block_share=0.25",
    ]  # fmt: skip
    sets = [part for one in settings for part in ("--set", one)]
    command = ("reproduce", "lavinskyi", "--data", dataset.root, "--out", tmp_path / "out", "--seeds", 2, *sets)
    status, out, _ = called(capsys, *command)
    assert status == 0
    text = (tmp_path / "out" / "lavinskyi.md").read_text(encoding="utf-8")
    assert out == f"{tmp_path / 'out' / 'lavinskyi.md'}\n"
    for wanted in (
        "| City `city` | 63.5 / 81.1 |",
        f"Learned from 120 photos of {dataset.root.name} (train), tested on test, every recipe with backbone=test",
        "| hard routing, top-1 / top-5 | soft routing, top-1 / top-5 | single network, top-1 / top-5 |",
        "| coast | 60 |",
        "| overall | 120 |",
        "Rows are by true scenes.",
        "### Learning curves (figures 2 and 3)",
        "](runs/lavinskyi-country-seed0/curves.png)",
        "Table 2: impossible.",
        "56.39",
        "75.28",
    ):
        assert wanted in text, wanted
    names = sorted(path.name for path in (tmp_path / "out/runs").iterdir())
    assert len(names) == 6 and names[0] == "lavinskyi-country-seed0"
    before = (tmp_path / "out/runs/lavinskyi-scene-seed1/weights.safetensors").stat().st_mtime_ns
    called(capsys, *command)
    assert (tmp_path / "out/runs/lavinskyi-scene-seed1/weights.safetensors").stat().st_mtime_ns == before


def test_the_papers_tables_need_a_split_to_test_on(capsys: Captured, dataset: Dataset, tmp_path: Path) -> None:
    message = refused(capsys, "reproduce", "lavinskyi", "--data", dataset.root / "train", "--out", tmp_path / "out")
    assert "one to learn from (train) and one to test on (test or val) are expected" in message or "splits" in message
    many = refused(capsys, "reproduce", "lavinskyi", "--data", dataset.root, "--out", tmp_path / "out", "--budget", 5)
    assert "are for papers on places" in many
