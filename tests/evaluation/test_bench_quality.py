"""The quality figures say what they promise on faces whose motion is known, and on a real reenactment."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from headgen.errors import InputError
from headgen.evaluation.bench_quality import bench
from headgen.evaluation.face_motion import (
    CHANNELS,
    jitter_ratio,
    landmark_distances,
    motion_channels,
    motion_figures,
    placement,
)
from headgen.evaluation.face_texture import Face, sharpness, texture_ssim
from headgen.faces.mesh import BROW_LEFT, BROW_RIGHT, LIDS_LEFT, LIDS_RIGHT, LIP_PAIRS, Pose, mean_face
from headgen.faces.motion import head_rotation
from headgen.faces.tracker import MediaPipeTracker
from headgen.fsrt.small import FSRTSmall
from headgen.media import VideoReader, VideoWriter, write_image

DEMO = Path(__file__).parents[2] / "demos" / "driving.mp4"
UNIT = 100.0  # pixels of the outer-eye distance


def head(amount: float = 1.0, phase: float = 0.0, unit: float = UNIT) -> np.ndarray:
    """Landmarks of a head that turns, talks, blinks and frowns; everything scales with `amount`."""
    face = mean_face().astype(np.float64)
    swing = amount * np.sin(phase)
    face[[low for _, low in LIP_PAIRS], 1] -= 0.1 * amount * (1 - np.cos(phase))
    face[[61, 291], 0] *= 1 + 0.15 * swing
    blink = 0.7 * amount * np.exp(-(((phase - np.pi) / 0.6) ** 2))
    for upper, lower in (*LIDS_LEFT, *LIDS_RIGHT):
        gap = face[upper] - face[lower]
        face[upper] -= gap * blink / 2
        face[lower] += gap * blink / 2
    face[[*BROW_LEFT, *BROW_RIGHT], 1] += 0.05 * swing
    rotation = head_rotation(np.array([12, 8, 6]) * swing)
    return Pose(rotation, unit, np.array([150.0, 160.0, 0.0]), face).project(face)


def performance(amount: float = 1.0, unit: float = UNIT) -> list[np.ndarray]:
    return [head(amount, phase, unit) for phase in np.linspace(0, 2 * np.pi, 25)]


def test_a_copy_is_perfect_whatever_its_size():
    figures = motion_figures(performance(), performance(unit=37))
    for name in ("motion_error", "motion_error_pose", "motion_error_expression"):
        assert figures[name] == pytest.approx(0, abs=1e-9)
    assert figures["motion_correlation"] == pytest.approx(1)
    assert figures["gain"] == pytest.approx(dict.fromkeys(CHANNELS, 1.0))


def test_standing_still_is_an_error_of_one():
    figures = motion_figures(performance(), [head()] * 25)
    for name in ("motion_error", "motion_error_pose", "motion_error_expression"):
        assert figures[name] == pytest.approx(1, abs=1e-6)
    assert figures["motion_correlation"] == 0
    assert figures["gain"] == pytest.approx(dict.fromkeys(CHANNELS, 0.0), abs=1e-6)


def test_half_the_motion_has_half_the_gain():
    figures = motion_figures(performance(), performance(0.5))
    assert figures["gain"] == pytest.approx(dict.fromkeys(CHANNELS, 0.5), abs=0.02)
    assert figures["motion_error"] == pytest.approx(0.25, abs=0.02)
    assert figures["motion_correlation"] > 0.99


def test_channels_have_their_units():
    channels = motion_channels(performance())
    assert channels[0] == pytest.approx(0, abs=1e-9)
    assert np.abs(channels).max(0)[:3] == pytest.approx([12, 8, 6], rel=0.02)
    assert np.ptp(channels[:, CHANNELS.index("mouth_open")]) == pytest.approx(0.2, abs=0.02)
    assert np.ptp(channels[:, CHANNELS.index("eye_left")]) == pytest.approx(0.7, abs=0.05)


def test_what_the_driver_does_not_move_is_left_out():
    nodding = [
        Pose(head_rotation(np.array([0, angle, 0])), UNIT, np.zeros(3), mean_face()).project(mean_face())
        for angle in np.linspace(0, 10, 12)
    ]
    figures = motion_figures(nodding, nodding)
    assert figures["gain"]["pitch"] == pytest.approx(1)
    assert [name for name, gain in figures["gain"].items() if gain is not None] == ["pitch"]
    assert figures["motion_error"] == 0 and figures["motion_error_expression"] is None


def test_too_few_frames_are_not_judged():
    figures = motion_figures(performance()[:4], performance()[:4])
    assert figures["motion_error"] is None and set(figures["gain"]) == set(CHANNELS)


def test_noise_is_jitter_and_steadiness_is_not():
    noise = np.random.default_rng(0).normal(0, 0.5, (25, 478, 3))
    faces = performance()
    noisy = [face + n for face, n in zip(faces, noise, strict=True)]

    def triples(frames):
        return [frames[k - 1 : k + 2] for k in range(1, 24)]

    assert jitter_ratio(triples(faces), triples(faces)) == pytest.approx(1)
    assert jitter_ratio(triples(faces), triples(noisy)) > 1.05
    assert jitter_ratio(triples(noisy), triples([faces[0]] * 25)) < 0.2
    assert jitter_ratio(triples(faces), [[None, faces[0], faces[1]]]) is None


def test_landmark_distance_through_scale_and_shift():
    truth = head(phase=1.0)
    moved = truth * 0.5 + [7.0, -3.0, 0.0]
    place = placement(truth, moved, (300, 300, 3), (140, 150, 3))
    assert place == pytest.approx(np.array([[0.5, 0, 7], [0, 0.5, -3]]))
    assert landmark_distances(truth, moved, place) == pytest.approx(0, abs=1e-9)
    assert landmark_distances(truth, truth + [0.1 * UNIT, 0, 0]) == pytest.approx(0.1, rel=0.02)
    assert placement(truth, moved, (299, 300, 3), (300, 300, 3)) == pytest.approx(np.eye(2, 3))


@pytest.fixture(scope="module")
def portrait():
    from skimage.data import astronaut

    image = np.ascontiguousarray(astronaut()[0:256, 96:352])
    with MediaPipeTracker() as tracker:
        track = tracker.track(image, still=True)
    assert track is not None
    return Face(image, track.landmarks)


def test_the_same_picture_is_the_same_texture(portrait):
    assert texture_ssim(portrait, portrait) == pytest.approx(1)
    assert sharpness(portrait, portrait) == pytest.approx(1)
    larger = Face(
        cv2.resize(portrait.image, (512, 512), interpolation=cv2.INTER_CUBIC), portrait.landmarks * 2
    )
    assert texture_ssim(portrait, larger) > 0.97


def test_a_blurred_picture_is_less_sharp(portrait):
    blurred = Face(cv2.GaussianBlur(portrait.image, (0, 0), 2), portrait.landmarks)
    assert sharpness(portrait, blurred) < 0.3
    assert texture_ssim(portrait, blurred) < 0.99


def test_eyes_and_mouth_are_no_texture(portrait):
    other = portrait.image.copy()
    for contour in ((33, 160, 158, 133, 153, 144), (263, 387, 385, 362, 380, 373)):
        points = portrait.landmarks[list(contour), :2]
        cv2.fillPoly(other, [np.round(points).astype(np.int32)], (255, 0, 255))
    assert texture_ssim(portrait, Face(other, portrait.landmarks)) > 0.98


def test_a_face_that_is_turned_away_is_not_compared(portrait):
    turned = Pose(head_rotation(np.array([120, 0, 0])), 40.0, np.array([128.0, 128, 0]), mean_face())
    away = Face(portrait.image, turned.project(mean_face()))
    assert texture_ssim(portrait, away) is None and sharpness(portrait, away) is None


@pytest.fixture(scope="module")
def folders(tmp_path_factory, portrait):
    """A portrait, a driving clip of six frames some way apart, and an untrained model that copies."""
    folder = tmp_path_factory.mktemp("quality")
    for name in ("portraits", "drivings"):
        (folder / name).mkdir()
        (folder / name / "notes.txt").write_text("left alone")
    write_image(folder / "portraits" / "astronaut.png", portrait.image)
    with VideoReader(DEMO) as reader, VideoWriter(folder / "drivings" / "clip.mp4", 25) as writer:
        for frame in islice(reader, 0, 36, 6):
            writer.write(frame.image)
    torch.manual_seed(0)
    model = FSRTSmall()
    torch.nn.init.constant_(model.head.bias[:1], 30.0)  # copies everything
    model.save_pretrained(folder / "model")
    return folder


def test_pairs_are_reenacted_and_scored(folders):
    events = []
    keep = folders / "kept" / "videos"
    report = bench(
        folders / "drivings",
        folders / "portraits",
        model=str(folders / "model"),
        frames=5,
        keep=keep,
        progress=events.append,
    )
    assert [(event.done, event.total) for event in events] == [(1, 1)]
    (pair,) = report["pairs"]
    assert (pair["source"], pair["driving"]) == ("astronaut.png", "clip.mp4")
    assert report["median"] == {key: value for key, value in pair.items() if key not in ("source", "driving")}
    assert pair["face_fraction"] == 1
    assert 0 < pair["motion_error"] < 0.6
    assert 0.6 < pair["texture_ssim"] <= 1
    assert 0.2 < pair["sharpness"] < 1.5 and pair["jitter"] > 0
    assert "akd" not in pair
    assert sorted(path.name for path in keep.iterdir()) == ["astronaut_clip.mp4", "astronaut_clip.mp4.json"]


@pytest.mark.parametrize("frame", ["full", "crop"])
def test_self_reenactment_is_nearer_to_the_truth_than_standing_still(folders, frame):
    clip, model = folders / "drivings" / "clip.mp4", str(folders / "model")
    report = bench(clip, model=model, self_reenact=True, frames=5, frame=frame)
    (pair,) = report["pairs"]
    assert pair["source"] == "first frame of clip.mp4"
    assert 0 < pair["akd"] < 0.3 * pair["akd_still"]
    assert pair["psnr"] > 26


def test_mistakes_name_file_and_remedy(folders, tmp_path):
    clip, portraits = folders / "drivings" / "clip.mp4", folders / "portraits"
    with pytest.raises(InputError, match=f"{tmp_path}.* holds no picture; put one"):
        bench(clip, tmp_path)
    with pytest.raises(InputError, match="holds no driving video"):
        bench(tmp_path, portraits)
    with pytest.raises(InputError, match="--portraits"):
        bench(clip)
    with pytest.raises(InputError, match="frames=3"):
        bench(clip, portraits, frames=3)
    (tmp_path / "a.png").touch()
    (tmp_path / "a.jpg").touch()
    with pytest.raises(InputError, match="a_clip.mp4.*rename"):
        bench(clip, tmp_path)
    (tmp_path / "a.jpg").unlink()
    write_image(tmp_path / "a.png", np.full((64, 64, 3), 90, np.uint8))
    with pytest.raises(InputError, match="a.png: no face"):
        bench(clip, tmp_path)
