"""Lightning's trainer as every way of learning here uses it: quiet, with checkpoints that are whole and run no code."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import warnings
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.plugins.io import CheckpointIO
from pytorch_lightning.utilities import rank_zero_only

from geofix.errors import UsageError, WeightsError, storage_error
from geofix.files import write_atomically
from geofix.recipes import Precision

CHECKPOINT, LOGS = "last.ckpt", "logs"


def is_helper() -> bool:
    """Whether this process was started by Lightning to train beside the first one; only the first writes and speaks."""
    rank: int = getattr(rank_zero_only, "rank", 0) or 0
    return rank > 0


def check_out(out: Path, resume: bool, *, begun: bool, left: Iterable[str]) -> None:
    """Refuse a folder with anything in it but what a stopped run of this command may have left, by name.

    `begun` says that a training was stopped there. Raises UsageError.
    """
    if not out.exists():
        return
    if begun and not resume:
        raise UsageError(
            f"{out} holds a training that was stopped; add --resume to go on with it, or choose a new folder with "
            "--out."
        )
    if not out.is_dir() or any(entry.name not in left and entry.suffix != ".part" for entry in out.iterdir()):
        raise UsageError(f"{out} exists and is not empty; choose a new folder with --out, or remove it first.")


class AtomicCheckpoints(CheckpointIO):
    """Checkpoints that are whole or not there, and that never run code when read."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        del storage_options
        buffer = BytesIO()
        torch.save(checkpoint, buffer)
        write_atomically(Path(path), buffer.getvalue())

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        del weights_only
        return read_checkpoint(Path(path), map_location or "cpu")

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


def read_checkpoint(path: Path, device: Any = "cpu") -> dict[str, Any]:
    """A checkpoint, without running code from it. Raises WeightsError when it is damaged."""
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        raise WeightsError(
            f"{path} cannot be read ({' '.join(str(error).split())[:200]}); remove the folder and start the training "
            "again."
        ) from error
    return checkpoint


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without Lightning's advice, none of which is the user's to follow, and with Ctrl-C as it was afterwards."""
    log, interrupt = logging.getLogger("pytorch_lightning"), signal.getsignal(signal.SIGINT)
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, interrupt)


def trainer_for(
    out: Path, rounds: int, watch: Callback, *, precision: Precision, devices: int = 1, accumulate: int = 1
) -> lightning.Trainer:
    """A trainer of so many rounds (its epochs), each with data of its own."""
    return lightning.Trainer(
        max_epochs=rounds,
        accelerator="auto",
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        sync_batchnorm=devices > 1 and torch.cuda.is_available(),
        precision="bf16-mixed" if precision == "bf16" else "32-true",
        accumulate_grad_batches=accumulate,
        reload_dataloaders_every_n_epochs=1,
        callbacks=[watch],
        plugins=[AtomicCheckpoints()],
        logger=TensorBoardLogger(str(out), name=LOGS, version=""),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
    )


def fit(trainer: lightning.Trainer, learner: lightning.LightningModule, path: Path | None, out: Path) -> None:
    """Train, from a checkpoint if there is one. Raises StorageError where the disk refuses something in `out`."""
    try:
        trainer.fit(learner, ckpt_path=path, weights_only=True)
    except OSError as error:
        raise storage_error(error, out) from error
    except SystemExit as error:  # what Lightning makes of Ctrl-C
        raise KeyboardInterrupt from error


def watch_state(path: Path, key: str) -> dict[str, Any]:
    """The state in a checkpoint of the watch that `key` is of.

    Raises WeightsError where that is of another recipe or other photos.
    """
    states = read_checkpoint(path).get("callbacks", {})
    found = [state for state in states.values() if isinstance(state, dict) and state.get("key") == key]
    if not found:
        raise WeightsError(
            f"{path} is of a training with another recipe or other photos; go on with the ones it was started with, or "
            "choose a new folder with --out."
        )
    return found[0]
