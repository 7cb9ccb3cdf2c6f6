"""A data set of made-up conversations, to train a listener on."""

from __future__ import annotations

import json

import numpy as np
from tiny_listener import made_up_motion, made_up_speaker, tiny_codec

from headgen.faces.motion import motion_coefficients
from headgen.media.tensors import write_tensors

LATENTS, CLIPS = 20, 10
"""Latent frames of a conversation, and conversations: the last one is for validation."""


def write_conversations(folder):
    """A data set of made-up listeners and noise."""
    codec = tiny_codec()
    codec.save_pretrained(folder / "codec")
    (folder / "clips").mkdir()
    for k in range(CLIPS):
        motion, track = made_up_motion(4 * LATENTS, seed=k), made_up_speaker(4 * LATENTS, seed=k)
        arrays = {
            "latents": codec.encode(motion).numpy().astype(np.float16),
            "audio": track.audio.astype(np.float16),
            "motion": track.motion.astype(np.float16),
            "seen": track.seen,
            "speaker": motion_coefficients(made_up_motion(4 * LATENTS, seed=100 + k).landmarks()),
        }
        write_tensors(folder / "clips" / f"{k:05d}.safetensors", arrays, {})
        (folder / "clips" / f"{k:05d}.json").write_text(json.dumps(facts(k)))
    return folder


def facts(number):
    """Nods and smiles that nobody and somebody caused."""
    kinds = [("nod", 0.4, 0.9, 3), ("smile", 0.6, 2.4, None), ("nods", 1.5, 2.6, 5), ("nod", 2.0, 2.5, None)]
    events = [
        {"kind": kind, "who": who, "start": start, "end": end, "strength": 0.8, "cause": cause}
        for who in ("listener", "speaker")
        for kind, start, end, cause in kinds
    ]
    return {"seed": number, "attitude": "warm", "intensity": 0.6, "events": events}
