"""A 12-megapixel JPEG to 480x640 pixels: geofix and the plain way (decode, float tensor, normalise, resize).

floor  the JPEG decoded at full size, which every way without DCT scaling has to do first

python benchmarks/decode.py [--rounds 5]
"""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from sides import arguments, in_turn, table
from torchvision.transforms import functional

from geofix.photos import read_pixels, save_jpeg

SIZE = (480, 640)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def large_jpeg() -> bytes:
    """4000x3000 pixels with structure that fades towards the small; about 3 MB, as a telephone writes them."""
    rng = np.random.default_rng(0)
    pixels = np.zeros((3000, 4000, 3))
    for side, contrast in ((500, 50), (100, 40), (20, 20), (4, 10)):
        coarse = rng.normal(0, contrast, (3000 // side, 4000 // side, 3))
        pixels += coarse.repeat(side, axis=0).repeat(side, axis=1)
    return save_jpeg(np.clip(pixels + 128, 0, 255).astype(np.uint8), quality=90)


def plain(jpeg: bytes) -> torch.Tensor:
    """The field's way."""
    image = functional.to_tensor(Image.open(io.BytesIO(jpeg)).convert("RGB"))
    return functional.resize(functional.normalize(image, MEAN, STD), list(SIZE), antialias=True)


def main() -> None:
    chosen = arguments(__doc__)
    jpeg = large_jpeg()
    sides = {
        "geofix": lambda: read_pixels(jpeg, target=SIZE, exactly=True),
        "plain": lambda: plain(jpeg),
        "floor (full decode alone)": lambda: Image.open(io.BytesIO(jpeg)).load(),
    }
    figures = in_turn(sides, 3 * chosen.rounds)
    print(table(f"heap {chosen.heap}: decode and resize, 12 megapixels", figures, "photos", 1, "geofix", "plain"))
    ours = torch.from_numpy(read_pixels(jpeg, target=SIZE, exactly=True)).permute(2, 0, 1) / 255
    theirs = plain(jpeg) * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
    error = float((ours - theirs).square().mean())
    print(f"likeness to the plain way's pixels: {-10 * np.log10(error):.1f} dB")


if __name__ == "__main__":
    main()
