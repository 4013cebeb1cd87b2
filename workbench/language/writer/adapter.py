"""Adapter: a pretrained language model that stays as it is, and the few weights that bend it to a corpus (LoRA)."""

import os
import warnings

import numpy as np
import torch

from workbench.models import load_lm, smollm2
from workbench.models.loading import cached, quiet
from workbench.values import ArtifactError, ModelError

RANK = 16  # of the two factors of each change of a weight
_SCALE = 2.0  # that a change is multiplied by
_ROOM = 150  # bytes of memory for each hidden number of a layer at a position, in training


def load_base(name):
    """A pretrained causal language model to learn from: `LM` in bfloat16, frozen, with plain attention.

    Args:
        name: str, as of `models.load_lm`.

    Raises:
        ModelError: it cannot be found or read; or it is none whose embeddings can be given.
    """
    lm = load_lm(name, dtype="bfloat16")
    # The gradient of SDPA in bfloat16 is 8 times slower than plain matmul-softmax-matmul on a CPU.
    lm.model.set_attn_implementation("eager")
    for weights in lm.model.requires_grad_(False).parameters():  # not `model.to`: positions stay in float32
        weights.data = weights.data.to(products())
    return lm


def products():
    """The type that matrices are multiplied in: bfloat16 where this CPU can, since elsewhere it is 7 times slower."""
    return torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32


def check_memory(lm, positions):
    """Raise `ModelError` if a training step of so many positions needs more memory than there is."""
    config = lm.model.config
    need = 1.5e9 + positions * config.num_hidden_layers * config.hidden_size * _ROOM
    free = smollm2.free_memory()
    if free is not None and need > free:
        raise ModelError(
            f"To learn with {lm.name} takes about {need / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free. Close other "
            "programs, or leave the decoder out: WriterConfig(decoder=None)."
        )


class Adapter:
    """A base with a change of low rank for each of its projections, and a bias for each piece of its output.

    Args:
        lm: `LM` from `load_base`; its model is changed in place.
        pieces: int64 (v - 1,), ids of the base that are read and written; 0 stands for the end, i + 1 for pieces[i].
        seed: int.

    Attributes:
        weights: torch ParameterDict, float32, all that is learned.

    Source:
        LoRA: Hu et al., arXiv:2106.09685.
    """

    def __init__(self, lm, pieces, seed=0):
        peft = import_peft()
        tokenizer, config = lm.tokenizer, lm.model.config
        begin, end = (
            next((one for one in some if isinstance(one, int)), 0)
            for some in ((tokenizer.bos_token_id, config.bos_token_id), (tokenizer.eos_token_id, config.eos_token_id))
        )
        with torch.random.fork_rng(devices=[]), quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a name that will go
            torch.manual_seed(seed)
            options = peft.LoraConfig(r=RANK, lora_alpha=_SCALE * RANK, target_modules="all-linear", task_type="CAUSAL_LM")
            self._bent = peft.get_peft_model(lm.model, options)
        self._model = lm.model.base_model  # without its head
        embedding, head = lm.model.get_input_embeddings().weight, lm.model.get_output_embeddings().weight
        ids = torch.from_numpy(np.asarray(pieces))
        self._read = torch.cat([embedding[[begin]], embedding[ids]]).float()
        self._head = torch.cat([head[[end]], head[ids]])
        learned = {name.replace(".", "/"): p for name, p in self._bent.named_parameters() if p.requires_grad}
        self.weights = torch.nn.ParameterDict({**learned, "bias": torch.zeros(len(self._head))})

    def hidden(self, pieces, past=None):
        """Hidden states after pieces, the beginning being piece 0: (n, t, d) of int64 (n, t), with grads; `past` is a cache."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self._head.dtype == torch.bfloat16):
            found = self._model(inputs_embeds=self._read[pieces], past_key_values=past, use_cache=past is not None)
        return found.last_hidden_state

    def logits(self, hidden):
        """float32 (m, v) of hidden states (m, d)."""
        return (hidden.to(self._head.dtype) @ self._head.T).float() + self.weights["bias"]

    def merge(self):
        """Put the changes into the weights of the base, in float32: so it writes faster, and scores as it writes."""
        for weights in self._bent.parameters():
            weights.data = weights.data.float()
        self._bent.merge_and_unload()
        self._head = self._head.float()
        self.weights.requires_grad_(False)

    def state(self):
        """The learned weights as float16 arrays: dict."""
        return {name: p.detach().numpy().astype(np.float16) for name, p in self.weights.items()}

    def load(self, arrays):
        """Take the weights of `state`; ValueError if they are not those of this base."""
        expected = {name: tuple(p.shape) for name, p in self.weights.items()}
        found = {name: array.shape for name, array in arrays.items()}
        if expected != found:
            raise ValueError(f"the adapter has {len(found)} weights that do not fit the {len(expected)} of its base")
        with torch.no_grad():
            for name, p in self.weights.items():
                p.copy_(torch.from_numpy(arrays[name].astype(np.float32)))


def import_peft():
    """The library peft, which is no dependency of the package."""
    try:
        import peft
    except ImportError as err:
        raise ImportError("A pretrained decoder needs peft: pip install 'workbench[decoder]', or pip install peft.") from err
    return peft


def local(name):
    """The name of a base that a saved decoder gives, if it is on this machine: somebody else's folder downloads nothing.

    Raises:
        ArtifactError: it is not.
    """
    if name not in ("smollm2", "world") and not os.path.isdir(name) and cached(name) is None:
        raise ArtifactError(
            f"This decoder was learned with {name!r}, which is not on this machine, and using a saved language downloads nothing "
            f"by itself. If you trust that name: models.load_lm({name!r}) fetches it."
        )
    return name
