"""From files to speaker tracks: the right picture and sound for every frame, nothing from later."""

from __future__ import annotations

import logging
from fractions import Fraction

import av
import numpy as np
import pytest

from headgen.errors import InputError
from headgen.faces.tracker import MediaPipeTracker
from headgen.listener.motion import motion_features
from headgen.listener.speaker import speaker_info, speaker_track, stream_speaker
from headgen.listener.speech import speech_features
from headgen.listener.track import FPS, SAMPLE_RATE, joined
from headgen.progress import Cancelled

SIDE = 160


@pytest.fixture(scope="module")
def pictures():
    """(30, 160, 160, 3) uint8: the astronaut's face, which the camera wanders over."""
    from skimage.data import astronaut

    photograph = astronaut()
    places = [(20 + 8 * np.sin(0.31 * k), 140 + 10 * np.cos(0.23 * k)) for k in range(30)]
    return np.stack([photograph[int(y) : int(y) + SIDE, int(x) : int(x) + SIDE] for y, x in places])


@pytest.fixture(scope="module")
def landmarks_of():
    """Tracks given pictures as a video."""

    def track(images):
        with MediaPipeTracker() as tracker:
            return np.stack([tracker.track(np.ascontiguousarray(image)).landmarks for image in images])

    return track


def voice(seconds, rate=SAMPLE_RATE, seed=0):
    """(N,) int16 hum of changing pitch and loudness, with hiss."""
    t = np.arange(int(seconds * rate)) / rate
    hum = sum(np.sin(2 * np.pi * k * (130 * t + 8 * np.sin(3 * t))) / k for k in range(1, 9))
    hiss = np.random.default_rng(seed).normal(0, 0.02, len(t))
    return (8000 * (0.5 + 0.4 * np.sin(9 * t)) * (hum / 3 + hiss)).astype(np.int16)


def record(path, images=(), *, fps=Fraction(FPS), times=None, sound=None, rate=SAMPLE_RATE, sound_begins=0.0):
    """Writes lossless pictures, at `times` in milliseconds if given, and lossless sound."""
    with av.open(str(path), "w") as container:
        video = None
        if len(images):
            video = container.add_stream("ffv1", rate=fps)
            video.height, video.width, video.pix_fmt = *images[0].shape[:2], "bgr0"
        track = None if sound is None else container.add_stream("pcm_s16le", rate=rate, layout="mono")
        if video is not None and times is not None:
            video.codec_context.time_base = Fraction(1, 1000)
        for k, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24")
            frame.pts, frame.time_base = (k, 1 / fps) if times is None else (times[k], Fraction(1, 1000))
            container.mux(video.encode(frame))
        if video is not None:
            container.mux(video.encode(None))
        if track is not None:
            for start in range(0, len(sound), 4096):
                block = av.AudioFrame.from_ndarray(sound[None, start : start + 4096], "s16", "mono")
                block.sample_rate, block.time_base = rate, Fraction(1, rate)
                block.pts = start + round(sound_begins * rate)
                container.mux(track.encode(block))
            container.mux(track.encode(None))
    return path


def test_every_frame_has_the_newest_picture_and_its_own_sound(tmp_path, pictures, landmarks_of):
    sound = voice(1.0)
    path = record(tmp_path / "s.mkv", pictures, fps=Fraction(30), sound=sound)
    track = speaker_track(path)
    assert len(track) == 25 == speaker_info(path).frames
    shown = [max(k for k in range(30) if Fraction(k, 30) < Fraction(f + 1, FPS)) for f in range(25)]
    assert shown[:6] == [1, 2, 3, 4, 5, 7]
    motion, seen = motion_features(landmarks_of(pictures[shown]))
    assert np.array_equal(track.motion, motion) and np.array_equal(track.seen, seen) and seen.all()
    assert np.array_equal(track.audio, speech_features(sound.astype(np.float32) / 32768, 25))
    assert track.heard.all()


def test_pictures_at_uneven_times_stay_as_long_as_they_are_shown(tmp_path, pictures, landmarks_of):
    times = [0, 40, 200, 240, 490]
    path = record(tmp_path / "s.mkv", pictures[:5], fps=Fraction(10), times=times)
    track = speaker_track(path)
    shown = [0, 1, 1, 1, 1, 2, 3, 3, 3, 3, 3, 3, 4, 4, 4]  # the last is shown for .1 s: until .59 s
    assert len(track) == len(shown)
    landmarks = landmarks_of(pictures[:5])[shown]
    assert np.array_equal(track.motion, motion_features(landmarks)[0])


def test_later_pictures_and_sound_change_nothing(tmp_path, pictures):
    sound, other = voice(1.0, 44100), voice(1.0, 44100, seed=1)
    t = 18  # frame; .72 s
    other[: round(t / FPS * 44100)] = sound[: round(t / FPS * 44100)]
    images = pictures.copy()
    images[t * 30 // FPS + 1 :] = 255 - images[t * 30 // FPS + 1 :]  # pictures from .72 s on
    a = speaker_track(record(tmp_path / "a.mkv", pictures, fps=Fraction(30), sound=sound, rate=44100))
    b = speaker_track(record(tmp_path / "b.mkv", images, fps=Fraction(30), sound=other, rate=44100))
    assert np.array_equal(a.audio[:t], b.audio[:t]) and np.array_equal(a.motion[:t], b.motion[:t])
    assert not np.array_equal(a.audio[t], b.audio[t]) and not np.array_equal(a.motion[t], b.motion[t])


def test_pieces_make_up_the_track_and_report_progress(tmp_path, pictures):
    path = record(tmp_path / "s.mkv", pictures[:28], sound=voice(1.12))
    events = []
    pieces = list(stream_speaker(path, progress=events.append))
    assert [len(piece) for piece in pieces] == [25, 3]
    assert [(event.done, event.total) for event in events] == [(25, 28), (28, 28)]
    whole, again = speaker_track(path), joined(pieces)
    assert np.array_equal(whole.audio, again.audio) and np.array_equal(whole.motion, again.motion)

    def stop(event):
        raise Cancelled

    with pytest.raises(Cancelled):
        speaker_track(path, progress=stop)


def test_sound_that_begins_late_and_ends_early_is_marked(tmp_path, pictures):
    sound = voice(0.5)
    track = speaker_track(record(tmp_path / "s.mkv", pictures[:26], sound=sound, sound_begins=0.4))
    assert np.array_equal(np.flatnonzero(track.heard), np.arange(10, 23))  # .4 s to .9 s
    assert not track.audio[~track.heard].any() and track.seen.all()
    late = np.concatenate([np.zeros(6400, np.float32), sound.astype(np.float32) / 32768])
    assert np.array_equal(track.audio[10:23], speech_features(late, 23)[10:])


@pytest.mark.parametrize("ending", ["wav", "mp3", "m4a"])
def test_sound_alone_is_heard_and_not_seen(tmp_path, ending):
    path = tmp_path / f"s.{ending}"
    sound = voice(2.0, 44100)
    if ending == "wav":
        record(path, sound=sound, rate=44100)
    else:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mp3" if ending == "mp3" else "aac", rate=44100, layout="mono")
            block = av.AudioFrame.from_ndarray(sound[None], "s16", "mono")
            block.sample_rate, block.pts, block.time_base = 44100, 0, Fraction(1, 44100)
            container.mux(stream.encode(block))
            container.mux(stream.encode(None))
    info, track = speaker_info(path), speaker_track(path)
    assert info.has_audio and not info.has_video
    assert float(info.duration) == pytest.approx(2.0, abs=0.06)  # codecs fill up their last block
    assert len(track) == info.frames and track.heard.all() and track.audio.any()
    assert not track.seen.any() and not track.motion.any()


def test_a_video_without_sound_or_without_a_face_has_the_other(tmp_path, pictures, caplog):
    silent = speaker_track(record(tmp_path / "a.mkv", pictures[:5]))
    assert silent.seen.all() and not silent.heard.any() and not silent.audio.any()
    with caplog.at_level(logging.WARNING):
        faceless = speaker_track(record(tmp_path / "b.mkv", 0 * pictures[:5], sound=voice(0.2)))
    assert faceless.heard.all() and not faceless.seen.any() and not faceless.motion.any()
    assert "b.mkv: no face was found" in caplog.text
    with pytest.raises(InputError, match=r"c\.mkv: has neither sound nor a face; give a video"):
        speaker_track(record(tmp_path / "c.mkv", 0 * pictures[:5]))


def test_a_recording_that_was_cut_into_keeps_pictures_and_sound_in_step(tmp_path, pictures):
    whole = tmp_path / "whole.ts"
    with av.open(str(whole), "w") as container:
        video = container.add_stream("mpeg2video", rate=FPS, options={"g": "10", "bf": "0"})
        video.height, video.width, video.pix_fmt = SIDE, SIDE, "yuv420p"
        for k, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
            frame.pts, frame.time_base = k, Fraction(1, FPS)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    data = whole.read_bytes()
    cut = tmp_path / "cut.ts"
    cut.write_bytes(data[len(data) // 4 // 188 * 188 :])
    with av.open(str(cut)) as container:
        shown = sum(1 for _ in container.decode(video=0))
    info = speaker_info(cut)
    assert 0 < shown < 30 and info.frames == shown and info.start > speaker_info(whole).start


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("gone.mp4", None, "no such file"),
        ("empty.mp4", b"", "empty"),
        ("letter.txt", b"Dear Sir or Madam,\n" * 50, "text"),
        ("noise.wav", bytes(range(256)) * 20, "not a video"),
    ],
)
def test_unusable_files_are_named(tmp_path, name, content, says):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=says) as told:
        speaker_info(path)
    assert str(told.value).startswith(f"{path}: ")
