"""What is measured of videos: known motions, lags and noises give known figures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.io import wavfile

from headgen.errors import InputError
from headgen.evaluation.face_motion import jitter_ratio, motion_figures
from headgen.evaluation.face_texture import Face, colour_difference
from headgen.evaluation.face_trace import (
    FaceTrace,
    expression_error,
    followed_motion,
    gaze_gain,
    pose_error,
    restlessness,
    seam_jump,
)
from headgen.evaluation.lip_sync import RATE, lip_sync, loudness
from headgen.evaluation.temporal_metrics import TemporalMeter
from headgen.faces.irises import looking
from headgen.faces.mesh import EYES, LIP_PAIRS, Pose, mean_face
from headgen.faces.motion import head_rotation

UNIT = 60.0


def head(angles=(0.0, 0.0, 0.0), mouth: float = 0.0, noise=0.0) -> np.ndarray:
    face = mean_face().astype(np.float64)
    face[[low for _, low in LIP_PAIRS], 1] -= mouth
    return Pose(head_rotation(np.array(angles)), UNIT, np.array([128.0, 128, 0]), face).project(face) + noise


def traced(faces) -> FaceTrace:
    trace = FaceTrace()
    for face in faces:
        trace.add(face)
    return trace


def moving(seed=0, amount=1.0, noise=0.0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [
        head(amount * np.array([10, 6, 4]) * np.sin(k / 5), 0.1 * amount * (1 + np.sin(k / 3)),
             noise * rng.normal(size=(478, 3)))
        for k in range(40)
    ]  # fmt: skip


def test_a_trace_says_what_its_landmarks_say():
    faces, others = moving(), moving(amount=0.5, noise=0.3)
    figures = followed_motion(traced(faces), traced(others))
    wanted = motion_figures(faces, others)
    assert figures["motion_error"] == pytest.approx(wanted["motion_error"])
    assert figures["gain_yaw"] == pytest.approx(wanted["gain"]["yaw"])
    triples = [[x[k - 1 : k + 2] for k in range(1, 39)] for x in (faces, others)]
    assert restlessness(traced(faces), traced(others)) == pytest.approx(jitter_ratio(*triples))


def test_frames_without_a_face_are_left_out():
    faces: list[np.ndarray | None] = list(moving())
    faces[7] = None
    trace = traced(faces)
    assert trace.seen.sum() == 39
    assert np.isnan(trace.bends[[0, 6, 7, 8, 39]]).all() and np.isfinite(trace.bends[9])
    assert np.isnan(trace.steps[[0, 7, 8]]).all() and np.isfinite(trace.steps[9])
    assert followed_motion(trace, traced(moving()))["motion_error"] == pytest.approx(0, abs=1e-12)
    nothing = traced([None] * 40)
    assert followed_motion(nothing, trace)["motion_error"] is None
    assert restlessness(nothing, trace) is None and pose_error(nothing, trace) is None


def test_errors_of_pose_and_expression_are_known(agrees):
    still, turned = traced([head()] * 6), traced([head((9, 0, -3))] * 6)
    agrees("pose error, degrees", "heads turned by known angles", pose_error(still, turned), 4, 0.01)
    assert pose_error(still, turned, relative=True) == pytest.approx(0, abs=1e-9)
    agrees("expression error", "0 for a head that only turns", expression_error(still, turned), 0, 1e-6)
    errors = [expression_error(still, traced([head(mouth=m)] * 6)) for m in (0.02, 0.05, 0.1)]
    assert errors == sorted(errors) and errors[0] > 0


def test_gaze_is_compared_while_eyes_are_open(agrees):
    turns = 20 * np.sin(np.arange(40) / 4)
    driver, half = (traced([looking(head(), g * t, 0) for t in turns]) for g in (1.0, 0.5))
    sines = [np.sin(np.deg2rad(g * turns)) for g in (1.0, 0.5)]
    slope = float((sines[0] * sines[1]).mean() / (sines[0] ** 2).mean())
    agrees("gain of gaze", "eyes turned half as far", gaze_gain(driver, half), slope, 0.01)
    assert gaze_gain(driver, driver) == pytest.approx(1)
    assert gaze_gain(driver, traced([head()] * 40)) == pytest.approx(0, abs=1e-9)
    assert gaze_gain(traced([head()] * 40), driver) is None  # a driver whose eyes rest tells nothing
    blinking = [looking(head(), t, 0) for t in turns]
    for k in (5, 6, 7):
        blinking[k][[468, *range(469, 478)]] += 9  # where irises are behind shut lids, the tracker guesses
        for contour, _, _ in EYES:
            blinking[k][list(contour), 1] = blinking[k][list(contour), 1].mean()
    assert gaze_gain(traced(blinking), driver) == pytest.approx(1, abs=0.02)
    assert gaze_gain(traced([None] * 40), driver) is None


@pytest.mark.parametrize("amount", [0.1, 0.3, 1.0])
def test_more_noise_is_more_restless(amount):
    calm = traced(moving())
    less, more = (restlessness(calm, traced(moving(noise=n * amount))) for n in (1.0, 2.0))
    assert 1 < less < more


def test_a_cut_jumps_and_a_smooth_join_does_not():
    faces = moving()
    cut = faces[:20] + moving(amount=-1)[20:]
    smooth, jump = (seam_jump(traced(x).steps, [20]) for x in (faces, cut))
    assert smooth <= 1 < 3 < jump
    assert seam_jump(traced(faces).steps, []) is None
    assert seam_jump(np.full(40, np.nan), [20]) is None


def pattern(shift: float, size=(96, 128)) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    waves = np.sin((x - shift) / 4) + np.sin((x - shift + 2 * y) / 9) + np.sin(y / 5)
    return np.repeat(np.round(128 + 35 * waves)[..., None], 3, 2).astype(np.uint8)


def metered(frames) -> dict:
    meter = TemporalMeter()
    face = head() * 0.25
    for frame in frames:
        meter.push(frame, face)
    return meter.figures()


def test_flicker_is_the_noise_that_there_is(agrees):
    rng = np.random.default_rng(0)
    assert metered([pattern(0)] * 6) == {"flicker": 0, "warping_error": 0, "frozen": 1}
    found = [
        metered(
            [np.clip(pattern(0) + rng.normal(0, s, (96, 128, 1)), 0, 255).astype(np.uint8) for _ in range(20)]
        )
        for s in (2.0, 4.0, 8.0)
    ]
    levels = [f["flicker"] / s for f, s in zip(found, (2.0, 4.0, 8.0), strict=True)]
    agrees("flicker, relative", "noise of known strength", levels, 1, 0.05)
    assert found[0]["warping_error"] < found[1]["warping_error"] < found[2]["warping_error"]
    assert found[0]["frozen"] == 0


def test_motion_is_no_warping_error_but_boiling_is():
    still = metered([pattern(k) for k in range(8)])["warping_error"]
    rng = np.random.default_rng(1)

    def boiling(amount):
        frames = []
        for k in range(8):
            field = cv2.GaussianBlur(rng.normal(0, 1, (96, 128)).astype(np.float32), (0, 0), 6)
            light = 1 + amount * field / field.std()
            frames.append(np.clip(pattern(k) * light[..., None], 0, 255).astype(np.uint8))
        return metered(frames)["warping_error"]

    less, more = boiling(0.1), boiling(0.2)
    assert still < 2.5 < less < more


def test_colours_are_compared_through_the_face():
    from skimage.data import astronaut

    image = np.ascontiguousarray(astronaut()[0:256, 96:352])
    face = Face(image, head())
    assert colour_difference(face, face) == 0
    casts = [
        colour_difference(face, Face(np.clip(image * [1 + s, 1, 1 - s], 0, 255).astype(np.uint8), head()))
        for s in (0.05, 0.1, 0.2)
    ]
    assert casts == sorted(casts) and casts[0] > 0.3


def spoken(rng, frames: int) -> np.ndarray:
    """(frames,) how open a mouth is that says syllables of all lengths."""
    return cv2.GaussianBlur(rng.random((1, frames)), (0, 0), 1.5).ravel()


@pytest.mark.parametrize("late", [-5, 0, 3, 8])
def test_a_mouth_that_is_late_is_told_by_how_much(late, tmp_path, agrees):
    rng = np.random.default_rng(0)
    mouth = spoken(rng, 150)
    samples = rng.normal(0, 0.2, 150 * RATE // 25) * np.repeat(mouth, RATE // 25) ** 2
    wavfile.write(tmp_path / "speech.wav", RATE, (samples * 32767).astype(np.int16))
    sound = loudness(tmp_path / "speech.wav", 150, 25)
    found = lip_sync(np.roll(mouth, late), sound, 25)
    agrees("lip offset, s", "sounds shifted by known frames", found.offset, late / 25, 0.02)
    assert found.correlation > 0.85
    noisy = lip_sync(np.roll(mouth, late) + rng.normal(0, 0.1, 150), sound, 25)
    assert noisy.correlation < found.correlation


def test_loudness_is_that_of_the_sound(tmp_path):
    tone = np.sin(np.arange(RATE) * 0.3) * np.repeat([0.5, 0.05], RATE // 2)
    wavfile.write(tmp_path / "tone.wav", RATE, (tone * 32767).astype(np.int16))
    levels = loudness(tmp_path / "tone.wav", 40, 30)
    assert levels[:15] == pytest.approx(20 * np.log10(0.5 / 2**0.5), abs=0.2)
    assert levels[15:30] == pytest.approx(20 * np.log10(0.05 / 2**0.5), abs=0.2)
    assert levels[30:] == pytest.approx(-80, abs=0.1)
    with pytest.raises(InputError, match="sound"):
        loudness(tmp_path / "missing.wav", 10, 25)


def test_a_mouth_that_rests_is_not_judged():
    sound = spoken(np.random.default_rng(0), 100)
    assert lip_sync(np.zeros(100), sound, 25) is None
    assert lip_sync(sound[:30], sound[:30], 25) is None
    assert lip_sync(np.full(100, np.nan), sound, 25) is None
