"""A map of coloured blotches with its world file, and frames cut from it at any heading."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from geofix.atlas.store import Atlas
from geofix.frames.looks import Camera
from geofix.index_maps import index_maps
from geofix.models.runs import Run
from geofix.photos import save_jpeg, save_png, with_gps
from geofix.positions import Position, unproject, utm_wkt

WEST_M, NORTH_M, SIDE_PX = 458_000.0, 6_650_000.0, 480  # of zone 33, one metre a pixel
ZONE = 33
SIDE_M = 100.0  # of the tiles
CAMERA = Camera(100.0, 73.74)  # its frames are 150 m wide


def blotches(seed: int = 0) -> np.ndarray:
    """Smooth noise of several sizes, so that no two parts are alike."""
    rng = np.random.default_rng(seed)
    layers = []
    for cell in (6, 20, 60):
        noise = rng.integers(0, 256, (SIDE_PX // cell + 2, SIDE_PX // cell + 2, 3), dtype=np.uint8)
        grown = Image.fromarray(noise).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
        layers.append(np.asarray(grown.filter(ImageFilter.GaussianBlur(1)), dtype=np.float64))
    mixed = sum(layers) / len(layers)
    return np.asarray(np.clip((mixed - 128) * 2 + 128, 0, 255), dtype=np.uint8)


def write_map(folder: Path, seed: int = 0, name: str = "ortho") -> Path:
    """A PNG with a world file and its plane; returns the picture."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    path.write_bytes(save_png(blotches(seed)))
    numbers = (1.0, 0.0, 0.0, -1.0, WEST_M + 0.5, NORTH_M - 0.5)
    path.with_suffix(".pgw").write_text("".join(f"{number}\n" for number in numbers))
    path.with_suffix(".prj").write_text(utm_wkt(ZONE))
    return path


def position(column: float, row: float) -> Position:
    """Where a pixel of the map lies."""
    lat, lon = unproject(np.array([[WEST_M + column, NORTH_M - row]]), ZONE)[0]
    return Position(float(lat), float(lon))


def frame(column: float, row: float, heading_deg: float, width: int, height: int, seed: int = 0) -> np.ndarray:
    """What a camera above a pixel sees, one metre a pixel, its upper edge towards `heading_deg` from grid north."""
    turned = Image.fromarray(blotches(seed)).rotate(heading_deg, Image.Resampling.BICUBIC, center=(column, row))
    left, top = round(column - width / 2), round(row - height / 2)
    return np.asarray(turned.crop((left, top, left + width, top + height)))


def write_frame(path: Path, column: float, row: float, heading_deg: float, seed: int = 0, size: int = 150) -> Path:
    """A frame as a JPEG with its position."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = frame(column, row, heading_deg, size, size, seed)
    path.write_bytes(with_gps(save_jpeg(pixels, 95), position(column, row)))
    return path


def indexed_map(run: Run, folder: Path) -> Atlas:
    """An atlas of the map, at one scale."""
    return index_maps([write_map(folder)], run, folder / "atlas", scales_m=[SIDE_M]).atlas
