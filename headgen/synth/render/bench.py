"""Speed of rendering on one core: pose, pictures with ground truth, and the camera's flaws."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from headgen.errors import InputError
from headgen.nn.timing import timed_parts
from headgen.synth.appearance.looks import head_surfaces
from headgen.synth.heads.analytic import AnalyticModel
from headgen.synth.heads.assets import find_ict
from headgen.synth.heads.expressions import expression
from headgen.synth.heads.ict_model import IctModel
from headgen.synth.heads.model import HeadModel, HeadMotion, Surface
from headgen.synth.render.backgrounds import background
from headgen.synth.render.flaws import Flaws
from headgen.synth.render.light import SKIN, random_light
from headgen.synth.render.renderer import Renderer
from headgen.synth.render.scene import Camera
from headgen.synth.settings import Setting

SKIN_SIZE = 512  # pixels of the skin's texture


def run(
    *,
    model: Literal["analytic", "ict"] = "ict",
    assets: Path | None = None,
    size: int = 256,
    supersample: int = 2,
    frames: int = 16,
    rounds: int = 3,
    seed: int = 0,
) -> dict[str, Any]:
    """Measures how many frames a second one core renders, textured and lit, of a bare head that talks.

    Args:
        model: ``ict`` or ``analytic``.
        assets: as for `headgen.synth.heads.assets.find_ict`.
        size: side of the picture in pixels.
        supersample: points per pixel and direction.
        frames: per round.
        rounds: times that they are rendered; the median is reported.
        seed: of person, light and background.

    Returns:
        frames per second of processor time with and without flaws, milliseconds per frame of each stage, and
        what was rendered.

    Raises:
        InputError: nothing to measure, or missing assets.
    """
    if frames < 1 or rounds < 1:
        raise InputError(f"frames={frames}, rounds={rounds}: give 1 or more of both")
    rng = np.random.default_rng(seed)
    head_model: HeadModel = IctModel.load(find_ict(assets)) if model == "ict" else AnalyticModel()
    neutral = head_model.neutral(0.6 * rng.standard_normal(20))
    grain = 1 + 0.05 * rng.standard_normal((SKIN_SIZE, SKIN_SIZE, 1))
    surfaces = head_surfaces(head_model, neutral, (SKIN * grain).clip(0.02, 0.9).astype(np.float32), rng)
    light, _ = random_light(rng)
    setting = Setting(Camera.portrait(size), light, background(rng, (size, size)), Flaws.draw(rng))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        stage = stages(head_model, neutral, surfaces, setting, talking(frames), supersample, rounds)
    finally:
        torch.set_num_threads(threads)
    total = sum(stage.values())
    return {
        "model": model,
        "triangles": int(sum(len(surface.triangles) for surface in surfaces)),
        "size": size,
        "supersample": supersample,
        "frames_per_second": 1 / (total - stage["flaws"]),
        "frames_per_second_with_flaws": 1 / total,
        "milliseconds": {name: 1000 * seconds for name, seconds in stage.items()},
        "shares": {name: seconds / total for name, seconds in stage.items()},
    }


def stages(
    model: HeadModel,
    neutral: np.ndarray,
    surfaces: Sequence[Surface],
    setting: Setting,
    motion: HeadMotion,
    supersample: int,
    rounds: int,
) -> dict[str, float]:
    """Median seconds of processor time per frame of pose, project, raster, shade, truth and flaws."""
    renderer, flawed = Renderer(supersample=supersample), setting.flaws.camera()
    times: dict[str, list[float]] = {}
    for turn in range(rounds + 1):  # the first one compiles and prepares
        start = time.process_time()
        head = model.pose(neutral, motion)
        posed = time.process_time()
        with timed_parts() as parts:
            rendered = renderer.render(
                surfaces, head, model.topology, setting.camera, setting.light, setting.background
            )
        drawn = time.process_time()
        for image in rendered.image:
            flawed(image)
        end = time.process_time()
        if turn == 0:
            continue
        # the parts are timed by the clock on the wall: scaled to the processor's time of the whole
        scale = (drawn - posed) / sum(parts.values())
        spent = {"pose": posed - start, **{k: v * scale for k, v in parts.items()}, "flaws": end - drawn}
        for name, seconds in spent.items():
            times.setdefault(name, []).append(seconds / len(motion))
    return {name: float(np.median(values)) for name, values in times.items()}


def talking(frames: int) -> HeadMotion:
    """A head that turns from side to side, talks and blinks once."""
    motion = HeadMotion.still(frames)
    phase = np.linspace(0, 2 * np.pi, frames, endpoint=False)
    opened, closed = expression({"jawOpen": 0.4, "mouthSmile": 0.3}), expression({"eyeBlink": 1.0})
    motion.expression[:] = np.outer(0.5 - 0.5 * np.cos(4 * phase), opened)
    motion.expression[:] += np.outer(np.exp(-(((phase - np.pi) / 0.4) ** 2)), closed)
    motion.head[:, 0] = 25 * np.sin(phase)
    motion.gaze[:, 0] = 10 * np.sin(2 * phase)
    return motion
