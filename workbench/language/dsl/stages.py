"""Stages: the finished parts of a fit, each in a folder of its own that is named after all that it depends on."""

import hashlib
import json
import shutil
from dataclasses import asdict

from workbench import artifacts
from workbench.values import ArtifactError

_RECIPE = 5  # raise it when a change of code changes what a finished stage holds


def fit_key(corpus, config, encoder, codes):
    """Name of a fit: the same for the same prompts, options, encoder and given codes."""
    options = {name: value for name, value in asdict(config).items() if name not in ("writer", "prior", "ngram")}
    return _digest([corpus.fingerprint, options, encoder.fingerprint, list(codes.items())])[:24]


def part_key(*options):
    """Name of a writing part within a fit, by the options that it depends on (JSON values)."""
    return _digest(options)[:12]


def _digest(values):
    return hashlib.sha256(json.dumps([_RECIPE, *values], sort_keys=True).encode()).hexdigest()


def finished(folder, kind, cls, learn):
    """An object of class `cls` from its folder; if that is missing or damaged, what `learn()` gives, which is kept there."""
    if folder.is_dir():
        try:
            return artifacts.restored(cls.from_state, folder, kind)
        except ArtifactError:
            shutil.rmtree(folder)  # `save` refuses to write over a broken config
    found = learn()
    artifacts.save(folder, kind, *found.to_state())
    return found
