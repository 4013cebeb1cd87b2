"""Portable: what transformers 5 writes, put into the form that 4.55 reads too. Names change, weights do not."""

import safetensors.torch

from workbench import files

_FAST = "PreTrainedTokenizerFast"  # its name from 4 on; that of 5 is unknown before


def tokenizer(folder):
    """Name the class of a saved tokenizer as all versions do.

    Args:
        folder: Path with a tokenizer_config.json.
    """
    path = folder / "tokenizer_config.json"
    known = ("tokenizer_class", "bos_token", "eos_token", "pad_token", "unk_token", "model_max_length")
    config = {key: value for key, value in files.read_json(path).items() if key in known}
    files.write_json(path, config | {"tokenizer_class": _FAST, "clean_up_tokenization_spaces": False})


def pipeline(folder):
    """Rewrite a saved StableDiffusionPipeline: class of the tokenizer, and the names of the weights of its text encoder.

    Without the prefix "text_model." transformers 4 would find no weights, and draw at random.

    Args:
        folder: Path with a model_index.json.
    """
    tokenizer(folder / "tokenizer")
    index = files.read_json(folder / "model_index.json")
    files.write_json(folder / "model_index.json", index | {"tokenizer": ["transformers", _FAST]})
    path = folder / "text_encoder" / "model.safetensors"
    tensors = {f"text_model.{key.removeprefix('text_model.')}": value for key, value in safetensors.torch.load_file(path).items()}
    with files.atomic_path(path) as temporary:
        safetensors.torch.save_file(tensors, temporary, metadata={"format": "pt"})
