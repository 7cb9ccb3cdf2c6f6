"""Running fsrt-small: photographs in, frames of the moving photograph out.

The network predicts at 128 and 256 pixels a side; its flow is applied to the photograph at the photograph's
own resolution, so that skin, hair and cloth stay as sharp as they are (the detail transfer of this model).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from headgen.faces import mesh
from headgen.faces.crop import Crop, portrait_crop
from headgen.fsrt import conditioning
from headgen.fsrt.gaze import Gaze
from headgen.fsrt.lids import LashLines
from headgen.fsrt.small import CENTRE, FSRTSmall, SourceState

NETWORK_SIZE = 256
_FINEST, _FINE = (5, cv2.INTER_LINEAR), (3, cv2.INTER_CUBIC)
"""By how much the photograph is enlarged once, and how it is sampled then: either alone blurs what falls
between pixels.  Five times, linearly, is as sharp as twice, bicubically, in a third of the time."""
_CRISP = 0.03
"""Share of both neighbours, three fine pixels away, that is taken off the photograph enlarged five times: it
makes up for what linear sampling takes from the finest detail."""
_LARGE = 1000  # sides of a crop from which on five times would take too much memory
_EYES = 2  # enlargement of the photograph in which irises are moved
_LEARNT = 0.4
"""Share of the learnt flow that moves the face; beyond it the prior moves the picture alone.  Our design: the
mesh knows best where skin goes; with all of the learnt flow, mouths were tracked further from where they were
told to be.  Hair, ears and neck go with the skull: what the network thinks of them differs from frame to
frame and put them further from where they truly were."""
_TRACE = 0.04  # share of drawing below which nothing is drawn
CROP_SCALE = 1.15
"""Side of the crop relative to the usual portrait crop: the motion must end inside of it."""


class SmallEngine:
    """Reenacts one person with `FSRTSmall`.

    Args:
        model: the network.
        device: where it runs.
        dtype: of the network's arithmetic.
    """

    def __init__(
        self, model: FSRTSmall, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        self.device, self.dtype = torch.device(device), dtype
        model = model.eval().to(self.device, memory_format=torch.channels_last)
        self.model = model if dtype == torch.float32 else _with_weights(model, dtype)

    def prepare(self, images: Sequence[NDArray[np.uint8]], landmarks: Sequence[NDArray]) -> None:
        """Encodes the sources, once.

        Args:
            images: (H, W, 3) uint8 RGB, one or more photographs of the same person; the first is the one that
                moves, the others tell the network what the first does not show.
            landmarks: (478, 3) for each, in its pixels.
        """
        self.image, self.landmarks = images[0], np.asarray(landmarks[0], np.float64)
        crops = [portrait_crop(p, scale=CROP_SCALE) for p in landmarks]
        side = round(crops[0].side)
        left, top = round(crops[0].cx - (side - 1) / 2), round(crops[0].cy - (side - 1) / 2)
        # On whole pixels, so that the crop is a slice of the picture.
        crops[0] = Crop(left + (side - 1) / 2, top + (side - 1) / 2, side)
        self.crop, self.side, self._origin = crops[0], side, (left, top)
        height, width = self.image.shape[:2]
        inside = (-left / side, -top / side, (width - left) / side, (height - top) / side)
        window = conditioning.border_window(conditioning.GRID, inside=inside)
        self._window = torch.from_numpy(window).to(self.device)
        inputs, maps = [], []
        for k, (image, points, crop) in enumerate(zip(images, landmarks, crops, strict=True)):
            inputs.append(crop.take(image, NETWORK_SIZE, border="reflect"))
            geometry = conditioning.FaceGeometry.of_source(
                crop.to_crop(points, NETWORK_SIZE).astype(np.float64), NETWORK_SIZE
            )
            maps.append(geometry.draw().maps())
            if k == 0:
                self._geometry = geometry
                self._scalars = conditioning.scalars(geometry.vertices[: mesh.N_LANDMARKS], geometry.pose)
        pixels = torch.from_numpy(np.stack(inputs)).permute(0, 3, 1, 2).float().div(255)
        with torch.inference_mode(), self._precision():
            self._state: SourceState = self.model.encode(
                pixels[None].to(self.device), torch.from_numpy(np.stack(maps))[None].to(self.device)
            )
        photograph = crops[0].take(self.image, side, border="reflect")
        points = crops[0].to_crop(self.landmarks, side).astype(np.float64)
        self._finer, self._sampling = _FINEST if side < _LARGE else _FINE
        fine = _enlarged(photograph, self._finer)
        if self._sampling == cv2.INTER_LINEAR:
            kernel = np.array([-_CRISP, 0, 0, 1 + 2 * _CRISP, 0, 0, -_CRISP])
            fine = cv2.sepFilter2D(fine, -1, kernel, kernel)
        self._photograph = cv2.cvtColor(fine, cv2.COLOR_RGB2RGBA)
        self._lashes = LashLines(self._photograph[..., :3], _finer(points, self._finer))
        self._gaze = Gaze(_enlarged(photograph, _EYES), _finer(points, _EYES), self._geometry)
        top, left, side_64 = (4 * v for v in CENTRE)
        self._decoded = np.s_[top : top + side_64, left : left + side_64]
        self._inner = conditioning.border_window(NETWORK_SIZE, margin=0.22)[self._decoded]
        line = np.arange(side, dtype=np.float32)
        self._places = _finer(np.stack(np.meshgrid(line, line), -1), self._finer)

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def _condition(self, faces: Sequence[conditioning.FaceGeometry]) -> tuple[Tensor, Tensor, Tensor]:
        maps, priors, scalars = [], [], []
        for face in faces:
            drawing = face.draw()
            maps.append(drawing.maps())
            priors.append(conditioning.prior_flow(self._geometry, drawing, self._gaze.still(face)))
            now = conditioning.scalars(face.vertices[: mesh.N_LANDMARKS], face.pose)
            scalars.append(np.concatenate([self._scalars, now, now - self._scalars]))
        return tuple(torch.from_numpy(np.stack(x)).to(self.device) for x in (maps, priors, scalars))  # type: ignore[return-value]

    def render(self, targets: Sequence[NDArray]) -> list[NDArray[np.uint8]]:
        """Draws the source's crop with other landmarks.

        Args:
            targets: (478, 3) each, in pixels of the first photograph.

        Returns:
            Crops (side, side, 3) uint8 for `place`.
        """
        faces = [
            self._geometry.moved_to(self.crop.to_crop(target, NETWORK_SIZE).astype(np.float64))
            for target in targets
        ]
        maps, prior, scalars = self._condition(faces)
        with torch.inference_mode(), self._precision():
            out = self.model(
                self._state, maps.contiguous(memory_format=torch.channels_last), prior, scalars, self._window
            )
        top, left, centre = (2 * v for v in CENTRE)
        flow = prior * self._window
        inner = flow[..., top : top + centre, left : left + centre]
        face = maps[:, 3:4, top : top + centre, left : left + centre]
        face = torch.nn.functional.avg_pool2d(face, 5, 1, 2)
        inner += (out.flow - inner) * (_LEARNT * face)
        flows = flow.permute(0, 2, 3, 1).numpy(force=True)
        shares = (1 - out.mask.float())[:, 0].numpy(force=True)
        colours = out.colour.float().permute(0, 2, 3, 1).numpy(force=True)
        points = [self.crop.to_crop(target, self.side) for target in targets]
        return [self._compose(*one) for one in zip(faces, flows, shares, colours, points, strict=True)]

    def _compose(
        self,
        face: conditioning.FaceGeometry,
        flow: NDArray,
        share: NDArray,
        colour: NDArray,
        points: NDArray,
    ) -> NDArray[np.uint8]:
        """Moves the photograph at its own resolution and lays the drawn colours over it."""
        n = self.side
        shift = cv2.resize(flow, (n, n), interpolation=cv2.INTER_LINEAR)
        places = cv2.scaleAdd(shift, n * self._finer / 2, self._places)
        moved = cv2.remap(
            self._photograph, places, None, self._sampling, borderMode=cv2.BORDER_REPLICATE
        )  # four channels are sampled in half the time of three
        moved = cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB)
        self._gaze.turn(moved, face, places, _EYES / self._finer, points)
        self._lashes.draw(moved, places, points)
        # A trace of drawing lies everywhere; where it is only a trace, the photograph stays as it is.
        # Towards the crop's border nothing is drawn: the pasted square would show.
        share = np.clip((share - _TRACE) / (1 - _TRACE), 0, 1) * self._inner
        rows, columns = (np.flatnonzero(share.any(axis)) for axis in (1, 0))
        if len(rows) == 0:
            return moved
        inner = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        zoom, (top, left) = n / NETWORK_SIZE, (v.start for v in self._decoded)
        y0, y1 = (round((top + v) * zoom) for v in (inner[0].start, inner[0].stop))
        x0, x1 = (round((left + v) * zoom) for v in (inner[1].start, inner[1].stop))
        colours = np.clip(colour[inner] * 255 + 0.5, 0, 255).astype(np.uint8)
        colours, drawn = (
            cv2.resize(v, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR) for v in (colours, share[inner])
        )
        drawn *= 1 - self._gaze.between_lids(face, points, (x0, y0), drawn.shape)
        moved[y0:y1, x0:x1] = cv2.blendLinear(colours, moved[y0:y1, x0:x1], drawn, 1 - drawn)
        return moved

    def place(self, crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The whole photograph with a rendered crop in its place: motion ends before the crop's border."""
        frame = self.image.copy()
        left, top = self._origin
        height, width = frame.shape[:2]
        x0, y0, x1, y1 = max(0, left), max(0, top), min(width, left + self.side), min(height, top + self.side)
        frame[y0:y1, x0:x1] = crop[y0 - top : y1 - top, x0 - left : x1 - left]
        return frame

    def cut(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The crop's part of a whole photograph."""
        return self.crop.take(frame, self.side, border="reflect")


def _with_weights(model: FSRTSmall, dtype: torch.dtype) -> FSRTSmall:
    """A copy that holds the weights of its products as autocast would turn them, at every call."""
    model = copy.deepcopy(model)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.to(dtype)
    return model


def _enlarged(image: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """An enlarged picture."""
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_LANCZOS4)


def _finer(points: NDArray, factor: int) -> NDArray:
    """Places of a picture, x and y first, in pixels of the picture enlarged."""
    out: NDArray = points * factor
    out[..., :2] += (factor - 1) / 2
    return out
