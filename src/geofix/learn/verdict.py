"""Was it worth it? Both encoders, untrained and trained, on every part of the data, and what to say about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from geofix.data.places import Dataset
from geofix.evaluate import Scores, compare, evaluate
from geofix.learn.course import Course, improved
from geofix.learn.learner import Progress
from geofix.models.runs import Run

LARGEST_LOOK = 20_000  # photos of the learned part that are looked at once more, to show how much was learned by heart

Pair = tuple[Scores, Scores]
"""The scores of the untrained and of the trained encoder on one split."""


def before_and_after(
    untrained: Run, run: Run, dataset: Dataset, progress: Progress | None, only: Sequence[str] | None = None
) -> dict[str, Pair]:
    """Both encoders on what was learned from, on the block and on val, so that overfitting is seen; or on `only`."""
    found: dict[str, Pair] = {}
    for name, split in dataset.splits.items():
        if only is not None and name not in only:
            continue
        if not split.gallery or not split.queries or (name == "train" and len(split.photos) > LARGEST_LOOK):
            continue

        def scored(one: Run, when: str, split: str = name) -> Scores:
            tell = (lambda done, total: progress(f"{split}, {when}", done, total)) if progress else None
            return evaluate(one, dataset, split=split, progress=tell)

        found[name] = (scored(untrained, "untrained"), scored(run, "trained"))
    return found


def scores_json(course: Course, chosen_on: str, measured_on: str | None, scores: dict[str, Pair]) -> dict[str, Any]:
    """scores.json: the trained encoder where it was measured all along, and under `training` all the rest.

    `chosen_on` is where its weights were chosen, or "last"; `measured_on` is None where there was nothing to measure
    on, and counts for nothing where it was not compared on.
    """
    table = {
        name: {
            "untrained": _short(before),
            "trained": _short(after),
            "difference": {
                str(n): {"points": value, "ci95": [low, high], "p": p}
                for n, (value, low, high, p) in compare(before, after).differences.items()
            },
        }
        for name, (before, after) in scores.items()
    }
    training = {
        "best_epoch": course.best_epoch,
        "epochs": int(course.history[-1]["epoch"] or 0),
        "stopped": course.stopped or "all epochs done",
        "chosen_on": chosen_on,
        "splits": table,
    }
    return {**(scores[measured_on][1].to_dict() if measured_on in scores else {}), "training": training}


def _short(scores: Scores) -> dict[str, Any]:
    return {
        "recall": {str(n): value for n, value in scores.recall.items()},
        "recall_ci95": {str(n): list(value) for n, value in scores.recall_ci95.items()},
        "queries": scores.queries,
        "groups": len(set(scores.clusters)),
    }


def verdict(course: Course, measured_on: str | None, scores: dict[str, Pair]) -> list[str]:
    """Whether it was worth it, said plainly."""
    if measured_on is None:
        return ["There is no split val to measure on; whether it was worth it is for `geofix evaluate` to say."]
    told = []
    if not improved(course.history, course.best_epoch):
        told.append(
            f"Training did not help: on the {measured_on} no epoch has a better R@5 than the untrained encoder. The "
            f"weights kept are those of epoch {course.best_epoch}; the untrained run (--epochs 0) is at least as good."
        )
    if "train" in scores and measured_on in scores:
        gained = scores["train"][1].recall[1] - scores["train"][0].recall[1]
        elsewhere = scores[measured_on][1].recall[1] - scores[measured_on][0].recall[1]
        if gained > 0.02 and elsewhere < gained / 4:
            told.append(
                f"It learned photos by heart: R@1 changed by {100 * gained:+.1f} points on the photos it learned from "
                f"and by {100 * elsewhere:+.1f} on the {measured_on}."
            )
    return told
