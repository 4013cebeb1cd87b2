"""Static: the studio, the gallery and the atlas as HTML for places without a frontend. Inline style only, no script, no SVG."""

from workbench.show.widgets import look
from workbench.template import CHIPS, INK, OPEN_CHIP, Slot

_LINE = "border-top:1px solid #888;padding:4px 0"


def chips_html(template, places, locked=()):
    """A template as chips: text, name of the code, and whether it is locked or open, all as text.

    Args:
        template: `Template`.
        places: dict of `look.colours`.
        locked: numbers of locked slots.

    Returns:
        str, one `div`.
    """
    parts, number = [], 0
    for part in template.parts:
        if isinstance(part, Slot):
            parts.append(_chip(part, places, number in locked))
            number += 1
        else:
            parts.append(look.plain(part))
    return f'<div dir="auto" style="white-space:pre-wrap;overflow-wrap:anywhere;line-height:2.1">{"".join(parts)}</div>'


def studio_html(session):
    """The state of a `Session`: the prompt as chips, the settings, the results, the favourites."""
    places = look.colours(session.dsl)
    prompt = chips_html(session.template, places, session.locked) if session.text.strip() else "<p>The prompt is empty.</p>"
    message = f"<p>{look.plain(session.message)}</p>" if session.message else ""
    results = "".join(f"<li>{chips_html(result.template, places)}</li>" for result in session.results)
    results = f"<p>Results:</p><ol>{results}</ol>" if results else ""
    settings = f"proximity {session.proximity:.2f}, temperature {session.temperature:.2f}, next seed {session.seed}"
    kept = favourites_html(session.kept, places) if session.kept else ""
    return f"<div>{prompt}<p>{settings}</p>{message}{results}{kept}</div>"


def favourites_html(kept, places):
    """Kept `Result`s as a list, each with its template, seed and how it was written."""
    if not kept:
        return "<p>Nothing is kept yet.</p>"
    rows = "".join(
        f'<li style="{_LINE}">{chips_html(one.template, places)}<code style="overflow-wrap:anywhere">'
        f"{look.plain(str(one.template))}</code><br>{look.plain(how(one))}</li>"
        for one in kept
    )
    return f"<p>Favourites:</p><ol>{rows}</ol>"


def how(result):
    """How a `Result` was made, in words."""
    if result.verb == "typed":
        return "typed"
    near = f", proximity {result.proximity:.2f}" if result.verb == "vary" else ""
    return f"{result.verb}, seed {result.seed}, number {result.number}, temperature {result.temperature:.2f}{near}"


def _chip(slot, places, locked):
    colour = look.colour(slot, places)
    ground = OPEN_CHIP if colour is None else CHIPS[colour]
    border = f"3px double {INK}" if locked else "1px dashed #666" if colour is None else "1px solid #666"
    marks = [slot.name] * bool(slot.name) + ["open"] * (colour is None) + ["locked"] * locked
    style = f"background:{ground};color:{INK};border:{border};border-radius:4px;padding:1px 5px"
    small = f'<span style="font-size:75%;color:{INK}"> {look.plain(", ".join(marks))}</span>' if marks else ""
    title = look.plain(slot.name or "open")
    return f'<span dir="auto" title="{title}" style="{style}">{look.plain(slot.text or "?")}{small}</span>'
