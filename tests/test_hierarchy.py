"""The hierarchy f*: products along ancestors, against a loop."""

import numpy as np
import pytest

from geofix.errors import DataError
from geofix.geography.hierarchy import through_ancestors

COARSE = np.array([[0.7, 0.3], [0.4, 0.6]])
MIDDLE = np.array([[0.2, 0.3, 0.5], [0.1, 0.8, 0.1]])
FINE = np.array([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]])
OF_MIDDLE, OF_FINE = np.array([0, 0, 1]), np.array([2, 0, 1, 2])


def test_products_against_a_loop() -> None:
    found = through_ancestors([COARSE, MIDDLE, FINE], [OF_MIDDLE, OF_FINE])
    for row in range(2):
        for fine in range(4):
            middle = OF_FINE[fine]
            expected = COARSE[row, OF_MIDDLE[middle]] * MIDDLE[row, middle] * FINE[row, fine]
            assert found[row, fine] == pytest.approx(expected, rel=1e-12)
    assert found.argmax(axis=1).tolist() == [2, 2]  # where the finest level alone says 3 and 0
    assert FINE.argmax(axis=1).tolist() == [3, 0]


def test_one_partition_is_its_own_argmax() -> None:
    assert np.array_equal(through_ancestors([FINE], []), FINE)


@pytest.mark.parametrize(
    ("levels", "parents"),
    [([], []), ([COARSE, MIDDLE], []), ([COARSE, MIDDLE], [OF_FINE]), ([COARSE, MIDDLE], [OF_MIDDLE + 1]),
     ([COARSE, MIDDLE[:1]], [OF_MIDDLE])],
)  # fmt: skip
def test_what_does_not_fit_is_refused(levels: list[np.ndarray], parents: list[np.ndarray]) -> None:
    with pytest.raises(DataError, match="are expected"):
        through_ancestors(levels, parents)
