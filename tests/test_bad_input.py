"""Every kind of input that people really give: one line with file and remedy, or a right result.

Whatever happens, the output folder stays as it was. None of this depends on how well a model draws, so the
model is an untrained one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import yaml
from media_inputs import set_display_matrix, write_clip
from PIL import Image
from skimage import data

from headgen import cli, hub
from headgen.fsrt.small import FSRTSmall
from headgen.media import VideoReader, probe


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder as the embedded one, with an untrained fsrt-small."""
    folder = tmp_path_factory.mktemp("weights")
    FSRTSmall().save_pretrained(folder / "fsrt-small")
    files = [
        {"path": p.name, "sha256": hashlib.sha256(p.read_bytes()).hexdigest(), "size": p.stat().st_size}
        for p in sorted((folder / "fsrt-small").iterdir())
    ]
    models = yaml.safe_load((hub.embedded_folder() / "manifest.yaml").read_text())["models"]
    models["fsrt-small"]["files"] = files
    (folder / "manifest.yaml").write_text(yaml.safe_dump({"version": 1, "models": models}, sort_keys=False))
    return folder


@pytest.fixture(autouse=True)
def world(weights, monkeypatch, tmp_path):
    monkeypatch.setattr(hub, "embedded_folder", lambda: weights)
    monkeypatch.setenv("HEADGEN_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def face():
    """The astronaut's head, 256x256."""
    return np.ascontiguousarray(data.astronaut()[:256, 96:352])


@pytest.fixture(scope="module")
def still(face, tmp_path_factory):
    """A photograph that gives no trouble."""
    path = tmp_path_factory.mktemp("still") / "face.png"
    Image.fromarray(face).save(path)
    return path


@pytest.fixture(scope="module")
def driver(face, tmp_path_factory):
    """A driving video that gives no trouble: three frames, with sound."""
    return write_clip(
        tmp_path_factory.mktemp("driver") / "driver.mp4", 3, size=(256, 256), image=face, audio="aac"
    )


@pytest.fixture
def out(tmp_path):
    """An output folder in which somebody's file lies already."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "out.mp4").write_bytes(b"an older result")
    return folder


def run(source, driving, output, *more):
    sources = [
        word
        for path in (source if isinstance(source, list) else [source])
        for word in ("--source", str(path))
    ]
    words = ["reenact", *sources, "--driving", str(driving), "--output", str(output), *map(str, more)]
    return cli.main(words)


@pytest.fixture
def refused(out, capsys):
    """Runs, and checks the message, the exit code and the output folder."""

    def check(source, driving, named, *words, output=None, more=()):
        assert run(source, driving, output or out / "out.mp4", *more) == 2
        shown = capsys.readouterr().err
        lines = [line for line in shown.splitlines() if line.startswith("headgen: ")]
        assert len(lines) == 1 and "Traceback" not in shown, shown
        assert str(named) in lines[0], lines[0]
        for word in words:
            assert word in lines[0], lines[0]
        assert ";" in lines[0], f"what to do stands behind a semicolon: {lines[0]}"
        assert os.listdir(out) == ["out.mp4"] and (out / "out.mp4").read_bytes() == b"an older result"

    return check


@pytest.fixture
def accepted(out, capsys):
    """Runs, and gives the frames of the output and what was said."""

    def check(source, driving, *more):
        assert run(source, driving, out / "new.mp4", *more) == 0
        assert sorted(os.listdir(out)) == ["new.mp4", "new.mp4.json", "out.mp4"]
        return list(VideoReader(out / "new.mp4")), capsys.readouterr().err

    return check


# --- files that are not there or not what they should be


def test_missing_source(refused, driver, tmp_path):
    refused(tmp_path / "none.jpg", driver, tmp_path / "none.jpg", "no such file", "check the path")


def test_missing_driving(refused, still, tmp_path):
    refused(still, tmp_path / "none.mp4", tmp_path / "none.mp4", "no such file", "check the path")


def test_one_of_several_sources_is_missing(refused, still, driver, tmp_path):
    refused([still, tmp_path / "none.jpg"], driver, tmp_path / "none.jpg", "no such file")


def test_folder_as_source_or_driving(refused, still, driver, tmp_path):
    refused(tmp_path, driver, tmp_path, "is a folder")
    refused(still, tmp_path, tmp_path, "is a folder")


def test_unreadable_file(refused, still, driver, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    locked = tmp_path / "locked.png"
    locked.write_bytes(still.read_bytes())
    locked.chmod(0)
    refused(locked, driver, locked, "may not be read", "permissions")


def test_text_instead_of_picture_or_video(refused, still, driver, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("nothing but words\n" * 30)
    refused(path, driver, path, "not a picture", "give a JPEG, PNG")
    refused(still, path, path, "not a video", "give a video such as MP4")


def test_picture_and_video_swapped(refused, still, driver):
    refused(driver, still, still, "is a picture, not a video")
    refused(driver, driver, driver, "is a video", "give a JPEG, PNG")


def test_empty_files(refused, still, driver, tmp_path):
    path = tmp_path / "empty.mp4"
    path.touch()
    refused(path, driver, path, "is empty")
    refused(still, path, path, "is empty")


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_truncated_video(refused, still, face, tmp_path, suffix):
    options = {"movflags": "faststart"} if suffix == "mp4" else {}
    path = write_clip(
        tmp_path / f"cut.{suffix}",
        75,
        size=(256, 256),
        image=face,
        options={"g": "1"},
        container_options=options,
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 20])
    refused(still, path, path, "cut off", "copy or export it again")


def test_truncated_video_without_index(refused, still, driver, tmp_path):
    path = tmp_path / "cut.mp4"
    path.write_bytes(driver.read_bytes()[:5000])
    refused(still, path, path, "cut off", "copy or export it again")


def test_truncated_picture(refused, still, driver, tmp_path):
    path = tmp_path / "cut.png"
    path.write_bytes(still.read_bytes()[:20_000])
    refused(path, driver, path, "cut off", "copy or export it again")


def test_video_without_frames(refused, still, tmp_path):
    path = write_clip(tmp_path / "none.mp4", 0)
    refused(still, path, path)


# --- faces


def test_no_face_in_the_source(refused, driver, tmp_path):
    path = tmp_path / "wall.png"
    Image.fromarray(np.full((256, 256, 3), 120, np.uint8)).save(path)
    refused(path, driver, path, "no face", "use a photograph")


def test_no_face_in_the_driving_video(refused, still, tmp_path):
    path = write_clip(tmp_path / "wall.mp4", 5, image=np.full((48, 64, 3), 120, np.uint8))
    refused(still, path, path, "no face", "use one")


def test_several_faces_takes_the_largest_and_says_so(accepted, face, driver, tmp_path):
    path = tmp_path / "two.png"
    small = cv2.resize(face, (128, 128), interpolation=cv2.INTER_AREA)
    canvas = np.full((256, 512, 3), 90, np.uint8)
    canvas[:, :256] = face
    canvas[64:192, 340:468] = small
    Image.fromarray(canvas).save(path)
    frames, said = accepted(path, driver)
    assert len(frames) == 3
    said = " ".join(said.split())
    assert "two.png" in said.replace(" ", "") and "2 faces" in said and "largest" in said


def test_face_too_small(refused, face, driver, tmp_path):
    path = tmp_path / "far.png"
    canvas = np.full((512, 512, 3), 90, np.uint8)
    canvas[200:248, 200:248] = cv2.resize(face, (48, 48), interpolation=cv2.INTER_AREA)
    Image.fromarray(canvas).save(path)
    refused(path, driver, path, "face", "use a")


# --- unusual pictures that are fine, and one that is not


def test_animated_picture(refused, face, driver, tmp_path):
    path = tmp_path / "moving.gif"
    frames = [Image.fromarray(np.roll(face, i, 1)) for i in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    refused(path, driver, path, "animated", "still picture")


def save_sixteen_bit(face, path):
    cv2.imwrite(str(path.with_suffix(".tiff")), face[..., ::-1].astype(np.uint16) * 257)
    return path.with_suffix(".tiff")


def save_cmyk(face, path):
    Image.fromarray(face).convert("CMYK").save(path.with_suffix(".jpg"), quality=95)
    return path.with_suffix(".jpg")


def save_transparent(face, path):
    alpha = np.full(face.shape[:2], 255, np.uint8)
    alpha[:8] = 0
    Image.fromarray(np.dstack([face, alpha])).save(path)
    return path


def save_rotated(face, path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(face).transpose(Image.Transpose.ROTATE_90).save(
        path.with_suffix(".jpg"), exif=exif, quality=95
    )
    return path.with_suffix(".jpg")


def save_grey(face, path):
    Image.fromarray(face).convert("L").save(path)
    return path


@pytest.mark.parametrize("save", [save_sixteen_bit, save_cmyk, save_transparent, save_rotated, save_grey])
def test_unusual_pictures_give_the_person_upright_in_right_colours(accepted, face, driver, tmp_path, save):
    frames, _ = accepted(save(face, tmp_path / "in.png"), driver)
    assert len(frames) == 3
    expected = (
        np.repeat(np.asarray(Image.fromarray(face).convert("L"))[..., None], 3, 2)
        if save is save_grey
        else face
    )
    corner = (slice(150, 250), slice(10, 40))  # background beside the head, which stays as it is
    assert frames[0].image.shape == face.shape
    difference = frames[0].image[corner].astype(float).mean((0, 1)) - expected[corner].astype(float).mean(
        (0, 1)
    )
    assert np.abs(difference).max() < 12, difference


# --- unusual videos that are fine


def stamps(path):
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def test_rotated_video(accepted, still, face, tmp_path):
    """Stored lying on its side, as telephones do; a tracker would not find a face in it as it is stored."""
    lying = np.ascontiguousarray(np.rot90(face))
    path = write_clip(tmp_path / "in.mp4", 3, size=(256, 256), image=lying)
    set_display_matrix(path, 0, 1, -1, 0)
    assert probe(path).rotation == 90
    frames, said = accepted(still, path)
    assert len(frames) == 3 and "no face" not in said


def test_variable_rate_video(accepted, still, face, tmp_path, out):
    times = [0, 40, 300, 333, 900]
    path = write_clip(
        tmp_path / "in.mkv", 5, size=(256, 256), image=face, times=times, time_base=Fraction(1, 1000)
    )
    accepted(still, path)
    assert stamps(out / "new.mp4") == [Fraction(t, 1000) for t in times]


def test_odd_sizes(accepted, face, tmp_path):
    image = np.ascontiguousarray(face[:255, :253])
    source = tmp_path / "odd.png"
    Image.fromarray(image).save(source)
    driving = write_clip(tmp_path / "in.mkv", 3, size=(253, 255), image=image, codec="ffv1", pix_fmt="bgr0")
    frames, _ = accepted(source, driving)
    assert len(frames) == 3 and frames[0].image.shape == (256, 254, 3)


def test_driver_without_sound(accepted, still, face, tmp_path, out):
    accepted(still, write_clip(tmp_path / "in.mp4", 3, size=(256, 256), image=face))
    assert not probe(out / "new.mp4").has_audio


def test_driver_with_sound_keeps_it(accepted, still, driver, out):
    accepted(still, driver)
    assert probe(out / "new.mp4").has_audio


# --- output


def test_output_folder_missing(refused, still, driver, tmp_path):
    output = tmp_path / "nowhere" / "out.mp4"
    refused(still, driver, output, "does not exist", "create it", output=output)
    assert not output.parent.exists()


def test_output_folder_read_only(refused, still, driver, tmp_path):
    folder = Path("/proc")
    if os.geteuid() != 0:
        folder = tmp_path / "locked"
        folder.mkdir()
        folder.chmod(0o500)
    output = folder / "out.mp4"
    refused(still, driver, output, "cannot be written", "choose another", output=output)


def test_output_that_is_a_folder_or_no_video(refused, still, driver, out):
    refused(still, driver, out, "is a folder", output=out)
    refused(still, driver, out / "out.txt", "cannot write .txt", "use", output=out / "out.txt")


def test_output_over_an_input(refused, still, driver):
    before = driver.read_bytes()
    refused(still, driver, driver, "would replace an input", "choose another name", output=driver)
    assert driver.read_bytes() == before


def test_disk_full(refused, still, driver, out):
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    os.symlink("/dev/full", out / "new.mp4.part")
    refused(still, driver, out / "new.mp4", "no room left", "free some space", output=out / "new.mp4")


# --- models and options


def test_unknown_model_lists_the_known(refused, still, driver):
    refused(
        still,
        driver,
        "fsrt-smal",
        "unknown model",
        "fsrt-small, listener-small, listener-fast, listener-edit, listener-text, fsrt-vox256",
        more=["--model", "fsrt-smal"],
    )


def test_model_that_is_not_installed(refused, still, driver):
    refused(
        still, driver, "fsrt-vox256", "missing", "headgen weights convert", more=["--model", "fsrt-vox256"]
    )


def test_weights_missing(refused, still, driver, monkeypatch, weights, tmp_path):
    (tmp_path / "manifest.yaml").write_text((weights / "manifest.yaml").read_text())
    monkeypatch.setattr(hub, "embedded_folder", lambda: tmp_path)
    refused(still, driver, "fsrt-small", "missing", "install headgen again")


def test_weights_with_the_wrong_hash(refused, still, driver, monkeypatch, weights, tmp_path):
    shutil.copytree(weights, tmp_path / "weights")
    path = next((tmp_path / "weights" / "fsrt-small").glob("*.safetensors"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    monkeypatch.setattr(hub, "embedded_folder", lambda: tmp_path / "weights")
    refused(still, driver, path, "wrong SHA-256", "install headgen again")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--motion", "sideways"),
        ("--start", "last"),
        ("--multiplier", "much"),
        ("--multiplier", "-1"),
        ("--device", "abacus"),
    ],
)
def test_options_that_cannot_be(refused, still, driver, option, value):
    refused(still, driver, value, more=[option, value])
