"""Figures of one long video on several workers: what is told of a run, and sound that is long enough."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import wavfile

from headgen.errors import HeadgenError
from headgen.evaluation.bench_spread import SpreadReport, _measured, _repeat


def test_sound_is_repeated_until_it_is_long_enough(tmp_path):
    once = np.random.default_rng(0).integers(-9000, 9000, 16_000).astype(np.int16)
    wavfile.write(tmp_path / "once.wav", 16_000, once)
    _repeat(tmp_path / "once.wav", tmp_path / "long.wav", 0.05)
    rate, samples = wavfile.read(tmp_path / "long.wav")
    assert rate == 16_000 and len(samples) == 3 * 16_000
    assert np.abs(samples.reshape(3, -1).astype(int) - once).max() <= 1


def test_a_run_is_measured_and_one_that_fails_is_told():
    run = _measured(["weights", "list"])
    assert run["core_seconds"] > 0 and run["program"] > 10 and run["sum"] > 10
    with pytest.raises(HeadgenError, match="weights failed: .*nothing"):
        _measured(["weights", "verify", "nothing"])
    same = {"speed": 1.0, "sha256": "0", **run}
    facts = {"minutes": 1, "cores": 2, "busy": 0.0}
    text = str(SpreadReport(facts | {"runs": {"one": same | {"same": True}, "two": same | {"same": False}}}))
    assert [line.split()[-1] for line in text.splitlines()[2:]] == ["yes", "NO"]
