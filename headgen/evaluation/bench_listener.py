"""How well a listener listens: on held-out synthetic conversations, whose listeners and events are known.

All but the speed is a function of the data, the weights and the seed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d

from headgen import hub
from headgen.errors import InputError
from headgen.evaluation.bootstrap import Estimate, bootstrap_difference, bootstrap_interval, ratio
from headgen.evaluation.listener_speed import speed
from headgen.evaluation.listener_systems import MADE, HeldOut, Listeners, held_out, make_systems
from headgen.evaluation.listener_tables import tables
from headgen.evaluation.motion_events import EventClip, event_report, event_scores
from headgen.evaluation.motion_metrics import (
    FIGURES,
    ListenerClip,
    listener_differences,
    listener_report,
    motion_distance,
    motion_scale,
)
from headgen.evaluation.results import plain
from headgen.evaluation.second_takes import Take, second_takes, take_motions
from headgen.faces.events import motion_events
from headgen.faces.motion import MOTION_NAMES
from headgen.listen import plan
from headgen.listener.engine import Long, load_pipeline
from headgen.listener.gen import Guidance
from headgen.listener.latents import FRAMES_PER_LATENT
from headgen.listener.speech import AUDIO_NAMES
from headgen.listener.track import FPS, SpeakerTrack, joined
from headgen.media.output import check_output
from headgen.nn.precision import resolve_device
from headgen.progress import ProgressCallback, ProgressEvent

__all__ = ["BEHAVIOURS", "Behaviour", "Report", "bench", "causality", "events", "guidance", "reacts"]

KINDS = {"nods": ("nod", "nods"), "blinks": ("blink",), "smiles": ("smile", "laugh")}
"""What counts as what, among the detected events as among the true ones."""
TOLERANCE = 0.5
"""Seconds by which an event may begin earlier or later than the true one."""
RIVALS = ("ours", "static", "other listener", "mirror")
"""Systems that compete for the best figures."""
DEAF = {"ours": "shuffled speaker", "second take": "deaf take"}
"""Listeners, and the same ones given another speaker."""
SCALES = (0.0, 1.0, 2.0)
"""Guidance scales that are tried."""
GUIDED = 20
"""Conversations, at most, for which they are tried."""
LAGS = range(0, 2 * FPS + 1)
"""Frames by which a listener may answer."""
SMOOTHING = 0.2
"""Seconds, standard deviation: of smiles, so that consonants are none."""
CHANGED_FROM = 0.6
"""Share of a conversation after which the speaker is exchanged to test causality."""


@dataclass(frozen=True)
class Report:
    """What `bench` found; see there. As text, tables."""

    facts: dict[str, Any]

    def __str__(self) -> str:
        return tables(self.facts)


def bench(
    data: Path,
    *,
    model: str = "listener-small",
    clips: int = 40,
    steps: int = 8,
    long: Long = "segments",
    portrait: Path | None = None,
    assets: Path | None = None,
    output: Path | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> Report:
    """Measures how a listener reacts, when it nods, what guidance does, causality and speed.

    Listeners are made for held-out conversations as `headgen listen` makes them, up to the drawing, and
    compared with the true ones, a face at rest, another conversation's true listener, the speaker's own
    motion, and the model given another speaker. Beside them stand the true listeners of another time.
    Intervals are of 95 %, over conversations.

    Args:
        data: folder made by `headgen synth listening`; one in ten of its conversations is held out.
        model: name of the model, or a folder with a listener.
        clips: held-out conversations, at most; 2 or more.
        steps: denoising steps.
        long: how long videos are made, `segments` or `causal`.
        portrait: photograph to measure drawing with; without it, drawing is not measured.
        assets: folder with ``ict_facekit``, if the data set is of ict heads; where these are found nowhere,
            true listeners of another time have events and no motion.
        output: file to write all figures to (.json).
        device: `auto`, `cpu`, `cuda`, ...
        seed: of the listeners and of all resampling.
        progress: told of each listener.

    Returns:
        Figures of `reacts`, `events`, `guidance`, `causality` and `speed`, under these names.

    Raises:
        InputError: an option out of range, fewer than two held-out conversations, or a file that cannot be
            used.
        WeightsError: an unknown model, or weights that are missing or damaged.
    """
    if clips < 2 or steps < 1:
        raise InputError(f"clips={clips}, steps={steps} are too few; give at least 2 clips and 1 step")
    if long not in get_args(Long):
        raise InputError(f"long={long!r} is unknown; choose from {', '.join(get_args(Long))}")
    data = Path(data)
    if output is not None:
        check_output(Path(output), suffixes=(".json",))
    pipeline = load_pipeline(hub.resolve(model).folder).to(resolve_device(device))
    listeners = Listeners(pipeline, long, steps, seed)
    conversations = held_out(data, clips)
    guided = min(len(conversations), GUIDED)
    total = MADE * len(conversations) + 2 * (len(SCALES) - 1) * guided
    done = 0

    def made() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(ProgressEvent("listen", done, total, "listeners"))

    systems = make_systems(conversations, listeners, made)
    takes = second_takes(conversations, seed)
    again = take_motions(takes, conversations, assets)
    facts: dict[str, Any] = {
        "model": model,
        "data": str(data),
        "conversations": len(conversations),
        "seconds": conversations[0].seconds,
        "long": long,
        "steps": steps,
        "seed": seed,
        "reacts": reacts(conversations, {**systems, **again}, seed),
        "events": events(conversations, systems, takes, seed),
        "guidance": guidance(conversations[:guided], listeners, systems["ours"][:guided], made),
        "causality": causality(conversations[0], conversations[1], listeners),
        "speed": speed(conversations[0], listeners, portrait, progress),
    }
    facts = plain(facts)
    if output is not None:
        Path(output).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return Report(facts)


def reacts(
    clips: Sequence[HeldOut], systems: Mapping[str, Sequence[np.ndarray]], seed: int
) -> dict[str, Any]:
    """Motion against the true listeners'.

    Args:
        clips: the conversations.
        systems: motion (T, K) of each clip, by system; ``ours`` among them.
        seed: of clusters and resampling.

    Returns:
        ``figures``: by system those of `listener_report`, columns divided by how much true listeners move;
        ``differences``: ours less every other system, of the same conversations; ``best``: by figure, which
        of `RIVALS` comes nearest to what is wanted, and whether ours is better than every other one beyond
        chance (``sure``, where lower or higher is better); ``heard``: for the model and for the second take,
        the figures less those with another speaker, where both are among the systems.
    """
    scale = motion_scale([clip.truth for clip in clips])
    sets = {
        name: [ListenerClip(c.speaker, c.truth, m) for c, m in zip(clips, motions, strict=True)]
        for name, motions in systems.items()
    }
    figures = {name: listener_report(pairs, scale=scale, seed=seed) for name, pairs in sets.items()}

    def less(one: str, other: str) -> dict[str, Estimate]:
        return listener_differences(sets[one], sets[other], scale=scale, seed=seed)

    differences = {name: less("ours", name) for name in sets if name != "ours"}
    best = {}
    for name in figures["ours"]:
        figure, _, part = name.rpartition("_")
        if figure.endswith("_truth"):
            continue
        better = FIGURES[figure].better
        sign = -1 if better == "higher" else 1
        aim = figures["ours"][f"{figure}_truth_{part}"].value if better == "truth" else 0.0
        values = {rival: figures[rival][name].value for rival in RIVALS if rival in figures}
        apart = {
            rival: abs(value - aim) if better == "truth" else sign * value
            for rival, value in values.items()
            if np.isfinite(value)
        }
        rivals = [differences[rival][name] for rival in apart if rival != "ours"]
        best[name] = {
            "system": min(apart, key=lambda rival: apart[rival]),
            "sure": better != "truth" and all((d.high if sign > 0 else -d.low) < 0 for d in rivals),
        }
    heard = {
        name: differences[deaf] if name == "ours" else less(name, deaf)
        for name, deaf in DEAF.items()
        if name in sets and deaf in sets
    }
    return {"figures": figures, "differences": differences, "best": best, "heard": heard}


def events(
    clips: Sequence[HeldOut],
    systems: Mapping[str, Sequence[np.ndarray]],
    takes: Mapping[str, Sequence[Take]],
    seed: int,
) -> dict[str, Any]:
    """Nods, blinks and smiles against the conversations' lists of events.

    Args:
        clips: the conversations.
        systems: motion (T, K) of each clip, by system; ``ours`` among them.
        takes: true listeners another time, see `headgen.evaluation.second_takes`; of each clip, by name.
        seed: of resampling and of the baseline.

    Returns:
        ``tolerance`` in seconds, and for each of `KINDS` and each system `event_report` and
        ``per_minute``. To the systems come ``truth``: the detector on the true motion, what any motion could
        reach; and the lists of `takes`: ``second take`` is what any listener could reach, ``untold
        take`` one who does not know the attitude. ``listed_per_minute``: of the true events.
        ``ours_above_shuffled``: F1 of ours less that with another conversation's speaker.
    """
    lists: dict[str, list[Sequence[Any]]] = {
        name: [motion_events(motion) for motion in motions] for name, motions in systems.items()
    }
    lists["truth"] = [motion_events(clip.truth) for clip in clips]
    lists.update({name: [take.acts for take in of_one] for name, of_one in takes.items()})
    minutes = sum(clip.seconds for clip in clips) / 60
    out: dict[str, Any] = {"tolerance": TOLERANCE}
    for name, kinds in KINDS.items():
        truths = [[e for e in clip.events if e.kind in kinds] for clip in clips]
        entry: dict[str, Any] = {"listed_per_minute": sum(map(len, truths)) / minutes}
        counts = {}
        for system, found in lists.items():
            mine = [[e for e in events if e.kind in kinds] for events in found]
            pairs = [EventClip(f, t, clip.seconds) for f, t, clip in zip(mine, truths, clips, strict=True)]
            counts[system] = np.array([event_scores(p.found, p.truth, TOLERANCE).counts for p in pairs])
            entry[system] = {
                **event_report(pairs, TOLERANCE, seed),
                "per_minute": sum(map(len, mine)) / minutes,
            }
        if "shuffled speaker" in counts:
            entry["ours_above_shuffled"] = bootstrap_difference(
                counts["ours"],
                counts["shuffled speaker"],
                lambda c: ratio(2 * c[..., 0], c[..., 1] + c[..., 2]),
                np.random.default_rng(seed),
            )
        out[name] = entry
    return out


@dataclass(frozen=True)
class Behaviour:
    """Something that answers a condition.

    Attributes:
        about: what correlates.
        condition: whose scale should strengthen it, ``audio`` or ``motion``.
        cue: of a conversation, (T,) what is answered.
        answer: of a listener's motion, (T,).
    """

    about: str
    condition: str
    cue: Callable[[HeldOut], np.ndarray]
    answer: Callable[[np.ndarray], np.ndarray]


def _silence(clip: HeldOut) -> np.ndarray:
    return 1 - clip.track.audio[:, AUDIO_NAMES.index("voice_activity")]


def _during(kind: str) -> Callable[[np.ndarray], np.ndarray]:
    """(T,) 1 while a detected event of the kind lasts."""

    def answer(motion: np.ndarray) -> np.ndarray:
        out = np.zeros(len(motion))
        for event in motion_events(motion):
            if event.kind in KINDS[kind]:
                out[int(event.start * FPS) : int(event.end * FPS) + 1] = 1
        return out

    return answer


def _smile(motion: np.ndarray) -> np.ndarray:
    """(T,) height of the mouth corners and width of the mouth, smoothed."""
    columns = [MOTION_NAMES.index(name) for name in ("smile_left", "smile_right", "mouth_width")]
    return gaussian_filter1d(motion[:, columns].sum(1) / 2, SMOOTHING * FPS)


BEHAVIOURS = {
    "nods after pauses": Behaviour(
        "detected nods with the speaker's silence", "audio", _silence, _during("nods")
    ),
    "blinks after pauses": Behaviour(
        "detected blinks with the speaker's silence", "audio", _silence, _during("blinks")
    ),
    "smiles back": Behaviour(
        "the smile with the speaker's", "motion", lambda clip: _smile(clip.speaker), _smile
    ),
}
"""What guidance should strengthen, by name."""


def guidance(
    clips: Sequence[HeldOut], listeners: Listeners, ours: Sequence[np.ndarray], made: Callable[[], None]
) -> dict[str, Any]:
    """What the guidance scales do to behaviour: audio and motion at `SCALES`, the other one at 1.

    A behaviour is a correlation within the conversation, averaged over conversations; a listener who does
    nothing has 0. Our design: the lag of the answer is that at which the true listeners of these
    conversations correlate best, up to 2 s, and the same for all scales, so that none is chosen on what is
    measured.

    Args:
        clips: the conversations.
        listeners: the model's.
        ours: their motion (T, K) with both scales 1.
        made: called after each listener.

    Returns:
        By condition: ``behaviours`` by name (those of `BEHAVIOURS` that belong to it: expected to rise), each
        with ``lag`` in seconds, ``truth``, the value at every scale, ``change`` from the lowest scale to the
        highest with its interval over conversations, and ``as_expected``; and at every scale ``fd_pose`` and
        ``fd_expression``, expected to be lowest near 1.
    """
    scale = motion_scale([clip.truth for clip in clips])
    out: dict[str, Any] = {}
    for condition in ("audio", "motion"):
        motions: dict[float, list[np.ndarray]] = {}
        for value in SCALES:
            if value == 1:
                motions[value] = list(ours)
                continue
            told = Guidance(**{condition: value})
            motions[value] = []
            for clip in clips:
                motions[value].append(listeners.motion(clip.track, clip.name, told))
                made()
        behaviours = {
            name: _strengthened(behaviour, clips, motions, listeners.seed)
            for name, behaviour in BEHAVIOURS.items()
            if behaviour.condition == condition
        }
        entry: dict[str, Any] = {"behaviours": behaviours}
        for name, columns in (("fd_pose", slice(0, 3)), ("fd_expression", slice(3, None))):
            entry[name] = {
                f"{value:g}": _distance(clips, made_so, scale, columns, listeners.seed)
                for value, made_so in motions.items()
            }
        out[condition] = entry
    return {"conversations": len(clips), **out}


def _distance(
    clips: Sequence[HeldOut], motions: Sequence[np.ndarray], scale: np.ndarray, columns: slice, seed: int
) -> Estimate:
    """FD as in `listener_report`, of some columns."""
    each = [
        motion_distance((clip.truth / scale)[:, columns], (made / scale)[:, columns])
        for clip, made in zip(clips, motions, strict=True)
    ]
    return bootstrap_interval(np.array(each)[:, None], _only, np.random.default_rng(seed))


def _only(statistics: np.ndarray) -> np.ndarray:
    """A mean is its own statistic."""
    return statistics[..., 0]


def _strengthened(
    behaviour: Behaviour, clips: Sequence[HeldOut], motions: Mapping[float, Sequence[np.ndarray]], seed: int
) -> dict[str, Any]:
    cues = [behaviour.cue(clip) for clip in clips]
    truths = [behaviour.answer(clip.truth) for clip in clips]
    by_lag = [np.mean([_correlation(c, t, lag) for c, t in zip(cues, truths, strict=True)]) for lag in LAGS]
    lag = LAGS[int(np.argmax(by_lag))]
    each = {
        value: np.array(
            [[_correlation(c, behaviour.answer(m), lag)] for c, m in zip(cues, made, strict=True)]
        )
        for value, made in motions.items()
    }
    generator = np.random.default_rng(seed)
    change = bootstrap_difference(each[max(each)], each[min(each)], _only, generator)
    return {
        "about": behaviour.about,
        "lag": lag / FPS,
        "truth": float(max(by_lag)),
        "scales": {f"{value:g}": bootstrap_interval(rows, _only, generator) for value, rows in each.items()},
        "change": change,
        "as_expected": change.value > 0,
    }


def _correlation(cue: np.ndarray, answer: np.ndarray, lag: int) -> float:
    """Pearson's, of the cue with the answer so many frames later; 0 if either keeps still."""
    a, b = cue[: len(cue) - lag], answer[lag:]
    a, b = a - a.mean(), b - b.mean()
    spread = math.sqrt(float((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / spread if spread > 1e-12 else 0.0


def causality(clip: HeldOut, other: HeldOut, listeners: Listeners) -> dict[str, Any]:
    """Changes the speaker from a moment on, and looks from when on the listener differs by a single bit.

    Args:
        clip: the conversation.
        other: whose speaker takes over.
        listeners: the model's.

    Returns:
        ``frames`` and ``changed_from``, a frame. For the ``network`` (a single window) and for videos made as
        ``segments`` and ``causal``: ``required``, frames that the network's causality promises to stay;
        ``settled``, those that a scheduler may hand out by then; and for every change (``gone``: nothing is
        heard or seen any more; ``another speaker``) how many leading frames are ``identical``, and whether
        that ``holds``.
    """
    frames = len(clip.track)
    config = listeners.pipeline.transformer.config
    grain = FRAMES_PER_LATENT * config.block
    window = min(frames, config.window * FRAMES_PER_LATENT)

    def changed(rows: int) -> tuple[int, dict[str, SpeakerTrack]]:
        # in the middle of a latent frame, which is the hardest place
        since = int(CHANGED_FROM * rows) // grain * grain + grain // 2
        gone = joined([clip.track[:since], clip.track[since:].unheard().unseen()])
        return since, {"gone": gone, "another speaker": joined([clip.track[:since], other.track[since:]])}

    def entry(make: Callable[[SpeakerTrack], np.ndarray], rows: int, settled: int) -> dict[str, Any]:
        since, tracks = changed(rows)
        required = max(since // grain * grain, settled)
        before = make(clip.track[:rows])
        counts = {name: _leading(before, make(track[:rows])) for name, track in tracks.items()}
        return {
            "frames": rows,
            "changed_from": since,
            "required": required,
            "settled": settled,
            "identical": counts,
            "holds": all(count >= required for count in counts.values()),
        }

    def through_network(track: SpeakerTrack) -> np.ndarray:
        made = listeners.pipeline(
            [track],
            listeners.tokens[None],
            window // FRAMES_PER_LATENT,
            num_inference_steps=listeners.steps,
            generator=torch.Generator().manual_seed(listeners.seed),
            output_type="latent",
        ).latents[0]
        return made.numpy().repeat(FRAMES_PER_LATENT, 0)

    out = {"network": entry(through_network, window, 0)}
    for long in get_args(Long):
        so = Listeners(listeners.pipeline, long, listeners.steps, listeners.seed)
        settled = plan(frames, long, 0).settled(changed(frames)[0])
        out[long] = entry(lambda track, so=so: so.latents(track, clip.name), frames, settled)  # type: ignore[misc]
    return out


def _leading(a: np.ndarray, b: np.ndarray) -> int:
    """Leading rows that are the same to the bit."""
    differ = (a != b).reshape(len(a), -1).any(1)
    return int(differ.argmax()) if differ.any() else len(a)
