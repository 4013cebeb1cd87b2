"""Batches: the prompts of each training step with their gaps, as a function of the step alone."""

from typing import NamedTuple

import numpy as np

from workbench.language.writer.config import SPELLED, WINDOW
from workbench.language.writer.examples import Masker

SPELL_TOO = 0.15  # share of content rows that hold the spelling too, not the meaning alone
RANDOM_WORDS = 0.15  # share of content rows in which a filler is replaced by random words, to learn to spell
_POOL = 24  # steps whose prompts are sorted by length together
_GAPS = 24  # positions that gaps take besides a prompt's pieces, on average


class Fillers(NamedTuple):
    """Texts that content is read from: `ids` list of tuples of pieces, `features` float32 (m, f)."""

    ids: list
    features: np.ndarray


class Batches:
    """The batch of each step. Prompts come in a random order, those of one step with about the same length.

    Args:
        prompts: `Prompts`.
        fillers: `Fillers`, the rows that prompts refer to.
        lexicon: `Fillers`, single words to learn to spell with; may be empty.
        n_codes: int, codes of the codebook.
        positions: int, positions of a step.
        seed: int.
    """

    def __init__(self, prompts, fillers, lexicon, n_codes, positions, seed):
        self.prompts, self.fillers, self.lexicon, self.seed = prompts, fillers, lexicon, seed
        self.masker, self.lengths = Masker(prompts, n_codes), prompts.lengths()
        self.size = max(1, int(positions / (float(self.lengths.mean()) + _GAPS)))  # prompts of a step, on average
        self._pool, self._piles = None, None

    def __call__(self, step):
        """The batch of a step.

        Returns:
            (list of `Layout`, list of rows of content): a row is the pieces and the features of a filler, and whether its
            spelling is part of the content.
        """
        pool, place = divmod(step, _POOL)
        if pool != self._pool:
            self._pool, self._piles = pool, self._drawn(pool)
        return self.masked(self._piles[place], np.random.default_rng([self.seed, 3, step]))

    def _drawn(self, pool):
        """Rows of prompts for each step of a pool: they follow each other in endless random orders of all prompts."""
        n, many = len(self.lengths), self.size * _POOL
        first, last = pool * many // n, ((pool + 1) * many - 1) // n
        orders = [np.random.default_rng([self.seed, 1, turn]).permutation(n) for turn in range(first, last + 1)]
        chosen = np.concatenate(orders)[pool * many - first * n :][:many]
        rng = np.random.default_rng([self.seed, 2, pool * _POOL])
        chosen = chosen[np.argsort(self.lengths[chosen] + rng.uniform(0, 4, many), kind="stable")]
        piles = np.array_split(chosen, _POOL)
        return [piles[pile] for pile in rng.permutation(_POOL)]

    def masked(self, rows, rng):
        """Layouts of prompts with random gaps, and their rows of content, as a call returns them."""
        layouts, slots = [], []
        for row in rows:
            layout, found = self.masker.draw(int(row), rng)
            if layout.length > WINDOW or not layout.gaps:  # many gaps in a long prompt, or no slot to open
                layout, found = self.masker.free(int(row)), []
            shifted = [g._replace(slot=g.slot + len(slots)) if g.slot >= 0 else g for g in layout.gaps]
            contents = [(self.fillers.ids[f], self.fillers.features[f], rng.random() < SPELL_TOO) for f in found]
            for i, gap in enumerate(shifted):
                if gap.slot >= 0 and len(self.lexicon.ids) and rng.random() < RANDOM_WORDS:
                    ids, feature = self._phrase(rng)
                    contents[gap.slot - len(slots)] = (ids, feature, True)  # no meaning could say them
                    shifted[i] = gap._replace(fill=ids)
            layouts.append(layout._replace(gaps=shifted))
            slots += contents
        return layouts, slots

    def _phrase(self, rng):
        """One to four random words: their pieces, and the mean of their features."""
        chosen = rng.integers(0, len(self.lexicon.ids), int(rng.choice(4, p=(0.35, 0.35, 0.2, 0.1))) + 1)
        ids = tuple(i for word in chosen for i in self.lexicon.ids[word])
        return ids[: 2 * SPELLED], self.lexicon.features[chosen].mean(0)
