"""Training of a listener that needs few denoising steps, from one that needs many.

A network that predicts clean latents errs towards their mean: after one or two steps nobody blinks or nods.
Here the last prediction of a short path is itself to look like a true listener. How far it does is told by
the energy score (Gneiting and Raftery, 2007, section 4.3): of two listeners a and b made for one speaker and
a true one y, the mean of (|a - y| + |b - y| - |a - b|) / 2. Its expectation is least if and only if a and b
are drawn as y is, so that distributions are matched without a second network to judge them (De Bortoli et
al., Distributional Diffusion Models with Scoring Rules, 2025; Yin et al., DMD2, 2024, train such a network).

Our design: distances are taken in windows of several lengths, of each part of the face, of the whole face and
of changes, since a score of all numbers together would hardly see a blink. Two steps of three go on from
listeners that the network has made itself, chunk by chunk as a live one is made (Huang et al., Self Forcing,
2025), through one conversation after the other: what drifts with time is seen and unlearnt. `trajectory` is
what this was compared with.

Shapes: B batch, F latent frames, P parts, D token width, G video frames in a latent frame, C numbers of a
part, N windows, W latent frames of a window.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, cast

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from einops import rearrange
from torch import Tensor

from headgen import hub
from headgen.listener.engine import CHUNK
from headgen.listener.gen import LIVELINESS, ListenerPipeline, for_steps, rows_before
from headgen.listener.latents import CHANNELS, FRAMES_PER_LATENT, PARTS
from headgen.training.listener import PAST_NOISE, SHIFT, Batch, ListenerGenModule, Told
from headgen.training.shares import Noise, Share

__all__ = ["FewStepModule", "energy_score"]

STEPS = (2, 1, 2, 4)
"""Denoising steps of a path, in turn."""
ROLLED_STEPS = 2
"""Denoising steps of the listeners that are gone on from."""
TURN = 3
"""Training steps of which the first makes listeners at once and the others in chunks."""
RESTART = 4
"""Stretches that are made in chunks until a listener begins anew."""
TEACHER_STEPS = 8
STEADINESS = 4.0
"""Weight of changes against places, where a teacher's path is repeated."""
WINDOWS = (1, 2, 4, 8, 16, 48)
"""Latent frames that are scored together, where all are made at once."""
HISTORIES = (0, 1, 3, 8, 16)
"""Latent frames before a chunk that are scored together with it."""
CHANGES = 2.0
"""Weight of changes from frame to frame, and of changes of these, against places, in scores."""

Predict = Callable[[Tensor, Tensor], Tensor]
"""Clean latents (B, F, P, D) of noisy ones at a noise level."""


class CleanPast:
    """Keys and values of all latent frames of a stretch, clean, as the blocks of a transformer read them.

    A cache of the transformer, with which all chunks of a stretch are denoised at the same time; `chunk_mask`
    says what each of them sees. The first pass of the network fills it.
    """

    def __init__(self) -> None:
        self.keys_values: list[tuple[Tensor, Tensor]] = []

    def open(self, start: int, frames: int) -> int:
        """Frames before the first clean one."""
        return 0

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the clean frames followed by those of the noisy ones."""
        if layer == len(self.keys_values):
            self.keys_values.append((keys, values))
            return keys, values
        old = self.keys_values[layer]
        return torch.cat([old[0], keys], 2), torch.cat([old[1], values], 2)


class FewStepModule(ListenerGenModule):
    """Trains transformer and adapter of a listener for few denoising steps.

    Args:
        data: folder of the training set; that of the data module by default.
        init: name or folder of the listener to start from, the teacher.
        method: ``energy`` matches true listeners; ``trajectory`` repeats where the teacher's path of eight
            steps leads from the same noise (the aim of progressive distillation, Salimans and Ho, 2022).
        at_once: latent frames that are made at once; at most those of the data's stretches.
        chunked: latent frames that are made in chunks, after 47 that the network has made itself, if the
            data's `lead` reaches as far back: 88 rows, and 4 for each latent frame.
        learning_rate: of AdamW, after warm-up.
        warmup: steps of linear warm-up.
        total: steps of the cosine decay, to a twentieth.
        withhold: how often audio, and independently motion, is withheld.
        average: decay of the moving average.
        sampled: conversations of the validation set that listeners are made for; 0 for none.
        sampling_steps: denoising steps of these, and those that the exported model is made for.
        samples: whether each validation writes a video of one of the listeners, beside the true one.
        portrait: photograph that they are drawn on; a rendered head by default (the ``synth`` extra).
    """

    def __init__(
        self,
        data: str = "",
        init: str = "listener-small",
        method: Literal["energy", "trajectory"] = "energy",
        at_once: int = 48,
        chunked: int = 32,
        learning_rate: float = 3e-4,
        warmup: int = 50,
        total: int = 800,
        withhold: float = 0.1,
        average: float = 0.99,
        sampled: int = 12,
        sampling_steps: int = 2,
        samples: bool = True,
        portrait: str = "",
    ) -> None:
        super().__init__(
            data, learning_rate=learning_rate, warmup=warmup, total=total, withhold=withhold, average=average,
            sampled=sampled, sampling_steps=sampling_steps, init=str(hub.resolve(init).folder),
            samples=samples, portrait=portrait,
        )  # fmt: skip
        self.announce.requires_grad_(False)  # answers are known already
        self.at_once, self.chunked = at_once, chunked
        self.past_latents = super().exported.past_latents
        self.before: Tensor | None = None
        """Listeners (2 B, N, P, D) that the last chunks were made after."""
        self.teacher = copy.deepcopy(self.average_model) if method == "trajectory" else None

    @property
    def exported(self) -> ListenerPipeline:
        """The pipeline as users load it, of the averaged weights and made for few steps."""
        pipeline = super().exported
        pipeline.register_to_config(steps=int(self.hparams.sampling_steps))
        return pipeline

    def loss(self, model: Any, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """The loss of a batch: of what is made at once and of chunks in turn, with other numbers of steps."""
        turn, kind = divmod(self.global_step, TURN)
        stretch = turn * (TURN - 1) + kind - 1
        before = self.before if stretch % RESTART else None
        steps = STEPS[(turn + kind) % len(STEPS)]
        value, past = self.score(model, batch, noise, kind > 0, steps, before)
        if past is not None:
            self.before = past
        return {"loss": value}

    def score(
        self,
        model: Any,
        batch: Batch,
        noise: Noise,
        chunked: bool,
        steps: int,
        before: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """How far listeners are from the true ones, or from where the teacher leads.

        Args:
            model: transformer and adapter.
            batch: of the data.
            noise: for it.
            chunked: whether they are made in chunks, after clean frames; otherwise all at once.
            steps: denoising steps; gradients pass through the last one.
            before: (2 B, N, P, D) listeners to go on from where they are made in chunks; as much of them is
                used as the data has rows of the speaker for.

        Returns:
            The loss, and with ``energy`` and in chunks the listeners that were gone on from, with their past.
        """
        device = batch["latents"].device
        remembered = rows_before(model["adapter"])
        known = 0
        if chunked and before is not None and self.teacher is None:
            lead = batch["audio"].shape[1] - batch["latents"].shape[1] * FRAMES_PER_LATENT
            known = max(0, min(before.shape[1], (lead - remembered) // FRAMES_PER_LATENT))
        batch = part(batch, self.chunked if chunked else self.at_once, remembered + known * FRAMES_PER_LATENT)
        truth = batch["latents"]
        keep = tuple(noise.uniform().to(device) >= self.hparams.withhold for _ in range(2))
        portrait = noise.normal(len(PARTS), CHANNELS).to(device)
        takes = 2 if self.teacher is None else 1
        batch = {name: torch.cat([value] * takes) for name, value in {**batch, "portrait": portrait}.items()}
        keep = cast(tuple[Tensor, Tensor], tuple(torch.cat([kept] * takes) for kept in keep))

        def normal() -> Tensor:
            return torch.cat([noise.normal(*truth.shape[1:]) for _ in range(takes)]).to(device)

        told = self.told(model, batch, keep)
        begin = LIVELINESS * normal()
        past = None
        if chunked and self.teacher is None:
            old = begin[:, :0] if before is None else before[:, before.shape[1] - known :]
            past = rolled(model, told, LIVELINESS * normal(), old)
        elif chunked:
            past = torch.lerp(truth, normal(), PAST_NOISE * noise.uniform(1, 1, 1).to(device))
        made = path(predictor(model, told, past, truth.shape[1]), begin, steps)
        if self.teacher is not None:
            with torch.no_grad():
                taught = predictor(self.teacher, self.told(self.teacher, batch, keep), past, truth.shape[1])
                aim = path(taught, begin, TEACHER_STEPS)
            return self.squared_error(made, aim), None
        a, b = made.chunk(2)
        if past is None:
            sizes = [size for size in WINDOWS if size <= truth.shape[1]]
            views = [[windows(x, size) for x in (a, b, truth)] for size in sizes]
        else:
            old_a, old_b = past[:, known:].chunk(2)
            triples = (old_a, a), (old_b, b), (truth, truth)
            # What went on from another conversation does not begin as the true listener does.
            first = CHUNK if known else 0
            sizes = [size for size in HISTORIES if first + size + 2 * CHUNK <= truth.shape[1]]
            views = [[following(old, new, size, first) for old, new in triples] for size in sizes]
        value = torch.stack([energy_score(a, b, y, self.importance) for a, b, y in views]).mean()
        return value, None if past is None else past[:, -self.past_latents :]

    def validation_step(self, batch: Batch, index: int) -> None:
        """Losses of the average with fixed noise."""
        for name, chunked in (("whole", False), ("chunks", True)):
            noise = Share(done=index).noise(len(batch["latents"]))
            steps = int(self.hparams.sampling_steps)
            value, _ = self.score(self.average_model, batch, noise, chunked, steps)
            self.log(f"val/{name}", value, batch_size=len(batch["latents"]), sync_dist=True)

    def squared_error(self, found: Tensor, aim: Tensor) -> Tensor:
        """Of places and of changes from frame to frame, as the teacher was trained."""
        error = by_frame(found - aim)
        change = error[:, 1:] - error[:, :-1]
        return sum(
            weight * (part.square() * self.importance).mean()
            for weight, part in ((1.0, error), (STEADINESS, change))
        )


def part(batch: Batch, frames: int, lead: int) -> Batch:
    """The first latent frames of a batch's stretches, at most so many, and `lead` rows of speakers before."""
    most = batch["latents"].shape[1]
    count = min(frames, most)
    begin = batch["audio"].shape[1] - most * FRAMES_PER_LATENT
    rows = slice(max(0, begin - lead), begin + count * FRAMES_PER_LATENT)
    cut = {name: batch[name][:, rows] for name in ("audio", "motion", "heard", "seen")}
    return {**batch, **cut, "latents": batch["latents"][:, :count]}


def predictor(model: Any, told: Told, past: Tensor | None, frames: int) -> Predict:
    """What predicts clean latents of a stretch: of all frames at once, or of chunks after clean frames.

    Args:
        model: transformer and adapter.
        told: of the batch.
        past: (B, N + F, P, D) clean frames, N of them before the stretch; None for all at once.
        frames: F.
    """
    transformer, adapter = model["transformer"], model["adapter"]
    cache, visible = None, None

    def predict(latents: Tensor, sigma: Tensor, start: int = 0) -> Tensor:
        return transformer(
            latents, sigma.expand(latents.shape[:2]), told.context, adapter=adapter, speaker=told.speaker,
            cache=cache, start=start, visible=visible,
        )  # fmt: skip

    if past is not None:
        cache = CleanPast()
        with torch.no_grad():
            predict(past, past.new_zeros(()), frames - past.shape[1])
        visible = chunk_mask(past.shape[1], frames, int(transformer.config.window), past.device)
    return predict


def path(predict: Predict, latents: Tensor, steps: int) -> Tensor:
    """Where noise is led to, by Euler's method as in `ListenerPipeline`; only the last step has gradients."""
    sigmas = for_steps(FlowMatchEulerDiscreteScheduler(shift=SHIFT), steps).sigmas.to(latents.device)
    with torch.no_grad():
        for now, after in zip(sigmas[:-2], sigmas[1:-1], strict=True):
            latents = torch.lerp(predict(latents, now), latents, after / now)
    return predict(latents, sigmas[-2])


@torch.no_grad()
def rolled(model: Any, told: Told, noise: Tensor, before: Tensor) -> Tensor:
    """Listeners made of noise (B, F, P, D) chunk by chunk, each after those before.

    Args:
        model: transformer and adapter.
        told: of the batch.
        noise: of the listeners.
        before: (B, N, P, D) clean latents that they begin after, or none.

    Returns:
        (B, N + F, P, D): these, and what comes after.
    """
    transformer, adapter = model["transformer"], model["adapter"]
    cache = transformer.new_cache(len(noise))

    def predict(latents: Tensor, sigma: Tensor, start: int, keep: bool = False) -> Tensor:
        return transformer(
            latents, sigma.expand(latents.shape[:2]), told.context, adapter=adapter, speaker=told.speaker,
            cache=cache, start=start, keep=keep,
        )  # fmt: skip

    clean = noise.new_zeros(())
    made = [before]
    if before.shape[1]:
        predict(before, clean, -before.shape[1], keep=True)
    for start in range(0, noise.shape[1], CHUNK):
        made.append(path(partial(predict, start=start), noise[:, start : start + CHUNK], ROLLED_STEPS))
        predict(made[-1], clean, start, keep=True)
    return torch.cat(made, 1)


def chunk_mask(clean: int, frames: int, window: int, device: torch.device) -> Tensor:
    """Which clean frames, and which noisy ones of its own chunk, each noisy frame sees.

    Args:
        clean: how many clean frames there are: those of the stretch, and some before it.
        frames: F, of the stretch.
        window: frames that each one sees, its own included.
        device: of the result.

    Returns:
        (F, clean + F) bool.
    """
    query = torch.arange(frames, device=device)[:, None]
    before, now = torch.arange(frames - clean, frames, device=device), torch.arange(frames, device=device)
    chunk = query // CHUNK
    seen = (before // CHUNK < chunk) & (before > query - window)
    return torch.cat([seen, (now // CHUNK == chunk) & (now <= query)], 1)


def by_frame(latents: Tensor) -> Tensor:
    """Latents (..., F, P, D) frame by frame: (..., F * G, P, C)."""
    return rearrange(latents, "... f p (g c) -> ... (f g) p c", c=CHANNELS)


def windows(latents: Tensor, size: int) -> Tensor:
    """Windows (B, N, W, P, D) of latents (B, F, P, D), half a window apart."""
    return rearrange(latents.unfold(1, size, max(1, size // 2)), "b n p d w -> b n w p d")


def following(old: Tensor, new: Tensor, size: int, first: int = 0) -> Tensor:
    """Windows (B, N, W, P, D): each chunk of the `new` latents after `size` of the `old` ones before it.

    Args:
        old: (B, F, P, D).
        new: (B, F, P, D).
        size: W less the frames of a chunk.
        first: latent frames of `old` and `new` that are in no window.
    """
    begin = first + -(-size // CHUNK) * CHUNK
    chunks = torch.arange(begin, new.shape[1] - CHUNK + 1, CHUNK, device=new.device)
    before = chunks[:, None] + torch.arange(-size, 0, device=new.device)
    now = chunks[:, None] + torch.arange(CHUNK, device=new.device)
    return torch.cat([old[:, before], new[:, now]], 2)


def energy_score(a: Tensor, b: Tensor, truth: Tensor, importance: Tensor) -> Tensor:
    """How unlike two drawn listeners are to true ones, less half of how unlike they are to one another.

    Args:
        a: (B, N, W, P, D) windows of listeners.
        b: windows of other listeners, made for the same speakers.
        truth: windows of the true ones.
        importance: (P, C) of the squares of errors.

    Returns:
        a mean over windows, parts and the whole face; least in expectation for what is drawn as the truth is.
    """

    def apart(one: Tensor, other: Tensor) -> Tensor:
        error = by_frame(one - other)
        total = torch.zeros((), device=error.device)
        change = error.diff(dim=2)
        for weight, part in ((1.0, error), (CHANGES, change), (CHANGES, change.diff(dim=2))):
            squares = (part.square() * importance).mean((2, 4))  # (B, N, P)
            total = total + weight * (root(squares).mean() + root(squares.mean(2)).mean())
        return total

    return (apart(a, truth) + apart(b, truth) - apart(a, b)) / 2


def root(squares: Tensor) -> Tensor:
    """Of numbers that may be zero, where the root is too steep."""
    return (squares + 1e-6).sqrt()
