"""Preparing training clips from videos of a real face (the astronaut portrait), moved by our own camera."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from headgen.errors import InputError
from headgen.faces.motion import MOTION_NAMES
from headgen.faces.tracker import MediaPipeTracker
from headgen.media.clips import ClipStore, ClipWriter, read_clip, read_index
from headgen.media.video import VideoWriter
from headgen.prepare import Shot, find_videos, identity_of, portrait_crop, prepare, split_of
from headgen.progress import Cancelled

PICTURE = cv2.resize(astronaut()[:300, 60:400], (272, 240), interpolation=cv2.INTER_AREA)
EMPTY = np.random.default_rng(0).integers(0, 40, PICTURE.shape, dtype=np.uint8)
SMALL = {"min_frames": 4, "min_side": 40}


def panned(x: float, y: float = 0) -> np.ndarray:
    return cv2.warpAffine(
        PICTURE, np.float32([[1, 0, x], [0, 1, y]]), (272, 240), borderMode=cv2.BORDER_REPLICATE
    )


def make_video(path, frames, fps=20):
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, Fraction(fps), crf=14) as writer:
        for frame in frames:
            writer.write(frame)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Three videos (one cut by an empty stretch and by a jump, one short, one empty), and their data set."""
    root = tmp_path_factory.mktemp("prepare")
    cut = [panned(k) for k in range(8)] + [EMPTY] * 3 + [panned(k) for k in range(6)]
    jump = [panned(-60 - k, 10) for k in range(6)]
    make_video(root / "videos" / "anna" / "one.mp4", cut + jump)
    make_video(root / "videos" / "anna" / "two.mp4", [panned(0, k) for k in range(5)])
    make_video(root / "videos" / "empty.mp4", [EMPTY] * 5)
    (root / "videos" / "broken.mp4").write_bytes(b"not a video")
    report = prepare(root / "videos", root / "set", size=128, **SMALL)
    return root, report


def test_shots_end_where_the_face_is_lost_or_jumps(prepared):
    root, report = prepared
    infos = {info.name: info for info in read_index(root / "set")}
    assert {name: info.frames for name, info in infos.items()} == {
        "anna__one_000000": 8, "anna__one_000011": 6, "anna__one_000017": 6, "anna__two_000000": 5,
    }  # fmt: skip
    assert {info.identity for info in infos.values()} == {"anna"}
    assert infos["anna__one_000000"].fps == 20 and infos["anna__one_000011"].extra["first_frame"] == "11"
    assert (report.clips, report.frames, report.identities) == (4, 25, 1)


def test_videos_without_a_clip_are_listed_with_the_reason(prepared):
    root, report = prepared
    assert {key.rsplit("/", 1)[1]: value for key, value in report.skipped.items()}[
        "empty.mp4"
    ] == "no usable face found"
    assert set(report.skipped) == {str(root / "videos" / name) for name in ("empty.mp4", "broken.mp4")}
    assert "2 video(s) skipped" in str(report) and "broken.mp4" in str(report)


def test_landmarks_and_motion_belong_to_the_frames(prepared):
    root, _ = prepared
    frames, landmarks = read_clip(root / "set", "anna__one_000000")
    with MediaPipeTracker() as tracker:
        for index in (0, 7):
            found = tracker.track(frames[index], still=True)
            assert np.abs(found.landmarks - landmarks[index])[:, :2].mean() < 1.0
    assert ((landmarks[..., :2] > 0) & (landmarks[..., :2] < 128)).all()
    # One fixed square: the camera moves a pixel of the video a frame, the face in the crop just as steadily.
    steps = np.diff(landmarks[:, :, 0].mean(1))
    assert steps.min() > 0.3 and steps.max() < 1.5
    store = ClipStore(root / "set")
    assert store.motion_names == MOTION_NAMES
    assert np.isfinite(store.motion(0)).all() and np.ptp(store.motion(0)[:, 0]) < 3


def test_the_crop_lies_in_the_picture(prepared):
    root, _ = prepared
    for info in read_index(root / "set"):
        cx, cy, side = map(float, info.extra["crop"].split())
        assert cx - side / 2 >= -0.51 and cx + side / 2 <= 271.51
        assert cy - side / 2 >= -0.51 and cy + side / 2 <= 239.51


def test_second_run_opens_no_video_and_changes_nothing(prepared):
    root, report = prepared
    before = {path: path.stat().st_mtime_ns for path in (root / "set" / "clips").iterdir()}
    seen = []
    again = prepare(root / "videos", root / "set", size=128, **SMALL, progress=seen.append)
    assert not seen and again == report
    assert before == {path: path.stat().st_mtime_ns for path in (root / "set" / "clips").iterdir()}


def test_other_options_into_the_same_folder_are_refused(prepared):
    root, _ = prepared
    with pytest.raises(InputError, match=r"other options \(size 128 -> 64\); use another --output"):
        prepare(root / "videos", root / "set", size=64, **SMALL)


def test_stopped_run_leaves_no_part_and_goes_on(prepared, tmp_path, monkeypatch):
    root, _ = prepared
    video = root / "videos" / "anna" / "one.mp4"

    def stop(event):
        if event.done == 19:
            raise Cancelled

    with pytest.raises(Cancelled):
        prepare(video, tmp_path, size=128, **SMALL, progress=stop)
    assert not list(tmp_path.rglob("*.part")) and not (tmp_path / "index.json").exists()
    assert [path.stem for path in sorted((tmp_path / "clips").glob("*.safetensors"))] == [
        "one_000000",
        "one_000011",
    ]
    written = []
    original = ClipWriter.close
    monkeypatch.setattr(ClipWriter, "close", lambda self: (written.append(self.name), original(self))[1])
    assert prepare(video, tmp_path, size=128, **SMALL).clips == 3
    assert written == ["one_000017"]
    whole = read_clip(root / "set", "anna__one_000017")
    assert all(np.array_equal(a, b) for a, b in zip(read_clip(tmp_path, "one_000017"), whole, strict=True))


def test_long_shots_are_divided_and_small_heads_dropped(prepared, tmp_path):
    video = prepared[0] / "videos" / "anna" / "one.mp4"
    infos = prepare(video, tmp_path / "a", size=64, min_side=40, min_frames=3, max_frames=5) and read_index(
        tmp_path / "a"
    )
    assert [info.frames for info in infos] == [
        5,
        3,
        5,
        5,
    ]  # of 8, 6 and 6; remainders of one frame are dropped
    with pytest.raises(InputError, match="no usable face .*head smaller than 5000 pixels"):
        prepare(video, tmp_path / "b", size=64, min_frames=3, min_side=5000)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 127}, "size is 127"),
        ({"roam": 0.5}, "roam is 0.5"),
        ({"max_frames": 3}, "max_frames is 3"),
        ({"validation": 1.0}, "validation is 1.0"),
    ],
)
def test_options_out_of_range_are_named(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        prepare(tmp_path, tmp_path / "out", **options)


def test_wrong_inputs_are_named(tmp_path):
    with pytest.raises(InputError, match="nowhere: no such file"):
        prepare(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(InputError, match="no videos in this folder"):
        prepare(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("x")
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(InputError, match="file"):
        prepare(tmp_path / "a.mp4", tmp_path / "file" / "out")


def test_names_identities_and_splits(tmp_path):
    for name in ("id1/x/01.mp4", "id1/y/01.mp4", "id2.mkv", "id2.avi", ".hidden.mp4", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = find_videos(tmp_path)
    assert sorted(path.name for path in found.values()) == ["01.mp4", "01.mp4", "id2.avi", "id2.mkv"]
    assert {"id1__x__01", "id1__y__01", "id2"} < set(found) and len(found) == 4
    assert [identity_of(path, tmp_path) for path in found.values()] == ["id1", "id1", "id2", "id2"]
    splits = [split_of(f"person {k}", 0.2) for k in range(500)]
    assert 70 < splits.count("val") < 130 and split_of("person 1", 0) == "train"


def test_shot_grows_until_the_head_would_be_small_in_it():
    landmarks = np.random.default_rng(0).normal(100, 15, (478, 3)).astype(np.float32)
    square = portrait_crop(landmarks)
    shot = Shot.begin(0, landmarks, square)

    def moved(share):
        return portrait_crop(landmarks + [share * square.side, 0, 0])

    assert shot.fits(moved(0.45), 1.5) and not shot.fits(moved(0.55), 1.5)
    shot.add(landmarks + [0.4 * square.side, 0, 0], moved(0.4))
    assert not shot.fits(moved(-0.2), 1.5)
    crop = shot.crop(1000, 1000)
    assert crop.side == pytest.approx(1.4 * square.side) and crop.cx == pytest.approx(
        square.cx + 0.2 * square.side
    )
