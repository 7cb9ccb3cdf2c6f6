"""Training pairs from a folder of face clips (the format: `headgen.media.clips`).

API::

    store = ClipStore("DIR", "train", cache=True)    # of headgen.media.clips, exported here too
    data = PairDataset(store, sources=2, seed=0, transform=augment)
    data[7]                                          # source and driving frames of one identity
    loader = DataLoader(data, batch_size=8, sampler=RangeSampler(start, count), num_workers=2)
    frames, landmarks = read_clip("DIR", name)       # one whole clip

A `Pair` holds plain arrays: ``source`` (S, H, W, 3) uint8, ``source_landmarks`` (S, 478, 3), ``driving``
(H, W, 3), ``driving_landmarks`` (478, 3), ``clip`` the clip's number. Pair number i is a function of
(seed, i) alone: the same in every worker process and after a resume, for any i >= 0. The transform gets the
pair and the pair's own random generator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypedDict

import numpy as np
from torch.utils.data import Dataset, Sampler

from headgen.errors import InputError
from headgen.media.clips import ClipStore, read_clip

__all__ = ["ENDLESS", "ClipStore", "Pair", "PairDataset", "RangeSampler", "read_clip"]

ENDLESS = 100_000_000
"""Length of streams that only the number of steps ends."""


class Pair(TypedDict):
    """Source and driving frames of one clip, as they lie on disk."""

    source: np.ndarray
    """(S, H, W, 3) uint8 RGB."""
    source_landmarks: np.ndarray
    """(S, 478, 3) float32, pixels of the frame."""
    driving: np.ndarray
    """(H, W, 3) uint8 RGB."""
    driving_landmarks: np.ndarray
    """(478, 3) float32, pixels of the frame."""
    clip: int
    """Number of the clip in the store."""


class PairDataset(Dataset[Any]):
    """Draws source frames and one driving frame from the same clip.

    First the identity is drawn (evenly, so that people with many clips are not preferred), then one of its
    clips, then distinct frames.

    Args:
        store: the clips.
        sources: source frames per pair.
        seed: base of all randomness.
        transform: maps (pair, generator) to what the loader collates; the pair itself if None.
        still_source: the sources are the clip's first frames instead of random ones (for synthetic
            portraits, whose first frame is the photograph itself).
        preference: maps the landmarks (T, 478, 3) of a clip and the number of the first source frame to
            weights (T,) with which the driving frame is drawn; evenly if None.
        length: what ``len`` says; any index may be asked for all the same.

    Raises:
        InputError: no clip has enough frames.
    """

    def __init__(
        self,
        store: ClipStore,
        *,
        sources: int = 1,
        seed: int = 0,
        transform: Callable[[Pair, np.random.Generator], Any] | None = None,
        still_source: bool = False,
        preference: Callable[[np.ndarray, int], np.ndarray] | None = None,
        length: int = 1_000_000,
    ) -> None:
        self.store, self.sources, self.seed = store, sources, seed
        self.transform, self.still_source, self.length = transform, still_source, length
        self.preference = preference
        by_identity: dict[str, list[int]] = {}
        for clip, info in enumerate(store.infos):
            if info.frames > sources:
                by_identity.setdefault(info.identity, []).append(clip)
        self.clips = list(by_identity.values())
        if not self.clips:
            raise InputError(
                f"{store.directory}: no clip has more than {sources} frames, "
                f"as {sources} source(s) and a driving frame need"
            )

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        rng = np.random.default_rng((self.seed, index))
        clips = self.clips[rng.integers(len(self.clips))]
        clip = clips[rng.integers(len(clips))]
        total = self.store.infos[clip].frames
        if self.still_source:
            chosen = [*range(self.sources), int(rng.integers(self.sources, total))]
        else:
            chosen = rng.choice(total, self.sources + 1, replace=False).tolist()
            if self.preference is not None:
                weights = self.preference(self.store.landmarks(clip), chosen[0])
                weights[chosen[:-1]] = 0
                chosen[-1] = int(rng.choice(total, p=weights / weights.sum()))
        frames = self.store.frames(clip, chosen)
        landmarks = self.store.landmarks(clip)[chosen]
        pair = Pair(
            source=frames[:-1],
            source_landmarks=landmarks[:-1],
            driving=frames[-1],
            driving_landmarks=landmarks[-1],
            clip=clip,
        )
        return pair if self.transform is None else self.transform(pair, rng)


class RangeSampler(Sampler[int]):
    """A stream of pairs that goes on where it stopped: start, start + stride, ... (count of them).

    Args:
        start: first index.
        count: how many.
        stride: distance; with W processes, process r takes start + r with stride W.
    """

    def __init__(self, start: int, count: int, stride: int = 1) -> None:
        self.indices = range(start, start + count * stride, stride)

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)
