"""CTM-Adapter: gives a video diffusion transformer ears and eyes for a speaker, causally.

DiTaiListener (arXiv 2504.04010) conditions a video transformer on what a speaker says and how the speaker's
face moves, through a Causal Temporal Multimodal Adapter.  How that is built has not been published.

Our design, in the order of the name:

*Multimodal.*  A row of the speaker (1 / 25 s) becomes two tokens, one of what was heard and one of what was
seen (`SpeakerEncoder`).  They are mixed with each other, row by row, and stay two.

*Temporal.*  A token knows the recent past of its row through causal depth-wise convolutions; a token of the
video looks back over the last `window_frames` rows and knows how long ago each was (rotary positions).

*Causal.*  The tokens of latent frame t see rows up to the end of t and none later.

*Adapter.*  After a block of the base, its video tokens ask the speaker tokens by cross-attention
(`SpeakerAttention`), decoupled as in IP-Adapter (Ye et al., 2023, section 3.2): heads for the audio and heads
for the motion.  The answer of each modality is added through a gate tanh(g), g = 0 at first (Alayrac et al.,
Flamingo, 2022, section 2.2): inserting the adapter leaves the base's output as it was, to the bit.  The base
is only ever called: it needs no change, and only the adapter is trained and saved.

Each modality of each sample can be withheld, and a learned token then says so: trained with that, each has a
guidance scale of its own.  Speaker tokens do not depend on the video: `CTMAdapter.encode` makes them once,
`CTMAdapter.block` uses them after each block in every denoising step.

Shapes: B batch, T rows of the speaker, A audio and M motion features, W the adapter's width, H heads for each
modality, K width of a head, F latent frames, P tokens a latent frame, N = F * P, C the base's width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from types import TracebackType
from typing import Any, Self, cast

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from einops import rearrange
from torch import Tensor, nn

from headgen.listener.track import SpeakerTrack
from headgen.nn.attention import feed_forward
from headgen.nn.rotary import RotaryAxis, rotary_turns, rotate

__all__ = ["Attachment", "CTMAdapter", "SpeakerCondition", "SpeakerTokens", "speaker_condition"]


@dataclass(frozen=True)
class SpeakerCondition:
    """Speakers of a batch, as tensors; fields as in `SpeakerTrack`.

    Attributes:
        audio: (B, T, A) float.
        motion: (B, T, M) float.
        heard: (B, T) bool.
        seen: (B, T) bool.
        keep_audio: (B,) bool; where False, audio is withheld: the network is told that it does not know.
        keep_motion: (B,) bool, the same of motion.
    """

    audio: Tensor
    motion: Tensor
    heard: Tensor
    seen: Tensor
    keep_audio: Tensor
    keep_motion: Tensor

    def to(self, device: torch.device | str) -> SpeakerCondition:
        """The same on another device."""
        return SpeakerCondition(**{name: tensor.to(device) for name, tensor in vars(self).items()})


def speaker_condition(
    tracks: Sequence[SpeakerTrack],
    keep_audio: bool | Sequence[bool] = True,
    keep_motion: bool | Sequence[bool] = True,
) -> SpeakerCondition:
    """Tracks of the same length as a batch.

    For guidance, give a track several times, with other things withheld each time.

    Args:
        tracks: B tracks of T frames each.
        keep_audio: whether audio is given, for all tracks or for each.
        keep_motion: the same of motion.
    """

    def stacked(name: str) -> Tensor:
        return torch.from_numpy(np.stack([getattr(track, name) for track in tracks]))

    def flags(keep: bool | Sequence[bool]) -> Tensor:
        return torch.tensor(keep).expand(len(tracks))

    return SpeakerCondition(
        stacked("audio"),
        stacked("motion"),
        stacked("heard"),
        stacked("seen"),
        flags(keep_audio),
        flags(keep_motion),
    )


@dataclass(frozen=True)
class SpeakerTokens:
    """Speakers as the blocks read them: rows `first` to `end - 1`.

    Attributes:
        keys_values: for each adapted block keys and values, (B, 2 H, T, K) each: the first H heads are of the
            audio, the others of the motion.
        first: index of the first row.
        end: index after the last row.
        whole_from: latent frames that end at this row or later find here whatever they may see.
        recent: last inputs of each encoder layer, to encode further rows with.
        encoded: (B, T, 2, W) tokens of the rows that were encoded last, before any block's projection.
    """

    keys_values: dict[int, tuple[Tensor, Tensor]]
    first: int
    end: int
    whole_from: int
    recent: tuple[Tensor, ...]
    encoded: Tensor

    def followed_by(self, new: SpeakerTokens, window: int) -> SpeakerTokens:
        """The last `window` rows of these, and new rows."""
        first = max(self.first, self.end - window)

        def joined(old: Tensor, fresh: Tensor) -> Tensor:
            return torch.cat([old[:, :, first - self.first :], fresh], dim=2)

        keys_values = {
            index: (joined(keys, new.keys_values[index][0]), joined(values, new.keys_values[index][1]))
            for index, (keys, values) in self.keys_values.items()
        }
        whole_from = self.whole_from if first == self.first else first + window
        return SpeakerTokens(keys_values, first, new.end, whole_from, new.recent, new.encoded)


class SpeakerLayer(nn.Module):
    """Looks back over `kernel` rows in steps of `dilation`, then mixes what was heard with what was seen."""

    def __init__(self, width: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.reach = (kernel - 1) * dilation
        self.look_back = nn.Conv1d(2 * width, 2 * width, kernel, dilation=dilation, groups=2 * width)
        self.norm = nn.LayerNorm(2 * width)
        self.mix = feed_forward(2 * width, 2 * width)

    def forward(self, x: Tensor, recent: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (B, T, 2 W), after the `recent` (B, reach, 2 W) inputs; also returns what is recent next."""
        inputs = torch.cat([recent, x], dim=1)
        y = self.look_back(inputs.transpose(1, 2)).transpose(1, 2)
        return x + self.mix(self.norm(y)), inputs[:, inputs.shape[1] - self.reach :]


class SpeakerEncoder(nn.Module):
    """Two tokens for each row of the speaker, of what was heard and of what was seen up to then."""

    def __init__(self, audio_width: int, motion_width: int, width: int, layers: int, kernel: int) -> None:
        super().__init__()
        self.width = width
        self.audio_in = nn.Linear(audio_width, width)
        self.motion_in = nn.Linear(motion_width, width)
        self.unheard, self.withheld_audio, self.unseen, self.withheld_motion = (
            nn.Parameter(torch.randn(width) * 0.5) for _ in range(4)
        )
        self.layers = nn.ModuleList(SpeakerLayer(width, kernel, 2**i) for i in range(layers))
        self.reaches = [(kernel - 1) * 2**i for i in range(layers)]
        self.norm = nn.LayerNorm(width)

    def start(self, batch: int) -> tuple[Tensor, ...]:
        """What is recent before the first row: nothing."""
        return tuple(self.unheard.new_zeros(batch, reach, 2 * self.width) for reach in self.reaches)

    def forward(
        self, speaker: SpeakerCondition, recent: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Tokens (B, T, 2, W), audio's first; and what is recent for the rows that follow."""
        audio = torch.where(speaker.heard[..., None], self.audio_in(speaker.audio), self.unheard)
        audio = torch.where(speaker.keep_audio[:, None, None], audio, self.withheld_audio)
        motion = torch.where(speaker.seen[..., None], self.motion_in(speaker.motion), self.unseen)
        motion = torch.where(speaker.keep_motion[:, None, None], motion, self.withheld_motion)
        x = torch.cat([audio, motion], dim=-1)  # (B, T, 2 W)
        next_recent = []
        for layer, inputs in zip(self.layers, recent, strict=True):
            x, inputs = layer(x, inputs)
            next_recent.append(inputs)
        return self.norm(x.unflatten(-1, (2, self.width))), tuple(next_recent)


class SpeakerAttention(nn.Module):
    """Video tokens ask what was heard and what was seen; each answer is added through its gate."""

    def __init__(self, base_width: int, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(base_width)
        self.query = nn.Linear(base_width, 2 * width, bias=False)
        self.query_norm = nn.RMSNorm(width // heads, eps=1e-6)
        self.audio_key_value = nn.Linear(width, 2 * width, bias=False)
        self.motion_key_value = nn.Linear(width, 2 * width, bias=False)
        self.key_norm = nn.RMSNorm(width // heads, eps=1e-6)
        self.audio_out = nn.Linear(width, base_width, bias=False)
        self.motion_out = nn.Linear(width, base_width, bias=False)
        self.audio_gate = nn.Parameter(torch.zeros(()))
        self.motion_gate = nn.Parameter(torch.zeros(()))

    def project(self, tokens: Tensor, turns: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, 2 H, T, K) of speaker tokens (B, T, 2, W)."""
        audio, motion = tokens.unbind(2)
        key_value = torch.stack([self.audio_key_value(audio), self.motion_key_value(motion)], dim=2)
        k, v = rearrange(key_value, "b t m (two h k) -> two b t (m h) k", two=2, h=self.heads)
        return rotate(self.key_norm(k), turns).transpose(1, 2), v.transpose(1, 2)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, turns: Tensor, mask: Tensor | None) -> Tensor:
        """Maps (B, N, C) to what is to be added to it; `turns` (N, K / 2), `mask` (N, T)."""
        q = rearrange(self.query(self.norm(x)), "b n (h k) -> b n h k", h=2 * self.heads)
        q = rotate(self.query_norm(q), turns).transpose(1, 2)  # (B, 2 H, N, K)
        y = F.scaled_dot_product_attention(q, keys, values, attn_mask=mask)
        audio, motion = rearrange(y, "b (m h) n k -> m b n (h k)", m=2)
        heard, seen = self.audio_out(audio), self.motion_out(motion)  # (B, N, C) each
        return self.audio_gate.tanh() * heard + self.motion_gate.tanh() * seen


class CTMAdapter(ModelMixin, ConfigMixin):
    """Causal Temporal Multimodal Adapter: see the head of this file.

    Args:
        base_width: C.
        layers: which blocks of the base are adapted.
        audio_width: A.
        motion_width: M.
        width: W.
        heads: H.
        encoder_layers: layers of the speaker encoder, the i-th looking back in steps of 2^i rows.
        kernel: rows that each of them looks at.
        frames_per_latent: rows of the speaker in a latent frame (at 25 frames per second: video frames).
        first_frames: rows in latent frame 0; None is `frames_per_latent`. Causal video autoencoders make the
            first latent frame of a single video frame.
        window_frames: rows that a latent frame sees, its own included.
    """

    @register_to_config
    def __init__(
        self,
        base_width: int = 256,
        layers: Sequence[int] = (0, 1, 2, 3, 4, 5),
        audio_width: int = 84,
        motion_width: int = 37,
        width: int = 128,
        heads: int = 4,
        encoder_layers: int = 3,
        kernel: int = 5,
        frames_per_latent: int = 4,
        first_frames: int | None = None,
        window_frames: int = 64,
    ) -> None:
        super().__init__()
        self.encoder = SpeakerEncoder(audio_width, motion_width, width, encoder_layers, kernel)
        self.attentions = nn.ModuleDict(
            {str(layer): SpeakerAttention(base_width, width, heads) for layer in layers}
        )

    @property
    def history(self) -> int:
        """Rows before a latent frame's own that its output can depend on."""
        c = self.config
        return c.window_frames - c.frames_per_latent + sum(self.encoder.reaches)

    def open_gates(self, share: float) -> None:
        """Opens all gates.

        Args:
            share: how far, 0 to below 1.
        """
        for index in self.config.layers:
            attention = self._attention(index)
            for gate in (attention.audio_gate, attention.motion_gate):
                nn.init.constant_(gate, math.atanh(share))

    def encode(
        self, speaker: SpeakerCondition, first: int = 0, past: SpeakerTokens | None = None
    ) -> SpeakerTokens:
        """Speaker tokens, for any number of calls of `block`.

        Args:
            speaker: T rows of each speaker.
            first: index of the first row; there was nothing before it. Ignored with `past`.
            past: tokens of the rows before, which these go on from. The last `window_frames` of those are
                kept, unchanged: enough for latent frames of new rows, and bounded memory.

        Returns:
            Tokens of the past and of the new rows.
        """
        c = self.config
        batch, count = speaker.heard.shape
        first = first if past is None else past.end
        recent = self.encoder.start(batch) if past is None else past.recent
        tokens, recent = self.encoder(speaker, recent)  # (B, T, 2, W)
        turns = _turns(range(first, first + count), 1, c.width // c.heads, c.window_frames, tokens.device)
        keys_values = {index: self._attention(index).project(tokens, turns) for index in c.layers}
        new = SpeakerTokens(keys_values, first, first + count, first + 1, recent, tokens)
        return new if past is None else past.followed_by(new, c.window_frames)

    def block(self, index: int, x: Tensor, tokens: SpeakerTokens, start: int = 0) -> Tensor:
        """Adds to the output of a block of the base what its video tokens learn of the speaker.

        Args:
            index: which block.
            x: (B, F, P, C) output of the block.
            tokens: of `encode`.
            start: index of the first latent frame.

        Returns:
            (B, F, P, C); `x` itself if the block is not adapted.

        Raises:
            ValueError: `tokens` lack rows that the latent frames see.
        """
        if index not in tokens.keys_values:
            return x
        c = self.config
        frames, parts = x.shape[1:3]
        step = c.frames_per_latent
        end = step * start + (step if c.first_frames is None else c.first_frames)
        ends = range(end, end + step * frames, step)  # each frame sees the rows before its end
        if ends[0] < tokens.whole_from or ends[-1] > tokens.end:
            raise ValueError(
                f"latent frames that end at rows {ends[0]} to {ends[-1]} need speaker tokens up to there; "
                f"these are whole for {tokens.whole_from} to {tokens.end}"
            )
        now = range(ends[0] - 1, ends[-1], step)
        turns = _turns(now, parts, c.width // c.heads, c.window_frames, x.device)
        mask = _mask(ends, range(tokens.first, tokens.end), parts, c.window_frames, x.device)
        attention = self._attention(index)
        queries = rearrange(x, "b f p c -> b (f p) c").to(attention.query.weight.dtype)
        y = attention(queries, *tokens.keys_values[index], turns, mask)
        return x + y.unflatten(1, (frames, parts)).to(x.dtype)

    def attach(self, blocks: Sequence[nn.Module]) -> Attachment:
        """Adapts a base model of somebody else, from outside.

        Args:
            blocks: all blocks of the base, in order; each must return its video tokens (B, F * P, C), ordered
                by time first.
        """
        return Attachment(self, blocks)

    def _attention(self, index: int) -> SpeakerAttention:
        return cast(SpeakerAttention, self.attentions[str(index)])


class Attachment:
    """An adapter in the blocks of a base model; a context manager, removed at its end.

    It changes nothing until `listen` is called.

    Example:
        with adapter.attach(base.blocks) as attachment:
            attachment.listen(adapter.encode(speaker), frames=latents.shape[2])
            base(latents, ...)
    """

    def __init__(self, adapter: CTMAdapter, blocks: Sequence[nn.Module]) -> None:
        self.adapter = adapter
        self.hearing: tuple[SpeakerTokens, int, int] | None = None
        self.hooks = [
            blocks[index].register_forward_hook(partial(self._after_block, index))
            for index in adapter.config.layers
        ]

    def listen(self, tokens: SpeakerTokens, frames: int, start: int = 0) -> None:
        """From now on the base sees the speaker.

        Args:
            tokens: of the adapter's `encode`.
            frames: latent frames of the videos that the base is called with.
            start: index of the first of them.
        """
        self.hearing = tokens, frames, start

    def remove(self) -> None:
        """Leaves the base as it was."""
        for hook in self.hooks:
            hook.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def _after_block(self, index: int, block: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        if self.hearing is None:
            return output
        tokens, frames, start = self.hearing
        x = rearrange(output, "b (f p) c -> b f p c", f=frames)
        return self.adapter.block(index, x, tokens, start).flatten(1, 2)


# What is kept between calls must be an ordinary tensor even if the first call, a validation, was made in
# inference mode: training could not use it later.
@lru_cache(maxsize=32)
@torch.inference_mode(False)
def _turns(rows: range, repeat: int, head_width: int, window: int, device: torch.device) -> Tensor:
    """Rotary turns (len(rows) * repeat, K / 2) of tokens at these rows."""
    positions = torch.tensor(rows, dtype=torch.float64).repeat_interleave(repeat)
    return rotary_turns(positions[:, None], [RotaryAxis(head_width // 2, 4, 4 * window)]).to(device)


@lru_cache(maxsize=32)
@torch.inference_mode(False)
def _mask(ends: range, rows: range, parts: int, window: int, device: torch.device) -> Tensor:
    """Which of `rows` the tokens of latent frames see: (frames * parts, rows) bool."""
    end, row = torch.tensor(ends)[:, None], torch.tensor(rows)[None]
    return ((row < end) & (row >= end - window)).repeat_interleave(parts, 0).to(device)
