"""Learning curves as a picture. The one door to matplotlib."""

from __future__ import annotations

import csv
from io import BytesIO, StringIO

from matplotlib.figure import Figure

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
        percent = [100 * float(row[name]) for row in rows]
        right.plot(epochs, percent, color=colour, marker="o", markersize=3)
        right.annotate(
            f" {name.replace('recall', 'R')} {percent[-1]:.1f}",
            (epochs[-1], percent[-1]),
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
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel("epoch", color=_INK, fontsize=9)
        axes.tick_params(colors=_INK, labelsize=8)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(axis="y", color="#e6e6e6", linewidth=0.6)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()
