"""Small made-up photos, and the toy place dataset of parity case P9 in the deep-VG layout.

40 gallery photos on a line, one every 8 m, and 8 queries; `train` and `test` are alike. Query 0 has nothing
within 25 m, query 4 lies exactly 25.0 m from gallery photo 39, and one query has no photo within 10 m.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from geofix.photos import save_jpeg

QUERIES = (  # easting in metres, number of the pattern
    (700.0, 3.0), (1000.0, 0.1), (1047.0, 6.2), (1080.0, 10.4),
    (1337.0, 39.2), (1160.0, 20.6), (1203.0, 25.3), (1250.0, 31.4),
)  # fmt: skip
GALLERY = tuple((1000.0 + 8 * number, float(number)) for number in range(40))
NORTHING_M = 2000.0
RELEVANT = ([], [*range(4)], [*range(3, 10)], [*range(7, 14)], [39], [*range(17, 24)], [*range(23, 29)],
            [*range(29, 35)])  # fmt: skip
HARD_10_M = ([], [0, 1], [5, 6, 7], [9, 10, 11], [], [19, 20, 21], [25, 26], [30, 31, 32])


def pattern(number: float) -> np.ndarray:
    """A 48x64 photo of three waves; near numbers look alike."""
    y, x = np.mgrid[0:48, 0:64]
    bands = (
        127 + 90 * np.sin(x / 9 + number * 0.7),
        127 + 90 * np.cos(y / 7 + number * 1.1),
        127 + 90 * np.sin((x + y) / 11 + number * 0.37),
    )
    return np.stack(bands, axis=-1).astype(np.uint8)


def blobs(seed: int, rows: int = 48, columns: int = 64) -> np.ndarray:
    """A smooth random photo; every seed gives another one."""
    cells = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(cells).resize((columns, rows), Image.Resampling.BICUBIC))


def put(path: Path, data: bytes) -> Path:
    """Write bytes, folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def write(root: Path) -> Path:
    """Write the toy dataset below `root`, which is returned."""
    for split in ("train", "test"):
        for folder, photos in (("database", GALLERY), ("queries", QUERIES)):
            for number, (easting_m, wave) in enumerate(photos):
                name = f"@{easting_m:010.2f}@{NORTHING_M:011.2f}@17@T@@@{number:04d}@@@@@@@@.jpg"
                put(root / "images" / split / folder / name, save_jpeg(pattern(wave), quality=95))
    return root
