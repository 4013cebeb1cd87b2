"""Rendering: plain values -> the pages of this room, by the jinja2 templates in `templates/`. Every value is escaped there.

What is HTML already, such as chips and figures that were made here, comes as `Markup`; nothing else does.
"""

import base64
import hashlib

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from workbench.chips import CHIPS, DOTS, PATTERNS
from workbench.progress import times


def render(name, **values):
    """Fill a template of this room.

    Args:
        name: str, file name of the template.
        values: what it shows.

    Returns:
        str.

    Raises:
        jinja2.UndefinedError: a value is missing.
    """
    return _ENVIRONMENT.get_template(name).render(values)


def file_text(name):
    """A file next to the templates, as it is: a style sheet or a script."""
    return Markup(_ENVIRONMENT.loader.get_source(_ENVIRONMENT, name)[0])


def line(text, most=80):
    """Any text as one line of at most `most` characters."""
    text = " ".join(str(text).split())
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def percent(share):
    """A share 0..1 in words: "12.3 %", and "< 0.1 %" where there is something but little."""
    return "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def grouped(count):
    """A count with its thousands apart: "1,200"."""
    return f"{count:,}"


def script_json(value):
    """JSON that cannot end the script element it stands in, whatever a text holds."""
    return htmlsafe_json_dumps(value, separators=(",", ":"))


def _allowed(program):
    """A script as a source of a content security policy: its hash, or 'none' without a script."""
    digest = base64.b64encode(hashlib.sha256(str(program).encode()).digest()).decode()
    return Markup(f"'sha256-{digest}'" if program else "'none'")


def _shown(value):
    """HTML cannot hold a zero character in any form."""
    return value.replace("\0", "␀") if type(value) is str else value


_ENVIRONMENT = Environment(
    loader=PackageLoader("workbench.show", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_shown,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.globals |= {"file": file_text, "CHIPS": CHIPS, "DOTS": DOTS, "PATTERNS": PATTERNS}
_ENVIRONMENT.filters |= {
    "allowed": _allowed,
    "grouped": grouped,
    "line": line,
    "percent": percent,
    "script_json": script_json,
    "times": times,
}
