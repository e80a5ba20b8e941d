"""Backbones: names, cuts, and weights that do or do not belong to them."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from geofix.errors import RecipeError, WeightsError
from geofix.models.backbones import Trunk, load_trunk_weights, open_trunk, read_state


@pytest.fixture(scope="module")
def trunk() -> nn.Module:
    """A small network with batch norms; tests that fill it take a fresh one."""
    return open_trunk("resnet18", "layer1", pretrained=False)


@pytest.fixture
def state(trunk: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors of its network, changed so that loading them shows."""
    return {key: value + 1 for key, value in trunk.network.state_dict().items()}


def fresh() -> nn.Module:
    return open_trunk("resnet18", "layer1", pretrained=False)


@pytest.mark.parametrize(
    ("name", "cut", "channels", "rows", "columns"),
    [
        # At 480x640, as the papers' benchmark has them.
        ("alexnet", "conv5", 256, 29, 39),
        ("vgg16", "features.29", 512, 30, 40),
        ("vgg16", "last", 512, 15, 20),  # behind the last pooling
        ("resnet18", "conv4", 256, 30, 40),
        ("resnet18", "layer3", 256, 30, 40),
        ("resnet18", "conv5", 512, 15, 20),
        ("resnet18", "last", 512, 15, 20),
    ],
)
def test_map_shapes(name: str, cut: str, channels: int, rows: int, columns: int) -> None:
    with torch.device("meta"):
        opened = open_trunk(name, cut, pretrained=False).eval()
        with torch.inference_mode():
            maps = opened(torch.zeros(2, 3, 480, 640))
    assert maps.shape == (2, channels, rows, columns)
    assert opened.channels == channels


@pytest.mark.parametrize("name", ["convnext_atto", "mobilenetv3_small_050", "regnetx_002", "efficientnet_lite0"])
def test_other_families_of_timm(name: str) -> None:
    opened = open_trunk(name, "last", pretrained=False).eval()
    with torch.inference_mode():
        maps = opened(torch.zeros(1, 3, 64, 96))
    assert maps.shape[:2] == (1, opened.channels)
    assert maps.shape[2:] == (64 // opened.stride, 96 // opened.stride)


def test_unknown_backbone_names_the_near_ones() -> None:
    with pytest.raises(RecipeError, match=r"'resnet19'; near to it are .*resnet18"):
        open_trunk("resnet19", "last", pretrained=False)
    with pytest.raises(RecipeError, match="no backbone named 'qqqqqq'"):
        open_trunk("qqqqqq", "last", pretrained=False)


@pytest.mark.parametrize("name", ["resnet18", "alexnet"])
def test_unknown_cut_lists_those_there_are(name: str) -> None:
    with pytest.raises(RecipeError, match=rf"{name} has no stage 'conv9' .*'last'"):
        open_trunk(name, "conv9", pretrained=False)


@pytest.mark.parametrize("prefix", ["", "module.", "backbone."])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_from_both_kinds_of_file(
    state: dict[str, torch.Tensor], tmp_path: Path, prefix: str, suffix: str
) -> None:
    path = tmp_path / f"w{suffix}"
    named = {prefix + key: value for key, value in state.items()}
    save_file(named, path) if suffix == ".safetensors" else torch.save({"state_dict": named}, path)
    filled = fresh()
    coverage = load_trunk_weights(filled, path)
    assert (coverage.covered, coverage.missing, coverage.unused) == (coverage.expected, (), ())
    assert all(torch.equal(value, state[key]) for key, value in filled.network.state_dict().items())


def test_a_file_of_a_part_is_loaded_with_a_report(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    part = {key: value for key, value in state.items() if not key.startswith("layer1.1")}
    save_file({**part, "layer4.0.conv1.weight": torch.zeros(3)}, tmp_path / "part.safetensors")
    filled = fresh()
    before = {key: value.clone() for key, value in filled.network.state_dict().items()}
    coverage = load_trunk_weights(filled, tmp_path / "part.safetensors")
    assert 0 < coverage.covered < coverage.expected
    assert all(name.startswith("layer1.1") for name in coverage.missing)
    assert len(coverage.missing) == coverage.expected - coverage.covered
    assert coverage.unused == ("layer4.0.conv1.weight",)
    assert f"{coverage.covered} of {coverage.expected} tensors" in str(coverage)
    assert "1 tensors of the file belong to layers after the cut" in str(coverage)
    for key, value in filled.network.state_dict().items():
        assert torch.equal(value, part.get(key, before[key])), key


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    for name, why in (
        ("mobilenetv3_small_050", "belongs to another network: bn1.weight is"),
        ("convnext_atto", r"covers nothing of this trunk: it holds head.*, where conv1.weight"),
    ):
        other = timm.create_model(name, pretrained=False).state_dict()
        save_file({key: value.contiguous() for key, value in other.items()}, tmp_path / "other.safetensors")
        with pytest.raises(WeightsError, match=why):
            load_trunk_weights(fresh(), tmp_path / "other.safetensors")


def test_weights_of_another_shape_are_refused_and_nothing_is_loaded(
    state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    save_file({**state, "bn1.weight": torch.zeros(65)}, tmp_path / "wide.safetensors")
    filled = fresh()
    before = filled.network.conv1.weight.clone()
    with pytest.raises(WeightsError, match=r"bn1.weight is \(65,\) there and \(64,\)"):
        load_trunk_weights(filled, tmp_path / "wide.safetensors")
    assert torch.equal(filled.network.conv1.weight, before)


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (open, (str(self.path), "w"))


def test_code_in_a_weights_file_never_runs(tmp_path: Path) -> None:
    torch.save({"conv1.weight": Trap(tmp_path / "sprung")}, tmp_path / "evil.pth")
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    for name in ("evil.pth", "evil.pkl"):
        with pytest.raises(WeightsError, match="cannot be read as weights"):
            read_state(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("data", [b"", b"garbage that is no weights", b"\xff" * 64])
def test_broken_files(tmp_path: Path, suffix: str, data: bytes) -> None:
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="cannot be read as weights") as caught:
        read_state(path)
    assert "\n" not in str(caught.value)


def test_files_that_are_missing_or_hold_something_else(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no weights file"):
        read_state(tmp_path / "none.safetensors")
    with pytest.raises(WeightsError, match="no weights file"):
        read_state(tmp_path)
    for number, value in enumerate(([1, 2], {"epoch": 3}, {"state_dict": {"a": "b"}})):
        torch.save(value, tmp_path / f"{number}.pth")
        with pytest.raises(WeightsError, match="other than named tensors"):
            read_state(tmp_path / f"{number}.pth")


@pytest.mark.parametrize("name", ["resnet18", "alexnet"])
def test_an_unreachable_hub_names_both_ways_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("timm.create_model", offline)
    monkeypatch.setattr("torchvision.models.alexnet", offline)
    with pytest.raises(WeightsError, match=rf"weights of {name} .*--weights FILE.*--set pretrained=none"):
        open_trunk(name, "last", pretrained=True)


def test_a_trunk_is_cut_behind_its_stage(trunk: nn.Module) -> None:
    assert isinstance(trunk, Trunk)
    assert not any(key.startswith(("layer2", "layer3", "layer4", "fc")) for key in trunk.network.state_dict())
