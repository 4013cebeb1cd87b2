"""Site: the codes of a fitted `DeepDSL` as a static web site, a page for each, that opens from a folder without a network."""

import re

from workbench import checks, files
from workbench.files import atomic_path, check_ours, replacing_ours
from workbench.language import lexicon
from workbench.show import palette
from workbench.show.pages import code_page, language_map, occurrences
from workbench.show.pages.code_facts import code_rows, gather
from workbench.show.rendering import file_text, line, percent, render, script_json

__all__ = ["check", "write"]

_N = 300  # prompts: a few seconds, and a dozen uses of a code that one phrase in a hundred has
_ADDRESS = re.compile(r"https?://[^\s<>\"'()\[\]\\]+")
_ROWS = 64  # codes on one page of the index
MARKER = "deep-dsl-site.json"
_PLACE = ("site", MARKER)
_PAGE = 288_000  # bytes of the first page, at most


def write(dsl, folder, prompts=None, *, title="The codes of these prompts", address=None, n=_N):
    """Write the site: an index with search and map, and for each code a page and a badge.

    The page of a code shows its share, its fillers with counts, prompts with the slot marked, the segments it stands in, what
    comes before and after it, the codes nearest to it, and its badge with the Markdown for it. Nothing is requested from a
    network, every text is treated as text, and no page has more than 300 kB. Takes about half a minute: the map, and reading
    `n` prompts.

    Args:
        dsl: `DeepDSL`, fitted or loaded.
        folder: str or Path, made; an earlier site is replaced once the new one is complete. If the process is killed in the
            moment of the exchange, the earlier site is next to it, in a hidden folder that ends in `.old`.
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
    folder = files.path(folder, "folder")
    check(folder, n, address)
    with replacing_ours(folder, *_PLACE) as part:
        seen, where = occurrences.look(dsl, prompts, n)
        codes, looks = gather(dsl, seen), palette.looks(dsl)
        chart = language_map.chart(dsl)
        for name, text in _index(dsl, codes, chart, looks, title):
            _put(part / name, text)
        for code in codes:
            badge = code_page.badge(code)
            _put(part / f"badges/{code.file}.svg", badge)
            page = code_page.page(code, codes, chart, looks, badge, where, title, address)
            _put(part / f"codes/{code.file}.html", page)
    return folder.resolve() / "index.html"


def check(folder, n=_N, address=None):
    """Find out before long work whether `write` would take these arguments; raises what it would raise."""
    checks.whole("n, how many prompts are read,", n)
    if address is not None and not (isinstance(address, str) and _ADDRESS.fullmatch(address)):
        raise ValueError(f'address is where the site will be, such as "https://me.github.io/codes", got {address!r}.')
    check_ours(folder, *_PLACE)


def _put(path, text):
    """Write a text as UTF-8; half a surrogate pair, as in badly cut emoji, becomes a question mark."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", errors="replace"))


def _index(dsl, codes, chart, looks, title):
    """Pairs (file name, HTML) of the pages that list the codes; search and map are on the first."""
    rows, pages = code_rows(codes, looks), []
    for number in range(max(1, -(-len(codes) // _ROWS))):
        first, chunk = number * _ROWS, rows[number * _ROWS : (number + 1) * _ROWS]
        file, span = f"index-{number + 1}.html" if number else "index.html", f"{first + 1:,} to {first + len(chunk):,}"
        pages.append({"number": number, "file": file, "span": span, "rows": chunk})
    counted = {"total": len(codes), "used": sum(code.count > 0 for code in codes)}
    origin = (dsl.stats.get("corpus") or {}).get("source")
    search = [{"name": line(c.name, 60), "page": f"codes/{c.file}.html", "use": percent(c.usage), "fillers": []} for c in codes]
    drawn = language_map.picture(chart, codes) if chart else None
    shared = {"title": title, "pages": pages, "stats": dsl.stats, "source": origin, "map": drawn, "search": search} | counted

    def filled(page, covered=""):
        head = f"Codes {page['span']} · {line(title, 60)}" if page["number"] else line(title, 120)
        program = "" if page["number"] else file_text("search.js")
        return render("index.html", page=page, head=head, program=program, covered=covered, **shared)

    covered = _fill(search, codes, _listed(dsl), _PAGE - len(filled(pages[0]).encode("utf-8", "replace")))
    for page in pages:
        yield page["file"], filled(page, covered)


def _listed(dsl):
    """Phrases from which codes began, by the name of the code: prompts may not have them, and the language knows them."""
    return lexicon.phrases() if dsl.stats.get("lexicon") else {}


def _fill(rows, codes, listed, room):
    """Put fillers into the data of the search, the most frequent of each code, as many as fit; says what is covered."""
    while room < 0 and rows:
        room += len(script_json(rows.pop())) + 1
    texts = [[*(line(text) for text, _ in (*code.typical, *code.frequent)), *listed.get(code.name, ())] for code in codes]
    fillers = [list(dict.fromkeys(filter(None, found))) for found in texts]
    total, given = sum(map(len, fillers)), 0
    for place in range(max(map(len, fillers), default=0)):  # the first of each code, then the second of each ...
        for row, found in zip(rows, fillers, strict=False):
            cost = len(script_json(found[place])) + 1 if place < len(found) else room + 1
            if cost <= room:
                row["fillers"].append(found[place])
                room -= cost
                given += 1
    names = f"{len(rows):,}" if len(rows) == len(codes) else f"the {len(rows):,} most used of {len(codes):,}"
    many = f"{given:,}" if given == total else f"the {given:,} most frequent of {total:,}"
    return f"Searches {names} names of codes and {many} fillers."
