"""What pictures, clips and faces are described by: published networks by path, and filters without weights.

headgen carries none of the networks. Those that metrics are named after are published as TorchScript, which
runs without the code that made it and holds no Python objects: InceptionV3 and I3D as used by StyleGAN's
authors and after them, and any network of identity as its owner traced it.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from headgen.errors import WeightsError
from headgen.evaluation.face_texture import softened

__all__ = [
    "CLIP_FRAMES",
    "FilterBank",
    "I3D",
    "Identity",
    "Inception",
    "aligned_face",
]

CLIP_FRAMES = 16
"""Frames of a clip that is described as a whole, as in FVD."""
CLIP_SIZE = 224
FACE_SIZE = 112
_FACE_POINTS = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Where ArcFace (Deng et al. 2019) wants the eyes, the tip of the nose and the corners of the mouth."""
_PLACES: tuple[tuple[int, ...], ...] = ((33, 133), (362, 263), (1,), (61,), (291,))
"""The landmarks that these are means of, in the order of `_FACE_POINTS`: left in the picture first."""

SOURCES = {
    "FID": "inception-2015-12-05.pt of StyleGAN3 (github.com/NVlabs/stylegan3, metrics)",
    "FVD": "i3d_torchscript.pt (github.com/universome/fvd-comparison)",
    "CSIM": "a network of identity such as ArcFace in TorchScript: (N, 3, 112, 112) in [-1, 1] to (N, D)",
}
"""Which file a metric needs."""


def _script(path: Path, metric: str, device: torch.device | str) -> torch.jit.ScriptModule:
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; {metric} needs {SOURCES[metric]}")
    try:
        return torch.jit.load(str(path), map_location=device).eval()
    except RuntimeError as error:
        raise WeightsError(f"{path}: is no TorchScript file; {metric} needs {SOURCES[metric]}") from error


class Inception:
    """InceptionV3 of 2015, whose features FID and KID are made of; ``path`` as in `SOURCES`.

    Raises:
        WeightsError: the file is missing or something else.
    """

    def __init__(self, path: Path, device: torch.device | str = "cpu") -> None:
        self._network = _script(path, "FID", device)

    def __call__(self, images: Tensor) -> Tensor:
        """Features (N, 2048); the network itself brings pictures to its 299 pixels."""
        with torch.inference_mode():
            return self._network((images * 255).round().to(torch.uint8), return_features=True)


class I3D:
    """I3D trained on Kinetics-400, whose features FVD is made of; ``path`` as in `SOURCES`.

    Raises:
        WeightsError: the file is missing or something else.
    """

    def __init__(self, path: Path, device: torch.device | str = "cpu") -> None:
        self._network = _script(path, "FVD", device)

    def __call__(self, clips: Tensor) -> Tensor:
        """Features (N, 400) of clips, brought to 224 pixels a side."""
        n, _, t, _, _ = clips.shape
        frames = clips.transpose(1, 2).flatten(0, 1)
        frames = functional.interpolate(frames, (CLIP_SIZE, CLIP_SIZE), mode="bilinear", antialias=True)
        clips = frames.unflatten(0, (n, t)).transpose(1, 2) * 2 - 1
        with torch.inference_mode():
            return self._network(clips, rescale=False, resize=False, return_features=True)


class Identity:
    """A network that tells people apart; ``path`` as in `SOURCES`.

    Raises:
        WeightsError: the file is missing or something else.
    """

    def __init__(self, path: Path, device: torch.device | str = "cpu") -> None:
        self._network, self._device = _script(path, "CSIM", device), device

    def __call__(self, image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """Who a face (H, W, 3) uint8 with its landmarks (478, 3) is: (D,), not normalised."""
        face = torch.from_numpy(aligned_face(image, landmarks)).to(self._device).permute(2, 0, 1)[None]
        with torch.inference_mode():
            return self._network(face.float() / 127.5 - 1)[0].float().cpu().numpy()


def aligned_face(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """A face turned, scaled and shifted to where networks of identity expect it: (112, 112, 3) uint8."""
    points = np.stack([landmarks[list(place), :2].mean(0) for place in _PLACES])
    about, goal = points - points.mean(0), _FACE_POINTS - _FACE_POINTS.mean(0)
    # least-squares turn and scale of the plane, as one complex factor
    from_, to = about @ [1, 1j], goal @ [1, 1j]
    factor = (to * from_.conj()).sum() / (abs(from_) ** 2).sum()
    turn = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    place = np.hstack([turn, (_FACE_POINTS.mean(0) - turn @ points.mean(0))[:, None]])
    soft = softened(image, 1 / abs(factor))
    return cv2.warpAffine(soft, place, (FACE_SIZE, FACE_SIZE), borderMode=cv2.BORDER_REFLECT)


class FilterBank:
    """Describes pictures without any weights: colours, and how much detail they have in which direction.

    Our design, for where no network can be had: (N, 30), of which 6 are mean and standard deviation of luma
    and two colour differences, and 24 the logarithms of the energy of Gabor filters in 6 directions at 4
    scales. A distance in this space sees blur, noise, blocks and colour casts; it knows nothing of faces, and
    is never called FID.
    """

    SIZE = 128
    """Pixels a side that pictures are brought to."""
    DIRECTIONS, SCALES = 6, 4
    WAVELENGTH, WIDTH = 4.0, 1.6
    """Of a filter and its Gaussian, in pixels; every scale has pictures of half the size before."""

    def __init__(self) -> None:
        side = 2 * int(3 * self.WIDTH) + 1
        kernels = np.stack(
            [
                cv2.getGaborKernel(
                    (side, side), self.WIDTH, np.pi * k / self.DIRECTIONS, self.WAVELENGTH, 1, phase
                )
                for k in range(self.DIRECTIONS)
                for phase in (0.0, np.pi / 2)
            ]
        )
        kernels -= kernels.mean((1, 2), keepdims=True)
        kernels /= np.abs(kernels).sum((1, 2), keepdims=True)
        self._filters = torch.from_numpy(kernels.astype(np.float32))[:, None]

    def __call__(self, images: Tensor) -> Tensor:
        """Features (N, 30) of pictures (N, 3, H, W) in [0, 1]."""
        small = functional.interpolate(images, (self.SIZE, self.SIZE), mode="bilinear", antialias=True)
        red, green, blue = small.unbind(1)
        luma = 0.299 * red + 0.587 * green + 0.114 * blue
        planes = torch.stack([luma, red - luma, blue - luma], 1)
        rows = [planes.mean((2, 3)), planes.std((2, 3))]
        level = luma[:, None]
        for _ in range(self.SCALES):
            found = functional.conv2d(level, self._filters.to(level)) ** 2
            energy = found.mean((2, 3)).unflatten(1, (self.DIRECTIONS, 2)).sum(2)  # both phases
            rows.append(0.1 * torch.log(energy + 1e-7))
            level = functional.avg_pool2d(level, 2)
        return torch.cat(rows, 1)
