"""The mouth that goes with phones: what each sound asks of jaw and lips, and how the sounds blend.

Each sound has a target for every shape and, for each group of shapes (jaw, parting of the lips, rounding,
spreading, tongue), a dominance: how much it insists on its target and how far that reaches back and forth in
time. The blend is the mean of the targets weighted by the dominances (Cohen and Massaro 1993, "Modeling
coarticulation in synthetic visual speech", with c = 1). So a /t/, which does not care about
the lips, is rounded in "too" and spread in "tea".

Our design: (a) a sound is fully there for the middle half of its time, not for an instant, so that long
vowels stay open; (b) what the eye does not forgive, lips that must touch each other or the teeth, is laid
over the blend as a window that is whole for at least one frame: a mean never quite closes. The targets are
ours, for ARKit's shapes, on which talking rarely exceeds a jawOpen of .4.

Legend: T frames, P sounds, G groups, S shapes used.
"""

from __future__ import annotations

import logging
import unicodedata
from dataclasses import dataclass

import numpy as np

from headgen.synth.heads.expressions import EXPRESSIONS, INDEX
from headgen.synth.speech.track import CONTROL_RATE, Phone, Speech

__all__ = ["MouthStyle", "mouth_expression", "random_style", "speech_to_expression"]

logger = logging.getLogger(__name__)

GROUPS = ("jaw", "parting", "rounding", "spreading", "tongue")
SHAPES = {
    "jawOpen": "jaw",
    "mouthLowerDown": "parting",
    "mouthUpperUp": "parting",
    "mouthFunnel": "rounding",
    "mouthPucker": "rounding",
    "mouthStretch": "spreading",
    "mouthSmile": "spreading",
    "tongueOut": "tongue",
}
"""Shapes that are blended, both sides where there are two, and the group of each."""

REACH = np.array([[0.045, 0.045], [0.04, 0.04], [0.085, 0.06], [0.06, 0.06], [0.035, 0.035]])
"""(G, 2) seconds in which a dominance falls by e, before and after a sound. Rounding is anticipated most."""
TOUCH_SHARE, TOUCH_RAMP = 0.75, 0.055
"""Share of a sound for which lips touch, from its beginning: they part before it is over (the puff of a /p/
is part of it). Seconds that they take to meet, and to part."""


@dataclass(frozen=True)
class _Sound:
    """What a sound asks of the mouth.

    Attributes:
        targets: by shape (`SHAPES`); others are 0.
        dominance: of the groups, in the order of `GROUPS`.
        touch: ``lips`` or ``teeth`` if the lips must touch each other or the lower lip the upper teeth.
        vowel: whether loudness and stress open it wider.
    """

    targets: dict[str, float]
    dominance: tuple[float, float, float, float, float]
    touch: str = ""
    vowel: bool = False


def _vowel(
    jaw: float, lower: float, upper: float, funnel: float, pucker: float, stretch: float, smile: float
) -> _Sound:
    values = (jaw, lower, upper, funnel, pucker, stretch, smile)
    names = ("jawOpen", "mouthLowerDown", "mouthUpperUp", "mouthFunnel", "mouthPucker", "mouthStretch")
    targets = dict(zip((*names, "mouthSmile"), values, strict=True))
    return _Sound(targets, (1.0, 1.0, 1.3 if funnel + pucker > 0.3 else 1.0, 1.0, 1.0), vowel=True)


_OPEN = _vowel(0.42, 0.22, 0.12, 0.0, 0.0, 0.04, 0.0)
_NEAR_OPEN = _vowel(0.38, 0.32, 0.18, 0.0, 0.0, 0.16, 0.07)
_MIDDLE = _vowel(0.28, 0.20, 0.10, 0.0, 0.0, 0.05, 0.0)
_FRONT_MIDDLE = _vowel(0.26, 0.28, 0.12, 0.0, 0.0, 0.18, 0.08)
_FRONT_NEAR_CLOSE = _vowel(0.17, 0.24, 0.10, 0.0, 0.0, 0.20, 0.08)
_FRONT_CLOSE = _vowel(0.12, 0.26, 0.12, 0.0, 0.0, 0.28, 0.15)
_RHOTIC = _vowel(0.17, 0.16, 0.08, 0.24, 0.10, 0.0, 0.0)
_BACK_OPEN = _vowel(0.33, 0.14, 0.08, 0.38, 0.16, 0.0, 0.0)
_BACK_MIDDLE = _vowel(0.20, 0.08, 0.05, 0.42, 0.36, 0.0, 0.0)
_BACK_NEAR_CLOSE = _vowel(0.14, 0.08, 0.05, 0.28, 0.36, 0.0, 0.0)
_BACK_CLOSE = _vowel(0.09, 0.04, 0.02, 0.28, 0.58, 0.0, 0.0)
_SCHWA = _Sound(_vowel(0.17, 0.14, 0.06, 0.0, 0.0, 0.04, 0.0).targets, (0.6, 0.6, 0.3, 0.4, 1.0), vowel=True)

_LIPS = _Sound({"jawOpen": 0.07}, (1.6, 1.0, 0.15, 0.15, 1.0), touch="lips")
_LIP_TO_TEETH = _Sound({"jawOpen": 0.09, "mouthUpperUp": 0.16}, (1.5, 1.2, 0.3, 0.3, 1.0), touch="teeth")
_LIP_FRICATIVE = _Sound({"jawOpen": 0.06, "mouthPucker": 0.15}, (1.4, 1.4, 0.6, 0.4, 1.0))
_DENTAL = _Sound({"jawOpen": 0.13, "mouthLowerDown": 0.18, "tongueOut": 0.2}, (1.1, 0.8, 0.2, 0.2, 1.5))
_TONGUE_TIP = _Sound(
    {"jawOpen": 0.09, "mouthLowerDown": 0.15, "mouthUpperUp": 0.05}, (1.1, 0.7, 0.15, 0.2, 1.0)
)
_SIBILANT = _Sound(
    {"jawOpen": 0.05, "mouthLowerDown": 0.26, "mouthUpperUp": 0.10, "mouthStretch": 0.14},
    (1.7, 1.1, 0.3, 0.7, 1.0),
)
_HUSHED = _Sound(
    {"jawOpen": 0.06, "mouthLowerDown": 0.20, "mouthUpperUp": 0.12, "mouthFunnel": 0.42, "mouthPucker": 0.16},
    (1.6, 1.1, 1.3, 0.8, 1.0),
)
_LATERAL = _Sound({"jawOpen": 0.15, "mouthLowerDown": 0.16, "mouthUpperUp": 0.05}, (0.8, 0.7, 0.15, 0.2, 1.0))
_BACK_OF_TONGUE = _Sound({"jawOpen": 0.14, "mouthLowerDown": 0.12}, (0.6, 0.4, 0.1, 0.1, 1.0))
_APPROXIMANT_R = _Sound(
    {"jawOpen": 0.12, "mouthLowerDown": 0.10, "mouthFunnel": 0.26, "mouthPucker": 0.20},
    (0.9, 0.7, 0.8, 0.5, 1.0),
)
_GLIDE_J = _Sound(_FRONT_CLOSE.targets, (1.0, 0.8, 0.3, 0.9, 1.0))
_GLIDE_W = _Sound(_BACK_CLOSE.targets, (1.2, 1.2, 2.0, 1.2, 1.0))
_GLOTTAL = _Sound({"jawOpen": 0.15, "mouthLowerDown": 0.1}, (0.15, 0.15, 0.05, 0.05, 0.3))
_SILENCE = _Sound({}, (0.8, 0.8, 0.5, 0.5, 1.0))

_LETTERS: dict[str, _Sound] = {
    letter: sound
    for letters, sound in (
        ("aɑäɶ", _OPEN), ("æ", _NEAR_OPEN), ("ʌɐɞɤ", _MIDDLE), ("ɛe", _FRONT_MIDDLE),
        ("ɪᵻɨɘ", _FRONT_NEAR_CLOSE),
        ("iɯ", _FRONT_CLOSE), ("ɜɚɝ", _RHOTIC), ("ɔɒ", _BACK_OPEN), ("oøœɵ", _BACK_MIDDLE),
        ("ʊʏ", _BACK_NEAR_CLOSE), ("uyʉ", _BACK_CLOSE), ("ə", _SCHWA),
        ("pbmʙ", _LIPS), ("fvɱʋⱱ", _LIP_TO_TEETH), ("ɸβ", _LIP_FRICATIVE), ("θð", _DENTAL),
        ("tdnɾrʈɖɳɽ", _TONGUE_TIP), ("sz", _SIBILANT), ("ʃʒʂʐɕʑɧ", _HUSHED), ("lɭɫʎʟɬɮɺ", _LATERAL),
        ("kɡgŋxɣqɢɴχʁʀcɟɲçɰ", _BACK_OF_TONGUE), ("ɹɻ", _APPROXIMANT_R), ("jʝ", _GLIDE_J),
        ("wʍɥ", _GLIDE_W), ("hɦʔħʕ", _GLOTTAL),
    )
    for letter in letters
}  # fmt: skip
"""Letters of the International Phonetic Alphabet."""

_unknown: set[str] = set()


@dataclass(frozen=True)
class MouthStyle:
    """How a person articulates.

    Attributes:
        strength: of all movement; 1 is usual, .6 mumbles, 1.4 speaks to the last row.
        jaw: factor of the jaw's opening.
        lips: factor of the parting of the lips.
        rounding: factor of funnel and pucker.
        spreading: factor of stretch and smile.
        press: how firmly lips are closed, 0 to 1.
        asymmetry: share by which the left side moves more than the right, -.3 to .3.
        variation: spread (of the logarithm) between two utterances of one sound.
    """

    strength: float = 1.0
    jaw: float = 1.0
    lips: float = 1.0
    rounding: float = 1.0
    spreading: float = 1.0
    press: float = 0.3
    asymmetry: float = 0.0
    variation: float = 0.12


def random_style(rng: np.random.Generator) -> MouthStyle:
    """The style of a person."""
    strength, jaw, lips, rounding, spreading = np.exp(rng.standard_normal(5) * (0.15, 0.15, 0.25, 0.2, 0.25))
    return MouthStyle(
        strength=float(np.clip(strength, 0.65, 1.45)),
        jaw=float(np.clip(jaw, 0.7, 1.4)),
        lips=float(np.clip(lips, 0.5, 1.8)),
        rounding=float(np.clip(rounding, 0.6, 1.5)),
        spreading=float(np.clip(spreading, 0.5, 1.7)),
        press=float(rng.uniform(0.1, 0.5)),
        asymmetry=float(np.clip(rng.normal(0, 0.08), -0.25, 0.25)),
    )


def speech_to_expression(
    speech: Speech,
    fps: float,
    rng: np.random.Generator,
    style: MouthStyle | None = None,
    frames: int | None = None,
) -> np.ndarray:
    """Moves the mouth with speech whose phones are known.

    Args:
        speech: with phones.
        fps: frames/s; frame k shows the moment ``k / fps``.
        rng: for the variation between two utterances of a sound.
        style: how the person articulates; None for the usual.
        frames: number of frames; None for those of the speech.

    Returns:
        (T, 52) float32 from 0 to 1, the mouth's shapes only.
    """
    count = round(speech.duration * fps) if frames is None else frames
    return mouth_expression(speech, np.arange(count) / fps, rng, style, least=1.05 / fps)


def mouth_expression(
    speech: Speech,
    times: np.ndarray,
    rng: np.random.Generator,
    style: MouthStyle | None = None,
    least: float = 0.042,
) -> np.ndarray:
    """The mouth at given moments.

    Args:
        speech: with phones.
        times: (T,) seconds, rising.
        rng: for the variation between two utterances of a sound.
        style: how the person articulates; None for the usual.
        least: seconds for which lips that touch stay together at least.

    Returns:
        (T, 52) float32 from 0 to 1.
    """
    style = style or MouthStyle()
    out = np.zeros((len(times), len(EXPRESSIONS)), np.float32)
    if not speech.phones or not len(times):
        return out
    sounds, starts, ends, phones = _sounds(speech.phones)
    gains = _gains(speech, style, rng)[phones]
    blend = _blended(times, sounds, starts, ends, gains)
    factors = {
        "jaw": style.jaw,
        "parting": style.lips,
        "rounding": style.rounding,
        "spreading": style.spreading,
        "tongue": 1.0,
    }
    shapes = {
        name: blend[:, k] * style.strength * factors[group] for k, (name, group) in enumerate(SHAPES.items())
    }
    lips = _touching(times, "lips", sounds, starts, ends, least)
    teeth = _touching(times, "teeth", sounds, starts, ends, least)
    teeth = teeth * (1 - lips)
    apart = 1 - lips
    shapes["mouthLowerDown"] *= apart * (1 - teeth)
    shapes["mouthUpperUp"] *= apart
    shapes["mouthFunnel"] *= (1 - 0.9 * lips) * (1 - 0.7 * teeth)
    shapes["tongueOut"] *= apart * (1 - teeth)
    jaw = shapes["jawOpen"]
    jaw = jaw + lips * (np.minimum(jaw, 0.10) - jaw) + teeth * (np.minimum(jaw, 0.12) - jaw)
    shapes["jawOpen"] = jaw
    shapes["mouthClose"] = jaw * (lips + 0.45 * teeth)
    shapes["mouthPress"] = style.press * lips
    shapes["mouthRollLower"] = 0.08 * lips + 0.42 * teeth
    shapes["mouthRollUpper"] = 0.06 * lips
    for name, values in shapes.items():
        set_shape(out, name, values, style.asymmetry)
    return out


def set_shape(out: np.ndarray, name: str, values: np.ndarray, asymmetry: float) -> None:
    """Writes a shape (T,) into coefficients (T, 52), on both sides where it has two."""
    if name in INDEX:
        out[:, INDEX[name]] = np.clip(values, 0, 1)
        return
    for side, sign in (("Left", 1), ("Right", -1)):
        out[:, INDEX[name + side]] = np.clip(values * (1 + sign * asymmetry), 0, 1)


def _sounds(phones: tuple[Phone, ...]) -> tuple[list[_Sound], np.ndarray, np.ndarray, np.ndarray]:
    """The sounds of phones (diphthongs and affricates have two), their times and the phone of each."""
    sounds: list[_Sound] = []
    starts: list[float] = []
    ends: list[float] = []
    owner: list[int] = []
    for number, phone in enumerate(phones):
        parts: list[tuple[_Sound, float]] = []
        for letter in phone.symbol:
            if letter in _LETTERS:
                parts.append((_LETTERS[letter], 1.0))
            elif letter == "ː" and parts:
                parts[-1] = (parts[-1][0], 1.6)
            elif unicodedata.category(letter) in ("Ll", "Lo", "Lu") and letter not in _unknown:
                _unknown.add(letter)
                logger.warning("no mouth is known for the sound %r: it stays as it is", letter)
        if not parts:
            parts = [(_GLOTTAL if phone.symbol else _SILENCE, 1.0)]
        edges = np.cumsum([0.0, *(weight for _, weight in parts)])
        edges = phone.start + edges / edges[-1] * (phone.end - phone.start)
        sounds += [sound for sound, _ in parts]
        starts += edges[:-1].tolist()
        ends += edges[1:].tolist()
        owner += [number] * len(parts)
    return sounds, np.array(starts), np.array(ends), np.array(owner)


def _gains(speech: Speech, style: MouthStyle, rng: np.random.Generator) -> np.ndarray:
    """(number of phones,) how much wider each vowel opens than usual: by loudness, stress and chance."""
    level = np.concatenate([[0.0], np.cumsum(speech.loudness, dtype=np.float64)])
    edges = np.array([(phone.start, phone.end) for phone in speech.phones]) * CONTROL_RATE
    first = np.clip(edges[:, 0].astype(int), 0, len(level) - 1)
    last = np.clip(np.maximum(np.ceil(edges[:, 1]).astype(int), first + 1), 0, len(level) - 1)
    mean = (level[last] - level[first]) / np.maximum(last - first, 1)
    vowel = np.array([any(_LETTERS[c].vowel for c in p.symbol if c in _LETTERS) for p in speech.phones])
    usual = np.median(mean[vowel]) if vowel.any() else 0.0
    loud = np.clip((mean + 1e-6) / (usual + 1e-6), 0.2, 4) ** 0.4 if usual > 0 else np.ones(len(mean))
    stress = np.array([1.12 if phone.stressed else 0.9 for phone in speech.phones])
    chance = np.exp(style.variation * rng.standard_normal(len(speech.phones)))
    return np.where(vowel, np.clip(loud, 0.6, 1.5) * stress, 1.0) * chance


def _blended(
    times: np.ndarray, sounds: list[_Sound], starts: np.ndarray, ends: np.ndarray, gains: np.ndarray
) -> np.ndarray:
    """(T, S) targets weighted by dominances."""
    groups = np.array([GROUPS.index(group) for group in SHAPES.values()])
    targets = np.array([[sound.targets.get(name, 0.0) for name in SHAPES] for sound in sounds])  # (P, S)
    opening = np.isin(groups, (GROUPS.index("jaw"), GROUPS.index("parting")))
    targets = targets * np.where(opening, gains[:, None], np.sqrt(gains)[:, None])
    strength = np.array([sound.dominance for sound in sounds])  # (P, G)
    middle, hold = (starts + ends) / 2, (ends - starts) / 4
    out = np.empty((len(times), len(SHAPES)))
    for begin in range(0, len(times), 256):  # only sounds within a second matter: time stays linear
        part = times[begin : begin + 256]
        near = slice(
            int(np.searchsorted(ends, part[0] - 1.0)), int(np.searchsorted(starts, part[-1] + 1.0)) or 1
        )
        if near.start >= near.stop:
            near = slice(len(sounds) - 1, len(sounds))
        offset = part[:, None] - middle[near]  # (T', P')
        beyond = np.maximum(np.abs(offset) - hold[near], 0)
        reach = REACH[:, np.where(offset < 0, 0, 1)]  # (G, T', P')
        exponent = -beyond / reach
        exponent -= exponent.max(-1, keepdims=True)  # the ratio stays, and nothing vanishes
        dominance = strength[near].T[:, None] * np.exp(exponent)
        share = dominance / dominance.sum(-1, keepdims=True)
        blend = np.einsum("gtp,ps->gts", share, targets[near])
        out[begin : begin + 256] = blend[groups, :, np.arange(len(groups))].T
    return out


def _touching(
    times: np.ndarray, touch: str, sounds: list[_Sound], starts: np.ndarray, ends: np.ndarray, least: float
) -> np.ndarray:
    """(T,) how far the lips are on their way to touching, 1 while they do."""
    out = np.zeros(len(times))
    for number, sound in enumerate(sounds):
        if sound.touch != touch:
            continue
        closed = TOUCH_SHARE * (ends[number] - starts[number])
        middle = starts[number] + closed / 2
        half = max(closed, least) / 2
        a, b = np.searchsorted(times, (middle - half - TOUCH_RAMP, middle + half + TOUCH_RAMP))
        distance = np.maximum(np.abs(times[a:b] - middle) - half, 0) / TOUCH_RAMP
        window = 0.5 + 0.5 * np.cos(np.pi * np.clip(distance, 0, 1))
        out[a:b] = np.maximum(out[a:b], window)
    return out
