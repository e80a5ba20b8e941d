"""Photos: where their bytes are, where they were taken, and their pixels when asked. The one door to Pillow.

Gallery and query photos go through the same `read_pixels`, so that they can never be decoded differently.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import threading
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin, UnidentifiedImageError

from geofix.errors import DataError, MissingExtraError, PhotoError
from geofix.files import is_folder
from geofix.positions import Position
from geofix.shapes import Pixels, ResizedPixels

_GEOTIFF_TAGS = (33550, 33922, 34264, 34735)  # pixel scale, tie points, matrix, keys
PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".heic", ".heif"})
MAX_PIXELS = 178_956_970  # Pillow's own refusal: 3 x 8 bit of them fill half a gibibyte
MIN_SIDE_PIXELS = 16  # below this nothing can be recognised and no trunk has a cell left
_QUARTER_TURNED = frozenset({5, 6, 7, 8})  # EXIF orientations that swap width and height
# Not ImageOps.exif_transpose: that writes the EXIF block anew, which fails where the block is damaged.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What a picture made of a photo may say of its taking. Not the sizes, the preview and the maker's notes (which point to
# where they lay in the file): they were true of the photo's own bytes.
_EXIF_KEPT = frozenset({"ImageDescription", "Make", "Model", "Software", "DateTime", "Artist", "Copyright"})
_EXIF_DETAILS_LEFT_OUT = frozenset({"MakerNote", "ExifImageWidth", "ExifImageHeight", "ExifInteroperabilityOffset"})
_LONGEST_EXIF_VALUE, _LONGEST_EXIF = 4096, 65_000  # bytes; a JPEG has room for 65 533
_open_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Capture:
    """What a photo's metadata says: position, heading 0..360 degrees from north, time, or what is wrong."""

    position: Position | None = None
    heading_deg: float | None = None
    taken_at: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Metadata:
    """A photo's metadata as they are written: EXIF values by the tags' names, of its GPS block apart, the bytes of its
    XMP packet, and its rows and columns as `read_pixels` gives them. What is damaged is left out.
    """

    exif: dict[str, object]
    gps: dict[str, object]
    xmp: bytes
    rows: int
    columns: int


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo known by name; its pixels stay on disk until `read_pixels`.

    `name` is its path relative to the dataset (with forward slashes) and unique in it. `place` is a label:
    same label, same place; `group` names what was taken together and is not independent (a panorama, a
    sequence, a camera, a photographer); `source` says where the position comes from (name, exif, csv);
    `condition` is what the dataset says of the light or the season (day, night), `scene` and `country` (a code of ISO
    3166-1) what it says the photo shows.
    """

    name: str
    path: Path
    position: Position | None = None
    heading_deg: float | None = None
    taken_at: str | None = None
    place: str | None = None
    group: str | None = None
    author: str | None = None
    source: str | None = None
    condition: str | None = None
    scene: str | None = None
    country: str | None = None

    @classmethod
    def open(cls, path: Path, name: str | None = None) -> Photo:
        """A photo with what its EXIF says. Raises PhotoError when the file is no readable image."""
        capture = read_capture(path)
        return cls(name or path.name, path).with_capture(capture)

    def with_capture(self, capture: Capture) -> Photo:
        """This photo with the position, heading and time of `capture` where it has none of its own."""
        from_exif = self.position is None and capture.position is not None
        return replace(
            self,
            position=self.position or capture.position,
            heading_deg=capture.heading_deg if self.heading_deg is None else self.heading_deg,
            taken_at=self.taken_at or capture.taken_at,
            source="exif" if from_exif else self.source,
        )


def is_photo(path: Path) -> bool:
    """Whether the file name has the ending of a photo."""
    return path.suffix.lower() in PHOTO_SUFFIXES and not path.name.startswith(".")


def photo_files(root: Path, problems: list[PhotoError] | None = None) -> Iterator[Path]:
    """Photo files below `root`, as `visible_files`."""
    return filter(is_photo, visible_files(root, problems))


def visible_files(root: Path, problems: list[PhotoError] | None = None) -> Iterator[Path]:
    """Files below `root`, folder by folder; links are followed (once each, so that a link to a folder above cannot
    trap the walk), hidden files and folders are left out.

    A folder that may not be read is appended to `problems`; without that list it raises PhotoError.
    """

    def shut(error: OSError) -> None:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return
        problem = PhotoError(f"{error.filename} may not be read ({error.strerror}); change its permissions.")
        if problems is None:
            raise problem from error
        problems.append(problem)

    seen: set[str] = set()
    for folder, folders, names in os.walk(root, followlinks=True, onerror=shut):
        real = os.path.realpath(folder)
        folders[:] = [] if real in seen else sorted(name for name in folders if not name.startswith("."))
        if real not in seen:
            yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))
        seen.add(real)


def find_photos(root: Path, problems: list[PhotoError] | None = None) -> list[Path]:
    """All photo files below `root`, sorted; see `visible_files` for links, hidden files and closed folders."""
    return sorted(photo_files(root, problems))


def photo_paths(named: Iterable[Path], problems: list[PhotoError] | None = None) -> list[Path]:
    """The photos named, with folders opened. Raises DataError for a folder without any; `problems` as above."""
    paths: list[Path] = []
    for path in named:
        before = len(problems or [])
        inside = find_photos(path, problems) if is_folder(path) else [path]
        if not inside and len(problems or []) == before:
            raise DataError(f"{path} holds no photos; a folder with JPEG, PNG, WebP, TIFF or HEIC was expected.")
        paths += inside
    return paths


def read_bytes(path: Path) -> bytes:
    """A file's bytes, or a PhotoError that says why there are none."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        what = "is a link that leads nowhere" if path.is_symlink() else "does not exist"
        raise PhotoError(f"{path} {what}; a photo was expected.") from error
    except IsADirectoryError as error:
        raise PhotoError(f"{path} is a folder; a photo was expected.") from error
    except OSError as error:
        raise PhotoError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error
    if not data:
        raise PhotoError(f"{path} is empty (0 bytes); copy it again from its source.")
    return data


def read_pixels(
    source: Path | bytes,
    name: str | None = None,
    *,
    target: tuple[int, int] | None = None,
    exactly: bool = False,
    huge: bool = False,
) -> Pixels:
    """Decode one photo: RGB, upright (EXIF orientation applied), 8 bit.

    `target` (rows, columns) is the size it will be resized to: a JPEG is then decoded at the smallest
    DCT scale that keeps at least twice that size, which is much faster for large photos. With `exactly` it
    is resized to it here, as `resized` would. `huge=True` lifts the pixel limit, for orthophotos. Animations
    give their first frame, transparency is dropped, 16-bit grey keeps its upper 8 bits. Raises PhotoError.
    """
    name = name or (str(source) if isinstance(source, Path) else "the photo")
    data = read_bytes(source) if isinstance(source, Path) else source
    with opened(data, name, huge) as image:
        try:
            upright = _decoded(image, target, huge)
            # Before the pixels leave Pillow: handing over a large photo costs more than resizing it.
            return np.array(_at_size(upright, target) if exactly and target else upright)
        except Exception as error:  # decoders raise whatever the broken bytes provoke; none may end a batch
            raise PhotoError(
                f"{name} is damaged: its {image.format} data end or break early ({error}); copy it again."
            ) from error


def resized(pixels: Pixels, size: tuple[int, int]) -> ResizedPixels:
    """Pixels at (rows, columns), bilinear with anti-aliasing; the same array when the size is right."""
    if pixels.shape[:2] == size:
        return pixels
    return np.asarray(_at_size(Image.fromarray(pixels), size))


def thumbnail_jpeg(path: Path, longest_side: int, quality: int = 80) -> bytes:
    """A small upright JPEG of a photo without any metadata, for reports."""
    pixels = read_pixels(path, target=(longest_side, longest_side))
    image = Image.fromarray(pixels)
    image.thumbnail((longest_side, longest_side))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def is_georeferenced(path: Path) -> bool | None:
    """Whether a TIFF says where on Earth its pixels lie, by GeoTIFF's tags; None where its tags cannot be read."""
    try:
        with path.open("rb") as file:
            header = file.read(8)
            tags = TiffImagePlugin.ImageFileDirectory_v2(header + (file.read(8) if header[2] == 43 else b""))
            file.seek(tags.next)
            tags.load(file)
            return any(tag in tags for tag in _GEOTIFF_TAGS)
    except Exception:  # whatever broken bytes provoke
        return None


def read_size(path: Path) -> tuple[int, int]:
    """Rows and columns as `read_pixels` will give them, from the file's beginning. Raises PhotoError."""
    with opened(read_bytes(path), str(path), huge=True) as image:
        return _upright_size(image)


def read_capture(source: Path | bytes, name: str | None = None) -> Capture:
    """Position, heading and time from EXIF, without decoding pixels. Raises PhotoError for what is no image.

    A position that is there but cannot be meant (no hemisphere, a zero denominator, 95 degrees north) gives
    no position and a `problem` that says so.
    """
    name = name or (str(source) if isinstance(source, Path) else "the photo")
    data = read_bytes(source) if isinstance(source, Path) else source
    with opened(data, name, huge=True) as image:
        try:
            exif = image.getexif()
            gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
            details = exif.get_ifd(ExifTags.IFD.Exif)
        except Exception as error:  # Pillow's EXIF parser raises whatever the broken bytes provoke
            return Capture(problem=f"the EXIF block is damaged ({error})")
        taken = details.get(ExifTags.Base.DateTimeOriginal) or exif.get(ExifTags.Base.DateTime)
        taken_at = _iso_time(str(taken)) if taken else None
        heading = _number(gps.get(ExifTags.GPS.GPSImgDirection))
        heading_deg = heading % 360 if heading is not None else None
        if not {ExifTags.GPS.GPSLatitude, ExifTags.GPS.GPSLongitude} & set(gps):
            return Capture(None, heading_deg, taken_at)
        try:
            return Capture(_gps_position(gps), heading_deg, taken_at)
        except DataError as error:
            return Capture(None, heading_deg, taken_at, problem=f"the EXIF position cannot be used: {error}")


def read_metadata(source: Path | bytes, name: str | None = None) -> Metadata:
    """EXIF and XMP as they are written, without decoding pixels. Raises PhotoError for what is no image."""
    name = name or (str(source) if isinstance(source, Path) else "the photo")
    data = read_bytes(source) if isinstance(source, Path) else source
    with opened(data, name, huge=True) as image:
        rows, columns = _upright_size(image)
        main = {**_block(image), **_block(image, ExifTags.IFD.Exif)}
        exif = {ExifTags.TAGS.get(tag, str(tag)): value for tag, value in main.items()}
        block = _block(image, ExifTags.IFD.GPSInfo)
        gps = {ExifTags.GPSTAGS.get(tag, str(tag)): value for tag, value in block.items()}
        packet = image.info.get("xmp", b"")
        xmp = packet.encode() if isinstance(packet, str) else packet
        return Metadata(exif, gps, xmp if isinstance(xmp, bytes) else b"", rows, columns)


def with_gps(jpeg: bytes, position: Position, heading_deg: float | None = None, taken_at: str | None = None) -> bytes:
    """The same JPEG bytes with an EXIF position (to 1e-7 degrees, a centimetre) put in; pixels untouched.

    `taken_at` is ISO 8601 without a zone (2020-06-01T21:30:00).
    """
    exif = Image.Exif()
    gps: dict[int, object] = {
        ExifTags.GPS.GPSVersionID: b"\x02\x03\x00\x00",
        ExifTags.GPS.GPSLatitudeRef: "N" if position.lat >= 0 else "S",
        ExifTags.GPS.GPSLatitude: _dms(abs(position.lat)),
        ExifTags.GPS.GPSLongitudeRef: "E" if position.lon >= 0 else "W",
        ExifTags.GPS.GPSLongitude: _dms(abs(position.lon)),
        ExifTags.GPS.GPSMapDatum: "WGS-84",
    }
    if heading_deg is not None:
        gps[ExifTags.GPS.GPSImgDirectionRef] = "T"
        gps[ExifTags.GPS.GPSImgDirection] = round(heading_deg % 360, 2)
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(gps)
    if taken_at is not None:
        stamp = taken_at.replace("-", ":").replace("T", " ")
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = stamp
    block = exif.tobytes()
    if not jpeg.startswith(b"\xff\xd8"):
        raise ValueError("with_gps expects JPEG bytes")
    segment = b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block
    return jpeg[:2] + segment + jpeg[2:]


def upright_exif(source: Path | bytes, name: str | None = None) -> bytes:
    """The EXIF block of a photo for a picture made of its upright pixels: camera, time and position as they are.

    The orientation is 1. Previews, makers' notes, and what is damaged or over 4 KiB are left out; empty bytes where
    nothing is left. Raises PhotoError for what is no image.
    """
    name = name or (str(source) if isinstance(source, Path) else "the photo")
    data = read_bytes(source) if isinstance(source, Path) else source
    with opened(data, name, huge=True) as image:
        main = {tag: value for tag, value in _exif_values(image).items() if ExifTags.TAGS.get(tag) in _EXIF_KEPT}
        details = _exif_values(image, ExifTags.IFD.Exif)
        gps = _exif_values(image, ExifTags.IFD.GPSInfo)
    details = {tag: value for tag, value in details.items() if ExifTags.TAGS.get(tag) not in _EXIF_DETAILS_LEFT_OUT}
    if not (main or details or gps):
        return b""
    block = _exif_block(main, details, gps)
    times = {tag: value for tag, value in details.items() if tag == ExifTags.Base.DateTimeOriginal}
    return block if len(block) <= _LONGEST_EXIF else _exif_block({}, times, gps)


def save_jpeg(pixels: Pixels, quality: int = 90, exif: bytes = b"") -> bytes:
    """Pixels as JPEG bytes without metadata, or with this EXIF block; the same pixels always give the same bytes."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality, exif=exif)
    return out.getvalue()


def save_png(pixels: Pixels) -> bytes:
    """Pixels as PNG bytes without metadata; nothing is lost."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def opened(data: bytes, name: str, huge: bool) -> Image.Image:
    """An image whose header was read and whose size was checked; no pixel is decoded yet."""
    if _is_heif(data):
        _register_heif(name)
    try:
        # Pillow warns from half of its limit on; ours is stated, so the warning would only be noise. The
        # lock keeps the warning filters of other threads of ours from being restored out of order.
        with _open_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _limit_lifted() if huge else contextlib.nullcontext():
                image = Image.open(io.BytesIO(data))
            _parse_exif(image)
    except UnidentifiedImageError as error:
        raise PhotoError(
            f"{name} is no image that can be read (it starts with {data[:4]!r}); "
            "JPEG, PNG, WebP, TIFF, BMP, GIF or HEIC is expected."
        ) from error
    except Image.DecompressionBombError as error:
        raise PhotoError(
            f"{name} has more than the {MAX_PIXELS / 1e6:.0f} megapixels a photo may have; scale it down."
        ) from error
    except Exception as error:  # a header can break Pillow's plugins in many ways; none may end a batch
        raise PhotoError(f"{name} has a damaged header ({error}); copy it again from its source.") from error
    columns, rows = image.size
    if not huge and columns * rows > MAX_PIXELS:
        raise PhotoError(
            f"{name} has {columns * rows / 1e6:.0f} megapixels, more than the {MAX_PIXELS / 1e6:.0f} a photo "
            "may have; scale it down."
        )
    if min(columns, rows) < MIN_SIDE_PIXELS:
        raise PhotoError(
            f"{name} is {columns}x{rows} pixels; at least {MIN_SIDE_PIXELS}x{MIN_SIDE_PIXELS} are needed "
            "to recognise anything."
        )
    return image


@contextlib.contextmanager
def _limit_lifted() -> Iterator[None]:
    """No limit of Pillow's inside (used under the lock, so the limit is back before anyone else opens)."""
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _load(image: Image.Image, huge: bool) -> None:
    """Decode in place. Pillow measures a TIFF against its limit once more here, and warns at half of it."""
    if image.format != "TIFF":
        image.load()
        return
    with _open_lock, warnings.catch_warnings(), _limit_lifted() if huge else contextlib.nullcontext():
        warnings.simplefilter("ignore")
        image.load()


def _parse_exif(image: Image.Image) -> None:
    """Parse the EXIF blocks while Pillow's warnings about them are off; it keeps what it made of them.

    A photo with broken EXIF is still a photo, so errors wait until somebody asks for what was lost.
    """
    with contextlib.suppress(Exception):
        exif = image.getexif()
        for block in (ExifTags.IFD.GPSInfo, ExifTags.IFD.Exif):
            exif.get_ifd(block)


def _block(image: Image.Image, block: int | None = None) -> dict[int, object]:
    """The values of an EXIF block by tag; none of a damaged one."""
    try:
        exif = image.getexif()
        return dict(exif if block is None else exif.get_ifd(block))
    except Exception:  # as in `read_capture`
        return {}


def _exif_values(image: Image.Image, block: int | None = None) -> dict[int, object]:
    """The values of an EXIF block by tag; those that cannot be written again, or are long, are left out."""
    return {
        tag: _as_bytes(value) if block is None else value
        for tag, value in _block(image, block).items()
        if _fits(block, tag, value)
    }


def _as_bytes(value: object) -> object:
    """Text as the bytes that Pillow made it of; it would write letters beyond ASCII as question marks."""
    return value.encode("latin-1") if isinstance(value, str) and not value.isascii() else value


def _fits(block: int | None, tag: int, value: object) -> bool:
    exif = Image.Exif()
    (exif if block is None else exif.get_ifd(block))[tag] = value
    try:
        return len(exif.tobytes()) <= _LONGEST_EXIF_VALUE
    except Exception:  # whatever Pillow's writer meets in a value that its reader let pass
        return False


def _exif_block(main: dict[int, object], details: dict[int, object], gps: dict[int, object]) -> bytes:
    exif = Image.Exif()
    exif.update({**main, ExifTags.Base.Orientation: 1})
    for block, values in ((ExifTags.IFD.Exif, details), (ExifTags.IFD.GPSInfo, gps)):
        if values:
            exif.get_ifd(block).update(values)
    return exif.tobytes()


def _at_size(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    rows, columns = size
    return image.resize((columns, rows), Image.Resampling.BILINEAR)


def _decoded(image: Image.Image, target: tuple[int, int] | None, huge: bool) -> Image.Image:
    if target is not None:
        rows, columns = target
        if _orientation(image) in _QUARTER_TURNED:
            rows, columns = columns, rows
        image.draft("RGB", (2 * columns, 2 * rows))
    _load(image, huge)  # before asking for the orientation: Pillow turns TIFFs itself and forgets theirs
    turn = _UPRIGHT.get(_orientation(image))
    return _as_rgb(image if turn is None else image.transpose(turn))


def _upright_size(image: Image.Image) -> tuple[int, int]:
    # Pillow opens a TIFF as it turns it while loading; with the others that is left to us.
    turned = image.format != "TIFF" and _orientation(image) in _QUARTER_TURNED
    return (image.width, image.height) if turned else (image.height, image.width)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation 1..8; 1, upright, for anything else."""
    value = image.getexif().get(ExifTags.Base.Orientation)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        high = np.asarray(image).astype(np.uint16) >> 8
        return Image.fromarray(high.astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        return Image.fromarray(_stretched(np.asarray(image))).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image if image.mode == "RGB" else image.convert("RGB")


def _stretched(values: np.ndarray) -> np.ndarray:
    """32-bit greys as 8 bit: 0..1 and 0..65535 are taken as full range, anything else by its own maximum."""
    top = float(np.nanmax(values)) if values.size else 0.0
    full = 1.0 if 0 < top <= 1 else 255.0 if top <= 255 else 65535.0 if top <= 65535 else top
    scaled = np.nan_to_num(np.clip(values / full, 0, 1)) * 255
    return np.asarray(np.round(scaled), dtype=np.uint8)


def _is_heif(data: bytes) -> bool:
    brands = {b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"}
    return data[4:8] == b"ftyp" and data[8:12] in brands


def _register_heif(name: str) -> None:
    try:
        import pillow_heif
    except ImportError as error:
        raise PhotoError(str(MissingExtraError(f"{name} is a HEIC photo; reading it", "heic"))) from error
    pillow_heif.register_heif_opener()


def _gps_position(gps: dict[int, object]) -> Position:
    lat = _signed_degrees(gps, ExifTags.GPS.GPSLatitude, ExifTags.GPS.GPSLatitudeRef, "NS")
    lon = _signed_degrees(gps, ExifTags.GPS.GPSLongitude, ExifTags.GPS.GPSLongitudeRef, "EW")
    if lat == 0 and lon == 0:
        raise DataError("it is 0, 0, which cameras write when they have no fix.")
    return Position(lat, lon)


def _signed_degrees(gps: dict[int, object], tag: int, ref_tag: int, letters: str) -> float:
    parts = gps.get(tag)
    ref = str(gps.get(ref_tag, "")).strip("\x00 ").upper()[:1]
    if ref not in letters or not ref:
        raise DataError(f"hemisphere {ref!r} instead of {letters[0]} or {letters[1]}.")
    if not isinstance(parts, tuple | list) or len(parts) != 3:
        raise DataError(f"{parts!r} instead of degrees, minutes, seconds.")
    numbers = [_number(part) for part in parts]
    if any(number is None for number in numbers):
        raise DataError("degrees, minutes or seconds that are no numbers.")
    degrees, minutes, seconds = (number for number in numbers if number is not None)
    value = degrees + minutes / 60 + seconds / 3600
    return -value if ref == letters[1] else value


def _number(value: object) -> float | None:
    """A finite float, or None for what is none (EXIF rationals with a zero denominator become NaN)."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) else None


def _dms(degrees: float) -> tuple[float, float, float]:
    """Degrees, minutes, seconds with the seconds to 1e-4 (3 mm), carried so that none reaches 60."""
    ticks = round(degrees * 3600 * 10_000)
    minutes, seconds = divmod(ticks, 600_000)
    whole, minutes = divmod(minutes, 60)
    return (float(whole), float(minutes), seconds / 10_000)


def _iso_time(text: str) -> str | None:
    date, _, clock = text.strip("\x00 ").partition(" ")
    date = date.replace(":", "-")
    return f"{date}T{clock}" if len(date) == 10 and date[:4].isdigit() and date[:4] != "0000" else None
