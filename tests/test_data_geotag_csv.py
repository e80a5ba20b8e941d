"""The geotagged-table reader: column names, delimiters, swaps, bad rows, missing files, real tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from geofix.data import geotag_csv
from geofix.data.geotag_csv import photo_paths, read, read_table, with_paths
from geofix.errors import DataError
from geofix.photos import save_jpeg
from geofix.positions import Position
from toy_places import blobs, put

JPEG = save_jpeg(blobs(0))


def table(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    return put(folder / "photos.csv", text.encode(encoding))


def photos(folder: Path, *names: str) -> None:
    for name in names:
        put(folder / name, JPEG)


def test_all_columns(tmp_path: Path) -> None:
    photos(tmp_path, "a.jpg", "b/c.jpg")
    path = table(
        tmp_path,
        "Path,LAT,Lng,scene,country,Owner,pano-id,Heading,split,Taken At\n"
        "a.jpg,52.2,0.1,city,GB,Ann,p1,370,train,2020-06-01T21:30:00\n"
        "b\\c.jpg,-33.8,151.2,,,,,,test,\n",
    )
    assert geotag_csv.found(path)
    row = read_table(path).rows[0]
    assert (row.scene, row.country, row.sequence, row.line) == ("city", "GB", "p1", 2)
    dataset = read(path)
    assert set(dataset.splits) == {"train", "test"} and not dataset.problems
    photo = dataset.split("train").gallery[0]
    assert (photo.position, photo.author, photo.group, photo.heading_deg) == (
        Position(52.2, 0.1),
        "Ann",
        "p1",
        10.0,
    )
    assert (photo.taken_at, photo.source, photo.path) == ("2020-06-01T21:30:00", "csv", tmp_path / "a.jpg")
    other = dataset.split("test").gallery[0]
    assert (other.name, other.group, other.heading_deg) == ("b/c.jpg", None, None)
    assert dataset.split("test").leave_one_out


def test_a_class_of_places365_gives_the_scene(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "IMG_ID,LAT,LON,S365_Label\na.jpg,52,0,48\nb.jpg,52,0,airfield\nc.jpg,52,0,3\nd.jpg,52,0,\ne.jpg,52,0,999\n",
    )
    found = read_table(path)
    assert [row.scene for row in found.rows] == ["coast", "industrial", "indoor", None]
    assert [str(problem) for problem in found.problems] == [
        "photos.csv line 6: There is no Places365 class number 999; 0 to 364 are expected."
    ]
    both = table(tmp_path, "IMG_ID,LAT,LON,scene,S365_Label\na.jpg,52,0,city,48\n")
    assert read_table(both).rows[0].scene == "city"


@pytest.mark.parametrize(
    "header", ["file,latitude,longitude", "IMG_ID,Y,X", "Photo,gt_lat,gt_long", "name,GPS Lat,lng"]
)
def test_aliases(tmp_path: Path, header: str) -> None:
    photos(tmp_path, "a.jpg")
    dataset = read(table(tmp_path, f"{header}\na.jpg,52.2,0.1\n"))
    assert dataset.split("all").queries[0].position == Position(52.2, 0.1)


@pytest.mark.parametrize(("delimiter", "lat"), [(",", "52.2"), (";", "52.2"), ("\t", "52.2"), (";", "52,2")])
def test_delimiters_and_byte_order_mark(tmp_path: Path, delimiter: str, lat: str) -> None:
    photos(tmp_path, "ä.jpg")
    lines = [delimiter.join(cells) for cells in (("path", "lat", "lon"), ("ä.jpg", lat, "0.1"))]
    path = table(tmp_path, "\r\n".join(lines), "utf-8-sig")
    assert read(path).photos[0].position == Position(52.2, 0.1)


def test_the_author_groups_where_there_is_no_sequence(tmp_path: Path) -> None:
    photos(tmp_path, "a.jpg")
    assert read(table(tmp_path, "path,lat,lon,author\na.jpg,1,2,Ann\n")).photos[0].group == "Ann"


def test_bad_rows_are_problems_with_line_and_value(tmp_path: Path) -> None:
    names = [f"{number}.jpg" for number in range(9)]
    photos(tmp_path, *names)
    values = ["52.2,0.1", "52°12'N,0.1", "abc,0.1", ",0.1", "52.2,", "95,10", "nan,1", "52.2,0.1", "999,999"]
    lines = [f"{name},{value}" for name, value in zip(names, values, strict=True)]
    dataset = read(table(tmp_path, "\n".join(["path,lat,lon", *lines, "0.jpg,1,1", ",1,1", "short.jpg"])))
    assert [photo.name for photo in dataset.photos] == ["0.jpg", "7.jpg"]
    said = [str(problem) for problem in dataset.problems]
    assert len(said) == 10
    assert said[0] == 'photos.csv line 3 has "52°12\'N" as lat; a decimal number of degrees is expected.'
    assert "line 4 has 'abc' as lat" in said[1] and "line 5 has '' as lat" in said[2]
    assert "line 6 has '' as lon" in said[3] and "line 7: Latitude 95.0" in said[4]
    assert "not on Earth" in said[6]
    assert "line 11 names 0.jpg again (first in line 2)" in said[7] and "no photo path" in said[8]


def test_no_usable_row(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no usable row of 1 \(the first: photos.csv line 2 has 'x' as lat"):
        read(table(tmp_path, "path,lat,lon\na.jpg,x,y\n"))
    with pytest.raises(DataError, match="no usable row of 0;"):
        read(table(tmp_path, "path,lat,lon\n"))


def test_missing_columns_are_listed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has the columns file, country but none for lat and lon; .*latitude"):
        read(table(tmp_path, "file,country\na.jpg,GB\n"))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"), (b"\n\n", "is empty"), (b"path,lat,lon\n\xff\xfe,1,2\n", "not UTF-8"),
        (b'path,lat,lon\n"' + b"a" * 200_000 + b'",1,2\n', "no readable table"),
    ],
)  # fmt: skip
def test_what_is_no_table(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(put(tmp_path / "photos.csv", data))
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path / "gone.csv")


def test_a_proven_swap_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path, "path,Latitude,Lng\na.jpg,151.2,-33.8\nb.jpg,2.3,48.9\nc.jpg,-122.4,37.8\n")
    with pytest.raises(DataError, match=r"2 of 3 values under 'Latitude' .* all under 'Lng' .*exchange the two names"):
        read(path)


def test_an_unprovable_swap_is_not_refused(tmp_path: Path) -> None:
    photos(tmp_path, "a.jpg", "b.jpg")
    assert len(read(table(tmp_path, "path,lat,lon\na.jpg,2.3,48.9\nb.jpg,0.1,52.2\n")).photos) == 2


def test_one_typing_error_is_no_swap(tmp_path: Path) -> None:
    names = [f"{number}.jpg" for number in range(30)]
    photos(tmp_path, *names)
    lines = [f"{name},{152.2 if name == '7.jpg' else 52.2},0.1" for name in names]
    dataset = read(table(tmp_path, "\n".join(["path,lat,lon", *lines])))
    assert (len(dataset.photos), len(dataset.problems)) == (29, 1)
    assert "line 9: Latitude 152.2" in str(dataset.problems[0])


def test_missing_files(tmp_path: Path) -> None:
    photos(tmp_path / "img", "a.jpg", "b.jpg")
    path = table(tmp_path, "path,lat,lon\na.jpg,1,2\nb.jpg,1,2\nc.jpg,1,2\n")
    with pytest.raises(DataError, match=r"3 of the 3 photos .* are not in .*the first is a.jpg.*--images"):
        read(path)
    dataset = read(path, tmp_path / "img")
    assert len(dataset.photos) == 2
    assert "c.jpg is listed in photos.csv but is not there." in str(dataset.problems[0])


def test_ids_are_the_photos_named_so_in_whichever_folder(tmp_path: Path) -> None:
    """As OSV-5M: images/train/00/<id>.jpg, with `id` in train.csv."""
    for name in ("train/00/111.jpg", "train/07/222.jpg", "train/07/333.jpg", "test/00/333.png", "444"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).touch()
    text = "id,latitude,longitude,country\n111,1,2,FR\ntrain/07/222,3,4,JP\n333,5,6,FR\n444,7,8,FR\n555,9,9,FR\n"
    dataset = read(table(tmp_path, text), tmp_path / "images")
    assert [photo.name for photo in dataset.photos] == ["train/00/111.jpg", "train/07/222.jpg", "444"]
    assert [photo.country for photo in dataset.photos] == ["FR", "JP", "FR"]
    assert [str(problem) for problem in dataset.problems] == [
        "photos.csv line 4 names the photo 333, and test/00/333.png and train/07/333.jpg are both called so; it was "
        "left out.",
        f"{tmp_path / 'images' / '555'} is listed in photos.csv but is not there.",
    ]


def test_paths_alone_are_read_and_replaced(tmp_path: Path) -> None:
    path = table(tmp_path, '\ufeffNote; Photo ;lat\n"a; b";x\\1.jpg;1,5\n\n;;\nc\nd; 2.jpg ;"3"\n')
    assert photo_paths(path) == ["x/1.jpg", "2.jpg"]
    assert with_paths(path, {"x/1.jpg": ["x/1.jpg", "x/1n.jpg"]}) == (
        'Note;Photo;lat\n"a; b";x/1.jpg;1,5\n"a; b";x/1n.jpg;1,5\n'
    )
    with pytest.raises(DataError, match="none for path"):
        photo_paths(table(tmp_path, "a,b\n1,2\n"))


@pytest.mark.parametrize("name", ["meta_im2gps3k_places365.csv", "meta_im2gps_places365.csv"])
def test_the_real_swapped_tables_are_refused(shared: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"swapped: .* under 'LAT'"):
        read_table(shared / "data" / "im2gps_meta" / name)


@pytest.mark.parametrize(("name", "count"), [("im2gps3k_places365.csv", 2997), ("yfcc25600_places365.csv", 25600)])
def test_the_real_right_tables_are_read(shared: Path, name: str, count: int) -> None:
    found = read_table(shared / "data" / "im2gps_meta" / name)
    assert (len(found.rows), found.problems) == (count, ())
    assert all(row.author for row in found.rows[:10])


def test_the_real_country_photos(shared: Path) -> None:
    dataset = read(shared / "data" / "country_photos" / "photos.csv")
    assert (len(dataset.split("train").gallery), dataset.problems) == (1720, ())
