"""World: the built-in prompts, pictures and tiny models with known truth, so that everything runs offline and can be scored."""

import importlib


def __getattr__(name):
    if name == "judge":  # it needs torch
        return importlib.import_module("workbench.world.judging").judge
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}.")
