"""A text-to-image pipeline."""

import os
import warnings
from dataclasses import dataclass

import torch

from workbench import checks
from workbench.models.loading import FAILURES, frozen, not_found, place, quiet, source
from workbench.values import ModelError


@dataclass(frozen=True, eq=False)
class Pipeline:
    """A frozen text-to-image pipeline.

    Attributes:
        name: str, as it was asked for.
        source: str, the folder or hub id it was loaded from.
        pipe: diffusers.DiffusionPipeline; call `pipe(...)` for all its options.
    """

    name: str
    source: str
    pipe: object

    def __repr__(self):
        return f"Pipeline({self.name!r}, {type(self.pipe).__name__}, device={str(self.device)!r})"

    @property
    def device(self):
        """torch.device the weights are on."""
        return self.pipe.device

    def draw(self, prompts, *, negative=None, steps=None, guidance=None, seed=0, batch=16):
        """Draw a picture for each prompt.

        Args:
            prompts: str or list of n str.
            negative: str or None, what the pictures should not show.
            steps: int, denoising steps, >= 1; None takes 4 for the built-in pipeline, which needs no more, 20 for others.
            guidance: float, weight of classifier-free guidance, 1 is none; None takes 3 for the built-in pipeline, and the
                pipeline's own default for others.
            seed: int, or a list of n int, one for each picture. Picture i of a call depends on `prompts[i]`, `seed + i` (or
                `seed[i]`) and the options alone, not on its neighbours.
            batch: int, pictures drawn at once, >= 1.

        Returns:
            list of n PIL images.

        Warns:
            UserWarning: prompts with more tokens than the pipeline reads; how many, and what of the first is not drawn.

        Raises:
            TypeError: prompts that are not str.
            ValueError: no prompts, or an option out of range.
        """
        prompts = [prompts] if isinstance(prompts, str) else list(prompts)
        if not all(isinstance(prompt, str) for prompt in prompts):
            raise TypeError("draw takes a str or a list of str.")
        steps = steps if steps is not None else 4 if self.name == "world" else 20
        if not prompts or steps < 1 or batch < 1:
            raise ValueError(f"draw needs prompts, steps >= 1 and batch >= 1; got {len(prompts)}, {steps} and {batch}.")
        seeds = seed if isinstance(seed, (list, tuple)) else [checks.seed(seed) + i for i in range(len(prompts))]
        if len(seeds) != len(prompts):
            raise ValueError(f"draw needs a seed for each of {len(prompts)} prompts, or one int; got {len(seeds)} seeds.")
        seeds = [checks.seed(one) for one in seeds]
        options = {"num_inference_steps": steps}
        if guidance is not None or self.name == "world":
            options["guidance_scale"] = 3.0 if guidance is None else float(guidance)
        out = []
        with quiet(), _quiet_diffusers():  # which would say what is cut for each batch anew, padding and all
            self._warn_of_cut(prompts)
            for start in range(0, len(prompts), batch):
                chunk = prompts[start : start + batch]
                draws = [torch.Generator("cpu").manual_seed(one) for one in seeds[start : start + batch]]
                against = None if negative is None else [negative] * len(chunk)
                with torch.inference_mode():
                    out += self.pipe(chunk, negative_prompt=against, generator=draws, **options).images
        return out

    def _warn_of_cut(self, prompts):
        readers = [getattr(self.pipe, name, None) for name in ("tokenizer", "tokenizer_2", "tokenizer_3")]
        reader = max((one for one in readers if one is not None), key=lambda one: one.model_max_length, default=None)
        if reader is None:
            return
        window = reader.model_max_length
        long = [ids for ids in reader(list(prompts))["input_ids"] if len(ids) > window]
        if long:
            lost = reader.decode(long[0][window - 1 : -1]).strip()  # the end token takes the last place
            warnings.warn(
                f"{len(long)} of {len(prompts)} prompts have more than the {window} tokens that the pipeline reads; what comes "
                f"later is not drawn. Of the first of them that is {lost!r}.",
                stacklevel=3,
            )


def _quiet_diffusers():
    import diffusers

    return quiet(diffusers.utils.logging)


def load_pipeline(name="world", device=None):
    """Load a text-to-image pipeline. Only safetensors are read and no code that comes with a model is run.

    A folder that holds program files, or names classes other than those of transformers and diffusers, is refused before
    diffusers sees it; so is what is downloaded for a hub id.

    Args:
        name: str; `"world"` is the tiny `StableDiffusionPipeline` that comes with the package and draws only the built-in
            picture world, 32 x 32. Otherwise a hub id such as `"stable-diffusion-v1-5/stable-diffusion-v1-5"`, or a folder.
        device: str or torch.device; None takes a CUDA GPU if there is one, otherwise the CPU.

    Returns:
        `Pipeline`, float32, without progress bars.

    Raises:
        ModelError: it cannot be found or read, it holds or names code, its weights are a pickle or not finite, or
            diffusers is not installed.
    """
    folder = source(name, "pipeline")
    try:
        import diffusers  # seconds to import, and only this function needs it
    except ImportError as err:
        raise ModelError("Drawing pictures needs diffusers: pip install diffusers") from err
    try:
        with quiet(), quiet(diffusers.utils.logging), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pillow, torchvision and deprecated names inside diffusers
            local = folder
            if not os.path.isdir(folder):  # what was downloaded is looked at as every folder is
                local = place(diffusers.DiffusionPipeline.download(folder, use_safetensors=True, trust_remote_code=False))
            pipe = diffusers.DiffusionPipeline.from_pretrained(local, use_safetensors=True, torch_dtype=torch.float32)
    except FAILURES as err:
        raise not_found("text-to-image pipeline", folder, err) from err
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            frozen(part, name)
    pipe.set_progress_bar_config(disable=True)
    return Pipeline(str(name), folder, pipe.to(device or ("cuda" if torch.cuda.is_available() else "cpu")))
