"""Parts learned in closed form from places that two views show."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import eigh

from geofix import recipes
from geofix.data.layouts import open_dataset
from geofix.data.places import Dataset
from geofix.errors import DataError, RecipeError
from geofix.learn import view_pairs
from geofix.learn.view_pairs import fit_part
from geofix.models.build import build
from geofix.models.crossview import BlockEncoder, Part
from geofix.recipes import CrossviewRecipe
from geofix.train import train
from toy_places import put
from toy_views import put_places

TINY = [
    "backbone=test_resnet", "cut=layer3", "global_stages=[layer2, layer3]", "block_stages=[layer1]", "image_size=64x64",
    "blocks=2", "part_length=4", "pretrained=none", "learn=pairs", "epochs=1",
]  # fmt: skip


def small(*settings: str) -> CrossviewRecipe:
    return recipes.with_settings(CrossviewRecipe(name="tiny"), [*TINY, *settings])


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("views")
    for split, places in (("train", range(9)), ("val", range(90, 94))):
        labels = [f"{place:04d}" for place in places]
        put_places(root / split / "drone", labels, 2)
        put_places(root / split / "satellite", labels)
    return open_dataset(root)


def log(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_part_is_the_discriminant_analysis_of_its_places() -> None:
    rng = np.random.default_rng(0)
    places = np.repeat(np.arange(12), 3)
    pooled = (rng.normal(size=(12, 6))[places] + 0.3 * rng.normal(size=(36, 6))).astype(np.float32)
    part = Part(6, 2).eval()
    share = fit_part(part, pooled, places, 0.5)
    # By loops: scatter within places and all scatter, both drawn half way to a sphere; the best two directions.
    within, between, middle = np.zeros((6, 6)), np.zeros((6, 6)), pooled.mean(axis=0)
    for place in range(12):
        rows = pooled[places == place]
        for row in rows:
            within += np.outer(row - rows.mean(axis=0), row - rows.mean(axis=0)) / 36
        between += np.outer(rows.mean(axis=0) - middle, rows.mean(axis=0) - middle) * len(rows) / 36

    def drawn(scatter: np.ndarray) -> np.ndarray:
        return 0.5 * scatter + 0.5 * np.trace(scatter) / 6 * np.eye(6)

    values, vectors = eigh(drawn(within + between) - drawn(within), drawn(within))
    best = vectors[:, np.argsort(-values)[:2]]
    with torch.no_grad():
        found = part(torch.from_numpy(pooled)).numpy()
    wanted = (pooled - middle) @ best
    for column in range(2):  # a direction's sign and length mean nothing
        assert abs(np.corrcoef(found[:, column], wanted[:, column])[0, 1]) == pytest.approx(1, abs=1e-3)
    assert np.abs(found.mean(axis=0)).max() < 1e-4
    assert 0 < share < 0.3


def test_pooled_vectors_are_what_the_parts_are_given() -> None:
    encoder = build(small(), pretrained=False)
    assert isinstance(encoder, BlockEncoder)
    images = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        stages = encoder.trunk(images)
        vectors = encoder.pooled(images)
        rows = encoder.part_rows(images)
    # Stages: layer2 and layer3 for the whole, then layer1 and layer3 for the blocks.
    assert [vector.shape[1] for vector in vectors] == [
        stages[2].shape[1], stages[2].shape[1], stages[3].shape[1], stages[3].shape[1],
        stages[0].shape[1] + stages[1].shape[1],
    ]  # fmt: skip
    assert torch.allclose(vectors[1], stages[2].clamp(min=1e-6).pow(3).mean(dim=(2, 3)).pow(1 / 3), atol=1e-4)
    assert torch.equal(vectors[4][:, : stages[0].shape[1]], stages[0].amax(dim=(2, 3)))
    for number, part in enumerate(encoder.parts):
        assert torch.allclose(rows[:, number], part(vectors[number]), atol=1e-5)


def test_mirrored_photos_count_as_they_do_when_photos_are_described() -> None:
    encoder = build(small(), pretrained=False)
    assert isinstance(encoder, BlockEncoder)
    batch = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    pooling = view_pairs._Pooling(encoder)
    both, one = pooling(batch), view_pairs._Pooling(build(small("flip_test=false"), pretrained=False))  # type: ignore[arg-type]
    np.testing.assert_allclose(both, (one(batch) + one(batch.flip(3))) / 2, atol=1e-4)
    assert both.shape == (2, pooling.descriptor_length)


def test_it_learns_the_places(toy: Dataset, tmp_path: Path) -> None:
    run = train(small(), toy, tmp_path / "run")
    rows = log(tmp_path / "run")
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert int(rows[1]["steps"]) == 27  # photos
    again = train(small("seed=5"), toy, tmp_path / "again")
    assert run.encoder.descriptor_length == again.encoder.descriptor_length == 20
    assert not (tmp_path / "run" / "journal").exists()
    assert float(rows[1]["recall@1"]) >= float(rows[0]["recall@1"])


def test_a_stopped_training_looks_at_no_photo_again(
    toy: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(small(), toy, tmp_path / "whole")

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(view_pairs, "fit_part", stopped)
        with pytest.raises(KeyboardInterrupt):
            train(small(), toy, tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(view_pairs, "encode_views", stopped)
        run = train(small(), toy, tmp_path / "run", resume=True)
    assert run.fingerprint == whole.fingerprint


def test_too_few_places(toy: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="9 places can be learned from, .* set part_length, now 9, below that"):
        train(small("part_length=9"), toy, tmp_path / "run")


def test_places_that_one_view_shows_and_photos_that_cannot_be_read(tmp_path: Path) -> None:
    root = tmp_path / "views"
    labels = [f"{place:04d}" for place in range(8)]
    put_places(root / "train" / "drone", labels, 1)
    put_places(root / "train" / "satellite", labels)
    (torn,) = (root / "train" / "satellite" / "0003").iterdir()
    put(torn, b"no photo")
    shutil.rmtree(root / "train" / "drone" / "0005")
    told: list[str] = []
    errors: list = []
    train(small(), open_dataset(root), tmp_path / "run", say=told, errors=errors)
    assert any("1 of 8 places are seen from only one of drone and satellite" in line for line in told)
    assert any(torn.name in str(error) for error in errors)
    assert int(log(tmp_path / "run")[1]["steps"]) == 12  # two photos each of six places


def test_what_does_not_go_together() -> None:
    with pytest.raises(RecipeError, match="pairs are learned from at once; set epochs to 1"):
        small("epochs=3")
    with pytest.raises(RecipeError, match="block_stages are cut into blocks, of which there are 0"):
        small("blocks=0")
