"""`headgen.reenact` from files to files, on the astronaut; the network is the real one, untrained."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from headgen import reenact
from headgen.errors import InputError
from headgen.faces import mesh
from headgen.faces.tracker import MediaPipeTracker
from headgen.fsrt.small import FSRTSmall
from headgen.media import VideoReader, VideoWriter, write_image
from headgen.progress import Cancelled

FRAMES = 9
TURNS = ((0, 0), (12, 0), (-12, 0), (0, 8), (0, -8), (8, 6))  # of the head, yaw and pitch in degrees


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Astronaut picture, a driving video of her sliding to the right, and an untrained model that copies."""
    from skimage.data import astronaut

    folder = tmp_path_factory.mktemp("reenact")
    picture = np.ascontiguousarray(astronaut()[0:400, 60:420])
    write_image(folder / "face.png", picture)
    with VideoWriter(folder / "slide.mp4", Fraction(30000, 1001)) as writer:
        for k in range(FRAMES):
            shift = np.float32([[1, 0, 3 * k], [0, 1, 0]])
            writer.write(
                cv2.warpAffine(picture, shift, picture.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
            )
    torch.manual_seed(0)
    model = FSRTSmall()
    torch.nn.init.constant_(model.head.bias[:1], 30.0)  # copies everything
    model.save_pretrained(folder / "model")
    return folder


def run(files, name, **options):
    options = {
        "source": [files / "face.png"],
        "driving": files / "slide.mp4",
        "model": str(files / "model"),
        "calibrate": False,  # trial pictures take longer than these few frames
    } | options
    return reenact(output=files / name, **options)


def frames_of(path):
    with VideoReader(path) as reader:
        return [f.image for f in reader]


def nose_x(image, tracker):
    return tracker.track(np.ascontiguousarray(image), still=True).landmarks[1, 0]


def test_the_face_moves_as_far_as_the_drivers_and_the_rest_stays(files):
    done = run(files, "moved.mp4")
    frames = frames_of(done.output)
    assert done.frames == len(frames) == FRAMES
    picture = frames[0]
    assert picture.shape == (400, 360, 3)
    with MediaPipeTracker() as tracker:
        moved = nose_x(frames[-1], tracker) - nose_x(frames[0], tracker)
    assert moved == pytest.approx(3 * (FRAMES - 1), abs=3)
    corner = (slice(0, 30), slice(0, 30))
    assert np.abs(frames[-1][corner].astype(int) - frames[0][corner]).mean() < 2


def test_times_record_and_mark_are_kept(files):
    done = run(files, "kept.mp4", seed=7, multiplier=0.5)
    with VideoReader(files / "slide.mp4") as a, VideoReader(done.output) as b:
        assert a.info.fps == b.info.fps
        assert [f.time for f in a] == [f.time for f in b]
    with av.open(str(done.output)) as container:
        assert "AI-generated" in container.metadata["comment"]
    record = json.loads(done.record.read_text())
    assert record["seed"] == 7 and record["options"]["multiplier"] == 0.5
    assert len(record["inputs"]["source"][0]["sha256"]) == 64 and record["weights"]


def test_the_same_run_gives_the_same_bytes(files):
    a, b = run(files, "a.mp4", calibrate=True), run(files, "b.mp4", calibrate=True)
    assert a.output.read_bytes() == b.output.read_bytes()
    assert json.loads(a.record.read_text())["options"]["calibrate"] is True


def test_calibrated_motion_arrives_more_exactly_in_frames_of_any_order(files):
    """The untrained network moves the photograph by the mesh alone: drawn heads turn a little less."""
    from headgen.faces.driving import DrivingFrame
    from headgen.faces.portrait import read_portrait
    from headgen.faces.retarget import RetargetOptions
    from headgen.fsrt.engines import load_engine

    with MediaPipeTracker(mirror=True) as tracker:
        portrait = read_portrait(files / "face.png", tracker, 1280)
        pose = mesh.fit_pose(portrait.landmarks)
        turns = [Rotation.from_euler("YX", (y, x), degrees=True).as_matrix() for y, x in TURNS]
        somebody = pose.frontal * [1.06, 0.95, 1.0]  # one's own face needs less correction
        drivers = [replace(pose, rotation=t @ pose.rotation).project(somebody) for t in turns]
        frames = [DrivingFrame(d, portrait.image, None) for d in drivers]

        def off(engine, pictures):
            """Degrees by which drawn heads are turned otherwise than they were asked to be."""
            retarget, apart = engine._retarget, []
            rest = retarget.shown(tracker.track(pictures[0], still=True).landmarks)
            for driver, picture in zip(drivers, pictures, strict=True):
                shown = retarget.shown(tracker.track(picture, still=True).landmarks) - rest
                apart.append(np.abs(shown - retarget.wanted(driver) + retarget.wanted(drivers[0]))[:2])
            return np.mean(apart)

        engine = load_engine(files / "model", RetargetOptions(), device="cpu")
        engine.prepare([portrait], frames[0])
        plain = engine.render(frames, False)
        engine.calibrate(drivers)
        calibrated = engine.render(frames, False)
        assert off(engine, calibrated) < 0.6 * off(engine, plain)
    alone = [engine.render([frame], False)[0] for frame in reversed(frames)][::-1]
    for a, b in zip(calibrated, alone, strict=True):
        assert np.abs(a.astype(int) - b).max() <= 1  # batched arithmetic rounds otherwise
    engine.prepare([portrait], frames[0])  # another job starts uncorrected
    np.testing.assert_array_equal(engine.render(frames[:2], False)[1], plain[1])


def test_pose_region_without_strength_is_the_photograph(files):
    frames = frames_of(run(files, "still.mp4", multiplier=0.0).output)
    assert np.abs(frames[0].astype(int) - frames[-1]).mean() < 0.5


def test_crop_and_side_by_side(files):
    crop = frames_of(run(files, "crop.mp4", frame="crop").output)[0]
    assert abs(crop.shape[0] - crop.shape[1]) <= 1 and crop.shape[0] < 400
    wide = frames_of(run(files, "wide.mp4", compare=True).output)[0]
    assert wide.shape[0] == 400 and wide.shape[1] == pytest.approx(3 * 360, abs=2)


def test_best_start_takes_the_frame_most_like_the_source(files):
    """The driver starts turned on its side a little; the source is upright, as the last frame is."""
    picture = frames_of(files / "slide.mp4")[0]
    with VideoWriter(files / "tilted.mp4", 25) as writer:
        for angle in (16, 12, 8, 0):  # at 4 degrees tracking noise could decide
            turn = cv2.getRotationMatrix2D((180, 180), angle, 1)
            writer.write(cv2.warpAffine(picture, turn, picture.shape[1::-1], borderMode=cv2.BORDER_REPLICATE))
    tilted = files / "tilted.mp4"
    first = frames_of(run(files, "first.mp4", driving=tilted).output)
    best = frames_of(run(files, "best.mp4", driving=tilted, start="best").output)

    def roll(image):
        with MediaPipeTracker() as tracker:
            p = tracker.track(np.ascontiguousarray(image), still=True).landmarks
        return np.degrees(np.arctan2(*(p[263] - p[33])[1::-1]))

    assert abs(roll(best[-1]) - roll(picture)) < 2.5
    assert abs(roll(first[-1]) - roll(picture)) > 8
    assert abs(roll(best[0]) - roll(picture)) > 8


def test_several_sources_run_and_the_first_one_moves(files):
    frames = frames_of(run(files, "two.mp4", source=[files / "face.png", files / "face.png"]).output)
    assert frames[0].shape == (400, 360, 3)


def test_cancelling_leaves_nothing(files):
    def stop(event):
        if event.done >= 3:
            raise Cancelled

    before = sorted(p.name for p in files.iterdir())
    with pytest.raises(Cancelled):
        run(files, "stopped.mp4", progress=stop)
    assert sorted(p.name for p in files.iterdir()) == before


def test_a_driver_without_a_face_is_named(files):
    with VideoWriter(files / "empty.mp4", 25) as writer:
        for _ in range(3):
            writer.write(np.full((120, 160, 3), 90, np.uint8))
    with pytest.raises(InputError, match=r"empty\.mp4.*no face"):
        run(files, "nobody.mp4", driving=files / "empty.mp4")
    assert not (files / "nobody.mp4").exists() and not (files / "nobody.mp4.part").exists()


def test_before_the_driver_appears_the_source_stands_still(files):
    slide = frames_of(files / "slide.mp4")
    with VideoWriter(files / "late.mp4", 25) as writer:
        for k in range(14):
            writer.write(np.full_like(slide[0], 100) if k < 6 else slide[k - 6])
    frames = frames_of(run(files, "late_out.mp4", driving=files / "late.mp4").output)
    assert len(frames) == 14
    assert np.abs(frames[0].astype(int) - frames[5]).mean() < 0.5
    assert np.abs(frames[13].astype(int) - frames[5]).mean() > 2


def test_a_saved_motion_moves_the_photograph_as_its_video_does(files, tmp_path):
    from headgen.faces.driving import save_motion

    saved = save_motion(files / "slide.mp4", tmp_path / "slide.safetensors")
    assert saved.stat().st_size < 7000 * FRAMES
    filmed = run(files, "filmed.mp4").output
    assert run(files, "saved.mp4", driving=saved).output.read_bytes() == filmed.read_bytes()
    with pytest.raises(InputError, match="no pictures, which compare needs"):
        run(files, "compared.mp4", driving=saved, compare=True)
    with pytest.raises(InputError, match="no saved motion"):
        (tmp_path / "other.safetensors").write_bytes(b"something else")
        run(files, "other.mp4", driving=tmp_path / "other.safetensors")


def test_the_face_that_is_chosen_moves(files, tmp_path):
    from skimage.data import astronaut

    one = np.ascontiguousarray(astronaut()[0:300, 60:400])
    pair = np.full((300, 640, 3), 128, np.uint8)
    pair[:, :340] = one
    pair[60:300, 368:] = cv2.resize(one, (272, 240), interpolation=cv2.INTER_AREA)
    write_image(tmp_path / "pair.png", pair)
    done = run(files, "second.mp4", source=[tmp_path / "pair.png"], face=2)
    moved = np.abs(frames_of(done.output)[-1].astype(int) - frames_of(done.output)[0]).mean(-1)
    assert moved[:, 400:].mean() > 5 * moved[:, :300].mean()
    with pytest.raises(InputError, match="no face 3; of 2"):
        run(files, "third.mp4", source=[tmp_path / "pair.png"], face=3)


def test_a_preview_shows_what_the_video_will(files):
    from headgen.faces.retarget import RetargetOptions
    from headgen.reenact import Preview

    preview = Preview([files / "face.png"], files / "slide.mp4", model=str(files / "model"))
    whole = frames_of(run(files, "whole.mp4", smoothing=0).output)
    assert len(preview) == FRAMES
    assert not any(frame.image.size or frame.image.base is not None for frame in preview._frames)
    last, still = (preview.draw(FRAMES - 1, RetargetOptions(multiplier=m)) for m in (1, 0))
    apart, without = (np.abs(whole[-1].astype(int) - picture).mean() for picture in (last, still))
    assert apart < without / 2  # the rest is the codec's
    assert preview.draw(0, RetargetOptions(), frame="crop").shape[0] < last.shape[0]


def test_smoothing_changes_the_motion_and_has_bounds(files):
    assert (
        run(files, "rough.mp4", smoothing=0).output.read_bytes()
        != run(files, "as_usual.mp4").output.read_bytes()
    )
    with pytest.raises(InputError, match="smoothing"):
        run(files, "much.mp4", smoothing=4)
