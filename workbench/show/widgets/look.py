"""Look: style, names and colours of the studio's controls, and its static twins: inline style only, no script, no SVG.

Nothing here is needed for the studio to work.
"""

from workbench.chips import AS_IS, CHIPS, INK, OPEN_CHIP, Syntax, as_html, chip_number
from workbench.show.rendering import file_text, render
from workbench.template import Slot

_JOINERS = "\u200c\u200d"  # they are not printable, but make one emoji of several


def style_html():
    """The style and the names as HTML, for an `HTML` widget inside the box that has the class `dsl-widget`."""
    return render("widgets.html", script=" ".join(file_text("widgets.js").split()), chips=CHIPS, ink=INK, open=OPEN_CHIP)


def colours(dsl):
    """The place of each code's name in the order of use: as in the report, the first eight have eight colours."""
    order = sorted((code for code in dsl.codes if not code.literal), key=lambda code: -code.count)
    return {code.name: number for number, code in enumerate(order)}


def colour(slot, places):
    """Which of `template.CHIPS` a slot has, 0..7, the same as `Template.html` gives it; None for an open slot."""
    return None if slot.text is None else chip_number(slot, places)


def visible(text, longest=None):
    """Any text with its control characters as a sign, and cut to a length if one is given."""
    text = "".join(sign if sign.isprintable() or sign.isspace() or sign in _JOINERS else "▫" for sign in str(text))
    return text[: longest - 1] + "…" if longest and len(text) > longest else text


def plain(text, longest=None):
    """Any text as HTML text; control characters become visible, and a long one is cut if a length is given."""
    return as_html(visible(text, longest))


def studio_html(session):
    """The state of a `Session`: the prompt as chips, the settings, the results, the favourites."""
    places = colours(session.dsl)
    return render(
        "static.html",
        show="studio",
        parts=_parts(session.template, places, session.locked) if session.text.strip() else [],
        settings=f"proximity {session.proximity:.2f}, temperature {session.temperature:.2f}, next seed {session.seed}",
        message=visible(session.message),
        results=[_parts(result.template, places) for result in session.results],
        kept=_rows(session.kept, places),
    )


def favourites_html(kept, places):
    """Kept `Result`s as a list, each with its template, seed and how it was written; `places` as from `colours`."""
    return render("static.html", show="favourites", kept=_rows(kept, places))


def favourite_html(result, places):
    """One kept `Result` as chips, and how it was written."""
    return render("static.html", show="chips", parts=_parts(result.template, places), how=_how(result))


def _rows(kept, places):
    return [{"chips": _parts(one.template, places), "template": visible(one.template), "how": visible(_how(one))} for one in kept]


def _how(result):
    if result.verb == "typed":
        return "typed"
    near = f", proximity {result.proximity:.2f}" if result.verb == "vary" else ""
    return f"{result.verb}, seed {result.seed}, number {result.number}, temperature {result.temperature:.2f}{near}"


def _parts(template, places, locked=()):
    """The parts of a template as plain values; a slot is a chip with its text, the name of its code, and its state."""
    parts, number = [], 0
    for part in template.pieces():
        if isinstance(part, Slot):
            parts.append(_chip(part, colour(part, places), number in locked))
            number += 1
        elif isinstance(part, Syntax):
            parts.append(AS_IS | {"text": visible(part)})
        else:
            parts.append({"text": visible(part), "ground": ""})
    return parts


def _chip(slot, number, locked):
    marks = [slot.name] * bool(slot.name) + ["open"] * (number is None) + ["locked"] * locked
    return {
        "text": visible(slot.text or "?"),
        "title": visible(slot.name or "open"),
        "marks": visible(", ".join(marks)),
        "ground": OPEN_CHIP if number is None else CHIPS[number],
        "ink": INK,
        "border": f"3px double {INK}" if locked else "1px dashed #666" if number is None else "1px solid #666",
    }
