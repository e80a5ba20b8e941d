"""Small made-up photos of places seen from several sides, in the folders of one view or another."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from geofix.photos import save_jpeg
from toy_places import blobs, put


def seen(place: str, number: int = 0) -> bytes:
    """A photo of a place; every number is another look at it, and every place another picture."""
    seed = sum((at + 1) * ord(letter) for at, letter in enumerate(place))
    noise = np.random.default_rng([seed, number]).integers(-20, 21, (48, 64, 3))
    return save_jpeg(np.clip(blobs(seed).astype(int) + noise, 0, 255).astype(np.uint8))


def put_places(view: Path, places: Iterable[str], photos: int = 1, suffix: str = ".jpg") -> None:
    """Write `photos` photos for each place into <view>/<place>/; no two views get the same ones."""
    first = sum(map(ord, view.name))
    for place in places:
        for number in range(photos):
            put(view / place / f"image-{number:02d}{suffix}", seen(place, first + number))


def university(root: Path) -> Path:
    """University-1652 with 3 places to learn from, 2 that are asked about and a distractor."""
    learned, tested, all_tested = ["0839", "0840", "1652"], ["0000", "0007"], ["0000", "0007", "0101"]
    put_places(root / "train/drone", learned, 3, ".jpeg")
    for view in ("satellite", "street", "google"):
        put_places(root / "train" / view, learned)
    for part, places in (("query", tested), ("gallery", all_tested)):
        put_places(root / f"test/{part}_drone", places, 3, ".jpeg")
        put_places(root / f"test/{part}_satellite", places)
        put_places(root / f"test/{part}_street", places[:1])
    return root


def sues(root: Path) -> Path:
    """SUES-200 split, at two heights: 2 places to learn from, 1 that is asked about."""
    for height in ("150", "200"):
        for part, view, places in (
            ("Training", "drone", ["0001", "0002"]),
            ("Testing", "query_drone", ["0003"]),
            ("Testing", "gallery_drone", ["0001", "0002", "0003"]),
        ):
            put_places(root / part / height / view, places, 2)
            put_places(root / part / height / view.replace("drone", "satellite"), places, suffix=".png")
    return root


def raw_sues(root: Path, drone: str = "drone_view_512") -> Path:
    """SUES-200 as it is handed out: 3 places at three heights."""
    places = ["0001", "0002", "0003"]
    for place in places:
        put_places(root / drone / place, ["150", "200", "50"], 2)
    put_places(root / "satellite-view", places, suffix=".png")
    return root


def plain(root: Path) -> Path:
    """Plain views: 3 places in train, 2 others in val, from the drone and from the satellite."""
    for split, places in (("train", ["0001", "0002", "0003"]), ("val", ["0004", "0005"])):
        for view in ("drone", "satellite"):
            put_places(root / split / view, places)
    return root


def classes(root: Path) -> Path:
    """Class folders: two classes in train and test, 2 photos of each, and a table beside them."""
    for split in ("train", "test"):
        put_places(root / split, ["AU", "FR"], 2)
    put(root / "photos.csv", b"file,country\n")
    return root
