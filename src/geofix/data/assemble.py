"""New datasets from old ones without copying a photo: a subset of the queries, and several datasets in one.

The papers' helpers: Tokyo-night is Tokyo-XS with the night queries of a list; Pitts30k-dn is Pitts30k and its
translated nights in one folder.
"""

from __future__ import annotations

import filecmp
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from geofix.data import deep_vg
from geofix.data.deep_vg import ROLES
from geofix.data.places import Split
from geofix.errors import DataError, first_few
from geofix.files import link_or_copy, whole_folder
from geofix.photos import Photo

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Assembled:
    """What was put together: the folder, and gallery and query photos by split."""

    root: Path
    gallery: dict[str, int]
    queries: dict[str, int]


def subset(source: Path, out: Path, names: Sequence[str], progress: Progress | None = None) -> Assembled:
    """A deep-VG dataset with only the queries of those names, and the whole gallery of the splits they are in.

    A name is a file's, or its path below `images`. Photos are hard links, or copies where the disk cannot link.
    Raises DataError when `source` has another layout, when no name is given or one names no query or several;
    UsageError when `out` holds anything; StorageError.
    """
    splits = _opened(source)
    wanted = [name.strip() for name in names if name.strip()]
    if not wanted:
        raise DataError("The list of queries is empty; one name a line is expected.")
    by_name: dict[str, list[Photo]] = {}
    for split in splits.values():
        for photo in split.queries:
            for name in {photo.name, photo.path.name}:
                by_name.setdefault(name, []).append(photo)
    unknown = [name for name in wanted if len(by_name.get(name, [])) != 1]
    if unknown:
        raise DataError(
            f"{len(unknown)} of the {len(wanted)} names are those of no query in {source}, or of several: "
            f"{first_few(unknown)}."
        )
    kept = {by_name[name][0].path for name in wanted}
    chosen = [
        replace(split, queries=tuple(photo for photo in split.queries if photo.path in kept))
        for split in splits.values()
    ]
    return _written([split for split in chosen if split.queries], out, progress)


def merged(sources: Sequence[Path], out: Path, progress: Progress | None = None) -> Assembled:
    """One deep-VG dataset with the photos of all `sources`, split by split, role by role.

    Photos are hard links, or copies where the disk cannot link. A file that two sources have under one name with
    the same bytes comes once; with other bytes it is a DataError, as one would be lost.
    """
    if len(sources) < 2:
        raise DataError(f"{len(sources)} datasets were named; merging takes two or more.")
    together: dict[str, Split] = {}
    for source in sources:
        for name, split in _opened(source).items():
            before = together.get(name, Split(name, ()))
            together[name] = Split(name, before.gallery + split.gallery, before.queries + split.queries)
    return _written(list(together.values()), out, progress)


def _opened(source: Path) -> dict[str, Split]:
    if not deep_vg.found(source):
        raise DataError(f"{source} is no deep-VG dataset; images/<split>/{{database,queries}}/@...@.jpg is expected.")
    return deep_vg.read(source).splits


def _written(splits: Sequence[Split], out: Path, progress: Progress | None) -> Assembled:
    total = sum(len(split.photos) for split in splits)
    done = 0
    with whole_folder(out) as partial:
        for split in splits:
            for role, photos in zip(ROLES, (split.gallery, split.queries), strict=True):
                folder = partial / "images" / split.name / role
                folder.mkdir(parents=True)
                for photo in photos:
                    _link(photo.path, folder / _below_role(photo, role))
                    done += 1
                    if progress:
                        progress(done, total)
    gallery = {split.name: _distinct(split.gallery) for split in splits}
    return Assembled(out, gallery, {split.name: _distinct(split.queries) for split in splits})


def _below_role(photo: Photo, role: str) -> Path:
    """Where a photo lies below its database or queries folder."""
    parts = Path(photo.name).parts
    return Path(*parts[parts.index(role) + 1 :])


def _distinct(photos: Iterable[Photo]) -> int:
    return len({photo.name for photo in photos})


def _link(source: Path, target: Path) -> None:
    if target.exists():
        if filecmp.cmp(source, target, shallow=False):
            return
        raise DataError(
            f"Two datasets have a photo {target.name} with different content; rename one of them, as one would be lost."
        )
    link_or_copy(source, target)
