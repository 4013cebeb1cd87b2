"""Voting: a search in which somebody chooses. It shows prompts, takes marks, and can undo, stop and go on."""

from dataclasses import asdict
from typing import NamedTuple

import numpy as np

from workbench import checks
from workbench.artifacts import Checkpoint, Saved
from workbench.search.genetic.config import VoteConfig
from workbench.search.genetic.genes import Genes
from workbench.search.genetic.proposers import METHODS, expected, pairs_of, present, taste_of, worth
from workbench.search.genetic.taste import Taste
from workbench.template import parse
from workbench.values import WorkbenchError

_FOLDS = 5  # of the votes, each predicted from the others


class VoteError(WorkbenchError, ValueError):
    """A vote that cannot be counted, or a question that needs votes first."""


class Turn(NamedTuple):
    """One answer: `page`, tuple of rows (tuples of int), and `marked`, tuple of the numbers of the better ones; () for none."""

    page: tuple
    marked: tuple


class Voting(Saved):
    """A search by votes. All it knows are the turns so far: what it shows next follows from them, the options and the seed.

    Args:
        genes: `Genes`.
        config: `VoteConfig`; None takes the defaults.
        folder: str, Path or None. After each vote the turns are written there, and the same call goes on from them: a person may
            leave at any time.

    Attributes:
        turns: list of `Turn`.
        page: array (p, g) int64, the rows that are shown now.

    Raises:
        ArtifactError: `folder` holds another voting; the error names what differs.
    """

    kind = "voting"

    def __init__(self, genes, config=None, folder=None):
        self.genes, self.config, self.turns = genes, config or VoteConfig(), []
        self._checkpoint, turns = None, []
        if folder is not None:
            self._checkpoint = Checkpoint(folder, "votes", self.to_state()[0] | {"turns": None})
            if (found := self._checkpoint.load()) is not None:
                turns = self._turns(found[0]["turns"])
        self._show(turns)

    # ---- the verbs ---------------------------------------------------------------------------------------------------------

    @property
    def texts(self):
        """The prompts that are shown now: list of p str."""
        return self.genes.texts(self.page)

    def vote(self, *marked):
        """Mark the better ones of the page and turn to the next.

        Args:
            *marked: int, their numbers on the page, from 0; none skips the page, which counts for nothing.

        Raises:
            VoteError: a number that is not on the page, twice the same, or all of them.
        """
        numbers = tuple(marked)
        if not all(
            isinstance(one, int | np.integer) and not isinstance(one, bool) and 0 <= one < len(self.page) for one in numbers
        ):
            raise VoteError(f"Marks are numbers from 0 to {len(self.page) - 1}, got {numbers}.")
        if len(set(numbers)) != len(numbers) or len(numbers) == len(self.page):
            raise VoteError(f"Mark fewer than all {len(self.page)}, each once, got {numbers}. To skip the page, mark none.")
        page = tuple(tuple(int(value) for value in row) for row in self.page)
        self._go([*self.turns, Turn(page, tuple(int(one) for one in numbers))])

    def undo(self):
        """Take the last vote back: its page is shown again. Returns whether there was one."""
        if not self.turns:
            return False
        self._go(self.turns[:-1])
        return True

    # ---- what the votes say ------------------------------------------------------------------------------------------------

    @property
    def pairs(self):
        """int, how many comparisons were made: a marked prompt beats each one on its page that is not marked."""
        return len(pairs_of(self.turns)[1])

    def best(self):
        """The best prompt by the votes so far, by the rule of the method: str.

        Raises:
            VoteError: nothing was marked yet.
        """
        return self.genes.text(self.best_row())

    def best_row(self):
        """The row (g,) of `best`."""
        self._check_voted()
        if self.config.method == "thompson":
            return self.genes.best(taste_of(self.genes, self.turns)[0])
        if self.config.method == "climb":
            return present(self.genes, self.config, self.turns)
        return self._worth()[0][0]

    def ranking(self):
        """All prompts that met another one, the strongest first: list of (text, strength), in units of a vote's logit."""
        self._check_voted()
        rows, found = self._worth()
        return list(zip(self.genes.texts(rows), found.tolist(), strict=True))

    def taste(self):
        """What is liked of each slot: `Taste`; slots of one name share theirs."""
        self._check_voted()
        weights = np.split(taste_of(self.genes, self.turns)[0], np.cumsum(self.genes.sizes)[:-1])
        found = {}
        for name, options, some in zip(self.genes.names, self.genes.options, weights, strict=True):
            for text, value in zip(options, some.tolist(), strict=True):
                found.setdefault(name, {}).setdefault(text, []).append(value)
        return Taste({name: {text: float(np.mean(values)) for text, values in some.items()} for name, some in found.items()})

    def agreement(self):
        """How well the votes predict one another: share of right predictions of a fifth of them from the others, float 0..1.

        Votes of one mind predict each other, the better the less noise they have; votes at random, or few of them, give about .5.
        """
        self._check_voted()
        voted = [turn for turn in self.turns if turn.marked]
        right = []
        for fold in range(_FOLDS):
            held, rest = tuple(voted[fold::_FOLDS]), tuple(turn for i, turn in enumerate(voted) if i % _FOLDS != fold)
            rows, pairs = pairs_of(held)
            if len(pairs):
                found = expected(self.genes, self.config, rest, rows)
                gap = found[pairs[:, 0]] - found[pairs[:, 1]]
                right += ((gap > 1e-6) + 0.5 * (np.abs(gap) <= 1e-6)).tolist()
        return float(np.mean(right))

    # ---- how ---------------------------------------------------------------------------------------------------------------

    def to_state(self):
        """Config (JSON values) and tensors that `from_state` reads."""
        genes = {"template": str(self.genes.template), "options": [list(some) for some in self.genes.options]}
        turns = [[[list(row) for row in turn.page], list(turn.marked)] for turn in self.turns]
        return {"genes": genes, "options": asdict(self.config), "turns": turns}, {}

    @classmethod
    def from_state(cls, config, tensors):
        """The `Voting` that `to_state` described; KeyError, TypeError or ValueError for what is none."""
        genes = config["genes"]
        made = cls(Genes(parse(genes["template"]), tuple(map(tuple, genes["options"]))), VoteConfig(**config["options"]))
        made._show(made._turns(config["turns"]))
        return made

    def _turns(self, found):
        turns = [Turn(tuple(tuple(row) for row in page), tuple(marked)) for page, marked in found]
        for turn in turns:
            rows = np.asarray(turn.page, np.int64)
            if rows.ndim != 2 or rows.shape[1] != len(self.genes.sizes) or (rows < 0).any() or (rows >= self.genes.sizes).any():
                raise ValueError("a turn shows what these genes cannot say")
            if any(not 0 <= checks.whole("a mark", one, 0) < len(rows) for one in turn.marked):
                raise ValueError("a turn marks what it does not show")
        return turns

    def _show(self, turns):
        """Go to the page after some turns; both change together or, where something fails, neither does."""
        page = METHODS[self.config.method](self.genes, self.config, tuple(turns))
        self.turns, self.page = turns, page

    def _go(self, turns):
        self._show(turns)
        if self._checkpoint is not None:
            self._checkpoint.save({"turns": self.to_state()[0]["turns"]}, {})

    def _worth(self):
        return worth(self.genes, self.config, tuple(self.turns))

    def _check_voted(self):
        if not self.pairs:
            skipped = f" ({len(self.turns)} pages were skipped)" if self.turns else ""
            raise VoteError(f"There is no vote yet{skipped}. Mark a prompt on a page first, as in vote(0).")
