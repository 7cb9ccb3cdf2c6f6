"""From a file to a `SpeakerTrack`: what a listener hears and sees of a video or a recording.

Pictures of any frame rate are brought to `FPS`: frame k shows the newest picture that begins before
``(k + 1) / FPS``, counted from the first picture on, and hears the sound before that time. Pictures that no
frame shows are not looked at. `stream_speaker` holds about a second at a time, `speaker_track` a whole file.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, islice, repeat
from pathlib import Path

import av
import av.error
import av.stream
import numpy as np

from headgen.errors import InputError
from headgen.faces.mesh import N_LANDMARKS
from headgen.faces.tracker import FaceTracker, MediaPipeTracker
from headgen.listener.motion import MotionFeatures
from headgen.listener.speech import HOP, SpeechFeatures, speech_extractor
from headgen.listener.track import FPS, SAMPLE_RATE, SpeakerTrack, joined
from headgen.media.sound import SoundReader, sound_stream
from headgen.media.video import Frame, VideoReader, probe
from headgen.progress import ProgressCallback, ProgressEvent

__all__ = [
    "Piece",
    "SpeakerInfo",
    "SpeakerStream",
    "file_pieces",
    "shown_pictures",
    "speaker_info",
    "speaker_track",
    "stream_speaker",
]

logger = logging.getLogger(__name__)

PIECE = FPS
"""Frames that `stream_speaker` hands out at a time."""


@dataclass(frozen=True)
class Piece:
    """What has come of a speaker since the piece before.

    Attributes:
        until: seconds of the speaker's time before which nothing more will come.
        sound: (N,) float32 samples at `SAMPLE_RATE` from -1 to 1 that follow those before.
        pictures: each with the second at which it begins, as RGB (H, W, 3) uint8.
        heard: whether the sound is one, and no filling.
    """

    until: Fraction
    sound: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    pictures: tuple[tuple[Fraction, np.ndarray], ...] = ()
    heard: bool = True


class SpeakerStream:
    """Hears and sees a speaker piece by piece: files and live speakers alike.

    Row k is the same to the bit in whatever pieces its sound and pictures came. A picture is looked at when a
    row shows it, so those that no row shows cost nothing.

    Args:
        tracker: follows the speaker's face; one of its own for each stream.
        speech: which features are made of the sound, see `headgen.listener.speech.speech_extractor`.
        name: what warnings call the speaker.
    """

    def __init__(
        self, tracker: FaceTracker, speech: str = SpeechFeatures.name, name: str = "the speaker"
    ) -> None:
        self.look_every = 1
        """Looks at the speaker in one row of so many; in the others the face stays as it was."""
        self.rows = 0
        """How many there were so far."""
        self._tracker, self._name = tracker, name
        self._extractor, self._motion = speech_extractor(speech), MotionFeatures()
        self._heard: deque[tuple[int, np.ndarray, bool]] = deque()
        self._heard_rows = 0
        self._pictures: deque[tuple[Fraction, np.ndarray]] = deque()
        self._unseen: np.ndarray | None = None  # a picture that is shown and was not looked at
        self._face, self._told = _NO_FACE, False

    def take(self, piece: Piece) -> SpeakerTrack:
        """Takes what has come.

        Returns:
            The rows that are complete now. Where sound is missing, nothing was heard.
        """
        for row in self._extractor.push(piece.sound):
            self._heard.append((self._heard_rows, row, piece.heard))
            self._heard_rows += 1
        self._pictures.extend(piece.pictures)
        count = max(0, int(piece.until * FPS) - self.rows)
        heard = [self._hear(self.rows + k) for k in range(count)]
        faces = [self._look(self.rows + k) for k in range(count)]
        self.rows += count
        motion, seen = self._motion.push(np.stack([_NO_FACE, *faces])[1:])
        audio = np.stack([self._silent, *(row for row, _ in heard)])[1:]
        return SpeakerTrack(audio, motion, np.array([there for _, there in heard], bool), seen)

    @property
    def _silent(self) -> np.ndarray:
        return np.zeros(self._extractor.width, np.float32)

    def _hear(self, row: int) -> tuple[np.ndarray, bool]:
        """Features (A,) of a row, and whether there was sound."""
        while self._heard and self._heard[0][0] < row:  # it came too late
            self._heard.popleft()
        if self._heard and self._heard[0][0] == row:
            _, features, there = self._heard.popleft()
            if there:
                return features, True
        return self._silent, False

    def _look(self, row: int) -> np.ndarray:
        """Landmarks (478, 3) of a row, NaN without a face; the last picture stays."""
        while self._pictures and self._pictures[0][0] < Fraction(row + 1, FPS):
            self._unseen = self._pictures.popleft()[1]
        if self._unseen is not None and row % self.look_every == 0:
            track = self._tracker.track(self._unseen)
            self._unseen = None
            self._face = _NO_FACE if track is None else track.landmarks
            if track is not None and track.n_faces > 1 and not self._told:
                logger.warning("%s: %d faces were found, the largest is followed", self._name, track.n_faces)
                self._told = True
        return self._face


@dataclass(frozen=True)
class SpeakerInfo:
    """What a file holds of a speaker."""

    path: Path
    duration: Fraction
    """Seconds: until the end of the last picture, or of the sound if there are no pictures."""
    frames: int
    """Frames of the track and of a listener's video: the duration times `FPS`, rounded."""
    has_audio: bool
    has_video: bool
    start: Fraction | None
    """Seconds on the clock of the file at which the first picture begins; None without pictures."""


def speaker_info(path: str | Path) -> SpeakerInfo:
    """Looks at a file without decoding its pictures; sound without pictures is decoded to be measured.

    Raises:
        InputError: the file is missing, unreadable, neither a video nor sound, or visibly cut off.
    """
    path = Path(path)
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            has_audio = sound_stream(container) is not None
            has_video = any(
                not stream.disposition & av.stream.Disposition.attached_pic
                for stream in container.streams.video
            )
    except (OSError, ValueError, av.error.FFmpegError):
        has_audio = has_video = False
    if has_audio and not has_video:
        sound = SoundReader(path, SAMPLE_RATE)
        samples = sum(map(len, sound))
        duration, start = Fraction(samples - sound.begins, SAMPLE_RATE), None
    else:
        tick = 1 / probe(path).fps  # says what is wrong with a file that is not a video
        start, duration = _picture_times(path, tick)
    frames = round(duration * FPS)
    if frames == 0:
        raise InputError(f"{path}: lasts {float(duration):.3f} s, less than a frame; give a longer recording")
    return SpeakerInfo(path, duration, frames, has_audio, has_video, start)


def _picture_times(path: Path, tick: Fraction) -> tuple[Fraction, Fraction]:
    """When the first picture begins, on the clock of the file, and for how long there are pictures: seconds.

    Read off the packets, which takes some ten microseconds each. Pictures before the first key frame (in a
    recording that was cut into) cannot be shown and do not count.
    """
    with av.open(str(path), metadata_errors="replace") as container:
        streams = container.streams.video
        stream = next(s for s in streams if not s.disposition & av.stream.Disposition.attached_pic)
        count, stamped = 0, True
        first = end = Fraction(0)
        for packet in container.demux(stream):
            if not packet.size or packet.is_discard or not (count or packet.is_keyframe):
                continue
            if packet.pts is None or packet.time_base is None:
                stamped = False
            else:
                time = packet.pts * packet.time_base
                first = time if count == 0 else first
                if time < first:
                    continue
                end = max(end, time + (packet.duration * packet.time_base if packet.duration else tick))
            count += 1
    return first, end - first if stamped else count * tick


def stream_speaker(
    path: str | Path, *, speech: str = SpeechFeatures.name, progress: ProgressCallback | None = None
) -> Iterator[SpeakerTrack]:
    """Hears and sees a speaker, a second at a time.

    Args:
        path: a video, or sound alone (then nothing is seen).
        speech: which features are made of the sound, see `headgen.listener.speech.speech_extractor`.
        progress: called after every piece.

    Yields:
        Tracks of `PIECE` frames, the last one of what is left: `SpeakerInfo.frames` in all.

    Raises:
        InputError: see `speaker_info`; during iteration, the file is damaged; at the end, there was neither
            sound nor a face in it.
        MissingExtraError: `speech` needs an extra that is not installed.
    """
    info = speaker_info(path)
    hearing = seeing = False
    with MediaPipeTracker() as tracker, closing(file_pieces(info)) as pieces:
        speaker = SpeakerStream(tracker, speech, str(info.path))
        for done in range(0, info.frames, PIECE):
            count = min(PIECE, info.frames - done)
            some = joined([speaker.take(piece) for piece in islice(pieces, count)])
            hearing, seeing = hearing or bool(some.heard.any()), seeing or bool(some.seen.any())
            yield some
            if progress is not None:
                progress(ProgressEvent("watch the speaker", done + count, info.frames))
    if not hearing and not seeing:
        raise InputError(
            f"{info.path}: has neither sound nor a face; give a video in which somebody is seen or heard"
        )
    if not seeing and info.has_video:
        logger.warning("%s: no face was found; the speaker is heard only", info.path)
    if not hearing:
        logger.warning("%s: has no sound; the speaker is seen only", info.path)


def speaker_track(
    path: str | Path, *, speech: str = SpeechFeatures.name, progress: ProgressCallback | None = None
) -> SpeakerTrack:
    """Hears and sees a speaker over the whole file; see `stream_speaker`."""
    return joined(list(stream_speaker(path, speech=speech, progress=progress)))


_NO_FACE = np.full((N_LANDMARKS, 3), np.nan, np.float32)


def file_pieces(info: SpeakerInfo) -> Generator[Piece, None, None]:
    """What a file holds of a speaker, a frame at a time, as it would come live.

    Args:
        info: of `speaker_info`.

    Yields:
        `SpeakerInfo.frames` pieces.

    Raises:
        InputError: the file is damaged.
    """
    with ExitStack() as stack:
        sounds = stack.enter_context(closing(_sounds(info)))
        pictures: Iterator[Frame] = iter(())
        if info.has_video:
            pictures = iter(stack.enter_context(VideoReader(info.path)))
        upcoming = next(pictures, None)
        for k in range(info.frames):
            end = Fraction(k + 1, FPS)
            begun = []
            while upcoming is not None and upcoming.time < end:
                begun.append((upcoming.time, upcoming.image))
                upcoming = next(pictures, None)
            samples, heard = next(sounds)
            yield Piece(end, samples, tuple(begun), heard)


def _sounds(info: SpeakerInfo) -> Generator[tuple[np.ndarray, bool], None, None]:
    """The samples of every frame, and whether they are sound; none when it is over; without end."""
    if info.has_audio:
        sound = SoundReader(info.path, SAMPLE_RATE, info.start)
        waiting, frame = np.zeros(0, np.float32), 0
        for block in chain(sound, [None]):
            if block is None:  # silence fills up the last frame
                block = np.zeros(-len(waiting) % HOP, np.float32)
            waiting = np.concatenate([waiting, block])
            while len(waiting) >= HOP:
                frame += 1
                yield waiting[:HOP], frame * HOP > sound.begins
                waiting = waiting[HOP:]
    yield from repeat((np.zeros(0, np.float32), False))


def shown_pictures(path: str | Path) -> Generator[np.ndarray, None, None]:
    """The picture (H, W, 3) that belongs to every frame of the track; without end, the last one stays."""
    with VideoReader(path) as reader:
        for frame in _shown(reader):
            yield frame.image


def _shown(reader: VideoReader) -> Iterator[Frame]:
    """The picture of every frame of the track; without end, the last one stays."""
    pictures = iter(reader)
    current = next(pictures)
    frame = 0
    for upcoming in pictures:
        while upcoming.time >= Fraction(frame + 1, FPS):
            yield current
            frame += 1
        current = upcoming
    yield from repeat(current)
