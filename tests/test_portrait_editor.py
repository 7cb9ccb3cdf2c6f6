"""The portrait editor, from values to pictures, on the astronaut, with the embedded model."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import headgen
from headgen.cli import main
from headgen.errors import InputError
from headgen.faces import mesh
from headgen.faces.motion import MOTION_NAMES, motion_of_pose
from headgen.faces.tracker import MediaPipeTracker
from headgen.media.image import read_image, write_image
from headgen.media.provenance import sha256
from headgen.portrait_editor import RANGES, PortraitEdit, PortraitEditor, displaced

# Slider: coefficient that the tracker reads, and by how much it has to change at the ends at least.
SHOWN = {
    "yaw": ("yaw", 10, 10),
    "pitch": ("pitch", 5, 5),
    "roll": ("roll", 12, 12),
    "gaze_x": ("gaze_x", 0.08, 0.08),
    "gaze_y": ("gaze_y", 0.015, 0.015),
    "eyes": ("eye_left", 0.08, 0.01),
    "brows": ("brow_left", 0.005, 0.03),
    "smile": ("smile_left", 0.02, 0.02),
    "mouth": ("mouth_open", 0.02, 0.08),
}


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    from skimage.data import astronaut

    path = tmp_path_factory.mktemp("portrait") / "astronaut.png"
    return write_image(path, np.ascontiguousarray(astronaut()[0:400, 60:420]))


@pytest.fixture(scope="module")
def opened(photograph):
    return PortraitEditor().open(photograph)


@pytest.fixture(scope="module")
def tracked():
    with MediaPipeTracker() as tracker:

        def coefficients(picture):
            found = tracker.track(picture, still=True)
            assert found is not None
            return dict(zip(MOTION_NAMES, motion_of_pose(mesh.fit_pose(found.landmarks)), strict=True))

        yield coefficients


def test_at_nothing_it_is_the_photograph(opened):
    assert np.array_equal(opened.render(PortraitEdit()), opened.portrait.image)
    nearly = opened.render(PortraitEdit(smile=1e-4)).astype(int)
    assert np.abs(nearly - opened.portrait.image).max() <= 1  # and a slider begins without a jump


@pytest.mark.parametrize("name", SHOWN)
def test_each_value_does_what_it_is_called(opened, tracked, name):
    coefficient, down, up = SHOWN[name]
    rest = tracked(opened.portrait.image)[coefficient]
    low, high = (
        tracked(opened.render(PortraitEdit(**{name: end})))[coefficient]
        for end in (RANGES[name].low, RANGES[name].high)
    )
    assert rest - low > down and high - rest > up


def test_what_lies_far_from_the_head_stays(opened):
    moved = opened.render(PortraitEdit(yaw=20, smile=1, gaze_x=20))
    still = opened.portrait.image
    assert moved.shape == still.shape and (moved != still).any()
    assert np.abs(moved[:, :8].astype(int) - still[:, :8]).max() <= 2
    assert np.abs(moved[-8:].astype(int) - still[-8:]).max() <= 2


def test_a_picture_does_not_depend_on_those_before(opened):
    edit = PortraitEdit(yaw=8, gaze_x=10, smile=0.5)
    first = opened.render(edit)
    for other in (PortraitEdit(gaze_y=-15), PortraitEdit(mouth=1), PortraitEdit(gaze_x=10)):
        opened.render(other)
    assert np.array_equal(opened.render(edit), first)


def test_a_mouth_that_shuts_loses_its_own_gap():
    rest = mesh.mean_face()
    gap = 0.1
    shut = displaced(PortraitEdit(mouth=-1), gap)
    fell = mesh.opening(rest, mesh.LIP_PAIRS[:1]) - (shut[13, 1] - shut[14, 1])
    assert fell == pytest.approx(gap, rel=0.15)
    assert np.array_equal(displaced(PortraitEdit(mouth=-1), 0.0), displaced(PortraitEdit(), 0.0))


@pytest.mark.parametrize("bad", [{"yaw": 21}, {"eyes": -1.5}, {"gaze_x": float("nan")}])
def test_out_of_range_is_said_with_the_range(bad):
    name = next(iter(bad))
    with pytest.raises(InputError, match=rf"{name}=.*give a value from -\d+ to \d+"):
        PortraitEdit(**bad)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_files_say_that_they_are_generated_and_how(photograph, tmp_path, ending):
    output = tmp_path / f"out.{ending}"
    made = headgen.edit_portrait(photograph, output, yaw=-5, smile=0.5)
    assert (made.output, made.width, made.height) == (output, 360, 400)
    with Image.open(output) as picture:
        picture.load()
        packet = picture.info.get("xmp") or picture.info["XML:com.adobe.xmp"].encode()
        seen = picture.info.get("Description") or picture.getexif()[270]
    assert b"trainedAlgorithmicMedia" in packet and b"AI-generated picture" in packet
    assert seen.startswith("AI-generated picture") and "fsrt-small" in seen
    record = json.loads(made.record.read_text())
    assert record["statement"].startswith("AI-generated picture")
    assert record["output"]["sha256"] == sha256(output)
    assert record["inputs"]["portrait"] == [{"file": "astronaut.png", "sha256": sha256(photograph)}]
    assert record["options"]["yaw"] == -5 and record["options"]["smile"] == 0.5


def test_the_command_line_makes_the_same_bytes(photograph, tmp_path, capsys):
    headgen.edit_portrait(photograph, tmp_path / "a.png", yaw=-6.5, gaze_x=12)
    words = ["edit-portrait", "--portrait", str(photograph), "--output", str(tmp_path / "b.png")]
    assert main([*words, "--yaw", "-6.5", "--gaze-x", "12"]) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert main([*words, "--yaw", "40"]) == 2
    assert "yaw=40.0 is out of range" in capsys.readouterr().err


def test_a_picture_without_a_face_is_told_so(tmp_path):
    write_image(tmp_path / "grey.png", np.full((200, 200, 3), 120, np.uint8))
    with pytest.raises(InputError, match=r"grey\.png: no face was found"):
        headgen.edit_portrait(tmp_path / "grey.png", tmp_path / "out.png", yaw=5)
    assert not (tmp_path / "out.png").exists()


def test_the_listener_cannot_edit(photograph, tmp_path):
    with pytest.raises(InputError, match="cannot edit portraits; use fsrt-small"):
        headgen.edit_portrait(photograph, tmp_path / "out.png", model="listener-small")


def test_the_bench_times_every_slider(photograph):
    from headgen.evaluation.bench_editor import bench

    result = bench(photograph, rounds=1, steps=2, max_size=200)
    assert set(result["sliders"]) == set(RANGES) and result["picture"] == "180 x 200"
    assert 0 < result["median_ms"] <= result["p95_ms"]
    assert read_image(photograph).shape == (400, 360, 3)  # nothing was written over
