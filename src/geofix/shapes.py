"""Names for the arrays that travel through geofix; the tests check them at every call.

n photos, q queries, g gallery photos, k matches, d descriptor length, h rows and w columns of pixels.
Tensors have their own names in `tensors.py`, so that reading photos and positions never imports torch.
"""

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int, Shaped, UInt8

Pixels = UInt8[np.ndarray, "h w 3"]
"""One decoded photo: RGB, upright, 0..255."""

ResizedPixels = UInt8[np.ndarray, "rows columns 3"]
"""The same photo at another size."""

LatLons = Float[np.ndarray, "n 2"]
"""(latitude, longitude) rows in WGS84 degrees, in that order."""

GalleryLatLons = Float[np.ndarray, "g 2"]
"""The same, where queries (n) and gallery (g) meet."""

Metres = Float[np.ndarray, " n"]
"""Distances in metres."""

Kilometres = Float[np.ndarray, " n"]
"""Distances in kilometres; inf for no answer."""

Degrees = Float[np.ndarray, " n"]
"""Angles in degrees."""

PlanePoints = Float[np.ndarray, "n 2"]
"""(easting, northing) rows in metres."""

DescriptorRows = Float32[np.ndarray, "n d"]
"""One descriptor a row."""

QueryRows = Float32[np.ndarray, "q d"]
"""Descriptors of queries."""

GalleryRows = Float32[np.ndarray, "g d"]
"""Descriptors of a gallery."""

Centroids = Float32[np.ndarray, "k d"]
"""Cluster centres."""

Neighbours = Int[np.ndarray, "q k"]
"""Gallery rows, nearest first; -1 where there are fewer than k."""

Distances = Float32[np.ndarray, "q k"]
"""Euclidean descriptor distances that belong to `Neighbours`, ascending; inf where there is no neighbour."""

Similarities = Float[np.ndarray, "q g"]
"""How much each of g gallery rows is like each of q queries: larger is more alike."""

Ranks = Int[np.ndarray, " q"]
"""0-based rank of a query's first relevant match, or `metrics.NEVER`."""

SeededHits = Shaped[np.ndarray, "_ queries"]
"""Of every training, whether each query was answered right; or a mean of that over several rows of a table."""

Hits = Bool[np.ndarray, " q"]
"""Whether a query was answered rightly."""

PerQuery = Shaped[np.ndarray, " q"]
"""What one query got: whether it was answered rightly, or a score of 0..1."""

RowHits = Bool[np.ndarray, " n"]
"""Whether a row was answered rightly."""

RowScores = Float[np.ndarray, " n"]
"""What one row got, or how sure it is."""

Labels = Shaped[np.ndarray, " n"]
"""The class of each row, as text."""

Columns = Int[np.ndarray, " n"]
"""The column of each row's class; -1 for a class that has none."""

ClassProbabilities = Float[np.ndarray, "n k"]
"""How likely each of k classes is for each row; rows add up to 1."""

Measures = Shaped[np.ndarray, "m n"]
"""One row a measure, one column a query."""

Intervals = Float[np.ndarray, "m 2"]
"""The two ends of an interval, one row a measure."""

Triplets = Int[np.ndarray, "t m"]
"""One row a query: its row among the queries, then gallery rows: the positive and the m - 2 negatives."""

MinedQueries = Float32[np.ndarray, "t d"]
"""Descriptors of the queries that are mined now."""

Mask = Bool[np.ndarray, "t c"]
"""Which of c candidates count for each of t queries."""

Pairs = Int[np.ndarray, "m 2"]
"""Two rows of the same array."""

Heat = Float[np.ndarray, "h w"]
"""How much each pixel of a photo speaks for an answer, 0..1."""

PhotoViews = Float[np.ndarray, "_ _ _"]
"""What a trunk sees of photos, each looked at in several ways: photos x views x numbers."""

ClassRows = Float[np.ndarray, "n _"]
"""Logits or probabilities of n photos, one column for each class of one head among others."""

Probabilities = Float[np.ndarray, "n c"]
"""Of each photo, how likely each of c classes is; rows sum to 1."""

SceneProbabilities = Float[np.ndarray, "n s"]
"""Of each photo, how likely each of s scenes is; rows sum to 1."""

LeafProbabilities = Float[np.ndarray, "n 365"]
"""How likely each class of Places365 is for each of n photos; rows sum to 1."""

Membership = Float[np.ndarray, "365 groups"]
"""How much of each class of Places365 belongs to each group."""

GroupProbabilities = Float64[np.ndarray, "n groups"]
"""How likely each group of classes is for each of n photos; rows sum to 1."""
