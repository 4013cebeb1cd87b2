"""How the tiny models of the built-in world are made, one module for each model, all by the loop of `workbench.training`.

Each module has

- `train(folder, seed, steps=STEPS, progress=True)`: writes the folder of its model (an older one is replaced when the training is
  done) with its card; a checkpoint beside the folder lets a stopped training go on. What a model builds on is found beside its
  folder: the pipeline needs "clip". Raises `ModelError` if that is missing, `ArtifactError` if the checkpoint belongs to another
  training.
- `check(folder, seed)`: measures a model -> dict of str to float.
- `GATES`: what the figures must reach, name -> (">=" or "<=", value); `MINUTES` on one core.
"""

from importlib import import_module

PARTS = ("clip", "lm", "checker", "aesthetic", "pipeline", "clip_small")  # each after those it builds on


def part(name):
    """The module that trains the model `name`, one of `PARTS`.

    Raises:
        ValueError: there is no such model.
    """
    if name not in PARTS:
        raise ValueError(f"There is no model {name!r} in the world. Choose one of: {', '.join(PARTS)}.")
    return import_module(f"tools.world.{name}")


def failures(figures, gates):
    """What falls short.

    Args:
        figures: dict of str to float, as `check` returns it.
        gates: dict of str to (">=" or "<=", float).

    Returns:
        list of str, a sentence for each gate that was missed or not measured.
    """
    short = []
    for name, (sign, bound) in gates.items():
        value = figures.get(name)
        if value is None:
            short.append(f"{name}: not measured, must be {sign} {bound:g}")
        elif not (value >= bound if sign == ">=" else value <= bound):
            short.append(f"{name}: {value:.3f}, must be {sign} {bound:g}")
    return short
