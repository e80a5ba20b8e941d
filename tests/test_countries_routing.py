"""Routing between heads, against loops (parity case 7 of the country specification)."""

from __future__ import annotations

import numpy as np
import pytest

from geofix.countries.calibrate import summed_by_continent
from geofix.countries.routing import hard, in_order, one_hot, scene_weights, soft, softmax

CLASSES = ("BR", "DE", "FR", "US")
CITY = (("BR", "FR", "US"), np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]))
COAST = (("DE", "US"), np.array([[0.9, 0.1], [0.4, 0.6]]))
SAYS = {"city": CITY, "coast": COAST}


def test_softmax_against_a_loop() -> None:
    logits = np.array([[1.0, -2.0, 800.0], [0.0, 0.0, 0.0]])
    for temperature in (0.5, 1.0, 3.0):
        for row, found in zip(logits, softmax(logits, temperature), strict=True):
            powers = [np.exp((value - row.max()) / temperature) for value in row]
            assert found == pytest.approx([power / sum(powers) for power in powers])


def test_soft_routing_against_a_loop() -> None:
    weights = np.array([[0.25, 0.75], [0.6, 0.4]])
    found = soft(CLASSES, SAYS, weights)
    for photo in range(2):
        for column, country in enumerate(CLASSES):
            total = 0.0
            for number, (names, values) in enumerate((CITY, COAST)):
                if country in names:
                    total += weights[photo, number] * values[photo, names.index(country)]
            assert found[photo, column] == pytest.approx(total)
    assert found.sum(axis=1) == pytest.approx([1.0, 1.0])


def test_one_hot_scenes_make_soft_hard_bit_for_bit() -> None:
    weights = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert np.array_equal(soft(CLASSES, SAYS, weights), hard(CLASSES, SAYS, weights))
    assert np.array_equal(hard(CLASSES, SAYS, weights)[0], in_order(COAST, CLASSES)[0])


def test_uniform_scenes_and_identical_heads_give_the_head() -> None:
    same = {"a": CITY, "b": CITY, "c": CITY, "d": CITY}
    even = np.full((2, 4), 0.25)
    assert np.array_equal(soft(CITY[0], same, even), CITY[1])


def test_a_country_that_a_head_cannot_say_has_zero_there() -> None:
    spread = in_order(COAST, CLASSES)
    assert spread[:, [0, 2]].tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert not np.isnan(spread).any()


def test_hard_routing_takes_the_likeliest_scene_and_of_several_the_first() -> None:
    assert one_hot(np.array([[0.2, 0.8], [0.5, 0.5]])).tolist() == [[0.0, 1.0], [1.0, 0.0]]
    found = hard(CLASSES, SAYS, np.array([[0.49, 0.51], [0.5, 0.5]]))
    assert np.array_equal(found[0], in_order(COAST, CLASSES)[0])
    assert np.array_equal(found[1], in_order(CITY, CLASSES)[1])


def test_a_scene_without_a_head_leaves_its_share_to_the_others() -> None:
    scenes = ("city", "coast", "nature")
    probabilities = np.array([[0.2, 0.6, 0.2], [0.0, 0.0, 1.0]])
    weights = scene_weights(scenes, probabilities, ["city", "coast"])
    assert weights == pytest.approx(np.array([[0.25, 0.75], [0.5, 0.5]]))


def test_continents_add_up() -> None:
    names, summed = summed_by_continent(CLASSES, np.array([[0.1, 0.2, 0.3, 0.4]]))
    assert names == ("Europe", "North America", "South America")
    assert summed == pytest.approx(np.array([[0.5, 0.4, 0.1]]))
