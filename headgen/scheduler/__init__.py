"""Long videos in segments: what is made when, with which seed, in how much memory."""

from headgen.scheduler.cache import Cache, fingerprint
from headgen.scheduler.engine import Engine, JoiningEngine, Picture, Result, Step
from headgen.scheduler.events import SegmentEvent
from headgen.scheduler.plan import Plan, Planner, Segment, Transition, plan_segments
from headgen.scheduler.processes import ProcessEngine
from headgen.scheduler.run import run

__all__ = [
    "Cache",
    "Engine",
    "JoiningEngine",
    "Picture",
    "Plan",
    "Planner",
    "ProcessEngine",
    "Result",
    "Segment",
    "SegmentEvent",
    "Step",
    "Transition",
    "fingerprint",
    "plan_segments",
    "run",
]
