"""How long does one photo take, from its file to countries, beside one forward pass of ViT-L/14, as global tools have?

paper     EfficientNet-B0 for the scene and four ResNet-50: soft routing asks them all
hard      EfficientNet-B0 and one ResNet-50, which hard routing alone needs
small     the same five networks, MobileNetV2
vit       one forward pass of ViT-L/14 at 224 x 224, without reading the photo

python benchmarks/country.py [--rounds 5]

Weights are random, which costs the same; networks are made ready once, before. One thread; the sides run in turn and
medians are printed. `small` looks at every photo and its mirror image.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import timm
import torch

from geofix import recipes
from geofix.countries.look import Lookers
from geofix.models.classifier import open_classifier
from geofix.models.countries import (
    ROUTER,
    CountryModel,
    CountryRun,
    Head,
    Knowledge,
    Sureness,
    head_design,
    router_design,
)
from geofix.photos import Photo, save_jpeg
from geofix.recipes import CountryRecipe
from geofix.scenes.places365 import SCENES

COUNTRIES = ("BR", "FR", "IN", "JP", "US")


def run_of(name: str, scenes: tuple[str, ...]) -> CountryRun:
    """A run of a recipe by name with random weights."""
    recipe = recipes.load_any(name)
    assert isinstance(recipe, CountryRecipe)
    router = Head(ROUTER, SCENES, (1,) * len(SCENES), router_design(recipe))
    heads = tuple(Head(scene, COUNTRIES, (1,) * len(COUNTRIES), head_design(recipe)) for scene in scenes)
    networks = {
        head.name: open_classifier(head.design, len(head.classes), pretrained=False, seed=0)
        for head in (router, *heads)
    }
    knows = Knowledge(recipe.level, router, heads, Sureness(0.2))
    return CountryRun(Path(name), recipe, CountryModel(networks).eval(), knows, "random")


def seconds(call: Callable[[], object]) -> float:
    """Of one call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    runs = {
        "paper": run_of("lavinskyi-country", SCENES),
        "hard": run_of("lavinskyi-country", SCENES[:1]),
        "small": run_of("lavinskyi-country-small", SCENES),
    }
    vit = timm.create_model("vit_large_patch14_clip_224", pretrained=False, num_classes=0).eval()
    images = torch.zeros(1, 3, 224, 224)

    def forward() -> None:
        with torch.inference_mode():
            vit(images)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.jpg"
        path.write_bytes(save_jpeg(np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)))
        photo, ready = Photo("photo", path), {name: Lookers(run) for name, run in runs.items()}
        sides: dict[str, Callable[[], object]] = {
            name: lambda one=one: one.look([photo]).countries() for name, one in ready.items()
        }
        sides["vit"] = forward
        times: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(rounds + 1):
            for name, call in sides.items():
                taken = seconds(call)
                if number:  # the first warms up
                    times[name].append(taken)
    middle = {name: statistics.median(found) for name, found in times.items()}
    for name, taken in middle.items():
        print(f"{name:6} {1000 * taken:7.0f} ms a photo; {taken / middle['vit']:.2f} of ViT-L/14's forward pass")


if __name__ == "__main__":
    main()
