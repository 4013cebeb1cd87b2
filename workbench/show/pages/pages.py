"""Pages: the page of one code."""

from workbench.show.pages import drawing
from workbench.show.pages.facts import END, START
from workbench.show.pages.naming import escaped, line, percent, short, times
from workbench.show.pages.shell import TAG, section, shell
from workbench.template import Slot

_FREQUENT = 150  # fillers of a code that are listed
_AROUND = 240  # characters of a prompt shown before and after the slot
_STEP_NAMES = {START: "start of the prompt", END: "end of the prompt"}
_MARKDOWN = str.maketrans({sign: f"\\{sign}" for sign in "\\[]<>*_`|"})


def page(code, codes, chart, source, title, address):
    """The page of a code as HTML.

    Args:
        code: `CodeFacts`.
        codes: list of `CodeFacts`, most used first.
        chart: `Chart` or None.
        source: str, where examples and counts of segments come from.
        title: str, heading of the index.
        address: str or None, as in `site.write`.
    """
    links = {other.id: f"{other.file}.html" for other in codes}
    names = {other.id: other.name for other in codes}
    parts = [
        ("fillers", "Fillers", _fillers(code)),
        ("examples", "In prompts", _examples(code, source)),
        ("segments", "Segments it stands in", _segments(code, links, source)),
        ("order", "Before and after", _order(code, names, links)),
        ("near", "Nearest codes", _near(code, codes, names, links, chart)),
        ("badge", "Badge", _badge(code, address)),
    ]
    jumps = "".join(f'<a href="#{name}">{heading}</a>' for name, heading, _ in parts)
    kind = f" {TAG}" if code.literal else ""
    body = (
        f'<h1 dir="auto">{short(code.name, 200)}</h1><p class="lead"><b>{percent(code.usage)}</b> of all phrases, '
        f"{times(code.count, 'use')}: number {code.rank:,} of {len(codes):,} codes.{kind}</p>"
        f"{'' if code.count else '<p>No phrase of the corpus has this code.</p>'}"
        f'<nav class="chips" aria-label="On this page">{jumps}</nav>'
        f"{''.join(section(*part) for part in parts)}{_turning(code, codes)}"
    )
    return shell(f"{line(code.name, 60)} · {line(title, 60)}", body, _top(title), script="copy.js")


def _top(title):
    return (
        f'<nav aria-label="Site"><a href="../index.html">{short(title, 60)}</a></nav>'
        '<form role="search" action="../index.html"><label for="q">Search codes and fillers</label> '
        '<input id="q" name="q" type="search" autocomplete="off"> <button>Search</button></form>'
    )


def _fillers(code):
    if not code.typical and not code.frequent:
        return "<p>None was counted.</p>"
    parts = []
    if code.typical:
        parts.append(f"<h3>Most typical</h3><p>With how often each occurs in the whole corpus.</p>{_chips(code.typical)}")
    if code.frequent:
        shown, rest = code.frequent[:_FREQUENT], len(code.frequent) - _FREQUENT
        more = f" The {_FREQUENT} most frequent of {len(code.frequent):,} are shown." if rest > 0 else ""
        counted = f"With counts in the sample of prompts that the codes were learned on.{more}"
        many = "1 frequent filler" if len(code.frequent) == 1 else f"{len(code.frequent):,} frequent fillers"
        # a short list needs no folding
        folded = f"<details><summary>{many}</summary><p>{counted}</p>{_chips(shown)}</details>"
        parts.append(folded if len(shown) > 24 else f"<h3>{many[0].upper()}{many[1:]}</h3><p>{counted}</p>{_chips(shown)}")
    return f'<div class="panel">{"".join(parts)}</div>'


def _chips(fillers):
    return f'<ul class="fillers">{"".join(f"<li><bdi>{short(t, 100)}</bdi> <small>{n:,}</small></li>" for t, n in fillers)}</ul>'


def _examples(code, source):
    if not code.seen.examples:
        return f"<p>None of the {escaped(source)} holds this code.</p>"
    items = "".join(f'<li dir="auto">{_marked(*_window(*example))}</li>' for example in code.seen.examples)
    found = f"{code.seen.prompts:,} of the {escaped(source)} hold{'s' if code.seen.prompts == 1 else ''} this code"
    more = f"; {len(code.seen.examples)} are shown" if code.seen.prompts > len(code.seen.examples) else ""
    return f'<p>{found}{more}.</p><ul class="panel lines">{items}</ul>'


def _window(text, spans):
    """The part of a prompt around the first span, and the spans inside it."""
    begin, end = max(0, spans[0][0] - _AROUND), min(len(text), spans[0][0] + 2 * _AROUND)
    inside = [(max(a - begin, 0), min(b, end) - begin) for a, b in spans if a < end and b > begin]
    cut = text[begin:end]
    return cut, inside, begin > 0, end < len(text)


def _marked(text, spans, before=False, after=False):
    out, at = ["… " if before else ""], 0
    for start, end in spans:
        if start >= at:
            out += [escaped(text[at:start]), f"<mark>{escaped(text[start:end])}</mark>"]
            at = end
    return "".join([*out, escaped(text[at:]), " …" if after else ""])


def _segments(code, links, source):
    if not code.seen.segments:
        why = "Function words stand in templates as they are, so none was counted." if code.literal else "None was counted."
        return f"<p>{why}</p>"
    items = "".join(
        f'<li dir="auto"><span>{_shape(found, code, links)}</span> <small>{times(found.count, "time")}</small></li>'
        for found in code.seen.segments
    )
    more = (
        f", the most common {len(code.seen.segments)} of {code.seen.shapes:,}"
        if code.seen.shapes > len(code.seen.segments)
        else ""
    )
    return (
        f"<p>What stands between two separators, such as commas, in {escaped(source)}{more}. "
        f"A slot leads to the page of its code.</p>"
        f'<ul class="panel lines counted">{items}</ul>'
    )


def _shape(found, code, links):
    """A segment with its slots as links."""
    out, at = [], 0
    for part in found.template.parts:
        if isinstance(part, Slot):
            text, kind = short(part.name or "?", 60), "slot this" if part.code == code.id else "slot"
            here = part.code == code.id or part.code not in links
            out.append(f'<b class="{kind}">{text}</b>' if here else f'<a class="slot" href="{links[part.code]}">{text}</a>')
            at += len(part.text or "")
        else:
            inside = [(max(a - at, 0), b - at) for a, b in found.spans if a < at + len(part) and b > at]
            out.append(_marked(part[: 2 * _AROUND], inside))
            at += len(part)
    return "".join(out)


def _order(code, names, links):
    return (
        '<div class="two">'
        f"{_bars('What comes before', code.before, names, links)}{_bars('What comes after', code.after, names, links)}</div>"
    )


def _bars(heading, steps, names, links):
    rows = "".join(
        f'<li><span class="name">{_link(number, names, links)}</span><span class="bar" aria-hidden="true">'
        f'<i style="width:{min(100.0, 100 * share):.1f}%"></i></span><small>{percent(share)}</small></li>'
        for number, share in steps
    )
    return (
        f'<div class="panel"><h3>{heading}</h3>{f"<ul class=bars>{rows}</ul>" if rows else "<p>Nothing was counted.</p>"}</div>'
    )


def _link(number, names, links):
    if number in _STEP_NAMES:
        return f"<em>{_STEP_NAMES[number]}</em>"
    return f'<a href="{links[number]}"><bdi>{short(names[number], 60)}</bdi></a>'


def _near(code, codes, names, links, chart):
    if not code.near:
        return "<p>Without fillers a code has no place.</p>"
    rows = "".join(f"<li>{_link(number, names, links)} <small>{cosine:.2f}</small></li>" for number, cosine in code.near)
    listed = (
        "<p>Their fillers point in the same direction; the number is the cosine of the mean fillers, 1 at most.</p>"
        f'<ol class="panel near">{rows}</ol>'
    )
    if chart is None or code.id not in chart.dots:
        why = "function words are left out of it" if code.literal else "it has no fillers there"
        return f"{listed}<p>This code is not on the map: {why}.</p>" if chart else listed
    drawn = drawing.picture(chart, codes, "", only=code)
    return f'{listed}<figure class="panel">{drawn}<figcaption>Where its fillers are on the map.</figcaption></figure>'


def _badge(code, address):
    drawn = drawing.badge(code.name, f"{percent(code.usage)} of phrases")
    root = "" if address is None else f"{address.rstrip('/')}/"
    said = line(code.name, 60).translate(_MARKDOWN)
    markdown = f"[![{said}: {percent(code.usage)} of phrases]({root}badges/{code.file}.svg)]({root}codes/{code.file}.html)"
    where = "" if address else " Paths are those inside the folder of this site."
    return (
        f'<div class="panel"><p class="drawn">{drawn}</p><p>As Markdown, with a link to this page.{where}</p>'
        f'<pre id="markdown">{escaped(markdown)}</pre>'
        '<p><button type="button" id="copy">Copy the Markdown</button> <span id="said" role="status"></span> '
        f'<a href="../badges/{code.file}.svg">The badge as a file</a></p></div>'
    )


def _turning(code, codes):
    """Links to the codes before and after this one by use."""
    links = []
    for rel, word, place in (("prev", "More used", code.rank - 2), ("next", "Less used", code.rank)):
        if 0 <= place < len(codes):
            other = codes[place]
            links.append(f'<a rel="{rel}" href="{other.file}.html"><small>{word}</small> <bdi>{short(other.name, 40)}</bdi></a>')
    return f'<nav class="turning" aria-label="Other codes">{"".join(links)}</nav>' if links else ""
