"""What the editor's sliders ask for, in the process for previews and as a job."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from headgen_studio import editing
from headgen_studio.editor_tab import GROUPS, PRESETS
from PIL import Image

import headgen
from headgen.errors import InputError
from headgen.media.image import write_image
from headgen.portrait_editor import RANGES, PortraitEdit


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    from skimage.data import astronaut

    picture = np.ascontiguousarray(astronaut()[0:400:2, 60:420:2])
    return write_image(tmp_path_factory.mktemp("editor") / "face.png", picture)


def test_every_value_has_a_slider_and_every_preset_is_within_them():
    assert sorted(name for group in GROUPS.values() for name in group) == sorted(RANGES)
    for preset in PRESETS.values():
        assert PortraitEdit(**preset).strength > 0


def test_a_preview_is_a_picture_of_the_edit(photograph):
    still, turned, again = (
        np.asarray(Image.open(io.BytesIO(editing.preview(photograph, 1, values))), np.int16)
        for values in ({}, {"yaw": 15.0}, {})
    )
    assert still.shape == (200, 180, 3)
    assert np.abs(still - turned).mean() > 1 and np.array_equal(still, again)


def test_a_preview_follows_a_file_that_was_replaced(photograph, tmp_path):
    path = tmp_path / "face.png"
    picture = np.asarray(Image.open(photograph))
    write_image(path, picture)
    before = editing.preview(path, 1, {"smile": 0.5})
    write_image(path, np.ascontiguousarray(picture[:, ::-1]))
    assert editing.preview(path, 1, {"smile": 0.5}) != before


def test_only_a_few_photographs_stay_open(photograph, tmp_path):
    picture = np.asarray(Image.open(photograph))
    for k in range(editing._OPEN + 2):
        editing.preview(write_image(tmp_path / f"{k}.png", picture), 1, {})
    assert len(editing._table) == editing._OPEN


def test_a_job_makes_the_same_bytes_as_the_library(photograph, tmp_path):
    options = {"yaw": -8.0, "smile": 0.4, "face": 1}
    made = editing.edit_portrait(tmp_path, {"portrait": [photograph]}, {**options, "ending": "webp"})
    assert made == ["portrait.webp"]
    headgen.edit_portrait(photograph, tmp_path / "same.webp", **options)
    assert (tmp_path / made[0]).read_bytes() == (tmp_path / "same.webp").read_bytes()
    record = json.loads((tmp_path / "portrait.webp.json").read_text())
    assert record["options"]["yaw"] == -8.0


def test_a_face_that_is_not_there_is_told(photograph):
    with pytest.raises(InputError, match="there is no face 2"):
        editing.preview(photograph, 2, {})
