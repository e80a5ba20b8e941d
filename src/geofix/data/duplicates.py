"""Copies of photos: the same bytes, or the same picture saved again; found without comparing all with all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from jaxtyping import Int, UInt8, UInt64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geofix.photos import read_pixels, resized
from geofix.shapes import Pixels

_HASH_CELLS = (8, 9)  # 8 rows of 8 comparisons of neighbours: 64 bits
_THUMBNAIL = (16, 16)
_DECODE_AT = (72, 72)
_BANDS = 4
_HASH_BITS_APART = _BANDS - 1  # two hashes no further apart agree in at least one of the bands
_GREYS_APART = 3.0  # mean difference of thumbnails of one picture at two JPEG qualities: below 2 of 255
_FLAT_GREYS = 2.0  # a picture that varies less says nothing; only its bytes can be compared
_FULL_BAND = 512  # a band value shared by more photos is split by the next band, which keeps the work linear
_LUMA = np.array([0.299, 0.587, 0.114])

# Many lengths meet in one function here, so they have no name.
Rows = Int[np.ndarray, " _"]
Pairs = Int[np.ndarray, "_ 2"]
Hashes = UInt64[np.ndarray, " _"]
Thumbnail = UInt8[np.ndarray, "16 16"]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a photo is compared by: its bytes' hash, its 64-bit difference hash and a grey thumbnail."""

    sha256: bytes
    bits: int
    thumbnail: Thumbnail


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Pairs of rows (first < second): `exact` has the same bytes and names every copy once, with the first of
    its kind; `near` shows the same picture.
    """

    exact: Pairs
    near: Pairs

    def clusters(self, count: int) -> Rows:
        """For each of `count` rows the number of its cluster of duplicates, -1 for a row without any."""
        pairs = np.concatenate([self.exact, self.near])
        links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
        labels = connected_components(links, directed=False)[1].astype(np.int64)
        return np.where(np.bincount(labels, minlength=1)[labels] > 1, labels, -1)


def fingerprint(data: bytes, name: str) -> Fingerprint:
    """The fingerprint of a photo's file, which is decoded for it. Raises PhotoError, which calls it `name`."""
    pixels = read_pixels(data, name, target=_DECODE_AT)
    cells = _grey(pixels, _HASH_CELLS)
    bits = np.packbits(cells[:, 1:] > cells[:, :-1])
    thumbnail = np.round(_grey(pixels, _THUMBNAIL)).astype(np.uint8)
    return Fingerprint(sha256(data).digest(), int.from_bytes(bits.tobytes(), "big"), thumbnail)


def find_duplicates(prints: Sequence[Fingerprint]) -> Duplicates:
    """All copies among photos. Near ones of a band value that very many photos share may be missed."""
    first_of: dict[bytes, int] = {}
    firsts = np.array([first_of.setdefault(one.sha256, row) for row, one in enumerate(prints)], dtype=np.int64)
    rows = np.arange(len(prints), dtype=np.int64)
    copies = np.flatnonzero(firsts != rows)
    exact = np.stack([firsts[copies], copies], axis=1)
    return Duplicates(exact, _near(prints, rows[firsts == rows]))


def _near(prints: Sequence[Fingerprint], rows: Rows) -> Pairs:
    rows = np.array([row for row in rows if prints[row].thumbnail.std() >= _FLAT_GREYS], dtype=np.int64)
    if len(rows) < 2:
        return np.empty((0, 2), dtype=np.int64)
    hashes = np.array([prints[row].bits for row in rows], dtype=np.uint64)
    thumbnails = np.stack([prints[row].thumbnail for row in rows]).astype(np.int16).reshape(len(rows), -1)
    found = [_alike(bucket, hashes, thumbnails) for bucket in _buckets(hashes)]
    pairs = np.unique(np.concatenate([np.empty((0, 2), dtype=np.int64), *found]), axis=0)
    return np.asarray(rows[pairs], dtype=np.int64).reshape(-1, 2)


def _buckets(hashes: Hashes) -> Iterator[Rows]:
    """Groups of rows that agree in a band of their hash, the rows of a group ascending."""
    # Every fourth bit makes a band: an even sky, which zeroes neighbouring bits, thins all bands a little
    # instead of emptying one.
    bits = np.unpackbits(hashes.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1)
    bands = np.stack([np.packbits(bits[:, at::_BANDS], axis=1).view(np.uint16)[:, 0] for at in range(_BANDS)], 1)
    everything = np.arange(len(hashes), dtype=np.int64)
    for at in range(_BANDS):
        for group in _same_value(everything, bands[:, at]):
            if len(group) <= _FULL_BAND:
                yield group
            else:
                yield from _split(group, bands[:, (at + 1) % _BANDS])


def _split(group: Rows, band: np.ndarray) -> Iterator[Rows]:
    for part in _same_value(group, band):
        for start in range(0, len(part), _FULL_BAND):
            yield part[start : start + _FULL_BAND]


def _same_value(rows: Rows, band: np.ndarray) -> list[Rows]:
    order = rows[np.argsort(band[rows], kind="stable")]
    starts = np.flatnonzero(np.diff(band[order])) + 1
    return [group for group in np.split(order, starts) if len(group) > 1]


def _alike(rows: Rows, hashes: Hashes, thumbnails: np.ndarray) -> Pairs:
    apart = np.bitwise_count(hashes[rows][:, None] ^ hashes[rows][None, :])
    first, second = np.nonzero(np.triu(apart <= _HASH_BITS_APART, k=1))
    greys_apart = np.abs(thumbnails[rows[first]] - thumbnails[rows[second]]).mean(axis=1)
    kept = greys_apart <= _GREYS_APART
    return np.stack([rows[first[kept]], rows[second[kept]]], axis=1)


def _grey(pixels: Pixels, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(resized(pixels, size) @ _LUMA)
