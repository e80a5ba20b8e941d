"""The range check: each known fault is caught, honest augmentations pass, and what is measured is what is there."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from geofix import recipes
from geofix.augment.claims import contradictions, findings, surprises
from geofix.augment.effects import Effect, effect
from geofix.augment.papers import AUGMENTATIONS, Augmentation, Form, Promise
from geofix.augment.steps import Adjust, CentreCrop, Erase, Jitter, NormaliseAgain, Perspective, Setting, Solarize, Step
from geofix.recipes import AugmentAs, Recipe
from geofix.transforms import Preprocess
from toy_places import blobs

PREPROCESS = Preprocess((48, 64), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SETTING = Setting(0, PREPROCESS)
TWICE = (
    r"normalises photos twice: mid-grey reaches the encoder as \(-1.83, -1.16, 0.05\) instead of \(0.07, 0.20, 0.42\)"
)
TOO_BRIGHT = r"asks for a fill of 300; a pixel ends at 255, so it fills with white \(255\)"
FAULTS: dict[tuple[str, AugmentAs], list[str]] = {
    ("night", "coded"): [r"makes a negative image: 99\.6% of the grey levels come out in reverse order"],
    ("perspective-fill", "coded"): [r"is said to fill with white \(255\) and fills with black \(1\)"],
    ("perspective-crop", "coded"): [r"changes every photo; it is said to change 70% of them"],
    ("martin-colour-6", "coded"): [r"is drawn once and does the same to every photo of a run"],
    ("martin-perspective-3", "described"): [TOO_BRIGHT],
    ("martin-perspective-6", "described"): [TOO_BRIGHT],
    **{(f"martin-perspective-{number}", "coded"): [TWICE] for number in (1, 2, 4, 5)},
    **{(f"martin-perspective-{number}", "coded"): [TWICE, TOO_BRIGHT] for number in (3, 6)},
}
FORMS: list[tuple[str, AugmentAs]] = [
    (name, done_as)
    for name, one in AUGMENTATIONS.items()
    for done_as in (("described", "coded") if one.differs else ("described",))
]


def found(*steps: Step, on_normalised: tuple[Step, ...] = (), photos: torch.Tensor | None = None) -> Effect:
    return effect(Form(steps, on_normalised), SETTING, photos)


def said(promise: Promise, *steps: Step, on_normalised: tuple[Step, ...] = ()) -> list[str]:
    form = Form(steps, on_normalised)
    return contradictions(
        Augmentation("it", "here", promise, form, form), "described", effect(form, SETTING), PREPROCESS
    )


# -- every form in the registry -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "done_as"), FORMS, ids=[" ".join(form) for form in FORMS])
def test_known_faults_are_caught_and_honest_ones_pass(name: str, done_as: AugmentAs) -> None:
    recipe = recipes.with_settings(Recipe(), [f"augment=[{name}]", f"augment_as={done_as}"])
    wrong = surprises(recipe, PREPROCESS)
    expected = FAULTS.get((name, done_as), [])
    assert len(wrong) == len(expected), wrong
    called = f"{name} as {done_as} " if AUGMENTATIONS[name].differs else f"{name} "
    for sentence, pattern in zip(wrong, expected, strict=True):
        assert sentence.startswith(called)
        assert re.search(pattern, sentence), sentence


def test_findings_on_photos_in_both_forms() -> None:
    photos = torch.from_numpy(np.stack([blobs(n) for n in range(2)])).permute(0, 3, 1, 2)
    recipe = recipes.with_settings(Recipe(), ["augment=[occlusion, night]"])
    both = findings(recipe, PREPROCESS, photos, ("described", "coded"))
    assert [one.facts.split(" (")[0] for one in both] == ["night as described", "night as coded", "occlusion"]
    assert [len(one.warnings) for one in both] == [0, 1, 0]
    assert "74% of the grey levels in reverse order" in both[0].facts
    assert "atadjanov IV-B 3, Table III" in both[2].facts
    assert [len(one.warnings) for one in findings(recipe, PREPROCESS)] == [0, 0]


def test_the_simple_night_darkens_and_does_nothing_else_worth_a_word() -> None:
    photos = torch.from_numpy(np.stack([blobs(n) for n in range(2)])).permute(0, 3, 1, 2)
    recipe = recipes.with_settings(Recipe(), ["augment=[simple-night]"])
    [finding] = findings(recipe, PREPROCESS, photos, ("described", "coded"))
    assert finding.warnings == ()
    assert finding.facts.startswith("simple-night (geofix's own, of no paper): mean brightness x0.")


def test_slow_forms_are_measured_on_less_and_alike() -> None:
    steps = (Solarize(63.75), Adjust((0.55, 0.55)))
    quick, slow = (effect(Form(steps, slow=slow), SETTING) for slow in (False, True))
    assert slow.tones.inverted == pytest.approx(quick.tones.inverted, abs=0.03)
    assert slow.tones.grey == quick.tones.grey and slow.frame == quick.frame
    assert slow.values.brightness == pytest.approx(quick.values.brightness)


def test_chance_is_left_as_it_was() -> None:
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = found(Perspective(0.5, 0.7), Erase(0.3))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert found(Perspective(0.5, 0.7), Erase(0.3)) == first


# -- faults nobody has made yet -----------------------------------------------------------------------------------


def test_a_night_that_brightens() -> None:
    assert (
        "is meant to darken, and the mean brightness becomes 1."
        in said(Promise(varies=False, darker=True), Adjust((1.3, 1.3)))[0]
    )
    assert said(Promise(varies=False, darker=True), Adjust((0.9, 0.9))) == []


def test_brightness_beyond_the_range() -> None:
    assert "makes 75% of the grey levels black or white" in said(Promise(varies=False), Adjust((4.0, 4.0)))[0]


def test_a_crop_that_is_not_said() -> None:
    crop = CentreCrop(0.625, 0.625)
    assert "cuts off 61% of a photo, where nothing is said" in said(Promise(varies=False), crop)[0]
    assert "cuts off 61% of a photo, where 10% is said" in said(Promise(varies=False, loses=0.1), crop)[0]
    assert said(Promise(varies=False, loses=0.61), crop) == []


def test_values_no_photo_has() -> None:
    told = said(Promise(), on_normalised=(Erase(1.0, value=20.0),))
    assert "gives the encoder values that no photo has" in told[0] and "20.0" in told[0]


def test_nothing_at_all() -> None:
    assert said(Promise()) == ["it changes nothing."]


def test_two_names_are_told_apart_from_one() -> None:
    one = AUGMENTATIONS["night"]
    same = replace(one, described=one.coded)
    told = contradictions(same, "described", effect(same.described, SETTING), PREPROCESS)
    assert told[0].startswith("night makes a negative")


# -- what is measured ---------------------------------------------------------------------------------------------


def test_nothing_is_nothing() -> None:
    one = found()
    assert one.tones.inverted == one.frame.covered == one.frame.lost == one.values.changed == one.values.beyond == 0
    assert one.values.brightness == pytest.approx(1)
    assert one.tones.grey == pytest.approx(
        [(0.5 - m) / s for m, s in zip(PREPROCESS.mean, PREPROCESS.std, strict=True)]
    )
    assert one.values.lowest == pytest.approx(min(-m / s for m, s in zip(PREPROCESS.mean, PREPROCESS.std, strict=True)))
    assert one.values.highest == pytest.approx(
        max((1 - m) / s for m, s in zip(PREPROCESS.mean, PREPROCESS.std, strict=True))
    )
    assert not one.values.varies


@pytest.mark.parametrize("threshold", [0.25, 63.75, 200.0, 256.0])
def test_levels_in_reverse_order_are_counted(threshold: float) -> None:
    curve = [255 - level if level >= threshold else level for level in range(256)]
    turned = sum(curve[level + 8] < curve[level] for level in range(248)) / 248
    step = Solarize(threshold) if threshold <= 255 else Adjust()
    assert found(step).tones.inverted == pytest.approx(turned)


@pytest.mark.parametrize("factor", [0.5, 1.5, 4.0])
def test_clipped_levels_are_counted(factor: float) -> None:
    clipped = sum(int(level * factor) in {0} or level * factor >= 255 for level in range(1, 255)) / 254
    assert found(Adjust((factor, factor))).tones.clipped == pytest.approx(clipped, abs=0.005)


def test_the_frame_and_what_is_left_of_the_photo() -> None:
    crop = found(CentreCrop(0.625, 0.625))
    assert crop.frame.lost == pytest.approx(1 - 0.625**2, abs=1e-6)
    assert crop.frame.covered == 0 and crop.frame.fills == ()
    blot = found(Erase(1.0, (0.2, 0.2), (1.0, 1.0), 0.0))
    assert blot.frame.covered == pytest.approx(0.2, abs=0.02)
    assert blot.frame.fills == (0.0,)
    both = found(Perspective(0.5, 1.0, 150.0), Erase(1.0, (0.1, 0.1)))
    assert set(both.frame.fills) == {0.0, 150.0}
    assert found(Perspective(0.5, 1.0, 150.0)).frame.lost < 0.1


def test_brightness_is_that_of_the_photos_where_there_are_any() -> None:
    dark = torch.full((2, 3, 20, 30), 40, dtype=torch.uint8)
    assert found(Solarize(0.25), photos=dark).values.brightness == pytest.approx(215 / 40, rel=0.01)
    assert found(Solarize(0.25)).values.brightness == pytest.approx(1, abs=0.01)


def test_shares_of_draws() -> None:
    assert found(Erase(0.3)).values.changed == pytest.approx(0.3, abs=0.1)
    assert found(Erase(0.3)).values.varies
    jitter = found(Jitter((0.4, 0.4), (0.4, 0.4), (0.4, 0.4)))
    assert jitter.values.varies and jitter.values.changed > 0.95


def test_twice_normalised_values() -> None:
    one = found(on_normalised=(NormaliseAgain(),))
    assert one.tones.grey == pytest.approx((-1.83, -1.16, 0.05), abs=0.005)
    low = [(-m / s - m) / s for m, s in zip(PREPROCESS.mean, PREPROCESS.std, strict=True)]
    assert one.values.lowest == pytest.approx(min(low), abs=0.01)
    levels = np.arange(256) / 255
    outside = []
    for m, s in zip(PREPROCESS.mean, PREPROCESS.std, strict=True):
        again = (levels - m) / s
        outside.append(np.mean((again < 0) | (again > 1)))
    assert one.values.beyond == pytest.approx(np.mean(outside), abs=0.01)


def test_a_normalisation_that_changes_nothing_may_come_twice() -> None:
    plain = Preprocess((48, 64), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    night = AUGMENTATIONS["night"]
    assert contradictions(night, "described", effect(night.described, Setting(0, plain)), plain) == []
    coded = AUGMENTATIONS["martin-perspective-1"]
    assert contradictions(coded, "coded", effect(coded.coded, Setting(0, plain)), plain) == []
