"""Training of listener-edit: the join of two segments as it should be, from one that went wrong.

Joins are made from continuous clips of the synthetic world (`headgen.evaluation.synthetic_joins`). A path
leads from the re-noised join to the clean clip, see `headgen.listener.edit`; the network predicts its end.

Shapes: B batch, F latent frames of a window, P parts, D token width, G video frames in a latent frame, C
numbers of a part.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, cast

import lightning as L
import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from einops import rearrange
from torch import Tensor, nn
from torch.utils.data import Dataset

from headgen.errors import InputError
from headgen.evaluation.synthetic_joins import KINDS, MIXED, MOST_SKIPPED, Join, JoinMaker
from headgen.listener.adapter import CTMAdapter
from headgen.listener.edit import WRONG, ListenerEditor, Preconditioning, bridge
from headgen.listener.latents import CHANNELS, FRAMES_PER_LATENT, PARTS, WarpCodec, latents_of, places
from headgen.listener.transformer import ListenerTransformer
from headgen.listening import clip_names, read_clip
from headgen.training.average import move_average
from headgen.training.data import ENDLESS
from headgen.training.endless import EndlessData
from headgen.training.listener import codec_of, condition, importance, stretch
from headgen.training.schedule import adamw
from headgen.training.shares import Noise, Share, shared_mean

Batch = dict[str, Tensor]

LEAST_INNER, LEAST_OUTER = 2, 2
"""Latent frames that are rewritten, and that are left on each side."""
USUAL_INNER, USUAL = (5, 11), 0.5
"""Inner latent frames of a transition of listener-gen, and how often they are trained on."""
MIXED_SHARE = 0.4
"""Of joins at which several things went wrong."""
BLINKS = 0.3
"""How often a blink is held besides."""
WITHOUT_TAKES = 0.3
"""How often nothing but the join is given."""
LEAST_STRENGTH, WHOLE_NOISE = 0.15, 0.1
"""Least noise that a path begins with (most have little); and how often that is noise alone."""
BEGINNINGS = 0.35
"""How often a path is trained on at its very beginning, which decides most."""
SHARPEST = 0.03
"""Size of errors that are to be expected below which they do not count more."""
SMALL = 1.0
"""Errors below which their squares count, above which they themselves do. It is large: with .1 the network
took the likelier of two answers, and held blinks stayed."""


class SyntheticJoins(Dataset[Batch]):
    """Joins of a split of conversations; join number i is a function of (seed, i) alone.

    Args:
        directory: made by ``headgen synth listening``.
        split: ``train``, ``val`` or ``test``.
        window: F.
        lead: speaker rows before a window that go with it.
        seed: base of all randomness.
    """

    def __init__(self, directory: Path, split: str, window: int, lead: int, seed: int = 0) -> None:
        self.window, self.lead, self.seed = window, lead, seed
        self.frames = window * FRAMES_PER_LATENT
        clips = [read_clip(Path(directory), name) for name in clip_names(Path(directory), split)]
        needed = window + -(-MOST_SKIPPED // FRAMES_PER_LATENT)
        self.clips = [c for c in clips if len(c.latents) >= needed]
        if not self.clips:
            raise InputError(f"{directory}: all conversations are shorter than {needed} latent frames")
        self.maker = JoinMaker(self.clips)

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> Batch:
        """One join.

        Returns:
            ``latents`` (F, P, D) as they should be; ``join``, the same with the join as it is; ``takes`` (2,
            F, P, D), the same as either segment has it, or twice the join; ``inner``, the first inner frame
            and the one after the last; and the speaker as `stretch` gives it, unknown after the inner frames.
        """
        rng = np.random.default_rng((self.seed, index))
        number = int(rng.integers(len(self.clips)))
        clip = self.clips[number]
        spare = len(clip.latents) - self.window - -(-MOST_SKIPPED // FRAMES_PER_LATENT)
        start = int(rng.integers(spare + 1))
        inner = self.inner(rng)
        rows = inner[0] * FRAMES_PER_LATENT, inner[1] * FRAMES_PER_LATENT
        some = rng.random() < MIXED_SHARE
        kinds = [k for k in MIXED if rng.random() < 0.6] if some else [KINDS[int(rng.integers(len(KINDS)))]]
        if rng.random() < BLINKS:
            kinds.append("blink")
        join = self.maker.join(number, start * FRAMES_PER_LATENT, self.frames, rows, kinds, rng)
        speaker = stretch(clip.track, start, self.window, self.lead)
        for known in speaker.values():
            known[self.lead + rows[1] :] = 0
        given = begun(join, rng)
        takes = (given, given)
        if rng.random() >= WITHOUT_TAKES:
            takes = tuple(
                np.concatenate([given[: join.start], take[join.start : join.stop], given[join.stop :]])
                for take in (join.left, join.right)
            )
        return {
            "latents": torch.from_numpy(latents_of(join.truth)),
            "join": torch.from_numpy(latents_of(given)),
            "takes": torch.stack([torch.from_numpy(latents_of(take)) for take in takes]),
            "inner": torch.tensor(inner),
            **speaker,
        }

    def inner(self, rng: np.random.Generator) -> tuple[int, int]:
        """The first inner latent frame, and the one after the last."""
        if rng.random() < USUAL and self.window >= USUAL_INNER[1] + LEAST_OUTER:
            return USUAL_INNER
        most = self.window - 2 * LEAST_OUTER
        count = int(rng.integers(LEAST_INNER, min(most, self.window // 2) + 1))
        first = int(rng.integers(LEAST_OUTER, self.window - LEAST_OUTER - count + 1))
        return first, first + count


def begun(join: Join, rng: np.random.Generator) -> np.ndarray:
    """What the editor may be given of a join: a cross-fade of the inner frames, or a short one, or a cut."""
    chance, middle = rng.random(), int(rng.integers(join.start + 1, join.stop))
    if chance < 0.6:
        return join.faded(join.start, join.stop)
    if chance < 0.8:
        reach = min(3, middle - join.start, join.stop - middle)
        return join.faded(middle - reach, middle + reach)
    return join.cut(middle)


class JoinData(EndlessData):
    """Joins made of conversations that ``headgen synth listening`` made.

    Args:
        data: the folder.
        window: F.
        batch_size: joins a step and process.
        workers: processes that prepare them; 0 prepares them in the training process.
        seed: base of all randomness of the data.
        lead: speaker rows before a window that go with it: the adapter's history.
    """

    def __init__(
        self,
        data: str,
        window: int = 16,
        batch_size: int = 16,
        workers: int = 0,
        seed: int = 0,
        lead: int = 48,
    ) -> None:
        super().__init__(batch_size, workers)
        self.folder, self.window, self.seed, self.lead = Path(data), window, seed, lead

    def examples(self, split: str) -> SyntheticJoins:
        """Joins made of the conversations of a split."""
        return SyntheticJoins(self.folder, split, self.window, self.lead, self.seed)


class ListenerEditModule(L.LightningModule):
    """Trains `ListenerEditor`; what is exported is the moving average.

    Args:
        width: of the transformer.
        layers: its blocks; each is adapted.
        heads: of its attention.
        mlp_ratio: hidden width of the blocks' networks, in widths.
        adapter_width: of the adapter.
        adapter_window: speaker rows that a latent frame sees.
        window: F, most latent frames of a window.
        learning_rate: of AdamW, after warm-up.
        warmup: steps of linear warm-up.
        total: steps of the cosine decay, to a twentieth.
        withhold: how often audio, and independently motion, is withheld.
        steadiness: weight of the error of frame-to-frame changes.
        gates: how far the adapter's gates stand open at first, 0 to 1.
        average: decay of the moving average.
        sampling_steps: denoising steps of what validation measures.
    """

    def __init__(
        self,
        width: int = 64,
        layers: int = 3,
        heads: int = 2,
        mlp_ratio: int = 2,
        adapter_width: int = 16,
        adapter_window: int = 40,
        window: int = 16,
        learning_rate: float = 3e-3,
        warmup: int = 50,
        total: int = 2000,
        withhold: float = 0.2,
        steadiness: float = 10.0,
        gates: float = 0.3,
        average: float = 0.99,
        sampling_steps: int = 4,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.codec = WarpCodec()  # the data's, once it is known
        transformer = ListenerTransformer(
            width=width, heads=heads, layers=layers, mlp_ratio=mlp_ratio, token_width=self.codec.token_width,
            frames_per_latent=FRAMES_PER_LATENT, places=places().tolist(), block=window, window=window,
            portrait_width=CHANNELS, text_width=1, reference_width=2 * self.codec.token_width,
        )  # fmt: skip
        adapter = CTMAdapter(
            base_width=width, layers=list(range(layers)), width=adapter_width, heads=2, encoder_layers=2,
            frames_per_latent=FRAMES_PER_LATENT, window_frames=adapter_window,
        )  # fmt: skip
        adapter.open_gates(gates)  # there is no base to be left as it is
        self.model = nn.ModuleDict({"transformer": transformer.train(), "adapter": adapter.train()})
        self.average_model = copy.deepcopy(self.model).requires_grad_(False)
        self.register_buffer("importance", torch.ones(len(PARTS), CHANNELS))

    def setup(self, stage: str) -> None:
        """Takes the codec of the data set.

        Raises:
            InputError: there is none.
        """
        self.codec.load_state_dict(codec_of(self.trainer.datamodule.folder).state_dict())
        self.importance.copy_(importance(self.codec))

    @property
    def exported(self) -> ListenerEditor:
        """The editor as users load it, of the averaged weights."""
        editor = ListenerEditor(
            cast(ListenerTransformer, self.average_model["transformer"]),
            cast(CTMAdapter, self.average_model["adapter"]),
            self.codec,
            FlowMatchEulerDiscreteScheduler(),
        )
        editor.set_progress_bar_config(disable=True)
        return editor

    def loss(self, model: Any, batch: Batch, noises: Noise) -> dict[str, Tensor]:
        """Named losses of a batch with some noise."""
        truth, inner = batch["latents"], batch["inner"]
        frames = truth.shape[1]

        def draw(*shape: int) -> Tensor:
            return noises.uniform(*shape).to(truth.device)

        now = torch.arange(frames, device=truth.device)[None]
        is_inner = (now >= inner[:, :1]) & (now < inner[:, 1:])  # (B, F)
        mask = is_inner[..., None, None]
        level = torch.cat([bridge(t[None], slice(*i)) for t, i in zip(truth, inner.tolist(), strict=True)])
        clean, join = truth - level, batch["join"] - level
        strength = LEAST_STRENGTH + (1 - LEAST_STRENGTH) * draw(1).square()
        strength = torch.where(draw(1) < WHOLE_NOISE, 1.0, strength)
        share = torch.where(draw(1) < BEGINNINGS, 1.0, draw(1))
        noise = noises.normal(*truth.shape[1:]).to(truth.device)
        s, r = strength[..., None, None], share[..., None, None]
        path = (1 - r) * clean + r * ((1 - s) * join + s * noise)
        at = Preconditioning.of(r, s)
        keep = draw() >= self.hparams.withhold, draw() >= self.hparams.withhold
        portrait = noises.normal(len(PARTS), CHANNELS).to(truth.device)
        speaker = model["adapter"].encode(
            condition(batch, keep), first=frames * FRAMES_PER_LATENT - batch["audio"].shape[1]
        )
        found = model["transformer"](
            mask * at.given * (path - join),
            is_inner * at.level[..., 0, 0],
            model["transformer"].encode(portrait),
            reference=rearrange(batch["takes"] - level[:, None], "b two f p d -> b f p (two d)"),
            adapter=model["adapter"],
            speaker=speaker,
        )
        made = join + at.kept * (path - join) + at.learnt * found
        error = mask * (made - clean) / at.learnt.clamp(min=SHARPEST)
        steps = rearrange(error, "b f p (g c) -> b (f g) p c", c=CHANNELS)
        count = shared_mean(mask.float().mean())
        return {
            "place": (pseudo_huber(steps) * self.importance).mean() / count,
            "change": self.hparams.steadiness
            * (pseudo_huber(steps.diff(dim=1)) * self.importance).mean()
            / count,
        }

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
        """Losses of the average with fixed noise; and root mean square errors of what it makes of joins.

        ``val/made`` is that of rewritten inner frames, ``val/given`` that of the joins as they were.
        """
        editor, many = self.exported, len(batch["latents"])
        terms = self.loss(self.average_model, batch, Share(done=index).noise(many))
        squares: dict[str, list[Tensor]] = {"made": [], "given": []}
        generator = torch.Generator().manual_seed(index)
        given = zip(batch["latents"], batch["join"], batch["takes"], batch["inner"].tolist(), strict=True)
        for truth, join, takes, inner in given:
            made = editor(
                join[None],
                slice(*inner),
                takes=(takes[0][None, slice(*inner)], takes[1][None, slice(*inner)]),
                num_inference_steps=self.hparams.sampling_steps,
                generator=generator,
            )[0]
            for name, one in (("made", made), ("given", join)):
                squares[name].append((one - truth)[slice(*inner)].square().mean())
        terms |= {name: torch.stack(values).mean().sqrt() for name, values in squares.items()}
        for name, value in terms.items():
            self.log(f"val/{name}", value, batch_size=many, sync_dist=True)

    def configure_optimizers(self) -> Any:
        """AdamW, warm-up, cosine."""
        options = self.hparams
        return adamw(self.model.parameters(), options.learning_rate, options.warmup, options.total)


def pseudo_huber(error: Tensor) -> Tensor:
    """How much errors count: as their squares while they are small, as they themselves beyond."""
    return (error.square() + (SMALL / WRONG) ** 2).sqrt() - SMALL / WRONG
