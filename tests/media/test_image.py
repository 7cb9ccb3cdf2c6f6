"""Reading and writing pictures."""

from __future__ import annotations

import os

import av
import numpy as np
import pytest
from media_inputs import write_clip
from PIL import Image, ImageCms

from headgen.errors import InputError
from headgen.media.image import read_image, write_image


def sample(width=40, height=30):
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = (200, 40, 40)
    image[: height // 2, width // 2 :] = (40, 180, 60)
    image[height // 2 :, : width // 2] = (30, 60, 190)
    image[height // 2 :, width // 2 :] = (240, 240, 240)
    return image


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp", "tif", "jpg", "gif"])
def test_formats(tmp_path, suffix):
    path = tmp_path / f"in.{suffix}"
    Image.fromarray(sample()).save(path, **({"lossless": True} if suffix == "webp" else {}))
    image = read_image(path)
    assert image.dtype == np.uint8 and image.shape == (30, 40, 3)
    np.testing.assert_allclose(image[::29, ::39].astype(int), sample()[::29, ::39], atol=14)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(tmp_path, orientation):
    """A viewer shows the same upright picture whatever way the camera was held."""
    upright = Image.fromarray(sample())
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "in.png"
    stored.save(path, exif=exif)
    np.testing.assert_array_equal(read_image(path), sample())


def test_transparency_lies_over_white(tmp_path):
    rgba = np.dstack([sample(), np.full((30, 40), 255, np.uint8)])
    rgba[:15, :20, 3] = 0
    rgba[:15, 20:, 3] = 128
    path = tmp_path / "in.png"
    Image.fromarray(rgba).save(path)
    image = read_image(path)
    np.testing.assert_array_equal(image[0, 0], 255)
    np.testing.assert_allclose(image[0, 39], (np.array([40, 180, 60]) + 255) / 2, atol=1)
    np.testing.assert_array_equal(image[29, 0], (30, 60, 190))


def test_transparent_palette(tmp_path):
    indices = np.zeros((8, 8), np.uint8)
    indices[4:] = 1
    picture = Image.fromarray(indices, "P")
    picture.putpalette([255, 0, 0, 0, 0, 255])
    path = tmp_path / "in.png"
    picture.save(path, transparency=0)
    image = read_image(path)
    np.testing.assert_array_equal(image[0, 0], 255)
    np.testing.assert_array_equal(image[7, 0], (0, 0, 255))


def test_sixteen_bit_grey(tmp_path):
    values = np.linspace(0, 65535, 64).astype(np.uint16)[None].repeat(4, 0)
    path = tmp_path / "in.png"
    Image.fromarray(values).save(path)
    np.testing.assert_allclose(read_image(path)[..., 0], values / 257, atol=1)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
@pytest.mark.parametrize("pix_fmt", ["rgb48", "rgba64"])
def test_sixteen_bit_colour(tmp_path, suffix, pix_fmt):
    path = tmp_path / f"in.{suffix}"
    frame = av.VideoFrame.from_ndarray(sample(), "rgb24")
    with av.open(str(path), "w", format="image2") as container:
        stream = container.add_stream(suffix, rate=1)
        stream.width, stream.height = 40, 30
        stream.pix_fmt = pix_fmt + ("be" if suffix == "png" else "le")
        container.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
        container.mux(stream.encode(None))
    np.testing.assert_allclose(read_image(path).astype(int), sample(), atol=1)


def test_grey_and_one_bit(tmp_path):
    Image.fromarray(sample()[..., 0]).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.repeat(sample()[..., :1], 3, 2))
    Image.fromarray(sample()[..., 0] > 100).save(tmp_path / "bits.png")
    assert set(np.unique(read_image(tmp_path / "bits.png"))) == {0, 255}


def test_cmyk(tmp_path):
    path = tmp_path / "in.jpg"
    Image.fromarray(sample()).convert("CMYK").save(path, quality=100)
    np.testing.assert_allclose(read_image(path)[5, 5].astype(int), (200, 40, 40), atol=8)


def test_colour_profile_is_followed(tmp_path):
    """A picture tagged as Lab-like wide profile must not be taken for sRGB: swap in a linear profile."""
    path = tmp_path / "in.png"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    Image.fromarray(sample()).save(path, icc_profile=profile.tobytes())
    np.testing.assert_allclose(read_image(path).astype(int), sample(), atol=1)


def fails(path, *words):
    with pytest.raises(InputError) as caught:
        read_image(path)
    message = str(caught.value)
    assert str(path) in message and ";" in message and "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_animated(tmp_path, suffix):
    path = tmp_path / f"in.{suffix}"
    frames = [Image.fromarray(np.roll(sample(), i, axis=1)) for i in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    fails(path, "animated (3 frames)", "still picture")


def test_missing_folder_empty_and_text(tmp_path):
    fails(tmp_path / "none.png", "no such file")
    fails(tmp_path, "is a folder")
    (tmp_path / "empty.png").touch()
    fails(tmp_path / "empty.png", "is empty")
    (tmp_path / "words.jpg").write_text("only words " * 50)
    fails(tmp_path / "words.jpg", "not a picture")


def test_video_is_not_a_picture(tmp_path):
    fails(write_clip(tmp_path / "clip.mp4"), "is a video")


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_truncated(tmp_path, suffix):
    path = tmp_path / f"in.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    fails(path, "cut off")


def test_too_many_pixels(tmp_path, monkeypatch):
    path = tmp_path / "in.png"
    Image.fromarray(sample()).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    fails(path, "too many pixels")


def test_writing(tmp_path):
    path = write_image(tmp_path / "out.png", sample())
    np.testing.assert_array_equal(read_image(path), sample())
    assert os.listdir(tmp_path) == ["out.png"]
    with pytest.raises(InputError, match=r"cannot write \.xyz"):
        write_image(tmp_path / "out.xyz", sample())


def test_writing_on_a_full_disk(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    os.symlink("/dev/full", tmp_path / "out.png.part")
    with pytest.raises(InputError, match="no room left"):
        write_image(tmp_path / "out.png", sample(400, 300))
    assert os.listdir(tmp_path) == []
