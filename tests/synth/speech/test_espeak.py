import builtins
import hashlib
import multiprocessing
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from headgen.errors import InputError, MissingExtraError
from headgen.synth.speech.espeak import speak
from headgen.synth.speech.texts import Phrase, talk
from headgen.synth.speech.track import SAMPLE_RATE
from headgen.synth.speech.voices import VARIANTS, Voice, random_voice

pytest.importorskip("espeakng_loader")


def say(text, voice=None, seed=0, **options):
    phrases = [Phrase(text)] if isinstance(text, str) else text
    return speak(phrases, voice or Voice(), np.random.default_rng(seed), **options)


def digest(spoken):
    speech = spoken.speech
    parts = (
        speech.samples.tobytes(),
        speech.pitch.tobytes(),
        repr((speech.phones, speech.words, spoken.spans)),
    )
    return hashlib.sha256(b"".join(p if isinstance(p, bytes) else p.encode() for p in parts)).hexdigest()


def one_of_each():
    """A digest over voices of every kind, breathy ones and Klatt's synthesiser too."""
    said = [digest(say("Bob has five big ships.", Voice("en-gb-scotland", v), seed=4)) for v in VARIANTS]
    return hashlib.sha256("".join(said).encode()).hexdigest()


def test_phones_words_and_pauses_fill_the_time():
    spoken = say([Phrase("Papa bought the big boat, didn't he?", pause=0.4), Phrase("Yes.", pause=0.25)],
                 before=0.3, after=0.1)  # fmt: skip
    speech = spoken.speech
    assert [w.text for w in speech.words] == [
        "Papa",
        "bought",
        "the",
        "big",
        "boat,",
        "didn't",
        "he?",
        "Yes.",
    ]
    assert [list(span.words) for span in spoken.spans] == [[0, 1, 2, 3, 4, 5, 6], [7]]
    phones = speech.phones
    assert phones[0].start == 0 and phones[-1].end == pytest.approx(speech.duration, abs=1e-6)
    assert all(a.end == pytest.approx(b.start, abs=1e-9) for a, b in zip(phones, phones[1:], strict=False))
    assert all(p.end > p.start for p in phones)
    sounds = "".join(p.symbol for p in phones)
    assert sounds.startswith("p") and "bɪɡ" in sounds and "jɛs" in sounds
    assert next(p for p in phones if p.symbol == "ɛ").stressed
    first, second = spoken.spans
    assert first.start == pytest.approx(0.3, abs=1e-4)
    assert second.start - first.end == pytest.approx(0.4, abs=1e-4)
    assert speech.duration - second.end == pytest.approx(0.35, abs=2e-4)
    assert all(a.end <= b.start + 1e-9 for a, b in zip(speech.words, speech.words[1:], strict=False))


def test_sound_is_where_the_phones_are():
    for seed in range(4):
        rng = np.random.default_rng(seed)
        voice = random_voice(rng)
        speech = speak(talk(rng, 6, voice.rate), voice, rng, before=0.3).speech
        level = np.abs(speech.samples)

        def loudness(phone, level=level):
            return level[round(phone.start * SAMPLE_RATE) : round(phone.end * SAMPLE_RATE)].mean()

        vowels = np.mean([loudness(p) for p in speech.phones if p.symbol[:1] in set("aæɑɛɔʌeoi")])
        silences = np.mean([loudness(p) for p in speech.phones if not p.symbol and p.end - p.start > 0.1])
        assert silences < 0.05 * vowels
        assert level[: round(0.29 * SAMPLE_RATE)].max() < 0.01


def test_stops_begin_with_their_closure():
    speech = say("A happy apple.", Voice(rate=140)).speech
    for phone in speech.phones:
        if phone.symbol == "p":
            part = speech.samples[round(phone.start * SAMPLE_RATE) :][: round(0.025 * SAMPLE_RATE)]
            assert phone.end - phone.start > 0.06
            assert np.abs(part).mean() < 0.1 * np.abs(speech.samples).max()


def test_nothing_said_before_changes_a_byte():
    alone = digest(say("Hello there.", Voice(variant="f3"), seed=7))
    for variant in ("Annie", "klatt3", "grandma", "m8"):
        say(
            "Something else entirely, and very fast!",
            Voice("en-029", variant, rate=300, pitch=90, volume=180),
        )
        assert digest(say("Hello there.", Voice(variant="f3"), seed=7)) == alone
    assert digest(say("Hello there.", Voice(variant="f3"), seed=8)) != alone


def test_two_processes_say_the_same():
    folder = str(Path(__file__).parent)
    code = f"import sys; sys.path.insert(0, {folder!r}); import test_espeak; print(test_espeak.one_of_each())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == one_of_each()


def test_threads_and_forks_do_not_mix_voices():
    voices = [Voice(variant="m3"), Voice(variant="f2"), Voice("en-029", "Alex"), Voice("en", "klatt6")]
    expected = [digest(say("We all talk at once.", v)) for v in voices]
    found: dict[int, str] = {}

    def work(k):
        found[k] = digest(say("We all talk at once.", voices[k % 4]))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(12)]
    for thread in threads:
        thread.start()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        forked = pool.map(_digest_of, voices)
    for thread in threads:
        thread.join()
    assert [found[k] for k in range(12)] == expected * 3
    assert forked == expected


def _digest_of(voice):
    return digest(say("We all talk at once.", voice))


def test_emphasis_is_longer_and_louder():
    def middle(emphasis):
        spoken = say([Phrase("I saw a yellow boat there.", emphasis=emphasis)])
        word = spoken.speech.words[3]
        assert word.text == "yellow"
        part = spoken.speech.samples[round(word.start * SAMPLE_RATE) : round(word.end * SAMPLE_RATE)]
        return word.end - word.start, np.sqrt((part**2).mean())

    plain, stressed = middle(()), middle((3,))
    assert stressed[0] > 1.05 * plain[0] and stressed[1] > 1.1 * plain[1]


def test_signs_numbers_and_markup_characters_are_text():
    words = say("- Tom & 25 cats <3 of the “best”…").speech.words
    assert [w.text for w in words] == ["-", "Tom", "&", "25", "cats", "<3", "of", "the", "“best”…"]
    assert all(a.start <= b.start for a, b in zip(words, words[1:], strict=False))


def test_what_cannot_be_said_is_told():
    with pytest.raises(InputError, match="nothing to say"):
        say("...")
    with pytest.raises(InputError, match="no voice 'en-us[+]nobody'"):
        say("Hello.", Voice(variant="nobody"))
    with pytest.raises(InputError, match="no voice 'xx'"):
        say("Hello.", Voice("xx"))
    assert say([], before=0.5).speech.duration == 0.5


def test_missing_package_names_the_extra(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "espeakng_loader":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match="synth"):
        say("Hello.")
    monkeypatch.undo()
    assert say("Hello.").speech.words
