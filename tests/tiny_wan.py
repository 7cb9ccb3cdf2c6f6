"""A tiny public base for tests: Wan's own classes with random weights, in the layout of diffusers."""

import numpy as np
import torch
from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler, WanTransformer3DModel
from tiny_listener import AUDIO, MOTION

from headgen.listener.adapter import CTMAdapter
from headgen.listener.wan import WanListenerPipeline

SIZE, WIDTH, TEXT, LENGTH, CHANNELS = (
    32,
    24,
    8,
    6,
    4,
)  # pixels, base's width, text's width and tokens, latents
LAYERS = 3


def tiny_transformer(seed=0):
    torch.manual_seed(seed)
    return WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=WIDTH // 2, in_channels=CHANNELS, out_channels=CHANNELS,
        text_dim=TEXT, freq_dim=16, ffn_dim=32, num_layers=LAYERS, rope_max_seq_len=32,
    ).eval()  # fmt: skip


def tiny_vae():
    torch.manual_seed(1)
    return AutoencoderKLWan(
        base_dim=4, z_dim=CHANNELS, dim_mult=[1, 1, 1, 1], num_res_blocks=1,
        latents_mean=[0.1, -0.2, 0.3, 0.0], latents_std=[0.5, 1.5, 1.0, 2.0],
    ).eval()  # fmt: skip


def tiny_adapter(open_gates=True, layers=(0, 2)):
    torch.manual_seed(2)
    adapter = CTMAdapter(
        base_width=WIDTH, layers=list(layers), audio_width=AUDIO, motion_width=MOTION, width=16, heads=2,
        encoder_layers=1, kernel=3, window_frames=12, first_frames=1,
    )  # fmt: skip
    if open_gates:
        for name, parameter in adapter.named_parameters():
            if name.endswith("gate"):
                torch.nn.init.constant_(parameter, 1.0)
    return adapter.eval()


def tiny_pipeline(open_gates=True, layers=(0, 2)):
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    pipeline = WanListenerPipeline(
        tiny_transformer(), tiny_vae(), tiny_adapter(open_gates, layers), scheduler, text_length=LENGTH
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def picture(seed=3):
    return np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), np.uint8)


def embeds(seed=4, batch=1):
    return torch.randn(batch, LENGTH, TEXT, generator=torch.Generator().manual_seed(seed))


def write_tiny_base(folder, text=False):
    """A base in a folder; with a text encoder if asked for."""
    tiny_transformer().save_pretrained(folder / "transformer")
    tiny_vae().save_pretrained(folder / "vae")
    if text:
        from tokenizers import Tokenizer, models, pre_tokenizers
        from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

        words = {word: k for k, word in enumerate(("<pad>", "</s>", "<unk>", "smiles", "nods", "and"))}
        tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
        ).save_pretrained(folder / "tokenizer")
        torch.manual_seed(5)
        config = UMT5Config(
            vocab_size=len(words), d_model=TEXT, d_kv=4, d_ff=16, num_layers=1, num_heads=2,
            num_decoder_layers=1,
        )  # fmt: skip
        UMT5EncoderModel(config).save_pretrained(folder / "text_encoder")
    return folder
