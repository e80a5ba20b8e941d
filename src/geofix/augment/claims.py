"""claims: does an augmentation do what its name and its paper say? Plain sentences where it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from geofix.augment.effects import Effect, effect
from geofix.augment.papers import AUGMENTATIONS, Augmentation, Promise
from geofix.augment.steps import Setting
from geofix.recipes import AugmentAs, Recipe
from geofix.tensors import PixelBatch
from geofix.transforms import Preprocess

_NEGATIVE = 0.9  # of the greys in reverse order: solarizing at a quarter turns three quarters, and says so
_CLIPPED = 0.25  # of the greys
_BEYOND = 0.01  # of the values; the noise of an occlusion makes 0.1 to 0.2 % that no photo has
_LEVELS = 2.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What one form of an augmentation does, in one line, and a sentence for each thing its name does not say."""

    facts: str
    warnings: tuple[str, ...]


def findings(
    recipe: Recipe, preprocess: Preprocess, photos: PixelBatch | None = None, forms: Sequence[AugmentAs] = ()
) -> list[Finding]:
    """The named augmentations of a recipe, measured on test pictures and photos; as the recipe asks, or in `forms`."""
    setting = Setting(recipe.seed, preprocess)
    found = []
    for one in (AUGMENTATIONS[name] for name in AUGMENTATIONS if name in recipe.augment):
        for done_as in (forms or (recipe.augment_as,))[: None if one.differs else 1]:
            seen = effect(one.form(done_as), setting, photos)
            found.append(Finding(_facts(one, done_as, seen), tuple(contradictions(one, done_as, seen, preprocess))))
    return found


def surprises(recipe: Recipe, preprocess: Preprocess) -> list[str]:
    """What the named augmentations of a recipe do that their names do not say."""
    return [warning for finding in findings(recipe, preprocess) for warning in finding.warnings]


def contradictions(one: Augmentation, done_as: AugmentAs, found: Effect, preprocess: Preprocess) -> list[str]:
    """A sentence for each way in which the effect of a form contradicts what is promised."""
    if _twice(found, preprocess):
        wrong = [_twice_said(found, preprocess), _too_bright(one.promise)]
    else:
        wrong = [
            _tone(one.promise, found),
            _clipped(found),
            _fill(one.promise, found),
            _cut(one.promise, found),
            _chance(one.promise, found),
            _beyond(found),
        ]
    subject = _called(one, done_as)
    return [f"{subject} {text}" for text in wrong if text]


def _facts(one: Augmentation, done_as: AugmentAs, found: Effect) -> str:
    """One line of what was measured, without what is nothing."""
    shares = {
        "of the grey levels in reverse order": found.tones.inverted,
        "of them black or white": found.tones.clipped,
        "of the frame without the photo": found.frame.covered,
        "of the photo cut off": found.frame.lost,
        "of the draws change something": found.values.changed,
    }
    parts = [f"{share:.0%} {what}" for what, share in shares.items() if share >= 0.005]
    span = f"values {found.values.lowest:.2f} to {found.values.highest:.2f}"
    return f"{_called(one, done_as)} ({one.source}): " + ", ".join(
        [f"mean brightness x{found.values.brightness:.2f}", *parts, span]
    )


def _called(one: Augmentation, done_as: AugmentAs) -> str:
    """The name, and which form is meant where there are two."""
    return f"{one.name} as {done_as}" if one.differs else one.name


def _twice(found: Effect, preprocess: Preprocess) -> bool:
    """Whether mid-grey arrives as it does after two normalisations, and two are another thing than one."""
    once = _grey(preprocess)
    twice = [(grey - mean) / std for grey, mean, std in zip(once, preprocess.mean, preprocess.std, strict=True)]
    return _close(found.tones.grey, twice) and not _close(once, twice)


def _close(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(abs(a - b) < 0.02 for a, b in zip(one, other, strict=True))


def _grey(preprocess: Preprocess) -> list[float]:
    return [(0.5 - mean) / std for mean, std in zip(preprocess.mean, preprocess.std, strict=True)]


def _twice_said(found: Effect, preprocess: Preprocess) -> str:
    grey, wanted = (", ".join(f"{value:.2f}" for value in three) for three in (found.tones.grey, _grey(preprocess)))
    return (
        f"normalises photos twice: mid-grey reaches the encoder as ({grey}) instead of ({wanted}), and "
        f"{found.values.beyond:.0%} of the values are ones that no photo has."
    )


def _tone(promise: Promise, found: Effect) -> str:
    if found.tones.inverted > _NEGATIVE:
        return (
            f"makes a negative image: {found.tones.inverted:.1%} of the grey levels come out in reverse order, so what "
            "is brighter becomes darker."
        )
    if promise.darker and found.values.brightness >= 1:
        return f"is meant to darken, and the mean brightness becomes {found.values.brightness:.2f} times what it was."
    return ""


def _clipped(found: Effect) -> str:
    if found.tones.clipped <= _CLIPPED:
        return ""
    return f"makes {found.tones.clipped:.0%} of the grey levels black or white: their differences are gone."


def _fill(promise: Promise, found: Effect) -> str:
    if _too_bright(promise):
        return _too_bright(promise)
    fills = found.frame.fills
    if promise.fill is None or not fills or any(abs(promise.fill - one) <= _LEVELS for one in fills):
        return ""
    return f"is said to fill with {_level(promise.fill)} and fills with {' and '.join(map(_level, fills))}."


def _too_bright(promise: Promise) -> str:
    if promise.fill is None or promise.fill <= 255:
        return ""
    return f"asks for a fill of {promise.fill:g}; a pixel ends at 255, so it fills with {_level(255.0)}."


def _level(value: float) -> str:
    return f"{'black' if value < 10 else 'white' if value > 245 else 'grey'} ({value:g})"


def _cut(promise: Promise, found: Effect) -> str:
    if found.frame.lost <= promise.loses + 0.05:
        return ""
    said = f"{promise.loses:.0%} is" if promise.loses else "nothing is"
    return f"cuts off {found.frame.lost:.0%} of a photo, where {said} said."


def _chance(promise: Promise, found: Effect) -> str:
    if found.values.changed == 0:
        return "changes nothing."
    if promise.varies and not found.values.varies:
        return "is drawn once and does the same to every photo of a run; it is said to be drawn for each."
    if promise.probability < 1 and found.values.changed == 1:
        return f"changes every photo; it is said to change {promise.probability:.0%} of them."
    return ""


def _beyond(found: Effect) -> str:
    if found.values.beyond <= _BEYOND:
        return ""
    return (
        f"gives the encoder values that no photo has: {found.values.beyond:.0%} of all, which run from "
        f"{found.values.lowest:.1f} to {found.values.highest:.1f}."
    )
