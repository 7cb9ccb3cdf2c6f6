"""A photograph turned into a scene that can be animated: layers, depth, background, eyes and mouth.

Three layers, drawn into one depth buffer at twice the output's resolution: the background with the person
painted out; a rubber sheet over the rest of the person (hair, ears, neck, clothes) whose depth comes from the
fitted head; and the face mesh. Every pixel of them is a place in the photograph, which is sampled once. Eyes
and the inside of the mouth are drawn into their openings last.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree

from headgen.faces.crop import Crop
from headgen.synth.animate import Action, Animator
from headgen.synth.correspondence import (
    INNER_LIP_LOWER,
    INNER_LIP_UPPER,
    LANDMARK_VERTEX,
    LEFT_LID_LOWER,
    LEFT_LID_UPPER,
    OUTER_LIP_LOWER,
    OUTER_LIP_UPPER,
    RIGHT_LID_LOWER,
    RIGHT_LID_UPPER,
)
from headgen.synth.fit import fit_face, project
from headgen.synth.ict import (
    GUMS_QUADS,
    GUMS_VERTICES,
    SKIN_VERTICES,
    SOCKET_QUADS,
    SOCKET_VERTICES,
    TEETH_QUADS,
    TEETH_VERTICES,
    UPPER_TEETH_VERTICES,
    IctHead,
)
from headgen.synth.photograph import MARGIN, fill_holes, line_mask, pad_photograph, polygon_mask, sample
from headgen.synth.raster import Canvas

SUPERSAMPLE = 2
HALF = (SUPERSAMPLE - 1) / 2
GRID_STEP = 3.0  # pixels between the knots of the sheet
PERSON_REACH = 9  # pixels that the sheet goes beyond the person
NECK_TOP, NECK_LENGTH = 0.3, 5.5  # cm below the chin: where the neck stops following the head
HEAD_MIDDLE = np.array([0.0, 4.0, 1.0])  # cm: hair at the outline of the head is this far away
CHIN_LANDMARK = 152
EXPRESSION_REACH = 2.0  # cm that an expression pulls on skin beyond the face mesh
FACE_IN_FRONT = 3.0  # cm, of the sheet: nothing but the face itself hides the face
SHEET_IN_FRONT = 0.2  # cm, of the skull
LASHES = 0.55  # how dark the lash line of a closed eye is drawn: without it trackers see a half-open eye
SIDE_ANGLE = np.deg2rad(82)  # from the top of the head: down to where the ears begin
SHELL_ANGLE = np.deg2rad(135)  # how far down the back of the head goes
SHELL_SHARE = 0.97  # of the person's outline: the back of the head stays behind it
BACK_CM = 8.5  # from the middle of the head to its back
BACK_SHADE = 0.9
SEAM = 0.45  # how dark the line between lips is drawn that were apart in the photograph
LEAST_FACING = 0.25  # cosine: skin seen more obliquely in the photograph has too few pixels to be drawn first
FRONT_TEETH, MOLAR_SHADOW, TONGUE_SHADOW = 0.35, 1.1, 0.35  # depth in the mouth, darkening with depth
CHEEK_CM = 5.0  # how far in front of the ears' axis skin counts as cheek
LID_LINES = {
    "R": (RIGHT_LID_UPPER, RIGHT_LID_LOWER, 468),
    "L": (LEFT_LID_UPPER, LEFT_LID_LOWER, 473),
}


@dataclass(frozen=True)
class Frame:
    """One rendered frame.

    Attributes:
        image: (size, size, 3) RGB uint8.
        landmarks: (468, 2) where the mesh puts the landmarks, in pixels of the image.
    """

    image: np.ndarray
    landmarks: np.ndarray


class Scene:
    """A portrait ready to be animated."""

    def __init__(
        self,
        head: IctHead,
        image: np.ndarray,
        landmarks: np.ndarray,
        person: np.ndarray,
        crop: Crop,
        size: int,
        rng: np.random.Generator,
    ) -> None:
        """Fits the face and prepares the layers.

        Args:
            head: the ICT model.
            image: (H, W, 3) RGB uint8 photograph.
            landmarks: (478, 3) in its pixels.
            person: (H, W) share of the person in each pixel.
            crop: the view that is rendered.
            size: side of the rendered frames in pixels.
            rng: for the choices made once per portrait (tooth colour, ...).
        """
        self.head, self.size = head, size
        self.photo = pad_photograph(image)
        marks = landmarks.copy()
        marks[:, :2] += MARGIN
        self.marks = marks
        self.fit = fit_face(head, marks)
        self.animator = Animator(head, self.fit, (rng.uniform(0.15, 0.35), rng.uniform(0.05, 0.25)))
        self.person = cv2.copyMakeBorder(person, *(MARGIN,) * 4, cv2.BORDER_REPLICATE)
        moved = Crop(crop.cx + MARGIN, crop.cy + MARGIN, crop.side)
        self._to_view = moved.matrix(size)
        self._zoom = size / crop.side
        self._source = self.fit.project(self.animator.source)
        self._prepare_background(rng)
        self._prepare_sheet()
        self._prepare_shell()
        self._prepare_face()
        self._prepare_eyes()
        self._prepare_mouth(rng)

    # -- preparation ---------------------------------------------------------------------------------

    def _prepare_background(self, rng: np.random.Generator) -> None:
        reach = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (13, 13))
        covered = cv2.dilate((self.person > 0.05).astype(np.uint8), reach)
        photo = self.photo.astype(np.float32)
        filled = fill_holes(photo, 1.0 - covered)
        soft = cv2.GaussianBlur(covered.astype(np.float32), (0, 0), 2.5)
        soft = np.maximum(soft, covered)[..., None]
        free = covered == 0
        grain = 2.0
        if free.sum() > 500:
            grain = float((photo - cv2.GaussianBlur(photo, (0, 0), 1.5))[free].std())
        noise = cv2.GaussianBlur(rng.normal(0, 1, photo.shape).astype(np.float32), (0, 0), 0.7)
        noise *= min(grain, 4.0) / max(float(noise.std()), 1e-6)
        background = np.clip(photo * (1 - soft) + (filled + noise) * soft, 0, 255)
        large = SUPERSAMPLE * self.size
        self._back = cv2.warpAffine(
            background, self._fine_view(), (large, large), borderMode=cv2.BORDER_REFLECT_101
        )

    def _prepare_sheet(self) -> None:
        head, fit = self.head, self.fit
        height, width = self.photo.shape[:2]
        canvas = Canvas(height, width, 1)
        skin = self._source[:SKIN_VERTICES]
        canvas.draw(skin, head.skin_triangles, skin[:, 2:])
        # what stands out from the mesh belongs to its nearest edge, and nothing seen lies behind the middle
        middle = fit.project(HEAD_MIDDLE[None].astype(np.float32))[0, 2]
        front = np.where(canvas.layer >= 0, np.maximum(canvas.values[..., 0], middle), -1e6).astype(
            np.float32
        )
        grow = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (11, 11))
        front = cv2.dilate(front, grow)
        depth = fill_holes(np.maximum(front, middle)[..., None], (front > -1e5).astype(np.float32))[..., 0]
        depth = cv2.GaussianBlur(depth, (0, 0), 3.0)

        xs = np.arange(0, width + GRID_STEP, GRID_STEP)
        ys = np.arange(0, height + GRID_STEP, GRID_STEP)
        gx, gy = np.meshgrid(xs, ys)
        places = np.stack([gx.ravel(), gy.ravel()], 1).astype(np.float32)
        sample = np.minimum(np.round(places).astype(int), [width - 1, height - 1])
        z = depth[sample[:, 1], sample[:, 0]]
        reach = 2 * PERSON_REACH + 1
        near = cv2.dilate(
            (self.person > 0.05).astype(np.uint8),
            cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)),
        )
        inside = near[sample[:, 1], sample[:, 0]] > 0
        triangles = _grid_triangles(len(ys), len(xs))
        triangles = triangles[inside[triangles].any(1)]
        used, compact = np.unique(triangles, return_inverse=True)
        self._sheet_triangles = compact.reshape(-1, 3).astype(np.int32)
        places, z = places[used], z[used]
        self._sheet = np.column_stack([places, z]).astype(np.float32)

        camera = np.column_stack([
            (places[:, 0] - fit.translation[0]) / fit.scale,
            -(places[:, 1] - fit.translation[1]) / fit.scale,
            z / fit.scale,
        ])  # fmt: skip
        self._sheet_model = (camera @ fit.rotation).astype(np.float32)
        self._sheet_follow = self._follow(self._sheet_model)

        # expression displacement of the nearest face vertices, fading with distance
        face = np.unique(head.face_triangles)
        distance, nearest = cKDTree(self._source[face, :2]).query(places, k=6)
        weights = 1 / (distance + 0.5)
        weights /= weights.sum(1, keepdims=True)
        beyond = np.maximum(distance.min(1) / fit.scale - 0.2, 0)
        weights *= np.exp(-((beyond / EXPRESSION_REACH) ** 2))[:, None]
        self._sheet_pull = face[nearest], weights.astype(np.float32)

    def _follow(self, points: np.ndarray) -> np.ndarray:
        """(N,) how much points of the model's frame go with the head: 1 above the chin, 0 below the neck."""
        chin = self.animator.source[LANDMARK_VERTEX[CHIN_LANDMARK], 1]
        t = np.clip(1 - (chin - NECK_TOP - points[:, 1]) / NECK_LENGTH, 0, 1)
        return (t * t * (3 - 2 * t)).astype(np.float32)

    def _prepare_shell(self) -> None:
        """The back of the head, which the photograph hides: half an ellipsoid, as wide as the person's hair.

        Its colours are those just inside the person's outline, mirrored over it, from above the ears.
        """
        inside = cv2.erode((self.person > 0.9).astype(np.uint8), np.ones((5, 5), np.uint8))
        _, labels = cv2.distanceTransformWithLabels(
            1 - inside, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        ys, xs = np.nonzero(inside)
        self._nearest_inside = np.zeros((labels.max() + 1, 2), np.float32)
        self._nearest_inside[labels[ys, xs]] = np.stack([xs, ys], 1)
        self._inside, self._inside_labels = inside, labels

        fit = self.fit
        middle = fit.project(HEAD_MIDDLE[None].astype(np.float32))[0]
        up = fit.rotation[:2, 1] * [1, -1]
        up = up / np.linalg.norm(up)
        right = np.array([-up[1], up[0]])
        # the outline of the head, seen from its middle: angles from the top
        angles = np.linspace(-SHELL_ANGLE, SHELL_ANGLE, 61)
        seen = np.clip(angles, -SIDE_ANGLE, SIDE_ANGLE)
        directions = np.cos(seen)[:, None] * up + np.sin(seen)[:, None] * right
        rays = np.arange(4.0, 16.0, 0.1) * fit.scale
        places = middle[:2] + rays[None, :, None] * directions[:, None]
        height, width = self.photo.shape[:2]
        at = np.clip(np.round(places).astype(int), 0, [width - 1, height - 1])
        on = self.person[at[..., 1], at[..., 0]] > 0.5
        ends = np.where(on.all(1), len(rays) - 1, np.maximum(on.argmin(1) - 1, 0))
        outline = cv2.GaussianBlur(rays[ends][None], (0, 0), 1.5, borderType=cv2.BORDER_REPLICATE)[0]
        # below the temples the head narrows towards the neck, whatever the hair does
        below = np.maximum(np.abs(angles) - SIDE_ANGLE, 0)
        radius = outline * np.cos(below * 0.9) * SHELL_SHARE
        round_ = np.linspace(-0.35, np.pi / 2, 16)
        flat = np.cos(round_)[None, :, None] * radius[:, None, None]
        wide = np.cos(angles)[:, None] * up + np.sin(angles)[:, None] * right
        plane = middle[:2] + flat * wide[:, None]
        depth = middle[2] - np.sin(round_) * BACK_CM * fit.scale
        shell = np.dstack([plane, np.broadcast_to(depth, plane.shape[:2])]).reshape(-1, 3)
        inward = 6 + np.minimum(0.5 * np.maximum(middle[2] - depth, 0)[None], 0.14 * outline[:, None])
        colours = middle[:2] + (outline[:, None] - inward)[..., None] * directions[:, None]
        self._shell_places = self._keep_inside(colours.reshape(-1, 2).astype(np.float32))
        camera = np.column_stack([
            (shell[:, 0] - fit.translation[0]) / fit.scale,
            -(shell[:, 1] - fit.translation[1]) / fit.scale,
            shell[:, 2] / fit.scale,
        ])  # fmt: skip
        self._shell = (camera @ fit.rotation).astype(np.float32)
        self._shell_triangles = _grid_triangles(len(angles), len(round_))

    def _keep_inside(self, places: np.ndarray) -> np.ndarray:
        """Places (N, 2) in the photograph; those beside the person go to its nearest pixel."""
        height, width = self.photo.shape[:2]
        at = np.clip(np.round(places).astype(int), 0, [width - 1, height - 1])
        outside = self._inside[at[:, 1], at[:, 0]] == 0
        places = places.copy()
        places[outside] = self._nearest_inside[self._inside_labels[at[outside, 1], at[outside, 0]]]
        return places

    def _prepare_face(self) -> None:
        head = self.head
        places = self._keep_inside(self._source[:SKIN_VERTICES, :2])
        upper = np.stack([INNER_LIP_UPPER, _opposite(self._source, INNER_LIP_UPPER, OUTER_LIP_UPPER)])
        lower = np.stack([INNER_LIP_LOWER, _opposite(self._source, INNER_LIP_LOWER, OUTER_LIP_LOWER)])
        gap = self._gap(self._source)
        self._source_gap = gap
        inset = np.clip(gap / 4, 0, 1) * 1.3  # pixels: keep teeth out of the lips
        for line, opposite in (upper, lower):
            away = places[opposite] - places[line]
            length = np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-3)
            places[line] += away / length * np.minimum(inset, 0.5 * length)
        hidden, front = head.linings
        places[hidden] = places[front]
        self._face_places = places
        triangles = head.face_triangles
        a, b, c = (self._source[triangles[:, k]] for k in range(3))
        across = np.cross(b - a, c - a)
        facing = -across[:, 2] / np.maximum(np.linalg.norm(across, axis=1), 1e-9)
        # lips and lids are needed even where the photograph shows them edge-on
        near = np.concatenate([v for v, _, _ in head.lip_neighbourhood] + [hidden])
        seen = (facing > LEAST_FACING) | np.isin(triangles, near).any(1)
        self._face_triangles = triangles[seen]
        # of the rest only cheeks: the corner of the jaw is mostly behind hair, collar or neck
        cheek = self.animator.source[:, 2] > CHEEK_CM
        self._hidden_triangles = triangles[~seen & cheek[triangles].all(1)]

    def _prepare_eyes(self) -> None:
        """A copy of the photograph in which each eye goes on beneath its lids."""
        eyes = self.photo.astype(np.float32)
        self._eye_frames = {}
        for side, (up, low, iris) in LID_LINES.items():
            polygon = _opening(self._source, up, low)
            corners = self._source[[up[0], up[-1]], :2]
            length = float(np.linalg.norm(corners[1] - corners[0]))
            radius = float(
                np.linalg.norm(self.marks[iris + 1 : iris + 5, :2] - self.marks[iris, :2], axis=1).mean()
            )
            height = _height(self._source, up, low)
            self._eye_frames[side] = (corners, length, self.marks[iris, :2].copy(), radius, height)
            x0, y0 = np.floor(polygon.min(0) - 10).astype(int)
            x1, y1 = np.ceil(polygon.max(0) + 10).astype(int)
            box = np.s_[max(y0, 0) : y1, max(x0, 0) : x1]
            mask = polygon_mask(polygon - [max(x0, 0), max(y0, 0)], _size(eyes[box]))
            mask = cv2.erode(mask, np.ones((3, 3)))
            if mask.sum() < 4:
                continue
            filled = fill_holes(eyes[box], (mask > 0.8).astype(np.float32))
            soft = cv2.GaussianBlur(mask, (0, 0), 0.6)[..., None]
            eyes[box] = eyes[box] * soft + filled * (1 - soft)
        self._eye_photo = np.clip(eyes, 0, 255).astype(np.uint8)

    def _prepare_mouth(self, rng: np.random.Generator) -> None:
        polygon = _opening(self._source, INNER_LIP_UPPER, INNER_LIP_LOWER)
        mask = polygon_mask(polygon, _size(self.photo))
        inner = cv2.erode(mask, np.ones((3, 3)))
        photo = self.photo.astype(np.float32)
        face = self.marks[[50, 280, 101, 330, 151, 205, 425]][:, :2].round().astype(int)
        skin = np.median([photo[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3).mean(0) for x, y in face], 0)
        light = float(skin @ [0.3, 0.59, 0.11])
        self.has_teeth = False
        tint = 0.7 * np.array([1.03, 1.0, 0.9]) + 0.3 * skin / max(light, 1.0)
        tooth = tint * np.clip(light * rng.uniform(1.15, 1.35), 95, 235)
        if self._source_gap > 2.5 and (inner > 0.5).sum() > 25:
            pixels = photo[inner > 0.5]
            brightness = pixels @ np.array([0.3, 0.59, 0.11], np.float32)
            bright = pixels[brightness >= np.percentile(brightness, 70)].mean(0)
            if bright @ [0.3, 0.59, 0.11] > 0.6 * light and bright.max() - bright.min() < 90:
                tooth = bright * rng.uniform(0.97, 1.05)
                self.has_teeth = True
        lips = self._face_places[np.concatenate([INNER_LIP_UPPER[8:-8], INNER_LIP_LOWER[8:-8]])]
        at = lips.round().astype(int)
        lip = np.median(photo[at[:, 1], at[:, 0]], 0)
        red = 0.5 * lip + 0.5 * np.array([0.75, 0.38, 0.36]) * light
        self._mouth_colours = {
            "socket": red * 0.85,
            "gums": red * 1.0,
            "tongue": 0.35 * lip + 0.65 * np.array([0.92, 0.48, 0.45]) * light,
            "teeth": np.clip(tooth, 0, 240),
        }
        self._mouth_depth = rng.uniform(0.2, 0.45)
        self._mouth_mask = cv2.GaussianBlur(inner, (0, 0), 0.7)
        normals = _normals(self.fit.shape, self.head.triangles(slice(SOCKET_QUADS.start, TEETH_QUADS.stop)))
        self._mouth_normals = normals
        self._light = np.array([rng.normal(0, 0.15), rng.uniform(0.2, 0.5), 1.0])
        self._light /= np.linalg.norm(self._light)

    def _gap(self, points: np.ndarray) -> float:
        return _height(points, INNER_LIP_UPPER, INNER_LIP_LOWER)

    # -- rendering -----------------------------------------------------------------------------------

    def original(self) -> Frame:
        """The photograph itself in the same view."""
        image = cv2.warpAffine(
            self.photo, self._to_view, (self.size, self.size), flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT_101,
        )  # fmt: skip
        return Frame(image, self._view(self.marks[:468])[:, :2])

    def _view(self, points: np.ndarray) -> np.ndarray:
        """Padded-photograph pixels (N, 2 or 3) to pixels of the output."""
        out = points.astype(np.float32) * np.float32(self._zoom)
        out[:, :2] += self._to_view[:, 2].astype(np.float32)
        return out

    def _fine(self, points: np.ndarray) -> np.ndarray:
        """Padded-photograph pixels (N, 3) to pixels of the supersampled output."""
        out: np.ndarray = self._view(points) * np.float32(SUPERSAMPLE)
        out[:, :2] += np.float32(HALF)
        return out

    def _still(self, points: np.ndarray, action: Action) -> np.ndarray:
        """Where points (N, 3) of the photograph lie if they belong to the body."""
        out = points.copy()
        out[:, :2] += np.array(action.shift, np.float32) * (self.fit.scale * action.body)
        return out

    def render(self, action: Action) -> Frame:
        """Draws the portrait doing something."""
        points = self.animator.points(action)
        rotation, scale, translation = self.animator.pose(action)
        target = project(points, rotation, scale, translation)
        large = SUPERSAMPLE * self.size
        fine = self._fine(target)

        canvas = Canvas(large, large, 2)
        unit = scale * self._zoom * SUPERSAMPLE
        canvas.draw(
            self._sheet_now(points, action, rotation, scale, translation), self._sheet_triangles,
            self._sheet[:, :2], depth_bias=SHEET_IN_FRONT * unit,
        )  # fmt: skip
        canvas.draw(
            fine[:SKIN_VERTICES], self._face_triangles, self._face_places, layer=1, cull=True,
            depth_bias=FACE_IN_FRONT * unit,
        )  # fmt: skip
        shell = Canvas(large, large, 2)
        grown = project(self._shell, rotation, scale, translation)
        shell.draw(self._fine(grown), self._shell_triangles, self._shell_places)
        shell.draw(fine[:SKIN_VERTICES], self._hidden_triangles, self._face_places, cull=True)

        image = self._back.copy()
        box = _covered(canvas.layer, shell.layer)
        part = image[box]
        alpha = sample(self.person, canvas.values[box])
        alpha[canvas.layer[box] < 0] = 0
        behind = (shell.layer[box] >= 0).astype(np.float32)
        behind *= cv2.GaussianBlur(behind, (0, 0), 1.0)
        hidden = _covered(np.where((behind > 0) & (alpha < 0.99), 0, -1))
        hair = sample(self.photo, shell.values[box][hidden])
        part[hidden] += (hair * np.float32(BACK_SHADE) - part[hidden]) * behind[hidden][..., None]
        # the outermost pixels of the person hold the old background's colour: none of that before hair
        alpha -= behind * (alpha - np.clip((alpha - 0.7) / 0.3, 0, 1))
        person = sample(self.photo, canvas.values[box], cv2.INTER_CUBIC)
        part += (person - part) * alpha[..., None]
        self._draw_eyes(image, fine, action)
        self._draw_mouth(image, fine, points, target, rotation)
        small = cv2.resize(image, (self.size, self.size), interpolation=cv2.INTER_AREA)
        return Frame(np.clip(small + 0.5, 0, 255).astype(np.uint8), self._view(target)[LANDMARK_VERTEX, :2])

    def _fine_view(self) -> np.ndarray:
        """(2, 3) padded photograph to supersampled output."""
        matrix: np.ndarray = self._to_view * float(SUPERSAMPLE)
        matrix[:, 2] += HALF
        return matrix

    def _sheet_now(
        self, points: np.ndarray, action: Action, rotation: np.ndarray, scale: float, translation: np.ndarray
    ) -> np.ndarray:
        nearest, weights = self._sheet_pull
        change = points[:SKIN_VERTICES] - self.animator.source[:SKIN_VERTICES]
        pulled = self._sheet_model + (change[nearest] * weights[..., None]).sum(1)
        moved = project(pulled, rotation, scale, translation)
        follow = self._sheet_follow[:, None]
        return self._fine(follow * moved + (1 - follow) * self._still(self._sheet, action))

    def _draw_eyes(self, image: np.ndarray, fine: np.ndarray, action: Action) -> None:
        shape = image.shape[:2]
        for side, (up, low, _) in LID_LINES.items():
            corners0, length0, iris, radius, height0 = self._eye_frames[side]
            polygon = _opening(fine, up, low)
            low_x, low_y = np.maximum(np.floor(polygon.min(0)).astype(int) - 6, 0)
            high_x, high_y = np.ceil(polygon.max(0)).astype(int) + 7
            high_x, high_y = min(high_x, shape[1]), min(high_y, shape[0])
            if high_x - low_x < 4 or high_y - low_y < 4:
                continue
            box = np.s_[low_y:high_y, low_x:high_x]
            local = polygon - [low_x, low_y]
            size = (high_y - low_y, high_x - low_x)
            height = _height(fine, up, low)
            corners = fine[[up[0], up[-1]], :2]
            length = max(float(np.linalg.norm(corners[1] - corners[0])), 1.0)
            unit = self._zoom * action.zoom * SUPERSAMPLE
            closed = float(np.clip(1 - height / max(height0 * unit, 1e-3), 0, 1))
            if height > 1.2:
                ys, xs = np.mgrid[low_y:high_y, low_x:high_x].astype(np.float32)
                axis = (corners[1] - corners[0]) / length
                middle = corners.mean(0)
                u = ((xs - middle[0]) * axis[0] + (ys - middle[1]) * axis[1]) * (length0 / length)
                v = (-(xs - middle[0]) * axis[1] + (ys - middle[1]) * axis[0]) / unit
                v *= min(1.0, height0 * unit / height)
                axis0 = (corners0[1] - corners0[0]) / length0
                middle0 = corners0.mean(0)
                sx = middle0[0] + u * axis0[0] - v * axis0[1]
                sy = middle0[1] + u * axis0[1] + v * axis0[0]
                gaze = np.array(action.gaze) * radius
                if np.abs(gaze).max() > 0:
                    away = np.hypot(sx - iris[0] - gaze[0], sy - iris[1] - gaze[1]) / radius
                    t = np.clip((2.6 - away) / (2.6 - 1.1), 0, 1)
                    hold = t * t * (3 - 2 * t)
                    sx, sy = sx - gaze[0] * hold, sy - gaze[1] * hold
                eye = sample(self._eye_photo, np.dstack([sx, sy]), cv2.INTER_CUBIC)
                mask = polygon_mask(local, size)
                shade = np.ones(1, np.float32)
                if closed > 0.1:  # the lid's shadow, which the photograph has only at its own place
                    line = line_mask(fine[up, :2] - [low_x, low_y], size, 3.0, 1.5)
                    shade = 1 - 0.45 * min(1.0, closed * 2) * line[..., None]
                mask = cv2.GaussianBlur(mask, (0, 0), 0.6)[..., None]
                image[box] += (eye.astype(np.float32) * shade - image[box]) * mask
            if closed > 0.35:
                strength = LASHES * min(1.0, (closed - 0.35) / 0.5)
                line = line_mask(fine[up[2:-2], :2] - [low_x, low_y], size, 1.2 * unit / 2, 0.35 * unit)
                dark = np.array([38, 28, 24], np.float32)
                image[box] += (dark - image[box]) * (strength * line)[..., None]

    def _draw_mouth(
        self,
        image: np.ndarray,
        fine: np.ndarray,
        points: np.ndarray,
        target: np.ndarray,
        rotation: np.ndarray,
    ) -> None:
        shape = image.shape[:2]
        polygon = _opening(fine, INNER_LIP_UPPER, INNER_LIP_LOWER)
        low_x, low_y = np.maximum(np.floor(polygon.min(0)).astype(int) - 8, 0)
        high_x, high_y = np.ceil(polygon.max(0)).astype(int) + 9
        high_x, high_y = min(high_x, shape[1]), min(high_y, shape[0])
        if high_x - low_x < 6 or high_y - low_y < 4:
            return
        box = np.s_[low_y:high_y, low_x:high_x]
        origin = np.array([low_x, low_y], np.float32)
        size = (high_y - low_y, high_x - low_x)
        unit = self._zoom * SUPERSAMPLE
        gap = self._gap(fine) / unit
        if self._source_gap > 1.2 and gap < 1.5:
            # lips that met: the photograph has no seam there
            seam = 0.5 * (
                fine[INNER_LIP_UPPER, :2] + _along(fine[INNER_LIP_LOWER, :2], fine[INNER_LIP_UPPER, :2])
            )
            line = line_mask(seam - origin, size, 0.9 * unit / 2, 0.4 * unit)
            image[box] *= 1 - (SEAM * min(1.0, self._source_gap / 3) * line)[..., None]
        if gap < 0.5:
            return
        painted = self._paint_mouth(points, fine, origin, size, rotation)
        # the upper lip's shadow, which the photograph's teeth have already
        lip = line_mask(fine[INNER_LIP_UPPER, :2] - origin, size, 2.5 * unit, 1.2 * unit)
        painted *= 1 - 0.3 * lip[..., None]
        if self._source_gap > 2.0:
            self._copy_teeth(painted, target, fine, origin, size)
        mask = polygon_mask(polygon - origin, size)
        mask = cv2.GaussianBlur(mask, (0, 0), 0.7) * min(1.0, (gap - 0.5) / 1.0)
        image[box] += (painted - image[box]) * mask[..., None]

    def _paint_mouth(
        self,
        points: np.ndarray,
        fine: np.ndarray,
        origin: np.ndarray,
        size: tuple[int, int],
        rotation: np.ndarray,
    ) -> np.ndarray:
        head = self.head
        canvas = Canvas(size[0], size[1], 3)
        place = fine.copy()
        place[:, :2] -= origin
        lip_z = points[INNER_LIP_UPPER, 2].max()
        first = SKIN_VERTICES
        normals = self._mouth_normals @ rotation.T
        lit = np.abs(normals @ self._light)
        deep = np.clip((lip_z - 0.4 - points[first:, 2]) / 3.2, 0, None)
        shade = (0.6 + 0.4 * lit[first:]) * np.exp(-self._mouth_depth * deep - 0.1 * deep**2)
        # less light towards the corners
        side = np.clip(np.abs(points[first:, 0]) / 2.6, 0, 1.2)
        shade *= 1 - 0.4 * side**2
        tongue_light = (0.75 + 0.35 * lit[first:]) * np.exp(-TONGUE_SHADOW * deep)
        for name, quads, vertices in (
            ("socket", SOCKET_QUADS, SOCKET_VERTICES),
            ("gums", GUMS_QUADS, GUMS_VERTICES),
            ("teeth", TEETH_QUADS, TEETH_VERTICES),
        ):
            part = slice(vertices.start - first, vertices.stop - first)
            colours = np.zeros((len(place), 3), np.float32)
            # front teeth catch the light; molars stand in the shadow of the cheeks
            front = (0.4 + 0.65 * shade[part]) * (1 - 0.5 * np.minimum(side[part], 1) ** 2)
            front *= np.exp(-MOLAR_SHADOW * np.maximum(deep[part] - FRONT_TEETH, 0))
            dark = {"socket": 0.6 * shade[part], "gums": shade[part], "teeth": front}[name]
            colours[vertices] = self._mouth_colours[name] * dark[:, None]
            if name == "gums":
                tongue = head.tongue[part, None]
                colours[vertices] += tongue * (
                    self._mouth_colours["tongue"] * tongue_light[part, None] - colours[vertices]
                )
            canvas.draw(place, head.triangles(quads), colours, cull=True)
        empty = canvas.layer < 0
        canvas.values[empty] = self._mouth_colours["socket"] * 0.15
        return canvas.values

    def _copy_teeth(
        self,
        painted: np.ndarray,
        target: np.ndarray,
        fine: np.ndarray,
        origin: np.ndarray,
        size: tuple[int, int],
    ) -> None:
        """What the photograph shows between the lips moves with the upper jaw."""
        teeth = np.arange(UPPER_TEETH_VERTICES.start, UPPER_TEETH_VERTICES.stop)[::7]
        teeth = teeth[self.fit.shape[teeth, 2] > self.fit.shape[teeth, 2].max() - 2.0]
        here = np.column_stack([fine[teeth, :2] - origin, np.ones(len(teeth))])
        matrix = np.linalg.lstsq(here, self._source[teeth, :2], rcond=None)[0].T
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        photo = cv2.warpAffine(self.photo, matrix, size[::-1], flags=flags, borderMode=cv2.BORDER_REFLECT_101)
        mask = cv2.warpAffine(
            self._mouth_mask, matrix, size[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        )
        painted += (photo.astype(np.float32) - painted) * mask[..., None]


def _grid_triangles(rows: int, columns: int) -> np.ndarray:
    """(F, 3) two triangles for each cell of a grid of rows x columns points."""
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    return np.concatenate([
        np.stack([a, c, b], -1).reshape(-1, 3),
        np.stack([a, d, c], -1).reshape(-1, 3),
    ])  # fmt: skip


def _covered(*layers: np.ndarray) -> tuple[slice, slice]:
    """The box (rows, columns) around all pixels that are drawn in any layer; at least one pixel."""
    drawn = np.maximum.reduce(layers) >= 0
    rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
    if not len(rows):
        return slice(0, 1), slice(0, 1)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _size(image: np.ndarray) -> tuple[int, int]:
    return image.shape[0], image.shape[1]


def _opening(points: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """(N, 2) closed outline between two lines that share their ends."""
    return np.concatenate([points[upper, :2], points[lower[-2:0:-1], :2]])


def _height(points: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> float:
    """How far two lines stand apart in their middle, in pixels; negative when they overlap."""
    middle = slice(len(upper) // 2 - 2, len(upper) // 2 + 3)
    other = slice(len(lower) // 2 - 2, len(lower) // 2 + 3)
    across = points[upper[-1], :2] - points[upper[0], :2]
    down = np.array([-across[1], across[0]]) / max(float(np.linalg.norm(across)), 1e-6)
    return float((points[lower[other], :2].mean(0) - points[upper[middle], :2].mean(0)) @ down)


def _opposite(points: np.ndarray, line: np.ndarray, other: np.ndarray) -> np.ndarray:
    """For each vertex of a line the nearest vertex of another line."""
    return other[cKDTree(points[other, :2]).query(points[line, :2])[1]]


def _along(line: np.ndarray, like: np.ndarray) -> np.ndarray:
    """A polyline (N, 2) resampled to as many points as another."""
    at = np.linspace(0, 1, len(line))
    to = np.linspace(0, 1, len(like))
    return np.stack([np.interp(to, at, line[:, k]) for k in range(2)], 1)


def _normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V, 3) unit vertex normals."""
    a, b, c = points[triangles[:, 0]], points[triangles[:, 1]], points[triangles[:, 2]]
    across = np.cross(b - a, c - a)
    out = np.zeros_like(points)
    for k in range(3):
        np.add.at(out, triangles[:, k], across)
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)
