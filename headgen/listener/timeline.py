"""What happens when in a listener's video: speech, and the listener's nods, smiles and blinks.

It is told from the latents that the pictures are drawn of, not from the pictures: that costs next to nothing.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headgen.faces.events import motion_events, runs
from headgen.faces.mesh import mean_face
from headgen.faces.motion import expression_coefficients
from headgen.listener.engine import settling
from headgen.listener.latents import FaceMotion, WarpCodec, frames_of
from headgen.listener.speech import AUDIO_NAMES
from headgen.listener.track import FPS, SpeakerTrack

if TYPE_CHECKING:
    from headgen.scheduler.engine import JoiningEngine, Picture, Result, Step
    from headgen.scheduler.plan import Plan, Segment, Transition

__all__ = ["Observed", "motion_curves", "timeline"]

AT_ONCE = 250
"""Frames whose faces are in memory together when curves are read off them."""
ENERGY_STEP = 5
"""Frames for which one number tells how loud the speaker is: 0.2 s."""
QUIETEST, LOUDEST = -2.0, 2.0
"""Of the loudness feature: its floor, and what only shouts go beyond."""
PAUSE = 0.2
"""Seconds of silence that do not end a stretch of speech."""


class Observed:
    """An engine whose drawn latents are noted, wherever it draws.

    Args:
        engine: a `ListenEngine`, or several in processes.
    """

    def __init__(self, engine: JoiningEngine) -> None:
        self.engine = engine
        self._frames: dict[int, NDArray[np.float32]] = {}
        self._lock = threading.Lock()
        self._be_like()

    def _be_like(self) -> None:
        """Takes over what the scheduler reads of an engine."""
        self.parallel, self.chunk = self.engine.parallel, self.engine.chunk
        self.chained, self.fingerprint = self.engine.chained, self.engine.fingerprint

    def prepare(self, job: Any) -> None:
        """See `Engine`, like all that follows."""
        self._frames = {}
        self.engine.prepare(job)
        self._be_like()

    def render(self, segment: Segment, previous: Result | None, step: Step) -> Result:
        """See `Engine`."""
        return self.engine.render(segment, previous, step)

    def refine(self, transition: Transition, left: Result, right: Result, step: Step) -> Result:
        """See `JoiningEngine`."""
        return self.engine.refine(transition, left, right, step)

    def draw(self, source: Segment | Transition, result: Result, start: int, stop: int) -> list[Picture]:
        """See `Engine`; notes of what the pictures are made."""
        drawn = frames_of(result["latents"])[start - source.start : stop - source.start]
        drawn = drawn.copy()  # else each draw would keep the whole segment in memory
        with self._lock:
            self._frames.update(enumerate(settling(drawn, start), start))
        return self.engine.draw(source, result, start, stop)

    def curves(self, codec: WarpCodec) -> NDArray[np.float64]:
        """How the listener moved, over all frames drawn: see `motion_curves`.

        Args:
            codec: of the latents.
        """
        frames = [self._frames[k] for k in sorted(self._frames)]
        some = range(0, len(frames), AT_ONCE)  # faces take two hundred times the room of curves
        return np.concatenate(
            [motion_curves(codec.decode_frames(np.stack(frames[k : k + AT_ONCE]))) for k in some]
        )


def motion_curves(motion: FaceMotion) -> NDArray[np.float64]:
    """Coefficients (T, K) of the mean face that moves so, columns as `headgen.faces.motion.MOTION_NAMES`."""
    return np.concatenate([motion.pose[:, :3], expression_coefficients(mean_face() + motion.shape)], 1)


def timeline(track: SpeakerTrack, curves: NDArray, plan: Plan) -> dict[str, Any]:
    """What happens when, as it stands in the run record; all times are seconds.

    Args:
        track: the speaker.
        curves: (T, K) of the listener's motion, as many frames; see `motion_curves`.
        plan: that it was made by.

    Returns:
        ``seconds`` of the video; ``speech``, stretches [start, end] in which the speaker talks; ``energy``,
        the speaker's loudness from 0 to 1 (60 dB more), every ``energy_step`` seconds; ``events`` of the
        listener (kind, start, end, strength: see `headgen.faces.events`); ``segments`` and ``transitions``,
        [start, end] each.
    """
    voice, loudness = (track.audio[:, AUDIO_NAMES.index(name)] for name in ("voice_activity", "loudness"))
    talks = track.heard & (voice > 0)
    for start, stop in runs(~talks):
        if start > 0 and stop < len(talks) and stop - start <= PAUSE * FPS:
            talks[start:stop] = True
    energy = np.where(track.heard, np.clip((loudness - QUIETEST) / (LOUDEST - QUIETEST), 0, 1), 0)
    blocks = np.array_split(energy, range(ENERGY_STEP, len(energy), ENERGY_STEP))
    events = motion_events(curves, FPS)
    return {
        "seconds": len(track) / FPS,
        "speech": [_span(*stretch) for stretch in runs(talks)],
        "energy": [round(float(block.mean()), 2) for block in blocks],
        "energy_step": ENERGY_STEP / FPS,
        "events": [
            {
                "kind": event.kind,
                "start": round(event.start, 2),
                "end": round(event.end, 2),
                "strength": round(event.strength, 2),
            }
            for event in events
        ],
        "segments": [_span(segment.start, segment.stop) for segment in plan.segments],
        "transitions": [_span(transition.start, transition.stop) for transition in plan.transitions],
    }


def _span(start: int, stop: int) -> list[float]:
    return [start / FPS, stop / FPS]
