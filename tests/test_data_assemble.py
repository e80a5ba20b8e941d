"""Subsets and merged datasets: the right photos, no copies, nothing lost, nothing half-written."""

import os
from pathlib import Path

import pytest

from geofix.data import assemble, deep_vg
from geofix.data.assemble import merged, subset
from geofix.errors import DataError, UsageError
from geofix.world.writers.deep_vg import write_places


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world") / "town"
    write_places(out, places=4, seed=1, size=(32, 48))
    return out


def files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))


def nights(town: Path) -> list[str]:
    return [path.name for path in sorted((town / "images/test/queries").iterdir()) if "@night@" in path.name]


def test_a_subset_has_the_whole_gallery_and_the_queries_of_the_list(town: Path, tmp_path: Path) -> None:
    names = nights(town)
    made = subset(town, tmp_path / "night", [*names, "", f"  {names[0]}  "])
    dataset = deep_vg.read(tmp_path / "night")
    assert list(dataset.splits) == ["test"]
    split = dataset.split("test")
    assert sorted(photo.path.name for photo in split.queries) == names
    assert [photo.name for photo in split.gallery] == [photo.name for photo in deep_vg.read(town).split("test").gallery]
    assert (made.gallery, made.queries) == ({"test": len(split.gallery)}, {"test": len(names)})


def test_photos_are_hard_links(town: Path, tmp_path: Path) -> None:
    subset(town, tmp_path / "night", nights(town))
    for name in files(tmp_path / "night"):
        assert (tmp_path / "night" / name).stat().st_ino == (town / name).stat().st_ino


def test_photos_are_copied_where_links_are_impossible(
    town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_links)
    subset(town, tmp_path / "night", nights(town))
    for name in files(tmp_path / "night"):
        assert (tmp_path / "night" / name).read_bytes() == (town / name).read_bytes()
        assert (tmp_path / "night" / name).stat().st_ino != (town / name).stat().st_ino


def test_of_a_link_the_photo_itself_is_linked(town: Path, tmp_path: Path) -> None:
    for path in town.rglob("*.jpg"):
        target = tmp_path / "links" / path.relative_to(town)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(os.path.relpath(path, target.parent))
    subset(tmp_path / "links", tmp_path / "night", nights(town))
    for name in files(tmp_path / "night"):
        assert (tmp_path / "night" / name).stat().st_ino == (town / name).stat().st_ino


def test_names_may_be_paths_below_images(town: Path, tmp_path: Path) -> None:
    made = subset(town, tmp_path / "one", [f"test/queries/{nights(town)[0]}"])
    assert made.queries == {"test": 1}


def test_names_of_no_query_are_told(town: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"2 of the 3 names are those of no query in .*: nobody.jpg, none.jpg\."):
        subset(town, tmp_path / "x", [nights(town)[0], "nobody.jpg", "none.jpg"])
    with pytest.raises(DataError, match="The list of queries is empty; one name a line"):
        subset(town, tmp_path / "x", [" ", ""])
    assert list(tmp_path.iterdir()) == []


def renamed(town: Path, out: Path) -> Path:
    """As the papers name translated nights: stem + n."""
    for path in town.rglob("*.jpg"):
        target = out / path.relative_to(town).with_name(f"{path.stem}n.jpg")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    return out


def test_merged_datasets_have_the_photos_of_both(town: Path, tmp_path: Path) -> None:
    night = renamed(town, tmp_path / "night")
    made = merged([town, night], tmp_path / "both")
    assert files(tmp_path / "both") == sorted([*files(town), *files(night)])
    before, after = deep_vg.read(town), deep_vg.read(tmp_path / "both")
    for name, split in before.splits.items():
        assert len(after.split(name).gallery) == 2 * len(split.gallery) == made.gallery[name]
        assert len(after.split(name).queries) == 2 * len(split.queries) == made.queries[name]


def test_the_same_photo_comes_once_and_another_of_its_name_is_refused(town: Path, tmp_path: Path) -> None:
    made = merged([town, town], tmp_path / "twice")
    assert files(tmp_path / "twice") == files(town)
    assert made.gallery == {name: len(split.gallery) for name, split in deep_vg.read(town).splits.items()}
    other = tmp_path / "other" / files(town)[0]
    other.parent.mkdir(parents=True)
    other.write_bytes(b"another picture")
    with pytest.raises(DataError, match=r"Two datasets have a photo @.*jpg with different content; rename one"):
        merged([town, tmp_path / "other"], tmp_path / "lost")
    assert not (tmp_path / "lost").exists()


def test_what_cannot_be_assembled(town: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 datasets were named; merging takes two or more"):
        merged([town], tmp_path / "x")
    with pytest.raises(DataError, match="is no deep-VG dataset; images/<split>/"):
        merged([town, tmp_path], tmp_path / "x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept.txt").write_text("kept")
    with pytest.raises(UsageError, match="is not empty"):
        merged([town, town], tmp_path / "full")


def test_a_run_that_breaks_leaves_nothing(town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(assemble, "_link", stop)
    with pytest.raises(KeyboardInterrupt):
        merged([town, town], tmp_path / "x")
    assert list(tmp_path.iterdir()) == []
