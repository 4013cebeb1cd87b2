"""Tables: the rows of a .csv or .tsv file. Its delimiter and its column of prompts are decided from its head, not one line."""

import csv
import re
from collections import deque
from itertools import islice

from workbench.data.corpus.cleaning import Broken, Cut
from workbench.data.corpus.columns import NAMES, PEEK, choose, is_prompt, plain
from workbench.values import CorpusError

_HEAD = 200  # lines
_FIELD = 2**24  # characters; a longer field means that a quote was not closed
_DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "pipes"}
_WIDE = "fields without quotes hold the delimiter"
_OPEN = "a quote is not closed and is text"
_SEP = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  # the first line of a table of Excel
_NUMBER = re.compile(r"\s*[+-]?\d[\d.,eE+-]*\s*")
# One field in quotes up to the delimiter: quotes inside are doubled or follow a backslash.
_QUOTED = {d: re.compile(rf' *"((?:[^"\\]|""|\\.)*+)" *(?={re.escape(d)}|\Z)', re.DOTALL) for d in _DELIMITERS}


def read_table(lines, path, usual, column, report):
    """Rows of a table; the first line that is not blank names its columns.

    A row is read by the rules of CSV if that gives as many fields as there are columns, else with its quotes as far as they are
    balanced. What is too wide is mended where only the column of prompts can hold the delimiter; others are broken rows.

    Args:
        lines: iterator of str, with their line ends.
        path: Path, for errors.
        usual: str, the delimiter that the name of the file promises.
        column: str or None, the one asked for.
        report: `Report`, for the shape and the rows mended.

    Yields:
        (row, value), counted from 0 below the header.
    """
    feed = _Feed(lines)
    top = next((line for line in feed if line.strip()), "")
    delimiter = None
    if found := _SEP.fullmatch(top.strip()):
        delimiter, top = found[1] if found[1] in _DELIMITERS else None, next(feed, "")
    head = [top, *islice(feed, _HEAD)]
    feed.back.extend(head)
    first = feed.number - len(head)
    if not top.strip():
        raise CorpusError(f"{path} is empty: it has no header.")
    delimiter = delimiter or _delimiter(head, usual, column)
    _, names, _ = next(_records(_Feed(head), delimiter))
    while len(names) > 1 and not names[-1].strip():
        names.pop()
    names = _distinct(name.strip() for name in names)
    peeked = [fields for _, fields, _ in islice(_records(_Feed(head), delimiter, len(names)), 1, PEEK + 1)]
    if not peeked:
        raise CorpusError(f"{path} has no rows below its header {names}.")
    if all(len(fields) == len(names) + 1 and _NUMBER.fullmatch(fields[0]) for fields in peeked) and (
        delimiter == "\t" or _is_usual(names[0], column)
    ):
        names = _distinct(["row", *names])  # numbers of rows, which the header does not name
    _check_header(path, top, names, peeked, column)
    place, why = _choose(path, names, peeked, column)
    width = len(names)
    whole = [fields for fields in peeked if len(fields) == width]
    others = [[fields[j] for fields in whole] for j in range(width)]
    numeric = [j for j, values in enumerate(others) if values and all(_NUMBER.fullmatch(v) or not v for v in values)]
    free = any(is_prompt(value) for j, values in enumerate(others) if j != place for value in values)
    shape = f"column {names[place]!r}, {why}"
    report.shape = f"{shape}; separated by {_DELIMITERS[delimiter]}" if width > 1 else f"one column, {names[place]!r}"

    feed.number = first
    records = _records(feed, delimiter, width, numeric)
    next(records)
    for row, (number, fields, text) in enumerate(records):
        if isinstance(text, Cut):
            yield row, text
        elif not any(fields):
            yield row, ""
        elif len(fields) == width:
            if text.count('"') % 2 and fields[place].lstrip().startswith('"'):
                report.mend(_OPEN, row, fields[place])
            yield row, fields[place]
        else:
            value = None if free else _absorbed(text, delimiter, width, place, numeric)
            if value is None:
                yield row, Broken(f"line {number}: {len(fields)} fields, the header has {width}")
            else:
                report.mend(_WIDE, row, value)
                yield row, value


class _Feed:
    """Lines for a csv reader: they can be given back, and a reader gets no more than `_FIELD` characters at once."""

    def __init__(self, lines):
        self.lines, self.back, self.number = iter(lines), deque(), 0
        self.used, self.size = [], 0

    def __iter__(self):
        return self

    def __next__(self):
        if self.size > _FIELD:
            raise StopIteration
        line = self.back.popleft() if self.back else next(self.lines)
        self.number += 1
        self.used.append(line)
        self.size += len(line)
        return line

    def start(self):
        """Forget the lines used so far."""
        self.used, self.size = [], 0

    def keep_first(self):
        """Give back all lines used but the first."""
        self.back.extendleft(reversed(self.used[1:]))
        self.number -= len(self.used) - 1
        del self.used[1:]


def _records(feed, delimiter, width=None, numeric=()):
    """Records of a feed: (number of its first line from 1, fields, text). A quote that is not closed swallows no other line."""
    reader = csv.reader(feed, delimiter=delimiter, strict=True, skipinitialspace=True)
    while True:
        feed.start()
        number = feed.number + 1
        fields = _strict(reader)
        if not feed.used:
            return
        if width == 1 and fields and len(fields) > 1:
            fields = None
        lines = feed.used
        if fields is None or (len(lines) > 1 and _are_rows(lines, fields, delimiter, width, numeric)):
            feed.keep_first()
            fields = _fields(feed.used[0], delimiter, width)
        elif width and len(fields) != width:
            tolerant = _fields("".join(lines), delimiter, width)
            fields = tolerant if len(tolerant) == width else fields
        while width and len(fields) > width and not fields[-1]:
            fields = fields[:-1]
        text = feed.used[0] if len(feed.used) == 1 else "".join(feed.used)
        yield number, fields, text


def _strict(reader):
    """The next record by the rules of CSV, or None. The limit on fields is the process's: it is raised only for that long."""
    limit = csv.field_size_limit(_FIELD)
    try:
        return next(reader, None)
    except csv.Error:
        return None
    finally:
        csv.field_size_limit(limit)


def _are_rows(lines, fields, delimiter, width, numeric):
    """Whether the lines of one record are more likely rows, the first and the last with one quote each."""
    if width is None or width == 1:
        return False
    if len(fields) != width:
        return True
    alone = [_fields(line, delimiter, width) for line in lines]
    if any(len(each) != width for each in alone):
        return False
    if numeric:
        return all(_NUMBER.fullmatch(each[j]) for each in alone for j in numeric)
    return delimiter in "\t|" and all(all(each) for each in alone)


def _fields(text, delimiter, width=None):
    """Fields of one line; quotes count only where they hold a whole field."""
    text = text.rstrip("\r\n")
    if width == 1:
        found = _QUOTED[delimiter].fullmatch(text)
        return [_unquoted(found[1]) if found else text]
    return [value for value, _, _ in _spans(text, delimiter)]


def _spans(text, delimiter):
    spans, start = [], 0
    while True:
        found = _QUOTED[delimiter].match(text, start)
        end = found.end() if found else text.find(delimiter, start)
        end = len(text) if end < 0 else end
        spans.append((_unquoted(found[1]) if found else text[start:end], start, end))
        if end >= len(text):
            return spans
        start = end + 1


def _unquoted(text):
    return text.replace('""', '"').replace('\\"', '"')


def _absorbed(text, delimiter, width, place, numeric):
    """The prompt of a row that is too wide, if all fields that are too many belong to it; else None."""
    text = text.rstrip("\r\n")
    spans = _spans(text, delimiter)
    after = width - 1 - place
    if len(spans) <= width:
        return None
    aside = [value for value, _, _ in spans[:place] + spans[len(spans) - after :]]
    columns = [j for j in range(width) if j != place]
    if any(map(is_prompt, aside)) or any(j in numeric and not _NUMBER.fullmatch(v) for j, v in zip(columns, aside, strict=True)):
        return None
    return text[spans[place][1] : spans[len(spans) - after - 1][2]]


def _delimiter(head, usual, column):
    """The delimiter whose header names the column of prompts and that cuts most rows into as many fields as the header."""
    best = ((), usual)
    for delimiter in sorted(_DELIMITERS, key=lambda d: d != usual):
        rows = [fields for _, fields, _ in _records(_Feed(head), delimiter)]
        width = len(rows[0])
        if width > 1:
            share = sum(len(fields) == width for fields in rows) / len(rows)
            score = (any(_is_usual(name, column) for name in rows[0]), share, width)
            best = max(best, (score, delimiter), key=lambda pair: pair[0])
    return best[1]


def _is_usual(name, column):
    return name.strip() == column or plain(name) in NAMES


def _distinct(names):
    seen = {}
    for name in names:
        seen[name] = name if name not in seen else f"{name} ({sum(key.startswith(name) for key in seen) + 1})"
        if seen[name] != name:
            seen[seen[name]] = seen[name]
    return list(seen)


def _check_header(path, top, names, rows, column):
    """Refuse a first line that is a row: it has numbers or a long text and no usual name, or the rows are of any width."""
    if any(_is_usual(name, column) for name in names):
        return
    fits = sum(len(fields) == len(names) for fields in rows) / len(rows)
    if any(_NUMBER.fullmatch(name) or len(name.split()) > 3 for name in names) or (len(names) > 1 and fits < 0.5):
        raise CorpusError(
            f"The first line of {path} should name the columns, but looks like a row: {top.strip()[:60]!r}. "
            "Add a line with their names before it, or, for one prompt a line, name the file .txt."
        )


def _choose(path, names, rows, column):
    """(place, why) of the column of prompts."""
    width = len(names)
    if width == 1:
        if column not in (None, names[0]):
            choose(str(path), {names[0]: [fields[0] for fields in rows]}, column)
        return 0, "the only one"
    whole = [fields for fields in rows if len(fields) == width]
    if not whole:  # all are too wide: the one that absorbs what is too much has no other text beside it
        wide = [fields for fields in rows if len(fields) > width]
        fits = [
            place
            for place in range(width)
            if wide and not any(map(is_prompt, (v for f in wide for v in (f[:place] + f[place + 1 + len(f) - width :]))))
        ]
        named = [place for place in fits if _is_usual(names[place], column)] or fits
        if len(named) != 1:
            raise CorpusError(
                f"No row of {path} has as many fields as its header {names}: the first has {len(rows[0])}, the header {width}. "
                "A prompt that holds the delimiter must stand in quotes, and a quote inside it must be doubled."
            )
        whole = [
            [*f[: named[0]], " ".join(f[named[0] : len(f) - width + named[0] + 1]), *f[len(f) - width + named[0] + 1 :]]
            for f in wide
        ]
    name, why = choose(str(path), {name: [fields[j] for fields in whole] for j, name in enumerate(names)}, column)
    return names.index(name), why
