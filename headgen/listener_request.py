"""What listening to a file and listening live have in common: what is asked for, models, what is written."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from headgen import hub
from headgen.errors import InputError, WeightsError
from headgen.listener.gen import USUAL_STEPS, ListenerPipeline
from headgen.listener.speaker import shown_pictures
from headgen.listener.text import TextRequest, load_text_encoder, read_text
from headgen.listener.track import FPS
from headgen.listener.wishes import ATTITUDES, Wish
from headgen.media.image import side_by_side
from headgen.media.provenance import container_metadata
from headgen.media.video import VideoWriter
from headgen.nn.saved import saved_config

__all__ = [
    "FrameMode", "Layout", "Listening", "asked_for", "check_listener", "digests", "usual_model",
    "write_video",
]  # fmt: skip

logger = logging.getLogger(__name__)

Layout = Literal["single", "side-by-side"]
FrameMode = Literal["full", "crop"]
LISTENER, LIVE_LISTENER = "listener-small", "listener-fast"
"""The models that listen unless another one is chosen: in segments of many steps, and in chunks of few."""
PAINTER = "fsrt-small"
"""The model that draws what the listener's latents say."""
MOST_CHUNK = 12
"""Latent frames that are made at a time, at most."""


@dataclass(frozen=True)
class Listening:
    """What `listen` made."""

    outputs: list[Path]
    """The videos, one for each take."""
    records: list[Path]
    """The run records beside them."""
    frames: int
    """Frames of each."""
    seconds: float
    """How long all took."""
    understood: str = ""
    """What was made of the text and the attitude."""
    live: str = ""
    """How live it was, if it was streamed."""

    def __str__(self) -> str:
        """One line for people, one on what was asked for, and one on how live it was."""
        made = self.frames * len(self.outputs)
        rate = made / FPS / max(self.seconds, 1e-9)
        names = ", ".join(map(str, self.outputs))
        line = f"{names}: {made} frames in {self.seconds:.1f} s ({rate:.2f} times real time)"
        more = ("asked for: ", self.understood), ("live: ", self.live)
        return "\n".join([line, *(f"{name}{text}" for name, text in more if text)])


def asked_for(
    text: str | None, attitude: str | None, intensity: float, reader: hub.Weights | None
) -> TextRequest:
    """What a listener is asked to do; what of a text was not understood is told in a warning.

    Args:
        text: see `listen`.
        attitude: see `listen`.
        intensity: of the attitude.
        reader: weights of the text encoder; None without a text.

    Raises:
        InputError: nothing was understood, an unknown attitude or intensity, or two attitudes.
    """
    if attitude is not None and attitude not in ATTITUDES:
        raise InputError(f"attitude={attitude!r} is unknown; choose from {', '.join(ATTITUDES)}")
    given = () if attitude is None else (Wish(attitude, intensity),)
    if text is None or reader is None:
        return TextRequest(given)
    request = read_text(text, load_text_encoder(reader.folder))
    also = sorted({wish.name for wish in request.wishes} & set(ATTITUDES))
    if given and also:
        raise InputError(f"the text asks for {', '.join(also)} and attitude={attitude!r} too; leave one out")
    if request.doubts:
        logger.warning("text: %s", request)
    return replace(request, wishes=(*given, *request.wishes))


def usual_model(goes_on: bool) -> str:
    """Name of the listener that is used if nobody chooses one.

    Args:
        goes_on: whether it is made chunk by chunk, as ``causal`` and live ones are.
    """
    return LIVE_LISTENER if goes_on else LISTENER


def check_listener(model: str, folder: Path) -> int:
    """The denoising steps that a listener was made for.

    Args:
        model: its name.
        folder: of its weights.

    Raises:
        WeightsError: the folder holds something else.
    """
    config = saved_config(folder / "model_index.json")
    steps = config.get("steps", USUAL_STEPS)
    if config.get("_class_name") != ListenerPipeline.__name__ or not isinstance(steps, int):
        raise WeightsError(
            f"model {model}: is no listener; give listener-small, or the folder model/ that "
            "`headgen train listener-gen` wrote"
        )
    return steps


def digests(*models: hub.Weights) -> dict[str, str]:
    """SHA-256 of all files, with the model's name, because each model has files of the same names."""
    return {
        f"{found.folder.name}/{file}": digest for found in models for file, digest in found.sha256.items()
    }


def write_video(
    output: Path,
    pictures: Generator[tuple[int, NDArray[np.uint8]], None, None],
    speaker: Path,
    has_audio: bool,
    layout: Layout,
    model: str,
) -> None:
    """Writes one take."""
    with ExitStack() as stack:
        stack.enter_context(closing(pictures))
        writer = stack.enter_context(
            VideoWriter(
                output,
                Fraction(FPS),
                audio_from=speaker if has_audio else None,
                metadata=container_metadata(model),
            )
        )
        beside = stack.enter_context(closing(shown_pictures(speaker))) if layout == "side-by-side" else None
        for _, picture in pictures:
            writer.write(picture if beside is None else side_by_side(next(beside), picture))
