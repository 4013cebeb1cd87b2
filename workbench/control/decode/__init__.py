"""Decode: steer a frozen writer while it writes, or choose among what it wrote.

`Critic` learns how texts end and weighs each next token by it; `inverse` keeps the sentences from which the prompt can be
guessed back; `blocked`, `lookahead`, and `rerank` with `pmi` are plain ways beside them. All are `Proposal`s, so that `guide`
and every measure of `means` works on them, and those of language models are `LogitsProcessor`s of transformers too.
"""

from workbench.control.decode.critic import Critic, CriticConfig
from workbench.control.decode.inverse import InverseConfig, Judge, Ranked, inverse, pmi, rerank
from workbench.control.decode.plain import Lookahead, blocked, lookahead

__all__ = [
    "Critic",
    "CriticConfig",
    "InverseConfig",
    "Judge",
    "Lookahead",
    "Ranked",
    "blocked",
    "inverse",
    "lookahead",
    "pmi",
    "rerank",
]
