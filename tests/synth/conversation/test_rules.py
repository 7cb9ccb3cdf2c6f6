import numpy as np
import pytest

from headgen.errors import InputError
from headgen.synth.conversation.attitude import ATTITUDES, FULL, IMPASSIVE, manner, rest
from headgen.synth.conversation.events import LISTENER_KINDS
from headgen.synth.conversation.rules import LATENCY_BOUNDS, RULES, Percept, latency, mirror_smile


def test_intensity_goes_from_impassive_to_the_full_attitude():
    assert manner("bored", 0.0) == manner("warm", 0.0) == IMPASSIVE
    for attitude in ATTITUDES:
        assert manner(attitude, 1.0).gaze == pytest.approx(FULL[attitude].gaze)
        face, head = rest(attitude, 0.5)
        assert face.max() < 0.2 and np.abs(head).max() < 5, "a face at rest is no event"
    assert manner("warm", 0.3).nod < manner("warm", 0.6).nod < manner("warm", 0.9).nod


@pytest.mark.parametrize(("attitude", "intensity"), [("angry", 0.5), ("warm", 1.5), ("warm", -0.1)])
def test_unknown_attitudes_are_refused(attitude, intensity):
    with pytest.raises(InputError, match=r"known: warm|from 0 to 1"):
        manner(attitude, intensity)


def test_reaction_times_are_log_normal_about_their_median():
    rng = np.random.default_rng(0)
    full = FULL["neutral"]
    drawn = np.array([latency(0.5, full, rng) for _ in range(4000)])
    assert np.median(drawn) == pytest.approx(0.5, rel=0.03)
    assert np.log(drawn).std() == pytest.approx(0.3, rel=0.06)
    assert drawn.min() >= LATENCY_BOUNDS[0] and drawn.max() <= LATENCY_BOUNDS[1]


@pytest.mark.parametrize("kind", RULES)
def test_rules_depend_on_their_own_stream_only_and_stay_possible(kind):
    for attitude in ATTITUDES:
        for seed in range(30):
            percept = Percept(kind, 40, 0.8, sideways=1.0)
            for rule in RULES[kind]:
                first, again = (rule(percept, FULL[attitude], np.random.default_rng(seed)) for _ in range(2))
                assert first == again
                for reaction in first:
                    assert reaction.kind in LISTENER_KINDS
                    assert 0 < reaction.strength <= 1 and reaction.duration >= 0.2
                    assert LATENCY_BOUNDS[0] <= reaction.delay <= LATENCY_BOUNDS[1]


def test_smiles_come_back_weaker():
    percept = Percept("smile", 10, 0.9)
    rng = np.random.default_rng(1)
    sizes = [r.strength for _ in range(300) for r in mirror_smile(percept, FULL["warm"], rng)]
    assert len(sizes) > 250 and np.mean(sizes) < 0.92 * percept.strength * FULL["warm"].size


def test_a_listener_who_is_not_looked_at_nods_less():
    def nods(looked_at):
        percept = Percept("pause", 10, 0.8, looked_at)
        rng = np.random.default_rng(2)
        return sum(
            r.kind.startswith("nod")
            for _ in range(400)
            for r in RULES["pause"][0](percept, FULL["warm"], rng)
        )

    assert nods(False) < 0.7 * nods(True)
