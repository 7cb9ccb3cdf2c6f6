"""Training of the full FSRT: the paper's recipe in three phases (Rochow et al., CVPR 2024, arXiv 2404.09736).

1. Mean squared error of random pixels.
2. Perceptual loss too: the picture is decoded as four interleaved sub-lattices, one of which carries the
gradient. 3. A discriminator too, with feature matching.

In all phases the expression vectors of the driving frame and of its close-up are regularised.

Shapes: B batch, S sources, H x W picture, Q queries, P key points, E expression width.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from headgen.errors import InputError, WeightsError
from headgen.fsrt.decoder import PixelDecoder
from headgen.fsrt.model import CONFIGS, FSRT
from headgen.nn import pixel_grid
from headgen.training.augment import KEYPOINT_MIRROR, map_to_window
from headgen.training.average import move_average
from headgen.training.discriminator import MultiScaleDiscriminator
from headgen.training.losses import (
    PerceptualLoss,
    RandomFeatures,
    VGG19Features,
    discriminator_loss,
    feature_matching_loss,
    generator_loss,
    statistical_regularisation,
)

__all__ = ["FSRTTraining", "decode_sublattices"]

Batch = dict[str, Tensor]


def decode_sublattices(
    decoder: PixelDecoder,
    grid: Tensor,
    keypoints: Tensor,
    expression: Tensor,
    latents: Tensor,
    carrier: tuple[int, int],
    stride: int = 2,
) -> Tensor:
    """Decodes a whole picture of which only one sub-lattice of pixels carries a gradient.

    No query sees another, so the picture is the same as if decoded at once, at the memory of one sub-lattice.

    Args:
        decoder: the pixel decoder.
        grid: (H, W, 2) positions, both sides divisible by ``stride``.
        keypoints: (B, P, 2).
        expression: (B, E).
        latents: (B, M, D).
        carrier: row and column, below ``stride``, where the sub-lattice with the gradient begins.
        stride: distance of the pixels of a sub-lattice.

    Returns:
        (B, 3, H, W).
    """
    height, width = grid.shape[:2]
    batch = keypoints.shape[0]

    def decode(row: int, column: int, context: Any) -> Tensor:
        points = grid[row::stride, column::stride].reshape(1, -1, 2).expand(batch, -1, -1)
        colours = decoder(points, keypoints, expression, context)
        return rearrange(colours.float(), "b (h w) c -> b c h w", h=height // stride)

    with torch.no_grad():
        context = decoder.context(latents)
        others = {
            (row, column): decode(row, column, context)
            for row in range(stride)
            for column in range(stride)
            if (row, column) != carrier
        }
    parts = others | {carrier: decode(*carrier, latents)}
    lattice = torch.stack([parts[row, column] for row in range(stride) for column in range(stride)], 1)
    return rearrange(lattice, "b (r s) c h w -> b c (h r) (w s)", r=stride)


class FSRTTraining(L.LightningModule):
    """Trains an `FSRT`; `exported` is what users get.

    Three numbers of the recipe are ours, as the published facts are silent about them: the pixel loss stays
    on in phases 2 and 3, the discriminator's width, and (`Our design:`) the moving average of the weights,
    which lowers the noise that the last steps of a constant-like learning rate leave in them.

    Args:
        config: a name from `headgen.fsrt.model.CONFIGS`; unused with ``init``.
        init: folder of a saved FSRT to start from (``headgen weights convert`` makes one of the official
            checkpoints).
        detector: folder of a saved FSRT whose key-point detector is taken over.
        keypoints: ``frozen``, as in the paper, where the detector is trained beforehand, without supervision;
            its weights must come with ``init`` or ``detector``. ``landmarks`` trains it along. `Our design:`
            it is told the positions of tracked landmarks, so that training needs no weights of others.
        keypoint_weight: of the L1 distance to the landmarks, normalised coordinates.
        phases: steps after which the perceptual loss and the discriminator join.
        pixels: random pixels per picture in phase 1.
        learning_rate: of Adam, for model and discriminator.
        warmup: steps of linear warm-up.
        decay: factor by which the learning rate falls, exponentially, over ``decay_steps``.
        decay_steps: see ``decay``.
        features: network of the perceptual loss: ``vgg19`` (needs torchvision), or ``random``, an untrained
            network for tests. Python users may give a module that maps (B, 3, H, W) in [0, 1] to a list of
            feature maps.
        vgg_weights: file with torchvision's VGG19 weights; fetched by torchvision if not given.
        pixel_weight: of the mean squared error.
        perceptual_weights: one per feature map.
        adversarial_weight: of the generator's adversarial loss.
        matching_weight: of each feature map of the discriminator.
        statistics_weights: of invariance, variance hinge and covariance of the expressions.
        discriminator_width: channels of its first block.
        discriminator_scales: factors by which it shrinks the picture; a discriminator each.
        average: decay of the moving average of the weights; 0 turns it off.
        seed: of the choice of pixels.

    Raises:
        InputError: options that do not fit together.
        WeightsError: ``init`` or ``detector`` is no folder of a saved FSRT, or has other sizes.
        MissingExtraError: VGG19 is wanted and torchvision does not import.
    """

    def __init__(
        self,
        config: str = "vox256",
        init: Path | None = None,
        detector: Path | None = None,
        keypoints: Literal["frozen", "landmarks"] = "frozen",
        keypoint_weight: float = 1.0,
        phases: tuple[int, int] = (200_000, 500_000),
        pixels: int = 4096,
        learning_rate: float = 1e-4,
        warmup: int = 2500,
        decay: float = 0.16,
        decay_steps: int = 4_000_000,
        features: Literal["vgg19", "random"] | nn.Module = "vgg19",
        vgg_weights: Path | None = None,
        pixel_weight: float = 1.0,
        perceptual_weights: Sequence[float] = (0.01, 0.01, 0.01, 0.01, 0.01),
        adversarial_weight: float = 0.001,
        matching_weight: float = 0.01,
        statistics_weights: tuple[float, float, float] = (1.0, 0.2, 1.0),
        discriminator_width: int = 64,
        discriminator_scales: Sequence[int] = (1,),
        average: float = 0.999,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        if init is None and config not in CONFIGS:
            raise InputError(f"config is {config!r}: choose one of {', '.join(CONFIGS)}")
        if keypoints == "frozen" and init is None and detector is None:
            raise InputError(
                "keypoints is 'frozen', and a frozen detector must have been trained: give `init` or "
                "`detector` the folder of a saved FSRT (`headgen weights convert`), "
                "or set `keypoints: landmarks` to train it along"
            )
        self.model = FSRT.from_config_name(config) if init is None else load_model(init)
        if detector is not None:
            trained = load_model(detector).detector.state_dict()
            try:
                self.model.detector.load_state_dict(trained)
            except RuntimeError:
                raise WeightsError(
                    f"{detector}: its key-point detector has other sizes than {init or config}; "
                    "take one that fits"
                ) from None
        count = self.model.config.num_keypoints
        mirrored = KEYPOINT_MIRROR[:count]
        if keypoints == "landmarks" and sorted(mirrored) != list(range(count)):
            raise InputError(
                f"keypoints is 'landmarks', which teaches 2, 4, 6, 8 or 10 key points, not {count}"
            )
        self.keypoints, self.keypoint_weight = keypoints, keypoint_weight
        self.model.detector.requires_grad_(keypoints != "frozen")
        self.phases, self.pixels, self.seed = tuple(phases), pixels, seed
        self.learning_rate, self.warmup, self.decay, self.decay_steps = (
            learning_rate,
            warmup,
            decay,
            decay_steps,
        )
        self.pixel_weight, self.adversarial_weight = pixel_weight, adversarial_weight
        self.matching_weight, self.statistics_weights = matching_weight, statistics_weights
        self.discriminator = MultiScaleDiscriminator(discriminator_scales, count, discriminator_width)
        self.average = average
        self.average_model = copy.deepcopy(self.model).requires_grad_(False) if average else None
        if features == "vgg19":
            features = VGG19Features(vgg_weights)
        elif features == "random":
            features = RandomFeatures()
        # Not a submodule: a ruler does not belong into checkpoints.
        self._ruler = (PerceptualLoss(features, perceptual_weights),)
        self.register_buffer(
            "grid", pixel_grid(self.model.config.image_size, self.model.config.image_size), persistent=False
        )

    grid: Tensor

    @property
    def exported(self) -> FSRT:
        """The model for users: the moving average if there is one."""
        return self.model if self.average_model is None else self.average_model

    @property
    def phase(self) -> int:
        """1, 2 or 3."""
        return 1 + sum(self.global_step >= start for start in self.phases)

    def current_learning_rate(self) -> float:
        """Linear warm-up, then exponential decay."""
        rise = min(1.0, (self.global_step + 1) / self.warmup) if self.warmup else 1.0
        return self.learning_rate * rise * self.decay ** (self.global_step / self.decay_steps)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam for the model and Adam for the discriminator; `training_step` sets their rates."""
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        return [
            torch.optim.Adam(trained, lr=self.learning_rate),
            torch.optim.Adam(self.discriminator.parameters(), lr=self.learning_rate),
        ]

    def on_fit_start(self) -> None:
        """Refuses what manual optimisation cannot do."""
        if self.trainer.precision == "16-mixed":
            raise InputError(
                "trainer.precision is 16-mixed, which needs loss scaling: use bf16-mixed or 32-true"
            )
        self._ruler[0].to(self.device)

    def on_train_epoch_start(self) -> None:
        """A frozen detector keeps the batch statistics it came with."""
        if self.keypoints == "frozen":
            self.model.detector.eval()

    def find_motion(self, model: FSRT, images: Tensor) -> tuple[Tensor, Tensor]:
        """Key points (N, P, 2) and expression (N, E) of images (N, 3, H, W); the detector runs in float32."""
        with (
            torch.autocast(images.device.type, enabled=False),
            torch.set_grad_enabled(torch.is_grad_enabled() and self.keypoints != "frozen"),
        ):
            found = model.detector(images)
        return found.keypoints, model.expression_encoder(found.features, found.heatmaps)

    def prepare(self, model: FSRT, batch: Batch) -> dict[str, Tensor]:
        """Everything up to the decoder, for one batch of `Sample`.

        Returns:
            ``latents`` (B, M, D); ``keypoints`` (B, P, 2) in the window; ``expression`` (B, E) for the
            decoder; ``whole`` and ``closeup`` (B, E), both expressions of the driving frame; ``found`` ((S +
            1) B, P, 2) key points of all whole frames, sources first.
        """
        size = model.config.image_size
        if batch["target"].shape[-1] != size:
            raise InputError(
                f"the data's pictures have side {batch['target'].shape[-1]}, "
                f"the model wants {size}: set data.size"
            )
        count = batch["target"].shape[0]
        images = torch.cat(
            [
                rearrange(batch["source_motion"], "b s c h w -> (b s) c h w"),
                batch["driving_motion"],
                batch["driving_closeup"],
            ]
        )
        keypoints, expression = self.find_motion(model, images.float() / 255)
        source_keypoints = rearrange(keypoints[: -2 * count], "(b s) p c -> b s p c", b=count)
        source_expression = rearrange(expression[: -2 * count], "(b s) e -> b s e", b=count)
        driving_keypoints = keypoints[-2 * count : -count]
        whole, closeup = expression[-2 * count : -count], expression[-count:]
        latents = model.encoder(
            batch["source"].float() / 255, map_to_window(source_keypoints, batch["window"]), source_expression
        )
        return {
            "latents": latents,
            "keypoints": map_to_window(driving_keypoints, batch["window"]),
            "expression": torch.where(batch["use_closeup"][:, None], closeup, whole),
            "whole": whole,
            "closeup": closeup,
            "found": keypoints[:-count],
        }

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One step of the current phase, discriminator included."""
        # Lightning counts steps of its wrappers: one a batch, as the discriminator's stays unwrapped.
        optimizer, discriminator_optimizer = self.optimizers()[0], self.optimizers(use_pl_optimizer=False)[1]
        rate = self.current_learning_rate()
        for group in [*optimizer.param_groups, *discriminator_optimizer.param_groups]:
            group["lr"] = rate
        draw = torch.Generator().manual_seed(hash((self.seed, self.global_step, self.global_rank)) % 2**63)
        phase = self.phase
        ready = self.prepare(self.model, batch)
        invariance, variance, covariance = self.statistics_weights
        terms = statistical_regularisation(
            ready["whole"], ready["closeup"], invariance=invariance, variance=variance, covariance=covariance
        )
        if self.keypoints == "landmarks":
            terms["keypoints"] = self.keypoint_weight * F.l1_loss(
                ready["found"], self._wanted_keypoints(batch)
            )
        target = batch["target"].float() / 255
        if phase == 1:
            terms["pixels"] = self._random_pixel_loss(ready, target, draw)
        else:
            row, column = torch.randint(2, (2,), generator=draw).tolist()
            picture = decode_sublattices(
                self.model.decoder,
                self.grid,
                ready["keypoints"],
                ready["expression"],
                ready["latents"],
                (row, column),
            )
            carried = (..., slice(row, None, 2), slice(column, None, 2))
            terms["pixels"] = self.pixel_weight * F.mse_loss(picture[carried], target[carried])
            terms["perceptual"] = self._ruler[0](picture, target)
            if phase == 3:
                keypoints = ready["keypoints"].detach()
                self.log(
                    "train/discriminator",
                    self._train_discriminator(discriminator_optimizer, picture, target, keypoints),
                    sync_dist=True,
                )
                self.discriminator.requires_grad_(False)
                fake, fake_maps = self.discriminator(picture, keypoints)
                _, real_maps = self.discriminator(target, keypoints)
                self.discriminator.requires_grad_(True)
                terms["adversarial"] = self.adversarial_weight * generator_loss(fake)
                terms["matching"] = feature_matching_loss(real_maps, fake_maps, self.matching_weight)
        loss = torch.stack([term.float() for term in terms.values()]).sum()
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        self._update_average()
        self.log_dict({f"train/{name}": term.detach() for name, term in terms.items()}, sync_dist=True)
        self.log("train/loss", loss.detach(), prog_bar=True, sync_dist=True)
        self.log_dict({"train/learning_rate": rate, "train/phase": float(phase)})

    def _wanted_keypoints(self, batch: Batch) -> Tensor:
        """Landmarks that the detector is told to find, in the order of ``found``: ((S + 1) B, P, 2)."""
        count = self.model.config.num_keypoints
        sources = rearrange(batch["source_points"], "b s p c -> (b s) p c")
        return torch.cat([sources, batch["driving_points"]])[:, :count]

    def _random_pixel_loss(self, ready: dict[str, Tensor], target: Tensor, draw: torch.Generator) -> Tensor:
        batch, height, width = target.shape[0], *target.shape[-2:]
        total = height * width
        chosen = torch.randint(total, (batch, min(self.pixels, total)), generator=draw).to(target.device)
        points = self.grid.reshape(-1, 2)[chosen]  # (B, Q, 2)
        wanted = target.flatten(2).gather(2, chosen[:, None].expand(-1, 3, -1))  # (B, 3, Q)
        colours = self.model.decoder(points, ready["keypoints"], ready["expression"], ready["latents"])
        return self.pixel_weight * F.mse_loss(colours.float().mT, wanted)

    def _train_discriminator(
        self, optimizer: torch.optim.Optimizer, picture: Tensor, target: Tensor, keypoints: Tensor
    ) -> Tensor:
        real, _ = self.discriminator(target, keypoints)
        fake, _ = self.discriminator(picture.detach(), keypoints)
        loss = discriminator_loss(real, fake)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        return loss.detach()

    @torch.no_grad()
    def _update_average(self) -> None:
        if self.average_model is None:
            return
        move_average(self.average_model, self.model, self.average, self.global_step)
        for mean, value in zip(self.average_model.buffers(), self.model.buffers(), strict=True):
            mean.copy_(value)

    @torch.no_grad()
    def reconstruct(self, batch: Batch) -> Tensor:
        """The driving frames as the exported model draws them, with their whole expression; (B, 3, H, W)."""
        model = self.exported
        training = model.training
        model.eval()
        ready = self.prepare(model, batch)
        picture = decode_sublattices(
            model.decoder, self.grid, ready["keypoints"], ready["whole"], ready["latents"], (0, 0)
        )
        model.train(training)
        return picture

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """L1 error and PSNR (dB) of the reconstructed driving frames."""
        picture, target = self.reconstruct(batch).clamp(0, 1), batch["target"].float() / 255
        psnr = -10 * (picture - target).square().mean((1, 2, 3)).log10().mean()
        self.log("validation/psnr", psnr, prog_bar=True, sync_dist=True)
        self.log("validation/l1", F.l1_loss(picture, target), sync_dist=True)

    def contact_sheet(self, batch: Batch) -> Tensor:
        """A row per pair: sources, driving frame for motion, prediction, target; (3, H, W) in [0, 1]."""
        columns = [
            *(batch["source"][:, index].float() / 255 for index in range(batch["source"].shape[1])),
            batch["driving_motion"].float() / 255,
            self.reconstruct(batch).clamp(0, 1),
            batch["target"].float() / 255,
        ]
        return rearrange(torch.stack(columns), "s b c h w -> c (b h) (s w)")


def load_model(folder: Path) -> FSRT:
    """A saved FSRT.

    Raises:
        WeightsError: the folder is missing or holds something else.
    """
    if not (Path(folder) / "config.json").is_file():
        raise WeightsError(
            f"{folder}: no saved FSRT there (no config.json); `headgen weights convert` makes one"
        )
    try:
        return FSRT.from_pretrained(folder)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{folder}: not a saved FSRT ({type(error).__name__}); convert or save it again"
        ) from None
