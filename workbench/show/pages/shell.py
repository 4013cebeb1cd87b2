"""Shell: what all pages of a site share."""

import base64
import hashlib
import json
from importlib import resources

from workbench.show.pages.naming import escaped

TAG = '<span class="tag">function words</span>'


def shell(title, body, top="", script=None, data=None):
    """A whole HTML page: head with a security policy, skip link, header, main, footer.

    Args:
        title: str, as text.
        body: str, HTML of the main part.
        top: str, HTML of the header.
        script: name of a file of this package; the page may run it and nothing else.
        data: JSON value or None, for the script.
    """
    program = _file(script) if script else ""
    run = f"'sha256-{base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()}'" if script else "'none'"
    policy = f"default-src 'none'; base-uri 'none'; img-src data:; style-src 'unsafe-inline'; script-src {run}"
    block = "" if data is None else f'<script type="application/json" id="data">{script_safe(data)}</script>'
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer">'
        f'<title>{escaped(title)}</title><link rel="icon" href="data:,"><style>{_file("style.css")}</style></head>\n<body>'
        f'<a class="skip" href="#main">Skip to the content</a><header>{top}</header>\n'
        f'<main id="main" tabindex="-1">{body}</main>\n'
        "<footer>Made by the Deep DSL workbench. Names and codes were learned without labels: read them as a guess. "
        f"These pages are complete: they open without a network.</footer>{block}"
        f"{f'<script>{program}</script>' if script else ''}</body></html>\n"
    )


def script_safe(data):
    """JSON that cannot end the script element it stands in, whatever a text holds."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def section(name, heading, inner):
    """A section with its heading, which names it for screen readers too; all of it HTML."""
    return f'<section id="{name}" aria-labelledby="h-{name}"><h2 id="h-{name}">{heading}</h2>{inner}</section>'


def _file(name):
    return resources.files("workbench.show.pages").joinpath(name).read_text("utf-8")
