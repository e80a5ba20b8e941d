"""Photos with the EXIF and XMP that drones of several makes write."""

from __future__ import annotations

import io

import numpy as np
from PIL import ExifTags, Image

from geofix.positions import Position

ADDRESSES = {
    "drone-dji": "http://www.dji.com/drone-dji/1.0/",
    "drone-parrot": "http://www.parrot.com/drone-parrot/1.0/",
    "drone-skydio": "https://www.skydio.com/drone-skydio/1.0/",
    "Camera": "http://pix4d.com/camera/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "drone": "http://example.org/autel/",
}


def packet(inside: str, attributes: str = "") -> bytes:
    """An XMP packet around attributes and elements of one description."""
    spaces = " ".join(f'xmlns:{prefix}="{address}"' for prefix, address in ADDRESSES.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" {spaces} {attributes}>{inside}</rdf:Description></rdf:RDF></x:xmpmeta>'
        '<?xpacket end="w"?>'
    ).encode()


def attributes(**values: object) -> bytes:
    """A packet as DJI writes it: drone_dji_GimbalYawDegree=+12.3 is the attribute drone-dji:GimbalYawDegree."""
    return packet("", " ".join(f'{_name(key)}="{value}"' for key, value in values.items()))


def elements(**values: object) -> bytes:
    """A packet as Parrot and Skydio write it, every property an element of its own."""
    return packet("".join(f"<{_name(key)}>{value}</{_name(key)}>" for key, value in values.items()))


def _name(key: str) -> str:
    prefix, _, name = key.rpartition("_")
    return f"{prefix.replace('_', '-')}:{name}"


def photo(
    pixels: np.ndarray | None = None,
    xmp: bytes = b"",
    *,
    film_mm: int | None = None,
    zoom: float | None = None,
    turned: int | None = None,
    position: Position | None = None,
    altitude_m: float | None = None,
    heading_deg: float | None = None,
    north: str = "T",
) -> bytes:
    """JPEG bytes with these EXIF values and this packet."""
    exif = Image.Exif()
    details, gps = exif.get_ifd(ExifTags.IFD.Exif), exif.get_ifd(ExifTags.IFD.GPSInfo)
    if film_mm is not None:
        details[ExifTags.Base.FocalLengthIn35mmFilm] = film_mm
    if zoom is not None:
        details[ExifTags.Base.DigitalZoomRatio] = zoom
    if turned is not None:
        exif[ExifTags.Base.Orientation] = turned
    if position is not None:
        gps[ExifTags.GPS.GPSLatitudeRef], gps[ExifTags.GPS.GPSLongitudeRef] = "N", "E"
        gps[ExifTags.GPS.GPSLatitude] = (position.lat, 0.0, 0.0)
        gps[ExifTags.GPS.GPSLongitude] = (position.lon, 0.0, 0.0)
    if altitude_m is not None:
        gps[ExifTags.GPS.GPSAltitude] = altitude_m
    if heading_deg is not None:
        gps[ExifTags.GPS.GPSImgDirectionRef], gps[ExifTags.GPS.GPSImgDirection] = north, heading_deg
    out = io.BytesIO()
    shown = np.full((60, 80, 3), 90, dtype=np.uint8) if pixels is None else pixels
    Image.fromarray(shown).save(out, "JPEG", quality=95, exif=exif, **({"xmp": xmp} if xmp else {}))
    return out.getvalue()
