"""Reads MakeHuman's free parts (CC0): the base mesh, and hair that is bound to it.

Frame: centimetres, x to the picture's right, y up, z towards the camera; the base stands on the ground.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from headgen.errors import InputError
from headgen.synth.appearance.anatomy import Anatomy

CM = 10.0  # per decimetre, the files' unit
CHEST_CM = 45.0  # height above which the base's skin is kept
TEXTURE = 768  # texels: longest side of a texture that is kept

LANDMARKS = {
    0: 5748, 16: 12345, 8: 780, 33: 312, 30: 297, 27: 133,
    36: 20, 37: 152, 38: 152, 39: 98, 40: 42, 41: 42,
    42: 6882, 43: 6930, 44: 6930, 45: 6804, 46: 6826, 47: 6826,
    19: 229, 20: 230, 21: 233, 22: 7006, 23: 7003, 24: 7002,
}  # fmt: skip
"""Vertex of the base for those of the 68 landmarks that the measures of a head ask for."""


@dataclass(frozen=True)
class BaseHead:
    """Head and shoulders of MakeHuman's base mesh hm08.

    Attributes:
        vertices: (V, 3) float32 cm, all of the base (helpers too, which parts are bound to).
        triangles: (F, 3) of the skin above the chest.
    """

    vertices: np.ndarray
    triangles: np.ndarray

    @classmethod
    def load(cls, folder: Path) -> BaseHead:
        """Reads ``base_hm08.npz`` from a folder.

        Raises:
            InputError: no such file, or other contents.
        """
        file = Path(folder) / "base_hm08.npz"
        if not file.is_file():
            raise InputError(f"{file}: no such file; give the folder with MakeHuman's base mesh and parts")
        try:
            with np.load(file, allow_pickle=False) as data:
                vertices = data["v"].astype(np.float32) * CM
                body = list(data["group_names"]).index("body")
                quads = data["faces"][data["face_group"] == body]
        except (ValueError, KeyError, OSError) as error:
            raise InputError(f"{file}: not MakeHuman's base mesh ({error}); give base_hm08.npz") from error
        triangles = np.concatenate([quads[:, :3], quads[:, [0, 2, 3]]])
        high = vertices[triangles][:, :, 1].min(1) > CHEST_CM
        return cls(vertices, triangles[high].astype(np.int32))

    @cached_property
    def anatomy(self) -> Anatomy:
        """Its measures. Landmarks that they do not ask for are zero."""
        landmarks = np.zeros((68, 3))
        for number, vertex in LANDMARKS.items():
            landmarks[number] = self.vertices[vertex]
        return Anatomy.measured(self.vertices, self.triangles, landmarks)


@dataclass(frozen=True)
class Part:
    """A textured mesh bound to the base.

    Attributes:
        name: of the part.
        points: (P, 3) float32 cm on the base; vertices are doubled where the texture has a seam.
        triangles: (F, 3) int32.
        uv: (P, 2) float32, v down.
        texture: (H, W, 4) uint8 sRGB with alpha.
    """

    name: str
    points: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray
    texture: np.ndarray

    @classmethod
    def load(cls, folder: Path, base: BaseHead) -> Part:
        """Reads the part in a folder: its .mhclo, .obj and diffuse .png.

        Raises:
            InputError: a file is missing or damaged.
        """
        folder = Path(folder)
        mesh, binding = (_only(folder, ending) for ending in (".obj", ".mhclo"))
        picture = _only(folder, ".png")
        try:
            corners, uv, places = _read_obj(mesh)
            bound = _read_binding(binding, base.vertices)
        except (ValueError, IndexError) as error:
            raise InputError(f"{mesh}: mesh or binding is damaged ({error}); fetch the part anew") from error
        if len(bound) <= corners[:, :, 0].max() or len(uv) <= corners[:, :, 1].max() or len(bound) != places:
            raise InputError(f"{binding}: does not go with {mesh.name}; fetch the part anew")
        texture = cv2.imread(str(picture), cv2.IMREAD_UNCHANGED)
        if texture is None or texture.ndim != 3:
            raise InputError(f"{picture}: not a colour picture; fetch the part anew")
        pairs, inverse = np.unique(corners.reshape(-1, 2), axis=0, return_inverse=True)
        return cls(
            folder.name,
            bound[pairs[:, 0]].astype(np.float32),
            inverse.reshape(-1, 3).astype(np.int32),
            uv[pairs[:, 1]].astype(np.float32),
            _shrunk(texture),
        )


def parts(folder: Path, kind: str = "hair") -> list[str]:
    """Names of the parts of a kind under ``folder/parts`` that have a texture, sorted."""
    root = Path(folder) / "parts" / kind
    return sorted({path.parent.name for path in root.glob("*/*.png") if list(path.parent.glob("*.mhclo"))})


def _only(folder: Path, ending: str) -> Path:
    found = sorted(folder.glob(f"*{ending}"))
    if not found:
        raise InputError(f"{folder}: no {ending} file; give a folder of one of MakeHuman's parts")
    return found[0]


def _read_obj(path: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """Triangles (F, 3, 2) as vertex and texture numbers, texture places (N, 2), count of vertices."""
    places: list[tuple[float, float]] = []
    corners: list[list[list[int]]] = []
    count = 0
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        word, *rest = line.split() or [""]
        if word == "v":
            count += 1
        elif word == "vt":
            places.append((float(rest[0]), 1 - float(rest[1])))
        elif word == "f":
            face = [[int(n) - 1 for n in corner.split("/")[:2]] for corner in rest]
            corners.extend([face[0], face[k], face[k + 1]] for k in range(1, len(face) - 1))
    return np.array(corners).reshape(-1, 3, 2), np.array(places), count


def _read_binding(path: Path, base: np.ndarray) -> np.ndarray:
    """(P, 3) places of a part's vertices on the base (V, 3): barycentric, with offsets along the axes."""
    scale = np.ones(3)
    rows: list[list[float]] = []
    inside = False
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] in ("x_scale", "y_scale", "z_scale"):
            axis = "xyz".index(words[0][0])
            first, second = int(words[1]), int(words[2])
            scale[axis] = abs(base[first, axis] - base[second, axis]) / float(words[3])
        elif words[0] == "verts":
            inside = True
        elif inside and len(words) in (1, 9) and words[0].isdigit():
            vertex = words * 3 + ["1", "0", "0", "0", "0", "0"] if len(words) == 1 else words
            rows.append([float(word) for word in vertex])
    table = np.array(rows)
    corners = base[table[:, :3].astype(int)]
    return (corners * table[:, 3:6, None]).sum(1) + table[:, 6:9] * scale


def _shrunk(texture: np.ndarray) -> np.ndarray:
    """(H, W, 4) RGBA of a picture (H, W, 3 or 4) in BGR order, at most `TEXTURE` wide and high."""
    if texture.shape[2] == 3:
        texture = np.dstack([texture, np.full(texture.shape[:2], 255, np.uint8)])
    share = min(1.0, TEXTURE / max(texture.shape[:2]))
    size = (max(1, round(texture.shape[1] * share)), max(1, round(texture.shape[0] * share)))
    colour = texture.astype(np.float32)
    alpha = colour[..., 3:] / 255 + 1e-3
    small = cv2.resize(np.dstack([colour[..., :3] * alpha, alpha]), size, interpolation=cv2.INTER_AREA)
    colour = small[..., 2::-1] / small[..., 3:]
    return np.dstack([np.clip(colour, 0, 255), 255 * (small[..., 3] - 1e-3)]).round().astype(np.uint8)
