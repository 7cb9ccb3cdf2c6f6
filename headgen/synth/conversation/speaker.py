"""The speaker: what is said, and how head, brows, mouth and eyes go with it.

What is said is either made up (`headgen.synth.speech`) or given. Gestures go with the words as is published:

- nods and raised brows with stressed words (Ekman 1979, "About brows": batons; Hadar, Steiner & Rose 1984);
- head shakes with negation and intensification (McClave 2000, "Linguistic functions of head movements");
- raised brows with questions (Ekman 1979);
- looks away when planning and in hesitations, looks at the listener when a phrase ends (Kendon 1967);
- blinks at the ends of phrases (Nakano & Kitazawa 2010);
- shifts of posture between topics (Cassell et al. 2001, "Non-verbal cues for discourse structure").

Our design: how likely each is, as the tables at the top state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from headgen.synth.conversation.body import BREAK, PARTS_MOVED, Body
from headgen.synth.conversation.events import Event
from headgen.synth.conversation.senses import Ear
from headgen.synth.heads.expressions import expression
from headgen.synth.heads.model import HeadMotion, joined
from headgen.synth.motion.blinks import SPEAKING_RATE
from headgen.synth.speech.prosody import low_pitch_regions, pauses, voice_activity
from headgen.synth.speech.recorded import spectrum_to_expression
from headgen.synth.speech.track import CONTROL_RATE, Speech, Word
from headgen.synth.speech.visemes import random_style, speech_to_expression

CHANCE = {
    "nod at an emphasis": 0.5,
    "shake at a negation": 0.5,
    "brows at an emphasis": 0.35,
    "brows at a question": 0.75,
    "nod at an end": 0.2,
    "smile at a happy phrase": 0.85,
    "smile at another phrase": 0.04,
    "look away before a thought": 0.7,
    "look away within a thought": 0.5,
    "look away at a filler": 0.8,
    "blink at an end": 0.5,
    "shift at a long pause": 0.15,
}
"""Probability of each per occasion."""
LONG_PAUSE = 0.5
"""Seconds of silence before which a thought ends and after which the next one is planned."""
SHIFTS_PER_MINUTE = 1.0
NEGATIONS = frozenset(
    {"no", "not", "never", "nobody", "nothing", "none", "can't", "don't", "didn't", "won't"}
)
FILLERS = frozenset({"um", "uh", "er", "erm", "hmm"})
SHORTEST_SMILE = 1.0
"""Seconds; a shorter one is not shown."""
SAME_EMPHASIS = 0.35
"""Seconds within which an emphasis that is heard is the one that was meant."""


Heard = tuple[str, float, float, float, str]
"""Kind, start, end, strength and text of something in the sound."""


@dataclass(frozen=True)
class Stretch:
    """Something said in one go.

    Attributes:
        kind: ``phrase``, ``question``, ``filler`` or ``laugh``.
        start, end: seconds.
        text: words; empty for recorded speech.
        stressed: the words that are emphasised on purpose.
        words: all its words.
        sentiment: as in `headgen.synth.speech.texts.Phrase`.
    """

    kind: str
    start: float
    end: float
    text: str = ""
    stressed: tuple[Word, ...] = ()
    words: tuple[Word, ...] = ()
    sentiment: str = "neutral"


@dataclass(frozen=True)
class Gesture:
    """An act that a speaker plans.

    Attributes:
        kind: of event.
        start: seconds.
        duration: seconds.
        strength: 0 to 1.
    """

    kind: str
    start: float
    duration: float
    strength: float


def stretches(speech: Speech) -> list[Stretch]:
    """Phrases of speech that comes without them: by its words' punctuation, or else by its silences."""
    if not speech.words:
        active = voice_activity(speech.loudness)
        voiced = np.flatnonzero(active) / CONTROL_RATE
        if not len(voiced):
            return []
        silences = pauses(speech.loudness)
        starts = [float(voiced[0]), *(s.end for s in silences if s.end < voiced[-1])]
        ends = [*(s.start for s in silences if s.end < voiced[-1]), float(voiced[-1])]
        return [Stretch("phrase", a, b) for a, b in zip(starts, ends, strict=True)]
    found, group = [], []
    for k, word in enumerate(speech.words):
        group.append(word)
        last = k + 1 == len(speech.words)
        if last or word.text[-1:] in ".!?,;:" or speech.words[k + 1].start - word.end > LONG_PAUSE:
            text = " ".join(w.text for w in group)
            bare = {w.text.strip(".,!?;:").lower() for w in group}
            kind = "question" if text.endswith("?") else "filler" if bare <= FILLERS else "phrase"
            found.append(Stretch(kind, group[0].start, group[-1].end, text, words=tuple(group)))
            group = []
    return found


def speech_events(speech: Speech, said: Sequence[Stretch]) -> list[Heard]:
    """Kind, start, end, strength and text of everything that can be heard.

    An emphasis is a word that is stressed on purpose (strength 0.8), or a place that anybody hears as one
    (`Ear`, with the strength heard): its word, or 0.3 s of recorded speech.
    """
    found = [(s.kind, s.start, s.end, 1.0, s.text) for s in said]
    found += [
        ("pause", p.start, p.end, min(1.0, (p.end - p.start) / 1.5), "") for p in pauses(speech.loudness)
    ]
    regions = low_pitch_regions(speech.pitch, speech.loudness)
    found += [("low_pitch", r.start, r.end, 0.5, "") for r in regions]
    meant = [word for stretch in said for word in stretch.stressed]
    found += [("emphasis", word.start, word.end, 0.8, word.text) for word in meant]
    taken = [(word.start, word.end) for word in meant]
    ear = Ear()
    for k in range(len(speech.pitch)):
        for kind, strength in ear.hear(speech.pitch[k : k + 1], speech.loudness[k : k + 1]):
            peak = (k + 1) / CONTROL_RATE - 0.1
            near = any(a - SAME_EMPHASIS <= peak <= b + SAME_EMPHASIS for a, b in taken)
            if kind == "emphasis" and not near:
                word = next((w for w in speech.words if w.start <= peak <= w.end), None)
                start, end = (word.start, word.end) if word else (max(peak - 0.2, 0.0), peak + 0.1)
                found.append(("emphasis", start, end, strength, word.text if word else ""))
                taken.append((start, end))
    return found


def plan(
    said: Sequence[Stretch], heard: Sequence[Heard], duration: float, rng: np.random.Generator
) -> list[Gesture]:
    """Gestures that go with what is said, in order of time; those that clash are sorted out later."""
    out: list[Gesture] = []

    def maybe(what: str) -> bool:
        return bool(rng.random() < CHANCE[what])

    for kind, start, end, strength, text in heard:
        if kind != "emphasis":
            continue
        bare = text.strip(".,!?;:").lower()
        if bare in NEGATIONS and maybe("shake at a negation"):
            out.append(Gesture("shake", start - 0.1, rng.uniform(0.8, 1.2), 0.4 + 0.5 * strength))
        elif maybe("nod at an emphasis"):
            out.append(Gesture("nod", start, rng.uniform(0.45, 0.7), 0.4 + 0.5 * strength))
        if maybe("brows at an emphasis"):
            out.append(
                Gesture("brow_raise", start - 0.1, end - start + rng.uniform(0.3, 0.6), 0.4 + 0.5 * strength)
            )
    ended = -10.0
    for k, part in enumerate(said):
        follows = said[k + 1].start if k + 1 < len(said) else duration
        long_before, long_after = part.start - ended > LONG_PAUSE, follows - part.end > LONG_PAUSE
        ended = part.end
        length = part.end - part.start
        if part.kind == "laugh":
            out.append(Gesture("laugh", part.start - 0.1, max(length, 0.8) + 0.3, rng.uniform(0.7, 1.0)))
            continue
        if part.kind == "filler":
            if maybe("look away at a filler"):
                out.append(
                    Gesture(
                        "gaze_away", part.start - 0.1, length + rng.uniform(0.2, 0.6), rng.uniform(0.4, 1)
                    )
                )
            continue
        if maybe("look away before a thought" if long_before else "look away within a thought"):
            away = min(rng.uniform(1.2, 4.0), max(length, 0.8))
            out.append(Gesture("gaze_away", part.start - 0.25, away, rng.uniform(0.4, 1.0)))
        if part.kind == "question" and maybe("brows at a question"):
            early = max(part.start, part.end - rng.uniform(0.5, 0.9))
            out.append(
                Gesture("brow_raise", early, part.end - early + rng.uniform(0.3, 0.6), rng.uniform(0.6, 1.0))
            )
        if part.sentiment == "surprised" and maybe("brows at a question"):
            out.append(Gesture("brow_raise", part.start, min(length, 1.5) + 0.3, rng.uniform(0.7, 1.0)))
        mood = "smile at a happy phrase" if part.sentiment == "happy" else "smile at another phrase"
        if part.sentiment != "sad" and maybe(mood):
            out.append(Gesture("smile", part.start, length + rng.uniform(0.6, 1.4), rng.uniform(0.5, 1.0)))
        if long_after and maybe("nod at an end"):
            out.append(Gesture("nod", part.end - 0.2, rng.uniform(0.45, 0.7), rng.uniform(0.4, 0.7)))
        if maybe("blink at an end"):
            out.append(Gesture("blink", part.end + rng.uniform(-0.1, 0.15), 0.28, 1.0))
        if long_after and maybe("shift at a long pause"):
            out.append(Gesture("posture_shift", part.end, rng.uniform(4.0, 8.0), rng.uniform(0.5, 1.0)))
    boundary = sum(gesture.kind == "blink" for gesture in out)
    own = max(SPEAKING_RATE * duration / 60 - boundary, 0.0)
    for time in rng.uniform(0, duration, rng.poisson(own)):
        out.append(Gesture("blink", float(time), float(0.28 * np.exp(0.12 * rng.standard_normal())), 1.0))
    for time in rng.uniform(0, duration, rng.poisson(SHIFTS_PER_MINUTE * duration / 60)):
        out.append(Gesture("posture_shift", float(time), rng.uniform(4.0, 8.0), rng.uniform(0.5, 1.0)))
    return without_clashes(out)


def without_clashes(planned: Sequence[Gesture]) -> list[Gesture]:
    """Gestures in order of time that leave room for laughter, which can be heard and must be seen.

    Smiles that lead to it end before it; what else would move the head or the mouth then is left out.
    """
    laughs = [item for item in planned if item.kind == "laugh"]
    out = []
    for item in planned:
        for laugh in laughs:
            if item.kind == "laugh" and laugh.start <= item.start:
                continue
            starts, ends = laugh.start - 2 * BREAK, laugh.start + laugh.duration + 2 * BREAK
            clash = bool(PARTS_MOVED[item.kind] & PARTS_MOVED["laugh"])
            if clash and item.start < ends and item.start + item.duration > starts:
                room = starts - item.start if item.kind in ("smile", "laugh") else 0.0
                item = replace(item, duration=room)
        if item.kind not in ("smile", "laugh") or item.duration >= SHORTEST_SMILE:
            out.append(item)
    return sorted((item for item in out if item.duration > 0), key=lambda item: item.start)


def perform(
    speech: Speech,
    said: Sequence[Stretch],
    fps: float,
    rng: np.random.Generator,
) -> tuple[HeadMotion, list[Event]]:
    """How somebody says it.

    Args:
        speech: what is heard.
        said: its phrases; `stretches` finds them where they are not known.
        fps: frames per second.
        rng: source of chance.

    Returns:
        motion of ``round(speech.duration * fps)`` frames, and events in order of time, numbered from 0.
    """
    frames = round(speech.duration * fps)
    end = frames / fps
    heard = [(k, a, min(b, end), s, t) for k, a, b, s, t in speech_events(speech, said) if a < end - 0.05]
    style = random_style(rng)
    if speech.phones:
        visemes = speech_to_expression(speech, fps, rng, style, frames)
    else:
        visemes = spectrum_to_expression(speech, fps, style, frames)
    liveliness = float(np.clip(np.exp(0.4 * rng.standard_normal()), 0.4, 2.2))
    body = Body(int(rng.integers(2**62)), fps, True, liveliness, expression({}), np.zeros(3))
    waiting = plan(said, heard, speech.duration, rng)
    found = [item for item in heard if item[0] != "laugh"]  # a laugh is an event where it is seen
    motions = []
    for frame in range(frames):
        while waiting and waiting[0].start * fps <= frame + 1e-6:
            act = waiting.pop(0)
            (stream,) = rng.spawn(1)
            if body.free(act.kind):
                strength = act.strength
                if "head" in PARTS_MOVED[act.kind]:  # gestures stand out from the restlessness around them
                    strength = min(strength * max(liveliness, 1.0) ** 0.5, 1.0)
                start, stop = body.begin(act.kind, strength, act.duration, stream)
                found.append((act.kind, start, min(stop, end), strength, ""))
        motions.append(body.step(visemes[frame]))
    found.sort(key=lambda item: (item[1], item[0]))
    events = [Event(k, "speaker", a, b, s, number, text=t) for number, (k, a, b, s, t) in enumerate(found)]
    return joined(motions), events
