"""Domains: photos by day and photos at night, unpaired, out of any dataset that says which are which."""

from __future__ import annotations

from dataclasses import dataclass

from geofix.data.places import Dataset
from geofix.errors import DataError
from geofix.photos import Photo

DAY, NIGHT = "day", "night"


@dataclass(frozen=True, slots=True)
class Domains:
    """Photos of both domains, in the order of their names."""

    day: tuple[Photo, ...]
    night: tuple[Photo, ...]


def domains(dataset: Dataset) -> Domains:
    """Photos that lie in folders named day and night, or say that they were taken by day or at night; of the split
    train, or of all where there is none. Raises DataError where one domain is missing.
    """
    photos = dataset.splits["train"].photos if "train" in dataset.splits else dataset.photos
    found = Domains(*(tuple(photo for photo in photos if _is(photo, domain)) for domain in (DAY, NIGHT)))
    if not found.day or not found.night:
        raise DataError(
            f"{dataset.root} has {len(found.day)} photos by day and {len(found.night)} at night; both are needed, in "
            "folders named day and night, or in train/day and train/night."
        )
    return found


def _is(photo: Photo, domain: str) -> bool:
    return photo.place == domain or domain in (photo.condition or "")
