"""What a listener's network should predict: warps of the portrait, or latents of pictures drawn anew.

Both representations are given the truth, real motion of real faces: the first frame of a video is the
portrait, later frames have to be shown. What they make of it is their ceiling. Then their latents are
disturbed as a network that predicts them would: a listener is made, not copied.

- Warp latents (`headgen.listener.latents`): the later frames are tracked, their motion becomes latents, and
  fsrt-small draws these from the first frame.
- Picture latents (`headgen.evaluation.latent_autoencoder`): the later frames are encoded and decoded.

All are compared at the autoencoder's resolution, in one square around the head for each video. Autoencoder::

    from headgen.evaluation.latent_autoencoder import train
    train([Path("portraits"), Path("posed")], Path("autoencoder"), minutes=15)
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from headgen import hub
from headgen.errors import InputError
from headgen.evaluation.bench_quality import VIDEOS
from headgen.evaluation.face_texture import Face, sharpness, texture_ssim
from headgen.evaluation.latent_autoencoder import CELL, SIZE, PictureAutoencoder
from headgen.faces.crop import Crop, portrait_crop
from headgen.faces.portrait import Portrait
from headgen.faces.tracker import FaceTracker, MediaPipeTracker
from headgen.fsrt.small import FSRTSmall
from headgen.fsrt.small_engine import CROP_SCALE
from headgen.listener.engine import PortraitPainter
from headgen.listener.latents import CHANNELS, FRAMES_PER_LATENT, WarpCodec, motion_of_landmarks
from headgen.media import VideoReader, write_image
from headgen.media.image import side_by_side
from headgen.progress import ProgressCallback, ProgressEvent

__all__ = ["DISTURBANCES", "bench"]

Latents = NDArray[np.float32]
"""(T, ...) of T frames; over the data that they were fitted to, each number has a deviation of one."""
Pictures = list[NDArray[np.uint8]]
"""(SIZE, SIZE, 3) RGB each."""

DISTURBANCES = {"none": 0.0, "noise .1": 0.1, "noise .3": 0.3}
"""Standard deviation of the noise that is added to latents, in their own."""
HALFWAY = "halfway"
"""The mean of a frame's latents and the portrait's: what a network predicts that cannot tell which it will
be. A good representation shows a face on its way."""


@dataclass(frozen=True)
class Example:
    """The frames of a video that are to be shown."""

    portrait: Portrait
    """The first frame, whole."""
    landmarks: NDArray[np.float64]
    """(T, 478, 3) of the later frames, in pixels of the video."""
    crop: Crop
    """The square around the first frame's head."""
    truth: Pictures
    """That square of the later frames."""

    def cut(self, pictures: Pictures) -> Pictures:
        """That square of whole pictures."""
        return [self.crop.take(picture, SIZE, border="reflect") for picture in pictures]


def bench(
    videos: Path,
    autoencoder: Path,
    *,
    model: str = "listener-small",
    painter: str = "fsrt-small",
    untrained: bool = True,
    frames: int = 12,
    seed: int = 0,
    keep: Path | None = None,
    progress: ProgressCallback | None = None,
) -> dict[str, Any]:
    """Compares warp latents with those of an autoencoder, on the truth and disturbed.

    Args:
        videos: video of a person, or a folder of them.
        autoencoder: folder that `headgen.evaluation.latent_autoencoder.train` wrote.
        model: the listener whose warp latents are measured; a name, or a folder.
        painter: the model that draws them; a name, or a folder.
        untrained: also draw them with a painter that has learnt nothing: what the face mesh alone gives.
        frames: of each video that are shown, evenly spaced; rounded down to a multiple of 4.
        seed: of the noise, and of the untrained painter.
        keep: folder for VIDEO.png, a sheet for each video: its first and last frame and what was made of the
            last; by default none are written.
        progress: told of each video.

    Returns:
        `numbers`: how many numbers of one frame a network has to predict. `rows`: for each representation
        and disturbance the medians over videos of their mean figures:

        - psnr (decibels), ssim, l1 (of 255): against the true frame; None for `halfway`, which has none.
        - texture_ssim, sharpness: of the skin against the portrait's, see `headgen.evaluation.face_texture`.
        - face_fraction: share of the frames in which a face was found.

    Raises:
        InputError: a video without a face in a frame that is looked at, or too few frames.
        WeightsError: an unknown model, or weights that are missing or damaged.
    """
    count = frames // FRAMES_PER_LATENT * FRAMES_PER_LATENT
    if count == 0:
        raise InputError(f"frames={frames} is too few; give {FRAMES_PER_LATENT} or more")
    files = _videos(Path(videos))
    codec = WarpCodec.from_pretrained(hub.resolve(model).folder / "codec", low_cpu_mem_usage=False)
    coder = PictureAutoencoder.from_pretrained(autoencoder, low_cpu_mem_usage=False).eval()
    paints = {"warp": _painter(hub.resolve(painter).folder, codec)}
    if untrained:
        paints["warp, untrained"] = _untrained(codec, seed)
    found: dict[str, list[dict[str, float | None]]] = {}
    with MediaPipeTracker() as tracker:
        for number, file in enumerate(files):
            example = read_example(file, tracker, count)
            rng = np.random.default_rng([seed, number])
            sheet = [example.cut([example.portrait.image])[0], example.truth[-1]]
            for name, pictures in _shown(example, codec, coder, paints, rng):
                figures = measure(example, pictures, tracker, truth=HALFWAY not in name)
                found.setdefault(name, []).append(figures)
                sheet.append(pictures[-1])
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                write_image(keep / f"{file.stem}.png", side_by_side(*sheet))
            if progress is not None:
                progress(ProgressEvent("compare", number + 1, len(files), "videos"))
    rows = {name: _medians(figures) for name, figures in found.items()}
    grid = (SIZE // CELL) ** 2
    numbers = {
        "warp": int(np.prod(codec.basis.shape[:2])) + CHANNELS,
        "picture": grid * coder.config.channels,
    }
    return {"videos": len(files), "frames": count, "numbers": numbers, "rows": rows}


def read_example(video: Path, tracker: FaceTracker, count: int) -> Example:
    """The first frame of a video and `count` later ones, evenly spaced, all tracked as photographs."""
    with VideoReader(video) as reader:
        total = sum(1 for _ in reader)
    if total <= count:
        raise InputError(f"{video}: has {total} frames, {count + 1} are needed; ask for fewer frames")
    wanted = np.linspace(0, total - 1, count + 1).round().astype(int)
    images, points = [], []
    with VideoReader(video) as reader:
        for frame in reader:
            if frame.index not in wanted:
                continue
            track = tracker.track(frame.image, still=True)
            if track is None:
                raise InputError(f"{video}: no face was found in frame {frame.index}; use another video")
            images.append(frame.image)
            points.append(track.landmarks)
    crop = portrait_crop(points[0], scale=CROP_SCALE)
    truth = [crop.take(image, SIZE, border="reflect") for image in images[1:]]
    return Example(Portrait(video, images[0], points[0]), np.stack(points[1:]), crop, truth)


def _shown(
    example: Example,
    codec: WarpCodec,
    coder: PictureAutoencoder,
    paints: dict[str, PortraitPainter],
    rng: np.random.Generator,
) -> Iterator[tuple[str, Pictures]]:
    """What each representation makes of the later frames, by name of representation and disturbance."""
    still = example.cut([example.portrait.image])
    yield "truth", example.truth
    yield "portrait, still", still * len(example.truth)

    coded = _encoded(coder, [*still, *example.truth])
    for name, latents in _disturbed(coded[1:], coded[:1], rng):
        yield f"picture, {name}", _decoded(coder, latents)

    motion = motion_of_landmarks(example.landmarks, example.portrait.landmarks)
    warps = rearrange(codec.encode(motion).numpy(), "f p (g c) -> (f g) p c", c=CHANNELS)
    for kind, paint in paints.items():
        paint.prepare(example.portrait)
        for name, latents in _disturbed(warps, np.zeros_like(warps[:1]), rng):
            yield f"{kind}, {name}", example.cut(paint.draw(latents, whole=True))
            if kind != "warp":
                break  # the trained painter answers for disturbed latents


def _disturbed(
    latents: Latents, portrait: Latents, rng: np.random.Generator
) -> Iterator[tuple[str, Latents]]:
    """Latents (T, ...) as they are and disturbed; `portrait` (1, ...) are those of the portrait itself."""
    for name, size in DISTURBANCES.items():
        yield name, latents + np.float32(size) * rng.standard_normal(latents.shape, np.float32)
    yield HALFWAY, (latents + portrait) / 2


def _encoded(coder: PictureAutoencoder, pictures: Pictures) -> Latents:
    batch = rearrange(torch.from_numpy(np.stack(pictures)), "t h w c -> t c h w").float() / 255
    with torch.inference_mode():
        return coder.encode(batch).numpy()


def _decoded(coder: PictureAutoencoder, latents: Latents) -> Pictures:
    with torch.inference_mode():
        drawn = coder.decode(torch.from_numpy(latents)).clamp(0, 1).mul(255).round().byte()
    return list(rearrange(drawn, "t c h w -> t h w c").contiguous().numpy())


def measure(
    example: Example, pictures: Pictures, tracker: FaceTracker, *, truth: bool
) -> dict[str, float | None]:
    """Figures of the pictures (T of them) of an example, means over its frames; see `bench`.

    Args:
        example: what was to be shown.
        pictures: what is shown.
        tracker: finds the faces in them.
        truth: whether the true frames are what should be seen.
    """
    own = Face(
        example.cut([example.portrait.image])[0],
        example.crop.to_crop(example.portrait.landmarks, SIZE).astype(np.float64),
    )
    faces = []
    for picture in pictures:
        track = tracker.track(picture, still=True)
        if track is not None:
            faces.append(Face(picture, track.landmarks.astype(np.float64)))
    figures: dict[str, float | None] = dict.fromkeys(("psnr", "ssim", "l1"))
    if truth:
        pairs = list(zip(pictures, example.truth, strict=True))
        apart = np.stack([a.astype(np.float64) - b for a, b in pairs])
        squares = (apart**2).mean((1, 2, 3))
        figures["psnr"] = float(np.minimum(60, 10 * np.log10(255**2 / np.maximum(squares, 1e-9))).mean())
        figures["ssim"] = statistics.fmean(
            float(structural_similarity(a, b, channel_axis=2, data_range=255)) for a, b in pairs
        )
        figures["l1"] = float(np.abs(apart).mean())
    for name, figure in (("texture_ssim", texture_ssim), ("sharpness", sharpness)):
        known = [value for value in (figure(own, face) for face in faces) if value is not None]
        figures[name] = statistics.fmean(known) if known else None
    figures["face_fraction"] = len(faces) / len(pictures)
    return figures


def _painter(folder: Path, codec: WarpCodec) -> PortraitPainter:
    return PortraitPainter(folder, codec, "fp32", torch.device("cpu"))


def _untrained(codec: WarpCodec, seed: int) -> PortraitPainter:
    """A painter at the first step of its training, when it copies along the face mesh's own flow."""
    with torch.random.fork_rng(), tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(seed)  # layers draw their first weights from the global generator
        FSRTSmall().save_pretrained(folder)
        return _painter(Path(folder), codec)


def _videos(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in VIDEOS)
    if not found:
        raise InputError(f"{path}: the folder holds no video; put one there ({', '.join(VIDEOS)})")
    return found


def _medians(rows: list[dict[str, float | None]]) -> dict[str, float | None]:
    """The median of every figure over the videos that have it, to four digits."""
    known = {name: [row[name] for row in rows if row[name] is not None] for name in rows[0]}
    return {
        name: float(f"{statistics.median(v for v in values if v is not None):.4g}") if values else None
        for name, values in known.items()
    }
