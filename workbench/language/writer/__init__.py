"""Writer: template codes and content to text. The parts are loaded at first use, as torch takes seconds."""

import importlib

_LAZY = {"Decoder": "decoder", "DecoderConfig": "decoder", "Decoding": "config", "Writer": "writer", "WriterConfig": "config"}

__all__ = list(_LAZY)


def __getattr__(name):
    path = f"{__name__}.{_LAZY.get(name, name)}"
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as err:
        if err.name != path:  # a package that is not installed is another error
            raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}. It has: {', '.join(_LAZY)}.") from err
    return getattr(module, name) if name in _LAZY else module
