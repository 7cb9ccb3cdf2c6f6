"""Protocols for reenactment: any system's videos against driver, portrait and, where there is one, truth.

Cross-reenactment gives every portrait every driver's motion; nobody knows the true pixels. Self-reenactment
lets the rest of a video move its own first frame: the video itself is the truth.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from headgen.errors import InputError, check_choices
from headgen.evaluation.baselines import REENACT_BASELINES, WARP, LandmarkWarp
from headgen.evaluation.bench_quality import PICTURES, VIDEOS, check_names, files_of, made_folder
from headgen.evaluation.bootstrap import Estimate
from headgen.evaluation.face_texture import Face
from headgen.evaluation.face_trace import (
    FaceTrace,
    expression_error,
    followed_motion,
    gaze_gain,
    pose_error,
    restlessness,
)
from headgen.evaluation.lip_sync import lip_sync, loudness
from headgen.evaluation.metric_table import REENACT_METRICS
from headgen.evaluation.outputs import REENACT_NAMINGS, find_outputs, named_folders
from headgen.evaluation.perceptual import Backbone
from headgen.evaluation.report_page import beside, write_page
from headgen.evaluation.results import Moving, Results, estimated, worst_items
from headgen.evaluation.score_video import FeatureSets, Judges, VideoScore, in_step, thumbnail
from headgen.faces.motion import MOTION_NAMES
from headgen.faces.portrait import read_portrait
from headgen.faces.tracker import MediaPipeTracker
from headgen.media import Frame, VideoInfo, VideoReader, VideoWriter, probe, write_image
from headgen.media.provenance import versions
from headgen.progress import ProgressCallback, ProgressEvent
from headgen.reenact import reenact

__all__ = ["Summary", "evaluate_reenact"]

Protocol = Literal["cross", "self"]
NO_MODEL = "none"
WORST = 3
"""Worst items shown by each of the metrics in `SHOWN_BY`, and faults told in a summary."""
SHOWN_BY = ("motion_error_expression", "texture_ssim", "akd", "warping_error")
_MOUTH = MOTION_NAMES.index("mouth_open")


@dataclass(frozen=True)
class Summary:
    """Where a report lies, and what it says in a few lines."""

    page: Path
    results: Results

    def __str__(self) -> str:
        results = self.results
        fair = [c for c in results.comparisons() if c.other in results.baselines and not c.cheated]
        lines = [f"{self.page}: {len(results.items)} items, {', '.join(results.systems)}"]
        for outcome in ("better", "alike", "worse"):
            found: dict[str, list[str]] = {}
            for comparison in fair:
                if comparison.outcome == outcome:
                    found.setdefault(comparison.other, []).append(comparison.metric)
            lines += [f"{outcome} than {other}: {', '.join(names)}" for other, names in found.items()]
        lines = [line.replace("alike than", "not told from") for line in lines]
        return "\n".join([*lines, *(f"wrong: {fault}" for fault in results.faults()[:WORST])])


@dataclass
class _Driver:
    """A driving video with its face, followed once."""

    path: Path
    name: str
    info: VideoInfo
    landmarks: NDArray[np.float32]
    trace: FaceTrace
    sound: NDArray | None

    def at(self, k: int) -> NDArray[np.float64] | None:
        """Landmarks (478, 3) of a frame."""
        row = self.landmarks[k]
        return row.astype(np.float64) if np.isfinite(row[0, 0]) else None


def evaluate_reenact(
    drivings: Path,
    output: Path,
    *,
    portraits: Path | None = None,
    protocol: Protocol = "cross",
    model: str = "fsrt-small",
    systems: list[str] | None = None,
    naming: str = "auto",
    baselines: bool = True,
    frames: int = 250,
    max_size: int = 512,
    lpips: Path | None = None,
    lpips_backbone: Backbone = "alex",
    inception: Path | None = None,
    i3d: Path | None = None,
    identity: Path | None = None,
    resamples: int = 2000,
    device: str = "auto",
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> Summary:
    """Scores reenactments by headgen or by any other program, beside baselines, and writes a report.

    The output folder gets `report.html`, which needs no other file, `results.json`, `results.csv` and, in
    `videos`, what headgen made. The same inputs give the same bytes.

    Args:
        drivings: driving video, or a folder of them.
        output: folder of the report.
        portraits: photograph of a person, or a folder of them; for `cross` only.
        protocol: `cross` moves every portrait by every driver; `self` moves a driver's own first frame, and
            the driver is the truth.
        model: headgen's model to evaluate, see `headgen weights list`; `none` leaves it out.
        systems: other programs' outputs, `NAME=FOLDER`. Without a model, the report is about the first one.
        naming: how their videos are named: `auto`, a convention (`headgen`, `liveportrait`, `fomm`,
            `sadtalker`, `folders`, `driving`, `self`), or a pattern such as `{source}__{driving}`.
        baselines: score the portrait standing still, the driver itself and a landmark warp too.
        frames: frames of each driving video that are used, from its beginning; 0 for all.
        max_size: longest side of portraits in pixels; larger ones are made smaller.
        lpips: weights of AlexNet or VGG16, for LPIPS.
        lpips_backbone: which of them, `alex` or `vgg`.
        inception: TorchScript file of InceptionV3, for FID and KID.
        i3d: TorchScript file of I3D, for FVD.
        identity: TorchScript file of a network of identity, for CSIM and AED.
        resamples: of the bootstrap.
        device: `auto`, `cpu`, `cuda`, ...
        seed: of all resampling.
        progress: told of each video.

    Returns:
        Where the report lies, and its results.

    Raises:
        InputError: options or files that cannot be used, a missing output, or whatever `headgen reenact`
            refuses.
        WeightsError: an unknown model, or weights that are missing or damaged.
    """
    check_choices(protocol=(protocol, Protocol), lpips_backbone=(lpips_backbone, Backbone))
    if frames < 0 or resamples < 1:
        raise InputError(
            f"frames={frames}, resamples={resamples}: give 0 or more frames, 1 or more resamples"
        )
    videos = files_of(Path(drivings), VIDEOS, "driving video")
    pictures: list[Path] = []
    if protocol == "cross":
        if portraits is None:
            raise InputError("no portraits were given; name them with --portraits, or use --protocol self")
        pictures = files_of(Path(portraits), PICTURES, "picture")
    ours = {} if model == NO_MODEL else {model: f"headgen reenact --model {model}"}
    others = named_folders(systems or [], {**ours, **REENACT_BASELINES})
    if not ours and not others:
        raise InputError("nothing to evaluate: give a --model, or --systems NAME=FOLDER")
    check_names([f"{p.stem}_{v.stem}.mp4" for p in pictures for v in videos] or [v.stem for v in videos])
    output = made_folder(Path(output))
    judges = Judges.load(lpips, lpips_backbone, inception, i3d, identity, device)
    sources: list[Path | None] = [*pictures] or [None]
    jobs = [(video, picture) for video in videos for picture in sources]
    given = {
        name: find_outputs(
            folder,
            [{"driving": v.stem, "source": v.stem if p is None else p.stem} for v, p in jobs],
            naming,
            REENACT_NAMINGS,
        )
        for name, folder in others.items()
    }
    names = {**ours, **{name: f"videos in {folder.name}" for name, folder in others.items()}}
    if baselines:
        names |= REENACT_BASELINES
    run = _Run(names, judges, seed, protocol == "self")
    done = 0
    with MediaPipeTracker() as tracker, ExitStack() as passing:
        driver: _Driver | None = None
        for k, (video, picture) in enumerate(jobs):
            if driver is None or driver.name != video.stem:
                passing.close()  # what lies on disk of the driver before
                folder = Path(passing.enter_context(tempfile.TemporaryDirectory()))
                driver = _followed(video, frames, tracker, folder)
            source = _first_frame(driver, folder) if picture is None else picture
            portrait = read_portrait(source, tracker, max_size)
            face = Face(portrait.image, portrait.landmarks.astype(np.float64))
            label = f"{video.stem}, itself" if picture is None else f"{picture.stem} moved by {video.stem}"
            run.begin(label, face, driver)
            for name in names:
                if name == model and ours:
                    made = output / "videos" / f"{source.stem}_{driver.name}.mp4"
                    made.parent.mkdir(exist_ok=True)
                    reenact([source], driver.path, made, model=model, max_size=max_size, device=device)
                    run.score_file(name, made, tracker)
                elif name in given:
                    run.score_file(name, given[name][k], tracker)
                elif name == WARP:
                    run.score_file(name, _warped(face, driver, folder), tracker)
                else:
                    run.score_baseline(name)
                done += 1
                if progress is not None:
                    progress(ProgressEvent("score", done, len(jobs) * len(names), "videos"))
            run.end()
        title = f"Reenactment, {protocol}: {next(iter(names))}"
        facts = {
            "protocol": protocol, "drivers": [v.name for v in videos],
            "portraits": [p.name for p in pictures],
            "frames": frames, "max_size": max_size, "naming": naming, "lpips_backbone": lpips_backbone,
            "seed": seed, "resamples": resamples, "versions": versions(),
        }  # fmt: skip
        results = run.results(title, facts, resamples)
    results.write(output)
    return Summary(write_page(results, output / "report.html"), results)


class _Run:
    """Scores of all systems, item by item."""

    def __init__(
        self,
        names: Mapping[str, str],
        judges: Judges,
        seed: int,
        truth: bool,
    ) -> None:
        self.names, self.judges, self.seed, self.truth = names, judges, seed, truth
        self.items: list[str] = []
        self.rows: dict[str, list[dict[str, float | None]]] = {name: [] for name in names}
        self.sets = {name: FeatureSets(judges, seed) for name in names} if truth else {}
        self.true_set = FeatureSets(judges, seed)
        self.strips: list[bytes] = []
        self._thumbs: dict[str, list[NDArray[np.uint8]]] = {}

    def begin(self, label: str, face: Face, driver: _Driver) -> None:
        """Starts an item."""
        self.items.append(label)
        self._face, self._driver = face, driver
        self._thumbs = {}

    def score_file(self, name: str, path: Path, tracker: MediaPipeTracker) -> None:
        """Scores a video of the item."""
        info = probe(path)
        driver = self._driver
        tracker.reset()
        same = abs((info.frames or 0) - len(driver.landmarks)) <= 1
        with VideoReader(driver.path) as drivers, VideoReader(path) as outputs:
            pairs = in_step(iter(drivers), iter(outputs), same, 1 / info.fps, path)

            def shown() -> Iterator[tuple[Frame, NDArray[np.uint8], NDArray | None]]:
                last: tuple[int, NDArray | None] = (-1, None)
                for frame, made in pairs:
                    if made.index != last[0]:
                        track = tracker.track(made.image)
                        last = made.index, None if track is None else track.landmarks.astype(np.float64)
                    yield frame, made.image, last[1]

            self._score(name, shown())

    def score_baseline(self, name: str) -> None:
        """Scores the portrait standing still, or the driver itself, as the item's output."""
        face, driver = self._face, self._driver
        with VideoReader(driver.path) as drivers:
            self._score(
                name,
                (
                    (frame, face.image, face.landmarks)
                    if name == "static"
                    else (frame, frame.image, driver.at(frame.index))
                    for frame in drivers
                ),
            )

    def _score(self, name: str, shown: Iterator[tuple[Frame, NDArray[np.uint8], NDArray | None]]) -> None:
        driver = self._driver
        score = VideoScore(self._face, len(driver.landmarks), self.judges, self.sets.get(name))
        true_score = None
        if self.truth and name == next(iter(self.names)):  # the truth's own features, once for each item
            true_score = VideoScore(self._face, len(driver.landmarks), self.judges, self.true_set)
        thumbs: list[NDArray[np.uint8]] = []
        every = max(1, len(driver.landmarks) // 24)
        with closing(shown):  # type: ignore[type-var]  # a generator
            for frame, image, landmarks in shown:
                own = driver.at(frame.index)
                truth = frame.image if self.truth else None
                score.push(image, landmarks, truth, own if self.truth else None)
                if "driver" not in self._thumbs and frame.index % every == 0:
                    thumbs.append(thumbnail(frame.image))
                if true_score is not None:
                    true_score.push(frame.image, None)
        if true_score is not None:
            true_score.figures()
        self._thumbs.setdefault("driver", thumbs)
        self._thumbs[name] = score.thumbs
        figures = {**score.figures(), **self._against_driver(score.trace)}
        self.rows[name].append(figures)

    def _against_driver(self, trace: FaceTrace) -> dict[str, float | None]:
        driver = self._driver
        figures = {
            **followed_motion(driver.trace, trace),
            "gain_gaze": gaze_gain(driver.trace, trace),
            "pose_error": pose_error(driver.trace, trace, relative=not self.truth),
            "expression_error": expression_error(driver.trace, trace, relative=not self.truth),
            "jitter": restlessness(driver.trace, trace),
        }
        if driver.sound is not None:
            fps = float(driver.info.fps)
            own = lip_sync(driver.trace.coefficients[:, _MOUTH], driver.sound, fps)
            found = lip_sync(trace.coefficients[:, _MOUTH], driver.sound, fps)
            if own is not None and found is not None and own.correlation > 0.2:
                figures["lip_correlation"] = found.correlation
                figures["lip_offset"] = found.offset - own.offset
        return figures

    def end(self) -> None:
        """Ends an item: its pictures become a strip."""
        source = thumbnail(self._face.image)
        columns = {"portrait": [source], "driver": self._thumbs.pop("driver", []), **self._thumbs}
        columns.pop("static", None)
        columns.pop("driver copy", None)
        self.strips.append(beside(columns))

    def results(self, title: str, facts: dict[str, Any], resamples: int) -> Results:
        """All figures."""
        found = {k for rows in self.rows.values() for row in rows for k in row if row[k] is not None}
        wanted = [name for name in REENACT_METRICS if name in found]
        values = {
            system: {name: [row.get(name) for row in rows] for name in wanted}
            for system, rows in self.rows.items()
        }
        judged = next(iter(self.names))
        estimates, shortfalls = estimated(values, REENACT_METRICS, judged, self.seed, resamples)
        for system, sets in self.sets.items():
            for name, value in sets.against(self.true_set).items():
                estimates[system][name] = Estimate(value, np.nan, np.nan)
                wanted += [name] if name not in wanted else []
        metrics = {name: metric for name, metric in REENACT_METRICS.items() if name in wanted}
        return Results(
            title, facts, metrics, dict(self.names),
            tuple(name for name in self.names if name in REENACT_BASELINES), self.items, values, estimates,
            shortfalls, pictures=self._worst(values[judged], metrics),
        )  # fmt: skip

    def _worst(self, values: Mapping[str, Sequence[float | None]], metrics: Any) -> list[Moving]:
        chosen: dict[int, list[str]] = {}
        for name in SHOWN_BY:
            for rank, k in enumerate(worst_items(values, metrics, name, WORST), 1):
                chosen.setdefault(k, []).append(f"{name} {values[name][k]:.3g} (worst {rank})")
        return [Moving(f"{self.items[k]}: {'; '.join(why)}", self.strips[k]) for k, why in chosen.items()]


def _followed(video: Path, frames: int, tracker: MediaPipeTracker, folder: Path) -> _Driver:
    """Follows the face of a driving video once; landmarks lie on disk, so that memory stays as it is."""
    path = _cut(video, frames, folder)
    info = probe(path)
    trace = FaceTrace()
    tracker.reset()
    place = folder / f"{video.stem}.landmarks"
    with VideoReader(path) as reader, place.open("wb") as file:
        for frame in reader:
            track = tracker.track(frame.image)
            trace.add(None if track is None else track.landmarks.astype(np.float64))
            row = np.full((478, 3), np.nan, np.float32) if track is None else track.landmarks
            row.astype(np.float32).tofile(file)
    if not trace.seen.any():
        raise InputError(
            f"{video}: no face was found in any frame; use a video that shows one from the front"
        )
    landmarks = np.memmap(place, np.float32, "r").reshape(-1, 478, 3)
    sound = loudness(path, len(trace), float(info.fps)) if info.has_audio else None
    return _Driver(path, video.stem, info, landmarks, trace, sound)


def _cut(video: Path, frames: int, folder: Path) -> Path:
    """The first frames of a video, without loss; the video itself if it has no more."""
    info = probe(video)
    if not frames or (info.frames is not None and info.frames <= frames):
        return video
    path = folder / f"{video.stem}.mp4"
    with (
        VideoReader(video) as reader,
        VideoWriter(path, info.fps, time_base=info.time_base, audio_from=video, crf=1) as writer,
    ):
        for frame in reader:
            if frame.index == frames:
                break
            writer.write(frame.image, frame.time)
    return path


def _warped(face: Face, driver: _Driver, folder: Path) -> Path:
    """A video of the landmark warp, encoded as headgen's are: a codec takes detail from both alike."""
    warp, path = LandmarkWarp(face.image, face.landmarks), folder / f"{driver.name} warped.mp4"
    with (
        VideoReader(driver.path) as frames,
        VideoWriter(path, driver.info.fps, time_base=driver.info.time_base) as writer,
    ):
        for frame in frames:
            writer.write(warp.frame(driver.at(frame.index)), frame.time)
    return path


def _first_frame(driver: _Driver, folder: Path) -> Path:
    with VideoReader(driver.path) as reader:
        return write_image(folder / f"{driver.name}.png", next(iter(reader)).image)
