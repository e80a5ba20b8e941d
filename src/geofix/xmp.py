"""XMP packets: the properties that a photo's maker wrote into it, by name (ISO 16684-1).

A packet is somebody else's XML. It is read by expat with nothing to expand: XMP has no document type, so a packet with
one is refused before any entity of it exists, and nothing outside the packet is ever looked at.
"""

from __future__ import annotations

from xml.parsers import expat

from geofix.errors import DataError

MOST_BYTES = 1_000_000  # a JPEG has room for 65 502; editors write histories of some hundred thousand into others
MOST_DEPTH = 40
MOST_PROPERTIES = 10_000
_RDF = frozenset({"x:xmpmeta", "x:xapmeta", "rdf:RDF", "rdf:Description"})  # around properties, none themselves
# What makers call their namespaces, whatever prefix a packet gives them.
_PREFIXES = {
    "adobe:ns:meta": "x",
    "http://www.w3.org/1999/02/22-rdf-syntax-ns#": "rdf",
    "http://www.dji.com/drone-dji/1.0": "drone-dji",
    "http://www.parrot.com/drone-parrot/1.0": "drone-parrot",
    "https://www.skydio.com/drone-skydio/1.0": "drone-skydio",
    "http://pix4d.com/camera/1.0": "Camera",
    "http://ns.sensefly.com/Camera/1.0": "Camera",
    "http://ns.adobe.com/exif/1.0": "exif",
}


def properties(packet: bytes) -> dict[str, str]:
    """The text of each property: "drone-dji:RelativeAltitude", and "a:Structure/a:Part" for those of a structure.

    A property that is there twice has its first value. Raises DataError, with what is wrong, for a packet that is
    damaged, larger than MOST_BYTES, or no XMP.
    """
    packet = packet.strip(b"\x00 \r\n\t")
    if len(packet) > MOST_BYTES:
        raise DataError(f"it has {len(packet)} bytes, more than {MOST_BYTES}")
    reader = _Reader()
    try:
        reader.parser.Parse(packet, True)
    except (expat.ExpatError, ValueError, LookupError) as error:  # the latter two for encodings that are none
        raise DataError(f"it is damaged ({error})") from error
    return reader.found


class _Reader:
    """Follows a packet from element to element and keeps the properties on the way."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._path: list[str] = []
        self._texts: list[str] = []
        self._prefixes: dict[str, str] = {}
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = _refuse
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        for key, value in attributes.items():
            if key.startswith("xmlns:") and (known := _PREFIXES.get(value.rstrip("/"))):
                self._prefixes[key[6:]] = known
        self._path.append(self._named(name))
        self._texts.append("")
        if len(self._path) > MOST_DEPTH:
            raise DataError(f"its elements are nested more than {MOST_DEPTH} deep")
        for key, value in attributes.items():
            if not key.startswith("xmlns"):
                self._keep([*self._path, self._named(key)], value)

    def _text(self, text: str) -> None:
        if self._texts:
            self._texts[-1] += text

    def _end(self, _name: str) -> None:
        self._keep(self._path, self._texts.pop())
        self._path.pop()

    def _named(self, name: str) -> str:
        prefix, colon, local = name.partition(":")
        return f"{self._prefixes.get(prefix, prefix)}:{local}" if colon else name

    def _keep(self, path: list[str], text: str) -> None:
        parts = [part for part in path if part not in _RDF]
        if not parts or not text.strip():
            return
        self.found.setdefault("/".join(parts), text.strip())
        if len(self.found) > MOST_PROPERTIES:
            raise DataError(f"it has more than {MOST_PROPERTIES} properties")


def _refuse(*_declaration: object) -> None:
    raise DataError("it declares a document type, which XMP never does")
