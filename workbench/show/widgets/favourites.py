"""Favourites: kept prompts as a CSV or JSONL file, complete or not written at all, and safe to open in a spreadsheet."""

import csv
import io
import json
import re

from workbench import files
from workbench.files import atomic_path, cell
from workbench.values import ArtifactError

FIELDS = ("text", "template", "seed", "number", "verb", "start", "locked", "temperature", "proximity")
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

    def save(self, path, overwrite=False):
        """Write the rows to a file, by its ending .csv or .jsonl.

        Args:
            path: str or Path; its folder is made.
            overwrite: bool, whether a file that is there may be replaced.

        Returns:
            Path.

        Raises:
            ValueError: nothing is kept, or another ending.
            ArtifactError: the file is there already, its place is a folder, or the disk is full.
        """
        path = files.path(path)
        ending = path.suffix.lower()
        if ending not in (".csv", ".jsonl"):
            raise ValueError(f"Favourites are saved as .csv or .jsonl, got {path.name!r}.")
        if not self.rows:
            raise ValueError("Nothing is kept yet: keep a result first.")
        if path.is_file() and not overwrite:
            raise ArtifactError(f"{path} is there already. Give another name, or remove it first.")
        text = self.to_csv() if ending == ".csv" else self.to_jsonl()
        with atomic_path(path) as temporary:
            temporary.write_bytes(text.encode("utf-8", "replace"))
        return path


def file_name(text, ending):
    """A name as typed as the name of a file in the present folder.

    Raises:
        ValueError: it is no plain name.
    """
    text = str(text).strip()
    if text.lower().endswith(ending):
        text = text[: -len(ending)]
    if not _NAME.fullmatch(text) or text.endswith((" ", ".")):
        raise ValueError(f"{text[:60]!r} is no name for a file: take letters, digits, blanks, - and _, a letter or digit first.")
    return text + ending


def _row(result):
    plain = {"template": str(result.template), "start": str(result.start), "locked": list(result.locked)}
    return {field: plain.get(field, getattr(result, field)) for field in FIELDS}


def _cell(value):
    if isinstance(value, list):
        return " ".join(map(str, value))
    return cell(value) if isinstance(value, str) else value
