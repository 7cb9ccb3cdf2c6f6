"""What a real camera does to a picture: focus, exposure, colours, noise, a small sensor, and compression.

Everything is drawn once per clip; from frame to frame only noise and what compression makes of it change.
Ground truth stays exact: no flaw moves anything.

Legend: H x W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

BLOCK = 8  # pixels, of the compression
KEY_EVERY = 48  # frames between those that are compressed by themselves
SHUTTER_RATE = 25.0  # 1 / s
SLOW_SHUTTERS = 0.2  # share of the cameras whose shutter is open long enough to be seen
_COSINES = np.array(
    [
        [
            np.sqrt((1 if k == 0 else 2) / BLOCK) * np.cos((2 * n + 1) * k * np.pi / (2 * BLOCK))
            for n in range(BLOCK)
        ]
        for k in range(BLOCK)
    ],
    np.float32,
)
_STEPS = 1 + 0.35 * np.add.outer(np.arange(BLOCK), np.arange(BLOCK)).astype(np.float32)
"""Coarseness by frequency: eyes see fine detail less well."""


@dataclass(frozen=True)
class Flaws:
    """A camera's flaws.

    Attributes:
        seed: of the noise.
        exposure: stops.
        balance: (3,) gain of each colour.
        contrast: slope about mid-grey.
        saturation: of colours.
        black: brightness of black, codes.
        vignette: loss of light in the corners, 0 to 1.
        defocus: radius of the blur in pixels of a picture 256 pixels high.
        shutter: how long the shutter is open, as a share of 1 / `SHUTTER_RATE` s: motion blur where motion is
            given.
        noise: standard deviation of the brightness in codes at mid-grey.
        chroma_noise: the same of the colours, in blotches.
        resolution: of the sensor, as a share of the picture's.
        compression: quantiser's step in codes, 0 for none.
    """

    seed: int
    exposure: float = 0.0
    balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    contrast: float = 1.0
    saturation: float = 1.0
    black: float = 0.0
    vignette: float = 0.0
    defocus: float = 0.0
    shutter: float = 0.0
    noise: float = 0.0
    chroma_noise: float = 0.0
    resolution: float = 1.0
    compression: float = 0.0

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Flaws:
        """Draws the flaws of one clip: most cameras are good, some are not."""
        warmth, green = rng.normal(0, 0.05), rng.normal(0, 0.02)
        bad = float(rng.beta(1.3, 3.0))

        def shutter() -> float:
            slow = float(rng.uniform()) / SLOW_SHUTTERS
            return 0.3 + 0.6 * slow if slow < 1 else 0.0  # 12 to 36 ms

        return cls(
            seed=int(rng.integers(2**62)),
            exposure=float(np.clip(rng.normal(0, 0.25), -0.7, 0.6)),
            balance=(float(np.exp(warmth)), float(np.exp(green)), float(np.exp(-warmth))),
            contrast=float(np.exp(rng.normal(0, 0.08))),
            saturation=float(np.exp(rng.normal(0, 0.12))),
            black=float(rng.exponential(3.0)),
            vignette=float(rng.beta(1.2, 5)) * 0.6,
            defocus=float(rng.exponential(0.5 * bad)),
            shutter=shutter(),
            noise=float(rng.uniform(0.3, 1.5) + 5 * bad * rng.uniform()),
            chroma_noise=float(4 * bad * rng.uniform()),
            resolution=float(1 - 0.45 * bad) if rng.random() < 0.35 else 1.0,
            compression=float(rng.uniform(1, 4) + 14 * bad * rng.uniform()) if rng.random() < 0.85 else 0.0,
        )

    def camera(self) -> FlawedCamera:
        """A camera at the beginning of its clip."""
        return FlawedCamera(self)


class FlawedCamera:
    """Takes the frames of one clip, one after the other."""

    def __init__(self, flaws: Flaws) -> None:
        """Turns on."""
        self.flaws = flaws
        self._rng = np.random.default_rng(flaws.seed)
        self._phase = int(self._rng.integers(KEY_EVERY))
        self._before: list[np.ndarray] | None = None
        self._shade: np.ndarray | None = None

    def __call__(self, image: np.ndarray, motion: np.ndarray | None = None) -> np.ndarray:
        """The next frame as the camera delivers it.

        Args:
            image: (H, W, 3) uint8 sRGB.
            motion: (H, W, 2) pixels that each pixel moves in 1 / `SHUTTER_RATE` s; without it nothing is
                blurred by motion.

        Returns:
            (H, W, 3) uint8.
        """
        flaws, (height, width) = self.flaws, image.shape[:2]
        out = image.astype(np.float32)
        if motion is not None and flaws.shutter > 0:
            out = motion_blurred(out, motion * flaws.shutter)
        if flaws.defocus > 0.2:
            out = cv2.GaussianBlur(out, (0, 0), flaws.defocus * height / 256)
        # on coded values: a stop is about a factor of 2^(1 / 2.2) there
        gain = np.asarray(flaws.balance, np.float32) * np.float32(2 ** (flaws.exposure / 2.2))
        out *= self._shading(height, width) * gain
        grey = out @ np.array([0.299, 0.587, 0.114], np.float32)
        out = grey[..., None] + flaws.saturation * (out - grey[..., None])
        out = 118 + flaws.contrast * (out - 118)
        out = flaws.black + out * ((255 - flaws.black) / 255)
        small = (max(8, round(width * flaws.resolution)), max(8, round(height * flaws.resolution)))
        if small != (width, height):
            out = cv2.resize(out, small, interpolation=cv2.INTER_AREA)
        planes = self._noisy(out)
        if flaws.compression > 0:
            planes = self._compressed(planes)
        out = cv2.cvtColor(_joined(planes), cv2.COLOR_YCrCb2RGB) * 255
        if small != (width, height):
            out = cv2.resize(out, (width, height), interpolation=cv2.INTER_CUBIC)
        return np.clip(np.round(out), 0, 255).astype(np.uint8)

    def _shading(self, height: int, width: int) -> np.ndarray:
        """(H, W, 1) what the vignette leaves."""
        if self._shade is None or self._shade.shape[:2] != (height, width):
            y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
            self._shade = (1 - self.flaws.vignette * ((x * x + y * y) / 2) ** 1.5)[..., None].astype(
                np.float32
            )
        return self._shade

    def _noisy(self, image: np.ndarray) -> list[np.ndarray]:
        """Brightness (H, W) and two colour planes (H / 2, W / 2) from 0 to 255, with noise."""
        coded = cv2.cvtColor(np.clip(image, 0, 255) / 255, cv2.COLOR_RGB2YCrCb) * 255
        height, width = coded.shape[:2]
        half = ((width + 1) // 2, (height + 1) // 2)
        grey = coded[..., 0]
        # shot noise of light, in codes: strongest in the shadows
        level = 1.3 - 0.6 * grey / 255
        grain = self._rng.standard_normal((height, width), np.float32)
        planes = [grey + self.flaws.noise * level * grain]
        for k in (1, 2):
            plane = cv2.resize(coded[..., k], half, interpolation=cv2.INTER_AREA)
            blotches = self._rng.standard_normal(((half[1] + 1) // 2, (half[0] + 1) // 2), np.float32)
            planes.append(plane + self.flaws.chroma_noise * cv2.resize(blotches, half))
        return planes

    def _compressed(self, planes: list[np.ndarray]) -> list[np.ndarray]:
        """What a video codec leaves.

        Our design: blocks of 8 x 8 pixels, cosine transform and quantiser with a dead zone as in H.264, on
        the difference to the frame before (without motion search) or, every `KEY_EVERY` frames, on the frame.
        Quiet blocks stay as they were, so that noise freezes and moves in steps, as in real videos.
        """
        key = self._phase % KEY_EVERY == 0 or self._before is None
        self._phase += 1
        before = [np.full_like(p, 128.0) for p in planes] if key or self._before is None else self._before
        steps = (self.flaws.compression, 1.3 * self.flaws.compression, 1.3 * self.flaws.compression)
        offset = 1 / 3 if key else 1 / 6  # as the reference encoder rounds
        out = [b + quantised(p - b, step, offset) for p, b, step in zip(planes, before, steps, strict=True)]
        self._before = out
        return out


def motion_blurred(image: np.ndarray, way: np.ndarray, taps: int = 5) -> np.ndarray:
    """The mean of a picture (H, W, 3) along a way (H, W, 2) in pixels through each of its pixels."""
    if float(np.abs(way).max(initial=0)) < 0.5:
        return image
    # what moves smears over what stands still beside it
    way = cv2.blur(way.astype(np.float32), (9, 9))
    y, x = np.mgrid[0 : image.shape[0], 0 : image.shape[1]].astype(np.float32)
    total = np.zeros_like(image)
    for share in np.linspace(-0.5, 0.5, taps, dtype=np.float32):
        moved = (x - share * way[..., 0], y - share * way[..., 1])
        total += cv2.remap(image, *moved, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return total / taps


def quantised(plane: np.ndarray, step: float, offset: float) -> np.ndarray:
    """A plane (H, W) whose blocks' frequencies are rounded to multiples of a step.

    Args:
        plane: float32.
        step: of the lowest frequency; higher ones are coarser.
        offset: added before rounding down, 1/2 for plain rounding; less leaves more zeros.
    """
    height, width = plane.shape
    padded = cv2.copyMakeBorder(plane, 0, -height % BLOCK, 0, -width % BLOCK, cv2.BORDER_REPLICATE)
    rows, columns = padded.shape[0] // BLOCK, padded.shape[1] // BLOCK
    blocks = padded.reshape(rows, BLOCK, columns, BLOCK).transpose(0, 2, 1, 3)
    waves = _COSINES @ blocks @ _COSINES.T / (step * _STEPS)
    waves = np.sign(waves) * np.floor(np.abs(waves) + offset) * (step * _STEPS)
    blocks = _COSINES.T @ waves @ _COSINES
    return blocks.transpose(0, 2, 1, 3).reshape(padded.shape)[:height, :width]


def _joined(planes: list[np.ndarray]) -> np.ndarray:
    """(H, W, 3) float32 brightness and colours from 0 to 1."""
    height, width = planes[0].shape
    colours = [cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR) for plane in planes[1:]]
    return np.clip(np.dstack([planes[0], *colours]) / 255, 0, 1).astype(np.float32)
