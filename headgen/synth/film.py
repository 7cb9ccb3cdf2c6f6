"""Filming: a person, a motion and a setting become frames with exact ground truth, a few at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from headgen.synth.characters import Character
from headgen.synth.heads.model import HeadMotion, PosedHead, Surface
from headgen.synth.render.renderer import Renderer
from headgen.synth.render.scene import Rendered
from headgen.synth.settings import Setting

AT_ONCE = 16
"""Frames held in memory at a time; ground truth takes 3 MB a frame at 256 x 256."""


@dataclass(frozen=True)
class Shot:
    """Some consecutive frames.

    Attributes:
        start: number of the first frame.
        images: (T, H, W, 3) uint8 as the camera saw them.
        truth: of the same frames; its `image` is without flaws.
        head: the posed head.
    """

    start: int
    images: np.ndarray
    truth: Rendered
    head: PosedHead


def film(
    character: Character,
    motion: HeadMotion,
    setting: Setting,
    renderer: Renderer,
    at_once: int = AT_ONCE,
    occluders: Sequence[Surface] = (),
    flawed: bool = True,
) -> Iterator[Shot]:
    """Films a person from the first frame of a motion to the last.

    Args:
        character: who.
        motion: T frames.
        setting: where.
        renderer: with what.
        at_once: frames per shot; the frames are the same whatever it is.
        occluders: things before the face, that move for as many frames (`Character.behind`).
        flawed: False for a camera without the setting's flaws.
    """
    flaws = setting.flaws.camera()
    for start in range(0, len(motion), at_once):
        frames = slice(start, min(start + at_once, len(motion)))
        head = character.model.pose(character.neutral, motion[frames])
        passing = [surface.during(frames) for surface in occluders]
        truth = renderer.render(
            [*character.surfaces, *passing],
            head,
            character.model.topology,
            setting.camera,
            setting.light,
            setting.background,
        )
        images = np.stack([flaws(image) for image in truth.image]) if flawed else truth.image
        yield Shot(start, images, truth, head)
