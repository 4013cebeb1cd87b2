"""World: the built-in prompts, pictures and tiny models with known truth, so that everything runs offline and can be scored."""


def __getattr__(name):
    if name == "judge":
        from workbench.world.judging import judge  # it needs torch

        return judge
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}.")
