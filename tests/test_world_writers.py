"""The written dataset: names, EXIF, splits that keep apart, answerable queries, whole or nothing."""

import csv
import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from geofix.data import deep_vg
from geofix.data.places import benchmark
from geofix.errors import StorageError, UsageError
from geofix.photos import read_capture, read_pixels
from geofix.positions import Position
from geofix.world.conditions import DAY, NIGHT, Conditions
from geofix.world.geometry.town import build_town
from geofix.world.writers import deep_vg as writers
from geofix.world.writers.deep_vg import CAMERAS, PlacesSummary, photo_name, write_places
from geofix.world.writers.shots import HEADINGS_DEG, planned

SIZE = (48, 64)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> PlacesSummary:
    return write_places(tmp_path_factory.mktemp("world") / "town", places=8, seed=3, size=SIZE)


def photos(root: Path, pattern: str = "images/*/*/*.jpg") -> list[Path]:
    return sorted(root.glob(pattern))


def points(paths: list[Path]) -> np.ndarray:
    return np.array([[float(part) for part in path.name.split("@")[1:3]] for path in paths])


def distances(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    return np.hypot(*(one[:, None] - two[None]).transpose(2, 0, 1))


def digest(root: Path) -> str:
    total = hashlib.sha256()
    for path in photos(root):
        total.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return total.hexdigest()


def test_the_summary_counts_what_is_on_disk(written: PlacesSummary) -> None:
    assert written.places == 8
    assert written.gallery == {"train": 8, "val": 4, "test": 20}
    assert written.queries == {"train": 4, "val": 2, "test": 10}
    assert written.by_condition == {"day": 8, "night": 8}
    for split in ("train", "val", "test"):
        assert len(photos(written.root, f"images/{split}/database/*.jpg")) == written.gallery[split]
        assert len(photos(written.root, f"images/{split}/queries/*.jpg")) == written.queries[split]
    assert len(photos(written.root)) == written.photos
    assert sorted(path.name for path in written.root.iterdir()) == ["cameras.csv", "images"]


def test_names_parse_back_to_the_camera(written: PlacesSummary) -> None:
    town = build_town(8, 3)
    shots = {photo_name(town, shot): shot for shot in planned(town, {"day": DAY, "night": NIGHT}, SIZE)}
    assert sorted(shots) == sorted(path.name for path in photos(written.root))
    for name, shot in shots.items():
        blank, east, north, zone, band, lat, lon, _, tile, heading, *_, taken, note, suffix = name.split("@")
        assert (blank, suffix, len(east), len(north)) == ("", ".jpg", 10, 10)
        assert float(east) == pytest.approx(shot.camera.easting_m, abs=0.01)
        assert float(north) == pytest.approx(shot.camera.northing_m, abs=0.01)
        position = Position.from_utm(float(east), float(north), int(zone), band)
        assert position.metres_to(Position(float(lat), float(lon))) < 1.0
        assert (position.utm().zone, position.utm().band) == (int(zone), band)
        assert abs((int(heading) - shot.camera.heading_deg + 180) % 360 - 180) < 4  # the grid leans
        assert note == ("night" if shot.conditions.night else "day")
        assert (int(taken[9:11]) >= 20) == (note == "night")
        assert int(tile) < len(HEADINGS_DEG)


def test_the_reader_finds_what_was_written(written: PlacesSummary) -> None:
    dataset = deep_vg.read(written.root)
    assert not dataset.problems
    for name, split in dataset.splits.items():
        assert len(split.gallery) == written.gallery[name]
        assert len(split.queries) == written.queries[name]
        assert {photo.condition for photo in split.queries} == {"day", "night"}
        assert benchmark(split).answerable == len(split.queries)


def test_the_table_of_cameras_has_a_row_for_every_photo(written: PlacesSummary) -> None:
    with (written.root / CAMERAS).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["path"] for row in rows) == sorted(
        path.relative_to(written.root).as_posix() for path in photos(written.root)
    )
    town = build_town(8, 3)
    shots = {photo_name(town, shot): shot for shot in planned(town, {"day": DAY, "night": NIGHT}, SIZE)}
    for row in rows[::5]:
        shot = shots[row["path"].rsplit("/", 1)[1]]
        half_view = np.arctan(shot.camera.width / 2 / float(row["focal_px"]))
        assert np.rad2deg(2 * half_view) == pytest.approx(float(row["hfov_deg"]), abs=0.01)
        assert float(row["night"]) == shot.conditions.night
        here = town.positions(np.array([[shot.camera.easting_m, shot.camera.northing_m]]))[0]
        assert here.metres_to(Position(float(row["lat"]), float(row["lon"]))) < 0.02


def test_visits_are_taken_from_other_poses(tmp_path: Path) -> None:
    summary = write_places(tmp_path / "out", places=1, visits=3, size=SIZE)
    assert summary.by_condition == {"day": 3, "night": 3}
    queries = points(photos(tmp_path / "out", "images/test/queries/*.jpg"))
    assert len(np.unique(queries, axis=0)) == 3
    with pytest.raises(UsageError, match="0 visits to every spot were asked for; at least 1"):
        write_places(tmp_path / "other", places=1, visits=0, size=SIZE)


def test_queries_of_a_sweep_differ_in_one_factor_only(tmp_path: Path) -> None:
    town, conditions = build_town(2, 6), DAY.swept("fog=0,0.5,1")
    queries = [shot for shot in planned(town, conditions, SIZE) if shot.role == "queries"]
    for number in range(0, len(queries), 3):
        first, *others = queries[number : number + 3]
        assert [shot.note for shot in (first, *others)] == ["fog=0", "fog=0.5", "fog=1"]
        for other in others:
            assert replace(other.conditions, fog=0.0) == first.conditions
            assert (other.camera, other.seed) == (first.camera, first.seed)


def test_exif_agrees_with_the_name(written: PlacesSummary) -> None:
    for path in photos(written.root):
        fields = path.name.split("@")
        capture = read_capture(path)
        named = Position.from_utm(float(fields[1]), float(fields[2]), int(fields[3]), fields[4])
        assert capture.position is not None and capture.position.metres_to(named) < 0.1
        assert capture.heading_deg is not None
        assert abs((capture.heading_deg - int(fields[9]) + 180) % 360 - 180) <= 0.51
        assert capture.taken_at is not None
        assert capture.taken_at.replace("-", "").replace(":", "").replace("T", "_") == fields[13]


def test_headings_are_measured_from_true_north() -> None:
    """Going ahead in the plane is going along the named bearing on the ellipsoid."""
    town = build_town(3, 0)
    shot = next(planned(town, {"night": NIGHT}, SIZE))
    heading = np.deg2rad(shot.camera.heading_deg)
    start = np.array([shot.camera.easting_m, shot.camera.northing_m])
    here, ahead = town.positions(np.stack([start, start + 100 * np.array([np.sin(heading), np.cos(heading)])]))
    named = float(photo_name(town, shot).split("@")[9])
    assert here.moved(named, here.metres_to(ahead)).metres_to(ahead) < 1.0


def test_pixels_have_the_size_and_the_condition_of_their_name(written: PlacesSummary) -> None:
    day, night = (
        np.mean([read_pixels(path).mean() for path in photos(written.root, f"images/*/queries/*@{note}@.jpg")])
        for note in ("day", "night")
    )
    assert night < 0.55 * day
    assert read_pixels(photos(written.root)[0]).shape == (*SIZE, 3)


def test_queries_stand_1_to_8_m_from_a_gallery_spot(written: PlacesSummary) -> None:
    for split in ("train", "val", "test"):
        queries = points(photos(written.root, f"images/{split}/queries/*.jpg"))
        gallery = points(photos(written.root, f"images/{split}/database/*.jpg"))
        nearest = distances(queries, gallery).min(axis=1)
        assert (nearest < 8.01).all()
        assert (nearest > 0.9).all()


def test_splits_keep_at_least_30_m_apart(written: PlacesSummary) -> None:
    train, val, test = (points(photos(written.root, f"images/{s}/*/*.jpg")) for s in ("train", "val", "test"))
    for one, two in ((train, val), (train, test), (val, test)):
        assert distances(one, two).min() > 30


def test_day_and_night_queries_come_in_pairs_of_the_same_pose(written: PlacesSummary) -> None:
    poses = {"day": set(), "night": set()}
    for path in photos(written.root, "images/*/queries/*.jpg"):
        fields = path.name.split("@")
        poses[fields[14]].add((*fields[1:8], *fields[9:13]))
    assert poses["day"] == poses["night"]
    assert len(poses["day"]) == 8


def test_the_same_seed_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    out = tmp_path / "here"
    write_places(out, places=2, seed=4, size=SIZE)
    code = (
        "import sys; from pathlib import Path; from geofix.world.writers.deep_vg import write_places\n"
        f"write_places(Path(sys.argv[1]), places=2, seed=4, size={SIZE})"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "there")], check=True)
    assert digest(out) == digest(tmp_path / "there")
    write_places(tmp_path / "other", places=2, seed=5, size=SIZE)
    assert digest(out) != digest(tmp_path / "other")


def test_conditions_decide_the_queries_and_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    foggy = {
        "thin": Conditions(fog=0.2),
        "thick": Conditions(fog=0.8),
        "late": Conditions(night=0.7, jpeg_quality=20),
    }
    summary = write_places(
        tmp_path / "out", places=1, conditions=foggy, size=SIZE, progress=lambda done, total: told.append((done, total))
    )
    assert told == [(done, 7) for done in range(1, 8)]
    assert (summary.queries["test"], summary.by_condition) == (3, {"thin": 1, "thick": 1, "late": 1})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"places": 0}, "at least 1 with --places"),
        ({"places": -5}, "A town with -5 places"),
        ({"seed": -1}, "seed is -1"),
        ({"size": (8, 64)}, "8x64 pixels were asked for; at least 16x16"),
        ({"conditions": {}}, "at least one is needed"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(tmp_path: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        write_places(tmp_path / "out", **{"places": 1, **arguments})
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_left_alone_and_an_empty_one_is_taken(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("kept")
    with pytest.raises(UsageError, match="is not empty; name a folder that does not exist yet"):
        write_places(tmp_path, places=1, size=SIZE)
    with pytest.raises(UsageError, match=r"kept\.txt is a file"):
        write_places(tmp_path / "kept.txt", places=1, size=SIZE)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]
    (tmp_path / "empty").mkdir()
    assert write_places(tmp_path / "empty", places=1, size=SIZE).photos == 6


def test_a_link_to_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_places(tmp_path / "link", places=1, size=SIZE)
    assert len(photos(tmp_path / "real")) == 6
    assert (tmp_path / "link").is_symlink()


def test_an_empty_folder_is_empty_again_after_a_failure(tmp_path: Path) -> None:
    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    (tmp_path / "out").mkdir()
    with pytest.raises(KeyboardInterrupt):
        write_places(tmp_path / "out", places=1, size=SIZE, progress=stop)
    assert {path.name for path in tmp_path.iterdir()} == {"out", ".out.partial"}
    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_disk_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writers, "tagged_jpeg", full)
    with pytest.raises(StorageError, match="The disk is full"):
        write_places(tmp_path / "out", places=1, size=SIZE)
    assert not (tmp_path / "out").exists()
