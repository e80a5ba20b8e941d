"""locate: a Fix for every photo asked about, in order, and an honest "can't tell"."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import STREET_START, write_street
from geofix.atlas.calibration import Calibration
from geofix.atlas.rows import Rows
from geofix.atlas.store import Atlas
from geofix.data.layouts import open_dataset
from geofix.encode import Inference
from geofix.errors import AtlasError, DataError, UsageError
from geofix.fixes import Fix
from geofix.index import index
from geofix.locate import Near, fix_from, locate
from geofix.models.runs import Run, load_run
from geofix.photos import save_jpeg
from geofix.positions import Position
from test_index import revisited
from toy_places import blobs, put


@pytest.fixture
def atlas(street_atlas: Path) -> Atlas:
    return Atlas.open(street_atlas)


def spot(number: int) -> Position:
    return STREET_START.moved(90.0, 15.0 * number)


def test_a_gallery_photo_is_found_at_distance_nought(atlas: Atlas, street: Path) -> None:
    (fix,) = locate([street / "007.jpg"], atlas, min_confidence=0.0)
    assert fix.matches[0].path.endswith("007.jpg")
    assert fix.matches[0].score == pytest.approx(1.0, abs=1e-6)
    assert fix.matches[0].position.metres_to(spot(7)) < 0.05
    scores = [match.score for match in fix.matches]
    assert scores == sorted(scores, reverse=True)
    assert len(fix.matches) == 20


def test_scores_are_those_of_the_descriptors(atlas: Atlas, street: Path) -> None:
    (fix,) = locate([street / "000.jpg"], atlas)
    rows = atlas.rows
    query = rows.vectors[[path.endswith("000.jpg") for path in rows.paths]][0]
    for match in fix.matches:
        apart = np.linalg.norm(rows.vectors[rows.paths.index(match.path)].astype(np.float64) - query)
        assert match.score == pytest.approx(1 - apart**2 / 2, abs=1e-5)


def test_unreadable_photos_keep_the_order_and_the_others_are_answered(
    atlas: Atlas, street: Path, tmp_path: Path
) -> None:
    broken = put(tmp_path / "broken.jpg", b"nothing")
    asked = [broken, street / "003.jpg", tmp_path / "gone.jpg", street / "001.jpg", street, street / "003.jpg"]
    fixes = locate(asked, atlas)
    assert [fix.photo for fix in fixes] == [str(path) for path in asked]
    assert [fix.error is None for fix in fixes] == [False, True, False, True, False, True]
    for fix in fixes:
        if fix.error:
            assert fix.photo in fix.error
            assert (fix.position, fix.radius_m, fix.confidence, fix.matches) == (None, None, 0.0, ())
            assert fix.reason == "the photo could not be read"
    assert [fixes[row].matches[0].path[-7:] for row in (1, 3, 5)] == ["003.jpg", "001.jpg", "003.jpg"]
    assert fixes[1].to_dict() == fixes[5].to_dict()


def test_one_photo_gets_the_same_answer_alone_and_among_many(atlas: Atlas, street: Path) -> None:
    paths = sorted(street.iterdir())
    together = locate(paths, atlas, min_confidence=0.0)
    for row in (0, 11, 23):
        (alone,) = locate([paths[row]], atlas, min_confidence=0.0)
        assert [m.path for m in alone.matches] == [m.path for m in together[row].matches]
        assert alone.confidence == pytest.approx(together[row].confidence, abs=1e-4)
        assert alone.position is not None
        assert together[row].position is not None
        assert alone.position.metres_to(together[row].position) < 0.1


def test_near_searches_only_the_circle(atlas: Atlas, street: Path) -> None:
    (fix,) = locate([street / "000.jpg"], atlas, near=Near(spot(20), 40.0), min_confidence=0.0)
    assert sorted(Path(match.path).stem for match in fix.matches) == ["018", "019", "020", "021", "022"]
    assert fix.position is not None
    assert fix.position.metres_to(spot(20)) < 40


def test_near_with_nothing_there(atlas: Atlas, street: Path, tmp_path: Path) -> None:
    far = Near(Position(10.0, 10.0), 1000.0)
    broken = put(tmp_path / "broken.jpg", b"")
    good, bad = locate([street / "000.jpg", broken], atlas, near=far)
    assert (good.position, good.error, good.matches) == (None, None, ())
    assert good.reason == "can't tell: the atlas has no photo within 1 km of 10.00000, 10.00000"
    assert bad.error


@pytest.mark.parametrize("text", ["", "1,2", "1,2,3,4", "a,b,c", "1;2;3", "52,0,0", "52,0,-1", "52,0,nan", "52,0,inf"])
def test_near_that_makes_no_sense(text: str) -> None:
    with pytest.raises(UsageError, match="--near"):
        Near.parse(text)


def test_near_off_the_earth_or_swapped() -> None:
    with pytest.raises(DataError, match="swapped"):
        Near.parse("151,-33,1")
    with pytest.raises(DataError, match="no position"):
        Near.parse("nan,0,1")
    assert Near.parse(" -33.9, 151.2 ,0.5") == Near(Position(-33.9, 151.2), 500.0)


def test_cannot_tell_is_an_answer(atlas: Atlas, tmp_path: Path) -> None:
    grey = put(tmp_path / "grey.jpg", save_jpeg(np.full((48, 64, 3), 128, dtype=np.uint8)))
    (fix,) = locate([grey], atlas, min_confidence=0.99)
    assert (fix.position, fix.radius_m, fix.heading_deg, fix.error) == (None, None, None, None)
    assert (fix.reason or "").startswith("can't tell: only ")
    assert "below 0.99" in (fix.reason or "")
    assert 0 < fix.confidence < 0.99
    assert len(fix.matches) == 20


@pytest.mark.parametrize("confidence", [-0.1, 1.1, math.nan])
def test_an_impossible_confidence(atlas: Atlas, street: Path, confidence: float) -> None:
    with pytest.raises(UsageError, match="0 to 1 is expected"):
        locate([street / "000.jpg"], atlas, min_confidence=confidence)


def test_an_empty_atlas(tiny_run: Run, street: Path, tmp_path: Path) -> None:
    with pytest.raises(AtlasError, match=r"holds no photos; fill it with `geofix index"):
        locate([street / "000.jpg"], Atlas.open_or_create(tmp_path / "empty", tiny_run))


def test_an_atlas_of_one_photo(tiny_run: Run, street: Path, tmp_path: Path) -> None:
    atlas = index([street / "004.jpg"], tiny_run, tmp_path / "one").atlas
    (fix,) = locate([street / "000.jpg"], atlas)
    assert fix.position is not None
    assert fix.position.metres_to(spot(4)) < 0.05
    assert (len(fix.matches), fix.confidence, fix.calibrated) == (1, 0.5, False)
    assert fix.radius_m == 5.0


def rows_at(places: list[Position], headings_deg: list[float]) -> Rows:
    return Rows(
        np.zeros((len(places), 4), dtype=np.float32),
        np.array([(place.lat, place.lon) for place in places]),
        tuple(f"/g/{number}" for number in range(len(places))),
        np.array(headings_deg),
        tuple(str(number) for number in range(len(places))),
    )


def fix_at(places: list[Position], headings_deg: list[float], distances: list[float]) -> Fix:
    rows = rows_at(places, headings_deg)
    return fix_from("q", rows, np.array(distances, dtype=np.float32), np.arange(len(places)), None, 0.0)


NONE = math.nan


@pytest.mark.parametrize(
    ("headings_deg", "expected"),
    [
        ([350.0, 10.0, 0.0], 0.0),
        ([80.0, 100.0, NONE], 90.0),
        ([NONE, NONE, 200.0], 200.0),
        ([NONE, NONE, NONE], None),
        ([0.0, 180.0, NONE], None),
        ([0.0, 120.0, 240.0], None),
    ],
)
def test_heading_is_the_mean_of_the_matches_that_agree(headings_deg: list[float], expected: float | None) -> None:
    fix = fix_at([STREET_START] * 3, headings_deg, [0.3, 0.3, 0.3])
    if expected is None:
        assert fix.heading_deg is None
    else:
        assert fix.heading_deg is not None
        assert abs((fix.heading_deg - expected + 180) % 360 - 180) < 1e-6
        assert 0 <= fix.heading_deg < 360


def test_heading_listens_only_to_the_matches_of_the_spot() -> None:
    places = [STREET_START, STREET_START.moved(0.0, 3.0), STREET_START.moved(90.0, 800.0)]
    assert fix_at(places, [40.0, 50.0, 200.0], [0.3, 0.3, 0.3]).heading_deg == pytest.approx(45.0)


def test_matches_tell_their_own_heading() -> None:
    fix = fix_at([STREET_START] * 2, [40.0, NONE], [0.3, 0.4])
    assert [match.heading_deg for match in fix.matches] == [40.0, None]


def test_a_calibrated_atlas_gives_its_confidence_and_radius(tiny_run: Run, tmp_path: Path) -> None:
    atlas = index([revisited(tmp_path / "photos")], tiny_run, tmp_path / "atlas").atlas
    calibration = atlas.calibration
    assert isinstance(calibration, Calibration)
    query = put(tmp_path / "query.jpg", save_jpeg(blobs(4)))
    (fix,) = locate([query], atlas, min_confidence=0.0)
    assert fix.calibrated
    assert 0 < fix.confidence < 1
    assert fix.radius_m == pytest.approx(max(5.0, calibration.radius(fix.confidence)))
    assert fix.position is not None


def test_paths_that_are_no_utf_8_are_answered(atlas: Atlas, tmp_path: Path) -> None:
    folder = write_street(tmp_path / "odd", 1)
    odd = (folder / "000.jpg").rename(folder / "caf\udce9.jpg")
    (fix,) = locate([odd], atlas)
    assert fix.error is None
    assert fix.photo == str(odd)


def test_in_a_circle_confidence_is_not_calibrated(tiny_run: Run, tmp_path: Path) -> None:
    """What was learned on the whole atlas would be sure of the only spot in a small circle."""
    photos = revisited(tmp_path / "photos")
    atlas = index([photos], tiny_run, tmp_path / "atlas").atlas
    asked = photos / "05-0.jpg"
    [anywhere] = locate([asked], atlas, min_confidence=0.0)
    [nearby] = locate([asked], atlas, near=Near(STREET_START, 20.0), min_confidence=0.0)
    assert anywhere.calibrated
    assert (nearby.calibrated, nearby.confidence) == (False, 0.5)


def test_a_photo_with_a_descriptor_that_is_no_number_keeps_its_place(
    street_atlas: Path, street: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (street / "002.jpg").write_bytes(b"no photo")
    asked = [street / f"00{number}.jpg" for number in range(5)]

    def sick(self: Inference, batch: torch.Tensor) -> np.ndarray:
        descriptors = np.ones((len(batch), self.descriptor_length), dtype=np.float32)
        descriptors[1] = np.nan
        return descriptors

    monkeypatch.setattr(Inference, "__call__", sick)
    fixes = locate(asked, Atlas.open(street_atlas), min_confidence=0.0)
    assert [bool(fix.error) for fix in fixes] == [False, True, True, False, False]
    assert "001.jpg got a descriptor that is no number; check the encoder's weights" in str(fixes[1].error)
    assert "002.jpg is no image" in str(fixes[2].error)


def test_files_and_folders_may_be_named_by_strings(tiny_run: Run, street: Path, tmp_path: Path) -> None:
    run = load_run(str(tiny_run.folder))
    indexed = index(str(street), run, str(tmp_path / "atlas"))
    again = index([str(street)], run, tmp_path / "atlas")
    assert (indexed.added, again.unchanged) == (24, 24)
    photo = street / "003.jpg"
    assert locate(str(photo), Atlas.open(str(tmp_path / "atlas"))) == locate([photo], indexed.atlas)
    assert open_dataset(str(street)) == open_dataset(street)
