"""Prior: which templates people write. The parts are loaded at first use, as torch takes seconds."""

import importlib

_LAZY = {"PriorConfig": "config", "TemplatePrior": "template_prior"}

__all__ = list(_LAZY)


def __getattr__(name):
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}. It has: {', '.join(_LAZY)}.")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
