"""The clips of synthetic data sets: stills of heads, videos of one person, conversations of two."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from safetensors import safe_open
from scipy.io import wavfile

from headgen.faces.tracker import MediaPipeTracker
from headgen.media.clips import ClipWriter
from headgen.media.image import write_image
from headgen.media.tensors import write_tensors
from headgen.synth.appearance.occluders import OCCLUDERS
from headgen.synth.characters import Casting, Character, ModelName
from headgen.synth.conversation.consistency import check_events
from headgen.synth.conversation.conversation import make_conversation
from headgen.synth.dataset.poses import random_frame
from headgen.synth.dataset.records import (
    ClipRecord,
    clips_folder,
    file_hash,
    number,
    person_name,
    split_of,
    write_record,
)
from headgen.synth.dataset.runner import clean, hashes
from headgen.synth.film import film
from headgen.synth.heads.expressions import EXPRESSIONS
from headgen.synth.heads.model import HeadMotion, Surface, joined
from headgen.synth.render.renderer import Renderer
from headgen.synth.render.scene import Camera
from headgen.synth.settings import Location, Setting, panoramas
from headgen.synth.speech.track import SAMPLE_RATE

MOTION_NAMES = (
    *EXPRESSIONS, "head_yaw", "head_pitch", "head_roll", "gaze_yaw", "gaze_pitch", "x", "y", "z", "torso_yaw",
    "torso_pitch", "torso_roll",
)  # fmt: skip
"""Columns of a clip's motion: expressions 0 to 1, degrees, centimetres."""

Landmarks = Literal["exact", "tracked"]
"""Which landmarks a clip is stored with."""
MotionKind = Literal["natural", "posed"]
"""Talking, or in every frame another pose and expression."""
ENDINGS = tuple(
    f"{role}{ending}"
    for role in ("", "_speaker", "_listener")
    for ending in (".mp4", ".safetensors", ".png", ".wav", "_parts.mkv")
)
Kind = Literal["heads", "video", "conversation"]
LOOKS = 3  # of the tracker at a frame
SLOWEST = 10.0  # frames per second at which motion can be made
STILL_FRAMES = 40  # of the motion of what passes before a face, of which a still shows one
QUALITY = 15.0  # H.264's rate factor; every frame is a key frame


@dataclass(frozen=True)
class Options:
    """What a data set is made with; the same options and seed give the same bytes.

    Attributes:
        directory: folder of the data set.
        seed: of everything.
        model: head model.
        assets: folder of the ICT face and of panoramas, or None.
        textures: texture library for the ICT face, or None.
        size: side of the pictures in pixels.
        identities: number of people.
        fps: frames per second.
        seconds: length of a clip.
        landmarks: ``exact`` ones, projected from the head, or those that the face tracker finds; where it
            finds none, clips with sound have the exact ones; other clips leave the frame out.
        motion: of videos: ``natural``, talking, or ``posed``, in every frame another pose and expression.
        occluders: share of the clips in which something passes before the face.
        masks: videos get their part masks beside them.
    """

    directory: Path
    seed: int = 0
    model: ModelName = "analytic"
    assets: Path | None = None
    textures: Path | None = None
    size: int = 256
    identities: int = 1
    fps: float = 25.0
    seconds: float = 10.0
    landmarks: Landmarks = "exact"
    motion: MotionKind = "natural"
    occluders: float = 0.0
    masks: bool = False

    def facts(self) -> dict[str, Any]:
        """What decides the bytes, as plain values."""
        library = None if self.textures is None else file_hash(Path(self.textures) / "library.json")
        return {
            "panoramas": len(panoramas(self.assets)), "library": library,
            "seed": self.seed, "model": self.model, "size": self.size, "identities": self.identities,
            "fps": self.fps, "seconds": self.seconds, "landmarks": self.landmarks, "motion": self.motion,
            "occluders": self.occluders, "masks": self.masks,
        }  # fmt: skip


class ClipMaker:
    """Makes the clips of one data set; each depends on its number alone.

    Args:
        kind: of clips.
        names: of all clips.
        options: of the data set.
    """

    def __init__(self, kind: Kind, names: Sequence[str], options: Options) -> None:
        self.kind, self.names, self.options = kind, names, options
        self.casting = Casting(options.model, options.assets, options.textures, options.seed)
        self.location = Location(panoramas(options.assets), options.size)
        self.renderer = Renderer()
        self._tracker: MediaPipeTracker | None = None

    def __call__(self, index: int) -> None:
        """Makes a clip and writes its facts."""
        name = self.names[index]
        rng = np.random.default_rng([self.options.seed, number(f"{self.kind} {index}")])
        clean(self.options.directory, name, ENDINGS)
        {"heads": self._heads, "video": self._video, "conversation": self._conversation}[self.kind](
            name, index, rng
        )

    def group(self, index: int) -> int:
        """Number of who is shown in a clip: a person, or a pair that talks to one another."""
        return index % self._groups

    def person(self, index: int, partner: bool = False) -> str:
        """Name of who is shown in a clip; people take turns, and always the same two talk to one another."""
        turn, who = divmod(index, self._groups)
        if self.kind == "conversation":
            who = 2 * who + turn % 2  # both speak
        return person_name(who ^ 1 if partner else who)

    @property
    def _groups(self) -> int:
        """How many people there are, or pairs."""
        return self.options.identities // (2 if self.kind == "conversation" else 1)

    # -- the three kinds -------------------------------------------------------------------------------

    def _heads(self, name: str, index: int, rng: np.random.Generator) -> None:
        person = self.person(index)
        posed, place, hidden = rng.spawn(3)
        character = self.casting(person)
        motion = random_frame(posed)
        setting = self.location(place)
        passing = self._occluders(character, STILL_FRAMES, 25.0, hidden)
        moment = int(hidden.integers(STILL_FRAMES // 3, STILL_FRAMES))
        passing = [surface.during([moment]) for surface in passing]
        shot = next(film(character, motion, setting, self.renderer, occluders=passing))
        truth = shot.truth
        folder = clips_folder(self.options.directory)
        image, data = folder / f"{name}.png", folder / f"{name}.safetensors"
        write_image(image, shot.images[0])
        camera = setting.camera
        arrays = {
            "parts": truth.parts[0],
            "depth": truth.depth[0],
            "normals": truth.normals[0],
            "uv": truth.uv[0],
            "landmarks_68": truth.landmarks_68[0],
            "landmarks_478": truth.landmarks_478[0],
            "visible_68": truth.visible_68[0],
            "visible_478": truth.visible_478[0],
            "joints": shot.head.joints[0],
            "motion": motion_row(motion)[0],
            "camera": np.array([*camera.eye, camera.focal, *camera.centre], np.float32),
        }
        save(data, arrays, {"motion_names": MOTION_NAMES})
        self._record(name, [person], 1, 0.0, [image, data])

    def _video(self, name: str, index: int, rng: np.random.Generator) -> None:
        person = self.person(index)
        place, talk, hidden = rng.spawn(3)
        character = self.casting(person)
        if self.options.motion == "posed":
            frames = round(self.options.seconds * self.options.fps)
            motion = joined([random_frame(r) for r in talk.spawn(frames)])
            speech, told = None, None
        else:
            # slower pictures show every so-manieth frame of a motion, each at its exact time
            step = math.ceil(SLOWEST / self.options.fps)
            told = make_conversation(
                int(talk.integers(2**62)),
                self.options.seconds,
                fps=max(self.options.fps * step, SLOWEST),  # the product may be rounded down
                sex=character.sex,
            )
            motion, speech = told.speaker[::step], told.speech
        passing = self._occluders(character, len(motion), self.options.fps, hidden)
        count, files = self._take(name, person, character, motion, self.location(place), passing)
        events: list[dict[str, Any]] = []
        captions: list[dict[str, str]] = []
        words: list[dict[str, Any]] = []
        if told is not None and speech is not None:
            files.append(self._sound(name, speech.samples))
            events = [event.as_dict() for event in told.of("speaker")]
            captions = [asdict(caption) for caption in told.captions if caption.who == "speaker"]
            words = [asdict(word) for word in speech.words]
        self._record(
            name, [person], count, self.options.fps, files, events=events, captions=captions, words=words
        )

    def _conversation(self, name: str, index: int, rng: np.random.Generator) -> None:
        talk, hidden, *places = rng.spawn(4)
        people = [self.person(index), self.person(index, partner=True)]
        characters = [self.casting(person) for person in people]
        told = make_conversation(
            int(talk.integers(2**62)), self.options.seconds, fps=self.options.fps, sex=characters[0].sex
        )
        problems = check_events(told)
        assert not problems, f"{name}: events and motion disagree: {problems[:3]}"
        files, count = [], 0
        sides = zip(
            ("speaker", "listener"), people, characters, (told.speaker, told.listener), places, strict=True
        )
        for role, person, character, motion, place in sides:
            passing = self._occluders(character, len(motion), told.fps, hidden)
            count, made = self._take(
                f"{name}_{role}", person, character, motion, self.location(place), passing
            )
            files += made
        files.append(self._sound(name, told.speech.samples))
        self._record(
            name,
            people,
            count,
            told.fps,
            files,
            attitude=told.attitude,
            intensity=told.intensity,
            events=[event.as_dict() for event in told.events],
            captions=[asdict(caption) for caption in told.captions],
            words=[asdict(word) for word in told.speech.words],
        )

    # -- parts of them ---------------------------------------------------------------------------------

    def _occluders(
        self, character: Character, frames: int, fps: float, rng: np.random.Generator
    ) -> list[Surface]:
        """What passes before the face in a share of the clips."""
        if rng.random() >= self.options.occluders:
            return []
        return character.behind(str(rng.choice(list(OCCLUDERS))), frames, fps, rng)

    def _take(
        self,
        name: str,
        person: str,
        character: Character,
        motion: HeadMotion,
        setting: Setting,
        passing: Sequence[Surface],
    ) -> tuple[int, list[Path]]:
        """Films a motion into a clip; returns how many frames it has, and its files.

        A clip of which the tracker would keep no frame is not written.
        """
        options, folder = self.options, clips_folder(self.options.directory)
        rows = motion_row(motion)
        files = [folder / f"{name}.mp4", folder / f"{name}.safetensors"]
        masks = MaskWriter(folder / f"{name}_parts.mkv", options.size, options.fps) if options.masks else None
        tracked: list[bool] = []
        if options.landmarks == "tracked":
            self._tracker = self._tracker or MediaPipeTracker()
            self._tracker.reset()
        with (
            suppress(_NoFaceError),
            ClipWriter(
                options.directory,
                name,
                fps=options.fps,
                size=options.size,
                identity=person,
                split=split_of(person, options.seed),
                motion_names=MOTION_NAMES,
                crf=QUALITY,
                extra={"model": options.model, "landmarks": options.landmarks},
            ) as writer,
            masks or nullcontext(),
        ):
            fps = options.fps if options.motion == "natural" else None
            for shot in film(character, motion, setting, self.renderer, occluders=passing, fps=fps):
                for k, image in enumerate(shot.images):
                    landmarks = clip_landmarks(shot.truth.landmarks_478[k], setting.camera)
                    if options.landmarks == "tracked":
                        found = self._track(image)
                        if found is None and options.motion == "posed":
                            continue
                        tracked.append(found is not None)
                        landmarks = landmarks if found is None else found
                    writer.write(image, landmarks, rows[shot.start + k])
                    if masks is not None:
                        masks.write(shot.truth.parts[k])
            count = len(writer)
            if not count:
                raise _NoFaceError  # the writers then leave nothing behind
        if not count:
            return 0, []
        if tracked and options.motion == "natural":
            add_array(files[1], "tracked", np.array(tracked))
        if masks is not None:
            files.append(masks.path)
        return count, files

    def _track(self, image: np.ndarray) -> np.ndarray | None:
        assert self._tracker is not None
        for _ in range(LOOKS if self.options.motion == "posed" else 1):
            track = self._tracker.track(image)
            if track is None:
                return None
        assert track is not None
        return track.landmarks

    def _sound(self, name: str, samples: np.ndarray) -> Path:
        path = clips_folder(self.options.directory) / f"{name}.wav"
        part = path.with_suffix(".wav.part")
        wavfile.write(part, SAMPLE_RATE, np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16))
        os.replace(part, path)
        return path

    def _record(
        self, name: str, people: list[str], frames: int, fps: float, files: Sequence[Path], **more: Any
    ) -> None:
        options = self.options
        record = ClipRecord(
            name=name,
            kind=self.kind,
            split=split_of(people[0], options.seed),
            seed=options.seed,
            identities=people,
            model=options.model,
            frames=frames,
            fps=fps,
            size=options.size,
            files=hashes(files),
            **more,
        )
        write_record(options.directory, record)


def motion_row(motion: HeadMotion) -> np.ndarray:
    """(T, 63) float32 in the order of `MOTION_NAMES`."""
    return np.hstack([motion.expression, motion.head, motion.gaze, motion.translation, motion.torso]).astype(
        np.float32
    )


def clip_landmarks(landmarks: np.ndarray, camera: Camera) -> np.ndarray:
    """(478, 3) landmarks u, v, depth in cm as clips hold them: z in pixels, towards the camera negative."""
    depth = landmarks[:, 2]
    middle = depth.mean()
    out = landmarks.astype(np.float32)
    out[:, 2] = (depth - middle) * camera.focal / middle
    return out


def save(path: Path, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
    """Writes arrays in one piece."""
    part = path.with_suffix(".safetensors.part")
    write_tensors(part, arrays, {key: json.dumps(value) for key, value in facts.items()})
    os.replace(part, path)


def add_array(path: Path, name: str, array: np.ndarray) -> None:
    """Adds an array to those of a file, in one piece."""
    with safe_open(str(path), framework="numpy") as file:
        arrays, facts = {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118
    part = path.with_suffix(".safetensors.part")
    write_tensors(part, {**arrays, name: array}, facts)
    os.replace(part, path)


class _NoFaceError(Exception):
    """The tracker found no face in any frame of a clip that leaves such frames out."""


class MaskWriter:
    """Part masks as a lossless grey video (FFV1); a context manager.

    Args:
        path: of the video.
        size: side of the masks in pixels.
        fps: frames per second.
    """

    def __init__(self, path: Path, size: int, fps: float) -> None:
        self.path = path
        self._part = path.with_suffix(".mkv.part")
        self._container = av.open(str(self._part), "w", format="matroska", options={"fflags": "+bitexact"})
        stream = self._container.add_stream("ffv1", rate=Fraction(fps).limit_denominator(1001))
        stream.width = stream.height = size
        stream.pix_fmt = "gray"
        stream.codec_context.thread_count = 1
        self._stream = stream

    def write(self, parts: np.ndarray) -> None:
        """Appends the mask (H, W) uint8 of one frame."""
        self._container.mux(self._stream.encode(av.VideoFrame.from_ndarray(parts, format="gray")))

    def __enter__(self) -> MaskWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._container.mux(self._stream.encode(None))
        self._container.close()
        if kind is None:
            os.replace(self._part, self.path)
        else:
            self._part.unlink(missing_ok=True)
