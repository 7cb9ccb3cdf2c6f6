"""Batches in the workspace: what may be in a manifest that comes through a browser, and whose it is."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from headgen_studio import batches
from headgen_studio.batch_tab import _report
from headgen_studio.batches import MANIFEST, RESULTS
from headgen_studio.studio import Person
from headgen_studio.uploads import Limits
from media_inputs import write_clip

from headgen.batch.worker import Outcome, Output
from headgen.errors import InputError
from headgen.media.image import write_image

ANN, BOB = Person("", "ann's browser"), Person("", "bob's browser")
LIMITS = Limits(megabytes=5, seconds=5, megapixels=1)


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    folder = tmp_path / "given"
    folder.mkdir()
    picture = np.full((64, 64, 3), 90, np.uint8)
    return {
        "face": write_image(folder / "face.png", picture),
        "large": write_image(folder / "large.png", np.zeros((1200, 1200, 3), np.uint8)),
        "drive": write_clip(folder / "drive.mp4", 5),
    }


def table(files: dict[str, Path], *rows: str) -> Path:
    path = files["face"].with_name("many.csv")
    path.write_text("\n".join(["kind,name,source,driving,model", *rows]) + "\n")
    return path


def made(tmp_path, given, person=ANN):
    return batches.create(tmp_path / "workspace", given, "reenact", LIMITS, person)


def test_without_a_manifest_every_picture_goes_with_every_video(tmp_path, files):
    batch, left_out = made(tmp_path, [files["face"], files["drive"]])
    checked = batches.check(batch.folder)
    assert (checked.jobs, checked.kinds, checked.bad, left_out) == (1, {"reenact": 1}, 0, [])
    assert checked.seconds == pytest.approx(0.2, abs=0.05)


def test_rows_are_found_whatever_folder_they_name(tmp_path, files):
    manifest = table(files, "reenact,one,faces/face.png,C:\\films\\drive.mp4,")
    batch, _ = made(tmp_path, [manifest, files["face"], files["drive"]])
    assert batches.check(batch.folder).jobs == 1


@pytest.mark.parametrize(
    "place",
    ["/etc/passwd", "../../../jobs/secret.mp4", "http://10.0.0.1/a.mp4", "s3://bucket/a.mp4", "~/a.mp4"],
)
def test_nothing_but_uploads_can_be_worked_on(tmp_path, files, place):
    manifest = table(files, f"reenact,one,face.png,{place},", f"reenact,two,{place};face.png,drive.mp4,")
    batch, _ = made(tmp_path, [manifest, files["face"], files["drive"]])
    rows = [
        json.loads(line) for line in (batch.folder / "material" / MANIFEST).read_text().split("\n") if line
    ]
    assert all(
        "/" not in row[role] and ":" not in row[role] for row in rows for role in ("source", "driving")
    )
    checked = batches.check(batch.folder)
    assert (checked.jobs, checked.bad) == (0, 2)
    assert "no such file" in checked.report and str(tmp_path) not in checked.report


def test_a_manifest_cannot_name_weights_of_this_machine(tmp_path, files):
    manifest = table(files, f"reenact,one,face.png,drive.mp4,{tmp_path}/model")
    (tmp_path / "model").mkdir()
    batch, _ = made(tmp_path, [manifest, files["face"], files["drive"]])
    checked = batches.check(batch.folder)
    assert checked.bad == 1 and "unknown model 'model'" in checked.report


def test_problems_keep_their_row_numbers(tmp_path, files):
    manifest = table(
        files, "reenact,one,face.png,drive.mp4,", "", "reenact,two,face.png,gone.mp4,", "dance,three,,,"
    )
    batch, _ = made(tmp_path, [manifest, files["face"], files["drive"]])
    report = batches.check(batch.folder).report
    assert "row 4" in report and "row 5" in report and "row 2" not in report


def test_files_beyond_the_limits_are_left_out_and_told(tmp_path, files):
    batch, left_out = made(tmp_path, [files["face"], files["large"], files["drive"]])
    assert len(left_out) == 1 and left_out[0].startswith("large.png: has 1200 x 1200 pixels")
    assert not (batch.folder / "material" / "large.png").exists()
    assert "large.png" in _report(batches.check(batch.folder), left_out)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["many", "many"], "second manifest"),
        (["many"], "give photographs and videos"),
        (["face", "face"], "two files have this name"),
        (["face"], "at least one photograph and one video"),
    ],
)
def test_what_cannot_be_a_batch_is_told_and_leaves_nothing(tmp_path, files, names, told):
    files["many"] = table(files, "reenact,one,face.png,drive.mp4,")
    with pytest.raises(InputError, match=told):
        made(tmp_path, [files[name] for name in names])
    assert not list((tmp_path / "workspace").rglob("*.*"))


def test_html_in_a_manifest_stays_text(tmp_path, files):
    manifest = table(files, "reenact,<script>alert(1)</script>,face.png,<img src=x>.mp4,")
    batch, left_out = made(tmp_path, [manifest, files["face"], files["drive"]])
    shown = _report(batches.check(batch.folder), left_out)
    assert "<script>" not in shown and "<img" not in shown and "&lt;img src=x&gt;.mp4" in shown


def test_everybody_finds_their_own(tmp_path, files):
    mine, _ = made(tmp_path, [files["face"], files["drive"]], ANN)
    workspace = tmp_path / "workspace"
    assert [one.key for one in batches.of_person(workspace, ANN)] == [mine.key]
    assert not batches.of_person(workspace, BOB)
    assert not batches.of_person(workspace, Person("carl", "ann's browser"))
    with pytest.raises(InputError, match="no longer there"):
        batches.find(workspace, mine.key, BOB)
    with pytest.raises(InputError, match="no longer there"):
        batches.find(workspace, f"../batches/{mine.key}", ANN)


def test_results_are_packed_without_what_is_the_batchs_own(tmp_path, files):
    batch, _ = made(tmp_path, [files["face"], files["drive"]])
    (batch.results / ".headgen").mkdir(parents=True)
    (batch.results / ".headgen" / "log.jsonl").write_text("")
    write_clip(batch.results / "one.mp4", 2)
    (batch.folder / RESULTS).write_text("name,status\n")
    with zipfile.ZipFile(batch.archive()) as archive:
        assert sorted(archive.namelist()) == ["one.mp4", RESULTS]


def test_a_thumbnail_is_drawn_of_what_is_done(tmp_path, files):
    batch, _ = made(tmp_path, [files["face"], files["drive"]])
    batch.results.mkdir()
    write_clip(batch.results / "one.mp4", 2, size=(320, 240))
    batches._draw_thumbnail(
        batch, Outcome("../one", 2, "reenact", "done", outputs=(Output("one.mp4", 1, ""),))
    )
    small = batch.thumbnail("../one")
    assert small.parent == batch.folder / "thumbnails" and small.stat().st_size < 10_000


def test_what_was_never_started_does_not_outlive_the_studio(tmp_path, files):
    started, _ = made(tmp_path, [files["face"], files["drive"]])
    left, _ = made(tmp_path, [files["face"], files["drive"]])
    started.mark_started()
    batches.clear(tmp_path / "workspace")
    assert started.folder.is_dir() and not left.folder.exists()
