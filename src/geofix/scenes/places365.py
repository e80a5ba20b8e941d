"""The 365 classes of Places365, its leaves, each under one of four scenes or indoors; decided in places365.csv.

Zhou et al., Places: A 10 million image database for scene recognition, 2017. docs/scenes.md says what the scenes mean.
"""

from __future__ import annotations

import csv
import difflib
import functools
import operator
from dataclasses import dataclass
from importlib.resources import files
from typing import SupportsIndex

import numpy as np

from geofix.errors import DataError, UsageError
from geofix.shapes import GroupProbabilities, LeafProbabilities, Membership

SCENES = ("city", "nature", "coast", "industrial")
"""Those of Lavinskyi and Skurat, in the order of their Table 2."""
INDOOR = "indoor"
STATES = (*SCENES, INDOOR)
"""What a photo can show: a scene, or no place in the open."""
LEAVES = 365

_FILE = "places365.csv"
_SUM_TOLERANCE = 0.01  # half precision is off by up to 0.001


@dataclass(frozen=True, slots=True)
class Leaf:
    """A class of Places365: its official index and name, the state it is put under and why.

    `open_to` is the other state that a reasonable person would choose; None where there is hardly a doubt.
    """

    index: int
    name: str
    scene: str
    open_to: str | None
    reason: str

    def __post_init__(self) -> None:
        known = self.scene in STATES and self.open_to in (None, *STATES) and self.scene != self.open_to
        if not (known and self.reason):
            raise DataError(
                f"Leaf {self.index}, {self.name}, has scene {self.scene!r}, open {self.open_to or ''!r} and reason "
                f"{self.reason!r}; two different ones of {', '.join(STATES)} are expected, the second may be empty, "
                "and a few words."
            )


@functools.cache
def leaves() -> tuple[Leaf, ...]:
    """All leaves in their official order: the leaf of output i of a Places365 network is the i-th."""
    lines = files("geofix.scenes").joinpath(_FILE).read_text("utf-8").splitlines()
    return tuple(
        Leaf(int(row["index"]), row["leaf"], row["scene"], row["open"] or None, row["reason"])
        for row in csv.DictReader(lines)
    )


def leaf(index_or_name: SupportsIndex | str) -> Leaf:
    """A leaf by official index or name (apartment_building/outdoor). Raises UsageError that names the nearest."""
    if isinstance(index_or_name, str):
        return _leaf_named(index_or_name)
    index = operator.index(index_or_name)
    if not 0 <= index < LEAVES:
        raise UsageError(f"There is no Places365 class number {index}; 0 to {LEAVES - 1} are expected.")
    return leaves()[index]


def scene_of(index_or_name: SupportsIndex | str) -> str:
    """One of STATES, of a leaf by index or name. Raises UsageError that names the nearest."""
    return leaf(index_or_name).scene


def scene_probabilities(probabilities: LeafProbabilities, fold_indoor: bool) -> GroupProbabilities:
    """How likely each scene is: (n, 365) leaf probabilities summed up, (n, 5) in the order of STATES.

    With `fold_indoor` what is indoors counts as city, (n, 4) in the order of SCENES. Rows sum to what they summed to
    before, 1. Raises DataError where they do not.
    """
    sums = probabilities.sum(axis=1, dtype=np.float64)
    if len(sums) and (probabilities.min() < 0 or not np.allclose(sums, 1, rtol=0, atol=_SUM_TOLERANCE)):
        wrong = sums[np.abs(sums - 1).argmax()]
        raise DataError(
            f"Leaf probabilities have {probabilities.min():g} as their least and a row that sums to {wrong:g}; none "
            "below 0 and sums of 1 are expected: take the softmax of the scores first."
        )
    return group_probabilities(probabilities, _membership(fold_indoor))


def group_probabilities(probabilities: LeafProbabilities, membership: Membership) -> GroupProbabilities:
    """P H: (n, groups) of (n, 365), with `membership` (365, groups) of weights of 0 or more, in double precision.

    Each row of the membership is divided by its sum, so that a leaf under two groups gives half to each, and
    probabilities go on to sum to 1; so did Müller-Budack et al., Geolocation estimation of photos using a hierarchical
    model and scene classification, 2018. Raises DataError for a leaf that is under no group.
    """
    sums = membership.sum(axis=1, keepdims=True, dtype=np.float64)
    if membership.min() < 0 or not sums.all():
        nowhere = [leaves()[index].name for index in np.flatnonzero((sums[:, 0] == 0) | (membership.min(axis=1) < 0))]
        raise DataError(
            f"{nowhere[0]} belongs to no group, or less than nothing of it does; every leaf needs one weight above 0 "
            "and none below."
        )
    grouped: GroupProbabilities = probabilities.astype(np.float64) @ (membership / sums)
    return grouped


@functools.cache
def _membership(fold_indoor: bool) -> Membership:
    """(365, 4 or 5), a single 1 in each row."""
    columns = [
        SCENES.index("city") if one.scene == INDOOR and fold_indoor else STATES.index(one.scene) for one in leaves()
    ]
    return np.eye(len(SCENES) if fold_indoor else len(STATES))[columns]


def _leaf_named(name: str) -> Leaf:
    by_name = {one.name: one for one in leaves()}
    if name not in by_name:
        longer = [known for known in by_name if known.startswith(f"{name}/")]
        nearest = (longer or difflib.get_close_matches(name, by_name, n=1, cutoff=0.0))[0]
        raise UsageError(
            f"There is no Places365 class {name!r}; did you mean {nearest!r}? docs/scenes.md says where all are listed."
        )
    return by_name[name]
