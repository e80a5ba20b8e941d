"""The documentation is current: links, commands, options, recipe keys and examples."""

import importlib.util
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from geofix.recipes import Recipe

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
CHECKED = [*PAGES, *(path for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md") if path.is_file())]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
_INLINE = re.compile(r"`(geofix [^`\n]+)`")
_LITERAL = re.compile(r"`[^`\n]*`")


def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_build", DOCS / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BUILD = build()
COMMANDS: dict[tuple[str, ...], Any] = dict(BUILD.commands())


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(path: Path, *languages: str) -> Iterator[str]:
    """Fenced blocks in one of the languages; "" is a block that names none."""
    yield from (text for found, text in _FENCE.findall(read(path)) if found in languages)


def command_lines(path: Path) -> Iterator[str]:
    """Every complete `geofix ...` line of a page's blocks; \\ at the end of a line joins it with the next."""
    for text in blocks(path, "", "sh", "bash", "console"):
        for line in text.replace("\\\n", " ").splitlines():
            line = line.strip().removeprefix("$ ")
            if line.startswith("geofix ") and not re.search(r"\bCOMMAND$|\[OPTIONS\]", line):
                yield line


def command_of(words: list[str]) -> tuple[tuple[str, ...], list[str]]:
    """The command that the words name, and the rest of them."""
    names: tuple[str, ...] = ("geofix",)
    rest = words[1:]
    while rest and (*names, rest[0]) in COMMANDS:
        names, rest = (*names, rest[0]), rest[1:]
    return names, rest


def flags_of(command: Any) -> set[str]:
    return {flag for option in BUILD.options(command) for flag in option.opts} | {"--help"}


def slug(heading: str) -> str:
    """The anchor GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def anchors(path: Path) -> set[str]:
    text = _FENCE.sub("", read(path))
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def test_generated_pages_are_current() -> None:
    stale = [path.name for path, text in BUILD.pages() if not path.is_file() or read(path) != text]
    assert not stale, f"{stale} out of date: run python3 make.py docs"


def test_check_says_which_page_is_stale(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    page = tmp_path / "cli.md"
    monkeypatch.setattr(BUILD, "pages", lambda: iter([(page, "new\n")]))
    assert BUILD.main(["--check"]) == 1
    assert "cli.md" in capsys.readouterr().err
    assert not page.exists()
    assert BUILD.main([]) == 0
    assert read(page) == "new\n"
    assert BUILD.main(["--check"]) == 0


@pytest.mark.parametrize("page", CHECKED, ids=lambda path: path.name)
def test_internal_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(_LITERAL.sub("", _FENCE.sub("", read(page)))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name} links to {link}, which does not exist"
        if anchor:
            assert anchor in anchors(target), f"{page.name} links to {link}; {target.name} has no such heading"


def test_every_page_is_one_step_from_the_index() -> None:
    linked = {link.partition("#")[0] for link in _LINK.findall(read(DOCS / "README.md"))}
    assert {page.name for page in PAGES} - {"README.md"} <= linked


def test_every_command_and_option_is_on_the_cli_page() -> None:
    text = read(DOCS / "cli.md")
    for names, command in COMMANDS.items():
        title = f"## {' '.join(names)}\n"
        assert title in text
        section = text.partition(title)[2].partition("\n## ")[0]
        for flag in flags_of(command) - {"--help"}:
            assert f"`{flag}" in section, f"{' '.join(names)} {flag} is missing in docs/cli.md"


def test_every_recipe_key_is_on_the_models_page() -> None:
    text = read(DOCS / "models.md")
    for key in Recipe.model_fields:
        assert f"| `{key}` |" in text, f"recipe key {key} is missing in docs/models.md"


@pytest.mark.parametrize("page", CHECKED, ids=lambda path: path.name)
def test_command_lines_parse(page: Path) -> None:
    for line in command_lines(page):
        names, rest = command_of(shlex.split(line, comments=True))
        command = COMMANDS[names]
        if len(names) == 1 or "--help" in rest:
            assert rest and set(rest) <= flags_of(command), f"{page.name}: {line}: no such command"
            continue
        try:
            command.make_context(" ".join(names), rest)
        except Exception as error:
            pytest.fail(f"{page.name}: {line}: {type(error).__name__} {getattr(error, 'message', error)}")


@pytest.mark.parametrize("page", CHECKED, ids=lambda path: path.name)
def test_commands_in_running_text_exist(page: Path) -> None:
    for line in _INLINE.findall(_FENCE.sub("", read(page))):
        names, rest = command_of(line.split())
        assert len(names) > 1 or rest[0].startswith("-"), f"{page.name}: {line}: no such command"
        flags = {word for word in rest if word.startswith("--")}
        assert flags <= flags_of(COMMANDS[names]), f"{page.name}: {line}: {flags - flags_of(COMMANDS[names])}"


@pytest.mark.parametrize("page", CHECKED, ids=lambda path: path.name)
def test_python_examples_compile(page: Path) -> None:
    for number, code in enumerate(blocks(page, "python"), start=1):
        compile(code, f"{page.name}, example {number}", "exec")


@pytest.mark.parametrize("page", CHECKED, ids=lambda path: path.name)
def test_json_examples_are_json(page: Path) -> None:
    for text in blocks(page, "json"):
        json.loads(text)


def test_the_fix_example_has_the_keys_of_a_fix() -> None:
    from geofix.fixes import Fix

    (example,) = (json.loads(text) for text in blocks(DOCS / "locate.md", "json"))
    assert list(example) == list(Fix("photo.jpg").to_dict())


def test_the_numbers_of_locate_are_the_code_s() -> None:
    from geofix import calibrate
    from geofix.atlas import calibration, consensus
    from geofix.locate import _SMALLEST_RADIUS_M, MIN_CONFIDENCE

    text = read(DOCS / "locate.md")
    for stated in (
        f"The {consensus.MATCHES} gallery photos",
        f"exp(-{consensus.SHARPNESS:g})",
        f"within {consensus.LINK_M:g} m of it",
        f"within {calibration.RIGHT_WITHIN_M:g} m?",
        f"{calibration.COVERAGE:.0%}".replace("%", " %"),
        f"at least {calibration.FEWEST} ",
        f"up to {calibrate._SAMPLE} of",
        f"at least {_SMALLEST_RADIUS_M:g} m",
        f"below {MIN_CONFIDENCE:g} ",
    ):
        assert stated in text, f"docs/locate.md no longer states {stated!r}"


def test_no_place_was_left_to_fill_in() -> None:
    for page in CHECKED:
        prose = _LITERAL.sub("", _FENCE.sub("", read(page)))
        assert not re.search(r"\b(TODO|TBD|XXX|FIXME|[A-Z]{4,}_[A-Z]{4,})\b", prose), page.name
