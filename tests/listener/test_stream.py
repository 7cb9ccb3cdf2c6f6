"""Live listeners: streamed = offline to the bit, in time on a slow machine, in bounded memory."""

from __future__ import annotations

import threading
import time
from fractions import Fraction
from itertools import islice

import numpy as np
import pytest
from tiny_listener import made_up_speaker, tiny_pipeline

from headgen.errors import InputError
from headgen.faces import mesh
from headgen.faces.portrait import Portrait
from headgen.fsrt.small import FSRTSmall
from headgen.listener.capture import Device, captured, devices, in_real_time
from headgen.listener.engine import LatentEngine, ListenEngine, ListenJob, ListenOptions
from headgen.listener.live import LiveFigures, listen_live
from headgen.listener.pace import CALM, MOST_PATIENCE, PATIENCE, Level, Pace, levels
from headgen.listener.speaker import Piece, SpeakerStream
from headgen.listener.stream import LatentStream
from headgen.listener.track import FPS, joined
from headgen.listener.wishes import Wish
from headgen.scheduler import plan_segments, run
from headgen.scheduler.plan import segment_seed

G, SEGMENT, FRAMES = 4, 24, 61  # no whole number of chunks, nor of latent frames
WISHES = (Wish("nod", 1.0, 0.5, 2.5),)


def latent_engine(chunk=2):
    engine = LatentEngine(tiny_pipeline(), "causal", 1, at_once=chunk)
    portrait = engine.pipeline.codec.portrait_tokens(mesh.mean_face() * [80, -80, -80])
    engine.attend(made_up_speaker(FRAMES), portrait, WISHES)
    return engine


def seeds(index):
    return segment_seed(5, index)


def offline(engine, resumed=()):
    """Latents of ``--long causal``; segments of `resumed` begin from arrays that were copied."""
    made, result = [], None
    for segment in plan_segments(FRAMES, SEGMENT, 0, 5, G, least=1).segments:
        if segment.index in resumed:
            result = {name: array.copy() for name, array in result.items()}
            engine = latent_engine(engine.at_once)
        result = engine.render(segment, result, lambda share: None)
        made.append(result["latents"])
    return np.concatenate(made)


def streamed(engine, portions):
    stream, track, at, made = LatentStream(engine, seeds, SEGMENT // G), engine.track, 0, []
    while at < len(track):
        count = next(portions)
        made += stream.push(track[at : at + count])
        at += count
    return np.concatenate([*made, *stream.finish()])


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_streamed_latents_are_those_of_causal_to_the_bit(chunk):
    engine = latent_engine(chunk)
    whole = offline(engine)
    assert len(whole) == -(-FRAMES // G)
    for portions in (iter([1] * FRAMES), iter(np.random.default_rng(0).integers(1, 40, 99).tolist())):
        assert np.array_equal(streamed(engine, portions), whole)


def test_a_chain_that_was_stopped_goes_on_with_the_same_bits():
    engine = latent_engine()
    assert np.array_equal(offline(engine, resumed=(1, 2)), offline(engine))


def test_a_shorter_speaker_changes_nothing_before_the_end():
    engine = latent_engine()
    whole = offline(engine)
    engine.attend(engine.track[:50], engine.tokens[0], WISHES)
    assert np.array_equal(streamed(engine, iter([7] * 99))[: 50 // G], whole[: 50 // G])


def test_latents_are_given_as_soon_as_their_rows_are_there():
    engine = latent_engine(chunk=1)
    stream = LatentStream(engine, seeds, SEGMENT // G)
    given = [sum(map(len, stream.push(engine.track[k : k + 1]))) for k in range(50)]
    assert given == [int(k % G == G - 1) for k in range(50)]


def test_an_endless_stream_keeps_no_more_and_no_more():
    engine = latent_engine()
    stream = LatentStream(engine, seeds, SEGMENT // G)
    kept = []
    for k in range(24):
        for _ in stream.push(made_up_speaker(10, k)):
            pass
        kept.append(len(stream._rows))
    assert max(kept[16:]) <= max(kept[8:16])


# A speaker, live.


@pytest.fixture(scope="module")
def portrait():
    """Noise with a face in it, so that whatever moves shows."""
    image = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8).repeat(3, 0).repeat(3, 1)
    pose = mesh.Pose(np.eye(3), 36.0, np.array([60.0, 60.0, 0.0]), mesh.mean_face())
    return Portrait("noise", image, pose.project(mesh.mean_face()).astype(np.float32))


@pytest.fixture(scope="module")
def engine(tmp_path_factory, portrait):
    """An untrained listener and painter that have turned to the portrait."""
    path = tmp_path_factory.mktemp("stream")
    tiny_pipeline().save_pretrained(path / "listener")
    FSRTSmall().save_pretrained(path / "painter")
    engine = ListenEngine(ListenOptions(path / "listener", path / "painter", "causal", steps=4))
    engine.prepare(ListenJob(made_up_speaker(0), portrait, "test"))
    return engine


def sounds(frames, seed=0):
    """Pieces of a voice, one for each frame."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames * 640) / 16000
    voice = (0.2 * np.sin(2 * np.pi * 140 * t) * (1 + np.sin(9 * t)) + rng.normal(0, 0.01, len(t))).astype(
        "f"
    )
    return [
        Piece(Fraction(k + 1, FPS), voice[640 * k : 640 * (k + 1)], ((Fraction(k, FPS), _BLANK),))
        for k in range(frames)
    ]


_BLANK = np.full((120, 160, 3), 90, np.uint8)


class NoFace:
    """A tracker of pictures without faces, that counts how often it looks."""

    looks = 0

    def track(self, image, *, still=False):
        self.looks += 1


def test_rows_of_a_speaker_are_the_same_in_pieces_of_any_size():
    pieces = sounds(30)
    sound = np.concatenate([p.sound for p in pieces])
    whole = SpeakerStream(NoFace()).take(Piece(Fraction(30, FPS), sound))
    small = SpeakerStream(NoFace())
    rows = joined([small.take(piece) for piece in pieces])
    odd = SpeakerStream(NoFace())
    cut = []
    for at in range(0, len(sound), 1000):
        end = min(at + 1000, len(sound))
        cut.append(odd.take(Piece(Fraction(end, 16000), sound[at:end])))
    assert len(rows) == 30 and rows.heard.all() and not rows.seen.any()
    for other in (whole, joined(cut)):
        assert np.array_equal(rows.audio, other.audio) and np.array_equal(rows.heard, other.heard)


def test_sound_that_comes_too_late_is_not_heard_and_looks_can_be_saved():
    tracker = NoFace()
    stream = SpeakerStream(tracker)
    first, second, third = sounds(3)
    stream.look_every = 2
    lost = stream.take(Piece(second.until, pictures=first.pictures + second.pictures))
    assert not lost.heard.any()
    late = stream.take(
        Piece(third.until, np.concatenate([p.sound for p in (first, second, third)]), third.pictures)
    )
    assert late.heard.tolist() == [True] and tracker.looks == 2  # rows 0 and 2


def test_without_a_clock_pictures_are_those_of_causal_to_the_bit(engine, portrait):
    pieces = sounds(14)
    live = list(listen_live(engine, pieces, seeds, delay=None))
    speaker = SpeakerStream(NoFace())
    job = ListenJob(joined([speaker.take(piece) for piece in pieces]), portrait, "test")
    pictures = [picture for _, picture in run(plan_segments(14, 192, 0, 5, G, least=1), engine, job)]
    assert [f.index for f in live] == list(range(14)) and all(f.drawn for f in live)
    assert all(np.array_equal(f.image, picture) for f, picture in zip(live, pictures, strict=True))
    assert {f.level for f in live} == {Level(4, 1)}


def test_a_hopelessly_slow_machine_shows_a_picture_a_second(engine):
    now = [0.0]

    def clock():  # every look at it costs a quarter of a second
        now[0] += 0.25
        return now[0]

    live = list(listen_live(engine, sounds(60), seeds, clock=clock))
    assert len(live) == 60 and 1 <= sum(f.drawn for f in live) < 30
    assert live[-1].level == Level(2, 4)


def test_errors_of_the_speaker_reach_who_asked_and_nothing_runs_on(engine):
    def broken():
        yield from sounds(9)
        raise InputError("the cable is out")

    before = threading.active_count()
    with pytest.raises(InputError, match="cable"):
        list(listen_live(engine, broken(), seeds, delay=None))
    assert len(list(islice(listen_live(engine, sounds(100), seeds, delay=None), 3))) == 3
    deadline = time.monotonic() + 3
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= before
    with pytest.raises(ValueError, match="delay"):
        next(listen_live(engine, sounds(1), seeds, delay=0.1))


def test_real_time_waits_for_each_piece():
    now = [0.0]
    given = []
    for piece in in_real_time(sounds(5), lambda: now[0], lambda s: now.__setitem__(0, now[0] + s)):
        given.append(now[0])
        now[0] += 0.01 if piece.until != Fraction(2, FPS) else 0.07
    assert np.allclose(given, [0.04, 0.08, 0.15, 0.16, 0.2])


def test_devices_are_read_and_their_absence_is_told(tmp_path):
    assert devices(tmp_path) == (None, None)
    with pytest.raises(InputError, match="no camera and no microphone"):
        next(captured(None, None))
    with pytest.raises(InputError, match="video0"):
        next(captured(Device(str(tmp_path / "video0"), "v4l2"), None))
    picture = Device("testsrc=size=64x48:rate=25,realtime", "lavfi")
    sound = Device("sine=frequency=200:sample_rate=44100,arealtime", "lavfi")
    speaker, pieces = SpeakerStream(NoFace()), captured(picture, sound)
    rows = joined([speaker.take(piece) for piece in islice(pieces, 12)])
    pieces.close()
    assert len(rows) >= 5 and rows.heard.all() and np.ptp(rows.audio) > 1
    only = list(islice(captured(picture, None), 4))
    assert [len(p.pictures) for p in only] == [1] * 4 and only[0].pictures[0][1].shape == (48, 64, 3)


# The pace.


def simulate(pace, slow, seconds=60.0, chunk=2, delay=0.5):
    """A machine `slow(t)` times as slow as one that can just do it: times behind, levels, pictures drawn."""
    length = chunk * 0.16
    free, index, log = 0.0, 0, []
    while index * 0.16 < seconds:
        waiting = int((free - index * 0.16) / 0.16)
        count = max(chunk, pace.at_once(waiting))
        end = (index + count) * 0.16
        begun = max(free, end)
        level, speed = pace.level, slow(begun)
        thought = speed * (0.006 + 0.002 * count) * (level.steps + 1)
        now, drawn, worst = begun + thought, 0, 0.0
        for k in range(4 * count):
            due = index * 0.16 + (k + 1) / FPS
            spare = -speed * 0.016 if level.skips else level.every / FPS
            if k % level.every == 0 and now - due <= delay + spare:
                now += speed * 0.016
                drawn += 1
            elif level.skips:
                continue
            worst = max(worst, now - due)
        pace.made(count * 0.16, thought, now - begun - thought, worst, drawn / (4 * count))
        log.append((end, worst, level, drawn / (4 * count)))
        free, index = now, index + count
    assert length < delay
    return log


def test_levels_go_down_step_by_step():
    last = [Level(2, 1), Level(2, 1, skips=True), Level(2, 2), Level(2, 4)]
    assert levels(8) == (Level(8, 1), Level(4, 1), *last)
    assert levels(1) == (Level(1, 1), Level(1, 1, skips=True), Level(1, 2), Level(1, 4))


def test_a_machine_that_is_fast_enough_keeps_the_best_quality():
    log = simulate(Pace(8, 2, 0.5), lambda t: 1.0)
    assert {level for _, _, level, _ in log} == {Level(8, 1)} and max(w for _, w, _, _ in log) < 0.5


def test_made_three_times_slower_quality_falls_and_comes_back_but_sync_stays():
    log = simulate(Pace(8, 2, 0.5), lambda t: 3.0 if 10 <= t < 35 else 1.0)
    slow = [entry for entry in log if 14 < entry[0] < 35]
    assert max(worst for _, worst, _, _ in slow) < 0.5 + 0.35  # a chunk that was late once
    assert np.mean([worst <= 0.5 for _, worst, _, _ in slow]) > 0.9
    assert np.mean([share for *_, share in slow]) > 0.2
    after = [entry for entry in log if entry[0] > 35 + 5 * CALM + 2]
    assert {level for _, _, level, _ in after} == {Level(8, 1)} and max(w for _, w, _, _ in after) <= 0.5


@pytest.mark.parametrize(("slow", "least"), [(2.15, 0.85), (2.5, 0.7), (3.3, 0.45)])
def test_a_machine_a_little_too_slow_leaves_out_a_few_pictures(slow, least):
    """In two steps, with all pictures, it would just keep up if it were 2.02 times as slow."""
    log = simulate(Pace(2, 2, 0.5), lambda t: slow, 120.0)[40:]
    assert np.mean([worst <= 0.5 for _, worst, _, _ in log]) > 0.9
    assert np.mean([share for *_, share in log]) > least


def test_a_machine_ten_times_too_slow_stays_beside_the_speaker():
    log = simulate(Pace(8, 2, 0.5), lambda t: 10.0, 120.0)
    assert max(worst for end, worst, _, _ in log if end > 20) < 3.0
    assert any(share for *_, share in log[-20:])


def test_one_hiccup_costs_one_level():
    pace = Pace(8, 2, 0.5)
    for behind in (0.3, 2.0, 1.7, 1.2, 0.7, 0.4):
        pace.made(0.32, 0.05, 0.1, behind)
    assert pace.level == Level(4, 1)
    for _ in range(int(CALM / 0.32) + 2):
        pace.made(0.32, 0.03, 0.1, 0.3)
    assert pace.level == Level(8, 1)


def tight(pace, chunks, best_late):
    """Chunks whose best level takes nine tenths of the time, and is late or not: seconds of all trials."""
    tried, before = [], pace.level
    for k in range(chunks):
        best = pace.level == pace.levels[0]
        steps, pictures = (0.19, 0.1) if best else (0.19 * (pace.level.steps + 1) / 9, 0.1)
        pace.made(0.32, steps, pictures, 0.6 if best and best_late else 0.3)
        if pace.level == pace.levels[0] != before:
            tried.append(k * 0.32)
        before = pace.level
    return tried


def test_the_best_level_comes_back_where_it_is_just_in_time():
    pace = Pace(8, 2, 0.5)
    pace.made(0.32, 0.5, 0.1, 0.9)
    assert pace.level == Level(4, 1)
    assert len(tight(pace, 200, best_late=False)) == 1 and pace.level == Level(8, 1)


def test_a_level_that_fails_is_tried_ever_more_rarely():
    pace = Pace(8, 2, 0.5)
    pace.made(0.32, 0.5, 0.1, 0.9)
    waits = np.diff(tight(pace, 1000, best_late=True))
    assert waits[0] >= 2 * PATIENCE and waits[1] >= 4 * PATIENCE and max(waits) <= MOST_PATIENCE + 1
    assert pace.level != Level(8, 1)
    assert len(tight(pace, 400, best_late=False)) == 1 and pace.level == Level(8, 1)
    pace.made(0.32, 0.5, 0.1, 0.9)
    assert tight(pace, 100, best_late=False)[0] <= PATIENCE + 1  # trusted again


def test_leaving_out_too_many_pictures_is_tried_ever_more_rarely():
    pace = Pace(2, 2, 0.5)
    pace.made(0.32, 0.1, 0.3, 0.9)
    tried = []
    for k in range(1000):
        before = pace.level
        pace.made(0.32, 0.1, *((0.3, 0.3, 0.5) if before.skips else (0.14, 0.3)))
        if pace.level.skips and not before.skips:
            tried.append(k * 0.32)
    waits = np.diff(tried)
    assert len(waits) > 3 and waits[-1] > 2 * waits[0] and max(waits) <= MOST_PATIENCE + 2


def test_figures_say_how_live_it_was(engine):
    figures = LiveFigures()
    for frame in listen_live(engine, in_real_time(sounds(12)), seeds, delay=600.0):
        figures.add(frame)
    assert figures.frames == 12 == figures.drawn and figures.rate == FPS
    assert 0 < figures.behind(0.5) <= figures.behind(0.95) and figures.first > 0.28
    assert "first picture" in str(figures) and "4 steps" in str(figures)
