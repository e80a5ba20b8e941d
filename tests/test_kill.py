"""Killed at any moment: what was acknowledged is still there, nothing is half, and the same command finishes."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import toy_places
from conftest import write_street
from geofix.atlas.store import MANIFEST, Atlas, Rows
from geofix.atlas.verify import verify
from geofix.index import index
from geofix.learn.checkpoints import read_checkpoint
from geofix.models.runs import Run, fingerprint

pytestmark = pytest.mark.slow
Runs = Callable[[int, int], int]
# As the command itself, in commits and saved parts so small that a kill meets them often, and with a sign when
# the work itself begins: most of a short command's time is spent on imports.
COMMAND = """
import importlib, os, pathlib, sys
module = importlib.import_module("geofix.{module}")
module.{parts} = 4
encode_chunk = module.encode_chunk
def noted(*arguments, **named):
    pathlib.Path(os.environ["SIGN"]).touch()
    return encode_chunk(*arguments, **named)
module.encode_chunk = noted
from geofix.cli import run
sys.exit(run(sys.argv[1:]))
"""
INDEX = COMMAND.format(module="index", parts="COMMIT_PHOTOS")
EVALUATE = COMMAND.format(module="encode", parts="_JOURNAL_PHOTOS")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
        "SIGN": str(tmp_path / "sign"),
    }


def start(code: str, arguments: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(code: str, arguments: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds that the command took undisturbed, and how many of them after the sign."""
    sign = Path(environment["SIGN"])
    sign.unlink(missing_ok=True)
    began = time.monotonic()
    process = start(code, arguments, environment)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    worked = time.time() - sign.stat().st_mtime if sign.exists() else 0.0
    return time.monotonic() - began, worked


def kill_after(
    seconds: float, code: str, arguments: list[str], environment: dict[str, str], *, from_sign: bool = False
) -> None:
    """SIGKILL that long after the start, or after the work began; a command that is done by then is left alone."""
    sign = Path(environment["SIGN"])
    sign.unlink(missing_ok=True)
    process = start(code, arguments, environment)
    while from_sign and process.poll() is None and not sign.exists():
        time.sleep(0.002)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode in (0, -signal.SIGKILL), err  # a command that refuses was not killed


def moments(full: float, worked: float, count: int) -> list[tuple[float, bool]]:
    """`count` moments at random: every second one over the whole duration, the others while the work goes on."""
    rng = random.Random(2026)
    return [(rng.random() * (full if number % 2 else worked), number % 2 == 0) for number in range(count)]


def same_rows(found: Rows, expected: Rows) -> None:
    assert sorted(found.paths) == sorted(expected.paths)
    order = [found.paths.index(path) for path in expected.paths]
    np.testing.assert_allclose(found.vectors[order], expected.vectors, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(found.latlons[order], expected.latlons)
    assert [found.groups[row] for row in order] == list(expected.groups)


def nothing_half(folder: Path) -> None:
    """Every JSON file reads as a whole; what is not finished says so by its name."""
    for path in folder.rglob("*.json"):
        if not path.name.startswith("."):
            json.loads(path.read_text(encoding="utf-8"))


def test_index(tiny_run: Run, tmp_path: Path, environment: dict[str, str], slow_runs: Runs) -> None:
    photos = slow_runs(100, 40)
    street = write_street(tmp_path / "street", photos)
    whole, atlas = tmp_path / "whole", tmp_path / "atlas"
    common = ["index", str(street), "--encoder", str(tiny_run.folder), "--atlas"]
    full, worked = finish(INDEX, [*common, str(whole)], environment)
    expected = Atlas.open(whole).rows
    known: dict[str, tuple[int, int]] = {}
    met_half_way = False
    for moment, from_sign in moments(full, worked, slow_runs(20, 2)):
        kill_after(moment, INDEX, [*common, str(atlas)], environment, from_sign=from_sign)
        nothing_half(tmp_path)
        if not (atlas / MANIFEST).is_file():
            assert not known
            continue
        left = Atlas.open(atlas)
        now = left.known()
        assert known.items() <= now.items()
        met_half_way |= 0 < len(now) < photos
        assert len(now) % 4 == 0  # whole commits only
        assert verify(left) == []
        known = now
        if len(now) == photos:  # begin again, so that the later moments have something to stop
            shutil.rmtree(atlas)
            known = {}
    assert met_half_way or slow_runs(20, 2) < 20  # two kills may both miss; twenty that all do prove nothing
    finish(INDEX, [*common, str(atlas)], environment)
    done = Atlas.open(atlas)
    same_rows(done.rows, expected)
    assert verify(done, files=True) == []
    assert (done.calibration is None) == (Atlas.open(whole).calibration is None)
    again = index([street], tiny_run, atlas)
    assert (again.added, again.unchanged) == (0, photos)


def test_evaluate(tiny_run: Run, tmp_path: Path, environment: dict[str, str], slow_runs: Runs) -> None:
    street = write_street(tmp_path / "street", slow_runs(100, 40))
    scores = tmp_path / "scores.json"
    common = ["evaluate", str(tiny_run.folder), "--data", str(street), "--split", "all", "--json"]
    full, worked = finish(EVALUATE, [*common, str(tmp_path / "whole.json")], environment)
    expected = json.loads((tmp_path / "whole.json").read_text(encoding="utf-8"))
    parts: set[str] = set()
    met_half_way = False
    for moment, from_sign in moments(full, worked, slow_runs(20, 2)):
        kill_after(moment, EVALUATE, [*common, str(scores)], environment, from_sign=from_sign)
        nothing_half(tmp_path)
        if scores.exists():  # the kill came too late
            assert json.loads(scores.read_text(encoding="utf-8")) == expected
            scores.unlink()
            parts = set()
            continue
        saved = {path.name for path in (tmp_path / "cache").rglob("*.npz") if not path.name.startswith(".")}
        assert parts <= saved
        for path in (tmp_path / "cache").rglob("*.npz"):
            with np.load(path) as content:
                assert content["descriptors"].shape[0] == len(content["rows"])
        parts = saved
        met_half_way |= bool(saved)
    assert met_half_way or slow_runs(20, 2) < 20
    finish(EVALUATE, [*common, str(scores)], environment)
    assert json.loads(scores.read_text(encoding="utf-8")) == expected
    assert not list((tmp_path / "cache").rglob("*.npz"))


TRAIN = """
import importlib, os, pathlib, sys
module = importlib.import_module("geofix.train")
go_through = module.go_through
def noted(*arguments, **named):
    pathlib.Path(os.environ["SIGN"]).touch()
    return go_through(*arguments, **named)
module.go_through = noted
from geofix.cli import run
sys.exit(run(sys.argv[1:]))
"""
SMALL = [
    "pretrained=none", "image_size=48x64", "cut=layer1", "frozen_through=conv1", "epochs=6", "patience=9",
    "queries_per_epoch=6", "cache_refresh=2", "batch_size=1", "negatives=3", "negative_candidates=20",
    "block_share=0.3", "mining=full", "learning_rate=1e-3",
]  # fmt: skip


def test_train(tmp_path: Path, environment: dict[str, str], slow_runs: Runs) -> None:
    root = toy_places.write(tmp_path / "toy")
    settings = [part for setting in SMALL for part in ("--set", setting)]
    common = ["train", "resnet18-gem", "--data", str(root), *settings, "--resume", "--out"]
    whole, out = tmp_path / "whole", tmp_path / "run"
    full, worked = finish(TRAIN, [*common, str(whole)], environment)
    met_half_way = False
    for moment, from_sign in moments(full, worked, slow_runs(20, 2)):
        kill_after(moment, TRAIN, [*common, str(out)], environment, from_sign=from_sign)
        nothing_half(tmp_path)
        if (out / "scores.json").exists():  # done: begin again, so that the later moments have something to stop
            assert fingerprint(out) == fingerprint(whole)
            shutil.rmtree(out)
            continue
        if (out / "last.ckpt").exists():
            read_checkpoint(out / "last.ckpt")
            met_half_way = True
        if (out / "weights.safetensors").exists():
            assert fingerprint(out) == fingerprint(whole)
    assert met_half_way or slow_runs(20, 2) < 20
    finish(TRAIN, [*common, str(out)], environment)
    assert fingerprint(out) == fingerprint(whole)
    first, second = (json.loads((folder / "scores.json").read_text(encoding="utf-8")) for folder in (whole, out))
    assert first == second
