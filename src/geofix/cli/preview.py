"""geofix data preview: what a recipe's augmentation really does to photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geofix.cli import output
from geofix.errors import PhotoError, RecipeError, UsageError
from geofix.files import write_atomically

if TYPE_CHECKING:
    from geofix.augment.preview import Strip
    from geofix.recipes import Recipe
    from geofix.tensors import PixelBatch
    from geofix.transforms import Preprocess

_MOST_PHOTOS, _MOST_DRAWS = 50, 20
_LOOKED_AT = 4  # photos that the effects are measured on


def preview(
    recipe: Annotated[str, typer.Argument(help="A recipe's name or file, or the name of an augmentation.")],
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO", help="Photos, or folders of them.")],
    out: Annotated[Path, typer.Option(metavar="FILE.png", help="The sheet: one row a photo.")],
    draws: Annotated[int, typer.Option(help="How often each form is drawn.")] = 4,
    settings: Annotated[list[str] | None, typer.Option("--set", help="key=value of the recipe.")] = None,
) -> None:
    """A contact sheet of what a recipe's augmentation really does, and a warning where its name says otherwise."""
    from geofix.augment.claims import findings
    from geofix.augment.preview import forms_of
    from geofix.photos import photo_paths
    from geofix.reports.sheets import contact_sheet

    if out.suffix.lower() != ".png":
        raise UsageError(f"The sheet is a PNG and {out} is not named so; add a name that ends in .png with --out.")
    if not 1 <= draws <= _MOST_DRAWS:
        raise UsageError(f"--draws is {draws}; 1 to {_MOST_DRAWS} are expected.")
    chosen = _recipe(recipe, settings or [])
    errors: list[PhotoError] = []
    paths = photo_paths(photos, errors)
    if len(paths) > _MOST_PHOTOS:
        raise UsageError(f"{len(paths)} photos were named and a sheet has room for {_MOST_PHOTOS}; name fewer.")
    strips, preprocess = [], _preprocess(chosen)
    with output.progress("drawing") as progress:
        for number, path in enumerate(paths):
            strips += _strip(chosen, preprocess, path, number, draws, errors)
            progress(number + 1, len(paths))
    if not strips:
        raise errors[0]
    write_atomically(out, contact_sheet([strip for _, strip in strips], [name for name, _ in strips]))
    drawn = "a draw" if draws == 1 else f"{draws} draws"
    output.result(f"{out}: {len(strips)} of {len(paths)} photos, {drawn} of each form of {chosen.name}")
    for finding in findings(chosen, preprocess, _small([strip for _, strip in strips]), forms_of(chosen)):
        output.result("\n".join([finding.facts, *(f"warning: {warning}" for warning in finding.warnings)]))
    output.finish(errors)


def _strip(
    recipe: Recipe, preprocess: Preprocess, path: Path, number: int, draws: int, errors: list[PhotoError]
) -> list[tuple[str, Strip]]:
    """The photo's name and strip, or nothing and one more error."""
    from geofix.augment.preview import previewed
    from geofix.photos import read_pixels
    from geofix.transforms import stacked

    try:
        pixels = read_pixels(path, target=preprocess.size, exactly=True)
    except PhotoError as error:
        errors.append(error)
        return []
    return [(path.name, previewed(recipe, preprocess, stacked([pixels]), number, draws))]


def _small(strips: list[Strip]) -> PixelBatch:
    """The first photos as they are, small: enough to measure tones on."""
    from geofix.photos import resized
    from geofix.transforms import stacked

    first = [strip.pixels[0].permute(1, 2, 0).contiguous().numpy() for strip in strips[:_LOOKED_AT]]
    return stacked([resized(pixels, (48, 64)) for pixels in first])


def _recipe(name: str, settings: list[str]) -> Recipe:
    """The recipe of that name or file, or one with that augmentation and nothing else; with the settings."""
    from geofix import recipes
    from geofix.augment.papers import AUGMENTATIONS
    from geofix.augment.prepare import changes

    known = ", ".join(AUGMENTATIONS)
    if name in AUGMENTATIONS:
        recipe, settings = recipes.Recipe(name=name), [f"augment=[{name}]", *settings]
    else:
        try:
            recipe = recipes.load(name)
        except RecipeError as error:
            if Path(name).suffix in {".yaml", ".yml"}:
                raise
            meant = recipes.nearest(name, AUGMENTATIONS)
            raise RecipeError(f"{error} So does the name of an augmentation{meant}: {known}.") from error
    recipe = recipes.with_settings(recipe, settings)
    if not changes(recipe):
        raise UsageError(
            f"{name} changes no photos while it is learned; add --set augment=[night] or --set augment_colour=0.3, or "
            f"name one of {known}."
        )
    return recipe


def _preprocess(recipe: Recipe) -> Preprocess:
    """Size and normalisation of the recipe's encoder, which nobody has trained and nobody loads weights for."""
    from geofix.models.build import build
    from geofix.transforms import Preprocess

    if recipe.mean and recipe.std:
        return Preprocess(recipe.image_size, recipe.mean, recipe.std)
    return build(recipe, pretrained=False).preprocess
