"""The inference loop: nothing about a descriptor depends on what else was encoded, or on how often it was stopped."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from conftest import write_street
from geofix.encode import Encoded, Inference, encode, fused
from geofix.errors import StorageError
from geofix.models.backbones import open_trunk
from geofix.models.runs import Run
from geofix.photos import Photo, find_photos, read_pixels, save_jpeg
from geofix.transforms import normalised, stacked, views
from toy_places import blobs, put

LOOP = importlib.import_module("geofix.encode")  # `geofix.encode` itself is the function
TIGHT = {"rtol": 0, "atol": 1e-6}


def photos_in(folder: Path) -> list[Photo]:
    return [Photo(path.name, path) for path in find_photos(folder)]


def test_descriptors_are_those_of_the_encoder_itself(tiny_run: Run, street: Path) -> None:
    photos = photos_in(street)[:3]
    found = encode(tiny_run, photos)
    batch = stacked([views(read_pixels(photo.path), (64, 64))[0] for photo in photos])
    with torch.inference_mode():
        expected = tiny_run.encoder(normalised(batch, tiny_run.encoder.preprocess)).numpy()
    np.testing.assert_allclose(found.single, expected, rtol=0, atol=1e-4)
    assert found.single.dtype == np.float32
    assert found.rows.tolist() == [0, 1, 2]
    assert not found.errors


def test_descriptors_do_not_depend_on_the_batch(tiny_run: Run, street: Path) -> None:
    photos = photos_in(street)[:11]
    together = encode(tiny_run, photos).single
    alone = np.concatenate([encode(tiny_run, [photo]).single for photo in photos])
    backwards = encode(tiny_run, photos[::-1]).single[::-1]
    np.testing.assert_allclose(together, alone, **TIGHT)
    np.testing.assert_allclose(together, backwards, **TIGHT)
    spread = np.linalg.norm(together[:, None] - together[None], axis=2)
    assert spread[~np.eye(11, dtype=bool)].min() > 1e-3  # the photos are told apart at all


def test_unreadable_photos_leave_the_order_of_the_others(tiny_run: Run, street: Path) -> None:
    whole = encode(tiny_run, photos_in(street)).single
    broken = {0: b"", 5: b"not an image", 6: b"\xff\xd8\xff", 23: b"GIF89a"}
    for number, data in broken.items():
        (street / f"{number:03d}.jpg").write_bytes(data)
    found = encode(tiny_run, photos_in(street))
    kept = [number for number in range(24) if number not in broken]
    assert found.rows.tolist() == kept
    np.testing.assert_allclose(found.single, whole[kept], **TIGHT)
    assert len(found.errors) == 4
    for number, error in zip(broken, found.errors, strict=True):
        assert f"{number:03d}.jpg" in str(error)


def test_nothing_readable_and_nothing_asked(tiny_run: Run, tmp_path: Path) -> None:
    gone = encode(tiny_run, [Photo("a", tmp_path / "a.jpg"), Photo("b", tmp_path / "b.jpg")], method="five_crops")
    assert gone.descriptors.shape == (0, 5, 256)
    assert len(gone.errors) == 2
    assert encode(tiny_run, []).single.shape == (0, 256)


@pytest.mark.parametrize("method", ["hard_resize", "single_query", "central_crop"])
def test_photos_of_mixed_sizes(tiny_run: Run, tmp_path: Path, method: str) -> None:
    shapes = [(48, 64), (64, 48), (48, 64), (48, 64), (80, 48), (64, 64), (48, 64)]
    for number, shape in enumerate(shapes):
        put(tmp_path / "mixed" / f"{number}.jpg", save_jpeg(blobs(number, *shape)))
    put(tmp_path / "mixed" / "3a.jpg", b"broken")
    photos = photos_in(tmp_path / "mixed")
    found = encode(tiny_run, photos, method=method)
    assert found.rows.tolist() == [0, 1, 2, 3, 5, 6, 7]
    for row, number in enumerate(found.rows):
        alone = encode(tiny_run, [photos[number]], method=method)
        np.testing.assert_allclose(found.single[row], alone.single[0], **TIGHT)


def test_five_crops_stay_with_their_photo(tiny_run: Run, street: Path) -> None:
    photos = photos_in(street)[:6]
    found = encode(tiny_run, photos, method="nearest_crop")
    assert found.descriptors.shape == (6, 5, 256)
    for row, photo in enumerate(photos):
        crops = stacked(views(read_pixels(photo.path), (64, 64), "nearest_crop"))
        with torch.inference_mode():
            expected = tiny_run.encoder(normalised(crops, tiny_run.encoder.preprocess)).numpy()
        np.testing.assert_allclose(found.descriptors[row], expected, rtol=0, atol=1e-4)


def randomised(trunk: nn.Module) -> nn.Module:
    """With batch-norm statistics as a trained network has them, not zeros and ones."""
    generator = torch.Generator().manual_seed(4)
    for module in trunk.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.running_mean, -0.2), (module.weight.data, 0.5), (module.bias.data, -0.2)):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.4 + low)
            module.running_var.copy_(torch.rand(module.running_var.shape, generator=generator) + 0.5)
    return trunk.eval()


@pytest.mark.parametrize(
    ("name", "cut"), [("resnet18", "layer3"), ("vgg11_bn", "last"), ("mobilenetv3_small_050", "last")]
)
def test_fused_batch_norm_changes_nothing_but_the_speed(name: str, cut: str) -> None:
    trunk = randomised(open_trunk(name, cut, pretrained=False))
    images = torch.rand(2, 3, 64, 80, generator=torch.Generator().manual_seed(1))
    before = [value.clone() for value in trunk.state_dict().values()]
    with torch.inference_mode():
        expected, found = trunk(images), fused(trunk)(images)
    scale = expected.abs().max()
    torch.testing.assert_close(found / scale, expected / scale, rtol=0, atol=1e-4)
    for value, old in zip(trunk.state_dict().values(), before, strict=True):
        assert torch.equal(value, old)


def test_resnet_is_really_fused() -> None:
    trunk = fused(randomised(open_trunk("resnet18", "layer2", pretrained=False)))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in trunk.modules())


@pytest.mark.parametrize(("name", "cut"), [("resnet18", "layer1"), ("vgg11_bn", "last"), ("alexnet", "last")])
def test_relu_comes_after_the_pooling_that_follows_it(name: str, cut: str) -> None:
    trunk = randomised(open_trunk(name, cut, pretrained=False))
    faster = fused(trunk)
    images = torch.rand(1, 3, 96, 64, generator=torch.Generator().manual_seed(1))
    order: list[tuple[str, int]] = []
    for module in faster.modules():
        if isinstance(module, nn.ReLU | nn.MaxPool2d):
            module.register_forward_hook(lambda one, _, maps: order.append((type(one).__name__, maps.numel())))
    with torch.inference_mode():
        torch.testing.assert_close(faster(images), trunk(images), rtol=1e-4, atol=1e-4)
    pools = [place for place, (kind, _) in enumerate(order) if kind == "MaxPool2d"]
    assert pools
    assert all(order[place + 1] == ("ReLU", order[place][1]) for place in pools[:1])


def test_a_kept_heap_takes_more_photos_at_a_time(tiny_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geofix.heap._kept", False)
    inference = Inference(tiny_run.encoder, device="cpu")
    inference.preprocess = dataclasses.replace(inference.preprocess, size=(480, 640))
    assert inference.batch_size == 1
    monkeypatch.setattr("geofix.heap._kept", True)
    assert inference.batch_size == 4


class Crossed(nn.Module):
    """Defines a batch norm right behind a convolution that it does not follow."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.channels = 3

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.conv(self.norm(images))


def test_fusing_is_given_up_where_it_would_change_the_result() -> None:
    trunk = randomised(Crossed())
    assert fused(trunk) is trunk


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "levit_128s"])
def test_a_trunk_of_one_image_size_can_be_used_at_that_size(name: str) -> None:
    trunk = open_trunk(name, "last", pretrained=False).eval()
    with torch.inference_mode():
        assert fused(trunk)(torch.zeros(1, 3, 224, 224)).shape[:2] == (1, trunk.channels)


def test_bf16_keeps_the_direction_of_descriptors(tiny_run: Run, street: Path) -> None:
    photos = photos_in(street)
    full, half = encode(tiny_run, photos).single, encode(tiny_run, photos, precision="bf16").single
    cosine = (full * half).sum(axis=1) / np.linalg.norm(full, axis=1) / np.linalg.norm(half, axis=1)
    assert cosine.min() > 0.999
    assert half.dtype == np.float32
    assert not np.array_equal(full, half)


def test_inference_leaves_the_encoder_as_it_is(tiny_run: Run) -> None:
    before = {key: value.clone() for key, value in tiny_run.encoder.state_dict().items()}
    Inference(tiny_run.encoder, "bf16")
    after = tiny_run.encoder.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) and after[key].dtype == before[key].dtype for key in before)


def test_progress_ends_with_everything_done(tiny_run: Run, street: Path) -> None:
    (street / "003.jpg").write_bytes(b"broken")
    told: list[tuple[int, int]] = []
    encode(tiny_run, photos_in(street), progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (24, 24)
    assert told == sorted(told)
    assert {total for _, total in told} == {24}


class Counted:
    """Stands for `encode_chunk`: counts its calls and can stop at one of them, as a kill would."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.calls, self.stop_at, self.real = 0, stop_at, LOOP.encode_chunk

    def __call__(self, *arguments: object) -> Encoded:
        if self.calls == self.stop_at:
            raise KeyboardInterrupt
        self.calls += 1
        return self.real(*arguments)


@pytest.fixture
def chunks_of_8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LOOP, "_JOURNAL_PHOTOS", 8)


@pytest.fixture
def _interrupted(
    tiny_run: Run, street: Path, tmp_path: Path, chunks_of_8: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (street / "002.jpg").write_bytes(b"broken")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(LOOP, "encode_chunk", Counted(stop_at=2))
        encode(tiny_run, photos_in(street), journal=tmp_path / "journal")


def resumed(run: Run, street: Path, journal: Path, monkeypatch: pytest.MonkeyPatch, **how: str) -> int:
    """How many of the three parts were encoded anew; the result must be as without any journal."""
    counted = Counted()
    with monkeypatch.context() as patch:
        patch.setattr(LOOP, "encode_chunk", counted)
        found = encode(run, photos_in(street), journal=journal, **how)
    expected = encode(run, photos_in(street), **how)
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_allclose(found.descriptors, expected.descriptors, **TIGHT)
    assert [str(error) for error in found.errors] == [str(error) for error in expected.errors]
    return counted.calls


@pytest.mark.usefixtures("_interrupted")
def test_journal_goes_on_after_an_interruption(
    tiny_run: Run, street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = tmp_path / "journal"
    assert resumed(tiny_run, street, journal, monkeypatch) == 1
    assert resumed(tiny_run, street, journal, monkeypatch) == 0


@pytest.mark.usefixtures("_interrupted")
@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 garbage", None])
def test_journal_files_that_are_damaged_are_ignored(
    tiny_run: Run, street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes | None
) -> None:
    journal = tmp_path / "journal"
    file = sorted(journal.iterdir())[0]
    file.write_bytes(file.read_bytes()[:-100] if damage is None else damage)
    assert resumed(tiny_run, street, journal, monkeypatch) == 2


@pytest.mark.usefixtures("_interrupted")
def test_journal_of_other_content_is_not_used(
    tiny_run: Run, other_run: Run, street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = tmp_path / "journal"
    assert resumed(other_run, street, journal, monkeypatch) == 3
    assert resumed(tiny_run, street, journal, monkeypatch, method="central_crop") == 3
    assert resumed(tiny_run, street, journal, monkeypatch, precision="bf16") == 3
    put(street / "010.jpg", save_jpeg(blobs(99)))
    assert resumed(tiny_run, street, journal, monkeypatch) == 2


@pytest.mark.usefixtures("chunks_of_8")
def test_a_journal_that_cannot_be_written_only_costs_time(
    tiny_run: Run, street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a-file").write_text("in the way", encoding="utf-8")
    assert resumed(tiny_run, street, tmp_path / "a-file" / "journal", monkeypatch) == 3

    def full(*_: object) -> None:
        raise StorageError("The disk is full")

    monkeypatch.setattr(LOOP, "write_atomically", full)
    assert resumed(tiny_run, street, tmp_path / "journal", monkeypatch) == 3


def test_a_name_that_is_no_utf_8_does_not_stop_a_journal(tiny_run: Run, tmp_path: Path) -> None:
    folder = write_street(tmp_path / "odd", 2)
    (folder / "001.jpg").rename(folder / "caf\udce9.jpg")
    assert encode(tiny_run, photos_in(folder), journal=tmp_path / "journal").rows.tolist() == [0, 1]
