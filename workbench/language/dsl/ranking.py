"""Ranking: how much the writer, the n-grams, length and repetition count when fillers of a gap are compared."""

from dataclasses import asdict, astuple, dataclass

import numpy as np

from workbench.values import ArtifactError
from workbench.words import FUNCTION_WORDS

_RIDGE = 1.0  # nats that a weight one away from the default costs, over all gaps
_STEPS = 30  # of Newton's method; it takes about 6
_LOWEST = -1e4  # nats of what a model gives no probability, so that it can be weighed


@dataclass(frozen=True)
class Ranking:
    """Weights of what is known of the fillers of a gap; the higher the weighted sum, the better.

    The default is the mean of both log-probabilities, for languages with too few prompts to learn weights, and for those saved
    before weights were learned.
    """

    writer: float = 0.5  # of the writer's log-probability (nats)
    ngram: float = 0.5  # of the n-grams' log-probability (nats)
    words: float = 0.0  # nats for each word: both models were taught lengths that need not be those of gaps
    repeats: float = 0.0  # nats for each content word that the prompt has already
    gaps: int = 0  # that the weights were learned on; 0 is the default
    held_out: int = 0  # prompts that the writing half did not learn, to learn the weights on

    def __call__(self, features):
        """Score of candidates, float64 (c,): log-probability among them but for a constant; `features` (c, 4)."""
        return features @ np.array(astuple(self)[:4])

    def to_config(self):
        """JSON values that `from_config` reads."""
        return asdict(self)

    @classmethod
    def from_config(cls, values):
        """The `Ranking` that `to_config` described.

        Raises:
            ArtifactError: these are no weights.
        """
        try:
            found = cls(**values)
            if not np.isfinite(astuple(found)).all():
                raise ValueError("weights that are no numbers")
        except (TypeError, ValueError) as err:
            raise ArtifactError(f"This is no saved Ranking ({err!r}): expected what to_config gives.") from err
        return found


def features(written, spoken, visible, fillers):
    """What a `Ranking` weighs.

    Args:
        written: float (c,), the writer's log-probability of each candidate.
        spoken: float (c,), that of the n-grams.
        visible: list of str, the words of the prompt round the gaps.
        fillers: list of c lists of str, the words that each candidate puts into all gaps.

    Returns:
        float64 (c, 4): both log-probabilities, number of words, and of content words that stand there already.
    """
    lengths, again = [len(words) for words in fillers], [_repeats(visible, words) for words in fillers]
    return np.stack([np.maximum(written, _LOWEST), np.maximum(spoken, _LOWEST), lengths, again], 1).astype(np.float64)


def _repeats(visible, words):
    seen, again = set(visible), 0
    for word in words:
        if word[0].isalpha() and word not in FUNCTION_WORDS:
            again += word in seen
            seen.add(word)
    return again


def learn(gaps, held_out=0):
    """The `Ranking` under which the truth is most likely among its candidates: a conditional logit, convex, by Newton's method.

    Args:
        gaps: list of (features float64 (c, 4), truth int, offset float64 (c,)); offset is the log of how often a candidate was
            drawn, over how often that was to be expected: drawn candidates stand for all.
        held_out: int, noted in the result.

    Returns:
        `Ranking`; the default with fewer than 2 gaps. The weights of both models are 0 or more.

    Source:
        McFadden 1978, "Modelling the choice of residential location", sections 5 and 7 (drawn alternatives).
    """
    start = np.array(astuple(Ranking())[:4])
    if len(gaps) < 2:
        return Ranking(held_out=held_out)
    free = np.ones(4, bool)
    while True:
        weights = _newton(gaps, np.where(free, start, 0.0), start, free)
        below = free & (weights < 0) & (np.arange(4) < 2)
        if not below.any():
            return Ranking(*weights.tolist(), gaps=len(gaps), held_out=held_out)
        free &= ~below


def _newton(gaps, weights, start, free):
    value = _loss(gaps, weights, start)
    for _ in range(_STEPS):
        slope, curve = _RIDGE * (weights - start), _RIDGE * np.eye(4)
        for x, truth, offset in gaps:
            p = softmax(x @ weights + offset)
            mean = p @ x
            slope += mean - x[truth]
            curve += (x * p[:, None]).T @ x - np.outer(mean, mean)
        step = np.zeros(4)
        step[free] = np.linalg.solve(curve[np.ix_(free, free)], slope[free])
        size = 1.0
        while (new := _loss(gaps, weights - size * step, start)) > value and size > 1e-4:
            size /= 2
        if not value - new > 1e-9:
            break
        weights, value = weights - size * step, new
    return weights


def _loss(gaps, weights, start):
    total = _RIDGE * ((weights - start) ** 2).sum() / 2
    for x, truth, offset in gaps:
        z = x @ weights + offset
        total += z.max() + np.log(np.exp(z - z.max()).sum()) - z[truth]
    return total


def softmax(z):
    """Probabilities of log-probabilities that lack a constant: float64 (c,)."""
    p = np.exp(z - z.max())
    return p / p.sum()
