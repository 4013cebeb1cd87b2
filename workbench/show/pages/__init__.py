"""Site: the codes of a fitted `DeepDSL` as a static web site, a page for each, that opens from a folder without a network."""

import re

from workbench.show.pages import drawing, index, naming, pages, placing, reading
from workbench.show.pages.facts import gather

__all__ = ["check", "write"]

_N = 300  # prompts: a few seconds, and a dozen uses of a code that one phrase in a hundred has
_ADDRESS = re.compile(r"https?://[^\s<>\"'()\[\]\\]+")


def write(dsl, folder, prompts=None, *, title="The codes of these prompts", address=None, n=_N):
    """Write the site: an index with search and map, and for each code a page and a badge.

    A page shows the share of its code, fillers with counts, prompts with the slot marked, the segments it stands in, what
    comes before and after it, the codes nearest to it, and its badge with the Markdown for it. Nothing is requested from a
    network, every text is treated as text, and no page has more than 300 kB. Takes about half a minute: the map, and reading
    `n` prompts.

    Args:
        dsl: `DeepDSL`, fitted or loaded.
        folder: str or Path, made; an earlier site is replaced once the new one is whole. A kill in the very moment of the
            exchange leaves the earlier site next to it, in a hidden folder that ends in `.old`.
        prompts: list of str or `Corpus`, where examples and segments are looked for: `n` of them, evenly spaced. None takes
            the built-in grammar if `dsl` was learned on it, and otherwise the examples that `dsl` keeps, which are few.
        title: str, heading of the index.
        address: str or None, where the site will be on the web, such as "https://me.github.io/codes": the Markdown of the
            badges leads there. None: paths from the folder of the site.
        n: int, prompts that are read at most.

    Returns:
        Path of the index page.

    Raises:
        ArtifactError: the folder is a file or holds something else than an earlier site (nothing is touched), or the disk is
            full (an earlier site stays).
        ValueError: `n` is not 1 or more, or `address` is no web address.
        TypeError: `prompts` are not texts.
    """
    check(folder, n, address)
    with placing.replacing(folder) as part:
        seen, source = reading.look(dsl, prompts, n)
        codes = gather(dsl, seen)
        chart = drawing.chart(dsl)
        found = {
            **{f"codes/{code.file}.html": pages.page(code, codes, chart, source, title, address) for code in codes},
            **{f"badges/{code.file}.svg": drawing.badge(code.name, f"{naming.percent(code.usage)} of phrases") for code in codes},
            **index.pages(dsl, codes, chart, title),
        }
        for name, text in found.items():
            placing.put(part / name, text)
    return placing.place(folder) / "index.html"


def check(folder, n=_N, address=None):
    """Find out before long work whether `write` would take these arguments; raises what it would raise."""
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"n is how many prompts are read, an int of 1 or more, got {n!r}.")
    if address is not None and not (isinstance(address, str) and _ADDRESS.fullmatch(address)):
        raise ValueError(f'address is where the site will be, such as "https://me.github.io/codes", got {address!r}.')
    placing.check(placing.place(folder))
