"""Which country, made visible: a sheet for a photo, with the world, the heads, and where in the picture it was seen.

A door to matplotlib.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from importlib.resources import files
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline

from geofix.countries.explain import COVERED, Explanation
from geofix.fixes import Fix
from geofix.geography.codes import name_of
from geofix.geography.features import features
from geofix.models.countries import ALL

_INK, _LAND, _SEA, _BAR, _SURE = "#333333", "#e4e2dc", "#f6f8fa", "#0b6e4f", "#c8553d"
_SHOWN = 5  # countries in the list
_DPI = 110


def country_sheet(fix: Fix, explanation: Explanation | None) -> bytes:
    """A PNG of one answer: the photo, what its first country rests on and the deletion test, the world by probability,
    scenes, and what each head says."""
    figure = Figure(figsize=(12, 7.2), dpi=_DPI, layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=(1.05, 1))
    top, bottom = halves
    pictures = top.subplots(1, 3, width_ratios=(1, 1, 2.1))
    _photo(pictures[0], explanation)
    _heat(pictures[1], explanation)
    _world(pictures[2], fix)
    bars = bottom.subplots(1, 3, width_ratios=(1.5, 1, 2.2))
    _bars(bars[0], _title(fix), {f"{one['name']}": float(one["probability"]) for one in (fix.countries or ())[:_SHOWN]})
    _bars(bars[1], "Scene", fix.scene or {})
    _heads(bars[2], fix)
    return _png(figure)


def world_png(probabilities: Mapping[str, float], title: str) -> bytes:
    """A PNG of the world, each country as dark as it is likely; codes and fractions."""
    figure = Figure(figsize=(9, 4.6), dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    _draw_world(axes, probabilities)
    axes.set_title(title, color=_INK, fontsize=10, loc="left")
    return _png(figure)


def _title(fix: Fix) -> str:
    if fix.routing is None or fix.routing.told:
        return "Country"
    return "Can't tell the country"


def _photo(axes: Axes, explanation: Explanation | None) -> None:
    axes.set_axis_off()
    if explanation is not None:
        axes.imshow(explanation.pixels)
        axes.set_title("As the network sees it", color=_INK, fontsize=10, loc="left")


def _heat(axes: Axes, explanation: Explanation | None) -> None:
    axes.set_axis_off()
    if explanation is None:
        return
    grey = explanation.pixels.mean(axis=2, keepdims=True).repeat(3, axis=2) / 255
    colours = colormaps["inferno"](explanation.heat)[..., :3]
    share = 0.75 * explanation.heat[..., None]
    axes.imshow((1 - share) * (0.4 + 0.6 * grey) + share * colours)
    who = "the network" if explanation.head == ALL else explanation.head
    axes.set_title(f"Where {who} sees {name_of(explanation.country)}", color=_INK, fontsize=10, loc="left")
    test = (
        f"{name_of(explanation.country)} {explanation.whole:.2f}; with the brightest {COVERED:.0%} covered "
        f"{explanation.covered:.2f},\nwith as much elsewhere covered {explanation.elsewhere:.2f}"
    )
    axes.text(0, -0.03, test, transform=axes.transAxes, fontsize=8, color=_INK, va="top")


def _world(axes: Axes, fix: Fix) -> None:
    _draw_world(axes, {str(one["code"]): float(one["probability"]) for one in fix.countries or ()})
    if fix.routing is not None:
        sure = "told" if fix.routing.continent_told else "not sure"
        text = f"{fix.routing.continent} {fix.routing.continent_probability:.2f} ({sure})"
        axes.set_title(text, color=_INK, fontsize=10, loc="left")


def _draw_world(axes: Axes, probabilities: Mapping[str, float]) -> None:
    """Land in grey, countries by the square root of their probability, so that a few percent can be seen."""
    axes.set_xlim(-180, 180)
    axes.set_ylim(-58, 84)
    axes.set_aspect(1.25)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_facecolor(_SEA)
    for spine in axes.spines.values():
        spine.set_visible(False)
    land, borders = _outlines()
    patch = PathPatch(land, facecolor=_LAND, edgecolor="none")
    axes.add_patch(patch)
    shades = colormaps["YlGn"]
    for code, rings in _rings().items():
        if probabilities.get(code, 0.0) < 1e-3:
            continue
        shade = shades(0.12 + 0.88 * np.sqrt(probabilities[code]))
        shapes = PolyCollection(rings, facecolor=shade, edgecolor="none")
        axes.add_collection(shapes)
        # country-coder's polygons reach into the sea; the land's outline cuts them.
        shapes.set_clip_path(patch)
    axes.add_collection(LineCollection(borders, colors="#ffffff", linewidths=0.4))


@functools.cache
def _outlines() -> tuple[Outline, list[np.ndarray]]:
    """All land as one path, and the lines between countries."""
    text = files("geofix.reports").joinpath("vendored/world-atlas/outlines.json").read_text("utf-8")
    kinds = {one["properties"]["kind"]: one["geometry"]["coordinates"] for one in json.loads(text)["features"]}
    land = [Outline(np.array(ring), closed=True) for polygon in kinds.pop("land") for ring in polygon]
    (lines,) = kinds.values()
    return Outline.make_compound_path(*land), [np.array(line) for line in lines]


@functools.cache
def _rings() -> dict[str, list[np.ndarray]]:
    """The outer rings of every country, (k, 2) longitude and latitude."""
    found: dict[str, list[np.ndarray]] = {}
    for feature in features():
        if feature.code:
            found.setdefault(feature.code, []).extend(np.array(polygon[0]) for polygon in feature.polygons)
    return found


def _bars(axes: Axes, title: str, values: Mapping[str, float]) -> None:
    if not values:
        axes.set_axis_off()
        return
    axes.set_title(title, color=_INK, fontsize=10, loc="left")
    _plain(axes)
    names = list(values)
    axes.barh(names, list(values.values()), color=_BAR, height=0.6)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    for row, value in enumerate(values.values()):
        axes.text(min(value + 0.02, 0.9), row, f"{value:.2f}", va="center", fontsize=8, color=_INK)


def _heads(axes: Axes, fix: Fix) -> None:
    """What each head says, and what it counts."""
    axes.set_axis_off()
    if fix.routing is None:
        return
    axes.set_title("What each head says, and counts", color=_INK, fontsize=10, loc="left")
    for row, (name, said) in enumerate(fix.routing.heads.items()):
        chosen = name == fix.routing.head
        text = ", ".join(f"{name_of(code)} {value:.2f}" for code, value in said)
        weight = fix.routing.weights[name]
        axes.text(
            0,
            0.92 - 0.14 * row,
            f"{name} ({weight:.2f}): {text}",
            fontsize=9,
            color=_SURE if chosen else _INK,
            transform=axes.transAxes,
        )
    if fix.reason:
        axes.text(0, 0.02, fix.reason, fontsize=8, color=_INK, transform=axes.transAxes, wrap=True)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_INK, labelsize=8)


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()
