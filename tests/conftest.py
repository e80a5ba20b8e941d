"""Fixtures and options of every test: the real data beside the project, and slow tests on request."""

from __future__ import annotations

import builtins
import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import checked_modules  # noqa: F401 - first, as modules are checked from their import on
from geofix import recipes
from geofix.index import index
from geofix.models.encoder import SingleEncoder
from geofix.models.runs import Run
from geofix.photos import save_jpeg, with_gps
from geofix.positions import Position
from geofix.recipes import Recipe
from geofix.train import train
from toy_places import blobs

torch.set_num_threads(1)  # on tiny images threads wait for each other longer than they work
STREET_START = Position(52.2, 0.12)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow, in full")
    parser.addoption("--slow-short", action="store_true", help="run the tests marked slow, in a short form")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow") or config.getoption("--slow-short"):
        slow_files = {item.path for item in items if "slow" in item.keywords}
        # A file is one process's work: a long one that starts last leaves the others idle.
        items.sort(key=lambda item: item.path not in slow_files)
        return
    skip = pytest.mark.skip(reason="minutes long: run with --slow, or --slow-short for a short form")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


def hide(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """As where an optional package is not installed."""
    load = builtins.__import__

    def without(name: str, *more: Any, **named: Any) -> Any:
        if name.split(".")[0] == package:
            raise ImportError(name)
        return load(name, *more, **named)

    monkeypatch.setattr(builtins, "__import__", without)


def hide_rasterio(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the extra `maps` is not installed."""
    hide(monkeypatch, "rasterio")


@pytest.fixture
def slow_runs(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """`slow_runs(full, short)` is how often a slow test repeats: `full` with --slow, else `short`."""
    return lambda full, short: full if request.config.getoption("--slow") else short


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data (GEOFIX_SHARED, or `shared` beside the project)."""
    default = Path(__file__).parents[2] / "shared"
    folder = Path(os.environ.get("GEOFIX_SHARED", default))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data at {folder}; set GEOFIX_SHARED to the folder that holds `data`")
    return folder


@pytest.fixture(scope="session")
def grid_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An untrained encoder of 64x64 pixels that can tell where in the picture things lie: for maps and frames."""
    settings = [
        "name=grid", "pretrained=none", "epochs=0", "image_size=64x64", "cut=layer1", "block_stages=[]",
        "learn=steps", "partition=grid", "blocks=4", "pooling=average", "part_length=8", "flip_test=false",
    ]  # fmt: skip
    recipe = recipes.with_settings(recipes.load_any("bui-small"), settings)
    assert isinstance(recipe, recipes.CrossviewRecipe)
    return train(recipe, None, tmp_path_factory.mktemp("runs") / "grid")


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An untrained ResNet-18 at 64x64 pixels, 256 numbers a photo."""
    settings = ["name=tiny", "pretrained=none", "epochs=0", "image_size=64x64"]
    recipe = recipes.with_settings(recipes.load("resnet18-gem"), settings)
    return train(recipe, None, tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(scope="session")
def other_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """As `tiny_run`, from another seed: another encoder."""
    settings = ["name=other", "pretrained=none", "epochs=0", "image_size=64x64", "seed=1"]
    recipe = recipes.with_settings(recipes.load("resnet18-gem"), settings)
    return train(recipe, None, tmp_path_factory.mktemp("runs") / "other")


class Averages(nn.Module):
    """The trunk of parity case P9: means of the image's four quarters, 12 numbers."""

    channels = 12
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return functional.adaptive_avg_pool2d(images, 2).reshape(len(images), 12, 1, 1)


@pytest.fixture
def averages(tmp_path: Path) -> Run:
    """The encoder of parity case P9, for photos of 48x64 pixels."""
    recipe = Recipe(name="averages", pooling="spoc", l2="after_pool", image_size=(48, 64), pretrained="none")
    return Run(tmp_path, SingleEncoder(recipe, Averages()).eval(), "averages")


def write_street(folder: Path, count: int = 24) -> Path:
    """`count` distinct photos in `folder`, taken every 15 m from west to east, looking east."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        spot = STREET_START.moved(90.0, 15.0 * number)
        taken_at = f"2024-05-01T10:00:{number % 60:02d}"
        jpeg = with_gps(save_jpeg(blobs(number)), spot, heading_deg=90.0, taken_at=taken_at)
        (folder / f"{number:03d}.jpg").write_bytes(jpeg)
    return folder


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """A folder of 24 photos with EXIF positions, see `write_street`."""
    return write_street(tmp_path / "street")


@pytest.fixture(scope="session")
def _finished_atlas(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("atlases")
    index([write_street(folder / "street")], tiny_run, folder / "atlas")
    return folder


@pytest.fixture
def street_atlas(_finished_atlas: Path, tmp_path: Path) -> Path:
    """A copy, to be spoilt at will, of the atlas of such a street; its photos are still where it says."""
    return Path(shutil.copytree(_finished_atlas / "atlas", tmp_path / "street-atlas"))


@pytest.fixture
def public(tiny_run: Run) -> Iterator[Path]:
    """A new folder that every user may enter, with a copy of `tiny_run` in it as `run`."""
    with tempfile.TemporaryDirectory(prefix="geofix-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copytree(tiny_run.folder, folder / "run")
        for path in (folder / "run", *(folder / "run").iterdir()):
            path.chmod(0o755)
        yield folder


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of the superuser, to whom permissions mean nothing."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
