"""Given codes: lists of fillers, those of users or of the lexicon, as the first codes of the language that is learned."""

import warnings
from collections import Counter

import numpy as np

from workbench.language import growing, lexicon
from workbench.words import is_function

LEXICON = "lexicon"  # `codes` that stands for the lists of the package
_MET = 3  # different phrases of a kind of the lexicon from which it gets a code
_TAKEN = 0.85  # share of the codes that the lexicon takes at most: the others are for what no list holds
_SHARE = 0.05  # share of the phrases in some list below which prompts are taken for those of another language


def check_given(codes, config):
    """The `codes` of `DeepDSL.fit` as a dict of name to a list of different str; of the lexicon, all kinds.

    Raises:
        TypeError: neither "lexicon" nor a dict of lists of str.
        ValueError: another str, a code without a name or fillers or with none of its own, no code left to learn, or a method that
            takes no codes.
    """
    if codes is None:
        return {}
    config.codebook.check_takes_given()
    if codes == LEXICON:
        return {kind: list(listed) for kind, listed in lexicon.phrases().items()}
    if isinstance(codes, str):
        raise ValueError(f'codes is "{LEXICON}", a dict of name to a list of fillers, or None, got {codes!r}.')
    if not isinstance(codes, dict):
        raise TypeError(
            f'codes is a dict of name to a list of fillers, or "{LEXICON}", got {type(codes).__name__}. '
            "For a folder of wildcards: codes=wildcards.fillers(folder)."
        )
    given = {}
    for name, fillers in codes.items():
        if not isinstance(name, str) or isinstance(fillers, str) or not hasattr(fillers, "__iter__"):
            raise TypeError(f"codes[{name!r}] must be a list of str under a name, got {type(fillers).__name__}.")
        fillers = list(dict.fromkeys(fillers))
        wrong = [filler for filler in fillers if not isinstance(filler, str)]
        if wrong:
            raise TypeError(f"codes[{name!r}] must hold str, got {wrong[0]!r}.")
        given[name] = [filler for filler in fillers if filler.strip()]
        if not name or not given[name]:
            raise ValueError(f"codes[{name!r}] needs a name and a filler with text in it. Leave it out.")
    k = config.codebook.n_codes
    if len(given) >= k:
        raise ValueError(
            f"{len(given)} codes are given and the language has {k}: none would be left for all other phrases. "
            f"Take n_codes={len(given) + 16} or give fewer."
        )
    _check_contradictions(given)
    return given


def _check_contradictions(given):
    """Fillers under two names: the first name has them, which is said. A code with none of its own is an error."""
    owner, shared = {}, {}
    for name, fillers in given.items():
        keys = {" ".join(filler.lower().split()): filler for filler in fillers}
        twice = {key: filler for key, filler in keys.items() if owner.setdefault(key, name) != name}
        if len(twice) == len(keys):
            others = ", ".join(dict.fromkeys(repr(owner[key]) for key in twice))
            raise ValueError(
                f"The lists of codes contradict each other: each filler of {name!r} stands under {others} too. "
                "A filler can have one code: leave one of the lists out, or make them one."
            )
        shared |= {filler: (owner[key], name) for key, filler in twice.items()}
    if shared:
        listed = [f"{filler!r} under {first!r} and {name!r}" for filler, (first, name) in list(shared.items())[:3]]
        more = f", and {len(shared) - 3} more" if len(shared) > 3 else ""
        warnings.warn(
            f"{len(shared)} fillers stand under two names ({'; '.join(listed)}{more}). They get the code of the first name. "
            "To choose another, take them out of one list.",
            stacklevel=5,
        )


def phrases(units, codes):
    """The fillers of given codes that `units` keeps as one phrase: dict of phrase to number of the (first) code.

    A filler that is cut into several phrases is left out: "portrait of a samurai" says nothing about "samurai".
    """
    found = {}
    for code, fillers in enumerate(codes.values()):
        for filler in fillers:
            spans = units.split(filler)
            if len(spans) == 1 and not is_function(spans[0].text):
                found.setdefault(spans[0].text, code)
    return found


def check_met(corpus, units, codes, known):
    """Before the long work: does each given code occur? One that does not would be filled with something else.

    Raises:
        ValueError: codes none of whose fillers is a phrase of the corpus; it names them.
    """
    left, seen = set(range(len(codes))), set()
    for prompt in corpus if left else ():
        some = {span.text for span in units.split(prompt)}
        left.difference_update(map(known.get, some))
        if not left:
            return
        seen |= some
    left.difference_update(growing.respelled(seen, codes).values())
    if left:
        names = [name for code, name in enumerate(codes) if code in left]
        listed = ", ".join(map(repr, names[:8])) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        raise ValueError(f"No filler of {listed} is a phrase of these prompts. Leave such codes out: nothing could be learned.")


def met(types, ids, codes, known, n_codes):
    """The kinds of the lexicon that these prompts have, the most frequent ones where the language has few codes.

    Args:
        types: list of t str, the different phrases of the prompts.
        ids: int (n,), rows of `types`, the phrases one by one.
        codes: dict of kind to phrases.
        known: dict of phrase to number of its code, as `phrases` gives it.
        n_codes: int, codes of the language.

    Returns:
        (codes, known, report): both for the kinds that are kept, and a dict of JSON values for `Learned.stats`: "met", the
        share of the phrases in the prompts that stand in a list; "left_out", dict of kind to how many of its phrases occur.
    """
    times = np.bincount(ids, minlength=len(types))
    content = sum(int(n) for text, n in zip(types, times, strict=True) if not is_function(text))
    different, often = Counter(), Counter()
    for text, n in zip(types, times, strict=True):
        if (code := known.get(text)) is not None:
            different[code] += 1
            often[code] += int(n)
    share = sum(often.values()) / max(1, content)
    kept = sorted((code for code, n in different.items() if n >= _MET), key=lambda code: (-often[code], code))
    kept = sorted(kept[: int(_TAKEN * n_codes)])
    if share < _SHARE:
        kept = []
        warnings.warn(
            f"Only {share:.1%} of the phrases of these prompts stand in the lists of the lexicon, which is English: the codes "
            "are learned without it, as with codes=None. For another language bring lists of your own, codes={name: fillers}.",
            stacklevel=6,
        )
    names, number = list(codes), {code: i for i, code in enumerate(kept)}
    report = {
        "met": round(share, 4),
        "left_out": {name: different[code] for code, name in enumerate(names) if code not in number},
    }
    known = {text: number[code] for text, code in known.items() if code in number}
    return {names[code]: codes[names[code]] for code in kept}, known, report


def anchored(types, known):
    """The types of the sample, a list of t str, and after them those that only given codes have; and the code of each.

    Returns:
        list of t + s str, and list of t + s int, -1 where none is given; (types, None) without given codes.
    """
    if not known:
        return types, None
    types = list(dict.fromkeys([*types, *known]))
    return types, [known.get(text, -1) for text in types]


def report_given(codes, known):
    """The number of fillers of each given code, and of those that are one phrase and could be used."""
    used = Counter(known.values())
    return {name: {"fillers": len(fillers), "used": used[code]} for code, (name, fillers) in enumerate(codes.items())}
