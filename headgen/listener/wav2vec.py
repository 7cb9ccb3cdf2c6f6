"""wav2vec 2.0 as speech features, through torchaudio: the extra ``speech``.

The network is not causal: every hidden state attends to the whole sound it is given. So each frame has a run
of its own, on the second of sound that ends with it. That costs 25 seconds of sound in the network for each
one that is heard, about 0.25 TFLOP with the base model: work for a GPU; a processor takes several seconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from headgen.errors import MissingExtraError, WeightsError
from headgen.listener.speech import HOP, FramedExtractor
from headgen.listener.track import FPS

__all__ = ["STATES", "Wav2VecFeatures"]

STATES = 2
"""Hidden states of the network (every 20 ms) in a frame."""
CONTEXT = FPS * HOP + 80
"""Samples of a run: 25 frames, and 80 more; the last hidden state (400 samples, every 320) ends with it."""


class Wav2VecFeatures(FramedExtractor):
    """Hidden states of wav2vec 2.0 (Baevski et al. 2020), two to a frame, averaged.

    The first convolution is followed by a normalisation over the run, so that volume does not matter.

    Our design: a layer in the middle, where prosody and phones both can be read; normalised over its width,
    which gives it unit size by itself.

    Args:
        network: with the method ``extract_features(waveforms, num_layers=...)`` of torchaudio's
            `Wav2Vec2Model`, whose first result lists (1, S, width) by layer; None: the base model, which
            torchaudio fetches once (360 MB).
        width: of the hidden states.
        layer: counted from 1.

    Raises:
        MissingExtraError: torchaudio is not installed, or not of the same build as torch.
        WeightsError: its weights could not be fetched.
    """

    name = "wav2vec2"

    def __init__(self, network: Any = None, width: int = 768, layer: int = 6) -> None:
        super().__init__(before=CONTEXT - HOP)
        self.width = width
        self._network: Any = _base_model() if network is None else network
        self._layer = layer

    @torch.inference_mode()
    def _row(self, sound: np.ndarray) -> np.ndarray:
        device = next(self._network.parameters()).device
        waveform = torch.from_numpy(sound)[None].to(device)
        states, _ = self._network.extract_features(waveform, num_layers=self._layer)
        frame = states[-1][0, -STATES:].mean(0)  # (width,)
        return F.layer_norm(frame, frame.shape).cpu().numpy()


def _base_model() -> torch.nn.Module:
    try:
        from torchaudio.pipelines import WAV2VEC2_BASE
    except (ImportError, OSError) as error:  # OSError: a build for CUDA beside a torch without
        raise MissingExtraError("torchaudio", "speech", "wav2vec 2.0") from error
    try:
        model: torch.nn.Module = WAV2VEC2_BASE.get_model().eval()
    except OSError as error:
        raise WeightsError(
            f"wav2vec2: could not be fetched ({error}); connect once, or use log-mel"
        ) from error
    return model.to("cuda" if torch.cuda.is_available() else "cpu")
