"""Training of the embedded model: two real steps on a CPU, through the command line's entry."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from headgen.faces import mesh
from headgen.faces.crop import portrait_crop
from headgen.faces.tracker import MediaPipeTracker
from headgen.fsrt.small import FSRTSmall
from headgen.media.clips import write_clip, write_index
from headgen.training.cli import train
from headgen.training.data import ClipStore, PairDataset
from headgen.training.small import PATCH, SmallAugment, SmallFSRTModule, prefer_change

SMALL = "configs/train/small.yaml"


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """The astronaut, turned in the picture: a clip to train on and one to validate with."""
    from skimage.data import astronaut

    folder = tmp_path_factory.mktemp("astronaut")
    picture = np.ascontiguousarray(astronaut())
    with MediaPipeTracker() as tracker:
        points = tracker.track(picture, still=True).landmarks
    crop = portrait_crop(points, scale=1.2)
    image, points = crop.take(picture, 256), crop.to_crop(points, 256)
    for split, mirror in (("train", False), ("val", True)):
        frames, landmarks = [], []
        for angle in (-8, 0, 8):
            turn = cv2.getRotationMatrix2D((128, 128), angle, 1)
            frames.append(cv2.warpAffine(image, turn, (256, 256), borderMode=cv2.BORDER_REFLECT_101))
            landmarks.append(np.column_stack([points[:, :2] @ turn[:, :2].T + turn[:, 2], points[:, 2]]))
        if mirror:
            frames = [np.ascontiguousarray(f[:, ::-1]) for f in frames]
            landmarks = [(p * [-1, 1, 1] + [255, 0, 0])[mesh.mirror_index()] for p in landmarks]
        write_clip(folder, split, np.stack(frames), np.stack(landmarks).astype(np.float32), split=split)
    write_index(folder)
    return folder


def sample(clips, augment, index=0):
    data = PairDataset(ClipStore(clips, "train"), seed=3, transform=SmallAugment(augment=augment))
    return data[index]


@pytest.mark.parametrize("index", range(4))
def test_augmented_landmarks_lie_on_the_augmented_face(clips, index):
    """The iris map, drawn from the moved landmarks, covers the dark irises of the moved picture."""
    item = sample(clips, True, index)
    frame = item["driving"].astype(np.float32).mean(0)
    frame = cv2.resize(frame, (128, 128), interpolation=cv2.INTER_AREA)
    iris, skin = item["maps"][7] > 0.7, (item["maps"][3] > 0.7) & (item["maps"][5] < 0.1)
    assert iris.sum() >= 6 and frame[iris].mean() < 0.75 * frame[skin].mean()


def test_prior_alone_brings_source_and_target_together(clips):
    item = sample(clips, False, 1)
    shift = cv2.resize(item["prior"].transpose(1, 2, 0), (256, 256)) * 128
    yy, xx = np.mgrid[:256, :256].astype(np.float32)
    source, target = (x.transpose(1, 2, 0).astype(np.float32) for x in (item["source"][0], item["driving"]))
    moved = cv2.remap(source, xx + shift[..., 0], yy + shift[..., 1], cv2.INTER_LINEAR)
    face = cv2.resize(item["maps"][3], (256, 256)) > 0.9
    assert np.abs(moved - target)[face].mean() < 0.4 * np.abs(source - target)[face].mean()


def test_driving_frames_with_another_mouth_or_lids_are_drawn_more_often():
    still = np.random.default_rng(0).normal(0, 1, (1, 478, 3)).repeat(3, 0)
    still[:, 33], still[:, 263] = [0, 0, 0], [100, 0, 0]
    for upper, lower in ((13, 14), (159, 145), (386, 374)):
        still[:, upper, 1] = still[:, lower, 1]
    open_mouth, blink = still.copy(), still.copy()
    open_mouth[1, 14, 1] += 20
    blink[2, [145, 374], 1] += 8
    assert np.ptp(prefer_change(still, 0)) < 1e-6
    assert prefer_change(open_mouth, 0)[1] > 2 * prefer_change(open_mouth, 0)[2]
    assert prefer_change(blink, 0)[2] > 1.5 * prefer_change(blink, 0)[1]


def test_drawing_what_could_be_copied_costs_and_drawing_a_new_mouth_does_not():
    module = SmallFSRTModule()
    maps = torch.zeros(1, 8, 128, 128)
    maps[:, 3, 30:100, 30:100] = 1
    maps[:, 4, 70:80, 50:80] = 1  # an open mouth
    batch = {
        "driving": torch.zeros(1, 3, 256, 256, dtype=torch.uint8),
        "maps": maps,
        "source_maps": torch.zeros(1, 1, 8, 128, 128),  # the source's is shut
        "prior": torch.zeros(1, 2, 128, 128),
    }
    from headgen.fsrt.small import SmallOutput

    def cost(rows):
        mask = torch.ones(1, 1, 256, 256)
        mask[..., rows, 110:150] = 0
        black = torch.zeros(1, 3, 256, 256)
        out = SmallOutput(torch.zeros(1, 2, 128, 128), mask, black, black)
        return float(module.losses(batch, out, (0, 0, 64))["drawn"])

    assert cost(slice(144, 156)) < 0.2 * cost(slice(80, 92))


@pytest.fixture(scope="module")
def trained(clips, tmp_path_factory):
    """Output folder after two steps by the shipped recipe."""
    output = tmp_path_factory.mktemp("run")
    config = yaml.safe_load(Path(SMALL).read_text())
    config["trainer"] |= {
        "max_steps": 2,
        "val_check_interval": 2,
        "log_every_n_steps": 1,
        "accelerator": "cpu",
    }
    config["data"]["init_args"] |= {"data": [str(clips)], "batch_size": 2, "workers": 0}
    config["model"]["init_args"] |= {"total": 4, "warmup": 1, "region": 16}
    config |= {"output": str(output), "checkpoint_every": 2}
    path = output / "config_in.yaml"
    path.write_text(yaml.safe_dump(config))
    train(["--config", str(path)])
    return output, path


def test_the_shipped_recipe_trains_and_exports_a_model(trained):
    output, _ = trained
    model = FSRTSmall.from_pretrained(output / "model")
    fresh = SmallFSRTModule().model
    same = [torch.equal(a, b) for a, b in zip(model.parameters(), fresh.parameters(), strict=True)]
    assert not all(same)
    assert list((output / "samples").glob("*_val.png"))


def test_a_stopped_training_goes_on(trained):
    output, path = trained
    config = yaml.safe_load(path.read_text())
    config["trainer"]["max_steps"] = 3
    path.write_text(yaml.safe_dump(config))
    train(["--config", str(path), "--ckpt_path", "last"])
    logs = [log.read_text().splitlines() for log in (output / "logs").rglob("metrics.csv")]
    steps = [int(row["step"]) for log in logs for row in csv.DictReader(log) if row.get("train/loss")]
    assert sorted(steps) == [0, 1, 2]


def test_the_critic_sees_mouths_and_eyes_where_they_are():
    module = SmallFSRTModule()
    truth = torch.zeros(2, 3, 256, 256, dtype=torch.uint8)
    places = torch.tensor([[[128.0, 170], [90, 110], [166, 110]], [[128, 250], [90, 110], [10, 110]]])
    for k in range(2):
        for x, y in places[k].int().tolist():
            truth[k, :, max(0, y - 2) : y + 2, max(0, x - 2) : x + 2] = 255
    batch = {"driving": truth, "places": places, "maps": torch.rand(2, 8, 128, 128)}
    region = (4, 4, 56)  # pixels 16 to 240
    drawn, true, told = module.patches(batch, torch.zeros(2, 3, 224, 224), region)
    # of the second picture the mouth lies too low and one eye too far left
    assert len(drawn) == len(true) == 4 and told.shape == (4, 4, PATCH, PATCH)
    middle = PATCH // 2
    assert (true[:, :, middle - 2 : middle + 2, middle - 2 : middle + 2] == 1).all()
    assert true.mean() < 0.02 and drawn.abs().max() == 0


def test_no_mouth_in_the_square_is_no_reason_to_stop():
    module = SmallFSRTModule()
    batch = {
        "driving": torch.zeros(1, 3, 256, 256, dtype=torch.uint8),
        "places": torch.full((1, 3, 2), 250.0),
        "maps": torch.zeros(1, 8, 128, 128),
    }
    assert len(module.patches(batch, torch.zeros(1, 3, 64, 64), (8, 8, 16))[0]) == 0
