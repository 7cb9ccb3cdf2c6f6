"""Warp latents: what they hold of a face's motion, and what they leave out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_listener import made_up_motion, tiny_codec

from headgen.faces import mesh
from headgen.faces.motion import head_rotation
from headgen.faces.retarget import region_weights
from headgen.listener.latents import (
    CHANNELS,
    FRAMES_PER_LATENT,
    PARTS,
    POSE_UNITS,
    FaceMotion,
    WarpCodec,
    joined,
    motion_of_landmarks,
    part_landmarks,
    places,
)


@pytest.fixture(scope="module")
def codec():
    return tiny_codec()


def test_every_landmark_that_moves_belongs_to_one_part():
    members = part_landmarks()
    assert len(members) == len(PARTS) - 1 and all(len(m) for m in members)
    every = np.concatenate(members)
    eyes, mouth = region_weights()
    assert sorted(every) == np.flatnonzero((eyes > 0) | (mouth > 0)).tolist()


def test_parts_are_where_their_names_say():
    members = dict(zip(PARTS[1:], part_landmarks(), strict=True))
    for eye, side in ((mesh.EYE_RIGHT, "right"), (mesh.EYE_LEFT, "left")):
        assert set(eye) <= set(members[f"eye_{side}"])
    assert {468, 472} <= set(members["eye_right"]) and {13, 0} <= set(members["lip_upper"])
    assert {14, 17} <= set(members["lip_lower"]) and 152 in members["jaw"] and 61 in members["corner_right"]
    place = dict(zip(PARTS, places(), strict=True))
    assert place["brow_left"][0] < place["eye_left"][0] < place["lip_upper"][0] < place["jaw"][0]
    assert place["eye_right"][1] < place["head"][1] < place["eye_left"][1]  # the person's own right


def test_latents_of_the_motion_a_codec_was_fitted_to_are_of_unit_size(codec):
    motion = joined([made_up_motion(200, seed=k) for k in range(3)])
    latents = codec.encode(motion)
    assert latents.shape == (150, len(PARTS), FRAMES_PER_LATENT * CHANNELS) == (150, 10, codec.token_width)
    size = latents[:, 1:].unflatten(-1, (FRAMES_PER_LATENT, CHANNELS)).square().mean((0, 2)).sqrt()
    torch.testing.assert_close(size, torch.ones_like(size), atol=0.01, rtol=0)


def test_latents_come_back_as_they_were(codec):
    latents = torch.randn(5, len(PARTS), codec.token_width, generator=torch.Generator().manual_seed(0))
    motion = codec.decode(latents)
    assert len(motion) == 5 * FRAMES_PER_LATENT
    torch.testing.assert_close(codec.encode(motion), latents, atol=1e-4, rtol=1e-4)


def test_motion_comes_back_but_for_what_the_bases_leave_out(codec):
    motion = made_up_motion(40, seed=0)
    back = codec.decode(codec.encode(motion))
    np.testing.assert_allclose(back.pose, motion.pose, atol=1e-5)
    lost = (motion.shape - back.shape).reshape(40, -1)
    assert 0 < np.square(lost).sum() < 0.2 * np.square(motion.shape).sum()
    # What is left out is what no latents can say.
    for basis in codec.basis.numpy():
        assert np.abs(lost @ basis.T).max() < 1e-4 * np.square(basis).sum(-1).max()
    again = codec.decode(codec.encode(back))
    np.testing.assert_allclose(again.shape, back.shape, atol=1e-6)
    still = np.setdiff1d(np.arange(478), np.concatenate(part_landmarks()))
    assert not back.shape[:, still].any()


def test_motion_of_few_directions_is_kept_whole():
    motion = made_up_motion(80, directions=CHANNELS)
    back = WarpCodec.fitted([motion])
    np.testing.assert_allclose(back.decode(back.encode(motion)).shape, motion.shape, atol=1e-5)


def test_a_saved_codec_says_the_same(codec, tmp_path):
    codec.save_pretrained(tmp_path)
    loaded = WarpCodec.from_pretrained(tmp_path, low_cpu_mem_usage=False)
    motion = made_up_motion(8)
    assert torch.equal(loaded.encode(motion), codec.encode(motion))
    assert torch.equal(tiny_codec().basis, codec.basis)  # fitting depends on nothing but the motion


def rigid_still(motion):
    """The same motion, but that the points that carry the pose stay."""
    shape = motion.shape.copy()
    shape[:, list(mesh.RIGID)] = 0
    return FaceMotion(motion.pose, shape)


def test_motion_of_a_tracked_face_is_what_moved_it():
    motion = rigid_still(made_up_motion(12))
    rest = FaceMotion(np.zeros((1, 6), np.float32), np.zeros((1, 478, 3), np.float32))

    def pixels(moves):
        return moves.landmarks() * 80 + [200, 150, 0]

    found = motion_of_landmarks(pixels(motion), pixels(rest)[0])
    np.testing.assert_allclose(found.pose, motion.pose, atol=1e-4)
    np.testing.assert_allclose(found.shape, motion.shape, atol=1e-5)


def test_motion_of_another_face_carries_over():
    """A wider face than the mean one moves as the mean face would."""
    face = mesh.mean_face() * [1.15, 0.95, 1.0]
    face = face / np.linalg.norm(face[33] - face[263])
    motion = rigid_still(made_up_motion(12))
    rest = FaceMotion(np.zeros((1, 6), np.float32), np.zeros((1, 478, 3), np.float32))
    found = motion_of_landmarks(motion.landmarks(face) * 80, rest.landmarks(face)[0] * 80)
    np.testing.assert_allclose(found.pose[:, :3], motion.pose[:, :3], atol=0.05)
    np.testing.assert_allclose(found.shape, motion.shape, atol=2e-3)


def test_motions_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not belong together"):
        FaceMotion(np.zeros((3, 6)), np.zeros((2, 478, 3)))


def picture_of(face, angles=(0.0, 0.0, 0.0), scale=90.0, place=(120.0, 200.0)):
    """Landmarks in pixels of a face (478, 3) in the canonical frame."""
    turn = head_rotation(np.array(angles))
    return mesh.Pose(turn, scale, np.array([*place, 0.0]), face).project(face)


def test_portrait_tokens_tell_shape_and_pose_and_not_where_the_face_is(codec):
    mean = mesh.mean_face()
    unit = np.linalg.norm(mean[33] - mean[263])
    assert codec.portrait_tokens(picture_of(mean)).abs().max() < 1e-3
    turned = codec.portrait_tokens(picture_of(mean, (4.0, -2.0, 3.0)))
    torch.testing.assert_close(
        turned[0], torch.tensor([*(np.array([4.0, -2.0, 3.0]) / POSE_UNITS[:3]), 0, 0, 0]).float(),
        atol=1e-2, rtol=0,
    )  # fmt: skip
    assert turned[1:].abs().max() < 1e-2
    raised = FaceMotion(np.zeros((4, 6), np.float32), np.zeros((4, 478, 3), np.float32))
    latents = codec.encode(raised)
    latents[:, PARTS.index("jaw")] = 1.5
    other = mean + codec.decode(latents).shape[0] * unit
    tokens = codec.portrait_tokens(picture_of(other))
    assert tokens.shape == (len(PARTS), CHANNELS)
    assert tokens[PARTS.index("jaw")].min() > 1.0 and tokens[PARTS.index("brow_left")].abs().max() < 0.3
    elsewhere = codec.portrait_tokens(picture_of(other, scale=300.0, place=(700.0, 90.0)))
    torch.testing.assert_close(elsewhere, tokens, atol=1e-3, rtol=0)
    latents[:, PARTS.index("jaw")] = 50.0
    far = codec.portrait_tokens(picture_of(mean + codec.decode(latents).shape[0] * unit))
    assert far.abs().max() == 3
