"""The simple night: what each part of it does, on made-up pictures, and pictures that are none."""

import numpy as np
import pytest
import torch

from geofix.errors import UsageError
from geofix.night import simple
from geofix.night.simple import SimpleNight, simple_night, simple_nights

# Nothing by chance: the same light for every photo, no lamps, no lit windows, no noise.
PLAIN = SimpleNight(exposure_spread_ev=0.0, lamps=0, lit_share=0.0, white_electrons=1e9, read_noise=0.0)


def flat(red: int, green: int, blue: int, rows: int = 40, columns: int = 50) -> np.ndarray:
    return np.tile(np.array([red, green, blue], np.uint8), (rows, columns, 1))


def street(rows: int = 120, columns: int = 160) -> np.ndarray:
    """A blue sky over a house with windows over a street, with a little grain."""
    pixels = flat(150, 190, 240, rows, columns)
    pixels[rows // 3 :] = (140, 130, 115)
    pixels[2 * rows // 3 :] = (110, 110, 110)
    for left in range(10, columns - 20, 30):
        pixels[rows // 2 - 8 : rows // 2 + 8, left : left + 12] = (40, 40, 45)
    grain = np.random.default_rng(0).integers(-6, 7, pixels.shape)
    return np.clip(pixels + grain, 0, 255).astype(np.uint8)


def brightness(pixels: np.ndarray) -> float:
    return float(pixels.mean())


def windows(pixels: np.ndarray) -> np.ndarray:
    rows = len(pixels) // 2
    return np.stack([pixels[rows - 6 : rows + 6, left + 2 : left + 10] for left in range(10, 140, 30)])


def test_the_same_photo_and_seed_give_the_same_picture() -> None:
    pixels, before = street(), street()
    first = simple_night(pixels, SimpleNight(), 3)
    assert first.shape == pixels.shape and first.dtype == np.uint8
    np.testing.assert_array_equal(first, simple_night(pixels, SimpleNight(), 3))
    np.testing.assert_array_equal(pixels, before)
    assert not np.array_equal(first, simple_night(pixels, SimpleNight(), 4))


def test_a_street_by_night() -> None:
    day = street()
    nights = [simple_night(day, SimpleNight(), seed) for seed in range(10)]
    assert brightness(np.stack(nights)) < 0.4 * brightness(day)
    for night in nights:
        assert brightness(night[:20]) < 40  # the sky
        assert (night.min(2) > 150).any()  # lamps
        assert 10 < brightness(night[60:]) < 110  # the place is still there


def test_a_batch_is_its_photos_one_by_one() -> None:
    photos = torch.from_numpy(np.stack([street(60, 80), flat(200, 20, 90, 60, 80)])).permute(0, 3, 1, 2)
    state = torch.get_rng_state()
    made = simple_nights(photos, SimpleNight(), 7)
    assert torch.equal(torch.get_rng_state(), state)
    assert made.shape == photos.shape and made.dtype == torch.uint8
    for number in range(2):
        expected = simple_night(photos[number].permute(1, 2, 0).numpy(), SimpleNight(), 7 + number)
        np.testing.assert_array_equal(made[number].permute(1, 2, 0).numpy(), expected)
    assert simple_nights(photos[:0], SimpleNight(), 7).shape == (0, 3, 60, 80)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3), (17, 400), (64, 64)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_pictures_that_are_none(size: tuple[int, int], level: int) -> None:
    made = simple_night(flat(level, level, level, *size), SimpleNight(), 0)
    assert made.shape == (*size, 3) and made.dtype == np.uint8


def test_black_stays_black_without_lamps() -> None:
    assert not simple_night(flat(0, 0, 0), PLAIN, 0).any()


def test_what_is_brighter_by_day_is_brighter_by_night() -> None:
    greys = [simple_night(flat(level, level, level), PLAIN, 0)[20, 25].astype(int) for level in range(0, 256, 5)]
    assert (np.diff(greys, axis=0) >= 0).all()
    ramp = np.tile(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], (40, 1, 3))
    ramp[:5] = 0  # or the bright end is sky
    made = simple_night(ramp, PLAIN, 0)[20].astype(int)
    assert (np.diff(made, axis=0) >= 0).all() and made[-1].min() > made[0].max() + 10


def test_colours_keep_their_order() -> None:
    pixels = flat(200, 60, 40)
    pixels[:, 25:] = (60, 40, 200)
    made = simple_night(pixels, PLAIN, 0).astype(int)
    assert made[20, 5, 0] > made[20, 5, 2] and made[20, 45, 2] > made[20, 45, 0]


def test_exposure_is_in_stops_of_linear_light() -> None:
    def linear(night: SimpleNight) -> float:
        level = simple_night(flat(255, 255, 255), night, 0).astype(float).mean() / 255
        shown = ((level + 0.055) / 1.055) ** 2.4
        return float(-np.log1p(-shown))  # before the shoulder

    dark, light = (
        SimpleNight(exposure_ev, 0.0, lamps=0, white_electrons=1e9, bloom=0.0) for exposure_ev in (-3.0, -2.0)
    )
    assert linear(light) == pytest.approx(2 * linear(dark), rel=0.02)
    assert linear(light) == pytest.approx(0.25, rel=0.05)


def test_the_exposure_spreads_from_photo_to_photo() -> None:
    night = SimpleNight(exposure_ev=-3.0, exposure_spread_ev=0.5, lamps=0)
    levels = {round(brightness(simple_night(flat(200, 200, 200), night, seed))) for seed in range(5)}
    assert len(levels) > 3


def test_the_sky_loses_more_than_the_ground() -> None:
    day = street()
    kept = [simple_night(day, SimpleNight(sky_ev=stops, lamps=0), 0).astype(float) for stops in (0.0, -3.0)]
    assert kept[1][:30].mean() < 0.5 * kept[0][:30].mean()
    np.testing.assert_allclose(kept[1][80:], kept[0][80:], atol=3)


def test_what_is_sky() -> None:
    day = street()
    found = simple._sky(day, simple._grey(day))
    assert found[:36].mean() > 0.95 and not found[45:].any()
    upside_down = day[::-1].copy()
    assert not simple._sky(upside_down, simple._grey(upside_down)).any()
    for colour in ((250, 200, 120), (90, 90, 90)):  # a warm bright wall, a dull one
        wall = street()
        wall[:40] = colour
        assert not simple._sky(wall, simple._grey(wall)).any()


def test_lamps_are_warm_glows_in_the_lower_two_thirds() -> None:
    black = flat(0, 0, 0, 120, 160)
    for seed in range(20):
        lamps = simple._Lamps.drawn(SimpleNight(), np.random.default_rng(seed))
        assert (lamps.rows > 1 / 3).all() and (lamps.rows < 2 / 3).all()
        made = simple_night(black, SimpleNight(white_electrons=1e9, read_noise=0.0), seed).astype(int)
        red, _, blue = made.sum((0, 1))
        assert red > 1.2 * blue
    more = [simple_night(black, SimpleNight(lamps=count), 0) for count in (0, 2, 20)]
    assert brightness(more[0]) < brightness(more[1]) < brightness(more[2])


def test_light_of_a_lamp_is_that_of_one_over_a_plane() -> None:
    lamps = simple._Lamps(np.array([0.5]), np.array([0.5]), np.array([1.0]), np.array([[1.0, 0.5, 0.25]]), 2.0)
    light = lamps.on_surfaces((20, 30))
    for row, column in ((3, 4), (14, 15), (19, 29)):
        down, along = row + 0.5 - (0.5 + 0.4 * 0.4) * 20, column + 0.5 - 15
        reach = 0.4 * 20
        expected = 2.0 * (1 + (down**2 + along**2) / reach**2) ** -1.5
        np.testing.assert_allclose(light[row, column], expected * np.array([1, 0.5, 0.25]), rtol=1e-5)


def test_lamps_light_what_is_around_them() -> None:
    wall = flat(150, 150, 150, 100, 150)
    dark, lit = (simple_night(wall, SimpleNight(exposure_ev=-8.0, lamps=count), 1) for count in (0, 6))
    assert brightness(lit) > brightness(dark) + 15


def test_lit_windows() -> None:
    day = street()
    shares = []
    for share in (0.0, 0.5, 1.0):
        nights = [simple_night(day, SimpleNight(lit_share=share, lamps=0), seed) for seed in range(8)]
        shares.append(np.mean([windows(night).max(3).mean((1, 2)) > 40 for night in nights]))
    assert shares[0] == 0 and 0.2 < shares[1] < 0.8 and shares[2] > 0.9
    lit = windows(simple_night(day, SimpleNight(lit_share=1.0, lamps=0), 0)).astype(float)
    assert lit[..., 0].mean() > lit[..., 2].mean()


def test_what_is_no_window() -> None:
    rng = np.random.default_rng(0)
    leaves = (rng.random((90, 120, 1)) * np.array([90, 100, 80])).astype(np.uint8)
    for picture in (leaves, flat(120, 120, 120), street()[:45], street()[75:]):
        found = simple._windows(
            picture, simple._grey(picture), np.zeros(picture.shape[:2], np.float32), SimpleNight(lit_share=1.0), rng
        )
        assert not found.any()


def test_temperatures() -> None:
    np.testing.assert_allclose(simple._colour(6500.0), [1, 1, 1], rtol=1e-6)
    warm, cool = simple._colour(2700.0), simple._colour(10000.0)
    assert warm[0] > warm[1] > warm[2] and cool[0] < cool[1] < cool[2]
    for colour in (warm, cool):
        assert float(0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2]) == pytest.approx(1, rel=1e-5)


def test_less_light_has_less_colour() -> None:
    red = np.float32([[[1.0, 0.2, 0.1]]])
    colours = []
    for light in (1.0, 0.1, 0.01, 0.0001):
        made = simple._coloured(light * red, -4.0)[0, 0]
        colours.append(float((made.max() - made.min()) / made.max()))
    assert sorted(colours, reverse=True) == colours
    assert colours[0] > 0.8 and colours[-1] < 0.1
    half = simple._coloured(np.full((1, 1, 3), 0.2 * 2.0**-4, np.float32) * red, -4.0)  # about the light of half colour
    assert 0.4 < float(np.ptp(half) / half.max()) < 0.9
    assert not simple._coloured(np.zeros((2, 2, 3), np.float32), -4.0).any()


def test_bloom_is_two_gaussians() -> None:
    scene = np.zeros((121, 161, 3), np.float32)
    scene[60, 80] = (100.0, 50.0, 10.0)
    found = simple._scattered(scene, 0.4)
    rows, columns = np.mgrid[-60:61, -80:81]
    expected = np.where((rows == 0) & (columns == 0), 0.6, 0.0)
    for share, spread in ((0.2, 0.012 * 121), (0.2, 0.07 * 121)):
        bell = np.exp(-(rows**2 + columns**2) / (2 * spread**2))
        expected += share * bell / (2 * np.pi * spread**2)
    np.testing.assert_allclose(found[..., 0], 100 * expected, rtol=1e-3, atol=0.003)
    np.testing.assert_allclose(found.sum((0, 1)), [100, 50, 10], rtol=1e-3)
    np.testing.assert_allclose(simple._scattered(scene, 0.0), scene, atol=1e-4)


@pytest.mark.parametrize("level", [0.0, 0.01, 0.5])
def test_noise(level: float) -> None:
    night = SimpleNight(white_electrons=500.0, read_noise=3.0)
    made = simple._noisy(np.full((80, 80, 3), level, np.float32), night, np.random.default_rng(0))
    assert float(made.mean()) == pytest.approx(level, abs=0.001)
    assert float(made.std()) == pytest.approx((level / 500 + (3 / 500) ** 2) ** 0.5, rel=0.03)


def test_levels() -> None:
    scene = np.array([-1.0, 0.0, 0.001, 0.01, 0.1, 1.0, 50.0])
    found = simple._levels(np.tile(scene[None, :, None], (1, 1, 3)).astype(np.float32))[0, :, 0]
    expected = []
    for light in scene:
        shown = 1 - np.exp(-max(light, 0))
        expected.append(round(255 * (12.92 * shown if shown <= 0.0031308 else 1.055 * shown ** (1 / 2.4) - 0.055)))
    np.testing.assert_array_equal(found, expected)
    assert found[-1] == 255


@pytest.mark.parametrize(
    "setting",
    [
        {"exposure_ev": 1.0},
        {"sky_ev": 0.5},
        {"exposure_spread_ev": -0.1},
        {"colour_temperature_k": 100.0},
        {"lamps": -1},
        {"lit_share": 1.5},
        {"bloom": -0.1},
        {"white_electrons": 0.0},
        {"read_noise": float("nan")},
    ],
)
def test_values_that_no_night_has(setting: dict[str, float]) -> None:
    (name,) = setting
    with pytest.raises(UsageError, match=f"{name} is .*expected"):
        SimpleNight(**setting)
