"""Training of listener-gen: video transformer and CTM-Adapter, on conversations of the synthetic world.

Flow matching with a noise level of its own for each latent frame. Half of the stretches are noisy throughout,
as segments are made; the others begin with clean frames, as they are gone on from (Diffusion Forcing, Chen et
al. 2024, section 3). Speech and motion of the speaker are withheld independently, so that each has a guidance
scale.

Shapes: B batch, F latent frames, P parts, D token width, G video frames in a latent frame, C numbers of a
part.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

import lightning as L
import numpy as np
import torch
import torch.nn.functional as F
from diffusers import FlowMatchEulerDiscreteScheduler
from einops import rearrange
from torch import Tensor, nn
from torch.utils.data import Dataset

from headgen.errors import InputError
from headgen.evaluation.listener_systems import coefficients
from headgen.evaluation.motion_metrics import ListenerClip, listener_report, motion_scale
from headgen.faces import mesh
from headgen.listener.adapter import CTMAdapter, SpeakerCondition, SpeakerTokens
from headgen.listener.engine import load_pipeline
from headgen.listener.gen import ListenerPipeline
from headgen.listener.latents import (
    CHANNELS,
    FRAMES_PER_LATENT,
    PARTS,
    POSE_NAMES,
    WarpCodec,
    places,
    same_latents,
)
from headgen.listener.track import FPS, SpeakerTrack
from headgen.listener.transformer import Context, ListenerTransformer
from headgen.listener.wishes import FULL, SIDED, TOKEN_WIDTH, TextTokens, Wish, amounts, text_tokens
from headgen.listening import clip_names, read_clip
from headgen.training.average import move_average
from headgen.training.data import ENDLESS
from headgen.training.endless import EndlessData
from headgen.training.listener_samples import ListenerSamples
from headgen.training.schedule import adamw
from headgen.training.shares import Noise, Share, shared_mean

Batch = dict[str, Tensor]

SHIFT = 3.0
"""Of the noise levels that are sampled at: more steps where there is much noise."""
NOISE_CENTRE, NOISE_SPREAD = 1.8, 1.6
"""Of the noise levels that are trained at, in logits. Motion is even over many frames, so that there is much
to tell from it even where noise has nine tenths of the say."""
EARLY_CENTRE, EARLY_SPREAD = 3.5, 1.0
"""The same of stretches that are trained on for the first steps of making a listener, where nothing but what
the network is told can tell to which side a head tilts: with less noise it is seen, and hardly learnt."""
SHARPEST = 0.2
"""Noise level below which errors do not count more."""
PAST_NOISE = 0.1
"""Largest noise on the clean frames that a stretch begins with: what is gone on from is never perfect."""
ASIDE, TOLD, RARE = 0.15, 0.6, 0.4
"""Usual shares: of all stretches, those chosen for listeners who were asked for one of `SIDED`; of the rest,
those that come with wishes; and of these, those that are chosen for a behaviour."""
MOST_WISHES, SHORTEST_WISH, SHORTEST_SIDE = 28, 1.0, 0.6
"""Wishes of a stretch, and seconds that one holds, and that it holds for one side."""
ASKED, ASKED_BESIDES = 0.5, 0.2
"""Of stretches with wishes, how many are of listeners who were asked for something, where the data has any;
and of what these were not asked for, how much is told nevertheless."""
CLEARLY = 0.3
"""Level from which on somebody was clearly asked for something."""
SOON = 0.32
"""Seconds before a listener's answer in which the speaker's tokens are to announce it."""
WATCHED = tuple(
    f"{name}_{part}" for name in ("fd", "pfd", "rpcc_within", "var_within") for part in ("pose", "expression")
)
"""Figures of validation that are logged."""


class Listener:
    """One of those who listen to a speaker.

    Attributes:
        track: the speaker.
        latents: (F, P, D) of the listener.
        facts: ``attitude``, ``intensity`` and more.
        events: of the listener alone.
    """

    def __init__(
        self, track: SpeakerTrack, latents: np.ndarray, facts: dict[str, Any], codec: WarpCodec
    ) -> None:
        self.track, self.latents, self.facts, self._codec = track, latents, facts, codec
        self.events = [event for event in facts["events"] if event["who"] == "listener"]

    def attitude(self, start: float, end: float) -> Wish:
        """The attitude as a wish for some time."""
        return Wish(self.facts["attitude"], self.facts["intensity"], start, end)

    @cached_property
    def _aside(self) -> dict[str, np.ndarray]:
        """How far to the picture's right each of `SIDED` is in every frame, against the median: (T,)."""
        motion = self._codec.decode(torch.from_numpy(self.latents))
        # `coefficients` says the same, but fits a head to every frame: a third of a second in all.
        corners = [corner for contour, _, _ in mesh.EYES for corner in (contour[0], contour[8])]
        irises = [iris[0] for _, iris, _ in mesh.EYES]
        found = {
            "tilt": motion.pose[:, POSE_NAMES.index("roll")],
            "gaze_away": motion.shape[:, irises, 0].mean(1) - motion.shape[:, corners, 0].mean(1),
            "posture_shift": motion.pose[:, POSE_NAMES.index("x")],
        }
        return {name: (x - np.median(x)).astype(np.float32) for name, x in found.items()}

    def sides(self, name: str, start: float, end: float) -> list[tuple[float, float, int]]:
        """Between which seconds of a time, and to which side, one of `SIDED` goes.

        Args:
            name: of it.
            start: second at which the time begins.
            end: second at which it ends.

        Returns:
            Start, end and side of pieces that follow one another and fill the time, split half-way between
            events; none if there is no event.
        """
        found: list[tuple[float, float, int]] = []
        last = -math.inf
        for event in self.events:
            if event["kind"] != name or event["end"] <= start or event["start"] >= end:
                continue
            first = int(event["start"] * FPS)
            frames = slice(first, max(int(event["end"] * FPS), first + 1))
            side = 1 if self._aside[name][frames].sum() > 0 else -1
            if not found:
                found.append((start, end, side))
            elif found[-1][2] != side:
                cut = min(max((last + event["start"]) / 2, found[-1][0]), end)
                found[-1] = (found[-1][0], cut, found[-1][2])
                found.append((cut, end, side))
            last = event["end"]
        return found

    def wish(
        self, name: str, amount: float, begin: float, first: float, last: float, stop: float
    ) -> list[Wish]:
        """A wish for what this listener does, one for each side that it goes to.

        Args:
            name: of a behaviour.
            amount: of it.
            begin: second at which the stretch begins.
            first: second of the stretch at which the wish begins.
            last: second of it at which it ends.
            stop: the same, or infinite for one that goes on.
        """
        if name not in SIDED or not amount:
            return [Wish(name, amount, first, stop)]
        pieces = self.sides(name, begin + first, begin + last)
        return [
            Wish(name, amount, max(first, a - begin), stop if b - begin >= last else b - begin, side)
            for a, b, side in pieces
            if b - a >= SHORTEST_SIDE
        ]


class ListeningClips(Dataset[Batch]):
    """Stretches of conversations, all held in memory (0.25 MB for half a minute).

    Stretch number i is a function of (seed, i) alone.

    Args:
        directory: made by ``headgen synth listening``.
        split: ``train``, ``val`` or ``test``.
        latent_frames: F of a stretch.
        lead: speaker rows before its beginning that go with it; what is not there is marked as unknown.
        seed: base of all randomness.
        sided: of all stretches, how many are chosen for a listener who was asked for one of `SIDED`.
        told: of the others, how many come with wishes.
    """

    def __init__(
        self,
        directory: Path,
        split: str,
        latent_frames: int,
        lead: int,
        seed: int = 0,
        sided: float = ASIDE,
        told: float = TOLD,
    ) -> None:
        self.frames, self.lead, self.seed = latent_frames, lead, seed
        self.sided, self.told = sided, told
        clips = [read_clip(Path(directory), name) for name in clip_names(Path(directory), split)]
        clips = [c for c in clips if len(c.latents) >= latent_frames]
        if not clips:
            raise InputError(f"{directory}: all conversations are shorter than {latent_frames} latent frames")
        codec = codec_of(Path(directory))
        self.listeners = [Listener(clip.track, clip.latents, clip.facts, codec) for clip in clips]
        self.asked: list[Listener] = []
        for clip in clips:
            for take in clip.takes:
                kind = self.asked if take.facts["asks"] else self.listeners
                kind.append(Listener(clip.track, take.latents, take.facts, codec))
        self.sided_asks = asks_for_a_side(self.asked)
        self.occasions: dict[str, list[tuple[int, float]]] = {}
        for number, listener in enumerate(self.listeners):
            for event in listener.events:
                if event["kind"] in FULL:
                    self.occasions.setdefault(event["kind"], []).append((number, event["start"]))

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """One stretch.

        Returns:
            ``latents`` (F, P, D), ``audio`` (lead + F * G, A), ``motion``, ``heard`` and ``seen`` likewise;
            ``text`` (L, `TOKEN_WIDTH`), ``text_start`` and ``text_end`` (L,), see `TextTokens`; and
            ``answers`` (F * G, K) bool, which behaviours begin shortly because of the speaker.
        """
        rng = np.random.default_rng((self.seed, index))
        told = rng.random() < self.told
        seconds = FRAMES_PER_LATENT / FPS
        aside = bool(self.sided_asks) and rng.random() < self.sided
        if aside or (told and self.asked and rng.random() < ASKED):
            listener, start = self.to_a_side(rng) if aside else self.any(self.asked, rng)
            wishes = asked_for(listener, start * seconds, self.frames * seconds, rng)
        else:
            rare = told and rng.random() < RARE
            listener, start, kind = self.rare(rng) if rare else (*self.any(self.listeners, rng), "")
            wishes = asked(listener, start * seconds, self.frames * seconds, kind, rng) if told else []
        text = text_tokens([wishes], FRAMES_PER_LATENT, length=MOST_WISHES)
        return {
            "latents": torch.from_numpy(listener.latents[start : start + self.frames]),
            **stretch(listener.track, start, self.frames, self.lead),
            "text": text.tokens[0],
            "text_start": text.start[0],
            "text_end": text.end[0],
            "answers": torch.from_numpy(
                answers(listener.events, start * seconds, self.frames * FRAMES_PER_LATENT)
            ),
        }

    def any(self, listeners: Sequence[Listener], rng: np.random.Generator) -> tuple[Listener, int]:
        """One of the listeners, and the latent frame that the stretch begins with."""
        listener = listeners[int(rng.integers(len(listeners)))]
        return listener, int(rng.integers(len(listener.latents) - self.frames + 1))

    def rare(self, rng: np.random.Generator) -> tuple[Listener, int, str]:
        """The same, with a behaviour that occurs in it, all equally often: some hardly would otherwise."""
        kind = str(rng.choice(sorted(self.occasions)))
        number, second = self.occasions[kind][int(rng.integers(len(self.occasions[kind])))]
        return self.listeners[number], self.around(second, self.listeners[number], rng), kind

    def to_a_side(self, rng: np.random.Generator) -> tuple[Listener, int]:
        """One of those who were asked, at a time when they were clearly asked for one of `SIDED`."""
        number, ask = self.sided_asks[int(rng.integers(len(self.sided_asks)))]
        second = float(rng.uniform(ask["start"], ask["end"]))
        return self.asked[number], self.around(second, self.asked[number], rng)

    def around(self, second: float, listener: Listener, rng: np.random.Generator) -> int:
        """The latent frame that a stretch begins with which has a second of a listener in it."""
        begin = int(second * FPS / FRAMES_PER_LATENT) - int(rng.integers(self.frames))
        return int(np.clip(begin, 0, len(listener.latents) - self.frames))


def asks_for_a_side(listeners: Sequence[Listener]) -> list[tuple[int, dict[str, Any]]]:
    """What was clearly asked for that goes to a side, after the number of the listener who was asked."""
    return [
        (number, ask)
        for number, listener in enumerate(listeners)
        for ask in listener.facts["asks"]
        if ask["kind"] in SIDED and ask["level"] >= CLEARLY
    ]


def asked(
    listener: Listener,
    begin: float,
    seconds: float,
    kind: str,
    rng: np.random.Generator,
) -> list[Wish]:
    """What somebody might have asked for who wanted what happens in a stretch.

    Args:
        listener: who did it.
        begin: second at which the stretch begins.
        seconds: of it.
        kind: a behaviour that is asked for if there is any of it; or nothing.
        rng: which of all that could be said.

    Returns:
        at most `MOST_WISHES`, with times from the stretch's beginning.
    """
    cuts = sorted(rng.uniform(0, seconds, int(rng.choice([0, 0, 0, 1, 1, 2]))))
    bounds = [0.0, *cuts, seconds]
    wishes: list[Wish] = []
    for first, last in itertools.pairwise(bounds):
        if last - first < SHORTEST_WISH or rng.random() < 0.15:
            continue
        stop = last if last < seconds else math.inf
        if rng.random() < 0.5:
            wishes.append(listener.attitude(first, stop))
        for name, amount in amounts(listener.events, begin + first, begin + last).items():
            chance = 0.12 if amount == 0 else 1.0 if name == kind else 0.45
            if rng.random() < chance:
                wishes += listener.wish(name, amount, begin, first, last, stop)
    return some(wishes, rng)


def asked_for(listener: Listener, begin: float, seconds: float, rng: np.random.Generator) -> list[Wish]:
    """What a listener was asked for in a stretch, as much of it as there is, and a little besides.

    Arguments and result as of `asked`.
    """
    wishes = [listener.attitude(0.0, math.inf)] if rng.random() < 0.5 else []
    named = set()
    for ask in listener.facts["asks"]:
        first, last = max(0.0, ask["start"] - begin), min(seconds, ask["end"] - begin)
        if last - first < SHORTEST_WISH:
            continue
        named.add(ask["kind"])
        amount = amounts(listener.events, begin + first, begin + last)[ask["kind"]] if ask["level"] else 0.0
        stop = last if last < seconds else math.inf
        wishes += listener.wish(ask["kind"], amount, begin, first, last, stop)
    for name, amount in amounts(listener.events, begin, begin + seconds).items():
        if rng.random() < ASKED_BESIDES and name not in named:
            wishes += listener.wish(name, amount, begin, 0.0, seconds, math.inf)
    return some(wishes, rng)


def some(wishes: Sequence[Wish], rng: np.random.Generator) -> list[Wish]:
    """Wishes in any order, at most `MOST_WISHES`."""
    order = rng.permutation(len(wishes))[:MOST_WISHES]
    return [wishes[int(k)] for k in order]


def answers(events: list[dict[str, Any]], begin: float, rows: int) -> np.ndarray:
    """(rows, K) bool: which behaviours of `FULL` begin within `SOON` seconds because of the speaker."""
    out = np.zeros((rows, len(FULL)), bool)
    place = {kind: k for k, kind in enumerate(FULL)} | {"nods": 0}
    for event in events:
        if event["cause"] is None or event["kind"] not in place:
            continue
        row = (event["start"] - begin) * FPS
        out[max(0, math.ceil(row - SOON * FPS)) : max(0, math.ceil(row)), place[event["kind"]]] = True
    return out


def stretch(track: SpeakerTrack, start: int, latent_frames: int, lead: int) -> dict[str, Tensor]:
    """Speaker rows of some latent frames and of the time before; before the beginning, all is unknown."""
    first, last = start * FRAMES_PER_LATENT - lead, (start + latent_frames) * FRAMES_PER_LATENT
    rows = track[max(0, first) : last].preceded(max(0, -first))
    return {name: torch.from_numpy(getattr(rows, name)) for name in ("audio", "motion", "heard", "seen")}


@dataclass(frozen=True)
class Told:
    """What a network is told of a batch, in all denoising steps alike."""

    context: Context
    speaker: SpeakerTokens


class ListeningData(EndlessData):
    """Stretches of conversations made by ``headgen synth listening``.

    Args:
        data: the folder.
        latent_frames: F of a stretch.
        batch_size: stretches a step and process.
        workers: processes that prepare them; 0 prepares them in the training process.
        seed: base of all randomness of the data.
        lead: speaker rows before a stretch that go with it: the adapter's history.
        sided, told: see `ListeningClips`.
    """

    def __init__(
        self, data: str, latent_frames: int = 48, batch_size: int = 16, workers: int = 0, seed: int = 0,
        lead: int = 88, sided: float = ASIDE, told: float = TOLD,
    ) -> None:  # fmt: skip
        super().__init__(batch_size, workers)
        self.folder, self.latent_frames, self.seed = Path(data), latent_frames, seed
        self.lead, self.sided, self.told = lead, sided, told

    def examples(self, split: str) -> ListeningClips:
        """Stretches of the conversations of a split."""
        return ListeningClips(
            self.folder, split, self.latent_frames, self.lead, self.seed, self.sided, self.told
        )


class ListenerGenModule(L.LightningModule):
    """Trains `ListenerTransformer` and `CTMAdapter`; what is exported is their moving average.

    Args:
        data: folder of the training set, whose codec the model shares; that of the data module by default.
        width: of the transformer.
        layers: blocks of the transformer.
        heads: of its attention.
        adapter_width: of the adapter.
        window: latent frames that the transformer looks back on, its own included.
        train: ``all``, or the ``adapter`` alone on a base that stays as it is.
        learning_rate: of AdamW, after warm-up.
        warmup: steps of linear warm-up.
        total: steps of the cosine decay, to a twentieth.
        withhold: how often audio, and independently motion, is withheld.
        early: how many stretches have as much noise as where listeners are begun.
        steadiness: weight of the error of frame-to-frame changes.
        gates: how far the adapter's gates stand open at first, 0 to 1, when all is trained from scratch.
        announcing: weight of the loss by which the adapter learns what is answered.
        average: decay of the moving average.
        sampled: conversations of the validation set that listeners are made for; 0 for none.
        sampling_steps: denoising steps of these.
        init: folder of a pipeline to start from.
        samples: whether each validation writes a video of one of the listeners, beside the true one.
        portrait: photograph that they are drawn on; a rendered head by default (the ``synth`` extra).
    """

    def __init__(
        self,
        data: str = "",
        width: int = 192,
        layers: int = 6,
        heads: int = 8,
        adapter_width: int = 96,
        window: int = 48,
        train: Literal["all", "adapter"] = "all",
        learning_rate: float = 8e-4,
        warmup: int = 200,
        total: int = 6000,
        withhold: float = 0.1,
        early: float = 0.25,
        steadiness: float = 4.0,
        gates: float = 0.5,
        announcing: float = 1.0,
        average: float = 0.999,
        sampled: int = 12,
        sampling_steps: int = 8,
        init: str = "",
        samples: bool = True,
        portrait: str = "",
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        if init:
            start = load_pipeline(Path(init))
            transformer, adapter, self.codec = start.transformer, start.adapter, start.codec.train()
            if train == "all":
                transformer.register_to_config(sided=True)
        else:
            self.codec = WarpCodec()  # the data's, once it is known
            transformer = ListenerTransformer(
                width=width, heads=heads, layers=layers, token_width=self.codec.token_width,
                frames_per_latent=self.codec.frames_per_latent, places=places().tolist(), window=window,
                portrait_width=CHANNELS, text_width=TOKEN_WIDTH, sided=True,
            )  # fmt: skip
            adapter = CTMAdapter(
                base_width=width, layers=list(range(layers)), width=adapter_width,
                frames_per_latent=self.codec.frames_per_latent,
            )  # fmt: skip
            if train == "all":
                # There is no base to be left as it is, and what a speaker tells is so little of what a
                # listener does that shut gates find no reason to open.
                adapter.open_gates(gates)
        self.announce = nn.Linear(2 * adapter.config.width, len(FULL))
        self.model = nn.ModuleDict({"transformer": transformer.train(), "adapter": adapter.train()})
        if train == "adapter":
            self.model["transformer"].requires_grad_(False)
        self.average_model = copy.deepcopy(self.model).requires_grad_(False)
        self.register_buffer("importance", torch.ones(len(PARTS), CHANNELS))
        self.sample: tuple[Tensor, Tensor] | None = None
        """True and made latents (F, P, D) of the conversation that the last validation measured first."""
        if data:
            self.learn_from(Path(data))

    def setup(self, stage: str) -> None:
        """Takes the codec from the data module, unless a folder was named."""
        if not self.hparams.data:
            self.learn_from(self.trainer.datamodule.folder)

    def learn_from(self, folder: Path) -> None:
        """Takes the codec of a data set.

        Raises:
            InputError: there is none, or the model to start from has another one.
        """
        found = codec_of(folder)
        if self.hparams.init and not same_latents(found, self.codec):
            raise InputError(
                f"{self.hparams.init}: its latents are not those of {folder}; go on with the data set that "
                "it was trained on, or start anew"
            )
        self.folder = folder
        self.codec.load_state_dict(found.state_dict())
        self.importance.copy_(importance(self.codec))

    def configure_callbacks(self) -> list[L.Callback]:
        """Pictures of what validation makes."""
        return [ListenerSamples(self.hparams.portrait)] if self.hparams.samples else []

    @property
    def exported(self) -> ListenerPipeline:
        """The pipeline as users load it, of the averaged weights."""
        scheduler = FlowMatchEulerDiscreteScheduler(shift=SHIFT)
        pipeline = ListenerPipeline(
            cast(ListenerTransformer, self.average_model["transformer"]),
            cast(CTMAdapter, self.average_model["adapter"]),
            self.codec,
            scheduler,
        )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def predict(
        self, model: Any, noisy: Tensor, sigma: Tensor, batch: Batch, keep: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, SpeakerTokens]:
        """Clean latents (B, F, P, D) as the network sees them, and what it was told of the speakers.

        Args:
            model: transformer and adapter.
            noisy: (B, F, P, D).
            sigma: (B, F).
            batch: the speaker, and portraits.
            keep: (B,) bool each: whether audio and motion are given.
        """
        told = self.told(model, batch, keep)
        clean = model["transformer"](
            noisy, sigma, told.context, adapter=model["adapter"], speaker=told.speaker
        )
        return clean, told.speaker

    def told(self, model: Any, batch: Batch, keep: tuple[Tensor, Tensor]) -> Told:
        """What the network is told of a batch; arguments as of `predict`."""
        rows = batch["latents"].shape[1] * self.codec.frames_per_latent
        speaker = model["adapter"].encode(condition(batch, keep), first=rows - batch["audio"].shape[1])
        text = TextTokens(batch["text"], batch["text_start"], batch["text_end"])
        return Told(model["transformer"].encode(batch["portrait"], text), speaker)

    def loss(self, model: Any, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Named losses of a batch with some noise."""
        clean = batch["latents"]
        frames = clean.shape[1]

        def draw(*shape: int) -> Tensor:
            return noise.uniform(*shape).to(clean.device)

        def normal(*shape: int) -> Tensor:
            return noise.normal(*shape).to(clean.device)

        early = draw(1) < self.hparams.early
        level = torch.sigmoid(
            normal(1) * torch.where(early, EARLY_SPREAD, NOISE_SPREAD)
            + torch.where(early, EARLY_CENTRE, NOISE_CENTRE)
        )
        past = torch.where(draw(1) < 0.5, (draw(1) * frames).floor(), 0.0)
        is_past = torch.arange(frames, device=clean.device)[None] < past
        sigma = torch.where(is_past, 0.0, level)
        true_sigma = torch.where(is_past, PAST_NOISE * draw(1), level)[..., None, None]
        noisy = (1 - true_sigma) * clean + true_sigma * normal(*clean.shape[1:])
        keep = draw() >= self.hparams.withhold, draw() >= self.hparams.withhold
        batch = {**batch, "portrait": normal(len(PARTS), CHANNELS)}
        found, speaker = self.predict(model, noisy, sigma, batch, keep)
        error = found - clean
        weight = (~is_past / sigma.clamp(min=SHARPEST) ** 2)[..., None, None]
        weight = weight / shared_mean(weight.mean())
        steps = rearrange(error, "b f p (g c) -> b (f g) p c", c=CHANNELS)
        now = ~is_past.repeat_interleave(steps.shape[1] // frames, 1)
        change = (steps[:, 1:] - steps[:, :-1]).square() * self.importance
        moving = (now[:, 1:] & now[:, :-1])[..., None, None] * weight.repeat_interleave(
            steps.shape[1] // frames, 1
        )[:, 1:]
        error_squared = error.square() * self.importance.repeat(1, self.codec.frames_per_latent)
        return {
            "place": (weight * error_squared).mean(),
            "change": self.hparams.steadiness * (moving * change).mean(),
            "answers": self.hparams.announcing * self.announced(speaker, batch["answers"]),
        }

    def announced(self, speaker: SpeakerTokens, answers: Tensor) -> Tensor:
        """How badly the speaker's tokens tell which answers come next: a mean cross-entropy.

        Our design: answers are rare and small beside all that a listener does out of habit. Told apart from
        the rest like this, they teach the adapter what to listen for long before the denoiser could.
        """
        rows = speaker.encoded[:, -answers.shape[1] :].flatten(2)
        return F.binary_cross_entropy_with_logits(self.announce(rows), answers.to(rows.dtype))

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """One batch."""
        noise = Share.of_step(self, index).noise(len(batch["latents"]))
        terms = self.loss(self.model, batch, noise)
        for name, value in terms.items():
            self.log(f"train/{name}", value, sync_dist=True)
        return sum(terms.values(), torch.zeros((), device=self.device))

    def optimizer_step(self, *step: Any, **options: Any) -> None:
        """One step, after which the average moves, faster at first; a checkpoint comes later and has both."""
        super().optimizer_step(*step, **options)
        move_average(self.average_model, self.model, self.hparams.average, self.global_step + 1)

    def validation_step(self, batch: Batch, index: int) -> None:
        """Losses of the average with fixed noise."""
        many = len(batch["latents"])
        terms = self.loss(self.average_model, batch, Share(done=index).noise(many))
        for name, value in terms.items():
            self.log(f"val/{name}", value, batch_size=many, sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        """Makes listeners for conversations that were not trained on, and measures them."""
        if not self.hparams.sampled or self.trainer.sanity_checking:
            return
        for name, value in self.measure().items():
            self.log(f"val/{name}", value, sync_dist=True)

    def measure(self) -> dict[str, float]:
        """`WATCHED` figures of listeners made for the first conversations of the validation set."""
        folder = self.folder
        frames = int(cast(ListenerTransformer, self.model["transformer"]).config.window)
        rows = frames * self.codec.frames_per_latent
        clips = [read_clip(folder, n) for n in clip_names(folder, "val")[: self.hparams.sampled]]
        clips = [c for c in clips if len(c.latents) >= frames]
        if not clips:
            raise InputError(
                f"{folder}: conversations of the validation set are shorter than {frames} latent frames"
            )
        made = self.exported(
            [c.track[:rows] for c in clips],
            torch.zeros(len(clips), len(PARTS), CHANNELS),
            frames,
            num_inference_steps=self.hparams.sampling_steps,
            generator=torch.Generator().manual_seed(0),
        ).latents
        self.sample = torch.from_numpy(clips[0].latents[:frames]), made[0]
        pairs = []
        for clip, latents in zip(clips, made, strict=True):
            truth = self.codec.decode(torch.from_numpy(clip.latents[:frames]))
            generated = coefficients(self.codec.decode(latents))
            pairs.append(ListenerClip(clip.speaker[:rows], coefficients(truth), generated))
        scale = motion_scale([p.truth for p in pairs])
        report = listener_report(pairs, scale=scale, resamples=20)
        return {name: float(report[name].value) for name in WATCHED}

    def configure_optimizers(self) -> Any:
        """AdamW, warm-up, cosine."""
        parameters = itertools.chain(self.model.parameters(), self.announce.parameters())
        options = self.hparams
        return adamw(parameters, options.learning_rate, options.warmup, options.total)


def codec_of(folder: Path) -> WarpCodec:
    """The codec of a data set.

    Raises:
        InputError: there is none.
    """
    if not (folder / "codec" / "config.json").is_file():
        raise InputError(f"{folder}: no conversations to train on; make some with `headgen synth listening`")
    return WarpCodec.from_pretrained(folder / "codec", low_cpu_mem_usage=False)


def condition(batch: Batch, keep: tuple[Tensor, Tensor]) -> SpeakerCondition:
    """The speakers of a batch."""
    return SpeakerCondition(batch["audio"], batch["motion"], batch["heard"], batch["seen"], *keep)


def importance(codec: WarpCodec) -> Tensor:
    """(P, C) how much an error of each number shows, about 1: the root of how far it moves the face."""
    norms = codec.basis.norm(dim=-1).sqrt()
    norms = norms / norms.mean(-1, keepdim=True)
    return torch.cat([torch.full((1, CHANNELS), 1.5), norms])
