"""Where and with what a clip is taken: camera, light, background, and the camera's flaws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headgen.synth.heads.assets import find_assets
from headgen.synth.render.backgrounds import background
from headgen.synth.render.flaws import Flaws
from headgen.synth.render.light import load_panorama, random_light
from headgen.synth.render.scene import Camera, Light

PANORAMA_SHARE = 0.6
"""Of the clips that are lit by a panorama, if there are any."""


def panoramas(assets: Path | None) -> list[Path]:
    """HDR panoramas of an assets folder (`headgen.synth.heads.assets.find_assets`); none without one."""
    folder = find_assets(assets)
    return [] if folder is None else sorted((folder / "hdri_cc0").glob("*.hdr"))


@dataclass(frozen=True)
class Setting:
    """Everything around a person.

    Attributes:
        camera: one for the whole clip.
        light: one for the whole clip.
        background: (H, W, 3) uint8 sRGB.
        flaws: of the camera.
    """

    camera: Camera
    light: Light
    background: np.ndarray
    flaws: Flaws


class Location:
    """Draws settings; keeps the panoramas that it has read.

    Args:
        panoramas: files of equirectangular HDR pictures; none for arranged lights only.
        size: side of the pictures in pixels.
    """

    def __init__(self, panoramas: Sequence[Path] = (), size: int = 256) -> None:
        self.size = size
        self._panoramas = [load_panorama(path) for path in sorted(panoramas)]

    def __call__(self, rng: np.random.Generator) -> Setting:
        """Draws one."""
        view, lit, behind, flawed = rng.spawn(4)
        camera = Camera.portrait(
            self.size,
            distance=float(np.exp(view.uniform(np.log(50), np.log(180)))),
            head=float(view.uniform(0.36, 0.54)),
            look_at=(float(view.normal(0, 0.8)), float(view.normal(0.9, 1.0)), 0.0),
        )
        panorama = None
        if self._panoramas and lit.random() < PANORAMA_SHARE:
            panorama = self._panoramas[int(lit.integers(len(self._panoramas)))]
        light, rotation = random_light(lit, panorama)
        return Setting(camera, light, background(behind, camera.size, panorama, rotation), Flaws.draw(flawed))
