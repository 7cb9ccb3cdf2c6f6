"""People of the synthetic world: a head, its skin, hair and clothes, all drawn from one seed.

A `Casting` knows where people come from: the analytic head needs no files; the ICT head needs its face model
and a library of textures (`headgen synth textures`). A name and the casting's seed decide everything about a
person, whatever was made before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from headgen.errors import InputError
from headgen.synth.appearance.anatomy import Anatomy
from headgen.synth.appearance.clothing import GARMENTS, clothing
from headgen.synth.appearance.facial_hair import BEARDS, beard
from headgen.synth.appearance.glasses import FRAMES, glasses
from headgen.synth.appearance.hair import hair, sample_style
from headgen.synth.appearance.makehuman import BaseHead, Part, parts
from headgen.synth.appearance.occluders import Situation, occluder
from headgen.synth.appearance.register import part_hair
from headgen.synth.appearance.strands import HairColour
from headgen.synth.appearance.torso import Torso
from headgen.synth.dataset.records import number
from headgen.synth.heads.assets import find_assets, find_ict
from headgen.synth.heads.model import HeadModel, Surface

ModelName = Literal["analytic", "ict"]

GLASSES_SHARE, SUNGLASSES_SHARE = 0.22, 0.04  # of people, of glasses
BEARD_SHARE = 0.3  # of men, on top of what their skin shows
DYED_SHARE = 0.06  # of people, whose hair has nothing to do with their brows
BROWS_PALE = 0.5  # skin between the hairs makes brows of textures lighter than hair, in log units
PARTS_SHARE = 0.5  # of hair that is MakeHuman's, if there is any
UNUSUAL = 0.1  # how often something unusual for the sex is allowed
UNUSUAL_HAIR: dict[str, tuple[str, ...]] = {
    "female": ("bald", "stubble", "buzz", "horseshoe", "receding", "crop", "short01", "short02", "short03"),
    "male": (
        "bob",
        "bob with fringe",
        "long",
        "long waves",
        "long curls",
        "shoulder length",
        "bun",
        "ponytail",
        "bob02",
        "braid01",
        "long01",
        "ponytail01",
    ),
}
UNUSUAL_CLOTHES: dict[str, tuple[str, ...]] = {"female": (), "male": ("blouse",)}
LUMA = np.array([0.2126, 0.7152, 0.0722])


@dataclass(frozen=True)
class Character:
    """One person.

    Attributes:
        name: of the person in the data set.
        model: the head model.
        neutral: (V, 3) float32 neutral vertices.
        surfaces: everything to draw.
        sex: ``female`` or ``male``: of the voice that suits the face.
        hair: its colour.
        skin: (3,) sRGB from 0 to 255, the usual colour of the face.
    """

    name: str
    model: HeadModel
    neutral: np.ndarray
    surfaces: tuple[Surface, ...]
    sex: str
    hair: HairColour
    skin: np.ndarray

    def behind(self, kind: str, frames: int, fps: float, rng: np.random.Generator) -> list[Surface]:
        """Surfaces of something that passes before the face, or covers a part of it, for some frames.

        Args:
            kind: one of `headgen.synth.appearance.occluders.OCCLUDERS`.
            frames: T.
            fps: frames per second.
            rng: source of chance.
        """
        anatomy = Anatomy.of(self.neutral, self.model.topology)
        situation = Situation(anatomy, self.model.topology, frames, rng, self.skin, self.hair, fps)
        return occluder(kind, situation)


class Casting:
    """Draws people.

    Args:
        model: ``analytic`` or ``ict``.
        assets: folder with ``ict_facekit`` (see `headgen.synth.heads.assets`); only for ``ict``.
        textures: texture library; only for ``ict``.
        seed: of the data set.

    Raises:
        InputError: files are missing.
    """

    def __init__(
        self,
        model: ModelName = "analytic",
        assets: Path | None = None,
        textures: Path | None = None,
        seed: int = 0,
    ) -> None:
        self.seed = seed
        self.kind = model
        self.model: HeadModel
        if model == "analytic":
            from headgen.synth.heads.analytic import AnalyticModel

            self.model = AnalyticModel()
        elif model == "ict":
            from headgen.synth.appearance.library import Library
            from headgen.synth.appearance.texture import SkinLayout
            from headgen.synth.heads.ict_model import IctModel
            from headgen.synth.ict import IctHead

            file = find_ict(assets)
            if textures is None:
                raise InputError(
                    "the ict head needs skin: make a library of textures with `headgen synth textures "
                    "--portraits FOLDER --output LIBRARY` and give it with --textures LIBRARY"
                )
            self.model = IctModel.load(file)
            self.library = Library(textures)
            self.layout = SkinLayout.of_ict(IctHead.load(file), file)
        else:
            raise InputError(f"model={model!r} is unknown; choose from analytic, ict")
        self.wardrobe = Wardrobe.of(find_assets(assets))
        self._cached = lru_cache(4)(self._draw)

    def __call__(self, name: str) -> Character:
        """The person of that name."""
        return self._cached(name)

    def _draw(self, name: str) -> Character:
        rng = np.random.default_rng([self.seed, number(f"person {name}")])
        bare, worn = rng.spawn(2)
        if self.kind == "analytic":
            from headgen.synth.heads.analytic import AnalyticModel
            from headgen.synth.heads.analytic_looks import analytic_surfaces, draw_skin_tone

            assert isinstance(self.model, AnalyticModel)
            neutral = self.model.neutral(bare.normal(0, 1, self.model.identities).clip(-2, 2))
            sex = str(bare.choice(["female", "male"]))
            tone = draw_skin_tone(bare)
            if sex == "female":
                tone = replace(tone, stubble=0.0)
            surfaces = analytic_surfaces(self.model, neutral, bare, tone)
            brow = np.array(tone.hair)
        else:
            from headgen.synth.appearance.looks import head_surfaces
            from headgen.synth.appearance.mixing import draw_identity

            person = draw_identity(self.library, self.layout, bare)
            neutral = self.model.neutral(person.coefficients)
            sex, brow = "female" if person.feminine else "male", person.brow
            surfaces = head_surfaces(
                self.model,
                neutral,
                person.albedo,
                bare,
                person.lightness,
                lashes=1.1 if person.feminine else 1.0,
            )
        texture = next(surface.texture for surface in surfaces if surface.material == "skin")
        skin = np.median(texture[::8, ::8, :3].reshape(-1, 3), axis=0)
        colour = hair_colour(worn, brow)
        surfaces = [*surfaces, *dress(self.model, neutral, sex, worn, self.wardrobe, colour)]
        return Character(name, self.model, neutral, tuple(surfaces), sex, colour, skin)


@dataclass(frozen=True)
class Wardrobe:
    """What people wear.

    Attributes:
        base: body that MakeHuman's hair is made for; None without its files.
        parts: MakeHuman's hair.
    """

    base: BaseHead | None = None
    parts: tuple[Part, ...] = ()

    @classmethod
    def of(cls, assets: Path | None) -> Wardrobe:
        """What an assets folder adds to what needs no files; nothing if there is none."""
        folder = None if assets is None else assets / "makehuman"
        if folder is None or not (folder / "parts" / "hair").is_dir():
            return cls()
        base = BaseHead.load(folder)
        return cls(base, tuple(Part.load(folder / "parts" / "hair" / name, base) for name in parts(folder)))


def dress(
    model: HeadModel,
    neutral: np.ndarray,
    sex: str,
    rng: np.random.Generator,
    wardrobe: Wardrobe,
    colour: HairColour,
) -> list[Surface]:
    """Hair, glasses, beard and clothes of one person.

    Args:
        model: the head model.
        neutral: (V, 3) of the person.
        sex: ``female`` or ``male``; decides what is usual, not what there is.
        rng: source of chance.
        wardrobe: what there is beside what needs no files.
        colour: of hair and beard.
    """
    cut, faced, clothed = rng.spawn(3)
    anatomy = Anatomy.of(neutral, model.topology)
    build = clothed.uniform(0.92, 1.02) if sex == "female" else clothed.uniform(1.0, 1.12)
    torso = Torso.of(anatomy, build=float(build))
    surfaces = _hair(anatomy, torso, sex, colour, wardrobe, cut)
    if sex == "male" and faced.random() < BEARD_SHARE:
        style = str(faced.choice(list(BEARDS)))
        surfaces += beard(
            anatomy, model.topology, style, colour, faced, length=float(faced.uniform(0.7, 1.2))
        )
    if faced.random() < GLASSES_SHARE:
        kinds = [kind for kind in FRAMES if kind != "sun glasses"]
        kind = "sun glasses" if faced.random() < SUNGLASSES_SHARE else str(faced.choice(kinds))
        surfaces += glasses(anatomy, kind, faced, size=float(faced.uniform(0.92, 1.1)))
    garments = [g for g in GARMENTS if g not in UNUSUAL_CLOTHES[sex] or clothed.random() < UNUSUAL]
    return surfaces + clothing(anatomy, str(clothed.choice(garments)), clothed, torso)


def hair_colour(rng: np.random.Generator, brow: np.ndarray) -> HairColour:
    """A colour that goes with brows of linear RGB (3,)."""
    colours = [HairColour.sample(rng) for _ in range(1 if rng.random() < DYED_SHARE else 6)]
    wanted = np.log(float(brow @ LUMA) + 0.01)
    off = [
        abs(np.log((float(np.array(c.middle) @ LUMA) / 255) ** 2.2 + 0.01) - wanted + BROWS_PALE)
        for c in colours
    ]
    return colours[int(np.argmin(off))]


def _hair(
    anatomy: Anatomy, torso: Torso, sex: str, colour: HairColour, wardrobe: Wardrobe, rng: np.random.Generator
) -> list[Surface]:
    """Hair that is usual for the sex, mostly: made by ourselves or one of MakeHuman's."""
    length, volume = float(rng.uniform(0.85, 1.2)), float(rng.uniform(0.8, 1.25))
    flip, body = bool(rng.random() < 0.5), torso.as_skin()
    other = UNUSUAL_HAIR[sex] if rng.random() > UNUSUAL else ()
    if wardrobe.base is not None and rng.random() < PARTS_SHARE:
        fitting = [part for part in wardrobe.parts if part.name not in other]
        if fitting:
            part = fitting[int(rng.integers(len(fitting)))]
            return part_hair(
                wardrobe.base, part, anatomy, colour, rng, length=length, volume=volume, flip=flip, body=body
            )
    style = sample_style(rng)
    while style in other:
        style = sample_style(rng)
    return hair(anatomy, style, colour, rng, length=length, volume=volume, flip=flip, body=body)
