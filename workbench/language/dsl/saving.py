"""Saving: a learned language as JSON values and arrays, and back. The encoder is named, not stored."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from workbench import artifacts
from workbench.language import prior, writer
from workbench.language.codebook import Codebook
from workbench.language.dsl.learned import Code, DSLConfig, Fillers, Learned, TemplateCount
from workbench.language.dsl.weighing import Ranking
from workbench.language.ngram import KneserNey
from workbench.language.units import Units
from workbench.values import ArtifactError

KIND = "deep-dsl"
BUILT_IN = Path(__file__).parents[2] / "world" / "dsl"  # made by tools/world_dsl.py
_REMAKE = "Make the language anew with this version, DeepDSL.fit(prompts), and keep it with .save(folder), another folder."


def _parts():
    """The classes of the saved parts by name; all but the first two belong to the writing half."""
    writing = {"writer": writer.Writer, "prior": prior.TemplatePrior, "ngram": KneserNey, "ranking": Ranking}
    return {"units": Units, "codebook": Codebook, **writing, "decoder": writer.Decoder}


def to_state(learned):
    """Config (JSON values) and tensors (dict of arrays) of a `Learned`, which `load` reads."""
    parts = [name for name in list(_parts())[: 2 if learned.writer is None else None] if getattr(learned, name) is not None]
    config = {
        "seed": learned.config.seed,
        "encoder": {name: getattr(learned.encoder, name) for name in ("name", "fingerprint", "layer")},
        **{name: [list(row) for row in getattr(learned, name)] for name in ("codes", "templates", "segments")},
        "fillers": list(learned.fillers.texts),
        "stats": learned.stats,
        "parts": {},
    }
    tensors = {f"fillers.{name}": getattr(learned.fillers, name) for name in ("codes", "counts")}
    tensors["fillers.vectors"] = learned.fillers.vectors.astype(np.float16)
    tensors["transitions"] = learned.transitions
    for name in parts:
        config["parts"][name], arrays = getattr(learned, name).to_state()
        tensors |= {f"{name}.{key}": array for key, array in arrays.items()}
    return config, tensors


def load(folder, encoder):
    """See `DeepDSL.load`. `Learned`."""
    if isinstance(folder, str) and folder == "world" and not Path(folder).is_dir():
        folder = BUILT_IN
    return artifacts.restored(_learned, folder, KIND, folder, encoder, remake=_REMAKE)


def _learned(config, tensors, folder, encoder):
    parts = {}
    for name, cls in _parts().items():
        if name in config["parts"]:
            arrays = {key.removeprefix(f"{name}."): array for key, array in tensors.items() if key.startswith(f"{name}.")}
            parts[name] = cls.from_state(config["parts"][name], arrays)
    stages = {name: parts[name].config for name in ("units", "codebook", "prior", "ngram") if name in parts}
    writes = parts["writer"].config if "writer" in parts else None
    if "decoder" in parts:
        found = parts["decoder"].config
        writes = replace(writes, decoder=found.base, decoder_steps=found.steps)
    options = DSLConfig(**stages, writer=writes, seed=config["seed"])
    for name in ("templates", "segments"):
        parts[name] = tuple(TemplateCount(s, n, tuple(examples)) for s, n, examples in config[name])
    parts["codes"] = tuple(Code(*row, tuple(map(tuple, some)), literal) for *row, some, literal in config["codes"])
    _check(config, tensors, len(parts["codes"]), parts["codebook"])
    arrays = [tensors["fillers.codes"], tensors["fillers.counts"], tensors["fillers.vectors"].astype(np.float32)]
    parts |= {"fillers": Fillers(tuple(config["fillers"]), *arrays), "transitions": tensors["transitions"]}
    return Learned(options, _encoder(config["encoder"], folder, encoder), stats=config["stats"], **parts)


def _check(config, tensors, k, codebook):
    """Raise ValueError for arrays that do not fit to the k codes and to each other."""
    layout = {
        "fillers.codes": "int64 m",
        "fillers.counts": "int64 m",
        "fillers.vectors": "float16 m w",
        "transitions": "float32 n n",
    }
    sizes = artifacts.check_layout(tensors, layout)
    expected = {"m": len(config["fillers"]), "w": codebook.vectors_.shape[1], "n": k + 1}
    if sizes != expected or len(codebook.vectors_) != k or not all(isinstance(text, str) for text in config["fillers"]):
        raise ValueError(f"the fillers and transitions have the sizes {sizes}, expected {expected} and {k} codes")
    codes = tensors["fillers.codes"]
    if not 0 <= codes.min(initial=0) <= codes.max(initial=0) < k or tensors["fillers.counts"].min(initial=0) < 0:
        raise ValueError(f"the fillers have codes beyond 0..{k - 1}, or counts below 0")


def _encoder(saved, folder, encoder):
    """The encoder that a language was learned with, or an error if `encoder` is another one."""
    from workbench.models import Encoder, load_encoder
    from workbench.models.encoder import DEFAULT

    if encoder is None and saved["name"] != DEFAULT and not os.path.isdir(saved["name"]):
        encoder = _downloaded(saved, folder)
    if not isinstance(encoder, Encoder):
        encoder = load_encoder(encoder or saved["name"], layer=saved["layer"])
    if encoder.fingerprint != saved["fingerprint"]:
        raise ArtifactError(
            f"{folder} was learned with another encoder than {encoder.name!r}: its codes would mean nothing. "
            f"Load it with encoder={saved['name']!r}, layer {saved['layer']}."
        )
    return encoder


def _downloaded(saved, folder):
    """The encoder that a saved language names, from the cache of the hub: a folder of somebody else asks no network."""
    from workbench.models import load_encoder
    from workbench.models.loading import cached

    config = cached(saved["name"])
    if config is None:
        raise ArtifactError(
            f"{folder} was learned with the encoder {saved['name']!r}, which is not on this machine, and loading a folder "
            f"downloads nothing by itself. If you trust that name: DeepDSL.load(folder, encoder={saved['name']!r})."
        )
    return replace(load_encoder(Path(config).parent, layer=saved["layer"]), name=saved["name"])
