"""Videos of many kinds, made on the fly, for all tests."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

SPACES = {1: Colorspace.ITU709, 5: Colorspace.ITU601, 6: Colorspace.ITU601}


def picture(width: int = 64, height: int = 48, shade: int = 0) -> np.ndarray:
    """Four plain quarters: red, green / blue, and a grey that tells frames apart."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = (200, 40, 40)
    image[: height // 2, width // 2 :] = (40, 180, 60)
    image[height // 2 :, : width // 2] = (30, 60, 190)
    image[height // 2 :, width // 2 :] = 30 + shade
    return image


def corners(image: np.ndarray) -> np.ndarray:
    """(4, 3) mean colours in the middle of the quarters: top left, top right, bottom left, bottom right."""
    h, w = image.shape[:2]
    boxes = [
        image[h * a // 8 : h * (a + 2) // 8, w * b // 8 : w * (b + 2) // 8] for a in (1, 5) for b in (1, 5)
    ]
    return np.stack([box.reshape(-1, 3).mean(0) for box in boxes])


def write_clip(
    path: Path,
    count: int = 10,
    *,
    size: tuple[int, int] = (64, 48),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    fps: Fraction | int = 25,
    times: list[int] | None = None,
    time_base: Fraction | None = None,
    space: int = 6,
    full_range: bool = False,
    mark: bool = True,
    audio: str | None = None,
    audio_seconds: float | None = None,
    aspect: Fraction | None = None,
    options: dict[str, str] | None = None,
    image: np.ndarray | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Writes a video straight through PyAV, independent of headgen's writer."""
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=Fraction(fps), options=options or {})
        stream.width, stream.height, stream.pix_fmt = size[0], size[1], pix_fmt
        if time_base is not None:
            stream.codec_context.time_base = time_base
            stream.time_base = time_base
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if mark and pix_fmt.startswith("yuv"):
            stream.codec_context.colorspace = space
            stream.codec_context.color_range = ColorRange.JPEG if full_range else ColorRange.MPEG
        sound = None
        if audio is not None:
            sound = container.add_stream(audio, rate=48000, layout="mono")
        for index in range(count):
            rgb = picture(*size, shade=10 * index % 200) if image is None else image
            frame = av.VideoFrame.from_ndarray(rgb, "rgba" if rgb.shape[2] == 4 else "rgb24")
            frame = frame.reformat(
                format=pix_fmt,
                dst_colorspace=SPACES[space],
                dst_color_range=ColorRange.JPEG if full_range or "gray" in pix_fmt else ColorRange.MPEG,
            )
            frame.pts = times[index] if times is not None else index
            frame.time_base = time_base or 1 / Fraction(fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            total = int(
                48000 * (audio_seconds if audio_seconds is not None else float(count / Fraction(fps)))
            )
            wave = (np.sin(np.arange(total) * 2 * np.pi * 440 / 48000) * 12000).astype(np.int16)
            block = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
            block.sample_rate, block.pts, block.time_base = 48000, 0, Fraction(1, 48000)
            container.mux(sound.encode(block))
            container.mux(sound.encode(None))
    return path


def set_display_matrix(path: Path, a: int, b: int, c: int, d: int) -> None:
    """Rewrites the matrix of the first track header of an MP4 file (entries -1, 0 or 1)."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: 40 bytes stand before the matrix
    one = 1 << 16
    data[at : at + 36] = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path.write_bytes(bytes(data))
