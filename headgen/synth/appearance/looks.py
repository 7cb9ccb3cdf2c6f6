"""A head model's surfaces with their textures: skin, eyes, mouth and lashes of one person."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.spatial import cKDTree

from headgen.synth.appearance.eyes import (
    EyeColour,
    draw_eye_colour,
    iris_texture,
    lash_texture,
    sclera_texture,
)
from headgen.synth.appearance.mouth import (
    MouthColour,
    draw_mouth_colour,
    lining_texture,
    teeth_texture,
)
from headgen.synth.appearance.texture import bake, to_linear, to_srgb
from headgen.synth.heads.ict_model import EYE_SOCKET_VERTICES, FACE_TILE, IctModel
from headgen.synth.heads.model import HeadModel, Surface
from headgen.synth.photograph import fill_holes

GLOSS = {
    "sclera": (0.8, 0.18), "iris": (1.0, 0.1), "teeth": (0.8, 0.28), "gums": (0.7, 0.35),
    "tongue": (0.5, 0.42), "socket": (0.4, 0.45), "lashes": (0.1, 0.6),
}  # fmt: skip
"""Strength and width of highlights; the skin's are drawn."""
SKIN_GLOSS, SKIN_ROUGHNESS = (0.3, 0.7), (0.46, 0.62)
TONGUE_ROUGH = 0.10
SEAM_REACH_CM = 2.0  # how far the face's own blotches go on behind its edge
INNER_LID = (150, 84, 76)  # sRGB of the wet skin behind the lids
LASH_COLOURS = ((18, 14, 12), (44, 30, 22))  # sRGB, from dark to light


def head_surfaces(
    model: HeadModel,
    neutral: np.ndarray,
    albedo: np.ndarray,
    rng: np.random.Generator,
    lightness: float = 0.7,
    eyes: EyeColour | None = None,
    mouth: MouthColour | None = None,
    lashes: float = 1.0,
) -> list[Surface]:
    """Everything of a bare head that is to be drawn, one surface a material.

    Args:
        model: the head model; materials that its topology lacks are left out.
        neutral: (V, 3) of the person, `HeadModel.neutral`.
        albedo: linear RGB float32: for `IctModel` the face (N, N, 3) as `mixing.Identity.albedo` has it, for
            other models the skin's whole texture (H, W, 3).
        rng: source of chance for all that is not given.
        lightness: of the skin, 0 (darkest) to 1 (lightest): eyes and gums go with it.
        eyes: colour of the eyes; drawn if None.
        mouth: colours of teeth, gums and tongue; drawn if None.
        lashes: how many and how long they are, 1 is usual, 1.4 for mascara.
    """
    topology = model.topology
    eyes = draw_eye_colour(rng, lightness) if eyes is None else eyes
    mouth = draw_mouth_colour(rng, lightness) if mouth is None else mouth
    skin = ict_skin(model, neutral, albedo) if isinstance(model, IctModel) else albedo
    front = neutral[np.unique(topology.triangles[topology.of("teeth")]), 2].max(initial=-np.inf)
    if not np.isfinite(front):
        front = neutral[topology.landmarks_68[60:], 2].mean()
    out = []
    for material in ("skin", "socket", "gums", "tongue", "teeth", "sclera", "iris", "lashes"):
        triangles = topology.triangles[topology.of(material)]
        if not len(triangles):
            continue
        place = (neutral, triangles, topology.uv)
        if material == "skin":
            texture = np.dstack([to_srgb(skin), np.full(skin.shape[:2], 255, np.uint8)])
            gloss = float(rng.uniform(*SKIN_GLOSS)), float(rng.uniform(*SKIN_ROUGHNESS))
        else:
            gloss = GLOSS[material]
            if material == "teeth":
                texture = teeth_texture(mouth, *place, rng)
            elif material == "sclera":
                texture = sclera_texture(eyes, rng)
            elif material == "iris":
                texture = iris_texture(eyes, rng)
            elif material == "lashes":
                balls = np.unique(topology.triangles[topology.of("sclera", "iris")])
                red, green, blue = rng.uniform(*LASH_COLOURS)
                texture = lash_texture(*place, balls, rng, lashes, (red, green, blue))
            else:
                colour = {"socket": mouth.lining, "gums": mouth.gums, "tongue": mouth.tongue}[material]
                rough = TONGUE_ROUGH if material == "tongue" else 0.05
                texture = lining_texture(colour, *place, rng, float(front), rough=rough)
        out.append(
            Surface(
                name=material,
                triangles=triangles,
                uv=topology.uv,
                material=material,
                texture=texture,
                gloss=gloss[0],
                roughness=gloss[1],
                two_sided=material == "lashes",
            )
        )
    return out


def ict_skin(model: IctModel, neutral: np.ndarray, face: np.ndarray) -> np.ndarray:
    """(N, N / `FACE_TILE`, 3) float32 linear RGB of all skin of the ICT face from the texture of its face.

    Neck and skull continue the colours at the edge of the face and even out; their grain is the face's,
    mirrored. Behind the lids skin is red and wet.

    Args:
        model: the ICT face.
        neutral: (V, 3) of the person.
        face: (N, N, 3) float32 linear RGB.
    """
    size = face.shape[0]
    width = round(size / FACE_TILE)
    topology = model.topology
    triangles = topology.triangles[topology.of("skin")]
    uv = topology.uv
    on_face = (uv[triangles, 0] <= FACE_TILE).all(1)
    used = np.unique(triangles[on_face])
    log = np.log(np.maximum(face, 1e-4))
    smooth = cv2.GaussianBlur(log, (0, 0), 0.012 * size)
    places = uv[used] * [size / FACE_TILE, size] - 0.5
    at = np.clip(np.round(places).astype(int), 0, size - 1)
    colours = smooth[at[:, 1], at[:, 0]]
    tone = np.median(colours, 0)

    behind = np.unique(triangles[~on_face])
    distance, nearest = cKDTree(neutral[used]).query(neutral[behind], k=4)
    near = np.exp(-((distance[:, :1] / SEAM_REACH_CM) ** 2))
    own = tone + near * (colours[nearest].mean(1) - tone)
    for sockets in EYE_SOCKET_VERTICES.values():
        inside = (model.origin[behind] >= sockets.start) & (model.origin[behind] < sockets.stop)
        own[inside] = np.log(to_linear(np.array(INNER_LID) / 255)) + 0.3 * (tone - tone.mean())
    values = np.zeros((len(uv), 3), np.float32)
    values[behind] = own
    scaled = (uv - [FACE_TILE, 0]) / [1 - FACE_TILE, 1]
    back, covered = bake(scaled, triangles[~on_face], values, size)
    back = fill_holes(back, covered.astype(np.float32)) + cv2.flip(log - smooth, 0) * _plain_grain(
        log, smooth
    )
    back = cv2.resize(back, (width - size, size), interpolation=cv2.INTER_AREA)
    return np.exp(np.concatenate([log, back], 1)).astype(np.float32)


def _plain_grain(log: np.ndarray, smooth: np.ndarray) -> np.ndarray:
    """(N, N, 1) 0 where the flipped fine structure is more than grain (features of the face), else 1."""
    strong = cv2.GaussianBlur(np.abs(log - smooth).max(-1), (0, 0), 4.0) > 0.12
    return 1.0 - cv2.dilate(cv2.flip(strong.astype(np.float32), 0), np.ones((9, 9)))[..., None]
