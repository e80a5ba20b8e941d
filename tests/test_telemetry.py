"""What photos say of their taking: XMP packets, EXIF, every make's names, and what can be wrong with them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geofix.errors import DataError, PhotoError
from geofix.orientation import Orientation
from geofix.photos import read_metadata
from geofix.positions import Position
from geofix.telemetry import NOTHING, Telemetry, position_in, read_telemetry
from geofix.xmp import MOST_BYTES, MOST_DEPTH, MOST_PROPERTIES, properties
from toy_drones import attributes, elements, packet, photo

HERE = Position(46.5, 7.25)


# --- packets


def test_properties_are_attributes_elements_and_parts_of_structures() -> None:
    inside = (
        "<drone-parrot:CameraYawDegree> 12.5 </drone-parrot:CameraYawDegree>"
        '<drone-skydio:CameraOrientationNED drone-skydio:Yaw="7" drone-skydio:Pitch="-80"/>'
        '<drone-skydio:Other rdf:parseType="Resource"><drone-skydio:X>1</drone-skydio:X></drone-skydio:Other>'
        "<drone-parrot:CameraYawDegree>99</drone-parrot:CameraYawDegree>"
    )
    found = properties(packet(inside, 'drone-dji:GimbalYawDegree="+3.1"') + b"\x00\x00  \n")
    assert found["drone-dji:GimbalYawDegree"] == "+3.1"
    assert found["drone-parrot:CameraYawDegree"] == "12.5"  # the first of two
    assert found["drone-skydio:CameraOrientationNED/drone-skydio:Yaw"] == "7"
    assert found["drone-skydio:Other/drone-skydio:X"] == "1"


def test_a_namespace_counts_and_not_its_prefix() -> None:
    text = packet("").decode().replace("xmlns:drone-dji", "xmlns:dd")
    text = text.replace('rdf:about=""', 'rdf:about="" dd:RelativeAltitude="50"')
    assert properties(text.encode())["drone-dji:RelativeAltitude"] == "50"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is damaged (no element found"),
        (b"<x:xmpmeta><rdf:RDF", "it is damaged (unclosed token"),
        (packet("")[:-60], "it is damaged ("),
        (b"\xff\xfe\x00<", "it is damaged ("),
        (b'<?xml version="1.0" encoding="no-such"?><a/>', "it is damaged ("),
        (b"<a>" + b" " * MOST_BYTES + b"</a>", f"bytes, more than {MOST_BYTES}"),
        (b"<a>" * (MOST_DEPTH + 1), f"nested more than {MOST_DEPTH} deep"),
        (
            b"<a>" + b"".join(b"<b%d>1</b%d>" % (one, one) for one in range(MOST_PROPERTIES + 1)) + b"</a>",
            f"it has more than {MOST_PROPERTIES} properties",
        ),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "it declares a document type, which XMP never does"),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "it declares a document type, which XMP never does"),
    ],
)
def test_packets_that_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(DataError) as error:
        properties(data)
    assert message in str(error.value)


def test_no_entity_is_expanded_and_nothing_fetched(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    for body in (f'<!DOCTYPE a [<!ENTITY b SYSTEM "{secret.as_uri()}">]><a>&b;</a>', "<a>&b;</a>"):
        with pytest.raises(DataError):
            properties(body.encode())


# --- every make


@pytest.mark.parametrize(
    ("xmp", "altitude_m", "angles", "position"),
    [
        (
            attributes(
                drone_dji_AbsoluteAltitude="+560.1",
                drone_dji_RelativeAltitude="+120.30",
                drone_dji_GimbalYawDegree="-114.20",
                drone_dji_GimbalPitchDegree="-85.00",
                drone_dji_GimbalRollDegree="+0.00",
                drone_dji_FlightYawDegree="20",
                drone_dji_GpsLatitude="46.5",
                drone_dji_GpsLongitude="7.25",
            ),
            120.3,
            (-114.2, -85.0, 0.0),
            HERE,
        ),
        (  # an older DJI, or an Autel
            attributes(drone_dji_GpsLatitude="46.5", drone_dji_GpsLongtitude="7.25"),
            None,
            None,
            HERE,
        ),
        (
            attributes(
                drone_RelativeAltitude="80",
                drone_GimbalYawDegree="10",
                drone_GimbalPitchDegree="-90",
                drone_GimbalRollDegree="0",
                drone_GpsLatitude="46.5",
                drone_GpsLongtitude="7.25",
            ),
            80.0,
            (10.0, -90.0, 0.0),
            HERE,
        ),
        (
            elements(
                drone_parrot_CameraYawDegree="12.5",
                drone_parrot_CameraPitchDegree="-78.362686",
                drone_parrot_CameraRollDegree="-0.5",
                drone_parrot_DroneLatitude="46.5",
                drone_parrot_DroneLongitude="7.25",
                Camera_AboveGroundAltitude="4275/100",
                Camera_Pitch="11.6",
                Camera_Yaw="1",
            ),
            42.75,
            (12.5, -78.362686, -0.5),
            HERE,
        ),
        (
            packet(
                "<drone-skydio:Latitude>46.5</drone-skydio:Latitude><drone-skydio:Longitude>7.25</drone-skydio:Longitude>"
                "<drone-skydio:RelativeAltitude>31.5</drone-skydio:RelativeAltitude>"
                '<drone-skydio:CameraOrientationNED rdf:parseType="Resource"><drone-skydio:Roll>0.2</drone-skydio:Roll>'
                "<drone-skydio:Pitch>-84.0</drone-skydio:Pitch><drone-skydio:Yaw>146.5</drone-skydio:Yaw>"
                "</drone-skydio:CameraOrientationNED>"
            ),
            31.5,
            (146.5, -84.0, 0.2),
            HERE,
        ),
        (elements(exif_GPSLatitude="46,30.0N", exif_GPSLongitude="7,15,0E"), None, None, HERE),
        (elements(exif_GPSLatitude="46,30.0S", exif_GPSLongitude="7,15.0W"), None, None, Position(-46.5, -7.25)),
        # Pix4D counts from straight down; some cameras write -90 for that under its name.
        (elements(Camera_Yaw="30", Camera_Pitch="10", Camera_Roll="0"), None, (30.0, -80.0, 0.0), None),
        (elements(Camera_Yaw="30", Camera_Pitch="-89", Camera_Roll="0"), None, (30.0, -89.0, 0.0), None),
    ],
)
def test_what_makers_write(
    xmp: bytes, altitude_m: float | None, angles: tuple[float, float, float] | None, position: Position | None
) -> None:
    said = read_telemetry(photo(xmp=xmp))
    assert said.altitude_m == altitude_m and said.position == position
    found = said.orientation and (said.orientation.yaw_deg, said.orientation.pitch_deg, said.orientation.roll_deg)
    assert found == (None if angles is None else pytest.approx(angles))
    assert set(said.reasons) == {
        key for key in ("position", "altitude_m", "fov_deg", "heading_deg", "orientation") if getattr(said, key) is None
    }
    assert not said.magnetic


def test_exif_alone() -> None:
    said = read_telemetry(photo(position=HERE, heading_deg=123.5, film_mm=24, altitude_m=560.0))
    assert said.position is not None and said.position.metres_to(HERE) < 0.1
    assert said.heading_deg == 123.5 and said.orientation is None and not said.magnetic
    # 24 mm: the diagonal of 80 x 60 pixels is that of film, 43.27 mm, of which the rows are four fifths.
    assert said.fov_deg == pytest.approx(2 * math.degrees(math.atan(43.2666 * 0.8 / 2 / 24)), abs=1e-3)
    assert said.altitude_m is None
    assert (
        said.reasons["altitude_m"] == "it carries one above the sea only, which does not say how high above the ground"
    )
    assert read_telemetry(photo(heading_deg=10.0, north="M")).magnetic
    plain = read_telemetry(photo())
    assert plain == Telemetry(reasons=dict.fromkeys(plain.reasons, NOTHING)) and len(plain.reasons) == 5


def test_the_heading_comes_from_the_gimbal_before_the_drone_and_exif() -> None:
    gimbal = attributes(drone_dji_GimbalYawDegree="-30", drone_dji_FlightYawDegree="50")
    assert read_telemetry(photo(xmp=gimbal, heading_deg=70.0)).heading_deg == 330
    drone = attributes(drone_dji_FlightYawDegree="50")
    assert read_telemetry(photo(xmp=drone, heading_deg=70.0)).heading_deg == 50
    absurd = attributes(drone_dji_GimbalYawDegree="nan", drone_dji_FlightYawDegree="1e9")
    assert read_telemetry(photo(xmp=absurd, heading_deg=70.0, north="M")).magnetic


@pytest.mark.parametrize(
    ("name", "value", "key", "reason"),
    [
        ("RelativeAltitude", "-12", "altitude_m", "drone-dji:RelativeAltitude is '-12'; 1 to 10000 m above the ground"),
        ("RelativeAltitude", "high", "altitude_m", "drone-dji:RelativeAltitude is 'high'; 1 to 10000 m above"),
        ("RelativeAltitude", "1/0", "altitude_m", "drone-dji:RelativeAltitude is '1/0'; 1 to 10000 m above"),
        ("RelativeAltitude", "inf", "altitude_m", "drone-dji:RelativeAltitude is 'inf'; 1 to 10000 m above"),
        ("AbsoluteAltitude", "300", "altitude_m", "it carries one above the sea only"),
        ("GimbalPitchDegree", "down", "orientation", "cannot be used: '10', 'down', '0' are no numbers"),
        ("GimbalPitchDegree", "-900", "orientation", "cannot be used: pitch -900 is no angle; -360 to 360 degrees"),
        ("GpsLatitude", "north", "position", "the XMP position cannot be used: 'north', '7.25' are no degrees"),
        ("GpsLatitude", "99", "position", "the XMP position cannot be used: Latitude 99.0 is outside -90..90"),
    ],
)
def test_values_that_cannot_be_meant(name: str, value: str, key: str, reason: str) -> None:
    values = {"GimbalYawDegree": "10", "GpsLongitude": "7.25", name: value}
    said = read_telemetry(photo(xmp=attributes(**{f"drone_dji_{one}": text for one, text in values.items()})))
    assert getattr(said, key) is None and reason in said.reasons[key]


def test_zeros_that_mean_unknown() -> None:
    zeros = dict.fromkeys(("GimbalYawDegree", "GimbalPitchDegree", "GimbalRollDegree"), "0.0")
    zeros |= {"GpsLatitude": "0", "GpsLongitude": "0.000"}
    said = read_telemetry(photo(xmp=attributes(**{f"drone_dji_{one}": text for one, text in zeros.items()}), film_mm=0))
    assert said.orientation is said.heading_deg is said.position is said.fov_deg is None
    assert "they are 0, 0 and 0, which drones write when they do not know" in said.reasons["orientation"]
    assert "it is 0, 0, which drones write when they have no fix" in said.reasons["position"]
    assert said.reasons["fov_deg"] == NOTHING


@pytest.mark.parametrize(
    ("film_mm", "zoom", "reason"),
    [
        (1, None, "a focal length of 1 mm cannot be; 4 to 3000 mm can"),
        (60000, None, "a focal length of 60000 mm cannot be; 4 to 3000 mm can"),
        (24, 2.0, "a digital zoom of 2 leaves its field of view open"),
    ],
)
def test_lenses_that_say_nothing(film_mm: int, zoom: float | None, reason: str) -> None:
    said = read_telemetry(photo(film_mm=film_mm, zoom=zoom))
    assert said.fov_deg is None and said.reasons["fov_deg"] == reason
    assert read_telemetry(photo(film_mm=24, zoom=1.0)).fov_deg is not None


def test_a_picture_that_is_turned_has_no_angles() -> None:
    xmp = attributes(drone_dji_GimbalYawDegree="10", drone_dji_GimbalPitchDegree="-90")
    said = read_telemetry(photo(xmp=xmp, turned=6, film_mm=24))
    assert said.orientation is said.heading_deg is None
    assert said.reasons["heading_deg"].startswith("its picture is turned (EXIF orientation 6)")
    # 80 columns stand upright, so the rows are three fifths of the diagonal.
    assert said.fov_deg == pytest.approx(2 * math.degrees(math.atan(43.2666 * 0.6 / 2 / 24)), abs=1e-3)


def test_a_camera_that_looks_at_the_sky_has_no_heading() -> None:
    said = read_telemetry(photo(xmp=attributes(drone_dji_GimbalYawDegree="10", drone_dji_GimbalPitchDegree="30")))
    assert said.orientation is not None and said.orientation.tilt_deg == pytest.approx(120) and said.heading_deg is None


def test_damaged_packets_cost_what_they_held_and_no_more() -> None:
    whole = attributes(drone_dji_RelativeAltitude="100")
    said = read_telemetry(photo(xmp=whole[:-80], position=HERE, film_mm=24, heading_deg=5.0))
    assert said.position is not None and said.fov_deg is not None and said.heading_deg == 5
    assert said.altitude_m is None and said.reasons["altitude_m"].startswith("its XMP cannot be used: it is damaged")


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_packets_in_other_files(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"photo.{kind.lower()}"
    xmp = attributes(drone_dji_RelativeAltitude="100")
    image = Image.new("RGB", (40, 30))
    if kind == "PNG":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", xmp.decode())
        image.save(path, pnginfo=info)
    elif kind == "TIFF":
        image.save(path, tiffinfo={700: xmp})
    else:
        image.save(path, xmp=xmp)
    assert read_telemetry(path).altitude_m == 100
    assert read_metadata(path).rows == 30


def test_files_that_are_no_photo(tmp_path: Path) -> None:
    path = tmp_path / "no.jpg"
    path.write_bytes(b"no photo")
    for read in (read_telemetry, position_in, read_metadata):
        with pytest.raises(PhotoError, match=r"no.jpg is no image that can be read"):
            read(path)


# --- a position or none, in a sentence


def test_whether_a_photo_carries_a_position(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(photo(position=HERE))
    assert position_in(path).sentence == f"{path} carries a position in EXIF: 46.50000, 7.25000."
    xmp = attributes(drone_dji_GpsLatitude="46.5", drone_dji_GpsLongtitude="7.25")
    carried = position_in(photo(xmp=xmp), "b.jpg")
    assert carried.position == HERE
    assert carried.sentence == "b.jpg carries a position in XMP: 46.50000, 7.25000."
    none = position_in(photo(), "c.jpg")
    assert none.position is None and none.sentence == "c.jpg carries no position in EXIF or XMP."
    bad = position_in(photo(xmp=attributes(drone_dji_GpsLatitude="0", drone_dji_GpsLongitude="0")), "d.jpg")
    assert bad.sentence == (
        "d.jpg carries no position that can be used: the XMP position cannot be used: it is 0, 0, which drones write "
        "when they have no fix."
    )
    assert "its XMP cannot be used: it is damaged" in position_in(photo(xmp=b"<a"), "e.jpg").sentence


# --- how a camera was turned


@pytest.mark.parametrize("yaw", [0.0, 35.0, 90.0, 200.0, 300.0])
def test_straight_down_the_upper_edge_points_where_the_gimbal_does(yaw: float) -> None:
    down = Orientation(yaw, -90.0)
    assert down.tilt_deg == pytest.approx(0, abs=1e-6) and down.heading_deg == pytest.approx(yaw)
    assert down.middle_m(100.0) == pytest.approx((0, 0), abs=1e-9)
    # A gimbal that rolled over has its upper edge behind.
    assert Orientation(yaw, -90.0, 180.0).heading_deg == pytest.approx((yaw + 180) % 360)


def test_the_ground_in_the_middle_by_hand() -> None:
    # 10 degrees forward at 100 m are tan(10) * 100 = 17.63 m; to the east where it looked east.
    assert Orientation(90.0, -80.0).middle_m(100.0) == pytest.approx((0, 17.633), abs=1e-3)
    assert Orientation(180.0, -80.0).middle_m(50.0) == pytest.approx((-8.816, 0), abs=1e-3)
    # Past straight down it looks backwards, upper edge still ahead.
    back = Orientation(0.0, -100.0)
    assert back.middle_m(100.0) == pytest.approx((-17.633, 0), abs=1e-3) and back.heading_deg == pytest.approx(0)
    assert back.tilt_deg == pytest.approx(10)


@pytest.mark.parametrize("angles", [(20.0, 0.0, 0.0), (20.0, 12.0, 0.0), (250.0, 0.0, 9.0), (140.0, -7.0, 5.0)])
def test_angles_from_straight_down_against_the_axes(angles: tuple[float, float, float]) -> None:
    carrier = Orientation(*angles)  # the same matrix: a camera in the carrier's belly looks along its down
    camera = Orientation.from_downwards(*angles)
    forward, right, down = carrier.axes.T
    assert camera.axes == pytest.approx(np.stack([down, right, -forward], axis=1), abs=1e-9)
    assert camera.tilt_deg == pytest.approx(math.degrees(math.acos(down[2])), abs=1e-6)


def test_no_ground_and_no_angles() -> None:
    up = Orientation(0.0, 10.0)
    for ask in (lambda: up.heading_deg, lambda: up.middle_m(10.0)):
        with pytest.raises(DataError, match="its camera does not look at the ground"):
            ask()
    with pytest.raises(DataError, match="roll nan is no angle; -360 to 360 degrees are expected"):
        Orientation(0.0, -90.0, float("nan"))
