"""What a model draws against what it was asked to draw: measured on a few pictures, corrected in all others.

A drawn face is not quite the face that was asked for: on one portrait the head is tracked as turned further
than it was told to, on another the mouth stays narrower.  The deviation differs from portrait to portrait and
with the pose, but for one portrait it is a steady function of what is asked for.  So it is measured before
the first frame: a few moments of the driver are drawn and tracked like the driver was, and the deviation at
all other moments is interpolated between theirs.

The same pictures tell where skin is seen.  Forehead, cheeks and chin have few marks, and the tracker infers
where they are from the rest of the face: a little beside where they were put, depending on pose and
expression.  Skin is shifted a part of the way there.

Our design: the paper draws what its key points say and never looks at the result.  The correction is a
function of the face that is asked for, not of time: it is smooth where the motion is, and frames may be drawn
in any order.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from headgen.faces import mesh
from headgen.faces.motion import MOTION_NAMES, motion_of_pose

CONTROLS = ("yaw", "pitch", "roll", "mouth_open", "mouth_width", "brow_left", "brow_right")
"""What is corrected, with the units of `headgen.faces.motion.MOTION_NAMES`.  Not the lids: what the tracker
says of them hangs more on where it looks than on how they are drawn."""
SCALE = np.array([4, 4, 4, 0.05, 0.04, 0.03, 0.03])
"""A lively motion of each control: what counts as equally far between two faces."""
LIMIT = np.array([2.5, 2.5, 2.5, 1.6, 2.5, 2, 2])
"""Largest corrections, in units of `SCALE`; lips that stay shut when told to part would be torn open."""
PROBES = 32
"""Moments of the driver that are drawn beforehand."""
RESPONSE = np.array([0.8, 0.75, 0.95, 0.8, 0.6, 0.6, 0.6])
"""How much of what is added arrives in the picture, as a rule; median of four portraits."""
_REACH = 4.0  # distance, in units of `SCALE`, over which a deviation says something about its neighbours'
_NOISE = 0.3  # of a measured deviation, likewise; steeper corrections would turn noise into jitter
_SURE = 0.1  # the same, of the deviation of the face at rest, which is 0
_TRUST = 2.0  # weight of that rule against what is measured, in probes that `SCALE` was added to
_CAUTION = 0.1  # keeps controls that hardly answer from being driven far
_WORTH = 0.9  # share of a control's deviation, as a root, up to which a correction is worth it
_SKIN_NOISE = 0.5  # of where skin is seen, relative to how far it slips
SKIN_SHARE = 0.4
"""Share of its slip by which skin is shifted.  Our design: skin that stays on its skull is the truth,
skin that goes with the tracker is what it takes for the same face.  The first part of the way wins most
of the latter, the last part costs most of the former.
"""
_SKIN_LIMIT = 0.15  # farthest that skin is shifted, in distances of the outer eye corners of the mean face
_COLUMNS = [MOTION_NAMES.index(name) for name in CONTROLS]


def controls_of(pose: mesh.Pose) -> NDArray[np.float64]:
    """The controls (K,) of a fitted face."""
    return motion_of_pose(pose)[_COLUMNS]


def spread(states: NDArray, count: int) -> list[int]:
    """Indices of up to `count` states (S, K) that lie as far apart as can be, the first one first."""
    points = states / SCALE
    chosen, apart = [0], np.full(len(points), np.inf)
    while len(chosen) < min(count, len(points)):
        apart = np.minimum(apart, np.linalg.norm(points - points[chosen[-1]], axis=1))
        if apart.max() == 0:
            break
        chosen.append(int(apart.argmax()))
    return chosen


class _Ridge:
    """Kernel ridge regression over faces: near those it knows what they taught, far from all of them 0.

    Args:
        rest: (K,) the controls of the photograph, where the value is 0.
        states: (P, K) controls of the faces.
        values: (P, V) at each.
        noise: of the values, relative to their size.
    """

    def __init__(self, rest: NDArray, states: NDArray, values: NDArray, noise: float) -> None:
        self._states = np.concatenate([rest[None], states]) / SCALE
        wanted = np.concatenate([np.zeros((1, values.shape[1])), values])
        doubt = np.diag(np.square([_SURE, *[noise] * len(states)]))
        self._weights = np.linalg.solve(self._kernel(self._states) + doubt, wanted)

    def _kernel(self, points: NDArray) -> NDArray[np.float64]:
        apart = np.square(points[:, None] - self._states).sum(-1)
        return np.exp(-0.5 * apart / _REACH**2)

    def __call__(self, state: NDArray) -> NDArray[np.float64]:
        """The value (V,) at a state (K,)."""
        return (self._kernel(state[None] / SCALE) @ self._weights)[0]


class Correction:
    """What to add to the controls of a face that is asked for, so that it is the face that is drawn.

    Kernel ridge regression: near the probes it is what they taught, far from all of them it fades to nothing.
    At rest nothing is added: there the photograph is drawn as it is, and motion counts from there.

    Args:
        rest: (K,) the controls of the photograph.
        states: (P, K) controls that were asked for.
        values: (P, K) what is to be added at each.
    """

    def __init__(self, rest: NDArray, states: NDArray, values: NDArray) -> None:
        self._value = _Ridge(rest, states, values / SCALE, _NOISE)

    def __call__(self, state: NDArray) -> NDArray[np.float64]:
        """What to add (K,) to a state (K,)."""
        return LIMIT * np.tanh(self._value(state) / LIMIT) * SCALE

    def all(self, states: NDArray) -> NDArray[np.float64]:
        """What to add (N, K) to states (N, K)."""
        return np.stack([self(state) for state in states])


class SkinShift:
    """How far skin is to be shifted towards where the face is seen.

    Lips and lids stay where they were put: they are what the tracker follows.

    Args:
        rest: (K,) the controls of the photograph.
        states: (P, K) controls of the faces that were drawn.
        slips: (P, 478, 2) how far beside each was seen, see `headgen.faces.retarget.Retargeter.slipped`.
    """

    def __init__(self, rest: NDArray, states: NDArray, slips: NDArray) -> None:
        self._slip = _Ridge(rest, states, slips.reshape(len(slips), -1), _SKIN_NOISE)
        lids = near(mesh.EYE_RIGHT + mesh.EYE_LEFT, 0.05, 0.2)
        lips = near(mesh.LIPS_OUTER + mesh.LIPS_INNER, 0.05, 0.3)
        self._free = 1 - np.maximum(lids, lips)
        self._free[mesh.SKIN :] = 0

    def __call__(self, state: NDArray) -> NDArray[np.float64]:
        """The shift (478, 2) in a state (K,): to the right and down, in units of a pose's scale."""
        slip = SKIN_SHARE * self._slip(state).reshape(-1, 2) * self._free[:, None]
        return _SKIN_LIMIT * np.tanh(slip / _SKIN_LIMIT)


def calibrate(
    rest: NDArray, states: NDArray, show: Callable[[Correction | None, slice], NDArray]
) -> Correction | None:
    """Learns a correction from what is drawn.

    What the first half of the probes shows is corrected and drawn again, which teaches how much of what is
    added arrives, on this portrait; what made a probe worse is taken back.  The second half is drawn with the
    correction at once: controls that it does not bring closer are left alone, as brows under hair.

    Args:
        rest: (K,) controls of the photograph.
        states: (P, K) controls of the probes, as they are asked for, those farthest apart first.
        show: draws some of the probes with a correction and measures their controls (p, K); NaN where no
            face was found in the picture.

    Returns:
        The correction, or None if the pictures showed too few faces.
    """
    half = slice(0, (len(states) + 1) // 2)
    first = states[half] / SCALE
    plain = show(None, half) / SCALE - first
    found = np.isfinite(plain).all(1)
    if not found.any():
        return None
    correction = Correction(rest, states[half][found], _step(plain[found], RESPONSE) * SCALE)
    now = show(correction, half) / SCALE - first
    tried = correction.all(states[half]) / SCALE
    found &= np.isfinite(now).all(1)
    if not found.any():
        return None
    response = _response(tried[found], (now - plain)[found])
    values = np.where(np.abs(now) < np.abs(plain), tried + _step(now, response), 0)[found]
    correction = Correction(rest, states[half][found], values * SCALE)

    later = slice(half.stop, len(states))
    if later.start == later.stop:
        return correction
    now = (show(correction, later) - states[later]) / SCALE
    tried = correction.all(states[later]) / SCALE
    seen = np.isfinite(now).all(1)
    if not seen.any():
        return None
    # Of square roots, because single probes may ask for what the model cannot draw.
    after, before = (np.sqrt(np.abs(v[seen])).mean(0) for v in (now, now - response * tried))
    values = np.concatenate([values, (tried + _step(now, response))[seen]]) * (after < _WORTH * before)
    return Correction(rest, np.concatenate([states[half][found], states[later][seen]]), values * SCALE)


def _response(added: NDArray, moved: NDArray) -> NDArray[np.float64]:
    """Share (K,) of what was added (P, K) that moved anything (P, K); the rule where nothing was added."""
    weight = np.square(added).sum(0)
    return np.clip(((added * moved).sum(0) + _TRUST * RESPONSE) / (weight + _TRUST), 0, 1)


def _step(apart: NDArray, response: NDArray) -> NDArray[np.float64]:
    """What to add (P, K) to what ended so far off (P, K), cautiously where little arrives."""
    return -apart * response / (response**2 + _CAUTION)


def near(loop: tuple[int, ...], inner: float, outer: float) -> NDArray[np.float64]:
    """How close each landmark (478,) of the mean face lies to some of them, 1 to 0."""
    face = mesh.mean_face().astype(np.float64)
    gap = np.linalg.norm(face[:, None, :2] - face[None, list(loop), :2], axis=2).min(1)
    return np.clip((outer - gap) / (outer - inner), 0, 1)


def width_field(frontal: NDArray) -> NDArray[np.float64]:
    """Shift of each landmark (478,) to the right per unit by which the mouth becomes wider."""
    middle, half = (frontal[61, 0] + frontal[291, 0]) / 2, abs(frontal[291, 0] - frontal[61, 0]) / 2
    return 0.5 * np.clip((frontal[:, 0] - middle) / half, -1, 1) * near(mesh.LIPS_OUTER, 0.02, 0.25)


def brow_fields() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shift of each landmark (478,) upwards per unit by which the left and the right brow rise."""
    lids = near(mesh.EYE_RIGHT + mesh.EYE_LEFT, 0.0, 0.1)
    left, right = (near(brow, 0.06, 0.25) * (1 - lids) for brow in (mesh.BROW_LEFT, mesh.BROW_RIGHT))
    irises = [*mesh.IRIS_LEFT, *mesh.IRIS_RIGHT]
    left[irises] = right[irises] = 0
    return left, right
