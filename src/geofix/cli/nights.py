"""geofix data night: a dataset's photos by night, and a sheet of some of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geofix.cli import output
from geofix.errors import first_few
from geofix.files import write_atomically

if TYPE_CHECKING:
    from geofix.augment.preview import Strip
    from geofix.data.nights import Translated
    from geofix.night.translators import Translator
    from geofix.shapes import Pixels

_ON_SHEET, _A_ROW = 8, 4
_ROWS, _COLUMNS = 150, 200  # pixels of a picture on the sheet
_LONGEST_CAPTION = 25  # letters that fit below a picture, @ being wide


def night(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="A folder of photos, or a dataset of any layout.")],
    out: Annotated[Path, typer.Argument(help="A new folder for the nights.")],
    weights: Annotated[
        Path | None, typer.Option(metavar="RUN", help="unit: the run folder of a trained translator.")
    ] = None,
    model: Annotated[
        str, typer.Option(metavar="unit|simple", help="simple is a model of light and lamps that learns nothing.")
    ] = "unit",
    seed: Annotated[int, typer.Option(help="Another seed is another night.")] = 0,
    merge: Annotated[
        bool, typer.Option("--merge", help="Put the day photos beside their nights, as hard links.")
    ] = False,
    stretch: Annotated[
        bool, typer.Option("--stretch", help="Stretch each night's levels to 0..255, as Atadjanov et al. did.")
    ] = False,
    tiles: Annotated[
        int | None, typer.Option(help="Translate larger photos in overlapping tiles of so many pixels a side.")
    ] = None,
) -> None:
    """Every photo of a folder by night, as NAMEn.jpg in the same folders; names, EXIF and tables keep positions."""
    from geofix.data.nights import translated
    from geofix.night.translators import open_translator, stretched, tiled

    translator = open_translator(model, weights)
    if tiles is not None:
        translator = tiled(translator, tiles, tiles // 4)
    if stretch:
        translator = stretched(translator)
    sheet = out.with_name(f"{out.name}-sheet.png")

    def drawn(root: Path, photos: Sequence[tuple[Path, Path]]) -> None:
        write_atomically(sheet, _sheet(source, root, photos, translator))

    with output.progress("translating") as progress:
        made = translated(source, out, translator, seed=seed, merge=merge, progress=progress, before_naming=drawn)
    for line in _said(made, translator, merge):
        output.result(line)
    output.result(f"{sheet}: {min(_ON_SHEET, len(made.photos))} of them, day above night")
    _remark(made)
    output.finish(made.problems)


def _said(made: Translated, translator: Translator, merge: bool) -> Iterator[str]:
    beside = " beside the photos themselves" if merge else ""
    already = f", {made.already} of them from a run before" if made.already else ""
    yield f"{made.root}: {len(made.photos)} photos by night ({translator.name}){beside}{already}"
    if made.tables:
        which = "photos and their nights" if merge else "nights in place of photos"
        without = f", without {made.rows_left_out} rows that name none" if made.rows_left_out else ""
        yield f"tables that list {which} now: {first_few(made.tables)}{without}"


def _remark(made: Translated) -> None:
    if made.left_out:
        output.remark(f"not copied, as they are neither photos nor tables of them: {first_few(made.left_out)}")


def _sheet(source: Path, root: Path, photos: Sequence[tuple[Path, Path]], translator: Translator) -> bytes:
    """A few of the photos, spread over all of them, each above its night in `root`."""
    from geofix.reports.sheets import contact_sheet

    count = min(_ON_SHEET, len(photos))
    chosen = [photos[number * len(photos) // count] for number in range(count)]
    strips, names = [], []
    for first in range(0, count, _A_ROW):
        row = chosen[first : first + _A_ROW]
        strips += [_strip(source, [day for day, _ in row]), _strip(root, [night for _, night in row])]
        names += ["day", f"night: {translator.name}"]
    return contact_sheet(strips, names)


def _strip(root: Path, photos: list[Path]) -> Strip:
    from geofix.augment.preview import Strip
    from geofix.photos import read_pixels
    from geofix.reports.sheets import plain_name
    from geofix.transforms import stacked

    pictures = [_fitted(read_pixels(photo, target=(_ROWS, _COLUMNS))) for photo in photos]
    return Strip(
        stacked(pictures), tuple(plain_name(photo.relative_to(root).as_posix(), _LONGEST_CAPTION) for photo in photos)
    )


def _fitted(pixels: Pixels) -> Pixels:
    """The whole photo in the middle of a white picture of the sheet's size."""
    import numpy as np

    from geofix.photos import resized

    rows, columns = pixels.shape[:2]
    scale = min(_ROWS / rows, _COLUMNS / columns)
    size = max(1, round(rows * scale)), max(1, round(columns * scale))
    picture = np.full((_ROWS, _COLUMNS, 3), 255, dtype=np.uint8)
    top, left = (_ROWS - size[0]) // 2, (_COLUMNS - size[1]) // 2
    picture[top : top + size[0], left : left + size[1]] = resized(pixels, size)
    return picture
