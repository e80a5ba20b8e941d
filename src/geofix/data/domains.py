"""Domains: photos by day and photos at night, unpaired, out of any dataset that says which are which."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from geofix.data.places import Dataset
from geofix.errors import DataError, PhotoError
from geofix.photos import Photo, read_size

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


def large_enough(photos: Domains, size: tuple[int, int], problems: list[PhotoError]) -> Domains:
    """The photos that crops of `size` (rows, columns) can be cut from; the others, and those that cannot be opened, go
    to `problems`. Raises DataError where a domain has none.
    """
    found = Domains(*(tuple(_fitting(domain, size, problems)) for domain in (photos.day, photos.night)))
    for name, left, had in ((DAY, found.day, photos.day), (NIGHT, found.night, photos.night)):
        if not left:
            raise DataError(
                f"None of the {len(had)} {name} photos can be opened and has {size[0]} x {size[1]} pixels (rows x "
                f"columns) or more, as the crops have; give larger photos, or set a smaller image_size. The last: "
                f"{problems[-1]}"
            )
    return found


def _fitting(photos: tuple[Photo, ...], size: tuple[int, int], problems: list[PhotoError]) -> Iterator[Photo]:
    for photo in photos:
        try:
            rows, columns = read_size(photo.path)
        except PhotoError as error:
            problems.append(error)
            continue
        if rows >= size[0] and columns >= size[1]:
            yield photo
        else:
            problems.append(
                PhotoError(
                    f"{photo.path} has {rows} x {columns} pixels; {size[0]} x {size[1]} (rows x columns) or more are "
                    "needed for a crop; it was left out."
                )
            )


def _is(photo: Photo, domain: str) -> bool:
    return photo.place == domain or domain in (photo.condition or "")
