"""geofix data preview: the sheet shows what is there, pixel for pixel, and the command says what it found."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from commands import Captured, called
from geofix import recipes
from geofix.augment.preview import forms_of, previewed
from geofix.photos import save_jpeg
from geofix.recipes import Recipe
from geofix.reports.sheets import contact_sheet
from geofix.transforms import Preprocess
from toy_places import blobs

PREVIEW = ("data", "preview")

PREPROCESS = Preprocess((48, 64), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
GAP, LINE = 8, 15
SMALL = ["--set", "image_size=48x64", "--set", "mean=[0.485, 0.456, 0.406]", "--set", "std=[0.229, 0.224, 0.225]"]


def recipe_with(*settings: str) -> Recipe:
    return recipes.with_settings(Recipe(), list(settings))


def photo(seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(blobs(seed).copy()).permute(2, 0, 1)[None]


def sheet(png: bytes) -> np.ndarray:
    with Image.open(BytesIO(png)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    (tmp_path / "photos").mkdir()
    paths = [tmp_path / "photos" / f"{n}.jpg" for n in range(3)]
    for number, path in enumerate(paths):
        path.write_bytes(save_jpeg(blobs(number)))
    return paths


# -- strips and sheets --------------------------------------------------------------------------------------------


def test_a_strip_has_the_photo_and_both_forms() -> None:
    strip = previewed(recipe_with("augment=[night]"), PREPROCESS, photo(), 0, 2)
    assert strip.captions == ("as it is", "described", "described", "coded", "coded")
    assert torch.equal(strip.pixels[:1], photo())
    solarized = torch.where(photo()[0] >= 64, 255 - photo()[0], photo()[0])
    assert (strip.pixels[1].int() - (solarized * 0.55).int()).abs().max() <= 1
    negative = torch.where(photo()[0] >= 1, 255 - photo()[0], photo()[0])
    assert (strip.pixels[3].int() - (negative * 0.55).int()).abs().max() <= 1


def test_one_form_where_there_is_but_one() -> None:
    for settings in (["augment=[occlusion]"], ["augment_colour=0.3"]):
        assert forms_of(recipe_with(*settings)) == ("described",)
        strip = previewed(recipe_with(*settings), PREPROCESS, photo(), 0, 3)
        assert strip.captions == ("as it is", "draw 1", "draw 2", "draw 3")
    assert forms_of(recipe_with("augment=[occlusion, night]")) == ("described", "coded")


def test_draws_differ_and_hang_on_seed_and_photo() -> None:
    recipe = recipe_with("augment=[martin-colour-1]")
    one, again = (previewed(recipe, PREPROCESS, photo(), 0, 3).pixels for _ in range(2))
    assert torch.equal(one, again)
    assert not torch.equal(one[1], one[2])
    assert not torch.equal(one[1], previewed(recipe, PREPROCESS, photo(), 1, 3).pixels[1])
    other = recipe_with("augment=[martin-colour-1]", "seed=1")
    assert not torch.equal(one[1], previewed(other, PREPROCESS, photo(), 0, 3).pixels[1])


def test_values_beyond_a_photo_are_shown_at_its_ends() -> None:
    pixels = previewed(recipe_with("augment=[martin-perspective-1]"), PREPROCESS, photo(), 0, 8).pixels
    dark = photo()[0] < 0.3 * 255
    coded = pixels[9:]
    assert any(int(one[dark].max()) == 0 for one in coded)


def test_the_sheet_is_exact() -> None:
    strips = [previewed(recipe_with("augment=[night]"), PREPROCESS, photo(n), n, 1) for n in range(2)]
    drawn = sheet(contact_sheet(strips, ["one.jpg", "two.jpg"]))
    assert drawn.shape == (GAP + 2 * (48 + 2 * LINE + GAP), GAP + 3 * (64 + GAP), 3)
    for row, strip in enumerate(strips):
        top = GAP + row * (48 + 2 * LINE + GAP)
        for column, picture in enumerate(strip.pixels.permute(0, 2, 3, 1).numpy()):
            left = GAP + column * (64 + GAP)
            assert np.array_equal(drawn[top + LINE : top + LINE + 48, left : left + 64], picture)
            assert (drawn[top + LINE + 48 : top + 2 * LINE + 48, left : left + 64] < 128).any()  # its caption
        assert (drawn[top : top + LINE] < 128).any()  # the name


def test_large_pictures_are_made_small() -> None:
    large = torch.from_numpy(blobs(0, 300, 400).copy()).permute(2, 0, 1)[None]
    preprocess = Preprocess((300, 400), PREPROCESS.mean, PREPROCESS.std)
    strip = previewed(recipe_with("augment=[night]"), preprocess, large, 0, 1)
    assert sheet(contact_sheet([strip], ["x"])).shape == (GAP + 150 + 2 * LINE + GAP, GAP + 3 * (200 + GAP), 3)


@pytest.mark.parametrize("name", ["a$b$c_{x}.jpg", "東京\udcff\n.jpg", "long" * 90, ""])
def test_any_name_can_be_written(name: str) -> None:
    strip = previewed(recipe_with("augment=[occlusion]"), PREPROCESS, photo(), 0, 1)
    assert sheet(contact_sheet([strip], [name])).shape[1] == GAP + 2 * (64 + GAP)


def test_drawing_leaves_matplotlib_as_it_was() -> None:
    code = "import sys, geofix.reports.sheets; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- the command --------------------------------------------------------------------------------------------------


def test_the_name_of_an_augmentation(capsys: Captured, photos: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "sheets" / "night.png"
    status, told, err = called(capsys, *PREVIEW, "night", *photos, "--out", out, "--draws", 2, *SMALL)
    assert (status, err) == (0, "")
    lines = told.splitlines()
    assert lines[0] == f"{out}: 3 of 3 photos, 2 draws of each form of night"
    assert [line.split(" (")[0] for line in lines[1:3]] == ["night as described", "night as coded"]
    assert lines[3].startswith("warning: night as coded makes a negative image: ")
    assert len(lines) == 4
    assert sheet(out.read_bytes()).shape == (GAP + 3 * (48 + 2 * LINE + GAP), GAP + 5 * (64 + GAP), 3)
    assert [path.name for path in out.parent.iterdir()] == ["night.png"]


def test_the_simple_night(capsys: Captured, photos: list[Path], tmp_path: Path) -> None:
    status, told, err = called(
        capsys, "data", "preview", "simple-night", photos[0], "--out", tmp_path / "sheet.png", *SMALL
    )
    assert (status, err) == (0, "")
    assert told.splitlines()[0].endswith("1 of 1 photos, 4 draws of each form of simple-night")
    assert "warning" not in told and len(told.splitlines()) == 2
    drawn = sheet((tmp_path / "sheet.png").read_bytes())
    day, *nights = (drawn[GAP + LINE : GAP + LINE + 48, GAP + n * (64 + GAP) :][:, :64] for n in range(5))
    assert all(night.mean() < 0.7 * day.mean() for night in nights)


def test_a_recipe_by_name_and_by_file(capsys: Captured, photos: list[Path], tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("name: mine\naugment: [occlusion]\nimage_size: 48x64\n", encoding="utf-8")
    status, told, _ = called(capsys, *PREVIEW, mine, photos[0], "--out", tmp_path / "out" / "a.png")
    assert status == 0
    assert "1 of 1 photos, 4 draws of each form of mine" in told and "warning" not in told
    numbers = ["--set", "augment_erase=1", *SMALL]
    status, told, _ = called(
        capsys, "data", "preview", "resnet18-gem", photos[0].parent, "--out", tmp_path / "out" / "b.png", *numbers
    )
    assert status == 0
    assert told.splitlines() == [f"{tmp_path / 'out' / 'b.png'}: 3 of 3 photos, 4 draws of each form of resnet18-gem"]


def test_photos_that_cannot_be_read(capsys: Captured, photos: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no photo")
    status, told, err = called(capsys, *PREVIEW, "night", photos[0], bad, "--out", tmp_path / "a.png", *SMALL)
    assert status == 1
    assert "1 of 2 photos" in told and str(bad) in err
    status, told, err = called(capsys, *PREVIEW, "night", bad, "--out", tmp_path / "b.png", *SMALL)
    assert (status, told) == (2, "")
    assert str(bad) in err and not (tmp_path / "b.png").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nigth"], "So does the name of an augmentation (did you mean 'night'?): night, "),
        (["resnet18-gm"], "did you mean 'resnet18-gem'"),
        (["none.yaml"], "none.yaml cannot be read"),
        (["resnet18-gem"], "resnet18-gem changes no photos while it is learned; add --set augment=[night]"),
        (["night", "--set", "learn=pairs", "--set", "whiten_directions=3"], "changes no photos while it is learned"),
        (["night", "--draws", "0"], "--draws is 0; 1 to 20 are expected"),
        (["night", "--out", "sheet.jpg"], "sheet.jpg is not named so"),
        (["night", "--set", "augment_as=meant"], "--set sets augment_as"),
    ],
)
def test_refusals(capsys: Captured, photos: list[Path], tmp_path: Path, arguments: list[str], said: str) -> None:
    status, told, err = called(capsys, *PREVIEW, "--out", tmp_path / "a.png", *arguments, photos[0])
    assert (status, told) == (2, "")
    assert said in err and err.count("\n") == 1
    assert not (tmp_path / "a.png").exists()


def test_more_photos_than_a_sheet_has_room_for(capsys: Captured, tmp_path: Path) -> None:
    many = [tmp_path / f"{n}.jpg" for n in range(51)]
    status, _, err = called(capsys, *PREVIEW, "night", *many, "--out", tmp_path / "a.png")
    assert status == 2
    assert "51 photos were named and a sheet has room for 50" in err
