"""A body that moves: rest and idle motion with acts laid over them, one frame after the other.

Speakers and listeners share it. An act is a gesture of some kind of event. It begins in the present frame,
lasts for a known time and cannot be taken back, so its event is exact. What would move the same part of the
body at the same time has to be left out or to wait: `Body.free` tells.
"""

from __future__ import annotations

from zlib import crc32

import numpy as np

from headgen.synth.heads.expressions import EXPRESSIONS, INDEX, expression
from headgen.synth.heads.model import HeadMotion
from headgen.synth.motion.curves import drift
from headgen.synth.motion.face import DRIFT, DRIFT_SECONDS
from headgen.synth.motion.gaze import EYE_LIMITS, gaze
from headgen.synth.motion.gestures import bump, gesture
from headgen.synth.motion.head_pose import head_pose, posture

PARTS_MOVED: dict[str, frozenset[str]] = {
    "nod": frozenset({"head"}),
    "nods": frozenset({"head"}),
    "shake": frozenset({"head"}),
    "tilt": frozenset({"head"}),
    "laugh": frozenset({"head", "mouth"}),
    "smile": frozenset({"mouth"}),
    "back_channel": frozenset({"mouth"}),
    "surprise": frozenset({"brows", "mouth"}),
    "brow_raise": frozenset({"brows"}),
    "frown": frozenset({"brows"}),
    "blink": frozenset({"lids"}),
    "gaze_away": frozenset({"eyes"}),
    "posture_shift": frozenset({"torso"}),
}
"""What an act keeps busy: two acts never move the same part at the same time."""
BREAK = 0.12
"""Seconds of rest of a part between two acts, so that their curves stay apart."""

HEAD_ROOM = np.array([14.0, 9.0, 9.0])
"""Degrees that a speaker's head strays without a reason, at most; two fifths of it for a listener.

Our design: restlessness comes in rare bursts of any size, which would hide a nod or pass for one.
"""

SLOWED = 0.25
"""Pace of the head's restlessness during a gesture of the head."""

FACE, HEAD, GAZE = slice(0, 52), slice(52, 55), slice(55, 57)
PLACE, TORSO = slice(57, 60), slice(60, 63)
WIDTH = 63
BLINKS = [INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]
WIDE = [INDEX["eyeWideLeft"], INDEX["eyeWideRight"]]
SMILES = [INDEX["mouthSmileLeft"], INDEX["mouthSmileRight"]]
AGAINST_SMILES = [INDEX[name + side] for name in ("mouthFrown", "mouthPress") for side in ("Left", "Right")]


def generator(seed: int, name: str, *numbers: int) -> np.random.Generator:
    """A stream of random numbers that depends on what it is for, not on what was drawn before."""
    return np.random.default_rng([seed, crc32(name.encode()), *numbers])


def rows(motion: HeadMotion) -> np.ndarray:
    """(T, 63) all curves of a motion side by side."""
    return np.concatenate(
        [motion.expression, motion.head, motion.gaze, motion.translation, motion.torso], axis=1
    )


def from_rows(values: np.ndarray) -> HeadMotion:
    """The motion whose curves (T, 63) lie side by side."""
    values = np.asarray(values, np.float32)
    return HeadMotion(*(values[:, part] for part in (FACE, HEAD, GAZE, PLACE, TORSO)))


class Body:
    """One person's motion so far, and the acts that are under way.

    Args:
        seed: of the idle motion; nothing else of the idle motion depends on the conversation.
        fps: frames per second.
        speaking: whether the head moves as a speaker's does.
        liveliness: 1 for the median person.
        face: (52,) expression at rest.
        head: (3,) yaw, pitch, roll at rest, degrees.
    """

    def __init__(
        self,
        seed: int,
        fps: float,
        speaking: bool,
        liveliness: float,
        face: np.ndarray,
        head: np.ndarray,
    ) -> None:
        self.seed, self.fps, self.speaking, self.liveliness = seed, fps, speaking, liveliness
        self.frame = 0
        self.clock, self.pace = 0.0, 1.0
        self.rest = np.zeros(WIDTH)
        self.rest[FACE], self.rest[HEAD] = face, head
        self.ahead = np.zeros((round(8 * fps), WIDTH))
        self.busy: dict[str, int] = {}
        self.idle = self._idle(round(20 * fps))

    def free(self, kind: str) -> bool:
        """Whether an act of this kind may begin in the present frame."""
        return all(self.busy.get(part, 0) <= self.frame for part in PARTS_MOVED[kind])

    def begin(
        self, kind: str, strength: float, duration: float, rng: np.random.Generator, sideways: int = 0
    ) -> tuple[float, float]:
        """Begins an act in the present frame.

        Args:
            kind: one of `PARTS_MOVED`.
            strength: 0 to 1.
            duration: seconds.
            rng: for this act alone.
            sideways: -1 to the picture's left, 1 to its right, 0 for either.

        Returns:
            start and end in seconds, on frames.
        """
        if kind == "back_channel":
            offsets = murmur(strength, duration, self.fps)
        else:
            offsets = rows(gesture(kind, strength, duration, self.fps, rng))
        if sideways:
            offsets = towards(offsets, kind, sideways)
        if kind == "gaze_away":  # against the head, which takes part: back to a direction in the world
            offsets[:, GAZE] += offsets[:, HEAD][:, :2]
        frames = len(offsets)
        if frames > len(self.ahead):
            more = np.zeros((frames - len(self.ahead), WIDTH))
            self.ahead = np.concatenate([self.ahead, more])
        self.ahead[:frames] += offsets
        for part in PARTS_MOVED[kind]:
            self.busy[part] = self.frame + frames + round(BREAK * self.fps)
        return self.frame / self.fps, (self.frame + frames - 1) / self.fps

    def step(self, face: np.ndarray | None = None) -> HeadMotion:
        """The present frame; after it the next one is present.

        Args:
            face: (52,) expression of speech, to be added.
        """
        if self.frame >= len(self.idle):
            self.idle = self._idle(2 * len(self.idle))
        row = self.rest + self.idle[self.frame] + self.ahead[0]
        row[HEAD] += self._restlessness() - self.idle[self.frame, HEAD]
        if face is not None:
            row[FACE] += face
        self.ahead[:-1] = self.ahead[1:]
        self.ahead[-1] = 0
        self.frame += 1
        self._settle(row)
        return from_rows(row[None])

    def _restlessness(self) -> np.ndarray:
        """Idle angles of the head, (3,); their clock goes slower while a gesture moves the head.

        Our design: so the gesture is what one sees, and nothing jumps when it begins or ends.
        """
        before = int(self.clock)
        share = self.clock - before
        angles = (1 - share) * self.idle[before, HEAD] + share * self.idle[min(before + 1, self.frame), HEAD]
        wanted = SLOWED if self.busy.get("head", 0) > self.frame else 1.0
        self.pace += min(1.0, 10 / self.fps) * (wanted - self.pace)
        self.clock += self.pace
        return angles

    def _settle(self, row: np.ndarray) -> None:
        """Keeps a frame possible: coefficients from 0 to 1, eyes on their target while the head moves."""
        smile = row[SMILES].mean()
        row[AGAINST_SMILES] *= 1 - np.clip(1.5 * smile, 0, 1)
        row[WIDE] *= 1 - np.clip(row[BLINKS], 0, 1)
        row[FACE] = np.clip(row[FACE], 0, 1)
        # Vestibulo-ocular reflex: gaze acts and fixations are directions in the world.
        eyes = row[GAZE] - row[HEAD][:2] - row[TORSO][:2]
        row[GAZE] = np.clip(eyes, -EYE_LIMITS, EYE_LIMITS)

    def _idle(self, frames: int) -> np.ndarray:
        """(T, 63) motion without a reason; the first frames of a longer one are the same."""
        out = np.zeros((frames, WIDTH))
        # Shifts of posture are acts here: the posture is the one of the clip's beginning, swayed in.
        held = posture(frames, self.fps, generator(self.seed, "posture"), self.liveliness, rate=1e-9)
        stream = generator(self.seed, "head")
        room = HEAD_ROOM if self.speaking else 0.4 * HEAD_ROOM
        restless = head_pose(frames, self.fps, stream, self.liveliness, self.speaking)
        out[:, HEAD] = held.head + room * np.tanh(restless / room)
        out[:, PLACE], out[:, TORSO] = held.translation, held.torso
        stream = generator(self.seed, "face")
        for (name, height), own in zip(DRIFT.items(), stream.spawn(len(DRIFT)), strict=True):
            wander = drift(frames, self.fps, own, DRIFT_SECONDS)
            out[:, FACE] += 0.6 * height * np.maximum(wander, 0) * expression({name: 1.0})
        still = np.zeros((frames, 3))
        out[:, GAZE] = gaze(frames, self.fps, generator(self.seed, "gaze"), still, away_share=0.0).gaze
        return out


def murmur(strength: float, duration: float, fps: float) -> np.ndarray:
    """Offsets (T, 63) of a mouth that says "mm-hm" behind nearly closed lips: two small drops of the jaw.

    Args:
        strength: 0 to 1.
        duration: seconds.
        fps: frames/s.
    """
    steps = max(round(duration * fps), 4)
    times = np.arange(steps + 1) / steps
    curve = bump(times, 0.0, 0.2, 0.05, 0.2) + bump(times, 0.5, 0.2, 0.05, 0.25)
    face = {"jawOpen": 0.10 + 0.12 * strength, "mouthClose": 0.05, "mouthShrugLower": 0.15, "mouthPress": 0.1}
    out = np.zeros((steps + 1, WIDTH))
    out[:, FACE] = curve[:, None] * expression(face)
    return out


def towards(offsets: np.ndarray, kind: str, sideways: int) -> np.ndarray:
    """Offsets (T, 63) of a tilt or shift to the wanted side, mirrored if they went to the other one."""
    column = HEAD.start + 2 if kind == "tilt" else PLACE.start
    curve = offsets[:, column]
    if np.sign(curve[np.abs(curve).argmax()]) == sideways:
        return offsets
    mirrored = offsets.copy()
    # x of the place, yaw and roll of head and torso, yaw of the eyes
    for k in (HEAD.start, HEAD.start + 2, GAZE.start, PLACE.start, TORSO.start, TORSO.start + 2):
        mirrored[:, k] *= -1
    swapped = [INDEX[mirror_name(name)] for name in EXPRESSIONS]
    mirrored[:, FACE] = mirrored[:, FACE][:, swapped]
    return mirrored


def mirror_name(name: str) -> str:
    """The same shape of the other half of the face."""
    if name.endswith("Left") and name.removesuffix("Left") + "Right" in INDEX:
        return name.removesuffix("Left") + "Right"
    if name.endswith("Right") and name.removesuffix("Right") + "Left" in INDEX:
        return name.removesuffix("Right") + "Left"
    return name
