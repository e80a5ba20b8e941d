"""One training step on triplets at 480x640, and NetVLAD's head alone: geofix and the plain way.

plain  the field's code: eager NCHW float32, NetVLAD cluster by cluster
floor  the step's multiplications at the speed of one large channels-last convolution, forward through the frozen
       part and forward and backward through layer3

python benchmarks/train_step.py [--threads 2] [--rounds 2] [--photos 48]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from encode import floor
from sides import added_mb, arguments, in_turn, table
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from geofix import losses, recipes
from geofix.learn.place_learner import PlaceLearner, freeze
from geofix.models.build import build
from geofix.models.encoder import SingleEncoder
from geofix.models.pooling import NetVLAD

GROUP = 12  # a query, its positive and ten negatives


def encoder_of(pooling: str) -> SingleEncoder:
    recipe = recipes.with_settings(recipes.load("resnet18-gem"), ["pretrained=none", f"pooling={pooling}"])
    encoder = build(recipe, pretrained=False).train()
    assert isinstance(encoder, SingleEncoder)
    freeze(encoder)
    return encoder


def looped_netvlad(pooling: NetVLAD, maps: torch.Tensor) -> torch.Tensor:
    """NetVLAD one cluster at a time, as the field's code has it to spare memory."""
    unit = functional.normalize(maps, dim=1)
    places = unit.flatten(2)
    weights = torch.softmax(functional.conv2d(unit, pooling.assign[:, :, None, None]).flatten(2), dim=1)
    vlad = torch.zeros(len(maps), pooling.clusters, maps.shape[1])
    for number in range(pooling.clusters):
        residuals = (places - pooling.centroids[number][None, :, None]) * weights[:, number : number + 1]
        vlad[:, number] = residuals.sum(dim=2)
    return functional.normalize(functional.normalize(vlad, dim=2).flatten(1), dim=1)


class Plain:
    """The field's step."""

    def __init__(self, pooling: str, photos: int) -> None:
        self.encoder = encoder_of(pooling)
        self.optimizer = torch.optim.Adam([p for p in self.encoder.parameters() if p.requires_grad], lr=1e-5)
        self.images = _images(photos)

    def __call__(self) -> None:
        self.optimizer.zero_grad()
        maps = self.encoder.trunk(self.images)
        pooling = self.encoder.pooling
        found = looped_netvlad(pooling, maps) if isinstance(pooling, NetVLAD) else self.encoder.head(maps)
        _loss(found).backward()
        self.optimizer.step()


class Ours:
    """geofix's step."""

    def __init__(self, pooling: str, photos: int, precision: str) -> None:
        encoder = encoder_of(pooling)
        encoder.trunk.to(memory_format=torch.channels_last)
        self.learner = PlaceLearner(encoder, None)  # type: ignore[arg-type]
        self.precision = precision
        self.optimizer = torch.optim.Adam([p for p in encoder.parameters() if p.requires_grad], lr=1e-5)
        # As batches of photos come: channels are the last axis of decoded pixels.
        self.images = _images(photos).contiguous(memory_format=torch.channels_last)

    def __call__(self) -> None:
        self.optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16"):
            found = self.learner(self.images)
        _loss(found).backward()
        self.optimizer.step()


def makers_of(pooling: str, photos: int) -> dict[str, Callable[[], Callable[[], None]]]:
    """The three sides, made when they are needed: each holds a batch."""
    return {
        "geofix fp32": lambda: Ours(pooling, photos, "fp32"),
        "geofix bf16": lambda: Ours(pooling, photos, "bf16"),
        "plain": lambda: Plain(pooling, photos),
    }


def memory_of(pooling: str, photos: int) -> dict[str, float]:
    """Megabytes that one step of each side adds."""
    return {name: added_mb(lambda make=make: make()()) for name, make in makers_of(pooling, photos).items()}


def step_table(pooling: str, memory: dict[str, float], chosen: argparse.Namespace) -> str:
    """The table of a whole step."""
    makers = makers_of(pooling, chosen.photos)
    sides = {name: make() for name, make in makers.items()}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        sides[f"floor {name}"] = floor(encoder_of(pooling), dtype, chosen.photos * _step_over_forward())
    figures = in_turn(sides, chosen.rounds)
    title = f"heap {chosen.heap}, {chosen.threads} thread(s): a step on {chosen.photos} photos of 480x640, {pooling}"
    lines = [
        table(title, figures, "steps", 1, "geofix fp32", "plain"),
        f"plain / geofix bf16: {figures['plain'].cpu_seconds / figures['geofix bf16'].cpu_seconds:.2f}x",
        "memory: " + ", ".join(f"{name} {megabytes:.0f} MB" for name, megabytes in memory.items()),
    ]
    for name in ("fp32", "bf16"):
        share = figures[f"floor {name}"].cpu_seconds / figures[f"geofix {name}"].cpu_seconds
        lines.append(f"geofix {name} reaches {100 * share:.0f} % of its floor")
    return "\n".join(lines)


def _step_over_forward() -> float:
    """Multiplications of a step over those of a forward pass: layer3 goes backward too, the frozen part does not."""
    encoder = encoder_of("gem")
    images = _images(1)[:, :, :96, :128]
    with FlopCounterMode(display=False) as step:
        encoder(images).sum().backward()
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        encoder(images)
    return step.get_total_flops() / forward.get_total_flops()


def head_table(chosen: argparse.Namespace) -> str:
    """NetVLAD alone, forward and backward, on 4 maps of 480x640 photos."""
    pooling = NetVLAD(256, 64)
    maps = torch.rand(4, 256, 30, 40, generator=torch.Generator().manual_seed(0)).requires_grad_()

    def backward(forward: Callable[[torch.Tensor], torch.Tensor]) -> None:
        maps.grad = None
        forward(maps).square().sum().backward()

    sides = {"geofix": lambda: backward(pooling), "plain": lambda: backward(lambda x: looped_netvlad(pooling, x))}
    with torch.no_grad():
        apart = (pooling(maps) - looped_netvlad(pooling, maps)).abs().max()
    figures = in_turn(sides, 10 * chosen.rounds)
    title = f"heap {chosen.heap}, {chosen.threads} thread(s): NetVLAD's head, forward and backward, 4 photos"
    return f"{table(title, figures, 'photos', 4, 'geofix', 'plain')}\nlargest difference: {float(apart):.1e}"


def _images(photos: int) -> torch.Tensor:
    return torch.rand(photos, 3, 480, 640, generator=torch.Generator().manual_seed(0))


def _loss(descriptors: torch.Tensor) -> torch.Tensor:
    groups = descriptors.reshape(-1, GROUP, descriptors.shape[1])
    return losses.triplet(groups[:, 0], groups[:, 1], groups[:, 2:], 0.1)


def main() -> None:
    chosen = arguments(__doc__)
    chosen.photos -= chosen.photos % GROUP
    # Memory is measured in forked children, and a process whose threads have run must not be forked any more.
    memory = {pooling: memory_of(pooling, chosen.photos) for pooling in ("gem", "netvlad")}
    for pooling, added in memory.items():
        print(step_table(pooling, added, chosen))
    print(head_table(chosen))


if __name__ == "__main__":
    main()
