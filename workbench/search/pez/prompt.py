"""What a search returns and what it reports on its way."""

from dataclasses import dataclass
from typing import NamedTuple

import torch

from workbench.search.pez.config import PEZConfig


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
        text: str, the whole text, prefix and suffix included.
        ids: tuple of `config.length` int, the tokens that were found.
        similarity: float, weighted mean of the cosines with the targets, -1..1. Of `search_text`: mean log-probability of the
            right label in nats, <= 0.
        text_similarity: float, the same for `text` as the model's tokenizer splits it, which is what a user of the text gets;
            equal to `similarity` up to rounding if `retokenises`.
        retokenises: bool, whether `text` is split into prefix, `ids` and suffix again.
        target_similarities: tuple of float, cosine of `ids` with each target; of `search_text`: per text, the log-probability.
        history: tuple of float, the best similarity among the restarts in each step. Of "project_once" that of the vectors
            before they become tokens, which is higher than any text reaches.
        restarts: tuple of `Found`, the best prompt of each restart, the best first.
        nats: float or None, of the language model of `lm` for `text`, per moving token.
        accuracy: float or None, of `search_text`: share of the texts given whose right label is the likeliest.
        steps: int, steps made; fewer than asked for if the search ended early.
        seconds: float, of the whole call; of `search_many` for all searches together.
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


@dataclass(frozen=True)
class Step:
    """What `on_step` is given.

    Attributes:
        step: int, from 0.
        polishing: bool, whether tokens are being swapped at the end.
        ids: int64 tensor (s, r, t) on the CPU, the tokens of all searches and restarts. Of a search that ended early, the last.
        similarity: float32 tensor (s, r), of these.
        best: float32 tensor (s,), the best similarity so far of each search; -inf before there is one.
    """

    step: int
    polishing: bool
    ids: torch.Tensor
    similarity: torch.Tensor
    best: torch.Tensor
    vocabulary: object

    @property
    def texts(self):
        """List of s lists of r str; decoded when asked for."""
        return [[self.vocabulary.text(ids) for ids in search] for search in self.ids.tolist()]
