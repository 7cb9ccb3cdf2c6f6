"""From a driver's landmarks to the landmarks that the source should have.

Our design: the paper transfers key points and an expression vector; here the tracked mesh is transferred in
three dimensions.  The head turns by the driver's rotation relative to the reference frame, the expression is
the change of the driver's frontal landmarks, in units of the outer eye distance, added to the source's own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from headgen.errors import InputError, check_choices
from headgen.faces import mesh
from headgen.faces.calibrate import CONTROLS, Correction, brow_fields, controls_of, near, width_field
from headgen.faces.crop import EYE_CORNERS
from headgen.faces.motion import head_angles, head_rotation

Motion = Literal["relative", "absolute"]
Region = Literal["all", "pose", "expression", "eyes", "lips"]

_LIP_COLUMNS = (  # outer upper, inner upper, inner lower, outer lower
    (40, 80, 88, 91), (39, 81, 178, 181), (37, 82, 87, 84), (0, 13, 14, 17), (267, 312, 317, 314),
    (269, 311, 402, 405), (270, 310, 318, 321), (185, 191, 95, 146), (409, 415, 324, 375),
)  # fmt: skip
_INNER_LIPS = tuple((c[1], c[2]) for c in _LIP_COLUMNS[1:6])
_UPPER_LIP = (0, 11, 12, 13, 37, 38, 39, 40, 41, 42, 72, 73, 74, 80, 81, 82, 183, 184, 185, 191,
              267, 268, 269, 270, 271, 272, 302, 303, 304, 310, 311, 312, 407, 408, 409, 415)  # fmt: skip
_MOUTH_CORNERS = (61, 76, 62, 78, 291, 306, 292, 308)
OPEN_EYE = 0.24
"""Lid gap over eye width from which on an eye counts as open, narrow ones included."""
WIDEST_EYE = 1.3
"""Times their opening in the photograph that eyes are never torn open further than."""
LIP_GAIN = np.array([1.2, 1.1, 1.0])
"""Strength of lip and jaw changes in width, height and depth.  Our design: drawn mouths were tracked
narrower and less open than they were asked for."""
FREE_MOUTH, WIDEST_MOUTH = 0.3, 0.5
"""Inner-lip gap in outer-eye distances up to which mouths open as they are told, and the widest of all."""
_OWN_FADES = 0.4  # opening at which nothing is left of the gap that the photograph's smile had
LID_GAIN = 1.2
"""Strength with which lids close: drawn lids were tracked less closed than they were asked for."""
_LIDS = [*mesh.EYE_RIGHT, *mesh.EYE_LEFT]
_LID_REACH = 0.08  # outer-eye distances from the lids' edges over which skin goes with them
_ZOOM_LIMIT = 1.25  # how far the head may come closer or go away
SAME_FACE, SAME_LIDS, SAME_LIPS = 0.01, 0.03, 0.01
"""How far two frontal faces are apart that are one, tracked twice: root mean square of their landmarks in
units of `fit_pose`, lid gap over eye width, gap of the lips.  From twice as far on, it is another person's
face, or another moment's."""
_SAME_CORRECTED = np.array([0.5, 0.5, 0.5, 1, 1, 0, 0])
"""Share of the correction of each of `CONTROLS` that is left for the same face.  Our design: its landmarks
are put where the driver has them; turned as far as the tracker wants to see it, it would leave them."""


@dataclass(frozen=True)
class RetargetOptions:
    """How a driver's motion is applied to a source."""

    motion: Motion = "relative"
    """`relative`: changes since the reference frame; `absolute`: the driver's own pose and openings."""
    region: Region = "all"
    """What moves: everything, head pose, whole expression, eyes and brows, or lips and jaw."""
    multiplier: float = 1.0
    """Strength of pose and expression changes."""
    eyes: float = 1.0
    """Strength of lid and brow changes, on top of `multiplier`."""
    lips: float = 1.0
    """Strength of mouth and jaw changes, on top of `multiplier`."""

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            InputError: a value that is not offered or out of range.
        """
        check_choices(motion=(self.motion, Motion), region=(self.region, Region))
        for name in ("multiplier", "eyes", "lips"):
            if not 0 <= getattr(self, name) <= 3:
                raise InputError(f"{name}={getattr(self, name)} is out of range; give a value from 0 to 3.")


def region_weights() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How much each landmark belongs to the eye region and to the mouth region: two (478,) in [0, 1].

    Points of neither (forehead, nose bridge, temples) keep their place: what the tracker reports of them
    in a driver is mostly its own error when the head turns.
    """
    face = mesh.mean_face().astype(np.float64)
    eyes = np.maximum.reduce(
        [near(mesh.EYE_RIGHT + mesh.EYE_LEFT, 0.1, 0.25), near(mesh.BROW_RIGHT + mesh.BROW_LEFT, 0.08, 0.25)]
    )
    eyes[[*mesh.IRIS_RIGHT, *mesh.IRIS_LEFT]] = 1
    mouth = near(mesh.LIPS_OUTER, 0.12, 0.5)
    jaw = np.clip((-0.62 - face[:, 1]) / 0.2, 0, 1)  # chin and jaw line follow the mouth
    mouth = np.maximum(mouth, jaw) * (1 - eyes)
    return eyes, mouth


def soft_limit(value: NDArray | float, free: NDArray | float, most: NDArray | float) -> NDArray[np.float64]:
    """As it is up to `free`, then ever slower towards `most`."""
    span = np.maximum(np.asarray(most) - free, 1e-9)
    return np.where(value <= free, value, free + span * np.tanh((value - free) / span))


def _openness(frontal: NDArray, contour: tuple[int, ...], pairs: tuple[tuple[int, int], ...]) -> float:
    """Lid gap over eye width."""
    width = float(np.linalg.norm(frontal[contour[0]] - frontal[contour[8]]))
    return mesh.opening(frontal, pairs) / max(width, 1e-6)


def _lid_skin(contour: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """How much each landmark (478,) goes with the edge of one eye's lids, and with which point of it."""
    face = mesh.mean_face().astype(np.float64)
    apart = np.linalg.norm(face[:, None, :2] - face[None, list(contour), :2], axis=2)
    share = np.clip(1 - apart.min(1) / _LID_REACH, 0, 1)
    share[[*contour, *mesh.IRIS_RIGHT, *mesh.IRIS_LEFT, *mesh.BROW_RIGHT, *mesh.BROW_LEFT]] = 0
    return share, apart.argmin(1)


def _same_face(source: NDArray, driver: NDArray) -> float:
    """How surely two frontal faces (478, 3) are the same face at the same moment, 0 to 1."""
    apart = np.linalg.norm((source - driver)[: mesh.SKIN, :2], axis=1)
    lips = abs(mesh.opening(source, _INNER_LIPS) - mesh.opening(driver, _INNER_LIPS))
    lids = max(
        abs(_openness(source, contour, pairs) - _openness(driver, contour, pairs))
        for contour, _, pairs in mesh.EYES
    )
    distance = max(np.sqrt(np.square(apart).mean()) / SAME_FACE, lids / SAME_LIDS, lips / SAME_LIPS)
    return float(np.clip(2 - distance, 0, 1))


class Retargeter:
    """Carries a driver's motion over to one source.

    Args:
        source: (478, 3) the source's landmarks in pixels.
        reference: (478, 3) the driver's landmarks in the frame from which relative motion counts.
        options: what to transfer and how strongly.
        at_rest: whether the reference is a face at rest, however far open its mouth: so is the source then.
    """

    def __init__(
        self,
        source: NDArray,
        reference: NDArray,
        options: RetargetOptions | None = None,
        *,
        at_rest: bool = False,
    ) -> None:
        self.options = options or RetargetOptions()
        self._source_pose = mesh.fit_pose(source)
        self._source = self._source_pose.frontal
        own = mesh.fit_pose(reference)
        self._identity = (
            own.frontal
        )  # aligned to the driver's own face, the pose does not follow the expression
        self._reference = mesh.fit_pose(reference, self._identity)
        eyes, mouth = region_weights()
        o = self.options
        self._eyes = eyes * (o.region in ("all", "expression", "eyes")) * o.eyes * o.multiplier
        self._mouth = mouth * (o.region in ("all", "expression", "lips")) * o.lips * o.multiplier
        self._turn = o.multiplier if o.region in ("all", "pose") else 0.0
        self._opening = self._opening_field(self._source)
        self._width, self._brows = width_field(self._source), brow_fields()
        self._base = self._source if at_rest else self._start(self._source, self._identity)
        self.correction: Correction | None = None
        """What drawn faces need beyond what is asked for, see `headgen.faces.calibrate`."""
        self.same = 0.0
        """How surely the source is the driver at the reference frame, as in self-reenactment, 0 to 1; 0 also
        where the options change what is transferred.  Such a face takes the driver's changes as they are:
        reading them for another face only adds errors."""
        if o.region == "all" and o.multiplier == o.eyes == o.lips == 1 and not at_rest:
            self.same = _same_face(self._source, self._identity)
        moved = [bool(v) for v in (self._turn, self._mouth.any(), self._eyes.any())]
        self._corrected = np.repeat(moved, [3, 2, 2]) * (1 + self.same * (_SAME_CORRECTED - 1))
        self._lid_skin = {contour[0]: _lid_skin(contour) for contour, _, _ in mesh.EYES}

    def _start(self, frontal: NDArray, driver: NDArray) -> NDArray:
        """The source's frontal face as it is shown while the driver is in the reference frame.

        Absolute motion starts with the mouth as far open as the driver's.  Relative motion starts with the
        source's own, unless the reference frame catches the driver speaking: then the source starts so too,
        or the mouth could not close afterwards.
        """
        out, absolute = frontal.copy(), self.options.motion == "absolute"
        if self._mouth.any():
            extra = mesh.opening(driver, _INNER_LIPS) - mesh.opening(frontal, _INNER_LIPS)
            if not absolute:
                extra = max(0.0, extra)
            out[:, 1] += extra * self._opening
        return out

    def _opening_field(self, frontal: NDArray) -> NDArray[np.float64]:
        """Shift of each landmark (478,) upwards per unit by which the mouth opens."""
        half_width = 0.5 * np.linalg.norm(frontal[61] - frontal[291])
        width = np.clip(1 - np.abs(frontal[:, 0] / half_width) ** 3, 0, 1)
        field = np.zeros(len(frontal))
        field[list(_UPPER_LIP)] = 0.35 * width[list(_UPPER_LIP)]
        # Shut lips are seldom a straight line: what lies below is judged by the line between them.
        line = np.array([(frontal[c[1]] + frontal[c[2]]) / 2 for c in _LIP_COLUMNS])
        line = line[line[:, 0].argsort()]
        below = frontal[:, 1] <= np.interp(frontal[:, 0], line[:, 0], line[:, 1])
        below[[*_UPPER_LIP, *_MOUTH_CORNERS]] = False
        field -= 0.65 * self._mouth.clip(0, 1) * below
        return field

    def _mouth_share(self, change: NDArray) -> float:
        """How much of a change of lips and jaw a mouth has room for, 0 to 1.

        A shout on top of a smile that shows the teeth would open wider than any mouth does: the smile's own
        gap counts the less, the wider the driver's mouth opens, and the sum ends at `WIDEST_MOUTH`.
        """
        own = mesh.opening(self._base, _INNER_LIPS)
        opened = mesh.opening(self._base + change, _INNER_LIPS) - own
        if opened <= 1e-6:
            return 1.0
        wanted = own * max(0.0, 1 - (opened / _OWN_FADES) ** 2) + opened
        wanted = float(soft_limit(wanted, FREE_MOUTH, WIDEST_MOUTH))
        return float(np.clip((wanted - own) / opened, 0, 1))

    def _lids(self, out: NDArray, driver: NDArray, gain: float) -> None:
        """Opens the lids of a frontal face in place as far as the driver's are.

        How far an eye is open is counted from the driver's own open eye.  That is the reference frame's,
        unless it catches the driver blinking or looking down: relative motion alone would tear the source's
        eyes open afterwards.  Skin close by goes with the lids.

        Args:
            out: (478, 3), changed.
            driver: (478, 3) the driver's frontal face.
            gain: strength with which lids close.
        """
        for contour, _, pairs in mesh.EYES:
            now, first = (_openness(f, contour, pairs) for f in (driver, self._reference.frontal))
            if self.options.motion == "absolute":
                full = max(_openness(self._source, contour, pairs), 1e-6)
            else:
                full = max(first, OPEN_EYE)
            ratio = now / full
            if ratio < 1:
                ratio = max(0.0, 1 - gain * (1 - ratio))
            else:
                ratio = float(soft_limit(ratio, 1.0, WIDEST_EYE))
            strength = float(self._eyes[list(contour)].mean())
            ratio = max(0.0, 1 + strength * (ratio - 1))
            edge = list(contour)
            lids = self._base.copy()
            mesh.scale_lids(lids, contour, ratio)
            moved = lids[edge] - self._base[edge]
            share, nearest = self._lid_skin[contour[0]]
            out += share[:, None] * (moved[nearest] - (out - self._base))
            out[edge] = lids[edge]

    def _expression(self, driver: NDArray, gains: bool, more: NDArray) -> NDArray[np.float64]:
        """The source's frontal face (478, 3) with the expression of the driver's.

        Args:
            driver: (478, 3) the driver's frontal face.
            gains: whether to overdo what is drawn too weakly.
            more: (K,) what comes on top, see `CONTROLS`.
        """
        lip_gain, lid_gain = (LIP_GAIN, LID_GAIN) if gains else (1.0, 1.0)
        change = driver - self._reference.frontal
        lip_change = change * lip_gain * self._mouth[:, None]
        out = np.asarray(self._base + self._mouth_share(lip_change) * lip_change, np.float64)
        # The eyes' corners stay on the skull: brows and irises move relative to them.
        eye_change = (change - change[list(EYE_CORNERS)].mean(0)) * self._eyes[:, None]
        out += eye_change
        opened, wider, left_brow, right_brow = more[3:]
        opened = min(opened, max(0.0, WIDEST_MOUTH - mesh.opening(out, _INNER_LIPS)))
        corrected = np.zeros_like(out)
        corrected[:, 1] = opened * self._opening + left_brow * self._brows[0] + right_brow * self._brows[1]
        corrected[:, 0] = wider * self._width
        out += corrected
        if self._eyes.any():
            self._lids(out, driver, lid_gain)
        for contour, iris, _ in mesh.EYES:
            width, their_width = (
                float(np.linalg.norm(f[contour[0]] - f[contour[8]]))
                for f in (self._base, self._reference.frontal)
            )
            ids = list(iris)
            out[ids] = self._base[ids] + eye_change[ids] * (width / max(their_width, 1e-6))
        if self.same:
            told = lip_change + change * (1 - self._mouth[:, None])
            told[_LIDS, 1] = lid_gain * change[_LIDS, 1]
            out += self.same * (self._source + told + corrected - out)
        for outer_up, up, low, outer_low in _LIP_COLUMNS:  # lips may not cross
            cross = out[low, 1] - out[up, 1]
            if cross > 0:
                out[[up, outer_up], 1] += cross / 2
                out[[low, outer_low], 1] -= cross / 2
        return out

    def _rotation(self, driver: NDArray) -> NDArray[np.float64]:
        """The source's head pose (3, 3) for the driver's."""
        if self.options.motion == "absolute":
            turned = driver if self._turn else self._source_pose.rotation
            if self._turn not in (0.0, 1.0):
                turned = Rotation.from_rotvec(
                    self._turn * Rotation.from_matrix(turned).as_rotvec()
                ).as_matrix()
            return turned
        step = Rotation.from_matrix(driver @ self._reference.rotation.T).as_rotvec()
        return Rotation.from_rotvec(self._turn * step).as_matrix() @ self._source_pose.rotation

    def _wanted(self, pose: mesh.Pose) -> NDArray[np.float64]:
        frontal = self._expression(pose.frontal, False, np.zeros(len(CONTROLS)))
        return controls_of(mesh.Pose(self._rotation(pose.rotation), 1.0, np.zeros(3), frontal))

    def wanted(self, landmarks: NDArray) -> NDArray[np.float64]:
        """What a driving frame (478, 3) asks for, as controls (K,): how the drawn face should be tracked."""
        return self._wanted(mesh.fit_pose(landmarks, self._identity))

    def shown(self, landmarks: NDArray) -> NDArray[np.float64]:
        """The controls (K,) of landmarks (478, 3) that were tracked in a picture of the source."""
        return controls_of(self.fit(landmarks))

    def fit(self, landmarks: NDArray) -> mesh.Pose:
        """The pose of the source's face with other landmarks (478, 3) in pixels."""
        return mesh.fit_pose(landmarks, self._source)

    def slipped(self, told: NDArray, found: NDArray) -> NDArray[np.float64]:
        """How far skin is seen beside where it was put.

        Without what another turn of the head, another opening or width of the mouth and other brows would
        explain: that deviates from what was asked for and is not to be followed.

        Args:
            told: (478, 3) landmarks of the face that was asked for, in pixels.
            found: (478, 3) landmarks that were tracked in its picture.

        Returns:
            (478, 2) to the right and down, in units of the scale of `fit`.
        """
        asked, seen = self.fit(told), self.fit(found)
        opened, wider, left_brow, right_brow = (controls_of(seen) - controls_of(asked))[3:]
        face = seen.frontal.copy()
        face[:, 1] -= opened * self._opening + left_brow * self._brows[0] + right_brow * self._brows[1]
        face[:, 0] -= wider * self._width
        unturned = mesh.Pose(asked.rotation, seen.scale, seen.translation, face).project(face)
        return (unturned - told)[:, :2] / asked.scale

    def __call__(self, landmarks: NDArray) -> NDArray[np.float64]:
        """Target landmarks (478, 3) in the source's pixels for one driving frame (478, 3)."""
        pose = mesh.fit_pose(landmarks, self._identity)
        more = np.zeros(len(CONTROLS))
        if self.correction is not None:
            more = self.correction(self._wanted(pose)) * self._corrected
        frontal, turned = self._expression(pose.frontal, True, more), self._rotation(pose.rotation)
        source, reference = self._source_pose, self._reference
        zoom = np.clip((pose.scale / reference.scale) ** self._turn, 1 / _ZOOM_LIMIT, _ZOOM_LIMIT)
        shift = (pose.translation - reference.translation) * (source.scale / reference.scale) * self._turn
        asked = mesh.Pose(turned, source.scale * zoom, source.translation + shift, frontal)
        if not more[:3].any():
            return asked.project(frontal)
        out = replace(asked, rotation=head_rotation(head_angles(turned) + more[:3])).project(frontal)
        if self.same:  # however far it is turned, the middle of the face is where the driver's is
            out[:, :2] += self.same * (asked.project(frontal) - out)[: mesh.SKIN, :2].mean(0)
        return out
