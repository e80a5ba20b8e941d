"""Across views from end to end in Python: render a town from drone and satellite, learn both, find one by the other.

python examples/crossview.py OUT
"""

import sys
from pathlib import Path

import geofix
from geofix import recipes
from geofix.world.writers.crossview import write_crossview


def main(out: Path) -> None:
    write_crossview(out / "town", places=24, seed=7, drone_views=4)
    dataset = geofix.open_dataset(out / "town")

    # A small trunk of seeded random weights; leave "pretrained" out for ImageNet's.
    changes = ["pretrained=none", "backbone=resnet10t", "image_size=96x96", "part_length=8"]
    recipe = recipes.with_settings(recipes.load_of_encoder("bui-small"), changes)
    untrained = geofix.train(recipes.with_settings(recipe, ["epochs=0"]), None, out / "untrained")
    run = geofix.train(recipe, dataset, out / "run")

    for direction in ("drone-satellite", "satellite-drone"):
        for name, one in (("untrained", untrained), ("trained", run)):
            scores = geofix.evaluate(one, dataset, split="test", direction=direction)
            low, high = scores.recall_ci95[1]
            ap = scores.whole.ap if scores.whole else 0.0
            print(f"{direction}, {name}: R@1 {scores.recall[1]:.2f} [{low:.2f}, {high:.2f}], AP {ap:.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
