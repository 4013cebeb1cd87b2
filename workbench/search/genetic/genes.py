"""Genes: prompts as rows of numbers. A slot is a gene, and its options are the values."""

import math
from dataclasses import dataclass

import numpy as np

from workbench import checks
from workbench.template import Slot, Template

_FILLERS = 12  # of a slot of a language, the most frequent first


@dataclass(frozen=True)
class Genes:
    """The space of prompts that a search by votes moves in.

    Attributes:
        template: `Template`; its masked slots are the genes, all else stays.
        options: tuple of one tuple of str for each masked slot, its values; "" leaves the slot out.

    Raises:
        ValueError: no masked slot, other numbers of slots and of lists, or a slot with fewer than two different values.
    """

    template: Template
    options: tuple

    def __post_init__(self):
        slots = [slot for slot in self.template.slots if slot.text is None]
        options = tuple(tuple(checks.texts(some, "options")) for some in self.options)
        if not slots or len(slots) != len(options):
            raise ValueError(
                f"The template has {len(slots)} masked slots and {len(options)} lists of options came: one for each."
            )
        for slot, some in zip(slots, options, strict=True):
            if len(set(some)) != len(some) or len(some) < 2:
                raise ValueError(f"A gene needs two or more different values; {slot} has {list(some)!r}.")
        object.__setattr__(self, "options", options)

    @classmethod
    def mask(cls, phrases, start=""):
        """Genes that switch phrases on and off behind a start: 2**n prompts such as "a cat, 8k, oil painting".

        Args:
            phrases: list of n str.
            start: str, what all prompts begin with.
        """
        phrases = checks.texts(phrases, "phrases")
        parts = [start]
        for number in range(len(phrases)):
            parts += [", ", Slot(f"phrase {number + 1}")]
        return cls(Template.build(parts), tuple(("", phrase) for phrase in phrases))

    @classmethod
    def of_language(cls, dsl, template, most=_FILLERS):
        """The masked slots of a template of a learned language as genes; their values are its most frequent fillers.

        Args:
            dsl: `DeepDSL`, or anything with `read` and `codes`.
            template: `Template` or str, such as "a <subject:?>, by <artist:?>".
            most: int, fillers of a slot.

        Raises:
            ValueError: no masked slot with a name, or a code with fewer than two fillers.
        """
        checks.whole("most", most, 2)
        template, known = dsl.read(template), {code.name: code for code in dsl.codes}
        masked = [slot for slot in template.slots if slot.text is None]
        unnamed = [slot for slot in masked if slot.name not in known]
        if unnamed or not masked:
            raise ValueError(
                f"Each masked slot needs the name of a code, such as <{next(iter(known))}:?>; got {str(template)!r}."
            )
        return cls(template, tuple(tuple(text for text, _ in known[slot.name].fillers[:most]) for slot in masked))

    @property
    def sizes(self):
        """Values of each gene: array (g,) int64."""
        return np.array([len(some) for some in self.options])

    @property
    def names(self):
        """Names of the slots that are genes: tuple of g str."""
        return tuple(slot.name for slot in self.template.slots if slot.text is None)

    def __len__(self):
        """How many prompts there are."""
        return math.prod(map(len, self.options))

    def text(self, row):
        """The prompt of a row (g,): str."""
        values = iter([some[value] for some, value in zip(self.options, row, strict=True)])
        parts = [
            part if isinstance(part, str) else next(values) if part.text is None else part.text for part in self.template.parts
        ]
        text = "".join(parts)
        pieces = [piece.strip() for piece in text.split(",")]
        return ", ".join(filter(None, pieces)) if "" in pieces else text  # a slot left out leaves no comma behind

    def texts(self, rows):
        """The prompts of rows (n, g): list of n str."""
        return [self.text(row) for row in np.asarray(rows)]

    def all(self):
        """All prompts as rows (n, g); ValueError above a million."""
        if len(self) > 1_000_000:
            raise ValueError(f"There are {len(self):,} prompts, too many to list.")
        return np.stack(np.unravel_index(np.arange(len(self)), self.sizes), 1)

    def random(self, n, rng):
        """Random rows (n, g) by a numpy generator."""
        return rng.integers(0, self.sizes, (n, len(self.options)))

    def one_hot(self, rows):
        """Rows (..., g) as float64 (..., d), d the values of all genes: 1 where a gene has a value."""
        rows, starts = np.asarray(rows), np.concatenate([[0], np.cumsum(self.sizes)[:-1]])
        out = np.zeros((*rows.shape[:-1], int(self.sizes.sum())))
        np.put_along_axis(out, rows + starts, 1.0, -1)
        return out

    def best(self, weights):
        """The row (g,) with the largest sum of weights (d,), those of `one_hot`."""
        return np.array([int(part.argmax()) for part in np.split(np.asarray(weights), np.cumsum(self.sizes)[:-1])])


def crossed(mothers, fathers, how, rng):
    """Children (n, g) of rows (n, g): "uniform" or "two-point" crossover."""
    n, g = mothers.shape
    if how == "uniform":
        own = rng.random((n, g)) < 0.5
    else:
        cuts = np.sort(rng.integers(0, g + 1, (n, 2)), 1)
        at = np.arange(g)
        own = (at < cuts[:, :1]) | (at >= cuts[:, 1:])
    return np.where(own, mothers, fathers)


def mutated(genes, rows, mean, rng):
    """Rows (n, g) in which each gene takes another value with the chance that changes `mean` of them on average."""
    jump = rng.integers(1, genes.sizes, rows.shape)
    changed = rng.random(rows.shape) < min(1.0, mean / rows.shape[1])
    return np.where(changed, (rows + jump) % genes.sizes, rows)
