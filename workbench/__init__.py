"""Deep DSL workbench: learn the hidden grammar of text-to-image prompts, look at it, write with it."""

import importlib

__version__ = "0.1.0"

# Name -> module that holds it. Loaded at first use (PEP 562), so that `import workbench` costs no torch.
_LAZY = {"DeepDSL": "dsl"}
_MODULES = (
    "artifacts",
    "atlas",
    "codebook",
    "corpus",
    "dsl",
    "encode",
    "guide",
    "lesson",
    "models",
    "ngram",
    "pez",
    "pictures",
    "prior",
    "proposals",
    "report",
    "score",
    "site",
    "template",
    "units",
    "values",
    "widgets",
    "wildcards",
    "words",
    "world",
    "writer",
)

__all__ = ["__version__", *_LAZY, *_MODULES]


def __getattr__(name):
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}. It has: {', '.join(sorted(__all__))}.")


def __dir__():
    return sorted(__all__)
