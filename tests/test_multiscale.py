"""Several scales against parity P6 and naive loops."""

from typing import Any

import numpy as np
import pytest
import torch

from geofix import recipes
from geofix.errors import RecipeError
from geofix.models.build import build
from geofix.models.multiscale import every_size, joined, stepped
from geofix.models.pooling import GeM
from geofix.recipes import Recipe
from test_pooling import parity_maps, parity_netvlad


def test_p6_concat_through_netvlad_and_gem() -> None:
    maps = parity_maps()
    together = joined([maps, maps[:, :, ::2, ::2]], "concat")
    assert together.shape == (2, 8, 6 * 5 + 3 * 3, 1)
    layer, _ = parity_netvlad(maps)
    found = layer(together)[0, :4].detach().numpy()
    np.testing.assert_allclose(found, [-0.0451013, -0.2907133, -0.2120622, -0.0262230], atol=1e-5)
    pooled = GeM()(together)[0, :4].detach().numpy()
    np.testing.assert_allclose(pooled, [0.8278099, 0.7602407, 0.6920255, 0.6225269], atol=1e-5)


@pytest.mark.parametrize(("step", "places"), [(2, 300), (3, 140), (4, 80), (5, 48), (8, 20)])
def test_p6_lengths_of_a_real_trunk(step: int, places: int) -> None:
    encoder = build(recipes.Recipe(pretrained="none", cut="conv4"), pretrained=False)
    with torch.inference_mode():
        maps = encoder.trunk(stepped(torch.zeros(1, 3, 480, 640), step, "skip"))
    assert maps.shape[-2] * maps.shape[-1] == places


@pytest.mark.parametrize(("steps", "places"), [((2, 3, 4), 1720), ((2, 4), 1580)])
def test_p6_lengths_of_concat(steps: tuple[int, ...], places: int) -> None:
    encoder = build(recipes.Recipe(pretrained="none", cut="conv4", steps=steps), pretrained=False)
    with torch.inference_mode():
        assert encoder.maps(torch.zeros(1, 3, 480, 640)).shape == (1, 256, places, 1)


def test_skipping_is_a_naive_loop_and_resizing_does_not_alias() -> None:
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 3, 7, 10)).astype(np.float32))
    found = stepped(images, 3, "skip")
    assert found.shape == (1, 3, 3, 4)
    for row in range(3):
        for column in range(4):
            assert torch.equal(found[0, :, row, column], images[0, :, 3 * row, 3 * column])
    stripes = torch.zeros(1, 3, 48, 48)
    stripes[..., ::2] = 1  # finer than the small image can show
    assert stepped(stripes, 2, "skip").mean() == 1
    assert stepped(stripes, 2, "resize").mean() == pytest.approx(0.5, abs=0.03)
    assert stepped(images, 3, "resize").shape == found.shape


def test_tile_is_the_papers_naive_average() -> None:
    large, small = parity_maps(), parity_maps()[:, :, ::2, ::2]
    found = joined([large, small], "tile")
    flat = small.flatten(2)
    for place in range(30):
        expected = (large.flatten(2)[:, :, place] + flat[:, :, place % 9]) / 2
        torch.testing.assert_close(found.flatten(2)[:, :, place], expected)


def test_the_tile_of_a_real_size_puts_few_places_where_they_belong() -> None:
    """0.5 % of the places get the value that stretching to the nearest would give: a scramble, not an average."""
    small = torch.arange(300.0).reshape(1, 1, 15, 20)
    nearest = torch.nn.functional.interpolate(small, (30, 40), mode="nearest")
    tiled = 2 * joined([torch.zeros(1, 1, 30, 40), small], "tile")
    assert float((tiled == nearest).float().mean()) == pytest.approx(0.005, abs=1e-4)


def test_average_is_place_by_place() -> None:
    large, small = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 2, 2)
    large[0, 0, 0, 0], small[0, 0, 0, 0] = 1.0, 1.0
    found = joined([large, small], "average")[0, 0]
    assert found[0, 0] == 1.0  # both maps have it there
    assert found[0, 3] == found[3, 3] == 0
    constant = joined([torch.full((1, 2, 6, 5), 3.0), torch.full((1, 2, 3, 3), 1.0)], "average")
    torch.testing.assert_close(constant, torch.full((1, 2, 6, 5), 2.0))


@pytest.mark.parametrize("how", ["concat", "tile", "average"])
def test_one_size_alone_is_left_as_it_is(how: str) -> None:
    maps = parity_maps()
    assert joined([maps], how) is maps


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["steps=[1]"], "a step of 1 is the image itself"),
        (["steps=[2,8]", "image_size=160x200"], "a step of 8 leaves 20 of 160 pixels; 32 are needed"),
        (["steps=[2]", "pooling=rmac"], "rmac pools squares of one map"),
    ],
)
def test_steps_that_make_no_sense_are_refused(settings: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipes.with_settings(recipes.Recipe(), settings)


@pytest.mark.parametrize("settings", [{"steps": (2,), "steps_by": "resize"}, {"steps": (2,)}, {"scales": (1.0, 0.5)}])
def test_every_size_in_bfloat16(settings: dict[str, Any]) -> None:
    recipe = Recipe(image_size=(64, 96), **settings)
    images = torch.randn(2, 3, 64, 96)
    exact = every_size(images, recipe)
    for rough, exactly in zip(every_size(images.bfloat16(), recipe), exact, strict=True):
        assert rough.dtype == torch.bfloat16
        assert torch.allclose(rough.float(), exactly, atol=0.03)
