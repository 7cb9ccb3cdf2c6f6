"""x."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Caption:
    text: str


def write_captions(events, duration, attitude, intensity, rng):
    return ()
