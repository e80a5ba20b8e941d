"""What a way of learning has to say: which batches come next, and what is lowered on each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from geofix.data.batches import Batches
from geofix.encode import Encoded
from geofix.errors import PhotoError
from geofix.photos import Photo
from geofix.tensors import Descriptors, Loss, PlaceNumbers

Describe = Callable[[Sequence[Photo]], Encoded]
"""Descriptors by the encoder as it is now."""


@dataclass(frozen=True, slots=True)
class Round:
    """The batches up to the next mining, and what the audit found in them: pairs learned as two places that lie
    too near to be two. It must be 0.
    """

    batches: Batches
    false_negatives: int


@runtime_checkable
class Lesson(Protocol):
    """One way of learning. An epoch has `rounds` rounds of about `steps` batches each."""

    rounds: int
    steps: int
    unreadable: list[PhotoError]

    def round(self, number: int, describe: Describe) -> Round:
        """Round `number`, counted through the whole training; the same number gives the same draw."""

    def state(self) -> dict[str, Any]:
        """What the next rounds depend on, for a checkpoint: numbers, lists and dictionaries only."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""


@runtime_checkable
class DescriptorLesson(Lesson, Protocol):
    """A way of learning that looks at descriptors alone and holds no weights."""

    def loss(self, descriptors: Descriptors, places: PlaceNumbers) -> Loss:
        """What is lowered, for the descriptors of one batch."""
