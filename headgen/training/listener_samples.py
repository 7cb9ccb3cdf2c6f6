"""Videos of what a listener in training makes, to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray

from headgen import hub
from headgen.faces.portrait import Portrait, read_portrait
from headgen.faces.tracker import MediaPipeTracker
from headgen.listener.engine import LatentEngine, PortraitPainter
from headgen.listener.track import FPS
from headgen.media.image import side_by_side, write_image
from headgen.media.video import VideoWriter

__all__ = ["ListenerSamples", "rendered_portrait"]

PAINTER = "fsrt-small"
PERSON = "berta"
"""Of the analytic head's people: one without a beard or glasses, which would hide what moves."""
SIDE = 256
"""Longest side of the portrait in pixels."""
MOST_FRAMES, ON_THE_STRIP, AT_ONCE = 4 * FPS, 8, 8


class ListenerSamples(L.Callback):
    """After each validation, a true listener (left) and the made one, on one portrait.

    Writes ``samples/0000500_val.mp4`` and a strip of its frames, ``samples/0000500_val.png``, into the output
    folder; the number counts finished steps. The module provides ``sample``, true and made latents
    (F, P, D) or None, and ``codec``.

    Args:
        portrait: a photograph; empty for a rendered head.
    """

    def __init__(self, portrait: str = "") -> None:
        self.portrait = portrait

    def setup(self, trainer: L.Trainer, pl_module: Any, stage: str) -> None:
        """Reads the portrait, so that a wrong one is told before hours of training.

        Raises:
            InputError: it cannot be used.
        """
        if self.portrait:
            with MediaPipeTracker() as tracker:
                self.person = read_portrait(Path(self.portrait), tracker, 2 * SIDE)
        else:
            self.person = rendered_portrait()

    def on_validation_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Draws the sample."""
        if trainer.sanity_checking or not trainer.is_global_zero or pl_module.sample is None:
            return
        painter = PortraitPainter(hub.resolve(PAINTER).folder, pl_module.codec, "auto", torch.device("cpu"))
        painter.prepare(self.person)
        folder = Path(trainer.default_root_dir) / "samples"
        folder.mkdir(parents=True, exist_ok=True)
        name = folder / f"{trainer.global_step:07d}_val"
        true, made = (LatentEngine.frames(latents.numpy())[:MOST_FRAMES] for latents in pl_module.sample)
        shown = {round(k) for k in np.linspace(0, len(true) - 1, ON_THE_STRIP)}
        strip = []
        with VideoWriter(name.with_suffix(".mp4"), FPS) as writer:
            for start in range(0, len(true), AT_ONCE):
                piece = slice(start, start + AT_ONCE)
                pairs = zip(painter.draw(true[piece], False), painter.draw(made[piece], False), strict=True)
                for k, (left, right) in enumerate(pairs, start):
                    writer.write(side_by_side(left, right))
                    if k in shown:
                        strip.append(np.vstack([left, right]))
        write_image(name.with_suffix(".png"), np.hstack(strip))


def rendered_portrait() -> Portrait:
    """The analytic head at rest, photographed from the front: nobody, and no file is needed."""
    from headgen.synth.characters import Casting
    from headgen.synth.dataset.clips import clip_landmarks
    from headgen.synth.film import film
    from headgen.synth.heads.model import HeadMotion
    from headgen.synth.render.renderer import Renderer
    from headgen.synth.settings import Location

    person = Casting("analytic")(PERSON)
    setting = Location(size=SIDE)(np.random.default_rng(0))
    shot = next(film(person, HeadMotion.still(1), setting, Renderer(), flawed=False))
    image: NDArray[np.uint8] = shot.images[0]
    return Portrait(Path("rendered head"), image, clip_landmarks(shot.truth.landmarks_478[0], setting.camera))
