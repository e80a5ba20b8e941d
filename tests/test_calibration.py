"""Calibration: the local quantile against a naive loop, and its promise kept on made-up photos."""

import itertools
import math

import numpy as np
import pytest

from geofix.atlas.calibration import COVERAGE, FEWEST, Calibration, calibrate, local_radii
from geofix.errors import AtlasError


def photos(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Evidence and errors with a known law: the better the evidence, the smaller the error."""
    rng = np.random.default_rng(seed)
    share = rng.uniform(0, 1, count)
    lead = share + rng.normal(0, 0.1, count)
    distance = 1 - share + rng.normal(0, 0.1, count)
    right = rng.random(count) < 1 / (1 + np.exp(-8 * (share - 0.5)))
    near_m, far_m = rng.rayleigh(6.0, count).clip(max=25), 25 + rng.exponential(300.0, count)
    return np.stack([share, lead, distance], axis=1), np.where(right, near_m, far_m)


def learned(count: int = 1000, seed: int = 0) -> Calibration:
    made = calibrate(*photos(count, seed), "made-up photos")
    assert made is not None
    return made


def naive_radii(confidences: np.ndarray, errors_m: np.ndarray) -> list[tuple[float, float]]:
    """The split-conformal quantile at each of 21 evenly spread windows, without the monotone step."""
    pairs = sorted(zip(confidences.tolist(), errors_m.tolist(), strict=True), key=lambda pair: pair[0])
    window = min(len(pairs), max(40, len(pairs) // 8))
    rank = math.ceil(0.9 * (window + 1))
    found = []
    for start in sorted({int(i * (len(pairs) - window) / 20) for i in range(21)}):
        part = pairs[start : start + window]
        ordered = sorted(error for _, error in part)
        found.append((sum(c for c, _ in part) / window, ordered[min(rank, window) - 1]))
    return found


def pooled(values: list[float]) -> list[float]:
    """The falling sequence nearest to `values`: neighbours that rise are replaced by their mean, until none does."""
    blocks = [[value, 1] for value in values]
    at = 0
    while at < len(blocks) - 1:
        if blocks[at][0] < blocks[at + 1][0]:
            (a, n), (b, m) = blocks[at], blocks[at + 1]
            blocks[at : at + 2] = [[(a * n + b * m) / (n + m), n + m]]
            at = max(at - 1, 0)
        else:
            at += 1
    return [value for value, count in blocks for _ in range(int(count))]


def test_a_radius_widened_by_the_errors_of_the_truth_itself() -> None:
    """Two independent errors that are normal in either direction add up in squares, and so do their 90 % circles."""
    rng = np.random.default_rng(0)
    ours, maps = rng.normal(0, 3.0, (400_000, 2)), rng.normal(0, 4.0, (400_000, 2))
    radii = [float(np.quantile(np.hypot(*error.T), 0.9)) for error in (ours, maps, ours + maps)]
    before = learned()
    after = Calibration.from_dict({**before.to_dict(), "radius_m": [radii[0]] * len(before.knots)}).widened(radii[1])
    assert after.radius_m == pytest.approx([radii[2]] * len(before.knots), rel=0.01)
    assert before.widened(0.0) == before


@pytest.mark.parametrize("count", [40, 41, 200, 333, 1000])
def test_local_radii_against_a_naive_loop(count: int) -> None:
    rng = np.random.default_rng(count)
    confidences, errors_m = rng.random(count), rng.exponential(50, count)
    knots, radii_m = local_radii(confidences, errors_m)
    expected = naive_radii(confidences, errors_m)
    np.testing.assert_allclose(knots, [knot for knot, _ in expected], rtol=1e-9)
    np.testing.assert_allclose(radii_m, pooled([radius for _, radius in expected]), rtol=1e-9)


def test_the_radius_falls_with_confidence() -> None:
    made = learned()
    radii_m = [made.radius(confidence) for confidence in np.linspace(0, 1, 200)]
    assert all(later <= earlier for earlier, later in itertools.pairwise(radii_m))
    assert radii_m[0] > 5 * radii_m[-1]


def test_confidence_grows_with_the_evidence() -> None:
    made = learned()
    steps = np.linspace(0, 1, 20)
    confidences = [made.confidence((share, share, 1 - share)) for share in steps]
    assert all(later > earlier for earlier, later in itertools.pairwise(confidences))
    assert confidences[0] < 0.1
    assert confidences[-1] > 0.9


@pytest.mark.parametrize("seed", range(4))
def test_nine_in_ten_held_out_photos_lie_within_the_radius(seed: int) -> None:
    made = learned(1000, seed)
    evidence, errors_m = photos(4000, 1000 + seed)
    confidences = np.array([made.confidence(tuple(row)) for row in evidence.tolist()])
    radii_m = np.array([made.radius(confidence) for confidence in confidences])
    held = errors_m <= radii_m
    assert 0.85 <= held.mean() <= 0.95
    for low, high in ((0.0, 0.3), (0.3, 0.7), (0.7, 1.0)):  # and not only on the whole
        part = held[(confidences >= low) & (confidences <= high)]
        assert part.mean() > COVERAGE - 0.08, (low, high, part.mean())


@pytest.mark.parametrize("seed", range(4))
def test_confidence_is_the_share_of_right_answers(seed: int) -> None:
    made = learned(1000, seed)
    evidence, errors_m = photos(4000, 2000 + seed)
    confidences = np.array([made.confidence(tuple(row)) for row in evidence.tolist()])
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        part = (confidences >= low) & (confidences < low + 0.2)
        assert (errors_m[part] <= 25).mean() == pytest.approx(confidences[part].mean(), abs=0.1)


def test_nothing_is_learned_from_too_few() -> None:
    assert calibrate(*photos(FEWEST - 1, 0), "few") is None
    assert calibrate(*photos(FEWEST, 0), "enough") is not None


@pytest.mark.parametrize("error_m", [1.0, 400.0])
def test_nothing_is_learned_where_all_or_none_are_right(error_m: float) -> None:
    evidence, _ = photos(100, 0)
    assert calibrate(evidence, np.full(100, error_m), "all alike") is None


def strangers(count: int, seed: int) -> np.ndarray:
    """Evidence of photos whose place is not in the atlas: weak, and farther away than any other."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.uniform(0.1, 0.7, count), rng.normal(0.05, 0.05, count), rng.normal(1.3, 0.1, count)], axis=1)


def test_strangers_lower_the_confidence_of_evidence_like_theirs_and_of_no_other() -> None:
    evidence, errors_m = photos(1000, 0)
    known = calibrate(evidence, errors_m, "made up")
    taught = calibrate(evidence, errors_m, "made up", strangers=strangers(1000, 1))
    assert known is not None and taught is not None
    like_theirs = (0.6, 0.05, 1.3)
    assert taught.confidence(like_theirs) < 0.5 * known.confidence(like_theirs)
    assert taught.confidence((0.95, 0.95, 0.05)) > 0.9
    assert taught.right == known.right
    assert taught.sample == known.sample


def test_strangers_count_as_one_in_ten_however_many_there_are() -> None:
    evidence, errors_m = photos(1000, 0)
    few, many = (calibrate(evidence, errors_m, "made up", strangers=strangers(n, 1)) for n in (300, 3000))
    assert few is not None and many is not None
    for share in (0.2, 0.5, 0.8):
        at = (share, share, 1 - share)
        assert few.confidence(at) == pytest.approx(many.confidence(at), abs=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_confidence_is_the_share_of_right_answers_where_one_in_ten_is_a_stranger(seed: int) -> None:
    made = calibrate(*photos(1000, seed), "made up", strangers=strangers(500, seed))
    assert made is not None
    evidence, errors_m = photos(3600, 500 + seed)
    asked = np.concatenate([evidence, strangers(400, 700 + seed)])
    right = np.concatenate([errors_m <= 25, np.zeros(400, dtype=bool)])
    confidences = np.array([made.confidence(tuple(row)) for row in asked.tolist()])
    for low in (0.0, 0.25, 0.5, 0.75):
        part = (confidences >= low) & (confidences < low + 0.25)
        assert right[part].mean() == pytest.approx(confidences[part].mean(), abs=0.12)


def test_all_right_is_enough_where_strangers_show_what_wrong_looks_like() -> None:
    evidence, _ = photos(100, 0)
    assert calibrate(evidence, np.full(100, 3.0), "all right", strangers=strangers(100, 1)) is not None
    assert calibrate(evidence, np.full(100, 900.0), "all wrong", strangers=strangers(100, 1)) is None


def test_evidence_that_never_varies_is_borne() -> None:
    evidence, errors_m = photos(200, 0)
    evidence[:, 1] = 1.0
    made = calibrate(evidence, errors_m, "one feature constant")
    assert made is not None
    assert 0 < made.confidence((0.5, 1.0, 0.5)) < 1


def test_far_off_evidence_stays_a_probability() -> None:
    made = learned()
    assert 0 <= made.confidence((-1e9, -1e9, 1e9)) < 1e-6
    assert 1 - 1e-6 < made.confidence((1e9, 1e9, -1e9)) <= 1


def test_round_trip_and_repeatability() -> None:
    made = learned()
    assert Calibration.from_dict(made.to_dict()) == made == learned()
    assert (made.sample, made.source) == (1000, "made-up photos")


@pytest.mark.parametrize(
    "damage",
    [
        {"weights": None},
        {"weights": [1.0]},
        {"knots": []},
        {"knots": [0.5], "radius_m": [1.0, 2.0]},
        {"bias": "much"},
        {"scale": ["a", "b", "c"]},
        {"radius_m": [float("nan")] * 21},
    ],
)
def test_a_damaged_calibration_is_refused_with_advice(damage: dict[str, object]) -> None:
    with pytest.raises(AtlasError, match=r"calibration .* is damaged .*run `geofix index` again"):
        Calibration.from_dict({**learned().to_dict(), **damage})


def test_a_calibration_without_a_field_is_refused() -> None:
    fields = learned().to_dict()
    del fields["centre"]
    with pytest.raises(AtlasError, match="centre"):
        Calibration.from_dict(fields)
