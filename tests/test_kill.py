"""Killed at any moment: what was acknowledged is still there, nothing is half, and the same command finishes."""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import toy_places
from conftest import write_street
from geofix.atlas.rows import Rows
from geofix.atlas.store import MANIFEST, Atlas
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


# Most of a short command's time is spent on imports: one process does them once, and each command is a fork of it. What
# starts threads (LanceDB) is left to the commands.
NURSERY = """
import json, os, sys
import pytorch_lightning, sklearn.linear_model, sklearn.model_selection, timm, torch, torchvision
import geofix.cli, geofix.encode, geofix.models.runs, geofix.train
for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if child == 0:
        for number, path in ((1, asked["out"]), (2, asked["err"])):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.environ.clear()
        os.environ.update(asked["environment"])
        sys.argv, status = ["-c", *asked["arguments"]], 1
        try:
            exec(asked["code"], {"__name__": "__main__"})
        except SystemExit as left:
            status = left.code or 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Command:
    """A command on its way in a process of its own."""

    def __init__(self, nursery: subprocess.Popen[bytes], asked: dict[str, object], err: Path) -> None:
        assert nursery.stdin is not None and nursery.stdout is not None
        nursery.stdin.write(json.dumps(asked).encode() + b"\n")
        self.number = int(nursery.stdout.readline())
        self._said = nursery.stdout
        self._err = err
        self._status: int | None = None

    @property
    def err(self) -> str:
        """What it said on stderr."""
        return self._err.read_text(encoding="utf-8") if self._err.exists() else ""

    def ended(self, within_s: float = 0.0) -> bool:
        """Whether it is done, or will be in so many seconds."""
        if self._status is None and select.select([self._said], [], [], within_s)[0]:
            self._status = int(self._said.readline())
        return self._status is not None

    def killed(self) -> int:
        """SIGKILL, where it is not done; its exit status, negative for the signal."""
        if not self.ended():
            os.kill(self.number, signal.SIGKILL)
        assert self.ended(60.0) and self._status is not None
        return self._status


class Commands:
    """Starts commands one after the other."""

    def __init__(self, nursery: subprocess.Popen[bytes], folder: Path) -> None:
        self.nursery = nursery
        self.folder = folder
        self.sign = folder / "sign"
        self.environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "SIGN": str(self.sign)}

    def start(self, code: str, arguments: list[str]) -> Command:
        """A command begins."""
        self.sign.unlink(missing_ok=True)
        out, err = self.folder / "out.txt", self.folder / "err.txt"
        asked = {"code": code, "arguments": arguments, "environment": self.environment}
        return Command(self.nursery, {**asked, "out": str(out), "err": str(err)}, err)

    def finish(self, code: str, arguments: list[str]) -> tuple[float, float]:
        """Seconds that the command took undisturbed, and how many of them after the sign."""
        began = time.monotonic()
        command = self.start(code, arguments)
        assert command.ended(300.0) and command.killed() == 0, command.err
        worked = time.time() - self.sign.stat().st_mtime if self.sign.exists() else 0.0
        return time.monotonic() - began, worked

    def kill_after(self, seconds: float, code: str, arguments: list[str], *, from_sign: bool = False) -> None:
        """SIGKILL that long after the start, or after the work began; a command that is done by then is left alone."""
        command = self.start(code, arguments)
        while from_sign and not command.ended() and not self.sign.exists():
            time.sleep(0.002)
        command.ended(seconds)
        assert command.killed() in (0, -signal.SIGKILL), command.err  # a command that refuses was not killed


@pytest.fixture(scope="module")
def nursery() -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", NURSERY]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # threads do not outlive a fork
    # Unbuffered: what was read ahead could not be waited for.
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
    with subprocess.Popen(command, env=environment, **pipes) as one:
        yield one
        assert one.stdin is not None
        one.stdin.close()


@pytest.fixture
def commands(nursery: subprocess.Popen[bytes], tmp_path: Path) -> Commands:
    return Commands(nursery, tmp_path)


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


def test_index(tiny_run: Run, tmp_path: Path, commands: Commands, slow_runs: Runs) -> None:
    photos = slow_runs(100, 40)
    street = write_street(tmp_path / "street", photos)
    whole, atlas = tmp_path / "whole", tmp_path / "atlas"
    common = ["index", str(street), "--encoder", str(tiny_run.folder), "--atlas"]
    full, worked = commands.finish(INDEX, [*common, str(whole)])
    expected = Atlas.open(whole).rows
    known: dict[str, tuple[int, int]] = {}
    met_half_way = False
    for moment, from_sign in moments(full, worked, slow_runs(20, 2)):
        commands.kill_after(moment, INDEX, [*common, str(atlas)], from_sign=from_sign)
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
    commands.finish(INDEX, [*common, str(atlas)])
    done = Atlas.open(atlas)
    same_rows(done.rows, expected)
    assert verify(done, files=True) == []
    assert (done.calibration is None) == (Atlas.open(whole).calibration is None)
    again = index([street], tiny_run, atlas)
    assert (again.added, again.unchanged) == (0, photos)


def test_evaluate(tiny_run: Run, tmp_path: Path, commands: Commands, slow_runs: Runs) -> None:
    street = write_street(tmp_path / "street", slow_runs(100, 40))
    scores = tmp_path / "scores.json"
    common = ["evaluate", str(tiny_run.folder), "--data", str(street), "--split", "all", "--json"]
    full, worked = commands.finish(EVALUATE, [*common, str(tmp_path / "whole.json")])
    expected = json.loads((tmp_path / "whole.json").read_text(encoding="utf-8"))
    parts: set[str] = set()
    met_half_way = False
    for moment, from_sign in moments(full, worked, slow_runs(20, 2)):
        commands.kill_after(moment, EVALUATE, [*common, str(scores)], from_sign=from_sign)
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
    commands.finish(EVALUATE, [*common, str(scores)])
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
    "pretrained=none", "image_size=48x64", "cut=layer1", "frozen_through=conv1", "patience=9",
    "queries_per_epoch=6", "cache_refresh=2", "batch_size=1", "negatives=3", "negative_candidates=20",
    "block_share=0.3", "mining=full", "learning_rate=1e-3",
]  # fmt: skip


def test_train(tmp_path: Path, commands: Commands, slow_runs: Runs) -> None:
    root = toy_places.write(tmp_path / "toy")
    settings = [part for setting in (*SMALL, f"epochs={slow_runs(6, 3)}") for part in ("--set", setting)]
    common = ["train", "resnet18-gem", "--data", str(root), *settings, "--resume", "--out"]
    whole, out = tmp_path / "whole", tmp_path / "run"
    full, worked = commands.finish(TRAIN, [*common, str(whole)])
    met_half_way = False
    for moment, from_sign in moments(full, worked, slow_runs(20, 2)):
        commands.kill_after(moment, TRAIN, [*common, str(out)], from_sign=from_sign)
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
    commands.finish(TRAIN, [*common, str(out)])
    assert fingerprint(out) == fingerprint(whole)
    first, second = (json.loads((folder / "scores.json").read_text(encoding="utf-8")) for folder in (whole, out))
    assert first == second
