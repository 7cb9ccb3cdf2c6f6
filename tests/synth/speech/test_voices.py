import numpy as np
import pytest

from headgen.errors import InputError
from headgen.synth.speech.espeak import data_folder, speak
from headgen.synth.speech.texts import Phrase
from headgen.synth.speech.voices import AGES, LANGUAGES, SEXES, VARIANTS, Voice, random_voice, voices

pytest.importorskip("espeakng_loader")
TEXT = [Phrase("My mother bought a long yellow garden table.")]


def middle_pitch(voice):
    pitch = speak(TEXT, voice, np.random.default_rng(0)).speech.pitch
    return np.median(pitch[pitch > 0])


def test_every_variant_is_there_and_sounds_like_its_sex():
    for variant, (sex, ages) in VARIANTS.items():
        assert (data_folder() / "voices" / "!v" / variant).is_file()
        low, high = {"male": (70, 155), "female": (150, 300)}[sex]
        assert low < middle_pitch(Voice(variant=variant, sex=sex, age=ages[0])) < high, variant


def test_every_language_can_be_spoken_and_they_differ():
    said = {}
    for language in LANGUAGES:
        phones = speak(TEXT, Voice(language), np.random.default_rng(0)).speech.phones
        said[language] = tuple(p.symbol for p in phones)
    assert len(set(said.values())) >= 6


def test_listing_can_be_narrowed():
    everyone = voices()
    assert len({(v.language, v.variant) for v in everyone}) == len(LANGUAGES) * len(VARIANTS)
    for sex in SEXES:
        for age in AGES:
            some = voices(sex, age)
            assert some and all((v.sex, v.age) == (sex, age) for v in some)
    with pytest.raises(InputError, match="female, male"):
        voices("robot")


def test_random_voices_vary_and_repeat():
    drawn = [random_voice(np.random.default_rng(k), "female") for k in range(50)]
    assert drawn == [random_voice(np.random.default_rng(k), "female") for k in range(50)]
    assert {v.sex for v in drawn} == {"female"}
    assert len({(v.language, v.variant) for v in drawn}) > 25
    rates = [v.rate for v in drawn]
    assert 140 < np.mean(rates) < 175 and np.std(rates) > 8
    assert all(random_voice(np.random.default_rng(k), age="old").age == "old" for k in range(10))


def test_sentiment_is_heard():
    voice = Voice(variant="f2", sex="female")
    sad, happy = (speak([Phrase(TEXT[0].text, sentiment=s)], voice, np.random.default_rng(0)).speech
                  for s in ("sad", "happy"))  # fmt: skip
    assert sad.duration > 1.1 * happy.duration
    assert np.median(happy.pitch[happy.pitch > 0]) > 1.05 * np.median(sad.pitch[sad.pitch > 0])
    with pytest.raises(InputError, match="neutral"):
        voice.for_sentiment("furious")


def test_values_out_of_range_are_refused():
    with pytest.raises(InputError, match="rate is 10"):
        Voice(rate=10)
    with pytest.raises(InputError, match="age is"):
        Voice(age="ancient")
