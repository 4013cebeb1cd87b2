"""A tiny pipeline with the layout of Stable Diffusion 1: KL autoencoder, epsilon prediction, PNDM, random weights."""

import diffusers
import torch
import transformers

from workbench.models.pipeline import Pipeline


def tiny_diffusion(tokenizer):
    """`models.Pipeline` that draws 32 x 32 noise, with a given tokenizer."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        text = transformers.CLIPTextConfig(
            vocab_size=500, hidden_size=32, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4
        )
        unet = diffusers.UNet2DConditionModel(
            sample_size=16,
            block_out_channels=(32, 64),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=32,
        )
        vae = diffusers.AutoencoderKL(
            block_out_channels=[32, 64],
            down_block_types=["DownEncoderBlock2D"] * 2,
            up_block_types=["UpDecoderBlock2D"] * 2,
            latent_channels=4,
        )
        encoder = transformers.CLIPTextModel(text)
    noise = diffusers.PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
    )
    pipe = diffusers.StableDiffusionPipeline(vae, encoder, tokenizer, unet, noise, None, None, requires_safety_checker=False)
    for part in (unet, vae, encoder):
        part.eval().requires_grad_(False)
    pipe.set_progress_bar_config(disable=True)
    return Pipeline("tiny", "", pipe)
