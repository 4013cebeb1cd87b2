"""Code page: what the page of one code shows, and its badge, as plain values for the templates."""

import re
import unicodedata

from markupsafe import Markup

from workbench.chips import CHIPS
from workbench.show.pages import language_map
from workbench.show.pages.code_facts import END, START
from workbench.show.rendering import file_text, line, percent, render
from workbench.template import Slot

_FREQUENT = 150  # fillers of a code that are listed
_AROUND = 240  # characters of a prompt shown before and after the slot
_STEP_NAMES = {START: "start of the prompt", END: "end of the prompt"}
_MARKDOWN = str.maketrans({sign: f"\\{sign}" for sign in "\\[]<>*_`|"})
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0 cannot hold these in any form
_NARROW, _WIDE = set("iljtf.,:;|!'()[]/ -"), set("mwMW@%&")


def page(code, codes, chart, looks, badge, where, title, address):
    """The page of a code, one of `CodeFacts`, as HTML.

    `codes` has all `CodeFacts`, most used first; `chart` is a `Chart` or None; `looks` as of `palette.looks`; `where` says where
    examples and counts of segments come from; `title` is the heading of the index; `address` as in `site.write`.
    """
    by_id = {other.id: other for other in codes}
    turning = [("prev", "More used", code.rank - 2), ("next", "Less used", code.rank)]
    return render(
        "code.html",
        head=f"{line(code.name, 60)} · {line(title, 60)}",
        program=file_text("copy.js"),
        title=title,
        code=code,
        look=None if code.literal else looks[code.name],
        total=len(codes),
        typical=[(line(text, 100), count) for text, count in code.typical],
        frequent=[(line(text, 100), count) for text, count in code.frequent[:_FREQUENT]],
        n_frequent=len(code.frequent),
        seen=code.seen,
        source=where,
        examples=[_example(example) for example in code.seen.examples],
        segments=[(_segment(found, code, by_id, looks), found.count) for found in code.seen.segments],
        before=_steps(code.before, by_id),
        after=_steps(code.after, by_id),
        near=_steps(code.near, by_id),
        map=language_map.picture(chart, codes, only=code) if chart and code.id in chart.dots else None,
        there_is_a_map=chart is not None,
        badge=Markup(badge),
        address=address,
        markdown=_markdown(code, address),
        turning=[(rel, word, codes[row]) for rel, word, row in turning if 0 <= row < len(codes)],
    )


def badge(code):
    """The badge of a code, its name and its share, as an SVG element that is also a complete file."""
    label = line(_ILLEGAL.sub("", code.name).strip() or "?", 40)
    message = f"{percent(code.usage)} of phrases"
    return render("badge.svg", label=label, message=message, left=_length(label) + 20, right=_length(message) + 20)


def _length(text):
    """About how wide a text is, in pixels; `textLength` makes it so."""
    widths = (
        12.0 if unicodedata.east_asian_width(sign) in "WF" else 4.2 if sign in _NARROW else 10.2 if sign in _WIDE else 7.2
        for sign in text
        if not unicodedata.combining(sign)
    )
    return max(8, round(sum(widths)))


def _markdown(code, address):
    root = "" if address is None else f"{address.rstrip('/')}/"
    said = line(code.name, 60).translate(_MARKDOWN)
    return f"[![{said}: {percent(code.usage)} of phrases]({root}badges/{code.file}.svg)]({root}codes/{code.file}.html)"


def _steps(steps, by_id):
    """Codes, or an end of the prompt, with a share or a cosine."""
    return [
        {
            "name": _STEP_NAMES[number] if number in _STEP_NAMES else by_id[number].name,
            "page": "" if number in _STEP_NAMES else f"{by_id[number].file}.html",
            "share": share,
        }
        for number, share in steps
    ]


def _example(example):
    """The part of a prompt around the first span, as pieces (text, kind, page)."""
    text, spans = example
    begin, end = max(0, spans[0][0] - _AROUND), min(len(text), spans[0][0] + 2 * _AROUND)
    inside = [(max(a - begin, 0), min(b, end) - begin) for a, b in spans if a < end and b > begin]
    pieces = _marked(text[begin:end], inside)
    return [("… ", "", "")] * (begin > 0) + pieces + [(" …", "", "")] * (end < len(text))


def _marked(text, spans):
    pieces, at = [], 0
    for start, end in spans:
        if start >= at:
            pieces += [(text[at:start], "", ""), (text[start:end], "mark", "")]
            at = end
    return [*pieces, (text[at:], "", "")]


def _segment(found, code, by_id, looks):
    """A segment as pieces (text, kind, page), its slots as links to the pages of their codes."""
    pieces, at = [], 0
    for part in found.template.parts:
        if isinstance(part, Slot):
            own = part.code == code.id
            page = "" if own or part.code not in by_id else f"{by_id[part.code].file}.html"
            look = looks.get(part.name, 0)
            kind = f"slot g{look % len(CHIPS)} p{look // len(CHIPS)}{' this' * own}"
            pieces.append((line(part.name or "?", 60), kind, page))
            at += len(part.text or "")
        else:
            inside = [(max(a - at, 0), b - at) for a, b in found.spans if a < at + len(part) and b > at]
            pieces += _marked(part[: 2 * _AROUND], inside)
            at += len(part)
    return pieces
