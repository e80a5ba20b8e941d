"""evaluate: an encoder and a benchmark -> scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from geofix import metrics
from geofix.crossview import Distractors, WholeRanking, whole_ranking, without_distractors
from geofix.data.places import Benchmark, Dataset, Split, benchmark, without
from geofix.data.views import directed
from geofix.encode import Encoded, Inference, Progress, encode, encode_chunk
from geofix.errors import DataError, PhotoError, ProtocolError, UsageError
from geofix.metrics import APKind
from geofix.models.components import PrincipalComponents, check_components
from geofix.models.runs import Run
from geofix.night.translators import Translator
from geofix.photos import Photo
from geofix.recipes import Precision
from geofix.search import nearest_without
from geofix.shapes import DescriptorRows, Distances, Neighbours, Ranks
from geofix.slices import Slices, slices_of
from geofix.sweeps import Sweep, sweep_of
from geofix.transforms import Method

RECALLS_AT = (1, 5, 10, 20)
PCA_MOST_PHOTOS = 2**14  # as in the benchmark's code
MAJORITY_WEIGHT = 0.01  # as in the benchmark's code
_SAME_TO_COMPARE = (
    "split_hash", "direction", "distractors", "ap", "threshold_m", "exclude_nearer_than_m", "method", "image_size",
    "pca",
)  # fmt: skip
_ONE_VIEW = frozenset({"hard_resize", "single_query", "central_crop", "five_crops"})  # one descriptor a query


@dataclass(frozen=True, eq=False)
class Predictions:
    """What was retrieved: per query k rows of `gallery` (-1 for none), nearest first, and their distances.

    For maj_voting these are squared distances less what the votes took off, as the ranking is made of them.
    """

    queries: tuple[Photo, ...]
    gallery: tuple[Photo, ...]
    neighbours: Neighbours
    distances: Distances


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What an encoder reached on a benchmark: fractions, with the protocol they were measured under.

    `ranks[q]` is the 0-based rank of query q's first relevant match (metrics.NEVER for none in reach).
    `predictions` is None for scores read back from a file. `whole` is there where views ask for each other: average
    precision over the whole gallery.
    """

    recall: dict[int, float]
    recall_ci95: dict[int, tuple[float, float]]
    queries: int
    answerable: int
    gallery: int
    protocol: dict[str, Any]
    names: tuple[str, ...]
    clusters: tuple[str, ...]
    ranks: Ranks
    slices: Slices = field(default_factory=dict)
    sweep: Sweep | None = None
    predictions: Predictions | None = None
    errors: tuple[PhotoError, ...] = ()
    whole: WholeRanking | None = None

    def to_dict(self) -> dict[str, Any]:
        """The form of scores.json; `ranks` there are 1-based, null where nothing relevant was found."""
        direction = self.protocol.get("direction")
        return {
            "task": "crossview" if direction else "places",
            **({"direction": direction} if direction else {}),
            "recall": {str(n): value for n, value in self.recall.items()},
            "recall_ci95": {str(n): list(value) for n, value in self.recall_ci95.items()},
            **({} if self.whole is None else self.whole.to_dict()),
            "queries": self.queries,
            "answerable": self.answerable,
            "gallery": self.gallery,
            "protocol": self.protocol,
            "slices": self.slices,
            **({} if self.sweep is None else {"sweep": self.sweep.to_dict()}),
            "per_query": {
                name: {"rank": None if rank == metrics.NEVER else int(rank) + 1, "cluster": cluster, **precision}
                for name, rank, cluster, precision in zip(
                    self.names, self.ranks, self.clusters, self._precisions(), strict=True
                )
            },
        }

    def _precisions(self) -> list[dict[str, float]]:
        if self.whole is None:
            return [{}] * len(self.names)
        return [{"ap": value} for value in self.whole.precisions.tolist()]

    @classmethod
    def from_dict(cls, fields: dict[str, Any], where: str) -> Scores:
        """Scores read back from scores.json. Raises ProtocolError when it is none or lacks the queries' ranks."""
        try:
            per_query: dict[str, dict[str, Any]] = fields["per_query"]
            ranks = [metrics.NEVER if row["rank"] is None else int(row["rank"]) - 1 for row in per_query.values()]
            clusters = tuple(str(row["cluster"]) for row in per_query.values())
            whole = None
            if "ap" in fields:
                whole = WholeRanking(
                    np.array(ranks, dtype=np.int64),
                    np.array([float(row["ap"]) for row in per_query.values()]),
                    fields["protocol"]["ap"],
                    int(fields["protocol"]["top_percent"]),
                    clusters,
                )
            return cls(
                recall={int(n): float(value) for n, value in fields["recall"].items()},
                recall_ci95={int(n): (float(v[0]), float(v[1])) for n, v in fields["recall_ci95"].items()},
                queries=int(fields["queries"]),
                answerable=int(fields["answerable"]),
                gallery=int(fields["gallery"]),
                protocol=dict(fields["protocol"]),
                names=tuple(per_query),
                clusters=clusters,
                ranks=np.array(ranks, dtype=np.int64),
                whole=whole,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ProtocolError(
                f"{where} holds no scores that can be compared ({type(error).__name__}: {error}); "
                "write them anew with `geofix evaluate RUN --data DIR --json FILE`."
            ) from error


@dataclass(frozen=True, slots=True)
class Comparison:
    """Second minus first on the same queries: per N the difference of recall, its 95 % interval and p-value; and of
    the average precision, where both have one.
    """

    differences: dict[int, tuple[float, float, float, float]]
    clusters: int
    ap: tuple[float, float, float, float] | None = None


def evaluate(
    run: Run,
    dataset: Dataset,
    *,
    split: str = "test",
    direction: str | None = None,
    distractors: Distractors = "keep",
    ap: APKind = "trapezoid",
    method: Method = "hard_resize",
    recalls_at: Sequence[int] = RECALLS_AT,
    threshold_m: float = 25.0,
    exclude_nearer_than_m: float | None = None,
    pca: int | None = None,
    precision: Precision | None = None,
    night_to_day: Translator | None = None,
    journal: Path | None = None,
    progress: Progress | None = None,
) -> Scores:
    """Recall of a run on one split of a dataset, R@1/5/10/20 within 25 m unless told otherwise.

    Where the split has views, `direction` (drone-satellite: QUERY-GALLERY) chooses which of them ask and which
    are searched; `views.from_views` says what is taken without it. Such scores have average precision, too, of the kind
    `ap`, and `distractors` "drop" leaves gallery photos of places out that nobody asks about. Gallery photos are always
    hard_resize, queries as `method` says. Photos that cannot be read are left out of the gallery, and count as misses
    among the queries. `pca` reduces descriptors by a PCA fitted on the train split, or on the gallery where the dataset
    has none (the protocol says which). `night_to_day` is put before the encoder for queries, but for those whose
    condition is known and not night.
    """
    _check_recalls(recalls_at)
    if exclude_nearer_than_m is not None and not 0 < exclude_nearer_than_m < float("inf"):
        raise UsageError(
            f"Photos nearer than {exclude_nearer_than_m:g} m were to be left out; a number of metres above 0 is "
            "expected."
        )
    part = dataset.split(split) if direction is None else directed(dataset.split(split), direction)
    mark = benchmark(part, threshold_m=threshold_m, exclude_nearer_than_m=exclude_nearer_than_m)
    gallery_size = len(mark.gallery)
    if distractors == "drop":
        if part.direction is None:
            raise UsageError("Distractors are dropped where views ask for each other; this split has no views.")
        mark = without_distractors(mark)
    basis = _pca_basis(dataset, part) if pca is not None else ()
    if pca is not None:  # before hours are spent on descriptors
        check_components(pca, len(basis), run.encoder.descriptor_length)
    total = len(mark.gallery) + len(mark.queries) + len(basis)

    def described(photos: Sequence[Photo], way: Method, before: int, through: Translator | None = None) -> Encoded:
        report = _moved(progress, before, total)
        return encode(
            run, photos, method=way, precision=precision, translator=through, journal=journal, progress=report
        )

    gallery = described(mark.gallery, "hard_resize", 0)
    once = part.leave_one_out and method == "hard_resize" and night_to_day is None
    queries = gallery if once else described(mark.queries, method, len(mark.gallery), night_to_day)
    if not len(gallery.rows) or not len(queries.rows):
        side, lost = ("query", queries) if len(gallery.rows) else ("gallery", gallery)
        raise DataError(f"None of the {side} photos of split {split!r} can be used. The first: {lost.errors[0]}")
    reduce = _pca(described(basis, "hard_resize", total - len(basis)).single, pca) if pca is not None else None
    errors = gallery.errors if once else gallery.errors + queries.errors
    used = _readable(mark, gallery)
    distances, neighbours = _ranking(queries, gallery.single, used, method, max(recalls_at), reduce)
    whole = None
    if part.direction is not None and method in _ONE_VIEW:
        rows = queries.descriptors.mean(axis=1)
        described_gallery = gallery.single
        if reduce is not None:
            rows, described_gallery = reduce(rows), reduce(described_gallery)
        whole = whole_ranking(used, queries.rows, rows, described_gallery, ap, gallery_size)
    protocol = {
        **_protocol(run, dataset, part, mark),
        **({} if whole is None else {"distractors": distractors, "ap": ap, "top_percent": whole.top_percent}),
        "method": method,
        "precision": precision or run.encoder.recipe.precision,
        "night_to_day": None if night_to_day is None else night_to_day.name,
        "pca": None if not pca else {"components": pca, "fitted_on": "train" if _has_train(dataset) else "gallery"},
        "unreadable": len(errors),
    }
    return _scored(used, neighbours, distances, recalls_at, protocol, errors, whole)


def recall_now(
    inference: Inference, mark: Benchmark, recalls_at: Sequence[int], progress: Progress | None = None
) -> dict[int, float]:
    """Recall of an encoder as it is, without scores to keep: what training looks at between epochs."""
    total = len(mark.gallery) + len(mark.queries)
    gallery = encode_chunk(inference, mark.gallery, progress=_moved(progress, 0, total))
    queries = encode_chunk(inference, mark.queries, progress=_moved(progress, len(mark.gallery), total))
    return recall_of(queries, gallery, mark, recalls_at)


def recall_of(queries: Encoded, gallery: Encoded, mark: Benchmark, recalls_at: Sequence[int]) -> dict[int, float]:
    """Recall of descriptors of a benchmark's queries and gallery; those without a descriptor are left out or missed."""
    if not len(gallery.rows):
        return dict.fromkeys(recalls_at, 0.0)
    used = _readable(mark, gallery)
    _, neighbours = _ranking(queries, gallery.single, used, "hard_resize", max(recalls_at), None)
    ranks = metrics.first_relevant_ranks(neighbours, used.relevant)
    return {n: metrics.recall(ranks, n) for n in recalls_at}


def _moved(progress: Progress | None, before: int, total: int) -> Progress | None:
    return (lambda done, _: progress(before + done, total)) if progress else None


def compare(first: Scores, second: Scores, allow_unlike: Sequence[str] = ()) -> Comparison:
    """Second minus first, paired query by query, clustered. Raises ProtocolError for unlike protocols."""
    for key in allow_unlike:
        if key not in _SAME_TO_COMPARE:
            raise UsageError(f"{key!r} is no part of the protocol; --allow-unlike takes {', '.join(_SAME_TO_COMPARE)}.")
    unlike = [
        f"{key} is {first.protocol.get(key)} and {second.protocol.get(key)}"
        for key in _SAME_TO_COMPARE
        if key not in allow_unlike and first.protocol.get(key) != second.protocol.get(key)
    ]
    if unlike or first.names != second.names:
        what = "; ".join(unlike) or "their queries differ"
        raise ProtocolError(
            f"These scores were measured under unlike protocols and must not be compared: {what}. "
            "Evaluate both the same way."
        )
    at = [n for n in first.recall if n in second.recall]
    differences = {n: metrics.paired_difference(first.ranks < n, second.ranks < n, first.clusters) for n in at}
    ap = None
    if first.whole is not None and second.whole is not None:
        ap = metrics.paired_difference(first.whole.precisions, second.whole.precisions, first.clusters)
    return Comparison(differences, len(set(first.clusters)), ap)


def _check_recalls(recalls_at: Sequence[int]) -> None:
    if not recalls_at or min(recalls_at) < 1:
        raise UsageError(f"Recall at {list(recalls_at)} was asked for; whole numbers from 1 on are expected.")


def _protocol(run: Run, dataset: Dataset, part: Split, mark: Benchmark) -> dict[str, Any]:
    """What was measured on what: the part of the protocol that data and encoder decide."""
    recipe = run.encoder.recipe
    return {
        "data": dataset.root.name,
        "layout": dataset.layout,
        "split": mark.name,
        "split_hash": mark.split_hash,
        "direction": part.direction,
        "leave_one_out": part.leave_one_out,
        "threshold_m": mark.threshold_m,
        "exclude_nearer_than_m": mark.exclude_nearer_than_m,
        "without_position": mark.without_position,
        "encoder": run.fingerprint,
        "recipe": recipe.name,
        **run.encoder.origin(),
        "image_size": list(run.encoder.preprocess.size),
    }


def _readable(mark: Benchmark, gallery: Encoded) -> Benchmark:
    """The benchmark with only those gallery photos that have a descriptor."""
    read = set(gallery.rows.tolist())
    return without(mark, {photo.name for row, photo in enumerate(mark.gallery) if row not in read})


def _ranking(
    queries: Encoded, gallery: DescriptorRows, mark: Benchmark, method: Method, k: int, reduce: Any
) -> tuple[Distances, Neighbours]:
    """The k best gallery rows of every query of the benchmark; unreadable queries have none."""
    excluded = [mark.excluded[row] for row in queries.rows]
    crops = queries.descriptors
    if method == "five_crops":
        crops = crops.mean(axis=1, keepdims=True)
    if reduce is not None:
        gallery = reduce(gallery)
        crops = reduce(crops.reshape(-1, crops.shape[-1])).reshape(*crops.shape[:2], -1)
    distances = np.full((len(mark.queries), k), np.inf, dtype=np.float32)
    rows = np.full((len(mark.queries), k), -1, dtype=np.int64)
    if method in ("nearest_crop", "maj_voting"):
        best = [_merged(crop, gallery, gone, k, method) for crop, gone in zip(crops, excluded, strict=True)]
        found = np.stack([b[0] for b in best]), np.stack([b[1] for b in best])
    else:
        found = nearest_without(np.ascontiguousarray(crops[:, 0]), gallery, k, excluded)
    distances[queries.rows], rows[queries.rows] = found
    return distances, rows


def _merged(
    crops: np.ndarray, gallery: DescriptorRows, gone: np.ndarray, k: int, method: Method
) -> tuple[np.ndarray, np.ndarray]:
    """One ranking out of a query's five crops: by distance, each gallery row once."""
    distances, rows = nearest_without(np.ascontiguousarray(crops), gallery, k, [gone] * len(crops))
    if method == "maj_voting":
        distances = _voted(distances, rows)
    order = np.lexsort((rows.ravel(), distances.ravel()))
    ranked, first = np.unique(rows.ravel()[order], return_index=True)
    kept = order[np.sort(first[ranked >= 0])][:k]
    out_distances = np.full(k, np.inf, dtype=np.float32)
    out_rows = np.full(k, -1, dtype=np.int64)
    out_distances[: len(kept)] = distances.ravel()[kept]
    out_rows[: len(kept)] = rows.ravel()[kept]
    return out_distances, out_rows


def _voted(distances: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Squared distances less MAJORITY_WEIGHT * votes / n for rows that several crops have in their top n."""
    squared = distances.astype(np.float32) ** 2
    for n in (1, 5, 10):
        top = rows[:, :n]
        values, votes = np.unique(top[top >= 0], return_counts=True)
        for value, count in zip(values[votes > 1], votes[votes > 1], strict=True):
            squared[:, :n][top == value] -= MAJORITY_WEIGHT * count / n
    return squared


def _has_train(dataset: Dataset) -> bool:
    return "train" in dataset.splits and len(dataset.splits["train"].photos) > 0


def _pca_basis(dataset: Dataset, part: Split) -> tuple[Photo, ...]:
    return pca_photos(dataset.splits["train"].photos if _has_train(dataset) else part.gallery)


def pca_photos(photos: Sequence[Photo]) -> tuple[Photo, ...]:
    """The photos a PCA is fitted to: all of them, or a fixed sample where they are very many."""
    if len(photos) <= PCA_MOST_PHOTOS:
        return tuple(photos)
    chosen = np.sort(np.random.default_rng(0).choice(len(photos), PCA_MOST_PHOTOS, replace=False))
    return tuple(photos[row] for row in chosen)


def _pca(rows: DescriptorRows, components: int) -> Any:
    """A function that projects descriptors on the first principal components of `rows`, without whitening."""
    fitted = PrincipalComponents(rows.shape[1], components)
    fitted.fit(rows)
    return lambda x: fitted(torch.from_numpy(x)).numpy()


def _scored(
    mark: Benchmark,
    neighbours: Neighbours,
    distances: Distances,
    recalls_at: Sequence[int],
    protocol: dict[str, Any],
    errors: tuple[PhotoError, ...],
    whole: WholeRanking | None,
) -> Scores:
    # By the ranking of the whole gallery where there is one, so that recall and average precision agree on ties.
    ranks = metrics.first_relevant_ranks(neighbours, mark.relevant) if whole is None else whole.ranks
    return Scores(
        recall={n: metrics.recall(ranks, n) for n in recalls_at},
        recall_ci95={n: metrics.clustered_interval(ranks < n, mark.clusters) for n in recalls_at},
        queries=len(mark.queries),
        answerable=mark.answerable,
        gallery=len(mark.gallery),
        protocol=protocol,
        names=tuple(photo.name for photo in mark.queries),
        clusters=mark.clusters,
        ranks=ranks,
        slices=slices_of(mark, ranks < 1),
        sweep=sweep_of(mark.queries, ranks, mark.clusters, recalls_at),
        predictions=Predictions(mark.queries, mark.gallery, neighbours, distances),
        errors=errors,
        whole=whole,
    )
