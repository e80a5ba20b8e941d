"""One photo located in an atlas: geofix from file to Fix, the plain way, and the floor.

plain  decode, float tensor, normalise, eager NCHW float32 network, IndexFlatL2 built from the descriptors
floor  the same network run once on a photo that is in memory already, fused and channels last

python benchmarks/locate.py [--threads 1] [--rounds 5]
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import faiss
import numpy as np
import torch
from encode import photos, plain
from sides import arguments, in_turn, table

from geofix import recipes
from geofix.atlas.rows import Rows
from geofix.encode import Inference, encode_chunk
from geofix.locate import fix_from
from geofix.models.build import build
from geofix.transforms import stacked

GALLERY = 100_000
K = 20


def town(length: int) -> Rows:
    """A made-up atlas of 100,000 photos over some 10 x 10 km."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((GALLERY, length), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    places = np.array([52.2, 0.12]) + rng.uniform(-0.05, 0.05, (GALLERY, 2))
    names = tuple(f"{row}.jpg" for row in range(GALLERY))
    return Rows(vectors, places, names, np.full(GALLERY, np.nan), names)


def main() -> None:
    chosen = arguments(__doc__)
    recipe = recipes.with_settings(recipes.load("resnet18-gem"), ["pretrained=none"])
    encoder = build(recipe, pretrained=False)
    inference = Inference(encoder, "fp32", "cpu")
    rows = town(encoder.descriptor_length)
    index = faiss.IndexFlatL2(encoder.descriptor_length)
    index.add(rows.vectors)
    with tempfile.TemporaryDirectory() as folder:
        one = photos(Path(folder), 1)
        pixels = stacked([np.zeros((480, 640, 3), dtype=np.uint8)])

        def ours() -> object:
            distances, neighbours = rows.search(encode_chunk(inference, one).single, K)
            return fix_from(one[0].name, rows, distances[0], neighbours[0], None, 0.0)

        sides = {
            "geofix": ours,
            "plain": lambda: index.search(plain(encoder, one), K),
            "floor (network alone)": lambda: inference(pixels),
        }
        with torch.inference_mode():
            figures = in_turn(sides, 3 * chosen.rounds)
    title = f"heap {chosen.heap}, {chosen.threads} thread(s): one photo, gallery of {GALLERY}"
    print(table(title, figures, "photos", 1, "geofix", "plain"))


if __name__ == "__main__":
    main()
