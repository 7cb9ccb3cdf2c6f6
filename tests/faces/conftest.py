"""The one real face of the tests: the astronaut of scikit-image."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(scope="session")
def astronaut():
    """(512, 512, 3) uint8."""
    from skimage.data import astronaut

    picture = np.ascontiguousarray(astronaut())
    picture.flags.writeable = False
    return picture


@pytest.fixture(scope="session")
def tracker():
    from headgen.faces.tracker import MediaPipeTracker

    with MediaPipeTracker() as tracker:
        yield tracker


@pytest.fixture(scope="session")
def astronaut_landmarks(tracker, astronaut):
    """(478, 3)."""
    return tracker.track(astronaut, still=True).landmarks
