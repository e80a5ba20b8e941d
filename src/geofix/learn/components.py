"""A PCA fitted to the descriptors of photos."""

from __future__ import annotations

from collections.abc import Sequence

from geofix.encode import Inference, encode_chunk
from geofix.errors import DataError, PhotoError
from geofix.evaluate import pca_photos
from geofix.learn.learner import Progress
from geofix.models.components import check_components
from geofix.models.encoder import Encoder
from geofix.photos import Photo


def wants_components(encoder: Encoder) -> list[Encoder]:
    """The encoder's parts whose PCA is yet to be fitted, members before the ensemble they are in."""
    parts = [module for module in encoder.modules() if isinstance(module, Encoder)]
    return [part for part in reversed(parts) if part.pca is not None and not part.pca.fitted]


def fit_components(encoder: Encoder, photos: Sequence[Photo], progress: Progress | None) -> list[PhotoError]:
    """Fit every PCA in the encoder that is not fitted yet to the descriptors of `photos`; those that cannot be read
    are left out and returned.

    With very many photos a sample is taken, as in evaluate. Raises UsageError where there are fewer photos than
    components, DataError where none can be read.
    """
    unreadable: dict[str, PhotoError] = {}
    chosen = pca_photos(photos)
    for part in wants_components(encoder):
        assert part.pca is not None
        check_components(len(part.pca.directions), len(chosen), len(part.pca.mean))
        inference = Inference(part, part.recipe.precision)
        inference.encoder.pca = None
        tell = (lambda done, total: progress("encoding for the PCA", done, total)) if progress else None
        found = encode_chunk(inference, chosen, progress=tell)
        unreadable |= {str(error): error for error in found.errors}
        if not len(found.rows):
            raise DataError(f"None of the {len(chosen)} photos for the PCA can be used. The first: {found.errors[0]}")
        part.pca.fit(found.single)
    return list(unreadable.values())
