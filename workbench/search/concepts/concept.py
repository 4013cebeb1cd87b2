"""A concept: the vectors of new words and the weights that changed, tied to the pipeline they were learned with."""

import copy
import re
from dataclasses import asdict, dataclass, replace

import numpy as np
import safetensors.numpy
import torch

from workbench import checks, files
from workbench.artifacts import Saved, check_layout
from workbench.models.loading import quiet
from workbench.search.concepts.config import ConceptConfig
from workbench.search.visual.towers import sha256
from workbench.values import ArtifactError, ModelError

WORD = re.compile(r"<[^<>\s]+>")
STOPPED = ("steps", "interrupted", "merged")
WORDS_FILE, WEIGHTS_FILE = "learned_embeds.safetensors", "pytorch_custom_diffusion_weights.safetensors"
_READERS = (".attn2.to_k.weight", ".attn2.to_v.weight")  # keys and values of cross-attention


@dataclass(frozen=True, eq=False)
class Concept(Saved):
    """New words of a pipeline, and the weights that were changed for them.

    Attributes:
        words: dict of word, such as "<lava>" -> float32 array (k, w), its vectors.
        weights: dict of the name of a weight of the UNet -> float32 array, its new value; empty where words alone were learned.
        config: `ConceptConfig`.
        sha256: str, of the weights of text encoder and UNet; another pipeline is refused.
        history: tuple of dicts, one for each 10 steps: `step`, `loss`, and `kept` where old captions were given.
        stopped: str, "steps", "interrupted" or "merged".

    Source:
        Gal et al., "An Image is Worth One Word", arXiv:2208.01618; Kumari et al., "Multi-Concept Customization of Text-to-Image
        Diffusion", arXiv:2212.04488.
    """

    kind = "concept"
    words: dict
    weights: dict
    config: ConceptConfig
    sha256: str
    history: tuple = ()
    stopped: str = "steps"

    def __repr__(self):
        return f"Concept({', '.join(self.words)}; {self.size:,} numbers, {self.config.how!r})"

    @property
    def size(self):
        """How many numbers were learned: int."""
        return sum(array.size for array in (*self.words.values(), *self.weights.values()))

    def on(self, pipeline):
        """The pipeline that knows the new words.

        Args:
            pipeline: the `models.Pipeline` the concept was learned with; it stays as it is. Only parts that differ are copied.

        Returns:
            `models.Pipeline`, whose prompts may hold the words.

        Raises:
            ModelError: another pipeline.
            ValueError: the tokenizer has one of the words already.
        """
        check_same(pipeline, self.sha256)
        pipe = pipeline.pipe
        tokenizer = with_words(pipe.tokenizer, {word: len(rows) for word, rows in self.words.items()})
        encoder = copy.deepcopy(pipe.text_encoder)
        first = len(tokenizer) - sum(map(len, self.words.values()))
        table = encoder.get_input_embeddings().weight
        with quiet():
            encoder.resize_token_embeddings(max(len(tokenizer), len(table)), mean_resizing=False)
        with torch.no_grad():
            table = encoder.get_input_embeddings().weight
            table[first : len(tokenizer)] = torch.from_numpy(np.concatenate(list(self.words.values()))).to(table)
        unet = copy.deepcopy(pipe.unet) if self.weights else pipe.unet
        with torch.no_grad():
            named = dict(unet.named_parameters())
            for name, value in self.weights.items():
                named[name].copy_(torch.from_numpy(value))
        known = copy.copy(pipe)
        known.register_modules(tokenizer=tokenizer, text_encoder=encoder.requires_grad_(False), unet=unet)
        return replace(pipeline, pipe=known)

    def export(self, folder):
        """Write what diffusers loads.

        Words: `pipe.load_textual_inversion(file)`. Weights: `pipe.unet.load_attn_procs(folder, weight_name=file.name,
        _pipeline=pipe)`; diffusers 0.42 changes nothing without `_pipeline`.

        Args:
            folder: str or Path, new or empty. One `learned_embeds.safetensors` a word, named `lava.safetensors` where there are
                several (`lava-2.safetensors` where two would have one name), and `pytorch_custom_diffusion_weights.safetensors`.

        Returns:
            list of Path, the files; that of the weights, if there is one, is the last.

        Raises:
            ValueError: weights beyond cross-attention, which these formats do not hold.
            ArtifactError: the folder holds something.
        """
        if not all(name.endswith(_READERS) for name in self.weights):
            raise ValueError(
                "The formats of diffusers for concepts hold words and cross-attention only. Save the pipeline instead: "
                "concept.on(pipeline).pipe.save_pretrained(folder)."
            )
        folder = files.path(folder, "folder")
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ArtifactError(f"{folder} is not empty. Give a new folder: nothing was written.")
        files.make_folder(folder)
        names, out = [WORDS_FILE] if len(self.words) == 1 else _file_names(self.words), []
        for name, (word, rows) in zip(names, self.words.items(), strict=True):
            out.append(_written(folder / name, {word: rows if len(rows) > 1 else rows[0]}))
        if self.weights:
            named = {_of_processor(name): value for name, value in self.weights.items()}
            for name in self.weights:  # diffusers wants a row for each attention; that to the picture itself is as it was
                named[f"{name.rsplit('.attn2.', 1)[0]}.attn1.processor"] = np.zeros(0, np.float32)
            out.append(_written(folder / WEIGHTS_FILE, named))
        return out

    def to_state(self):
        """Config (JSON values) and tensors that `from_state` reads."""
        config = {"words": list(self.words), "options": asdict(self.config), "sha256": self.sha256}
        tensors = {f"word.{word}": rows for word, rows in self.words.items()}
        tensors |= {f"weight.{name}": value for name, value in self.weights.items()}
        return {**config, "history": list(self.history), "stopped": self.stopped}, tensors

    @classmethod
    def from_state(cls, config, tensors):
        """The `Concept` that `to_state` described; KeyError, TypeError or ValueError for what is none."""
        checks.one_of("stopped", config["stopped"], STOPPED)
        words = {word: tensors[f"word.{word}"] for word in checks.texts(config["words"], "words")}
        check_layout(tensors, {f"word.{word}": f"float32 k{i} w" for i, word in enumerate(words)})
        weights = {name.removeprefix("weight."): value for name, value in tensors.items() if name.startswith("weight.")}
        options, history = ConceptConfig(**config["options"]), tuple(dict(row) for row in config["history"])
        return cls(words, weights, options, config["sha256"], history, config["stopped"])


def check_same(pipeline, expected):
    """Refuse another pipeline than that with the sum `expected`."""
    found = sum_of(pipeline)
    if found != expected:
        raise ModelError(
            f"This concept was learned with another pipeline: the sha256 of its weights is {found[:12]}..., expected "
            f"{expected[:12]}.... Load the old one, or learn the concept again."
        )


def sum_of(pipeline):
    """The sha256 of the text encoder and of the UNet of a pipeline, joined: str."""
    check_parts(pipeline)
    return sha256(pipeline.pipe.text_encoder)[:32] + sha256(pipeline.pipe.unet)[:32]


def check_parts(pipeline):
    """Refuse what has not the parts that are needed here.

    Raises:
        ModelError: no pipeline, or one with other parts or another precision.
    """
    pipe = getattr(pipeline, "pipe", None)
    lacking = [part for part in ("tokenizer", "text_encoder", "unet", "vae", "scheduler") if getattr(pipe, part, None) is None]
    if lacking:
        raise ModelError(
            f"New words need a pipeline with tokenizer, text encoder, UNet, VAE and scheduler; {type(pipe or pipeline).__name__} "
            f"has no {', no '.join(lacking)}. Load one such as load_pipeline('world') or a Stable Diffusion."
        )
    if getattr(pipe, "text_encoder_2", None) is not None:
        raise ModelError(f"{type(pipe).__name__} reads with two text encoders; pipelines with one are supported.")
    for part in ("text_encoder", "unet", "vae"):
        if (dtype := getattr(pipe, part).dtype) != torch.float32:
            raise ModelError(f"New words need a pipeline in float32, its {part} has {dtype}: pipe.to(torch.float32).")


def readers(unet):
    """Names of the keys and values of cross-attention of a UNet: list of str."""
    return [name for name, _ in unet.named_parameters() if name.endswith(_READERS)]


def with_words(tokenizer, words):
    """A copy of a tokenizer that knows new words, named as diffusers does: "<lava>", "<lava>_1", ...

    Args:
        tokenizer: of a pipeline.
        words: dict of word -> int, how many vectors it has.

    Raises:
        ValueError: the tokenizer has one already.
    """
    known = tokenizer.get_vocab()
    for word in words:
        if word in known:
            raise ValueError(
                f"This pipeline has a word {word} already. Take another name, or the pipeline as it was before it learned."
            )
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.add_tokens([token for word, count in words.items() for token in tokens_of(word, count)])
    return tokenizer


def tokens_of(word, count):
    """The tokens of a word with several vectors, as diffusers names them: list of str."""
    return [word, *(f"{word}_{i}" for i in range(1, count))]


def _file_names(words):
    """A file for each word, named like it; no two names are equal, also where upper and lower case are one: list of str."""
    out = {}
    for word in words:
        stem, number = re.sub(r"[^0-9A-Za-z_-]", "", word) or "word", 1
        name = stem
        while name.lower() in out:
            name, number = f"{stem}-{number + 1}", number + 1
        out[name.lower()] = f"{name}.safetensors"
    return list(out.values())


def _of_processor(name):
    """The name of a weight in diffusers' file: ".attn2.to_k.weight" is ".attn2.processor.to_k_custom_diffusion.weight"."""
    return re.sub(r"\.attn2\.(to_[kv])\.weight$", r".attn2.processor.\1_custom_diffusion.weight", name)


def _written(path, tensors):
    with files.atomic_path(path) as temporary:
        temporary.write_bytes(safetensors.numpy.save({name: np.ascontiguousarray(x) for name, x in tensors.items()}))
    return path
