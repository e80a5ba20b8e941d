"""train: the untrained run, honestly; the trained one is in test_train_epochs.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import toy_places
from geofix import recipes
from geofix.data import deep_vg
from geofix.data.places import Dataset, Split
from geofix.errors import DataError, RecipeError, StorageError, UsageError
from geofix.learn.clusters import place_clusters
from geofix.models.build import build
from geofix.models.encoder import SingleEncoder
from geofix.models.pooling import NetVLAD
from geofix.models.runs import FILES, load_run
from geofix.photos import save_jpeg
from geofix.recipes import Recipe
from geofix.train import train
from toy_places import put

TINY = ["pretrained=none", "image_size=64x64", "cut=layer1", "epochs=0"]


def tiny(*settings: str, name: str = "resnet18-gem") -> Recipe:
    return recipes.with_settings(recipes.load(name), [*TINY, *settings])


@pytest.fixture
def toy(tmp_path: Path) -> Dataset:
    return deep_vg.read(toy_places.write(tmp_path / "toy"))


def test_the_untrained_run_says_that_it_is_random(tmp_path: Path) -> None:
    told: list[str] = []
    run = train(tiny(), None, tmp_path / "run", say=told)
    assert told == ["The trunk starts from random weights (seed 0); nothing was learned."]
    assert load_run(tmp_path / "run").fingerprint == run.fingerprint


def test_equal_seeds_give_equal_runs_and_leave_the_random_state_alone(tmp_path: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first = train(tiny(), None, tmp_path / "a")
    assert torch.equal(torch.rand(3), expected)
    assert train(tiny(), None, tmp_path / "b").fingerprint == first.fingerprint
    assert train(tiny("seed=1"), None, tmp_path / "c").fingerprint != first.fingerprint


def test_out_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "run" / "notes.txt", b"mine")
    with pytest.raises(UsageError, match="exists and is not empty"):
        train(tiny(), None, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]
    put(tmp_path / "file", b"")
    with pytest.raises(UsageError, match="exists and is not empty"):
        train(tiny(), None, tmp_path / "file")


def test_a_finished_run_is_not_overwritten(tmp_path: Path) -> None:
    train(tiny(), None, tmp_path / "run")
    with pytest.raises(UsageError, match="exists and is not empty"):
        train(tiny("seed=1"), None, tmp_path / "run")


def test_what_a_killed_train_left_is_accepted(tmp_path: Path) -> None:
    put(tmp_path / "run" / "recipe.yaml", b"name: older")
    put(tmp_path / "run" / "preprocess.json", b"{}")
    put(tmp_path / "run" / ".weights.safetensors.abc.part", b"half")
    run = train(tiny(), None, tmp_path / "run")
    assert load_run(tmp_path / "run").fingerprint == run.fingerprint


def test_no_file_is_left_when_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match=r"The disk is full: .*free some space"):
        train(tiny(), None, tmp_path / "run")
    monkeypatch.undo()
    assert list((tmp_path / "run").iterdir()) == []
    train(tiny(), None, tmp_path / "run")


def trunk_weights(path: Path, *, without: str = "nothing") -> Path:
    """Weights for the trunk of `tiny()`, each tensor moved by one."""
    state = build(tiny(), pretrained=False).trunk.network.state_dict()
    save_file({key: value + 1 for key, value in state.items() if not key.startswith(without)}, path)
    return path


def test_weights_from_a_file_are_used_and_noted(tmp_path: Path) -> None:
    told: list[str] = []
    run = train(tiny(), None, tmp_path / "run", weights=trunk_weights(tmp_path / "w.safetensors"), say=told)
    expected = build(tiny(), pretrained=False).trunk.network.conv1.weight + 1
    assert torch.equal(run.encoder.trunk.network.conv1.weight, expected)
    assert run.encoder.recipe.pretrained == "file"
    assert (run.encoder.recipe.weights or "").startswith("w.safetensors (sha256 ")
    assert "random" not in " ".join(told)


def test_weights_for_a_part_say_what_stays_random(tmp_path: Path) -> None:
    told: list[str] = []
    weights = trunk_weights(tmp_path / "w.safetensors", without="layer1.1")
    train(tiny(), None, tmp_path / "run", weights=weights, say=told)
    assert "start from random weights" in " ".join(told)


def test_a_recipe_that_asks_for_a_file_is_not_silently_random(tmp_path: Path) -> None:
    """The recipe.yaml of a run that was made from weights says pretrained: file."""
    with pytest.raises(UsageError, match=r"none was named; add --weights FILE"):
        train(tiny("pretrained=file"), None, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_size_that_the_backbone_cannot_take(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"vit_tiny_patch16_224 cannot look at images of 64x64 .*--set image_size"):
        train(tiny("backbone=vit_tiny_patch16_224", "cut=last"), None, tmp_path / "run")


def test_netvlad_places_its_clusters_on_photos(toy: Dataset, tmp_path: Path) -> None:
    told: list[str] = []
    recipe = tiny("netvlad_clusters=4", "netvlad_photos=20", "netvlad_locations=30", name="resnet18-netvlad")
    run = train(recipe, toy, tmp_path / "run", say=told)
    layer = run.encoder.pooling
    assert isinstance(layer, NetVLAD)
    assert layer.centroids.shape == (4, 64)
    random = build(recipe, pretrained=False).pooling
    assert not torch.allclose(layer.centroids, random.centroids)
    unit = layer.assign / layer.assign.norm(dim=1, keepdim=True)
    torch.testing.assert_close(unit, torch.nn.functional.normalize(layer.centroids, dim=1), rtol=1e-4, atol=1e-5)
    assert layer.assign.norm(dim=1).std() < 1e-3  # alpha, the same for each
    assert told == ["The trunk starts from random weights (seed 0); nothing was learned."]
    assert train(recipe, toy, tmp_path / "again").fingerprint == run.fingerprint


def test_netvlad_with_fewer_photos_and_places_says_so(toy: Dataset, tmp_path: Path) -> None:
    told: list[str] = []
    settings = ("netvlad_clusters=4", "netvlad_photos=500", "netvlad_locations=100", "cut=layer3")
    train(tiny(*settings, name="resnet18-netvlad"), toy, tmp_path / "run", say=told)
    assert "placed on 48 photos: that is all there are of 500" in told[1]
    assert "only 16 places, fewer than the 100" in told[2]


def test_netvlad_without_data(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name a dataset with --data DIR"):
        train(tiny(name="resnet18-netvlad"), None, tmp_path / "run")


def folder_of(tmp_path: Path, photos: list[np.ndarray | bytes]) -> Dataset:
    for number, photo in enumerate(photos):
        name = f"@{500000 + number}@{5000000}@30@U@@@{number}@@@@@@@.jpg"
        data = photo if isinstance(photo, bytes) else save_jpeg(photo)
        put(tmp_path / "few" / "images" / "train" / "database" / name, data)
    return deep_vg.read(tmp_path / "few")


def test_netvlad_with_too_few_descriptors(tmp_path: Path) -> None:
    dataset = folder_of(tmp_path, [toy_places.blobs(1), toy_places.blobs(2)])
    with pytest.raises(DataError, match=r"2 photos gave 6 local descriptors, fewer than the 7 clusters; use more"):
        train(tiny("netvlad_clusters=7", "netvlad_locations=3", name="resnet18-netvlad"), dataset, tmp_path / "run")


def test_netvlad_with_no_photo_at_all(tmp_path: Path) -> None:
    dataset = Dataset(tmp_path, "none", {"train": Split("train", ())})
    with pytest.raises(DataError, match="0 photos gave 0 local descriptors"):
        train(tiny(name="resnet18-netvlad"), dataset, tmp_path / "run")


def test_netvlad_passes_over_unreadable_photos(tmp_path: Path) -> None:
    told: list[str] = []
    dataset = folder_of(tmp_path, [toy_places.blobs(1), b"broken", toy_places.blobs(2)])
    recipe = tiny("netvlad_clusters=2", "netvlad_photos=3", name="resnet18-netvlad")
    train(recipe, dataset, tmp_path / "run", say=told)
    assert sum("@500001@" in sentence for sentence in told) == 1


def test_netvlad_on_photos_of_nothing(tmp_path: Path) -> None:
    black = np.zeros((48, 64, 3), dtype=np.uint8)
    encoder = SingleEncoder(tiny("netvlad_clusters=2", name="resnet18-netvlad"), Flat()).eval()
    dataset = folder_of(tmp_path, [black, black])
    with pytest.raises(DataError, match=r"all alike .*cannot be told apart"):
        place_clusters(encoder, dataset.photos, [])


class Flat(torch.nn.Module):
    """The same descriptor everywhere."""

    channels = 8
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(images), 8, 4, 4)


def test_every_file_of_a_run_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop before each rename in turn: what exists then is complete, and the same command still works."""
    whole = train(tiny(), None, tmp_path / "whole").folder
    real = Path.replace
    for stop in range(len(FILES)):
        done: list[Path] = []

        def replace(self: Path, target: Path, stop: int = stop, done: list[Path] = done) -> Path:
            if len(done) == stop:
                raise KeyboardInterrupt
            done.append(target)
            return real(self, target)

        out = tmp_path / f"stopped-{stop}"
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Path, "replace", replace)
            train(tiny(), None, out)
        for path in done:
            assert path.read_bytes() == (whole / path.name).read_bytes()
        assert train(tiny(), None, out).fingerprint == load_run(whole).fingerprint
