"""How heads move: statistics of people, and motion that has them."""

from headgen.synth.motion.gestures import DURATIONS, add, gesture
from headgen.synth.motion.idle import STYLES, Style, draw_style, idle_motion
from headgen.synth.motion.mouth import babble

__all__ = ["DURATIONS", "STYLES", "Style", "add", "babble", "draw_style", "gesture", "idle_motion"]
