"""Data sets of the synthetic world: made, resumed, described, read."""
