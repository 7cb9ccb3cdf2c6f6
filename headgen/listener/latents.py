"""Warp latents: a listener's frame as the places to which the parts of a portrait's face have moved.

A video autoencoder of the usual kind turns pictures into latents and back, and has to learn what a person
looks like. Here the latents say only how the portrait's face is displaced, part by part;
`headgen.listener.engine` turns them into pictures by warping the portrait, so that identity is copied.

Our design: the paper's base is a latent video diffusion transformer whose autoencoder is not named. A latent
frame has P tokens, one for each of `PARTS`, which have places on the face as patches have in a picture; a
token holds G frames of C numbers: the head's pose, or a displacement of landmarks in the part's own basis.

Legend: B batch, T frames, F = T / G latent frames, P parts, C numbers of a part, G frames of a latent frame,
D = G * C the width of a token.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from einops import rearrange
from torch import Tensor

from headgen.faces import mesh
from headgen.faces.motion import head_angles, head_rotation
from headgen.faces.retarget import region_weights

PARTS = (
    "head", "brow_right", "brow_left", "eye_right", "eye_left", "lip_upper", "lip_lower", "corner_right",
    "corner_left", "jaw",
)  # fmt: skip
"""Parts of the face in the order of the tokens; right and left are the person's own."""
CHANNELS = 6
"""C, numbers of one part in one frame."""
FRAMES_PER_LATENT = 4
"""G, video frames in one latent frame: 0.16 s."""
POSE_NAMES = ("yaw", "pitch", "roll", "x", "y", "zoom")
POSE_UNITS = np.array([2.0, 2.0, 2.4, 0.16, 0.05, 0.01])
"""What counts as one in the head's latents: degrees, outer-eye distances, and log of size."""
LARGEST_STEP = 0.5
"""Of a joint, in latents, that is taken out."""
SAME_BASIS = 1e-3
"""Of the largest number of a codec's bases: by how much two may be apart that have the same latents."""
_OUTLINES: dict[str, tuple[int, ...]] = {
    "brow_right": mesh.BROW_RIGHT,
    "brow_left": mesh.BROW_LEFT,
    "eye_right": (*mesh.EYE_RIGHT, *mesh.IRIS_RIGHT),
    "eye_left": (*mesh.EYE_LEFT, *mesh.IRIS_LEFT),
    "lip_upper": (37, 0, 267, 39, 269, 82, 13, 312, 164),
    "lip_lower": (84, 17, 314, 181, 405, 87, 14, 317),
    "corner_right": (61, 78, 185, 146, 191, 95),
    "corner_left": (291, 308, 409, 375, 415, 324),
    "jaw": (152, 148, 377, 175, 199, 150, 379, 136, 365),
}


@dataclass(frozen=True)
class FaceMotion:
    """How a face moves against its rest, over T frames.

    Attributes:
        pose: (T, 6) see `POSE_NAMES`: yaw, pitch and roll in degrees with the signs of
            `headgen.faces.motion.MOTION_NAMES`, x to the right and y down in outer-eye distances, log of
            size.
        shape: (T, 478, 3) displacement of the landmarks in the canonical frame, in outer-eye distances.
    """

    pose: np.ndarray
    shape: np.ndarray

    def __post_init__(self) -> None:
        frames = len(self.pose)
        if self.pose.shape != (frames, 6) or self.shape.shape != (frames, mesh.N_LANDMARKS, 3):
            raise ValueError(f"pose {self.pose.shape} and shape {self.shape.shape} do not belong together")

    def __len__(self) -> int:
        return len(self.pose)

    def __getitem__(self, frames: slice) -> FaceMotion:
        """Some of the frames."""
        return FaceMotion(self.pose[frames], self.shape[frames])

    def landmarks(self, face: np.ndarray | None = None) -> np.ndarray:
        """Landmarks (T, 478, 3) of a face that moves so; its resting outer-eye distance is one.

        Args:
            face: (478, 3) at rest in the canonical frame; the mean face by default.
        """
        rest = mesh.mean_face() if face is None else face
        turns = head_rotation(self.pose[:, :3])
        out = np.empty((len(self), mesh.N_LANDMARKS, 3))
        for k, (turn, pose, shape) in enumerate(zip(turns, self.pose, self.shape, strict=True)):
            place = np.array([pose[3], pose[4], 0.0])
            frontal = rest + shape
            out[k] = mesh.Pose(turn, float(np.exp(pose[5])), place, frontal).project(frontal)
        return out


def joined(motions: list[FaceMotion]) -> FaceMotion:
    """Motions one after the other."""
    return FaceMotion(*(np.concatenate([getattr(m, f.name) for m in motions]) for f in fields(FaceMotion)))


def motion_of_landmarks(landmarks: np.ndarray, rest: np.ndarray) -> FaceMotion:
    """The motion of a tracked face against a moment of rest: the way from a real listener to latents.

    Args:
        landmarks: (T, 478, 3) in pixels.
        rest: (478, 3) of the same face at rest.
    """
    own = mesh.fit_pose(rest)
    first = mesh.fit_pose(rest, own.frontal)
    unit = float(np.linalg.norm(own.frontal[33] - own.frontal[263]))
    poses, shapes = [], []
    for frame in landmarks:
        now = mesh.fit_pose(frame, own.frontal)
        shift = (now.translation - first.translation)[:2] / (first.scale * unit)
        turn = head_angles(now.rotation @ first.rotation.T)
        poses.append([*turn, *shift, np.log(now.scale / first.scale)])
        shapes.append((now.frontal - own.frontal) / unit)
    return FaceMotion(np.array(poses, np.float32), np.array(shapes, np.float32))


def soften_joints(latents: np.ndarray, before: np.ndarray | None = None) -> np.ndarray:
    """Takes the small steps out of the joints of latent frames, looking back only.

    Our design: a latent frame is made before the next one, and does not know where that begins; Avatar
    Forcing (arXiv 2601.00664) warns of the jitter. What a joint steps by, beyond what the frames on both
    sides move, is carried into the later latent frame and fades there. A blink steps by more than
    `LARGEST_STEP` and stays.

    Args:
        latents: (F, P, D).
        before: (N, P, D) latents that they follow, of which the last one counts.

    Returns:
        (F, P, D), a new array.
    """
    size = FRAMES_PER_LATENT
    known = latents if before is None else np.concatenate([before[-1:], latents])
    frames = frames_of(known).copy()
    fade = (1 - np.arange(1, size + 1) / (size + 1))[:, None, None].astype(frames.dtype)
    for k in range(size, len(frames), size):
        moved = (frames[k - 1] - frames[k - 2] + frames[k + 1] - frames[k]) / 2
        step = (frames[k] - frames[k - 1] - moved).clip(-LARGEST_STEP, LARGEST_STEP)
        frames[k : k + size] -= fade * step
    return latents_of(frames)[len(known) - len(latents) :]


def frames_of(latents: np.ndarray) -> np.ndarray:
    """Latents (F, P, D) frame by frame: (F * G, P, C)."""
    return rearrange(latents, "f p (g c) -> (f g) p c", c=CHANNELS)


def latents_of(frames: np.ndarray) -> np.ndarray:
    """Frames (F * G, P, C) as latents (F, P, D)."""
    return rearrange(frames, "(f g) p c -> f p (g c)", g=FRAMES_PER_LATENT)


def part_landmarks() -> tuple[np.ndarray, ...]:
    """Landmarks of every part but the head, as indices; every landmark that moves belongs to one part."""
    face = mesh.mean_face().astype(np.float64)
    gaps = np.stack(
        [
            np.linalg.norm(face[:, None, :2] - face[None, list(o), :2], axis=2).min(1)
            for o in _OUTLINES.values()
        ]
    )
    eyes, mouth = region_weights()
    names = list(_OUTLINES)
    upper = np.array([n.startswith(("brow", "eye")) for n in names])
    gaps[upper] = np.where(eyes > mouth, gaps[upper], np.inf)
    gaps[~upper] = np.where(eyes > mouth, np.inf, gaps[~upper])
    nearest = gaps.argmin(0)
    moves = (eyes > 0) | (mouth > 0)
    return tuple(np.flatnonzero(moves & (nearest == k)) for k in range(len(names)))


def places() -> np.ndarray:
    """(P, 2) places (y, x) of the parts on the mean face in outer-eye distances, y down."""
    face = mesh.mean_face().astype(np.float64)
    centres = [face[:, :2].mean(0)] + [face[list(o), :2].mean(0) for o in _OUTLINES.values()]
    return np.stack([-np.array(centres)[:, 1], np.array(centres)[:, 0]], -1).astype(np.float32)


class WarpCodec(ModelMixin, ConfigMixin):
    """Between face motion and warp latents: linear, and exact up to what the bases leave out.

    Args:
        frames_per_latent: G.
        channels: C.
    """

    @register_to_config
    def __init__(self, frames_per_latent: int = FRAMES_PER_LATENT, channels: int = CHANNELS) -> None:
        super().__init__()
        n = mesh.N_LANDMARKS * 3
        self.basis: Tensor
        self.register_buffer("basis", torch.zeros(len(PARTS) - 1, channels, n))

    @classmethod
    def fitted(cls, motions: list[FaceMotion]) -> WarpCodec:
        """A codec whose bases are the main directions in which each part moves in these motions.

        The directions are scaled so that latents of these motions have a root mean square of one.
        """
        codec = cls()
        shapes = np.concatenate([m.shape for m in motions]).astype(np.float64)
        for k, members in enumerate(part_landmarks()):
            data = shapes[:, members].reshape(len(shapes), -1)
            values, vectors = np.linalg.eigh(data.T @ data / len(data))
            most = slice(None, -CHANNELS - 1, -1)
            spread = np.sqrt(np.maximum(values[most], 1e-8))
            full = np.zeros((CHANNELS, mesh.N_LANDMARKS, 3))
            # An eigenvector's sign is chance: the largest entry is made positive.
            rows = vectors[:, most].T
            rows = rows * np.sign(rows[np.arange(CHANNELS), np.abs(rows).argmax(1)])[:, None]
            full[:, members] = (rows * spread[:, None]).reshape(CHANNELS, len(members), 3)
            codec.basis[k] = torch.from_numpy(full.reshape(CHANNELS, -1)).float()
        return codec

    @property
    def frames_per_latent(self) -> int:
        """G."""
        return int(self.config.frames_per_latent)

    @property
    def token_width(self) -> int:
        """D."""
        return int(self.config.frames_per_latent * self.config.channels)

    def encode(self, motion: FaceMotion) -> Tensor:
        """Latents (F, P, D) of T = F * G frames."""
        basis = self.basis.cpu().numpy().astype(np.float64)
        flat = motion.shape.reshape(len(motion), -1)
        strength = np.maximum((basis**2).sum(-1), 1e-12)
        parts = np.einsum("tn,pcn->tpc", flat, basis) / strength
        frames = np.concatenate([(motion.pose / POSE_UNITS)[:, None], parts], 1)
        return rearrange(torch.from_numpy(frames).float(), "(f g) p c -> f p (g c)", g=self.frames_per_latent)

    def decode(self, latents: Tensor) -> FaceMotion:
        """The motion of latents (F, P, D): F * G frames."""
        return self.decode_frames(
            rearrange(latents.float().cpu(), "f p (g c) -> (f g) p c", g=self.frames_per_latent).numpy()
        )

    def decode_frames(self, frames: np.ndarray) -> FaceMotion:
        """The motion of latents that were taken apart into frames (T, P, C)."""
        shape = np.einsum("tpc,pcn->tn", frames[:, 1:], self.basis.cpu().numpy())
        pose = frames[:, 0] * POSE_UNITS
        return FaceMotion(pose.astype(np.float32), shape.reshape(-1, mesh.N_LANDMARKS, 3).astype(np.float32))

    def portrait_tokens(self, landmarks: np.ndarray) -> Tensor:
        """What the network is told of a portrait: the shape and expression of its face, one token a part.

        Args:
            landmarks: (478, 3) tracked in the portrait.

        Returns:
            (P, C): for the head its pose in the portrait, for a part how it differs from the mean face in
            its own basis, limited to +-3.
        """
        pose = mesh.fit_pose(landmarks)
        unit = np.linalg.norm(pose.frontal[33] - pose.frontal[263])
        change = (pose.frontal / unit - mesh.mean_face()).astype(np.float32)
        turn = [*head_angles(pose.rotation), 0.0, 0.0, 0.0]
        motion = FaceMotion(np.array([turn], np.float32), change[None])
        still = FaceMotion(
            *(np.repeat(getattr(motion, f.name), self.frames_per_latent, 0) for f in fields(FaceMotion))
        )
        return self.encode(still)[0, :, : self.config.channels].clamp(-3, 3)


def same_latents(one: WarpCodec, other: WarpCodec) -> bool:
    """Whether two codecs' latents mean the same.

    Half precision, in which weights are shipped, makes no difference, nor that each processor rounds the same
    fit in its own way: bases may be apart by `SAME_BASIS`.
    """
    a, b = one.basis.float().cpu(), other.basis.float().cpu()
    return a.shape == b.shape and bool((a - b).abs().max() <= SAME_BASIS * a.abs().max())
