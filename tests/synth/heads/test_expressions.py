"""Expressions by name and by action unit."""

import numpy as np
import pytest

from headgen.synth.heads.expressions import (
    ACTION_UNITS,
    EXPRESSIONS,
    INDEX,
    expression,
    from_action_units,
    to_action_units,
)


def test_there_are_the_52_names_of_arkit_once_each():
    assert len(EXPRESSIONS) == len(set(EXPRESSIONS)) == 52
    left = {name.removesuffix("Left") for name in EXPRESSIONS if name.endswith("Left")}
    assert left == {name.removesuffix("Right") for name in EXPRESSIONS if name.endswith("Right")}


def test_a_name_without_its_side_sets_both():
    values = expression({"mouthSmile": 0.5, "jawOpen": 0.2, "eyeBlinkLeft": 1})
    assert values[INDEX["mouthSmileLeft"]] == values[INDEX["mouthSmileRight"]] == 0.5
    assert values[INDEX["eyeBlinkRight"]] == 0
    assert np.count_nonzero(values) == 4


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="no expression 'grin'.*jawOpen"):
        expression({"grin": 1})
    with pytest.raises(ValueError, match="no action unit 'AU99'.*AU12"):
        from_action_units({"AU99": 1})


def test_every_unit_is_made_of_shapes_that_exist_and_comes_back():
    for unit in ACTION_UNITS:
        assert from_action_units({unit: 1}).any()
    for unit in set(ACTION_UNITS) - {"AU25", "AU43", "AU26"}:
        assert to_action_units(from_action_units({unit: 0.6}))[unit] == pytest.approx(
            0.6 if unit != "AU27" else 1 / 3, abs=1e-6
        )


def test_units_add_up_and_end_at_one():
    both = from_action_units({"AU6": 0.5, "AU12": 1})
    assert both[INDEX["cheekSquintLeft"]] == pytest.approx(0.5)
    assert both[INDEX["mouthSmileRight"]] == 1
    assert from_action_units({"AU26": 1, "AU27": 1})[INDEX["jawOpen"]] == 1


def test_a_unit_of_one_side():
    wink = from_action_units({"AU45L": 1})
    assert wink[INDEX["eyeBlinkLeft"]] == 1
    assert wink[INDEX["eyeBlinkRight"]] == 0


def test_jaw_drop_comes_before_mouth_stretch():
    wide = to_action_units(np.stack([expression({"jawOpen": v}) for v in (0.2, 0.4, 1)]))
    assert wide["AU26"] == pytest.approx([0.5, 1, 1])
    assert wide["AU27"] == pytest.approx([0, 0, 1])
