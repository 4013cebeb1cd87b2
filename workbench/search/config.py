"""Options of a search for hard prompts."""

from dataclasses import dataclass

from workbench import checks
from workbench.search.movers import METHODS
from workbench.search.vocabulary import VOCABULARIES


@dataclass(frozen=True)
class PEZConfig(checks.Options):
    """Options of `pez.search`, `pez.search_many` and `classify.search_text`.

    Attributes:
        method: str, how prompts move.
            "pez": vectors are kept, gradients are taken at the nearest tokens (Wen et al., arXiv:2302.03668, algorithm 1).
            "project_once": vectors move freely and are replaced by the nearest tokens at the end.
            "project_every_step": vectors are replaced by the nearest tokens in every step.
            "hotflip": in each step one token is swapped for the best of those the gradient proposes (AutoPrompt,
            arXiv:2010.15980).
            "langevin": "project_every_step" with noise that fades out (FluentPrompt, arXiv:2212.10539).
            "gcg": the best of random swaps among those the gradient proposes (GCG, arXiv:2307.15043).
        length: int, tokens to find, >= 1.
        steps: int, steps in all, including those of `polish`, >= 1.
        polish: int or None, how many of the steps, the last ones, swap tokens of the best prompt of each search: position by
            position, for a token that the gradient proposes or for another token of the prompt, only if that is better. 0, as in
            the paper, leaves it out; None is a fifth of the steps for methods that move vectors and 0 for those that swap
            anyway. Such a step scores `candidates` + `length` prompts; the polish ends after a round that changed nothing.
        restarts: int, prompts that are searched for side by side; the best one is the result, >= 1.
        prefix: str, fixed text before the tokens.
        suffix: str, fixed text after the tokens.
        vocabulary: str, the tokens to choose from. "all": special ones too; "printable": those that print as text; "ascii": only
            with characters 32 to 126; "words": whole words, so that the text is split into the same tokens again.
        blocked: tuple of str, what must not occur in the text, not even across tokens; case does not matter.
        fluency: float >= 0, the price of a nat per token of the language model given as `lm`, in units of the similarity.
        candidates: int, tokens that the gradient proposes for a position when tokens are swapped, >= 1.
        width: int, swaps that "gcg" tries in a step, >= 1.
        patience: int or None, end a search after so many steps without a gain of 1e-4.
        seed: int. Search i of `search_many` draws from seed + i only.

    Raises:
        ValueError: an option out of its range.
    """

    method: str = "pez"
    length: int = 8
    steps: int = 200
    polish: int | None = None
    restarts: int = 4
    prefix: str = ""
    suffix: str = ""
    vocabulary: str = "printable"
    blocked: tuple = ()
    fluency: float = 0.0
    candidates: int = 64
    width: int = 128
    patience: int | None = None
    seed: int = 0

    def __post_init__(self):
        self.check(
            choices={"method": METHODS, "vocabulary": VOCABULARIES},
            wholes={"length": 1, "steps": 1, "restarts": 1, "candidates": 1, "width": 1, "polish": 0, "patience": 1},
            numbers={"fluency": (0,)},
            places={"prefix": (), "suffix": ()},
        )
        if self.polish and self.polish >= self.steps:
            raise ValueError(f"PEZConfig: polish is a part of the steps: {self.polish} of {self.steps} leaves none to search.")
        blocked = (self.blocked,) if isinstance(self.blocked, str) else tuple(self.blocked)
        if not all(isinstance(text, str) and text.strip() for text in blocked):
            raise ValueError(f"PEZConfig: blocked must be texts that are not empty, got {self.blocked!r}.")
        object.__setattr__(self, "blocked", blocked)

    @property
    def polish_steps(self):
        """int, steps of the polish; with `polish=None` they depend on the method."""
        return int(self.steps * METHODS[self.method].polish) if self.polish is None else self.polish
