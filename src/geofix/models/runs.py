"""The run folder: recipe.yaml, weights.safetensors and preprocess.json are all an encoder needs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn

from geofix import recipes
from geofix.errors import WeightsError
from geofix.files import AnyPath, is_file, is_folder, write_atomically, write_json
from geofix.models.backbones import read_state
from geofix.models.build import build
from geofix.models.encoder import Encoder
from geofix.transforms import Preprocess

RECIPE, WEIGHTS, PREPROCESS, SCORES = "recipe.yaml", "weights.safetensors", "preprocess.json", "scores.json"
FILES = (RECIPE, PREPROCESS, WEIGHTS)
_SHIPPED = Path(__file__).parent / "shipped"


@dataclass(frozen=True, slots=True)
class Run:
    """An encoder with where it came from and the fingerprint that its descriptors carry.

    The fingerprint is a hash of weights, recipe and preprocessing: equal fingerprints, equal descriptors.
    """

    folder: Path
    encoder: Encoder = field(repr=False)
    fingerprint: str

    @property
    def name(self) -> str:
        """The recipe's name and the fingerprint's start, for people."""
        return f"{self.encoder.recipe.name} ({self.fingerprint[:8]})"


def save_run(encoder: Encoder, folder: Path) -> Run:
    """Write the three files (weights last, so that a folder with weights is whole). Raises StorageError."""
    write_atomically(folder / RECIPE, encoder.recipe.to_yaml())
    write_json(folder / PREPROCESS, encoder.preprocess.to_dict())
    write_atomically(folder / WEIGHTS, weights_file(encoder))
    return Run(folder, encoder, fingerprint(folder))


def weights_file(encoder: Encoder, dtype: torch.dtype = torch.float32) -> bytes:
    """An encoder's tensors as the bytes of a safetensors file, floating-point ones in that type."""
    state = {key: value.detach().contiguous().cpu() for key, value in encoder.state_dict().items()}
    return save({key: value.to(dtype) if value.is_floating_point() else value for key, value in state.items()})


def shipped_runs() -> dict[str, Path]:
    """The folders of the runs that come with geofix, by name."""
    return {folder.name: folder for folder in sorted(_SHIPPED.iterdir()) if is_file(folder / WEIGHTS)}


def load_run(folder: AnyPath) -> Run:
    """The run in a folder, or the shipped run of that name, ready to encode.

    Raises WeightsError that names what is missing or damaged.
    """
    folder = Path(folder)
    if not is_folder(folder):
        shipped = shipped_runs()
        if str(folder) in shipped:
            return load_run(shipped[str(folder)])
        raise WeightsError(
            f"There is no run folder at {folder}; make one with `geofix train RECIPE --out {folder}`, or name one "
            f"that comes with geofix: {', '.join(shipped)}."
        )
    missing = [name for name in FILES if not is_file(folder / name)]
    if missing:
        raise WeightsError(
            f"{folder} is no whole run folder: {', '.join(missing)} is missing; "
            "it may come from a run that was stopped: run the same train command again."
        )
    if not (folder / RECIPE).stat().st_size:
        raise WeightsError(f"{folder / RECIPE} is empty; copy the whole run folder again.")
    recipe = recipes.load_of_encoder(str(folder / RECIPE))
    try:
        preprocess = Preprocess.from_dict(dict(json.loads((folder / PREPROCESS).read_text(encoding="utf-8"))))
    except (ValueError, TypeError) as error:
        raise WeightsError(f"{folder / PREPROCESS} is damaged ({error}); copy the run again.") from error
    encoder = build(recipe, pretrained=False)
    encoder.preprocess = preprocess
    fill(encoder, read_state(folder / WEIGHTS), folder / WEIGHTS, "the recipe")
    return Run(folder, encoder.eval(), fingerprint(folder))


def fingerprint(folder: Path) -> str:
    """The hash of a run's three files, 32 hexadecimal digits."""
    digest = hashlib.sha256()
    for name in FILES:
        data = (folder / name).read_bytes()
        digest.update(f"{name} {len(data)}\n".encode())
        digest.update(data)
    return digest.hexdigest()[:32]


def copy_run(run: Run, folder: Path) -> None:
    """The run's three files in another folder, weights last. Raises StorageError."""
    for name in FILES:
        write_atomically(folder / name, (run.folder / name).read_bytes())


def fill(network: nn.Module, state: dict[str, torch.Tensor], path: Path, made_by: str) -> None:
    """Fill a network that was `made_by` a file beside `path` from the tensors in `path`. Raises WeightsError."""
    own = network.state_dict()
    foreign = sorted(set(own) ^ set(state)) or [key for key in own if own[key].shape != state[key].shape]
    if foreign:
        raise WeightsError(
            f"{path} does not fit {made_by} beside it ({foreign[0]} differs); the two files belong to "
            "different runs: copy the whole run folder again."
        )
    network.load_state_dict(state)
