"""What a search for hard prompts returns."""

from dataclasses import dataclass
from typing import NamedTuple

from workbench.search.config import PEZConfig


class Found(NamedTuple):
    """The best prompt of one restart: `text`, `ids` of its tokens, `similarity`, and whether the text is split into them."""

    text: str
    ids: tuple
    similarity: float
    retokenises: bool


@dataclass(frozen=True)
class HardPrompt:
    """A hard prompt that was found.

    Attributes:
        text: str, the full text, prefix and suffix included.
        ids: tuple of `config.length` int, the tokens that were found.
        similarity: float, weighted mean of the cosines with the targets, -1..1. From `search_text`: mean log-probability of the
            right label in nats, <= 0.
        text_similarity: float, the same for `text` as the model's tokenizer splits it, which is what a user of the text gets;
            equal to `similarity` up to rounding if `retokenises`.
        retokenises: bool, whether `text` is split into prefix, `ids` and suffix again.
        target_similarities: tuple of float, cosine of `ids` with each target; from `search_text`: log-probability for each text.
        history: tuple of float, the best similarity among the restarts in each step. With "project_once" that of the vectors
            before they become tokens, which is higher than any text reaches.
        restarts: tuple of `Found`, the best prompt of each restart, the best first.
        nats: float or None, of `text` under the language model `lm`, per moving token.
        accuracy: float or None, from `search_text`: share of the texts whose right label is the most likely one.
        steps: int, steps made; fewer than asked for if the search ended early.
        seconds: float, of the call; with `search_many` that of all searches together.
        config: `PEZConfig` with the seed of this search.
    """

    text: str
    ids: tuple
    similarity: float
    text_similarity: float
    retokenises: bool
    target_similarities: tuple
    history: tuple
    restarts: tuple
    nats: float | None
    accuracy: float | None
    steps: int
    seconds: float
    config: PEZConfig

    @property
    def method(self):
        """str, the method it was found with."""
        return self.config.method

    def __str__(self):
        return self.text


def best_of(run, number):
    """The best prompts of the restarts of a search as a list of `Found`, the best first, and the ids (t,) of the very best.

    Raises:
        ValueError: no prompt that was met is free of what is blocked.
    """
    rows = range(number * run.restarts, (number + 1) * run.restarts)
    rows = sorted((row for row in rows if run.best_ids[row, 0] >= 0), key=lambda row: -float(run.best_total[row]))
    if not rows:
        raise ValueError("No prompt that was met is free of what is blocked. Block less, or search longer.")
    found = []
    for row in rows:
        ids = run.best_ids[row].tolist()
        text, again = run.vocabulary.text(ids), run.vocabulary.retokenises(ids)
        found.append(Found(text, tuple(ids), float(run.best_similarity[row]), again))
    return found, run.best_ids[rows[0]]
