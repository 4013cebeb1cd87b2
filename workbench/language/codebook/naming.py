"""Naming: typical fillers of a code, and a short name for it. Nothing here takes part in learning the codes."""

import math
import unicodedata
from collections import Counter
from functools import cache

from workbench.checks import unit_rows
from workbench.language import lexicon
from workbench.words import is_function

_SURE, _LEAST = 0.5, 0.25  # share of a code's fillers that have to be of one kind: of those of some kind, and of all
_VOTERS = 40
_EXAMPLES = 40  # phrases of each kind that a filler in no list is compared with, besides those that these prompts have
_NEAR = 0.55  # cosine from which a filler counts as of the kind of an example: random words have .3 to .5
_PROPER = frozenset({"artist", "character", "site"})  # kinds of proper names: no code is named after one of them


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
    """A short name per code: the kind that most of its fillers have, or its most distinctive filler.

    The kinds are those of the lexicon (animal, medium, artist...). A filler that stands in no list counts for the kind of the
    example with the nearest static vector, if that is near. It is a guess for people to read: learning saw no label.

    Args:
        counts: list of k `Counter`s, filler -> how often it has this code.
        embed: function, list of n str -> float32 (n, d) static vectors.
        given: sequence of different str, names that the first codes have already.

    Returns:
        list of k different str. Two codes of one kind differ by a filler: `quality`, `quality-8k`; or by a number where a filler
        would be one artist, character or site: `artist 2`. Codes of function words are `function`, `function-with`, of
        figures `number`; codes in another script are called after their most frequent filler.
    """
    kinds = {phrase: kind for kind, listed in lexicon.phrases().items() for phrase in listed}
    nearest = _nearest(embed, {filler for counter in counts for filler in counter})
    chosen, taken = dict(enumerate(given)), set(given)
    typical = distinctive(counts, _VOTERS)
    order = sorted(range(len(counts)), key=lambda i: -sum(counts[i].values()))  # the plain name goes to the largest
    for i in (i for i in order if i not in chosen):
        often = [f for f, _ in counts[i].most_common(_VOTERS)]
        fillers = [(f, n) for f, n in typical[i] if not is_function(f)]
        if not often:
            chosen[i] = _free([str(i)], "", taken)  # a code that nothing has keeps its number
        elif not fillers or sum(n for f, n in counts[i].items() if is_function(f)) > 0.5 * sum(counts[i].values()):
            chosen[i] = _free([f for f in often if is_function(f)], "function", taken)
        elif sum(n for f, n in fillers if not _is_latin(f)) > 0.5 * sum(n for _, n in fillers):
            chosen[i] = _free([f for f in often if not is_function(f)], "", taken)
        else:
            kind, fitting = _kind(fillers, kinds, nearest)
            chosen[i] = _free(fitting, kind, taken)
    return [chosen[i] for i in range(len(counts))]


def _kind(fillers, kinds, nearest):
    """The kind of most fillers, "" for none, and the fillers that a name may show; fillers are (filler, count), best first."""
    near = nearest([f for f, _ in fillers if f not in kinds])
    of = [(f, kinds.get(f) or ("number" if not any(map(str.isalpha, f)) else near[f]), math.sqrt(n)) for f, n in fillers]
    votes = Counter()
    for _, kind, weight in of:
        votes[kind] += weight
    unknown, known = votes.pop("", 0), sum(votes.values())
    kind, weight = votes.most_common(1)[0] if votes else ("", 0)
    names = _proper_words()
    common = [(f, own) for f, own, _ in of if own not in _PROPER and names.isdisjoint(f.split())]
    if common and (weight < _SURE * known or weight < _LEAST * (known + unknown)):
        return "", [f for f, own in common if own] + [f for f, own in common if not own]
    return kind, [f for f, own in common if own == kind]


@cache
def _proper_words():
    """Words that the lists have in names of artists, characters and sites only."""
    words = {proper: set() for proper in (False, True)}
    for kind, listed in lexicon.phrases().items():
        words[kind in _PROPER].update(word for phrase in listed for word in phrase.split())
    return words[True] - words[False]


def _nearest(embed, known):
    """A function: list of phrases -> dict of phrase to the kind of the nearest example, "" where none is near.

    Examples are the listed phrases that are `known`, a set of str, and some others of each kind.
    """
    examples = []
    for kind, many in lexicon.phrases().items():
        some = set(many[:: -(-len(many) // _EXAMPLES)])
        examples += [(phrase, kind) for phrase in many if phrase in some or phrase in known]
    vectors = embed([phrase for phrase, _ in examples])
    centre = vectors.mean(0)
    vectors = unit_rows(vectors - centre)

    def kinds_of(phrases):
        if not phrases:
            return {}
        cosines = unit_rows(embed(phrases) - centre) @ vectors.T
        rows = zip(phrases, cosines.argmax(1), cosines.max(1), strict=True)
        return {phrase: examples[row][1] if cosine >= _NEAR else "" for phrase, row, cosine in rows}

    return kinds_of


def _is_latin(filler):
    """Whether a filler has no letter of another script than ours."""
    return all("LATIN" in unicodedata.name(sign, "") for sign in filler if sign.isalpha())


def _free(fillers, prefix, taken):
    """The first name that no other code has; of a filler at most three words."""
    short = [" ".join(filler.split()[:3]) for filler in fillers]
    options = [prefix, *(f"{prefix}-{each}" for each in short)] if prefix else short
    options += [f"{options[0]} {n}" for n in range(2, len(taken) + 3)]
    name = next(option for option in options if option not in taken)
    taken.add(name)
    return name
