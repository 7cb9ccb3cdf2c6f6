"""Two persons of the analytic head, measured once for all tests of what people wear."""

from dataclasses import dataclass

import numpy as np
import pytest


@dataclass(frozen=True)
class Person:
    model: object
    neutral: np.ndarray
    anatomy: object


@pytest.fixture(scope="session")
def people():
    pytest.importorskip("numba", reason="the synth extra is not installed")
    from headgen.synth.appearance.anatomy import Anatomy
    from headgen.synth.heads.analytic import AnalyticModel

    model = AnalyticModel()
    out = []
    for seed in (None, 3):
        identity = (
            np.zeros(0) if seed is None else np.random.default_rng(seed).normal(0, 0.9, model.identities)
        )
        neutral = model.neutral(identity.astype(np.float32))
        out.append(Person(model, neutral, Anatomy.of(neutral, model.topology)))
    return out


@pytest.fixture(scope="session")
def person(people):
    return people[0]
