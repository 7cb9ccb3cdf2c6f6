"""Tiny data sets: a drawn face that turns and opens its mouth, with its landmarks; listeners of noise."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_listener import made_up_motion, made_up_speaker, tiny_codec

from headgen.media.clips import write_clip, write_index
from headgen.media.tensors import write_tensors

SIZE = 64
LATENTS, CLIPS = 20, 10


def draw_face(turn: float, mouth: float, colour: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A disc with eyes and a mouth, and 478 landmarks on its rim; the named ones lie on the features."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    cx, cy, radius = 32 + 6 * turn, 32, 18
    image = np.full((SIZE, SIZE, 3), 60.0)
    image[(x - cx) ** 2 + ((y - cy) / 1.2) ** 2 < radius**2] = colour
    centre = cx + 5 * turn
    for side in (-1, 1):
        image[(x - centre - 7 * side) ** 2 + (y - 27) ** 2 < 6] = 20
    image[((x - centre) / 7) ** 2 + ((y - 43) / (1 + 4 * mouth)) ** 2 < 1] = (120, 20, 20)
    angle = np.linspace(0, 2 * np.pi, 478)
    landmarks = np.stack([cx + radius * np.cos(angle), cy + 1.2 * radius * np.sin(angle), 0 * angle], 1)
    for index, point in {
        1: (centre, 35), 152: (cx, 54), 61: (centre - 7, 43), 291: (centre + 7, 43),
        33: (centre - 7, 27), 263: (centre + 7, 27),
    }.items():  # fmt: skip
        landmarks[index, :2] = point
    return image.astype(np.uint8), landmarks.astype(np.float32)


@pytest.fixture(scope="session")
def face_clips(tmp_path_factory):
    """Folder of a data set: three people to train on, one to validate with, eight frames each."""
    directory = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    for person in range(4):
        colour = rng.uniform(120, 230, 3)
        drawn = [draw_face(*rng.uniform([-1, 0], [1, 1]), colour) for _ in range(8)]
        write_clip(
            directory, f"p{person}", [d[0] for d in drawn], np.stack([d[1] for d in drawn]),
            split="val" if person == 3 else "train",
        )  # fmt: skip
    write_index(directory)
    return directory


@pytest.fixture(scope="session")
def listening_clips(tmp_path_factory):
    """Folder of made-up listeners and noise; the last clip is for validation, the one before for tests."""
    folder = tmp_path_factory.mktemp("conversations")
    codec = tiny_codec()
    codec.save_pretrained(folder / "codec")
    (folder / "clips").mkdir()
    blink = {"kind": "blink", "who": "listener", "start": 0.8, "end": 1.1}
    for k in range(CLIPS):
        track = made_up_speaker(4 * LATENTS, seed=k)
        arrays = {
            "latents": codec.encode(made_up_motion(4 * LATENTS, seed=k)).numpy().astype(np.float16),
            "audio": track.audio.astype(np.float16),
            "motion": track.motion.astype(np.float16),
            "seen": track.seen,
            "speaker": np.zeros((4 * LATENTS, 1), np.float32),
        }
        write_tensors(folder / "clips" / f"{k:05d}.safetensors", arrays, {})
        (folder / "clips" / f"{k:05d}.json").write_text(json.dumps({"events": [blink]}))
    return folder
