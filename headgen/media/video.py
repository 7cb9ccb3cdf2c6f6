"""Videos as streams of upright RGB frames with exact times, and back.

A reader hands out one frame at a time and holds no more than the decoder's own window; a writer takes one at
a time. Times are exact fractions of a second counted from the first frame, so a variable frame rate survives.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.container
import av.error
import numpy as np
from av.video.reformatter import (
    ColorPrimaries,
    ColorRange,
    Colorspace,
    ColorTrc,
    Interpolation,
    VideoReformatter,
)

from headgen.errors import InputError
from headgen.media.audio import AudioTrack
from headgen.media.output import check_output, output_error, part_path

__all__ = ["VIDEO_SUFFIXES", "Frame", "VideoInfo", "VideoReader", "VideoWriter", "frame_to_rgb", "probe"]

logger = logging.getLogger(__name__)

VIDEO_SUFFIXES = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""Endings that can be written, and their container formats."""

_ADVICE = "give a video such as MP4, MOV, MKV, WebM or AVI"
_AGAIN = "copy or export it again"
_DEFAULT_RATE = Fraction(25)
_HD_HEIGHT = 720
_KEEP_DETAIL = "deblock=-1,-1:no-dct-decimate=1:deadzone-inter=11:deadzone-intra=8"
"""Of x264: skin's finest detail is not rounded away, as it is by default to save a fifth of the bytes."""
_MATRICES = {  # AVColorSpace -> swscale's name of the same matrix
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}
_HDR_CURVES = {ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67}

Orientation = tuple[bool, bool, bool]
"""How to make a frame upright: transpose, then flip x, then flip y (each in the upright picture)."""


@dataclass(frozen=True)
class VideoInfo:
    """What a video file says about itself, as far as it concerns frames."""

    path: Path
    width: int
    """Width of the upright picture with square pixels."""
    height: int
    fps: Fraction
    """Average rate in frames per second; single frames may come at other times."""
    frames: int | None
    """Number of frames, an estimate: the file may hold a few more or fewer. None if it does not say."""
    duration: Fraction | None
    """Seconds, as stated by the file."""
    has_audio: bool
    rotation: int
    """Degrees clockwise that the stored picture is turned for display: 0, 90, 180 or 270."""
    time_base: Fraction
    """Unit of the time stamps in seconds: every frame's time is a multiple of it."""
    codec: str
    pixel_format: str


@dataclass(frozen=True)
class Frame:
    """One frame of a video.

    Args:
        index: counted from 0.
        time: seconds since the first frame; strictly increasing.
        image: (H, W, 3) uint8 RGB, upright, square pixels.
    """

    index: int
    time: Fraction
    image: np.ndarray


def probe(path: str | Path) -> VideoInfo:
    """Opens a video, decodes its first frame and tells what is in it.

    Raises:
        InputError: see `VideoReader`.
    """
    with _open(Path(path)) as container:
        return _describe(Path(path), container)


class VideoReader:
    """Iterates over the frames of a video, upright and in RGB. Each iteration starts anew.

    Rotation and mirroring by the display matrix, pixel aspect ratio, any pixel format and depth, limited and
    full range, BT.601, BT.709 and BT.2020 are taken into account. Transparent frames lie over white.

    Args:
        path: any file that FFmpeg reads as a video.

    Raises:
        InputError: at construction, the file is missing, unreadable, not a video, without frames, or visibly
            cut off; during iteration, it is damaged or ends before its stated length.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.info = probe(self.path)
        self._running: Iterator[Frame] | None = None

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the running iteration and closes the file."""
        if self._running is not None:
            self._running.close()  # type: ignore[attr-defined]  # a generator
            self._running = None

    def __iter__(self) -> Iterator[Frame]:
        return self.every(1)

    def every(self, step: int) -> Iterator[Frame]:
        """Iterates over every `step`-th frame, from the first; those between cost little."""
        self.close()
        self._running = self._read(step)
        return self._running

    def _read(self, step: int) -> Iterator[Frame]:
        info = self.info
        reformatter = VideoReformatter()
        tick = 1 / info.fps
        start: Fraction | None = None
        time = end = Fraction(0)
        index = 0
        rotation: int | None = None
        upright: Orientation | None = None
        with _open(self.path) as container:
            stream = _video_stream(self.path, container)
            for decoded in _decode(self.path, container, stream):
                stamp = None if decoded.pts is None else decoded.pts * _time_base(decoded)
                if start is None:
                    start = stamp
                previous = time
                time = end if stamp is None or start is None else stamp - start
                if index and time <= previous:  # duplicate or missing time stamps: keep the frame, move it on
                    time = previous + tick
                # A frame whose matrix was read is kept until Python looks for cycles, hundreds of frames on.
                if upright is None or decoded.rotation != rotation:
                    rotation, upright = decoded.rotation, _orientation(decoded)
                if index % step == 0:
                    size = info.width, info.height
                    yield Frame(index, time, frame_to_rgb(decoded, reformatter, size, upright))
                index += 1
                end = time + tick
            _check_reached_end(self.path, container, stream, float(end), index)


class VideoWriter:
    """Writes frames as H.264 in yuv420p, with the sound of another file, complete or not at all.

    The bytes go to ``out.mp4.part``, which `close` renames to ``out.mp4``. Leaving the ``with`` block by any
    exception removes the part file and leaves an older ``out.mp4`` as it was.

    The output holds exactly as many frames as were written. Odd sizes gain a row or column (the last one
    again). Colours are written and marked as BT.601 matrix, limited range, with BT.709 primaries and curve:
    readers that follow the marks and those that ignore them (and assume BT.601) both see the right colours.

    Args:
        path: output file; its ending chooses the container (`VIDEO_SUFFIXES`).
        fps: nominal frames per second, 0 < fps. Frames written without a time follow each other at this rate.
        time_base: unit of the time stamps in seconds. Give the driving video's to keep its times exactly;
            None chooses one that fits `fps`.
        audio_from: file whose first sound stream is carried along over its whole length: copied where the
            container can hold its codec, encoded to AAC otherwise. It keeps its offset to its own first video
            frame. A file without sound is fine.
        crf: quality of H.264, 0 (lossless) to 51; 17 looks lossless.
        preset: effort of x264, "ultrafast" to "veryslow".
        metadata: text fields of the container (title, comment, description, ...).

    Raises:
        InputError: the output cannot be written there, or (during `write` and `close`) the disk is full.
    """

    def __init__(
        self,
        path: str | Path,
        fps: Fraction | float,
        *,
        time_base: Fraction | None = None,
        audio_from: str | Path | None = None,
        crf: int = 17,
        preset: str = "veryfast",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        inputs = [] if audio_from is None else [audio_from]
        self.path = check_output(path, suffixes=VIDEO_SUFFIXES, inputs=inputs)
        if fps <= 0:
            raise ValueError(f"fps is {fps}; it must be positive")
        self.fps = Fraction(fps).limit_denominator(100_000)
        self.time_base = time_base or _fine_time_base(self.fps)
        self.frames = 0
        self._part = part_path(self.path)
        self._options = {"crf": str(crf), "preset": preset, "x264-params": f"{_KEEP_DETAIL}:{_steady_x264()}"}
        self._reformatter = VideoReformatter()
        self._size = (0, 0)  # of the images given; the stream's is even
        self._last_pts = -1
        self._stream: Any = None
        self._audio: AudioTrack | None = None
        self._container: av.container.OutputContainer | None = None
        audio_start = None if audio_from is None else _first_video_time(Path(audio_from))
        container_format = VIDEO_SUFFIXES[self.path.suffix.lower()]
        container_options = {} if container_format == "matroska" else {"movflags": "faststart"}
        try:
            self._part.open("wb").close()  # the container itself would only be created with the first frame
            self._container = av.open(
                str(self._part), "w", format=container_format, container_options=container_options
            )
            self._container.metadata.update(metadata or {})
            self._stream = self._container.add_stream("libx264", rate=self.fps, options=self._options)
            if audio_from is not None and audio_start is not None:
                self._audio = AudioTrack.open(Path(audio_from), self._container, audio_start)
        except BaseException as error:
            self.abort()
            if isinstance(error, OSError):
                raise output_error(self.path, error) from error
            raise

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def write(self, image: np.ndarray, time: Fraction | float | None = None) -> None:
        """Appends a frame.

        Args:
            image: (H, W, 3) uint8 RGB, of the same size for all frames.
            time: seconds since the start of the video, later than the frame before; None: nominal rate.

        Raises:
            InputError: the disk is full.
            ValueError: wrong shape or type, or a time that does not increase.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"a frame is (H, W, 3) uint8, got {image.shape} {image.dtype}")
        if self._container is None:
            raise ValueError(f"{self.path}: the writer is closed")
        height, width = image.shape[:2]
        if self.frames == 0:
            self._configure(width, height)
        elif (width, height) != self._size:
            raise ValueError(f"frame {self.frames} is {width}x{height}, those before are {self._size}")
        seconds = self.frames / self.fps if time is None else Fraction(time)
        pts = round(seconds / self.time_base)
        if pts <= self._last_pts:
            raise ValueError(f"frame {self.frames} at {float(seconds):.6f} s does not follow the one before")
        if width % 2 or height % 2:
            image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24")
        frame = self._reformatter.reformat(
            rgb,
            format="yuv420p",
            dst_colorspace=Colorspace.ITU601,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP,
        )
        frame.color_primaries = ColorPrimaries.BT709
        frame.color_trc = ColorTrc.BT709
        frame.pts = pts
        frame.time_base = self.time_base
        try:
            self._mux(self._stream.encode(frame))
            if self._audio is not None:
                self._audio.advance(seconds)
        except OSError as error:
            self.abort()
            raise output_error(self.path, error) from error
        self._last_pts = pts
        self.frames += 1

    def close(self) -> None:
        """Finishes the file and gives it its name. Without a single frame nothing is written.

        Raises:
            InputError: no frame was written, or the disk is full.
        """
        if self._container is None:
            return
        if self.frames == 0:
            self.abort()
            raise InputError(f"{self.path}: not written, there was no frame; check the driving video")
        try:
            self._mux(self._stream.encode(None))
            if self._audio is not None:
                self._audio.advance(None)
            self._container.close()
            self._release()
            os.replace(self._part, self.path)
        except BaseException as error:
            self.abort()
            if isinstance(error, OSError):
                raise output_error(self.path, error) from error
            raise

    def abort(self) -> None:
        """Stops writing and removes the part file."""
        if self._container is not None:
            with suppress(OSError, ValueError):  # the file is thrown away, finished or not
                self._container.close()
        self._release()
        self._part.unlink(missing_ok=True)

    def _release(self) -> None:
        self._container = None
        if self._audio is not None:
            self._audio.close()
            self._audio = None

    def _configure(self, width: int, height: int) -> None:
        self._size = (width, height)
        context = self._stream.codec_context
        context.width, context.height = width + width % 2, height + height % 2
        context.pix_fmt = "yuv420p"
        context.time_base = self.time_base
        context.colorspace = 6  # AVCOL_SPC_SMPTE170M: the BT.601 matrix
        context.color_range = ColorRange.MPEG
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709
        self._stream.time_base = self.time_base

    def _mux(self, packets: list[Any]) -> None:
        assert self._container is not None
        duration = max(1, round(1 / self.fps / self.time_base))
        for packet in packets:
            packet.duration = duration  # decides how long the very last frame is shown
            self._container.mux_one(packet)


def frame_to_rgb(
    frame: av.VideoFrame,
    reformatter: VideoReformatter | None = None,
    size: tuple[int, int] | None = None,
    upright: Orientation | None = None,
) -> np.ndarray:
    """Converts a decoded frame to an upright picture.

    Args:
        frame: as decoded, any pixel format.
        reformatter: one to be used again for all frames of a stream.
        size: width and height of the upright result; None: that of the frame.
        upright: how to make it so, if that is known.

    Returns:
        (H, W, 3) uint8 RGB, contiguous.
    """
    reformatter = reformatter or VideoReformatter()
    transpose, flip_x, flip_y = upright or _orientation(frame)
    width, height = (frame.width, frame.height) if size is None else size[::-1] if transpose else size
    transparent = frame.format.name == "pal8" or any(c.is_alpha for c in frame.format.components)
    is_rgb = frame.format.is_rgb or frame.format.name == "pal8"
    default_matrix = Colorspace.ITU709 if frame.height >= _HD_HEIGHT else Colorspace.ITU601
    full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
    if "gray" in frame.format.name and frame.color_range == ColorRange.UNSPECIFIED:
        full = True
    options: dict[str, Any] = {}
    if not is_rgb:
        options["src_colorspace"] = _MATRICES.get(frame.colorspace, default_matrix)
        options["src_color_range"] = ColorRange.JPEG if full else ColorRange.MPEG
    if frame.color_trc in _HDR_CURVES:
        options["dst_color_trc"] = ColorTrc.BT709
        options["dst_color_primaries"] = ColorPrimaries.BT709
    converted = reformatter.reformat(
        frame,
        width=width,
        height=height,
        format="rgba" if transparent else "rgb24",
        dst_color_range=ColorRange.JPEG,
        interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT,
        **options,
    )
    image = converted.to_ndarray()
    if transparent:
        image = over_white(image)
    if transpose:
        image = image.transpose(1, 0, 2)
    if flip_x:
        image = image[:, ::-1]
    if flip_y:
        image = image[::-1]
    return np.ascontiguousarray(image)


def over_white(rgba: np.ndarray) -> np.ndarray:
    """Lays a transparent picture over white.

    Args:
        rgba: (H, W, 4) uint8, alpha not premultiplied.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    alpha = rgba[..., 3:].astype(np.uint16)
    blended = rgba[..., :3] * alpha + 255 * (255 - alpha)
    return ((blended + 127) // 255).astype(np.uint8)


def _open(path: Path) -> av.container.InputContainer:
    """Opens a video container, or says in one line why that cannot be done."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder, not a video; give the path of a video file")
    if not path.exists():
        raise InputError(f"{path}: no such file; check the path")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: may not be read; change its permissions")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: is empty (0 bytes); {_AGAIN}")
    try:
        container = av.open(str(path), metadata_errors="replace")
    except (OSError, ValueError, av.error.FFmpegError) as error:
        if _looks_like_mp4(path):
            raise InputError(f"{path}: is cut off (its index is missing); {_AGAIN}") from error
        raise InputError(f"{path}: is not a video that can be read; {_ADVICE}") from error
    try:
        _check_kind(path, container)
    except BaseException:
        container.close()
        raise
    return container


def _check_kind(path: Path, container: av.container.InputContainer) -> None:
    name = container.format.name
    if name == "tty":  # FFmpeg would draw any text file
        raise InputError(f"{path}: is a text, not a video; {_ADVICE}")
    if name.endswith("_pipe") or name == "image2":
        raise InputError(f"{path}: is a picture, not a video; {_ADVICE}")
    stream = _video_stream(path, container)
    if "mov" in name:
        size = path.stat().st_size
        entries = stream.index_entries
        present = sum(entry.pos + entry.size <= size for entry in entries)
        if present < len(entries):
            raise InputError(
                f"{path}: is cut off, only {present} of {len(entries)} frames are there; {_AGAIN}"
            )


def _looks_like_mp4(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(12)[4:8] == b"ftyp"


def _video_stream(path: Path, container: av.container.InputContainer) -> Any:
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        found = "has sound but no pictures" if container.streams.audio else "has no pictures"
        raise InputError(f"{path}: {found}; {_ADVICE}")
    return streams[0]


def _decode(path: Path, container: av.container.InputContainer, stream: Any) -> Iterator[av.VideoFrame]:
    """Decodes all frames; damage before the first whole frame (a recording cut into) is passed over."""
    stream.thread_type = "AUTO"
    count = 0
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt and count and packet.size:
                raise InputError(f"{path}: is damaged or cut off after frame {count}; {_AGAIN}")
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                if count:
                    raise
                continue
            for frame in frames:
                count += 1
                yield frame
    except (av.error.InvalidDataError, av.error.EOFError, av.error.OSError) as error:
        raise InputError(f"{path}: is damaged or cut off after frame {count}; {_AGAIN}") from error
    if count == 0:
        raise InputError(f"{path}: holds no frame that can be shown; {_AGAIN}")


def _describe(path: Path, container: av.container.InputContainer) -> VideoInfo:
    stream = _video_stream(path, container)
    first = next(_decode(path, container, stream))
    transpose, flip_x, flip_y = _orientation(first)
    width, height = _upright_size(first, stream)
    rotation = {(False, True, True): 180, (True, True, False): 90, (True, False, True): 270}
    fps = stream.average_rate or stream.guessed_rate or _DEFAULT_RATE
    duration = None
    if stream.duration and stream.time_base:
        duration = stream.duration * stream.time_base
    elif container.duration:
        duration = Fraction(container.duration, av.time_base)
    frames = stream.frames or len(stream.index_entries) if "mov" in container.format.name else stream.frames
    if not frames and duration is not None:
        frames = round(duration * fps)
    return VideoInfo(
        path=path,
        width=width,
        height=height,
        fps=Fraction(fps),
        frames=frames or None,
        duration=duration,
        has_audio=bool(container.streams.audio),
        rotation=rotation.get((transpose, flip_x, flip_y), 0),
        time_base=stream.time_base or 1 / Fraction(fps),
        codec=stream.codec_context.name,
        pixel_format=first.format.name,
    )


def _check_reached_end(
    path: Path, container: av.container.InputContainer, stream: Any, end: float, frames: int
) -> None:
    """Matroska and AVI state their length at the start: a file cut off later simply ends."""
    if container.format.name not in ("matroska,webm", "avi"):
        return
    stated = None
    if stream.duration and stream.time_base:
        stated = float(stream.duration * stream.time_base)
    elif "DURATION" in stream.metadata:
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        stated = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    elif container.duration and len(container.streams) == 1:
        stated = container.duration / av.time_base
    if stated is not None and end < stated - 1:
        raise InputError(f"{path}: is cut off after {end:.1f} of {stated:.1f} s ({frames} frames); {_AGAIN}")


def _first_video_time(path: Path) -> Fraction:
    """When the first video frame is shown on the clock of the file; 0 for sound alone."""
    try:
        container = _open(path)
    except InputError:
        return Fraction(0)
    with container:
        first = next(_decode(path, container, _video_stream(path, container)))
        return Fraction(0) if first.pts is None else first.pts * _time_base(first)


def _time_base(frame: av.VideoFrame) -> Fraction:
    assert frame.time_base is not None  # the decoder sets it together with pts
    return frame.time_base


def _upright_size(frame: av.VideoFrame, stream: Any) -> tuple[int, int]:
    """Width and height of the upright picture with square pixels."""
    aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or 1
    width, height = max(1, round(frame.width * aspect)), frame.height
    return (height, width) if _orientation(frame)[0] else (width, height)


def _orientation(frame: av.VideoFrame) -> Orientation:
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return False, False, False
    # Rows of a 3x3 matrix that maps (x, y, 1), as a row vector, from the stored to the upright picture.
    a, b, _, c, d = np.frombuffer(bytes(data), "<i4")[:5].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, a < 0, d < 0
    return True, c < 0, b < 0


def _steady_x264() -> str:
    """Parameters with which x264 writes the same bytes every time.

    With AVX-512 its macroblock tree takes blocks eight at a time and does not stop at the end of a row.  In
    pictures whose width is no multiple of 128 pixels, what lies in memory beyond that end, from whatever used
    the memory before, then has a say in the quality of blocks.  The AVX2 routines stop, in files half the
    size of those without the tree.  x264 must not be told of routines that the processor lacks; where the
    routines are others still, it goes without the tree.
    """
    show_config: Any = np.show_config  # its annotation knows only that it can print
    found = show_config(mode="dicts").get("SIMD Extensions", {}).get("found", ())
    if any(name.startswith("AVX512") for name in found):
        return "asm=avx2"
    return "mbtree=1" if "AVX2" in found else "mbtree=0"


def _fine_time_base(fps: Fraction) -> Fraction:
    """A unit that divides one frame exactly and is at most a ten-thousandth of a second."""
    return Fraction(1, fps.numerator * max(1, -(-10_000 // fps.numerator)))
