"""encode: photos -> descriptors. The only inference loop in the project."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import itertools
import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from geofix.errors import PhotoError, StorageError
from geofix.files import write_atomically
from geofix.heap import freed_memory_is_kept
from geofix.models.encoder import Encoder
from geofix.models.runs import Run
from geofix.night.translators import Translator
from geofix.photos import Photo, read_pixels
from geofix.recipes import Precision
from geofix.shapes import DescriptorRows, Pixels
from geofix.tensors import Maps, PixelBatch, StageMaps
from geofix.transforms import Method, Preprocess, crops_per_query, normalised, stacked, views
from geofix.version import __version__

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Called with (done, total) now and then."""

# What one photo of 480x640 frees is small enough for any allocator to keep; where the process keeps what is freed, four
# at a time are 5 % faster. Smaller photos are put together until they are as much work.
CPU_BATCH_PIXELS = 480 * 640
_KEPT_BATCH_PIXELS = 4 * CPU_BATCH_PIXELS
LARGEST_BATCH = 32
_LOOKAHEAD = 4  # batches decoded ahead of the network, at least
_JOURNAL_PHOTOS = 128  # photos between two saved states of a long run


@dataclass(frozen=True, slots=True)
class Encoded:
    """Descriptors (m, crops, d) of the m photos that could be used, their row numbers among the photos asked
    for, and one error for each of the others.
    """

    descriptors: np.ndarray
    rows: np.ndarray
    errors: tuple[PhotoError, ...]

    @property
    def single(self) -> DescriptorRows:
        """The descriptors (m, d) of methods with one view a photo."""
        assert self.descriptors.shape[1] == 1
        return np.ascontiguousarray(self.descriptors[:, 0])


@runtime_checkable
class Describes(Protocol):
    """What turns pixels of one size into a row of numbers each."""

    preprocess: Preprocess
    descriptor_length: int

    def __call__(self, batch: PixelBatch) -> DescriptorRows:
        """Pixels -> float32 rows (n, d) in the computer's main memory."""

    @property
    def batch_size(self) -> int:
        """Photos a batch that suit the device."""


def photos_at_once(size: tuple[int, int], device: torch.device) -> int:
    """How many photos of rows x columns a network is given together."""
    if device.type != "cpu":
        return LARGEST_BATCH
    pixels = _KEPT_BATCH_PIXELS if freed_memory_is_kept() else CPU_BATCH_PIXELS
    return min(LARGEST_BATCH, max(1, pixels // (size[0] * size[1])))


class Inference:
    """An encoder made ready to run fast: batch norm folded into convolutions, channels last, chosen precision.

    bf16 runs the trunk in bfloat16 and everything after it in float32. The encoder given is left as it is.
    """

    def __init__(self, encoder: Encoder, precision: Precision = "fp32", device: str | None = None) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.preprocess = encoder.preprocess
        self.descriptor_length = encoder.descriptor_length
        self.encoder = copy.deepcopy(encoder).eval().requires_grad_(False)
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        for one in self.encoder.with_trunks():
            one.trunk = fused(one.trunk)
            one.trunk.to(dtype=self.dtype)
        self.encoder.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def __call__(self, batch: PixelBatch) -> DescriptorRows:
        """Pixels of one size -> float32 descriptors (n, d) in the computer's main memory."""
        images = normalised(batch.to(self.device), self.preprocess).to(self.dtype)
        descriptors = self.encoder(images)
        return np.asarray(descriptors.float().cpu().numpy())

    @property
    def batch_size(self) -> int:
        """Photos a batch that suit the device."""
        return photos_at_once(self.preprocess.size, self.device)


def fused(trunk: nn.Module) -> nn.Module:
    """The trunk with each batch norm folded into the convolution defined right before it, and each ReLU done after
    the max pooling defined right behind it, where a quarter of the numbers are left.

    Definition order is only a guess at call order, so the result is compared with the original on random
    input and given up where the two differ, or where the trunk takes images of another size only. Works on a
    copy.
    """
    faster, changes = copy.deepcopy(trunk), 0
    for module in faster.modules():
        for (name, child), (next_name, following) in itertools.pairwise(list(module.named_children())):
            if type(child) is nn.Conv2d and type(following) is nn.BatchNorm2d:
                if child.out_channels != following.num_features:
                    continue
                setattr(module, name, fuse_conv_bn_eval(child, following))
                setattr(module, next_name, nn.Identity())
            elif type(child) is nn.ReLU and type(following) is nn.MaxPool2d:
                setattr(module, name, following)
                setattr(module, next_name, child)
            else:
                continue
            changes += 1
    if not changes:
        return trunk
    probe = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    try:
        with torch.inference_mode():
            pairs = zip(_every_stage(faster(probe)), _every_stage(trunk(probe)), strict=True)
            same = all(torch.allclose(one, other, rtol=1e-3, atol=1e-3) for one, other in pairs)
    except (AssertionError, RuntimeError):  # what networks of one fixed size raise for the probe's
        return trunk
    return faster if same else trunk


def _every_stage(maps: Maps | tuple[StageMaps, ...]) -> tuple[StageMaps, ...]:
    return maps if isinstance(maps, tuple) else (maps,)


def encode(
    run: Run,
    photos: Sequence[Photo],
    *,
    method: Method = "hard_resize",
    precision: Precision | None = None,
    translator: Translator | None = None,
    journal: Path | None = None,
    progress: Progress | None = None,
) -> Encoded:
    """Descriptors of photos, in order; photos that cannot be read are reported, not fatal.

    `translator` makes another picture of each photo before the encoder sees it, but for those whose condition is
    known and not night. With `journal`, a folder, finished parts are kept there, and the same call after a kill goes on
    behind them.
    """
    inference = Inference(run.encoder, precision or run.encoder.recipe.precision)
    parts: list[Encoded] = []
    done = 0
    for start in range(0, len(photos), _JOURNAL_PHOTOS):
        chunk = photos[start : start + _JOURNAL_PHOTOS]
        key = _journal_key(run, chunk, method, precision, translator) if journal else ""
        part = _recall(journal, key)
        if part is None:
            part = encode_chunk(inference, chunk, method, translator, _shifted(progress, done, len(photos)))
            _remember(journal, key, part)
        parts.append(Encoded(part.descriptors, part.rows + start, part.errors))
        done += len(chunk)
        if progress:
            progress(done, len(photos))
    return _joined(parts, crops_per_query(method), inference.descriptor_length)


def encode_chunk(
    inference: Inference,
    photos: Sequence[Photo],
    method: Method = "hard_resize",
    translator: Translator | None = None,
    progress: Progress | None = None,
) -> Encoded:
    """As `encode`, with an encoder that is ready, for callers that save their own progress."""
    size = inference.preprocess.size
    target = size if method == "hard_resize" else (max(size), max(size))

    def look(photo: Photo) -> list[Pixels]:
        if translator is None or photo.condition not in (None, "night"):
            return views(read_pixels(photo.path, target=target, exactly=method == "hard_resize"), size, method)
        return views(translator.translate(read_pixels(photo.path), 0), size, method)

    names = [str(photo.path) for photo in photos]
    return encode_views(inference, photos, look, names, crops_per_query(method), progress)


def encode_views(
    inference: Describes,
    sources: Sequence[T],
    look: Callable[[T], list[Pixels]],
    names: Sequence[str],
    crops: int = 1,
    progress: Progress | None = None,
) -> Encoded:
    """Descriptors of whatever `look` makes `crops` pictures of; `names` are for messages.

    Several threads look at once and ahead of the network. What `look` raises as PhotoError is reported, not fatal.
    """
    rows: list[int] = []
    found: list[np.ndarray] = []
    errors: list[tuple[int, PhotoError]] = []
    for numbers, batch, failed in _batches(inference, sources, look, crops):
        errors += failed
        if batch is not None:
            descriptors = inference(batch).reshape(len(numbers), crops, -1)
            finite = np.isfinite(descriptors).all(axis=(1, 2))
            rows += [number for number, good in zip(numbers, finite, strict=True) if good]
            found.append(descriptors[finite])
            errors += [(numbers[row], _no_number(names[numbers[row]])) for row in np.flatnonzero(~finite)]
        if progress:
            progress(len(rows) + len(errors), len(sources))
    empty = np.empty((0, crops, inference.descriptor_length), dtype=np.float32)
    in_order = tuple(error for _, error in sorted(errors, key=lambda one: one[0]))
    return Encoded(np.concatenate(found) if found else empty, np.array(rows, dtype=np.int64), in_order)


def _no_number(name: str) -> PhotoError:
    return PhotoError(f"{name} got a descriptor that is no number; check the encoder's weights.")


def _batches(
    inference: Describes, sources: Sequence[T], look: Callable[[T], list[Pixels]], crops: int
) -> Iterator[tuple[list[int], PixelBatch | None, list[tuple[int, PhotoError]]]]:
    """Runs of sources whose views have one size, decoded ahead by threads while the network works."""
    numbers: list[int] = []
    waiting: list[Pixels] = []
    errors: list[tuple[int, PhotoError]] = []
    for number, seen in _decoded(sources, look, inference.batch_size * _LOOKAHEAD):
        if isinstance(seen, PhotoError):
            errors.append((number, seen))
            continue
        full = len(waiting) >= inference.batch_size * crops
        if waiting and (full or waiting[0].shape != seen[0].shape):
            yield numbers, stacked(waiting), errors
            numbers, waiting, errors = [], [], []
        numbers.append(number)
        waiting += seen
    yield numbers, stacked(waiting) if waiting else None, errors


def _decoded(
    sources: Sequence[T], look: Callable[[T], list[Pixels]], ahead: int
) -> Iterator[tuple[int, list[Pixels] | PhotoError]]:
    def job(source: T) -> list[Pixels] | PhotoError:
        try:
            return look(source)
        except PhotoError as error:
            return error

    workers = max(1, min(8, (os.cpu_count() or 2) // 2))
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        pending: deque[tuple[int, Future[list[Pixels] | PhotoError]]] = deque()
        for number, source in enumerate(sources):
            pending.append((number, pool.submit(job, source)))
            if len(pending) > ahead:
                first, future = pending.popleft()
                yield first, future.result()
        for first, future in pending:
            yield first, future.result()


def _shifted(progress: Progress | None, done: int, total: int) -> Progress | None:
    if progress is None:
        return None
    return lambda now, _: progress(done + now, total)


def _joined(parts: list[Encoded], crops: int, length: int) -> Encoded:
    if not parts:
        return Encoded(np.empty((0, crops, length), dtype=np.float32), np.empty(0, dtype=np.int64), ())
    return Encoded(
        np.concatenate([part.descriptors for part in parts]),
        np.concatenate([part.rows for part in parts]),
        tuple(error for part in parts for error in part.errors),
    )


def _journal_key(
    run: Run, photos: Sequence[Photo], method: Method, precision: str | None, translator: Translator | None
) -> str:
    """Changes with the encoder, the way of looking, and any photo's name, size or time."""
    changed = translator.fingerprint if translator else ""
    digest = hashlib.sha256(f"{__version__} {run.fingerprint} {method} {precision} {changed}\n".encode())
    for photo in photos:
        try:
            stat = photo.path.stat()
            digest.update(f"{photo.path}\t{stat.st_size}\t{stat.st_mtime_ns}\n".encode(errors="surrogateescape"))
        except OSError:
            digest.update(f"{photo.path}\tmissing\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def _recall(journal: Path | None, key: str) -> Encoded | None:
    if journal is None:
        return None
    try:
        data = (journal / f"{key}.npz").read_bytes()  # NumPy leaves a damaged file open
        with np.load(BytesIO(data), allow_pickle=False) as saved:
            errors = tuple(PhotoError(text) for text in json.loads(str(saved["errors"])))
            return Encoded(saved["descriptors"], saved["rows"], errors)
    except Exception:  # absent, or damaged by something other than us: encode that part again
        return None


def _remember(journal: Path | None, key: str, part: Encoded) -> None:
    if journal is None:
        return
    buffer = BytesIO()
    errors = json.dumps([str(error) for error in part.errors])
    np.savez(buffer, descriptors=part.descriptors, rows=part.rows, errors=np.array(errors))
    # A journal only saves time: where it cannot be written, the work itself still goes on.
    with contextlib.suppress(StorageError):
        write_atomically(journal / f"{key}.npz", buffer.getvalue())
