"""Edit a portrait: one photograph, and nine numbers that say how its head, eyes and mouth shall be.

    photograph -> track the face -> encode -> for each set of values: displace the mean face, retarget it to
    this one, let it look elsewhere -> draw the crop -> place it

Our design: a slider asks for the same thing that a driving video asks for, so the values become a driver: the
mean face with its brows, lids, lips and jaw displaced. What is learnt about carrying motion over to a face
(how far a mouth may open, how lids close) then holds for sliders too.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from headgen import hub
from headgen.errors import InputError
from headgen.faces import mesh
from headgen.faces.calibrate import brow_fields
from headgen.faces.framing import Carry, Framing
from headgen.faces.irises import looking
from headgen.faces.motion import head_rotation
from headgen.faces.portrait import Portrait, read_portrait
from headgen.faces.retarget import Retargeter, region_weights
from headgen.faces.tracker import MediaPipeTracker
from headgen.media.image import IMAGE_SUFFIXES, write_image
from headgen.media.output import check_output
from headgen.media.provenance import PICTURE_STATEMENT, picture_metadata, write_run_record
from headgen.nn.kept import kept
from headgen.nn.saved import saved_config

if TYPE_CHECKING:
    from headgen.fsrt.small import FSRTSmall

__all__ = [
    "RANGES",
    "EditedPortrait",
    "OpenPortrait",
    "PortraitEdit",
    "PortraitEditor",
    "Range",
    "edit_portrait",
]

Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True)
class Range:
    """What a value of `PortraitEdit` may be. At 0 everything is as it is in the photograph."""

    low: float
    high: float
    unit: str
    """"degrees", or empty for a strength."""
    low_text: str
    """What happens at the lower end, for people."""
    high_text: str
    """What happens at the upper end."""


RANGES = {
    "yaw": Range(-20, 20, "degrees", "head turns left in the picture", "head turns right in the picture"),
    "pitch": Range(-15, 15, "degrees", "head bows", "head rises"),
    "roll": Range(-20, 20, "degrees", "head leans left in the picture", "head leans right in the picture"),
    "gaze_x": Range(-25, 25, "degrees", "eyes look left in the picture", "eyes look right in the picture"),
    "gaze_y": Range(-20, 20, "degrees", "eyes look down", "eyes look up"),
    "eyes": Range(-1, 1, "", "eyes shut", "eyes wide open"),
    "brows": Range(-1, 1, "", "brows lowered", "brows raised"),
    "smile": Range(-1, 1, "", "corners of the mouth down", "broad smile"),
    "mouth": Range(-1, 1, "", "an open mouth shuts", "mouth opens"),
}
"""The values by name. Beyond these angles the model has to invent more of the head than it can."""


@dataclass(frozen=True)
class PortraitEdit:
    """How a portrait shall differ from its photograph; ranges in `RANGES`, 0 is as it is."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    gaze_x: float = 0.0
    gaze_y: float = 0.0
    eyes: float = 0.0
    brows: float = 0.0
    smile: float = 0.0
    mouth: float = 0.0

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            InputError: a value out of range.
        """
        for name, value in asdict(self).items():
            limits = RANGES[name]
            if not limits.low <= value <= limits.high:  # NaN is out of range as well
                unit = f" {limits.unit}" if limits.unit else ""
                raise InputError(
                    f"{name}={value} is out of range; give a value from {limits.low:g} to "
                    f"{limits.high:g}{unit}"
                )

    @property
    def strength(self) -> float:
        """The largest value, as a share of its range: 0 if nothing is to be changed."""
        return max(abs(getattr(self, f.name)) / RANGES[f.name].high for f in fields(self))


BROW_RISE = 0.08
"""Outer-eye distances by which raised brows rise."""
SMILE_RISE, SMILE_WIDTH, SMILE_DEPTH = 0.085, 0.055, 0.03
"""Outer-eye distances by which the corners of a smiling mouth move up, out and back."""
OPENED = 0.2
"""Gap of the inner lips, in outer-eye distances, that a mouth opens by."""
_EYE_WIDER = 0.35  # how much wider than at rest wide open eyes are
_SQUINT = 0.12  # share of their opening that eyes lose in a smile
_LOOK_DOWN, _LOOK_UP = 0.3, 0.12  # by how much lids follow eyes to the end of their range
_CORNER_REACH = 0.12  # outer-eye distances around a mouth's corner that go with it
_UPPER_LIFT = 0.2  # share of a mouth's opening by which the upper lip rises
_CORNER_DROP = 0.3  # share by which the corners fall
_SETTLED = 0.08  # share of a range from which on the picture is wholly the network's
_FINE = 1e-9
_UNSEEN = (0.02, 0.06)  # gap of the photograph's lips over which the inside of the mouth comes to be known
_DEEP = (0.02, 0.1)  # gap over which the inside of an opening mouth falls into shadow
_SHADOW = (0.16, 0.34)  # brightness there, of the lips', below the upper and above the lower lip
_SHADE = 0.85  # how much of it covers what the network drew

_UPPER_LIP = (0, 11, 12, 13, 37, 38, 39, 40, 41, 42, 72, 73, 74, 80, 81, 82, 183, 184, 185, 191,
              267, 268, 269, 270, 271, 272, 302, 303, 304, 310, 311, 312, 407, 408, 409, 415)  # fmt: skip
_CORNERS = ((61, 76, 62, 78), (291, 306, 292, 308))  # of the mouth, right and left


def displaced(edit: PortraitEdit, gap: float = 0.0) -> NDArray[np.float64]:
    """The mean face with an expression: what a driver would look like who shows the edit.

    Args:
        edit: the values; the gaze only lowers or lifts the lids here, irises stay.
        gap: of the photograph's inner lips, in outer-eye distances: what a mouth that shuts has to lose.

    Returns:
        (478, 3) in the canonical frame, without a head pose.
    """
    rest = mesh.mean_face().astype(np.float64)
    face = rest.copy()
    left, right = brow_fields()
    face[:, 1] += BROW_RISE * edit.brows * (left + right)
    right, left = (_bump(rest, corner[0]) for corner in _CORNERS)
    face += edit.smile * np.stack(
        [SMILE_WIDTH * (left - right), SMILE_RISE * (left + right), -SMILE_DEPTH * (left + right)], -1
    )
    opened = OPENED * edit.mouth if edit.mouth > 0 else gap * edit.mouth
    face[:, 1] += opened * _mouth_field(rest)
    eyes = 1 + edit.eyes * (_EYE_WIDER if edit.eyes > 0 else 1.0)
    eyes *= 1 + edit.gaze_y / RANGES["gaze_y"].high * (_LOOK_UP if edit.gaze_y > 0 else _LOOK_DOWN)
    eyes *= 1 - _SQUINT * max(0.0, edit.smile)
    for contour, _, _ in mesh.EYES:
        mesh.scale_lids(face, contour, eyes)
    return face


def _bump(face: NDArray, index: int) -> NDArray[np.float64]:
    """How close each landmark (478,) lies to one of them: 1 there, falling softly."""
    apart = np.linalg.norm(face[:, :2] - face[index, :2], axis=1)
    return np.exp(-0.5 * (apart / _CORNER_REACH) ** 2)


def _mouth_field(face: NDArray) -> NDArray[np.float64]:
    """Shift of each landmark (478,) upwards per unit by which the mouth opens."""
    _, mouth = region_weights()
    middle = (face[13, 1] + face[14, 1]) / 2
    half = np.linalg.norm(face[61] - face[291]) / 2
    field = np.where(face[:, 1] < middle, -(1 - _UPPER_LIFT) * mouth, 0.0)
    lip = list(_UPPER_LIP)
    field[lip] = _UPPER_LIFT * np.clip(1 - np.abs(face[lip, 0] / half) ** 3, 0, 1)
    field[[k for corner in _CORNERS for k in corner]] = -_CORNER_DROP
    return field


class OpenPortrait:
    """A photograph on the editor's table: its face is known, and the network stands ready.

    Args:
        portrait: the photograph with its face.
        network: fsrt-small.
        precision: of its arithmetic.
        device: where it runs.
    """

    def __init__(self, portrait: Portrait, network: FSRTSmall, precision: Precision, device: str) -> None:
        from headgen.fsrt.small_engine import SmallEngine
        from headgen.nn.precision import resolve_device, resolve_dtype

        where = resolve_device(device)
        self.portrait = portrait
        self._engine = SmallEngine(network, where, resolve_dtype(precision, where))
        self._framing = Framing(portrait.landmarks, portrait.image.shape)
        self._engine.prepare([portrait.image], [portrait.landmarks])
        pose = mesh.fit_pose(portrait.landmarks)
        unit = float(np.linalg.norm(pose.frontal[33] - pose.frontal[263]))
        self._gap = mesh.opening(pose.frontal, mesh.LIP_PAIRS[:3]) / unit

    def render(self, edit: PortraitEdit) -> NDArray[np.uint8]:
        """The portrait as the edit wants it.

        Returns:
            (H, W, 3) uint8, as large as the photograph; the photograph itself where nothing is changed.
        """
        photograph = self.portrait.image
        if edit.strength < _FINE:
            return photograph.copy()
        near, carry = self._framing.part(self._target(edit))
        near = looking(near, edit.gaze_x, edit.gaze_y)
        drawn = self._engine.place(self._engine.render([near])[0])
        self._shade_mouth(drawn, near)
        return self._settled(edit, drawn, carry)

    def _target(self, edit: PortraitEdit) -> NDArray[np.float64]:
        """Where the landmarks (478, 3) of the photograph shall go, gaze apart."""
        rest = mesh.mean_face().astype(np.float64)
        still = mesh.Pose(np.eye(3), 1.0, np.zeros(3), rest)
        turn = head_rotation(np.array([edit.yaw, edit.pitch, edit.roll]))
        face = displaced(edit, self._gap)
        driver = mesh.Pose(turn, 1.0, np.zeros(3), face).project(face)
        return Retargeter(self.portrait.landmarks, still.project(rest), at_rest=True)(driver)

    def _shade_mouth(self, drawn: NDArray[np.uint8], points: NDArray) -> None:
        """Darkens the inside of a mouth that was shut in the photograph, in place.

        Our design: nothing is known of the inside of a mouth that the photograph does not show, and the
        network draws the mean of many: as light as lips. Dark, it looks open.

        Args:
            drawn: (H, W, 3) the photograph with the drawn face.
            points: (478, 3) its landmarks, in pixels.
        """
        gap = mesh.opening(points, mesh.LIP_PAIRS[:3]) / mesh.eye_distance(points)
        unseen = 1 - np.interp(self._gap, _UNSEEN, (0, 1))
        share = _SHADE * unseen * np.interp(gap, _DEEP, (0, 1))
        lips = points[list(mesh.LIPS_INNER), :2]
        pad = 0.1 * float(np.ptp(lips[:, 0]))
        x0, y0 = np.maximum(np.floor(lips.min(0) - pad).astype(int), 0)
        x1, y1 = np.minimum(np.ceil(lips.max(0) + pad).astype(int) + 1, drawn.shape[1::-1])
        if share <= 0 or x0 >= x1 or y0 >= y1:
            return
        inside = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(inside, [np.round((lips - [x0, y0]) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        # Blurred and taken from the middle of its fall on: the shadow begins inside of the lips.
        weight = cv2.GaussianBlur(inside, (0, 0), max(0.35 * pad, 0.5)).astype(np.float32) / 255
        weight = np.float32(share) * np.clip(2 * weight - 1, 0, 1)[..., None]
        outline = np.round(self.portrait.landmarks[list(mesh.LIPS_OUTER), :2]).astype(int)
        height, width = self.portrait.image.shape[:2]
        lip = self.portrait.image[outline[:, 1].clip(0, height - 1), outline[:, 0].clip(0, width - 1)]
        depth = np.linspace(*_SHADOW, y1 - y0, dtype=np.float32)[:, None, None]
        part = drawn[y0:y1, x0:x1]
        part[:] = (part + weight * (depth * np.median(lip, 0).astype(np.float32) - part) + 0.5).astype(
            np.uint8
        )

    def _settled(self, edit: PortraitEdit, drawn: NDArray[np.uint8], carry: Carry) -> NDArray[np.uint8]:
        """The picture, from the photograph itself at 0 to what is drawn a little beyond.

        Our design: at rest the network draws what the photograph shows, but not to the last pixel. So close
        to 0 the two are mixed, and a slider begins without a jump.
        """
        frame = self._framing.apply(drawn, carry)
        share = edit.strength / _SETTLED
        if share >= 1:
            return frame
        return cv2.addWeighted(frame, share, self.portrait.image, 1 - share, 0)


class PortraitEditor:
    """Opens photographs for editing; the network is loaded once for all of them.

    Args:
        model: name of the model, or a folder with weights of fsrt-small.
        precision: arithmetic of the network; `auto` takes bfloat16 where the processor has it in hardware.
        device: `auto`, `cpu`, `cuda`, ...

    Raises:
        InputError: a model that is no fsrt-small.
        WeightsError: an unknown model, or weights that are missing or damaged.
    """

    def __init__(
        self, model: str = "fsrt-small", precision: Precision = "auto", device: str = "auto"
    ) -> None:
        from headgen.fsrt.small import FSRTSmall

        files = hub.resolve(model)
        found = saved_config(files.folder / FSRTSmall.config_name).get("_class_name")
        if found != FSRTSmall.__name__:
            raise InputError(f"model={model!r} cannot edit portraits; use fsrt-small or one trained like it")
        self.weights = files.sha256
        self._network = kept(FSRTSmall.from_pretrained, files.folder)
        self._precision, self._device = precision, device

    def open(self, portrait: Path, max_size: int = 1280, face: int = 1) -> OpenPortrait:
        """Reads a photograph and finds its face.

        Args:
            portrait: the picture.
            max_size: a picture whose longest side has more pixels is made smaller.
            face: which one, where there are several: 1 is the largest.

        Raises:
            InputError: not a picture, no face in it, not that many, or one that is too small.
        """
        with MediaPipeTracker() as tracker:
            found = read_portrait(portrait, tracker, max_size, face)
        return OpenPortrait(found, self._network, self._precision, self._device)


@dataclass(frozen=True)
class EditedPortrait:
    """What `edit_portrait` made."""

    output: Path
    """The picture."""
    record: Path
    """The run record beside it."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    seconds: float
    """How long it took."""

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.output}: {self.width} x {self.height} pixels in {self.seconds:.1f} s"


def edit_portrait(
    portrait: Path,
    output: Path,
    *,
    yaw: float = 0.0,
    pitch: float = 0.0,
    roll: float = 0.0,
    gaze_x: float = 0.0,
    gaze_y: float = 0.0,
    eyes: float = 0.0,
    brows: float = 0.0,
    smile: float = 0.0,
    mouth: float = 0.0,
    face: int = 1,
    model: str = "fsrt-small",
    max_size: int = 1280,
    precision: Precision = "auto",
    device: str = "auto",
) -> EditedPortrait:
    """Turns a portrait's head and eyes, and changes its expression.

    All values count from the photograph: 0 leaves a thing as it is. A run record, `OUTPUT.json`, is written
    beside the picture.

    Args:
        portrait: a photograph of a person.
        output: the picture to be written (.png, .jpg or .webp).
        yaw: degrees that the head turns, -20 to 20; positive towards the right side of the picture.
        pitch: degrees that the head rises, -15 to 15; negative bows it.
        roll: degrees that the head leans, -20 to 20; positive clockwise as seen.
        gaze_x: degrees that the eyes turn to the right side of the picture, -25 to 25.
        gaze_y: degrees that the eyes look up, -20 to 20; lids follow.
        eyes: -1 shuts the eyes, 1 opens them wide.
        brows: -1 lowers the brows, 1 raises them.
        smile: -1 draws the corners of the mouth down, 1 is a broad smile.
        mouth: -1 shuts an open mouth, 1 opens it.
        face: which one, where the photograph shows several: 1 is the largest.
        model: name of the model, see `headgen weights list`.
        max_size: longest side of the output in pixels; a larger photograph is made smaller.
        precision: arithmetic of the network; `auto` takes bfloat16 where the processor has it in hardware.
        device: `auto`, `cpu`, `cuda`, ...

    Returns:
        Where the picture and its record lie, and how long it took.

    Raises:
        InputError: a file or a value that cannot be used.
        WeightsError: an unknown model, or weights that are missing or damaged.
    """
    begun = time.perf_counter()
    portrait, output = Path(portrait), Path(output)
    edit = PortraitEdit(yaw, pitch, roll, gaze_x, gaze_y, eyes, brows, smile, mouth)
    check_output(output, suffixes=IMAGE_SUFFIXES, inputs=[portrait])
    editor = PortraitEditor(model, precision, device)
    picture = editor.open(portrait, max_size, face).render(edit)
    write_image(output, picture, picture_metadata(model))
    seconds = time.perf_counter() - begun
    record = write_run_record(
        output,
        command="edit-portrait",
        model=model,
        inputs={"portrait": [portrait]},
        weights=editor.weights,
        options={
            **asdict(edit),
            "face": face,
            "max_size": max_size,
            "precision": precision,
            "device": device,
        },
        seed=0,
        notes={"seconds": round(seconds, 2)},
        statement=PICTURE_STATEMENT,
    )
    height, width = picture.shape[:2]
    return EditedPortrait(output, record, width, height, seconds)
