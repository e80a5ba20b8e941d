"""`geofix data country`: what it prints, what it says, and each refusal."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from commands import Captured, called, refused
from toy_places import put

COUNTRY = ("data", "country")


def table(folder: Path, text: str) -> Path:
    return put(folder / "points.csv", text.encode())


def countries(out: str) -> list[str]:
    return [row["country"] for row in csv.DictReader(io.StringIO(out))]


def test_the_same_rows_with_one_more_column(tmp_path: Path, capsys: Captured) -> None:
    path = table(tmp_path, 'lat,lon,note\n48.853,2.35,"Paris, France"\n4.937,-52.326,Cayenne\n\n-40,-120,ocean\n')
    status, out, err = called(capsys, *COUNTRY, path)
    assert status == 0
    assert out == 'lat,lon,note,country\n48.853,2.35,"Paris, France",FR\n4.937,-52.326,Cayenne,GF\n-40,-120,ocean,\n'
    said = "countries by territory: 2 of 3 points, 0 of them inferred from the nearest within 25 km; no country: 1"
    assert err == f"geofix: {said}\n"


def test_levels(tmp_path: Path, capsys: Captured) -> None:
    path = table(tmp_path, "lat,lon\n4.937,-52.326\n22.271,114.15\n18.466,-66.106\n64.178,-51.736\n42.663,21.164\n")
    assert countries(called(capsys, *COUNTRY, path, "--level", "territory")[1]) == ["GF", "HK", "PR", "GL", "XK"]
    status, out, err = called(capsys, *COUNTRY, path, "--level", "sovereign")
    assert (status, countries(out)) == (0, ["FR", "CN", "US", "DK", "XK"])
    assert "countries by sovereign: 5 of 5 points" in err
    assert "There is no level 'state'; did you mean" in refused(capsys, *COUNTRY, path, "--level", "state")


@pytest.mark.parametrize(
    "header",
    ["lat,lon", "latitude,longitude", "LAT,LON", "gt_lat,gt_long", "Latitude,Lng", "GPS Lat,GPS-Lon", "y,x"],
)
def test_usual_column_names(tmp_path: Path, capsys: Captured, header: str) -> None:
    status, out, _ = called(capsys, *COUNTRY, table(tmp_path, f"{header}\n48.853,2.35\n"))
    assert (status, out) == (0, f"{header},country\n48.853,2.35,FR\n")


@pytest.mark.parametrize(("delimiter", "lat"), [(";", "48,853"), ("\t", "48.853")])
def test_its_delimiter_and_decimal_commas_stay(tmp_path: Path, capsys: Captured, delimiter: str, lat: str) -> None:
    lines = [delimiter.join(cells) for cells in (("lat", "lon"), (lat, "2.35"))]
    assert (
        called(capsys, *COUNTRY, table(tmp_path, "\n".join(lines)))[1]
        == f"{lines[0]}{delimiter}country\n{lines[1]}{delimiter}FR\n"
    )


def test_zero_is_a_coordinate(tmp_path: Path, capsys: Captured) -> None:
    assert countries(called(capsys, *COUNTRY, table(tmp_path, "lat,lon\n51.478,0\n0,37.07\n"))[1]) == ["GB", "KE"]


def test_longitudes_beyond_180_go_on_round_the_earth(tmp_path: Path, capsys: Captured) -> None:
    status, out, _ = called(capsys, *COUNTRY, table(tmp_path, "lat,lon\n71.0,180.5\n37.77,237.58\n"))
    assert (status, countries(out)) == (0, ["RU", "US"])


def test_nearest(tmp_path: Path, capsys: Captured) -> None:
    path = table(tmp_path, "lat,lon\n51.0,179.95\n52.2,0.12\n")
    status, out, err = called(capsys, *COUNTRY, path)
    assert (status, countries(out)) == (0, ["US", "GB"])
    assert "2 of 2 points, 1 of them inferred from the nearest within 25 km; no country: 0" in err
    status, out, err = called(capsys, *COUNTRY, path, "--nearest", "2.5")
    assert (status, countries(out)) == (0, ["", "GB"])
    assert "1 of 2 points, 0 of them inferred from the nearest within 2.5 km; no country: 1" in err
    said = refused(capsys, *COUNTRY, path, "--nearest", "-1")
    assert "The nearest country was asked for within -1.0 km; a number of 0 or more is expected." in said


def test_rows_that_are_no_points_are_named_and_the_rest_is_done(tmp_path: Path, capsys: Captured) -> None:
    bad = ["91,3", "48.9,361", "abc,3", "3,", "nan,2", "short"]
    path = table(tmp_path, "\n".join(["lat,lon", "48.853,2.35", *bad, "52.2,0.12,more"]))
    status, out, err = called(capsys, *COUNTRY, path)
    assert status == 1
    lines = out.splitlines()
    assert lines[:3] == ["lat,lon,country", "48.853,2.35,FR", "91,3,"]
    assert lines[-2:] == ["short,,", "52.2,0.12,GB,more"]
    assert "countries by territory: 2 of 2 points" in err
    elsewhere = "is not on Earth: latitude -90..90 and longitude -360..360 are expected."
    assert f"geofix: points.csv line 3: (91.0, 3.0) {elsewhere}" in err
    assert f"geofix: points.csv line 4: (48.9, 361.0) {elsewhere}" in err
    assert "geofix: points.csv line 5 has 'abc' as lat; a decimal number of degrees is expected." in err
    assert "geofix: points.csv line 6 has '' as lon; a decimal number of degrees is expected." in err
    assert "line 7 has 'nan' as lat" in err and "line 8 has 'short' as lat" in err


def test_the_first_bad_rows_and_how_many_more(tmp_path: Path, capsys: Captured) -> None:
    status, _, err = called(capsys, *COUNTRY, table(tmp_path, "lat,lon\n48.853,2.35\n" + "95,100\n" * 30))
    assert status == 1
    assert err.count("is not on Earth") == 20
    assert "... and 10 more inputs that could not be used." in err


def test_swapped_columns_are_warned_of(tmp_path: Path, capsys: Captured) -> None:
    cities = ((2.35, 48.85), (13.4, 52.52), (-3.7, 40.42), (-0.13, 51.5), (4.9, 52.37), (-9.14, 38.72), (-5.93, 54.6))
    path = table(tmp_path, "lat,lon\n" + "".join(f"{lon},{lat}\n" for lon, lat in cities))
    status, _, err = called(capsys, *COUNTRY, path)
    assert status == 0
    warned = f"geofix: warning: {path}: Latitude and longitude seem to be swapped: "
    assert err.startswith(warned) and "100.0 % with the two exchanged; exchange the columns." in err
    right = table(tmp_path, "lon,lat\n" + "".join(f"{lon},{lat}\n" for lon, lat in cities))
    status, out, err = called(capsys, *COUNTRY, right)
    assert (status, countries(out)) == (0, ["FR", "DE", "ES", "GB", "NL", "PT", "GB"])
    assert "swapped" not in err


def test_columns_so_swapped_that_no_row_is_a_point(tmp_path: Path, capsys: Captured) -> None:
    path = table(tmp_path, "lat,lon\n139.7,35.7\n151.2,-33.9\n-122.4,37.8\n")
    said = refused(capsys, *COUNTRY, path)
    assert f"{path}: Latitude and longitude seem to be swapped: 0.0 % of 3 points" in said
    assert "(100.0 % of the latitudes are outside -90..90); exchange the columns." in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty; a header line"),
        ("lat,lon\n", "has no usable row of 0; lat and lon in degrees are needed."),
        ("lat,lon\n95,3\nx,y\n", "has no usable row of 2 (the first: points.csv line 2: (95.0, 3.0) is not on Earth"),
        ("name,city\nx,y\n", "has the columns name, city but none for lat and lon; name them in the first line"),
        ("lat,name\n1,y\n", "has the columns lat, name but none for lon; name them in the first line (lon as one of"),
        ("lat,lon,Country\n1,2,FR\n", "has a column 'country' already; rename it or take it out, then ask again."),
    ],
)
def test_what_is_no_table_of_points(tmp_path: Path, capsys: Captured, text: str, said: str) -> None:
    assert said in refused(capsys, *COUNTRY, table(tmp_path, text))


def test_what_is_no_file(tmp_path: Path, capsys: Captured) -> None:
    assert "cannot be read (No such file or directory)" in refused(capsys, *COUNTRY, tmp_path / "gone.csv")
    assert "is not UTF-8 text" in refused(capsys, *COUNTRY, put(tmp_path / "points.csv", b"lat,lon\n\xff,1\n"))


def test_a_real_table(shared: Path, capsys: Captured) -> None:
    folder = shared / "data" / "im2gps_meta"
    if not (folder / "im2gps3k_places365.csv").is_file():
        pytest.skip(f"no im2gps3k_places365.csv in {folder}")
    status, out, err = called(capsys, *COUNTRY, folder / "im2gps3k_places365.csv")
    assert status == 0 and "swapped" not in err
    assert (len(countries(out)), countries(out).count("HK")) == (2997, 56)
    status, _, err = called(capsys, *COUNTRY, folder / "meta_im2gps3k_places365.csv")
    assert status == 1
    assert "Latitude and longitude seem to be swapped" in err and "35.4 % of the latitudes" in err
    assert "... and 1040 more inputs that could not be used." in err
