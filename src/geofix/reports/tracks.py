"""A track drawn on its map. A door to matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from geofix.data.maps.aerial_map import AerialMap
from geofix.data.maps.source import Window
from geofix.fixes import Fix
from geofix.positions import latlons, project, utm_zones
from geofix.reports.exports import unbroken
from geofix.shapes import PlanePoints

_INK, _TRACK, _ALONE = "#333333", "#c8553d", "#f2c14e"
_SIZE_PX, _DPI = 1400, 120
_MARGIN = 0.1  # of the longer side of what is shown, around the track
_LEAST_M = 200.0  # that a picture shows


def track_png(fixes: Sequence[Fix], alone: Sequence[Fix], aerial: AerialMap | None) -> bytes:
    """A PNG: the smoothed track as a line, its circles of 90 %, and as points what each frame alone gave.

    Under it lies the map, if there is one; metres east and north of the picture's corner are beside it.
    """
    known = [fix.position for fix in (*fixes, *alone) if fix.position is not None]
    figure = Figure(figsize=(8, 8), dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    if known:
        places = latlons(known)
        zone, north = (aerial.zone, aerial.north) if aerial else (int(utm_zones(places[:1])[0]), places[0, 0] >= 0)
        _draw(axes, fixes, alone, aerial, zone, bool(north))
    else:
        axes.text(0.5, 0.5, "no frame was located", ha="center", color=_INK)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()


def _draw(
    axes: Axes, fixes: Sequence[Fix], alone: Sequence[Fix], aerial: AerialMap | None, zone: int, north: bool
) -> None:
    smoothed = _points(fixes, zone, north)
    # What single frames gave may lie anywhere on the map; the picture is of the track.
    framed = smoothed if len(smoothed) else _points(alone, zone, north)
    middle = (framed.min(axis=0) + framed.max(axis=0)) / 2
    side_m = max(_LEAST_M, float(np.ptp(framed, axis=0).max()) * (1 + 2 * _MARGIN))
    corner = middle - side_m / 2
    if aerial is not None:
        pixels = aerial.read(Window(float(middle[0]), float(middle[1]), side_m, _SIZE_PX))
        if pixels is not None:
            axes.imshow(pixels, extent=(0, side_m, 0, side_m), alpha=0.75)
    for part in unbroken(fixes):
        line = project(latlons(part), zone, north) - corner
        axes.plot(line[:, 0], line[:, 1], color=_TRACK, linewidth=2, label="track")
    scattered = _points(alone, zone, north) - corner
    axes.scatter(scattered[:, 0], scattered[:, 1], s=14, color=_ALONE, edgecolors=_INK, linewidths=0.5, zorder=3)
    for point, fix in zip(smoothed - corner, (fix for fix in fixes if fix.position is not None), strict=True):
        axes.add_patch(Circle((point[0], point[1]), fix.radius_m or 0.0, fill=False, color=_TRACK, lw=0.5, alpha=0.6))
    axes.set(xlim=(0, side_m), ylim=(0, side_m), xlabel="metres east", ylabel="metres north", aspect="equal")
    lost = sum(fix.position is None for fix in fixes)
    axes.set_title(
        f"{len(fixes)} frames: line and circles (9 times in 10) of all together, points of each alone"
        + (f"; {lost} not located" if lost else ""),
        color=_INK,
        fontsize=9,
        loc="left",
    )


def _points(fixes: Sequence[Fix], zone: int, north: bool) -> PlanePoints:
    return project(latlons([fix.position for fix in fixes if fix.position is not None]), zone, north)
