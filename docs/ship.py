"""Put a trained run into the package: python docs/ship.py RUN. Its recipe's name becomes its name.

Only runs trained on rendered worlds alone may be shipped; the model card in docs/cards/ is written by hand.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from geofix.files import write_atomically
from geofix.index_maps import FRAMES, VERIFIED_FRAMES
from geofix.models.runs import PREPROCESS, RECIPE, WEIGHTS, load_run, weights_file

SHIPPED = Path(__file__).parents[1] / "src" / "geofix" / "models" / "shipped"


def main() -> None:
    run = load_run(Path(sys.argv[1]))
    folder = SHIPPED / run.encoder.recipe.name
    for name in (RECIPE, PREPROCESS):
        write_atomically(folder / name, (run.folder / name).read_bytes())
    # Half precision halves the file; tests/test_shipped.py holds the recall it must keep.
    write_atomically(folder / WEIGHTS, weights_file(run.encoder, torch.float16))
    # What was learned on frames holds for the weights it was learned with; it is learned anew on these.
    for name in (FRAMES, VERIFIED_FRAMES):
        (folder / name).unlink(missing_ok=True)
    print(f"{folder}: {(folder / WEIGHTS).stat().st_size / 1e6:.1f} MB, {load_run(folder).name}")  # noqa: T201


if __name__ == "__main__":
    main()
