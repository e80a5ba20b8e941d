"""Photos: what is decoded, how like the original, and what every kind of bad file says."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from geofix import photos
from geofix.errors import PhotoError
from geofix.photos import (
    Capture,
    Photo,
    find_photos,
    is_photo,
    read_capture,
    read_pixels,
    read_size,
    resized,
    save_jpeg,
    thumbnail_jpeg,
    upright_exif,
    visible_files,
    with_gps,
)
from geofix.positions import Position
from toy_places import blobs, put

BLOBS = blobs(0)
JPEG = save_jpeg(BLOBS, quality=95)
HERE = Position(-33.8567844, 151.2152967)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def picture(pixels: np.ndarray = BLOBS) -> Image.Image:
    return Image.fromarray(pixels)


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    error = np.mean((first.astype(float) - second.astype(float)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "WEBP", "JPEG"])
def test_formats(tmp_path: Path, kind: str) -> None:
    data = saved(picture(), kind)
    pixels = read_pixels(put(tmp_path / "a", data))
    assert pixels.shape == BLOBS.shape and psnr(pixels, BLOBS) > 25
    assert np.array_equal(pixels, read_pixels(data))


def grey_of(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(picture(pixels).convert("L").convert("RGB"))


@pytest.mark.parametrize("mode", ["L", "1", "LA", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"])
def test_colour_modes(mode: str) -> None:
    if mode in ("I;16", "I", "F"):
        grey = np.asarray(picture().convert("L"))
        levels = {
            "I;16": grey.astype(np.uint16) * 257,
            "I": grey.astype(np.int32) * 257,
            "F": grey / np.float32(255),
        }
        image, expected = Image.fromarray(levels[mode]), grey_of(BLOBS)
    else:
        image = picture().convert(mode)
        expected = grey_of(BLOBS) if mode in ("L", "LA") else BLOBS
    kind = {"CMYK": "JPEG", "YCbCr": "JPEG", "LA": "PNG", "RGBA": "PNG", "1": "PNG"}.get(mode, "TIFF")
    pixels = read_pixels(saved(image, kind))
    assert pixels.shape == BLOBS.shape and pixels.dtype == np.uint8
    if mode != "1":
        assert psnr(pixels, expected) > 25


def test_palettes_and_animations() -> None:
    indexed = picture().quantize(64)
    assert psnr(read_pixels(saved(indexed, "PNG")), BLOBS) > 20
    assert psnr(read_pixels(saved(indexed, "PNG", transparency=b"\x00\x80" * 32)), BLOBS) > 20
    frames = [picture(), picture(blobs(1))]
    for kind in ("GIF", "WEBP", "PNG"):
        data = saved(
            frames[0],
            kind,
            save_all=True,
            append_images=frames[1:],
            **({"quality": 90} if kind == "WEBP" else {}),
        )
        assert psnr(read_pixels(data), BLOBS) > 20
        assert psnr(read_pixels(data), blobs(1)) < 15


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_orientation(orientation: int, kind: str, tmp_path: Path) -> None:
    """The stored pixels are turned so that the tag puts them right again, whole and scaled."""
    upright = blobs(3, 96, 160)
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.swapaxes(0, 1), 6: np.rot90(upright, 1), 7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data = saved(picture(np.ascontiguousarray(stored)), kind, exif=exif)
    assert psnr(read_pixels(data), upright) > 30
    assert read_size(put(tmp_path / "photo", data)) == (96, 160)
    small = read_pixels(data, target=(20, 30))
    assert psnr(resized(small, (20, 30)), resized(upright, (20, 30))) > 30
    assert small.shape[0] < small.shape[1]


def test_a_scaled_decode_is_close_and_smaller() -> None:
    large = blobs(4, 960, 1280)
    data = save_jpeg(large)
    scaled = read_pixels(data, target=(100, 150))
    assert scaled.shape == (240, 320, 3)  # the smallest of 1, 1/2, 1/4, 1/8 that keeps twice the target
    assert psnr(resized(scaled, (100, 150)), resized(read_pixels(data), (100, 150))) > 35
    assert read_pixels(data, target=(960, 1280)).shape == large.shape


def test_target_leaves_other_formats_whole() -> None:
    assert read_pixels(saved(picture(), "PNG"), target=(8, 8)).shape == BLOBS.shape


def test_resized() -> None:
    assert resized(BLOBS, (48, 64)) is BLOBS
    assert resized(BLOBS, (20, 30)).shape == (20, 30, 3)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty (0 bytes)"), (b"just some words", "is no image that can be read"),
        (b"\xff\xd8\xff", "is no image|damaged"), (JPEG[: len(JPEG) // 2], "is damaged"),
        (JPEG[:200], "damaged|no image"), (saved(picture(), "PNG")[:900], "is damaged"),
        (save_jpeg(BLOBS[:1, :1]), "is 1x1 pixels; at least 16x16"),
        (save_jpeg(BLOBS[:15, :40]), "is 40x15 pixels"),
        (b"\x00\x00\x00\x18ftypheic" + b"\x00" * 40, "is no image|damaged|not installed"),
    ],
)  # fmt: skip
def test_bad_bytes(tmp_path: Path, data: bytes, said: str) -> None:
    said = said.replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(PhotoError, match=said):
        read_pixels(put(tmp_path / "bad.jpg", data))
    if data:
        with pytest.raises(PhotoError, match=f"upload.* ({said})"):
            read_pixels(data, "upload")


def test_bad_paths(tmp_path: Path) -> None:
    (tmp_path / "link.jpg").symlink_to(tmp_path / "gone.jpg")
    for path, said in (
        (tmp_path / "gone.jpg", "does not exist"),
        (tmp_path / "link.jpg", "leads nowhere"),
        (tmp_path, "is a folder"),
    ):
        with pytest.raises(PhotoError, match=said):
            read_pixels(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_forbidden_file(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jpg", JPEG)
    path.chmod(0)
    with pytest.raises(PhotoError, match="cannot be read"):
        read_pixels(path)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_the_pixel_limit(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    data = saved(picture(), kind)
    monkeypatch.setattr(photos, "MAX_PIXELS", 3000)
    with pytest.raises(PhotoError, match="megapixels"):
        read_pixels(data)
    assert read_pixels(data, huge=True).shape == BLOBS.shape
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # Pillow's own limit, refused from twice of it on
    with pytest.raises(PhotoError, match="megapixels"):
        read_pixels(data)
    assert read_pixels(data, huge=True).shape == BLOBS.shape
    assert Image.MAX_IMAGE_PIXELS == 1000
    monkeypatch.setattr(photos, "MAX_PIXELS", 10_000)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)  # between once and twice Pillow only warns
    assert read_pixels(data).shape == BLOBS.shape


def test_heic_without_its_extra_names_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    data = b"\x00\x00\x00\x18ftypheic" + b"\x00" * 40
    with pytest.raises(PhotoError, match=r"a.heic is a HEIC photo; .*pip install 'geofix\[heic\]'"):
        read_pixels(data, "a.heic")


def test_heic() -> None:
    heif = pytest.importorskip("pillow_heif", reason="the heic extra is not installed")
    heif.register_heif_opener()
    assert psnr(read_pixels(saved(picture(), "HEIF", quality=90)), BLOBS) > 25


@pytest.mark.parametrize(
    "position",
    [HERE, Position(0.0000005, -0.0000005), Position(89.9999999, 179.9999999), Position(-59.9999999, -0.1)],
)
def test_a_position_goes_round_to_a_centimetre(position: Position) -> None:
    tagged = with_gps(JPEG, position, heading_deg=-90.0, taken_at="2020-06-01T21:30:00")
    capture = read_capture(tagged)
    assert capture.position is not None and capture.position.metres_to(position) < 0.01
    assert (capture.heading_deg, capture.taken_at, capture.problem) == (270.0, "2020-06-01T21:30:00", None)
    assert np.array_equal(read_pixels(tagged), read_pixels(JPEG))


def test_with_gps_alone() -> None:
    assert read_capture(with_gps(JPEG, HERE)) == Capture(read_capture(with_gps(JPEG, HERE)).position)
    assert read_capture(JPEG) == Capture()
    with pytest.raises(ValueError, match="JPEG"):
        with_gps(saved(picture(), "PNG"), HERE)


def gps_jpeg(**changes: object) -> bytes:
    gps: dict[str, object] = {
        "GPSLatitudeRef": "N",
        "GPSLatitude": (52.0, 12.0, 0.0),
        "GPSLongitudeRef": "E",
        "GPSLongitude": (0.0, 6.0, 0.0),
    }
    exif = Image.Exif()
    for name, value in {**gps, **changes}.items():
        if value is not None:
            exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS[name]] = value
    return saved(picture(), "JPEG", exif=exif)


def test_plain_exif_positions() -> None:
    assert read_capture(gps_jpeg()).position == Position(52.2, 0.1)
    assert read_capture(gps_jpeg(GPSLongitudeRef="w")).position == Position(52.2, -0.1)
    assert read_capture(saved(picture(), "PNG", exif=Image.open(io.BytesIO(gps_jpeg())).getexif())).position


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"GPSLatitudeRef": None}, "hemisphere ''"), ({"GPSLongitudeRef": "Q"}, "hemisphere 'Q'"),
        ({"GPSLatitude": (52.0, 12.5, 0.0)}, "no numbers"),
        ({"GPSLatitude": (95.0, 0.0, 0.0)}, "outside|swapped"),
        ({"GPSLongitude": None}, "None instead of degrees"),
        ({"GPSLongitude": (1.0, 2.0)}, "instead of degrees"),
        ({"GPSLatitude": (0.0,) * 3, "GPSLongitude": (0.0,) * 3}, "when they have no fix"),
    ],
)  # fmt: skip
def test_positions_that_cannot_be_meant(changes: dict[str, object], said: str) -> None:
    # 12.5 minutes stand for a zero denominator: 25/2 becomes 25/0 in the bytes, in either byte order.
    data = gps_jpeg(**changes)
    for order in ("big", "little"):
        numerator, denominator = (25).to_bytes(4, order), (2).to_bytes(4, order)
        data = data.replace(numerator + denominator, numerator + bytes(4))
    capture = read_capture(data)
    assert capture.position is None
    assert capture.problem is not None and re.search(said, capture.problem)
    assert read_pixels(data).shape == BLOBS.shape


def test_broken_exif_does_not_spoil_the_photo() -> None:
    """Random damage in the EXIF block: the pixels are there all the same."""
    rng = np.random.default_rng(0)
    whole = with_gps(JPEG, HERE, 90.0, "2020-06-01T21:30:00")
    block = whole.index(b"Exif") + 6
    readable = 0
    for _ in range(150):
        data = bytearray(whole)
        for at in rng.integers(block, block + 200, 5):
            data[at] = int(rng.integers(0, 256))
        read_capture(bytes(data))
        readable += read_pixels(bytes(data)).shape == BLOBS.shape
    assert readable == 150


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "GIF", "BMP"])
def test_damage_is_a_photo_error(kind: str) -> None:
    rng = np.random.default_rng(1)
    exif = Image.open(io.BytesIO(gps_jpeg())).getexif()
    whole = saved(picture(), kind, **({"exif": exif} if kind in ("PNG", "WEBP", "TIFF") else {}))
    for _ in range(60):
        data = bytearray(whole)
        for at in rng.integers(4, len(data), 4):
            data[at] = int(rng.integers(0, 256))
        cut = bytes(data)[: int(rng.integers(len(data) // 2, len(data)))]
        for read in (read_pixels, read_capture):
            with contextlib.suppress(PhotoError):
                read(cut)


def test_taken_at_that_is_no_time() -> None:
    for stamp, iso in (
        ("0000:00:00 00:00:00", None),
        ("    ", None),
        ("2020:06:01 21:30:00", "2020-06-01T21:30:00"),
    ):
        exif = Image.Exif()
        exif[ExifTags.Base.DateTime] = stamp
        assert read_capture(saved(picture(), "JPEG", exif=exif)).taken_at == iso


def test_a_thumbnail_carries_no_exif(tmp_path: Path) -> None:
    tagged = with_gps(save_jpeg(blobs(5, 300, 400)), HERE, 1.0, "2020-06-01T21:30:00")
    small = thumbnail_jpeg(put(tmp_path / "a.jpg", tagged), 80)
    image = Image.open(io.BytesIO(small))
    assert image.size == (80, 60)
    assert not image.getexif() and b"Exif" not in small


def test_photo_open(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jpg", with_gps(JPEG, HERE, 12.5))
    photo = Photo.open(path)
    assert (photo.name, photo.source, photo.heading_deg) == ("a.jpg", "exif", 12.5)
    named = Photo("n", path, Position(1.0, 2.0), heading_deg=3.0, source="name")
    kept = named.with_capture(read_capture(path))
    assert (kept.position, kept.heading_deg, kept.source) == (Position(1.0, 2.0), 3.0, "name")


def test_visible_files(tmp_path: Path) -> None:
    for name in ("b.txt", "a/c.jpg", ".hidden", "a/.d.jpg", ".no/e.txt"):
        put(tmp_path / name, b"")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    assert list(visible_files(tmp_path)) == [tmp_path / "b.txt", tmp_path / "a" / "c.jpg"]


def test_find_photos(tmp_path: Path) -> None:
    for name in ("b/2.JPG", "a/1.png", "a/.thumb.jpg", ".cache/3.jpg", "c.txt", "d.jpg/4.webp"):
        put(tmp_path / "root" / name, b"x")
    put(tmp_path / "elsewhere/5.jpg", b"x")
    (tmp_path / "root/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root/b/loop").symlink_to(tmp_path / "root")
    found = [path.relative_to(tmp_path / "root").as_posix() for path in find_photos(tmp_path / "root")]
    assert found == ["a/1.png", "b/2.JPG", "d.jpg/4.webp", "linked/5.jpg"]
    assert is_photo(Path("x.HEIC")) and not is_photo(Path("x.txt")) and not is_photo(Path(".x.jpg"))


def tagged(kind: str, main: dict[int, object], details: dict[int, object]) -> bytes:
    exif = Image.Exif()
    exif.update(main)
    exif.get_ifd(ExifTags.IFD.Exif).update(details)
    return saved(picture(), kind, exif=exif.tobytes())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_for_another_picture_of_the_photo(kind: str) -> None:
    base = ExifTags.Base
    artist = "Jos?" if kind == "TIFF" else "José"  # what Pillow writes
    main = {base.Artist: artist.encode("latin-1"), base.Make: "M", base.Orientation: 6, base.XPComment: b"not kept"}
    details = {base.DateTimeOriginal: "2020:06:01 21:30:00", base.FNumber: 2.8, base.MakerNote: b"secret" * 9}
    details[base.UserComment] = b"long" * 2000
    block = upright_exif(tagged(kind, main, details))
    with Image.open(io.BytesIO(save_jpeg(BLOBS, exif=block))) as image:
        exif = image.getexif()
        kept = exif.get_ifd(ExifTags.IFD.Exif)
    assert {base(tag): value for tag, value in exif.items() if tag != ExifTags.IFD.Exif} == {
        base.Artist: artist, base.Make: "M", base.Orientation: 1
    }  # fmt: skip
    assert {base(tag): float(value) if tag == base.FNumber else value for tag, value in kept.items()} == {
        base.DateTimeOriginal: "2020:06:01 21:30:00", base.FNumber: 2.8
    }  # fmt: skip
    assert upright_exif(save_jpeg(BLOBS)) == b""


def test_exif_that_is_too_much_for_a_jpeg() -> None:
    longs = dict.fromkeys(range(0xA500, 0xA520), b"x" * 4000)
    jpeg = saved(picture(), "PNG", exif=with_details(with_gps(JPEG, HERE, taken_at="2020-06-01T21:30:00"), longs))
    block = upright_exif(jpeg)
    assert len(block) < 1000
    assert read_capture(save_jpeg(BLOBS, exif=block)) == read_capture(jpeg)


def with_details(jpeg: bytes, more: dict[int, object]) -> bytes:
    with Image.open(io.BytesIO(jpeg)) as image:
        exif = image.getexif()
        exif.get_ifd(ExifTags.IFD.GPSInfo)
        exif.get_ifd(ExifTags.IFD.Exif).update(more)
        return exif.tobytes()


def test_broken_exif_can_be_kept_in_part_or_not_at_all() -> None:
    whole = with_gps(JPEG, HERE, 90.0, "2020-06-01T21:30:00")
    rng = np.random.default_rng(0)
    block = whole.index(b"Exif") + 6
    kept = 0
    for _ in range(150):
        data = bytearray(whole)
        for at in rng.integers(block, block + 200, 5):
            data[at] = int(rng.integers(0, 256))
        found = read_capture(save_jpeg(BLOBS, exif=upright_exif(bytes(data))))
        assert found.position == read_capture(bytes(data)).position
        kept += found.position is not None
    assert 10 < kept < 150


def test_saving_is_repeatable_and_quiet() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert save_jpeg(BLOBS) == save_jpeg(BLOBS.copy())
    assert b"Exif" not in JPEG


def test_resized_while_decoding_is_resized_after_decoding() -> None:
    rng = np.random.default_rng(3)
    jpeg = save_jpeg(rng.integers(0, 255, (300, 410, 3), dtype=np.uint8))
    for size in ((40, 60), (300, 410), (500, 333)):
        once = read_pixels(jpeg, target=size, exactly=True)
        assert once.shape == (*size, 3)
        np.testing.assert_array_equal(once, resized(read_pixels(jpeg, target=size), size))
