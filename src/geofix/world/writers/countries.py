"""Small regions of invented countries in four scene kinds: class folders with a geotagged table beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from geofix.errors import UsageError
from geofix.files import keep, whole_folder
from geofix.positions import Position
from geofix.world.conditions import DAY, Conditions
from geofix.world.geometry.regions import SCENES
from geofix.world.geometry.town import Town, build_region, check_seed
from geofix.world.renderer.street import Camera, render
from geofix.world.styles import COUNTRIES
from geofix.world.writers.jpegs import tagged_jpeg
from geofix.world.writers.shots import camera_at, check_size
from geofix.world.writers.tables import Row, write_table

TABLE = "photos.csv"
SPLITS = ("train", "val", "test")
_FIRST_DAY = datetime(2024, 2, 1)


@dataclass(frozen=True)
class CountriesSummary:
    """What was written: folder, regions, photos by split, by country and by scene."""

    root: Path
    regions: int
    by_split: dict[str, int]
    by_country: dict[str, int]
    by_scene: dict[str, int]

    @property
    def photos(self) -> int:
        """Every photo written."""
        return sum(self.by_split.values())


@dataclass(frozen=True)
class Region:
    """A region to be photographed: where, what, its split, and the seed of everything in it."""

    number: int
    code: str
    scene: str
    split: str


@dataclass(frozen=True)
class _Shot:
    region: Region
    camera: Camera
    position: Position
    heading_deg: float
    conditions: Conditions
    taken: datetime
    number: int
    seed: int

    @property
    def path(self) -> str:
        """Relative to the dataset, the way a class folder is laid out."""
        return f"{self.region.split}/{self.region.code}/{self.region.scene}{self.region.number:05d}_{self.number}.jpg"


def write_countries(
    out: Path,
    *,
    regions: int = 96,
    photos: int = 4,
    seed: int = 0,
    countries: int = 6,
    conditions: Conditions = DAY,
    size: tuple[int, int] = (240, 320),
    progress: Callable[[int, int], None] | None = None,
) -> CountriesSummary:
    """Photograph `regions` small regions, `photos` in each, of `countries` invented countries in four scene kinds.

    Writes `<split>/<country>/*.jpg` and `photos.csv` in the columns of the Im2GPS3k tables with scene, country,
    split and the region as author. Whole regions go to train, val or test (about 70, 10 and 20 %), so that no
    street is on both sides. Night, season and haze differ from photo to photo around `conditions`. Countries
    borrow the codes and middles of real ones, not their looks. The folder appears only when it is whole. The same
    arguments give the same bytes. Raises UsageError or StorageError.
    """
    planned = list(plan_regions(regions, countries, seed))
    if photos < 1:
        raise UsageError(f"{photos} photos of every region were asked for; at least 1 is needed.")
    check_size(size)
    progress = progress or (lambda _done, _total: None)
    shots: list[_Shot] = []
    rows: list[Row] = []
    order = {"kind": "countries", "regions": regions, "photos": photos, "seed": seed, "countries": countries}
    with whole_folder(out, order | {"conditions": conditions, "size": size}) as partial:
        for region in planned:
            town = build_region(region.scene, region.code, _seed(seed, region.number), photos)
            for shot in _shots(region, town, conditions, size):
                rows.append(_write(partial, town, shot))
                shots.append(shot)
                progress(len(shots), photos * regions)
        write_table(partial / TABLE, rows)
    return _summary(out, regions, shots)


def plan_regions(regions: int, countries: int, seed: int) -> Iterator[Region]:
    """Regions in turn over countries and scenes, each dealt to a split by chance. Raises UsageError."""
    if regions < 1:
        raise UsageError(f"A world of {regions} regions cannot be rendered; ask for at least 1 with --places.")
    check_seed(seed)
    if not 2 <= countries <= len(COUNTRIES):
        raise UsageError(f"{countries} countries were asked for; 2 to {len(COUNTRIES)} can be rendered.")
    rng = np.random.default_rng([seed, 50])
    for number in range(regions):
        country, scene = COUNTRIES[number % countries], SCENES[number // countries % len(SCENES)]
        yield Region(number, country.code, scene, str(rng.choice(SPLITS, p=[0.7, 0.1, 0.2])))


def _shots(region: Region, town: Town, conditions: Conditions, size: tuple[int, int]) -> Iterator[_Shot]:
    rng = np.random.default_rng([town.seed, 51])
    for number, (point, bearing) in enumerate(zip(town.spots.points, town.spots.bearing_deg, strict=True)):
        heading = float(bearing) + float(rng.choice([0, 180])) + float(rng.uniform(-75, 75))
        camera = camera_at(
            float(point[0]),
            float(point[1]),
            heading,
            size,
            height_m=round(float(rng.uniform(1.5, 2.4)), 1),
            pitch_deg=float(rng.integers(2, 8)),
            hfov_deg=float(rng.uniform(60, 84)),
        )
        position = town.positions(np.array([point]))[0]
        yield _Shot(
            region=region,
            camera=camera,
            position=position,
            heading_deg=town.true_heading_deg(position, camera.heading_deg),
            conditions=_varied(conditions, rng),
            taken=_FIRST_DAY + timedelta(days=int(rng.integers(330)), hours=int(rng.integers(9, 17))),
            number=number,
            seed=int(rng.integers(2**31)),
        )


def _varied(conditions: Conditions, rng: np.random.Generator) -> Conditions:
    """What a collection of many people's photos has: mostly fair days, some dusk, haze and every season."""
    dusk = float(rng.uniform(0.2, 0.9)) if rng.random() < 0.12 else 0.0
    return replace(
        conditions,
        night=max(conditions.night, dusk),
        fog=max(conditions.fog, float(rng.beta(0.5, 4.0))),
        season=max(conditions.season, float(rng.beta(0.5, 1.2))),
    )


def _write(folder: Path, town: Town, shot: _Shot) -> Row:
    """Render a photo and put it where it belongs; returns its row of the table."""

    def taken() -> bytes:
        pixels = render(town, shot.camera, shot.conditions, shot.seed)
        return tagged_jpeg(pixels, shot.conditions, shot.position, shot.heading_deg, shot.taken)

    keep(folder, [shot.path], taken)
    region = shot.region
    return {
        "IMG_ID": shot.path,
        "AUTHOR": f"region{region.number:05d}",
        "LAT": f"{shot.position.lat:.6f}",
        "LON": f"{shot.position.lon:.6f}",
        "scene": region.scene,
        "country": region.code,
        "split": region.split,
        "heading": f"{shot.heading_deg:.1f}",
        "time": shot.taken.isoformat(),
    }


def _seed(seed: int, region: int) -> int:
    return int(np.random.SeedSequence([seed, 52, region]).generate_state(1)[0])


def _summary(out: Path, regions: int, shots: Sequence[_Shot]) -> CountriesSummary:
    return CountriesSummary(
        out,
        regions,
        dict(Counter(shot.region.split for shot in shots)),
        dict(Counter(shot.region.code for shot in shots)),
        dict(Counter(shot.region.scene for shot in shots)),
    )
