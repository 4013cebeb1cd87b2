"""Voters: people who are made up, with a taste that is known."""

import numpy as np
from scipy.special import expit

from workbench import checks


class Voter:
    """Marks what is best by its taste, with noise: the chance that a beats b is that of Bradley and Terry.

    Args:
        taste: scorer, list of n texts -> n numbers.
        noise: float >= 0, standard deviation of what is added to the taste of each prompt at each look (a Gumbel law), in the
            units of the taste. 0 votes always the same.
        seed: int.

    Raises:
        TypeError: a taste that is no function.

    Source:
        Choices by the largest of scores with Gumbel noise: Luce, "Individual Choice Behavior", 1959; Plackett, 1975.
    """

    def __init__(self, taste, noise=0.5, seed=0):
        if not callable(taste):
            raise TypeError(f"A taste is a function of a list of texts, got {taste!r}.")
        self.taste, self.noise, self.seed = taste, checks.number("noise", noise, 0), checks.seed(seed)

    @property
    def scale(self):
        """float, of the Gumbel law: its standard deviation is `noise`."""
        return self.noise * 6**0.5 / np.pi

    def marks(self, texts, n, turn):
        """The numbers of the n best of some texts in turn `turn`, the best first: tuple of int."""
        values = np.asarray(self.taste(list(texts)), np.float64)
        if values.shape != (len(texts),) or not np.isfinite(values).all():
            raise ValueError(f"The taste must give {len(texts)} finite numbers, got {values!r}.")
        rng = np.random.default_rng([self.seed, turn])
        return tuple(int(i) for i in np.argsort(-(values + rng.gumbel(size=len(texts)) * self.scale), kind="stable")[:n])

    def chance(self, one, other):
        """Chance that one text is marked of a pair: float 0..1."""
        gap = float(np.subtract(*self.taste([one, other])))
        return float(expit(gap / self.scale)) if self.noise else float(gap > 0) + 0.5 * (gap == 0)


def simulate(voting, voter, turns):
    """Let a made-up voter answer until there are so many turns.

    Args:
        voting: `Voting`; it is changed.
        voter: `Voter`.
        turns: int, turns in all, those before included.

    Returns:
        the `Voting`.
    """
    while len(voting.turns) < checks.whole("turns", turns, 0):
        voting.vote(*voter.marks(voting.texts, voting.config.marks, len(voting.turns)))
    return voting
