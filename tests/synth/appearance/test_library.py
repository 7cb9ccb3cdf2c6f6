"""A texture library on disk; with the shared assets the whole way from a photograph."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("numba", reason="the synth extra is not installed")

from made_up_face import EYES, albedo, face_layout  # noqa: E402

from headgen.errors import InputError  # noqa: E402
from headgen.synth.appearance import library as on_disk  # noqa: E402
from headgen.synth.appearance.library import (  # noqa: E402
    Library,
    Person,
    build_library,
    character,
    read_person,
    rims,
    write_person,
)
from headgen.synth.appearance.texture import to_srgb  # noqa: E402

ASSETS = Path(os.environ.get("HEADGEN_ASSETS", Path(__file__).parents[4] / "shared/data/head_assets"))
CHOSEN = ("B000461.jpg", "B001244.jpg")  # seen from the front, without glasses
PORTRAITS = Path(__file__).parents[4] / "shared/data/portraits_public_domain"


@pytest.fixture(scope="module")
def layout():
    return face_layout()


def _person(layout, name: str) -> Person:
    colour = albedo(layout)
    return Person(
        name=name,
        identity=np.arange(40, dtype=np.float32),
        expression=np.zeros(57, np.float32),
        residual=np.full((468, 3), 0.1, np.float32),
        albedo=colour,
        confidence=layout.inner_face,
        tone=np.log(np.median(colour[layout.plain], 0)),
        measures={"yaw": 3.0} | character(layout, colour, layout.inner_face),
    )


def test_a_person_comes_back_from_disk(layout, tmp_path):
    person = _person(layout, "anna")
    write_person(tmp_path / "anna.safetensors", person)
    back = read_person(tmp_path / "anna.safetensors")
    assert back.name == "anna" and back.measures == person.measures
    np.testing.assert_array_equal(back.identity, person.identity)
    np.testing.assert_array_equal(back.residual, person.residual)
    # JPEG keeps colours to a few codes
    gap = np.abs(to_srgb(back.albedo).astype(int) - to_srgb(person.albedo))[layout.covered]
    assert gap.mean() < 3 and np.abs(back.confidence - person.confidence).mean() < 0.02
    assert [p.name for p in tmp_path.iterdir()] == ["anna.safetensors"]


def test_a_library_lists_its_people(layout, tmp_path):
    for folder in ("people", "left_out"):
        (tmp_path / folder).mkdir()
    for name in ("ben", "anna"):
        write_person(tmp_path / "people" / f"{name}.safetensors", _person(layout, name))
    (tmp_path / "left_out" / "carl.json").write_text(json.dumps({"reason": "glasses", "measures": {}}))
    with pytest.raises(InputError, match="no finished texture library"):
        Library(tmp_path)
    on_disk._write_index(tmp_path)
    library = Library(tmp_path)
    assert library.names == ("anna", "ben") and len(library) == 2
    assert library.tones.shape == (2, 3) and library.identities.shape == (2, 40)
    assert library[1].name == "ben" and library[1] is library[1]
    assert json.loads((tmp_path / "library.json").read_text())["left_out"] == {"carl": "glasses"}


def test_damaged_people_are_named(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="x.safetensors"):
        read_person(tmp_path / "x.safetensors")


def test_rims_tell_glasses_from_bare_faces(layout):
    bare = albedo(layout)
    glasses = bare.copy()
    x, y, _ = np.moveaxis(layout.positions, -1, 0)
    rim = np.zeros(bare.shape[:2], bool)
    for ex, ey in EYES:
        rim |= np.abs(np.hypot(x - ex, y - ey) - 1.9) < 0.12
    rim |= (np.abs(y - EYES[0][1]) < 0.1) & ((np.abs(x) < 1.2) | (np.abs(x) > 4.6))
    glasses[rim & layout.covered] = 0.02
    assert rims(layout, glasses, layout.inner_face) > 2 * rims(layout, bare, layout.inner_face)


def test_character_sees_lipstick_and_beards(layout):
    plain = albedo(layout)
    usual = character(layout, plain, layout.inner_face)
    lips = plain * np.where(layout.lip_mask[..., None] > 0.5, [1.0, 0.5, 0.6], 1).astype(np.float32)
    assert character(layout, lips, layout.inner_face)["lips"] > usual["lips"] + 0.5
    beard = plain * (1 - 0.7 * layout.beard_mask[..., None])
    assert character(layout, beard, layout.inner_face)["beard"] < usual["beard"] - 0.5


def test_missing_inputs_are_named(tmp_path):
    with pytest.raises(InputError, match="no photographs"):
        build_library(tmp_path, tmp_path, tmp_path / "out")
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match="ict_facekit.npz"):
        build_library(tmp_path, tmp_path / "nothing", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.shared
@pytest.mark.skipif(not (ASSETS.is_dir() and PORTRAITS.is_dir()), reason="the shared data are missing")
def test_portraits_become_a_library_that_goes_on_where_it_stopped(tmp_path):
    source, out = tmp_path / "portraits", tmp_path / "library"
    source.mkdir()
    for name in CHOSEN:
        (source / name).write_bytes((PORTRAITS / name).read_bytes())
    grey = cv2.imread(str(PORTRAITS / CHOSEN[0]), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(source / "grey.png"), grey)
    (source / "broken.jpg").write_bytes(b"no picture")
    build_library(source, ASSETS, out)
    facts = json.loads((out / "library.json").read_text())
    assert len(facts["people"]) + len(facts["left_out"]) == 4
    assert facts["left_out"]["grey"] == "grey" and facts["left_out"]["broken"] == "unreadable"
    first = sorted((out / "people").iterdir())[0]
    assert not list(out.glob("*/*.part"))
    bytes_before = first.read_bytes()
    first.unlink()
    (out / "library.json").unlink()
    seen = []
    build_library(source, ASSETS, out, progress=seen.append)
    assert first.read_bytes() == bytes_before  # the same again
    assert [event.done for event in seen] == [4]  # and only that one
    person = Library(out)[0]
    assert person.measures["asymmetry_left"] < max(0.5 * person.measures["asymmetry"], 0.05)
    assert person.albedo.shape == (512, 512, 3) and person.identity.shape == (40,)
