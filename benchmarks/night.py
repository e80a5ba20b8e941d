"""How good are nights made of days? Kernel inception distance to real nights, and whether a night is still its day's.

kid       distance of a set of pictures to real nights: the squared maximum mean discrepancy of the trunk's mean maps
          with the kernel (x.y / d + 1)^3 (Binkowski et al. 2018), by torchmetrics; mean over subsets, and the range of
          95 % of them. The trunk is the one given, so numbers compare with each other and with no others.
geometry  each day photo looks for its own night among the nights of all, R@1, with the same trunk and GeM

python benchmarks/night.py --data DAY-AND-NIGHT --weights TRUNK.safetensors [--unit RUN ...] [--sheet FILE.png]

--sheet draws a few days with the nights that each way makes of them, as figure 3 of Atadjanov et al. compares kinds of
UNIT. Photos that --unit learned from flatter it: keep some aside (`geofix data subset`).
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torchmetrics.image.kid import KernelInceptionDistance

from geofix import recipes
from geofix.augment.preview import Strip
from geofix.data.domains import domains
from geofix.data.layouts import open_dataset
from geofix.encode import Inference
from geofix.files import write_atomically
from geofix.heap import keep_freed_memory
from geofix.models.start import start
from geofix.night.translators import Translator, open_day_translator, open_translator
from geofix.photos import read_pixels
from geofix.reports.sheets import contact_sheet
from geofix.search import nearest
from geofix.shapes import Pixels
from geofix.transforms import stacked, views

SUBSETS = 200
SIZE = (180, 320)
SHOWN = 6  # photos on the sheet


class Looks:
    """Mean maps (n, 256) for the distance, and GeM descriptors for the search, of the same trunk."""

    def __init__(self, weights: Path) -> None:
        self.means, self.gem = (trunk(weights, *how) for how in (("pooling=spoc", "l2=none"), ("l2=after_pool",)))

    def __call__(self, pictures: Sequence[Pixels]) -> tuple[torch.Tensor, np.ndarray]:
        """Of pictures of any size, scaled to SIZE."""
        batches = [stacked(views(picture, SIZE)) for picture in pictures]
        means, descriptors = (np.concatenate([look(batch) for batch in batches]) for look in (self.means, self.gem))
        return torch.from_numpy(means), descriptors


def distance(pictures: torch.Tensor, real: torch.Tensor, subset: int) -> tuple[float, float, float]:
    """Mean over subsets, and the ends of 95 % of them."""
    found = []
    torch.manual_seed(0)
    for _ in range(SUBSETS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it keeps its features
            metric = KernelInceptionDistance(feature=torch.nn.Identity(), subsets=1, subset_size=subset)
        metric.update(real, real=True)
        metric.update(pictures, real=False)
        found.append(float(metric.compute()[0]))
    return float(np.mean(found)), float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975))


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folders day and night")
    parser.add_argument("--weights", type=Path, required=True, help="a ResNet-18 trunk")
    parser.add_argument("--unit", type=Path, nargs="*", default=[], help="trained UNIT runs")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet of the nights to this PNG")
    parser.add_argument("--photos", type=int, default=150, help="of each kind, the last by name")
    chosen = parser.parse_args()
    keep_freed_memory()
    both = domains(open_dataset(chosen.data))
    days = [read_pixels(photo.path) for photo in both.day[-chosen.photos :]]
    nights = [read_pixels(photo.path) for photo in both.night[-chosen.photos :]]
    ways: dict[str, Translator] = {"simple": open_translator("simple")}
    for run in chosen.unit:
        ways[f"UNIT {run.name}" if len(chosen.unit) > 1 else "UNIT"] = open_translator("unit", run)
    looks = Looks(chosen.weights)
    real, _ = looks(nights)
    day_means, day_rows = looks(days)
    subset = min(len(days), len(nights)) // 3
    half = len(real) // 2
    print(f"{len(days)} photos by day, {len(nights)} at night, {SUBSETS} subsets of {subset}\n")
    print("| pictures | distance to real nights x 1000 | finds its own night, R@1 |\n|---|---|---|")
    print(line("real nights, half against half", distance(real[:half], real[half:], min(subset, half)), None))
    print(line("days as they are", distance(day_means, real, subset), None))
    for name, way in ways.items():
        made = [way.translate(day, number) for number, day in enumerate(days)]
        means, rows = looks(made)
        found = nearest(day_rows, rows, 1)[1][:, 0] == np.arange(len(days))
        print(line(f"nights by {name}", distance(means, real, subset), found), flush=True)
    for run in chosen.unit:
        back = open_day_translator(run)
        means, _ = looks([back.translate(night, 0) for night in nights])
        print(f"\nDays by UNIT {run.name} of real nights, to real days: {shown(distance(means, day_means, subset))}")
    if chosen.unit:
        print(f"Real nights as they are, to real days: {shown(distance(real, day_means, subset))}")
    if chosen.sheet:
        draw(chosen.sheet, days[:SHOWN], ways)


def trunk(weights: Path, *settings: str) -> Inference:
    """A trunk of that file with a pooling."""
    recipe = recipes.with_settings(recipes.load("resnet18-gem"), [*settings, f"image_size={SIZE[0]}x{SIZE[1]}"])
    return Inference(start(recipe, weights, (), []).encoder)


def draw(path: Path, days: Sequence[Pixels], ways: dict[str, Translator]) -> None:
    """A row a photo: the day, then its night by each way."""
    strips = [
        Strip(stacked([day, *(way.translate(day, number) for way in ways.values())]), ("day", *ways))
        for number, day in enumerate(days)
    ]
    write_atomically(path, contact_sheet(strips, [f"photo {number + 1}" for number in range(len(days))]))


def line(name: str, kid: tuple[float, float, float], found: np.ndarray | None) -> str:
    """A row of the table."""
    return f"| {name} | {shown(kid)} | {'' if found is None else f'{100 * found.mean():.1f}'} |"


def shown(kid: tuple[float, float, float]) -> str:
    """Mean and range, times a thousand."""
    mean, low, high = (1000 * value for value in kid)
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"


if __name__ == "__main__":
    main()
