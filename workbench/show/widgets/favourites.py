"""Favourites: kept prompts as a CSV or JSONL file, complete or not written at all, and safe to open in a spreadsheet."""

import csv
import io
import json
import os
import re

from workbench import files, locks
from workbench.values import ArtifactError

FIELDS = ("text", "template", "seed", "number", "verb", "start", "locked", "temperature", "proximity")
_LONGEST = 150  # bytes of a name: file systems take 255, and a name gets more while the file is written
_NAME = re.compile(r"[^\W.][\w .-]{0,99}")


class Favourites:
    """Kept `Result`s as rows.

    A row is a dict: `text`; `template`, printed, `template.parse` reads it; `seed` and `number` (which of the results of that
    click, from 1; 0 for typed prompts); `verb`; `start`, the template that was re-rolled, varied or filled, printed; `locked`,
    list of the numbers of its locked slots, from 0; `temperature` and `proximity`.
    """

    def __init__(self, kept):
        self.rows = [_row(result) for result in kept]

    def to_jsonl(self):
        """The rows as JSON, one a line, ASCII only, so that half an emoji survives too."""
        return "".join(json.dumps(row) + "\n" for row in self.rows)

    def to_csv(self):
        """The rows as CSV with a head. A cell that a spreadsheet would take for a formula begins with an apostrophe."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerow(FIELDS)
        for row in self.rows:
            writer.writerow([_cell(row[field]) for field in FIELDS])
        return out.getvalue()

    def save(self, path, before=None):
        """Write the rows to a file, by its ending .csv or .jsonl. Of two windows that save at once one waits for the other.

        Args:
            path: str or Path; its folder is made.
            before: `Favourites` that were saved there last: their file is replaced, unless somebody has changed it since. None
                replaces nothing.

        Returns:
            Path.

        Raises:
            ValueError: nothing is kept, or another ending.
            ArtifactError: the file is there already or was changed, its place is a folder, or the disk is full.
        """
        path = files.path(path)
        if path.suffix.lower() not in (".csv", ".jsonl"):
            raise ValueError(f"Favourites are saved as .csv or .jsonl, got {path.name!r}.")
        if not self.rows:
            raise ValueError("Nothing is kept yet: keep a result first.")
        files.make_folder(path.parent)
        with locks.locked(path.with_name(".favourites.lock"), f"The folder {path.parent}"):
            if os.path.lexists(path) and not path.is_dir() and not _holds(path, before):
                what = "is there already" if before is None else "was damaged or changed since it was saved"
                raise ArtifactError(f"{path} {what}; it stays as it is. Give another name, or remove it first.")
            with files.atomic_path(path) as temporary:
                temporary.write_bytes(self._bytes(path))
        return path

    def _bytes(self, path):
        """What a file of these rows holds, by its ending."""
        text = self.to_csv() if path.suffix.lower() == ".csv" else self.to_jsonl()
        return text.encode("utf-8", "replace")


def _holds(path, rows):
    """Whether a file is, to the letter, what `Favourites` wrote."""
    ours = None if rows is None else rows._bytes(path)
    return ours is not None and path.is_file() and path.stat().st_size == len(ours) and path.read_bytes() == ours


def file_name(text, ending):
    """A name as typed as the name of a file in the present folder.

    Raises:
        ValueError: it is no plain name.
    """
    text = str(text).strip()
    if text.lower().endswith(ending):
        text = text[: -len(ending)]
    if not _NAME.fullmatch(text) or text.endswith((" ", ".")) or len(text.encode()) > _LONGEST:
        raise ValueError(f"{text[:60]!r} is no name for a file: take a few letters, digits, blanks, - and _, no blank first.")
    return text + ending


def _row(result):
    plain = {"template": str(result.template), "start": str(result.start), "locked": list(result.locked)}
    return {field: plain.get(field, getattr(result, field)) for field in FIELDS}


def _cell(value):
    if isinstance(value, list):
        return " ".join(map(str, value))
    return files.cell(value) if isinstance(value, str) else value
