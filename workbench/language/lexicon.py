"""Lexicon: phrases of each kind that prompts have. They anchor codes, and name others. Data: lexicon.txt."""

from functools import cache
from importlib import resources


@cache
def phrases():
    """The lists, read once: dict of kind ("person", "medium", ...) -> tuple of phrases in lower case, in one kind each."""
    kinds = {}
    for line in resources.files("workbench.language").joinpath("lexicon.txt").read_text("utf-8").splitlines():
        if line.startswith("["):
            listed = kinds.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            listed += line.split(", ")
    return {kind: tuple(listed) for kind, listed in kinds.items()}
