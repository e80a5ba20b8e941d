"""Conditions: what is refused and how, and what night, fog and noise do to a frame."""

import numpy as np
import pytest

from geofix.errors import UsageError
from geofix.world.conditions import DAY, NIGHT, Conditions
from geofix.world.difficulty import DIFFICULTIES, difficulty
from geofix.world.renderer.frame import Camera, Frame
from geofix.world.renderer.light import Lamplight, developed
from geofix.world.styles import MIXED


def grey_frame(glow: int = 0, depth_m: float = 10) -> Frame:
    frame = Frame(Camera(0.0, 0.0, width=32, height=24))
    frame.colours[..., :3] = 128
    frame.colours[..., 3] = glow
    frame.depth_m[:] = depth_m
    return frame


def develop(frame: Frame, conditions: Conditions, seed: int = 0) -> np.ndarray:
    return developed(frame, Lamplight.none(frame), MIXED, conditions, np.random.default_rng(seed)).astype(float)


def test_settings_become_conditions_and_the_later_one_holds() -> None:
    assert Conditions().with_settings([]) == Conditions()
    found = Conditions().with_settings(["night=0.25", " fog = 1", "jpeg_quality=40", "night=0.5"])
    assert found == Conditions(night=0.5, fog=1.0, jpeg_quality=40)


def test_an_unknown_name_is_met_with_the_nearest_known_one() -> None:
    with pytest.raises(UsageError, match="no condition 'nigth'; did you mean 'night'"):
        Conditions().with_settings(["nigth=1"])
    with pytest.raises(UsageError, match="did you mean 'jpeg_quality'"):
        Conditions().with_settings(["quality=3"])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("night", "'night' has no value; NAME=VALUE is expected, as in night=0.5"),
        ("night=dark", "has the value 'dark'; a number is expected"),
        ("jpeg_quality=8.5", "has the value '8.5'; a whole number is expected"),
        ("night=1.5", "night is 1.5; a number from 0 to 1 is expected, as in night=0.5"),
        ("fog=-0.1", "fog is -0.1; a number from 0 to 1"),
        ("noise=nan", "noise is nan; a number from 0 to 1"),
        ("jpeg_quality=0", "jpeg_quality is 0; a whole number from 1 to 100"),
    ],
)
def test_what_makes_no_sense_is_refused(setting: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Conditions().with_settings([setting])


def test_night_darkens_and_turns_blue_while_what_glows_stays_bright_and_warm() -> None:
    day, night = develop(grey_frame(), Conditions()), develop(grey_frame(), Conditions(night=1.0))
    lit = develop(grey_frame(glow=255), Conditions(night=1.0))
    assert night.mean() < 0.35 * day.mean()
    assert night[..., 2].mean() > 1.5 * night[..., 0].mean()
    assert lit.mean() > 3 * night.mean()
    assert lit[..., 0].mean() > lit[..., 2].mean()


def test_windows_are_not_lit_by_day() -> None:
    assert np.array_equal(develop(grey_frame(glow=255), Conditions()), develop(grey_frame(), Conditions()))


def test_dusk_lies_between_day_and_night() -> None:
    day, dusk, night = (develop(grey_frame(), Conditions(night=n)).mean() for n in (0.0, 0.5, 1.0))
    assert night < dusk < day


def test_fog_takes_contrast_with_distance() -> None:
    frame = grey_frame()
    frame.colours[:, :16, :3] = 20
    near = develop(frame, Conditions(fog=0.7))
    frame.depth_m[:] = 80
    far = develop(frame, Conditions(fog=0.7))
    clear = develop(frame, Conditions())
    contrasts = [image[:, 16:].mean() - image[:, :16].mean() for image in (far, near, clear)]
    assert contrasts[0] < 0.3 * contrasts[1]
    assert contrasts[0] < 0.1 * contrasts[2]


def test_noise_has_the_stated_strength_and_depends_on_the_seed_only() -> None:
    spread = develop(grey_frame(), Conditions(noise=0.5)).std(axis=(0, 1)).mean()
    assert spread == pytest.approx(255 * 0.11 * 0.5, rel=0.1)
    one, two, other = (develop(grey_frame(), Conditions(noise=0.5), seed) for seed in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_lamplight_falls_on_surfaces_only_in_the_dark() -> None:
    frame = grey_frame()
    lamps = Lamplight(np.ones_like(frame.shade), np.zeros_like(frame.shade))
    rng = np.random.default_rng
    lit = developed(frame, lamps, MIXED, Conditions(night=1.0), rng(0)).mean()
    assert lit > 2 * developed(frame, Lamplight.none(frame), MIXED, Conditions(night=1.0), rng(0)).mean()
    assert developed(frame, lamps, MIXED, Conditions(), rng(0)).mean() == develop(frame, Conditions()).mean()


def test_the_usual_day_and_night_differ_only_in_darkness_and_noise() -> None:
    assert (DAY.night, NIGHT.night) == (0, 1)
    assert (DAY.occlusion, DAY.fog) == (NIGHT.occlusion, NIGHT.fog)


def test_settings_change_the_conditions_they_are_asked_of() -> None:
    assert DAY.with_settings(["fog=0.5"]) == Conditions(noise=0.1, occlusion=0.35, fog=0.5)


def test_a_sweep_names_one_condition_at_each_value_and_leaves_the_others() -> None:
    found = DAY.swept("night=0, 0.25,1")
    assert list(found) == ["night=0", "night=0.25", "night=1"]
    assert found["night=0.25"] == Conditions(night=0.25, noise=0.1, occlusion=0.35)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("night", "'night=' has the value ''; a number is expected"),
        ("night=1", "has 1 different values in 1; at least two different ones are expected, as in night=0,0.5,1"),
        ("night=0.5,0.50", "has 1 different values in 2"),
        ("nigth=0,1", "did you mean 'night'"),
        ("fog=0,2", "fog is 2.0; a number from 0 to 1"),
    ],
)
def test_a_sweep_that_is_none_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        DAY.swept(text)


def test_dusk_is_warmer_than_day_and_than_night() -> None:
    warmth = [
        develop(grey_frame(), Conditions(night=night)).mean(axis=(0, 1)) @ [1, 0, -1] for night in (0.0, 0.5, 1.0)
    ]
    assert warmth[1] > warmth[0] + 5
    assert warmth[1] > warmth[2] + 5


def test_the_presets_of_difficulty_grow_harder() -> None:
    easy, street, hard = DIFFICULTIES.values()
    for one, other in ((easy, street), (street, hard)):
        assert one.away_m < other.away_m
        assert one.turn_deg < other.turn_deg
        assert one.day.occlusion < other.day.occlusion
        assert one.hfov_deg[1] - one.hfov_deg[0] < other.hfov_deg[1] - other.hfov_deg[0]
        assert one.night.night == 1 and one.day.night == 0
    with pytest.raises(UsageError, match="no difficulty 'heard'; did you mean 'hard'"):
        difficulty("heard")
