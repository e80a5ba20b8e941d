"""Countries of positions: places of many kinds at both levels, naive loops, the nearest country, names, swaps."""

from __future__ import annotations

import csv
import functools
import itertools
import json
import math
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geofix.errors import DataError, UsageError
from geofix.geography.cells import cell_at, cells_at
from geofix.geography.codes import (
    CONTINENTS,
    LEVELS,
    at_level,
    check_level,
    continent_of,
    known_codes,
    name_of,
    sovereign_of,
)
from geofix.geography.countries import NEAREST_KM, CountryAt, are_points, countries_at, country_at, wrapped_lons
from geofix.geography.features import features
from geofix.geography.swapped import seems_swapped
from geofix.positions import Position, geodesic_m

VENDORED = files("geofix.geography").joinpath("vendored/country-coder")
# Name, latitude, longitude, territory, sovereign where that is another.
PLACES = """
Paris, Notre-Dame            48.8530    2.3499  FR
Yakutsk                      62.0280  129.7320  RU
Kaliningrad                  54.7100   20.5100  RU
Anchorage                    61.2180 -149.9000  US
Honolulu, Waikiki beach      21.2760 -157.8270  US
Point Roberts                48.9850 -123.0700  US
Northwest Angle              49.3450  -95.0700  US
Brighton Palace Pier         50.8150   -0.1370  GB
Southend Pier, its head      51.5150    0.7220  GB
Scheveningen, pier           52.1180    4.2770  NL
Santa Monica Pier            34.0083 -118.4987  US
Venice, Lido                 45.4060   12.3670  IT
Westkapelle, beach           51.5300    3.4370  NL
Cape Town, Waterfront       -33.9040   18.4200  ZA
Gibraltar                    36.1400   -5.3500  GI GB
La Linea de la Concepcion    36.1680   -5.3480  ES
Ceuta                        35.8890   -5.3160  ES
Melilla                      35.2940   -2.9380  ES
Tenerife                     28.4680  -16.2540  ES
Funchal                      32.6500  -16.9080  PT
Horta, Azores                38.5350  -28.6260  PT
Monaco, casino               43.7390    7.4270  MC
Vatican, St Peter's          41.9022   12.4533  VA
Rome, Trastevere             41.8890   12.4690  IT
San Marino                   43.9360   12.4470  SM
Andorra la Vella             42.5070    1.5220  AD
Vaduz                        47.1410    9.5210  LI
Luxembourg                   49.6110    6.1300  LU
Valletta                     35.8990   14.5140  MT
Singapore, Marina Bay         1.2830  103.8600  SG
Johor Bahru                   1.4580  103.7600  MY
Campione d'Italia            45.9690    8.9710  IT
Buesingen                    47.6970    8.6900  DE
Llivia                       42.4640    1.9810  ES
Baarle-Hertog                51.4410    4.9320  BE
Maseru                      -29.3100   27.4800  LS
Nahwa                        25.2720   56.2720  AE
Madha                        25.2840   56.3330  OM
Lugano                       46.0040    8.9510  CH
Strasbourg, cathedral        48.5820    7.7510  FR
Kehl                         48.5730    7.8150  DE
Niagara Falls, Ontario       43.0890  -79.0840  CA
Niagara Falls, New York      43.0930  -79.0500  US
Foz do Iguacu               -25.5470  -54.5880  BR
Puerto Iguazu               -25.5990  -54.5740  AR
Ciudad del Este             -25.5090  -54.6110  PY
Kinshasa                     -4.3220   15.3130  CD
Brazzaville                  -4.2700   15.2830  CG
Livingstone                 -17.8530   25.8540  ZM
Victoria Falls, town        -17.9320   25.8300  ZW
Ruse                         43.8490   25.9540  BG
Giurgiu                      43.9030   25.9690  RO
El Paso                      31.7600 -106.4870  US
Ciudad Juarez                31.7380 -106.4870  MX
Vientiane                    17.9630  102.6140  LA
Nong Khai                    17.8780  102.7420  TH
Cayenne                       4.9370  -52.3260  GF FR
San Juan                     18.4660  -66.1060  PR US
Hong Kong, Victoria Peak     22.2710  114.1500  HK CN
Macau, ruins of St Paul      22.1970  113.5410  MO CN
Shenzhen                     22.5430  114.0570  CN
Nuuk                         64.1780  -51.7360  GL DK
Torshavn                     62.0110   -6.7700  FO DK
Mariehamn                    60.0970   19.9350  AX FI
Douglas, Isle of Man         54.1500   -4.4820  IM GB
St Helier                    49.1850   -2.1080  JE GB
St Peter Port                49.4560   -2.5360  GG GB
Sark (CQ)                    49.4320   -2.3610  GG GB
Saint-Denis, Reunion        -20.8790   55.4480  RE FR
Noumea                      -22.2760  166.4580  NC FR
Papeete                     -17.5350 -149.5700  PF FR
Bora Bora                   -16.5000 -151.7410  PF FR
Clipperton (CP)              10.3020 -109.2170  FR
Georgetown, Ascension (AC)   -7.9280  -14.4140  SH GB
Tristan da Cunha (TA)       -37.0670  -12.3130  SH GB
Jamestown, Saint Helena     -15.9250   -5.7180  SH GB
Diego Garcia (DG)            -7.3130   72.4110  IO GB
Longyearbyen                 78.2230   15.6470  SJ NO
Jan Mayen                    70.9220   -8.7150  SJ NO
Kralendijk, Bonaire          12.1500  -68.2670  BQ NL
Oranjestad, Aruba            12.5190  -70.0370  AW NL
Hamilton, Bermuda            32.2940  -64.7820  BM GB
Stanley                     -51.6940  -57.8580  FK GB
Grytviken                   -54.2810  -36.5080  GS GB
Port-aux-Francais           -49.3510   70.2190  TF FR
Midway                       28.2010 -177.3780  UM US
Pago Pago                   -14.2780 -170.7020  AS US
Avarua                      -21.2070 -159.7750  CK NZ
Waitangi, Chatham Islands   -43.9500 -176.5600  NZ
Hanga Roa, Easter Island    -27.1500 -109.4330  CL
Male                          4.1750   73.5090  MV
Funafuti                     -8.5210  179.1960  TV
Nadi                        -17.8000  177.4160  FJ
Taveuni, 180th meridian     -16.8000 -179.9900  FJ
Wrangel Island, east         71.0000 -179.5000  RU
Wrangel Island, west         71.1500  179.5000  RU
Anadyr                       64.7340  177.5150  RU
Attu, Aleutians              52.9000  172.9000  US
Adak, Aleutians              51.8800 -176.6500  US
Oslo                         59.9130   10.7520  NO
Tromso                       69.6490   18.9560  NO
Halden                       59.1240   11.3880  NO
Greenwich, prime meridian    51.4780    0.0000  GB
Tema, prime meridian          5.6300    0.0000  GH
Mitad del Mundo, equator      0.0000  -78.4560  EC
Nanyuki, equator              0.0000   37.0700  KE
Pristina                     42.6630   21.1640  XK
Mitrovica, north             42.8950   20.8650  XK
Taipei                       25.0340  121.5640  TW
Kinmen                       24.4320  118.3170  TW
Xiamen                       24.4800  118.0890  CN
Laayoune                     27.1500  -13.1990  EH
Dakhla                       23.6850  -15.9580  EH
Tifariti                     26.1580  -10.5670  EH
Tarfaya                      27.9390  -12.9260  MA
South Pole                  -90.0000    0.0000  AQ
McMurdo                     -77.8460  166.6760  AQ
Port Lockroy                -64.8250  -63.4940  AQ
Simferopol                   44.9480   34.1000  UA
Kyrenia                      35.3410   33.3190  CY
Nicosia, south               35.1600   33.3600  CY
Akrotiri                     34.5900   32.9800  GB
Bethlehem                    31.7040   35.2070  PS
Gaza                         31.5010   34.4660  PS
Golan, Katzrin               32.9920   35.6910  IL
Sukhumi                      43.0010   41.0230  GE
Tiraspol                     46.8400   29.6290  MD
Hargeisa                      9.5600   44.0650  SO
Stepanakert                  39.8150   46.7520  AZ
Srinagar                     34.0840   74.7970  IN
Gilgit                       35.9200   74.3080  PK
"""  # fmt: skip
ALIASES = {
    "FX": "FR", "IC": "ES", "EA": "ES", "CP": "FR", "AC": "SH", "TA": "SH", "DG": "IO", "CQ": "GG",
}  # fmt: skip


def places() -> list[tuple[str, float, float, str, str]]:
    rows = []
    for line in PLACES.strip().splitlines():
        lat, lon, territory, *other = line[28:].split()
        rows.append((line[:28].strip(), float(lat), float(lon), territory, *(other or [territory])))
    return rows


def rows_of(*points: tuple[float, float]) -> np.ndarray:
    return np.array(points, dtype=np.float64).reshape(-1, 2)


# -- places -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "lat", "lon", "territory", "sovereign"), places(), ids=lambda value: str(value))
def test_places(name: str, lat: float, lon: float, territory: str, sovereign: str) -> None:
    assert country_at(Position(lat, lon)) == CountryAt(territory)
    assert country_at(Position(lat, lon), level="sovereign") == CountryAt(sovereign)


def test_places_as_an_array() -> None:
    points = np.array([(lat, lon) for _, lat, lon, *_ in places()])
    assert len(points) >= 100
    for level, at in (("territory", 3), ("sovereign", 4)):
        found = countries_at(points, level=level)
        assert found.codes.tolist() == [place[at] for place in places()]
        assert not found.inferred.any() and not found.distances_km.any()


def test_a_country_at_a_position_knows_its_name_and_continent() -> None:
    found = country_at(Position(4.937, -52.326))
    assert found is not None
    assert (found.code, found.name, found.continent) == ("GF", "French Guiana", "South America")
    assert repr(found) == "CountryAt(code='GF', inferred=False, distance_km=0.0)"


@pytest.mark.parametrize("level", LEVELS)
def test_mid_ocean_is_none(level: str) -> None:
    for lat, lon in ((-40.0, -120.0), (20.0, -40.0), (35.0, -45.0), (-35.0, 85.0), (90.0, 0.0), (89.0, 45.0)):
        assert country_at(Position(lat, lon), level) is None, (lat, lon)


def test_land_that_no_country_claims_takes_none_of_its_neighbours() -> None:
    assert country_at(Position(21.87, 33.74)) is None  # Bir Tawil, 10 km from Egypt and from Sudan
    found = countries_at(rows_of((21.87, 33.74)))
    assert (found.codes[0], found.inferred[0]) == ("", False) and math.isnan(found.distances_km[0])


def test_a_position_on_the_cut_at_180_degrees_has_a_country() -> None:
    on_the_cut = rows_of((-16.8, 180.0), (-16.8, -180.0), (71.1, 180.0), (71.1, -180.0), (66.0, 179.9996))
    found = countries_at(on_the_cut)
    assert found.codes.tolist() == ["FJ", "FJ", "RU", "RU", "RU"]
    assert not found.inferred.any()


def test_the_south_pole_has_any_longitude() -> None:
    found = countries_at(rows_of(*((-90.0, lon) for lon in (-180.0, -77.0, 0.0, 123.0, 180.0))))
    assert set(found.codes) == {"AQ"} and not found.inferred.any()


def test_a_point_on_a_border_has_one_answer() -> None:
    [outer, *_] = next(feature for feature in features() if feature.code == "SM").polygons[0]
    corners = np.array(outer)[:, ::-1]
    assert set(countries_at(corners).codes) == {"SM"}  # rather than IT, in which it is a hole


def test_longitudes_count_on_round_the_earth() -> None:
    assert np.allclose(
        wrapped_lons(np.array([180.1, -180.1, 360.0, -359.0, 180.0, -180.0])), [-179.9, 179.9, 0, 1, 180, -180]
    )
    points = np.array([(lat, lon) for _, lat, lon, *_ in places()])
    turned = points + np.where(points[:, 1:] < 0, [0.0, 360.0], [0.0, -360.0])
    assert countries_at(turned).codes.tolist() == countries_at(points).codes.tolist()


def test_no_points() -> None:
    found = countries_at(np.empty((0, 2)))
    assert found.codes.shape == found.inferred.shape == found.distances_km.shape == (0,)


# -- against loops ------------------------------------------------------------------------------------------------


@functools.cache
def borders() -> list[dict[str, Any]]:
    read = json.loads(VENDORED.joinpath("borders.json").read_text("utf-8"))["features"]
    return [one for one in read if one["geometry"]]


def crossings(ring: list[list[float]], lat: float, lon: float) -> int:
    """How often a ray to the east crosses the ring."""
    if all(x < lon for x, _ in ring) or all(y < lat for _, y in ring) or all(y > lat for _, y in ring):
        return 0
    count = 0
    for (x1, y1), (x2, y2) in itertools.pairwise(ring):
        if (y1 > lat) != (y2 > lat) and lon < x1 + (lat - y1) / (y2 - y1) * (x2 - x1):
            count += 1
    return count


def looped(lat: float, lon: float) -> str:
    """The country by the even-odd rule, polygon by polygon, with the data's own properties."""
    official = set(known_codes())
    for feature in borders():
        properties = feature["properties"]
        for polygon in feature["geometry"]["coordinates"]:
            if sum(crossings(ring, lat, lon) for ring in polygon) % 2:
                own = properties.get("iso1A2", "")
                in_groups = [group for group in properties.get("groups", []) if group in official]
                code = own if own in official else ALIASES.get(own) or [*in_groups, properties.get("country", "")][0]
                code = {"Crimea": "UA", "Northern Cyprus": "CY"}.get(properties["nameEn"], code)
                return "EH" if code == "MA" and lat < 27 + 40 / 60 else code
    return ""


def test_the_vectorised_lookup_is_point_in_polygon_one_by_one() -> None:
    rng = np.random.default_rng(1)
    anywhere = np.stack([rng.uniform(-80, 80, 60), rng.uniform(-180, 180, 60)], axis=1)
    near_places = np.array([(lat, lon) for _, lat, lon, *_ in places()]) + rng.normal(0, 0.3, (len(places()), 2))
    points = np.concatenate([anywhere, near_places[::2]]).clip([-90, -179.99], [90, 179.99])
    found = countries_at(points, nearest_km=0.0)
    assert found.codes.tolist() == [looped(lat, lon) for lat, lon in points.tolist()]
    assert len(set(found.codes)) > 30


def sampled_borders(step_deg: float) -> tuple[np.ndarray, list[str]]:
    """Points on every edge at most so far apart, and the name of the feature of each."""
    samples, names = [], []
    for feature in borders():
        for polygon in feature["geometry"]["coordinates"]:
            for ring in polygon:
                for start, end in zip(np.array(ring[:-1]), np.array(ring[1:]), strict=True):
                    count = max(2, math.ceil(float(np.abs(end - start).max()) / step_deg) + 1)
                    samples.append(np.linspace(start, end, count)[:, ::-1])
                    names += [feature["properties"]["nameEn"]] * count
    return np.concatenate(samples), names


def test_the_nearest_country_is_that_of_the_nearest_of_many_points_on_borders() -> None:
    samples, names = sampled_borders(0.05)
    asked = rows_of(
        (-40.0, -120.0), (0.0, -30.0), (35.0, -45.0), (-35.0, 85.0), (85.0, -75.0), (86.0, 40.0), (-56.0, 179.9),
        (-30.0, -179.9), (50.0, -30.0), (-58.5, 100.0), (72.0, -179.0), (77.0, 180.0),
    )  # fmt: skip
    found = countries_at(asked, nearest_km=5000.0)
    compared = 0
    for point, code, km, inferred in zip(asked, found.codes, found.distances_km, found.inferred, strict=True):
        if inferred:
            metres = geodesic_m(np.tile(point, (len(samples), 1)), samples)
            nearest = int(metres.argmin())
            assert km == pytest.approx(metres[nearest] / 1000, abs=1.0), point
            assert looked_up(names[nearest]) == code, point
            compared += 1
    assert compared >= 9


def looked_up(name: str) -> str | None:
    return next(feature.code for feature in features() if feature.polygons and feature.name == name)


# -- the nearest country ------------------------------------------------------------------------------------------


def edge_of_bermuda() -> tuple[Position, float]:
    """A corner of Bermuda's polygon, with nothing but sea around it, and the bearing that leads away."""
    ring = np.array(next(feature for feature in features() if feature.code == "BM").polygons[0][0])[:, ::-1]
    south = ring[ring[:, 0].argmin()]
    return Position(float(south[0]), float(south[1])), 180.0


@pytest.mark.parametrize("km", [0.01, 1.0, 24.9])
def test_a_point_just_off_takes_the_nearest_country_and_says_so(km: float) -> None:
    corner, away_deg = edge_of_bermuda()
    off = corner.moved(away_deg, 1000 * km)
    for level, code in (("territory", "BM"), ("sovereign", "GB")):
        found = country_at(off, level)
        assert found is not None and (found.code, found.inferred) == (code, True)
        assert found.distance_km == pytest.approx(km, abs=0.002)
    assert country_at(off, nearest_km=0.0) is None


def test_the_limit_is_inclusive_and_can_be_changed() -> None:
    corner, away_deg = edge_of_bermuda()
    off = corner.moved(away_deg, 40_000.0)
    assert NEAREST_KM == 25.0
    assert country_at(off) is None
    found = country_at(off, nearest_km=41.0)
    assert found is not None and found.inferred
    assert country_at(off, nearest_km=found.distance_km) == found
    assert country_at(off, nearest_km=found.distance_km - 0.001) is None


def test_the_nearest_country_is_found_across_180_degrees_and_near_the_pole() -> None:
    points = rows_of((-25.0, 179.99), (51.0, 179.95), (-59.95, -179.999), (84.0, 60.0), (85.0, 0.0))
    found = countries_at(points, nearest_km=110.0)
    assert found.codes.tolist() == ["NZ", "US", "AQ", "RU", "GL"]  # the Kermadecs' polygon begins at -180
    assert found.inferred.all()
    assert np.allclose(found.distances_km, [1.3, 2.6, 5.6, 36.0, 99.9], atol=0.1)


def test_only_what_is_outside_is_inferred() -> None:
    corner, away_deg = edge_of_bermuda()
    off = corner.moved(away_deg, 5000.0)
    found = countries_at(rows_of((48.853, 2.35), (off.lat, off.lon), (-40.0, -120.0)))
    assert found.codes.tolist() == ["FR", "BM", ""]
    assert found.inferred.tolist() == [False, True, False]
    assert found.distances_km[0] == 0 and math.isnan(found.distances_km[2])


# -- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [(91.0, 0.0), (0.0, 361.0), (math.nan, 0.0), (0.0, math.inf)])
def test_what_is_no_point_is_refused(bad: tuple[float, float]) -> None:
    assert are_points(rows_of((1.0, 2.0), bad)).tolist() == [True, False]
    with pytest.raises(DataError, match=r"^1 of 2 rows are no points \(the first is row 1: .*; latitude -90..90 and "):
        countries_at(rows_of((1.0, 2.0), bad))


@pytest.mark.parametrize("km", [-1.0, math.nan, math.inf])
def test_what_is_no_distance_is_refused(km: float) -> None:
    with pytest.raises(DataError, match=r"within (-1.0|nan|inf) km; a number of 0 or more is expected"):
        country_at(Position(0.0, 0.0), nearest_km=km)


def test_an_unknown_level_is_refused() -> None:
    for call in (check_level, known_codes, lambda level: country_at(Position(0.0, 0.0), level)):
        with pytest.raises(UsageError, match="There is no level 'sovreign'; did you mean 'sovereign'"):
            call("sovreign")


@pytest.mark.parametrize(
    ("code", "meant"),
    [
        ("UK", "'GB' (United Kingdom)"), ("EL", "'GR' (Greece)"), ("fr", "'FR' (France)"), ("DEU", "'DE' (Germany)"),
        ("Swaziland", "'SZ' (Eswatini)"), ("Frnace", "'FR' (France)"), ("XX", "'XK' (Kosovo)"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("of", [name_of, continent_of, sovereign_of, lambda code: at_level(code, "sovereign")])
def test_an_unknown_code_names_the_nearest(of: Any, code: str, meant: str) -> None:
    with pytest.raises(DataError) as caught:
        of(code)
    said = (
        f"There is no country code {code!r}; did you mean {meant}? The two capitals of ISO 3166-1 are expected, or XK."
    )
    assert str(caught.value) == said


# -- codes, names, continents -------------------------------------------------------------------------------------


def test_codes_are_those_of_iso_3166_1_and_kosovo() -> None:
    codes = known_codes()
    assert len(codes) == 250  # 249 official ones and XK
    assert list(codes) == sorted(codes) and all(len(code) == 2 and code.isupper() for code in codes)
    assert {"XK", "AQ", "EH", "TW", "PS"} <= set(codes)
    assert not {"EU", "UN", *ALIASES} & set(codes)
    assert set(known_codes("sovereign")) == {sovereign_of(code) for code in codes}
    assert len(known_codes("sovereign")) == 199


def test_every_code_is_some_place_and_every_place_has_a_known_code() -> None:
    with_polygons = [feature for feature in features() if feature.polygons]
    assert {feature.code for feature in with_polygons if feature.code} == set(known_codes())
    assert [feature.name for feature in with_polygons if not feature.code] == ["Bir Tawil"]


def test_reserved_codes_are_the_countries_they_belong_to() -> None:
    raw = borders()
    for reserved, code in ALIASES.items():
        here = [
            one for one in raw if reserved in (one["properties"].get("iso1A2"), *one["properties"].get("groups", []))
        ]
        assert here, reserved
        for one in here:
            assert looked_up(one["properties"]["nameEn"]) == code


def test_territories_belong_to_sovereign_states() -> None:
    belong = {
        "AU": "CC CX HM NF", "CN": "HK MO", "DK": "FO GL", "FI": "AX",
        "FR": "BL GF GP MF MQ NC PF PM RE TF WF YT", "GB": "AI BM FK GG GI GS IM IO JE KY MS PN SH TC VG",
        "NL": "AW BQ CW SX", "NO": "BV SJ", "NZ": "CK NU TK", "US": "AS GU MP PR UM VI",
    }  # fmt: skip
    expected = {territory: state for state, territories in belong.items() for territory in territories.split()}
    assert {code: sovereign_of(code) for code in known_codes() if sovereign_of(code) != code} == expected
    for code in ("XK", "TW", "EH", "PS", "AQ"):
        assert sovereign_of(code) == code
    assert (at_level("HK", "territory"), at_level("HK", "sovereign")) == ("HK", "CN")


def test_names_are_english() -> None:
    expected = {
        "FR": "France", "GB": "United Kingdom", "NL": "Netherlands", "DK": "Denmark", "CN": "China", "IE": "Ireland",
        "CY": "Cyprus", "XK": "Kosovo", "TW": "Taiwan", "EH": "Western Sahara", "CI": "Côte d'Ivoire",
        "HK": "Hong Kong", "AQ": "Antarctica", "US": "United States of America", "FM": "Micronesia",
    }  # fmt: skip
    assert {code: name_of(code) for code in expected} == expected
    assert len({name_of(code) for code in known_codes()}) == 250


def test_continents() -> None:
    expected = {
        "FR": "Europe", "ES": "Europe", "PT": "Europe", "RU": "Europe", "GB": "Europe", "XK": "Europe", "IS": "Europe",
        "TR": "Asia", "CY": "Asia", "GE": "Asia", "TW": "Asia", "PS": "Asia", "KZ": "Asia", "ID": "Asia",
        "EG": "Africa", "EH": "Africa", "RE": "Africa", "SH": "Africa", "US": "North America", "GL": "North America",
        "MX": "North America", "CU": "North America", "PA": "North America", "TT": "North America",
        "CO": "South America", "GF": "South America", "FK": "South America", "EC": "South America",
        "AU": "Oceania", "PG": "Oceania", "PF": "Oceania", "UM": "Oceania", "NZ": "Oceania", "AQ": "Antarctica",
    }  # fmt: skip
    assert {code: continent_of(code) for code in expected} == expected
    counts = Counter(continent_of(code) for code in known_codes())
    assert set(counts) == set(CONTINENTS)
    assert (counts["Africa"], counts["Antarctica"], counts["South America"]) == (60, 1, 16)


def test_the_borders_come_with_their_licence() -> None:
    assert "Copyright (c) 2025, country-coder contributors" in VENDORED.joinpath("LICENSE").read_text("utf-8")
    notice = (Path(__file__).parents[1] / "NOTICE").read_text("utf-8")
    assert "src/geofix/geography/vendored/country-coder/LICENSE" in notice


# -- swapped columns ----------------------------------------------------------------------------------------------


CITIES = {
    "europe": ((48.9, 2.4), (52.5, 13.4), (40.4, -3.7), (41.9, 12.5), (59.3, 18.1), (50.1, 14.4), (51.5, -0.1)),
    "america": ((40.7, -74.0), (25.8, -80.2), (38.9, -77.0), (42.4, -71.1), (35.2, -80.8), (33.7, -84.4)),
    "world": ((35.7, 139.7), (-33.9, 151.2), (37.8, -122.4), (48.9, 2.4), (-23.6, -46.6), (1.3, 103.8), (55.8, 37.6)),
}


def around(cities: str, each: int = 30) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(city, 0.05, (each, 2)) for city in CITIES[cities]])


@pytest.mark.parametrize("cities", CITIES)
def test_a_swap_shows_by_where_points_fall(cities: str) -> None:
    right = around(cities)
    assert seems_swapped(right) is None
    said = seems_swapped(np.ascontiguousarray(right[:, ::-1]))
    assert said is not None and said.startswith("Latitude and longitude seem to be swapped: ")
    assert f"of {len(right)} points lie in a country as they are, and 100.0 % with the two exchanged" in said
    assert said.endswith("; exchange the columns.")
    assert ("of the latitudes are outside -90..90" in said) == (cities == "world")


def test_a_swap_is_told_by_its_numbers() -> None:
    points = rows_of((139.7, 35.7), (151.2, -33.9), (2.4, 48.9), (-0.1, 51.5))
    assert seems_swapped(points) == (
        "Latitude and longitude seem to be swapped: 0.0 % of 4 points lie in a country as they are, and 100.0 % with "
        "the two exchanged (50.0 % of the latitudes are outside -90..90); exchange the columns."
    )


def test_what_lies_in_countries_both_ways_tells_nothing() -> None:
    greece = np.random.default_rng(0).normal((38.5, 23.5), 0.3, (50, 2))
    assert seems_swapped(greece) is None
    assert seems_swapped(np.ascontiguousarray(greece[:, ::-1])) is None  # Saudi Arabia


def test_a_few_photos_at_sea_and_typing_errors_are_no_swap() -> None:
    right = around("europe")
    assert seems_swapped(np.concatenate([right, rows_of((2.4, 48.9), (139.7, 35.7), (999.0, 999.0))])) is None
    assert seems_swapped(rows_of((-40.0, -120.0), (20.0, -40.0))) is None
    assert seems_swapped(np.random.default_rng(0).uniform((-50, -130), (-40, -100), (60, 2))) is None
    half = np.concatenate([right, right[:, ::-1]])
    assert seems_swapped(half) is None


def test_without_points_there_is_no_swap() -> None:
    assert seems_swapped(np.empty((0, 2))) is None
    assert seems_swapped(np.full((5, 2), np.nan)) is None


# -- cells --------------------------------------------------------------------------------------------------------


def test_cells_nest_and_have_googles_tokens() -> None:
    assert [cell_at(Position(0.0, lon), 0) for lon in (0.0, 90.0, 180.0, -90.0)] == ["1", "3", "7", "9"]
    assert [cell_at(Position(lat, 0.0), 0) for lat in (90.0, -90.0)] == ["5", "b"]
    fine, coarse = (int(cell_at(Position(48.853, 2.35), level).ljust(16, "0"), 16) for level in (12, 6))
    size = coarse & -coarse  # the lowest bit that is set: half the width of the cell's range of numbers
    assert coarse - size < fine < coarse + size
    points = rows_of(*((lat, lon) for _, lat, lon, *_ in places()))
    assert [len(set(cells_at(points, level))) for level in (0, 30)] == [6, len(points)]
    assert cells_at(points, 12) == [cell_at(Position(lat, lon), 12) for lat, lon in points.tolist()]


@pytest.mark.parametrize("level", [-1, 31])
def test_there_are_no_cells_beyond_level_30(level: int) -> None:
    with pytest.raises(UsageError, match=f"There are no S2 cells of level {level}; 0 to 30 are expected."):
        cell_at(Position(0.0, 0.0), level)
    with pytest.raises(UsageError, match="There are no S2 cells"):
        cells_at(rows_of((0.0, 0.0)), level)


# -- real tables --------------------------------------------------------------------------------------------------


def real(shared: Path, name: str, lat: str = "LAT", lon: str = "LON") -> np.ndarray:
    path = shared / "data" / "im2gps_meta" / name
    if not path.is_file():
        pytest.skip(f"no {name} in {path.parent}")
    with path.open(encoding="utf-8", newline="") as file:
        return np.array([(row[lat], row[lon]) for row in csv.DictReader(file)], dtype=np.float64)


@pytest.mark.parametrize(
    ("name", "lat", "lon", "classes", "top", "five"),
    [
        # Classes and shares as measured with country-coder itself (without its fallbacks for photos of YFCC26k).
        ("im2gps3k_places365.csv", "LAT", "LON", (115, 107), 26.2, 50.6),
        ("meta_im2gps_places365.csv", "LON", "LAT", (None, None), 23.6, 42.6),
        # It has SJ, GG, BQ, EH and TF under their own codes, and so 5 more than the 194 of those without.
        ("yfcc25600_places365.csv", "LAT", "LON", (199, 167), 35.8, 59.0),
    ],
)
def test_prior_baselines_of_the_im2gps_tables(
    shared: Path, name: str, lat: str, lon: str, classes: tuple[int | None, int | None], top: float, five: float
) -> None:
    points = real(shared, name, lat, lon)
    for level, expected in zip(LEVELS, classes, strict=True):
        counts = Counter(countries_at(points, level).codes.tolist())
        without = counts.pop("", 0)
        assert without <= 0.0003 * len(points)
        assert expected in (None, len(counts))
        if level == "territory":
            shares = [100 * count / len(points) for _, count in counts.most_common(5)]
            assert (round(shares[0], 1), round(sum(shares), 1)) == (top, pytest.approx(five, abs=0.051))


def test_country_accuracy_of_published_predictions(shared: Path) -> None:
    """64.1 % on the 237 photos of Im2GPS, with country-coder's labels."""
    path = shared / "data" / "im2gps_meta" / "results_im2gps_ISNs_M-fstar-S3.csv"
    if not path.is_file():
        pytest.skip(f"no {path.name} in {path.parent}")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:237]
    truth, said = (
        np.array([(row[lat], row[lon]) for row in rows], dtype=np.float64)
        for lat, lon in (("gt_lat", "gt_long"), ("predicted_lat", "predicted_long"))
    )
    assert round(100 * float((countries_at(truth).codes == countries_at(said).codes).mean()), 1) == 64.1


@pytest.mark.parametrize(
    ("name", "swapped"),
    [
        ("im2gps3k_places365.csv", False), ("yfcc25600_places365.csv", False), ("meta_im2gps3k_places365.csv", True),
        ("meta_im2gps_places365.csv", True),
    ],
)  # fmt: skip
def test_the_swapped_im2gps_tables_are_told_from_the_right_ones(shared: Path, name: str, swapped: bool) -> None:
    points = real(shared, name)
    assert (seems_swapped(points) is not None) == swapped
    assert (seems_swapped(np.ascontiguousarray(points[:, ::-1])) is not None) != swapped
    if name == "meta_im2gps3k_places365.csv":
        assert "(35.4 % of the latitudes are outside -90..90)" in str(seems_swapped(points))
