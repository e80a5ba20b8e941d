"""The encoder across views against its published parts: blocks, sizes, losses, descriptors; values of the field's code,
and naive loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from geofix import losses, recipes
from geofix.augment.views import prepared_views
from geofix.encode import Inference
from geofix.errors import RecipeError
from geofix.models.backbones import StagedTrunk, open_staged_trunk
from geofix.models.blocks import BlockPooling, boxes, cut
from geofix.models.build import build
from geofix.models.crossview import BlockEncoder, Classifier, Part, joined_parts
from geofix.models.pooling import GeM
from geofix.recipes import CrossviewRecipe
from geofix.tensors import PixelBatch
from geofix.transforms import Preprocess, normalised

RAMP = torch.arange(256.0).view(1, 1, 16, 16)
TINY = ["backbone=test_resnet", "cut=layer3", "global_stages=[layer2, layer3]", "image_size=64x64", "blocks=2",
        "part_length=8", "pretrained=none"]  # fmt: skip


def recipe(*settings: str) -> CrossviewRecipe:
    return recipes.with_settings(CrossviewRecipe(), list(settings))


def tiny(*settings: str) -> BlockEncoder:
    encoder = build(recipe(*TINY, *settings), pretrained=False)
    assert isinstance(encoder, BlockEncoder)
    return encoder


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


# -- sizes ---------------------------------------------------------------------------------------------------------


def test_the_paper_s_model_has_as_many_parameters_as_stated() -> None:
    encoder = build(recipes.with_settings(recipes.load_of_encoder("bui"), ["pretrained=none"]), pretrained=False)
    assert isinstance(encoder, BlockEncoder)
    classifiers = [Classifier(512, 701, 0.75) for _ in encoder.parts]
    assert parameters(encoder) + sum(map(parameters, classifiers)) == 33_620_129
    assert encoder.descriptor_length == 5 * 512
    assert [parameters(gem) for gem in encoder.pooling.gems] == [2048] * 4
    assert parameters(encoder.trunk) == 26_039_024


@pytest.mark.parametrize(("channels", "count"), [(2048, 1_409_725), (3072, 1_934_013)])
def test_a_part_and_its_classifier_have_as_many_parameters_as_stated(channels: int, count: int) -> None:
    assert parameters(Part(channels, 512)) + parameters(Classifier(512, 701, 0.75)) == count


def test_weights_start_as_in_the_field_s_code() -> None:
    torch.manual_seed(0)
    part, classifier = Part(64, 4096), Classifier(512, 701, 0.5)
    assert part.linear.weight.std().item() == pytest.approx(math.sqrt(2 / 4096), rel=0.02)  # kaiming, fan out
    assert part.norm.weight.mean().item() == pytest.approx(1, abs=0.01)
    assert part.norm.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert classifier.linear.weight.std().item() == pytest.approx(0.001, rel=0.02)
    assert not part.linear.bias.any() and not classifier.linear.bias.any()


@pytest.mark.parametrize("name", ["seresnet50", "resnet50", "legacy_seresnet50", "resnet18", "resnet50d"])
def test_the_last_stride_leaves_and_nothing_else(name: str) -> None:
    images = torch.randn(1, 3, 64, 64)
    coarse, fine = (
        open_staged_trunk(name, "layer4", ["layer3"], pretrained=False, last_stride=stride).eval() for stride in (2, 1)
    )
    with torch.inference_mode():
        coarse_maps, fine_maps = coarse(images), fine(images)
    assert [maps.shape[-1] for maps in coarse_maps] == [4, 2]
    assert [maps.shape[-1] for maps in fine_maps] == [4, 4]
    assert fine.stage_channels == coarse.stage_channels
    assert all(m.dilation == (1, 1) for m in fine.modules() if isinstance(m, nn.Conv2d))
    changed = [
        key
        for (key, one), (_, other) in zip(coarse.named_modules(), fine.named_modules(), strict=True)
        if isinstance(one, nn.Conv2d) and isinstance(other, nn.Conv2d) and one.stride != other.stride
    ]
    assert changed and all("layer4.0" in key for key in changed)


def test_a_stride_that_cannot_leave_is_an_error() -> None:
    with pytest.raises(RecipeError, match="The stride cannot be taken out of resnet18 cut after layer1"):
        open_staged_trunk("resnet18", "layer1", [], pretrained=False, last_stride=1)


def test_stages_after_the_cut_are_an_error() -> None:
    with pytest.raises(RecipeError, match="The stages layer4 are to be looked at, but the trunk is cut after layer3"):
        open_staged_trunk("resnet18", "layer3", ["layer4"], pretrained=False)


# -- blocks --------------------------------------------------------------------------------------------------------


def test_boxes_are_centred_squares_and_the_whole() -> None:
    assert [(one.start, one.stop) for one, _ in boxes(16, 16, 4)] == [(6, 10), (4, 12), (2, 14), (0, 16)]
    assert [(r.start, r.stop, c.start, c.stop) for r, c in boxes(16, 24, 2)] == [(4, 12, 6, 18), (0, 16, 0, 24)]


@pytest.mark.parametrize(
    ("partition", "pooling", "expected"),
    [
        ("nested", "average", [127.5, 127.5, 127.5, 127.5]),
        ("nested", "max", [153, 187, 221, 255]),
        ("ring", "average", [127.5, 127.5, 127.5, 127.5]),
        ("ring_lpn", "average", [127.5, 95.625, 70.8333, 55.78125]),
    ],
)
def test_blocks_pool_as_stated(partition: str, pooling: str, expected: list[float]) -> None:
    pool = BlockPooling(recipe(f"partition={partition}", f"pooling={pooling}"), 1)
    assert torch.cat(pool(RAMP)).flatten().tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("partition", "expected"),
    [
        ("nested", [0.51153469, 0.54001039, 0.58170855, 0.63159996]),
        ("ring", [0.51153469, 0.54886460, 0.61121136, 0.68599361]),
        ("ring_lpn", [0.51153469, 0.49867657, 0.50245893, 0.52077013]),
    ],
)
def test_gem_on_blocks_as_stated(partition: str, expected: list[float]) -> None:
    pool = BlockPooling(recipe(f"partition={partition}"), 1)
    assert torch.cat(pool((RAMP + 1) / 256)).flatten().tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("side", "blocks", "expected"),
    [
        (16, 4, [1, 0.75, 0.555556, 0.4375]),
        (24, 4, [1, 0.75, 0.555556, 0.4375]),
        (32, 4, [1, 0.75, 0.555556, 0.4375]),
        (16, 3, [1, 0.75, 0.75]),
        (15, 4, [1, 0.75, 0.555556, 0.84]),
        (12, 8, [1, 0.75, 0.555556, 0.4375, 0.36, 0.305556, 0.265306, 0.234375]),  # enlarged to 16 first
    ],
)
def test_lpn_counts_the_zeros_it_puts_in(side: int, blocks: int, expected: list[float]) -> None:
    pool = BlockPooling(recipe("partition=ring_lpn", "pooling=average", f"blocks={blocks}"), 1)
    assert torch.cat(pool(torch.ones(1, 1, side, side))).flatten().tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("partition", ["nested", "ring", "ring_lpn"])
def test_blocks_against_a_loop_over_places(partition: str) -> None:
    maps = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(1))
    found = cut(maps, 4, partition)
    for number, block in enumerate(found, start=1):
        half_rows, half_columns = (number * 2, number * 3) if number < 4 else (8, 12)
        inner_rows, inner_columns = (number - 1) * 2, (number - 1) * 3
        values = []
        for row in range(16):
            for column in range(24):
                inside = 8 - half_rows <= row < 8 + half_rows and 12 - half_columns <= column < 12 + half_columns
                hole = 8 - inner_rows <= row < 8 + inner_rows and 12 - inner_columns <= column < 12 + inner_columns
                if not inside or (partition == "ring" and hole):
                    continue
                values.append(torch.zeros(2, 3) if partition == "ring_lpn" and hole else maps[:, :, row, column])
        assert torch.equal(block, torch.stack(values, dim=2))


@pytest.mark.parametrize(("rows", "columns", "blocks"), [(8, 8, 4), (10, 7, 3), (2, 2, 3)])
def test_a_grid_against_a_loop_over_cells(rows: int, columns: int, blocks: int) -> None:
    maps = torch.rand(2, 3, rows, columns, generator=torch.Generator().manual_seed(1))
    found = cut(maps, blocks, "grid")
    assert len(found) == recipe("partition=grid", f"blocks={blocks}").block_count == blocks**2
    for number, cell in enumerate(found):
        down, across = divmod(number, blocks)
        kept = [
            maps[:, :, row, column]
            for row in range(rows)
            for column in range(columns)
            if row < (down + 1) * rows / blocks and row + 1 > down * rows / blocks
            and column < (across + 1) * columns / blocks and column + 1 > across * columns / blocks
        ]  # fmt: skip
        assert torch.equal(cell, torch.stack(kept, dim=2))


def test_gem_with_an_exponent_a_channel_is_the_formula() -> None:
    gem = GeM(3.0, channels=2)
    cube = (torch.arange(1.0, 9.0) / 8).view(1, 2, 2, 2)
    assert gem(cube)[0].tolist() == pytest.approx([0.36550222, 0.83586038], abs=1e-6)
    gem.p.data = torch.tensor([1.0, 4.0])
    naive = [
        (sum(max(v, 1e-6) ** p for v in cube[0, channel].flatten().tolist()) / 4) ** (1 / p)
        for channel, p in enumerate((1.0, 4.0))
    ]
    assert gem(cube)[0].tolist() == pytest.approx(naive, abs=1e-6)
    assert GeM(3.0)(torch.tensor([-1.0, 2, 0, 2]).view(1, 1, 2, 2)).item() == pytest.approx(1.5874010, abs=1e-6)
    assert GeM(3.0)(torch.zeros(1, 1, 2, 2)).item() == pytest.approx(1e-6)


# -- the encoder ---------------------------------------------------------------------------------------------------


def test_parts_are_normalised_and_joined_as_stated() -> None:
    rows = torch.arange(1.0, 13.0).view(2, 3, 2).transpose(1, 2)  # (n, parts, length)
    first = joined_parts(rows)[0]
    stated = [0.11952286, 0.18898223, 0.35856858, 0.37796447, 0.59761431, 0.56694672]
    assert first.tolist() == pytest.approx(stated, abs=1e-6)
    assert first.norm().item() == pytest.approx(1)


def test_a_descriptor_is_blocks_and_the_maxima_of_the_stages() -> None:
    encoder = tiny("flip_test=false", "pooling=average")
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        trunk = encoder.trunk
        assert isinstance(trunk, StagedTrunk)
        early, late, local = trunk(images)
        assert torch.equal(late, local)
        side = local.shape[-1]
        middle = local[:, :, side // 4 : side - side // 4, side // 4 : side - side // 4].mean(dim=(2, 3))
        vectors = [middle, local.mean(dim=(2, 3)), torch.cat([early.amax(dim=(2, 3)), late.amax(dim=(2, 3))], dim=1)]
        rows = [part(vector) for part, vector in zip(encoder.parts, vectors, strict=True)]
        unit = [row / row.norm(dim=1, keepdim=True) / math.sqrt(3) for row in rows]
        naive = torch.stack([torch.stack([one[:, at] for one in unit], dim=1) for at in range(8)], dim=1).flatten(1)
        assert torch.allclose(encoder(images), naive, atol=1e-6)
        assert torch.allclose(encoder(images).norm(dim=1), torch.ones(2), atol=1e-6)


def test_mirrored_photos_count_as_much() -> None:
    encoder = tiny()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        both = encoder.part_rows(images) + encoder.part_rows(images.flip(3))
        assert torch.equal(encoder(images), joined_parts(both))
        assert torch.allclose(encoder(images), encoder(images.flip(3)), atol=1e-6)
    encoder.train()
    assert not torch.allclose(encoder(images), encoder(images.flip(3)), atol=1e-3)


def test_inference_gives_the_same_descriptors() -> None:
    encoder = tiny()
    pixels = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        slow = encoder(normalised(pixels, encoder.preprocess)).numpy()
    assert np.allclose(Inference(encoder)(pixels), slow, atol=1e-5)
    assert (np.sum(Inference(encoder, "bf16")(pixels) * slow, axis=1) > 0.99).all()


@pytest.mark.parametrize("settings", [["blocks=0"], ["global_stages=[]"], ["partition=ring", "last_stride=2"]])
def test_other_choices_of_parts(settings: list[str]) -> None:
    encoder = tiny(*settings)
    parts = encoder.recipe.blocks + bool(encoder.recipe.global_stages)
    with torch.inference_mode():
        assert encoder(torch.randn(1, 3, 64, 64)).shape == (1, 8 * parts)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["blocks=0", "global_stages=[]"], "a descriptor needs parts: blocks from 1, or global_stages"),
        (["views=[drone, drone]"], "views are two different ones"),
        (["loss=infonce"], "kl compares class probabilities, which infonce has none of; set kl to 0"),
        (["blocks=9"], "less than or equal to 8"),
    ],
)
def test_recipes_that_cannot_work(settings: list[str], sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        recipe(*settings)


@pytest.mark.parametrize("name", ["bui", "bui-small"])
def test_recipes_come_back_from_yaml(name: str) -> None:
    loaded = recipes.load_of_encoder(name)
    assert isinstance(loaded, CrossviewRecipe)
    assert recipes.parse_any(loaded.to_yaml(), "here") == loaded
    with pytest.raises(RecipeError, match=f"{name} is a recipe for the task crossview; one for places is expected"):
        recipes.load(name)


# -- what is lowered -----------------------------------------------------------------------------------------------

SATELLITE = [[2.0, 0.0, -1.0], [0.5, 1.5, 0.0]]
DRONE = [[1.0, 1.0, 0.0], [0.0, 3.0, -1.0]]


def logits() -> tuple[Tensor, Tensor]:
    return torch.tensor(SATELLITE, requires_grad=True), torch.tensor(DRONE, requires_grad=True)


def test_divergence_between_views_as_stated() -> None:
    satellite, drone = logits()
    loss = losses.between_views(satellite, drone)
    assert loss.item() == pytest.approx(0.3628019, abs=1e-6)
    loss.backward()
    assert drone.grad is None
    assert satellite.grad is not None and satellite.grad.abs().sum().item() == pytest.approx(0.7291837, abs=1e-6)
    assert losses.between_views(satellite, drone, "query_learns").item() == pytest.approx(0.3971561, abs=1e-6)
    assert losses.between_views(satellite, drone, "both").item() == pytest.approx(0.3628019 + 0.3971561, abs=1e-6)
    losses.between_views(satellite, drone, detach=False).backward()
    assert drone.grad is not None and drone.grad.abs().sum() > 0


def test_divergence_against_a_loop() -> None:
    total = 0.0
    for learner, teacher in zip(SATELLITE, DRONE, strict=True):
        p1, p2 = ([math.exp(v) / sum(map(math.exp, row)) for v in row] for row in (learner, teacher))
        total += sum(two * math.log(two / one) for one, two in zip(p1, p2, strict=True))
    assert losses.between_views(*logits()).item() == pytest.approx(total / 2, abs=1e-6)


def test_info_nce_against_a_loop() -> None:
    rng = torch.Generator().manual_seed(0)
    queries, gallery = torch.randn(3, 4, generator=rng), torch.randn(3, 4, generator=rng)
    cosine = [[float(q @ g / q.norm() / g.norm()) / 0.1 for g in gallery] for q in queries]
    forth = [math.log(sum(math.exp(v) for v in row)) - row[i] for i, row in enumerate(cosine)]
    back = [math.log(sum(math.exp(row[i]) for row in cosine)) - cosine[i][i] for i in range(3)]
    assert losses.info_nce(queries, gallery, 0.1).item() == pytest.approx((sum(forth) + sum(back)) / 6, abs=1e-5)


# -- what happens to photos ----------------------------------------------------------------------------------------

PLAIN = Preprocess((24, 32), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def photos(count: int) -> PixelBatch:
    return torch.randint(0, 256, (count, 3, 24, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


def seen(pixels: PixelBatch, *settings: str, seed: int = 5) -> Tensor:
    searched = torch.arange(len(pixels)) % 2
    return (prepared_views(pixels, searched, recipe(*settings), PLAIN, seed) * 255).round()


def test_photos_are_cropped_out_of_drawn_out_edges_and_mirrored() -> None:
    pixels = photos(12)
    padded = nn.functional.pad(pixels.float(), (4, 4, 4, 4), mode="replicate")
    shifts, mirrored = set(), set()
    for number, image in enumerate(seen(pixels, "pad=4")):
        fits = [
            (down, right, flip)
            for down in range(9)
            for right in range(9)
            for flip in (False, True)
            if torch.equal(image.flip(2) if flip else image, padded[number, :, down : down + 24, right : right + 32])
        ]
        assert len(fits) == 1
        shifts.add(fits[0][:2])
        mirrored.add(fits[0][2])
    assert len(shifts) > 6 and mirrored == {False, True}


def test_nothing_happens_without_being_asked_for() -> None:
    pixels = photos(2)
    assert torch.equal(seen(pixels, "pad=0", "augment_flip=false"), pixels.float())


def test_only_the_searched_view_turns_when_so_asked() -> None:
    pixels = photos(8)
    changed = seen(pixels, "pad=0", "augment_flip=false", "rotate_gallery_deg=90")
    same = [torch.equal(one, other.float()) for one, other in zip(changed, pixels, strict=True)]
    assert same == [True, False] * 4


def test_a_quarter_turn_is_one() -> None:
    square = photos(1)[:, :, :, :24].contiguous()
    many = square.repeat(64, 1, 1, 1)
    turned = prepared_views(many, torch.ones(64), recipe("pad=0", "augment_flip=false", "rotate_deg=180"), PLAIN, 1)
    # Somewhere among 64 angles one is near a quarter turn, and its middle then shows the turned middle.
    smooth = nn.functional.avg_pool2d(turned * 255, 5, 1)[:, :, 8:12, 8:12].flatten(1)
    wanted = nn.functional.avg_pool2d(square.float().rot90(1, (2, 3)), 5, 1)[:, :, 8:12, 8:12].flatten(1)
    other = nn.functional.avg_pool2d(square.float(), 5, 1)[:, :, 8:12, 8:12].flatten(1)
    assert (smooth - wanted).abs().mean(1).min() < 0.35 * (other - wanted).abs().mean()


def test_zooming_shows_a_part() -> None:
    ramp = torch.arange(32).view(1, 1, 1, 32).expand(16, 3, 24, 32).to(torch.uint8) * 8
    spans = seen(ramp.contiguous(), "pad=0", "augment_flip=false", "augment_scale=0.5")
    widths = (spans[:, 0, 12].amax(1) - spans[:, 0, 12].amin(1)) / 248
    assert 0.45 < widths.min() < 0.6 and 0.85 < widths.max() <= 1


def test_a_seed_gives_the_same_images_and_leaves_chance_alone() -> None:
    pixels = photos(4)
    every = ["rotate_deg=20", "augment_scale=0.8", "augment_colour=0.4", "augment_erase=1"]
    before = torch.random.get_rng_state()
    assert torch.equal(seen(pixels, *every), seen(pixels, *every))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not torch.equal(seen(pixels, *every), seen(pixels, *every, seed=6))
