"""explain: a photo and what was said of it -> where in the picture the answer came from, and whether that holds.

The map of class activation says where the head that counts most saw its country. The deletion test asks again with
the most active part of the picture covered, and with other parts of the same size covered: an explanation that holds
costs the answer more than they do.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from geofix.countries.look import Networks
from geofix.countries.routing import softmax
from geofix.fixes import Fix
from geofix.models.classifier import activation
from geofix.models.countries import CountryRun
from geofix.photos import read_pixels
from geofix.shapes import Heat, Pixels
from geofix.transforms import normalised, stacked, views

COVERED = 0.2  # of the picture
_ELSEWHERE = 8  # other parts of that size, over which the control is averaged


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """Of one photo: the head and country that are explained, the picture as the network saw it, the activation of each
    place of it (rows x columns, 0..1), and the head's probability of the country whole, with the most active fifth
    covered, and with other fifths covered (mean).
    """

    head: str
    country: str
    pixels: Pixels
    heat: Heat
    whole: float
    covered: float
    elsewhere: float


def explain(path: Path, fix: Fix, run: CountryRun) -> Explanation | None:
    """What a Fix's first country rests on; None where there is no answer to explain, or the photo was not read.

    Raises UsageError for a backbone without maps.
    """
    if fix.error is not None or fix.routing is None or not fix.countries:
        return None
    head = next(one for one in run.knows.heads if one.name == fix.routing.head)
    country = str(fix.countries[0]["code"])
    if country not in head.classes:  # the answer of other heads
        country = fix.routing.heads[head.name][0][0]
    number = head.classes.index(country)
    network = run.model.network(head.name)
    size = network.preprocess.size
    pixels = views(read_pixels(path, target=size, exactly=True), size)[0]
    maps = activation(network, normalised(stacked([pixels]), network.preprocess), number)[0].numpy()
    speaks = _enlarged(maps, size)
    heat = np.maximum(speaks, 0) / max(float(speaks.max()), 1e-12)
    masks = [np.zeros(size, dtype=bool), _hottest(speaks), *_others(speaks)]
    pictures = [_covered(pixels, mask) for mask in masks]
    logits = Networks([network])(stacked(pictures))
    asked = softmax(logits, head.temperature)[:, number]
    return Explanation(head.name, country, pixels, heat, float(asked[0]), float(asked[1]), float(asked[2:].mean()))


def _enlarged(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """To the picture's size."""
    cells = torch.from_numpy(maps)[None, None].float()
    return np.asarray(torch.nn.functional.interpolate(cells, size, mode="bilinear", align_corners=False)[0, 0].numpy())


def _hottest(speaks: np.ndarray) -> np.ndarray:
    """The pixels that speak most for the class, COVERED of all."""
    mask = np.zeros(speaks.size, dtype=bool)
    mask[np.argsort(-speaks, axis=None, kind="stable")[: round(COVERED * speaks.size)]] = True
    return mask.reshape(speaks.shape)


def _others(speaks: np.ndarray) -> list[np.ndarray]:
    """Parts as large that are not the most active one: that one's shape moved around the picture, edges joined.

    The shape matters: a blot in one piece hides more than scattered pixels do.
    """
    hot = _hottest(speaks)
    rows, columns = speaks.shape
    rng = np.random.default_rng(0)
    moved = [
        np.roll(hot, (int(rng.integers(rows)), int(rng.integers(columns))), axis=(0, 1)) for _ in range(4 * _ELSEWHERE)
    ]
    # Those that share least with it.
    return sorted(moved, key=lambda mask: int((mask & hot).sum()))[:_ELSEWHERE]


def _covered(pixels: Pixels, mask: np.ndarray) -> Pixels:
    """The masked part in the mean colour of the rest."""
    if not mask.any():
        return pixels
    out = pixels.copy()
    out[mask] = pixels[~mask].mean(axis=0).round().astype(np.uint8)
    return out
