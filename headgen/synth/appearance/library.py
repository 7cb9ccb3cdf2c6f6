"""A library of people: fitted shape and skin texture of each portrait of a folder, made once, kept on disk.

A library is a folder::

    DIR/library.json               who is in it and what their skin is like; written last
    DIR/people/NAME.safetensors    shape, residual, albedo, confidence of one person
    DIR/left_out/NAME.json         why a portrait was not used

Every portrait leaves exactly one of the two files, renamed into place when it is whole, so that a killed run
goes on where it stopped. A library shows real people: it is made on the user's machine from the user's
portraits and belongs in no repository; only mixtures of its people (`headgen.synth.appearance.mixing`) are
shown.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from headgen.errors import InputError
from headgen.faces.tracker import MediaPipeTracker
from headgen.progress import ProgressCallback, ProgressEvent
from headgen.synth.animate import Animator
from headgen.synth.appearance.delight import asymmetry, delight
from headgen.synth.appearance.texture import (
    SkinLayout,
    complete,
    luminance,
    project_photograph,
    reject_foreign,
    to_linear,
    to_srgb,
)
from headgen.synth.fit import fit_face
from headgen.synth.ict import IctHead
from headgen.synth.photograph import PersonSegmenter

VERSION = 1
ENDINGS = (".jpg", ".jpeg", ".png")
QUALITY = 93  # of the albedo's JPEG
CONFIDENCE_SIZE = 128
ICT_FOLDER = "ict_facekit"

LEAST_BYTES_PER_PIXEL = 0.3  # JPEG files below this hold enlarged thumbnails
SMALLEST_FACE = 45.0  # outer-eye distance in pixels
LARGEST_YAW, LARGEST_PITCH = 20.0, 20.0  # degrees
LARGEST_ERROR = 0.03  # of the fit, in outer-eye distances
LEAST_COLOUR = 0.10  # log-colour of skin: grey-scale has none
LEAST_SEEN = 0.55  # of the inner face
LARGEST_RIMS = 0.075  # see `rims`
LARGEST_FRINGE = 0.036  # fine contrast of the forehead: hair over it
HUES = ((0.42, 1.12), (0.10, 0.95))  # log red over green, and green over blue, of skin under usual light
LARGEST_ASYMMETRY, LARGEST_LEFT = 0.75, 0.1  # of the light, before and after `delight`


@dataclass(frozen=True)
class Person:
    """One person of a library.

    Attributes:
        name: of the portrait.
        identity: (K,) float32 coefficients of the ICT face.
        expression: (E,) float32 coefficients of the portrait's expression.
        residual: (468, 3) float32 cm: what the landmarks add to the model.
        albedo: (N, N, 3) float32 linear RGB in the layout of `SkinLayout.of_ict`.
        confidence: (N, N) float32: where the photograph showed it.
        tone: (3,) log of the skin's linear RGB, its median over plain skin.
        measures: what the portrait was judged by.
    """

    name: str
    identity: np.ndarray
    expression: np.ndarray
    residual: np.ndarray
    albedo: np.ndarray
    confidence: np.ndarray
    tone: np.ndarray
    measures: dict[str, float]


def build_library(
    portraits: Path,
    assets: Path,
    output: Path,
    count: int | None = None,
    workers: int = 1,
    progress: ProgressCallback | None = None,
) -> None:
    """Makes a library of all portraits that suit.

    Args:
        portraits: folder of photographs (JPEG or PNG), one person each.
        assets: folder that holds ``ict_facekit/ict_facekit.npz``, or that file or its folder itself.
        output: folder of the library.
        count: use only that many photographs.
        workers: processes.
        progress: called after every photograph.

    Raises:
        InputError: no photographs, or no face model.
    """
    files = sorted(p for p in Path(portraits).glob("*") if p.suffix.lower() in ENDINGS)[:count]
    if not files:
        raise InputError(f"{portraits}: no photographs (.jpg, .png) there; give the folder that holds them")
    assets = Path(assets) / ICT_FOLDER if (Path(assets) / ICT_FOLDER).is_dir() else Path(assets)
    head = IctHead.load(assets)
    layout = SkinLayout.of_ict(head, assets)
    output = Path(output)
    for folder in ("people", "left_out"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    todo = [file for file in files if not any(path.is_file() for path in _paths(output, file.stem))]
    done = len(files) - len(todo)
    for _ in _run([(file, output) for file in todo], head, layout, workers):
        done += 1
        if progress is not None:
            progress(ProgressEvent("textures", done, len(files), "portraits"))
    _write_index(output)


def _paths(output: Path, name: str) -> tuple[Path, Path]:
    return output / "people" / f"{name}.safetensors", output / "left_out" / f"{name}.json"


Job = tuple[Path, Path]


def _run(jobs: list[Job], head: IctHead, layout: SkinLayout, workers: int) -> Iterator[None]:
    if not jobs:
        return
    # worked out once, before the fork
    head.spread, head.lower_mouth, layout.mirrored, layout.plain, layout.unreliable, layout.middle  # noqa: B018
    if workers == 1:
        yield from map(_Maker(head, layout), jobs)
        return
    context = multiprocessing.get_context("fork")
    with context.Pool(workers, initializer=_start_worker, initargs=(head, layout)) as pool:
        yield from pool.imap_unordered(_work, jobs)


_maker: _Maker | None = None


def _start_worker(head: IctHead, layout: SkinLayout) -> None:
    global _maker
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the pool ends its workers with it; no traceback then
    cv2.setNumThreads(1)
    _maker = _Maker(head, layout)


def _work(job: Job) -> None:
    assert _maker is not None
    _maker(job)


class _Maker:
    """Makes people; holds what a process needs for that."""

    def __init__(self, head: IctHead, layout: SkinLayout) -> None:
        os.environ.setdefault("GLOG_minloglevel", "3")
        self.head, self.layout = head, layout
        self.tracker = MediaPipeTracker()
        self.segment = PersonSegmenter()

    def __call__(self, job: Job) -> None:
        """Judges one portrait and writes what became of it."""
        file, output = job
        kept, left_out = _paths(output, file.stem)
        made = self._person(file)
        if isinstance(made, Person):
            write_person(kept, made)
        else:
            reason, measures = made
            _replace(left_out, json.dumps({"reason": reason, "measures": measures}).encode())

    def _person(self, file: Path) -> Person | tuple[str, dict[str, float]]:
        bgr = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if bgr is None:
            return "unreadable", {}
        measures = {"bytes_per_pixel": file.stat().st_size / bgr[..., 0].size}
        if file.suffix.lower() != ".png" and measures["bytes_per_pixel"] < LEAST_BYTES_PER_PIXEL:
            return "enlarged thumbnail", measures
        image = np.ascontiguousarray(bgr[..., ::-1])
        track = self.tracker.track(image, still=True)
        if track is None:
            return "no face", measures
        if track.n_faces > 1:
            return "several faces", measures
        measures["eye_distance"] = track.eye_distance
        if track.eye_distance < SMALLEST_FACE:
            return "small face", measures
        fit = fit_face(self.head, track.landmarks)
        forward = fit.rotation[:, 2]
        measures["yaw"] = float(np.rad2deg(np.arctan2(forward[0], forward[2])))
        measures["pitch"] = float(np.rad2deg(np.arctan2(forward[1], forward[2])))
        measures["fit_error"] = fit.error
        if abs(measures["yaw"]) > LARGEST_YAW or abs(measures["pitch"]) > LARGEST_PITCH:
            return "turned away", measures
        if fit.error > LARGEST_ERROR:
            return "face does not fit", measures

        points = fit.project(Animator(self.head, fit).source)
        seen = project_photograph(self.layout, image, points, fit.scale, self.segment(image))
        colour = delight(self.layout, seen)
        confidence = reject_foreign(self.layout, colour, seen.confidence)
        measures["asymmetry"] = asymmetry(self.layout, seen.colour, seen.confidence)
        measures["asymmetry_left"] = asymmetry(self.layout, colour, confidence)
        measures["seen"] = float(confidence[self.layout.inner_face > 0.9].mean())
        measures["rims"] = rims(self.layout, colour, seen.confidence)
        plain = self.layout.plain & (confidence > 0.5)
        if measures["seen"] < LEAST_SEEN or plain.sum() < 500:
            return "face covered", measures
        tone = np.median(np.log(np.maximum(colour[plain], 1e-3)), 0)
        measures["colour"] = float(np.ptp(tone))
        if measures["colour"] < LEAST_COLOUR:
            return "grey", measures
        hues = tone[0] - tone[1], tone[1] - tone[2]
        if not all(low < hue < high for hue, (low, high) in zip(hues, HUES, strict=True)):
            return "odd colours", measures
        measures |= character(self.layout, colour, confidence)
        if measures["fringe"] > LARGEST_FRINGE:
            return "hair over the forehead", measures
        if measures["rims"] > LARGEST_RIMS:
            return "glasses", measures
        if measures["asymmetry"] > LARGEST_ASYMMETRY or measures["asymmetry_left"] > LARGEST_LEFT:
            return "lit from one side", measures
        rng = np.random.default_rng(int.from_bytes(hashlib.sha256(file.stem.encode()).digest()[:6], "big"))
        albedo = complete(self.layout, colour, confidence, rng)
        return Person(
            name=file.stem,
            identity=fit.identity,
            expression=fit.expression,
            residual=fit.residual,
            albedo=albedo,
            confidence=confidence,
            tone=tone.astype(np.float32),
            measures=measures,
        )


def rims(layout: SkinLayout, colour: np.ndarray, confidence: np.ndarray) -> float:
    """How much fine dark and bright structure there is beside the eyes and over the nose: rims of glasses.

    The mean contrast of lines a few millimetres wide on the bridge of the nose and on the temples, where
    faces have few of them.

    Args:
        layout: of the skin.
        colour: (N, N, 3) linear RGB.
        confidence: (N, N).
    """
    lines = _fine_contrast(layout, colour)
    x, y, _ = np.moveaxis(layout.positions, -1, 0)
    lids = layout.vertices[layout.lids]
    inner, outer = np.abs(lids[:, 0]).min(), np.abs(lids[:, 0]).max()
    level = np.abs(y - lids[:, 1].mean()) < 0.9
    bridge = level & (np.abs(x) < 0.75 * inner)
    temples = level & (np.abs(x) > outer + 0.4) & (np.abs(x) < outer + 1.8)
    chosen = (bridge | temples) & layout.covered & (layout.brow_mask < 0.05)
    weight = confidence * chosen
    return float((lines * weight).sum() / max(float(weight.sum()), 1e-6))


def character(layout: SkinLayout, colour: np.ndarray, confidence: np.ndarray) -> dict[str, float]:
    """What a face is like, so that mixtures are made of people who are alike.

    Returns:
        ``lips``: log red over green of the lips against the skin's (lipstick: above 0.5); ``beard``: log
        brightness where beards grow against the cheeks'; ``fringe``: fine contrast of the forehead.
    """
    log = np.log(np.maximum(colour, 1e-3))
    plain = layout.plain & (confidence > 0.5)
    lips = (layout.lip_mask > 0.8) & (confidence > 0.5)
    beard = (layout.beard_mask > 0.8) & (confidence > 0.5)
    red, light = log[..., 0] - log[..., 1], luminance(log)
    brows = min((float(layout.place[line, 1].min()) for line in layout.brows), default=0.0)
    forehead = plain & (np.arange(layout.size)[:, None] < brows)
    lines = _fine_contrast(layout, colour)

    def middle(values: np.ndarray, mask: np.ndarray) -> float:
        return float(np.median(values[mask])) if mask.any() else 0.0

    return {
        "lips": middle(red, lips) - middle(red, plain),
        "beard": middle(light, beard) - middle(light, plain),
        "fringe": float(lines[forehead].mean()) if forehead.any() else 0.0,
    }


def _fine_contrast(layout: SkinLayout, colour: np.ndarray) -> np.ndarray:
    """(N, N) strength of lines and spots a few millimetres wide, in log brightness."""
    log = luminance(np.log(np.maximum(colour, 1e-3)))
    unit = layout.size / 512
    return np.abs(cv2.GaussianBlur(log, (0, 0), 1.5 * unit) - cv2.GaussianBlur(log, (0, 0), 5 * unit))


def write_person(path: Path, person: Person) -> None:
    """Writes one person's file, whole or not at all."""
    _, albedo = cv2.imencode(".jpg", to_srgb(person.albedo)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    small = cv2.resize(person.confidence, (CONFIDENCE_SIZE,) * 2, interpolation=cv2.INTER_AREA)
    _, confidence = cv2.imencode(".png", np.clip(small * 255 + 0.5, 0, 255).astype(np.uint8))
    tensors: dict[str, np.ndarray] = {
        "identity": person.identity.astype(np.float32),
        "expression": person.expression.astype(np.float32),
        "residual": person.residual.astype(np.float32),
        "tone": person.tone.astype(np.float32),
        "albedo": np.asarray(albedo, np.uint8).reshape(-1),
        "confidence": np.asarray(confidence, np.uint8).reshape(-1),
    }
    part = path.with_suffix(".part")
    save_file(tensors, part, metadata={"measures": json.dumps(person.measures)})
    os.replace(part, path)


def read_person(path: Path) -> Person:
    """Reads one person's file.

    Raises:
        InputError: not such a file.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
            measures = json.loads(file.metadata()["measures"])
        albedo = cv2.imdecode(tensors["albedo"], cv2.IMREAD_COLOR)
        small = cv2.imdecode(tensors["confidence"], cv2.IMREAD_GRAYSCALE)
        return Person(
            name=path.stem,
            identity=tensors["identity"],
            expression=tensors["expression"],
            residual=tensors["residual"],
            albedo=to_linear(np.ascontiguousarray(albedo[..., ::-1])),
            confidence=cv2.resize(small, albedo.shape[1::-1]).astype(np.float32) / 255,
            tone=tensors["tone"],
            measures=measures,
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: not a person of a texture library ({error}); make the library anew"
        ) from error


class Library:
    """People of a library, read when they are asked for.

    Attributes:
        names: of the portraits, sorted.
        tones: (P, 3) float32 log of each one's linear skin colour.
        lips: (P,) float32, see `character`.
        beards: (P,) float32, see `character`.
        identities: (P, K) float32 coefficients of the ICT face.
    """

    def __init__(self, directory: Path, keep: int = 64) -> None:
        """Opens a library.

        Args:
            directory: its folder.
            keep: people held in memory (3 MB each).

        Raises:
            InputError: no finished library there.
        """
        self.directory = Path(directory)
        index = self.directory / "library.json"
        try:
            facts = json.loads(index.read_text())
            people = facts["people"]
            self.names = tuple(person["name"] for person in people)
            self.tones = np.array([person["tone"] for person in people], np.float32).reshape(-1, 3)
            self.identities = np.array([person["identity"] for person in people], np.float32)
            self.lips, self.beards = (
                np.array([person["measures"][name] for person in people], np.float32)
                for name in ("lips", "beard")
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{index}: no finished texture library ({error}); make one from a folder of portraits"
            ) from error
        self._read = lru_cache(keep)(read_person)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Person:
        """The person of that number."""
        return self._read(_paths(self.directory, self.names[index])[0])


def _write_index(output: Path) -> None:
    people = []
    for path in sorted((output / "people").glob("*.safetensors")):
        with safe_open(path, framework="numpy") as file:
            people.append({
                "name": path.stem,
                "tone": [round(float(x), 4) for x in file.get_tensor("tone")],
                "identity": [round(float(x), 4) for x in file.get_tensor("identity")],
                "measures": json.loads(file.metadata()["measures"]),
            })  # fmt: skip
    left_out = {
        p.stem: json.loads(p.read_text())["reason"] for p in sorted((output / "left_out").glob("*.json"))
    }
    text = json.dumps({"version": VERSION, "people": people, "left_out": left_out}, indent=1)
    _replace(output / "library.json", text.encode())


def _replace(path: Path, content: bytes) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(content)
    os.replace(part, path)
