"""From a file to a `SpeakerTrack`: what a listener hears and sees of a video or a recording.

Pictures of any frame rate are brought to `FPS`: frame k shows the newest picture that begins before
``(k + 1) / FPS``, counted from the first picture on, and hears the sound before that time. Pictures that no
frame shows are not looked at. `stream_speaker` holds about a second at a time, `speaker_track` a whole file.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, repeat
from pathlib import Path

import av
import av.stream
import numpy as np

from headgen.errors import InputError
from headgen.faces.mesh import N_LANDMARKS
from headgen.faces.tracker import FaceTracker, MediaPipeTracker
from headgen.listener.motion import MotionFeatures
from headgen.listener.speech import HOP, FeatureExtractor, SpeechFeatures, speech_extractor
from headgen.listener.track import FPS, SAMPLE_RATE, SpeakerTrack, joined
from headgen.media.sound import SoundReader, sound_stream
from headgen.media.video import Frame, VideoReader, probe
from headgen.progress import ProgressCallback, ProgressEvent

__all__ = ["SpeakerInfo", "shown_pictures", "speaker_info", "speaker_track", "stream_speaker"]

logger = logging.getLogger(__name__)

PIECE = FPS
"""Frames that `stream_speaker` hands out at a time."""


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
    except (OSError, ValueError):
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
    extractor = speech_extractor(speech)
    motion = MotionFeatures()
    hearing = seeing = False
    with MediaPipeTracker() as tracker:
        sounds = _sounds(info, extractor)
        faces = _faces(info, tracker) if info.has_video else repeat(_NO_FACE)
        for done in range(0, info.frames, PIECE):
            count = min(PIECE, info.frames - done)
            rows, heard = zip(*islice(sounds, count), strict=True)
            features, seen = motion.push(np.stack(list(islice(faces, count))))
            piece = SpeakerTrack(np.stack(rows), features, np.array(heard), seen)
            hearing, seeing = hearing or bool(piece.heard.any()), seeing or bool(seen.any())
            yield piece
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


def _sounds(info: SpeakerInfo, extractor: FeatureExtractor) -> Iterator[tuple[np.ndarray, bool]]:
    """Features (A,) of every frame, and whether there is sound in it; without end."""
    silent = np.zeros(extractor.width, np.float32), False
    if info.has_audio:
        sound = SoundReader(info.path, SAMPLE_RATE, info.start)
        frame = samples = 0
        for block in sound:
            samples += len(block)
            for row in extractor.push(block):
                frame += 1
                yield (row, True) if frame * HOP > sound.begins else silent
        for row in extractor.flush(-(-samples // HOP)):
            yield row, True
    yield from repeat(silent)


def _faces(info: SpeakerInfo, tracker: FaceTracker) -> Iterator[np.ndarray]:
    """Landmarks (478, 3) of every frame, NaN without a face; without end, the last picture stays."""
    landmarks, told = _NO_FACE, False
    looked_at = -1
    with VideoReader(info.path) as reader:
        for frame in _shown(reader):
            if frame.index != looked_at:
                looked_at = frame.index
                track = tracker.track(frame.image)
                landmarks = _NO_FACE if track is None else track.landmarks
                if track is not None and track.n_faces > 1 and not told:
                    logger.warning(
                        "%s: %d faces were found, the largest is followed", info.path, track.n_faces
                    )
                    told = True
            yield landmarks


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
