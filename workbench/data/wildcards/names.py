"""Names: a file name for any name of a code, which every system and every reader of wildcards takes."""

import re
import unicodedata

RESERVED = ("templates", "segments")  # files of an export that hold templates
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
_LONGEST = 60


def file_names(names, reserved=RESERVED):
    """File names, without suffix, for the names of codes: the same for the same names.

    Letters and digits of any language, `-` and single `_` stay, all else becomes `-`. Names that would be one file on a disk
    that takes "A" for "a", a reserved name, or a device of Windows get a number: `artist-2`.

    Args:
        names: list of str, in the order in which the plain name is given away.
        reserved: iterable of str, names that are taken.

    Returns:
        list of different str, at most 70 characters each.
    """
    taken, out = {name.casefold() for name in reserved} | _DEVICES, []
    for number, name in enumerate(names):
        stem = unicodedata.normalize("NFC", name)
        stem = re.sub(r"[^\w-]+", "-", stem)
        stem = re.sub(r"_{2,}", "_", stem)  # two of them end a reference
        stem = re.sub(r"-{2,}", "-", stem).strip("-_")[:_LONGEST].strip("-_") or f"code-{number}"
        free, copy = stem, 2
        while free.casefold() in taken:
            free, copy = f"{stem}-{copy}", copy + 1
        taken.add(free.casefold())
        out.append(free)
    return out
