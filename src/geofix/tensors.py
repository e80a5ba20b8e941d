"""Names for the tensors of the encoders; the tests check them at every call."""

from jaxtyping import Float, Int, Shaped, UInt8
from torch import Tensor

Images = Float[Tensor, "n 3 h w"]
"""Normalised photos."""

ScaledImages = Float[Tensor, "n 3 rows columns"]
"""The same photos at another size."""

PixelBatch = UInt8[Tensor, "n 3 h w"]
"""Photos as decoded, 0..255."""

AnyPhotos = Shaped[Tensor, "*photos 3 h w"]
"""Photos as decoded or normalised; one, or any number."""

Maps = Float[Tensor, "n c rows columns"]
"""What a backbone makes of images: c channels over a coarse grid."""

MapsOfAnySize = Float[Tensor, "n c _ _"]
"""Maps among others over finer or coarser grids."""

StageMaps = Float[Tensor, "n _ _ _"]
"""Maps of one stage among those of others, with other channels."""

Pooled = Float[Tensor, "n d"]
"""What a pooling makes of maps."""

Reduced = Float[Tensor, "n k"]
"""Descriptors cut to fewer numbers."""

Descriptors = Float[Tensor, "n d"]
"""What an encoder makes of images."""

Negatives = Float[Tensor, "q k d"]
"""Descriptors of k negatives for each of q queries."""

PlaceNumbers = Int[Tensor, " n"]
"""Which place each photo of a batch shows."""

Loss = Float[Tensor, ""]
"""One number to lower."""

Locals = Float[Tensor, "n c _"]
"""Maps with the places of a block in a row."""

PartRows = Float[Tensor, "n parts length"]
"""Descriptors in parts, before they are joined."""

Logits = Float[Tensor, "n places"]
"""How much each photo looks like each place that is learned, before a softmax."""

ClassLogits = Float[Tensor, "n classes"]
"""How much each photo looks like each class (a scene, a country), before a softmax."""
