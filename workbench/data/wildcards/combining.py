"""Combining: all texts that a template stands for, one after the other, or some of them drawn by weight."""

import difflib
import heapq
import math
import numbers
import random
from collections import Counter
from fnmatch import fnmatchcase
from itertools import accumulate, islice, product
from typing import NamedTuple

from workbench.data.wildcards.syntax import Reference, parse
from workbench.values import TemplateError

_FLAT = 100_000  # texts of a choice that are written out beforehand


class _Choice(NamedTuple):
    """A place of a template: `options`, each a str or a tuple of str and `_Choice`; `weights`, floats; `size`, texts in all."""

    options: tuple
    weights: tuple
    size: int


def combinations(template, wildcards=None, n=None, likely_first=False):
    """All texts of a template, lazily; the first place changes slowest.

    Args:
        template: str in the language of dynamicprompts (see `workbench.data.wildcards.syntax`).
        wildcards: dict of name to list of lines, or to dict of line to weight, as `read` returns it.
        n: int, texts at most; None for all.
        likely_first: bool, the most likely texts first (by the product of their weights) instead of in the order of the lists.

    Returns:
        iterator of str. A line or variant that stands twice in one place counts once.

    Raises:
        TemplateError: the template is not understood, or names a list that is missing, empty, or part of itself. At once.
        ValueError: n is negative.
    """
    if n is not None and (isinstance(n, bool) or not isinstance(n, numbers.Integral) or n < 0):
        raise ValueError(f"n is how many texts you want at most, an int of 0 or more or None, got {n!r}.")
    parts = _resolved(template, wildcards)
    return islice(_likely(parts) if likely_first else _texts(parts), n)


def count(template, wildcards=None):
    """How many texts `combinations` has: int. Arguments and errors as there."""
    return _size(_resolved(template, wildcards))


def sample(template, wildcards=None, n=1, seed=0):
    """Draw texts at random, by weight, with repeats.

    Args:
        template: str, as in `combinations`.
        wildcards: dict, as in `combinations`.
        n: int, texts.
        seed: int.

    Returns:
        list of n str.

    Raises:
        TemplateError: as `combinations`, and if all weights of a place are 0.
        ValueError: n is not 1 or more.
    """
    if isinstance(n, bool) or not isinstance(n, numbers.Integral) or n < 1:
        raise ValueError(f"n is how many texts you want, an int of 1 or more, got {n!r}.")
    return _drawn(_resolved(template, wildcards), int(n), random.Random(seed))


# ---- from the template to places -----------------------------------------------------------------------------------------


def _resolved(template, wildcards):
    """The parts of a template, str and `_Choice`, references looked up."""
    return _places(parse(template), wildcards or {}, {}, ())


def _places(parts, wildcards, known, path):
    out = []
    for part in parts:
        if isinstance(part, str):
            out.append(part)
        elif isinstance(part, Reference):
            if part.name not in known:
                known[part.name] = _looked_up(part.name, wildcards, known, path)
            out.append(known[part.name])
        else:
            out.append(_choice([(_places(inner, wildcards, known, path), w) for inner, w in part.options]))
    return tuple(out)


def _looked_up(name, wildcards, known, path):
    if name in path:
        raise TemplateError(f"The list {name!r} is part of itself: {' > '.join((*path, name))}. Take one of them out.")
    names = [name] if name in wildcards else [one for one in wildcards if fnmatchcase(one, name)]
    names = names or [one for one in wildcards if fnmatchcase(one, f"*/{name}")]
    if not names:
        near = difflib.get_close_matches(name[:60], wildcards, 3)
        there = ", ".join(map(repr, list(wildcards)[:12])) or "none"
        hint = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
        raise TemplateError(f"There is no list {name!r}. {hint}There are: {there}.")
    options = []
    for one in names:
        lines = wildcards[one]
        lines = lines.items() if isinstance(lines, dict) else ((text, 1.0) for text in lines)
        options += [(_line(text, one, wildcards, known, (*path, name)), weight) for text, weight in lines]
    if not options:
        raise TemplateError(f"The list {name!r} is empty: write a filler in each line, or take __{name}__ out.")
    return _choice(options)


def _line(text, name, wildcards, known, path):
    if not any(sign in text for sign in "{#$%/") and "__" not in text:
        return (text,)  # nearly all: plain
    try:
        return _places(parse(text), wildcards, known, path)
    except TemplateError as err:
        raise TemplateError(f"In the list {name!r}, {text[:60]!r}: {err}") from err


def _choice(options):
    """A `_Choice` of (parts, weight); written out as plain texts if they are few, equal ones joined."""
    weights = {}
    if sum(_size(parts) for parts, _ in options) <= _FLAT:
        for parts, weight in options:
            if len(parts) == 1 and isinstance(parts[0], str):  # nearly all
                weights[parts[0]] = weights.get(parts[0], 0.0) + weight
                continue
            for text, share in _weighted(parts):
                weights[text] = weights.get(text, 0.0) + weight * share
        return _Choice(tuple(weights), tuple(weights.values()), len(weights))
    for parts, weight in options:
        parts = parts[0] if len(parts) == 1 and isinstance(parts[0], str) else parts
        weights[parts] = weights.get(parts, 0.0) + weight
    size = sum(1 if isinstance(parts, str) else _size(parts) for parts in weights)
    return _Choice(tuple(weights), tuple(weights.values()), size)


def _size(parts):
    size = 1
    for part in parts:
        size *= 1 if isinstance(part, str) else part.size
    return size


def _weighted(parts):
    """Pairs of a text of the parts, all of which are plain or written out, and its probability."""
    pools = [[(part, 1.0)] if isinstance(part, str) else _shares(part) for part in parts]
    for chosen in product(*pools):
        yield "".join(text for text, _ in chosen), math.prod(share for _, share in chosen)


def _shares(choice):
    total = sum(choice.weights)
    return [(text, weight / total if total else 0.0) for text, weight in zip(choice.options, choice.weights, strict=True)]


# ---- from places to texts ------------------------------------------------------------------------------------------------


def _texts(parts):
    pools = [(part,) if isinstance(part, str) else part.options for part in parts]
    deep = next((i for i, pool in enumerate(pools) if not all(isinstance(one, str) for one in pool)), None)
    if deep is None:
        if not pools:
            yield ""
            return
        *heads, last = _fused(pools)
        for head in product(*heads):
            yield from map("".join(head).__add__, last)
        return
    for head in map("".join, product(*pools[:deep])):
        for option in pools[deep]:
            for middle in (option,) if isinstance(option, str) else _texts(option):
                yield from map((head + middle).__add__, _texts(parts[deep + 1 :]))


def _fused(pools):
    """The same combinations in fewer pools: plain text goes into the choice behind it, or at the end into the one before."""
    out, text = [], ""
    for pool in pools:
        if len(pool) == 1:
            text += pool[0]
        else:
            out.append([text + one for one in pool] if text else list(pool))
            text = ""
    if not out:
        return [[text]]
    out[-1] = [one + text for one in out[-1]] if text else out[-1]
    return out


def _likely(parts):
    """Best first: the parent of a combination is the one with its last place that is not at its best one step better."""
    pools = []
    for part in parts:
        if isinstance(part, str):
            pools.append([(0.0, part)])
            continue
        if not all(isinstance(one, str) for one in part.options):
            raise TemplateError(f"A place of this template has {part.size:,} texts, too many to sort. Leave likely_first out.")
        costs = [-math.log(weight) if weight else math.inf for weight in part.weights]
        pools.append(sorted(zip(costs, part.options, strict=True), key=lambda pair: pair[0]))
    return _best_first(pools)


def _best_first(pools):
    start = (0,) * len(pools)
    queue = [(sum(pool[0][0] for pool in pools), start, 0)]
    while queue:
        _, places, last = heapq.heappop(queue)
        yield "".join(pool[at][1] for pool, at in zip(pools, places, strict=True))
        for i in range(last, len(pools)):
            if places[i] + 1 < len(pools[i]):
                further = (*places[:i], places[i] + 1, *places[i + 1 :])
                cost = sum(pool[at][0] for pool, at in zip(pools, further, strict=True))
                heapq.heappush(queue, (cost, further, i))


def _drawn(parts, n, rng):
    columns = [[part] * n if isinstance(part, str) else _column(part, n, rng) for part in parts]
    return list(map("".join, zip(*columns, strict=True))) if columns else [""] * n


def _column(choice, n, rng):
    if not any(choice.weights):
        raise TemplateError(f"All weights of a place are 0: {choice.options[0]!r:.60} and its like can never be drawn.")
    even = min(choice.weights) == max(choice.weights)
    chosen = rng.choices(choice.options, cum_weights=None if even else list(accumulate(choice.weights)), k=n)
    deep = Counter(one for one in chosen if not isinstance(one, str))
    deep = {one: iter(_drawn(one, times, rng)) for one, times in deep.items()}
    return [one if isinstance(one, str) else next(deep[one]) for one in chosen] if deep else chosen
