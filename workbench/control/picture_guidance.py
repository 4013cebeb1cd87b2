"""Picture guidance: while a pipeline draws what a prompt says, pictures or texts pull it, by the gradient of a CLIP.

It is for what has no word. Where there is one, write it into the prompt: that is surer, faster and free of tricks.
"""

import copy
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.nn import functional

from workbench import checks
from workbench.models.clip import CLIP, pooled, target_of
from workbench.pictures import is_named
from workbench.values import ModelError


class Guide(NamedTuple):
    """What pulls: a text, a picture or its path, or a list of pictures for what they share; a weight below 0 pushes away."""

    what: object
    weight: float = 1.0


@dataclass(frozen=True)
class GuidanceConfig(checks.Options):
    """Options of `picture_guidance.draw`.

    Attributes:
        scale: float >= 0, how strongly all guides together pull; 0 is the pipeline alone.
        steps: int, denoising steps.
        guidance: float or None, weight of the prompt, as in `Pipeline.draw`.
        cutouts: int, parts of the picture that are looked at besides the whole, at random places and sizes in each step, the same
            for all pictures of a call.
        seed: int.

    Raises:
        ValueError: an option out of its range.
    """

    scale: float = 100.0
    steps: int = 10
    guidance: float | None = None
    cutouts: int = 0
    seed: int = 0

    def __post_init__(self):
        prompt = {} if self.guidance is None else {"guidance": ()}
        self.check(wholes={"steps": 1, "cutouts": 0}, numbers={"scale": (0,), **prompt})


def draw(pipeline, clip, prompts, guides, config=None, *, batch=32):
    """Draw a picture for each prompt, pulled by guides.

    Args:
        pipeline: `models.Pipeline` with a UNet, whose scheduler keeps the variance (DDIM, DDPM, PNDM).
        clip: `models.CLIP` that judges how near picture and guides are.
        prompts: str or list of n str, what else the pictures should show.
        guides: list of `Guide`, or one thing that pulls.
        config: `GuidanceConfig`; None takes the defaults.
        batch: int, pictures drawn at once.

    Returns:
        list of n PIL images. Picture i depends on its prompt, `seed + i` and the options. Without weights, or at scale 0, they
        are those of `pipeline.draw` to the bit.

    Raises:
        TypeError: prompts that are no str, no CLIP.
        ValueError: no guides or prompts, a weight that is no number.
        ModelError: a pipeline without the parts, or with another kind of scheduler.
        PictureError: a guide that is no picture.

    Source:
        Huang et al., "Draw Your Art Dream: Diverse Digital Art Synthesis with Multimodal Guided Diffusion", arXiv:2209.13360: a
        weighted spherical distance of CLIP features, of cutouts too, moves the mean of each step. Theirs has no text-to-image
        pipeline inside, and total variation besides.
    """
    config = config or GuidanceConfig()
    prompts = checks.texts([prompts] if isinstance(prompts, str) else prompts, "prompts")
    checks.whole("batch", batch)
    if not isinstance(clip, CLIP):
        raise TypeError(f"Guidance looks with a CLIP of models.load_clip, got {type(clip).__name__}.")
    targets, weights = _targets(clip, guides)
    if not config.scale or not len(targets):
        return pipeline.draw(prompts, steps=config.steps, guidance=config.guidance, seed=config.seed, batch=batch)
    _check(pipeline.pipe)
    out = []
    for at in range(0, len(prompts), batch):
        part = prompts[at : at + batch]
        out += _drawn(pipeline, clip, part, targets, weights, config, config.seed + at)
    return out


def _targets(clip, guides):
    """Features of the guides that weigh something, float32 (m, d), and their shares (m,)."""
    guides = guides if isinstance(guides, list) else [guides]
    guides = [one if isinstance(one, Guide) else Guide(one) for one in guides]
    if not guides:
        raise ValueError("There are no guides: give a picture, a text, or a list of Guide(what, weight).")
    for one in guides:
        checks.number("the weight of a guide", one.weight)
    guides = [one for one in guides if one.weight]
    total = sum(abs(one.weight) for one in guides)
    features = [clip.text_features(what)[0] if _is_text(what) else target_of(clip, what) for what, _ in guides]
    found = functional.normalize(torch.stack(features), dim=-1) if features else torch.zeros(0, clip.width)
    return found, torch.tensor([one.weight / total for one in guides], device=found.device)


def _is_text(what):
    return isinstance(what, str) and not is_named(what)


def _check(pipe):
    lacking = [part for part in ("unet", "vae", "scheduler", "text_encoder") if getattr(pipe, part, None) is None]
    if lacking:
        raise ModelError(f"Guidance needs a pipeline with a UNet; {type(pipe).__name__} has no {', no '.join(lacking)}.")
    if not hasattr(pipe.scheduler, "alphas_cumprod") or float(pipe.scheduler.init_noise_sigma) != 1:
        raise ModelError(
            f"Guidance needs a scheduler that keeps the variance, got {type(pipe.scheduler).__name__}. Set another: "
            "pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)."
        )


def _drawn(pipeline, clip, prompts, targets, weights, config, seed):
    """Pictures of one batch: the loop of the pipeline, with a pull after each step."""
    pipe, device, n = pipeline.pipe, pipeline.device, len(prompts)
    guidance = config.guidance if config.guidance is not None else 3.0 if pipeline.name == "world" else 7.5
    scheduler = copy.deepcopy(pipe.scheduler)
    draws = [torch.Generator("cpu").manual_seed(checks.seed(seed + i)) for i in range(n)]
    places = torch.Generator("cpu").manual_seed(config.seed)
    noise = pipe.prepare_extra_step_kwargs(draws, 0.0)  # of a scheduler that adds some in each step
    with torch.no_grad():
        states, none = pipe.encode_prompt(prompts, device, 1, guidance > 1)
        states = torch.cat([none, states]) if guidance > 1 else states
        scheduler.set_timesteps(config.steps, device=device)
        side = int(pipe.unet.config.sample_size) * pipe.vae_scale_factor
        z = pipe.prepare_latents(n, pipe.unet.config.in_channels, side, side, states.dtype, device, draws, None)
    for time in scheduler.timesteps:
        z = z.detach().requires_grad_()
        found = _predicted(pipe, scheduler, z, time, states, guidance)
        clean, spread = _clean(scheduler, found, z, time)
        far = _distance(pipe, clip, clean, targets, weights, config.cutouts, places)
        (gradient,) = torch.autograd.grad(far, z)  # through the UNet: at the predicted picture alone it hardly moves a style
        with torch.no_grad():
            z = scheduler.step(found.detach(), time, z, return_dict=False, **noise)[0] - config.scale * spread * gradient
    with torch.no_grad():
        pixels = pipe.vae.decode(z / pipe.vae.config.scaling_factor + _shift(pipe), return_dict=False)[0]
    return pipe.image_processor.postprocess(pixels.detach(), output_type="pil", do_denormalize=[True] * n)


def _predicted(pipe, scheduler, z, time, states, guidance):
    """What the UNet predicts, with classifier-free guidance, float32 (n, c, h, w)."""
    both = scheduler.scale_model_input(torch.cat([z, z]) if guidance > 1 else z, time)
    found = pipe.unet(both, time, encoder_hidden_states=states, return_dict=False)[0]
    if guidance <= 1:
        return found
    none, asked = found.chunk(2)
    return none + guidance * (asked - none)


def _clean(scheduler, found, z, time):
    """The clean latents that a prediction means, and the standard deviation of the noise in z: float."""
    kept = float(scheduler.alphas_cumprod[int(time)])
    signal, spread = math.sqrt(kept), math.sqrt(1 - kept)
    kind = scheduler.config.prediction_type
    if kind == "v_prediction":
        return signal * z - spread * found, spread
    return (found if kind == "sample" else (z - spread * found) / signal), spread


def _distance(pipe, clip, clean, targets, weights, cutouts, places):
    """Weighted spherical distance of pictures to the guides, summed over pictures: each has a gradient of its own."""
    pixels = pipe.vae.decode(clean / pipe.vae.config.scaling_factor + _shift(pipe), return_dict=False)[0]
    views = [pixels, *(_cutout(pixels, places) for _ in range(cutouts))]
    size = clip.model.config.vision_config.image_size
    views = [one if one.shape[-1] == size else functional.interpolate(one, (size, size), mode="bilinear") for one in views]
    seen = torch.cat(views).to(clip.device, torch.float32)  # which may be another device and type than those of the pipeline
    mean, std = (
        torch.tensor(x, device=clip.device)[:, None, None] for x in (clip.processor.image_mean, clip.processor.image_std)
    )
    features = pooled(clip.model.get_image_features(pixel_values=((seen + 1) / 2 - mean) / std))
    chord = (functional.normalize(features, dim=-1)[:, None] - targets).norm(dim=-1)
    return ((2 * torch.arcsin((chord / 2).clamp(max=1 - 1e-6)) ** 2) @ weights).sum() / len(views)


def _cutout(pixels, places):
    """A random square of pictures, of half of the side or more."""
    side = pixels.shape[-1]
    size = max(8, round(side * (0.5 + 0.5 * float(torch.rand((), generator=places)))))
    x, y = (int(torch.randint(side - size + 1, (), generator=places)) for _ in range(2))
    return pixels[..., y : y + size, x : x + size]


def _shift(pipe):
    return getattr(pipe.vae.config, "shift_factor", None) or 0
