"""Options of a learned concept."""

from dataclasses import dataclass

from workbench import checks

RATES = {"word": 5e-3, "attention": 2e-3, "all": 5e-4}
STEPS = {"word": 250, "attention": 450, "all": 450}
HOW = tuple(RATES)


@dataclass(frozen=True)
class ConceptConfig(checks.Options):
    """Options of `concepts.learn`.

    Attributes:
        how: str. "word": the vectors of the new words alone (Textual Inversion). "attention": these and the keys and values of
            cross-attention, the matrices that read the text (Custom Diffusion). "all": these and the whole UNet, the ceiling.
        vectors: int, vectors of each new word.
        steps: int or None, steps of training; None takes 250 for "word" and 450 for the others. 0 gives the start.
        batch: int, pictures of a step; half as many old ones are added where old captions are given.
        rate: float or None, the highest learning rate: of the words for "word", else of the weights, beside which words learn at
            5e-3. None takes that of `how`.
        flips: bool, mirror half of the pictures; do not where left and right differ, as in an arrow.
        zoom: float >= 1; pictures are cut to a part of 1 / zoom of their side at least, at a random place. 1 cuts nothing.
        seed: int.

    Raises:
        ValueError: an option out of its range.

    Source:
        Gal et al., arXiv:2208.01618; Kumari et al., arXiv:2212.04488. Rates and steps: own trials on the built-in world; for
        Stable Diffusion the papers take 500 to 5,000 steps and rates from 1e-5 to 5e-3.
    """

    how: str = "word"
    vectors: int = 1
    steps: int | None = None
    batch: int = 8
    rate: float | None = None
    flips: bool = False
    zoom: float = 1.0
    seed: int = 0

    def __post_init__(self):
        if self.how in HOW:
            object.__setattr__(self, "steps", STEPS[self.how] if self.steps is None else self.steps)
            object.__setattr__(self, "rate", RATES[self.how] if self.rate is None else self.rate)
        self.check(
            choices={"how": HOW},
            wholes={"vectors": 1, "steps": 0, "batch": 1},
            numbers={"zoom": (1, 4)},
        )

    def replace(self, **changes):
        """The same options with some changed; another `how` has its own rate and steps where these were those of the old one."""
        usual = {"rate": RATES[self.how], "steps": STEPS[self.how]} if "how" in changes else {}
        return super().replace(**{name: None for name, value in usual.items() if getattr(self, name) == value} | changes)
