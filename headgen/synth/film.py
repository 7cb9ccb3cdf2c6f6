"""Filming: a person, a motion and a setting become frames with exact ground truth, a few at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from headgen.synth.characters import Character
from headgen.synth.heads.model import HeadMotion, PosedHead, Surface
from headgen.synth.render.flaws import SHUTTER_RATE
from headgen.synth.render.flow import FlowField
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
    fps: float | None = None,
) -> Iterator[Shot]:
    """Films a person from the first frame of a motion to the last.

    A shutter that is open for long smears what moves, by its way since the frame before; the first frame is
    sharp.

    Args:
        character: who.
        motion: T frames.
        setting: where.
        renderer: with what.
        at_once: frames per shot; the frames are the same whatever it is.
        occluders: things before the face, that move for as many frames (`Character.behind`).
        flawed: False for a camera without the setting's flaws.
        fps: frames per second; None if frames do not follow one another, and nothing is smeared.
    """
    flaws = setting.flaws.camera()
    speed = fps / SHUTTER_RATE if fps is not None and setting.flaws.shutter > 0 else 0.0
    before: tuple[FlowField, Rendered, int, PosedHead] | None = None
    for start in range(0, len(motion), at_once):
        frames = slice(start, min(start + at_once, len(motion)))
        head = character.model.pose(character.neutral, motion[frames])
        passing = [surface.during(frames) for surface in occluders]
        surfaces = [*character.surfaces, *passing]
        truth = renderer.render(
            surfaces,
            head,
            character.model.topology,
            setting.camera,
            setting.light,
            setting.background,
        )
        if not flawed:
            yield Shot(start, truth.image, truth, head)
            continue
        flow = FlowField(surfaces, setting.camera)
        images = []
        for k, image in enumerate(truth.image):
            way = None
            if before is not None:
                field, there, i, posed = before
                way = -speed * field(truth, k, there, i, posed)[0]
            images.append(flaws(image, way))
            before = (flow, truth, k, head) if speed else None
        yield Shot(start, np.stack(images), truth, head)
