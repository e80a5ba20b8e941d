"""The course of a training: epochs, the choice of weights, checkpoints, the log. Lightning's trainer goes through it.

What is kept in the run folder while it lasts: `last.ckpt` (all it takes to go on), `best.safetensors` (the weights
chosen so far), `metrics.csv` (a row an epoch) and `logs/` (for TensorBoard).
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import Callback
from safetensors.torch import load_file

from geofix.data.places import Benchmark
from geofix.encode import Inference
from geofix.errors import PhotoError, StorageError, TrainingError, storage_error
from geofix.evaluate import recall_now
from geofix.files import is_file, write_atomically
from geofix.learn.checkpoints import CHECKPOINT, quietly, trainer_for, watch_state
from geofix.learn.learner import Learner
from geofix.models.runs import weights_file

BEST, METRICS = "best.safetensors", "metrics.csv"
CURVES = "curves.png"  # drawn from METRICS by whoever shows things to people
COLUMNS = ("epoch", "steps", "loss", "learning_rate", "false_negatives", "recall@1", "recall@5", "seconds")

Row = dict[str, float | int | None]


@dataclass(frozen=True, slots=True)
class Course:
    """How a training went: a row an epoch (0 is the untrained encoder), the epoch whose weights were chosen, and
    why it stopped.
    """

    history: tuple[Row, ...]
    best_epoch: int
    stopped: str
    unreadable: tuple[PhotoError, ...] = ()


def go_through(
    learner: Learner,
    mark: Benchmark | None,
    out: Path,
    *,
    key: str,
    devices: int = 1,
    measure_every: int = 1,
    keep_last: bool = False,
    after_epoch: Callable[[], None] | None = None,
) -> Course:
    """Train the learner's encoder in place and leave it with the weights that were best on `mark` (R@5, then R@1), or
    with those of the last epoch (`keep_last`), whatever was measured.

    It is measured after every `measure_every` epochs and after the last; without `mark` never. A checkpoint in `out` is
    gone on from; `key` says what recipe and data it must be of. Raises TrainingError when the loss is no number, and
    StorageError when the disk is full; both name the last good weights.
    """
    recipe, lesson = learner.recipe, learner.lesson
    watch = _Watch(out, mark, key, measure_every, keep_last, after_epoch)
    path: Path | None = out / CHECKPOINT
    if path is not None and is_file(path):
        watch.load_state_dict(watch_state(path, key))
    else:
        path = None
    if watch.stopped or len(watch.history) > recipe.epochs:  # only the scores were missing
        return _ended(watch, learner)
    with quietly():
        trainer = trainer_for(
            out,
            recipe.epochs * lesson.rounds,
            watch,
            precision=recipe.train_precision,
            devices=devices,
            accumulate=recipe.accumulate,
        )
        try:
            trainer.fit(learner, ckpt_path=path, weights_only=True)
        except TrainingError as error:
            raise TrainingError(f"{error}; {watch.last_good()}") from error
        except StorageError as error:
            raise StorageError(f"{error} {_first_upper(watch.last_good())}") from error
        except OSError as error:
            raise storage_error(error, out) from error
        except SystemExit as error:  # what Lightning makes of Ctrl-C
            raise KeyboardInterrupt from error
    return _ended(watch, learner)


def _ended(watch: _Watch, learner: Learner) -> Course:
    encoder = learner.encoder
    if watch.best_epoch and not watch.keep_last:
        encoder.load_state_dict(load_file(watch.out / BEST))
    encoder.eval().to("cpu")
    return Course(
        tuple(watch.history), watch.best_epoch, watch.stopped, (*learner.lesson.unreadable, *learner.unreadable)
    )


class _Watch(Callback):
    """Measures after each epoch, keeps the best weights and the checkpoint, and stops when nothing gets better."""

    def __init__(
        self,
        out: Path,
        mark: Benchmark | None,
        key: str,
        measure_every: int,
        keep_last: bool,
        after_epoch: Callable[[], None] | None,
    ) -> None:
        self.out = out
        self.mark = mark
        self.key = key
        self.measure_every = measure_every
        self.keep_last = keep_last
        self.after_epoch = after_epoch
        self.history: list[Row] = []
        self.best_epoch = 0
        self.stopped = ""
        self.partial = (0.0, 0, 0)  # loss, steps and false negatives of the rounds before, in this epoch
        self.seconds_before = 0.0
        self.began = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {
            "key": self.key,
            "history": self.history,
            "best_epoch": self.best_epoch,
            "partial": list(self.partial),
            "seconds": self._seconds(),
            "stopped": self.stopped,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.history = list(state_dict["history"])
        self.best_epoch = int(state_dict["best_epoch"])
        loss, steps, found = state_dict["partial"]
        self.partial = (float(loss), int(steps), int(found))
        self.seconds_before = float(state_dict["seconds"])
        self.stopped = str(state_dict["stopped"])

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """The untrained encoder's score starts the log."""
        if not self.history:
            self._log(trainer, _learner(pl_module), epoch=0, loss=None, steps=0, found=0)
            if self.after_epoch and trainer.is_global_zero:
                self.after_epoch()

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Each round counts from where the rounds before it in its epoch left off."""
        learner = _learner(pl_module)
        learner.loss_sum, learner.loss_steps, found = self.partial
        learner.false_negatives += found
        if learner.false_negatives:
            raise TrainingError(
                f"The mining audit found {learner.false_negatives} negatives within the distance of positives in epoch "
                f"{self._epoch(trainer, learner)}; this is a fault of geofix, please report it"
            )

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any, **__: Any
    ) -> None:
        """Tell how far it is."""
        learner = _learner(pl_module)
        if learner.progress:
            lesson = learner.lesson
            total = lesson.steps * lesson.rounds * learner.recipe.epochs
            done = trainer.current_epoch * lesson.steps + trainer.fit_loop.batch_idx + 1
            learner.progress("training", min(done, total), total)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """After the last round of an epoch: measure, choose, decide whether to go on. After each round: save."""
        learner = _learner(pl_module)
        if (trainer.current_epoch + 1) % learner.lesson.rounds == 0:
            epoch = self._epoch(trainer, learner)
            loss = learner.loss_sum / learner.loss_steps if learner.loss_steps else None
            self._log(trainer, learner, epoch, loss, learner.loss_steps, learner.false_negatives)
            self._choose(learner, epoch)
            self.partial = (0.0, 0, 0)
            if epoch - self.best_epoch >= learner.recipe.patience * self.measure_every:
                self.stopped = f"no better R@5 for {learner.recipe.patience * self.measure_every} epochs"
                trainer.should_stop = True
        else:
            self.partial = (learner.loss_sum, learner.loss_steps, learner.false_negatives)
        learner.false_negatives = 0
        learner.end_round()
        trainer.save_checkpoint(self.out / CHECKPOINT)
        if self.after_epoch and trainer.is_global_zero:
            self.after_epoch()

    def last_good(self) -> str:
        """Which weights are safe, for the sentence of an error."""
        if not self.best_epoch:
            return "no epoch had been completed, so there are no weights; start again with a lower learning_rate."
        if self.keep_last:
            return (
                f"the state after epoch {self.best_epoch} is in {self.out / CHECKPOINT}: go on from there with "
                "--resume once the cause is mended, or start again with a lower learning_rate."
            )
        return (
            f"the weights of epoch {self.best_epoch}, the best so far, are in {self.out / BEST}: go on from the last "
            "checkpoint with --resume once the cause is mended, or start again with a lower learning_rate."
        )

    def _log(
        self, trainer: lightning.Trainer, learner: Learner, epoch: int, loss: float | None, steps: int, found: int
    ) -> None:
        recall = self._recall(learner) if self._measures(epoch, learner) else None
        rate = trainer.optimizers[0].param_groups[0]["lr"] if trainer.optimizers else None
        row = log_row(
            epoch,
            recall,
            self._seconds(),
            steps=steps,
            loss=loss,
            learning_rate=rate if epoch else None,
            false_negatives=found,
        )
        self.history.append(row)
        if not trainer.is_global_zero:
            return
        write_atomically(self.out / METRICS, as_csv(self.history))
        if trainer.logger is not None:
            numbers = {key: float(value) for key, value in row.items() if value is not None and key != "epoch"}
            trainer.logger.log_metrics(numbers, step=epoch)

    def _measures(self, epoch: int, learner: Learner) -> bool:
        return self.mark is not None and (epoch % self.measure_every == 0 or epoch == learner.recipe.epochs)

    def _recall(self, learner: Learner) -> dict[int, float]:
        assert self.mark is not None
        report = learner.progress
        inference = Inference(learner.encoder, learner.recipe.precision, str(learner.device))
        tell = (lambda done, total: report("measuring", done, total)) if report else None
        return recall_now(inference, self.mark, (1, 5), tell)

    def _choose(self, learner: Learner, epoch: int) -> None:
        """Keep this epoch's weights if they are the best trained ones so far: by R@5, equal ones by R@1."""
        if self.keep_last:
            self.best_epoch = epoch
            return
        if not self._measures(epoch, learner) or not better(self.history, epoch, self.best_epoch):
            return
        self.best_epoch = epoch
        if learner.trainer.is_global_zero:
            write_atomically(self.out / BEST, weights_file(learner.encoder))

    def _epoch(self, trainer: lightning.Trainer, learner: Learner) -> int:
        return trainer.current_epoch // learner.lesson.rounds + 1

    def _seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.began


def log_row(
    epoch: int,
    recall: dict[int, float] | None,
    seconds: float,
    *,
    steps: int,
    loss: float | None,
    learning_rate: float | None = None,
    false_negatives: int = 0,
) -> Row:
    """One epoch of the log, with the columns of metrics.csv."""
    return {
        "epoch": epoch,
        "steps": steps,
        "loss": loss,
        "learning_rate": learning_rate,
        "false_negatives": false_negatives,
        "recall@1": None if recall is None else recall[1],
        "recall@5": None if recall is None else recall[5],
        "seconds": round(seconds, 1),
    }


def as_csv(history: list[Row]) -> str:
    """The log as CSV, a row an epoch; recall as fractions."""
    buffer = StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: "" if value is None else value for key, value in row.items()} for row in history)
    return buffer.getvalue()


def _learner(module: lightning.LightningModule) -> Learner:
    assert isinstance(module, Learner)
    return module


def _first_upper(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def improved(history: tuple[Row, ...], best_epoch: int) -> bool:
    """Whether the chosen weights are better than the untrained ones where weights were chosen (R@5, then R@1)."""
    rows = _recalls(history)
    return bool(best_epoch) and rows[best_epoch] > rows[0]


def better(history: Sequence[Row], epoch: int, best_epoch: int) -> bool:
    """Whether an epoch is the best trained one so far: by R@5, equal ones by R@1; the first always is."""
    rows = _recalls(history)
    return not best_epoch or rows[epoch] > rows[best_epoch]


def _recalls(history: Sequence[Row]) -> dict[int, tuple[float, float]]:
    """(R@5, R@1) by epoch: what weights are chosen by."""
    return {int(row["epoch"] or 0): (float(row["recall@5"] or 0), float(row["recall@1"] or 0)) for row in history}
