"""Learning curves, recall against a factor, and what a confidence is worth, as pictures. The one door to matplotlib."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from io import BytesIO, StringIO

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from geofix.class_scores import ClassScores
from geofix.sweeps import Sweep

_INK, _LOSS, _FIRST, _FIFTH = "#333333", "#8a8a8a", "#0b6e4f", "#c8553d"


def learning_curves(metrics_csv: str, *, measured_on: str, best_epoch: int | None = None) -> bytes:
    """A PNG of metrics.csv: loss on the left, recall in percent on the right, a point an epoch, 0 the untrained.

    A thin line marks the epoch whose weights were chosen.
    """
    rows = list(csv.DictReader(StringIO(metrics_csv)))
    epochs = [int(row["epoch"]) for row in rows]
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    losses = [(epoch, float(row["loss"])) for epoch, row in zip(epochs, rows, strict=True) if row["loss"]]
    left.plot([epoch for epoch, _ in losses], [loss for _, loss in losses], color=_LOSS, marker="o", markersize=3)
    left.set_title("Loss", color=_INK, fontsize=10, loc="left")
    for name, colour in (("recall@5", _FIFTH), ("recall@1", _FIRST)):
        measured = [(epoch, 100 * float(row[name])) for epoch, row in zip(epochs, rows, strict=True) if row[name]]
        if not measured:  # there was nothing to measure on
            continue
        right.plot(*zip(*measured, strict=True), color=colour, marker="o", markersize=3)
        right.annotate(
            f" {name.replace('recall', 'R')} {measured[-1][1]:.1f}",
            measured[-1],
            color=colour,
            fontsize=9,
            va="center",
        )
    right.set_title(f"Recall on the {measured_on}, percent", color=_INK, fontsize=10, loc="left")
    last = max(1, *epochs)
    right.set_xlim(-0.03 * last, 1.22 * last)  # room for the names of the curves
    left.set_xlim(-0.03 * last, 1.03 * last)
    if best_epoch:
        right.axvline(best_epoch, color=_INK, linewidth=0.6, linestyle=":")
    for axes in (left, right):
        _plain(axes, "epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
    return _png(figure)


def loss_curves(metrics_csv: str) -> bytes:
    """A PNG of metrics.csv of a training by steps: each kind of loss in a panel of its own, a curve a domain."""
    rows = list(csv.DictReader(StringIO(metrics_csv)))
    terms = [name for name in rows[0] if name not in ("step", "seconds", "total")]
    kinds = list(dict.fromkeys(name.rsplit("_", 1)[0] for name in terms))
    across = 4
    figure = Figure(figsize=(10, 2.2 * -(-len(kinds) // across)), layout="constrained")
    panels = figure.subplots(-(-len(kinds) // across), across, squeeze=False).ravel()
    steps = [float(row["step"]) for row in rows]
    for axes, kind in zip(panels, kinds, strict=False):
        for name, colour in ((f"{kind}_day", _FIFTH), (f"{kind}_night", _FIRST)):
            values = [float(row[name]) for row in rows]
            axes.plot(steps, values, color=colour, linewidth=1)
            axes.annotate(f" {name.rsplit('_', 1)[1]}", (steps[-1], values[-1]), color=colour, fontsize=8, va="center")
        axes.set_title(kind.replace("_", " "), color=_INK, fontsize=10, loc="left")
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, 1.2 * steps[-1])
        _plain(axes, "step")
    for axes in panels[len(kinds) :]:
        axes.set_axis_off()
    return _png(figure)


def class_curves(metrics_csv: str) -> bytes:
    """A PNG of metrics.csv of networks of classes: loss on the left, photos held out that are named rightly on the
    right, a curve a network; a dotted line marks where the trunks begin to learn (figures 2 and 3 of Lavinskyi and
    Skurat 2025)."""
    rows = list(csv.DictReader(StringIO(metrics_csv)))
    names = list(dict.fromkeys(row["network"] for row in rows))
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, colour in zip(names, colormaps["viridis"](np.linspace(0.1, 0.8, len(names))), strict=True):
        own = [row for row in rows if row["network"] == name]
        epochs = [int(row["epoch"]) for row in own]
        left.plot(epochs, [float(row["loss"]) for row in own], color=colour, marker="o", markersize=2.5, linewidth=1)
        named = [(epoch, 100 * float(row["held_top1"])) for epoch, row in zip(epochs, own, strict=True)]
        named = [(epoch, percent) for epoch, percent in named if percent == percent]  # NaN: nothing was held out
        if named:
            right.plot(*zip(*named, strict=True), color=colour, marker="o", markersize=2.5, linewidth=1)
            right.annotate(f" {name} {named[-1][1]:.0f}", named[-1], color=colour, fontsize=8, va="center")
        opened = [epoch for epoch, row in zip(epochs, own, strict=True) if row["phase"] == "2"]
        if opened and opened[0] > epochs[0]:
            for axes in (left, right):
                axes.axvline(opened[0] - 0.5, color=_INK, linewidth=0.6, linestyle=":")
    last = max(int(row["epoch"]) for row in rows)
    left.set_title("Loss", color=_INK, fontsize=10, loc="left")
    right.set_title("Photos held out named rightly, percent", color=_INK, fontsize=10, loc="left")
    left.set_xlim(1 - 0.03 * last, 1.03 * last)
    right.set_xlim(1 - 0.03 * last, 1.3 * last)  # room for the names of the curves
    for axes in (left, right):
        _plain(axes, "epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
    return _png(figure)


def sweep_curves(sweep: Sweep, title: str) -> bytes:
    """A PNG of recall in percent against the factor, one curve for each N, with its 95 % intervals as bands."""
    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    axes = figure.subplots()
    values = [point.value for point in sweep.points]
    for n, colour in zip(list(sweep.points[0].recall)[:2], (_FIRST, _FIFTH), strict=False):
        percent = [100 * point.recall[n] for point in sweep.points]
        low, high = ([100 * point.recall_ci95[n][end] for point in sweep.points] for end in (0, 1))
        axes.fill_between(values, low, high, color=colour, alpha=0.14, linewidth=0)
        axes.plot(values, percent, color=colour, marker="o", markersize=3)
        axes.annotate(f" R@{n} {percent[-1]:.1f}", (values[-1], percent[-1]), color=colour, fontsize=9, va="center")
    spread = values[-1] - values[0]
    axes.set_xlim(values[0] - 0.03 * spread, values[-1] + 0.22 * spread)  # room for the names of the curves
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.set_ylim(0, 102)
    axes.set_title(title, color=_INK, fontsize=10, loc="left")
    _plain(axes, sweep.factor)
    return _png(figure)


def confidence_curves(scores: Mapping[str, ClassScores]) -> bytes:
    """A PNG of what confidences are worth, a colour an entry of `scores`: on the left the reliability diagram, in which
    a dot of each bin is the larger the more answers it has and honest confidences lie on the dotted line; on the right
    how many answers are wrong if only the surest are given (risk against coverage), both in percent."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([0, 100], [0, 100], color=_INK, linewidth=0.8, linestyle=":")
    for number, ((name, one), colour) in enumerate(zip(scores.items(), (_FIRST, _FIFTH, _LOSS), strict=False)):
        bins = one.reliability.bins
        sure, right_of = ([100 * getattr(part, kind) for part in bins] for kind in ("confidence", "accuracy"))
        left.plot(sure, right_of, color=colour, linewidth=1)
        sizes = [4 + 120 * part.count / one.queries for part in bins]
        left.scatter(sure, right_of, s=sizes, color=colour, alpha=0.6, linewidths=0, clip_on=False)
        left.text(
            3,
            96 - 8 * number,
            f"{name}: calibration error {100 * one.reliability.error:.1f}",
            color=colour,
            fontsize=8,
            va="top",
        )
        curve = one.risk_coverage
        right.plot(100 * curve.coverages, 100 * curve.risks, color=colour, linewidth=1.2)
        right.text(3, 96 - 8 * number, f"{name}: area under risk {curve.area:.3f}", color=colour, fontsize=8, va="top")
    left.set_title("Answers that are right, percent", color=_INK, fontsize=10, loc="left")
    right.set_title("Answers given that are wrong, percent", color=_INK, fontsize=10, loc="left")
    for axes, across in ((left, "confidence, percent"), (right, "answers given, surest first, percent")):
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 100)
        _plain(axes, across)
    return _png(figure)


def grid_picture(reached: Mapping[str, tuple[float, float, float]], untrained: float, title: str) -> bytes:
    """A PNG with a line for each cell of a grid: recall and the ends of its interval (fractions), best on top; a
    dotted line marks the untrained encoder."""
    order = sorted(reached, key=lambda name: reached[name][0])
    figure = Figure(figsize=(7, 0.9 + 0.28 * len(order)), layout="constrained")
    axes = figure.subplots()
    for row, name in enumerate(order):
        value, low, high = (100 * part for part in reached[name])
        axes.plot([low, high], [row, row], color=_FIRST, linewidth=1.4, alpha=0.45)
        axes.plot([value], [row], color=_FIRST, marker="o", markersize=4)
    axes.axvline(100 * untrained, color=_INK, linewidth=0.7, linestyle=":")
    axes.set_yticks(range(len(order)), order)
    axes.set_title(title, color=_INK, fontsize=10, loc="left")
    _plain(axes, "dotted: untrained")
    axes.grid(axis="y", visible=False)
    return _png(figure)


def _plain(axes: Axes, across: str) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(across, color=_INK, fontsize=9)
    axes.tick_params(colors=_INK, labelsize=8)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.6)


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()
