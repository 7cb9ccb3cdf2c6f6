"""The listener in segments: causal, in any order the same, on one clock with the speaker."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_listener import WINDOW, made_up_speaker, tiny_pipeline

from headgen.faces import mesh
from headgen.faces.portrait import Portrait
from headgen.fsrt.small import FSRTSmall
from headgen.listener import engine as engine_module
from headgen.listener.engine import (
    LASHES,
    READ_AHEAD,
    SETTLE,
    LatentEngine,
    ListenEngine,
    ListenJob,
    ListenOptions,
    openness,
    settling,
    shut_well,
)
from headgen.listener.gen import Guidance
from headgen.listener.latents import CHANNELS, FRAMES_PER_LATENT, PARTS, FaceMotion
from headgen.listener.track import joined
from headgen.listener.wishes import WISHES, Wish
from headgen.scheduler import plan_segments, run

SEGMENT, OVERLAP = 16, 4
FRAMES = 33  # no whole number of latent frames


@pytest.fixture(scope="module")
def portrait():
    """Noise with a face in it, so that whatever moves shows; and no tracker is needed."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (40, 40, 3), np.uint8).repeat(5, 0).repeat(5, 1)
    points = mesh.Pose(np.eye(3), 60.0, np.array([100.0, 100.0, 0.0]), mesh.mean_face()).project(
        mesh.mean_face()
    )
    return Portrait("noise", image, points.astype(np.float32))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An untrained listener, and an untrained painter."""
    path = tmp_path_factory.mktemp("engine")
    tiny_pipeline().save_pretrained(path / "listener")
    FSRTSmall().save_pretrained(path / "painter")
    return path


def engine_of(folder, **options):
    return ListenEngine(ListenOptions(folder / "listener", folder / "painter", steps=2, **options))


def plan(long, frames=FRAMES):
    overlap = 0 if long == "causal" else OVERLAP
    return plan_segments(frames, SEGMENT, overlap, 0, FRAMES_PER_LATENT)


def pictures(engine, track, portrait, **options):
    job = ListenJob(track, portrait, "test")
    frames = list(run(plan(engine.options.long, len(track)), engine, job, **options))
    assert [index for index, _ in frames] == list(range(len(track)))
    return [picture for _, picture in frames]


@pytest.fixture(scope="module")
def shown(folder, portrait):
    """Pictures of a listener, made in order."""
    return pictures(engine_of(folder), made_up_speaker(FRAMES), portrait)


def test_one_picture_a_frame_of_the_speaker(shown, folder, portrait):
    assert len(shown) == FRAMES and {p.shape for p in shown} == {portrait.image.shape}
    assert any((p != shown[0]).any() for p in shown)
    square = pictures(engine_of(folder, whole=False), made_up_speaker(2), portrait)[0]
    assert square.shape[0] == square.shape[1]


def test_a_video_begins_as_its_portrait_and_moves_on(shown, folder, portrait):
    engine = engine_of(folder)
    engine.prepare(ListenJob(made_up_speaker(FRAMES), portrait, "test"))
    (rest,) = engine.painter.draw(np.zeros((1, len(PARTS), CHANNELS), np.float32), whole=True)
    apart = [np.abs(p.astype(int) - rest).mean() for p in shown[: SETTLE + 1]]
    assert apart[0] < 0.05 * apart[SETTLE] and apart[SETTLE // 4] < 0.5 * apart[SETTLE]
    frames = np.random.default_rng(0).normal(size=(40, len(PARTS), CHANNELS)).astype(np.float32)
    settled = settling(frames, 0)
    assert np.array_equal(settled[SETTLE:], frames[SETTLE:])
    pieces = [settling(frames[k : k + 3], k) for k in range(0, 40, 3)]
    assert np.array_equal(np.concatenate(pieces), settled)  # live, it comes in pieces


def test_segments_come_in_any_order(shown, folder, portrait):
    backward = pictures(engine_of(folder), made_up_speaker(FRAMES), portrait, order="reversed")
    assert all(np.array_equal(a, b) for a, b in zip(shown, backward, strict=True))


def test_another_speaker_from_t_on_leaves_the_pictures_before(shown, folder, portrait):
    """To the bit, up to the last full segment before t."""
    track, other, t = made_up_speaker(FRAMES), made_up_speaker(FRAMES, 7), 26
    after = pictures(engine_of(folder), joined([track[:t], other[t:]]), portrait)
    same = max(s.stop for s in plan("segments").segments if s.stop <= t) - OVERLAP
    assert same >= SEGMENT - OVERLAP
    assert all(np.array_equal(a, b) for a, b in zip(shown[:same], after[:same], strict=True))
    assert any((a != b).any() for a, b in zip(shown[t:], after[t:], strict=True))


def latents_of(long, track, frames):
    """Latents of all segments one after the other, of the engine without a painter."""
    engine = LatentEngine(tiny_pipeline(), long, 2)
    engine.attend(track, engine.pipeline.codec.portrait_tokens(mesh.mean_face() * [80, -80, -80]))
    results, shares = [], []
    for segment in plan(long, frames).segments:
        previous = results[-1] if results and engine.chained else None
        results.append(engine.render(segment, previous, shares.append))
    return engine, results, shares


def test_a_chain_is_as_it_was_up_to_the_latent_frame_of_a_change():
    track, other, t = made_up_speaker(FRAMES), made_up_speaker(FRAMES, 7), 26
    before, after = (
        np.concatenate([r["latents"] for r in latents_of("causal", speaker, FRAMES)[1]])
        for speaker in (track, joined([track[:t], other[t:]]))
    )
    same = t // FRAMES_PER_LATENT
    assert np.array_equal(before[:same], after[:same]) and not np.allclose(before[same], after[same])


def test_a_chain_is_bounded_and_tells_its_progress():
    engine, results, shares = latents_of("causal", made_up_speaker(120), 120)
    assert sum(len(r["latents"]) for r in results) == 30 and len(results) > 5
    assert max(len(r["past"]) for r in results) == WINDOW - 1 == engine.pipeline.past_latents
    assert max(shares) == 1 and shares.count(1.0) == len(results)


def test_after_the_end_of_the_speaker_nothing_is_heard():
    engine, results, _ = latents_of("segments", made_up_speaker(FRAMES), FRAMES)
    assert len(engine.frames(results[-1]["latents"])) >= FRAMES - plan("segments").segments[-1].start
    rest = engine.heard_until(FRAMES + 3)
    assert len(rest) == FRAMES + 3 and not rest.heard[-3:].any() and not rest.seen[-3:].any()


def test_a_transition_leads_from_one_segment_to_the_next():
    engine, results, _ = latents_of("segments", made_up_speaker(FRAMES), FRAMES)
    transition = plan("segments").transitions[0]
    joint = engine.frames(engine.refine(transition, *results[:2], lambda _: None)["latents"])
    left, right = (
        engine.frames(results[0]["latents"])[-OVERLAP:], engine.frames(results[1]["latents"])[:OVERLAP],
    )  # fmt: skip
    assert joint.shape == left.shape
    low, high = np.minimum(left, right) - 1e-6, np.maximum(left, right) + 1e-6
    assert ((low <= joint) & (joint <= high)).all()
    near_left, near_right = np.abs(joint - left).mean((1, 2)), np.abs(joint - right).mean((1, 2))
    assert near_left[0] < 0.1 * near_right[0] and near_right[-1] < 0.1 * near_left[-1]


def test_wishes_are_read_before_their_time():
    """A face takes a while to show them; what holds from the beginning is read from there."""
    engine = LatentEngine(tiny_pipeline(), "segments", 2, Guidance())
    wishes = Wish("nod", 1.0, 4.0, 6.08), Wish("smile")
    engine.attend(made_up_speaker(200), torch.zeros(len(PARTS), CHANNELS), wishes)
    whole, later = engine.text(0), engine.text(48)
    ahead = round(READ_AHEAD * 25 / FRAMES_PER_LATENT)
    assert ahead == 3
    assert (int(whole.start[0, 0]), int(whole.end[0, 0])) == (25 - ahead, 38 - ahead)
    assert int(whole.start[0, 1]) <= 0 and int(later.start[0, 1]) <= 0
    assert int(later.start[0, 0]) == 25 - ahead - 12


def test_neighbouring_segments_read_the_same_sides():
    engine = LatentEngine(tiny_pipeline(), "segments", 2, Guidance())
    wishes = Wish("tilt", 1.0, 1.0), Wish("nod")
    engine.attend(made_up_speaker(2000), torch.zeros(len(PARTS), CHANNELS), wishes)
    assert engine.text(168).tokens.shape[1] == 2  # a network that knows no sides is told none
    engine.pipeline.transformer.register_to_config(sided=True)

    length = engine_module.SEGMENT // FRAMES_PER_LATENT

    def sides(frame):
        text = engine.text(frame)
        tilts = text.tokens[0, :, len(WISHES) + WISHES.index("tilt")]
        return {
            f + frame // FRAMES_PER_LATENT: float(side)
            for side, first, last in zip(tilts, text.start[0], text.end[0], strict=True)
            for f in range(max(0, int(first)), min(length, int(last)))
            if side
        }

    first, second = sides(1680), sides(1680 + 168)
    both = set(first) & set(second)
    assert len(both) == 6 and all(first[f] == second[f] for f in both)
    assert set(first.values()) | set(second.values()) == {-1.0, 1.0}
    assert len(first) == len(second) == length


def test_eyes_that_nearly_shut_are_drawn_shut_and_others_as_they_are():
    rest = mesh.mean_face()
    left = np.array([1.1, 0.9, 0.71, 0.6, 0.45, 0.37, 0.2, 0.1])  # of the opening
    shape = np.zeros((len(left), *rest.shape))
    for contour, _, _ in mesh.EYES:
        for upper, lower in zip(contour[1:8], contour[:8:-1], strict=True):
            shape[:, upper] = (rest[lower] - rest[upper]) * (1 - left[:, None])
    drawn = shut_well(FaceMotion(np.zeros((len(left), 6)), shape))
    found = openness(drawn)
    assert np.array_equal(drawn.shape[:3], shape[:3])
    assert found[3] < 0.55 and np.all(np.diff(found) <= 1e-9)
    assert found[5] == pytest.approx(LASHES, abs=0.01) and found[6] == pytest.approx(LASHES, abs=0.01)
    assert found[7] == pytest.approx(0.1, abs=0.01)  # what is shut further stays so
    moved = np.abs(drawn.shape - shape).max((0, 2)) > 0
    assert set(np.flatnonzero(moved)) == {c[k] for c, _, _ in mesh.EYES for k in range(1, 8)}
