"""Scenes and countries by logistic regression on what one trunk sees: photos -> vectors -> a layer for each network.

Every photo is learned from. Temperatures, and from when on to answer, come from what the layers say that did not learn
from a photo's group.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from safetensors.torch import save

from geofix.countries.calibrate import sureness, temperature_for
from geofix.countries.look import Seen, Vectors, described, look
from geofix.countries.routing import softmax
from geofix.data.labels import Labelled, labelled_scenes, middles
from geofix.data.places import Split
from geofix.errors import DataError
from geofix.files import is_file, write_atomically
from geofix.learn.class_learner import METRICS, class_weights, log_text
from geofix.learn.country_work import (
    PARTS,
    Lesson,
    Origin,
    Work,
    at_least_two,
    begun,
    by_scene,
    group_count,
    labelled_by,
    saved,
    specialist_lessons,
)
from geofix.learn.logistic import FOLDS, Fitted, fitted, folds, restricted, stretches_of
from geofix.learn.scatter import Stretch
from geofix.models.backbones import PooledTrunk, read_state
from geofix.models.classifier import Classifier, Standard, with_layer
from geofix.models.countries import (
    ALL,
    RECIPE,
    ROUTER,
    CountryModel,
    CountryRun,
    Head,
    Knowledge,
    Sureness,
    head_design,
)
from geofix.shapes import PhotoViews


@dataclass(eq=False)
class _Fitting:
    """One training: the photos that could be read, their standardised vectors (n, 2, d), folds (n) and stretches of
    each fold and of all, and the classifier whose trunk saw them; `logits` of every network so far, each photo's by a
    layer that never saw its group.
    """

    work: Work
    data: Labelled
    vectors: PhotoViews
    of_fold: np.ndarray
    stretches: tuple[Stretch | None, ...]
    classifier: Classifier
    logits: dict[str, np.ndarray]
    done: int = 0
    whole: int = 0

    @property
    def looks(self) -> int:
        """Views that are averaged when a photo is asked about: with its mirror image, or without."""
        return 2 if self.work.recipe.flip_test else 1

    def learn(
        self, name: str, rows: np.ndarray, labels: Sequence[str], start: tuple[Fitted, tuple[str, ...]] | None = None
    ) -> tuple[Head, Classifier, Fitted]:
        """A network of the photos `rows` with `labels`, near another network of more photos where `start` gives it."""
        recipe, began = self.work.recipe, time.monotonic()
        classes = tuple(sorted(set(labels)))
        at_least_two(dict.fromkeys(classes, 1), "classes", name)
        targets = np.array([classes.index(label) for label in labels], dtype=np.int64)
        counts = class_weights(targets, len(classes))[targets] if recipe.balance == "loss" else None
        before, penalty = None, recipe.penalty
        if start is not None:
            before = restricted(start[0], [start[1].index(label) for label in classes])
        if name not in (ALL, ROUTER):
            # As if the network of all photos were known so well, however many photos the scene has.
            penalty = (recipe.specialist_penalty or penalty) * len(self.data) / len(rows)
        found = fitted(
            self.vectors,
            rows,
            targets,
            len(classes),
            self.of_fold,
            penalty,
            weights=counts,
            start=before,
            stretches=self.stretches,
            looks=self.looks,
            tell=lambda: self._tell(name),
        )
        self.logits[name] = found.unseen
        photos = tuple(int(count) for count in np.bincount(targets, minlength=len(classes)))
        head = Head(name, classes, photos, self.classifier.design)
        temperature, told = temperature_for(head, found.unseen[rows], targets)
        if told:
            self.work.say.append(told)
        self._log(name, found, rows, targets, time.monotonic() - began)
        network = with_layer(self.classifier, found.layer.weight, found.layer.bias)
        return replace(head, temperature=temperature), network, found

    def _tell(self, name: str) -> None:
        self.done += 1
        if self.work.progress:
            self.work.progress(f"fitting {name}", self.done, max(self.whole, self.done))

    def _log(self, name: str, found: Fitted, rows: np.ndarray, targets: np.ndarray, seconds: float) -> None:
        """A row of metrics.csv: the loss on the photos learned from; the rest by layers that never saw the group."""
        unseen = softmax(found.unseen[rows])
        known = softmax(found.layer.logits(self.vectors[rows, : self.looks]))
        at = np.arange(len(rows))
        row: dict[str, str | int | float] = {
            "network": name,
            "epoch": 1,
            "phase": 1,
            "loss": float(-np.log(np.maximum(known[at, targets], 1e-12)).mean()),
            "held_top1": float((unseen.argmax(axis=1) == targets).mean()),
            "held_nll": float(-np.log(np.maximum(unseen[at, targets], 1e-12)).mean()),
            "learning_rate": "",
            "seconds": round(seconds, 1),
        }
        path = self.work.out / METRICS
        write_atomically(path, log_text(path, name, [row]))


def fit_scenes(work: Work, split: Split) -> CountryRun:
    """The router alone. Raises as `train_countries`."""
    recipe = work.recipe
    fitting, origin = _fitting(work, labelled_scenes(split))
    data = fitting.data
    fitting.whole = FOLDS + 1
    head, network, _ = fitting.learn(ROUTER, np.arange(len(data)), data.labels)
    sure = Sureness(recipe.error_rate, photos=len(data), groups=group_count(data))
    return saved(work, CountryModel({ROUTER: network}), Knowledge(recipe.level, head, (), sure), origin)


def fit_countries(work: Work, split: Split) -> CountryRun:
    """A router and a specialist for each scene, or a single network. Raises as `train_countries`."""
    recipe = work.recipe
    data, router_run, routed = labelled_by(work, split)
    fitting, origin = _fitting(work, data)
    data = fitting.data
    everything = np.arange(len(data))
    heads: list[Head] = []
    networks: dict[str, Classifier] = {}
    router: Head | None = None
    if router_run is not None and routed:
        router, networks[ROUTER] = router_run.knows.router, router_run.model.network(ROUTER)
        seen = look(router_run, data.photos)
        if len(seen.rows) < len(data):
            raise DataError(f"{len(data) - len(seen.rows)} photos can no longer be read; leave them as they are.")
        fitting.logits[ROUTER] = seen.logits[ROUTER]
    scenes = sorted({scene for scene in data.scenes if scene}) if routed else []
    fitting.whole = (FOLDS + 1) * (len(scenes) + 2)
    if routed and router is None:
        known = np.flatnonzero([bool(scene) for scene in data.scenes])
        router, networks[ROUTER], _ = fitting.learn(ROUTER, known, by_scene(data).labels)
    start: tuple[Fitted, tuple[str, ...]] | None = None
    if not routed or recipe.specialists_from == "single":
        head, network, found = fitting.learn(ALL, everything, data.labels)
        start = found, head.classes
        if not routed:
            heads, networks = [head], {ALL: network}
        else:
            fitting.logits.pop(ALL)
    if routed:
        assert router is not None
        for lesson in specialist_lessons(work, router, data, data.take([])):
            rows = np.flatnonzero([scene == lesson.name for scene in data.scenes])
            head, networks[lesson.name], _ = fitting.learn(lesson.name, rows, lesson.learned.labels, start)
            heads.append(head)
    from_run = None if router_run is None else router_run.name
    knows = Knowledge(recipe.level, router, tuple(heads), Sureness(recipe.error_rate), from_run, middles(data))
    unseen = Seen(knows, everything, fitting.logits)
    sure = sureness(unseen, data.labels, recipe.error_rate, photos=len(data), groups=group_count(data))
    return saved(work, CountryModel(networks).eval(), replace(knows, sureness=sure), origin)


def _fitting(work: Work, data: Labelled) -> tuple[_Fitting, Origin]:
    """Every photo looked at once, as it is and mirrored; those that cannot be read go to the work's errors."""
    recipe = work.recipe
    at_least_two(data.counts, "classes")
    lesson = Lesson(ALL, head_design(recipe), 0, data, data.take([]))
    classifier, origin = begun(work, lesson, None)
    assert isinstance(classifier.trunk, PooledTrunk) and isinstance(classifier.standard, Standard)
    vectors, rows = _vectors(work, classifier, data, origin)
    data = data.take(rows)
    at_least_two(data.counts, "classes")
    with torch.inference_mode():
        seen = torch.from_numpy(vectors.astype(np.float32))
        classifier.standard.learn(seen.flatten(0, 1))
        standard = torch.stack([classifier.standard(seen[:, view]) for view in range(seen.shape[1])], dim=1).numpy()
    of_fold = folds(data.labels, data.clusters, recipe.seed)
    stretches: tuple[Stretch | None, ...] = ()
    if recipe.shrinkage < 1:
        report = work.progress
        tell = (lambda done, total: report("comparing photos of one group", done, total)) if report else None
        stretches = stretches_of(standard, of_fold, data.groups, recipe.shrinkage, tell)
    return _Fitting(work, data, standard, of_fold, stretches, classifier, {}), origin


def _vectors(work: Work, classifier: Classifier, data: Labelled, origin: Origin) -> tuple[PhotoViews, np.ndarray]:
    """What the trunk sees of each photo and its mirror image, half precision (n, 2, d), and the rows that could be
    read. Kept in the run folder until the run is whole, for a training that is stopped.
    """
    photos = "\n".join(photo.name for photo in data.photos)
    text = f"{classifier.design}\n{origin}\n{work.recipe.seed} {work.recipe.precision}\n{photos}"
    key = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]
    file = work.out / PARTS / f"vectors-{key}.safetensors"
    if is_file(file):
        kept = read_state(file)
        return kept["vectors"].numpy(), kept["rows"].numpy()
    if not is_file(work.out / RECIPE):
        write_atomically(work.out / RECIPE, work.recipe.to_yaml())
    report = work.progress
    tell = (lambda done, total: report("looking at photos", done, total)) if report else None
    rows, found, failed = described(Vectors(classifier, work.recipe.precision), data.photos, tell)
    work.errors.extend(failed)
    vectors = found.reshape(len(rows), 2, -1).astype(np.float16)
    write_atomically(file, save({"vectors": torch.from_numpy(vectors), "rows": torch.from_numpy(rows)}))
    return vectors, rows
