"""Voices: who speaks, how fast, how high, and how feeling changes it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from headgen.errors import InputError

__all__ = ["AGES", "LANGUAGES", "SEXES", "VARIANTS", "Voice", "random_voice", "voices"]

LANGUAGES = {
    "en-us": "United States",
    "en": "Great Britain",
    "en-gb-x-rp": "Received Pronunciation",
    "en-gb-scotland": "Scotland",
    "en-gb-x-gbclan": "Lancaster",
    "en-gb-x-gbcwmd": "West Midlands",
    "en-us-nyc": "New York City",
    "en-029": "Caribbean",
}
"""Kinds of English that espeak-ng speaks, by its names, and where they are spoken."""

SEXES = ("female", "male")
AGES = ("young", "adult", "old")

VARIANTS: dict[str, tuple[str, tuple[str, ...]]] = {
    **dict.fromkeys(("f2", "f3", "f4", "f5"), ("female", ("young", "adult"))),
    **dict.fromkeys(("Andrea", "Annie", "anika"), ("female", ("young",))),
    **dict.fromkeys(("aunty", "belinda", "linda", "shelby", "steph"), ("female", ("adult",))),
    **dict.fromkeys(("f1", "grandma"), ("female", ("old",))),
    **dict.fromkeys(("m2", "m3", "m5", "m6", "m7"), ("male", ("young", "adult"))),
    **dict.fromkeys(("Diogo", "Henrique", "michel", "victor", "travis"), ("male", ("young",))),
    **dict.fromkeys(("Alex", "Denis", "Michael", "adam", "boris", "edward2", "iven4"), ("male", ("adult",))),
    **dict.fromkeys(("max", "m4", "klatt3", "klatt6"), ("male", ("adult",))),
    **dict.fromkeys(("m1", "m8", "david"), ("male", ("old",))),
}
"""espeak's voice variants that sound like a person (no robots, whispers or overdriven ones), with the sex and
the ages that they pass for."""

SENTIMENTS: dict[str, tuple[float, float, float, float]] = {
    "neutral": (0, 1.0, 1.0, 1.0),
    "happy": (7, 1.4, 1.06, 1.1),
    "sad": (-6, 0.6, 0.87, 0.8),
    "surprised": (12, 1.6, 1.0, 1.1),
}
"""Added to the pitch, and factors of range, rate and volume. Directions after Murray and Arnott 1993.
Our design: their amounts, which must suit espeak's scales."""


@dataclass(frozen=True)
class Voice:
    """A voice of espeak-ng.

    Attributes:
        language: one of `LANGUAGES` (others work where espeak has them, with texts in that language).
        variant: one of `VARIANTS` or another file of espeak's ``voices/!v``; empty for none.
        sex: one of `SEXES`.
        age: one of `AGES`.
        rate: words a minute, 80 to 450.
        pitch: 0 to 99; 50 is the variant's own, and 100 about an octave above it.
        range: of the pitch, 0 (monotonous) to 99; 50 is the variant's own.
        volume: per cent, 0 to 200.
        word_gap: silence between words, in hundredths of a second.

    Raises:
        InputError: a value out of its range.
    """

    language: str = "en-us"
    variant: str = ""
    sex: str = "male"
    age: str = "adult"
    rate: float = 165.0
    pitch: float = 50.0
    range: float = 50.0
    volume: float = 100.0
    word_gap: float = 0.0

    def __post_init__(self) -> None:
        for name, least, most in (("rate", 80, 450), ("pitch", 0, 99), ("range", 0, 99), ("volume", 0, 200)):
            value = getattr(self, name)
            if not least <= value <= most:
                raise InputError(f"a voice's {name} is {value}; give it from {least} to {most}")
        for name, known in (("sex", SEXES), ("age", AGES)):
            if getattr(self, name) not in known:
                found = getattr(self, name)
                raise InputError(f"a voice's {name} is {found!r}; choose one of {', '.join(known)}")

    def for_sentiment(self, sentiment: str) -> Voice:
        """The same person in another mood.

        Raises:
            InputError: an unknown one.
        """
        if sentiment not in SENTIMENTS:
            raise InputError(f"no sentiment {sentiment!r}; choose one of {', '.join(SENTIMENTS)}")
        pitch, span, rate, volume = SENTIMENTS[sentiment]
        return self._with(self.rate * rate, self.pitch + pitch, self.range * span, self.volume * volume)

    def varied(self, rng: np.random.Generator) -> Voice:
        """The same person a moment later: rate and volume vary by 4 %, pitch by 1.5 (standard deviations)."""
        rate, pitch, volume = rng.standard_normal(3) * (0.04, 1.5, 0.04)
        return self._with(self.rate * (1 + rate), self.pitch + pitch, self.range, self.volume * (1 + volume))

    def _with(self, rate: float, pitch: float, span: float, volume: float) -> Voice:
        limits = ((rate, 80, 450), (pitch, 0, 99), (span, 0, 99), (volume, 0, 200))
        rate, pitch, span, volume = (float(np.clip(*limit)) for limit in limits)
        return replace(self, rate=rate, pitch=pitch, range=span, volume=volume)


def voices(sex: str | None = None, age: str | None = None) -> list[Voice]:
    """Every pair of language and variant, at the variant's own settings, in a fixed order.

    Args:
        sex: one of `SEXES`; None for all.
        age: one of `AGES`; None for all.

    Raises:
        InputError: none is like that.
    """
    found = [
        Voice(language, variant, kind, each)
        for variant, (kind, ages) in VARIANTS.items()
        for each in ages
        for language in LANGUAGES
        if sex in (None, kind) and age in (None, each)
    ]
    if not found:
        raise InputError(
            f"no voice of sex {sex!r} and age {age!r}; sexes: {', '.join(SEXES)}, ages: {', '.join(AGES)}"
        )
    return found


def random_voice(rng: np.random.Generator, sex: str | None = None, age: str | None = None) -> Voice:
    """A voice for a person.

    Half of the people speak as in the United States or Great Britain, the rest any of `LANGUAGES`. Rates lie
    around 160 words a minute (standard deviation 16), the old speak a tenth slower, pitches of the young are
    higher.

    Args:
        rng: what is drawn with.
        sex: one of `SEXES`; None draws it.
        age: one of `AGES`; None draws it, the old more seldom.

    Raises:
        InputError: none is like that.
    """
    sex = sex or str(rng.choice(SEXES))
    age = age or str(rng.choice(AGES, p=(0.35, 0.45, 0.2)))
    variants = sorted({voice.variant for voice in voices(sex, age)})
    variant = variants[rng.integers(len(variants))]
    common = rng.random() < 0.5
    language = list(LANGUAGES)[rng.integers(2 if common else len(LANGUAGES))]
    pitch = {"female": 48.0, "male": 56.0}[sex] + {"young": 4.0, "adult": 0.0, "old": -3.0}[age]
    rate = float(np.clip(rng.normal(160, 16), 120, 205)) * (0.9 if age == "old" else 1.0)
    return Voice(
        language,
        variant,
        sex,
        age,
        rate=rate,
        pitch=float(np.clip(rng.normal(pitch, 6), 30, 75)),
        range=float(rng.uniform(35, 75)),
        volume=float(rng.uniform(75, 110)),
        word_gap=float(rng.integers(0, 3)),
    )
