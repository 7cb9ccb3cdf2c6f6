"""Whether events and motion agree: every event can be seen in its curve, and no curve hides an event.

Made for tests and for whoever makes data sets: a clip that fails is a bug, not bad luck.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.signal import find_peaks

from headgen.synth.conversation.conversation import Conversation
from headgen.synth.conversation.events import Event
from headgen.synth.conversation.rules import LATENCY_BOUNDS
from headgen.synth.heads.expressions import INDEX
from headgen.synth.heads.model import HeadMotion
from headgen.synth.speech.prosody import voice_activity
from headgen.synth.speech.track import CONTROL_RATE, Speech

SHARE = 0.4
"""Of its full extent that an act must at least reach; idle motion may work against it."""
LARGE = {"blink": 0.6, "smile": 0.45, "brow_raise": 0.4, "frown": 0.4, "gaze_away": 8.0, "posture_shift": 1.5}
"""Height (coefficient, degrees or cm) that nothing but an event reaches."""
QUICK_TURN = {"speaker": 12.0, "listener": 5.0}
"""Degrees off its mean over 0.8 s that a head reaches in an event only; speech itself moves the head."""
TURNS = ("nod", "nods", "shake", "tilt", "laugh", "surprise", "gaze_away", "posture_shift")
"""Kinds that turn the head."""


def level(motion: HeadMotion, *names: str) -> np.ndarray:
    """(T,) mean of shapes; a name without its side stands for both."""
    columns = [INDEX[n] for name in names for n in (name, f"{name}Left", f"{name}Right") if n in INDEX]
    return motion.expression[:, columns].mean(1)


def sight(motion: HeadMotion) -> np.ndarray:
    """(T,) degrees between the line of sight and the partner."""
    return np.hypot(*(motion.gaze + motion.head[:, :2] + motion.torso[:, :2]).T)


def away_from_ends(curve: np.ndarray) -> np.ndarray:
    """(T,) a curve less the straight line from its first to its last value."""
    return curve - np.linspace(curve[0], curve[-1], len(curve))


def _nod(motion: HeadMotion, strength: float) -> bool:
    return -away_from_ends(motion.head[:, 1]).min() > SHARE * 0.85 * (2 + 10 * strength)


def _nods(motion: HeadMotion, strength: float) -> bool:
    pitch = away_from_ends(motion.head[:, 1])
    extent = -pitch.min()
    dips, _ = find_peaks(-pitch, prominence=0.2 * extent)
    return extent > SHARE * 0.8 * (2 + 8 * strength) and len(dips) >= 2


def _shake(motion: HeadMotion, strength: float) -> bool:
    yaw = away_from_ends(motion.head[:, 0])
    return np.ptp(yaw) > SHARE * 1.3 * (2 + 9 * strength) and yaw.min() < 0 < yaw.max()


def _tilt(motion: HeadMotion, strength: float) -> bool:
    return np.abs(away_from_ends(motion.head[:, 2])).max() > SHARE * (3 + 10 * strength)


def _rise(curve: np.ndarray) -> float:
    return float(away_from_ends(curve).max())


def _smile(motion: HeadMotion, strength: float) -> bool:
    return _rise(level(motion, "mouthSmile")) > SHARE * strength


def _laugh(motion: HeadMotion, strength: float) -> bool:
    shoulders = np.abs(np.diff(motion.translation[:, 1])).max()
    return _smile(motion, 0.5 + 0.5 * strength) and shoulders > 0.06 * strength


def _brow_raise(motion: HeadMotion, strength: float) -> bool:
    return _rise(level(motion, "browInnerUp", "browOuterUp")) > SHARE * strength


def _frown(motion: HeadMotion, strength: float) -> bool:
    return _rise(level(motion, "browDown")) > SHARE * strength


def _surprise(motion: HeadMotion, strength: float) -> bool:
    jaw = _rise(level(motion, "jawOpen"))
    return _brow_raise(motion, strength) and jaw > SHARE * 0.45 * strength


def _blink(motion: HeadMotion, strength: float) -> bool:
    # The moment of full closure may lie between two frames.
    return _rise(level(motion, "eyeBlink")) > SHARE * (0.4 + 0.6 * strength)


def _gaze_away(motion: HeadMotion, strength: float) -> bool:
    return sight(motion)[len(motion) // 2] > SHARE * (9 + 15 * strength)


def _posture_shift(motion: HeadMotion, strength: float) -> bool:
    return np.abs(away_from_ends(motion.translation[:, 0])).max() > SHARE * 3 * strength


def _back_channel(motion: HeadMotion, strength: float) -> bool:
    return _rise(level(motion, "jawOpen")) > SHARE * (0.1 + 0.12 * strength)


VISIBLE: dict[str, Callable[[HeadMotion, float], bool]] = {
    "nod": _nod,
    "nods": _nods,
    "shake": _shake,
    "tilt": _tilt,
    "smile": _smile,
    "laugh": _laugh,
    "brow_raise": _brow_raise,
    "frown": _frown,
    "surprise": _surprise,
    "blink": _blink,
    "gaze_away": _gaze_away,
    "posture_shift": _posture_shift,
    "back_channel": _back_channel,
}
"""Whether an act of a strength shows in the motion from its first to its last frame, by kind."""

SPOKEN = ("phrase", "question", "filler")


def check_events(conversation: Conversation) -> list[str]:
    """What does not fit in a conversation, in words; nothing when all is well.

    Checked are: every act of both people against its curve, unless the clip's end cuts it off; every stretch
    of speech and every pause against the sound; everything large in the curves against the events; and that
    causes are the speaker's, come before their effects, and lie a reaction time back.
    """
    found = []
    motions = {"speaker": conversation.speaker, "listener": conversation.listener}
    for event in conversation.events:
        seen = VISIBLE.get(event.kind)
        cut_off = event.end >= conversation.duration - 0.5 / conversation.fps
        if seen is not None and not cut_off:
            first, last = round(event.start * conversation.fps), round(event.end * conversation.fps)
            if not seen(motions[event.who][first : last + 1], event.strength):
                found.append(f"{_name(event)} does not show in the motion")
        found += _heard(event, conversation.speech) + _caused(event, conversation)
    for who, motion in motions.items():
        found += _unlisted(who, motion, conversation.of(who), conversation.fps)
    return found


def _name(event: Event) -> str:
    return f"event {event.number} ({event.who}, {event.kind}, {event.start:.2f} to {event.end:.2f} s)"


def _heard(event: Event, speech: Speech) -> list[str]:
    first, last = round(event.start * CONTROL_RATE), round(event.end * CONTROL_RATE)
    if event.kind == "pause" and voice_activity(speech.loudness)[first:last].any():
        return [f"{_name(event)}: somebody speaks"]
    if event.kind in SPOKEN and last - first > 5 and not voice_activity(speech.loudness)[first:last].any():
        return [f"{_name(event)}: nobody speaks"]
    return []


def _caused(event: Event, conversation: Conversation) -> list[str]:
    if event.cause is None:
        return [] if event.delay is None else [f"{_name(event)} has a delay but no cause"]
    cause = conversation.events[event.cause]
    if cause.who != "speaker" or event.who != "listener":
        return [f"{_name(event)}: {_name(cause)} is no cause for it"]
    if (
        event.delay is None
        or event.delay < LATENCY_BOUNDS[0] - 1e-6
        or cause.start > event.start - event.delay
    ):
        return [f"{_name(event)} comes too early for {_name(cause)}"]
    return []


def _unlisted(who: str, motion: HeadMotion, events: list[Event], fps: float) -> list[str]:
    """Large motion at times at which no event of its kind is listed."""
    curves = {
        "blink": (level(motion, "eyeBlink"), ("blink",)),
        "smile": (level(motion, "mouthSmile"), ("smile", "laugh")),
        "brow_raise": (level(motion, "browInnerUp", "browOuterUp"), ("brow_raise", "surprise")),
        "frown": (level(motion, "browDown"), ("frown",)),
        "gaze_away": (sight(motion), ("gaze_away",)),
        "posture_shift": (np.abs(motion.translation[:, 0] - motion.translation[0, 0]), ("posture_shift",)),
    }
    found = []
    window = 2 * round(0.4 * fps) + 1
    quick = np.abs(motion.head - uniform_filter1d(motion.head, window, axis=0)).max(1)
    for event in events:
        if event.kind in TURNS:
            quick[
                max(round(event.start * fps) - window // 2, 0) : round(event.end * fps) + window // 2 + 1
            ] = 0
    if quick.max() > QUICK_TURN[who]:
        found.append(f"{who}: an unlisted turn of the head at {quick.argmax() / fps:.2f} s")
    for kind, (curve, explained) in curves.items():
        large = curve > LARGE[kind]
        for event in events:
            if event.kind in explained:
                large[round(event.start * fps) : round(event.end * fps) + 1] = False
        if large.any():
            at = int(large.argmax())
            found.append(f"{who}: an unlisted {kind} at {at / fps:.2f} s ({curve[at]:.2f})")
    return found
