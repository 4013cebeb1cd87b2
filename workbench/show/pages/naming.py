"""Naming: texts of people as HTML, as one short line, as a share, and as names of files."""

import html
import re
import unicodedata

_LONGEST = 60  # characters of a file's name
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{i}" for port in ("com", "lpt") for i in range(10))}  # no files on Windows


def file_names(codes):
    """A file name without suffix for each code: small ASCII letters, digits and hyphens, from its name, each only once.

    Args:
        codes: `Code`s; names may be any text.

    Returns:
        dict of number of the code -> str.
    """
    names, taken = {}, set()
    for code in codes:
        plain = unicodedata.normalize("NFKD", code.name).encode("ascii", "ignore").decode().lower()
        stem = re.sub("[^a-z0-9]+", "-", plain)[:_LONGEST].strip("-")
        if not stem or stem in _DEVICES:
            stem = f"code-{code.id}"
        name, again = stem, 1
        while name in taken:
            again += 1
            name = f"{stem}-{again}"
        names[code.id] = name
        taken.add(name)
    return names


def escaped(text):
    """Any text as HTML text or attribute."""
    return html.escape(str(text).replace("\0", "␀"))


def line(text, most=80):
    """Any text as one line of at most `most` characters."""
    text = " ".join(str(text).split())
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def short(text, most=80):
    """Any text as one short line of HTML."""
    return escaped(line(text, most))


def percent(share):
    """A share 0..1 in words: "12.3 %", and "< 0.1 %" where there is something but little."""
    return "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def times(count, what):
    """A count with its noun: "1 use", "1,200 uses"; "once"."""
    if what == "time" and count == 1:
        return "once"
    return f"{count:,} {what if count == 1 else what + 's'}"
