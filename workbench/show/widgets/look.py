"""Look: style, names and colours of the studio's controls, and its static twins: inline style only, no script, no SVG.

Nothing here is needed for the studio to work.
"""

from workbench.chips import AS_IS, CHIPS, INK, OPEN_CHIP, Syntax, as_html, ground, look_of
from workbench.show import palette
from workbench.show.rendering import file_text, render
from workbench.template import Slot

_JOINERS = "\u200c\u200d"  # they are not printable, but make one emoji of several


def style_html():
    """The style and the names as HTML, for an `HTML` widget inside the box that has the class `dsl-widget`."""
    return render("widgets.html", script=" ".join(file_text("widgets.js").split()), ink=INK, open=OPEN_CHIP)


def chip_classes(slot, looks):
    """Classes of the chip of a slot: its hue and pattern, or that it is open; `looks` as of `palette.looks`."""
    if slot.text is None:
        return ["dsl-open"]
    look = look_of(slot, looks)
    return [f"dsl-hue-{look % len(CHIPS)}", f"dsl-pattern-{look // len(CHIPS)}"]


def visible(text, longest=None):
    """Any text with its control characters as a sign, and cut to a length if one is given."""
    text = "".join(sign if sign.isprintable() or sign.isspace() or sign in _JOINERS else "▫" for sign in str(text))
    return text[: longest - 1] + "…" if longest and len(text) > longest else text


def plain(text, longest=None):
    """Any text as HTML text; control characters become visible, and a long one is cut if a length is given."""
    return as_html(visible(text, longest))


def studio_html(session):
    """The state of a `Session`: the prompt as chips, the settings, the results, the favourites."""
    looks = palette.looks(session.dsl)
    return render(
        "static.html",
        show="studio",
        parts=_parts(session.template, looks, session.locked) if session.text.strip() else [],
        settings=f"proximity {session.proximity:.2f}, temperature {session.temperature:.2f}, next seed {session.seed}",
        message=visible(session.message),
        results=[_parts(result.template, looks) for result in session.results],
        kept=_rows(session.kept, looks),
    )


def favourites_html(kept, looks):
    """Kept `Result`s as a list, each with its template, seed and how it was written; `looks` as of `palette.looks`."""
    return render("static.html", show="favourites", kept=_rows(kept, looks))


def favourite_html(result, looks):
    """One kept `Result` as chips, and how it was written."""
    return render("static.html", show="chips", parts=_parts(result.template, looks), how=_how(result))


def _rows(kept, looks):
    return [{"chips": _parts(one.template, looks), "template": visible(one.template), "how": visible(_how(one))} for one in kept]


def _how(result):
    if result.verb == "typed":
        return "typed"
    near = f", proximity {result.proximity:.2f}" if result.verb == "vary" else ""
    return f"{result.verb}, seed {result.seed}, number {result.number}, temperature {result.temperature:.2f}{near}"


def _parts(template, looks, locked=()):
    """The parts of a template as plain values; a slot is a chip with its text, the name of its code, and its state."""
    parts, number = [], 0
    for part in template.pieces():
        if isinstance(part, Slot):
            parts.append(_chip(part, looks, number in locked))
            number += 1
        elif isinstance(part, Syntax):
            parts.append(AS_IS | {"text": visible(part), "pattern": ""})
        else:
            parts.append({"text": visible(part), "ground": ""})
    return parts


def _chip(slot, looks, locked):
    is_open = slot.text is None
    colour, pattern = (OPEN_CHIP, "") if is_open else ground(look_of(slot, looks))
    marks = [slot.name] * bool(slot.name) + ["open"] * is_open + ["locked"] * locked
    return {
        "text": visible(slot.text or "?"),
        "title": visible(slot.name or "open"),
        "marks": visible(", ".join(marks)),
        "ground": colour,
        "pattern": pattern,
        "ink": INK,
        "border": f"3px double {INK}" if locked else "1px dashed #666" if is_open else "1px solid #666",
    }
