"""Chips: slots and other parts of a template as HTML, and the palette of chips, maps and pages.

A look is a number 0..47: hue `look % 8`, and pattern (of a chip) or mark (on a map) `look // 8`. So 48 codes look different, and
whoever sees no hues has patterns, marks and names. `workbench.show.palette` gives the codes of a language their looks.
"""

import html
import zlib

# Tol's "light" scheme (https://personal.sron.nl/~pault/), made for black labels and colour-blind readers, with violet in place of
# olive, which is near pear. Tests measure how far apart the hues are for each kind of colour vision.
CHIPS = ("#77AADD", "#99DDFF", "#44BB99", "#BBCC33", "#B080F8", "#EEDD88", "#EE8866", "#FFAABB")
# The same hues as dots on white, where the chips are too pale; on a dark ground dots have the colours of chips.
DOTS = ("#1D63B0", "#35AEDB", "#17906F", "#7F9300", "#5B2A9E", "#DDA800", "#C4481D", "#E07DA3")
_LINES = "repeating-linear-gradient({}deg,rgba(0,0,0,.14) 0 {}px,transparent {}px {}px)"
# CSS images; none has a line across the text, which would look struck out
PATTERNS = (
    "",
    _LINES.format(45, 2, 2, 8),
    _LINES.format(90, 2, 2, 8),
    _LINES.format(-45, 2, 2, 8),
    f"{_LINES.format(45, 1, 1, 8)},{_LINES.format(-45, 1, 1, 8)}",
    _LINES.format(45, 7, 7, 16),
)
LOOKS = len(CHIPS) * len(PATTERNS)
OPEN_CHIP = "#DDDDDD"
INK = "#000000"
AS_IS = {  # of what another program reads
    "title": "For another program: kept to the letter, never written anew",
    "marks": "as is",
    "ground": "#F4F4F4",
    "ink": INK,
    "border": "1px dotted #666",
}


class Syntax(str):
    """A stretch of literal text that another program reads, such as `<lora:ink:0.8>`; see `Template.pieces`."""

    __slots__ = ()


def as_html(text):
    """Any text as HTML text or attribute: nothing in it is a tag, and a zero character, which HTML cannot hold, is a sign."""
    return html.escape(str(text).replace("\0", "␀"))


def look_of(slot, place):
    """The look of a filled slot, 0..47; `place` is a dict of name -> its number in an order, as in `Template.html`."""
    name = slot.name or "?"
    number = place.get(name, slot.code)
    if number is None:
        number = zlib.crc32(name.encode("utf-8", "surrogatepass"))
    return number % LOOKS


def ground(look):
    """What a look is on a chip: (colour, CSS image of its pattern or "")."""
    return CHIPS[look % len(CHIPS)], PATTERNS[look // len(CHIPS)]


def literal_html(text):
    """Literal text as HTML; a `Syntax` as a chip of its own, which says that it is kept as it is."""
    if not isinstance(text, Syntax):
        return as_html(text)
    return _span(as_html(text), **AS_IS)


def chip(slot, place):
    """A slot as HTML, with its name; `place` as for `look_of`."""
    text, name = "?" if slot.text is None else slot.text, slot.name or "?"
    colour, pattern = (OPEN_CHIP, "") if slot.text is None else ground(look_of(slot, place))
    border = "1px dashed #666" if slot.text is None else "1px solid #666"
    return _span(as_html(text), as_html(name), as_html(name) if slot.name else "", colour, INK, border, pattern)


def _span(text, title, marks, ground, ink, border, pattern=""):
    image = f";background-image:{pattern}" if pattern else ""
    style = f"background:{ground};color:{ink};border:{border};border-radius:4px;padding:1px 5px{image}"
    label = f'<span style="font-size:75%;color:{ink}"> {marks}</span>' if marks else ""
    return f'<span dir="auto" title="{title}" style="{style}">{text}{label}</span>'
