"""Train the pipeline: a genuine StableDiffusionPipeline for 32 x 32 pictures, on the CLIP's text encoder, which stays as it is.

The encoder of its autoencoder is no learned one: space to depth and the main axes of blocks of 4 x 4 pixels, written into the
convolutions of an `AutoencoderTiny`. So latents are fixed from the start, and the decoder learns to add what the axes leave out.
"""

import copy
import math
import random
from pathlib import Path

import numpy as np
import torch
import transformers
from torch.nn import functional
from tqdm.auto import tqdm

from workbench.models import load_clip, load_pipeline
from workbench.world import checker, scenes
from workbench.world.render import render_all
from workbench.world.training import cards, checkpoints

GATES = {
    "held_out object": (">=", 0.95),
    "held_out color": (">=", 0.95),
    "held_out background": (">=", 0.93),
    "held_out style": (">=", 0.90),
}
CHANNELS = 12  # of the latents: with 12 of 48 axes the checker still reads everything
STEPS, DECODER_STEPS, PICTURES = 2400, 1500, 40_000
MINUTES = 30  # on one core
_FRESH = 2_000_000
_DROPPED = 0.1  # share of captions left out, for classifier-free guidance
_EMA = 0.996
_EVERY = 200  # steps from one checkpoint to the next
_WHAT = """A `StableDiffusionPipeline` of stock parts: the text tower of the CLIP of this world, frozen; a `UNet2DConditionModel`
of 2.7 million parameters on latents of 8 x 8 x 12; an `AutoencoderTiny` to and from 32 x 32 pixels; a DDIM scheduler. It draws
what a caption says, in any order of words. `workbench.models.load_pipeline("world")` loads it, and so does diffusers."""
_HOW = """The encoder is no learned one: space to depth and the twelve main axes of blocks of 4 x 4 pixels. The decoder learns,
from the mean absolute error, to undo it. The UNet predicts velocity under a cosine schedule of noise; AdamW, rate 1.2e-3;
batches of 64, a moving average of the weights (0.996). A tenth of the captions is left out, for guidance, and a fifth says only
some of the attributes. Eight pairs of color and object are never shown: the figures "held_out" are about those."""


def autoencoder(pictures, channels=CHANNELS, width=48):
    """An AutoencoderTiny whose encoder is set and whose decoder is untrained.

    Args:
        pictures: float32 (n, 3, 32, 32) in -1..1, to find the axes of.
        channels: int, axes kept.
        width: int, channels of the decoder.

    Returns:
        diffusers.AutoencoderTiny; latents have mean 0 and mean square 1 over all channels.
    """
    from diffusers import AutoencoderTiny

    model = AutoencoderTiny(
        latent_channels=channels,
        encoder_block_out_channels=(48, 48, 48),
        decoder_block_out_channels=(width,) * 3,
        num_encoder_blocks=(0, 0, 0),
        num_decoder_blocks=(3, 2, 1),
    )
    first, second, third, last = model.encoder.layers
    with torch.no_grad():
        for conv in model.encoder.layers:
            conv.weight.zero_()
        first.bias.zero_()
        for color in range(3):
            first.weight[color, color, 1, 1] = 1
        for conv, before in ((second, 3), (third, 12)):  # of a window of 3 x 3, its lower right 2 x 2 become channels
            for i in range(4 * before):
                conv.weight[i, i // 4, 1 + i % 4 // 2, 1 + i % 2] = 1
        blocks = third(second(first((pictures + 1) / 2))).movedim(1, -1).reshape(-1, 48)
        mean = blocks.mean(0)
        values, axes = torch.linalg.eigh((blocks - mean).T @ (blocks - mean) / len(blocks))
        values, axes = values.flip(0)[:channels], axes.flip(1)[:, :channels]
        # half-way to white: fine detail weighs more than in pixels, and less than shapes
        scaled = axes / values**0.25
        scaled = scaled / values.sqrt().mean().sqrt()
        last.weight[:, :, 1, 1] = scaled.T
        last.bias.copy_(-mean @ scaled)
        _write_positions(model.decoder)
    return model.requires_grad_(False)


def _write_positions(decoder):
    """Tell the decoder where it is. Copying pixels to twice the size leaves no trace of which was left and which right, so
    without this a pattern as fine as a latent, such as the tiles of a mosaic, cannot be drawn from it.

    A one that is shifted in from the border, again and again, sums up to the column; where it steps, the left half begins.
    """
    stages = [[]]
    for layer in list(decoder.layers)[2:]:
        if isinstance(layer, torch.nn.Upsample):
            stages.append([])
            continue
        stages[-1].append(layer)
    for axis, back in ((0, (1, 0)), (1, (0, 1))):  # x and y; `back` is where the pixel before lies in a window of 3 x 3
        column, one, old, new = axis, 2 + axis, 4 + axis, 6 + axis
        _row(decoder.layers[0], column, (), 1 / 8)
        _row(decoder.layers[0], one, (), 1.0)
        for block in stages[0]:
            first, _, second, _, third = block.conv
            _row(first, 0 + 3 * axis, [(one, back, 1)])
            _row(first, 2 + 3 * axis, [(one, (1, 1), 1)])
            _row(second, 0 + 3 * axis, [(0 + 3 * axis, (1, 1), 1)])
            _row(second, 1 + 3 * axis, [(0 + 3 * axis, back, 1)])
            _row(second, 2 + 3 * axis, [(2 + 3 * axis, (1, 1), 1)])
            a, b, same = (i + 3 * axis for i in range(3))
            _row(third, column, [(a, (1, 1), 1 / 8), (b, (1, 1), 1 / 8), (b, back, 1 / 8)])
            _row(third, one, [(b, back, 1), (same, (1, 1), -1)])
        for size, (spread, *blocks) in zip((8, 16), stages[1:], strict=True):
            _row(spread, column, [(column, (1, 1), 0.5), (column, back, 0.5)])
            _row(spread, old, [(new, (1, 1), 1)] if size == 16 else ())
            _row(spread, new, [(column, (1, 1), size), (column, back, -size)])
            for block in blocks:
                if hasattr(block, "conv"):
                    for channel in (column, old, new):
                        _row(block.conv[4], channel, ())


def _row(conv, out, taps, bias=0.0):
    """Set one output channel of a convolution: `taps` are (input channel, place in the window, weight)."""
    conv.weight[out] = 0
    for channel, (y, x), weight in taps:
        conv.weight[out, channel, y, x] = weight
    if conv.bias is not None:
        conv.bias[out] = bias


def train_decoder(model, pictures, *, seed=0, steps=DECODER_STEPS, batch=32, progress=True, saved=None):
    """Train the decoder of `autoencoder` in place, on latents with a little noise, such as a network's have.

    Args:
        model: diffusers.AutoencoderTiny.
        pictures: uint8 array (n, 32, 32, 3).
        seed: int.
        steps: int, updates.
        batch: int, pictures an update.
        progress: bool, show a progress bar.
        saved: Path of a checkpoint, or None.
    """
    decoder = model.decoder.requires_grad_(True).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(decoder.parameters(), 2e-3, weight_decay=1e-3)
    config, modules = {"part": "decoder", "seed": seed, "steps": steps, "batch": batch}, {"decoder": decoder}
    for step in _steps(steps, "decoder", 2e-3, optimizer, config, modules, saved, progress):
        lots = torch.Generator().manual_seed(seed * 10**6 + step)
        chosen = checker.as_tensor(pictures[torch.randint(len(pictures), (batch,), generator=lots).numpy()])
        with torch.no_grad():
            latents = model.encoder(chosen)
            noise = torch.randn(latents.shape, generator=lots)
            latents = latents + 0.15 * torch.rand(batch, 1, 1, 1, generator=lots) * noise
        loss = functional.l1_loss(decoder(latents), chosen)
        _update(loss, decoder, optimizer)
    decoder.requires_grad_(False)


def _steps(steps, name, rate, optimizer, config, modules, saved, progress):
    """The steps that are left, with the rate of each set (a cosine to zero) and a checkpoint now and then."""
    first = checkpoints.resume(saved, config, modules, optimizer) if saved else 0
    for step in tqdm(range(first, steps), initial=first, total=steps, desc=name, disable=not progress):
        for group in optimizer.param_groups:
            group["lr"] = rate * min((step + 1) / 150, 0.5 + 0.5 * math.cos(math.pi * step / steps) + 1e-3)
        yield step
        if saved and ((step + 1) % _EVERY == 0 or step + 1 == steps):
            checkpoints.store(saved, step + 1, config, modules, optimizer)


def _update(loss, model, optimizer):
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


def denoiser(text_width, channels=CHANNELS, widths=(64, 96)):
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
    )


def prompt(scene, rng):
    """A caption in any form, and half of the time only what it says of some attributes, as found prompts do.

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


def train_denoiser(model, latents, truth, texts, *, seed=0, steps=STEPS, batch=64, rate=1.2e-3, progress=True, saved=None):
    """Train a UNet to predict velocity.

    Args:
        model: diffusers.UNet2DConditionModel.
        latents: float32 (n, c, 8, 8) of n pictures.
        truth: n `Scene`, what they show.
        texts: function of a list of str to float32 (n, t, d).
        seed: int.
        steps: int, updates.
        batch: int, pictures an update.
        rate: float, highest learning rate; it falls to zero along a cosine.
        progress: bool, show a progress bar.
        saved: Path of a checkpoint, or None.

    Returns:
        diffusers.UNet2DConditionModel, the moving average of the weights.

    Source:
        Velocity, arXiv:2202.00512 appendix D; captions left out for guidance, arXiv:2207.12598 section 3.2.
    """
    average, scheduler = copy.deepcopy(model).requires_grad_(False), noise_schedule()
    optimizer = torch.optim.AdamW(model.parameters(), rate, betas=(0.9, 0.99), weight_decay=0.01)
    config = {"part": "denoiser", "seed": seed, "steps": steps, "batch": batch, "rate": rate, "pictures": len(latents)}
    modules = {"model": model, "average": average}
    for step in _steps(steps, "denoiser", rate, optimizer, config, modules, saved, progress):
        lots, rng = torch.Generator().manual_seed(seed * 10**6 + step), random.Random(seed * 10**6 + step)
        rows = torch.randint(len(latents), (batch,), generator=lots)
        states = texts(["" if rng.random() < _DROPPED else prompt(truth[row], rng) for row in rows.tolist()])
        clean, noise = latents[rows], torch.randn(batch, *latents.shape[1:], generator=lots)
        spread = (torch.arange(batch) + torch.rand(batch, generator=lots)) / batch  # all noise levels in each batch
        times = (spread * scheduler.config.num_train_timesteps).long()
        predicted = model(scheduler.add_noise(clean, noise, times), times, states).sample
        _update(functional.mse_loss(predicted, scheduler.get_velocity(clean, noise, times)), model, optimizer)
        keep = min(_EMA, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - keep)
    return average


def train(folder, seed=0, steps=STEPS, progress=True):
    """Train a pipeline and write it to `folder` as `save_pretrained` does, in float16, with its card.

    Args:
        folder: str or Path of this model; replaced when the training is done. Its text encoder and tokenizer come from "clip"
            beside it; checkpoints lie beside it meanwhile.
        seed: int >= 0.
        steps: int, updates of the UNet.
        progress: bool, show a progress bar.

    Raises:
        ModelError: there is no CLIP beside the folder.
    """
    folder = Path(folder)
    clip = load_clip(str(folder.with_name("clip")), device="cpu")
    encoder = transformers.CLIPTextModel(clip.model.config.text_config).eval().requires_grad_(False)
    encoder.load_state_dict(text_tower(clip.model))
    truth = scenes.scenes(PICTURES, seed)
    pictures = render_all(truth, seed * PICTURES)
    torch.manual_seed(seed)
    vae = autoencoder(checker.as_tensor(pictures[:8000]))
    saved = folder.with_name(f".{folder.name}.decoder")
    train_decoder(vae, pictures, seed=seed, steps=DECODER_STEPS, progress=progress, saved=saved)
    with torch.no_grad():
        latents = torch.cat([vae.encoder(chunk) for chunk in map(checker.as_tensor, np.array_split(pictures, 40))])
    del pictures
    torch.manual_seed(seed + 1)
    unet = denoiser(encoder.config.hidden_size)
    texts = _Texts(clip.tokenizer, encoder)
    checkpoint = folder.with_name(f".{folder.name}.checkpoint")
    unet = train_denoiser(unet, latents, truth, texts, seed=seed, steps=steps, progress=progress, saved=checkpoint)
    save(folder, vae, unet, encoder, clip.tokenizer, seed, steps)
    checkpoints.remove(saved)
    checkpoints.remove(checkpoint)


def save(folder, vae, unet, encoder, tokenizer, seed, steps):
    """Write the parts as a StableDiffusionPipeline, float16, and its card; then measure what was written.

    There is no safety checker: it can draw nothing that would need one.
    """
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline(vae, encoder, tokenizer, unet, noise_schedule(), None, None, requires_safety_checker=False)
    with checkpoints.whole_folder(folder) as temporary:
        pipe.to(torch.float16).save_pretrained(temporary, safe_serialization=True)
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
    pipeline, judge, figures = (
        load_pipeline(str(folder), device="cpu"),
        checker.load_checker(Path(folder).with_name("checker")),
        {},
    )
    for split in ("train", "held_out"):
        truth = scenes.scenes(n, _FRESH + seed, split=split)
        forms = [scenes.FORMS[i % len(scenes.FORMS)] for i in range(n)]
        prompts = [scenes.caption(scene, form, _FRESH + i) for i, (scene, form) in enumerate(zip(truth, forms, strict=True))]
        pictures = pipeline.draw(prompts, steps=20, guidance=3.0, seed=_FRESH + seed, batch=40)
        figures |= {f"{split} {name}": value for name, value in judge.accuracy(pictures, truth).items()}
    return figures
