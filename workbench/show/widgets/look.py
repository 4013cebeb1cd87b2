"""Look: style, names and colours of the studio's controls. Nothing here is needed for it to work."""

from workbench.show.rendering import file_text, render
from workbench.template import CHIPS, INK, OPEN_CHIP, as_html, chip_number

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
