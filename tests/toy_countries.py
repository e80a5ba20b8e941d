"""Tiny photos of two invented scenes in three countries, which a small network can tell by colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from geofix import recipes
from geofix.photos import save_jpeg
from geofix.recipes import CountryRecipe
from toy_places import blobs, put

COUNTRIES = {"FR": (200, 60, 60), "JP": (60, 200, 60), "BR": (60, 60, 200)}
SCENES = {"city": 1.0, "coast": 0.45}
SPOTS = {"FR": (48.0, 2.0), "JP": (36.0, 138.0), "BR": (-15.0, -50.0)}


def photo(country: str, scene: str, seed: int) -> np.ndarray:
    """The country is the colour, the scene how bright it is."""
    colour = np.array(COUNTRIES[country]) * SCENES[scene]
    return np.clip(0.3 * blobs(seed, 48, 48) + 0.7 * colour, 0, 255).astype(np.uint8)


def write(root: Path, places: int = 4, photos: int = 2, table: bool = True) -> Path:
    """`<split>/<country>/*.jpg` with train and test; photos of one place carry one author in `photos.csv`."""
    lines = ["IMG_ID,AUTHOR,LAT,LON,scene,country,split"]
    seed = 0
    for split in ("train", "test"):
        for country, (lat, lon) in SPOTS.items():
            for scene in SCENES:
                for place in range(places):
                    for number in range(photos):
                        name = f"{split}/{country}/{scene}{place}_{number}.jpg"
                        put(root / name, save_jpeg(photo(country, scene, seed), quality=95))
                        lines.append(
                            f"{name},{split}{country}{scene}{place},{lat + place / 100},{lon},{scene},{country},{split}"
                        )
                        seed += 1
    if table:
        (root / "photos.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def tiny(**settings: object) -> CountryRecipe:
    """lavinskyi-country on a network of a few thousand weights, random at the start."""
    recipe = recipes.load_any("lavinskyi-country")
    assert isinstance(recipe, CountryRecipe)
    small = {
        "backbone": "test_resnet", "frozen_through": "layer2", "router_backbone": "test_resnet",
        "router_frozen_through": "layer2", "pretrained": "none", "image_size": "32x32", "epochs": 2, "frozen_epochs": 1,
        "router_epochs": 2, "batch_size": 8, "block_share": 0.25,
    }  # fmt: skip
    return recipes.changed(recipe, {**small, **settings}, "the toy")


def tiny_scenes(**settings: object) -> CountryRecipe:
    """The same of lavinskyi-scene."""
    recipe = recipes.load_any("lavinskyi-scene")
    assert isinstance(recipe, CountryRecipe)
    small = {
        "backbone": "test_resnet", "frozen_through": "layer2", "pretrained": "none", "image_size": "32x32", "epochs": 2,
        "frozen_epochs": 1, "batch_size": 8, "block_share": 0.25,
    }  # fmt: skip
    return recipes.changed(recipe, {**small, **settings}, "the toy")
