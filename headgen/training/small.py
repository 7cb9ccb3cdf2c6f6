"""Training of fsrt-small: pairs of frames of one person, self-supervised reconstruction.

Our design: the paper's random-pixel MSE is replaced by losses that fit a model which copies: the copied
picture, the drawn colours and their blend are each compared with the driving frame, more closely at the mouth
and the eyes, and fine grids are decoded on a random part of every frame.  The set-latent, key points from
the driving frame and source frames of the same person are the paper's (section 3).
"""

from __future__ import annotations

import copy
import itertools
import math
from pathlib import Path
from typing import Any

import cv2
import lightning as L
import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.data import DataLoader

from headgen.faces import mesh
from headgen.fsrt import conditioning
from headgen.fsrt.small import CENTRE, PARTS, FSRTSmall, Region, SmallOutput, SourceState, mismatch, warp
from headgen.training.average import move_average
from headgen.training.data import ENDLESS, ClipStore, Pair, PairDataset, RangeSampler
from headgen.training.losses import discriminator_loss, feature_matching_loss, generator_loss
from headgen.training.shares import Share, shared_least, shared_mean

Batch = dict[str, Tensor]

PLACES = (mesh.LIPS_INNER, mesh.EYE_RIGHT, mesh.EYE_LEFT)
"""Landmarks around what is judged closely: the mouth, both eyes."""
PATCH = 48
"""Side in pixels of the pictures that the critic judges."""


def condition(
    source_landmarks: list[np.ndarray], target_landmarks: np.ndarray, size: int
) -> dict[str, np.ndarray]:
    """The network's inputs for some sources and one target, from their landmarks in pixels of the crop.

    Returns:
        `source_maps` (S, P, G, G), and of the first source's motion `maps` (P, G, G), `prior` (2, G, G),
        `scalars` (3K,); `places` (3, 2) of the target's mouth and eyes in pixels.
    """
    sources = [conditioning.FaceGeometry.of_source(p, size) for p in source_landmarks]
    first = sources[0]
    target = first.moved_to(target_landmarks)
    drawing = target.draw()
    a = conditioning.scalars(source_landmarks[0], first.pose)
    b = conditioning.scalars(target_landmarks, target.pose)
    return {
        "source_maps": np.stack([source.draw().maps() for source in sources]),
        "maps": drawing.maps(),
        "prior": conditioning.prior_flow(first, drawing),
        "scalars": np.concatenate([a, b, b - a]),
        "places": np.stack([target_landmarks[list(p), :2].mean(0) for p in PLACES]).astype(np.float32),
    }


class SmallAugment:
    """Turns a pair of frames into a training sample; a picklable transform for `PairDataset`.

    Source and driving frame are mirrored, scaled, shifted and turned together, and share one colour jitter.

    Args:
        size: pixels a side of the crops.
        augment: False for validation.
    """

    def __init__(self, size: int = 256, augment: bool = True) -> None:
        self.size, self.augment = size, augment

    def __call__(self, pair: Pair, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Returns `source` (S, 3, H, W) and `driving` (3, H, W) uint8, and what `condition` gives."""
        images = [*pair["source"], pair["driving"]]
        points = [*pair["source_landmarks"], pair["driving_landmarks"]]
        if self.augment:
            matrix, mirror = self._transform(rng)
            images = [
                cv2.warpAffine(
                    i,
                    matrix,
                    (self.size, self.size),
                    flags=cv2.INTER_CUBIC,
                    borderMode=cv2.BORDER_REFLECT_101,
                )
                for i in images
            ]
            scale = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
            points = [
                np.column_stack([p[:, :2] @ matrix[:, :2].T + matrix[:, 2], p[:, 2] * scale]) for p in points
            ]
            if mirror:
                points = [p[mesh.mirror_index()] for p in points]
            table = self._colours(rng)
            images = [table(i) for i in images]
        points = [p.astype(np.float64) for p in points]
        told = points[-1] + rng.normal(0, 0.12, points[-1].shape) if self.augment else points[-1]
        sample = condition(points[:-1], told, self.size)
        return {
            "source": np.stack(images[:-1]).transpose(0, 3, 1, 2),
            "driving": images[-1].transpose(2, 0, 1),
            **sample,
        }

    def _transform(self, rng: np.random.Generator) -> tuple[np.ndarray, bool]:
        """A random similarity (2, 3) on the crop's pixels, and whether it mirrors."""
        mirror = bool(rng.random() < 0.5)
        turn = np.deg2rad(rng.normal(0, 4))
        scale = np.exp(rng.normal(-0.06, 0.1))
        shift = rng.normal(0, 0.02, 2) * self.size
        centre = (self.size - 1) / 2
        linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        if mirror:
            linear = linear @ np.diag([-1.0, 1.0])
        offset = centre + shift - linear @ [centre, centre]
        return np.column_stack([linear, offset]), mirror

    @staticmethod
    def _colours(rng: np.random.Generator) -> Any:
        """One random change of brightness, contrast, saturation and white balance."""
        gain = np.exp(rng.normal(0, 0.12)) * np.exp(rng.normal(0, 0.05, 3))
        lift, gamma = rng.normal(0, 8), np.exp(rng.normal(0, 0.12))
        saturation = 0.0 if rng.random() < 0.05 else float(np.clip(rng.normal(1, 0.2), 0.3, 1.6))

        def apply(image: np.ndarray) -> np.ndarray:
            x = image.astype(np.float32)
            grey = x @ np.array([0.299, 0.587, 0.114], np.float32)
            x = grey[..., None] + saturation * (x - grey[..., None])
            x = 255 * (np.clip(x, 0, 255) / 255) ** np.float32(gamma) * gain.astype(np.float32) + lift
            return np.clip(x, 0, 255).astype(np.uint8)

        return apply


def prefer_change(landmarks: np.ndarray, source: int) -> np.ndarray:
    """Weights (T,) of a clip's frames as driving frames: those whose mouth or lids differ from the source's.

    Drawn evenly, a model sees few closed mouths open wide, and learns to open them too little.
    """
    eyes = np.linalg.norm(landmarks[:, 33] - landmarks[:, 263], axis=1)
    mouth = np.linalg.norm(landmarks[:, 13] - landmarks[:, 14], axis=1) / eyes
    lids = np.linalg.norm(landmarks[:, [159, 386]] - landmarks[:, [145, 374]], axis=2).mean(1) / eyes
    return 1 + 12 * np.abs(mouth - mouth[source]) + 10 * np.abs(lids - lids[source])


class SmallPairs(L.LightningDataModule):
    """Pairs of frames from a folder of face clips.

    Args:
        data: folders in the format of `headgen.media.clips`.
        batch_size: pairs a step and process.
        workers: processes that prepare pairs; 0 prepares them in the training process.
        cache: hold all frames in memory.
        seed: base of all randomness of the data.
        sources: source frames per pair at most; every batch uses one to all of them.
    """

    def __init__(
        self,
        data: list[str],
        batch_size: int = 16,
        workers: int = 1,
        cache: bool = True,
        seed: int = 0,
        sources: int = 1,
    ) -> None:
        super().__init__()
        self.folders, self.batch_size, self.workers = [Path(d) for d in data], batch_size, workers
        self.cache, self.seed, self.sources = cache, seed, sources
        self._stores: dict[str, ClipStore] = {}

    def _loader(self, split: str, start: int, count: int, augment: bool, stride: int = 1) -> DataLoader:
        sets = []
        for folder in self.folders:
            key = f"{folder}:{split}"
            if key not in self._stores:
                self._stores[key] = ClipStore(folder, split, cache=self.cache)
            store, prepare = self._stores[key], SmallAugment(augment=augment)
            prefer = prefer_change if augment else None
            sets.append(
                PairDataset(store, sources=self.sources, seed=self.seed, transform=prepare, preference=prefer)
            )
        chosen = sets[0] if len(sets) == 1 else Alternating(sets)
        return DataLoader(
            chosen,
            batch_size=self.batch_size,
            sampler=RangeSampler(start, count, stride),
            num_workers=self.workers,
            prefetch_factor=4 if self.workers else None,
            worker_init_fn=_alone,
        )

    def train_dataloader(self) -> DataLoader:
        """An endless stream that goes on where a resumed run stopped; several processes share it."""
        share = Share.of(self.trainer)
        return self._loader("train", share.start(self.batch_size), ENDLESS, True, share.processes)

    def val_dataloader(self) -> DataLoader:
        """A fixed set of pairs of people who are not trained on."""
        return self._loader("val", 0, 2 * self.batch_size, False)


def _alone(worker: int) -> None:
    """A worker process is one of several: it takes one thread."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


class Alternating(torch.utils.data.Dataset[Any]):
    """Takes pair i from each of several sets in turn."""

    def __init__(self, sets: list[PairDataset]) -> None:
        self.sets = sets

    def __len__(self) -> int:
        return len(self.sets[0])

    def __getitem__(self, index: int) -> Any:
        return self.sets[index % len(self.sets)][index]


def gradients(x: Tensor) -> tuple[Tensor, Tensor]:
    """Horizontal and vertical differences of (B, C, h, w)."""
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


class PatchCritic(nn.Module):
    """Tells drawn mouths and eyes from true ones, given what was to be drawn.

    Args:
        told: channels of the maps that it sees beside the picture.
        width: channels of the first layer, doubled by each further one.
    """

    def __init__(self, told: int = 4, width: int = 32) -> None:
        super().__init__()
        channels = [3 + told, width, 2 * width, 4 * width]
        self.convs = nn.ModuleList(
            spectral_norm(nn.Conv2d(a, b, 4, stride=2, padding=1)) for a, b in itertools.pairwise(channels)
        )
        self.score = spectral_norm(nn.Conv2d(channels[-1], 1, 3, padding=1))

    def forward(self, picture: Tensor, told: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Scores (N, 1, h, w), near 1 for what looks true, and the features of each layer.

        Args:
            picture: (N, 3, PATCH, PATCH) in [0, 1].
            told: (N, 4, PATCH, PATCH) conditioning maps from the mouth's interior on.
        """
        x, features = torch.cat([picture * 2 - 1, told], 1), []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), 0.2)
            features.append(x)
        return self.score(x), features


class SmallFSRTModule(L.LightningModule):
    """Trains `FSRTSmall`; keeps a moving average of its weights, which is what is exported.

    Args:
        learning_rate: of AdamW, after warm-up.
        warmup: steps of linear warm-up.
        total: steps of the cosine decay, to a twentieth.
        region: side, in cells of 64, of the part of each frame that is decoded in full; 48 for all that
            the network decodes.
        mouth: weight of the mouth in all losses; skin counts 2, surroundings 1.
        eyes: weight of the eyes.
        drawing: what it costs to draw what could be copied, times the weight of the place.
        hold: what it costs to move skin otherwise than the mesh says.
        adversarial: weight of the critic of mouths and eyes (least squares, as in the paper's last phase); 0
            for none.
        matching: weight of the distance between the critic's features of drawn and true patches.
        clip: largest norm of the gradient.
        average: decay of the moving average.
        init: folder of a model to start from.
    """

    automatic_optimization = False

    def __init__(
        self,
        learning_rate: float = 6e-4,
        warmup: int = 100,
        total: int = 4000,
        region: int = 32,
        mouth: float = 6.0,
        eyes: float = 4.0,
        drawing: float = 0.25,
        hold: float = 20.0,
        adversarial: float = 0.2,
        matching: float = 1.5,
        clip: float = 1.0,
        average: float = 0.995,
        init: str = "",
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.critic = PatchCritic()
        model = FSRTSmall()
        if init:  # into a model of its own, whose config does not tell where it came from
            start = FSRTSmall.from_pretrained(init)
            model = FSRTSmall(**{k: v for k, v in start.config.items() if not k.startswith("_")})
            model.load_state_dict(start.state_dict())
        self.model = model.train().to(memory_format=torch.channels_last)
        self.average_model = copy.deepcopy(self.model).requires_grad_(False)
        self.register_buffer("window", torch.from_numpy(conditioning.border_window(conditioning.GRID)))

    def decode(
        self, model: FSRTSmall, batch: Batch, region: Region = CENTRE, sources: int = 1
    ) -> tuple[SourceState, SmallOutput]:
        """One forward pass over a batch of pairs, of whose sources the first ones are used."""
        state = model.encode(batch["source"][:, :sources].float().div(255), batch["source_maps"][:, :sources])
        maps = batch["maps"].contiguous(memory_format=torch.channels_last)
        return state, model(state, maps, batch["prior"], batch["scalars"], self.window, region)

    def losses(self, batch: Batch, out: SmallOutput, region: Region) -> dict[str, Tensor]:
        """Named loss terms of a decoded batch; their sum is minimised."""

        def cut(x: Tensor, scale: int) -> Tensor:
            top, left, side = (scale * v for v in region)
            return x[..., top : top + side, left : left + side]

        target = cut(batch["driving"].float().div(255), 4)
        maps = cut(batch["maps"], 2)
        face, inside, eye, lips = (maps[:, i : i + 1] for i in (3, 4, 5, 6))
        near_mouth = F.max_pool2d(inside + lips, 7, 1, 3).clamp(0, 1)
        near_eye = F.max_pool2d(eye, 9, 1, 4)  # wide enough for the lids of an eye that is shut
        # Drawing costs nothing where the source cannot show what is wanted (a mouth or an eye that opens or
        # shuts); elsewhere it costs more than the blur it spares: drawn skin, teeth and hair are soft.
        seen = cut(warp(batch["source_maps"][:, 0, 4:6], batch["prior"] * self.window), 2)
        hidden = mismatch(maps[:, PARTS], seen)
        emphasis = 1 + face + self.hparams.mouth * near_mouth
        cost = self.hparams.drawing * emphasis * (1 - hidden)
        emphasis = emphasis + self.hparams.eyes * near_eye
        weight = F.interpolate(emphasis, scale_factor=2, mode="nearest")
        cost = F.interpolate(cost, scale_factor=2, mode="bilinear")
        inside, hidden = (F.interpolate(x, scale_factor=2, mode="bilinear") for x in (inside, hidden))
        near_eye = F.interpolate(near_eye, scale_factor=2, mode="nearest")
        image = out.image
        terms = {
            "image": 4 * (weight * (image - target).abs()).mean(),
            "warped": 2 * (weight * (1 - hidden) * (out.warped - target).abs()).mean(),
            "colour": ((0.3 + 4 * inside + near_eye) * (out.colour - target).abs()).mean(),
            "drawn": (cost * (1 - out.mask)).mean(),
        }
        edges = target.new_zeros(())
        x, y, w = image, target, weight
        for _ in range(3):
            gx, gy = gradients(x)
            tx, ty = gradients(y)
            edges = edges + (w[..., 1:] * (gx - tx).abs()).mean() + (w[..., 1:, :] * (gy - ty).abs()).mean()
            x, y, w = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2), F.avg_pool2d(w, 2)
        terms["edges"] = 2 * edges
        bend = out.flow - cut(batch["prior"] * self.window, 2)
        dx, dy = gradients(bend)
        terms["bend"] = 2 * (dx.abs().mean() + dy.abs().mean())
        terms["hold"] = self.hparams.hold * (face * bend.abs()).mean()
        return terms

    def patches(self, batch: Batch, image: Tensor, region: Region) -> tuple[Tensor, Tensor, Tensor]:
        """Mouths and eyes of a decoded batch, for the critic.

        Returns:
            drawn and true patches (N, 3, PATCH, PATCH), and what the network was told there (N, 4, PATCH,
            PATCH); N counts those that lie within the region.
        """
        top, left, side = (4 * v for v in region)
        told = F.interpolate(batch["maps"][:, PARTS.start :], scale_factor=2)[
            ..., top : top + side, left : left + side
        ]
        truth = batch["driving"][..., top : top + side, left : left + side].float().div(255)
        corners = (batch["places"].flip(-1) - image.new_tensor([top, left]) - PATCH / 2).round().long()
        out: tuple[list[Tensor], ...] = ([], [], [])
        for k, y, x in [(k, *c) for k, row in enumerate(corners.tolist()) for c in row]:
            if 0 <= y <= side - PATCH and 0 <= x <= side - PATCH:
                for kept, picture in zip(out, (image, truth, told), strict=True):
                    kept.append(picture[k, :, y : y + PATCH, x : x + PATCH])
        empty = image.new_zeros(0, 3, PATCH, PATCH)
        drawn, true, maps = (torch.stack(p) if p else empty for p in out)
        return drawn, true, maps

    def training_step(self, batch: Batch, step: int) -> None:
        """One step of the network, decoded on a random square, and one of its critic."""
        # Lightning counts steps of its wrappers: one a batch, as the critic's stays unwrapped.
        optimizer, critic_optimizer = self.optimizers()[0], self.optimizers(use_pl_optimizer=False)[1]
        side = min(int(self.hparams.region), CENTRE[2])
        generator = torch.Generator().manual_seed(self.global_step)
        # Faces lie in the middle of their crops: half of the squares hold the mouth, others lie anywhere.
        draw = torch.rand(3, generator=generator)
        room = CENTRE[2] - side
        if draw[2] < 0.5:
            top, left = min(6 + int(draw[0] * 12), room), min(2 + int(draw[1] * 13), room)
        else:
            top, left = (int(v * (room + 1)) for v in draw[:2])
        region = (CENTRE[0] + top, CENTRE[1] + left, side)
        sources = int(torch.randint(1, batch["source"].shape[1] + 1, (), generator=generator))
        out = self.decode(self.model, batch, region, sources)[1]
        terms = self.losses(batch, out, region)
        if self.hparams.adversarial:
            drawn, true, told = self.patches(batch, out.image, region)
            count = torch.tensor(float(len(drawn)), device=self.device)
            if shared_least(count) > 0:  # else all processes pass it by: they average what they learn
                weight = count / shared_mean(count)  # every patch counts the same, whoever has more of them
                critic = self._train_critic(critic_optimizer, drawn.detach(), true, told, weight)
                self.log("train/critic", critic, sync_dist=True)
                self.critic.requires_grad_(False)
                scores, seen = self.critic(drawn, told)
                wanted = self.critic(true, told)[1]
                self.critic.requires_grad_(True)
                terms["adversarial"] = weight * self.hparams.adversarial * generator_loss([scores])
                terms["matching"] = weight * feature_matching_loss([wanted], [seen], self.hparams.matching)
        loss = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad()
        self.manual_backward(loss)
        self.clip_gradients(optimizer, self.hparams.clip, "norm")
        optimizer.step()
        move_average(self.average_model, self.model, self.hparams.average, self.global_step)
        self.lr_schedulers().step()
        self.log_dict({f"train/{k}": v.detach() for k, v in terms.items()}, sync_dist=True)
        self.log("train/loss", loss.detach(), prog_bar=True, sync_dist=True)

    def _train_critic(
        self, optimizer: torch.optim.Optimizer, drawn: Tensor, true: Tensor, told: Tensor, weight: Tensor
    ) -> Tensor:
        loss = weight * discriminator_loss([self.critic(true, told)[0]], [self.critic(drawn, told)[0]])
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        return loss.detach()

    def validation_step(self, batch: Batch, step: int) -> None:
        """Measures the average weights: PSNR in dB of face, mouth and whole crop."""
        state, part = self.decode(self.average_model, batch)
        out = self.average_model.whole(state, batch["prior"], self.window, part)
        target = batch["driving"].float().div(255)
        maps = F.interpolate(batch["maps"], scale_factor=2)
        mouth = F.max_pool2d(maps[:, 4:5] + maps[:, 6:7], 9, 1, 4).clamp(0, 1)
        error = (out.image - target) ** 2
        for name, mask in (("face", maps[:, 3:4]), ("mouth", mouth), ("all", torch.ones_like(mouth))):
            mse = (error * mask).sum() / (3 * mask.sum())
            self.log(f"psnr/{name}", -10 * mse.log10(), prog_bar=True, sync_dist=True)
        loss = torch.stack(list(self.losses(batch, part, CENTRE).values())).sum()
        self.log("val/loss", loss, sync_dist=True)

    def contact_sheet(self, batch: Batch) -> Tensor:
        """Source, copied, drawn, mask, result and truth, a row per pair: (3, rows * H, 6 * H) in [0, 1]."""
        state, part = self.decode(self.average_model, batch)
        out = self.average_model.whole(state, batch["prior"], self.window, part)
        columns = [
            batch["source"][:, 0].float() / 255,
            out.warped,
            out.colour,
            out.mask.expand(-1, 3, -1, -1),
            out.image,
            batch["driving"].float() / 255,
        ]
        return rearrange(torch.stack(columns, 1), "b k c h w -> c (b h) (k w)")

    @property
    def exported(self) -> FSRTSmall:
        """The model as engines load it: the moving average."""
        return self.average_model

    def configure_optimizers(self) -> Any:
        """AdamW with linear warm-up and cosine decay."""
        p = self.hparams
        optimizer = torch.optim.AdamW(
            self.model.parameters(), p.learning_rate, betas=(0.9, 0.98), weight_decay=0.01
        )
        critic = torch.optim.Adam(self.critic.parameters(), 2e-4, betas=(0.5, 0.98))

        def factor(step: int) -> float:
            if step < p.warmup:
                return (step + 1) / p.warmup
            done = min(1.0, (step - p.warmup) / max(1, p.total - p.warmup))
            return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done))

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return [optimizer, critic], [scheduler]
