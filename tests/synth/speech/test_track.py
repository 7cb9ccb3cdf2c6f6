import numpy as np

from headgen.synth.speech.track import SAMPLE_RATE, Speech


def test_duration_is_that_of_the_samples():
    nothing = np.zeros(0, np.float32)
    assert Speech(np.zeros(SAMPLE_RATE * 3 // 2, np.float32), (), (), nothing, nothing).duration == 1.5
