"""A head's surfaces with their textures, on a tiny head of all materials."""

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba", reason="the synth extra is not installed")

from made_up_face import albedo, face_layout  # noqa: E402

from headgen.synth.appearance.looks import head_surfaces, ict_skin  # noqa: E402
from headgen.synth.appearance.texture import luminance, to_linear, to_srgb  # noqa: E402
from headgen.synth.heads.model import MATERIALS, HeadMotion, PosedHead, Topology  # noqa: E402

ASSETS = Path(os.environ.get("HEADGEN_ASSETS", Path(__file__).parents[4] / "shared/data/head_assets"))
PARTS = ("skin", "socket", "gums", "tongue", "teeth", "sclera", "iris", "lashes")


class TinyHead:
    """A made-up face with a square for each other material: a head of which nothing moves."""

    name, identities = "tiny", 0

    def __init__(self, left_out: tuple[str, ...] = ()) -> None:
        """Builds it without the materials `left_out`."""
        layout = face_layout()
        vertices, triangles, uv = [layout.vertices], [layout.triangles], [layout.uv]
        material = [np.full(len(layout.triangles), tuple(MATERIALS).index("skin"))]
        square = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])
        count = len(layout.vertices)
        for name in PARTS[1:]:
            if name in left_out:
                continue
            vertices.append(np.column_stack([square - 0.5, np.full(4, 6.0)]))
            uv.append(square)
            triangles.append(np.array([[0, 1, 2], [0, 2, 3]]) + count)
            material.append(np.full(2, tuple(MATERIALS).index(name)))
            count += 4
        self.vertices = np.concatenate(vertices).astype(np.float32)
        marks = np.zeros(478, np.int64)
        self.topology = Topology(
            np.concatenate(triangles).astype(np.int32),
            np.concatenate(uv).astype(np.float32),
            np.concatenate(material).astype(np.int8),
            marks[:68],
            marks,
        )

    def neutral(self, identity: np.ndarray) -> np.ndarray:
        """The face itself."""
        return self.vertices

    def pose(self, neutral: np.ndarray, motion: HeadMotion) -> PosedHead:
        """The face, still."""
        frames = len(motion)
        still = np.tile(np.eye(3, 4, dtype=np.float32), (frames, 1, 1))
        vertices = np.tile(neutral, (frames, 1, 1))
        return PosedHead(vertices, vertices, np.zeros((frames, 6, 3), np.float32), still, still)


def test_every_material_of_the_head_gets_one_surface():
    head, skin = TinyHead(), albedo(face_layout())
    surfaces = head_surfaces(head, head.neutral(np.zeros(0)), skin, np.random.default_rng(0))
    assert [s.material for s in surfaces] == list(PARTS)
    posed = head.pose(head.vertices, HeadMotion.still(2))
    for surface in surfaces:
        assert surface.texture.dtype == np.uint8 and surface.texture.shape[2] == 4
        assert surface.placed(posed).shape == (2, len(head.vertices), 3)
        own = head.topology.of(surface.material)
        np.testing.assert_array_equal(surface.triangles, head.topology.triangles[own])
        assert 0 <= surface.gloss <= 1 and 0 < surface.roughness <= 1
        assert (surface.texture[..., 3].min() == 255) == (surface.material != "lashes")
    np.testing.assert_array_equal(surfaces[0].texture[..., :3], to_srgb(skin))
    gloss = {s.material: s.gloss for s in surfaces}
    assert gloss["iris"] > gloss["teeth"] > gloss["skin"]


def test_heads_without_some_materials_do_without():
    head = TinyHead(left_out=("teeth", "lashes", "socket"))
    surfaces = head_surfaces(head, head.vertices, albedo(face_layout()), np.random.default_rng(0))
    assert [s.material for s in surfaces] == ["skin", "gums", "tongue", "sclera", "iris"]


def test_same_seed_same_looks():
    head, skin = TinyHead(), albedo(face_layout())
    one, two, other = (head_surfaces(head, head.vertices, skin, np.random.default_rng(s)) for s in (1, 1, 2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.texture, b.texture)
        assert a.gloss == b.gloss
    assert any(not np.array_equal(a.texture, b.texture) for a, b in zip(one, other, strict=True))


@pytest.mark.shared
@pytest.mark.skipif(not (ASSETS / "ict_facekit").is_dir(), reason="the shared head assets are missing")
def test_the_skin_of_the_ict_face_has_no_seam_behind_the_face():
    from headgen.synth.heads.ict_model import FACE_TILE, IctModel

    model = IctModel.load(ASSETS / "ict_facekit")
    neutral = model.neutral(np.zeros(10, np.float32))
    face = np.tile(np.array([0.4, 0.25, 0.18], np.float32), (128, 128, 1))
    face[64:] *= 0.8  # neck and jaw are darker
    atlas = ict_skin(model, neutral, face)
    assert atlas.shape == (128, 200, 3)
    np.testing.assert_allclose(atlas[:, :128], face, rtol=1e-4)
    # vertices doubled at the seam have nearly the same colour on both sides
    used = np.unique(model.topology.triangles[model.topology.of("skin")])
    used = used[np.abs(neutral[used, 1] - 4) > 3]  # beside the eyes
    places = np.clip((model.topology.uv[used] * [200, 128]).astype(int), 0, [199, 127])
    light = luminance(np.log(atlas[places[:, 1], places[:, 0]]))
    on_face = model.topology.uv[used, 0] < FACE_TILE - 1e-4
    front = dict(zip(model.origin[used[on_face]], light[on_face], strict=True))
    gaps = [
        abs(front[vertex] - value)
        for vertex, value in zip(model.origin[used[~on_face]], light[~on_face], strict=True)
        if vertex in front
    ]
    assert len(gaps) > 50 and np.median(gaps) < 0.03 and np.percentile(gaps, 95) < 0.12
    assert to_linear(to_srgb(atlas)).max() < 0.6
