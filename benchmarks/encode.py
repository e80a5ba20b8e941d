"""Photos -> descriptors at 480x640: geofix, the plain way, and the floor.

plain  what the field's code does: decode, float tensor, normalise, batches of 16, eager NCHW float32 network
floor  the trunk's multiplications at the speed of one large channels-last convolution on this machine; no
       decoding, no batch norm, no pooling

python benchmarks/encode.py [--threads 1] [--rounds 5] [--photos 32]
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from sides import arguments, in_turn, table
from torch.utils.flop_counter import FlopCounterMode

from geofix import recipes
from geofix.encode import Inference, encode_chunk
from geofix.models.build import build
from geofix.models.encoder import SingleEncoder
from geofix.photos import Photo, save_jpeg

PLAIN_BATCH = 16


def photos(folder: Path, count: int) -> list[Photo]:
    """Photos of 640x480 with smooth and fine structure, so that they compress like real ones."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(count):
        coarse = rng.integers(0, 255, (24, 32, 3)).repeat(20, axis=0).repeat(20, axis=1)
        pixels = np.clip(coarse + rng.normal(0, 12, coarse.shape), 0, 255).astype(np.uint8)
        path = folder / f"{number:04d}.jpg"
        path.write_bytes(save_jpeg(pixels, quality=90))
        made.append(Photo(path.name, path))
    return made


@torch.no_grad()
def plain(encoder: SingleEncoder, chosen: list[Photo]) -> np.ndarray:
    """The field's way, as its evaluation code does it."""
    from PIL import Image
    from torchvision.transforms import functional

    found = []
    for start in range(0, len(chosen), PLAIN_BATCH):
        images = []
        for photo in chosen[start : start + PLAIN_BATCH]:
            image = functional.to_tensor(Image.open(photo.path).convert("RGB"))
            image = functional.normalize(image, encoder.preprocess.mean, encoder.preprocess.std)
            images.append(functional.resize(image, list(encoder.preprocess.size), antialias=True))
        found.append(encoder(torch.stack(images)).numpy())
    return np.concatenate(found)


def floor_seconds(encoder: SingleEncoder, dtype: torch.dtype) -> float:
    """Seconds for one photo's multiplications at the rate of a large convolution in this arithmetic."""
    with FlopCounterMode(display=False) as counter:
        encoder.trunk(torch.zeros(1, 3, *encoder.preprocess.size))
    flop = counter.get_total_flops()
    layer = torch.nn.Conv2d(128, 128, 3, padding=1, bias=False).to(dtype, memory_format=torch.channels_last)
    images = torch.rand(1, 128, 120, 160).to(dtype).contiguous(memory_format=torch.channels_last)
    best = float("inf")
    with torch.inference_mode():
        for _ in range(30):
            start = time.perf_counter()
            layer(images)
            best = min(best, time.perf_counter() - start)
    rate = 2 * 128 * 128 * 9 * 120 * 160 / best
    return flop / rate


def main() -> None:
    chosen = arguments(__doc__)
    recipe = recipes.with_settings(recipes.load("resnet18-gem"), ["pretrained=none"])
    encoder = build(recipe, pretrained=False)
    fp32, bf16 = Inference(encoder, "fp32", "cpu"), Inference(encoder, "bf16", "cpu")
    with tempfile.TemporaryDirectory() as folder:
        made = photos(Path(folder), chosen.photos)
        sides = {
            "geofix fp32": lambda: encode_chunk(fp32, made),
            "geofix bf16": lambda: encode_chunk(bf16, made),
            "plain fp32": lambda: plain(encoder, made),
        }
        figures = in_turn(sides, chosen.rounds)
        apart = np.abs(plain(encoder, made) - encode_chunk(fp32, made).single).max()
    print(f"\nheap {chosen.heap}, {chosen.threads} thread(s), {len(made)} photos of 640x480, {chosen.rounds} rounds")
    print(table("encode, fp32", figures, "photos", len(made), "geofix fp32", "plain fp32"))
    print(table("encode, bf16", figures, "photos", len(made), "geofix bf16", "plain fp32"))
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        ours = figures[f"geofix {name}"].cpu_seconds / len(made)
        floor = floor_seconds(encoder, dtype) * chosen.threads
        print(f"floor {name}: {1 / floor:.1f} photos / CPU s; geofix reaches {100 * floor / ours:.0f} % of it")
    print(f"largest difference between geofix fp32 and plain: {apart:.1e}")


if __name__ == "__main__":
    main()
