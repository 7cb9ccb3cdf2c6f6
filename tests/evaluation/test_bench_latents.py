"""The rival of warp latents learns, and both representations are held against the same truth."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from headgen.errors import InputError
from headgen.evaluation.bench_latents import DISTURBANCES, HALFWAY, bench
from headgen.evaluation.latent_autoencoder import PictureAutoencoder, distance, read_pictures, train
from headgen.media.clips import write_clip, write_index

DRIVING = Path(__file__).parents[2] / "demos" / "driving.mp4"


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Clips of soft blots, as pictures are: neighbouring pixels are alike, and so are the colours."""
    folder, rng = tmp_path_factory.mktemp("clips"), np.random.default_rng(0)
    for k in range(6):
        frames = rng.integers(0, 256, (3, 12, 12, 3), dtype=np.uint8)
        frames = np.stack([cv2.resize(frame, (256, 256), interpolation=cv2.INTER_CUBIC) for frame in frames])
        split = "val" if k == 5 else "train"
        write_clip(folder, f"blots{k}", frames, np.zeros((3, 478, 3), np.float32), split=split)
    write_index(folder)
    return folder


@pytest.fixture(scope="module")
def autoencoder(clips, tmp_path_factory):
    """A narrow one after a few seconds of training."""
    folder = tmp_path_factory.mktemp("autoencoder")
    train([clips], folder, minutes=4 / 60, width=8)
    return folder


def test_the_autoencoder_learns_from_training_clips_only(clips, autoencoder):
    pictures = read_pictures(clips)
    assert pictures.shape == (15, 3, 128, 128)  # five clips of three frames: the sixth is for validation
    truth = torch.from_numpy(pictures).float() / 255
    linear, trained = PictureAutoencoder(8, 8).eval(), PictureAutoencoder.from_pretrained(autoencoder).eval()
    linear.start_linear(torch.from_numpy(pictures))
    with torch.inference_mode():
        latents = trained.encode(truth)
        assert latents.shape == (15, 8, 16, 16)
        assert latents.std((0, 2, 3)).sub(1).abs().max() < 0.3, "noise is given in these deviations"
        grey = distance(truth.mean((2, 3), keepdim=True).expand_as(truth), truth)
        begun, learnt = (distance(model.decode(model.encode(truth)), truth) for model in (linear, trained))
    assert learnt < begun < grey / 2


def test_both_are_held_against_the_same_truth(autoencoder, tmp_path):
    report = bench(DRIVING, autoencoder, frames=4, keep=tmp_path)
    assert report["numbers"] == {"warp": 60, "picture": 2048}
    rows = report["rows"]
    disturbed = [*DISTURBANCES, HALFWAY]
    assert set(rows) == {
        "truth", "portrait, still", "warp, untrained, none",
        *(f"{kind}, {name}" for kind in ("picture", "warp") for name in disturbed),
    }  # fmt: skip
    assert rows["truth"]["l1"] == 0
    assert rows["truth"]["face_fraction"] == rows["warp, none"]["face_fraction"] == 1
    assert rows["portrait, still"]["texture_ssim"] == pytest.approx(1, abs=0.02)
    # The warped portrait is nearer to the truth than the still one, and stays itself when it is led astray.
    assert rows["warp, none"]["l1"] < rows["portrait, still"]["l1"]
    assert rows["warp, noise .3"]["sharpness"] > 0.8 * rows["warp, none"]["sharpness"]
    assert rows["picture, noise .3"]["l1"] > rows["picture, none"]["l1"]
    assert rows[f"warp, {HALFWAY}"]["psnr"] is None, "there is no true frame halfway"
    assert (tmp_path / "driving.png").is_file()


@pytest.mark.parametrize(("frames", "says"), [(3, "give 4 or more"), (100_000, "ask for fewer frames")])
def test_a_wrong_number_of_frames_is_named(autoencoder, frames, says):
    with pytest.raises(InputError, match=says):
        bench(DRIVING, autoencoder, frames=frames)


def test_no_time_is_no_training(clips, tmp_path):
    with pytest.raises(InputError, match="no time"):
        train([clips], tmp_path, minutes=0)
