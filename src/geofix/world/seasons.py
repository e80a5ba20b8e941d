"""What the season does to leaves, grass and snow: 0 is midsummer, 0.5 autumn, 1 midwinter."""

from __future__ import annotations

from geofix.world.styles import Colour

_DRY: Colour = (162, 146, 96)


def snow(season: float) -> float:
    """The share 0..1 of open ground under snow."""
    return min(max((season - 0.75) * 5, 0.0), 1.0)


def bare(season: float) -> float:
    """The share 0..1 of leaves that have fallen."""
    return min(max((season - 0.55) * 4, 0.0), 1.0)


def turned(season: float) -> float:
    """How far 0..1 leaves have turned from green to yellow and red."""
    return min(max((season - 0.2) * 3, 0.0), 1.0)


def withered(grass: Colour, season: float) -> Colour:
    """Grass that loses its green towards the winter."""
    share = 0.6 * min(max((season - 0.2) * 1.6, 0.0), 1.0)
    red, green, blue = (own + (dry - own) * share for own, dry in zip(grass, _DRY, strict=True))
    return red, green, blue
