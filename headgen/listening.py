"""What listener-gen trains on: conversations of the synthetic world as features and latents.

A data set is a folder::

    DIR/options.json                 what it is made with
    DIR/codec/                       the `WarpCodec` whose latents it holds
    DIR/clips/NAME.safetensors       a conversation's arrays, see `ListeningClip`
    DIR/clips/NAME.json              seed, attitude, events and captions; its presence says: finished

Half a minute of conversation takes three seconds of one core, against minutes for its pictures; none are
needed, since a listener is the portrait warped (`headgen.listener.latents`). Another listener to the same
speaker takes half a second more.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from headgen.errors import InputError
from headgen.faces.motion import motion_coefficients
from headgen.listener.latents import FRAMES_PER_LATENT, FaceMotion, WarpCodec
from headgen.listener.motion import motion_features
from headgen.listener.speech import speech_features
from headgen.listener.track import FPS, SAMPLE_RATE, SpeakerTrack
from headgen.media.tensors import write_tensors
from headgen.progress import ProgressCallback
from headgen.synth.characters import ModelName
from headgen.synth.conversation.asked import drawn_asks
from headgen.synth.conversation.attitude import drawn_attitude
from headgen.synth.conversation.conversation import Conversation, all_events, listen, make_conversation
from headgen.synth.dataset.records import SPLITS, clips_folder
from headgen.synth.dataset.runner import run
from headgen.synth.heads.expressions import EXPRESSIONS
from headgen.synth.heads.linear import LinearFace
from headgen.synth.heads.model import HeadModel, HeadMotion

CODEC_CONVERSATIONS = 24
"""Conversations whose listeners the codec's bases are fitted to."""
HELD_OUT = {"val": 10, "test": 10}
"""One in so many conversations belongs to each of these splits."""
VIEW_DEG = np.array([12.0, 7.0, 4.0])
"""How far the camera stands off the speaker's front: standard deviation of yaw, pitch and roll."""
TRACKER_NOISE, TRACKER_DRIFT = 0.0015, 0.004
"""Of speakers' landmarks, in outer-eye distances: from frame to frame, and within half a second."""
SEEN_GAZE, SEEN_MOUTH = (0.3, 0.9), (0.8, 2.2)
"""How much of a speaker's gaze a tracker sees, and how far people differ in opening their mouths."""
BLIND_SHARE = 0.1
"""Of speakers whose face is lost for a while."""
_MOUTH = [
    k for k, name in enumerate(EXPRESSIONS) if name.startswith(("jaw", "mouth")) and "Smile" not in name
]


@dataclass(frozen=True)
class Take:
    """Another listener to the speaker of a conversation.

    Attributes:
        latents: (F, P, D) float32.
        facts: ``seed``, ``attitude``, ``intensity``, ``asks`` (what the listener was asked for: ``kind``,
            ``level``, ``start`` and ``end``) and ``events`` (the listener's; a ``cause`` is the number of the
            speaker's event in those of the conversation).
    """

    latents: np.ndarray
    facts: dict[str, Any]


@dataclass(frozen=True)
class ListeningClip:
    """One conversation from the listener's side.

    Attributes:
        latents: (F, P, D) float32 of the listener.
        track: the speaker, F * G frames.
        speaker: (F * G, K) the speaker's own `headgen.faces.motion.MOTION_NAMES`.
        facts: ``seed``, ``split``, ``attitude``, ``intensity``, ``events`` and ``captions``.
        takes: other listeners to the same speaker.
    """

    latents: np.ndarray
    track: SpeakerTrack
    speaker: np.ndarray
    facts: dict[str, Any]
    takes: tuple[Take, ...] = ()


def make(
    count: int,
    output: Path,
    *,
    seconds: float = 30.0,
    seed: int = 0,
    model: ModelName = "analytic",
    assets: Path | None = None,
    takes: int = 0,
    asked: int = 0,
    workers: int = 1,
    progress: ProgressCallback | None = None,
) -> None:
    """Makes conversations without pictures, to train a listener on.

    The same options give the same files whatever the number of workers; a stopped run goes on where it
    stopped.

    Args:
        count: conversations.
        output: folder of the data set.
        seconds: of each conversation.
        seed: of the data set.
        model: faces that speak and listen, ``analytic`` (no files needed) or ``ict``.
        assets: folder with ``ict_facekit``; only for ``ict``.
        takes: further listeners to each speaker of the training split, with attitudes of their own.
        asked: the same, who besides are asked for something, to learn from what ``--text`` does.
        workers: processes.
        progress: called after every clip.

    Raises:
        InputError: numbers out of range, missing files, or a folder that was made with other options.
        MissingExtraError: the ``synth`` extra is not installed.
    """
    if takes < 0 or asked < 0:
        raise InputError(f"takes={takes}, asked={asked}: give 0 or more listeners")
    if count < 1 or seconds < 2:
        raise InputError(f"count={count}, seconds={seconds}: make at least one conversation of at least 2 s")
    output = Path(output)
    options = {"seconds": seconds, "seed": seed, "model": model, "takes": takes, "asked": asked}
    told = output / "options.json"
    if told.is_file():
        if {"takes": 0, "asked": 0, **json.loads(told.read_text(encoding="utf-8"))} != options:
            raise InputError(f"{output} was made with other options (options.json); name another folder")
    else:
        maker = ClipMaker(output, seconds, seed, model, assets)
        output.mkdir(parents=True, exist_ok=True)
        maker.fit_codec().save_pretrained(output / "codec")
        part = told.with_suffix(".json.part")
        part.write_text(json.dumps(options, indent=1) + "\n", encoding="utf-8")
        os.replace(part, told)
    width = max(5, len(str(count - 1)))
    names = [f"{k:0{width}d}" for k in range(count)]
    maker_of = partial(ClipMaker, output, seconds, seed, model, assets, width, takes, asked)
    run(output, names, maker_of, workers, progress)


class ClipMaker:
    """Makes the clip of a number; see `make` for the arguments."""

    def __init__(
        self, output: Path, seconds: float, seed: int, model: ModelName, assets: Path | None, width: int = 0,
        takes: int = 0, asked: int = 0,
    ) -> None:  # fmt: skip
        self.output, self.seconds, self.seed, self.width = output, seconds, seed, width
        self.takes, self.asked = takes, asked
        self.model = head_model(model, assets)
        self.listener = listener_face(self.model)
        self._codec: WarpCodec | None = None

    def fit_codec(self) -> WarpCodec:
        """A codec for the listeners of this world."""
        talks = [make_conversation(10**9 + k, 30.0) for k in range(CODEC_CONVERSATIONS)]
        return WarpCodec.fitted([self.motion(t) for t in talks])

    def motion(self, talk: Conversation) -> FaceMotion:
        """The listener's motion, in whole latent frames."""
        whole = len(talk.listener) // FRAMES_PER_LATENT * FRAMES_PER_LATENT
        return listener_motion(self.listener, talk.listener[:whole])

    def __call__(self, number: int) -> None:
        """Makes and writes a clip."""
        if self._codec is None:
            self._codec = WarpCodec.from_pretrained(self.output / "codec")
        clip = self.clip(number, self._codec)
        path = clips_folder(self.output) / f"{number:0{self.width}d}.safetensors"
        arrays = {
            "latents": clip.latents.astype(np.float16),
            "audio": clip.track.audio.astype(np.float16),
            "motion": clip.track.motion.astype(np.float16),
            "seen": clip.track.seen,
            "speaker": clip.speaker.astype(np.float32),
            **{f"take{k}": take.latents.astype(np.float16) for k, take in enumerate(clip.takes)},
        }
        write_tensors(path, arrays, {})
        part = path.with_suffix(".json.part")
        facts = {**clip.facts, "takes": [take.facts for take in clip.takes]}
        part.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        os.replace(part, path.with_suffix(".json"))

    def clip(self, number: int, codec: WarpCodec) -> ListeningClip:
        """Makes the clip of a number."""
        seed, view, others = np.random.default_rng([self.seed, number]).spawn(3)
        talk_seed = int(seed.integers(2**31))
        talk = make_conversation(talk_seed, self.seconds)
        motion = self.motion(talk)
        frames = len(motion)
        person = LinearFace.of(self.model, 0.7 * view.standard_normal(self.model.identities))
        landmarks = tracked(person, talk.speaker[:frames], view)
        speaker = motion_coefficients(landmarks, person.rest)
        features, seen = motion_features(hidden(landmarks, view))
        audio = speech_features(recorded(talk.speech.samples, view), frames)
        track = SpeakerTrack(audio, features, np.ones(frames, bool), seen)
        facts = {
            "seed": talk_seed,
            "split": split_of(number),
            "attitude": talk.attitude,
            "intensity": talk.intensity,
            "events": [e.as_dict() for e in talk.events],
            "captions": [asdict(c) for c in talk.captions],
        }
        count = self.takes + self.asked if facts["split"] == SPLITS[0] else 0
        takes = [
            self.take(talk, frames, k >= self.takes, codec, rng) for k, rng in enumerate(others.spawn(count))
        ]
        return ListeningClip(codec.encode(motion).numpy(), track, speaker, facts, tuple(takes))

    def take(
        self, talk: Conversation, frames: int, asked: bool, codec: WarpCodec, rng: np.random.Generator
    ) -> Take:
        """Another listener to the speaker of a conversation.

        Args:
            talk: the conversation.
            frames: of the take.
            asked: whether the listener is asked for something.
            codec: of the latents.
            rng: of this take.
        """
        seed = int(rng.integers(2**62))
        attitude, intensity = drawn_attitude(rng)
        asks = drawn_asks(talk.duration, rng) if asked else ()
        moved, acts = listen(talk.speech, talk.speaker, seed, talk.fps, attitude, intensity, asks)
        speaker = talk.of("speaker")
        events = all_events(speaker, acts, talk.duration)
        told = [event.number for event in events if event.who == "speaker"]
        number = dict(zip(told, (event.number for event in speaker), strict=True))
        own = [
            replace(event, cause=None if event.cause is None else number[event.cause])
            for event in events
            if event.who == "listener"
        ]
        facts = {
            "seed": seed,
            "attitude": attitude,
            "intensity": intensity,
            "asks": [ask.as_dict() for ask in asks],
            "events": [event.as_dict() for event in own],
        }
        latents = codec.encode(listener_motion(self.listener, moved[:frames])).numpy()
        return Take(latents, facts)


def head_model(name: ModelName, assets: Path | None = None) -> HeadModel:
    """The head model of a name.

    Raises:
        InputError: its files are missing, or there is none of that name.
    """
    if name == "analytic":
        from headgen.synth.heads.analytic import AnalyticModel

        return AnalyticModel()
    if name == "ict":
        from headgen.synth.heads.assets import find_ict
        from headgen.synth.heads.ict_model import IctModel

        return IctModel.load(find_ict(assets))
    raise InputError(f"model={name!r} is unknown; choose from analytic, ict")


def listener_face(model: HeadModel) -> LinearFace:
    """The face with which all listeners of a head model move."""
    return LinearFace.of(model, np.zeros(model.identities))


def listener_motion(face: LinearFace, motion: HeadMotion) -> FaceMotion:
    """A listener's motion as a face shows it."""
    return FaceMotion(face.pose(motion), face.shape(motion))


def tracked(person: LinearFace, motion: HeadMotion, rng: np.random.Generator) -> np.ndarray:
    """Landmarks (T, 478, 3) of a speaker as a tracker would report them: another view, and its tremble."""
    pose = person.pose(motion)
    pose[:, :3] += rng.normal(0, VIEW_DEG)
    expression = motion.expression.copy()
    expression[:, _MOUTH] = (expression[:, _MOUTH] * rng.uniform(*SEEN_MOUTH)).clip(0, 1)
    seen = replace(motion, expression=expression, gaze=motion.gaze * rng.uniform(*SEEN_GAZE))
    landmarks = FaceMotion(pose, person.shape(seen)).landmarks(person.rest)
    shape = landmarks.shape
    landmarks += rng.standard_normal(shape) * TRACKER_NOISE * rng.uniform(0.3, 1.5)
    steps = np.arange(0, len(landmarks) + 13, 13)
    drift = rng.standard_normal((len(steps), 478 * 3)) * TRACKER_DRIFT * rng.uniform(0.3, 1.5)
    place = np.arange(len(landmarks)) / 13
    before = place.astype(int)
    share = (place - before)[:, None]
    landmarks += ((1 - share) * drift[before] + share * drift[before + 1]).reshape(shape)
    return landmarks


def hidden(landmarks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same, but that some speakers' faces are lost for a while."""
    out = landmarks.copy()
    if rng.random() < BLIND_SHARE:
        for _ in range(int(rng.integers(1, 4))):
            start = int(rng.integers(len(out)))
            out[start : start + int(rng.integers(3, 4 * FPS))] = np.nan
    return out


def recorded(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Clean speech as a microphone in a room would have it: level, tone, noise and hum."""
    spectrum = np.fft.rfft(samples.astype(np.float64))
    hertz = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    tilt = rng.uniform(-4, 2)  # dB an octave above 1 kHz
    octaves = np.log2(np.clip(hertz, 60, None) / 1000).clip(0)
    low = rng.uniform(40, 180)
    tone = 10 ** (tilt * octaves / 20) * hertz / np.hypot(hertz, low)
    out = np.fft.irfft(spectrum * tone, len(samples))
    level = np.sqrt(np.mean(out**2)) + 1e-9
    noise = rng.standard_normal(len(out))
    if rng.random() < 0.5:
        noise = np.convolve(noise, np.ones(8) / np.sqrt(8), "same")
    out = out + noise * level * 10 ** (-rng.uniform(18, 50) / 20)
    out *= 10 ** (rng.uniform(-30, -14) / 20) / level
    return np.clip(out, -1, 1).astype(np.float32)


def split_of(number: int) -> str:
    """The split of a conversation's number."""
    place = number % HELD_OUT["val"]
    return {HELD_OUT["val"] - 1: SPLITS[1], HELD_OUT["test"] - 2: SPLITS[2]}.get(place, SPLITS[0])


def clip_names(directory: Path, split: str) -> list[str]:
    """Names of the finished clips of a split, in order.

    Raises:
        InputError: there are none.
    """
    names = sorted(p.stem for p in clips_folder(directory).glob("*.json"))
    found = [n for n in names if split_of(int(n)) == split]
    if not found:
        raise InputError(
            f"{directory}: no conversations of split {split!r}; make some with `headgen synth listening`"
        )
    return found


def read_clip(directory: Path, name: str) -> ListeningClip:
    """Reads a clip."""
    path = clips_folder(directory) / f"{name}.safetensors"
    arrays = load_file(path)
    seen = arrays["seen"]
    track = SpeakerTrack(
        arrays["audio"].astype(np.float32),
        arrays["motion"].astype(np.float32),
        np.ones(len(seen), bool),
        seen,
    )
    facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    takes = tuple(
        Take(arrays[f"take{k}"].astype(np.float32), told) for k, told in enumerate(facts.pop("takes", []))
    )
    return ListeningClip(arrays["latents"].astype(np.float32), track, arrays["speaker"], facts, takes)
