"""Index: the pages that list all codes, with the map and the search."""

from workbench.show.pages import drawing
from workbench.show.pages.naming import line, percent, short
from workbench.show.pages.shell import TAG, script_safe, section, shell

_ROWS = 64  # codes on one page
_FILLERS = 6  # in a row of the table
_PAGE = 280_000  # bytes of the first page, at most


def pages(dsl, codes, chart, title):
    """The pages of the index: dict of file name -> HTML; the first is `index.html`.

    Args:
        dsl: `DeepDSL`.
        codes: list of `CodeFacts`, most used first.
        chart: `Chart` or None.
        title: str, heading.
    """
    chunks = [codes[at : at + _ROWS] for at in range(0, len(codes), _ROWS)]
    out = {}
    for number, chunk in enumerate(chunks):
        table = section("codes", "Codes", _table(chunk, codes, chart)) + _paging(chunks, number)
        if number:
            top = f'<nav aria-label="Site"><a href="index.html">{short(title, 60)}</a></nav>'
            heading = f"Codes {chunk[0].rank:,} to {chunk[-1].rank:,}"
            out[_name(number)] = shell(f"{heading} · {line(title, 60)}", f'<h1 dir="auto">{heading}</h1>{table}', top)
        else:
            out[_name(0)] = _first(dsl, codes, chart, title, table)
    return out


def _first(dsl, codes, chart, title, table):
    """The page with search and map; what room they leave goes to the data of the search."""
    rows = [{"name": line(c.name, 60), "page": f"codes/{c.file}.html", "use": percent(c.usage), "fillers": []} for c in codes]

    def filled(said):
        body = f"{_lead(dsl, codes, title)}{_search(said)}{_map(chart, codes)}{table}"
        return shell(line(title, 120), body, script="search.js", data=rows)

    said = _fill(rows, codes, _PAGE - len(filled("").encode("utf-8", "replace")))
    return filled(said)


def _name(number):
    return f"index-{number + 1}.html" if number else "index.html"


def _lead(dsl, codes, title):
    used = sum(code.count > 0 for code in codes)
    source = (dsl.stats.get("corpus") or {}).get("source")
    came = " of the built-in corpus" if source == "world" else f" of <b>{short(source, 120)}</b>" if source else ""
    nav = "".join(f'<a href="#{name}">{word}</a>' for name, word in (("search", "Search"), ("map", "Map"), ("codes", "Codes")))
    return (
        f'<h1 dir="auto">{short(title, 200)}</h1><p class="lead">{dsl.stats["prompts"]:,} prompts{came} were read without labels '
        f"and cut into {dsl.stats['units']:,} phrases; these were sorted into {len(codes):,} codes, {used:,} of them in use: "
        f'the parts of speech of a prompt. Each code has a page.</p><nav class="chips" aria-label="On this page">{nav}</nav>'
    )


def _search(said):
    return section(
        "search",
        "Search",
        '<form role="search" class="panel"><label for="q">A word of a filler or the name of a code</label> '
        '<input id="q" name="q" type="search" autocomplete="off" spellcheck="false">'
        f'<p id="status" role="status">{said}</p><ol id="found"></ol>'
        "<noscript><p>This search needs scripts. Without them, look through the codes below.</p></noscript></form>",
    )


def _fill(rows, codes, room):
    """Put fillers into the data of the search, the most frequent of each code, as many as fit; says what is covered."""
    while room < 0 and rows:
        room += len(script_safe(rows.pop())) + 1
    fillers = [_unique(code) for code in codes]
    total, given = sum(map(len, fillers)), 0
    for place in range(max(map(len, fillers), default=0)):  # the first of each code, then the second of each ...
        for row, found in zip(rows, fillers, strict=False):
            cost = len(script_safe(found[place])) + 1 if place < len(found) else room + 1
            if cost <= room:
                row["fillers"].append(found[place])
                room -= cost
                given += 1
    names = f"{len(rows):,}" if len(rows) == len(codes) else f"the {len(rows):,} most used of {len(codes):,}"
    many = f"{given:,}" if given == total else f"the {given:,} most frequent of {total:,}"
    return f"Searches {names} names of codes and {many} fillers."


def _unique(code):
    texts = (line(text) for text, _ in (*code.typical, *code.frequent))
    return list(dict.fromkeys(text for text in texts if text))


def _map(chart, codes):
    if chart is None:
        return section("map", "Map of the language", "<p>There is no map: it needs five different fillers or more.</p>")
    some = f", of which {chart.shown:,} are drawn" if chart.shown < chart.total else ""
    said = (
        f"<p>{chart.total:,} frequent fillers{some}: near ones are used alike, and a name leads to the page of its code. "
        f"Trustworthiness of the map {chart.trust:.2f} of 1 (places drawn by lot: .5). Function words are left out.</p>"
    )
    return section("map", "Map of the language", f'{said}<figure class="panel">{drawing.picture(chart, codes)}</figure>')


def _table(chunk, codes, chart):
    top = max((code.usage for code in codes), default=0) or 1
    rows = "".join(_row(code, top, chart) for code in chunk)
    return (
        "<p>Most used first, with the phrases that are most typical of each; the small number says how often a phrase occurs.</p>"
        '<div class="panel"><table class="codes"><thead><tr><th scope="col">Code</th><th scope="col">Share of phrases</th>'
        f'<th scope="col">Typical fillers</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _row(code, top, chart):
    colour = chart.colours.get(code.id) if chart else None
    dot = "" if colour is None else f'<i class="dot k{colour}" aria-hidden="true"></i>'
    fillers = "".join(
        f"<li><bdi>{short(text, 40)}</bdi> <small>{count:,}</small></li>" for text, count in code.typical[:_FILLERS]
    )
    kind = f" {TAG}" if code.literal else ""
    return (
        f'<tr><th scope="row">{dot}<a href="codes/{code.file}.html"><bdi>{short(code.name, 60)}</bdi></a>{kind}</th>'
        f'<td><span class="bar" aria-hidden="true"><i style="width:{100 * code.usage / top:.1f}%"></i></span>'
        f"{percent(code.usage)} <small>{code.count:,}</small></td>"
        f"<td>{f'<ul class=fillers>{fillers}</ul>' if fillers else '<em>unused</em>'}</td></tr>"
    )


def _paging(chunks, now):
    if len(chunks) < 2:
        return ""
    links = (
        f'<a href="{_name(number)}"{" aria-current=page" if number == now else ""}>{chunk[0].rank:,} to {chunk[-1].rank:,}</a>'
        for number, chunk in enumerate(chunks)
    )
    return f'<nav class="chips" aria-label="More codes">{"".join(links)}</nav>'
