"""Options of prompts that learn from reward."""

import math
from dataclasses import dataclass

from workbench import checks


@dataclass(frozen=True)
class RewriterConfig(checks.Options):
    """Options of `adapt.rewriter`, the supervised start.

    Attributes:
        max_tokens: int, tokens that may be written behind the words as typed, the end included.
        layers: int or None, how many of the last layers of the language model learn; None: all, embeddings too.
        steps: int, updates; 0 takes the language model as it is.
        batch: int, pairs of a step.
        rate: float, the highest learning rate.
        seed: int.

    Raises:
        ValueError: an option out of its range.

    Source:
        The two last layers: own reading of the code of Hao et al., arXiv:2212.09611. Rates for the built-in model: own trials.
    """

    max_tokens: int = 16
    layers: int | None = None
    steps: int = 150
    batch: int = 32
    rate: float = 1e-3
    seed: int = 0

    def __post_init__(self):
        self.check(wholes={"max_tokens": 1, "layers": 1, "steps": 0, "batch": 1})


@dataclass(frozen=True)
class AdaptConfig(checks.Options):
    """Options of `adapt.reinforce`.

    Attributes:
        steps: int, updates.
        inputs: int, prompts of a step.
        samples: int, tries for each of them; their mean reward is the baseline, so there are two or more.
        rate: float, learning rate; about 5e-4 for the built-in model, 1e-5 to 1e-4 for larger ones.
        scaled: bool, divide what a try earned more than its group by the spread of the group. Without it a run becomes slower
            where all tries earn nearly the same, in place of learning from ever smaller differences.
        beta: float, how much the divergence from the start counts.
        most_kl: float, nats for each try from the start beyond which the run stops.
        least_distinct: float 0..1, share of different pairs of neighbouring words, over all tries of a step, below which the
            run stops. One text for all of n tries has about 1 / n.
        seed: int.

    Raises:
        ValueError: an option out of its range.

    Source:
        Groups of tries: Shao et al., arXiv:2402.03300 (GRPO). Distinct pairs: Li et al., arXiv:1510.03055, section 4.4.
    """

    steps: int = 60
    inputs: int = 8
    samples: int = 6
    rate: float = 5e-4
    scaled: bool = True
    beta: float = 0.1
    most_kl: float = 40.0
    least_distinct: float = 0.0
    seed: int = 0

    def __post_init__(self):
        self.check(
            wholes={"steps": 1, "inputs": 1, "samples": 2},
            numbers={"beta": (0,), "most_kl": (0, math.inf, True), "least_distinct": (0, 1)},
        )
