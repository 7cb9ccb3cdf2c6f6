"""Quality of `headgen reenact` on portraits and driving videos of one's own, in figures of the face tracker.

Every figure compares what the output's face does or looks like with the driver's motion or the portrait's
skin, through the landmarks that headgen's own tracker finds. They say how well motion and likeness are kept;
hair, teeth, eyes and background are in none of them, so the videos have to be looked at as well.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from headgen.errors import InputError
from headgen.faces.mesh import (
    barycentric,
    draw_triangles,
    eye_distance,
    facing,
    fit_pose,
    mean_face,
    triangles,
)
from headgen.faces.motion import MOTION_NAMES, expression_coefficients, head_angles
from headgen.faces.tracker import FaceTracker, MediaPipeTracker
from headgen.media import VideoReader, read_image, write_image
from headgen.progress import ProgressCallback, ProgressEvent
from headgen.reenact import FrameMode, reenact

__all__ = [
    "CHANNELS",
    "Face",
    "bench",
    "jitter_ratio",
    "landmark_distances",
    "motion_channels",
    "motion_figures",
    "score",
    "sharpness",
    "texture_ssim",
]

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
"""Endings that a folder of portraits is searched for."""
VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg")
"""Endings that a folder of driving videos is searched for."""

CHANNELS = ("yaw", "pitch", "roll", "mouth_open", "mouth_width", "eye_left", "eye_right", "brow")
"""What is compared of the motion. The first three are the head's pose in degrees; mouth and brow are in
outer-eye distances, the eyes' openness is relative to the video's own open eyes."""
SCALES = np.array([4, 4, 4, 0.05, 0.04, 0.25, 0.25, 0.03])
"""Root mean square of a channel's motion from which it counts in full."""
FLOORS = np.array([1, 1, 1, 0.012, 0.012, 0.08, 0.08, 0.008])
"""Standard deviation of the driver's channel under which it is left out: most of it is tracking noise."""
LEAST_FRAMES = 5
"""Frames with both faces under which motion is not judged."""
TRIPLES = 16
"""Triples of consecutive frames from which jitter is measured, at most."""
TRACKING_NOISE = 1e-5
"""Added to both sides of the jitter ratio, in squared outer-eye distances: about what tracking alone has."""

SKIN = 468  # landmarks before the irises, which look around
GRID_SPAN = 2.2  # side of a texture's grid in outer-eye distances: the face and a little room
GRID_SIZE = 128  # pixels a side at which textures are compared
SMALLEST_GRID, LARGEST_GRID = 48, 320  # at which sharpness is compared
FACING = 0.4  # least cosine between skin and viewing direction
LEAST_SEEN = 0.3  # share of the texture that both faces have to show
SOFTNESS = 0.42  # standard deviation, in pixels of the coarser grid, of the blur before sampling

Landmarks = NDArray[np.floating]
"""(478, 3) tracked points in pixels, as in `headgen.faces.mesh`."""


def bench(
    drivings: Path,
    portraits: Path | None = None,
    *,
    model: str = "fsrt-small",
    frame: FrameMode = "full",
    self_reenact: bool = False,
    frames: int = 60,
    keep: Path | None = None,
    progress: ProgressCallback | None = None,
) -> dict[str, Any]:
    """Reenacts every portrait with every driving video and measures motion, likeness, sharpness and jitter.

    Motion error 0 is the driver's motion, 1 no motion at all. All other options of `headgen reenact` have
    their defaults. Look at the videos too (`keep`): hair, teeth, eyes and background are not measured.

    Args:
        drivings: driving video, or a folder of them.
        portraits: photograph of a person, or a folder of them; not used with `self_reenact`.
        model: name of the model, see `headgen weights list`.
        frame: `full` scores the whole photograph, `crop` the square around the head.
        self_reenact: instead of portraits, let every driving video move its own first frame, which the rest
            of the video then shows the truth for.
        frames: frames of each video that are looked at, at most, evenly spaced; 5 or more.
        keep: folder for the videos, PORTRAIT_DRIVING.mp4 or with `self_reenact` DRIVING_self.mp4; by default
            they are thrown away.
        progress: told of each pair.

    Returns:
        `pairs`: for each pair the names of its files and its figures as in `score`; `median`: the medians of
        the figures over all pairs. A figure for which nothing could be measured is None.

    Raises:
        InputError: a folder without pictures or videos, no portraits, two outputs of one name, a picture
            without a face, too few frames, or whatever `headgen reenact` refuses.
        WeightsError: an unknown model, or weights that are missing or damaged.
    """
    if frames < LEAST_FRAMES:
        raise InputError(f"frames={frames} is too few to judge motion; give {LEAST_FRAMES} or more")
    videos = _files(Path(drivings), VIDEOS, "driving video")
    if self_reenact:
        jobs = [(video, video, f"{video.stem}_self.mp4") for video in videos]
    elif portraits is None:
        raise InputError("no portraits were given; name them with --portraits, or use --self-reenact")
    else:
        pictures = _files(Path(portraits), PICTURES, "picture")
        jobs = [(p, video, f"{p.stem}_{video.stem}.mp4") for p in pictures for video in videos]
    _check_names([name for *_, name in jobs])

    pairs: list[dict[str, Any]] = []
    followed: dict[Path, dict[int, Landmarks | None]] = {}
    with MediaPipeTracker() as tracker, tempfile.TemporaryDirectory() as passing:
        folder = Path(passing) if keep is None else _made(Path(keep))
        for source, driving, name in jobs:
            picture = _first_frame(source, Path(passing)) if self_reenact else source
            face = _face(source, read_image(picture), tracker)
            done = reenact([picture], driving, folder / name, model=model, frame=frame)
            figures = score(
                face,
                driving,
                done.output,
                tracker,
                count=done.frames,
                frames=frames,
                followed=followed.setdefault(driving, {}),
                truth=self_reenact,
            )
            if keep is None:
                done.output.unlink()
            shown = f"first frame of {source.name}" if self_reenact else source.name
            pairs.append({"source": shown, "driving": driving.name, **_rounded(figures)})
            if progress is not None:
                progress(ProgressEvent("measure", len(pairs), len(jobs), "pairs"))
    figures_only = [{k: v for k, v in p.items() if k not in ("source", "driving")} for p in pairs]
    return {"pairs": pairs, "median": _rounded(_medians(figures_only))}


def score(
    source: Face,
    driving: Path,
    output: Path,
    tracker: FaceTracker,
    *,
    count: int,
    frames: int = 60,
    followed: dict[int, Landmarks | None] | None = None,
    truth: bool = False,
) -> dict[str, Any]:
    """Figures of one reenactment.

    Args:
        source: the photograph that moves.
        driving: driving video.
        output: the reenactment, frame for frame.
        tracker: used on every frame as on a photograph: several looks keep its noise small.
        count: frames of both videos.
        frames: frames looked at, at most, evenly spaced.
        followed: landmarks of the driving video by frame, filled in here; to be given again for the next
            output of the same driving video.
        truth: whether the driving video shows what the output should: adds the last three figures.

    Returns:
        Figures of `motion_figures`, and

        - texture_ssim: mean of `texture_ssim` between source and output.
        - sharpness: median of `sharpness`, output over source.
        - jitter: `jitter_ratio`, output over driving video.
        - face_fraction: share of the output's frames in which a face was found.
        - akd: mean distance of the output's landmarks from the truth, in outer-eye distances.
        - akd_still: the same for the first frame standing still.
        - psnr: mean of the frames' peak signal-to-noise ratios against the truth, in decibels, 60 at most.
    """
    wanted, middles = _sampled(count, frames)
    compared, textured = set(wanted), set(wanted[::2])
    looked_at = compared | {k + step for k in middles for step in (-1, 0, 1)}
    drivers = {} if followed is None else followed
    outputs: dict[int, Landmarks | None] = {}
    ssim, sharp, psnr = [], [], []
    place: NDArray[np.float64] | None = None
    with VideoReader(driving) as driver_frames, VideoReader(output) as output_frames:
        for driver, shown in zip(driver_frames, output_frames, strict=True):
            k = shown.index
            if k not in looked_at:
                continue
            if k not in drivers:
                drivers[k] = _track(tracker, driver.image)
            found = outputs[k] = _track(tracker, shown.image)
            if found is not None and k in textured:
                face = Face(shown.image, found)
                ssim.append(texture_ssim(source, face))
                sharp.append(sharpness(source, face))
            if truth and k in compared:
                if place is None:
                    place = _placement(drivers[k], found, driver.image.shape, shown.image.shape)
                psnr.append(_psnr(driver.image, shown.image, place))

    both = [(d, o) for d, o in ((drivers[k], outputs[k]) for k in wanted) if d is not None and o is not None]
    figures = motion_figures([d for d, _ in both], [o for _, o in both])
    figures["texture_ssim"] = _over(statistics.fmean, ssim)
    figures["sharpness"] = _over(statistics.median, sharp)
    figures["jitter"] = jitter_ratio(
        *([[track[k + step] for step in (-1, 0, 1)] for k in middles] for track in (drivers, outputs))
    )
    figures["face_fraction"] = statistics.fmean(outputs[k] is not None for k in wanted)
    if truth:
        assert place is not None, "a video has a frame"
        figures["akd"] = _over(statistics.fmean, [landmark_distances(d, o, place) for d, o in both])
        figures["akd_still"] = _over(statistics.fmean, [landmark_distances(d, both[0][0]) for d, _ in both])
        figures["psnr"] = _over(statistics.fmean, psnr)
    return figures


def motion_channels(landmarks: Sequence[Landmarks]) -> NDArray[np.float64]:
    """How a face moves against its own first frame.

    Args:
        landmarks: T times (478, 3) in pixels.

    Returns:
        (T, 8), columns and units as in `CHANNELS`; the first row is 0. The pose is the turn from the first
        frame's, the eyes' openness is divided by its 80th percentile over the frames.
    """
    poses = [fit_pose(frame) for frame in landmarks]
    turns = np.stack([pose.rotation @ poses[0].rotation.T for pose in poses])
    columns = expression_coefficients(np.stack([pose.frontal for pose in poses])).T
    named = dict(zip(MOTION_NAMES[3:], columns, strict=True))
    eyes = [named[side] / max(np.percentile(named[side], 80), 0.05) for side in ("eye_left", "eye_right")]
    brow = (named["brow_left"] + named["brow_right"]) / 2
    expression = np.stack([named["mouth_open"], named["mouth_width"], *eyes, brow], 1)
    return np.hstack([head_angles(turns), expression - expression[0]])


def motion_figures(driving: Sequence[Landmarks], output: Sequence[Landmarks]) -> dict[str, Any]:
    """How well an output's motion follows the driver's.

    Args:
        driving: landmarks of T driving frames, each (478, 3) in pixels.
        output: those of the same frames of the output.

    Returns:
        - motion_error: squared difference of the channels over the driver's squared motion, both summed over
          frames and, weighted so that lively channels count alike whatever their unit, over channels. 0 is
          the driver's motion, 1 no motion, and wrong motion is more.
        - motion_error_pose, motion_error_expression: of the pose channels and of the others alone.
        - motion_correlation: mean correlation of the channels, -1 to 1.
        - gain: for each channel the slope of the output's motion over the driver's.

        Channels in which the driver hardly moves are left out; None where nothing is left.
    """
    nothing: dict[str, Any] = dict.fromkeys(
        ("motion_error", "motion_error_pose", "motion_error_expression", "motion_correlation")
    )
    if len(driving) < LEAST_FRAMES:
        return {**nothing, "gain": dict.fromkeys(CHANNELS)}
    wanted, found = motion_channels(driving), motion_channels(output)
    lively = wanted.std(0) > FLOORS
    pose = np.arange(len(CHANNELS)) < 3
    weights = 1 / np.maximum(np.sqrt((wanted**2).mean(0)), SCALES) ** 2

    def error(chosen: NDArray[np.bool_]) -> float | None:
        if not chosen.any():
            return None
        apart, moved = ((found - wanted) ** 2).sum(0), (wanted**2).sum(0)
        return float((weights * apart)[chosen].sum() / (weights * moved)[chosen].sum())

    covariance = ((wanted - wanted.mean(0)) * (found - found.mean(0))).mean(0)
    gains = covariance / np.maximum(wanted.var(0), 1e-12)
    moves = found.std(0) > FLOORS / 8  # else what correlates is noise
    correlations = np.where(moves, covariance / np.maximum(wanted.std(0) * found.std(0), 1e-12), 0)
    return {
        "motion_error": error(lively),
        "motion_error_pose": error(lively & pose),
        "motion_error_expression": error(lively & ~pose),
        "motion_correlation": float(correlations[lively].mean()) if lively.any() else None,
        "gain": {
            name: float(gain) if moving else None
            for name, gain, moving in zip(CHANNELS, gains, lively, strict=True)
        },
    }


def jitter_ratio(
    driving: Sequence[Sequence[Landmarks | None]], output: Sequence[Sequence[Landmarks | None]]
) -> float | None:
    """How restless an output's landmarks are, over the driver's: 1 is as restless, less is calmer.

    Args:
        driving: triples of consecutive frames' landmarks; triples without a face in all frames do not count.
        output: the same of the output.

    Returns:
        Ratio of the medians of the squared second differences in outer-eye distances, `TRACKING_NOISE` added
        to both; None if either has no triple.
    """
    restless = [
        [
            float(((a - 2 * b + c)[:SKIN, :2] ** 2).sum(1).mean()) / eye_distance(b) ** 2
            for a, b, c in triples
            if a is not None and b is not None and c is not None
        ]
        for triples in (driving, output)
    ]
    if not all(restless):
        return None
    below, above = (statistics.median(values) + TRACKING_NOISE for values in restless)
    return above / below


def landmark_distances(
    truth: Landmarks, output: Landmarks, place: NDArray[np.float64] | None = None
) -> float:
    """Mean distance of an output's landmarks from the true ones, in outer-eye distances.

    Args:
        truth: (478, 3) in pixels of the driving video.
        output: (478, 3) in pixels of the output.
        place: (2, 3) map from pixels of the driving video to the output's; None: the same.
    """
    scale, shift = (1.0, np.zeros(2)) if place is None else (place[0, 0], place[:, 2])
    apart = truth[:SKIN, :2] * scale + shift - output[:SKIN, :2]
    return float(np.linalg.norm(apart, axis=1).mean() / (scale * eye_distance(truth)))


class FaceGrid:
    """A square grid over the mean face seen from the front, through which faces are compared.

    Attributes:
        mask: (size, size) bool, skin away from the face's border; eyes and mouth are holes.
    """

    def __init__(self, size: int) -> None:
        """Lays out the grid.

        Args:
            size: pixels a side; one outer-eye distance is `size` / `GRID_SPAN` pixels.
        """
        self.size = size
        front = mean_face()[:, :2] * [1, -1]
        middle = (front[:SKIN].max(0) + front[:SKIN].min(0)) / 2
        points = (front - middle) * (size / GRID_SPAN) + (size - 1) / 2
        which = draw_triangles(points, triangles(), size)
        self._covered = which >= 0
        self._weights = barycentric(points, triangles(), which)
        self._corners = triangles()[which[self._covered]]
        border = 2 * max(1, round(0.025 * size)) + 1
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (border, border))
        self.mask = cv2.erode(self._covered.astype(np.uint8), disc, borderValue=0) > 0

    def spread(self, values: NDArray) -> NDArray[np.float32]:
        """Values of the landmarks (478, K) at every pixel of the grid (size, size, K); NaN off the face."""
        drawn = np.full((self.size, self.size, values.shape[1]), np.nan, np.float32)
        drawn[self._covered] = np.einsum("pc,pck->pk", self._weights, values[self._corners])
        return drawn


@lru_cache(maxsize=40)
def face_grid(size: int) -> FaceGrid:
    """The grid of a size, laid out once."""
    return FaceGrid(size)


@dataclass
class Face:
    """A picture with its face, to be sampled through the mesh."""

    image: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    landmarks: Landmarks
    """(478, 3) in pixels of the image."""
    _textures: dict[int, tuple[NDArray[np.float32], NDArray[np.bool_]]] = field(
        default_factory=dict, repr=False
    )

    @property
    def size(self) -> float:
        """About the face's height in pixels, which neither jaw nor pose changes."""
        return GRID_SPAN * eye_distance(self.landmarks)

    def texture(self, size: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The face's skin on a grid, sampled once per size.

        Args:
            size: pixels a side.

        Returns:
            Luma (size, size) in [0, 1], of the picture softened to what the grid can hold; and where it can
            be relied on (size, size): on skin that looks at the camera, inside the picture.
        """
        if size not in self._textures:
            grid = face_grid(size)
            luma = cv2.cvtColor(self.image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
            place = grid.spread(self.landmarks[:, :2])
            x, y = place[..., 0], place[..., 1]
            height, width = luma.shape
            with np.errstate(invalid="ignore"):
                inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
                seen = grid.mask & inside & (grid.spread(facing(self.landmarks)[:, None])[..., 0] > FACING)
            soft = _softened(luma, self.size / size)
            drawn = cv2.remap(
                soft, np.nan_to_num(x), np.nan_to_num(y), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
            )
            self._textures[size] = drawn, seen
        return self._textures[size]


def texture_ssim(source: Face, output: Face) -> float | None:
    """Structural similarity of two faces' skin, -1 to 1, whatever their pose and expression.

    Wang et al. 2004, Gaussian window of 1.5 pixels, of luma on a grid of 128 x 128 pixels over the mean face.

    Returns:
        Mean over the pixels that both faces show, or None if these are too few.
    """
    (a, seen_a), (b, seen_b) = source.texture(GRID_SIZE), output.texture(GRID_SIZE)
    seen = seen_a & seen_b
    if seen.sum() < LEAST_SEEN * face_grid(GRID_SIZE).mask.sum():
        return None
    a, b = np.where(seen, a, 0.5), np.where(seen, b, 0.5)
    _, similarity = structural_similarity(
        a, b, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    return float(similarity[seen].mean())


def sharpness(source: Face, output: Face) -> float | None:
    """How much fine detail an output's skin has, over the source's: 1 is as sharp, less is blurred.

    Returns:
        Ratio of the mean squared Laplacians of luma, on a grid as fine as the smaller of the two faces; None
        if both faces show too little of the same skin.
    """
    finest = min(source.size, output.size, LARGEST_GRID)
    size = int(max(finest, SMALLEST_GRID)) // 8 * 8  # steps, so that textures can be used again
    (a, seen_a), (b, seen_b) = source.texture(size), output.texture(size)
    seen = seen_a & seen_b
    if seen.sum() < LEAST_SEEN * face_grid(size).mask.sum():
        return None
    seen = cv2.erode(seen.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0) > 0
    below, above = (float((cv2.Laplacian(x, cv2.CV_32F)[seen] ** 2).mean()) for x in (a, b))
    return above / max(below, 1e-10)


def _softened(image: NDArray, ratio: float) -> NDArray:
    """A picture without the detail that is lost on a grid whose pixels are `ratio` times as wide."""
    blur = SOFTNESS * np.sqrt(max(0.0, ratio**2 - 1))
    return image if blur < 0.2 else cv2.GaussianBlur(image, (0, 0), blur, borderType=cv2.BORDER_REPLICATE)


def _placement(
    driver: Landmarks | None, output: Landmarks | None, shape: Sequence[int], output_shape: Sequence[int]
) -> NDArray[np.float64]:
    """Map (2, 3) of scale and shift from pixels of the driving video to those of the output.

    Fitted to both faces in least squares where the sizes differ; a row or column that makes a size even is
    no difference.
    """
    place = np.eye(2, 3)
    if all(b == a + a % 2 for a, b in zip(shape[:2], output_shape[:2], strict=True)):
        return place
    if driver is None or output is None:  # the output's width is the only hint
        return place * (output_shape[1] / shape[1])
    a, b = driver[:SKIN, :2], output[:SKIN, :2]
    scale = ((a - a.mean(0)) * (b - b.mean(0))).sum() / ((a - a.mean(0)) ** 2).sum()
    return np.hstack([np.eye(2) * scale, (b.mean(0) - scale * a.mean(0))[:, None]])


def _psnr(truth: NDArray[np.uint8], output: NDArray[np.uint8], place: NDArray[np.float64]) -> float:
    """Peak signal-to-noise ratio in decibels, 60 at most."""
    size = output.shape[1::-1]
    fitted = cv2.warpAffine(_softened(truth, 1 / place[0, 0]), place, size, borderMode=cv2.BORDER_REPLICATE)
    error = float(((output.astype(np.float32) - fitted) ** 2).mean())
    return min(60.0, 10 * float(np.log10(255**2 / max(error, 1e-3))))


def _sampled(count: int, frames: int) -> tuple[list[int], list[int]]:
    """Indices of the frames to be compared, and of the middle ones of the triples for jitter."""
    wanted = [round(k) for k in np.linspace(0, count - 1, min(count, frames))]
    middles = [k for k in wanted if 0 < k < count - 1]
    return wanted, middles[:: max(1, -(-len(middles) // TRIPLES))]


def _track(tracker: FaceTracker, image: NDArray[np.uint8]) -> Landmarks | None:
    track = tracker.track(image, still=True)
    return None if track is None else track.landmarks.astype(np.float64)


def _face(path: Path, image: NDArray[np.uint8], tracker: FaceTracker) -> Face:
    landmarks = _track(tracker, image)
    if landmarks is None:
        raise InputError(f"{path}: no face was found to start from; use one that shows it from the front")
    return Face(image, landmarks)


def _first_frame(video: Path, folder: Path) -> Path:
    """A picture of the video's first frame."""
    with VideoReader(video) as reader:
        return write_image(folder / f"{video.stem}.png", next(iter(reader)).image)


def _files(path: Path, endings: Sequence[str], kind: str) -> list[Path]:
    """The file itself, or the files of that kind in a folder by name."""
    if not path.is_dir():
        return [path]
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in endings and not p.name.startswith("."))
    if not found:
        raise InputError(f"{path}: the folder holds no {kind}; put one there ({', '.join(endings)})")
    return found


def _check_names(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{twice[0]}: two outputs would have this name; rename a portrait or driving video")


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: the folder cannot be made ({error.strerror}); choose another") from error
    return folder


def _over(average: Callable[[list[float]], float], values: Sequence[float | None]) -> float | None:
    """An average of the values that there are."""
    known = [value for value in values if value is not None]
    return float(average(known)) if known else None


def _medians(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The median of every figure, and of the figures inside of it."""
    return {
        name: _medians([row[name] for row in rows])
        if isinstance(value, dict)
        else _over(statistics.median, [row[name] for row in rows])
        for name, value in rows[0].items()
    }


def _rounded(figures: dict[str, Any]) -> dict[str, Any]:
    """Four digits of every figure."""
    return {
        name: _rounded(value) if isinstance(value, dict) else None if value is None else float(f"{value:.4g}")
        for name, value in figures.items()
    }
