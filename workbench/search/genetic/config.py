"""Options of a search by votes."""

from dataclasses import dataclass

from workbench import checks
from workbench.search.genetic.proposers import METHODS

CROSSOVERS = ("uniform", "two-point")


@dataclass(frozen=True)
class VoteConfig(checks.Options):
    """Options of `Voting`.

    Attributes:
        method: str, who proposes what is shown.
            "genetic": children of the strongest prompts so far; strength is that of Bradley and Terry over all votes.
            "thompson": prompts that are best under tastes drawn from what the votes leave possible; a taste is a sum over slots.
            "climb": the present prompt against neighbours that differ in one slot (a baseline).
            "random": the strongest so far against random prompts (a baseline).
        page: int, prompts shown at once, >= 2.
        marks: int, how many of a page are to be marked as the better ones, >= 1 and fewer than `page`.
        generation: int, prompts of one generation of "genetic"; a multiple of `page`.
        looks: int, how often each prompt of a generation is shown.
        parents: int, the strongest prompts, which stay and have children, >= 2.
        crossover: str. "uniform": each slot from either parent; "two-point": a stretch of slots from the second.
        mutation: float, slots of a child that get another value, on average.
        relatives: bool, a prompt is judged by the votes on prompts that share its values, too, and of many children those are
            shown that may be the strongest by these votes; otherwise by its own votes alone, as in the paper.
        seed: int.

    Raises:
        ValueError: an option out of its range.

    Source:
        Pavlichenko and Ustalov, "Best Prompts for Text-to-Image Models and How to Find Them", arXiv:2209.11711, section 3;
        `relatives` is ours.
    """

    method: str = "genetic"
    page: int = 2
    marks: int = 1
    generation: int = 8
    looks: int = 2
    parents: int = 3
    crossover: str = "uniform"
    mutation: float = 1.2
    relatives: bool = True
    seed: int = 0

    def __post_init__(self):
        self.check(
            choices={"method": METHODS, "crossover": CROSSOVERS},
            wholes={"page": 2, "marks": 1, "generation": 2, "looks": 1, "parents": 2},
            numbers={"mutation": (0,)},
        )
        if self.marks >= self.page:
            raise ValueError(f"VoteConfig: marks={self.marks} of a page of {self.page} tell nothing apart. Mark fewer.")
        if self.method == "genetic" and (self.generation % self.page or self.generation <= self.parents):
            raise ValueError(
                f"VoteConfig: generation={self.generation} must be a multiple of page={self.page} and more than "
                f"parents={self.parents}."
            )
