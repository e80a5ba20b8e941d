"""Labels of photos: countries by table, folder and position; groups held out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import toy_countries
from geofix.data.labels import Labelled, held_out_groups, labelled_countries, labelled_scenes, middles
from geofix.data.layouts import open_dataset
from geofix.data.places import Split
from geofix.errors import DataError, PhotoError
from geofix.learn.country_work import doubts
from geofix.photos import Photo
from geofix.positions import Position


def test_photographers_are_independent_and_their_sequences_are_not() -> None:
    """The photographer where one is named, else the sequence, else the photo; whole photographers are held out."""
    who = [("anna", "a1"), ("anna", "a2"), ("ben", "b1"), (None, "c1"), (None, None), ("dora", None)]
    photos = tuple(
        Photo(f"{number}.jpg", Path(f"{number}.jpg"), group=group or author, author=author)
        for number, (author, group) in enumerate(who)
    )
    groups = tuple(photo.group or photo.name for photo in photos)
    data = Labelled(photos, ("FR", "JP", "FR", "JP", "FR", "JP"), (None,) * 6, groups)
    assert data.clusters == ("anna", "anna", "ben", "c1", "4.jpg", "dora")
    for seed in range(20):
        kept, held = held_out_groups(data, 0.5, seed)
        assert not {data.clusters[row] for row in kept} & {data.clusters[row] for row in held}


def split(*photos: Photo) -> Split:
    return Split("train", photos, photos, leave_one_out=True)


def test_a_table_beside_class_folders_gives_positions_scenes_and_groups(tmp_path: Path) -> None:
    dataset = open_dataset(toy_countries.write(tmp_path))
    assert dataset.layout == "class-folders"
    first = next(photo for photo in dataset.split("train").photos if photo.name == "train/FR/coast1_0.jpg")
    assert (first.place, first.scene, first.group) == ("FR", "coast", "trainFRcoast1")
    assert first.position is not None and first.position.lat == pytest.approx(48.01)
    labelled = labelled_countries(dataset.split("train"), "territory", [])
    assert labelled.counts == {"BR": 16, "FR": 16, "JP": 16}
    assert Counter(labelled.groups)["trainFRcoast1"] == 2


def test_a_table_of_something_else_is_left_alone(tmp_path: Path) -> None:
    root = toy_countries.write(tmp_path, table=False)
    (root / "notes.csv").write_text("name,remark\nx,y\n", encoding="utf-8")
    (root / "others.csv").write_text("path,lat,lon\nelsewhere/1.jpg,1,2\n", encoding="utf-8")
    dataset = open_dataset(root)
    assert all(photo.group == photo.name and photo.scene is None for photo in dataset.photos)


def test_countries_by_position_and_level() -> None:
    photos = split(
        Photo("a.jpg", Path("a.jpg"), Position(18.4, -66.1)),  # San Juan
        Photo("b.jpg", Path("b.jpg"), country="GF"),
        Photo("c.jpg", Path("c.jpg"), place="DE"),
    )
    assert labelled_countries(photos, "territory", []).labels == ("PR", "GF", "DE")
    assert labelled_countries(photos, "sovereign", []).labels == ("US", "FR", "DE")


def test_what_has_no_country_is_named() -> None:
    problems: list[PhotoError] = []
    photos = split(
        Photo("sea.jpg", Path("sea.jpg"), Position(-40.0, -120.0)),
        Photo("odd.jpg", Path("odd.jpg"), country="Atlantis"),
        Photo("none.jpg", Path("none.jpg")),
        Photo("fine.jpg", Path("fine.jpg"), country="IT"),
    )
    assert labelled_countries(photos, "territory", problems).labels == ("IT",)
    assert [str(problem) for problem in problems] == [
        "sea.jpg lies at -40.0000, -120.0000, in no country; it is left out.",
        "odd.jpg is said to be in 'Atlantis', which is no country code; two capitals of ISO 3166-1 are expected, as in "
        "FR.",
        "none.jpg has neither a country nor a position; it is left out.",
    ]
    with pytest.raises(DataError, match="None of the 1 photos of split 'train' has a country; class folders"):
        labelled_countries(split(Photo("none.jpg", Path("none.jpg"))), "territory", [])


def test_scenes_by_table_or_folder() -> None:
    photos = split(Photo("a.jpg", Path("a"), scene="coast", place="x"), Photo("b.jpg", Path("b"), place="city"))
    assert labelled_scenes(photos).labels == ("coast", "city")
    with pytest.raises(DataError, match=r"1 of 2 photos of split 'train' have no scene \(b.jpg\)"):
        labelled_scenes(split(Photo("a.jpg", Path("a"), scene="coast"), Photo("b.jpg", Path("b"))))


def labelled(groups: list[tuple[str, str, int]]) -> Labelled:
    """(group, label, photos) -> that many rows."""
    rows = [(group, label) for group, label, count in groups for _ in range(count)]
    photos = tuple(Photo(f"{number}.jpg", Path("x")) for number in range(len(rows)))
    return Labelled(photos, tuple(label for _, label in rows), (None,) * len(rows), tuple(group for group, _ in rows))


def test_groups_are_held_out_whole_and_no_label_is_lost() -> None:
    data = labelled([(f"g{number}", "FR" if number % 2 else "DE", 3) for number in range(40)] + [("only", "IT", 5)])
    kept, held = held_out_groups(data, 0.2, 0)
    assert sorted([*kept, *held]) == list(range(len(data)))
    assert not {data.groups[row] for row in kept} & {data.groups[row] for row in held}
    assert 0.1 * len(data) < len(held) <= 0.2 * len(data)
    assert "IT" not in data.take(held).labels
    again = held_out_groups(data, 0.2, 0)
    assert np.array_equal(again[1], held)
    assert not np.array_equal(held_out_groups(data, 0.2, 1)[1], held)


def test_a_label_of_a_single_photo_stays_to_be_learned() -> None:
    data = labelled([("a", "FR", 1), ("b", "DE", 1)])
    kept, held = held_out_groups(data, 0.9, 0)
    assert (len(kept), len(held)) == (2, 0)


def test_columns_of_unlike_length_are_our_fault() -> None:
    with pytest.raises(ValueError, match="same length"):
        Labelled((Photo("a", Path("a")),), (), (), ())


def test_the_middle_of_a_countrys_photos() -> None:
    spots = {"FJ": [(-17.0, 178.0), (-17.0, -178.0)], "FR": [(48.0, 2.0)], "XX": []}
    photos, labels = [], []
    for label, at in spots.items():
        for number, (lat, lon) in enumerate(at or [(0.0, 0.0)]):
            position = Position(lat=lat, lon=lon) if at else None
            photos.append(Photo(f"{label}{number}", Path("x"), position=position))
            labels.append(label)
    found = middles(Labelled(tuple(photos), tuple(labels), (None,) * len(photos), tuple(labels)))
    assert sorted(found) == ["FJ", "FR"]
    assert found["FR"] == pytest.approx((48.0, 2.0))
    assert abs(found["FJ"][1]) == pytest.approx(180.0)  # across the date line, not in Africa
    assert found["FJ"][0] == pytest.approx(-17.0, abs=0.05)


def test_a_lower_case_code_is_asked_about() -> None:
    problems: list[PhotoError] = []
    photos = split(Photo("a.jpg", Path("a.jpg"), country="fr"), Photo("b.jpg", Path("b.jpg"), country="IT"))
    labelled_countries(photos, "territory", problems)
    assert "said to be in 'fr', which is no country code (did you mean FR?)" in str(problems[0])


def test_exchanged_positions_are_refused_before_countries_are_learned_from_them() -> None:
    cities = [(48.9, 2.4), (52.5, 13.4), (41.9, 12.5), (40.4, -3.7), (52.2, 21.0), (50.1, 14.4), (59.3, 18.1)] * 4
    good = split(*(Photo(f"{n}", Path(f"{n}"), Position(lat, lon)) for n, (lat, lon) in enumerate(cities)))
    assert set(labelled_countries(good, "territory", []).labels) == {"FR", "DE", "IT", "ES", "PL", "CZ", "SE"}
    turned = split(*(Photo(f"{n}", Path(f"{n}"), Position(lon, lat)) for n, (lat, lon) in enumerate(cities)))
    with pytest.raises(DataError, match="seem to be swapped: .* exchange the columns. Countries would be learned from"):
        labelled_countries(turned, "territory", [])


def test_indoors_is_city_and_scenes_are_in_lower_case() -> None:
    photos = split(
        *(Photo(f"{n}", Path(f"{n}"), country="FR", scene=scene) for n, scene in enumerate(["indoor", "Coast", None]))
    )
    assert labelled_countries(photos, "territory", []).scenes == ("city", "coast", None)
    assert labelled_scenes(split(*photos.photos[:2])).labels == ("city", "coast")


def test_what_is_odd_about_photos_is_said_before_countries_are_learned() -> None:
    photos = [Photo(f"{n}", Path(f"{n}"), country=code) for n, code in enumerate(["FR", "FR", "JP", "BR"])]
    scenes = ("city", "rural", "city", None)
    data = Labelled(tuple(photos), ("FR", "FR", "JP", "BR"), scenes, ("a", "b", "c", "d"))
    assert doubts(data, routed=False) == [
        "BR, JP have a single photo: nothing can be learned of a country from one, nor tested; add photos or leave it "
        "out."
    ]
    assert doubts(data, routed=True)[1:] == [
        "1 of 4 photos have no scene; no specialist and no router learns from them.",
        "No photo shows nature or coast or industrial: there is no specialist of it, and the others answer instead.",
        "The data name the scenes rural besides city, nature, coast, industrial; each is learned as a scene of its "
        "own.",
    ]
    alone = data.take([0, 1, 2])
    assert doubts(alone, routed=False)[0].startswith("JP has a single photo:")
