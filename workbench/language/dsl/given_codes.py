"""Given codes: lists of fillers that users bring, as the first codes of the language that is learned."""

from workbench.words import is_function


def check_given(codes, config):
    """The `codes` of `DeepDSL.fit` as a dict of name to a list of different str.

    Raises:
        TypeError: not a dict of lists of str.
        ValueError: a code without a name or fillers, no code left to learn, or a method that takes none.
    """
    if codes is None:
        return {}
    config.codebook.check_takes_given()
    if not isinstance(codes, dict):
        raise TypeError(
            f"codes is a dict of name to a list of fillers, got {type(codes).__name__}. "
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
    return given


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


def check_met(corpus, units, codes):
    """Before the long work: does each given code occur? One that does not would be filled with something else.

    Raises:
        ValueError: codes none of whose fillers is a phrase of the corpus; it names them.
    """
    known, left = phrases(units, codes), set(range(len(codes)))
    for prompt in corpus if left else ():
        left.difference_update(known.get(span.text) for span in units.split(prompt))
        if not left:
            return
    if left:
        names = [name for code, name in enumerate(codes) if code in left]
        listed = ", ".join(map(repr, names[:8])) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        raise ValueError(f"No filler of {listed} is a phrase of these prompts. Leave such codes out: nothing could be learned.")


def anchored(units, types, codes):
    """The types of the sample, a list of t str, and after them those that only given codes have; and the code of each.

    Returns:
        list of t + s str, and list of t + s int, -1 where none is given; (types, None) without given codes.
    """
    if not codes:
        return types, None
    known = phrases(units, codes)
    types = list(dict.fromkeys([*types, *known]))
    return types, [known.get(text, -1) for text in types]


def report_given(units, codes):
    """The number of fillers of each given code, and of those that are one phrase and could be used."""
    found = list(phrases(units, codes).values())
    return {name: {"fillers": len(fillers), "used": found.count(code)} for code, (name, fillers) in enumerate(codes.items())}
