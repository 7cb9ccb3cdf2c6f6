"""Speech by espeak-ng, with the times of its phones and words.

The library comes with the package espeakng-loader (GPL-3, extra ``synth``); it is loaded only while something
is said, and unloaded after it. That is what makes speech reproducible: espeak-ng keeps the phase of its pitch
flutter, its gain control and its random numbers in static variables that neither a change of voice nor
``espeak_Terminate`` resets, so only a freshly loaded library says the same text in the same bytes. It takes
half a millisecond.
"""

from __future__ import annotations

import _ctypes
import ctypes
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from scipy.signal import resample_poly

from headgen.errors import InputError, MissingExtraError
from headgen.synth.speech.prosody import pitch_and_loudness
from headgen.synth.speech.texts import Phrase
from headgen.synth.speech.track import SAMPLE_RATE, Phone, Speech, Word
from headgen.synth.speech.voices import Voice

__all__ = ["Span", "Spoken", "data_folder", "speak"]

SYNCHRONOUS, PHONEMES_IN_IPA, DO_NOT_EXIT = 2, 3, 0x8000
UTF8, SSML = 1, 0x10
RATE, VOLUME, PITCH, RANGE, WORD_GAP = 1, 2, 3, 4, 7
WORD_EVENT, PHONEME_EVENT, CLAUSE_END = 1, 7, 5

VOICELESS_STOPS = frozenset("ptkcqʔʈ")
VOICED_STOPS = frozenset("bdɡɟɖ")
CLOSURE = 0.15
"""Seconds that the closure before a stop's burst lasts at most."""
QUIET = 0.06
"""Share of the phrase's largest 5 ms level below which a vocal tract is taken to be closed."""


class _Identity(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    """``espeak_EVENT`` of speak_lib.h."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Identity),
    ]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)

_lock = threading.Lock()
if hasattr(os, "register_at_fork"):  # a child must not inherit a library that is in the middle of a word
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


@dataclass(frozen=True)
class Span:
    """When a phrase was said.

    Attributes:
        phrase: what was said.
        start, end: seconds, from its first to its last sound.
        words: numbers of its words in ``Speech.words``; emphasised ones are among them.
    """

    phrase: Phrase
    start: float
    end: float
    words: range


@dataclass(frozen=True)
class Spoken:
    """Speech and the phrases that it is made of.

    Attributes:
        speech: the sound with its phones and words.
        spans: one for each phrase, in order.
    """

    speech: Speech
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class _Utterance:
    """One phrase as espeak said it; times in samples of `rate`."""

    samples: np.ndarray
    phones: list[Phone]
    words: list[Word]
    rate: int


def data_folder() -> Path:
    """Folder of espeak-ng's voices and dictionaries.

    Raises:
        MissingExtraError: the package is not installed.
    """
    return Path(_loader().get_data_path())


def speak(
    phrases: Sequence[Phrase],
    voice: Voice,
    rng: np.random.Generator,
    before: float = 0.0,
    after: float = 0.0,
) -> Spoken:
    """Says phrases one after the other.

    Pauses are exact: from the last sound of a phrase to the first of the next lie `Phrase.pause` seconds (to
    1/22050 s). Each phrase is said a little faster or slower, higher or lower than the last, and as its
    sentiment asks (`Voice.for_sentiment`).

    Args:
        phrases: what to say.
        voice: who says it.
        rng: for the noise in breathy voices and the variation between phrases.
        before: seconds of silence at the beginning.
        after: seconds of silence after the last phrase's pause.

    Raises:
        InputError: a voice that espeak does not have, or a phrase that makes no sound.
        MissingExtraError: the package is not installed.
    """
    seed = int(rng.integers(1, 2**31))
    varied = [voice.for_sentiment(phrase.sentiment).varied(rng) for phrase in phrases]
    with _library(seed) as library:
        said = [library.say(phrase, how) for phrase, how in zip(phrases, varied, strict=True)]
    rate = said[0].rate if said else SAMPLE_RATE
    phones: list[Phone] = []
    words: list[Word] = []
    spans = []
    parts: list[tuple[int, np.ndarray]] = []
    now = round(before * rate)
    for phrase, utterance in zip(phrases, said, strict=True):
        parts.append((now, utterance.samples))
        start, first = now / rate, len(words)
        phones += [replace(p, start=start + p.start, end=start + p.end) for p in utterance.phones]
        words += [replace(w, start=start + w.start, end=start + w.end) for w in utterance.words]
        spans.append(Span(phrase, start, phones[-1].end, range(first, len(words))))
        now = round((phones[-1].end + phrase.pause) * rate)
    total = now + round(after * rate)
    track = np.zeros(total)
    for at, samples in parts:  # the echo of a voice rings on into the pause
        track[at : at + len(samples)] += samples[: total - at]
    if rate != SAMPLE_RATE:
        track = resample_poly(track, SAMPLE_RATE, rate)
    clipped = np.clip(track, -1, 1).astype(np.float32)
    filled = _with_silences(phones, len(clipped) / SAMPLE_RATE)
    speech = Speech(clipped, filled, tuple(words), *pitch_and_loudness(clipped))
    return Spoken(speech, tuple(spans))


class _Espeak:
    """A freshly loaded library."""

    def __init__(self, seed: int) -> None:
        loader = _loader()
        self._library = ctypes.CDLL(loader.get_library_path())
        options = PHONEMES_IN_IPA | DO_NOT_EXIT
        data = os.fsencode(loader.get_data_path())
        self.rate = self._library.espeak_Initialize(SYNCHRONOUS, 0, data, options)
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(seed))
        self._samples: list[np.ndarray] = []
        self._events: list[tuple[int, int, int, str]] = []
        self._callback = _Callback(self._receive)
        self._library.espeak_SetSynthCallback(self._callback)

    def close(self) -> None:
        self._library.espeak_Terminate()
        handle = self._library._handle
        if os.name == "nt":
            _ctypes.FreeLibrary(handle)  # type: ignore[attr-defined]
        else:
            _ctypes.dlclose(handle)

    def say(self, phrase: Phrase, voice: Voice) -> _Utterance:
        """One phrase, cut to its sound."""
        variants = data_folder() / "voices" / "!v"
        name = f"{voice.language}+{voice.variant}" if voice.variant else voice.language
        known = not voice.variant or (variants / voice.variant).is_file()  # espeak would say it without
        if not known or self._library.espeak_SetVoiceByName(name.encode()):
            raise InputError(f"espeak-ng has no voice {name!r}; choose one of voices.voices()")
        settings = ((RATE, voice.rate), (VOLUME, voice.volume), (PITCH, voice.pitch), (RANGE, voice.range))
        for parameter, value in (*settings, (WORD_GAP, voice.word_gap)):
            self._library.espeak_SetParameter(parameter, round(value), 0)
        text, tokens = _marked_up(phrase)
        encoded = text.encode() + b"\0"
        self._samples.clear()
        self._events.clear()
        size = ctypes.c_size_t(len(encoded))
        self._library.espeak_Synth(encoded, size, 0, 1, 0, UTF8 | SSML, None, None)
        samples = np.concatenate([np.zeros(0, np.int16), *self._samples]) / 32768
        phones, owners = _phones(self._events, tokens, samples, self.rate)
        if not phones:
            raise InputError(f"espeak-ng finds nothing to say in {phrase.text!r}; give it words")
        words = _words(phones, owners, [word for _, word in tokens])
        first = phones[0].start
        cut = samples[round(first * self.rate) :]
        moved = [replace(p, start=p.start - first, end=p.end - first) for p in phones]
        shifted = [replace(w, start=w.start - first, end=w.end - first) for w in words]
        return _Utterance(cut, moved, shifted, self.rate)

    def _receive(self, samples: ctypes._Pointer, count: int, events: ctypes._Pointer) -> int:
        if count > 0:
            self._samples.append(np.ctypeslib.as_array(samples, (count,)).copy())
        number = 0
        while events[number].type:
            event = events[number]
            name = ""
            if event.type == PHONEME_EVENT:  # eight bytes, ended by zero only where shorter
                raw = ctypes.string_at(ctypes.addressof(event) + _Event.id.offset, 8)
                name = raw.split(b"\0")[0].decode(errors="ignore")
            self._events.append((event.type, event.text_position, event.sample, name))
            number += 1
        return 0


@contextmanager
def _library(seed: int) -> Iterator[_Espeak]:
    with _lock:
        espeak = _Espeak(seed)
        try:
            yield espeak
        finally:
            espeak.close()


def _loader():  # type: ignore[no-untyped-def]  # a module
    try:
        import espeakng_loader
    except ImportError as error:
        raise MissingExtraError("espeakng_loader", "synth", "speech") from error
    return espeakng_loader


def _marked_up(phrase: Phrase) -> tuple[str, list[tuple[int, str]]]:
    """SSML of a phrase, and for each written word where it begins there (in characters) and what it is."""
    parts: list[str] = []
    tokens = []
    length = 0
    for number, match in enumerate(re.finditer(r"\S+", phrase.text)):
        word = escape(match.group())
        if number in phrase.emphasis:
            end = len(word.rstrip(".,?!;:"))
            opening = "<emphasis level='strong'>"
            tokens.append((length + len(opening), match.group()))
            word = f"{opening}{word[:end]}</emphasis>{word[end:]}"
        else:
            tokens.append((length, match.group()))
        parts.append(word)
        length += len(word) + 1
    return " ".join(parts), tokens


def _phones(
    events: list[tuple[int, int, int, str]],
    tokens: list[tuple[int, str]],
    samples: np.ndarray,
    rate: int,
) -> tuple[list[Phone], list[int]]:
    """Phones and silences from the first sound to the last, and the number of the word of each."""
    begins = np.array([begin for begin, _ in tokens])
    token = 0
    marks: list[tuple[str, bool, float, int]] = []  # symbol, stressed, start, word
    for kind, position, sample, name in events:
        if kind == WORD_EVENT:
            token = max(token, int(np.searchsorted(begins, position - 1, side="right")) - 1)
        elif kind == PHONEME_EVENT and not name.startswith("("):  # "(en)": a change of language
            symbol = name.lstrip("ˈˌ")
            if symbol or not marks or marks[-1][0]:
                marks.append((symbol, name.startswith("ˈ"), sample / rate, token))
        elif kind == CLAUSE_END and marks and marks[-1][0]:
            marks.append(("", False, sample / rate, token))
    marks.append(("", False, len(samples) / rate, token))
    timed = [(mark, after[2]) for mark, after in zip(marks, marks[1:], strict=False) if after[2] > mark[2]]
    sounds = [k for k, (mark, _) in enumerate(timed) if mark[0]]
    if not sounds:
        return [], []
    phones = [Phone(symbol, start, end, stressed) for (symbol, stressed, start, _), end in timed]
    kept = slice(sounds[0], sounds[-1] + 1)
    return _with_closures(phones, samples, rate)[kept], [mark[3] for mark, _ in timed][kept]


def _with_closures(phones: list[Phone], samples: np.ndarray, rate: int) -> list[Phone]:
    """Lets stop consonants begin with their closure.

    espeak reports a voiceless stop from its burst on and leaves the silence before it to the phone before;
    what a face shows is the closure. It begins where the sound falls silent.
    """
    block = rate // 200
    blocks = samples[: len(samples) // block * block].reshape(-1, block)
    level = np.sqrt((blocks**2).mean(1))
    silent = level < QUIET * level.max(initial=0)
    done: list[Phone] = []
    for phone in phones:
        initial = not done or not done[-1].symbol
        if phone.symbol[:1] in VOICELESS_STOPS or (initial and phone.symbol[:1] in VOICED_STOPS):
            earliest = max(phone.start - CLOSURE, (done[-1].start + done[-1].end) / 2 if done else 0.0)
            at = int(phone.start * rate) // block
            while at > 0 and silent[at - 1] and (at - 1) * block >= earliest * rate:
                at -= 1
            start = min(at * block / rate, phone.start)
            if done:
                done[-1] = replace(done[-1], end=start)
            phone = replace(phone, start=start)
        done.append(phone)
    return done


def _words(phones: list[Phone], owners: list[int], texts: list[str]) -> list[Word]:
    """Times of the written words.

    espeak reports "of the" as one word; a word without sounds of its own shares the time of the one before by
    their lengths.

    Args:
        phones: in order.
        owners: number of each phone's word.
        texts: the words as written.
    """
    sounding: dict[int, list[Phone]] = {}
    for phone, owner in zip(phones, owners, strict=True):
        if phone.symbol:
            sounding.setdefault(owner, []).append(phone)
    reported = sorted(sounding)
    words = []
    for number, following in zip(reported, [*reported[1:], len(texts)], strict=True):
        first = 0 if number == reported[0] else number  # signs before the first word, such as a dash, join it
        shared = texts[first:following]
        start, end = sounding[number][0].start, sounding[number][-1].end
        edges = start + np.cumsum([0, *map(len, shared)]) / sum(map(len, shared)) * (end - start)
        words += [Word(t, float(a), float(b)) for t, a, b in zip(shared, edges, edges[1:], strict=False)]
    return words


def _with_silences(phones: list[Phone], duration: float) -> tuple[Phone, ...]:
    """Fills the gaps, so that each moment has its phone."""
    filled: list[Phone] = []
    now = 0.0
    for phone in phones:
        if phone.start > now + 1e-9:
            filled.append(Phone("", now, phone.start))
        filled.append(phone)
        now = phone.end
    if duration > now + 1e-9:
        filled.append(Phone("", now, duration))
    return tuple(filled)
