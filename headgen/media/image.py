"""Pictures: any still photograph to upright 8-bit sRGB, and back to a file."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import av.error
import cv2
import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from headgen.errors import InputError
from headgen.media.output import check_output, replacing
from headgen.media.video import frame_to_rgb, over_white

__all__ = ["IMAGE_SUFFIXES", "read_image", "side_by_side", "write_image"]

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""Endings that can be written, and their formats."""

_SIXTEEN_BIT = {"I;16", "I;16L", "I;16B", "I;16N", "I"}


def read_image(path: str | Path) -> np.ndarray:
    """Reads a still picture the way a viewer would show it.

    EXIF rotation is applied, embedded colour profiles (and CMYK) are converted to sRGB, 16 bits become 8,
    grey becomes RGB, and transparent pictures lie over white.

    Args:
        path: JPEG, PNG, WebP, TIFF, BMP or any other format that Pillow reads.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        InputError: missing, unreadable, damaged, not a picture, animated, or too large to unpack.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder, not a picture; give the path of a JPEG or PNG file")
    if not path.exists():
        raise InputError(f"{path}: no such file; check the path")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: may not be read; change its permissions")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: is empty (0 bytes); copy or export it again")
    try:
        with Image.open(path) as picture:
            count = getattr(picture, "n_frames", 1)
            if count > 1 and picture.format != "MPO":  # MPO: a photograph and its preview
                raise InputError(
                    f"{path}: is animated ({count} frames); save the one to be used as a still picture (PNG)"
                )
            picture.load()
            return _to_rgb(picture)
    except Image.DecompressionBombError as error:
        raise InputError(f"{path}: has too many pixels; scale it down to 8000 pixels or less") from error
    except UnidentifiedImageError as error:
        return _read_rare(path, error)
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise InputError(f"{path}: is damaged or cut off ({error}); copy or export it again") from error


def write_image(path: str | Path, image: np.ndarray, metadata: Mapping[str, str] | None = None) -> Path:
    """Writes a picture whole or not at all.

    Args:
        path: output, ending in one of `IMAGE_SUFFIXES`.
        image: (H, W, 3) uint8 RGB.
        metadata: text to travel with the picture, see `headgen.media.provenance.picture_metadata`: `xmp` as
            an XMP packet, `description` also where viewers look that do not read XMP.

    Returns:
        The path.

    Raises:
        InputError: the file cannot be written there.
    """
    path = check_output(path, suffixes=IMAGE_SUFFIXES)
    kind = IMAGE_SUFFIXES[path.suffix.lower()]
    with replacing(path) as part:
        Image.fromarray(image).save(part, format=kind, quality=95, **_metadata_options(kind, metadata or {}))
    return path


def _metadata_options(kind: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Options of Pillow that write the metadata into a picture of a kind."""
    if not metadata:
        return {}
    if kind == "PNG":
        text = PngInfo()
        text.add_itxt("XML:com.adobe.xmp", metadata["xmp"])
        text.add_text("Description", metadata["description"])
        return {"pnginfo": text}
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = metadata["description"]
    return {"exif": exif, "xmp": metadata["xmp"].encode()}


def _to_rgb(picture: Image.Image) -> np.ndarray:
    profile = picture.info.get("icc_profile")
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in _SIXTEEN_BIT:
        values = np.asarray(picture).astype(np.int64)
        grey = np.clip((values * 255 + 32767) // 65535, 0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if picture.mode == "F":
        raise ValueError("pixels are floating-point numbers; save it as an 8-bit PNG")
    if picture.mode in ("LA", "La", "PA", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
    elif picture.mode in ("P", "1", "L"):
        picture = picture.convert("RGB")
    if profile:
        picture = _to_srgb(picture, profile)
    if picture.mode == "RGBA":
        return over_white(np.asarray(picture))
    return np.array(picture.convert("RGB"))


def _to_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    """Follows the embedded colour profile; one that does not fit the picture is logged and left aside."""
    mode = "RGBA" if picture.mode == "RGBA" else "RGB"
    try:
        source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(picture, source, target, outputMode=mode)
    except (ImageCms.PyCMSError, OSError) as error:
        logger.info("colour profile left aside: %s", error)
        return picture
    assert converted is not None  # None only for inPlace=True
    return converted


def _read_rare(path: Path, error: Exception) -> np.ndarray:
    """Pictures that Pillow does not know and FFmpeg may (TIFF with three 16-bit channels, EXR, ...)."""
    advice = "give a JPEG, PNG, WebP or TIFF picture"
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            name = container.format.name
            if not (name.endswith("_pipe") or name == "image2"):
                kind = "a video" if container.streams.video and name != "tty" else "not a picture"
                raise InputError(f"{path}: is {kind}; {advice}") from error
            return frame_to_rgb(next(container.decode(video=0)))
    except (OSError, ValueError, av.error.FFmpegError, IndexError, StopIteration):
        raise InputError(f"{path}: is not a picture that can be read; {advice}") from error


def side_by_side(*images: np.ndarray) -> np.ndarray:
    """Pictures (H, W, 3) of any size next to each other, at the height of the last."""
    height = images[-1].shape[0]
    scaled = [
        i
        if i.shape[0] == height
        else cv2.resize(
            i, (max(1, round(i.shape[1] * height / i.shape[0])), height), interpolation=cv2.INTER_AREA
        )
        for i in images
    ]
    return np.hstack(scaled)
