"""A conversation: one person speaks, another one listens, and every event is known with its cause."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from headgen.errors import InputError
from headgen.synth.conversation.asked import Ask
from headgen.synth.conversation.attitude import check, drawn_attitude
from headgen.synth.conversation.captions import Caption, write_captions
from headgen.synth.conversation.events import Event
from headgen.synth.conversation.listener import Act, ListenerModel
from headgen.synth.conversation.senses import PAUSE, SpeakerFrame
from headgen.synth.conversation.speaker import Stretch, perform, stretches
from headgen.synth.heads.model import HeadMotion, joined
from headgen.synth.speech.espeak import Spoken, speak
from headgen.synth.speech.prosody import LOW_LASTS
from headgen.synth.speech.texts import talk
from headgen.synth.speech.track import CONTROL_RATE, SAMPLE_RATE, Speech
from headgen.synth.speech.voices import random_voice

CAUSES: dict[str, tuple[str, ...]] = {
    "pause": ("pause",),
    "low_pitch": ("low_pitch",),
    "emphasis": ("emphasis",),
    "question": ("question", "pause"),
    "smile": ("smile", "laugh"),
    "laugh": ("laugh", "smile"),
    "nod": ("nod", "shake", "laugh"),
    "brow_raise": ("brow_raise",),
    "posture_shift": ("posture_shift",),
}
"""Which events of the speaker a percept may come from, the likeliest first."""
SAME_CAUSE = 1.0
"""Seconds that a percept may lie off the time at which its event could be known first."""


@dataclass(frozen=True)
class Conversation:
    """A speaker and a listener.

    Attributes:
        speech: what the speaker says.
        speaker: the speaker's motion, T frames.
        listener: the listener's motion, T frames.
        events: of both, in order of time; an event's number is its place.
        attitude: of the listener.
        intensity: of the attitude, 0 to 1.
        captions: of both, in several phrasings.
        seed: that all of it came from.
        fps: frames per second.
    """

    speech: Speech
    speaker: HeadMotion
    listener: HeadMotion
    events: tuple[Event, ...]
    attitude: str
    intensity: float
    captions: tuple[Caption, ...]
    seed: int
    fps: float

    @cached_property
    def duration(self) -> float:
        """Seconds of motion."""
        return len(self.listener) / self.fps

    def of(self, who: str) -> list[Event]:
        """The events of one of the two, in order of time."""
        return [event for event in self.events if event.who == who]


def make_conversation(
    seed: int,
    duration: float,
    attitude: str | None = None,
    intensity: float | None = None,
    fps: float = 25.0,
    speech: Speech | None = None,
    mood: str | None = None,
    sex: str | None = None,
) -> Conversation:
    """Makes up a conversation.

    Args:
        seed: the same seed gives the same conversation.
        duration: seconds; cut to whole frames, and to what `speech` has.
        attitude: of the listener; drawn if None.
        intensity: 0 to 1; drawn if None.
        fps: frames per second.
        speech: what the speaker says; made up if None.
        mood: sentiment that made-up speech prefers; any if None.
        sex: ``female`` or ``male``, of the voice; drawn if None.

    Raises:
        InputError: an unknown attitude, or numbers out of range.
        MissingExtraError: speech has to be made up and espeak-ng is not installed.
    """
    if not duration >= 1 or not fps >= 10:
        raise InputError(
            f"a conversation of {duration} s at {fps} frames/s: give at least 1 s and 10 frames/s"
        )
    choice, voice, words, performance, listening = np.random.default_rng(seed).spawn(5)
    drawn, level = drawn_attitude(choice)
    attitude = drawn if attitude is None else attitude
    intensity = level if intensity is None else intensity
    check(attitude, intensity)
    if speech is None:
        who = random_voice(voice, sex)
        spoken = speak(
            talk(words, duration, who.rate, mood), who, words, before=float(words.uniform(0.2, 0.8))
        )
        speech, said = cut(spoken.speech, duration), known_stretches(spoken, duration)
    else:
        speech = cut(speech, min(duration, speech.duration))
        said = stretches(speech)
    speaker, told = perform(speech, said, fps, performance)
    listener, acts = listen(speech, speaker, int(listening.integers(2**62)), fps, attitude, intensity)
    events = all_events(told, acts, len(listener) / fps)
    captions = write_captions(events, len(listener) / fps, attitude, intensity, choice)
    return Conversation(speech, speaker, listener, events, attitude, intensity, captions, seed, fps)


def speaker_frames(speech: Speech, motion: HeadMotion, fps: float) -> Iterator[SpeakerFrame]:
    """What each frame brings to a listener: the sound before its time, and its picture."""
    heard = 0
    for frame in range(len(motion)):
        upto = min(int(frame * CONTROL_RATE / fps + 1e-6), len(speech.pitch))
        yield SpeakerFrame(speech.pitch[heard:upto], speech.loudness[heard:upto], motion[frame : frame + 1])
        heard = upto


def listen(
    speech: Speech,
    motion: HeadMotion,
    seed: int,
    fps: float,
    attitude: str,
    intensity: float,
    asks: Sequence[Ask] = (),
) -> tuple[HeadMotion, list[Act]]:
    """Lets a listener attend to a whole clip.

    Args:
        speech: of the speaker.
        motion: of the speaker, T frames.
        seed: of the listener.
        fps: frames per second.
        attitude: of the listener.
        intensity: 0 to 1.
        asks: what the listener is asked for besides.

    Returns:
        the listener's motion, T frames, and acts in order of time.
    """
    model = ListenerModel(seed, fps, attitude, intensity, asks)
    motions, acts = [], []
    for frame in speaker_frames(speech, motion, fps):
        moved, begun = model.step(frame)
        motions.append(moved)
        acts += begun
    return joined(motions), acts


def all_events(told: Sequence[Event], acts: Sequence[Act], duration: float) -> tuple[Event, ...]:
    """One list of the speaker's and the listener's events, numbered by time, with causes.

    Args:
        told: the speaker's.
        acts: the listener's.
        duration: seconds, at which events end that go on.
    """
    both: list[tuple[float, int, Event, Event | None]] = [(e.start, 0, e, None) for e in told]
    for act in acts:
        cause = cause_of(act, told)
        delay = None if cause is None or act.known is None else act.start - act.known
        event = Event(
            act.kind, "listener", act.start, min(act.end, duration), act.strength, 0, None, delay, act.text
        )
        both.append((act.start, 1, event, cause))
    both.sort(key=lambda item: item[:2])
    numbers = {id(event): number for number, (_, _, event, _) in enumerate(both)}
    return tuple(
        replace(event, number=number, cause=None if cause is None else numbers[id(cause)])
        for number, (_, _, event, cause) in enumerate(both)
    )


def cause_of(act: Act, told: Sequence[Event]) -> Event | None:
    """The speaker's event that set off an act: of the right kind, and known when the listener noticed it."""
    if act.percept is None or act.known is None:
        return None
    for kind in CAUSES[act.percept.kind]:
        near = [
            (abs(knowable(e) - act.known), k, e)
            for k, e in enumerate(told)
            if e.kind == kind and e.start <= act.known
        ]
        within = [item for item in near if item[0] <= SAME_CAUSE + (item[2].end - item[2].start) / 2]
        if within:
            return min(within)[2]
    return None


def knowable(event: Event) -> float:
    """Seconds, when an event of the speaker can be noticed first."""
    if event.kind == "pause":
        return event.start + PAUSE
    if event.kind == "low_pitch":
        return event.start + LOW_LASTS
    if event.kind == "question":
        return event.end + PAUSE
    return (event.start + event.end) / 2


def known_stretches(spoken: Spoken, duration: float) -> list[Stretch]:
    """Phrases of made-up speech that begin before the end."""
    out = []
    for span in spoken.spans:
        if span.start >= duration - 0.1:
            continue
        words = spoken.speech.words[span.words.start : span.words.stop]
        stressed = tuple(words[k] for k in span.phrase.emphasis if k < len(words))
        out.append(
            Stretch(
                span.phrase.kind, span.start, min(span.end, duration), span.phrase.text, stressed, words,
                span.phrase.sentiment,
            )
        )  # fmt: skip
    return out


def cut(speech: Speech, duration: float) -> Speech:
    """Exactly so many seconds of speech: the end is faded out over 20 ms, or silence added."""
    count, values = round(duration * SAMPLE_RATE), int(duration * CONTROL_RATE + 1e-6)
    samples = np.zeros(count, np.float32)
    kept = min(count, len(speech.samples))
    samples[:kept] = speech.samples[:kept]
    if kept < len(speech.samples):
        fade = min(SAMPLE_RATE // 50, kept)
        samples[kept - fade : kept] *= np.linspace(1, 0, fade, dtype=np.float32)
    pitch, loudness = np.zeros(values, np.float32), np.zeros(values, np.float32)
    pitch[: len(speech.pitch)] = speech.pitch[:values]
    loudness[: len(speech.loudness)] = speech.loudness[:values]
    phones = tuple(replace(p, end=min(p.end, duration)) for p in speech.phones if p.start < duration)
    words = tuple(replace(w, end=min(w.end, duration)) for w in speech.words if w.start < duration)
    return Speech(samples, phones, words, pitch, loudness)
