"""Calibration: what confidence and radius a piece of evidence deserves, learned from photos with known places.

Confidence is the share of right answers (within 25 m) at that evidence, where one photo in ten shows a place that
the atlas does not know; the radius is the local 90 % quantile of the errors of photos whose place it knows (a
split-conformal quantile over neighbouring evidence). It is honest for photos like those it was learned on; for
other cameras, seasons or light it may promise too much.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from geofix.atlas.consensus import METHOD
from geofix.errors import AtlasError

RIGHT_WITHIN_M = 25.0
COVERAGE = 0.9
FEWEST = 40  # below this a 90 % quantile over neighbouring evidence says nothing
FALSE_REJECTION = 0.05  # of the photos whose place the atlas knows
STRANGERS = 0.1  # of the photos asked about show a place the atlas does not know: an assumption, as nobody can tell
_KNOTS = 21


@dataclass(frozen=True, slots=True)
class Calibration:
    """Logistic weights of the evidence, and radius (metres) over confidence at `knots` (ascending).

    Learned on `sample` photos from `source`, of which the share `right` was found within `right_within_m`, for evidence
    made by `method`; for evidence made another way it means nothing. Below a confidence of `least` lie FALSE_REJECTION
    of the photos whose place was known.
    """

    weights: tuple[float, ...]
    bias: float
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    knots: tuple[float, ...]
    radius_m: tuple[float, ...]
    sample: int
    right: float
    source: str
    method: str
    right_within_m: float = RIGHT_WITHIN_M
    least: float | None = None

    def confidence(self, evidence: tuple[float, ...]) -> float:
        """Probability (0..1) that the truth lies within `right_within_m`."""
        total = self.bias
        for value, weight, centre, scale in zip(evidence, self.weights, self.centre, self.scale, strict=True):
            total += weight * (value - centre) / scale
        return 1 / (1 + math.exp(-min(max(total, -50.0), 50.0)))

    def radius(self, confidence: float) -> float:
        """The radius in metres that holds the truth 9 times in 10 at that confidence."""
        return float(np.interp(confidence, self.knots, self.radius_m))

    def widened(self, by_m: float) -> Calibration:
        """The same where the truth itself is known to `by_m` only, 9 times in 10: both errors, taken as independent."""
        return replace(self, radius_m=tuple(math.hypot(radius_m, by_m) for radius_m in self.radius_m))

    def to_dict(self) -> dict[str, Any]:
        """As stored in atlas.json."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Calibration:
        """From atlas.json. Raises AtlasError when it is damaged."""
        try:
            lists = ("weights", "centre", "scale", "knots", "radius_m")
            tuples = {key: tuple(float(value) for value in fields[key]) for key in lists}
            if len({len(tuples[key]) for key in lists[:3]}) != 1 or len(tuples["knots"]) != len(tuples["radius_m"]):
                raise ValueError("its lists differ in length")
            if not tuples["knots"] or not all(math.isfinite(value) for key in lists for value in tuples[key]):
                raise ValueError("a finite number is missing")
            return cls(
                bias=float(fields["bias"]),
                sample=int(fields["sample"]),
                right=float(fields["right"]),
                source=str(fields["source"]),
                method=str(fields["method"]),
                right_within_m=float(fields.get("right_within_m", RIGHT_WITHIN_M)),
                least=None if fields.get("least") is None else float(fields["least"]),
                **tuples,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise AtlasError(
                f"The calibration in atlas.json is damaged ({error}); run `geofix index` again to renew it."
            ) from error


def calibrate(
    evidence: np.ndarray,
    errors_m: np.ndarray,
    source: str,
    *,
    strangers: np.ndarray | None = None,
    seed: int = 0,
    method: str = METHOD,
    right_within_m: float = RIGHT_WITHIN_M,
) -> Calibration | None:
    """The calibration of n located photos with evidence (n, features) and errors (n,) in metres.

    `strangers` (m, features) is the evidence of photos whose place is not in the atlas, so that every answer is
    wrong; however many there are, they count as STRANGERS of all photos. An answer within `right_within_m` is right;
    `method` is how the evidence was made. None when there are fewer than FEWEST
    photos, or when all or none were right, so that nothing can be learned. The radius is learned on confidences
    predicted by five-fold cross-validation, lest it be too small.
    """
    count = len(errors_m)
    found = errors_m <= right_within_m
    unknown = np.empty((0, evidence.shape[1])) if strangers is None else strangers
    right = np.concatenate([found, np.zeros(len(unknown), dtype=bool)])
    if count < FEWEST or min(right.sum(), (~right).sum()) < 5:
        return None
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    centre, scale = evidence.mean(axis=0), evidence.std(axis=0) + 1e-9
    standard = (np.concatenate([evidence, unknown]) - centre) / scale
    each = count * STRANGERS / (1 - STRANGERS) / max(len(unknown), 1)
    weight = np.concatenate([np.ones(count), np.full(len(unknown), each)])
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    held_out = cross_val_predict(
        LogisticRegression(),
        standard,
        right,
        cv=folds,
        method="predict_proba",
        params={"sample_weight": weight},
    )[:count, 1]
    model = LogisticRegression().fit(standard, right, sample_weight=weight)
    knots, radius_m = local_radii(held_out, errors_m)
    return Calibration(
        weights=tuple(model.coef_[0].tolist()),
        bias=float(model.intercept_[0]),
        centre=tuple(centre.tolist()),
        scale=tuple(scale.tolist()),
        knots=tuple(knots.tolist()),
        radius_m=tuple(radius_m.tolist()),
        sample=len(errors_m),
        right=float(found.mean()),
        source=source,
        method=method,
        right_within_m=right_within_m,
        least=float(np.quantile(held_out, FALSE_REJECTION)),
    )


def local_radii(confidences: np.ndarray, errors_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Confidence knots (ascending) and the 90 % radius at each, falling with confidence.

    At each knot the radius is the ceil(0.9 (m + 1))-th smallest error of the m samples nearest in confidence,
    the finite-sample quantile of split conformal prediction.
    """
    from sklearn.isotonic import IsotonicRegression

    order = np.argsort(confidences, kind="stable")
    confidences, errors_m = confidences[order], errors_m[order]
    window = min(len(errors_m), max(FEWEST, len(errors_m) // 8))
    rank = min(math.ceil(COVERAGE * (window + 1)), window) - 1
    starts = np.unique(np.linspace(0, len(errors_m) - window, _KNOTS).astype(int))
    knots = np.array([confidences[start : start + window].mean() for start in starts])
    radii = np.array([np.sort(errors_m[start : start + window])[rank] for start in starts])
    falling = IsotonicRegression(increasing=False).fit_transform(knots, radii)
    return knots, np.asarray(falling, dtype=np.float64)
