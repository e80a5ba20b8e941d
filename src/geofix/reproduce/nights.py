"""Nights made of the data that rows learn from: what Table II of atadjanov learns from, and is tested on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

from geofix import papers
from geofix.data.nights import RECORD
from geofix.data.places import Dataset, Split
from geofix.errors import DataError, UsageError

_NIGHT = "night"


@dataclass(frozen=True, slots=True)
class Nights:
    """A dataset translated to night by `geofix data night`: by which `model`, for people, and a hash of all that made
    it what it is."""

    dataset: Dataset
    model: str
    made_by: str

    @classmethod
    def of(cls, dataset: Dataset) -> Nights:
        """Raises UsageError for a dataset that is not of nights alone."""
        path = dataset.root / RECORD
        try:
            record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            model, merged = str(record["model"]), bool(record["merge"])
            how = json.dumps([record["fingerprint"], record["seed"]])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{path} does not say what nights these are ({type(error).__name__}); --nights takes a folder that "
                "`geofix data night` made of the data."
            ) from error
        if merged:
            raise UsageError(
                f"{dataset.root} was made with --merge and holds days and nights; --nights takes nights alone, they "
                "are put beside the days here."
            )
        return cls(dataset, model, hashlib.sha256(how.encode()).hexdigest()[:8])

    def learned(self, day: Dataset) -> dict[str, Dataset]:
        """What rows learn from: of the data by day, with nights in the place of the photos of train, or beside them.
        The other splits stay: weights are chosen by day."""
        if "train" not in day.splits:
            return {}
        if "train" not in self.dataset.splits:
            raise DataError(
                f"{self.dataset.root} has no split train (it has {', '.join(self.dataset.splits)}); translate the "
                "whole of the data."
            )
        one, other = day.splits["train"], by_day(self.dataset.splits["train"])
        both = replace(one, gallery=one.gallery + other.gallery, queries=one.queries + other.queries)
        return {
            papers.AT_NIGHT: replace(day, splits={**day.splits, "train": other}),
            papers.DAY_AND_NIGHT: replace(day, splits={**day.splits, "train": both}),
        }

    def tested(self, data: str, split: Split) -> dict[str, tuple[Dataset, str]]:
        """The queries by day of a split as nights, asked of the same gallery; nothing where they were not translated.

        They carry no condition, so that nobody takes them for nights.
        """
        if split.name not in self.dataset.splits or split.leave_one_out:
            return {}
        queries = by_day(self.dataset.splits[split.name]).queries
        synthetic = replace(split, queries=tuple(replace(photo, condition=None) for photo in queries))
        found = replace(self.dataset, splits={split.name: synthetic}, problems=())
        return {f"{data}_synthetic_nights": (found, split.name)} if queries else {}


def by_day(split: Split) -> Split:
    """The split without what was photographed at night, where its photos say so."""
    return split.only(lambda photo: _NIGHT not in (photo.condition or ""))
