"""The ICT face model from its authors' files: a folder of OBJ meshes to one small npz.

The folder is ``FaceXModel`` of https://github.com/ICT-VGL/ICT-FaceKit (MIT licence):
``generic_neutral_mesh.obj``,
``identity000.obj`` and so on, and one mesh for each expression. All have the same vertices in the same order.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from headgen.errors import InputError
from headgen.media.output import replacing
from headgen.progress import ProgressCallback, ProgressEvent

NEUTRAL_FILE = "generic_neutral_mesh.obj"
Place = Path | zipfile.Path
"""A file or folder, on the disk or still in a zip."""
_IDENTITY = re.compile(r"identity\d{3}")


def convert_folder(folder: Place, output: Path, *, progress: ProgressCallback | None = None) -> Path:
    """Reads the authors' meshes and writes ``ict_facekit.npz``.

    Holds ``neutral`` (V, 3) float32 in cm, ``uv`` (U, 2), ``faces`` and ``faces_uv`` (Q, 4) int32 (-1 pads
    triangles), ``face_material`` (Q,) number in ``material_names``, and for identities and expressions the
    names and the difference (N, V, 3) from the neutral face, float16.

    Args:
        folder: ``FaceXModel``, or the folder of the repository that holds it, or the root of a zip of either.
        output: the file to write; it appears only when it is whole.
        progress: called after each mesh.

    Returns:
        The file written.

    Raises:
        InputError: no such folder, a mesh that cannot be read or has other vertices, or a disk that is full.
    """
    folder = _find_meshes(folder)
    neutral_text = _read(folder / NEUTRAL_FILE)
    neutral = _vertices(folder / NEUTRAL_FILE, neutral_text)
    meshes = [path for path in _children(folder) if path.suffix == ".obj" and path.name != NEUTRAL_FILE]
    identities = [path for path in meshes if _IDENTITY.fullmatch(path.stem)]
    expressions = [path for path in meshes if not _IDENTITY.fullmatch(path.stem)]
    if not identities or not expressions:
        raise InputError(
            f"{folder}: holds no identity or no expression meshes; give the whole folder FaceXModel"
        )
    arrays = _topology(folder / NEUTRAL_FILE, neutral_text)
    arrays["neutral"] = neutral.astype(np.float32)
    done = 0
    for kind, paths in (("identity", identities), ("expression", expressions)):
        differences = np.empty((len(paths), *neutral.shape), np.float16)
        for k, path in enumerate(paths):
            moved = _vertices(path, _read(path))
            if moved.shape != neutral.shape:
                raise InputError(
                    f"{path}: {len(moved)} vertices instead of {len(neutral)}; get the folder again"
                )
            differences[k] = moved - neutral
            done += 1
            if progress is not None:
                progress(ProgressEvent("convert", done, len(meshes), unit="meshes"))
        arrays[kind] = differences
        arrays[f"{kind}_names"] = np.array([path.stem for path in paths])
    with replacing(output) as part, part.open("wb") as file:
        np.savez_compressed(file, **arrays)
    return output


def _find_meshes(folder: Place) -> Place:
    """``FaceXModel``; archives of the repository have one more folder around it."""
    for place in _candidates(folder):
        if (place / NEUTRAL_FILE).is_file():
            return place
    raise InputError(
        f"{folder}: holds no {NEUTRAL_FILE}; give the folder FaceXModel of a clone of "
        "https://github.com/ICT-VGL/ICT-FaceKit, or a zip of it"
    )


def _candidates(folder: Place) -> Iterator[Place]:
    yield folder
    yield folder / "FaceXModel"
    if folder.is_dir():
        yield from (inner / "FaceXModel" for inner in _children(folder))


def _children(folder: Place) -> list[Place]:
    return sorted(folder.iterdir(), key=lambda place: place.name)


def _read(path: Place) -> str:
    try:
        return path.read_text(encoding="utf-8")
    # zipfile says with a RuntimeError that a file is encrypted or packed in a way it does not know
    except (OSError, UnicodeDecodeError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); get the folder again") from error


def _rows(path: Place, text: str, key: str, width: int) -> np.ndarray:
    """(N, width) numbers of all lines that begin with a key."""
    lines = [line[len(key) + 1 :].split()[:width] for line in text.splitlines() if line.startswith(f"{key} ")]
    try:
        return np.array(lines, np.float64).reshape(-1, width)
    except ValueError as error:
        raise InputError(f"{path}: not a mesh ({error}); get the folder again") from error


def _vertices(path: Place, text: str) -> np.ndarray:
    vertices = _rows(path, text, "v", 3)
    if not len(vertices):
        raise InputError(f"{path}: holds no vertices; get the folder again")
    return vertices


def _topology(path: Place, text: str) -> dict[str, np.ndarray]:
    """Texture places, faces and materials of the neutral mesh."""
    names: list[str] = []
    faces, places, materials = [], [], []
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["usemtl"] and len(words) > 1 and words[1] not in names:
            names.append(words[1])
        if words[:1] == ["usemtl"] and len(words) > 1:
            current = names.index(words[1])
        if words[:1] != ["f"]:
            continue
        try:
            corners = [[int(n) for n in word.split("/")[:2]] for word in words[1:]]
            vertex, place = zip(*corners, strict=True)
        except ValueError as error:
            raise InputError(f"{path}: face {line!r} has no texture places; get the folder again") from error
        if len(vertex) not in (3, 4) or not names:
            raise InputError(f"{path}: face {line!r} is not of this model; get the folder again")
        pad = (0,) * (4 - len(vertex))  # the files count from 1
        faces.append(vertex + pad)
        places.append(place + pad)
        materials.append(current)
    if not faces:
        raise InputError(f"{path}: holds no faces; get the folder again")
    return {
        "uv": _rows(path, text, "vt", 2).astype(np.float32),
        "faces": np.array(faces, np.int32) - 1,
        "faces_uv": np.array(places, np.int32) - 1,
        "face_material": np.array(materials, np.int16),
        "material_names": np.array(names),
    }
