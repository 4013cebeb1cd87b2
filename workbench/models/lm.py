"""A causal language model."""

from dataclasses import dataclass

import torch
import transformers

from workbench.models.loading import FAILURES, check_complete, load_tokenizer, not_found, quiet, source


@dataclass(frozen=True, eq=False)
class LM:
    """A causal language model.

    Attributes:
        name: str, as it was asked for.
        model: transformers model with a language modelling head, float32, in evaluation mode.
        tokenizer: its fast tokenizer.
    """

    name: str
    model: torch.nn.Module
    tokenizer: object


def load_lm(name):
    """Load a causal language model. Only safetensors are read and no code that comes with a model is run.

    Args:
        name: str, hub id, or folder as `save_pretrained` writes it; `"world"` is the tiny one that comes with the package and
            knows only captions of the built-in picture world.

    Returns:
        `LM`, on the CPU.

    Raises:
        ModelError: it cannot be found or read, its weights are incomplete, or it has no fast tokenizer.
    """
    folder = source(name, "lm")
    try:
        tokenizer = load_tokenizer(folder, name)
        with quiet():
            model, info = transformers.AutoModelForCausalLM.from_pretrained(
                folder, use_safetensors=True, trust_remote_code=False, output_loading_info=True
            )
    except FAILURES as err:
        raise not_found("causal language model", folder, err) from err
    check_complete(name, info["missing_keys"])
    return LM(str(name), model.float().eval(), tokenizer)
