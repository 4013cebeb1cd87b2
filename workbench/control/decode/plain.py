"""Plain ways to steer, which a critic must beat: blocked words, and a look one token ahead with the scorer itself."""

import torch
from transformers import LogitsProcessor, NoBadWordsLogitsProcessor

from workbench import checks
from workbench.control import proposals
from workbench.control.guide.scoring import check_scorer, name_of, scores
from workbench.values import GuideError


def blocked(source, words):
    """A language model that never writes the usual tokens of some words: a `Proposal`.

    Longer words that begin with these tokens go too. Where a tokenizer has pieces of words, others may spell the same word.

    Args:
        source: `models.LM` or `LMProposal`.
        words: list of str; each is blocked at the beginning of a text and after a blank.

    Raises:
        GuideError: the source is no language model.
        ValueError: no word, or an empty one.
    """
    source, words = causal(source), checks.texts(words, "words")
    if not words or not all(word.strip() for word in words):
        raise ValueError(f"blocked needs words, got {words!r}.")
    tokenizer = source.lm.tokenizer
    spelled = {tuple(tokenizer(form, add_special_tokens=False).input_ids) for word in words for form in (word, f" {word}")}
    return source.processed(NoBadWordsLogitsProcessor([list(ids) for ids in spelled if ids]))


def lookahead(source, scorer, k=10, strength=5.0):
    """A language model whose next token is weighed by what the scorer gives the text that ends there: a `Proposal`.

    It sees one token ahead: a scorer of whole texts says little about beginnings. The k likeliest tokens are looked at, the
    others are cut off, and p(a) counts times exp(strength * score).

    Args:
        source: `models.LM` or `LMProposal`.
        scorer: function, list of n str -> n finite numbers.
        k: int.
        strength: float, 0 or more.

    Raises:
        GuideError: the source is no language model, or, while writing, the scorer fails.
    """
    check_scorer(scorer)
    source = causal(source)
    return source.processed(Lookahead(source.lm, scorer, k, strength))


class Lookahead(LogitsProcessor):
    """See `lookahead`; a `LogitsProcessor` of transformers for `generate`."""

    def __init__(self, lm, scorer, k=10, strength=5.0):
        self.lm, self.scorer, self.k = lm, scorer, checks.whole("k", k)
        self.strength = checks.number("strength", strength, 0)

    def __call__(self, input_ids, scores_):
        """Weighed scores: tokens so far int64 (n, t), scores float (n, v) -> float (n, v)."""
        top, at = scores_.log_softmax(-1).topk(min(self.k, scores_.shape[-1]), -1)
        rows = torch.cat([input_ids[:, None].expand(-1, at.shape[1], -1), at[..., None]], -1).flatten(0, 1)
        texts = self.lm.tokenizer.batch_decode(rows, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        found = torch.from_numpy(scores(self.scorer, texts, name_of(self.scorer))).view(at.shape).to(top)
        weighed = (top + self.strength * found).log_softmax(-1)
        return torch.full_like(scores_, -torch.inf).scatter(-1, at, weighed)


def causal(source):
    """The `LMProposal` of a language model; a `GuideError` for anything else."""
    found = proposals.of(source)
    if not hasattr(found, "processor"):
        raise GuideError(f"{type(found).__name__} is no language model. Give a models.LM or an LMProposal.")
    return found
