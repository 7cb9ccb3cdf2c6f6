"""A tiny listener for tests: all its parts are real, none is trained, and each has something to say."""

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from headgen.listener.adapter import CTMAdapter
from headgen.listener.gen import ListenerPipeline
from headgen.listener.latents import CHANNELS, PARTS, FaceMotion, WarpCodec, part_landmarks, places
from headgen.listener.track import SpeakerTrack
from headgen.listener.transformer import ListenerTransformer

AUDIO, MOTION = 84, 37  # features of a speaker's row
WINDOW = 12  # latent frames that the network sees


def made_up_motion(frames=48, seed=0, directions=8):
    """A face each of whose parts wanders in some directions, slowly, while the head turns a little."""
    rng, face = np.random.default_rng(seed), np.random.default_rng(0)

    def wander(width):
        times = np.arange(frames)[:, None] / 25
        return sum(
            np.sin(2 * np.pi * (rng.uniform(0.2, 2, width) * times + rng.random(width))) for _ in range(4)
        )

    shape = np.zeros((frames, 478, 3))
    for members in part_landmarks():
        ways = face.normal(0, 0.004, (directions, len(members) * 3)) / np.arange(1, directions + 1)[:, None]
        shape[:, members] = (wander(directions) @ ways).reshape(frames, len(members), 3)
    pose = wander(6) * [2, 2, 2, 0.05, 0.03, 0.01]
    return FaceMotion(pose.astype(np.float32), shape.astype(np.float32))


def tiny_codec():
    """A codec of such faces."""
    return WarpCodec.fitted([made_up_motion(seed=k, frames=200) for k in range(3)])


def tiny_pipeline(window=WINDOW, layers=2, seed=0):
    """A pipeline whose zero layers have learnt something and whose gates are open."""
    torch.manual_seed(seed)
    transformer = ListenerTransformer(
        width=64, heads=2, layers=layers, places=places().tolist(), window=window, portrait_width=CHANNELS
    )
    adapter = CTMAdapter(
        base_width=64, layers=list(range(layers)), width=32, heads=2, encoder_layers=2, kernel=3,
        window_frames=16,
    )  # fmt: skip
    for part in (transformer, adapter):
        for name, parameter in part.named_parameters():
            if name.endswith("gate"):
                torch.nn.init.constant_(parameter, 1.0)
            elif not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    pipeline = ListenerPipeline(transformer.eval(), adapter.eval(), tiny_codec(), scheduler)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def made_up_speaker(rows, seed=1):
    """A track of noise."""
    rng = np.random.default_rng(seed)
    audio, motion = rng.normal(size=(rows, AUDIO)), rng.normal(size=(rows, MOTION))
    there = np.ones(rows, bool)
    return SpeakerTrack(audio.astype(np.float32), motion.astype(np.float32), there, there)


def portrait(batch=1, seed=2):
    """(B, P, C) tokens."""
    return torch.randn(batch, len(PARTS), CHANNELS, generator=torch.Generator().manual_seed(seed))
