"""The pipeline from a speaker and a portrait to a listener's motion."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from diffusers import FlowMatchHeunDiscreteScheduler
from tiny_listener import WINDOW, made_up_speaker, portrait, tiny_pipeline

from headgen.errors import InputError
from headgen.listener.engine import load_pipeline
from headgen.listener.gen import Guidance, rows_before
from headgen.listener.latents import PARTS
from headgen.listener.track import joined
from headgen.listener.wishes import Wish, text_tokens
from headgen.progress import Cancelled

G = 4  # rows in a latent frame


@pytest.fixture(scope="module")
def pipeline():
    return tiny_pipeline()


def generator(seed=3):
    return torch.Generator().manual_seed(seed)


def made(pipeline, speaker, frames=8, **options):
    """Latents (F, P, D) of one listener."""
    options = {"num_inference_steps": 2, "generator": generator()} | options
    return pipeline([speaker], portrait(), frames, output_type="latent", **options).latents[0]


class Calls:
    """What the network of a pipeline is called with, and answers, while this lasts."""

    def __init__(self, pipeline):
        self.noisy, self.levels, self.clean = [], [], []
        self.hook = pipeline.transformer.register_forward_hook(self.note)

    def note(self, network, arguments, output):
        self.noisy.append(arguments[0])
        self.levels.append(float(arguments[1].max()))
        self.clean.append(output)

    @property
    def batches(self):
        return [len(noisy) for noisy in self.noisy]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.hook.remove()


def test_it_makes_motion_of_the_asked_length_and_the_seed_decides(pipeline):
    speakers = [made_up_speaker(32, 1), made_up_speaker(32, 4)]
    out = pipeline(speakers, portrait(2), 8, num_inference_steps=2, generator=generator())
    assert out.latents.shape == (2, 8, len(PARTS), 24) and out.latents.isfinite().all()
    assert [len(m) for m in out.motions] == [32, 32] and out.motions[0].shape.any()
    again = pipeline(speakers, portrait(2), 8, num_inference_steps=2, generator=generator())
    assert torch.equal(again.latents, out.latents)
    other = pipeline(speakers, portrait(2), 8, num_inference_steps=2, generator=generator(4))
    assert not torch.allclose(other.latents, out.latents, atol=0.01)


def test_listeners_of_a_batch_are_as_if_made_alone(pipeline):
    speakers = [made_up_speaker(32, 1), made_up_speaker(32, 4)]
    noise = torch.randn(2, 8, len(PARTS), 24, generator=generator())
    options = {"num_inference_steps": 2, "guidance": Guidance(2.0, 0.5), "output_type": "latent"}
    both = pipeline(speakers, portrait(2), 8, latents=noise, **options).latents
    for k in (0, 1):
        alone = pipeline(speakers[k : k + 1], portrait(2)[k : k + 1], 8, latents=noise[k : k + 1], **options)
        torch.testing.assert_close(alone.latents[0], both[k], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("chunk", [None, 3], ids=["segments", "causal"])
@pytest.mark.parametrize("scales", [(1.0, 1.0), (2.0, 0.5)])
def test_what_the_speaker_does_later_changes_nothing_to_the_bit(pipeline, chunk, scales):
    speaker, other = made_up_speaker(40, 1), made_up_speaker(40, 4)
    options = {"frames": 10, "chunk": chunk, "guidance": Guidance(*scales)}
    before = made(pipeline, speaker, **options)
    for t in (5, 20, 39):  # row from which on the speaker is another one
        after = made(pipeline, joined([speaker[:t], other[t:]]), **options)
        whole = t // G  # latent frames that end before
        assert torch.equal(after[:whole], before[:whole])
        assert not torch.allclose(after[whole], before[whole], atol=1e-4)


def test_sound_and_sight_each_matter(pipeline):
    speaker = made_up_speaker(32)
    before = made(pipeline, speaker)
    assert not torch.allclose(made(pipeline, speaker.unheard()), before, atol=1e-3)
    assert not torch.allclose(made(pipeline, speaker.unseen()), before, atol=1e-3)


def test_the_portrait_matters(pipeline):
    a, b = (
        pipeline([made_up_speaker(32)], portrait(seed=k), 8, num_inference_steps=2, generator=generator())
        for k in (0, 1)
    )
    assert not torch.allclose(a.latents, b.latents, atol=1e-3)


@pytest.mark.parametrize("scales", [(1.0, 1.0), (2.0, 0.5)])
def test_going_on_from_the_past_gives_what_one_go_gives(pipeline, scales):
    speaker = made_up_speaker(rows_before(pipeline.adapter) + 40)
    noise = torch.randn(1, 10, len(PARTS), 24, generator=generator())
    options = {"chunk": 5, "guidance": Guidance(*scales)}
    whole = made(pipeline, speaker, 10, latents=noise, **options)
    first = made(pipeline, speaker[: len(speaker) - 20], 5, latents=noise[:, :5], **options)
    second = made(pipeline, speaker, 5, latents=noise[:, 5:], past=first[None], **options)
    torch.testing.assert_close(first, whole[:5], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(second, whole[5:], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(made(pipeline, speaker, 5, latents=noise[:, 5:]), whole[5:], atol=1e-2)


def test_only_what_the_network_looks_back_on_is_needed_of_the_past(pipeline):
    speaker = made_up_speaker(100)
    past = torch.randn(1, 30, len(PARTS), 24, generator=generator())
    seen = past[:, -pipeline.past_latents :]
    assert torch.equal(made(pipeline, speaker, 5, past=seen), made(pipeline, speaker, 5, past=past))


def test_rows_that_are_missing_before_the_beginning_count_as_unknown(pipeline):
    speaker = made_up_speaker(32)
    before = made(pipeline, speaker)
    assert torch.equal(made(pipeline, speaker.preceded(200)), before)
    remembered = made(pipeline, joined([made_up_speaker(200, 8), speaker]))
    assert not torch.allclose(remembered[0], before[0], atol=1e-3)


def test_more_than_the_network_sees_is_made_in_turns(pipeline):
    speaker = made_up_speaker(4 * G * WINDOW)
    count = 2 * WINDOW + 3
    assert len(made(pipeline, speaker, count)) == count
    one = made(pipeline, speaker, count, chunk=WINDOW)
    assert torch.equal(one, made(pipeline, speaker, count))


def test_scales_of_one_cost_one_pass_and_scales_of_nought_withhold(pipeline):
    speaker = made_up_speaker(32)

    def batch(audio, motion):
        with Calls(pipeline) as calls:
            latents = made(pipeline, speaker, guidance=Guidance(audio, motion))
        assert len(set(calls.batches)) == 1
        return calls.batches[0], latents

    plain = made(pipeline, speaker)
    count, latents = batch(1, 1)
    assert count == 1 and torch.equal(latents, plain)
    assert batch(2, 1)[0] == batch(1, 0.5)[0] == 2 and batch(2, 2)[0] == 3
    assert batch(0, 1)[0] == batch(0, 0)[0] == 1
    # Withheld is withheld: another voice, another face change nothing.
    other = made_up_speaker(32, 9)
    deaf = made(pipeline, speaker, guidance=Guidance(0, 1.7))
    said_otherwise = type(speaker)(other.audio, speaker.motion, speaker.heard, speaker.seen)
    assert torch.equal(made(pipeline, said_otherwise, guidance=Guidance(0, 1.7)), deaf)
    assert torch.equal(made(pipeline, other, guidance=Guidance(0, 0)), batch(0, 0)[1])
    assert not torch.allclose(batch(0, 1)[1], plain, atol=1e-3)


def test_wishes_are_followed_when_they_hold_and_have_a_scale(pipeline):
    speaker = made_up_speaker(32)
    plain = made(pipeline, speaker)
    text = text_tokens([[Wish("nod", 1.0, 0.64), Wish("warm", 0.5, 0.64, 0.96)]], G)
    asked = made(pipeline, speaker, text=text)
    # What is asked for later is not known before.
    assert torch.equal(asked[:4], plain[:4]) and not torch.allclose(asked[4:], plain[4:], atol=1e-3)
    assert torch.equal(made(pipeline, speaker, text=text, guidance=Guidance(text=0)), plain)
    assert torch.equal(made(pipeline, speaker, text=text_tokens([[]], G)), plain)
    options = {"text": text, "num_inference_steps": 1}
    ignored, once, twice = (made(pipeline, speaker, guidance=Guidance(text=k), **options) for k in (0, 1, 2))
    torch.testing.assert_close(twice, ignored + 2 * (once - ignored), atol=1e-4, rtol=1e-4)


def test_a_larger_scale_goes_farther_from_what_is_said_without_the_condition(pipeline):
    """In one step of one pass each, the guided latents lie on a line."""
    speaker = made_up_speaker(32)
    options = {"num_inference_steps": 1}
    deaf, plain, strong = (
        made(pipeline, speaker, guidance=Guidance(scale, 1), **options) for scale in (0, 1, 3)
    )
    torch.testing.assert_close(strong, deaf + 3 * (plain - deaf), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("scales", [(-0.1, 1), (1, 5.1), (float("nan"), 1)])
def test_scales_out_of_range_are_named(scales):
    with pytest.raises(InputError, match=r"scale .* out of range; give 0 to 5"):
        Guidance(*scales)


def test_a_callback_sees_every_step_and_may_change_the_latents(pipeline):
    speaker, seen = made_up_speaker(32), []

    def watch(pipe, number, timestep, tensors):
        seen.append((number, float(timestep), tensors["latents"].shape))

    plain = made(pipeline, speaker, num_inference_steps=3, callback_on_step_end=watch)
    assert [s[0] for s in seen] == [0, 1, 2] and seen[0][1] > seen[1][1] > seen[2][1]
    assert {s[2] for s in seen} == {(1, 8, len(PARTS), 24)}
    assert torch.equal(made(pipeline, speaker, num_inference_steps=3), plain)

    def still(pipe, number, timestep, tensors):
        return {"latents": torch.zeros_like(tensors["latents"])} if number == 2 else None

    assert not made(pipeline, speaker, num_inference_steps=3, callback_on_step_end=still).any()

    def stop(*_):
        raise Cancelled

    with pytest.raises(Cancelled):
        made(pipeline, speaker, callback_on_step_end=stop)
    assert torch.equal(made(pipeline, speaker, num_inference_steps=3), plain)


def test_the_scheduler_can_be_another_one():
    """Heun's method in two steps: the first along the mean of two slopes, the second to the end."""
    pipeline = tiny_pipeline()
    pipeline.scheduler = FlowMatchHeunDiscreteScheduler(shift=3.0)
    with Calls(pipeline) as calls:
        found = made(pipeline, made_up_speaker(32), num_inference_steps=2)
    (x, guess, mean), (begin, then, last) = calls.noisy, calls.levels
    assert begin == 1 and then == last == pytest.approx(0.75)  # a half, shifted
    slopes = [(x - calls.clean[0]) / begin, (guess - calls.clean[1]) / then]
    torch.testing.assert_close(guess, x + (then - begin) * slopes[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(mean, x + (then - begin) * (slopes[0] + slopes[1]) / 2, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found[None], calls.clean[2], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("steps", [1, 4, 8])
def test_the_last_step_begins_at_a_noise_level_that_training_meets(pipeline, steps):
    with Calls(pipeline) as calls:
        made(pipeline, made_up_speaker(32), num_inference_steps=steps)
    assert len(calls.levels) == steps and calls.levels[0] == 1
    assert calls.levels == sorted(calls.levels, reverse=True) and calls.levels[-1] > 0.25


def test_saved_and_loaded_it_makes_the_same(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path / "a")
    loaded = load_pipeline(tmp_path / "a")
    speaker = made_up_speaker(32)
    assert torch.equal(made(loaded, speaker), made(pipeline, speaker))
    assert loaded.scheduler.config.shift == 3.0
    loaded.save_pretrained(tmp_path / "b")
    for path in (tmp_path / "a").rglob("*.safetensors"):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_threads_that_share_a_pipeline_do_not_disturb_each_other(pipeline):
    speaker = made_up_speaker(48)
    alone = [made(pipeline, speaker, 12, chunk=3, generator=generator(k)) for k in range(4)]
    with ThreadPoolExecutor(3) as pool:
        together = pool.map(lambda k: made(pipeline, speaker, 12, chunk=3, generator=generator(k)), range(4))
        assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_shapes_that_do_not_belong_together_are_refused(pipeline):
    speaker, past = made_up_speaker(32), torch.zeros(2, 3, len(PARTS), 24)
    for arguments, options, said in (
        (([speaker], portrait(2), 8), {}, "1 speakers and 2 portraits"),
        (([speaker], portrait(), 9), {}, "need speakers of at least 36 rows"),
        (([speaker], portrait(), 0), {}, "latent_frames=0"),
        (([speaker], portrait(), 8), {"chunk": 0}, "chunk=0"),
        (([speaker], portrait(), 8), {"past": past}, "past is of 2 videos"),
    ):
        with pytest.raises(ValueError, match=said):
            pipeline(*arguments, **options)
    with pytest.raises(ValueError, match="the network sees 1 to 12"):
        pipeline([made_up_speaker(80)], portrait(), 20, chunk=13)


def test_motion_is_decoded_latents(pipeline):
    out = pipeline([made_up_speaker(32)], portrait(), 8, num_inference_steps=2, generator=generator())
    np.testing.assert_array_equal(out.motions[0].shape, pipeline.codec.decode(out.latents[0]).shape)
