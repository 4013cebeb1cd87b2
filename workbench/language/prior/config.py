"""Options of the prior."""

from dataclasses import dataclass

from workbench import checks


@dataclass(frozen=True)
class PriorConfig:
    """Options of `TemplatePrior`; fewer than 10,000 templates are read up to 10 times as often as `epochs` says."""

    width: int = 128  # of embeddings and states
    epochs: int = 8  # passes at most

    def __post_init__(self):
        checks.whole("width", self.width)
        checks.whole("epochs", self.epochs)
