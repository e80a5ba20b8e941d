"""The command line: what each command says, where, and with which exit status."""

from __future__ import annotations

import csv
import importlib
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import toy_places
import toy_views
from commands import Captured, called, refused
from conftest import as_nobody, write_street
from geofix import recipes
from geofix.atlas.store import Atlas
from geofix.errors import PhotoError
from geofix.models.runs import Run
from geofix.photos import find_photos, save_jpeg
from test_index import revisited
from toy_places import blobs, put

TINY = ["--set", "pretrained=none", "--set", "image_size=64x64", "--set", "epochs=0"]
FIX_KEYS = [
    "photo", "position", "radius_m", "heading_deg", "confidence", "calibrated", "reason", "matches", "scene",
    "countries", "error",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def encoder(tiny_run: Run) -> str:
    return str(tiny_run.folder)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_places.write(tmp_path_factory.mktemp("toy"))


# -- happy paths --------------------------------------------------------------------------------------------------


def test_version_and_help(capsys: Captured) -> None:
    status, out, _ = called(capsys, "--version")
    assert status == 0
    assert re.fullmatch(r"geofix \d+\.\d+.*\n", out)
    status, out, _ = called(capsys, "--help")
    assert status == 0
    for command in ("demo", "data", "train", "evaluate", "index", "locate", "atlas"):
        assert command in out


@pytest.mark.parametrize(
    "command",
    ["demo", "train", "evaluate", "index", "locate", "data check", "data preview", "data world", "atlas info"],
)
def test_every_command_has_help(capsys: Captured, command: str) -> None:
    status, out, _ = called(capsys, *command.split(), "--help")
    assert status == 0
    assert "Usage:" in out


def test_no_command_shows_what_there_is(capsys: Captured) -> None:
    status, out, err = called(capsys)
    assert status == 2
    assert "evaluate" in out + err


def test_train(capsys: Captured, tmp_path: Path) -> None:
    status, out, err = called(capsys, "train", "resnet18-gem", "--out", tmp_path / "run", "--epochs", "0", *TINY)
    assert status == 0
    assert re.fullmatch(rf"{tmp_path}/run: resnet18-gem \([0-9a-f]{{8}}\), 256 numbers a photo\n", out)
    assert err == "geofix: The trunk starts from random weights (seed 0); nothing was learned.\n"


SMALL = [
    "pretrained=none", "image_size=48x64", "cut=layer1", "frozen_through=conv1", "queries_per_epoch=6",
    "cache_refresh=6", "batch_size=1", "negatives=3", "negative_candidates=20", "block_share=0.3",
]  # fmt: skip


def test_train_with_epochs(capsys: Captured, toy: Path, tmp_path: Path) -> None:
    settings = [part for setting in SMALL for part in ("--set", setting)]
    command = ["train", "resnet18-gem", "--data", toy, "--out", tmp_path / "run", "--epochs", "2", *settings]
    status, out, err = called(capsys, *command)
    assert status == 0
    assert re.search(r"^train \(learned from\), \d+ queries in \d+ groups", out, re.MULTILINE)
    assert re.search(r"^block \(held out of train\), \d+ queries .* [+-]\d+\.\d \[", out, re.MULTILINE)
    assert "of 2 (all epochs done), chosen by R@5 on the block" in out
    assert "The recipe asks for" in err
    with Image.open(tmp_path / "run" / "curves.png") as picture:
        assert picture.size == (1040, 416)
    status, out, err = called(capsys, *command, "--resume")
    assert status == 0
    assert "is a finished run; nothing is left to do" in err
    assert "block (held out of train)" in out
    assert "exists and is not empty" in refused(capsys, *command)


def test_train_names_photos_it_cannot_read(capsys: Captured, tmp_path: Path) -> None:
    root = toy_places.write(tmp_path / "toy")
    broken = sorted((root / "images" / "train" / "database").iterdir())[20]
    broken.write_bytes(b"no photo")
    settings = [part for setting in [*SMALL, "mining=full"] for part in ("--set", setting)]
    status, out, err = called(
        capsys, "train", "resnet18-gem", "--data", root, "--out", tmp_path / "run", "--epochs", "1", *settings
    )
    assert status == 1
    assert broken.name in err
    assert "block (held out of train)" in out


def test_train_on_data(capsys: Captured, toy: Path, tmp_path: Path) -> None:
    small = ["--set", "netvlad_clusters=4", "--set", "netvlad_photos=10", "--set", "cut=layer1"]
    status, out, _ = called(
        capsys, "train", "resnet18-netvlad", "--data", toy, "--out", tmp_path / "run", *TINY, *small
    )
    assert status == 0
    assert "256 numbers a photo" in out


def test_index_then_locate(capsys: Captured, encoder: str, street: Path, tmp_path: Path) -> None:
    status, out, err = called(capsys, "index", street, "--encoder", encoder, "--atlas", tmp_path / "atlas")
    assert (status, err) == (0, "")
    assert "24 photos, 24 added, 0 as before, 0 could not be used; confidence not calibrated" in out
    status, out, _ = called(capsys, "index", street, "--encoder", encoder, "--atlas", tmp_path / "atlas")
    assert "24 photos, 0 added, 24 as before" in out
    status, out, err = called(capsys, "locate", street, "--atlas", tmp_path / "atlas", "--score")
    assert (status, err) == (0, "")
    assert len([line for line in out.splitlines() if re.match(r"\d{3}\.jpg ", line)]) == 24
    assert "within 25 m, of all photos" in out


def test_index_with_a_table(capsys: Captured, encoder: str, tmp_path: Path) -> None:
    put(tmp_path / "photos" / "a.jpg", save_jpeg(blobs(1)))
    table = put(tmp_path / "list.csv", b"path,lat,lon\na.jpg,52.2,0.1\n")
    atlas = tmp_path / "atlas"
    command = ["index", tmp_path / "photos", "--encoder", encoder, "--atlas", atlas, "--csv", table]
    assert called(capsys, *command)[0] == 0
    assert Atlas.open(atlas).rows.latlons.tolist() == [[52.2, 0.1]]
    command = ["index", table, "--images", tmp_path / "photos", "--encoder", encoder, "--atlas", tmp_path / "b"]
    assert called(capsys, *command)[0] == 0


def test_json_lines_are_fixes_in_input_order(
    capsys: Captured, street: Path, street_atlas: Path, tmp_path: Path
) -> None:
    grey = put(tmp_path / "grey.jpg", save_jpeg(np.full((48, 64, 3), 90, dtype=np.uint8)))
    broken = put(tmp_path / "broken.jpg", b"x")
    asked = [street / "005.jpg", broken, grey, street / "001.jpg"]
    status, out, err = called(capsys, "locate", *asked, "--atlas", street_atlas, "--json", "--min-confidence", "0.35")
    assert status == 1
    assert err.count("\n") == 1
    assert "broken.jpg" in err
    fixes = [json.loads(line) for line in out.splitlines()]
    assert [fix["photo"] for fix in fixes] == [str(path) for path in asked]
    for fix in fixes:
        assert list(fix) == FIX_KEYS
        assert 0 <= fix["confidence"] <= 1
        assert isinstance(fix["calibrated"], bool)
        assert fix["position"] is None or set(fix["position"]) == {"lat", "lon"}
        assert (fix["position"] is None) == (fix["radius_m"] is None) == (fix["reason"] is not None)
        assert (fix["scene"], fix["countries"]) == (None, None)
        for match in fix["matches"]:
            assert set(match) == {"path", "lat", "lon", "score"}
    assert fixes[1]["error"]
    assert [fix["error"] for fix in fixes[::2]] == [None, None]
    assert [Path(fix["matches"][0]["path"]).name for fix in (fixes[0], fixes[3])] == ["005.jpg", "001.jpg"]


def test_locate_writes_every_format(capsys: Captured, street: Path, street_atlas: Path, tmp_path: Path) -> None:
    flags = {"--csv": "a.csv", "--geojson": "a.geojson", "--kml": "a.kml", "--report": "a.html"}
    extra = [text for flag, name in flags.items() for text in (flag, str(tmp_path / "out" / name))]
    status, _, err = called(capsys, "locate", street / "001.jpg", "--atlas", street_atlas, *extra)
    assert status == 0
    assert err == f"geofix: report: {tmp_path / 'out' / 'a.html'}\n"
    for name in flags.values():
        assert (tmp_path / "out" / name).stat().st_size > 0
    json.loads((tmp_path / "out" / "a.geojson").read_text(encoding="utf-8"))


def test_locate_near(capsys: Captured, street: Path, street_atlas: Path) -> None:
    common = ["locate", street / "001.jpg", "--atlas", street_atlas, "--json", "--near"]
    status, out, _ = called(capsys, *common, "52.2,0.12,0.04")
    assert status == 0
    assert {Path(match["path"]).stem for match in json.loads(out)["matches"]} == {"000", "001", "002"}
    status, out, err = called(capsys, *common, "0,0,1")
    assert (status, err) == (0, "")
    assert json.loads(out)["position"] is None
    assert "no photo within 1 km" in json.loads(out)["reason"]


def test_evaluate(capsys: Captured, encoder: str, toy: Path, tmp_path: Path) -> None:
    extra = ["--json", tmp_path / "scores.json", "--predictions", tmp_path / "p.csv"]
    status, out, err = called(capsys, "evaluate", encoder, "--data", toy, *extra)
    assert (status, err) == (0, "")
    assert "R@1" in out
    assert "(random trunk)" in out
    assert "8 queries (1 with nothing relevant, counted as misses)" in out
    scores = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert {"task", "recall", "recall_ci95", "queries", "answerable", "gallery", "protocol"} <= set(scores)
    assert list(scores["recall"]) == ["1", "5", "10", "20"]
    rows = list(csv.DictReader(io.StringIO((tmp_path / "p.csv").read_text(encoding="utf-8"))))
    assert len(rows) == 8
    ranks = [row["first_relevant_rank"] for row in rows]
    assert sum(rank == "1" for rank in ranks) / 8 == scores["recall"]["1"]
    assert not (tmp_path / "cache" / "geofix" / "unfinished").exists() or not list(
        (tmp_path / "cache" / "geofix" / "unfinished").iterdir()
    )


def test_evaluate_json_to_stdout_is_json(capsys: Captured, encoder: str, toy: Path) -> None:
    status, out, _ = called(capsys, "evaluate", encoder, "--data", toy, "--json", "-")
    assert status == 0
    assert json.loads(out)["queries"] == 8


@pytest.mark.parametrize("method", ["five_crops", "nearest_crop", "central_crop"])
def test_evaluate_by_method(capsys: Captured, encoder: str, toy: Path, method: str) -> None:
    extra = ["--method", method, "--exclude-nearer-than", "3", "--pca", "8", "--precision", "bf16", "--split", "train"]
    status, out, _ = called(capsys, "evaluate", encoder, "--data", toy, *extra)
    assert status == 0
    assert f"method {method}" in out


def test_evaluate_in_a_direction(capsys: Captured, encoder: str, tmp_path: Path) -> None:
    root = toy_views.plain(tmp_path / "views")
    command = ["evaluate", encoder, "--data", root, "--split", "val", "--direction"]
    status, out, _ = called(capsys, *command, "satellite-drone", "--json", tmp_path / "s.json")
    assert status == 0
    assert "direction satellite-drone" in out
    assert json.loads((tmp_path / "s.json").read_text())["direction"] == "satellite-drone"
    assert "found: drone, satellite; choose e.g. --direction drone-satellite." in refused(capsys, *command, "up-down")
    files = [tmp_path / "s.json", tmp_path / "s.json"]
    assert "add --data DIR, or leave it out" in refused(capsys, "evaluate", *files, "--direction", "drone-satellite")


def test_evaluate_without_views_takes_no_direction(capsys: Captured, encoder: str, toy: Path) -> None:
    said = refused(capsys, "evaluate", encoder, "--data", toy, "--direction", "drone-satellite")
    assert "has no views to ask from, only 40 gallery photos and 8 queries; leave --direction out" in said


def test_data_check_of_views(capsys: Captured, tmp_path: Path) -> None:
    root = toy_views.plain(tmp_path)
    toy_views.put_places(root / "train/drone", [f"01{at:02d}" for at in range(6)])
    toy_views.put_places(root / "val/satellite", ["0008"])
    status, out, _ = called(capsys, "data", "check", root)
    assert status == 0
    assert re.search(r"^train +drone +9 +9$", out, re.MULTILINE)
    assert re.search(r"^val +satellite +3 +3$", out, re.MULTILINE)
    assert "gallery and queries are counted for --direction drone-satellite\n" in out
    assert (
        "views that places lack: 2\n"
        "  train: 6 places have a drone view but no satellite view (0100, 0101, 0102, 0103, 0104, ...)\n"
        "  val: 1 place has a satellite view but no drone view (0008)\n"
    ) in out
    assert "photos without a position: 17, each with a place label instead\n" in out


def test_data_check_of_one_view(capsys: Captured, tmp_path: Path) -> None:
    root = toy_views.plain(tmp_path)
    for split in ("train", "val"):
        shutil.rmtree(root / split / "satellite")
        (root / split / "satellite").mkdir()
        (root / split / "drone").rename(root / split / "street")
    status, out, err = called(capsys, "data", "check", root)
    assert status == 1
    assert "train: 3 places have a street view but no satellite view (0001, 0002, 0003)" in out
    assert "train/satellite has no place folder with photos" in err


def test_evaluate_two_runs(capsys: Captured, encoder: str, other_run: Run, toy: Path, tmp_path: Path) -> None:
    status, out, _ = called(capsys, "evaluate", encoder, other_run.folder, "--data", toy, "--json", tmp_path / "s.json")
    assert status == 0
    assert "second - first" in out
    both = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))["compared"]
    assert [one["run"] for one in both] == [encoder, str(other_run.folder)]
    assert all(one["queries"] == 8 for one in both)


def test_compare_files_of_scores(capsys: Captured, encoder: str, toy: Path, tmp_path: Path) -> None:
    files = [tmp_path / "a.json", tmp_path / "b.json", tmp_path / "c.json"]
    for file, method in zip(files, ("hard_resize", "hard_resize", "central_crop"), strict=True):
        assert called(capsys, "evaluate", encoder, "--data", toy, "--json", file, "--method", method)[0] == 0
    status, out, _ = called(capsys, "evaluate", files[0], files[1])
    assert status == 0
    assert "+0.0" in out
    assert "method is hard_resize and central_crop" in refused(capsys, "evaluate", files[0], files[2])
    assert called(capsys, "evaluate", files[0], files[2], "--allow-unlike", "method")[0] == 0
    for other in (tmp_path / "none.json", put(tmp_path / "list.json", b"[1]"), put(tmp_path / "x.json", b"{}")):
        assert "scores" in refused(capsys, "evaluate", files[0], other)
    assert "add --data DIR" in refused(capsys, "evaluate", files[0])


def test_data_check(capsys: Captured, toy: Path, tmp_path: Path) -> None:
    status, out, err = called(capsys, "data", "check", toy, "--json", tmp_path / "check.json")
    assert (status, err) == (0, "")
    assert "layout deep-vg" in out
    assert json.loads((tmp_path / "check.json").read_text(encoding="utf-8"))["layout"] == "deep-vg"
    assert json.loads(called(capsys, "data", "check", toy, "--json", "-")[1])["layout"] == "deep-vg"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--kind", "moon"], "no kind of world 'moon'; known are: places, crossview, countries"),
        (["--kind", "crossview", "--sweep", "fog=0,1"], "--sweep does not go with --kind crossview; leave it out"),
        (["--kind", "countries", "--orthophoto", "x.png"], "--orthophoto does not go with --kind countries"),
        (
            ["--kind", "crossview", "--layout", "denseuav"],
            "no cross-view layout 'denseuav'; known are",
        ),
        (["--kind", "crossview", "--altitude", "high"], "The altitudes are 'high'; metres are expected"),
        (["--kind", "crossview", "--altitude", "5"], "A drone cannot fly at 5 m"),
        (["--difficulty", "nasty"], "There is no difficulty 'nasty'"),
        (["--kind", "countries", "--layout", "sues-200"], "--layout does not go with --kind countries"),
        (["--kind", "countries", "--seed", "-1"], "The seed is -1"),
        (["--kind", "crossview", "--size", "512x512"], "--size does not go with --kind crossview"),
        (["--altitude", "100"], "--altitude does not go with --kind places"),
        (["--orthophoto", "town.jpg"], "town.jpg does not end like an orthophoto"),
        (["--shares", "nan,0"], "two of 0..1, together at most 1, are expected"),
        (["--size", "240"], "The size is '240'; ROWSxCOLUMNS is expected, as in --size 240x320"),
        (["--shares", "half"], "The shares are 'half'; TRAIN,VAL is expected"),
        (["--condition", "nigth=1"], "did you mean 'night'"),
        (["--places", "0"], "at least 1 with --places"),
    ],
)
def test_worlds_that_cannot_be_rendered(capsys: Captured, tmp_path: Path, flags: list[str], message: str) -> None:
    assert message in refused(capsys, "data", "world", tmp_path / "x", *flags)
    assert not (tmp_path / "x").exists()


def test_data_world_of_other_kinds(capsys: Captured, tmp_path: Path) -> None:
    flags = ["--kind", "crossview", "--places", "3", "--layout", "plain-views", "--drone-views", "1"]
    status, out, _ = called(capsys, "data", "world", tmp_path / "v", *flags, "--orthophoto", tmp_path / "town.png")
    assert status == 0
    assert "plain-views; places: " in out and "town.png: " in out and "EPSG 32631" in out
    assert (tmp_path / "town.pgw").exists()
    status, out, _ = called(
        capsys, "data", "world", tmp_path / "c", "--kind", "countries", "--places", "6", "--size", "32x48"
    )
    assert (status, "24 photos of 6 regions" in out) == (0, True)


def test_a_sweep_is_rendered_evaluated_and_plotted(capsys: Captured, encoder: str, tmp_path: Path) -> None:
    flags = ["--places", "4", "--size", "48x64", "--sweep", "fog=0,1"]
    assert called(capsys, "data", "world", tmp_path / "s", *flags)[0] == 0
    plot = tmp_path / "fog.png"
    status, out, _ = called(capsys, "evaluate", encoder, "--data", tmp_path / "s", "--plot", plot)
    assert status == 0
    assert re.search(r"^fog +queries +R@1 +R@5 +R@1 less that at 0$", out, re.MULTILINE)
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert called(capsys, "data", "world", tmp_path / "t", "--places", "4", "--size", "48x64")[0] == 0
    err = refused(capsys, "evaluate", encoder, "--data", tmp_path / "t", "--plot", plot)
    assert "The queries do not sweep a factor, so there is nothing to plot" in err


def test_data_world(capsys: Captured, tmp_path: Path) -> None:
    status, _, _ = called(capsys, "data", "world", tmp_path / "town", "--places", "2", "--seed", "3")
    assert status == 0
    assert called(capsys, "data", "check", tmp_path / "town")[0] == 0
    assert "no kind of world 'moon'" in refused(capsys, "data", "world", tmp_path / "x", "--kind", "moon")


def test_atlas_commands(capsys: Captured, street_atlas: Path) -> None:
    status, out, _ = called(capsys, "atlas", "info", street_atlas)
    assert status == 0
    assert "photos: 24" in out
    assert "encoder: tiny" in out
    assert "pretrained: none" in out
    status, out, _ = called(capsys, "atlas", "verify", street_atlas, "--files")
    assert (status, out) == (0, f"{street_atlas}: 24 photos, whole\n")
    paths = sorted(Atlas.open(street_atlas).known())
    status, out, _ = called(capsys, "atlas", "remove", street_atlas, paths[0], paths[1])
    assert status == 0
    assert "2 photos removed, 22 left" in out
    assert called(capsys, "atlas", "compact", street_atlas)[1] == f"{street_atlas}: 22 photos, compacted\n"
    status, out, _ = called(capsys, "atlas", "remove", street_atlas, Path(paths[2]).parent)
    assert "22 photos removed, 0 left" in out
    assert called(capsys, "atlas", "info", street_atlas)[0] == 0


def test_atlas_remove_by_other_spellings_and_what_is_missing(
    capsys: Captured, encoder: str, street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    atlas = tmp_path / "atlas"
    called(capsys, "index", street, "--encoder", encoder, "--atlas", atlas)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert "1 photos removed, 23 left" in called(capsys, "atlas", "remove", atlas, "../street/000.jpg")[1]
    (street / "001.jpg").unlink()
    assert "1 photos removed, 22 left" in called(capsys, "atlas", "remove", atlas, "--missing")[1]
    assert "0 photos removed, 22 left" in called(capsys, "atlas", "remove", atlas, "--missing")[1]
    status, out, err = called(capsys, "atlas", "remove", atlas, "../street/002.jpg", "../street/typo.jpg")
    assert status == 1
    assert "1 photos removed, 21 left" in out
    assert err == f"geofix: ../street/typo.jpg is not in {atlas}.\n"
    assert "None of the photos named is in" in refused(capsys, "atlas", "remove", atlas, "typo.jpg")
    assert "Nothing was named to remove" in refused(capsys, "atlas", "remove", atlas)


def test_atlas_calibrate(capsys: Captured, encoder: str, tmp_path: Path) -> None:
    photos, atlas = revisited(tmp_path / "photos", 60), tmp_path / "atlas"
    for path in sorted(photos.glob("*-1.jpg")):
        path.rename(put(tmp_path / "asked" / path.name, b""))
    assert called(capsys, "index", photos, "--encoder", encoder, "--atlas", atlas)[0] == 0
    status, out, err = called(capsys, "atlas", "calibrate", atlas, tmp_path / "asked")
    assert (status, err) == (0, "")
    assert re.search(r"calibrated on 60 of held-out photos, \d+\.\d% of them found within 25 m", out)
    calibration = Atlas.open(atlas).calibration
    assert calibration is not None
    assert "on 60 of held-out photos" in called(capsys, "atlas", "info", atlas)[1]
    status, out, _ = called(capsys, "locate", tmp_path / "asked", "--atlas", atlas, "--json")
    assert status == 0
    assert all(json.loads(line)["calibrated"] for line in out.splitlines())
    # Nothing new to index: what was learned on held-out photos stays.
    assert called(capsys, "index", photos, "--encoder", encoder, "--atlas", atlas)[0] == 0
    assert Atlas.open(atlas).calibration == calibration
    few = tmp_path / "asked" / "00-1.jpg"
    assert "too few" in refused(capsys, "atlas", "calibrate", atlas, few)
    assert Atlas.open(atlas).calibration == calibration


def test_atlas_calibrate_names_photos_that_cannot_be_read(capsys: Captured, encoder: str, tmp_path: Path) -> None:
    photos, atlas = revisited(tmp_path / "photos", 60), tmp_path / "atlas"
    for path in sorted(photos.glob("*-1.jpg")):
        path.rename(put(tmp_path / "asked" / path.name, b""))
    assert called(capsys, "index", photos, "--encoder", encoder, "--atlas", atlas)[0] == 0
    cut = tmp_path / "asked" / "07-1.jpg"
    cut.write_bytes(cut.read_bytes()[:-400])
    put(tmp_path / "asked" / "nowhere.jpg", save_jpeg(blobs(3)))
    status, out, err = called(capsys, "atlas", "calibrate", atlas, tmp_path / "asked")
    assert status == 1
    assert "calibrated on 59 of held-out photos" in out
    assert len(err.splitlines()) == 2
    assert "07-1.jpg" in err
    assert "nowhere.jpg" in err


def test_atlas_calibrate_on_an_empty_atlas(capsys: Captured, tiny_run: Run, street: Path, tmp_path: Path) -> None:
    Atlas.open_or_create(tmp_path / "atlas", tiny_run)
    assert "holds no photos" in refused(capsys, "atlas", "calibrate", tmp_path / "atlas", street)


def test_atlas_verify_finds_what_is_wrong(capsys: Captured, encoder: str, street: Path, tmp_path: Path) -> None:
    called(capsys, "index", street, "--encoder", encoder, "--atlas", tmp_path / "atlas")
    put(street / "004.jpg", b"other")
    status, out, err = called(capsys, "atlas", "verify", tmp_path / "atlas", "--files")
    assert status == 1
    assert "24 photos, 1 problems" in out
    assert "004.jpg has changed since it was indexed" in err


# -- bad photos among good ones -----------------------------------------------------------------------------------


def as_bytes(image: Image.Image, kind: str, **how: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def mixed_folder(folder: Path) -> tuple[Path, dict[str, bool]]:
    """Photos of every odd kind, all with a position from their name, and whether each can be used."""
    rgb = Image.fromarray(blobs(1))
    other = Image.fromarray(blobs(2))
    good_jpeg = save_jpeg(blobs(3))
    kinds: dict[str, tuple[bytes, bool]] = {
        "good.jpg": (good_jpeg, True),
        "truncated.jpg": (good_jpeg[: len(good_jpeg) // 2], False),
        "corrupt.jpg": (b"\xff\xd8\xff\xe0" + bytes(range(256)), False),
        "zero.jpg": (b"", False),
        "one.png": (as_bytes(rgb.resize((1, 1)), "PNG"), False),
        "cmyk.jpg": (as_bytes(rgb.convert("CMYK"), "JPEG"), True),
        "sixteen.png": (as_bytes(Image.fromarray(blobs(4)[:, :, 0].astype(np.uint16) * 257), "PNG"), True),
        "palette.png": (as_bytes(rgb.convert("P"), "PNG", transparency=3), True),
        "animated.gif": (as_bytes(rgb, "GIF", save_all=True, append_images=[other]), True),
        "grey.png": (as_bytes(rgb.convert("L"), "PNG"), True),
        "text.jpg": (b"this is no image\n" * 40, False),
    }
    usable = {}
    for number, (name, (data, good)) in enumerate(kinds.items()):
        named = f"@{500000 + 20 * number}@5000000@30@U@@@@@@@@@@@{name}"
        put(folder / named, data)
        usable[named] = good
    dangling = "@500900@5000000@30@U@@@@@@@@@@@dangling.jpg"
    (folder / dangling).symlink_to(folder / "nowhere.jpg")
    usable[dangling] = False
    return folder, usable


@pytest.fixture
def mixed(tmp_path: Path) -> tuple[Path, dict[str, bool]]:
    return mixed_folder(tmp_path / "mixed")


def named_once(err: str, usable: dict[str, bool]) -> None:
    lines = err.splitlines()
    bad = [name for name, good in usable.items() if not good]
    assert len(lines) == len(bad)
    for name in bad:
        assert sum(name in line for line in lines) == 1, name


def test_index_goes_on_over_every_bad_photo(
    capsys: Captured, encoder: str, mixed: tuple[Path, dict[str, bool]], tmp_path: Path
) -> None:
    folder, usable = mixed
    status, out, err = called(capsys, "index", folder, "--encoder", encoder, "--atlas", tmp_path / "atlas")
    assert status == 1
    named_once(err, usable)
    assert {Path(path).name for path in Atlas.open(tmp_path / "atlas").known()} == {n for n, ok in usable.items() if ok}
    assert f"{sum(usable.values())} photos" in out
    # The same again: nothing new, and the bad ones are still named.
    status, out, err = called(capsys, "index", folder, "--encoder", encoder, "--atlas", tmp_path / "atlas")
    assert status == 1
    assert " 0 added" in out
    named_once(err, usable)


def test_locate_goes_on_over_every_bad_photo(
    capsys: Captured, street_atlas: Path, mixed: tuple[Path, dict[str, bool]]
) -> None:
    folder, usable = mixed
    status, out, err = called(capsys, "locate", folder, "--atlas", street_atlas, "--json")
    assert status == 1
    named_once(err, usable)
    fixes = {Path(fix["photo"]).name: fix for fix in map(json.loads, out.splitlines())}
    assert {name: fix["error"] is None for name, fix in fixes.items()} == usable
    status, out, _ = called(capsys, "locate", folder, "--atlas", street_atlas, "--score")
    assert status == 1
    assert out.count("unreadable") == sum(not good for good in usable.values())


def test_evaluate_goes_on_over_every_bad_photo(capsys: Captured, encoder: str, tmp_path: Path) -> None:
    split = tmp_path / "set" / "images" / "test"
    folder, usable = mixed_folder(split / "queries")
    shutil.copytree(folder, split / "database", symlinks=True)
    status, out, err = called(capsys, "evaluate", encoder, "--data", tmp_path / "set")
    assert status == 1
    assert f"{len(usable)} queries" in out
    assert f"{sum(usable.values())} gallery photos" in out
    assert len(err.splitlines()) == 2 * sum(not good for good in usable.values())


def test_evaluate_names_what_the_reader_could_not_use(capsys: Captured, encoder: str, street: Path) -> None:
    put(street / "broken.jpg", b"broken")
    status, out, err = called(capsys, "evaluate", encoder, "--data", street, "--split", "all")
    assert status == 1
    assert "24 queries" in out
    assert len(err.splitlines()) == 1
    assert "broken.jpg" in err


def test_data_check_names_every_bad_photo(capsys: Captured, mixed: tuple[Path, dict[str, bool]]) -> None:
    folder, _ = mixed
    status, out, err = called(capsys, "data", "check", folder)
    assert status == 1
    for what in ("truncated", "corrupt", "zero", "one.png", "text", "dangling"):
        assert what in err
    assert "unreadable photos" in out


def test_only_bad_photos(capsys: Captured, encoder: str, street_atlas: Path, tmp_path: Path) -> None:
    bad = put(tmp_path / "bad" / "a.jpg", b"bad").parent
    message = refused(capsys, "locate", bad, "--atlas", street_atlas)
    assert "None of the 1 photos could be read" in message
    assert "None of the 1 photos found could be indexed" in refused(
        capsys, "index", bad, "--encoder", encoder, "--atlas", tmp_path / "atlas"
    )


def test_many_bad_photos_are_counted(capsys: Captured, encoder: str, street: Path, tmp_path: Path) -> None:
    for number in range(25):
        put(street / f"bad{number:02d}.jpg", b"bad")
    _, _, err = called(capsys, "index", street, "--encoder", encoder, "--atlas", tmp_path / "atlas")
    assert len(err.splitlines()) == 21
    assert err.endswith("geofix: ... and 5 more inputs that could not be used.\n")


# -- what cannot be done ------------------------------------------------------------------------------------------


def test_empty_and_missing_folders(capsys: Captured, encoder: str, street_atlas: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    index = ["--encoder", encoder, "--atlas", tmp_path / "atlas"]
    assert "holds no photos" in refused(capsys, "index", empty, *index)
    assert "holds no photos" in refused(capsys, "locate", empty, "--atlas", street_atlas)
    assert "is empty" in refused(capsys, "evaluate", encoder, "--data", empty)
    assert "is empty" in refused(capsys, "data", "check", empty)
    assert "does not exist" in refused(capsys, "index", tmp_path / "none", *index)
    assert "does not exist" in refused(capsys, "locate", tmp_path / "none.jpg", "--atlas", street_atlas)
    assert "does not exist" in refused(capsys, "data", "check", tmp_path / "none")


def test_missing_split(capsys: Captured, encoder: str, toy: Path) -> None:
    message = refused(capsys, "evaluate", encoder, "--data", toy, "--split", "val")
    assert "no split 'val'; found: test, train; choose one with --split" in message


def test_swapped_coordinates(capsys: Captured, encoder: str, tmp_path: Path) -> None:
    rows = [f"{n}.jpg,{151 + n / 10},-33.{n}" for n in range(4)]
    for number in range(4):
        put(tmp_path / "p" / f"{number}.jpg", save_jpeg(blobs(number)))
    table = put(tmp_path / "p" / "list.csv", "\n".join(["path,lat,lon", *rows]).encode())
    index = ["--encoder", encoder, "--atlas", tmp_path / "atlas"]
    assert "latitude and longitude swapped" in refused(capsys, "index", table, *index)
    assert "latitude and longitude swapped" in refused(capsys, "index", tmp_path / "p", "--csv", table, *index)
    assert "latitude and longitude swapped" in refused(capsys, "evaluate", encoder, "--data", table)


def test_textual_coordinates(capsys: Captured, encoder: str, tmp_path: Path) -> None:
    for number in range(2):
        put(tmp_path / "p" / f"{number}.jpg", save_jpeg(blobs(number)))
    table = put(tmp_path / "p" / "list.csv", b"path,lat,lon\n0.jpg,52 N,0 E\n1.jpg,52.1,0.1\n")
    index = ["--encoder", encoder, "--atlas", tmp_path / "atlas"]
    status, out, err = called(capsys, "index", table, *index)
    assert status == 1
    assert "1 photos, 1 added" in out
    assert err == "geofix: list.csv line 2 has '52 N' as lat; a decimal number of degrees is expected.\n"
    put(table, b"path,lat,lon\n0.jpg,north,east\n")
    assert "has no usable row of 1" in refused(capsys, "index", table, *index)


def test_no_positions_at_all(capsys: Captured, encoder: str, tmp_path: Path) -> None:
    for number in range(3):
        put(tmp_path / "p" / f"{number}.jpg", save_jpeg(blobs(number)))
    index = ["--encoder", encoder, "--atlas", tmp_path / "atlas"]
    assert "has no position" in refused(capsys, "index", tmp_path / "p", *index)
    assert "has a position" in refused(capsys, "evaluate", encoder, "--data", tmp_path / "p", "--split", "all")


def test_unknown_names(capsys: Captured, encoder: str, toy: Path, street_atlas: Path, tmp_path: Path) -> None:
    out = ["--out", tmp_path / "run"]
    assert "did you mean 'resnet18-gem'" in refused(capsys, "train", "resnet18-gme", *out)
    assert "did you mean 'pooling'" in refused(capsys, "train", "resnet18-gem", *out, "--set", "poling=gem")
    assert "no backbone named" in refused(capsys, "train", "resnet18-gem", *out, *TINY, "--set", "backbone=res")
    assert "--set sets pooling to 'max'" in refused(capsys, "train", "resnet18-gem", *out, "--set", "pooling=max")
    assert "no test method 'zoom'" in refused(capsys, "evaluate", encoder, "--data", toy, "--method", "zoom")
    assert "no precision 'fp8'" in refused(capsys, "evaluate", encoder, "--data", toy, "--precision", "fp8")
    photo = next((toy / "images" / "test" / "queries").iterdir())
    assert "no precision 'fp8'" in refused(capsys, "locate", photo, "--atlas", street_atlas, "--precision", "fp8")
    assert not (tmp_path / "run").exists()


def test_missing_arguments(capsys: Captured, street: Path, encoder: str, tmp_path: Path) -> None:
    assert "add --atlas ATLAS" in refused(capsys, "locate", street)
    assert "add --out RUN" in refused(capsys, "train", "resnet18-gem")
    for wrong in (["index", street], ["locate"], ["evaluate"], ["nonsense"], ["index", "--colour", "red"]):
        status, out, err = called(capsys, *wrong)
        assert (status, out) == (2, "")
        assert "Usage:" in err
    assert "no run folder" in refused(capsys, "index", street, "--encoder", tmp_path / "no", "--atlas", tmp_path / "a")
    assert "no atlas at" in refused(capsys, "locate", street, "--atlas", tmp_path / "no")
    assert "it has no atlas.json" in refused(capsys, "locate", street, "--atlas", street)
    assert "3 runs were named" in refused(capsys, "evaluate", "a", "b", "c")
    for command in ("info", "verify", "compact"):
        assert "no atlas at" in refused(capsys, "atlas", command, tmp_path / "no")


def test_epochs_and_full_folders(capsys: Captured, street: Path, tmp_path: Path) -> None:
    command = ["train", "resnet18-gem", *TINY]
    assert "There are no photos to learn from" in refused(capsys, *command, "--out", tmp_path / "run", "--epochs", "3")
    assert "exists and is not empty" in refused(capsys, *command, "--out", street)
    assert "exists and is not empty" in refused(capsys, "demo", "--out", street)


def test_an_atlas_of_another_encoder(
    capsys: Captured, encoder: str, other_run: Run, street: Path, street_atlas: Path
) -> None:
    message = refused(capsys, "index", street, "--encoder", other_run.folder, "--atlas", street_atlas)
    assert "encoder tiny" in message
    assert "not by other" in message


def test_impossible_numbers(capsys: Captured, encoder: str, toy: Path, street: Path, street_atlas: Path) -> None:
    assert "PCA to 0 components" in refused(capsys, "evaluate", encoder, "--data", toy, "--pca", "0")
    assert "PCA to 999 components" in refused(capsys, "evaluate", encoder, "--data", toy, "--pca", "999")
    assert "above 0" in refused(capsys, "evaluate", encoder, "--data", toy, "--exclude-nearer-than", "-1")
    common = ["locate", street / "000.jpg", "--atlas", street_atlas]
    assert "0 to 1 is expected" in refused(capsys, *common, "--min-confidence", "7")
    assert "is not LAT,LON,KM" in refused(capsys, *common, "--near", "here")
    assert "swapped" in refused(capsys, *common, "--near", "151,-33,1")


def test_a_folder_that_may_not_be_written(capsys: Captured, public: Path, street: Path) -> None:
    photos = shutil.copytree(street, public / "photos")
    command = ["index", photos, "--encoder", public / "run", "--atlas"]
    with as_nobody():
        assert "may not be written" in refused(capsys, *command, public / "atlas")
        assert "may not be written" in refused(capsys, "train", "resnet18-gem", *TINY, "--out", public / "new")
    assert called(capsys, *command, public / "atlas")[0] == 0
    with as_nobody():
        locate = ["locate", photos / "001.jpg", "--atlas", public / "atlas"]
        assert called(capsys, *locate)[0] == 0
        status, _, err = called(capsys, *locate, "--csv", public / "out.csv")
        assert status == 2
        assert "may not be written" in err


def test_a_cache_that_may_not_be_written_does_not_matter(
    capsys: Captured, encoder: str, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(put(tmp_path / "a-file", b"")))
    assert called(capsys, "evaluate", encoder, "--data", toy)[0] == 0


def test_names_that_are_no_utf_8(
    capsys: Captured, encoder: str, street: Path, street_atlas: Path, tmp_path: Path
) -> None:
    (street / "caf\udce9.jpg").write_bytes((street / "000.jpg").read_bytes())
    status, _, err = called(capsys, "index", street, "--encoder", encoder, "--atlas", tmp_path / "atlas")
    assert status == 1
    assert "not UTF-8" in err
    status, out, _ = called(capsys, "locate", street, "--atlas", street_atlas, "--json", "--csv", tmp_path / "f.csv")
    assert status == 0
    assert [json.loads(line)["photo"] for line in out.splitlines()][-1].endswith("caf\udce9.jpg")
    extra = ["--json", tmp_path / "s.json", "--predictions", tmp_path / "p.csv"]
    assert called(capsys, "evaluate", encoder, "--data", street, "--split", "all", *extra)[0] == 0


# -- the process --------------------------------------------------------------------------------------------------

HEAVY = ("torch", "torchvision", "timm", "numpy", "lancedb", "faiss", "sklearn", "PIL")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["locate", "--help"], ["index"]])
def test_nothing_heavy_is_imported_before_it_is_needed(arguments: list[str]) -> None:
    code = f"import sys; from geofix.cli import run; run({arguments!r}); print(set({HEAVY!r}) & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "set()"


def test_ctrl_c_says_how_to_go_on(capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(recipes, "load_any", stopped)
    status, out, err = called(capsys, "train", "resnet18-gem", "--out", tmp_path / "run")
    assert (status, out) == (130, "")
    assert err == (
        "geofix: stopped; run the same command again (index, evaluate, reproduce, data night and data world go on "
        "where they were, train does with --resume).\n"
    )


def test_a_reader_that_goes_away_is_no_error_of_ours(street_atlas: Path) -> None:
    """`geofix atlas info ATLAS | true`"""
    code = "import sys; from geofix.cli import run; sys.exit(run(['--help']))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.wait(timeout=60)
    process.stderr.close()
    assert err == b""


@pytest.mark.slow
def test_demo(capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo = importlib.import_module("geofix.demo")
    monkeypatch.setattr(demo, "PLACES", 40)
    monkeypatch.setattr(demo, "LOCATED", 4)
    status, out, _ = called(capsys, "demo", "--out", tmp_path / "demo")
    assert status == 0
    assert re.search(r"^by day +2 ", out, re.MULTILINE) and re.search(r"^not in the atlas +6 ", out, re.MULTILINE)
    assert "On real photos it is weak" in out
    assert (tmp_path / "demo" / "report.html").stat().st_size > 0
    assert called(capsys, "atlas", "verify", tmp_path / "demo" / "atlas")[0] == 0


def test_photos_of_the_atlas_do_not_calibrate_it(capsys: Captured, encoder: str, tmp_path: Path) -> None:
    street = write_street(tmp_path / "street", 6)
    assert called(capsys, "index", street, "--encoder", encoder, "--atlas", tmp_path / "atlas")[0] == 0
    err = refused(capsys, "atlas", "calibrate", tmp_path / "atlas", street)
    assert "0 of 6 photos have a position and are not in the atlas" in err


def test_scoring_photos_of_the_atlas_says_so(capsys: Captured, encoder: str, tmp_path: Path) -> None:
    street = write_street(tmp_path / "street", 6)
    called(capsys, "index", street, "--encoder", encoder, "--atlas", tmp_path / "atlas")
    _, out, _ = called(capsys, "locate", street, "--atlas", tmp_path / "atlas", "--score")
    assert "careful: 6 of these photos are in the atlas itself" in out


def test_a_closed_folder_is_named_and_the_rest_is_done(capsys: Captured, public: Path) -> None:
    street = write_street(public / "street", 6)
    closed = write_street(street / "closed", 2)
    closed.chmod(0)
    with as_nobody():
        problems: list[PhotoError] = []
        assert len(find_photos(street, problems)) == 6
        with pytest.raises(PhotoError, match="closed may not be read"):
            find_photos(street)
        status, out, err = called(capsys, "data", "check", street)
    closed.chmod(0o755)
    assert [str(problem).split(" (")[0] for problem in problems] == [f"{closed} may not be read"]
    assert status == 1
    assert "closed may not be read" in err
    assert re.search(r"^all +6 ", out, re.MULTILINE)


@pytest.mark.parametrize("command", ["locate", "evaluate", "train", "atlas info", "data check", "index"])
def test_a_name_that_is_too_long(capsys: Captured, encoder: str, tmp_path: Path, command: str) -> None:
    long = tmp_path / ("x" * 300 + ".jpg")
    street = write_street(tmp_path / "street", 3)
    called(capsys, "index", street, "--encoder", encoder, "--atlas", tmp_path / "atlas")
    more: dict[str, list[object]] = {
        "locate": ["--atlas", tmp_path / "atlas"],
        "evaluate": ["--data", street],
        "train": ["--out", tmp_path / "run"],
        "index": ["--encoder", encoder, "--atlas", tmp_path / "atlas"],
    }
    refused(capsys, *command.split(), long, *more.get(command, []))
    if command == "locate":
        status, out, err = called(capsys, "locate", street / "001.jpg", long, *more["locate"])
        assert status == 1 and "001.jpg" in out and "File name too long" in err


def test_a_partly_random_trunk_is_never_silent(capsys: Captured, toy: Path, tmp_path: Path) -> None:
    weights = tmp_path / "part.safetensors"
    save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, weights)
    changes = ["--set", "image_size=64x64", "--epochs", "0", "--weights", weights, "--out", tmp_path / "run"]
    assert "start from random weights" in called(capsys, "train", "resnet18-gem", *changes)[2]
    out = called(capsys, "evaluate", tmp_path / "run", "--data", toy)[1]
    assert re.search(r"\(trunk with \d+ random tensors\)", out)
