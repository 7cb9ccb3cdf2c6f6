"""A made-up model with the layout of the ICT face model, and the real one where it is at hand."""

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba", reason="the synth extra is not installed")

from headgen.synth.correspondence import INNER_LIP_LOWER, INNER_LIP_UPPER  # noqa: E402
from headgen.synth.heads.expressions import EXPRESSIONS  # noqa: E402
from headgen.synth.heads.ict_model import (  # noqa: E402
    EYE_SOCKET_VERTICES,
    LASH_VERTICES,
    LIDS,
    MATERIAL_QUADS,
    MODEL_QUADS,
    MODEL_VERTICES,
    SCLERA_VERTICES,
    SIDES,
    IctModel,
)
from headgen.synth.ict import GUMS_VERTICES, SOCKET_VERTICES, TEETH_VERTICES  # noqa: E402

RADIUS = 1.5
EYES = {"R": np.array([-3.1, 3.6, 7.9]), "L": np.array([3.1, 3.6, 7.9])}
VERTICES_OF = {
    "socket": SOCKET_VERTICES,
    "gums": GUMS_VERTICES,
    "teeth": TEETH_VERTICES,
    "lashes": LASH_VERTICES,
}


def shape_names():
    both = {"browInnerUp", "cheekPuff"}
    for name in EXPRESSIONS:
        if name in both:
            yield from (f"{name}_L", f"{name}_R")
        elif name in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
            yield name
        elif name != "tongueOut":
            yield name.replace("Left", "_L").replace("Right", "_R")


def eye_line(side, height, count):
    """Points of a lid's edge on the eyeball's front: an arc of a height at its middle."""
    x = np.linspace(-1.1, 1.1, count)
    y = height * (1 - (x / 1.1) ** 2)
    z = np.sqrt((RADIUS + 0.15) ** 2 - x**2 - y**2)
    return EYES[side] + np.column_stack([x, y, z])


def made_up_arrays():
    """Arrays as `IctModel` takes them: an egg, spheres for eyes, lids and lips where they belong."""
    rng = np.random.default_rng(7)
    way = rng.normal(size=(MODEL_VERTICES, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    neutral = (way * [9, 17, 10] + [0, -2, 0]).astype(np.float32)
    for part in VERTICES_OF.values():
        neutral[part] = [0, -3, 7] + way[part] * 2
    for side, part in SCLERA_VERTICES.items():
        neutral[part] = EYES[side] + RADIUS * way[part]
    for side, part in EYE_SOCKET_VERTICES.items():
        neutral[part] = EYES[side] + RADIUS * 1.1 * way[part]
    shapes = {name: np.zeros((MODEL_VERTICES, 3), np.float32) for name in shape_names()}
    for side, (upper, lower) in LIDS.items():
        neutral[upper] = eye_line(side, 0.5, len(upper))
        neutral[lower] = eye_line(side, -0.4, len(lower))
        inner = slice(1, -1)
        # a blink that is too short, and a squint that crosses lids when both add up
        shapes[f"eyeBlink_{side}"][upper[inner], 1] = -0.7 * (neutral[upper[inner], 1] - EYES[side][1])
        shapes[f"eyeSquint_{side}"][upper[inner], 1] = -0.9
        shapes[f"eyeWide_{side}"][upper[inner], 1] = 0.2
        shapes[f"eyeLookDown_{side}"][upper[inner], 1] = -0.4
        half = slice(LASH_VERTICES.start, 26035) if side == "L" else slice(26035, LASH_VERTICES.stop)
        roots = rng.choice(upper, half.stop - half.start)
        neutral[half] = neutral[roots] + [0, 0.1, 0.3]
    for line, height in ((INNER_LIP_UPPER, 0.05), (INNER_LIP_LOWER, -0.05)):
        x = np.linspace(-2, 2, len(line))
        neutral[line] = np.column_stack([x, -3.5 + height * (1 - (x / 2) ** 2), 11 - 0.2 * x**2])
    shapes["jawOpen"][INNER_LIP_LOWER[1:-1], 1] = -2
    shapes["mouthShrugLower"][INNER_LIP_LOWER[1:-1], 1] = 0.8
    shapes["browInnerUp_L"][4000] = shapes["browInnerUp_R"][1000] = [0, 0.5, 0]
    quads = np.full((MODEL_QUADS, 4), -1)
    for name, part in MATERIAL_QUADS:
        own = np.arange(VERTICES_OF[name].start, VERTICES_OF[name].stop) if name in VERTICES_OF else None
        if name == "skin":
            own = np.arange(0, 11248) if part.start == 0 else np.arange(13294, 14062)
        first = np.arange(part.stop - part.start)
        start = first * len(own) // len(first)
        quads[part] = own[(start[:, None] + np.arange(4)) % len(own)]
    quads[::5, 3] = -1  # triangles
    uv = rng.random((MODEL_VERTICES + 1, 2)).astype(np.float32)
    uv[:, 0] += np.array([0, 1])[rng.integers(0, 2, len(uv))]
    quads_uv = quads.copy()
    quads_uv[100, 0] = MODEL_VERTICES  # a seam: one vertex, two texture places
    identity = (
        rng.normal(size=(3, 1, 3)).astype(np.float32) * np.ones((1, MODEL_VERTICES, 1), np.float32) * 0.1
    )
    return {
        "neutral": neutral, "uv": uv, "quads": quads, "quads_uv": quads_uv, "identity": identity,
        "expression": shapes,
    }  # fmt: skip


def assets_folder():
    given = os.environ.get("HEADGEN_ASSETS")
    folder = Path(given) if given else Path(__file__).parents[4] / "shared" / "data" / "head_assets"
    return folder if (folder / "ict_facekit" / "ict_facekit.npz").is_file() else None


@pytest.fixture(scope="session")
def made_up():
    return IctModel(**made_up_arrays())


@pytest.fixture(scope="session")
def ict_file():
    folder = assets_folder()
    if folder is None:
        pytest.skip("the ICT face model is not here")
    return folder / "ict_facekit" / "ict_facekit.npz"


@pytest.fixture(scope="session")
def ict(ict_file):
    return IctModel.load(ict_file)


@pytest.fixture(params=["made_up", "ict"])
def model(request):
    """The made-up model, and the real one too where it is at hand."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def sides():
    return SIDES
