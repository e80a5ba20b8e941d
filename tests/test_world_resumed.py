"""Renderings that are broken off: the next call goes on from what was done, and ends as one that never stopped."""

import errno
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from geofix.errors import StorageError, UsageError
from geofix.files import keep, whole_folder
from geofix.world.conditions import Conditions
from geofix.world.writers import countries, crossview, deep_vg, flight, orthophoto
from geofix.world.writers.countries import write_countries
from geofix.world.writers.crossview import write_crossview
from geofix.world.writers.deep_vg import write_places
from geofix.world.writers.flight import write_flight

Writer = Callable[..., object]
LOW = (60.0, 60.0)  # over a town that small
KINDS = {
    "places": (write_places, deep_vg, "render", {"places": 1, "size": (24, 32)}),
    "crossview": (write_crossview, crossview, "_rendered", {"places": 2, "size": 24, "drone_views": 1}),
    "countries": (write_countries, countries, "render", {"regions": 2, "size": (24, 32)}),
    "flight": (write_flight, flight, "render_above", {"places": 30, "frames": 2, "track": 2, "altitudes_m": LOW}),
}


def told(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def counted(monkeypatch: pytest.MonkeyPatch, module: object, name: str) -> list[object]:
    """Every call of a function of a module, from now on."""
    real, calls = getattr(module, name), []

    def called(*given: object, **named: object) -> object:
        calls.append(given)
        return real(*given, **named)

    monkeypatch.setattr(module, name, called)
    return calls


def stopped_after(photos: int) -> Callable[[int, int], None]:
    def stop(done: int, _total: int) -> None:
        if done == photos:
            raise KeyboardInterrupt

    return stop


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_rendering_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    write, module, render, arguments = KINDS[kind]
    monkeypatch.setattr(flight, "ROWS", 24)
    monkeypatch.setattr(flight, "COLUMNS", 32)
    maps = counted(monkeypatch, orthophoto, "render_above")
    rendered = counted(monkeypatch, module, render)
    write(tmp_path / "whole", **arguments)
    whole, tiles = len(rendered), len(maps)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out", progress=stopped_after(3), **arguments)
    assert {path.name for path in tmp_path.iterdir()} == {"whole", ".out.partial"}
    write(tmp_path / "out", **arguments)
    assert len(rendered) == 2 * whole
    assert len(maps) == 2 * tiles
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "out"}
    assert told(tmp_path / "out") == told(tmp_path / "whole")


@pytest.mark.parametrize("kind", KINDS)
def test_other_arguments_begin_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    write, module, render, arguments = KINDS[kind]
    monkeypatch.setattr(flight, "ROWS", 24)
    monkeypatch.setattr(flight, "COLUMNS", 32)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out", progress=stopped_after(1), **arguments)
    rendered = counted(monkeypatch, module, render)
    write(tmp_path / "out", seed=1, **arguments)
    after = len(rendered)
    write(tmp_path / "whole", seed=1, **arguments)
    assert len(rendered) == 2 * after
    assert told(tmp_path / "out") == told(tmp_path / "whole")


def test_what_is_kept_is_whole(tmp_path: Path) -> None:
    """The half of a file, and an empty one that a power cut left, are made once more."""
    made = []

    def file(name: str) -> Callable[[], bytes]:
        return lambda: made.append(name) or name.encode()

    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "out", {"seed": 1}) as partial:
        for name in ("a/one", "a/two", "b/three"):
            keep(partial, [name, name + "-again"], file(name))
        (partial / "a/two").write_bytes(b"")
        (partial / "b" / ".three.part").write_bytes(b"thr")
        (partial / "b/three-again").unlink()
        raise KeyboardInterrupt
    made.clear()
    with whole_folder(tmp_path / "out", {"seed": 1}) as partial:
        for name in ("a/one", "a/two", "b/three"):
            keep(partial, [name, name + "-again"], file(name))
    assert made == ["a/two", "b/three"]
    assert told(tmp_path / "out") == {
        **{f"{name}{again}": name.encode() for name in ("a/one", "a/two", "b/three") for again in ("", "-again")}
    }


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match="The disk is full: .*out could not be written; free some space and run"),
        whole_folder(tmp_path / "out", {"seed": 1}) as partial,
    ):
        keep(partial, ["one"], lambda: b"1")
        raise OSError(errno.ENOSPC, "No space left on device")
    with whole_folder(tmp_path / "out", {"seed": 1}) as partial:
        keep(partial, ["one"], lambda: pytest.fail("it was there"))
    assert told(tmp_path / "out") == {"one": b"1"}


def test_what_cannot_be_rendered_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError), whole_folder(tmp_path / "out", {"seed": 1}) as partial:
        keep(partial, ["one"], lambda: b"1")
        raise UsageError("A drone would fly among roofs.")
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_taken_keeps_what_was_begun(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "out", {"seed": 1}) as partial:
        keep(partial, ["one"], lambda: b"1")
        raise KeyboardInterrupt
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "other").write_bytes(b"2")
    with pytest.raises(UsageError, match="out is not empty"), whole_folder(tmp_path / "out", {"seed": 1}):
        pass
    assert told(tmp_path / ".out.partial")["one"] == b"1"


def test_an_order_tells_arguments_apart(tmp_path: Path) -> None:
    """Also those that JSON has no word for."""
    values = (0.5, np.float64(0.5), Conditions(night=0.5), Conditions(night=0.5), Conditions())
    for value, there in zip(values, (False, True, False, True, False), strict=True):
        with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "out", {"value": value}) as partial:
            assert (partial / "one").is_file() == there
            keep(partial, ["one"], lambda: b"1")
            raise KeyboardInterrupt
