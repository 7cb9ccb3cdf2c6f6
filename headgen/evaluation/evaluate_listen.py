"""Protocols for listeners: any system's videos, or motion alone, against the true listeners and baselines."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from headgen import hub
from headgen.errors import InputError, check_choices
from headgen.evaluation.baselines import LISTEN_BASELINES
from headgen.evaluation.bench_quality import made_folder
from headgen.evaluation.bootstrap import Estimate
from headgen.evaluation.conversations import Conversation, read_conversations, with_sound
from headgen.evaluation.evaluate_reenact import NO_MODEL, WORST, Summary
from headgen.evaluation.face_texture import Face
from headgen.evaluation.face_trace import FaceTrace, seam_jump
from headgen.evaluation.listener_figures import ListenerSet, baseline_motions
from headgen.evaluation.listener_systems import Listeners, coefficients, held_out, resting
from headgen.evaluation.metric_table import LISTEN_METRICS
from headgen.evaluation.outputs import LISTEN_NAMINGS, find_outputs, named_folders
from headgen.evaluation.report_page import beside, write_page
from headgen.evaluation.results import Moving, Results, estimated, worst_items
from headgen.evaluation.score_video import THUMBS, FeatureSets, Judges, VideoScore, thumbnail
from headgen.faces.portrait import read_portrait
from headgen.faces.tracker import MediaPipeTracker
from headgen.listen import listen
from headgen.listener.engine import Long, load_pipeline
from headgen.listener.track import FPS
from headgen.listener.wishes import ATTITUDES
from headgen.listener_request import USUAL_STEPS, check_listener
from headgen.media import VideoReader, probe, write_image
from headgen.media.provenance import versions
from headgen.nn.precision import resolve_device
from headgen.progress import ProgressCallback, ProgressEvent

__all__ = ["evaluate_listen"]

AnyLayout = Literal["pairs", "vico", "realtalk", "motion"]
TRUTH = "true listener"
SHOWN_BY = ("fd_expression", "fd_pose", "texture_ssim")


def evaluate_listen(
    data: Path,
    output: Path,
    *,
    layout: AnyLayout = "pairs",
    split: str | None = None,
    clips: int = 0,
    model: str = "listener-small",
    long: Long = "segments",
    steps: int | None = None,
    tell_attitude: bool = False,
    systems: list[str] | None = None,
    naming: str = "auto",
    segment_frames: int = 0,
    baselines: bool = True,
    max_size: int = 512,
    inception: Path | None = None,
    i3d: Path | None = None,
    identity: Path | None = None,
    resamples: int = 2000,
    device: str = "auto",
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> Summary:
    """Scores listeners by headgen or by any other program against the true ones, and writes a report.

    A listener's portrait is the true listener's first frame. The output folder gets `report.html`, which
    needs no other file, `results.json`, `results.csv` and, in `videos`, what headgen made. The same inputs
    give the same bytes.

    Args:
        data: folder of conversations.
        output: folder of the report.
        layout: `pairs` (NAME_speaker.mp4 and NAME_listener.mp4; also what `headgen synth conversations`
            makes), `vico`, `realtalk`, or `motion`: what `headgen synth listening` makes, motion without
            pictures.
        split: conversations of this split only, where the layout knows splits.
        clips: conversations, at most; 0 for all.
        model: headgen's model to evaluate; `none` leaves it out.
        long: how its videos are made, `segments` or `causal`.
        steps: denoising steps; by default those that the model was made for.
        tell_attitude: tell it how the true listener listens, where that is known.
        systems: other programs' outputs, `NAME=FOLDER`. Without a model, the report is about the first one.
        naming: how their videos are named: `auto`, a convention (`headgen`, `vico`, `pairs`, `folders`,
            `speaker`), or a pattern such as `{clip}-out`.
        segment_frames: frames after which systems join segments, to measure jumps there; 0 does not.
        baselines: score standing still, random motion, a mirror and the nearest neighbour too.
        max_size: longest side of portraits in pixels; larger ones are made smaller.
        inception: TorchScript file of InceptionV3, for FID and KID.
        i3d: TorchScript file of I3D, for FVD.
        identity: TorchScript file of a network of identity, for CSIM.
        resamples: of the bootstrap.
        device: `auto`, `cpu`, `cuda`, ...
        seed: of the listeners and of all resampling.
        progress: told of each video.

    Returns:
        Where the report lies, and its results.

    Raises:
        InputError: options or files that cannot be used, fewer than two conversations, or a missing output.
        WeightsError: an unknown model, or weights that are missing or damaged.
    """
    check_choices(layout=(layout, AnyLayout), long=(long, Long))
    if clips < 0 or resamples < 1 or (steps is not None and steps < 1) or segment_frames < 0:
        raise InputError(
            f"clips={clips}, steps={steps}, segment_frames={segment_frames}, resamples={resamples}: "
            "give nothing below 0, and at least 1 step and 1 resample"
        )
    names = {} if model == NO_MODEL else {model: f"headgen listen --model {model}"}
    others = named_folders(systems or [], {**names, **LISTEN_BASELINES, TRUTH: ""})
    names |= {name: f"videos in {folder.name}" for name, folder in others.items()}
    if not names:
        raise InputError("nothing to evaluate: give a --model, or --systems NAME=FOLDER")
    own = USUAL_STEPS if model == NO_MODEL else check_listener(model, hub.resolve(model).folder)
    steps = own if steps is None else steps
    output = made_folder(Path(output))
    facts: dict[str, Any] = {
        "layout": layout, "split": split or "all", "clips": clips, "long": long, "steps": steps,
        "tell_attitude": tell_attitude, "seed": seed, "resamples": resamples, "versions": versions(),
    }  # fmt: skip
    scored = _Scored()
    if layout == "motion":
        if others:
            raise InputError("the layout motion has no videos to compare systems on; use another one")
        _score_motion(scored, Path(data), model, long, steps, clips, device, seed, progress)
    else:
        talks = read_conversations(Path(data), layout, split)[: clips or None]
        if len(talks) < 2:
            raise InputError(
                f"{data}: {len(talks)} conversation; two are needed, as listeners are compared with others"
            )
        made = {
            name: find_outputs(
                folder, [{"clip": t.name, "speaker": t.speaker.stem} for t in talks], naming, LISTEN_NAMINGS
            )
            for name, folder in others.items()
        }
        judges = Judges.load(None, "alex", inception, i3d, identity, device)
        scored.sets = {name: FeatureSets(judges, seed) for name in (*names, TRUTH)}
        done = 0
        with MediaPipeTracker() as tracker, ExitStack() as passing:
            for k, talk in enumerate(talks):
                passing.close()  # what lies on disk of the conversation before
                folder = Path(passing.enter_context(tempfile.TemporaryDirectory()))
                face, portrait = _portrait(talk, folder, tracker, max_size)
                scored.begin(talk, tracker)
                for name in (TRUTH, *names):
                    path = talk.listener
                    if name in made:
                        path = made[name][k]
                    elif name != TRUTH:
                        path = output / "videos" / f"{talk.name}.mp4"
                        path.parent.mkdir(exist_ok=True)
                        attitude = talk.attitude if tell_attitude and talk.attitude in ATTITUDES else None
                        listen(
                            with_sound(talk, folder), portrait, path, model=model, long=long,
                            steps=steps, attitude=attitude, max_size=max_size, device=device, seed=seed,
                        )  # fmt: skip
                    scored.add(name, path, face, judges, segment_frames, tracker)
                    done += 1
                    if progress is not None:
                        progress(ProgressEvent("score", done, len(talks) * (len(names) + 1), "videos"))
                scored.end(names)
    results = _results(scored, names, baselines, f"Listening: {next(iter(names))}", facts, seed, resamples)
    results.write(output)
    return Summary(write_page(results, output / "report.html"), results)


class _Scored:
    """Motion and figures of all systems, clip by clip."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self.speakers: list[NDArray] = []
        self.motions: dict[str, list[NDArray]] = {}
        self.events: list[Any] = []
        self.rows: dict[str, list[dict[str, float | None]]] = {}
        self.sets: dict[str, FeatureSets] = {}
        self.strips: list[bytes] = []
        self.rest: NDArray | None = None

    def begin(self, talk: Conversation, tracker: MediaPipeTracker) -> None:
        """Starts a clip: its speaker is followed."""
        self.items.append(talk.name)
        self.events.append(talk.events)
        trace, thumbs, times = FaceTrace(), [], []
        tracker.reset()
        with VideoReader(talk.speaker) as reader:
            every = max(1, (reader.info.frames or 1) // THUMBS)
            for frame in reader:
                track = tracker.track(frame.image)
                trace.add(None if track is None else track.landmarks.astype(np.float64))
                times.append(float(frame.time))
                if frame.index % every == 0:
                    thumbs.append(thumbnail(frame.image))
        self.speakers.append(at_rate(trace.coefficients, np.array(times)))
        self._thumbs = {"speaker": thumbs[:THUMBS]}

    def add(
        self,
        name: str,
        path: Path,
        face: Face,
        judges: Judges,
        segment_frames: int,
        tracker: MediaPipeTracker,
    ) -> None:
        """Scores a listener's video of the clip."""
        score = VideoScore(face, probe(path).frames or 1, judges, self.sets[name])
        times = []
        tracker.reset()
        with VideoReader(path) as reader:
            for frame in reader:
                track = tracker.track(frame.image)
                score.push(frame.image, None if track is None else track.landmarks.astype(np.float64))
                times.append(float(frame.time))
        if not score.trace.seen.any():
            raise InputError(f"{path}: no face was found in any frame; it cannot be scored")
        figures = score.figures()
        if segment_frames:
            seams = range(segment_frames, len(score.trace), segment_frames)
            figures["seam_jump"] = seam_jump(score.trace.steps, seams)
        self.rows.setdefault(name, []).append(figures)
        self.motions.setdefault(name, []).append(at_rate(score.trace.coefficients, np.array(times)))
        self._thumbs[name] = score.thumbs

    def end(self, names: Mapping[str, str]) -> None:
        """Ends a clip: all motion gets the length of the shortest."""
        rows = [self.speakers, *(self.motions[name] for name in (TRUTH, *names))]
        least = min(len(motions[-1]) for motions in rows)
        for motions in rows:
            motions[-1] = motions[-1][:least]
        self.strips.append(beside(self._thumbs))


def at_rate(coefficients: NDArray, times: NDArray) -> NDArray[np.float64]:
    """Motion (T, K) at `FPS`: row k is the newest frame that begins before (k + 1) / FPS.

    Args:
        coefficients: (N, K) of frames of any rate.
        times: (N,) seconds at which they begin.
    """
    tick = float(np.median(np.diff(times))) if len(times) > 1 else 1 / FPS
    rows = max(1, round((times[-1] + tick) * FPS))
    place = np.searchsorted(times, (np.arange(rows) + 1) / FPS - 1e-6) - 1
    return coefficients[np.clip(place, 0, len(times) - 1)]


def _portrait(
    talk: Conversation, folder: Path, tracker: MediaPipeTracker, max_size: int
) -> tuple[Face, Path]:
    """The first frame of the true listener."""
    with VideoReader(talk.listener) as reader:
        path = write_image(folder / f"{talk.name}.png", next(iter(reader)).image)
    portrait = read_portrait(path, tracker, max_size)
    return Face(portrait.image, portrait.landmarks.astype(np.float64)), path


def _score_motion(
    scored: _Scored,
    data: Path,
    model: str,
    long: Long,
    steps: int,
    clips: int,
    device: str,
    seed: int,
    progress: ProgressCallback | None,
) -> None:
    """Listeners of held-out conversations without pictures."""
    pipeline = load_pipeline(hub.resolve(model).folder).to(resolve_device(device))
    listeners = Listeners(pipeline, long, steps, seed)
    found = held_out(data, clips or 10**9)
    scored.rest = coefficients(resting(1))[0]  # nobody is shown a first frame
    for k, clip in enumerate(found):
        scored.items.append(clip.name)
        scored.speakers.append(clip.speaker)
        scored.events.append(clip.events)
        scored.motions.setdefault(TRUTH, []).append(clip.truth)
        scored.motions.setdefault(model, []).append(listeners.motion(clip.track, clip.name))
        if progress is not None:
            progress(ProgressEvent("listen", k + 1, len(found), "listeners"))


def _results(
    scored: _Scored,
    names: Mapping[str, str],
    baselines: bool,
    title: str,
    facts: dict[str, Any],
    seed: int,
    resamples: int,
) -> Results:
    judged = next(iter(names))
    truths = scored.motions.pop(TRUTH)
    motions = {name: scored.motions[name] for name in names}
    if baselines:
        motions |= baseline_motions(scored.speakers, truths, seed, scored.rest)
    listeners = ListenerSet(scored.speakers, truths, scored.events, seed, resamples)
    values: dict[str, dict[str, list[float | None]]] = {}
    truth = listeners.truth()
    for name in motions:
        rows = scored.rows.get(name, [])
        shown = {key for row in rows for key in row if key in LISTEN_METRICS}
        values[name] = {key: [row.get(key) for row in rows] for key in LISTEN_METRICS if key in shown}
    estimates, shortfalls = estimated(values, LISTEN_METRICS, judged, seed, resamples)
    for name, motion in motions.items():
        estimates[name] |= listeners.estimates(motion)
        values[name] |= listeners.each(motion)
        if name != judged:
            shortfalls[name] |= listeners.shortfalls(motions[judged], motion)
    for name in names:
        if scored.sets:
            for key, value in scored.sets[name].against(scored.sets[TRUTH]).items():
                estimates[name][key] = Estimate(value, np.nan, np.nan)
    for key in LISTEN_METRICS:  # in this order: the same inputs give the same bytes
        known = np.array([row.get(key) for row in scored.rows.get(TRUTH, [])], np.float64)
        if np.isfinite(known).any():
            truth[key] = float(np.nanmean(known))
    measured = {key for found in estimates.values() for key in found}
    metrics = {name: metric for name, metric in LISTEN_METRICS.items() if name in measured}
    pictures = _worst(scored, values[judged], metrics) if scored.strips else []
    about = {**names, **{name: LISTEN_BASELINES[name] for name in motions if name in LISTEN_BASELINES}}
    kept = tuple(name for name in motions if name in LISTEN_BASELINES)
    return Results(
        title, facts, metrics, about, kept, scored.items, values, estimates, shortfalls, truth, pictures
    )


def _worst(
    scored: _Scored, values: Mapping[str, Sequence[float | None]], metrics: Mapping[str, Any]
) -> list[Moving]:
    chosen: dict[int, list[str]] = {}
    for name in SHOWN_BY:
        for rank, k in enumerate(worst_items(values, metrics, name, WORST), 1):
            chosen.setdefault(k, []).append(f"{name} {values[name][k]:.3g} (worst {rank})")
    return [Moving(f"{scored.items[k]}: {'; '.join(why)}", scored.strips[k]) for k, why in chosen.items()]
