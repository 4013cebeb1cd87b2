"""Models: the only place that loads and freezes a backbone. Built-in names work offline; others are hub ids or folders.

`load_encoder` reads words, `load_lm` writes them, `load_clip` compares pictures with texts, `load_pipeline` draws.
"""

import importlib

# Loaded at first use: transformers takes seconds, and a learned language needs none of these to be imported.
_LAZY = {
    "CLIP": "clip",
    "LM": "lm",
    "Encoder": "encoder",
    "Pipeline": "pipeline",
    "load_clip": "clip",
    "load_encoder": "encoder",
    "load_lm": "lm",
    "load_pipeline": "pipeline",
}

__all__ = list(_LAZY)


def __getattr__(name):
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}. It has: {', '.join(_LAZY)}.")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
