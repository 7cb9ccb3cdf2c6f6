"""Lids and lips: two lines of skin that meet and never pass through each other, whatever shapes add up.

Frame of the neutral head; a gap is the way from the lower to the upper line.

Legend: T frames, M vertices, K points of the upper line, N vertices around both lines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from headgen.synth.heads.posing import follow_line

VANISHING_CM = 0.05
"""Gaps below this fade to nothing sideways too, so that crossing lines do not jump when they start to meet."""


@dataclass(frozen=True)
class Contact:
    """An upper and a lower line that share their ends, and the skin that goes with them.

    Attributes:
        upper: (K,) vertices of the upper line, from the picture's left to its right.
        lower: (K, 2) for each of them the two vertices of the lower line between which it meets it.
        lower_share: (K,) how far between the two.
        vertices: (N,) that go with a line.
        at: (N,) point of the upper line beside each vertex; the next one is at + 1.
        share: (N,) how far between the two.
        weights: (N,) how much each goes with a change of the gap: positive above, negative below.
    """

    upper: np.ndarray
    lower: np.ndarray
    lower_share: np.ndarray
    vertices: np.ndarray
    at: np.ndarray
    share: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(
        cls,
        points: np.ndarray,
        opened: np.ndarray,
        upper: np.ndarray,
        lower: np.ndarray,
        skin: np.ndarray,
        *,
        reach: float,
        upper_share: float,
        whole: np.ndarray | None = None,
    ) -> Contact:
        """Works out who goes with which line.

        Args:
            points: (M, 3) neutral vertices.
            opened: (M, 3) the same with the lines well apart: tells what lies above and what below.
            upper: (K,) vertices of the upper line, from left to right.
            lower: (L,) vertices of the lower line; its ends are the upper line's.
            skin: vertices that may follow, falling off with their distance.
            reach: cm, of that fall-off (Gaussian).
            upper_share: of a change of the gap that the upper line moves, 0 to 1.
            whole: vertices that follow their line wholly (lashes).
        """
        along_upper, along_lower = _along(points[upper, 0]), _along(points[lower, 0])
        before, between = _place(along_upper, along_lower)

        whole = np.zeros(0, int) if whole is None else whole
        vertices = np.concatenate([skin, whole])
        trees = [cKDTree(opened[line]) for line in (upper, lower)]
        above, below = (tree.query(opened[vertices]) for tree in trees)
        is_upper = above[0] <= below[0]
        distance = np.where(is_upper, above[0], below[0])
        weights = np.exp(-((distance / reach) ** 2))
        weights[len(skin) :] = 1
        weights *= np.where(is_upper, upper_share, upper_share - 1)
        # lines are followed exactly, points between them by their place along x
        at, share = _place(_fraction(points[vertices, 0], points[upper, 0]), along_upper)
        chosen = np.abs(weights) > 0.01
        return cls(
            upper=upper.astype(np.int64),
            lower=np.stack([lower[before], lower[before + 1]], 1).astype(np.int64),
            lower_share=between.astype(np.float32),
            vertices=vertices[chosen].astype(np.int64),
            at=at[chosen].astype(np.int64),
            share=share[chosen].astype(np.float32),
            weights=weights[chosen].astype(np.float32),
        )

    @property
    def line_vertices(self) -> np.ndarray:
        """(3 K,) all vertices that the gap depends on: upper, lower before, lower after."""
        return np.concatenate([self.upper, self.lower[:, 0], self.lower[:, 1]])

    def gap(self, on_lines: np.ndarray) -> np.ndarray:
        """(..., K, 3) gap of the lines.

        Args:
            on_lines: (..., 3 K, 3) where `line_vertices` are.
        """
        upper, before, after = np.split(on_lines, 3, axis=-2)
        s = self.lower_share[:, None]
        return upper - (1 - s) * before - s * after

    def change_gap(self, points: np.ndarray, wanted: np.ndarray) -> None:
        """Moves points (M, 3), in place, until the gap is as wanted (K, 3)."""
        change = wanted - self.gap(points[self.line_vertices])
        change[[0, -1]] = 0  # the corners are shared
        follow_line(points, change.astype(np.float32), self.vertices, self.at, self.share, self.weights)


def closing(gap: np.ndarray, closed: np.ndarray) -> np.ndarray:
    """The gap (..., K, 3) that is left when lines are closed by a share (...) of their own opening.

    Lines that had crossed before meet; so nothing closes further than shut.
    """
    apart = np.clip(gap[..., 1] / VANISHING_CM, 0, 1)
    return gap * (apart * (1 - closed[..., None]))[..., None]


def _along(x: np.ndarray) -> np.ndarray:
    return _fraction(np.maximum.accumulate(x), x)


def _fraction(x: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Places along a line's x, 0 at its left and 1 at its right end."""
    return np.clip((x - line[0]) / (line[-1] - line[0]), 0, 1)


def _place(x: np.ndarray, knots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The knot before each place, and how far towards the next."""
    before = np.clip(np.searchsorted(knots, x, side="right") - 1, 0, len(knots) - 2)
    width = np.maximum(knots[before + 1] - knots[before], 1e-6)
    return before, np.clip((x - knots[before]) / width, 0, 1)
