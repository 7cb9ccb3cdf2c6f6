"""Lids and lips: two lines of skin that meet and never pass through each other, whatever shapes add up.

Lines are compared at `KNOTS` places between their corners, even along x; a gap is the way from the lower to
the upper line there, along y and z.

Legend: T frames, M vertices, K knots, U and L vertices of the upper and the lower line, N vertices around
    them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from headgen.synth.heads.posing import along_line, follow_line

KNOTS = 33
RIM_CM = 0.08
"""Thickness of a lip's or a lid's edge: all of it goes with the line."""
CLOSING_CM = 0.3
"""Lines nearer to each other than this start to share one smooth curve: skin that touches has no notches."""
SMOOTHING = 1.5  # knots, of that curve


@dataclass(frozen=True)
class Contact:
    """An upper and a lower line that share their ends, and the skin that goes with them.

    Attributes:
        upper: (U,) vertices of the upper line, from the picture's left to its right.
        lower: (L,) vertices of the lower line; its ends are the upper line's.
        above: (N1,) vertices that go with the upper line.
        below: (N2,) vertices that go with the lower line.
        above_weights: (N1,) how much, 0 to 1.
        below_weights: (N2,) how much, 0 to 1.
        upper_share: of a change of the gap that the upper line moves, 0 to 1.
    """

    upper: np.ndarray
    lower: np.ndarray
    above: np.ndarray
    below: np.ndarray
    above_weights: np.ndarray
    below_weights: np.ndarray
    upper_share: float

    @classmethod
    def of(
        cls,
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
            opened: (M, 3) vertices with the lines well apart: tells what lies above and what below.
            upper: (U,) vertices of the upper line, from left to right.
            lower: (L,) vertices of the lower line.
            skin: vertices that may follow, falling off with their distance.
            reach: cm, of that fall-off (Gaussian, from the rim on).
            upper_share: of a change of the gap that the upper line moves, 0 to 1.
            whole: vertices that follow their line wholly (lashes).
        """
        whole = np.zeros(0, int) if whole is None else whole
        vertices = np.concatenate([skin, whole])
        up, low = (cKDTree(opened[line]).query(opened[vertices])[0] for line in (upper, lower))
        distance = np.maximum(np.minimum(up, low) - RIM_CM, 0)
        weights = np.exp(-((distance / reach) ** 2)).astype(np.float32)
        weights[len(skin) :] = 1
        near = weights > 0.01
        above, below = near & (up <= low), near & (up > low)
        return cls(
            upper=upper.astype(np.int64),
            lower=lower.astype(np.int64),
            above=vertices[above].astype(np.int64),
            below=vertices[below].astype(np.int64),
            above_weights=weights[above],
            below_weights=weights[below],
            upper_share=upper_share,
        )

    @property
    def line_vertices(self) -> np.ndarray:
        """(U + L,) vertices of both lines."""
        return np.concatenate([self.upper, self.lower])

    def lines(self, on_lines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Both lines at the knots.

        Args:
            on_lines: (U + L, 3) where `line_vertices` are.

        Returns:
            upper and lower line, each (K, 3).
        """
        upper, lower = on_lines[: len(self.upper)], on_lines[len(self.upper) :]
        places = np.linspace(upper[0, 0], upper[-1, 0], KNOTS)
        return along_line(upper, places), along_line(lower, places)

    def gap(self, on_lines: np.ndarray) -> np.ndarray:
        """(K, 3) gap at the knots; x is zero. Takes what `lines` takes."""
        upper, lower = self.lines(on_lines)
        gap: np.ndarray = upper - lower
        return gap

    def change_gap(self, points: np.ndarray, wanted: np.ndarray) -> None:
        """Moves points (M, 3), in place, until the gap is as wanted (K, 3)."""
        top, bottom = self.lines(points[self.line_vertices])
        change = wanted - (top - bottom)
        new_bottom = bottom - (1 - self.upper_share) * change
        shut = np.clip(1 - wanted[:, 1:2] / CLOSING_CM, 0, 1)
        new_bottom += shut * (_smoothed(new_bottom) - new_bottom)
        new_top = new_bottom + wanted
        for vertices, weights, move in (
            (self.above, self.above_weights, new_top - top),
            (self.below, self.below_weights, new_bottom - bottom),
        ):
            follow_line(points, move.astype(np.float32), vertices, weights, top[0, 0], top[-1, 0])


def closing(gap: np.ndarray, closed: float) -> np.ndarray:
    """The gap (K, 3) that is left when lines are closed by a share of their own opening.

    Lines that had crossed before meet; so nothing closes further than shut.
    """
    apart = np.clip(
        gap[:, 1:2] / (np.abs(gap[:, 2:3]) + 1e-3), 0, 1
    )  # sideways offsets fade with the opening
    left: np.ndarray = gap * (apart * (1 - closed))
    return left


def _smoothing_matrix() -> np.ndarray:
    """(K, K) float32 that smooths along a line and leaves its ends."""
    places = np.arange(KNOTS)
    matrix = np.exp(-0.5 * ((places[:, None] - places) / SMOOTHING) ** 2)
    matrix /= matrix.sum(1, keepdims=True)
    edge = np.minimum(places, places[::-1]) / 3.0
    share = np.clip(edge, 0, 1)[:, None]
    return (share * matrix + (1 - share) * np.eye(KNOTS)).astype(np.float32)


_SMOOTH = _smoothing_matrix()


def _smoothed(line: np.ndarray) -> np.ndarray:
    """(K, 3) a line whose y and z are smooth, its ends where they were."""
    out: np.ndarray = _SMOOTH @ line
    out[:, 0] = line[:, 0]
    return out
