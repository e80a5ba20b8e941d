"""demo: a rendered town, indexed and searched, from nothing and with no network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from geofix.calibrate import on_photos
from geofix.data import deep_vg
from geofix.data.places import Dataset
from geofix.errors import UsageError
from geofix.evaluate import Scores, evaluate
from geofix.fixes import Fix
from geofix.index import index
from geofix.locate import locate
from geofix.models.runs import load_run
from geofix.photos import Photo
from geofix.positions import Position
from geofix.world.writers.deep_vg import write_places

PLACES, SEED = 120, 2026
LOCATED, ELSEWHERE = 24, 6
ENCODER = "geofix-town-small"  # comes with geofix; trained on towns of other seeds
NOT_IN_ATLAS = "not in the atlas"
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Demo:
    """What the demo made: a folder with town and atlas, the scores, and the located photos with where they were
    really taken, and of what kind each is: by day, by night, or from a part of town that the atlas does not know."""

    folder: Path
    scores: Scores
    fixes: list[Fix]
    truth: dict[str, Position]
    kinds: dict[str, str]


def demo(out: Path, progress: Report | None = None) -> Demo:
    """Render a town, index its gallery with the encoder that comes with geofix, locate 24 held-out photos and 6
    from a quarter that is not in the atlas.

    Confidence is calibrated on the other query photos of the town, from other spots than those 24. Nothing is
    trained, and the encoder has never seen this town.

    Makes `out`/town and `out`/atlas; `progress` is told (step, done, total). Raises UsageError when `out` holds
    anything already.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not empty; choose a new folder with --out, or remove it first.")

    def step(name: str) -> Callable[[int, int], None]:
        return lambda done, total: progress(name, done, total) if progress else None

    write_places(out / "town", places=PLACES, seed=SEED, progress=step("rendering a town"))
    dataset = deep_vg.read(out / "town")
    run = load_run(Path(ENCODER))
    gallery = out / "town" / "images" / "test" / "database"
    atlas = index([gallery], run, out / "atlas", progress=step("indexing its photos")).atlas
    chosen = held_out(dataset)
    others = [photo for photo in dataset.split("test").queries if photo.group not in {one.group for one in chosen}]
    atlas.set_calibration(on_photos(atlas, others, progress=step("calibrating")))
    scores = evaluate(run, dataset, progress=step("measuring recall"))
    kinds = {str(photo.path): f"by {photo.condition}" for photo in chosen}
    strangers = elsewhere(dataset)
    kinds |= {str(photo.path): NOT_IN_ATLAS for photo in strangers}
    asked = [*chosen, *strangers]
    fixes = locate([photo.path for photo in asked], atlas, progress=step("locating held-out photos"))
    truth = {str(photo.path): photo.position for photo in asked if photo.position is not None}
    return Demo(out, scores, fixes, truth, kinds)


def elsewhere(dataset: Dataset) -> list[Photo]:
    """6 query photos by day of the train quarter, of which the atlas has no photo: the right answer is none."""
    photos = [photo for photo in dataset.split("train").queries if photo.condition == "day"]
    return photos[:: max(1, len(photos) // ELSEWHERE)][:ELSEWHERE]


def held_out(dataset: Dataset) -> list[Photo]:
    """24 query photos of the test split, half by day and half by night, spread over the town."""
    queries = dataset.split("test").queries
    chosen = []
    for condition in ("day", "night"):
        photos = [photo for photo in queries if photo.condition == condition]
        step = max(1, len(photos) // (LOCATED // 2))
        chosen += photos[::step][: LOCATED // 2]
    return chosen
