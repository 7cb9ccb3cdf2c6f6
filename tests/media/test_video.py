"""Reading and writing videos."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import subprocess
import sys
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from media_inputs import corners, picture, set_display_matrix, write_clip

from headgen.errors import InputError
from headgen.media.video import VideoReader, VideoWriter, probe

M_PERTURB = -6  # glibc's mallopt: new memory is filled with the complement of this byte


@pytest.fixture
def clip(tmp_path):
    """Ten frames, 64x48, 25 frames a second, with AAC sound."""
    return write_clip(tmp_path / "clip.mp4", audio="aac")


def read(path):
    with VideoReader(path) as reader:
        return list(reader)


def plain(path):
    """What a reader that knows nothing of headgen sees."""
    with av.open(str(path)) as container:
        return [(f.pts * f.time_base, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]


# --- reading


def test_probe_says_what_is_in_the_file(clip):
    info = probe(clip)
    assert (info.width, info.height, info.fps, info.frames) == (64, 48, 25, 10)
    assert info.has_audio and info.rotation == 0 and info.codec == "h264"
    assert info.duration == pytest.approx(0.4)


def test_frames_come_in_order_with_their_times(clip):
    frames = read(clip)
    assert [f.index for f in frames] == list(range(10))
    assert [f.time for f in frames] == [Fraction(i, 25) for i in range(10)]
    shades = [corners(f.image)[3].mean() for f in frames]
    np.testing.assert_allclose(shades, 30 + 10 * np.arange(10), atol=3)


def test_a_reader_can_be_read_twice(clip):
    reader = VideoReader(clip)
    first = next(iter(reader)).image
    again = [f.image for f in reader]
    assert len(again) == 10
    np.testing.assert_array_equal(first, again[0])


def test_every_third_frame(clip):
    reader = VideoReader(clip)
    all_of_them = list(reader)
    some = list(reader.every(3))
    assert [f.index for f in some] == [f.index for f in all_of_them[::3]]
    assert [f.time for f in some] == [f.time for f in all_of_them[::3]]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(some, all_of_them[::3], strict=True))


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "suffix", "tolerance"),
    [
        ("libx264", "yuv420p", "mp4", 4),
        ("libx264", "yuv444p", "mp4", 4),
        ("libx264", "yuv422p10le", "mp4", 4),
        ("libx265", "yuv420p10le", "mp4", 4),
        ("libx264rgb", "rgb24", "mp4", 3),
        ("ffv1", "rgb48le", "mkv", 1),
        ("ffv1", "bgra", "mkv", 1),
        ("ffv1", "gbrp12le", "mkv", 1),
        ("mjpeg", "yuvj420p", "avi", 6),
        ("libvpx-vp9", "yuv420p", "webm", 6),
        ("gif", "rgb8", "gif", 40),
        ("prores_ks", "yuva444p10le", "mov", 4),
    ],
)
def test_any_pixel_format_becomes_the_same_rgb(tmp_path, codec, pix_fmt, suffix, tolerance):
    full = pix_fmt.startswith("yuvj")
    path = write_clip(tmp_path / f"in.{suffix}", 3, codec=codec, pix_fmt=pix_fmt, full_range=full)
    frames = read(path)
    assert len(frames) == 3
    np.testing.assert_allclose(corners(frames[0].image), corners(picture()), atol=tolerance)


@pytest.mark.parametrize("pix_fmt", ["gray", "gray16le", "gray10le"])
def test_grey_becomes_rgb(tmp_path, pix_fmt):
    ramp = np.repeat(np.arange(64, dtype=np.uint8)[None, :, None] * 4, 48, axis=0).repeat(3, axis=2)
    path = write_clip(tmp_path / "in.mkv", 2, codec="ffv1", pix_fmt=pix_fmt, image=ramp)
    np.testing.assert_allclose(read(path)[0].image, ramp, atol=1)


@pytest.mark.parametrize("space", [1, 6])
@pytest.mark.parametrize("full_range", [False, True])
def test_matrix_and_range_are_followed(tmp_path, space, full_range):
    path = write_clip(tmp_path / "in.mp4", 2, space=space, full_range=full_range, options={"crf": "1"})
    np.testing.assert_allclose(corners(read(path)[0].image), corners(picture()), atol=3)


@pytest.mark.parametrize(("size", "space"), [((64, 48), 6), ((960, 720), 1)])
def test_unmarked_video_is_bt601_when_small_and_bt709_when_large(tmp_path, size, space):
    path = write_clip(tmp_path / "in.mp4", 1, size=size, space=space, mark=False, options={"crf": "1"})
    np.testing.assert_allclose(corners(read(path)[0].image), corners(picture(*size)), atol=3)


@pytest.mark.parametrize(
    ("matrix", "rotation", "upright"),
    [
        ((0, 1, -1, 0), 90, lambda image: np.rot90(image, -1)),
        ((-1, 0, 0, -1), 180, lambda image: np.rot90(image, 2)),
        ((0, -1, 1, 0), 270, lambda image: np.rot90(image, 1)),
        ((-1, 0, 0, 1), 0, lambda image: image[:, ::-1]),
    ],
)
def test_phone_videos_stand_upright(clip, matrix, rotation, upright):
    set_display_matrix(clip, *matrix)
    info = probe(clip)
    frame = read(clip)[0]
    expected = upright(picture())
    assert frame.image.shape == expected.shape == (info.height, info.width, 3)
    assert info.rotation == rotation
    np.testing.assert_allclose(corners(frame.image), corners(expected), atol=4)


def test_frames_that_were_read_are_let_go(tmp_path):
    path = write_clip(tmp_path / "in.mp4", 40)
    gc.collect()
    gc.disable()  # what only the search for cycles finds stays for a long time
    try:
        for _ in read(path):
            pass
        assert sum(isinstance(one, av.VideoFrame) for one in gc.get_objects()) < 5
    finally:
        gc.enable()


def test_pixels_become_square(tmp_path):
    path = write_clip(tmp_path / "in.mp4", 2, aspect=Fraction(3, 2))
    assert read(path)[0].image.shape == (48, 96, 3)


def test_transparent_frames_lie_over_white(tmp_path):
    rgba = np.dstack([picture(), np.full((48, 64), 255, np.uint8)])
    rgba[:24, :32, 3] = 0
    path = write_clip(tmp_path / "in.mkv", 1, codec="ffv1", pix_fmt="bgra", image=rgba)
    np.testing.assert_allclose(corners(read(path)[0].image)[0], 255)


def test_odd_sizes_are_read_as_they_are(tmp_path):
    path = write_clip(tmp_path / "in.mkv", 2, size=(63, 47), codec="ffv1", pix_fmt="bgr0")
    assert read(path)[0].image.shape == (47, 63, 3)


# --- reading what cannot be read


def fails(path, *words):
    """The one line that a user gets for a file."""
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    assert ";" in message, "what to do stands behind a semicolon"
    for word in words:
        assert word in message
    return message


def test_missing_file(tmp_path):
    fails(tmp_path / "none.mp4", "no such file")


def test_folder(tmp_path):
    fails(tmp_path, "is a folder")


def test_empty_file(tmp_path):
    path = tmp_path / "empty.mp4"
    path.touch()
    fails(path, "empty")


@pytest.mark.parametrize("name", ["notes.txt", "notes.mp4", "notes.bin"])
def test_text_is_not_a_video(tmp_path, name):
    path = tmp_path / name
    path.write_text("these are only words\n" * 50)
    fails(path, "not a video")


def test_picture_is_not_a_video(tmp_path):
    from PIL import Image

    path = tmp_path / "still.png"
    Image.fromarray(picture()).save(path)
    fails(path, "is a picture")


def test_sound_is_not_a_video(tmp_path):
    path = tmp_path / "song.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1600), np.int16), layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
    fails(path, "sound but no pictures")


def test_unreadable_file(clip):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    clip.chmod(0)
    fails(clip, "may not be read")


def test_mp4_without_its_index(clip):
    clip.write_bytes(clip.read_bytes()[:1500])
    fails(clip, "cut off")


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_truncated_video(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    options = {"movflags": "faststart"} if suffix == "mp4" else {}
    path = write_clip(
        tmp_path / f"in.{suffix}", 100, image=noise, container_options=options, options={"g": "1"}
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    fails(path, "cut off")


def test_video_without_frames(tmp_path):
    path = write_clip(tmp_path / "none.mp4", 0)
    fails(path)


# --- writing


def write(path, count=10, size=(64, 48), **options):
    with VideoWriter(path, options.pop("fps", 25), **options) as writer:
        for index in range(count):
            writer.write(picture(*size, shade=10 * index % 200))
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_colours_survive_for_us_and_for_others(tmp_path, suffix):
    cv2 = pytest.importorskip("cv2")
    path = write(tmp_path / f"out.{suffix}", crf=1)
    expected = corners(picture())
    np.testing.assert_allclose(corners(read(path)[0].image), expected, atol=1.5)
    np.testing.assert_allclose(corners(plain(path)[0][1]), expected, atol=2)
    _, bgr = cv2.VideoCapture(str(path)).read()
    np.testing.assert_allclose(corners(bgr[..., ::-1]), expected, atol=3)


def test_large_frames_keep_their_colours_too(tmp_path):
    path = write(tmp_path / "out.mp4", 2, (1280, 720))
    np.testing.assert_allclose(corners(plain(path)[0][1]), corners(picture(1280, 720)), atol=2)


def test_grey_levels_do_not_drift_over_generations(tmp_path):
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 64, axis=0).repeat(3, axis=2)
    image = ramp
    for generation in range(3):
        path = tmp_path / f"{generation}.mp4"
        with VideoWriter(path, 25, crf=1) as writer:
            writer.write(image)
        image = read(path)[0].image
    difference = image.astype(float) - ramp
    assert abs(difference.mean()) < 0.5 and np.abs(difference).max() <= 4


def test_output_is_h264_yuv420p_in_its_own_rate(tmp_path):
    path = write(tmp_path / "out.mp4", 30, fps=Fraction(30000, 1001))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == Fraction(30000, 1001)
        assert stream.frames == 30
    assert [time for time, _ in plain(path)] == [Fraction(1001 * i, 30000) for i in range(30)]


@pytest.mark.parametrize("count", [1, 2, 7, 61])
def test_exactly_the_frames_that_were_written(tmp_path, count):
    path = write(tmp_path / "out.mp4", count)
    frames = plain(path)
    assert len(frames) == count
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(count / 25, abs=1e-3)


def test_odd_sizes_gain_a_pixel(tmp_path):
    path = write(tmp_path / "out.mp4", 2, (63, 47))
    image = plain(path)[0][1]
    assert image.shape == (48, 64, 3)
    assert np.abs(image[47, :60].astype(int) - image[46, :60]).mean() < 6


def test_variable_rate_survives_a_round_trip(tmp_path):
    times = [0, 40, 80, 200, 233, 500, 1500, 1533]
    source = write_clip(tmp_path / "in.mkv", 8, times=times, time_base=Fraction(1, 1000))
    reader = VideoReader(source)
    with VideoWriter(tmp_path / "out.mp4", reader.info.fps, time_base=reader.info.time_base) as writer:
        for frame in reader:
            writer.write(frame.image, frame.time)
    assert [time for time, _ in plain(tmp_path / "out.mp4")] == [Fraction(t, 1000) for t in times]


def test_times_must_increase(tmp_path):
    with VideoWriter(tmp_path / "out.mp4", 25) as writer:
        writer.write(picture(), 0)
        writer.write(picture(), 0.5)
        with pytest.raises(ValueError, match="follow"):
            writer.write(picture(), 0.5)


def test_metadata_reaches_the_container(tmp_path):
    path = write(tmp_path / "out.mp4", 1, metadata={"comment": "AI-generated", "title": "who"})
    with av.open(str(path)) as container:
        assert container.metadata["comment"] == "AI-generated"
        assert container.metadata["title"] == "who"


# --- sound


def samples(path):
    with av.open(str(path)) as container:
        return np.concatenate([f.to_ndarray().reshape(-1) for f in container.decode(audio=0)])


def packets(path):
    with av.open(str(path)) as container:
        return [bytes(p) for p in container.demux(audio=0) if p.size]


def test_sound_is_copied_bit_by_bit(tmp_path, clip):
    path = write(tmp_path / "out.mp4", audio_from=clip)
    assert packets(path) == packets(clip)
    np.testing.assert_array_equal(samples(path), samples(clip))
    assert len(plain(path)) == 10


@pytest.mark.parametrize(("codec", "suffix"), [("pcm_s16le", "mov"), ("pcm_u8", "avi"), ("mp2", "mpg")])
def test_other_sound_becomes_aac(tmp_path, codec, suffix):
    source = write_clip(
        tmp_path / f"in.{suffix}", 25, audio=codec, codec="mpeg1video" if suffix == "mpg" else "libx264"
    )
    path = write(tmp_path / "out.mp4", 25, audio_from=source)
    with av.open(str(path)) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
    sound = samples(path)
    assert len(sound) == pytest.approx(48000, abs=4800)
    spectrum = np.abs(np.fft.rfft(sound[4800:43200] if len(sound) > 43200 else sound))
    assert np.argmax(spectrum) * 48000 / len(sound[4800:43200]) == pytest.approx(440, abs=3)


def test_sound_from_a_transport_stream(tmp_path):
    source = write_clip(tmp_path / "in.ts", 25, audio="aac")
    path = write(tmp_path / "out.mp4", 25, audio_from=source)
    assert len(samples(path)) == pytest.approx(48000, abs=4096)


def test_sound_stays_in_step_when_the_video_starts_late(tmp_path):
    late = [12 + i for i in range(25)]
    source = write_clip(tmp_path / "in.mkv", 25, times=late, audio="aac", audio_seconds=1.5)
    path = write(tmp_path / "out.mkv", 25, audio_from=source)
    first = {}
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.size:
                kind = packet.stream.type
                first[kind] = min(first.get(kind, 9), packet.pts * packet.time_base)
    assert float(first["video"] - first["audio"]) == pytest.approx(0.48, abs=0.03)


def test_silent_driver_gives_a_silent_output(tmp_path):
    source = write_clip(tmp_path / "in.mp4")
    path = write(tmp_path / "out.mp4", audio_from=source)
    assert not probe(path).has_audio


# --- whole or not at all


def test_nothing_stands_under_the_name_before_it_is_whole(tmp_path):
    path = tmp_path / "out.mp4"
    with VideoWriter(path, 25) as writer:
        writer.write(picture())
        assert not path.exists() and (tmp_path / "out.mp4.part").exists()
    assert os.listdir(tmp_path) == ["out.mp4"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interruption_leaves_the_older_file(tmp_path, error):
    path = tmp_path / "out.mp4"
    path.write_bytes(b"older")
    with pytest.raises(error), VideoWriter(path, 25) as writer:
        writer.write(picture())
        raise error
    assert os.listdir(tmp_path) == ["out.mp4"] and path.read_bytes() == b"older"


def test_no_frames_no_file(tmp_path):
    with pytest.raises(InputError, match="no frame"), VideoWriter(tmp_path / "out.mp4", 25):
        pass
    assert os.listdir(tmp_path) == []


def test_full_disk(tmp_path):
    """The part file is a link to a device that is always full."""
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    noise = np.random.default_rng(0)
    os.symlink("/dev/full", tmp_path / "out.mp4.part")
    with (
        pytest.raises(InputError, match="no room left on the disk"),
        VideoWriter(tmp_path / "out.mp4", 25) as writer,
    ):
        for _ in range(40):
            writer.write(noise.integers(0, 255, (256, 256, 3), np.uint8))
    assert os.listdir(tmp_path) == []


def test_disk_that_fills_up_at_the_very_end(tmp_path):
    """So small that all bytes wait in memory until the file is closed."""
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    os.symlink("/dev/full", tmp_path / "out.mp4.part")
    with pytest.raises(InputError, match="no room left on the disk"):
        write(tmp_path / "out.mp4", 2)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing/out.mp4", "does not exist"),
        ("out.avi", "cannot write .avi"),
        ("out", "cannot write"),
        ("", "is a folder"),
    ],
)
def test_places_that_cannot_be_written(tmp_path, name, words):
    with pytest.raises(InputError, match=words) as caught:
        VideoWriter(tmp_path / name, 25)
    assert str(tmp_path) in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_read_only_folder():
    with pytest.raises(InputError, match="/proc/out.mp4: .* cannot be written"):
        VideoWriter("/proc/out.mp4", 25)


def test_the_driver_is_not_overwritten(clip):
    before = clip.read_bytes()
    with pytest.raises(InputError, match="replace an input"):
        VideoWriter(clip, 25, audio_from=clip)
    assert clip.read_bytes() == before


# --- bounded memory


def test_memory_does_not_grow_with_length(tmp_path):
    """Peak memory of a reader-writer chain: 600 frames of 640x480 may cost no more than 200 frames."""
    source = tmp_path / "in.mp4"
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    with VideoWriter(source, 25, preset="ultrafast", crf=40) as writer:
        for index in range(600):
            writer.write(np.roll(noise, index, axis=1))
    code = (
        "import sys; from headgen.media import VideoReader, VideoWriter\n"
        "source, output, count = sys.argv[1], sys.argv[2], int(sys.argv[3])\n"
        "with VideoWriter(output, 25, preset='ultrafast', crf=40, audio_from=source) as writer:\n"
        "    for frame in VideoReader(source):\n"
        "        if frame.index >= count: break\n"
        "        writer.write(frame.image, frame.time)\n"
        # unlike resource.getrusage, this does not begin with the size of the process that started it
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])\n"
    )
    peaks = []
    for count in (200, 600):  # an encoder's look-ahead is full long before
        command = [sys.executable, "-c", code, str(source), str(tmp_path / "out.mp4"), str(count)]
        peaks.append(int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024)
    assert peaks[1] - peaks[0] < 40, f"{peaks} MB"  # 400 frames more would be 370 MB


@pytest.mark.parametrize("size", [(262, 340), (260, 344)])
def test_the_same_pictures_give_the_same_bytes(tmp_path, size):
    rng = np.random.default_rng(0)
    rough = rng.integers(0, 255, (30, 30, 3), np.uint8).repeat(12, 0).repeat(9, 1)
    width, height = size
    written = set()
    for k in range(8):
        _elsewhere = rng.integers(0, 255, (1 + k % 5, 100_000), np.uint8)  # memory that is not clean
        with VideoWriter(tmp_path / "out.mp4", 25) as writer:
            for shift in range(4):
                writer.write(np.ascontiguousarray(np.roll(rough, 3 * shift, 1)[:height, :width]))
        written.add((tmp_path / "out.mp4").read_bytes())
    assert len(written) == 1


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc fills memory on demand")
def test_what_lay_in_memory_before_has_no_say_in_the_bytes(tmp_path):
    """The width, nine blocks, makes x264 read beyond the end of a row where it takes eight at a time."""
    rough = np.random.default_rng(0).integers(0, 255, (18, 22, 3), dtype=np.uint8)
    scene = cv2.resize(rough, (176, 144), interpolation=cv2.INTER_CUBIC)
    fill = ctypes.CDLL(None).mallopt

    def written(value):
        fill(M_PERTURB, 0xFF ^ value)
        try:
            with VideoWriter(tmp_path / f"{value}.mp4", 25) as writer:
                for k in range(9):
                    writer.write(scene[:, 3 * k : 3 * k + 144])
        finally:
            fill(M_PERTURB, 0)
        return writer.path.read_bytes()

    assert written(0) == written(0xFE) == written(0xFD)
