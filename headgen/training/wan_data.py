"""Conversations as a listener on Wan trains on them: latents on disk, made once from the videos.

From a data set of ``headgen synth conversations`` and a base, `WanConversations` makes a folder::

    CACHE/empty.safetensors     the text that stands for none
    CACHE/NAME.safetensors      of a conversation: the listener's latents, the speaker's rows, the captions

The first latent frame of a clip is its first picture alone, since the autoencoder is causal: it takes the
place of the portrait, whichever stretch of the clip goes with it.

Shapes: C latent channels, F latent frames of a window, h, w latent size, L, D tokens of text and their width.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import lightning as L
import numpy as np
import torch
from einops import rearrange
from safetensors import safe_open
from scipy.io import wavfile
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from headgen.errors import InputError
from headgen.listener.motion import motion_features
from headgen.listener.speech import speech_features
from headgen.listener.track import FPS, SpeakerTrack
from headgen.listener.wan import rows_of
from headgen.listener.wan_base import load_text_encoder, load_vae
from headgen.listener.wan_latents import FRAMES_PER_LATENT, encode_text, encode_video
from headgen.media.clips import ClipStore
from headgen.media.output import replacing
from headgen.media.tensors import write_tensors
from headgen.nn.precision import resolve_device
from headgen.synth.dataset.records import ClipRecord, clips_folder, read_manifest
from headgen.training.data import ENDLESS, RangeSampler
from headgen.training.shares import Share

__all__ = ["WanConversations", "WanStretches"]

FORMAT = 1
BEGINNINGS = 0.3
"""Share of the stretches that begin with the clip, where there is no past yet."""
EMPTY = "empty"


class WanConversations(L.LightningDataModule):
    """Stretches of conversations made by ``headgen synth conversations --fps 25``.

    Args:
        data: the folder.
        base: folder or hub id of the base, whose autoencoder and text encoder make the cache.
        size: side of the videos in pixels that the base is trained at, a multiple of 16.
        window: F: the first picture and latent frames of a stretch.
        batch_size: stretches a step and process.
        captions: whether captions are learnt from; without them the text encoder (11 GB) is not needed.
        text_length: L, that of the base.
        workers: processes that prepare stretches; 0 prepares them in the training process.
        seed: base of all randomness of the data.
        lead: speaker rows before a stretch that go with it: the adapter's history.
        cache: folder for the latents; ``wan`` in the data set's by default.
    """

    def __init__(
        self, data: str, base: str, size: int = 480, window: int = 21, batch_size: int = 1,
        captions: bool = True, text_length: int = 512, workers: int = 0, seed: int = 0, lead: int = 88,
        cache: str = "",
    ) -> None:  # fmt: skip
        super().__init__()
        if size % 16 or size < 16 or window < 3:
            raise InputError(f"size={size}, window={window}: size is a multiple of 16, window at least 3")
        self.folder, self.base, self.size, self.window = Path(data), base, size, window
        self.batch_size, self.workers, self.seed, self.lead = batch_size, workers, seed, lead
        self.captions, self.text_length = captions, text_length
        made_with = json.dumps([FORMAT, base, size, captions, text_length])
        key = hashlib.sha256(made_with.encode()).hexdigest()[:12]
        self.cache = (Path(cache) if cache else self.folder / "wan") / key

    def prepare_data(self) -> None:
        """Makes what is not in the cache yet; a stopped run goes on where it was.

        Raises:
            InputError: no conversations there, or not of 25 frames a second; no base.
            MissingExtraError: captions need the ``wan`` extra.
        """
        records = conversations(self.folder)
        missing = [record for record in records if not self._path(record.name).is_file()]
        if not missing and self._path(EMPTY).is_file():
            return
        self.cache.mkdir(parents=True, exist_ok=True)
        device = resolve_device("auto")
        write = self._text_writer(device)
        self._write(EMPTY, {"text": write("")})
        vae = load_vae(self.base, torch.float32).to(device).eval()
        store = ClipStore(self.folder)
        number = {info.name: k for k, info in enumerate(store.infos)}
        for record in missing:
            latents = self._latents(vae, store, number[f"{record.name}_listener"])
            track = heard_and_seen(self.folder, record, store.landmarks(number[f"{record.name}_speaker"]))
            told = [caption["text"] for caption in record.captions if caption["who"] == "listener"]
            texts = {f"text{k}": write(text) for k, text in enumerate(told)} if self.captions else {}
            self._write(record.name, {"latents": latents, **vars(track), **texts})

    def _text_writer(self, device: torch.device) -> Callable[[str], np.ndarray]:
        """From a text to the embeddings (tokens, D) of its own tokens."""
        if not self.captions:
            return lambda text: np.zeros((0, 0), np.float16)
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        tokenizer, encoder = load_text_encoder(self.base, dtype)
        encoder = encoder.to(device)

        @torch.no_grad()
        def write(text: str) -> np.ndarray:
            (found,) = encode_text(tokenizer, encoder, [text], self.text_length)
            own = int(found.any(-1).sum())
            return np.asarray(found[:own].half().cpu().numpy())

        return write

    @torch.no_grad()
    def _latents(self, vae: Any, store: ClipStore, clip: int) -> np.ndarray:
        """(C, F, h, w) float16 of a clip, as many frames as make whole latent frames."""
        frames = 1 + (store.infos[clip].frames - 1) // FRAMES_PER_LATENT * FRAMES_PER_LATENT
        pictures = store.frames(clip, range(frames))
        if pictures.shape[1] != self.size:
            how = cv2.INTER_AREA if pictures.shape[1] > self.size else cv2.INTER_CUBIC
            pictures = np.stack([cv2.resize(p, (self.size, self.size), interpolation=how) for p in pictures])
        video = rearrange(torch.from_numpy(pictures), "t h w c -> 1 c t h w").float() / 127.5 - 1
        return np.asarray(encode_video(vae, video)[0].half().cpu().numpy())

    def _path(self, name: str) -> Path:
        return self.cache / f"{name}.safetensors"

    def _write(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        with replacing(self._path(name)) as part:
            write_tensors(part, arrays, {})

    def _loader(self, split: str, share: Share, count: int) -> DataLoader[Any]:
        names = [record.name for record in conversations(self.folder, split)]
        stretches = WanStretches(self.cache, names, self.window, self.lead, self.text_length, self.seed)
        return DataLoader(
            stretches,
            batch_size=self.batch_size,
            sampler=RangeSampler(share.start(self.batch_size), count, share.processes),
            num_workers=self.workers,
        )

    def train_dataloader(self) -> DataLoader[Any]:
        """An endless stream that goes on where a resumed run stopped; several processes share it."""
        return self._loader("train", Share.of(self.trainer), ENDLESS)

    def val_dataloader(self) -> DataLoader[Any]:
        """A fixed set of stretches of other people's conversations."""
        return self._loader("val", replace(Share.of(self.trainer), done=0), 8 * self.batch_size)


class WanStretches(Dataset[dict[str, Tensor]]):
    """Stretches of the conversations in a cache; number i is a function of (seed, i) alone.

    Args:
        cache: folder made by `WanConversations`.
        names: of the conversations.
        window: F.
        lead: speaker rows before a stretch.
        text_length: L.
        seed: base of all randomness.

    Raises:
        InputError: a conversation is too short.
    """

    def __init__(
        self, cache: Path, names: Sequence[str], window: int, lead: int, text_length: int, seed: int
    ) -> None:
        self.paths = [cache / f"{name}.safetensors" for name in names]
        self.new, self.lead, self.length, self.seed = window - 1, lead, text_length, seed
        with safe_open(str(cache / f"{EMPTY}.safetensors"), framework="pt") as file:
            self.empty = self._padded(file.get_tensor("text"))
        for path in self.paths:
            with safe_open(str(path), framework="pt") as file:
                found = file.get_slice("latents").get_shape()[1]
            if found < window:
                seconds = (1 + FRAMES_PER_LATENT * self.new) / FPS
                raise InputError(
                    f"{path}: {found} latent frames, a window has {window}; make conversations of at least "
                    f"{seconds:.1f} s, or train with a smaller data.window"
                )

    def _padded(self, text: Tensor) -> Tensor:
        """(L, D) float16, zero behind the text's own tokens."""
        return torch.nn.functional.pad(text, (0, 0, 0, self.length - len(text)))

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """One stretch.

        Returns:
            ``anchor`` (C, 1, h, w), the first picture; ``latents`` (C, F - 1, h, w), of which the first
            ``past`` () are known; ``audio``, ``motion``, ``heard`` and ``seen`` (lead + 4 (F - 1), ...);
            ``text`` and ``no_text`` (L, D), of width 0 if there are no captions.
        """
        rng = np.random.default_rng((self.seed, index))
        with safe_open(str(self.paths[rng.integers(len(self.paths))]), framework="pt") as file:
            latents = file.get_slice("latents")
            start = int(rng.integers(1, latents.get_shape()[1] - self.new + 1))
            start = 1 if rng.random() < BEGINNINGS else start
            past = 0 if start == 1 else int(rng.integers(1, self.new))
            track = SpeakerTrack(
                *(file.get_tensor(name).numpy() for name in ("audio", "motion", "heard", "seen"))
            )
            rows = rows_of(track, start, self.new, self.lead)
            texts = sorted(name for name in file.keys() if name.startswith("text"))  # noqa: SIM118
            text = self._padded(file.get_tensor(str(rng.choice(texts)))) if texts else self.empty
            return {
                "anchor": latents[:, :1].float(),
                "latents": latents[:, start : start + self.new].float(),
                "past": torch.tensor(past),
                **{name: torch.from_numpy(value) for name, value in vars(rows).items()},
                "text": text,
                "no_text": self.empty,
            }


def conversations(folder: Path, split: str | None = None) -> list[ClipRecord]:
    """The conversations of a data set.

    Raises:
        InputError: there are none, or not of 25 frames a second.
    """
    found = read_manifest(folder, split)
    wrong = next((r for r in found if r.kind != "conversation" or r.fps != FPS), None)
    if wrong is not None:
        raise InputError(
            f"{folder}: {wrong.name} is a {wrong.kind} of {wrong.fps:g} frames a second; learn "
            f"from `headgen synth conversations --fps {FPS}`"
        )
    return found


def heard_and_seen(folder: Path, record: ClipRecord, landmarks: np.ndarray) -> SpeakerTrack:
    """The speaker of a conversation, from its sound and the landmarks (T, 478, 3) of its video."""
    _, samples = wavfile.read(clips_folder(folder) / f"{record.name}.wav")
    motion, seen = motion_features(landmarks)
    audio = speech_features(samples.astype(np.float32) / 32768, len(landmarks))
    return SpeakerTrack(audio, motion, np.ones(len(landmarks), bool), seen)
