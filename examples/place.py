"""Place recognition from end to end in Python: render a town, describe it, find its query photos again.

python examples/place.py OUT
"""

import sys
from pathlib import Path

import geofix
from geofix import recipes
from geofix.world.writers.deep_vg import write_places


def main(out: Path) -> None:
    write_places(out / "town", places=40, seed=7)
    dataset = geofix.open_dataset(out / "town")

    # A trunk of seeded random weights; leave "pretrained" out for ImageNet's, and the sizes for the papers'.
    changes = ["pretrained=none", "epochs=0", "cut=layer1", "image_size=120x160", "netvlad_photos=60"]
    recipe = recipes.with_settings(recipes.load("resnet18-netvlad"), changes)
    run = geofix.train(recipe, dataset, out / "run")

    scores = geofix.evaluate(run, dataset, split="test")
    low, high = scores.recall_ci95[1]
    print(f"R@1 {scores.recall[1]:.2f} [{low:.2f}, {high:.2f}] of {scores.queries} queries")

    indexed = geofix.index([out / "town"], run, out / "atlas")
    queries = [photo for photo in dataset.split("test").queries if photo.condition == "day"]
    for query, fix in zip(queries, geofix.locate([photo.path for photo in queries], indexed.atlas), strict=True):
        if fix.position is None or query.position is None:
            print(f"{query.group}: {fix.reason}")
        else:
            print(f"{query.group}: {fix.position.metres_to(query.position):.0f} m off, radius {fix.radius_m:.0f} m")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
