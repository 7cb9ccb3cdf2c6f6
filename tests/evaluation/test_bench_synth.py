"""The tracker on synthetic heads."""

from __future__ import annotations

import pytest

from headgen.errors import InputError
from headgen.evaluation.bench_synth import bench


def test_the_tracker_finds_analytic_heads_where_they_are():
    figures = bench(model="analytic", count=6, seed=1)
    assert figures["pictures"] >= 4 and figures["found"] == 1
    assert 0.005 < figures["landmarks_median"] < 0.12


def test_nothing_to_measure_is_told():
    with pytest.raises(InputError, match="count=0"):
        bench(model="analytic", count=0)
