import numpy as np
import pytest
from render_shapes import posed, sphere, surface, topology, turned

from headgen.errors import InputError
from headgen.synth.heads.model import HeadMotion, PosedHead
from headgen.synth.render.bench import run, stages, talking
from headgen.synth.render.flaws import Flaws
from headgen.synth.render.light import procedural_light
from headgen.synth.render.scene import Camera
from headgen.synth.settings import Setting


class Ball:
    """A head that is a ball."""

    name, identities = "ball", 0

    def __init__(self) -> None:
        self.points, triangles, uv = sphere(7.0)
        self.topology = topology(triangles, uv, np.arange(3))

    def neutral(self, identity: np.ndarray) -> np.ndarray:
        return self.points

    def pose(self, neutral: np.ndarray, motion: HeadMotion) -> PosedHead:
        return posed(neutral, turned(len(motion), motion.head[:, 0]))


def test_every_stage_is_measured() -> None:
    model, rng = Ball(), np.random.default_rng(0)
    skin = surface("ball", model.topology.triangles, model.topology.uv)
    setting = Setting(
        Camera.portrait(64), procedural_light(rng), np.zeros((64, 64, 3), np.uint8), Flaws.draw(rng)
    )
    spent = stages(model, model.points, [skin], setting, talking(2), supersample=2, rounds=2)
    assert set(spent) == {"pose", "project", "raster", "shade", "truth", "flaws"}
    assert all(0 < seconds < 1 for seconds in spent.values())
    with pytest.raises(InputError, match="rounds=0"):
        run(rounds=0)


def test_the_head_talks_turns_and_blinks() -> None:
    motion = talking(40)
    assert motion.expression.min() >= 0 and motion.expression.max() <= 1
    assert (np.ptp(motion.expression, 0) > 0.2).sum() >= 4
    assert np.ptp(motion.head[:, 0]) > 40
