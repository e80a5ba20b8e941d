"""The augmentations of the two place-recognition papers, by name: as the papers describe them, and as coded. And ours.

"Coded" is what their programs did. Sources: atadjanov is Atadjanov, Frigiola, Scoleri, "Deep Learning Techniques for
Visual Place Recognition"; martin is Martin Garre, Arias Gonzales, Farmanli, "Image Retrieval Visual Geolocalization".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from geofix.augment.steps import (
    Adjust,
    ByNight,
    CentreCrop,
    Erase,
    Jitter,
    NormaliseAgain,
    Perspective,
    Range,
    Solarize,
    Step,
    Together,
)
from geofix.recipes import AugmentAs, Recipe

WHITE = 255.0


@dataclass(frozen=True, slots=True)
class Form:
    """One way to do an augmentation: steps on pixels 0..255, then steps on the normalised photos.

    What a `slow` one does is measured on fewer draws.
    """

    on_pixels: tuple[Step, ...]
    on_normalised: tuple[Step, ...] = ()
    slow: bool = False


@dataclass(frozen=True, slots=True)
class Promise:
    """What name and paper say that an augmentation does, as far as it can be measured.

    `probability` that a photo is changed at all; `varies`: every photo is changed in its own way; `darker`: photos
    become darker; `fill`: the level of what a photo no longer covers; `loses`: the share of a photo that is cut off.
    """

    probability: float = 1.0
    varies: bool = True
    darker: bool = False
    fill: float | None = None
    loses: float = 0.0


@dataclass(frozen=True, slots=True)
class Augmentation:
    """A named change to queries: where it is described, what it promises, and the two forms."""

    name: str
    source: str
    promise: Promise
    described: Form
    coded: Form

    @property
    def differs(self) -> bool:
        """Whether the program did something else than the paper says."""
        return self.described != self.coded

    def form(self, done_as: AugmentAs) -> Form:
        """The form of that name."""
        return self.described if done_as == "described" else self.coded


def _as_described(name: str, source: str, promise: Promise, form: Form) -> Augmentation:
    return Augmentation(name, source, promise, form, form)


def _night() -> Augmentation:
    """Solarize at .25, brightness .55. The program gave the .25 to PIL, whose levels are 0..255."""
    darker = Adjust(brightness=(0.55, 0.55))
    return Augmentation(
        "night",
        "atadjanov IV-A, Table I",
        Promise(varies=False, darker=True),
        described=Form((Solarize(0.25 * 255), darker)),
        coded=Form((Solarize(0.25), darker)),
    )


def _simple_night() -> Augmentation:
    """Ours, to compare the papers' night and translated nights with."""
    promise = Promise(darker=True)
    return _as_described("simple-night", "geofix's own, of no paper", promise, Form((ByNight(),), slow=True))


def _perspective_fill() -> Augmentation:
    """The paper fills with "one", meaning white; on the program's photos one is the darkest grey but black."""
    described = Perspective(0.5, 0.7, fill=WHITE)
    return Augmentation(
        "perspective-fill",
        "atadjanov IV-B 1, Table III",
        Promise(probability=0.7, fill=WHITE),
        described=Form((described,)),
        coded=Form((replace(described, fill=1.0),)),
    )


def _perspective_crop() -> Augmentation:
    """The crop is there to remove the padding of the perspective; the program also cropped where there was none."""
    crop = CentreCrop(300 / 480, 400 / 640)
    return Augmentation(
        "perspective-crop",
        "atadjanov IV-B 2, Table III",
        Promise(probability=0.7, loses=1 - crop.rows * crop.columns),
        described=Form((Together(0.7, (Perspective(0.5, 1.0), crop)),)),
        coded=Form((Perspective(0.5, 0.7), crop)),
    )


def _occlusion() -> Augmentation:
    """Noise on the normalised photo. The program took its probability from perspective_prob, .7 as well."""
    erase = Erase(0.7, scale=(0.05, 0.08), ratio=(0.3, 5.3), value="random")
    return _as_described(
        "occlusion", "atadjanov IV-B 3, Table III", Promise(probability=0.7), Form((), on_normalised=(erase,))
    )


def _martin_colours() -> tuple[Augmentation, ...]:
    """M1 to M6. The programs of M2 and M3 are lost: what was drawn where is read off their headings and M1's program.

    M3 is two trained models: the strengths were drawn outside of the loop over queries (once), or inside of it.
    """
    evenly = (0.0, 1.0)
    first = Jitter((1.0, 1.0), (1.0, 1.0), (2.0, 2.0), (0.0, 0.0))
    second, third = (Jitter(one, one, one, (0.0, 0.5)) for one in ((0.2, 3.0), evenly))
    sixth = Adjust(evenly, evenly, evenly, (0.0, 0.5))
    return (
        _martin_colour("1", first, replace(first, apart=True)),
        _martin_colour("2", second, replace(second, apart=True, once=True)),
        _martin_colour("3", third, replace(third, apart=True, once=True)),
        _martin_colour("3-inside", third, replace(third, apart=True)),
        _martin_darker("4", (0.25, 0.25)),
        _martin_darker("5", (0.5, 0.5)),
        _martin_colour("6", sixth, replace(sixth, once=True)),
    )


def _martin_colour(number: str, described: Step, coded: Step) -> Augmentation:
    source = f"martin IV-A, M{number[0]}, Table VI"
    return Augmentation(f"martin-colour-{number}", source, Promise(), Form((described,)), Form((coded,)))


def _martin_darker(number: str, brightness: Range) -> Augmentation:
    source = f"martin IV-A, M{number}, Table VI"
    promise = Promise(varies=False, darker=True)
    return _as_described(f"martin-colour-{number}", source, promise, Form((Adjust(brightness),)))


def _martin_perspectives() -> tuple[Augmentation, ...]:
    """M1 to M6: probability, distortion, fill, probability of the rectangle; queries were normalised twice.

    The rectangle is black in both: the program put a 0 between the two normalisations.
    """
    table = [(0.33, 0.4, fill, 0.33) for fill in (0.0, 150.0, 300.0)]
    table += [(0.5, 0.2, fill, 0.2) for fill in (0.0, 150.0, 300.0)]
    return tuple(_martin_perspective(number, *row) for number, row in enumerate(table, start=1))


def _martin_perspective(number: int, probability: float, distortion: float, fill: float, erased: float) -> Augmentation:
    perspective, erase = Perspective(distortion, probability, fill), Erase(erased)
    return Augmentation(
        f"martin-perspective-{number}",
        f"martin IV-A, M{number}, Table VII",
        Promise(probability=1 - (1 - probability) * (1 - erased), fill=fill),
        described=Form((perspective, erase)),
        coded=Form((perspective,), on_normalised=(erase, NormaliseAgain())),
    )


AUGMENTATIONS: dict[str, Augmentation] = {
    one.name: one
    for one in (
        _night(),
        _simple_night(),
        *_martin_colours(),
        _perspective_fill(),
        _perspective_crop(),
        *_martin_perspectives(),
        _occlusion(),
    )
}
"""By name, in the order in which they are applied: colour, then perspective, then what hides a part of the photo."""


def chosen(recipe: Recipe) -> tuple[Form, ...]:
    """The forms a recipe asks for, in the order in which they are applied, whatever the order written."""
    return tuple(one.form(recipe.augment_as) for name, one in AUGMENTATIONS.items() if name in recipe.augment)
