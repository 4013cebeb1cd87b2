"""Lexicon: example phrases of each kind that prompts have, from which a code gets its name. Data: lexicon.json."""

import json
from functools import cache
from importlib import resources


@cache
def phrases():
    """The lists, read once: dict of kind ("subject", "medium", "artist", ...) -> tuple of phrases."""
    text = resources.files("workbench.language").joinpath("lexicon.json").read_text("utf-8")
    return {kind: tuple(listed) for kind, listed in json.loads(text).items()}
