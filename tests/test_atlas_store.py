"""The atlas on disk: commits, look-ups against naive loops, and every way in which the folder can be wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
import pytest

from conftest import as_nobody, write_street
from geofix import files
from geofix.atlas.calibration import Calibration
from geofix.atlas.consensus import METHOD
from geofix.atlas.store import ENCODER, MANIFEST, Atlas, Entry
from geofix.atlas.verify import verify
from geofix.errors import AtlasError, GeofixError, StorageError
from geofix.index import index
from geofix.locate import locate
from geofix.models.runs import Run, load_run
from geofix.photos import Photo
from geofix.positions import Position

resource = pytest.importorskip("resource")  # how POSIX limits a process
LENGTH = 256


def entry(name: str, lat: float = 52.0, lon: float = 0.1, *, size: int = 10, group: str | None = None) -> Entry:
    photo = Photo(name, Path("/photos") / name, Position(lat, lon), heading_deg=90.0, group=group, source="csv")
    return Entry(photo, sha256=f"hash of {name} {size}", size_bytes=size, mtime_ns=1_700_000_000_000_000_001)


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, LENGTH)).astype(np.float32)


@pytest.fixture
def atlas(tiny_run: Run, tmp_path: Path) -> Atlas:
    return Atlas.open_or_create(tmp_path / "atlas", tiny_run)


def test_a_new_atlas_is_empty_and_can_be_opened(atlas: Atlas, tiny_run: Run) -> None:
    opened = Atlas.open(atlas.folder)
    assert opened.count() == len(opened.rows) == 0
    assert opened.known() == opened.hashes() == {}
    assert opened.rows.vectors.shape == (0, LENGTH)
    assert len(opened.rows_near(Position(0.0, 0.0), 1000.0)) == 0
    assert (opened.fingerprint, opened.length) == (tiny_run.fingerprint, LENGTH)
    assert opened.calibration is None
    assert opened.remove(["/photos/a"]) == 0
    opened.compact()
    assert verify(opened) == []


def test_what_is_put_is_there_again(atlas: Atlas) -> None:
    entries = [entry("a", group="pano"), entry("b", -33.5, 151.25)]
    stored = vectors(2)
    atlas.put(entries, stored)
    rows = Atlas.open(atlas.folder).rows
    assert rows.paths == ("/photos/a", "/photos/b")
    np.testing.assert_array_equal(rows.vectors, stored)
    assert rows.vectors.dtype == np.float32
    assert rows.latlons.tolist() == [[52.0, 0.1], [-33.5, 151.25]]
    assert rows.headings_deg.tolist() == [90.0, 90.0]
    assert rows.groups == ("pano", "/photos/b")  # without a group a photo stands for itself
    assert atlas.known()["/photos/a"] == (10, 1_700_000_000_000_000_001)
    assert atlas.hashes()["/photos/b"] == "hash of b 10"


def test_a_path_put_again_is_replaced(atlas: Atlas) -> None:
    atlas.put([entry("a"), entry("b")], vectors(2))
    newer = vectors(2, seed=1)
    atlas.put([entry("b", 10.0, size=99), entry("c")], newer)
    rows = atlas.rows
    by_path = {path: number for number, path in enumerate(rows.paths)}
    assert sorted(by_path) == ["/photos/a", "/photos/b", "/photos/c"]
    np.testing.assert_array_equal(rows.vectors[by_path["/photos/b"]], newer[0])
    assert rows.latlons[by_path["/photos/b"]].tolist() == [10.0, 0.1]
    assert atlas.known()["/photos/b"][0] == 99
    assert atlas.count() == 3


@pytest.mark.parametrize("filled", [False, True])
def test_one_path_twice_in_one_commit_is_stored_once(atlas: Atlas, filled: bool) -> None:
    if filled:
        atlas.put([entry("a")], vectors(1, seed=9))
    stored = vectors(3)
    atlas.put([entry("a", 1.0), entry("b"), entry("a", 2.0)], stored)
    assert sorted(atlas.rows.paths) == ["/photos/a", "/photos/b"]
    row = atlas.rows.paths.index("/photos/a")
    assert atlas.rows.latlons[row, 0] == 2.0
    np.testing.assert_array_equal(atlas.rows.vectors[row], stored[2])


def test_the_rows_in_memory_follow_every_change(atlas: Atlas) -> None:
    for count in range(1, 4):
        atlas.put([entry(str(count))], vectors(1))
        assert len(atlas.rows) == count
    atlas.remove(["/photos/2"])
    assert atlas.rows.paths == ("/photos/1", "/photos/3")


def test_remove_counts_what_was_there_and_drops_the_calibration(street_atlas: Path) -> None:
    atlas = Atlas.open(street_atlas)
    paths = list(atlas.known())
    assert atlas.remove([paths[3], paths[5], "/nowhere", paths[3]]) == 2
    assert set(paths) - set(Atlas.open(street_atlas).known()) == {paths[3], paths[5]}
    assert Atlas.open(street_atlas).calibration is None


@pytest.mark.parametrize(
    "name", ["it's", 'say "a"', "back\\slash", "per%cent_", "näme 写真", "new\nline", "a;--", "$1"]
)
def test_awkward_names_are_stored_found_and_removed(atlas: Atlas, name: str) -> None:
    atlas.put([entry(name), entry("other")], vectors(2))
    assert f"/photos/{name}" in atlas.known()
    assert atlas.remove([f"/photos/{name}"]) == 1
    assert list(atlas.known()) == ["/photos/other"]


def test_thousands_can_be_removed_at_once(atlas: Atlas) -> None:
    entries = [entry(str(number)) for number in range(3000)]
    atlas.put(entries, vectors(3000))
    assert atlas.remove([str(one.photo.path) for one in entries[:2999]]) == 2999
    assert list(atlas.known()) == ["/photos/2999"]


def test_float64_and_wrong_shapes_are_refused(atlas: Atlas) -> None:
    for bad in (vectors(1).astype(np.float64), vectors(2), vectors(1)[:, :10]):
        with pytest.raises((ValueError, TypeError)):  # TypeError where the tests check array types as well
            atlas.put([entry("a")], bad)
    assert atlas.count() == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_descriptors_that_are_no_numbers_are_refused_by_name(atlas: Atlas, bad: float) -> None:
    spoilt = vectors(3)
    spoilt[1, 7] = bad
    with pytest.raises(AtlasError, match=r"descriptor of /photos/b holds a value that is no number; nothing"):
        atlas.put([entry("a"), entry("b"), entry("c")], spoilt)
    assert atlas.count() == 0


def test_compact_keeps_everything_and_leaves_one_file(atlas: Atlas) -> None:
    for number in range(12):
        atlas.put([entry(str(number), 50.0 + number)], vectors(1, seed=number))
    before = atlas.rows
    data = atlas.folder / "photos.lance" / "data"
    assert len(list(data.iterdir())) == 12
    atlas.compact()
    assert len(list(data.iterdir())) == 1
    after = Atlas.open(atlas.folder).rows
    assert sorted(after.paths) == sorted(before.paths)
    for row, path in enumerate(after.paths):
        old = before.paths.index(path)
        np.testing.assert_array_equal(after.vectors[row], before.vectors[old])
        assert after.latlons[row].tolist() == before.latlons[old].tolist()
    atlas.compact()
    assert atlas.count() == 12


CENTRES = [
    Position(0.0, 0.0), Position(0.3, 36.8), Position(52.2, 0.12), Position(-33.86, 151.2), Position(71.0, 25.8),
    Position(10.0, 180.0), Position(-16.5, -179.95), Position(89.9, 40.0),
]  # fmt: skip


@pytest.mark.parametrize("centre", CENTRES, ids=str)
@pytest.mark.parametrize("radius_m", [40.0, 5_000.0, 300_000.0])
def test_rows_near_against_a_naive_loop(atlas: Atlas, centre: Position, radius_m: float) -> None:
    rng = np.random.default_rng(0)
    # As many just inside and just outside as anywhere, due north and south too: where a box would cut the circle.
    bearings = [0.0, 180.0, 90.0, 270.0, *rng.uniform(0, 360, 16).tolist()]
    shares = [0.0, 0.5, 0.999, 1.001, 1.5]
    places = [centre.moved(bearing, radius_m * share) for bearing in bearings for share in shares]
    atlas.put([entry(str(n), place.lat, place.lon) for n, place in enumerate(places)], vectors(len(places)))
    atlas.compact()
    expected = {f"/photos/{n}" for n, place in enumerate(places) if centre.metres_to(place) <= radius_m}
    assert len(expected) == 3 * len(bearings)
    assert set(atlas.rows_near(centre, radius_m).paths) == expected


def test_rows_near_keeps_columns_together(atlas: Atlas) -> None:
    stored = vectors(5)
    atlas.put([entry(str(n), 52.0 + n, group=f"g{n}") for n in range(5)], stored)
    near = atlas.rows_near(Position(54.0, 0.1), 1000.0)
    assert (near.paths, near.groups, near.latlons.tolist()) == (("/photos/2",), ("g2",), [[54.0, 0.1]])
    np.testing.assert_array_equal(near.vectors, stored[2:3])


def test_rows_near_of_everything_and_of_nothing(atlas: Atlas) -> None:
    atlas.put([entry(str(n), -80.0 + 40 * n, 170.0 - 80 * n) for n in range(5)], vectors(5))
    assert len(atlas.rows_near(Position(0.0, 0.0), 3e7)) == 5
    assert len(atlas.rows_near(Position(0.0, 0.0), 1.0)) == 0


# -- folders that are no atlas ------------------------------------------------------------------------------------


def test_no_folder_no_atlas(tmp_path: Path) -> None:
    with pytest.raises(AtlasError, match=r"no atlas at .*make one with `geofix index"):
        Atlas.open(tmp_path / "none")
    with pytest.raises(AtlasError, match=r"it has no atlas\.json"):
        Atlas.open(tmp_path)


def test_a_foreign_folder_is_not_turned_into_an_atlas(tiny_run: Run, tmp_path: Path) -> None:
    write_street(tmp_path / "photos", 1)
    with pytest.raises(AtlasError, match=r"is no atlas and not empty \(it holds 000.jpg\)"):
        Atlas.open_or_create(tmp_path / "photos", tiny_run)
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["000.jpg"]
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(AtlasError, match="is no atlas"):
        Atlas.open_or_create(tmp_path / "file", tiny_run)


def test_what_a_killed_index_left_is_accepted(tiny_run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "atlas"
    (folder / ENCODER).mkdir(parents=True)
    (folder / ENCODER / "recipe.yaml").write_text("name: half", encoding="utf-8")
    (folder / ".atlas.json.x.part").write_text("{", encoding="utf-8")
    assert Atlas.open_or_create(folder, tiny_run).run().fingerprint == tiny_run.fingerprint


@pytest.mark.parametrize("left", [(), ("_transactions",), ("_versions", "data")])
def test_a_kill_while_the_table_was_made_is_no_damage(atlas: Atlas, left: tuple[str, ...]) -> None:
    for name in ("", *left):
        (atlas.folder / "photos.lance" / name).mkdir(exist_ok=True)
    if "_transactions" in left:
        (atlas.folder / "photos.lance" / "_transactions" / "0-abc.txn").write_bytes(b"x")
    opened = Atlas.open(atlas.folder)
    assert opened.count() == 0
    opened.put([entry("a")], vectors(1))
    assert list(Atlas.open(atlas.folder).known()) == ["/photos/a"]


def manifest_with(**changes: object) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        fields = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        encoder = {**fields["encoder"], **changes.pop("encoder", {})}  # type: ignore[dict-item]
        (folder / MANIFEST).write_text(json.dumps({**fields, "encoder": encoder, **changes}), encoding="utf-8")

    return spoil


def written(name: str, data: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(data) and None


def cut(pattern: str, length: int) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        for path in folder.glob(pattern):
            path.write_bytes(path.read_bytes()[:length])

    return spoil


def deleted(pattern: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        found = list(folder.glob(pattern))
        assert found
        for path in found:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return spoil


def foreign_table(folder: Path) -> None:
    shutil.rmtree(folder / "photos.lance")
    lancedb.connect(str(folder)).create_table("photos", pa.table({"path": ["a"], "lat": [1.0]}))


def table_is_a_file(folder: Path) -> None:
    shutil.rmtree(folder / "photos.lance")
    (folder / "photos.lance").write_text("hello", encoding="utf-8")


DAMAGES = {
    "manifest empty": written(MANIFEST, b""),
    "manifest cut": cut(MANIFEST, 40),
    "manifest no text": written(MANIFEST, b"\xff\xfe\x00"),
    "manifest a list": written(MANIFEST, b"[1]"),
    "manifest null": written(MANIFEST, b"null"),
    "manifest without encoder": written(MANIFEST, b'{"schema_version": 1}'),
    "manifest with odd encoder": written(MANIFEST, b'{"schema_version": 1, "encoder": "x"}'),
    "from the future": manifest_with(schema_version=99),
    "another descriptor length": manifest_with(encoder={"length": 128}),
    "data cut": cut("photos.lance/data/*", 3000),
    "data garbage": cut("photos.lance/data/*", 0),
    "data gone": deleted("photos.lance/data/*"),
    "versions gone": deleted("photos.lance/_versions"),
    "version cut": cut("photos.lance/_versions/*.manifest", 20),
    "version empty": cut("photos.lance/_versions/*.manifest", 0),
    "foreign table": foreign_table,
    "table is a file": table_is_a_file,
    "encoder gone": deleted(ENCODER),
    "encoder weights gone": deleted(f"{ENCODER}/weights.safetensors"),
    "encoder weights cut": cut(f"{ENCODER}/weights.safetensors", 5000),
    "encoder recipe changed": lambda folder: written(
        f"{ENCODER}/recipe.yaml", (folder / ENCODER / "recipe.yaml").read_bytes() + b"\n"
    )(folder),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_every_damage_is_one_sentence(damage: Callable[[Path], None], street_atlas: Path, street: Path) -> None:
    damage(street_atlas)
    for look in (
        lambda: locate([street / "000.jpg"], Atlas.open(street_atlas)),
        lambda: verify(Atlas.open(street_atlas)),
    ):
        with pytest.raises(GeofixError) as caught:
            look()
        assert "\n" not in str(caught.value)
        assert street_atlas.name in str(caught.value)
        assert "; " in str(caught.value)  # what to do comes last


def test_the_future_is_named(street_atlas: Path) -> None:
    manifest_with(schema_version=2)(street_atlas)
    with pytest.raises(AtlasError, match=r"newer geofix \(schema 2, this one reads 1\); update geofix"):
        Atlas.open(street_atlas)


def test_an_atlas_of_another_encoder_names_both(street_atlas: Path, tiny_run: Run, other_run: Run) -> None:
    before = (street_atlas / MANIFEST).read_bytes()
    both = rf"encoder tiny \({tiny_run.fingerprint[:8]}\), not by other \({other_run.fingerprint[:8]}\)"
    with pytest.raises(AtlasError, match=both):
        Atlas.open_or_create(street_atlas, other_run)
    assert (street_atlas / MANIFEST).read_bytes() == before


def test_an_encoder_exchanged_in_the_folder_is_noticed(street_atlas: Path, other_run: Run) -> None:
    shutil.rmtree(street_atlas / ENCODER)
    shutil.copytree(other_run.folder, street_atlas / ENCODER)
    with pytest.raises(AtlasError, match=r"encoder tiny .* not by other"):
        Atlas.open(street_atlas).run()


def test_a_damaged_calibration_is_renewed_by_index(street_atlas: Path, tiny_run: Run) -> None:
    photos = Path(next(iter(Atlas.open(street_atlas).known()))).parent
    manifest_with(calibration={"weights": "x"}, calibrated_photos=24)(street_atlas)
    with pytest.raises(AtlasError, match="run `geofix index` again to renew it"):
        locate([photos / "000.jpg"], Atlas.open(street_atlas))
    assert len(verify(Atlas.open(street_atlas))) == 1
    index([photos], tiny_run, street_atlas)
    assert verify(Atlas.open(street_atlas)) == []
    locate([photos / "000.jpg"], Atlas.open(street_atlas))


# -- disks that are full or closed --------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["os.fsync", "os.fdopen", "tempfile.mkstemp"])
def test_a_full_disk_while_the_folder_is_made(
    call: str, tiny_run: Run, street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"geofix.files.{call}", full)
    with pytest.raises(StorageError, match=r"disk is full: .*free some space and run the same command again"):
        index([street], tiny_run, tmp_path / "atlas")
    monkeypatch.undo()
    assert index([street], tiny_run, tmp_path / "atlas").added == 24


def test_a_full_disk_while_a_file_is_replaced_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.json"
    files.write_json(path, {"a": 1})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"file\.json could not be written"):
        files.write_json(path, {"a": 2})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": 1}
    assert [one.name for one in tmp_path.iterdir()] == ["file.json"]


@pytest.mark.parametrize("limit", [1000, 20_000])
def test_files_that_cannot_grow_are_an_error_of_the_disk(
    limit: int, tiny_run: Run, street: Path, tmp_path: Path
) -> None:
    """A real refusal of the kernel: files may have `limit` bytes only, first the encoder's, then the table's."""
    atlas = tmp_path / "atlas"
    if limit > 10_000:
        Atlas.open_or_create(atlas, tiny_run)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(StorageError, match="could not be written: File too large"):
            index([street], tiny_run, atlas)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert index([street], tiny_run, atlas).atlas.count() == 24
    assert verify(Atlas.open(atlas)) == []


def test_a_small_disk_that_fills_up(tiny_run: Run, street: Path, tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    size = sum(path.stat().st_size for path in tiny_run.folder.iterdir()) + 20_000
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(mount)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here (it needs the superuser and a kernel that agrees)")
    try:
        with pytest.raises(StorageError, match="disk is full"):
            index([street], tiny_run, mount / "atlas")
        subprocess.run(["mount", "-o", "remount,size=100m", str(mount)], check=True)
        assert index([street], tiny_run, mount / "atlas").atlas.count() == 24
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


def test_a_folder_that_may_not_be_written(public: Path, street: Path) -> None:
    run = load_run(public / "run")
    photos = Path(shutil.copytree(street, public / "photos"))
    with as_nobody(), pytest.raises(StorageError, match=r"may not be written .*choose another folder"):
        index([photos], run, public / "atlas")
    index([photos], run, public / "atlas")
    (photos / "new.jpg").write_bytes((photos / "001.jpg").read_bytes())
    with as_nobody(), pytest.raises(StorageError, match="may not be written"):
        index([photos], run, public / "atlas")


def test_an_atlas_that_may_only_be_read_can_be_asked(public: Path, street: Path) -> None:
    run = load_run(public / "run")
    photos = Path(shutil.copytree(street, public / "photos"))
    index([photos], run, public / "atlas")
    with as_nobody():
        atlas = Atlas.open(public / "atlas")
        (fix,) = locate([photos / "004.jpg"], atlas)
        assert fix.matches[0].path.endswith("004.jpg")
        assert verify(atlas) == []


def test_compact_erases_removed_photos_from_the_disk(atlas: Atlas) -> None:
    atlas.put([entry(f"photo{number}") for number in range(30)], vectors(30))

    def on_disk(name: str) -> bool:
        files_of_table = (atlas.folder / "photos.lance").rglob("*")
        return any(name.encode() in file.read_bytes() for file in files_of_table if file.is_file())

    atlas.remove(["/photos/photo7"])
    assert on_disk("/photos/photo7")
    atlas.compact()
    assert not on_disk("/photos/photo7")
    assert on_disk("/photos/photo8")
    reopened = Atlas.open(atlas.folder)
    assert reopened.count() == 29
    assert len(reopened.rows_near(Position(52.0, 0.1), 10.0)) == 29


def test_a_calibration_for_another_consensus_is_not_used(atlas: Atlas) -> None:
    atlas.put([entry("a")], vectors(1))
    learned = Calibration((1.0,), 0.0, (0.0,), (1.0,), (0.5,), (30.0,), 40, 0.5, "held-out photos", METHOD)
    atlas.set_calibration(learned)
    assert Atlas.open(atlas.folder).calibration == learned
    atlas.set_calibration(replace(learned, method="an older consensus"))
    assert Atlas.open(atlas.folder).calibration is None


def test_a_table_that_is_gone_is_noticed(atlas: Atlas) -> None:
    atlas.put([entry("a")], vectors(1))
    shutil.rmtree(atlas.folder / "photos.lance")
    with pytest.raises(AtlasError, match=r"has lost its table .*restore it from a copy"):
        Atlas.open(atlas.folder).count()
