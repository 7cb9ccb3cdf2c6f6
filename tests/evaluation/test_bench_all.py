"""What became slower is told from noise, and measuring a process measures that process."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import skimage.data

from headgen.errors import InputError
from headgen.evaluation import bench_all
from headgen.evaluation.bench_all import START_UPS, _figure, _measured, bench, compare
from headgen.media import write_image


def written(path, machine="this one", **figures):
    measured = {name: _figure(list(values), unit) for name, (unit, values) in figures.items()}
    path.write_text(json.dumps({"machine": {"device": machine}, "versions": {}, "measured": measured}))
    return path


def test_only_what_is_beyond_noise_became_slower(tmp_path):
    before = written(
        tmp_path / "a.json",
        track=("seconds", (1.0, 1.1, 1.05)),
        draw=("seconds", (2.0, 2.1, 2.2)),
        noisy=("seconds", (1.0, 3.0, 1.2)),
        memory=("megabytes", (100, 101, 102)),
        gone=("seconds", (1, 1, 1)),
    )
    after = written(
        tmp_path / "b.json",
        "another",
        track=("seconds", (1.5, 1.6, 1.7)),
        draw=("seconds", (1.0, 1.1, 1.2)),
        noisy=("seconds", (1.9, 2.0, 2.5)),
        memory=("megabytes", (150, 151, 152)),
    )
    found = compare([before, after])
    verdicts = {name: verdict for name, *_, verdict in found.rows}
    assert verdicts == {"noisy": "", "track": "slower", "memory": "more memory", "draw": "faster"}
    assert found.worse == ("track", "memory") and found.missing == ("gone",)
    assert "different device: this one and another" in str(found)
    assert "2 of 4 became worse" in str(found)
    assert compare([before, after], least=0.6).worse == ()
    assert compare([before, before]).worse == ()


def test_files_of_something_else_are_refused(tmp_path):
    good = written(tmp_path / "a.json", track=("seconds", (1.0,)))
    (tmp_path / "b.json").write_text('{"measured": {"track": 3}}')
    with pytest.raises(InputError, match=r"b.json: was not written by `headgen bench all`"):
        compare([good, tmp_path / "b.json"])
    with pytest.raises(InputError, match=r"c.json: cannot be read"):
        compare([good, tmp_path / "c.json"])
    with pytest.raises(InputError, match="give two"):
        compare([good])


def test_a_process_is_measured_from_its_start():
    seconds, megabytes = _measured("import time; time.sleep(0.2); x = bytearray(60 << 20)", [])
    assert seconds > 0.2 and megabytes > 60
    assert _measured(START_UPS["import headgen"], [])[1] < 60
    with pytest.raises(InputError, match="ZeroDivisionError"):
        _measured("1 / 0", [])


def test_too_small_a_face_is_told_before_anything_is_measured(tmp_path, monkeypatch):
    small = np.full((1024, 1024, 3), 90, np.uint8)
    small[400:560, 400:560] = cv2.resize(skimage.data.astronaut(), (160, 160), interpolation=cv2.INTER_AREA)
    write_image(tmp_path / "far.png", small)
    monkeypatch.setattr(bench_all, "_stages", lambda *_: pytest.fail("measured before the photograph"))
    with pytest.raises(InputError, match=r"far.png: .*face"):
        bench(tmp_path / "far.png", tmp_path / "driver.mp4", output=tmp_path / "out.json")
    assert not (tmp_path / "out.json").exists()
