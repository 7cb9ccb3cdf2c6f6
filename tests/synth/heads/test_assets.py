"""Files of head models are found where they may lie, and made from their authors' meshes."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba", reason="the synth extra is not installed")

from headgen import hub  # noqa: E402
from headgen.errors import InputError  # noqa: E402
from headgen.synth.heads.assets import find_assets, find_ict  # noqa: E402
from headgen.synth.heads.ict_obj import convert_folder  # noqa: E402


@pytest.fixture(autouse=True)
def nothing_here(monkeypatch, tmp_path):
    monkeypatch.delenv("HEADGEN_ASSETS", raising=False)
    monkeypatch.setenv("HEADGEN_HOME", str(tmp_path / "home"))


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"npz")
    return path


def test_the_folder_given_comes_before_the_environment_and_that_before_the_fetched(monkeypatch, tmp_path):
    fetched = touch(tmp_path / "home" / "weights" / "ict-facekit" / "ict_facekit.npz")
    assert find_ict() == fetched
    in_environment = touch(tmp_path / "env" / "ict_facekit" / "ict_facekit.npz")
    monkeypatch.setenv("HEADGEN_ASSETS", str(tmp_path / "env"))
    assert find_assets() == tmp_path / "env"
    assert find_ict() == in_environment
    given = touch(tmp_path / "given" / "ict_facekit.npz")
    assert find_ict(tmp_path / "given") == given
    assert find_ict(given) == given


def test_an_environment_without_the_model_leaves_the_fetched_one(monkeypatch, tmp_path):
    fetched = touch(tmp_path / "home" / "weights" / "ict-facekit" / "ict_facekit.npz")
    (tmp_path / "lights").mkdir()
    monkeypatch.setenv("HEADGEN_ASSETS", str(tmp_path / "lights"))
    assert find_ict() == fetched


def test_a_folder_that_was_asked_for_is_not_replaced_by_another(tmp_path):
    touch(tmp_path / "home" / "weights" / "ict-facekit" / "ict_facekit.npz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty"):
        find_ict(tmp_path / "empty")


def test_who_has_nothing_is_told_what_to_do(monkeypatch, tmp_path):
    assert find_assets() is None
    with pytest.raises(InputError, match="headgen weights fetch ict-facekit"):
        find_ict()
    monkeypatch.setenv("HEADGEN_ASSETS", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="HEADGEN_ASSETS"):
        find_ict()


NEUTRAL = """mtllib some.mtl
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0.5
vt 0 0
vt 1 0
vt 1 1
vt 1.5 0.25
vn 0 0 1
usemtl M_Face
f 1/1/1 2/2/1 3/3/1 4/4/1
usemtl M_Teeth
f 1/4/1 2/2/1 3/3/1
usemtl M_Face
f 4/1/1 3/2/1 1/3/1
"""


@pytest.fixture
def meshes(tmp_path):
    folder = tmp_path / "ICT-FaceKit" / "FaceXModel"
    folder.mkdir(parents=True)
    (folder / "generic_neutral_mesh.obj").write_text(NEUTRAL)
    (folder / "identity000.obj").write_text(NEUTRAL.replace("v 1 1 0", "v 1 1 0.25"))
    (folder / "identity001.obj").write_text(NEUTRAL)
    (folder / "jawOpen.obj").write_text(NEUTRAL.replace("v 0 0 0\n", "v 0 -2 0\n"))
    return folder


def test_meshes_of_the_authors_become_one_file(meshes, tmp_path):
    seen = []
    output = convert_folder(meshes.parent, tmp_path / "ict_facekit.npz", progress=seen.append)
    assert [event.done for event in seen] == [1, 2, 3]
    assert not list(tmp_path.glob("*.part"))
    with np.load(output) as data:
        assert np.allclose(data["neutral"][3], [0, 1, 0.5])
        assert data["faces"].tolist() == [[0, 1, 2, 3], [0, 1, 2, -1], [3, 2, 0, -1]]
        assert data["faces_uv"].tolist() == [[0, 1, 2, 3], [3, 1, 2, -1], [0, 1, 2, -1]]
        assert np.allclose(data["uv"][3], [1.5, 0.25])
        assert data["material_names"][data["face_material"]].tolist() == ["M_Face", "M_Teeth", "M_Face"]
        assert data["identity_names"].tolist() == ["identity000", "identity001"]
        assert data["identity"][0].tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 0.25], [0, 0, 0]]
        assert data["expression_names"].tolist() == ["jawOpen"]
        assert data["expression"][0, 0].tolist() == [0, -2, 0]


def test_the_same_meshes_give_the_same_bytes(meshes, tmp_path):
    one = convert_folder(meshes, tmp_path / "one.npz").read_bytes()
    assert one == convert_folder(meshes, tmp_path / "two.npz").read_bytes()


def test_what_is_fetched_is_found(meshes):
    hub.fetch("ict-facekit", archive=meshes.parent)
    with np.load(find_ict()) as data:
        assert data["expression_names"].tolist() == ["jawOpen"]


@pytest.mark.parametrize("top", ["", "ICT-FaceKit-1234567"])
def test_a_zip_gives_the_same_bytes_as_the_folder_in_it(meshes, tmp_path, top):
    expected = convert_folder(meshes, tmp_path / "folder.npz").read_bytes()
    packed = tmp_path / "meshes.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(meshes.iterdir(), reverse=True):
            archive.write(path, Path(top) / "FaceXModel" / path.name)
    with zipfile.ZipFile(packed) as archive:
        assert convert_folder(zipfile.Path(archive), tmp_path / "zip.npz").read_bytes() == expected


def test_a_damaged_mesh_in_a_zip_is_named(meshes, tmp_path):
    packed = tmp_path / "meshes.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in meshes.iterdir():
            archive.write(path, Path("FaceXModel") / path.name)
    packed.write_bytes(packed.read_bytes().replace(b"v 0 -2 0", b"v 0 -3 0"))
    with (
        zipfile.ZipFile(packed) as archive,
        pytest.raises(InputError, match=r"jawOpen\.obj: cannot be read \(Bad CRC-32"),
    ):
        convert_folder(zipfile.Path(archive), tmp_path / "out.npz")
    assert not list(tmp_path.glob("out*"))


def test_meshes_that_do_not_fit_are_named_and_nothing_is_written(meshes, tmp_path):
    with pytest.raises(InputError, match="holds no generic_neutral_mesh"):
        convert_folder(tmp_path / "nowhere", tmp_path / "out.npz")
    (meshes / "smile.obj").write_text("v 0 0 0\n")
    with pytest.raises(InputError, match=r"smile\.obj: 1 vertices instead of 4"):
        convert_folder(meshes, tmp_path / "out.npz")
    (meshes / "smile.obj").write_text("v 0 0\n")
    with pytest.raises(InputError, match=r"smile\.obj: not a mesh"):
        convert_folder(meshes, tmp_path / "out.npz")
    assert not (tmp_path / "out.npz").exists()


def test_a_converted_file_loads_like_the_one_it_was_made_from(ict_file, ict, tmp_path):
    """The real model, written as meshes and converted back."""
    with np.load(ict_file) as data:
        neutral, blink = (
            data["neutral"],
            data["expression"][list(data["expression_names"]).index("eyeBlink_L")],
        )
        lines = [f"vt {u:.6f} {v:.6f}" for u, v in data["uv"]]
        names = data["material_names"]
        current = -1
        for face, place, material in zip(data["faces"], data["faces_uv"], data["face_material"], strict=True):
            if material != current:
                lines.append(f"usemtl {names[material]}")
                current = material
            lines.append(
                "f " + " ".join(f"{v + 1}/{t + 1}" for v, t in zip(face, place, strict=True) if v >= 0)
            )
        faces, materials = data["faces"], data["face_material"]
    for name, vertices in (
        ("generic_neutral_mesh", neutral), ("identity000", neutral), ("eyeBlink_L", neutral + blink),
    ):  # fmt: skip
        text = "\n".join([f"v {x:.5f} {y:.5f} {z:.5f}" for x, y, z in vertices] + lines)
        (tmp_path / f"{name}.obj").write_text(text)
    with np.load(convert_folder(tmp_path, tmp_path / "out.npz")) as made:
        assert np.array_equal(made["faces"], faces)
        assert np.array_equal(made["material_names"][made["face_material"]], names[materials])
        assert np.allclose(made["neutral"], neutral, atol=1e-4)
        assert np.allclose(made["expression"][0], blink, atol=2e-3)
