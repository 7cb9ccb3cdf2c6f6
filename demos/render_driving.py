"""Renders demos/driving.mp4: a head that nobody is turns, talks, blinks and smiles.

    python demos/render_driving.py --ict ICT_FOLDER --portraits PORTRAIT_FOLDER

The ICT face is fitted to many public-domain portraits. Their average shape gets the average of their
textures, so that no single person can be recognised, and is then animated by the portrait animator that
makes the training data.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
from scipy.interpolate import PchipInterpolator

from headgen.faces.crop import portrait_crop
from headgen.faces.tracker import MediaPipeTracker
from headgen.media import VideoWriter, read_image
from headgen.synth.animate import Action, Animator
from headgen.synth.correspondence import INNER_LIP_LOWER, INNER_LIP_UPPER
from headgen.synth.fit import Fit, fit_face
from headgen.synth.ict import SKIN_VERTICES, IctHead
from headgen.synth.photograph import PersonSegmenter, fill_holes, sample
from headgen.synth.raster import Canvas
from headgen.synth.scene import Scene

FPS = 25
FRAMES = 100
SIZE = 256

CHART = 512  # side of the picture in which the textures are averaged
CHART_SCALE = 14.5  # its pixels per centimetre
CHART_MIDDLE = np.array([255.5, 255.5 + 1.0 * CHART_SCALE])  # where the model's origin lies in it
LEAST_EYES = 42.0  # pixels between the outer eye corners of a portrait worth averaging
MOST_YAW, MOST_PITCH = 18.0, 18.0  # degrees: portraits seen from the front
MOST_GAP_CM = 0.4  # between the lips
MOST_BLINK = 0.3
LEAST_AVERAGED = 150
LEAST_SHOWN = 0.35  # share of the portraits that must show a place before it is believed
SKIN_TONE = np.array([196.0, 150.0, 128.0])  # to which each portrait's white balance is brought
BACKDROP = (np.array([132.0, 146.0, 158.0]), np.array([92.0, 104.0, 118.0]))  # top and bottom
GRAIN = 2.2  # of the average, which has lost the skin's own

Chosen = tuple[Path, Fit, np.ndarray]

# What the head does: times in frames, values as the action wants them.
YAW = {0: 0, 8: 0, 24: -13, 32: -13, 48: 12, 58: 14, 72: 0, 84: -6, 99: 0}
PITCH = {0: 0, 10: 0, 20: -4, 34: 6, 46: -2, 60: -6, 70: 3, 82: 7, 92: 1, 99: 0}
ROLL = {0: 0, 12: 0, 26: 4, 40: -2, 54: -5, 68: 0, 80: 4, 99: 0}
SHAPES = {
    "jawOpen": {
        0: 0, 10: 0, 13: 0.32, 16: 0.06, 20: 0.5, 24: 0.1, 27: 0.12, 30: 0.16, 33: 0.0, 36: 0.28, 39: 0.08,
        43: 0.42, 47: 0.04, 50: 0.16, 53: 0.12, 56: 0.22, 60: 0.0, 63: 0.55, 68: 0.08, 71: 0.0, 99: 0,
    },
    "mouthFunnel": {0: 0, 24: 0, 27: 0.55, 30: 0.6, 33: 0, 47: 0, 51: 0.45, 55: 0, 99: 0},
    "mouthPucker": {0: 0, 25: 0, 29: 0.45, 33: 0, 48: 0, 52: 0.8, 56: 0, 99: 0},
    "mouthStretch": {0: 0, 34: 0, 37: 0.45, 41: 0, 99: 0},
    "mouthLowerDown": {0: 0, 10: 0, 13: 0.3, 17: 0, 34: 0, 37: 0.5, 41: 0.1, 44: 0.3, 48: 0, 99: 0},
    "mouthUpperUp": {0: 0, 34: 0, 37: 0.45, 41: 0, 99: 0},
    "mouthPress": {0: 0, 31: 0, 33: 0.3, 35: 0, 59: 0, 60: 0.3, 62: 0, 99: 0},
    "mouthSmile": {0: 0, 34: 0, 37: 0.2, 42: 0, 70: 0, 79: 0.85, 88: 0.8, 97: 0.1, 99: 0.05},
    "cheekSquint": {0: 0, 70: 0, 79: 0.5, 88: 0.5, 97: 0, 99: 0},
    "eyeSquint": {0: 0, 70: 0, 79: 0.3, 88: 0.3, 97: 0, 99: 0},
    "browInnerUp": {0: 0, 52: 0, 58: 0.9, 66: 0.8, 72: 0, 99: 0},
    "browOuterUp": {0: 0, 52: 0, 58: 0.9, 66: 0.8, 72: 0, 99: 0},
}  # fmt: skip
BLINKS = {0: 0, 26: 0, 29: 1, 30: 1, 34: 0, 56: -0.1, 66: -0.1, 72: 0, 73: 0, 76: 1, 77: 1, 82: 0, 99: 0}
GAZE = {0: 0, 40: 0, 43: 0.45, 56: 0.4, 60: 0, 84: 0, 87: -0.3, 94: -0.3, 97: 0, 99: 0}


def main() -> None:
    """Reads the arguments and renders."""
    parser = argparse.ArgumentParser(description="Render the driving clip of the demo.")
    parser.add_argument("--ict", type=Path, required=True, help="ict_facekit.npz or its folder")
    parser.add_argument("--portraits", type=Path, required=True, help="folder of public-domain portraits")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "driving.mp4")
    parser.add_argument("--most", type=int, default=250, help="average at most this many portraits")
    options = parser.parse_args()
    head = IctHead.load(options.ict)
    chosen = choose(head, options.portraits, options.most)
    print(f"average of {len(chosen)} portraits")
    picture, person = average(head, chosen)
    render(head, picture, person, options.output)
    print(f"{options.output}: {FRAMES} frames, {options.output.stat().st_size / 1024:.0f} KiB")


def choose(head: IctHead, folder: Path, most: int) -> list[Chosen]:
    """Portraits worth averaging: each one's path, fit, and face (SKIN_VERTICES, 3) in the model's frame."""
    chosen: list[Chosen] = []
    with MediaPipeTracker() as tracker:
        for path in sorted(folder.glob("*.jpg")):
            track = tracker.track(read_image(path), still=True)
            if track is None or track.n_faces > 1 or track.eye_distance < LEAST_EYES:
                continue
            fit = fit_face(head, track.landmarks)
            face = Animator(head, fit).source
            if usable(head, fit, face):
                chosen.append((path, fit, face[:SKIN_VERTICES]))
            if len(chosen) == most:
                break
    if len(chosen) < LEAST_AVERAGED:
        raise SystemExit(
            f"{folder}: {len(chosen)} usable portraits (.jpg) there; with fewer than {LEAST_AVERAGED} "
            "somebody could be recognised"
        )
    return chosen


def average(head: IctHead, chosen: list[Chosen]) -> tuple[np.ndarray, np.ndarray]:
    """The average portrait, seen from the front.

    Every portrait is brought to the average shape through the face mesh; beyond the mesh (hair, neck,
    clothes) the mesh's displacement goes on smoothly.

    Args:
        head: the ICT model.
        chosen: the portraits.

    Returns:
        picture (CHART, CHART, 3) uint8 in front of a plain backdrop, person (CHART, CHART) 0 to 1.
    """
    shape = np.mean([face for _, _, face in chosen], axis=0)
    inside, corners, shares = chart(head, shape)
    segment = PersonSegmenter()
    colours = np.zeros((CHART, CHART, 3))
    weights = np.zeros((CHART, CHART, 1))
    shown = np.zeros((CHART, CHART, 1))
    for path, fit, face in chosen:
        image = read_image(path)
        places = chart_places(fit, face, inside, corners, shares)
        within = ((places >= 0) & (places <= np.array(image.shape[1::-1]) - 1)).all(-1, keepdims=True)
        alpha = sample(segment(image), places)[..., None] * within
        warped = sample(image, places, cv2.INTER_CUBIC).astype(np.float64)
        skin = np.median(warped[inside], axis=0)
        warped = np.clip(warped * (SKIN_TONE / np.maximum(skin, 20)).clip(0.5, 2.0), 0, 255)
        colours += warped * alpha
        weights += alpha
        shown += within
    # many portraits end above the forehead or at the collar: what they do not show does not count
    enough = (shown[..., 0] > LEAST_SHOWN * len(chosen)).astype(np.float32)
    share = fill_holes((weights / np.maximum(shown, 1)).astype(np.float32), enough)
    share = cv2.GaussianBlur(share.reshape(CHART, CHART), (0, 0), 3.0)
    person = smooth_step(share, 0.35, 0.65).astype(np.float32)
    known = enough * (weights[..., 0] > 0.3 * shown[..., 0])
    colours = fill_holes((colours / np.maximum(weights, 1)).astype(np.float32), known)
    rng = np.random.default_rng(0)
    colours += cv2.GaussianBlur(rng.normal(0, 1, (CHART, CHART)), (0, 0), 1.0)[..., None] * (GRAIN / 0.28)
    down = np.linspace(0, 1, CHART)[:, None, None]
    backdrop = np.broadcast_to(BACKDROP[0] * (1 - down) + BACKDROP[1] * down, colours.shape)
    picture = backdrop + (colours - backdrop) * person[..., None]
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8), person


def usable(head: IctHead, fit: Fit, face: np.ndarray) -> bool:
    """Whether a portrait is seen from the front, with eyes open and lips closed."""
    yaw = np.rad2deg(np.arcsin(np.clip(fit.rotation[0, 2], -1, 1)))
    pitch = np.rad2deg(np.arcsin(np.clip(fit.rotation[1, 2], -1, 1)))
    middle = slice(len(INNER_LIP_UPPER) // 2 - 2, len(INNER_LIP_UPPER) // 2 + 3)
    gap = face[INNER_LIP_UPPER[middle], 1].mean() - face[INNER_LIP_LOWER[middle], 1].mean()
    blink = max(fit.expression[head.names.index(f"eyeBlink_{side}")] for side in "LR")
    return bool(abs(yaw) < MOST_YAW and abs(pitch) < MOST_PITCH and gap < MOST_GAP_CM and blink < MOST_BLINK)


def chart(head: IctHead, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the average face lies in the chart.

    Returns:
        inside (CHART, CHART) bool, and for the N pixels inside: the triangle's corners (N, 3) and their
        shares (N, 3).
    """
    points = np.column_stack([shape[:, :2] * [1, -1] * CHART_SCALE + CHART_MIDDLE, shape[:, 2]])
    triangles = head.face_triangles
    # every triangle gets corners of its own, which carry its number and its barycentric coordinates
    own = points[triangles.reshape(-1)]
    number = np.repeat(np.arange(len(triangles)), 3)
    shares = np.tile(np.eye(3), (len(triangles), 1))
    canvas = Canvas(CHART, CHART, 4)
    canvas.draw(own, np.arange(len(own)).reshape(-1, 3), np.column_stack([number, shares]), cull=True)
    inside = canvas.layer >= 0
    values = canvas.values[inside]
    return inside, triangles[np.round(values[:, 0]).astype(int)], values[:, 1:]


def chart_places(
    fit: Fit, face: np.ndarray, inside: np.ndarray, corners: np.ndarray, shares: np.ndarray
) -> np.ndarray:
    """(CHART, CHART, 2) the place in a portrait of every pixel of the chart."""
    ys, xs = np.mgrid[:CHART, :CHART].astype(np.float64)
    flat = (np.stack([xs, ys], -1) - CHART_MIDDLE) / CHART_SCALE * [1, -1]
    plane = np.concatenate([flat, np.full((CHART, CHART, 1), 4.0)], -1).reshape(-1, 3)
    coarse = fit.project(plane)[:, :2].reshape(CHART, CHART, 2)
    on_face = (fit.project(face)[corners, :2] * shares[..., None]).sum(1)
    beyond = np.zeros((CHART, CHART, 2), np.float32)
    beyond[inside] = on_face - coarse[inside]
    known = inside.astype(np.float32)
    spread = fill_holes(beyond, known)
    soft = cv2.GaussianBlur(spread, (0, 0), 8.0)
    places = coarse + np.where(inside[..., None], beyond, soft + (spread - soft) * near(inside)[..., None])
    return places.astype(np.float32)


def near(inside: np.ndarray) -> np.ndarray:
    """(H, W) 1 at the outline of a region, 0 at 24 pixels from it."""
    away = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 5)
    return np.clip(1 - away / 24, 0, 1)


def smooth_step(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below low, 1 above high, smooth in between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def render(head: IctHead, picture: np.ndarray, person: np.ndarray, output: Path) -> None:
    """Animates the average portrait and writes the clip."""
    with MediaPipeTracker() as tracker:
        track = tracker.track(picture, still=True)
    if track is None:
        raise SystemExit("the average portrait does not look like a face; average more portraits")
    crop = portrait_crop(track.landmarks)
    scene = Scene(head, picture, track.landmarks, person, crop, SIZE, np.random.default_rng(1))
    about = {
        "title": "Driving clip of the headgen demo",
        "comment": "Rendered: a 3D head with the averaged texture of many public-domain portraits; nobody.",
    }
    with VideoWriter(output, FPS, crf=14, preset="veryslow", metadata=about) as writer:
        for action in actions(head, scene.fit):
            writer.write(scene.render(action).image)


def actions(head: IctHead, fit: Fit) -> Iterator[Action]:
    """What the head does in each frame."""
    at = np.arange(FRAMES)
    yaw, pitch, roll = track_of(YAW), track_of(PITCH), track_of(ROLL)
    sway = np.random.default_rng(3).normal(0, 1, (6, 3))  # nobody holds quite still
    wobble = sum(
        sway[k, :, None] * np.sin(2 * np.pi * (k + 1) * at / FRAMES) / (k + 1) for k in range(len(sway))
    )
    blinks, gaze = track_of(BLINKS), track_of(GAZE)
    shapes = {name: track_of(keys) for name, keys in SHAPES.items()}
    own = np.array([0.0 if name.startswith("eyeBlink") else 1.0 for name in head.names]) * fit.expression
    for k in range(FRAMES):
        said = head.coefficients({name: float(values[k]) for name, values in shapes.items()})
        yield Action(
            np.clip(own + said, 0, 1).astype(np.float32),
            blink=(float(blinks[k]), float(blinks[k])),
            gaze=(float(gaze[k]), 0.0),
            turn=(
                float(yaw[k] + 0.5 * wobble[0][k]),
                float(pitch[k] + 0.4 * wobble[1][k]),
                float(roll[k] + 0.3 * wobble[2][k]),
            ),
            shift=(float(yaw[k]) * 0.03, float(pitch[k]) * 0.02),
        )


def track_of(keys: Mapping[int, float]) -> np.ndarray:
    """(FRAMES,) smooth values through the given ones, without overshoot."""
    curve = PchipInterpolator(list(keys), list(keys.values()))
    return np.asarray(curve(np.arange(FRAMES)))


if __name__ == "__main__":
    main()
