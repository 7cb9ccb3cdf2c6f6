"""Edit: what is inside of a join is rewritten, what is outside stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from tiny_listener import made_up_motion, made_up_speaker, portrait, tiny_codec, tiny_pipeline

from headgen import hub
from headgen.listener.adapter import CTMAdapter
from headgen.listener.edit import (
    NOISE,
    WRONG,
    ListenerEditor,
    Preconditioning,
    bridge,
    ease,
)
from headgen.listener.engine import LatentEngine, load_editor
from headgen.listener.latents import (
    CHANNELS,
    FRAMES_PER_LATENT,
    frames_of,
    latents_of,
    places,
    same_latents,
)
from headgen.listener.track import joined
from headgen.listener.transformer import ListenerTransformer
from headgen.scheduler import plan_segments

WINDOW, INNER = 10, slice(3, 7)


@pytest.fixture(scope="module")
def editor():
    """An untrained editor all of whose parts have something to say."""
    torch.manual_seed(0)
    transformer = ListenerTransformer(
        width=32, heads=2, layers=2, places=places().tolist(), block=WINDOW, window=WINDOW,
        portrait_width=CHANNELS, text_width=1, reference_width=2 * CHANNELS * FRAMES_PER_LATENT,
    )  # fmt: skip
    adapter = CTMAdapter(
        base_width=32, layers=[0, 1], width=16, heads=2, encoder_layers=1, kernel=3, window_frames=8
    )
    for part in (transformer, adapter):
        for name, parameter in part.named_parameters():
            if name.endswith("gate"):
                torch.nn.init.constant_(parameter, 1.0)
            elif not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)
    made = ListenerEditor(transformer.eval(), adapter.eval(), tiny_codec(), FlowMatchEulerDiscreteScheduler())
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture(scope="module")
def video(editor):
    """Latents (12, P, D) of a face that moves, and another take of them."""
    return [editor.codec.encode(made_up_motion(48, seed)) for seed in (0, 1)]


def edit(editor, latents, speaker=None, seed=0, **options):
    speakers = [made_up_speaker(WINDOW * FRAMES_PER_LATENT + 8)] if speaker is None else [speaker]
    generator = torch.Generator().manual_seed(seed)
    return editor(latents, INNER, speakers, portrait(), generator=generator, **options)


def test_nothing_but_the_inner_frames_changes(editor, video):
    window = video[0][None, :WINDOW]
    before = window.clone()
    made = edit(editor, window)
    assert torch.equal(window, before)
    assert torch.equal(made[:, : INNER.start], window[:, : INNER.start])
    assert torch.equal(made[:, INNER.stop :], window[:, INNER.stop :])
    assert (made[:, INNER] != window[:, INNER]).flatten(2).any(2).all()


def test_the_seed_and_nothing_else_is_chance(editor, video):
    window = video[0][None, :WINDOW]
    assert torch.equal(edit(editor, window), edit(editor, window))
    assert not torch.equal(edit(editor, window), edit(editor, window, seed=1))


def test_both_sides_the_speaker_and_the_portrait_are_read(editor, video):
    window = video[0][None, :WINDOW]
    made = edit(editor, window)[:, INNER]
    for outer in (0, WINDOW - 1):
        other = window.clone()
        other[:, outer] = video[1][outer]
        assert not torch.allclose(edit(editor, other)[:, INNER], made, atol=1e-4)
    generator = torch.Generator().manual_seed(0)
    speakers = [made_up_speaker(WINDOW * FRAMES_PER_LATENT + 8)]
    for given in ({"speakers": None, "portraits": portrait()}, {"speakers": speakers, "portraits": None}):
        assert not torch.allclose(
            editor(window, INNER, generator=generator.manual_seed(0), **given)[:, INNER], made
        )


def test_what_either_segment_has_for_the_inner_frames_is_read(editor, video):
    window = video[0][None, :WINDOW]
    alone = edit(editor, window)
    same = window[:, INNER], window[:, INNER]
    assert torch.equal(edit(editor, window, takes=same), alone)
    other = video[1][None, :WINDOW][:, INNER]
    for takes in ((other, same[0]), (same[0], other)):
        assert not torch.allclose(edit(editor, window, takes=takes)[:, INNER], alone[:, INNER], atol=1e-4)
    with pytest.raises(ValueError, match="inner frames are"):
        edit(editor, window, takes=(window, window))


def test_what_the_speaker_does_after_the_inner_frames_is_not_known(editor, video):
    window, track = video[0][None, :WINDOW], made_up_speaker(WINDOW * FRAMES_PER_LATENT)
    end = INNER.stop * FRAMES_PER_LATENT
    made = edit(editor, window, track)
    later = joined([track[:end], made_up_speaker(len(track), 7)[end:]])
    assert torch.equal(edit(editor, window, later), made)
    earlier = joined([track[: end - 1], made_up_speaker(len(track), 7)[end - 1 :]])
    assert not torch.equal(edit(editor, window, earlier), made)


def test_several_joins_at_once_are_as_one_by_one(editor, video):
    windows = torch.stack([one[:WINDOW] for one in video])
    tracks = [made_up_speaker(WINDOW * FRAMES_PER_LATENT, seed) for seed in (1, 2)]
    generator = torch.Generator().manual_seed(0)
    together = editor(windows, INNER, tracks, portrait(2), generator=generator)
    generator.manual_seed(0)  # one after the other they draw the same noise
    apart = [
        editor(w[None], INNER, [t], p[None], generator=generator)
        for w, t, p in zip(windows, tracks, portrait(2), strict=True)
    ]
    assert torch.allclose(together, torch.cat(apart), atol=1e-4)


def test_a_longer_shorter_or_stronger_job_than_it_can_do_is_refused(editor, video):
    window = video[0][None, :WINDOW]
    for inner in (slice(0, 4), slice(3, WINDOW), slice(4, 4)):
        with pytest.raises(ValueError, match="must stay"):
            editor(window, inner)
    with pytest.raises(ValueError, match=f"at most {WINDOW}"):
        editor(video[0][None], INNER)
    for strength in (0, 1.1):
        with pytest.raises(ValueError, match="strength"):
            editor(window, INNER, strength=strength)
    with pytest.raises(ValueError, match="2 portraits for 1 videos"):
        editor(window, INNER, portraits=portrait(2))


def test_a_saved_editor_does_the_same(editor, video, tmp_path):
    editor.save_pretrained(tmp_path)
    again = load_editor(tmp_path)
    window = video[0][None, :WINDOW]
    assert torch.equal(edit(again, window), edit(editor, window))
    assert same_latents(again.codec, editor.codec)


def test_two_videos_are_joined_and_only_the_join_is_new(editor, video):
    left, right = video[0], video[1]
    track = made_up_speaker((len(left) + len(right) - 4) * FRAMES_PER_LATENT)
    generator = torch.Generator().manual_seed(0)
    made = editor.refine_join(left, right, 4, track, portrait()[0], generator=generator)
    assert made.shape == (20, 10, 24)
    assert torch.equal(made[:8], left[:8]) and torch.equal(made[12:], right[4:])
    # Without an overlap, frames on both sides of the cut are new.
    made = editor.refine_join(left, right, 0, inner=4, generator=generator)
    assert made.shape == (24, 10, 24)
    assert torch.equal(made[:10], left[:10]) and torch.equal(made[14:], right[2:])
    assert (made[10:12] != left[10:]).any() and (made[12:14] != right[:2]).any()
    with pytest.raises(ValueError, match="must stay"):
        editor.refine_join(left, right[:4], 4)


def test_a_path_tells_nothing_at_first_and_all_in_the_end():
    share, strength = torch.tensor([1.0, 0.5, 0.0]), 0.3
    at = Preconditioning.of(share, strength)
    assert at.kept[0] == 0 and at.learnt[0] == pytest.approx(WRONG) and at.level[0] == 1
    assert at.kept[2] == 1 and at.learnt[2] == 0 and at.level[2] == 0
    # In between: the best linear guess, whose error is what the answer is scaled by.
    wrong, noise = (torch.randn(100_000, generator=torch.Generator().manual_seed(k)) for k in (0, 1))
    path = 0.5 * WRONG * wrong + 0.5 * strength * NOISE * noise  # relative to the join
    assert (at.given[1] * path).std().item() == pytest.approx(1, rel=0.02)
    error = at.kept[1] * path - WRONG * wrong
    assert error.std().item() == pytest.approx(at.learnt[1].item(), rel=0.02)
    assert (error * path).mean().abs() < 0.001


def test_a_bridge_leads_from_one_side_to_the_other_and_passes_blinks_by():
    way = ease(40, 12, 28)
    assert (way[:12] == 0).all() and (way[28:] == 1).all() and (np.diff(way[11:29]) > 0).all()
    frames = np.zeros((40, 10, 6), np.float32)
    frames[20:, 0] = 4.0  # the head jumps
    frames[10:12, 3] = 3.0  # an eye shuts just before the inner frames
    made = frames_of(bridge(torch.from_numpy(latents_of(frames))[None], slice(3, 7))[0].numpy())
    assert made[11, 0, 0] == 0 and made[28, 0, 0] == 4 and np.abs(np.diff(made[:, 0, 0])).max() < 0.6
    assert not made[:, 3].any()


def engine_and_segments(editor, transition):
    """An engine, the transition between its first two segments, and their results."""
    engine = LatentEngine(tiny_pipeline(), steps=1, transition=transition, editor=editor)
    engine.attend(made_up_speaker(64), portrait()[0])
    plan = plan_segments(64, 40, 8, 0, FRAMES_PER_LATENT)
    results = [engine.render(segment, None, lambda _: None) for segment in plan.segments[:2]]
    return engine, plan.transitions[0], results


def test_the_engine_rewrites_its_transitions_and_the_seed_is_the_plan_s(editor):
    engine, transition, results = engine_and_segments(editor, "edit")
    made = engine.refine(transition, *results, lambda _: None)["latents"]
    assert made.shape == (2, 10, 24)
    assert np.array_equal(engine.refine(transition, *results, lambda _: None)["latents"], made)
    other = replace(transition, seed=transition.seed + 1)
    assert not np.array_equal(engine.refine(other, *results, lambda _: None)["latents"], made)
    faded = LatentEngine(engine.pipeline).refine(transition, *results, lambda _: None)["latents"]
    assert not np.allclose(faded, made)


def test_without_a_transition_each_segment_has_half(editor):
    engine, transition, results = engine_and_segments(None, "none")
    made = engine.refine(transition, *results, lambda _: None)["latents"]
    assert np.array_equal(made[:1], results[0]["latents"][-2:-1])
    assert np.array_equal(made[1:], results[1]["latents"][1:2])


def test_an_engine_needs_an_editor_of_its_latents(editor):
    with pytest.raises(ValueError, match="needs an editor"):
        LatentEngine(tiny_pipeline(), transition="edit")
    other = tiny_codec()
    other.basis.mul_(2)
    strange = ListenerEditor(editor.transformer, editor.adapter, other, editor.scheduler)
    with pytest.raises(ValueError, match="needs an editor"):
        LatentEngine(tiny_pipeline(), transition="edit", editor=strange)


def test_the_embedded_editor_makes_a_seam_disappear():
    """A jump of the head and of the mouth."""
    editor = load_editor(hub.resolve("listener-edit").folder)
    frames = frames_of(editor.codec.encode(made_up_motion(64)).numpy())
    rough = frames * 0.3
    rough[32:] += np.where(np.isin(np.arange(10), [0, 5, 6, 7, 8, 9]), 1.5, 0).astype(np.float32)[:, None]
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.from_numpy(latents_of(side)) for side in (rough[:32], rough[32:]))
    made = editor.refine_join(left, right, 0, inner=6, generator=generator)
    smooth = frames_of(made.numpy())
    jumps = [np.abs(np.diff(x[18:46, 0], axis=0)).max() for x in (rough, smooth)]
    assert jumps[1] < 0.3 * jumps[0]


def test_the_embedded_editor_leaves_alone_what_both_segments_agree_on():
    editor = load_editor(hub.resolve("listener-edit").folder)
    window = 0.3 * editor.codec.encode(made_up_motion(64))[None]
    inner = slice(5, 11)
    takes = window[:, inner], window[:, inner]
    made = editor(window, inner, takes=takes, generator=torch.Generator().manual_seed(0))
    moved = (window[:, inner] - window[:, inner].mean(1, keepdim=True)).square().mean()
    assert (made - window)[:, inner].square().mean() < 0.1 * moved
