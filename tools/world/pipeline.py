"""Train the pipeline: a genuine StableDiffusionPipeline for 32 x 32 pictures, on the CLIP's text encoder, which stays as it is.

The checker judges what it draws. `autoencoder` has the other half, which turns latents into pixels.
"""

import random
from pathlib import Path

import numpy as np
import torch
import transformers
from torch.nn import functional

from tools.world import autoencoder, cards, portable, runs
from workbench import files, training
from workbench.models import checker, load_clip, load_pipeline
from workbench.world import scenes
from workbench.world.render import render_all

GATES = {
    "held_out object": (">=", 0.95),
    "held_out color": (">=", 0.95),
    "held_out background": (">=", 0.93),
    "held_out style": (">=", 0.90),
}
STEPS, PICTURES, BATCH, RATE = 3000, 40_000, 64, 1.2e-3
MINUTES = 25  # on one core
_FRESH = 3 * 10**9  # seeds of pictures to check on begin here; those to train on stay below
_DROPPED = 0.1  # share of captions left out, for classifier-free guidance
_EMA = 0.996
_WHAT = """A `StableDiffusionPipeline` of stock parts: the text tower of the CLIP of this world, frozen; a `UNet2DConditionModel`
of 2.7 million parameters on latents of 8 x 8 x 12; an `AutoencoderTiny` to and from 32 x 32 pixels; a DDIM scheduler. It draws
what a caption says, in any order of words. `workbench.models.load_pipeline("world")` loads it, and so does diffusers."""
_HOW = """The encoder is no learned one: space to depth and the twelve main axes of blocks of 4 x 4 pixels. The decoder learns,
from the mean absolute error, to undo it. The UNet predicts velocity under a cosine schedule of noise; AdamW, rate 1.2e-3;
batches of 64, a moving average of the weights (0.996). A tenth of the captions is left out, for guidance, and a fifth says only
some of the attributes. Eight pairs of color and object are never shown: the figures "held_out" are about those."""


def denoiser(text_width, channels=autoencoder.CHANNELS, widths=(64, 96)):
    """The untrained UNet: attention to the text at 8 x 8 and 4 x 4 on the way down, and the whole text beside the time.

    Args:
        text_width: int, width of the text encoder.
        channels: int, of the latents.
        widths: two int, channels at 8 x 8 and at 4 x 4.

    Returns:
        diffusers.UNet2DConditionModel.
    """
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=8,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=widths,
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=16,
        cross_attention_dim=text_width,
        attention_head_dim=4,
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
    )


def noise_schedule():
    """diffusers.DDIMScheduler for a network that predicts velocity, from pure noise on."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        clip_sample=False,
        steps_offset=1,  # what StableDiffusionPipeline insists on; this spacing does not use it
    )


def prompt(scene, rng):
    """A caption in any form; one in five is only some of its words, some of them twice, as found prompts may be.

    Args:
        scene: `scenes.Scene`.
        rng: random.Random.

    Returns:
        str.
    """
    form = rng.choices(("sentence", "keywords", "prompt", "words"), (4, 5, 2, 3))[0]
    if form != "words":
        return scenes.caption(scene, form, rng.randrange(2**31))
    said = [value for value in scene if value and rng.random() < 0.85]
    said += rng.choices(said, k=rng.randrange(3)) if said else []
    rng.shuffle(said)
    return rng.choice((" ", ", ")).join(said)


def text_tower(model):
    """The weights of a CLIPModel's text tower, named as those of a CLIPTextModel of this version of transformers."""
    wanted = transformers.CLIPTextModel(model.config.text_config).state_dict()
    own = {key: value for key, value in model.state_dict().items() if key.startswith("text_model.")}
    if "text_model.final_layer_norm.weight" not in wanted:  # transformers 5 has no "text_model." before the names
        own = {key.removeprefix("text_model."): value for key, value in own.items()}
    return own


class _Texts:
    """Captions -> what the UNet reads of them, float32 (n, t, d), as StableDiffusionPipeline does it."""

    def __init__(self, tokenizer, encoder):
        self.tokenizer, self.encoder = tokenizer, encoder

    def __call__(self, texts):
        ids = self.tokenizer(
            texts, padding="max_length", truncation=True, max_length=self.tokenizer.model_max_length, return_tensors="pt"
        ).input_ids
        with torch.no_grad():
            return self.encoder(ids)[0]


def train_denoiser(model, latents, truth, texts, *, seed=0, steps=STEPS, checkpoint=None, progress=True):
    """Train a UNet to predict velocity.

    Args:
        model: diffusers.UNet2DConditionModel.
        latents: float32 (n, c, 8, 8) of n pictures.
        truth: n `Scene`, what they show.
        texts: function of a list of str to float32 (n, t, d).
        seed: int.
        steps: int, updates.
        checkpoint: `artifacts.Checkpoint` or None.
        progress: bool, show a progress bar.

    Returns:
        diffusers.UNet2DConditionModel, the moving average of the weights.

    Source:
        Velocity, arXiv:2202.00512 appendix D; captions left out for guidance, arXiv:2207.12598 section 3.2.
    """
    scheduler = noise_schedule()
    average, update = runs.moving_average(model, _EMA)

    def loss(step):
        rng = random.Random(seed * 10**6 + step)
        rows = torch.randint(len(latents), (BATCH,))
        states = texts(["" if rng.random() < _DROPPED else prompt(truth[row], rng) for row in rows.tolist()])
        clean, noise = latents[rows], torch.randn(BATCH, *latents.shape[1:])
        spread = (torch.arange(BATCH) + torch.rand(BATCH)) / BATCH  # all noise levels in each batch
        times = (spread * scheduler.config.num_train_timesteps).long()
        predicted = model(scheduler.add_noise(clean, noise, times), times, states).sample
        return functional.mse_loss(predicted, scheduler.get_velocity(clean, noise, times))

    modules, optimizer = {"model": model, "average": average}, training.adamw(model, betas=(0.9, 0.99))
    rate = training.cosine(RATE, steps, warmup=150)
    training.train(
        loss, modules, optimizer, steps, rate, name="denoiser", after=update, checkpoint=checkpoint, seed=seed, progress=progress
    )
    return average


def train(folder, seed=0, steps=STEPS, progress=True):
    """Train a pipeline into `folder`, as `save_pretrained` writes it, in float16; "clip" beside it gives the text encoder."""
    folder = Path(folder)
    clip = load_clip(str(folder.with_name("clip")), device="cpu")
    encoder = transformers.CLIPTextModel(clip.model.config.text_config).eval().requires_grad_(False)
    encoder.load_state_dict(text_tower(clip.model))
    truth = scenes.scenes(PICTURES, seed)
    pictures = render_all(truth, seed * PICTURES)
    torch.manual_seed(seed)
    vae = autoencoder.build(checker.as_tensor(pictures[:8000]))
    of_decoder = runs.checkpoint(folder, "decoder", seed=seed, steps=autoencoder.STEPS, pictures=PICTURES)
    autoencoder.train_decoder(vae, pictures, seed=seed, steps=autoencoder.STEPS, checkpoint=of_decoder, progress=progress)
    with torch.no_grad():
        latents = torch.cat([vae.encoder(chunk) for chunk in map(checker.as_tensor, np.array_split(pictures, 40))])
    del pictures
    torch.manual_seed(seed + 1)
    unet = denoiser(encoder.config.hidden_size)
    texts = _Texts(clip.tokenizer, encoder)
    # another text encoder is another training
    run = {"seed": seed, "steps": steps, "pictures": PICTURES, "texts": round(texts(["red circle"]).abs().sum().item(), 2)}
    checkpoint = runs.checkpoint(folder, "denoiser", **run)
    unet = train_denoiser(unet, latents, truth, texts, seed=seed, steps=steps, checkpoint=checkpoint, progress=progress)
    save(folder, vae, unet, encoder, clip.tokenizer, seed, steps)
    of_decoder.remove()
    checkpoint.remove()


def save(folder, vae, unet, encoder, tokenizer, seed, steps):
    """Write the parts as a StableDiffusionPipeline, float16, and its card; then measure what was written.

    There is no safety checker: it can draw nothing that would need one.
    """
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline(vae, encoder, tokenizer, unet, noise_schedule(), None, None, requires_safety_checker=False)
    with files.replacing_folder(folder) as temporary:
        pipe.to(torch.float16).save_pretrained(temporary, safe_serialization=True)
        portable.pipeline(temporary)
        cards.write(temporary, "pipeline", check(temporary), GATES, seed, steps, _WHAT, _HOW, kind="a text-to-image model")


def check(folder, seed=0, *, n=240):
    """Share of drawn pictures that show what was asked for, by the checker; 20 steps, guidance 3, all forms of captions.

    Args:
        folder: str or Path of a saved pipeline; the judge is "checker" beside it.
        seed: int.
        n: int, pictures a split.

    Returns:
        dict of str -> float 0..1: "train object", "held_out object" and so on, and "all" four.
    """
    pipeline, figures = load_pipeline(str(folder), device="cpu"), {}
    judge = checker.Checker.load(Path(folder).with_name("checker"))
    for split in ("train", "held_out"):
        truth = scenes.scenes(n, _FRESH + seed, split=split)
        forms = [scenes.FORMS[i % len(scenes.FORMS)] for i in range(n)]
        prompts = [scenes.caption(scene, form, _FRESH + i) for i, (scene, form) in enumerate(zip(truth, forms, strict=True))]
        pictures = pipeline.draw(prompts, steps=20, guidance=3.0, seed=_FRESH + seed, batch=40)
        figures |= {f"{split} {name}": value for name, value in judge.accuracy(pictures, truth).items()}
    return figures
