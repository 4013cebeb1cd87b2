"""Writer: template codes and content to text. The parts are loaded at first use, as torch takes seconds."""

import importlib

_LAZY = {"Decoding": "config", "Writer": "writer", "WriterConfig": "config"}

__all__ = list(_LAZY)


def __getattr__(name):
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}.")
    try:
        module = importlib.import_module(f"{__name__}.{_LAZY.get(name, name)}")
    except ModuleNotFoundError as err:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}. It has: {', '.join(_LAZY)}.") from err
    return getattr(module, name) if name in _LAZY else module
