"""Weighing: how much the writer, the n-grams, length and repetition count when fillers of a gap are ranked.

The weights are learned on real prompts with a word, slot or segment left open, and candidates for it.
"""

from dataclasses import asdict, astuple, dataclass

import numpy as np

from workbench import artifacts, checks
from workbench.language import ngram
from workbench.template import Slot, Template
from workbench.words import FUNCTION_WORDS, WORD, split

_RIDGE = 1.0  # nats that a weight one away from the default costs, over all gaps
_LOWEST = -1e4  # nats, in place of -inf, so that it can be weighed

_KNOWN = 2000  # words, slots and segments each that candidates are drawn from, the most common ones
_READ = 3000  # templates that are counted, at most, spread evenly over all
_DRAWN = 24  # candidates that the truth is compared with
_EVEN = 0.5  # share drawn uniformly; the others are drawn by the n-grams, since good candidates tell most about the weights
_SOFT = 0.7  # power of the n-grams' probability that they are drawn with
_LONGEST = 6  # words of a gap


@dataclass(frozen=True)
class Ranking(artifacts.Saved):
    """Weights of the features of a filler; the higher the weighted sum, the better.

    The default is the mean of both log-probabilities, for languages with too few prompts to learn weights.
    """

    kind = "ranking"

    writer: float = 0.5  # of the writer's log-probability (nats)
    ngram: float = 0.5  # of the n-grams' log-probability (nats)
    words: float = 0.0  # nats for each word: both models learned lengths that need not be those of gaps
    repeats: float = 0.0  # nats for each content word that the prompt already has
    gaps: int = 0  # gaps that the weights were learned on; 0 for the default weights
    held_out: int = 0  # prompts that writer, prior and n-grams did not learn, so that the weights could be

    def __call__(self, features):
        """Scores of candidates, float64 (c,): their log-probability up to a constant; `features` is float (c, 4)."""
        return features @ np.array(astuple(self)[:4])

    def to_state(self):
        """Config (JSON values) and tensors (none) that `from_state` reads."""
        return asdict(self), {}

    @classmethod
    def from_state(cls, config, tensors):
        """The `Ranking` that `to_state` described; another config is a KeyError, TypeError or ValueError."""
        found = cls(**config)
        for name in asdict(found):
            checks.number(name, config[name])
        return found


def features(written, spoken, visible, fillers):
    """What a `Ranking` weighs.

    Args:
        written: float (c,), the writer's log-probability of each candidate.
        spoken: float (c,), that of the n-grams.
        visible: list of str, the words of the prompt around the gaps.
        fillers: list of c lists of str, the words that each candidate puts into all gaps.

    Returns:
        float64 (c, 4): both log-probabilities, the number of words, and of content words that the prompt already has.
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
    """The `Ranking` under which the truth is most likely among its candidates: a conditional logit, which is convex.

    Args:
        gaps: list of (features float64 (c, 4), truth int, offset float64 (c,)); an offset is the log of the number of times a
            candidate was drawn over the expected number, as the drawn candidates represent all.
        held_out: int, noted in the result.

    Returns:
        `Ranking`; the default with fewer than 2 gaps. The weights of both models are 0 or more.

    Source:
        McFadden 1978, "Modelling the choice of residential location", sections 5 and 7 (drawn alternatives).
    """
    from scipy.optimize import minimize

    start = np.array(astuple(Ranking())[:4])
    if len(gaps) < 2:
        return Ranking(held_out=held_out)

    def loss(weights):
        value, slope = _RIDGE * ((weights - start) ** 2).sum() / 2, _RIDGE * (weights - start)
        for x, truth, offset in gaps:
            z = x @ weights + offset
            value += np.logaddexp.reduce(z) - z[truth]
            slope += softmax(z) @ x - x[truth]
        return value, slope

    bounds = [(0, None)] * 2 + [(None, None)] * 2
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B", options={"ftol": 1e-13, "gtol": 1e-6})
    return Ranking(*found.x.tolist(), gaps=len(gaps), held_out=held_out)


def softmax(z):
    """Probabilities from log-probabilities up to a constant: float64 (c,)."""
    p = np.exp(z - z.max())
    return p / p.sum()


# ---- gaps to learn on ---------------------------------------------------------------------------------------------------


class Inventory:
    """The most common words, slots and segments of templates, as lists of plain texts."""

    def __init__(self, templates):
        counts = [{}, {}, {}]
        for template in templates[:: 1 + len(templates) // _READ]:
            for kind, _, _, text in stretches(template):
                counts[kind][text] = counts[kind].get(text, 0) + 1
        self.texts = [sorted(some, key=lambda text: (-some[text], text))[:_KNOWN] for some in counts]


def stretches(template):
    """Words (kind 0), slots (1) and segments (2) of a prompt that could be a gap: (kind, start, end, plain text), in order."""
    prompt, found = template.prompt, []
    found += [(0, w.start, w.end) for w in split(prompt) if w.kind == WORD]
    found += [(1, slot.start, slot.end) for slot in template.slots]
    at = 0
    for segment in template.segments():
        text = "".join(part.text if isinstance(part, Slot) else part for part in segment)
        words = [w for w in split(text) if w.kind == WORD]
        if words:
            found.append((2, at + words[0].start, at + words[-1].end))
        at += len(text)
    texts = [(kind, start, end, " ".join(prompt[start:end].lower().split())) for kind, start, end in found]
    return [each for each in texts if len(ngram.tokens(each[3])) <= _LONGEST and each[3] != prompt.lower()]


def gap(template, inventory, model, rng):
    """One gap of a prompt with candidates drawn for it.

    Args:
        template: `Template`, all slots filled.
        inventory: `Inventory`.
        model: `KneserNey` that has not seen the prompt.
        rng: numpy generator.

    Returns:
        (`Template` with `<?>`, list of str, the candidates; int, the place of the truth among them; float64, their offsets for
        `learn`), or None if nothing in the prompt is common enough.
    """
    there = stretches(template)
    for kind in rng.permutation(3).tolist():
        known = inventory.texts[kind]
        place = {text: i for i, text in enumerate(known)}
        some = [each for each in there if each[0] == kind and each[3] in place]
        if some:
            break
    else:
        return None
    _, start, end, text = some[int(rng.integers(len(some)))]
    prompt, truth = template.prompt, place[text]
    left, right = ngram.tokens(prompt[:start]), ngram.tokens(prompt[end:])
    spoken = model.fill_log_prob(left, [ngram.tokens(each) for each in known], right)
    q = (1 - _EVEN) * softmax(_SOFT * spoken) + _EVEN / len(known)
    drawn, times = np.unique(np.append(rng.choice(len(known), _DRAWN, p=q), truth), return_counts=True)
    offset = np.log(times / ((_DRAWN + 1) * q[drawn]))
    hole = Template.build([prompt[:start], Slot(None), prompt[end:]])
    return hole, [known[i] for i in drawn], int(np.searchsorted(drawn, truth)), offset
