"""Deep DSL workbench: learn the hidden grammar of text-to-image prompts, look at it, write with it."""

import importlib

__version__ = "0.2.0"

# Public name -> where it lives: a module, or "module:name" of one thing in it. Loaded at first use (PEP 562), so that
# `import workbench` costs no torch, and nobody has to know in which room a module is.
_LAZY = {
    "DeepDSL": "language.dsl:DeepDSL",
    "DSLConfig": "language.dsl:DSLConfig",
    "adapt": "search.adapt",
    "artifacts": "artifacts",
    "atlas": "show.atlas",
    "classify": "search.classify",
    "client": "client",
    "codebook": "language.codebook",
    "concepts": "search.concepts",
    "corpus": "data.corpus",
    "decode": "control.decode",
    "describe": "search.describe:describe",
    "editor": "search.editor",
    "encode": "language.encode",
    "ensemble": "search.ensemble",
    "evaluate": "language.evaluate:evaluate",
    "export": "show.export",
    "genetic": "search.genetic",
    "guide": "control.guide",
    "lesson": "lesson",
    "library": "data.library",
    "meta": "search.meta",
    "models": "models",
    "ngram": "language.ngram",
    "pez": "search.pez",
    "picture_guidance": "control.picture_guidance",
    "pictures": "pictures",
    "preference": "search.preference",
    "prior": "language.prior",
    "proposals": "control.proposals",
    "rank": "search.rank",
    "report": "show.pages.report",
    "score": "control.scorers",
    "service": "show.service",
    "site": "show.pages.site",
    "soft": "search.soft",
    "speaker": "search.speaker",
    "template": "template",
    "units": "language.units",
    "values": "values",
    "visual": "search.visual",
    "widgets": "show.widgets",
    "wildcards": "data.wildcards",
    "words": "words",
    "world": "world",
    "writer": "language.writer",
}

__all__ = ["__version__", *_LAZY]


def __getattr__(name):
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}. It has: {', '.join(sorted(__all__))}.")
    module, _, inside = _LAZY[name].partition(":")
    found = importlib.import_module(f"{__name__}.{module}")
    return getattr(found, inside) if inside else found


def __dir__():
    return sorted(__all__)
