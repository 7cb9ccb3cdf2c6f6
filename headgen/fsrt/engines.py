"""The reenactment engines by name of their model: what `headgen.reenact` drives."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headgen.faces.calibrate import (
    CONTROLS,
    PROBES,
    Correction,
    SkinShift,
    calibrate,
    controls_of,
    spread,
)
from headgen.faces.framing import Framing
from headgen.faces.retarget import Retargeter, RetargetOptions
from headgen.faces.tracker import FaceTracker, MediaPipeTracker
from headgen.fsrt.full_engine import EnginePrecision
from headgen.fsrt.small import FSRTSmall
from headgen.fsrt.small_engine import SmallEngine
from headgen.nn.kept import kept
from headgen.nn.precision import resolve_device, resolve_dtype
from headgen.nn.threads import cores

if TYPE_CHECKING:
    from headgen.faces.driving import DrivingFrame
    from headgen.faces.portrait import Portrait
    from headgen.reenact import Engine

logger = logging.getLogger(__name__)

MOST_THREADS = 8  # tracking, in one thread, cannot feed more
_LOOKS = 3  # at a drawn picture, until its landmarks settle


class SmallReenactment:
    """fsrt-small: the driver's landmarks, retargeted in 3D, tell the network where everything goes.

    Args:
        engine: the network with its photograph.
        options: what is transferred and how strongly.
    """

    looks_at_pixels = False

    def __init__(self, engine: SmallEngine, options: RetargetOptions) -> None:
        self.engine, self.options = engine, options
        on_cpu = engine.device.type == "cpu"
        self.parallel = min(MOST_THREADS, cores()) if on_cpu else 1
        self.chunk = 4 if on_cpu else 16

    def prepare(self, portraits: Sequence[Portrait], reference: DrivingFrame) -> None:
        """Encodes the sources and fixes the frame from which motion counts."""
        first = portraits[0]
        self.engine.prepare([p.image for p in portraits], [p.landmarks for p in portraits])
        assert reference.landmarks is not None
        self._first, self._reference = first, reference.landmarks
        self.retune(self.options)
        self._framing = Framing(first.landmarks, first.image.shape)

    def retune(self, options: RetargetOptions) -> None:
        """Transfers otherwise from now on, without the calibration of before."""
        self.options = options
        self._retarget = Retargeter(self._first.landmarks, self._reference, options)
        self._skin: SkinShift | None = None

    def calibrate(self, samples: Sequence[NDArray]) -> None:
        """Learns what deviates in the picture from what is asked for, and corrects it from now on.

        Args:
            samples: (478, 3) each, the driver's landmarks at moments spread over the video.
        """
        retarget, still = self._retarget, self.engine.landmarks
        wanted = np.stack([retarget.wanted(landmarks) for landmarks in samples])
        probes = spread(wanted, PROBES)
        rest = retarget.shown(still)
        states: list[NDArray] = []
        slips: list[NDArray] = []
        self._skin = None
        with MediaPipeTracker(mirror=True) as tracker:
            # The tracker sees a picture in a row otherwise than the photograph: that is no deviation.
            seen = self._seen(tracker, [still])[0]
            own = np.full(len(CONTROLS), np.nan) if seen is None else retarget.shown(seen) - rest
            own_slip = 0 if seen is None else retarget.slipped(still, seen)

            def show(correction: Correction | None, which: slice) -> NDArray[np.float64]:
                retarget.correction = correction
                asked = [self._framing.part(retarget(samples[k]))[0] for k in probes[which]]
                rows = np.full((len(asked), len(CONTROLS)), np.nan)
                for k, face in enumerate(self._seen(tracker, [self._shifted(face) for face in asked])):
                    if face is not None:
                        rows[k] = retarget.shown(face) - own
                        states.append(retarget.shown(asked[k]))
                        slips.append(retarget.slipped(asked[k], face) - own_slip)
                if states:
                    self._skin = SkinShift(rest, np.stack(states), np.stack(slips))
                return rows

            retarget.correction = calibrate(rest, wanted[probes], show)
        if retarget.correction is None:
            self._skin = None
            logger.warning("no face was found in the pictures drawn on trial; motion is not corrected")

    def _shifted(self, landmarks: NDArray) -> NDArray[np.float64]:
        """Where to put the skin of a face (478, 3) so that it is seen nearer to where the face is."""
        share = 1 - self._retarget.same
        if self._skin is None or not share:
            return landmarks
        pose = self._retarget.fit(landmarks)
        out = np.array(landmarks, np.float64)
        out[:, :2] += share * self._skin(controls_of(pose)) * pose.scale
        return out

    def _seen(self, tracker: FaceTracker, targets: Sequence[NDArray]) -> list[NDArray[np.float64] | None]:
        """The landmarks (478, 3) tracked in pictures drawn for targets (478, 3); None without a face.

        The tracker looks at some while others are drawn.
        """
        chunks = [targets[k : k + self.chunk] for k in range(0, len(targets), self.chunk)]
        faces: list[NDArray[np.float64] | None] = []
        with ThreadPoolExecutor(self.parallel) as pool:
            for picture in chain.from_iterable(pool.map(self.engine.render, chunks)):
                whole = self.engine.place(picture)  # crops reflect what lies beyond the picture: faces, too
                if self._first.face > 1:  # by itself the tracker turns to the largest
                    tracker.follow(self.engine.landmarks)
                for _ in range(_LOOKS):
                    track = tracker.track(whole)
                faces.append(None if track is None else track.landmarks)
        return faces

    def render(self, frames: Sequence[DrivingFrame], whole: bool) -> list[NDArray[np.uint8]]:
        """The source with the frames' motion; at rest where there is no motion yet."""
        still = self.engine.landmarks
        wanted = [still if f.landmarks is None else self._retarget(f.landmarks) for f in frames]
        near, carries = zip(*(self._framing.part(w) for w in wanted), strict=True)
        pictures = []
        drawn = self.engine.render([self._shifted(face) for face in near])
        for crop, carry in zip(drawn, carries, strict=True):
            if not whole and carry.rests:
                pictures.append(crop)
                continue
            frame = self._framing.apply(self.engine.place(crop), carry)
            pictures.append(frame if whole else self.engine.cut(frame))
        return pictures


def load_engine(
    folder: Path, options: RetargetOptions, precision: EnginePrecision = "auto", device: str = "auto"
) -> Engine:
    """Loads a model's weights and makes its engine.

    Args:
        folder: where the weights lie (`save_pretrained`); its config names the kind of model.
        options: what is transferred and how strongly.
        precision: `auto`, `fp32`, `bf16`, or `int8` (the full-size FSRT only).
        device: `auto` or a name that torch knows.

    Raises:
        InputError: an option that this model cannot follow.
    """
    if FSRTSmall.load_config(folder).get("_class_name") == "FSRTSmall":
        where = resolve_device(device)
        dtype = resolve_dtype(precision, where)
        return SmallReenactment(SmallEngine(kept(FSRTSmall.from_pretrained, folder), where, dtype), options)
    from headgen.fsrt.full_reenactment import FullReenactment

    return FullReenactment.load(folder, options, precision, device)


__all__ = ["SmallReenactment", "load_engine"]
