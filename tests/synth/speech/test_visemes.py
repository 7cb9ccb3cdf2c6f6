import numpy as np
import pytest

from headgen.synth.heads.expressions import INDEX
from headgen.synth.speech.espeak import speak
from headgen.synth.speech.texts import Phrase, talk
from headgen.synth.speech.track import CONTROL_RATE, Phone, Speech
from headgen.synth.speech.visemes import MouthStyle, mouth_expression, random_style, speech_to_expression
from headgen.synth.speech.voices import Voice, random_voice

PLAIN = MouthStyle(variation=0.0)


def spoken(*phones, loudness=None):
    """Speech of (symbol, seconds[, stressed]) with even loudness."""
    now, done = 0.2, [Phone("", 0.0, 0.2)]
    for symbol, seconds, *stressed in phones:
        done.append(Phone(symbol, now, now + seconds, bool(stressed)))
        now += seconds
    done.append(Phone("", now, now + 0.2))
    count = round((now + 0.2) * CONTROL_RATE)
    level = np.full(count, 0.1, np.float32) if loudness is None else loudness(count)
    return Speech(np.zeros(count * 160, np.float32), tuple(done), (), np.zeros(count, np.float32), level)


def mouth(speech, style=PLAIN, fps=200.0):
    return speech_to_expression(speech, fps, np.random.default_rng(0), style)


def at(curve, name, seconds, fps=200.0):
    return curve[round(seconds * fps), INDEX[name]]


def test_shape_range_and_rest():
    curve = speech_to_expression(spoken(("ɑ", 0.2)), 25, np.random.default_rng(0))
    assert curve.shape == (15, 52) and curve.dtype == np.float32
    assert curve.min() >= 0 and curve.max() <= 1
    assert curve[0].max() < 0.03 and curve[-1].max() < 0.03
    moved = {name for name, k in INDEX.items() if curve[:, k].any()}
    assert moved <= {n for n in INDEX if n.startswith(("jaw", "mouth", "tongue"))}
    assert mouth(spoken(), fps=25).max() == 0


@pytest.mark.parametrize("fps", [24.0, 25.0, 30.0, 60.0])
def test_lips_close_for_every_bilabial_at_any_frame_rate(fps):
    for seed in range(8):
        rng = np.random.default_rng(seed)
        phones = [(c, float(rng.uniform(0.03, 0.12))) for c in "ɑpɑbimʌpomɛbu"]
        speech = spoken(*phones)
        curve = speech_to_expression(speech, fps, rng, random_style(rng))
        times = np.arange(len(curve)) / fps
        for phone in speech.phones:
            if phone.symbol in ("p", "b", "m"):
                near = (times > phone.start - 0.5 / fps) & (times < phone.end + 0.5 / fps)
                open_by = curve[near, INDEX["jawOpen"]] - curve[near, INDEX["mouthClose"]]
                parting = curve[near, INDEX["mouthLowerDownLeft"]] + curve[near, INDEX["mouthUpperUpLeft"]]
                assert (np.abs(open_by) + parting).min() < 1e-6
                assert curve[near, INDEX["mouthPressLeft"]].max() > 0.05


def test_lower_lip_meets_teeth():
    curve = mouth(spoken(("ɑ", 0.15), ("f", 0.1), ("ɑ", 0.15)))
    assert at(curve, "mouthRollLower", 0.39) > 0.35 > 10 * at(curve, "mouthRollLower", 0.27)
    assert at(curve, "mouthLowerDownLeft", 0.39) < 0.01
    assert at(curve, "jawOpen", 0.39) < 0.5 * at(curve, "jawOpen", 0.27)


def test_vowels_differ_as_they_should():
    middle = {v: mouth(spoken((v, 0.2)))[round(0.3 * 200)] for v in ("ɑ", "i", "u", "ɔ", "ə")}
    jaw = {v: c[INDEX["jawOpen"]] for v, c in middle.items()}
    assert jaw["ɑ"] > jaw["ɔ"] > jaw["ə"] > jaw["i"] > jaw["u"]
    assert middle["u"][INDEX["mouthPucker"]] > 0.4 > 0.05 > middle["i"][INDEX["mouthPucker"]]
    assert middle["i"][INDEX["mouthStretchLeft"]] > 0.2 > 0.05 > middle["u"][INDEX["mouthStretchLeft"]]
    assert middle["ɔ"][INDEX["mouthFunnel"]] > 0.3


def test_rounding_spreads_to_its_neighbours():
    too, tea = (mouth(spoken(("s", 0.08), ("t", 0.08), (v, 0.15))) for v in ("u", "i"))
    assert at(too, "mouthPucker", 0.30) > 0.12 > 0.01 > at(tea, "mouthPucker", 0.30)
    assert at(tea, "mouthStretchLeft", 0.32) > 1.5 * at(too, "mouthStretchLeft", 0.32)
    early = mouth(spoken(("t", 0.15), ("u", 0.15), ("t", 0.15)))
    before, after = at(early, "mouthPucker", 0.35 - 0.1), at(early, "mouthPucker", 0.5 + 0.1)
    assert before > 1.2 * after, "rounding is anticipated"


def test_diphthongs_move():
    curve = mouth(spoken(("aɪ", 0.25)))
    assert at(curve, "jawOpen", 0.27) > 1.5 * at(curve, "jawOpen", 0.42)
    assert at(curve, "mouthStretchLeft", 0.40) > 2 * at(curve, "mouthStretchLeft", 0.25)


def test_stress_loudness_and_strength_open_the_mouth():
    def jaw(speech, style=PLAIN):
        return mouth(speech, style)[:, INDEX["jawOpen"]].max()

    assert jaw(spoken(("ɑ", 0.2, True))) > 1.1 * jaw(spoken(("ɑ", 0.2)))
    growing = spoken(
        ("ɑ", 0.2), ("t", 0.1), ("ɑ", 0.2), loudness=lambda n: np.linspace(0.02, 0.2, n, dtype=np.float32)
    )
    curve = mouth(growing)
    assert at(curve, "jawOpen", 0.6) > 1.2 * at(curve, "jawOpen", 0.3)
    assert jaw(spoken(("ɑ", 0.2)), MouthStyle(strength=1.4, variation=0)) > 1.3 * jaw(spoken(("ɑ", 0.2)))
    sided = mouth(spoken(("ɛ", 0.2)), MouthStyle(asymmetry=0.2, variation=0))
    assert at(sided, "mouthStretchLeft", 0.3) > 1.3 * at(sided, "mouthStretchRight", 0.3)


def test_frames_show_the_same_curve_at_any_rate():
    rng = np.random.default_rng(3)
    speech = speak([Phrase("We saw five purple maps.")], Voice(), rng).speech
    times = np.arange(0, speech.duration, 0.04)
    slow, fast = (
        mouth_expression(speech, t, np.random.default_rng(1))
        for t in (times, np.arange(0, speech.duration, 0.01))
    )
    assert np.allclose(slow, fast[::4][: len(slow)], atol=1e-5)
    assert np.array_equal(slow, mouth_expression(speech, times, np.random.default_rng(1)))
    long = mouth_expression(speech, np.arange(400) / 25, np.random.default_rng(1))  # silence after the end
    assert np.allclose(long[: len(slow)], slow, atol=1e-5) and long[-1].max() < 1e-3


def test_unknown_sounds_are_named_once(caplog):
    mouth(spoken(("ʘ", 0.1)))
    mouth(spoken(("ʘ", 0.1)))
    assert sum("ʘ" in record.getMessage() for record in caplog.records) == 1


def test_talking_looks_like_talking():
    """Bounds around tracked faces of people who talk: opening follows loudness, moves at syllable rate."""
    follows, rates, spread = [], [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        voice = random_voice(rng)
        speech = speak(talk(rng, 8, voice.rate), voice, rng).speech
        curve = speech_to_expression(speech, 25, rng, random_style(rng))
        opening = curve[:, INDEX["jawOpen"]] - curve[:, INDEX["mouthClose"]]
        loud = np.convolve(speech.loudness, np.ones(5) / 5, "same")
        loud = np.interp(np.arange(len(opening)) / 25 * 100, np.arange(len(loud)), loud)
        follows.append(np.corrcoef(opening, loud)[0, 1])
        speed = np.gradient(opening) * 25
        power = np.abs(np.fft.rfft(speed * np.hanning(len(speed)), 2048)) ** 2
        hertz = np.fft.rfftfreq(2048, 1 / 25)
        rates.append((hertz * power).sum() / power.sum())
        spread.append(opening.std())
    assert np.median(follows) > 0.5
    assert 2 < np.median(rates) < 7
    assert 0.07 < np.median(spread) < 0.16
