"""Positions on Earth: WGS84 latitude and longitude, UTM, geodesic distances. The one door to pyproj."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from pyproj import CRS, Geod, Transformer
from pyproj.enums import WktVersion
from pyproj.exceptions import CRSError
from scipy.spatial import cKDTree

from geofix.errors import DataError
from geofix.shapes import Degrees, GalleryLatLons, LatLons, Metres, PlanePoints

_GEOD = Geod(ellps="WGS84")
_BANDS = "CDEFGHJKLMNPQRSTUVWX"
_AUTHALIC_RADIUS_KM = 6371.0072
_ZONE_REACH_DEG = 9.0  # a zone is 6 degrees wide; beyond this a plane in it is no longer worth its name
PLANE_TOLERANCE_M = 1e-4  # file names carry centimetres; a radius of exactly 25 m must stay inclusive


@dataclass(frozen=True, slots=True)
class Utm:
    """A point in a UTM zone: metres, zone 1..60, latitude band C..X (N and later are northern)."""

    easting_m: float
    northing_m: float
    zone: int
    band: str


@dataclass(frozen=True, slots=True)
class Position:
    """A point on Earth in WGS84 degrees: latitude -90..90, longitude -180..180; else DataError."""

    lat: float
    lon: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lat) and math.isfinite(self.lon)):
            raise DataError(f"({self.lat}, {self.lon}) is no position: two finite numbers are expected.")
        if abs(self.lat) > 90 and abs(self.lon) <= 90:
            raise DataError(
                f"Latitude {self.lat} is outside -90..90 while longitude {self.lon} would fit: "
                "the two seem to be swapped; the order is latitude, longitude."
            )
        if abs(self.lat) > 90 or abs(self.lon) > 180:
            raise DataError(
                f"({self.lat}, {self.lon}) is not on Earth: latitude -90..90 and longitude -180..180 are expected."
            )

    @classmethod
    def from_utm(cls, easting_m: float, northing_m: float, zone: int, band: str) -> Position:
        """The position of a UTM point; the band letter only tells the hemisphere, as in file names."""
        band = band.strip().upper()
        if not 1 <= zone <= 60 or len(band) != 1 or band not in _BANDS:
            raise DataError(
                f"UTM zone {zone}{band} does not exist: a zone is 1..60 with a band letter C..X (no I, no O)."
            )
        lon, lat = _to_degrees(zone, band >= "N").transform(easting_m, northing_m)
        if not (math.isfinite(lat) and math.isfinite(lon)):
            raise DataError(f"Easting {easting_m}, northing {northing_m} is no point of zone {zone}{band}.")
        return cls(float(lat), _clamped_lon(lon))

    def utm(self) -> Utm:
        """This position in its own UTM zone, the exceptions of Norway and Svalbard included."""
        zone = int(utm_zones(np.array([[self.lat, self.lon]]))[0])
        east, north = _to_plane(zone, self.lat >= 0).transform(self.lon, self.lat)
        band = _BANDS[min(max(int((self.lat + 80) // 8), 0), 19)]
        return Utm(float(east), float(north), zone, band)

    def metres_to(self, other: Position) -> float:
        """Geodesic distance on the WGS84 ellipsoid in metres."""
        return float(_GEOD.inv(self.lon, self.lat, other.lon, other.lat)[2])

    def moved(self, bearing_deg: float, distance_m: float) -> Position:
        """The position reached by going `distance_m` along the geodesic that starts at `bearing_deg`."""
        lon, lat, _ = _GEOD.fwd(self.lon, self.lat, bearing_deg, distance_m)
        return Position(float(lat), _clamped_lon(lon))


def latlons(positions: Sequence[Position]) -> LatLons:
    """Positions as rows of (latitude, longitude)."""
    return np.array([(p.lat, p.lon) for p in positions], dtype=np.float64).reshape(-1, 2)


def geodesic_m(first: LatLons, second: LatLons) -> Metres:
    """Row-wise geodesic distances in metres on the WGS84 ellipsoid."""
    return np.asarray(_GEOD.inv(first[:, 1], first[:, 0], second[:, 1], second[:, 0])[2], dtype=np.float64)


def metres_from(place: Position, points: LatLons) -> Metres:
    """The geodesic distance of each point from one place, in metres."""
    here = np.array([[place.lat, place.lon]])
    return geodesic_m(np.broadcast_to(here, points.shape), points)


def utm_zones(points: LatLons) -> np.ndarray:
    """UTM zone numbers 1..60, with the exceptions of south-west Norway (32V) and Svalbard (31X-37X)."""
    lat, lon = points[:, 0], points[:, 1]
    zone = np.floor((lon + 180) / 6).astype(int) % 60 + 1
    zone[(lat >= 56) & (lat < 64) & (lon >= 3) & (lon < 12)] = 32
    svalbard = (lat >= 72) & (lat <= 84) & (lon >= 0) & (lon < 42)
    zone[svalbard] = np.array([31, 33, 35, 37])[np.searchsorted([9, 21, 33], lon[svalbard], side="right")]
    return zone


def project(points: LatLons, zone: int, north: bool = True) -> PlanePoints:
    """(easting, northing) in metres in one given UTM zone; `north=False` adds the southern false northing."""
    east, north_m = _to_plane(zone, north).transform(points[:, 1], points[:, 0])
    return np.stack([np.asarray(east, dtype=np.float64), np.asarray(north_m, dtype=np.float64)], axis=1)


def unproject(points: PlanePoints, zone: int, north: bool = True) -> LatLons:
    """The inverse of `project`."""
    lon, lat = _to_degrees(zone, north).transform(points[:, 0], points[:, 1])
    return np.stack([np.asarray(lat, dtype=np.float64), np.asarray(lon, dtype=np.float64)], axis=1)


def grid_convergence_deg(position: Position, zone: int) -> float:
    """How far grid north of a UTM zone lies clockwise of true north, in degrees: a heading from grid north plus this is
    one from true north."""
    from_centre = math.radians(position.lon - (6 * zone - 183))
    return math.degrees(math.atan(math.tan(from_centre) * math.sin(math.radians(position.lat))))


def utm_epsg(zone: int, north: bool = True) -> int:
    """The EPSG code of the plane of a UTM zone on WGS84."""
    return (32600 if north else 32700) + zone


def utm_wkt(zone: int, north: bool = True) -> str:
    """The same plane as well-known text, in the dialect that a .prj file beside a world file is read in."""
    return str(CRS.from_epsg(utm_epsg(zone, north)).to_wkt(WktVersion.WKT1_ESRI))


def crs_name(text: str) -> str:
    """A coordinate reference system as text: its code ("EPSG:32633") where it has one, else well-known text.

    `text` is a code or well-known text in any dialect; heights are left out. Raises DataError for what is none, and
    for a system that does not lie on Earth's surface (a local one, or heights alone).
    """
    try:
        crs = CRS.from_user_input(text.strip()).to_2d()
        code = crs.to_epsg()
    except CRSError as error:
        raise DataError(
            f"{text.strip()[:60]!r} is no coordinate reference system; a code such as EPSG:32633 is expected."
        ) from error
    if not (crs.is_projected or crs.is_geographic):
        raise DataError(
            f"{crs.name!r} is a local system without a place on Earth; a code such as EPSG:32633 is expected."
        )
    return f"EPSG:{code}" if code else str(crs.to_wkt())


def to_crs(points: LatLons, crs: str) -> PlanePoints:
    """Rows of (x, y), x to the east, in a system as `crs_name` gives it: metres, or degrees of a geographic one.

    Rows that the system has no place for are inf.
    """
    x, y = _between("EPSG:4326", crs).transform(points[:, 1], points[:, 0])
    return np.stack([np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)], axis=1)


def from_crs(points: PlanePoints, crs: str) -> LatLons:
    """The inverse of `to_crs`; what lies nowhere is inf, or is no latitude or longitude."""
    lon, lat = _between(crs, "EPSG:4326").transform(points[:, 0], points[:, 1])
    return np.stack([np.asarray(lat, dtype=np.float64), np.asarray(lon, dtype=np.float64)], axis=1)


def within_m(queries: LatLons, gallery: GalleryLatLons, radius_m: float) -> list[np.ndarray]:
    """For each query the sorted gallery rows at most `radius_m` away (inclusive).

    Distances are planar in the UTM zone of the query, which is the field's convention (and agrees with it to
    the bit inside one zone) but stays right across a zone border, where the field's code compares eastings of
    different zones.
    """
    found: list[np.ndarray] = [np.empty(0, dtype=np.int64) for _ in range(len(queries))]
    for zone in np.unique(utm_zones(queries)):
        rows = np.flatnonzero(utm_zones(queries) == zone)
        near = np.flatnonzero(_zone_degrees(gallery[:, 1], int(zone)) <= _ZONE_REACH_DEG)
        if not len(near):
            continue
        tree = cKDTree(project(gallery[near], int(zone)))
        lists = tree.query_ball_point(project(queries[rows], int(zone)), radius_m + PLANE_TOLERANCE_M)
        for row, hits in zip(rows, lists, strict=True):
            found[row] = np.sort(near[np.asarray(hits, dtype=np.int64)])
    return found


def planar_m(first: LatLons, second: LatLons) -> Metres:
    """Row-wise distances in metres in the UTM plane of the first point's zone, the field's convention."""
    metres = np.empty(len(first))
    zones = utm_zones(first)
    for zone in np.unique(zones):
        rows = zones == zone
        apart = project(first[rows], int(zone)) - project(second[rows], int(zone))
        metres[rows] = np.hypot(apart[:, 0], apart[:, 1])
    return metres


def nearest_m(queries: LatLons, gallery: GalleryLatLons) -> Metres:
    """For each query the planar distance in metres to the nearest gallery row; inf where none is in reach."""
    nearest = np.full(len(queries), np.inf)
    for zone in np.unique(utm_zones(queries)):
        rows = np.flatnonzero(utm_zones(queries) == zone)
        near = np.flatnonzero(_zone_degrees(gallery[:, 1], int(zone)) <= _ZONE_REACH_DEG)
        if len(near):
            tree = cKDTree(project(gallery[near], int(zone)))
            nearest[rows] = tree.query(project(queries[rows], int(zone)))[0]
    return nearest


def area_km2(points: LatLons) -> float:
    """The area in square kilometres of the box that holds all points.

    The box lies in the first point's UTM plane; points too far apart for that are boxed by their parallels
    and meridians.
    """
    if not len(points):
        return 0.0
    zone = int(utm_zones(points[:1])[0])
    if np.any(_zone_degrees(points[:, 1], zone) > _ZONE_REACH_DEG):
        return _globe_box_km2(points)
    plane = project(points, zone)
    span = plane.max(axis=0) - plane.min(axis=0)
    return float(span[0] * span[1] / 1e6)


def looks_swapped(points: LatLons) -> bool:
    """Whether the two columns are surely latitude and longitude the wrong way round.

    Sure means: some first value is no latitude, and every row would be a position if turned round.
    """
    first, second = np.abs(points[:, 0]), np.abs(points[:, 1])
    return bool(np.any(first > 90) and np.all(first <= 180) and np.all(second <= 90))


def _globe_box_km2(points: LatLons) -> float:
    """The area between the outermost parallels and meridians, on the sphere that has the Earth's area."""
    low, high = np.sin(np.radians([points[:, 0].min(), points[:, 0].max()]))
    span_deg = points[:, 1].max() - points[:, 1].min()
    return float(_AUTHALIC_RADIUS_KM**2 * np.radians(span_deg) * (high - low))


def _clamped_lon(lon: float) -> float:
    """On the date line the last bit of a computed longitude may fall outside -180..180."""
    return float(min(max(lon, -180.0), 180.0))


def _zone_degrees(lons: Degrees, zone: int) -> Degrees:
    """Angular distance of longitudes from a zone's central meridian, the date line included."""
    centre = zone * 6 - 183
    return np.asarray(np.abs((lons - centre + 180) % 360 - 180))


@lru_cache(maxsize=128)
def _to_plane(zone: int, north: bool) -> Transformer:
    return Transformer.from_crs("EPSG:4326", _crs(zone, north), always_xy=True)


@lru_cache(maxsize=128)
def _to_degrees(zone: int, north: bool) -> Transformer:
    return Transformer.from_crs(_crs(zone, north), "EPSG:4326", always_xy=True)


@lru_cache(maxsize=128)
def _between(first: str, second: str) -> Transformer:
    return Transformer.from_crs(first, second, always_xy=True)


def _crs(zone: int, north: bool) -> str:
    return f"EPSG:{utm_epsg(zone, north)}"
