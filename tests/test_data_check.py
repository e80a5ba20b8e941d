"""check(): bad files, duplicates, positions, queries with nothing relevant, leaks; made-up and real."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

import toy_places
import toy_views
from geofix.cli.checked import shown
from geofix.data.check import CheckReport, check
from geofix.data.duplicates import Fingerprint, find_duplicates, fingerprint
from geofix.data.layouts import open_dataset
from geofix.data.leaks import Leak
from geofix.photos import save_jpeg, with_gps
from geofix.positions import Position
from toy_places import blobs, put

HERE = Position(52.2, 3.0)


def name_at(position: Position, pano: str = "") -> str:
    point = position.utm()
    return f"@{point.easting_m:.2f}@{point.northing_m:.2f}@{point.zone}@{point.band}@@@{pano}@@@@@@@@.jpg"


def resaved(pixels: np.ndarray, scale: float, quality: int) -> bytes:
    image = Image.fromarray(pixels)
    size = (round(image.width * scale), round(image.height * scale))
    out = io.BytesIO()
    image.resize(size, Image.Resampling.BICUBIC).save(out, "JPEG", quality=quality)
    return out.getvalue()


def test_a_clean_dataset(tmp_path: Path) -> None:
    for at in range(3):
        put(tmp_path / "images/test/database" / name_at(HERE.moved(0.0, 20.0 * at)), save_jpeg(blobs(at)))
    put(tmp_path / "images/test/queries" / name_at(HERE.moved(90.0, 1.0)), save_jpeg(blobs(9)))
    seen: list[tuple[int, int]] = []
    report = check(open_dataset(tmp_path), lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    (split,) = report.splits
    assert (split.gallery, split.queries, split.without_position, split.spots) == (3, 1, 0, 4)
    assert split.queries_without_relevant == 0
    assert split.photos_per_km2 == pytest.approx(4 / split.area_km2)
    assert (report.layout, report.leaks, report.problems, report.unreadable) == ("deep-vg", (), (), ())
    assert (report.duplicates.exact, report.duplicates.near, report.without_position) == (0, 0, 0)


def test_photos_that_say_where_they_were_taken_are_counted(tmp_path: Path) -> None:
    for at in range(3):
        put(tmp_path / f"{at}.jpg", with_gps(save_jpeg(blobs(at, 240, 320)), HERE.moved(0.0, 90.0 * at)))
    labelled = Image.fromarray(blobs(3, 240, 320))
    drawing = ImageDraw.Draw(labelled)
    drawing.rectangle((0, 214, 320, 240), "black")
    drawing.text((8, 218), "52.20505N 3.01960E 12:30", "white", font=ImageFont.load_default(14))
    put(tmp_path / "dash.jpg", with_gps(save_jpeg(np.asarray(labelled)), HERE))
    report = check(open_dataset(tmp_path))
    assert (report.telling.captioned, report.telling.captioned_names) == (1, ("dash.jpg",))
    assert report.telling.positioned == 4
    text = shown(report)
    assert "text in the picture's edge (time, coordinates?): 1\n  dash.jpg" in text
    assert "photos that carry a position in EXIF or XMP: 4" in text


def test_bad_files_are_named_and_end_nothing(tmp_path: Path) -> None:
    jpeg = save_jpeg(blobs(0, 96, 96))
    folder = tmp_path / "images/test/database"
    bad = {
        "empty": b"",
        "text": b"hello there",
        "cut": jpeg[: len(jpeg) // 2],
        "dot": save_jpeg(blobs(1)[:1, :1]),
    }
    for at, data in enumerate(bad.values()):
        put(folder / name_at(HERE.moved(0.0, 30.0 * at)), data)
    (folder / name_at(HERE.moved(90.0, 30.0))).symlink_to(tmp_path / "gone.jpg")
    put(folder / "db.jpg", jpeg)
    report = check(open_dataset(tmp_path))
    said = " ".join(one.problem for one in report.unreadable)
    for part in ("0 bytes", "no image", "is damaged", "is 1x1 pixels", "leads nowhere"):
        assert part in said
    assert len(report.unreadable) == 5
    assert report.unreadable[0].name.startswith("test/database/@")
    assert report.without_position_names == ("test/database/db.jpg",)
    assert report.splits[0].queries_without_relevant is None


def test_the_report_is_json(tmp_path: Path) -> None:
    put(tmp_path / "1.jpg", save_jpeg(blobs(0)))
    put(tmp_path / "2.jpg", b"broken")
    plain = json.loads(json.dumps(check(open_dataset(tmp_path)).to_dict(), allow_nan=False))
    assert set(plain) == set(CheckReport.__dataclass_fields__)
    assert "2.jpg is no image" in plain["problems"][0]
    assert (plain["splits"][0]["area_km2"], plain["splits"][0]["spots"]) == (None, None)


def test_exact_and_near_duplicates(tmp_path: Path) -> None:
    pixels = blobs(1, 240, 320)
    put(tmp_path / "a.jpg", save_jpeg(pixels))
    put(tmp_path / "b.jpg", save_jpeg(pixels))
    put(tmp_path / "c.jpg", resaved(pixels, 0.5, 60))
    put(tmp_path / "d.jpg", save_jpeg(blobs(2, 240, 320)))
    found = check(open_dataset(tmp_path)).duplicates
    assert (found.exact, found.exact_pairs) == (1, (("a.jpg", "b.jpg"),))
    assert (found.near, found.near_pairs) == (1, (("a.jpg", "c.jpg"),))


def test_flat_pictures_do_not_collide(tmp_path: Path) -> None:
    for grey in (0, 3, 80, 81, 255):
        put(tmp_path / f"{grey}.png", resaved(np.full((48, 64, 3), grey, np.uint8), 1.0, 95))
    found = check(open_dataset(tmp_path)).duplicates
    assert (found.exact, found.near) == (0, 0)


def test_one_difference_hash_is_not_enough(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.linspace(0, 60, 64)[None, :, None], (48, 64, 3))
    put(tmp_path / "dark.png", resaved(ramp.astype(np.uint8), 1.0, 95))
    put(tmp_path / "light.png", resaved((ramp + 120).astype(np.uint8), 1.0, 95))
    prints = [fingerprint((tmp_path / name).read_bytes(), name) for name in ("dark.png", "light.png")]
    assert (prints[0].bits ^ prints[1].bits).bit_count() <= 3
    assert len(find_duplicates(prints).near) == 0


def made_up(count: int) -> list[Fingerprint]:
    """Fingerprints of random pictures, the second half each a slightly changed copy of the first half's."""
    rng = np.random.default_rng(0)
    thumbnails = rng.integers(2, 254, (count // 2, 16, 16), dtype=np.uint8)
    bits = [int(one) for one in rng.integers(0, 2**63, count // 2)]
    originals = [Fingerprint(b"%d" % at, bits[at], thumbnails[at]) for at in range(count // 2)]
    copies = [Fingerprint(b"c%d" % at, one.bits ^ 0b10011, one.thumbnail + 1) for at, one in enumerate(originals)]
    return originals + copies


def test_near_duplicates_against_a_naive_loop() -> None:
    prints = made_up(400)
    naive = [
        (first, second)
        for first in range(400)
        for second in range(first + 1, 400)
        if (prints[first].bits ^ prints[second].bits).bit_count() <= 3
        and np.abs(prints[first].thumbnail.astype(int) - prints[second].thumbnail.astype(int)).mean() <= 3
    ]
    found = find_duplicates(prints)
    assert [tuple(pair) for pair in found.near.tolist()] == naive == [(at, at + 200) for at in range(200)]
    assert (found.clusters(400) >= 0).all() and len(set(found.clusters(400).tolist())) == 200


def test_many_photos_take_no_all_pairs_loop() -> None:
    prints = made_up(20_000)
    # A fixed camera: 2000 different pictures whose hashes agree in everything.
    same = [Fingerprint(b"s%d" % at, 7, one.thumbnail) for at, one in enumerate(prints[:2000])]
    started = time.monotonic()
    found = find_duplicates(prints + same)
    assert time.monotonic() - started < 20
    assert len(found.near) == 10_000


def test_no_duplicates_without_photos() -> None:
    found = find_duplicates([])
    assert (len(found.exact), len(found.near), len(found.clusters(0))) == (0, 0, 0)


def leaks(folder: Path) -> dict[tuple[str, tuple[str, str]], Leak]:
    return {(leak.kind, leak.between): leak for leak in check(open_dataset(folder)).leaks}


def test_leaks_between_splits(tmp_path: Path) -> None:
    far = HERE.moved(0.0, 500.0)
    put(tmp_path / "images/train/database" / name_at(HERE, "p1"), save_jpeg(blobs(0)))
    put(tmp_path / "images/train/database" / name_at(far, "p2"), save_jpeg(blobs(1, 240, 320)))
    put(tmp_path / "images/val/queries" / name_at(HERE, "p1"), save_jpeg(blobs(2)))
    put(tmp_path / "images/val/queries" / name_at(HERE.moved(90.0, 24.0), "p3"), save_jpeg(blobs(3)))
    put(
        tmp_path / "images/val/database" / name_at(far.moved(0.0, 100.0)),
        resaved(blobs(1, 240, 320), 1.0, 70),
    )
    found = leaks(tmp_path)
    assert set(found) == {(kind, ("train", "val")) for kind in ("group", "near-duplicate", "nearby")}
    assert "have the same group p1@" in found["group", ("train", "val")].example
    assert found["near-duplicate", ("train", "val")].example.endswith("are the same picture.")
    nearby = found["nearby", ("train", "val")]
    assert nearby.count == 1 and "lies 0.0 m from a photo of val." in nearby.example


def test_a_panorama_on_both_sides_of_one_split(tmp_path: Path) -> None:
    put(tmp_path / "images/test/database" / name_at(HERE, "p1"), save_jpeg(blobs(0)))
    put(tmp_path / "images/test/queries" / name_at(HERE, "p1"), save_jpeg(blobs(1)))
    assert set(leaks(tmp_path)) == {("group", ("test gallery", "test queries"))}


def test_authors_and_sequences_of_a_table(tmp_path: Path) -> None:
    lines = ["path,lat,lon,author,sequence,split"]
    for at, (author, sequence, split) in enumerate(
        [("Ann", "s1", "a"), ("Ann", "s2", "b"), ("Bob", "s1", "b"), ("Eve", "", "a"), ("Eve", "", "b")]
    ):
        put(tmp_path / f"{at}.jpg", save_jpeg(blobs(at)))
        lines.append(f"{at}.jpg,{at},{at},{author},{sequence},{split}")
    found = leaks(put(tmp_path / "t.csv", "\n".join(lines).encode()).absolute())
    assert {key: leak.count for key, leak in found.items()} == {
        ("group", ("a", "b")): 1,
        ("author", ("a", "b")): 2,
    }


def test_a_sequence_within_a_pool(tmp_path: Path) -> None:
    for at in range(3):
        put(tmp_path / f"{at}.jpg", save_jpeg(blobs(at)))
    table = put(tmp_path / "t.csv", b"path,lat,lon,seq\n0.jpg,1,1,s\n1.jpg,2,2,s\n2.jpg,3,3,t\n")
    (leak,) = check(open_dataset(table)).leaks
    assert (leak.kind, leak.count) == ("group", 1)
    assert leak.example == "0.jpg and 1.jpg have the same group s."


def test_places_are_no_leak(tmp_path: Path) -> None:
    for at, name in enumerate(("a/day_1.jpg", "a/night_1.jpg", "b/day_1.jpg", "b/night_1.jpg", "c/night_1.jpg")):
        put(tmp_path / name, save_jpeg(blobs(at)))
    report = check(open_dataset(tmp_path, split_by_time=True))
    assert report.leaks == ()
    assert report.splits[0].queries_without_relevant == 1


def test_views_are_counted_and_what_lacks_one_is_named(tmp_path: Path) -> None:
    toy_views.plain(tmp_path)
    toy_views.put_places(tmp_path / "train/drone", [f"01{at:02d}" for at in range(60)])
    train, val = check(open_dataset(tmp_path)).splits
    assert [(view.name, view.photos, view.places) for view in train.views] == [
        ("drone", 63, 63),
        ("satellite", 3, 3),
    ]
    assert (train.direction, train.queries_without_relevant, val.lacks) == ("drone-satellite", 60, ())
    (lack,) = train.lacks
    assert (lack.seen_from, lack.unseen_from, lack.count) == ("drone", "satellite", 60)
    assert (len(lack.places), lack.places[0]) == (50, "0100")


def test_a_place_in_train_and_test_leaks(tmp_path: Path) -> None:
    toy_views.plain(tmp_path)
    toy_views.put_places(tmp_path / "val/satellite", ["0003", "0002"], photos=2)
    found = leaks(tmp_path)
    leak = found["place", ("train", "val")]
    assert leak.count == 2
    assert leak.example.endswith("have the same place 0002.")
    assert ("group", ("train", "val")) not in found
    assert ("group", ("val gallery", "val queries")) not in found


def test_distractors_leak_nothing(tmp_path: Path) -> None:
    toy_views.put_places(toy_views.university(tmp_path) / "test/gallery_satellite", ["0839"])
    assert "place" not in {kind for kind, _ in leaks(tmp_path)}
    toy_views.put_places(tmp_path / "test/query_drone", ["0839"])
    assert leaks(tmp_path)["place", ("train", "test")].count == 1


def test_a_place_label_stands_in_for_a_position(tmp_path: Path) -> None:
    report = check(open_dataset(toy_views.plain(tmp_path)))
    assert (report.without_position, report.without_position_names) == (10, ())


def test_queries_with_nothing_relevant(tmp_path: Path) -> None:
    report = check(open_dataset(toy_places.write(tmp_path)))
    assert [split.queries_without_relevant for split in report.splits] == [1, 1]
    for at, position in enumerate((HERE, HERE.moved(0.0, 20.0), HERE.moved(0.0, 90.0), None)):
        jpeg = save_jpeg(blobs(at))
        put(tmp_path / "exif" / f"{at}.jpg", with_gps(jpeg, position) if position else jpeg)
    (split,) = check(open_dataset(tmp_path / "exif")).splits
    assert (split.queries_without_relevant, split.without_position, split.leave_one_out) == (1, 1, True)


def test_cambridge(shared: Path) -> None:
    report = check(open_dataset(shared / "data" / "vpr_cambridge"))
    assert (report.problems, report.unreadable, report.leaks) == ((), (), ())
    assert (report.duplicates.exact, report.duplicates.near) == (0, 0)
    assert [split.queries_without_relevant for split in report.splits] == [4, 0]


def test_drone_flight(shared: Path) -> None:
    report = check(open_dataset(shared / "data" / "drone_seneca"))
    assert (report.problems, report.unreadable) == ((), ())
    assert report.without_position_names == ("mosaic_preview.jpg",)
