"""Naming: typical fillers of a code, and a short name for it. Nothing here takes part in learning the codes."""

import math
from collections import Counter

import numpy as np

from workbench.checks import unit_rows
from workbench.language import lexicon
from workbench.words import is_function

_SURE = 0.5  # share of a code's fillers that have to lie nearest to examples of one kind
_VOTERS = 40


def distinctive(counts, n=12):
    """The most typical and distinctive fillers of each code, by class-based TF-IDF.

    Args:
        counts: list of k `Counter`s, filler -> how often it has this code.
        n: int, fillers per code at most.

    Returns:
        list of k tuples of (filler, count), best first.

    Source:
        c-TF-IDF: Grootendorst, arXiv:2203.05794, section 3.3 (a code takes the place of a topic).
    """
    totals = Counter()
    for counter in counts:
        totals.update(counter)
    mean = sum(totals.values()) / max(1, len(counts))
    best = []
    for counter in counts:
        # the last factor: a filler that mostly means something else is typical of that, not of this
        score = {f: count * math.log(1 + mean / totals[f]) * count / totals[f] for f, count in counter.items()}
        best.append(tuple((f, counter[f]) for f in sorted(score, key=lambda f: (-score[f], f))[:n]))
    return best


def suggest_names(counts, embed, given=()):
    """A short name per code: the kind that most of its fillers look like, or its most distinctive filler.

    The kinds are those of the built-in lexicon (subject, medium, artist...), a few dozen examples each; a filler counts for the
    kind of the example with the nearest static vector. It is a guess for people to read: learning saw no label.

    Args:
        counts: list of k `Counter`s, filler -> how often it has this code.
        embed: function, list of n str -> float32 (n, d) static vectors.
        given: sequence of different str, names that the first codes have already.

    Returns:
        list of k different str. Two codes of one kind differ by a filler: `quality`, `quality-8k`.
    """
    examples = [(phrase, kind) for kind, listed in lexicon.phrases().items() for phrase in listed]
    vectors = embed([phrase for phrase, _ in examples])
    centre = vectors.mean(0)
    vectors = unit_rows(vectors - centre)
    labels = np.array([kind for _, kind in examples])
    chosen, taken = dict(enumerate(given)), set(given)
    typical = distinctive(counts, _VOTERS)
    order = sorted(range(len(counts)), key=lambda i: -sum(counts[i].values()))  # the plain name goes to the largest
    for i in (i for i in order if i not in chosen):
        fillers = [(f, n) for f, n in typical[i] if not is_function(f)]
        shown = [f for f, _ in typical[i]] or [str(i)]  # a code that nothing has keeps its number
        function = sum(n for f, n in counts[i].items() if is_function(f))
        if not fillers or function > 0.5 * sum(counts[i].values()):
            chosen[i] = _free(shown, "", taken)
            continue
        nearest = (unit_rows(embed([f for f, _ in fillers]) - centre) @ vectors.T).argmax(1)
        votes = Counter()
        for row, (_, n) in zip(nearest, fillers, strict=True):
            votes[str(labels[row])] += math.sqrt(n)
        kind, weight = votes.most_common(1)[0]
        prefix = kind if weight >= _SURE * sum(votes.values()) else ""
        chosen[i] = _free([f for f, _ in fillers], prefix, taken)
    return [chosen[i] for i in range(len(counts))]


def _free(fillers, prefix, taken):
    """The first name that no other code has; of a filler at most three words."""
    short = [" ".join(filler.split()[:3]) for filler in fillers]
    options = [prefix, *(f"{prefix}-{each}" for each in short)] if prefix else short
    options += [f"{options[0]} {n}" for n in range(2, len(taken) + 3)]
    name = next(option for option in options if option not in taken)
    taken.add(name)
    return name
