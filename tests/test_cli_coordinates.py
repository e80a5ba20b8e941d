"""`geofix evaluate PREDICTIONS.csv`: what it prints and writes, its refusals, and published rows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from commands import Captured, called, refused
from toy_places import put

HEADER = "img_id,author,gt_lat,gt_long,predicted_lat,predicted_long\n"
ROWS = (
    "a.jpg,x,48.85,2.35,48.86,2.35\n"  # right
    "b.jpg,x,48.85,2.35,51.5,-0.12\n"  # London for Paris: near, another country
    "c.jpg,y,47.6,-122.3,40.7,-74.0\n"  # New York for Seattle: the country, far
    "d.jpg,,22.3,114.17,22.54,114.06\n"  # Shenzhen for Hong Kong: the country at one level only
    "e.jpg,y,52.52,13.4,,\n"  # no answer
)


def table(folder: Path, text: str = HEADER + ROWS, name: str = "said.csv") -> Path:
    return put(folder / name, text.encode())


def test_what_is_printed(tmp_path: Path, capsys: Captured) -> None:
    status, out, err = called(capsys, "evaluate", table(tmp_path))
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert " ".join(lines[0].split()) == "percent [95 %] photos 1 km 25 km 200 km 750 km 2500 km GeoScore median km"
    assert lines[1].startswith("all                  5")
    assert "0.0 [0, 0]  20.0 [0, 50]  40.0 [0, 100]" in lines[1]
    assert lines[2].startswith("answered             4")
    assert "0.0 [0, 0]  25.0 [0, 50]  50.0 [0, 100]  75.0 [0, 100]" in lines[2]
    text = "\n".join(lines[4:])
    assert "country (territory): 40.0 [" in text and "(50.0 [" in text
    assert "of answered) of 5 photos in 4 countries" in text
    assert (
        "prior of this set: always FR 40.0; the 4 most frequent (FR, DE, HK, US) 100.0; lift over the first +0.0"
        in text
    )
    assert "right country but beyond 750 km: 1; within 750 km but another country: 2" in text
    assert "distances: sphere of 6371 km, radii included" in text
    assert "not answered: 1 of 5 photos" in text
    assert "intervals resample 3 groups by author" in text


def test_levels_and_distances(tmp_path: Path, capsys: Captured) -> None:
    path = table(tmp_path)
    _, out, _ = called(capsys, "evaluate", path, "--level", "sovereign", "--distance", "geodesic")
    assert "country (sovereign): 60.0 [" in out
    assert "within 750 km but another country: 1" in out
    assert "distances: WGS84 ellipsoid, radii included" in out
    assert "There is no level 'state'; did you mean" in refused(capsys, "evaluate", path, "--level", "state")
    assert "There is no distance 'flat'; did you mean" in refused(capsys, "evaluate", path, "--distance", "flat")


OSV5M = (
    "id,latitude,longitude,unique_country,creator_id,pred_lat,pred_lon\n"
    "1,48.85,2.35,FR,u,48.86,2.35\n"
    "2,43.73,7.42,FR,u,43.73,7.42\n"  # in Monaco by the polygons
    "3,41.9,12.45,VA,v,41.9,12.48\n"  # in Italy by the polygons
    "4,52.52,13.4,nan,v,52.52,13.4\n"  # of no country, so not asked for one
)


def test_as_osv5m_scores(tmp_path: Path, capsys: Captured) -> None:
    path = table(tmp_path, OSV5M)
    status, out, _ = called(capsys, "evaluate", path)
    assert status == 0 and "country (territory): 100.0 [100, 100] of 4 photos in 4 countries" in out
    status, out, _ = called(capsys, "evaluate", path, "--osv5m", "--json", tmp_path / "scores.json")
    assert status == 0 and "country (territory, truth by the column unique_country): 33.3 [" in out
    assert "of 3 photos in 2 countries" in out and "distances: sphere of 6371 km, radii not included" in out
    made = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert (made["true_country"], made["protocol"]["radii_included"]) == ("table", False)
    assert made["answerable"] == 3 and made["top1"] == pytest.approx(1 / 3)
    truth = table(tmp_path, OSV5M, "truth.csv")
    said = table(tmp_path, "id,lat,lon\n3,41.9025,12.4533\n", "answers.csv")
    status, out, _ = called(capsys, "evaluate", said, "--truth", truth, "--osv5m")
    assert status == 0 and "truth by the column unique_country): 100.0" in out
    assert "said.csv has no column of true countries; --osv5m takes them from unique" in refused(
        capsys, "evaluate", table(tmp_path), "--osv5m"
    )
    path = table(tmp_path, OSV5M.replace(",VA,", ",VAT,"))
    assert "VAT" in refused(capsys, "evaluate", path, "--osv5m")


def test_json(tmp_path: Path, capsys: Captured) -> None:
    path = table(tmp_path)
    status, out, _ = called(capsys, "evaluate", path, "--json", tmp_path / "scores.json")
    assert status == 0 and out
    made = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert (made["task"], made["level"], made["top1"], made["queries"]) == ("country", "territory", 0.4, 5)
    assert made["within_km"]["25"] == 0.2 and made["within_km_answered"]["25"] == 0.25
    assert made["protocol"] == {
        "distance": "sphere", "predictions": "said.csv", "truth": None, "radians": False, "cluster_column": "author",
        "left_out": 0, "unusable": 0, "summary_lines": 0, "without_truth": [], "without_prediction": [],
    }  # fmt: skip
    status, out, _ = called(capsys, "evaluate", path, "--json", "-")
    assert status == 0 and json.loads(out) == made


def test_the_truth_in_another_table(tmp_path: Path, capsys: Captured) -> None:
    said = table(tmp_path, "photo,lat,lon\na.jpg,1,40\nb.jpg,,\nnobody.jpg,1,40\n")
    known = table(tmp_path, "IMG_ID,LAT,LON\na.jpg,1,40\nb.jpg,2,40\nc.jpg,3,40\n", "truth.csv")
    status, out, err = called(capsys, "evaluate", said, "--truth", known)
    assert status == 1
    assert "all                  2" in out and "answered             1" in out
    assert "not in the truth, left out: 1 (nobody.jpg)" in out
    assert "in the truth but not predicted, not counted: 1 (c.jpg)" in out
    assert "intervals resample single photos, as no column names a photographer" in out
    assert err == f"geofix: Not in {known}, and left out, of the photos of {said}: 1 (nobody.jpg).\n"


def test_rows_that_cannot_be_used_are_named_and_the_rest_is_done(tmp_path: Path, capsys: Captured) -> None:
    path = table(tmp_path, HEADER + ROWS + "f.jpg,x,48.85,2.35,95,2.35\ng.jpg,x,91,2.35,48,2\n")
    status, out, err = called(capsys, "evaluate", path)
    assert status == 1
    assert "all                  6" in out
    assert "not answered: 2 of 6 photos, 1 of them with a prediction that is no point" in out
    assert "left out: 1 rows without a usable truth" in out
    assert "said.csv line 7: the prediction is '95', '2.35', no point on Earth" in err
    assert "said.csv line 8: the truth is '91', '2.35', no point on Earth" in err


def test_only_open_sea(tmp_path: Path, capsys: Captured) -> None:
    status, out, _ = called(capsys, "evaluate", table(tmp_path, "gt_lat,gt_lon,lat,lon\n-40,-120,-40,-121\n"))
    assert status == 0
    assert "no true position lies in a country" in out and "country (" not in out


def test_flags_that_do_not_go_with_it(tmp_path: Path, capsys: Captured) -> None:
    path = table(tmp_path)
    for flag, *value in (
        ("--data", tmp_path), ("--pca", 8), ("--split", "val"), ("--method", "five_crops"), ("--day-night",),
        ("--ap", "step"), ("--predictions", "x.csv"),
    ):  # fmt: skip
        said = refused(capsys, "evaluate", path, flag, *value)
        assert f"{flag} is not for a table of predicted coordinates; leave it out." in said
    for flag, *value in (("--truth", path), ("--distance", "geodesic"), ("--radians",), ("--osv5m",)):
        assert f"{flag} is not for a run; leave it out." in refused(capsys, "evaluate", "run", flag, *value)
    said = refused(capsys, "evaluate", "run", "--level", "territory")
    assert "--level is about countries, which this run does not name; leave it out." in said
    assert "A table of predicted coordinates is evaluated by itself" in refused(capsys, "evaluate", path, path)


def test_radians(tmp_path: Path, capsys: Captured) -> None:
    rows = "a,48.85,2.35,0.8526,0.0410\nb,40.7,-74.0,0.7103,-1.2915\n"
    path = table(tmp_path, f"id,gt_lat,gt_lon,lat,lon\n{rows}")
    assert "the predictions seem to be radians" in refused(capsys, "evaluate", path)
    status, out, _ = called(capsys, "evaluate", path, "--radians")
    assert status == 0 and "country (territory): 100.0" in out


def test_what_is_not_there(tmp_path: Path, capsys: Captured) -> None:
    assert "gone.csv cannot be read (No such file" in refused(capsys, "evaluate", tmp_path / "gone.csv")


def test_it_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from geofix.cli import run; status = run(sys.argv[1:]); "
        "print(status, sorted({'torch', 'timm', 'lancedb', 'faiss'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "evaluate", str(table(tmp_path))], capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr


@pytest.mark.parametrize(
    ("results", "shares", "country"),
    [
        ("results_im2gps_ISNs_M-fstar-S3.csv", ["16.9", "43.0", "51.9", "66.7", "80.2"], "64.1"),
        ("results_im2gps3k_ISNs_M-fstar-S3.csv", ["10.5", "28.0", "36.6", "49.7", "66.0"], "50.5"),
    ],
)
def test_published_rows(shared: Path, capsys: Captured, results: str, shares: list[str], country: str) -> None:
    """ISNs (M, f*, S3) as published by Müller-Budack et al. (2018), countries as measured with country-coder."""
    folder = shared / "data" / "im2gps_meta"
    if not (folder / results).is_file():
        pytest.skip(f"no {results} in {folder}")
    status, out, err = called(capsys, "evaluate", folder / results)
    assert (status, err) == (0, "")
    row = out.splitlines()[1]
    assert [cell.split()[-1] for cell in row.split("[")[:5]] == shares
    assert f"country (territory): {country} [" in out
    assert "ignored: 2 lines of a summary at the end" in out


def test_photographers_of_im2gps3k(shared: Path, capsys: Captured, tmp_path: Path) -> None:
    """198 photographers took the 2997 photos: intervals that know it are about twice as wide."""
    folder = shared / "data" / "im2gps_meta"
    results, known = folder / "results_im2gps3k_ISNs_M-fstar-S3.csv", folder / "im2gps3k_places365.csv"
    if not (results.is_file() and known.is_file()):
        pytest.skip(f"no {results.name} or {known.name} in {folder}")
    widths = []
    for more in ((), ("--truth", known)):
        status, _, _ = called(capsys, "evaluate", results, *more, "--json", tmp_path / "scores.json")
        assert status == 0
        made = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
        low, high = made["within_km_ci95"]["750"]
        widths.append(high - low)
    assert made["clusters"] == 198
    assert made["within_km"]["750"] == pytest.approx(0.49683, abs=1e-5)
    assert made["priors"][0]["top1"]["share"] == pytest.approx(0.2623, abs=1e-4)
    assert widths[1] > 1.5 * widths[0]
