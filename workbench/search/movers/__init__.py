"""The methods of a search by their names. A method is a subclass of `workbench.search.loop.Mover` and one line here."""

from workbench.search.movers.swaps import GCG, HotFlip, Polish
from workbench.search.movers.vectors import PEZ, Langevin, ProjectEveryStep, ProjectOnce

METHODS = {
    "pez": PEZ,
    "project_once": ProjectOnce,
    "project_every_step": ProjectEveryStep,
    "hotflip": HotFlip,
    "langevin": Langevin,
    "gcg": GCG,
}


def stages(config):
    """The movers of a search and their numbers of steps, as `loop` takes them: the method of a `PEZConfig`, then the polish."""
    polish = [(Polish, config.polish_steps)] if config.polish_steps else []
    return [(METHODS[config.method], config.steps - config.polish_steps), *polish]
