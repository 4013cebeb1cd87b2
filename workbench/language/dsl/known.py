"""Known codes: lists of fillers that people bring, as codes of the language that is learned."""

from workbench.words import is_function


def check_known(codes, config):
    """Codes given to `DeepDSL.fit`: dict of name to a list of different str, in order.

    Raises:
        TypeError: no dict of lists of str.
        ValueError: a code without a name or fillers, or no code left to learn.
    """
    if codes is None:
        return {}
    if not isinstance(codes, dict):
        raise TypeError(
            f"codes is a dict of name to a list of fillers, got {type(codes).__name__}. "
            "For a folder of wildcards: codes=wildcards.fillers(folder)."
        )
    known = {}
    for name, fillers in codes.items():
        if not isinstance(name, str) or isinstance(fillers, str) or not hasattr(fillers, "__iter__"):
            raise TypeError(f"codes[{name!r}] must be a list of str under a name, got {type(fillers).__name__}.")
        fillers = list(dict.fromkeys(fillers))
        wrong = [filler for filler in fillers if not isinstance(filler, str)]
        if wrong:
            raise TypeError(f"codes[{name!r}] must hold str, got {wrong[0]!r}.")
        known[name] = [filler for filler in fillers if filler.strip()]
        if not name or not known[name]:
            raise ValueError(f"codes[{name!r}] needs a name and a filler with text in it. Leave it out.")
    k = config.codebook.n_codes
    if len(known) >= k:
        raise ValueError(
            f"{len(known)} codes are given and the language has {k}: none would be left for all other phrases. "
            f"Take n_codes={len(known) + 16} or give fewer."
        )
    return known


def phrases(units, known):
    """The phrases of known codes as `units` sees them: dict of phrase to number of the code; the first code keeps it.

    A filler that is cut into several phrases is none of them: "portrait of a samurai" says nothing of "samurai".
    """
    found = {}
    for code, fillers in enumerate(known.values()):
        for filler in fillers:
            spans = units.split(filler)
            if len(spans) == 1 and not is_function(spans[0].text):
                found.setdefault(spans[0].text, code)
    return found


def check_met(corpus, units, known):
    """Before the long work: does each known code occur? One that does not would be filled with something else.

    Raises:
        ValueError: codes none of whose fillers is a phrase of the corpus; it names them.
    """
    given, left = phrases(units, known), set(range(len(known)))
    for prompt in corpus if left else ():
        left.difference_update(given.get(span.text) for span in units.split(prompt))
        if not left:
            return
    if left:
        names = [name for code, name in enumerate(known) if code in left]
        listed = ", ".join(map(repr, names[:8])) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        raise ValueError(
            f"No filler of {listed} is a phrase of these prompts: leave such codes out, nothing could be learned of them."
        )


def anchored(units, types, known):
    """Types with those that only the known codes have behind them, and the code that each is given.

    Args:
        units: `Units`.
        types: list of t str, the phrases of the sample.
        known: dict of name to list of str.

    Returns:
        list of t + s str, and list of t + s int, -1 where none is given; (types, None) without known codes.
    """
    if not known:
        return types, None
    given = phrases(units, known)
    types = list(dict.fromkeys([*types, *given]))
    return types, [given.get(text, -1) for text in types]


def report_known(units, known):
    """How many fillers of each known code were given, and how many of them are one phrase and could be used."""
    found = list(phrases(units, known).values())
    return {name: {"fillers": len(fillers), "used": found.count(code)} for code, (name, fillers) in enumerate(known.items())}
