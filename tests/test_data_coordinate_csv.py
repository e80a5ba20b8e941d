"""Tables of predicted coordinates: columns, summaries, joining, units, exchanged columns, rows that are no points."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from geofix.data.answers import Answers, read_answers
from geofix.data.coordinate_csv import join, read_predictions, read_truth
from geofix.errors import DataError
from geofix.fixes import Fix
from geofix.geography.radians import as_degrees, fits_radians, seems_radians
from geofix.positions import Position
from geofix.reports.exports import fixes_csv
from toy_places import put

CITIES = {
    "paris.jpg": (48.85, 2.35), "berlin.jpg": (52.52, 13.4), "madrid.jpg": (40.42, -3.7), "oslo.jpg": (59.91, 10.75),
    "boston.jpg": (42.36, -71.06), "sydney.jpg": (-33.87, 151.21), "tokyo.jpg": (35.68, 139.69),
    "quito.jpg": (-0.18, -78.47), "cairo.jpg": (30.04, 31.24), "delhi.jpg": (28.61, 77.21),
}  # fmt: skip


def table(folder: Path, text: str, name: str = "said.csv") -> Path:
    return put(folder / name, text.encode())


def truth_table(folder: Path, header: str = "photo,lat,lon") -> Path:
    return table(folder, header + "\n" + "".join(f"{n},{lat},{lon}\n" for n, (lat, lon) in CITIES.items()), "truth.csv")


def said_table(folder: Path, change: float = 0.01, factor: float = 1.0, turned: bool = False) -> Path:
    rows = []
    for name, (lat, lon) in CITIES.items():
        pair = ((lat + change) * factor, (lon + change) * factor)
        rows.append(f"{name},{pair[turned]},{pair[not turned]}\n")
    return table(folder, "photo,lat,lon\n" + "".join(rows))


def points(answers: Answers) -> list[tuple[list[float], list[float]]]:
    return list(zip(answers.truth.tolist(), answers.predicted.tolist(), strict=True))


# -- columns ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        "img_id,gt_lat,gt_long,predicted_lat,predicted_long",
        "photo,lat,lon,predicted_lat,predicted_lon",
        "id,latitude,longitude,pred_latitude,pred_longitude",
        "IMG_ID,LAT,LON,lat_pred,lon_pred",
        "name,gt_lat,gt_lng,lat,lng",
        "image,True Lat,True Lon,Predicted Lat,Predicted Lon",
        "file,lat_gt,lon_gt,lat_est,lon_est",
        "query,target_lat,target_long,prediction_lat,prediction_long",
    ],
)
def test_usual_column_names(tmp_path: Path, header: str) -> None:
    answers = read_answers(table(tmp_path, f"{header}\na.jpg,48.85,2.35,51.5,-0.12\n"))
    assert answers.names == ("a.jpg",)
    assert points(answers) == [([48.85, 2.35], [51.5, -0.12])]
    assert answers.clusters == ("row 2",) and answers.cluster_column is None and not answers.problems


def test_delimiters_and_decimal_commas(tmp_path: Path) -> None:
    answers = read_answers(table(tmp_path, "gt_lat;gt_lon;pred_lat;pred_lon\n48,85;2,35;51,5;-0,12\n"))
    assert points(answers) == [([48.85, 2.35], [51.5, -0.12])]


@pytest.mark.parametrize(
    ("header", "column"),
    [
        ("photo,gt_lat,gt_lon,lat,lon,AUTHOR,sequence", "AUTHOR"),
        ("photo,gt_lat,gt_lon,lat,lon,creator_id,sequence", "creator_id"),
        ("photo,gt_lat,gt_lon,lat,lon,sequence,cell", "sequence"),
    ],
)
def test_clusters_are_photographers_or_else_sequences(tmp_path: Path, header: str, column: str) -> None:
    rows = "a,1,40,1,40,x,p\nb,2,40,2,40,x,q\nc,3,40,3,40,y,q\nd,4,40,4,40,,\n"
    answers = read_answers(table(tmp_path, f"{header}\n{rows}"))
    assert answers.cluster_column == column
    assert answers.clusters == ("of x", "of x", "of y", "row 5")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty; a header line"),
        ("photo,city\na,Paris\n", "has the columns photo, city but none for latitude and longitude; name them in the"),
        ("photo,gt_lat,gt_lon\na,1,2\n", "has no column of predicted coordinates; name them lat and lon, or predicted"),
        ("photo,lat,lon\n", "has no row of coordinates below its header"),
        (
            "photo,lat,lon\na,1,2\n",
            "has predicted coordinates but no true ones; name a table that has them with --trut",
        ),
        (
            "gt_lat,gt_lon,lat,lon\n1,2,x,y\n",
            r"has no usable prediction in 1 rows \(the first: said.csv line 2: the pr",
        ),
        (
            "gt_lat,gt_lon,lat,lon\n95,2,1,2\n",
            "has no usable truth for 1 rows .the first: said.csv line 2: the truth i",
        ),
    ],
)
def test_what_is_no_table_of_predictions(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_answers(table(tmp_path, text))


# -- rows ---------------------------------------------------------------------------------------------------------


def test_photos_without_a_position_are_not_answered(tmp_path: Path) -> None:
    rows = "a,1,40,1,40\nb,2,40,,\nc,3,40,nan,NaN\nd,4,40,None,none\n"
    answers = read_answers(table(tmp_path, f"photo,gt_lat,gt_lon,lat,lon\n{rows}"))
    assert np.isnan(answers.predicted).all(axis=1).tolist() == [False, True, True, True]
    assert not answers.problems and answers.unusable == 0


def test_rows_that_are_no_points_are_named_by_line(tmp_path: Path) -> None:
    rows = ["a,1,40,1,40", "b,95,40,2,40", "c,3,40,-91,40", "d,4,40,4,361", "e,,40,5,40", "f,6,40,,40", "g,7,40,x,y",
            "h,8,40,8,40"]  # fmt: skip
    answers = read_answers(table(tmp_path, "\n".join(["photo,gt_lat,gt_lon,lat,lon", *rows, ""])))
    assert answers.names == ("a", "c", "d", "f", "g", "h")
    assert np.isnan(answers.predicted).all(axis=1).tolist() == [False, True, True, True, True, False]
    assert (answers.left_out, answers.unusable) == (2, 4)
    earth = "no point on Earth (latitude -90..90 and longitude -360..360 in degrees are expected)"
    assert [str(problem) for problem in answers.problems] == [
        f"said.csv line 3: the truth is '95', '40', {earth}; the row was left out.",
        f"said.csv line 6: the truth is '', '40', {earth}; the row was left out.",
        f"said.csv line 4: the prediction is '-91', '40', {earth}; it counts as not answered.",
        f"said.csv line 5: the prediction is '4', '361', {earth}; it counts as not answered.",
        f"said.csv line 7: the prediction is '', '40', {earth}; it counts as not answered.",
        f"said.csv line 8: the prediction is 'x', 'y', {earth}; it counts as not answered.",
    ]


def test_a_photo_is_counted_once(tmp_path: Path) -> None:
    answers = read_answers(table(tmp_path, "photo,gt_lat,gt_lon,lat,lon\na,1,40,1,40\nb,2,40,2,40\na,1,40,3,40\n"))
    assert answers.names == ("a", "b")
    assert str(answers.problems[0]) == "said.csv line 4 names 'a' again (first in line 2); it was left out."


def test_rows_without_a_name_are_rows_all_the_same(tmp_path: Path) -> None:
    path = table(tmp_path, "photo,gt_lat,gt_lon,lat,lon\n,1,40,1,40\n,2,40,2,40\n")
    answers = read_answers(path)
    assert (answers.names, answers.problems) == (("", ""), ())
    joined = join(
        read_predictions(table(tmp_path, "photo,lat,lon\n,1,1\noslo,2,2\n")), read_truth(truth_table(tmp_path))
    )
    assert joined.without_truth == ("said.csv line 2",)


SUMMARY = "street acc (1km),city acc (25km),region acc (200km),country acc (750km),continent acc (2500km),mean (km)"
ROWS = "img_id,gt_lat,predicted_lat,gt_long,predicted_long,km\na.jpg,10,11,40,41,9\nb.jpg,20,21,40,41,9\n"


@pytest.mark.parametrize(
    ("end", "lines"),
    [
        ("", 0),
        (f"\n{SUMMARY}\n0.17,0.43,0.52,0.67,0.80,1732.86\n", 2),
        (f"{SUMMARY}\n0.17,0.43,0.52,0.67,0.80,1732.86\n", 2),
        (f"\n{SUMMARY}\n17,43,52,67,80,1732.86\n", 2),
        ("mean,,,,,9.0\n", 1),
        ("\nmean error,n=2\n,\n# done\n", 2),
    ],
)
def test_summaries_are_ignored_and_counted(tmp_path: Path, end: str, lines: int) -> None:
    answers = read_answers(table(tmp_path, ROWS + end))
    assert answers.names == ("a.jpg", "b.jpg")
    assert points(answers)[1] == ([20.0, 40.0], [21.0, 41.0])
    assert answers.summary_lines == lines and not answers.problems


def test_a_bad_row_is_no_summary(tmp_path: Path) -> None:
    answers = read_answers(table(tmp_path, ROWS + "c.jpg,w,x,y,z,9\nd.jpg,30,31,40,41,9\n"))
    assert answers.names == ("a.jpg", "b.jpg", "d.jpg")
    assert answers.summary_lines == 0 and len(answers.problems) == 1


# -- the truth in another table -----------------------------------------------------------------------------------


def test_joined_by_path_by_file_name_or_without_its_ending(tmp_path: Path) -> None:
    said = table(tmp_path, "photo,lat,lon\nx/a.jpg,1,40\ny\\b.jpg,2,40\nc,3,40\nz/d.jpg,4,40\nw/d.jpg,5,40\n")
    known = table(
        tmp_path, "id,lat,lon,author\nd.jpg,9,40,q\nx/a.jpg,1,41,p\nother/b.jpg,2,41,p\nc.jpg,3,41,\n", "truth.csv"
    )
    answers = read_answers(said, known)
    assert answers.names == ("x/a.jpg", "y/b.jpg", "c")
    assert points(answers) == [([float(n), 41.0], [float(n), 40.0]) for n in (1, 2, 3)]
    assert answers.without_truth == ("z/d.jpg", "w/d.jpg")  # which of the two would be a guess
    assert answers.without_prediction == ("d.jpg",)
    assert (answers.cluster_column, answers.clusters) == ("author", ("of p", "of p", "row 4"))


def test_the_truth_named_goes_before_that_beside_the_predictions(tmp_path: Path) -> None:
    said = table(tmp_path, "photo,gt_lat,gt_lon,lat,lon,author\na,10,40,1,40,x\n")
    answers = read_answers(said, table(tmp_path, "photo,lat,lon\na,2,40\n", "truth.csv"))
    assert points(answers) == [([2.0, 40.0], [1.0, 40.0])]
    assert answers.cluster_column == "author"


def test_what_cannot_be_joined(tmp_path: Path) -> None:
    said = table(tmp_path, "photo,lat,lon\na,1,40\n")
    nameless = table(tmp_path, "lat,lon\n1,40\n", "nameless.csv")
    with pytest.raises(DataError, match="nameless.csv has no column that names its photos, so that it cannot be join"):
        read_answers(said, nameless)
    with pytest.raises(DataError, match="nameless.csv has no column that names its photos"):
        read_answers(nameless, said)
    with pytest.raises(
        DataError, match=r"No photo of .*said.csv is in .*truth.csv \(the first are 'a' and 'paris.jpg'"
    ):
        read_answers(said, truth_table(tmp_path))
    with pytest.raises(DataError, match="has no column of true coordinates; name them lat and lon, or gt_lat"):
        read_truth(table(tmp_path, "photo,pred_lat,pred_lon\na,1,2\n", "truth.csv"))


def test_what_locate_writes(tmp_path: Path) -> None:
    """Names with an apostrophe against formulas, a match's position beside the answer, photos without an answer."""
    fixes = [
        Fix("paris.jpg", Position(48.8, 2.3), 20.0, confidence=0.9),
        Fix("berlin.jpg", reason="nothing like it"),
        Fix("=oslo.jpg", Position(59.9, 10.7), 20.0),
        Fix("boston.jpg", error="not a photo"),
    ]
    said = put(tmp_path / "said.csv", fixes_csv(fixes).encode())
    known = table(tmp_path, truth_table(tmp_path).read_text(encoding="utf-8").replace("oslo", "=oslo"), "truth.csv")
    answers = read_answers(said, known)
    assert answers.names == ("paris.jpg", "berlin.jpg", "=oslo.jpg", "boston.jpg")
    assert answers.predicted[[0, 2]].tolist() == [[48.8, 2.3], [59.9, 10.7]]
    assert np.isnan(answers.predicted[[1, 3]]).all()
    assert len(answers.without_prediction) == 6 and not answers.problems


def test_join_keeps_lines(tmp_path: Path) -> None:
    said = read_predictions(table(tmp_path, "photo,lat,lon\nnobody,1,1\ntokyo.jpg,35,139\n"))
    joined = join(said, read_truth(truth_table(tmp_path)))
    assert (joined.table.where(0), joined.without_truth) == ("said.csv line 3", ("nobody",))


# -- units and exchanged columns ----------------------------------------------------------------------------------


def test_radians_are_told_and_taken(tmp_path: Path) -> None:
    said, known = said_table(tmp_path, factor=math.pi / 180), truth_table(tmp_path)
    with pytest.raises(
        DataError, match="said.csv: the predictions seem to be radians: all 10 latitudes .* their median"
    ):
        read_answers(said, known)
    answers = read_answers(said, known, radians=True)
    assert answers.predicted == pytest.approx(answers.truth + 0.01)
    with pytest.raises(DataError, match="said.csv: latitudes up to 59.91 are no radians; leave --radians out"):
        read_answers(said_table(tmp_path, change=0.0), known, radians=True)


def test_a_truth_in_radians_is_told_and_taken_with_the_predictions(tmp_path: Path) -> None:
    rows = [f"{math.radians(lat)},{math.radians(lon)}" for lat, lon in CITIES.values()]
    path = table(tmp_path, "gt_lat,gt_lon,lat,lon\n" + "".join(f"{row},{row}\n" for row in rows))
    with pytest.raises(DataError, match="The coordinates seem to be radians: all 10 .* as radians 100.0 % lie in a co"):
        read_answers(path)
    answers = read_answers(path, radians=True)
    assert answers.truth == pytest.approx(np.array(list(CITIES.values())))
    assert answers.predicted == pytest.approx(answers.truth)


def test_degrees_near_zero_are_no_radians(tmp_path: Path) -> None:
    assert seems_radians(np.radians(list(CITIES.values()))) is not None
    assert seems_radians(np.radians(list(CITIES.values())[:9])) is None
    assert not fits_radians(np.zeros((3, 2))) and not fits_radians(np.empty((0, 2)))
    assert not fits_radians(np.array([[0.5, 3.2]]))
    assert seems_radians(np.array(list(CITIES.values()))) is None
    assert seems_radians(np.radians([[-40.0, -120.0]] * 20)) is None  # open sea either way
    assert as_degrees(np.array([[1.5708, math.pi]]))[0] == pytest.approx([90.0, 180.0])
    # One answer for all of them, where there is nothing: a bad model, and no unit.
    always = table(tmp_path, "photo,lat,lon\n" + "".join(f"{name},1.0,0.4\n" for name in CITIES))
    assert len(read_answers(always, truth_table(tmp_path)).names) == 10


def test_exchanged_predictions_are_told(tmp_path: Path) -> None:
    known = truth_table(tmp_path)
    with pytest.raises(
        DataError, match="said.csv: latitude and longitude of the predictions seem to be swapped .20.0 %"
    ):
        read_answers(said_table(tmp_path, turned=True), known)
    assert len(read_answers(said_table(tmp_path), known).names) == 10
    europe = "".join(f"{name},{lon},{lat}\n" for name, (lat, lon) in list(CITIES.items())[:4])
    with pytest.raises(
        DataError, match="0.0 % of 4 are not on Earth .* the median error is .* km, and 0 km with the two"
    ):
        read_answers(table(tmp_path, f"photo,lat,lon\n{europe}"), known)
    far = table(tmp_path, "photo,lat,lon\nboston.jpg,-120,40\nsydney.jpg,150,-30\ntokyo.jpg,139,35\n")
    with pytest.raises(DataError, match=r"swapped \(100.0 % of 3 are not on Earth as they are\); exchange the columns"):
        read_answers(far, known)


def test_an_exchanged_truth_is_told(tmp_path: Path) -> None:
    known = truth_table(tmp_path, "photo,lon,lat")
    with pytest.raises(DataError, match="truth.csv: Latitude and longitude seem to be swapped"):
        read_answers(said_table(tmp_path), known)


def test_bad_answers_are_not_taken_for_exchanged_ones(tmp_path: Path) -> None:
    """A model that answers at random, or the same for all, is only bad."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        rows = [f"{name},{rng.uniform(-60, 70)},{rng.uniform(-85, 85)}\n" for name in CITIES]
        said = table(tmp_path, "photo,lat,lon\n" + "".join(rows))
        assert len(read_answers(said, truth_table(tmp_path)).names) == 10


def test_exchanged_real_tables_are_told(shared: Path, tmp_path: Path) -> None:
    """The early tables of the withdrawn GeoEstimation, whose header has LON and LAT the wrong way round."""
    folder = shared / "data" / "im2gps_meta"
    for name, results in (
        ("meta_im2gps3k_places365.csv", "results_im2gps3k_ISNs_M-fstar-S3.csv"),
        ("meta_im2gps_places365.csv", "results_im2gps_ISNs_M-fstar-S3.csv"),
    ):
        if not (folder / name).is_file():
            pytest.skip(f"no {name} in {folder}")
        with pytest.raises(DataError, match=f"{name}: Latitude and longitude seem to be swapped"):
            read_answers(folder / results, folder / name)
        with (folder / name).open(encoding="utf-8", newline="") as file:
            rows = [[row["IMG_ID"], row["LAT"], row["LON"]] for row in csv.DictReader(file)]
        said = table(tmp_path, "photo,lat,lon\n" + "".join(",".join(row) + "\n" for row in rows))
        with pytest.raises(DataError, match="said.csv: latitude and longitude of the predictions seem to be swapped"):
            read_answers(said, folder / results)
