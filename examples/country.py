"""Which country from end to end in Python: render invented countries, learn scenes and countries, score, ask, explain.

python examples/country.py OUT
"""

import sys
from pathlib import Path

import geofix
from geofix import recipes
from geofix.countries.explain import explain
from geofix.reports.countries import country_sheet
from geofix.world.writers.countries import write_countries


def main(out: Path) -> None:
    write_countries(out / "world", regions=24, photos=2, seed=3, countries=2, size=(64, 96))
    dataset = geofix.open_dataset(out / "world")

    # A tiny trunk of seeded random weights, and half a minute's training; leave these out for the paper's networks.
    changes = [
        "backbone=test_resnet", "frozen_through=null", "router_backbone=test_resnet", "router_frozen_through=null",
        "pretrained=none", "image_size=32x32", "epochs=4", "router_epochs=4", "frozen_epochs=0", "block_share=0.2",
    ]  # fmt: skip
    recipe = recipes.with_settings(recipes.load_any("lavinskyi-country"), changes)
    run = geofix.train_countries(recipe, dataset, out / "run")
    print("countries it can ever name:", ", ".join(run.knows.countries))

    scores = geofix.evaluate_country(run, dataset, split="test")
    for way, one in scores.countries.items():
        low, high = one.top[1].share_ci95
        print(f"{way} routing: top-1 {one.top[1].share:.2f} [{low:.2f}, {high:.2f}], ECE {one.reliability.error:.2f}")

    photo = dataset.split("test").photos[0].path
    [fix] = geofix.locate_countries([photo], run)
    print(fix.reason or f"{(fix.countries or ())[0]['name']}, {fix.confidence:.2f}")
    (out / "sheet.png").write_bytes(country_sheet(fix, explain(photo, fix, run)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
