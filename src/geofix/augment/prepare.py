"""prepare: a batch of pixels -> the images that an encoder learns from."""

from __future__ import annotations

from geofix.augment.chance import seeded
from geofix.augment.papers import chosen
from geofix.augment.steps import Setting, Step, through
from geofix.augment.strengths import all_changed, changes_all
from geofix.recipes import Recipe
from geofix.tensors import AnyPhotos, Images, PixelBatch, PlaceNumbers
from geofix.transforms import Preprocess, normalised


def prepared(pixels: PixelBatch, places: PlaceNumbers, recipe: Recipe, preprocess: Preprocess, seed: int) -> Images:
    """A batch as the encoder sees it while it learns: changed by what the recipe asks for, and normalised.

    The named augmentations change the first photo of each place: a triplet's query, or the middle of a place of the
    classes. The numbers change every photo. The same seed gives the same images; the global random state is left as
    it was.
    """
    forms = chosen(recipe)
    setting = Setting(recipe.seed, preprocess)
    on_pixels = [step for form in forms for step in form.on_pixels]
    on_normalised = [step for form in forms for step in form.on_normalised]
    pixels = _queries_changed(pixels, places, on_pixels, setting, _stirred(seed, 1))
    if changes_all(recipe):
        pixels = all_changed(pixels, places, recipe, setting, seed)
    images = normalised(pixels, preprocess)
    return _queries_changed(images, places, on_normalised, setting, _stirred(seed, 2))


def changes(recipe: Recipe) -> bool:
    """Whether photos are changed at all while a recipe is learned; pairs are learned from photos as they are."""
    return recipe.learn != "pairs" and (bool(recipe.augment) or changes_all(recipe))


def _queries_changed(
    photos: AnyPhotos, places: PlaceNumbers, steps: list[Step], setting: Setting, seed: int
) -> AnyPhotos:
    """A copy in which the first photo of each place went through the steps; the photos themselves without any."""
    if not steps:
        return photos
    changed = photos.clone()
    with seeded(seed, photos.device):
        for row in _first_of_each(places):
            changed[row] = through(steps, photos[row], setting)
    return changed


def _first_of_each(places: PlaceNumbers) -> list[int]:
    """The rows of a batch at which a new place begins: its groups lie one after the other."""
    numbers = places.tolist()
    return [row for row, place in enumerate(numbers) if row == 0 or numbers[row - 1] != place]


def _stirred(seed: int, part: int) -> int:
    """Another seed for each part of the work, apart from the one that the numbers draw from."""
    return (3 * seed + part) % 2**63
