"""A face's skin laid flat: how alike and how sharp two pictures of it are, in any pose and expression."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from headgen.evaluation.face_motion import Landmarks
from headgen.faces.mesh import SKIN, barycentric, draw_triangles, eye_distance, facing, mean_face, triangles

__all__ = ["Face", "FaceGrid", "colour_difference", "face_grid", "sharpness", "softened", "texture_ssim"]

GRID_SPAN = 2.2  # side of a texture's grid in outer-eye distances: the face and a little room
GRID_SIZE = 128  # pixels a side at which textures are compared
SMALLEST_GRID, LARGEST_GRID = 48, 320  # at which sharpness is compared
FACING = 0.4  # least cosine between skin and viewing direction
COLOUR_BLUR = 2.0  # pixels of the grid
LEAST_SEEN = 0.3  # share of the texture that both faces have to show
SOFTNESS = 0.42  # standard deviation, in pixels of the coarser grid, of the blur before sampling


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
    _textures: dict[tuple[int, bool], tuple[NDArray[np.float32], NDArray[np.bool_]]] = field(
        default_factory=dict, repr=False
    )

    @property
    def size(self) -> float:
        """About the face's height in pixels, which neither jaw nor pose changes."""
        return GRID_SPAN * eye_distance(self.landmarks)

    def texture(self, size: int, colour: bool = False) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The face's skin on a grid, sampled once per size.

        Args:
            size: pixels a side.
            colour: RGB instead of luma.

        Returns:
            Luma (size, size) or RGB (size, size, 3) in [0, 1], of the picture softened to what the grid can
            hold; and where it can be relied on (size, size): on skin that looks at the camera, inside the
            picture.
        """
        if (size, colour) not in self._textures:
            grid = face_grid(size)
            values = self.image if colour else cv2.cvtColor(self.image, cv2.COLOR_RGB2GRAY)
            values = values.astype(np.float32) / 255
            place = grid.spread(self.landmarks[:, :2])
            x, y = place[..., 0], place[..., 1]
            height, width = values.shape[:2]
            with np.errstate(invalid="ignore"):
                inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
                seen = grid.mask & inside & (grid.spread(facing(self.landmarks)[:, None])[..., 0] > FACING)
            soft = softened(values, self.size / size)
            drawn = cv2.remap(
                soft, np.nan_to_num(x), np.nan_to_num(y), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
            )
            self._textures[size, colour] = drawn, seen
        return self._textures[size, colour]


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


def colour_difference(source: Face, output: Face) -> float | None:
    """How far an output's skin is off in colour, in units of CIELAB: 0 is the same, 2 just shows.

    Mean over the skin that both show of the absolute differences in a* and b*, both blurred a little, because
    videos hold colour at half the resolution of luma; lightness is left out, since light may change.

    Returns:
        0 or more, lower is better; None if both faces show too little of the same skin.
    """
    (a, seen_a), (b, seen_b) = (face.texture(GRID_SIZE, colour=True) for face in (source, output))
    seen = seen_a & seen_b
    if seen.sum() < LEAST_SEEN * face_grid(GRID_SIZE).mask.sum():
        return None
    lab_a, lab_b = (cv2.cvtColor(np.clip(x, 0, 1), cv2.COLOR_RGB2Lab) for x in (a, b))
    return float(np.abs(cv2.GaussianBlur((lab_a - lab_b)[..., 1:], (0, 0), COLOUR_BLUR)[seen]).mean())


def softened(image: NDArray, ratio: float) -> NDArray:
    """A picture without the detail that is lost on a grid whose pixels are `ratio` times as wide."""
    blur = SOFTNESS * np.sqrt(max(0.0, ratio**2 - 1))
    return image if blur < 0.2 else cv2.GaussianBlur(image, (0, 0), blur, borderType=cv2.BORDER_REPLICATE)
