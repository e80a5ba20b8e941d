"""Photos -> descriptors at 480x640: geofix, the plain way, and the floor.

plain  what the field's code does: decode, float tensor, normalise, batches of 16, eager NCHW float32 network
floor  the trunk's multiplications at the speed of one large channels-last convolution on this machine; no
       decoding, no batch norm, no pooling

python benchmarks/encode.py [--threads 1] [--rounds 5] [--photos 32]
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
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


def floor(encoder: SingleEncoder, dtype: torch.dtype, passes: float) -> Callable[[], None]:
    """The multiplications of so many forward passes of one photo, by one large convolution in this arithmetic.

    A side like the others, run in turn with them: a machine that slows down slows it down too.
    """
    with FlopCounterMode(display=False) as counter:
        encoder.trunk(torch.zeros(1, 3, *encoder.preprocess.size))
    layer = torch.nn.Conv2d(128, 128, 3, padding=1, bias=False).to(dtype, memory_format=torch.channels_last)
    images = torch.rand(1, 128, 120, 160).to(dtype).contiguous(memory_format=torch.channels_last)
    repeats = round(passes * counter.get_total_flops() / (2 * 128 * 128 * 9 * 120 * 160))

    @torch.inference_mode()
    def work() -> None:
        for _ in range(repeats):
            layer(images)

    return work


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
            "floor fp32": floor(encoder, torch.float32, len(made)),
            "floor bf16": floor(encoder, torch.bfloat16, len(made)),
        }
        figures = in_turn(sides, chosen.rounds)
        apart = np.abs(plain(encoder, made) - encode_chunk(fp32, made).single).max()
    print(f"\nheap {chosen.heap}, {chosen.threads} thread(s), {len(made)} photos of 640x480, {chosen.rounds} rounds")
    print(table("encode, fp32", figures, "photos", len(made), "geofix fp32", "plain fp32"))
    print(table("encode, bf16", figures, "photos", len(made), "geofix bf16", "plain fp32"))
    for name in ("fp32", "bf16"):
        share = figures[f"floor {name}"].cpu_seconds / figures[f"geofix {name}"].cpu_seconds
        print(f"geofix {name} reaches {100 * share:.0f} % of its floor")
    print(f"largest difference between geofix fp32 and plain: {apart:.1e}")


if __name__ == "__main__":
    main()
