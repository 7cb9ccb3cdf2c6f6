"""Named expressions arrive as the coefficients that a tracker would see."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headgen.faces.motion import MOTION_NAMES
from headgen.synth.heads.expressions import expression
from headgen.synth.heads.model import HeadMotion
from headgen.synth.ict import IctHead
from headgen.synth.motion.response import RESPONSE, RESTING, coefficients_of, measure_response
from headgen.synth.motion.statistics import gaze_degrees

ASSETS = Path(os.environ.get("HEADGEN_ASSETS", Path(__file__).parents[4] / "shared" / "data" / "head_assets"))


def column(motion: HeadMotion, name: str) -> float:
    return float(coefficients_of(motion)[0, MOTION_NAMES.index(name)])


def face(**shapes: float) -> HeadMotion:
    return replace(HeadMotion.still(), expression=expression(shapes)[None])


def test_head_and_torso_turn_together():
    motion = replace(
        HeadMotion.still(), head=np.array([[10.0, -5.0, 0.0]]), torso=np.array([[8.0, 0.0, 0.0]])
    )
    assert column(motion, "yaw") == pytest.approx(18)
    assert column(motion, "pitch") == pytest.approx(-5)


def test_gaze_comes_back_in_degrees():
    motion = replace(HeadMotion.still(), gaze=np.array([[12.0, -7.0]]))
    offsets = coefficients_of(motion)[0, -2:]
    assert gaze_degrees(offsets) == pytest.approx([12, -7])


def test_a_shut_eye_stays_shut_and_one_side_stays_one_side():
    assert column(face(eyeBlink=1.0, eyeSquint=1.0), "eye_left") == pytest.approx(0.055)
    assert column(face(eyeBlinkLeft=1.0), "eye_right") == pytest.approx(RESTING["eye_right"])


def test_jaw_and_closing_lips_cancel():
    assert column(face(jawOpen=0.6), "mouth_open") > 0.2
    assert column(face(jawOpen=0.6, mouthClose=0.6), "mouth_open") < 0.03


@pytest.mark.skipif(not (ASSETS / "ict_facekit").is_dir(), reason="needs the ICT face model")
def test_committed_table_is_what_the_model_does():
    resting, response = measure_response(IctHead.load(ASSETS / "ict_facekit"))
    assert resting == pytest.approx(RESTING, abs=6e-4)
    for name, changes in response.items():
        for coefficient, change in changes.items():
            assert RESPONSE[name].get(coefficient, 0) == pytest.approx(change, abs=6e-4), (name, coefficient)
