"""Colour of what is seen: textures, matt and glossy light, in linear RGB; one code for all devices.

Legend: N samples, M some of them, S surfaces.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from headgen.synth.heads.model import MATERIALS, Surface
from headgen.synth.render.light import LUMINANCE, basis
from headgen.synth.render.occlusion import Face
from headgen.synth.render.rasterise import Mesh
from headgen.synth.render.samples import Samples
from headgen.synth.render.scene import Camera, Light
from headgen.synth.render.shadow import Shadow
from headgen.synth.render.texture import Atlas, linear_light

WRAP = {
    "skin": (0.32, 0.14, 0.08),
    "gums": (0.3, 0.15, 0.15),
    "tongue": (0.3, 0.15, 0.15),
    "teeth": (0.25, 0.2, 0.15),
}
"""How far the sun's light creeps round into the shadow, by material and colour: red scatters farthest."""
F0 = 0.04  # mirrored at normal incidence by anything that is not metal
SHARPEST = 0.05  # smallest width of a highlight (GGX alpha): lamps are not points
KNEE = 0.75  # linear brightness above which a camera rolls highlights off
CODES = 8192  # entries of the table that codes linear light, up to `BRIGHTEST`
BRIGHTEST = 4.0


class Materials:
    """Numbers of the surfaces as the shader needs them, and their textures."""

    def __init__(self, surfaces: Sequence[Surface], atlas: Atlas, device: torch.device) -> None:
        """Gathers what surfaces say about themselves."""
        self.atlas = atlas
        rows = [
            (surface.gloss, max(surface.roughness**2, SHARPEST), *WRAP.get(surface.material, (0.0, 0.0, 0.0)))
            for surface in surfaces
        ]
        self.table = torch.tensor(rows, dtype=torch.float32, device=device).view(-1, 5).t().contiguous()
        self.eye = torch.tensor([MATERIALS[s.material] == "eyes" for s in surfaces], device=device)
        self.mouth = torch.tensor([MATERIALS[s.material] == "mouth" for s in surfaces], device=device)


class Shader:
    """Shades samples under one light as seen by one camera."""

    def __init__(self, materials: Materials, camera: Camera, light: Light, device: torch.device) -> None:
        """Prepares the light."""

        def tensor(values: object) -> Tensor:
            return torch.as_tensor(np.asarray(values, np.float32), device=device)

        self._materials = materials
        self._camera = camera
        self._eye = tensor(camera.eye)[:, None]
        self._harmonics = tensor(light.harmonics.T)  # (3, 9)
        self._sun, self._sun_colour = tensor(light.sun), tensor(light.sun_colour)[:, None]
        self._sunny = bool(light.sun_colour.any())
        key, colour = key_light(light)
        self._key, self._key_colour = tensor(key), tensor(colour)[:, None]

    def shadow(self, points: Tensor, mesh: Mesh) -> Shadow | None:
        """The sun's shadows of vertices (T, W, 3); None if there is no sun."""
        return Shadow(points, mesh, self._sun) if self._sunny else None

    def __call__(self, samples: Samples, face: Face, shadow: Shadow | None) -> Tensor:
        """Colours of samples of anything but strands and lenses.

        Args:
            samples: what to colour.
            face: where eyes, lips and lids are.
            shadow: of the sun.

        Returns:
            (3, N) float32 linear RGB.
        """
        materials, normal, reached = self._materials, samples.normal, samples.light
        gloss, alpha, *wraps = materials.table.index_select(1, samples.surface)
        wrap = torch.stack(wraps)
        wet = torch.nonzero(materials.eye.index_select(0, samples.surface))[:, 0]
        inside = torch.nonzero(materials.mouth.index_select(0, samples.surface))[:, 0]
        away = self._away(samples.place)
        if len(wet) or len(inside):
            reached = reached.clone()
            reached[wet] *= face.under_lids(samples.frame[wet], self._point(samples, wet, away))
            reached[inside] *= face.in_mouth(
                samples.frame[inside], self._point(samples, inside, away), normal[:, inside].t()
            )
        albedo = materials.atlas.sample(samples.surface, samples.uv)
        view = _unit(away)

        colour = self._around(normal)
        if shadow is not None:
            sun = self._reaching(samples, away, shadow) * self._sun_colour
            colour += ((self._sun @ normal + wrap) / (1 + wrap)).clamp_(min=0).mul_(sun)
        colour = colour.mul_(albedo).mul_(reached)

        shiny, seen_at = normal, _dot(normal, view)
        if len(wet):
            shiny = normal.clone()
            shiny[:, wet] = self._film(samples, wet, away, face)
            seen_at[wet] = _dot(shiny[:, wet], view[:, wet])
        around = self._around(2 * seen_at * shiny - view)
        # rough surfaces hide their own grazing mirror
        sheen = around.mul_(_mirror(seen_at, (1 - 1.6 * alpha.sqrt()).clamp(min=F0)))
        if shadow is not None:
            sheen += sun.mul_(highlight(shiny, view, seen_at, self._sun, alpha))
        if len(wet):
            glint = highlight(shiny[:, wet], view[:, wet], seen_at[wet], self._key, alpha[wet])
            sheen[:, wet] += glint * self._key_colour
        colour += sheen.mul_(gloss * reached)

        return colour

    def strands(self, samples: Samples, shadow: Shadow | None) -> Tensor:
        """(3, N) linear RGB of hair: matt and glossy light by the angle to the strand.

        Kajiya and Kay, "Rendering fur with three dimensional textures" (1989), section 4. Our design: the
        strip's normal still bends the light around and shades the sun in part, so that the far side of a
        head of hair is dark.
        """
        assert samples.strand is not None
        gloss, alpha = self._materials.table.index_select(1, samples.surface)[:2]
        albedo = self._materials.atlas.sample(samples.surface, samples.uv)
        away, along, normal = self._away(samples.place), _unit(samples.strand), samples.normal
        view, colour = _unit(away), self._around(normal)
        lamps = [(self._key, 0.6 * self._key_colour)]
        if shadow is not None:
            sun = self._reaching(samples, away, shadow) * self._sun_colour
            across = (1 - (self._sun @ along) ** 2).clamp(min=0).sqrt()
            colour += across * (0.35 + 0.65 * (self._sun @ normal)).clamp(min=0) * sun
            lamps.append((self._sun, sun))
        colour *= albedo
        to_view = _dot(along, view)
        across = (1 - to_view**2).clamp(min=0).sqrt()
        exponent = (2 / alpha - 2).clamp(4, 120)
        tint = 0.06 + 0.45 * (albedo + albedo.amax(0))
        for direction, light in lamps:
            to_light = direction @ along
            lobe = (across * (1 - to_light**2).clamp(min=0).sqrt() - to_view * to_light).clamp(0, 1)
            strength = gloss * lobe**exponent * (0.3 + direction @ normal).clamp(0, 1)
            colour += strength * light * tint
        return colour.mul_(samples.light)

    def lens(self, samples: Samples) -> tuple[Tensor, Tensor]:
        """Share of light that lenses let through and what they mirror, (3, N) each."""
        view = _unit(self._away(samples.place))
        gloss, alpha = self._materials.table.index_select(1, samples.surface)[:2]
        *tint, opacity = self._materials.atlas.sample(samples.surface, samples.uv, 4)
        seen_at = _dot(samples.normal, view)
        mirror = _mirror(seen_at)
        mirrored = self._around(2 * seen_at * samples.normal - view) * mirror
        for direction, colour in ((self._sun, self._sun_colour), (self._key, self._key_colour)):
            mirrored += highlight(samples.normal, view, seen_at, direction, alpha) * colour
        passed = (1 - opacity * (1 - torch.stack(tint))) * (1 - mirror)
        return passed, gloss * mirrored

    def _around(self, directions: Tensor) -> Tensor:
        """(3, N) irradiance over pi of surfaces that face directions (3, N), without the sun."""
        return (self._harmonics @ harmonics_basis(directions)).clamp_(min=0)

    def _away(self, place: Tensor) -> Tensor:
        """(3, N) from points at depth 1 to the camera."""
        camera = self._camera
        out = torch.ones(3, place.shape[1], device=place.device)
        out[0] = (place[0] - camera.centre[0]) / -camera.focal
        out[1] = (place[1] - camera.centre[1]) / camera.focal
        return out

    def _point(self, samples: Samples, some: Tensor, away: Tensor) -> Tensor:
        """(M, 3) where some of the samples are in the world."""
        return (self._eye - away[:, some] * samples.depth[some]).t()

    def _reaching(self, samples: Samples, away: Tensor, shadow: Shadow) -> Tensor:
        """(N,) share of the sun that reaches samples."""
        points = self._eye - away * samples.depth
        return shadow(samples.frame, points, samples.normal)

    def _film(self, samples: Samples, wet: Tensor, away: Tensor, face: Face) -> Tensor:
        """(3, M) normals of the wet film on eyeballs: smooth spheres, whatever the mesh beneath."""
        out = self._point(samples, wet, away)[:, None] - face.eyes[samples.frame[wet]]  # (M, 2, 3)
        nearer = (out**2).sum(-1).argmin(1)
        return _unit(out[torch.arange(len(wet), device=out.device), nearer].t())


def highlight(normal: Tensor, view: Tensor, seen_at: Tensor, direction: Tensor, alpha: Tensor) -> Tensor:
    """Mirrored light of a lamp of irradiance pi.

    GGX distribution with Smith's shadowing as approximated by Schlick (Walter et al., 2007; Karis, 2013).

    Args:
        normal: (3, N).
        view: (3, N) towards the camera.
        seen_at: (N,) their product.
        direction: (3,) towards the lamp.
        alpha: (N,) width of the distribution.

    Returns:
        (N,) radiance.
    """
    half = _unit(view + direction[:, None])
    lit = (direction @ normal).clamp_(min=0)
    across = _dot(normal, half)
    alpha2 = alpha * alpha
    spread = across * across * (alpha2 - 1) + 1
    k = alpha / 2
    hidden = 4 * (lit * (1 - k) + k) * (seen_at.clamp(min=0.02) * (1 - k) + k)
    return alpha2 * _mirror(direction @ half) * lit / (spread * spread * hidden)


def _mirror(cosine: Tensor, most: Tensor | float = 1.0) -> Tensor:
    """Share mirrored at an angle (Schlick, 1994), up to `most` at grazing angles."""
    rest = 1 - cosine.clamp(0, 1)
    square = rest * rest
    return F0 + (most - F0) * (square * square * rest)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _unit(vectors: Tensor) -> Tensor:
    return vectors * _dot(vectors, vectors).clamp(min=1e-12).rsqrt()


def harmonics_basis(directions: Tensor) -> Tensor:
    """(9, N) of directions (3, N), as `headgen.synth.render.light.basis`."""
    x, y, z = directions
    out = torch.empty(9, directions.shape[1], dtype=directions.dtype, device=directions.device)
    out[0] = 0.282095
    torch.mul(y, 0.488603, out=out[1])
    torch.mul(z, 0.488603, out=out[2])
    torch.mul(x, 0.488603, out=out[3])
    torch.mul(x, y, out=out[4]).mul_(1.092548)
    torch.mul(y, z, out=out[5]).mul_(1.092548)
    torch.mul(z, z, out=out[6]).mul_(0.946176).sub_(0.315392)
    torch.mul(x, z, out=out[7]).mul_(1.092548)
    torch.mul(x + y, x - y, out=out[8]).mul_(0.546274)
    return out


def key_light(light: Light) -> tuple[np.ndarray, np.ndarray]:
    """Where most of the light around comes from, and its strength: what eyes mirror where there is no sun.

    Returns:
        direction (3,) unit vector and colour (3,), irradiance over pi of a lamp that would give the same
        difference between facing it and facing away.
    """
    towards = light.harmonics[[3, 1, 2]] @ LUMINANCE
    length = float(np.linalg.norm(towards))
    direction = towards / length if length > 1e-6 else np.array([0.0, 0.6, 0.8])
    difference = (basis(direction) - basis(-direction)) @ light.harmonics
    return direction.astype(np.float32), np.maximum(difference, 0).astype(np.float32)


def developed(linear: np.ndarray) -> np.ndarray:
    """Codes in sRGB (float64, 0 to 255) that a camera makes of linear light; highlights roll off."""
    x = np.asarray(linear, np.float64)
    x = np.where(x > KNEE, 1 - (1 - KNEE) * np.exp(-(x - KNEE) / (1 - KNEE)), np.maximum(x, 0))
    return 255 * np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-9) ** (1 / 2.4) - 0.055)


def undeveloped(codes: np.ndarray) -> np.ndarray:
    """Linear light (float32) that `developed` turns into these codes from 0 to 255."""
    x = linear_light(codes).astype(np.float64)
    rolled = KNEE - (1 - KNEE) * np.log(np.maximum(1 - x, 1e-4) / (1 - KNEE))
    return np.where(x > KNEE, rolled, x).astype(np.float32)


class Developer:
    """Codes linear light as a picture, by table."""

    def __init__(self, device: torch.device) -> None:
        """Makes the tables."""
        centres = np.arange(CODES) / CODES * BRIGHTEST
        # entries lie densest in the dark, where the coding is steepest
        centres = centres**2 / BRIGHTEST
        self._codes = torch.as_tensor(np.round(developed(centres)).astype(np.uint8), device=device)
        self._light = torch.as_tensor(undeveloped(np.arange(256)), device=device)

    def develop(self, linear: Tensor) -> Tensor:
        """(...) uint8 codes of linear light (...)."""
        place = (linear.clamp(0, BRIGHTEST) * (CODES * CODES / BRIGHTEST)).sqrt_()
        return self._codes[place.round_().clamp_(max=CODES - 1).long()]

    def undevelop(self, codes: Tensor) -> Tensor:
        """(...) float32 linear light of uint8 codes (...)."""
        return self._light[codes.long()]
