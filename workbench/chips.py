"""Chips: slots and other parts of a template as HTML, in colours that everybody can tell apart."""

import html
import zlib

# Tol's "light" scheme (https://personal.sron.nl/~pault/): made for black labels, told apart by colour-blind readers.
CHIPS = ("#77AADD", "#99DDFF", "#44BB99", "#BBCC33", "#AAAA00", "#EEDD88", "#EE8866", "#FFAABB")
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


def chip_number(slot, place):
    """Which of `CHIPS` a filled slot has, 0..7; `place` is a dict of name -> its number in an order, as in `Template.html`."""
    name = slot.name or "?"
    number = place.get(name, slot.code)
    if number is None:
        number = zlib.crc32(name.encode("utf-8", "surrogatepass"))
    return number % len(CHIPS)


def literal_html(text):
    """Literal text as HTML; a `Syntax` as a chip of its own, which says that it is kept as it is."""
    if not isinstance(text, Syntax):
        return as_html(text)
    return _span(as_html(text), **AS_IS)


def chip(slot, place):
    """A slot as HTML, with its name; `place` as for `chip_number`."""
    text, name = "?" if slot.text is None else slot.text, slot.name or "?"
    colour = OPEN_CHIP if slot.text is None else CHIPS[chip_number(slot, place)]
    border = "1px dashed #666" if slot.text is None else "1px solid #666"
    return _span(as_html(text), as_html(name), as_html(name) if slot.name else "", colour, INK, border)


def _span(text, title, marks, ground, ink, border):
    style = f"background:{ground};color:{ink};border:{border};border-radius:4px;padding:1px 5px"
    label = f'<span style="font-size:75%;color:{ink}"> {marks}</span>' if marks else ""
    return f'<span dir="auto" title="{title}" style="{style}">{text}{label}</span>'
