"""MakeHuman's files: meshes, bindings and textures are read as they are written, damage is named."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from headgen.errors import InputError
from headgen.synth.appearance.makehuman import BaseHead, Part, parts

CHECKOUT = Path(__file__).parents[4] / "shared/data/head_assets"
ASSETS = Path(os.environ.get("HEADGEN_ASSETS", CHECKOUT)) / "makehuman"

OBJ = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nvt .5 .5\n"
OBJ += "f 1/1 2/2 3/3 4/4\nf 1/1 3/3 4/5\n"
BINDING = (
    "# a comment\nname wig\nx_scale 0 1 2.0\ny_scale 0 2 1.0\nz_scale 0 3 1.0\nverts 0\n"
    "0 1 2 0.5 0.5 0 0.1 0.2 0.3\n"
    "3\n"
    "1 1 1 1 0 0 0 0 0\n"
    "2 2 2 1 0 0 0 0 0\n"
)


@pytest.fixture
def base():
    vertices = np.array([[0, 0, 0], [40, 0, 0], [0, 10, 0], [0, 0, 10]], np.float32)
    return BaseHead(vertices, np.array([[0, 1, 2]]))


@pytest.fixture
def wig(tmp_path):
    folder = tmp_path / "parts" / "hair" / "wig"
    folder.mkdir(parents=True)
    (folder / "wig.obj").write_text(OBJ)
    (folder / "wig.mhclo").write_text(BINDING)
    picture = np.zeros((8, 8, 4), np.uint8)
    picture[..., :3] = (10, 20, 200)  # BGR: red
    picture[:4, :, 3] = 255
    cv2.imwrite(str(folder / "wig.png"), picture)
    return folder


def test_a_part_is_bound_scaled_and_textured(base, wig):
    part = Part.load(wig, base)
    assert part.triangles.shape == (3, 3) and len(part.uv) == len(part.points) == 5  # one seam
    first = part.points[part.triangles[0, 0]]
    # barycentre of vertices 0 and 1, offset along x doubled per unit of scale: 40 cm against 2
    assert np.allclose(first, [20 + 0.1 * 20, 0.2 * 10, 0.3 * 10])
    assert np.allclose(part.points[part.triangles[0, 1]], [0, 0, 10])  # bound to one vertex
    assert np.allclose(part.uv[part.triangles[0, 0]], [0, 1])  # v runs down here
    assert part.texture[1, 1].tolist() == [200, 20, 10, 255] and part.texture[7, 0, 3] == 0
    assert parts(wig.parents[2]) == ["wig"]


def test_damage_is_named(base, wig, tmp_path):
    with pytest.raises(InputError, match="base_hm08.npz"):
        BaseHead.load(tmp_path)
    np.savez(tmp_path / "base_hm08.npz", v=np.zeros((3, 3)))
    with pytest.raises(InputError, match="not MakeHuman's base mesh"):
        BaseHead.load(tmp_path)
    (wig / "wig.mhclo").write_text(BINDING[:-40])
    with pytest.raises(InputError, match="wig"):
        Part.load(wig, base)
    (wig / "wig.mhclo").unlink()
    with pytest.raises(InputError, match=r"\.mhclo"):
        Part.load(wig, base)
    assert parts(tmp_path) == []


@pytest.mark.shared
@pytest.mark.skipif(not ASSETS.is_dir(), reason="MakeHuman's parts are not here")
def test_all_free_hair_reads_and_sits_on_the_base():
    base = BaseHead.load(ASSETS)
    assert 6.0 < base.anatomy.unit < 8.0
    names = parts(ASSETS)
    assert len(names) >= 9
    for name in names[:3]:
        part = Part.load(ASSETS / "parts" / "hair" / name, base)
        height, _ = base.anatomy.skin.height(part.points.astype(np.float64))
        assert (height > -0.6).mean() > 0.95
        assert part.points[:, 1].max() > base.anatomy.centre[1] + 8
        assert part.uv.min() >= 0 and part.uv.max() <= 1
