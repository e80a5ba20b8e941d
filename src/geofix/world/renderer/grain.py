"""Noise that repeats in both directions: fine grain for the ground, soft blobs for clouds and lawns."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float32

TILE = 256  # side of a tile of noise in texels

Tile = Float32[np.ndarray, "side side"]
"""Noise of mean 0 that repeats in both directions."""


@lru_cache(maxsize=1)
def fine_grain() -> Tile:
    """White noise of standard deviation 1, the same in every town: finer than a pixel from the air."""
    return np.random.default_rng(20).standard_normal((TILE, TILE)).astype(np.float32)


@lru_cache(maxsize=8)
def soft_blobs(*seed: int) -> Tile:
    """Noise of several sizes, of standard deviation 0.5; clouds have it without a seed."""
    rng = np.random.default_rng([21, *seed])
    soft = sum(_smooth(rng.standard_normal((TILE, TILE)), size) for size in (4, 8, 16, 32))
    return np.asarray(soft / np.std(soft) / 2, dtype=np.float32)


def white_noise(count: int, rng: np.random.Generator) -> Float32[np.ndarray, " n"]:  # noqa: F722
    """White noise of standard deviation 1: a stretch of one long stock, from a place drawn by chance.

    Drawing each number anew would take a fifth of the time of a photo.
    """
    stock = _stock()
    start = int(rng.integers(len(stock)))
    if start + count <= len(stock):
        return stock[start : start + count]
    return np.take(stock, np.arange(start, start + count), mode="wrap")


@lru_cache(maxsize=1)
def _stock() -> Float32[np.ndarray, " n"]:  # noqa: F722
    return np.random.default_rng(22).standard_normal(1 << 21, dtype=np.float32)


def _smooth(noise: np.ndarray, size: int) -> np.ndarray:
    """Noise blurred over `size` texels by its Fourier transform, which repeats by nature."""
    frequency = np.fft.fftfreq(TILE)
    squared = frequency[:, None] ** 2 + frequency[None, :] ** 2
    blurred = np.fft.ifft2(np.fft.fft2(noise) * np.exp(-squared * (3.0 * size) ** 2)).real
    return np.asarray(blurred / np.std(blurred) * size**0.5)
