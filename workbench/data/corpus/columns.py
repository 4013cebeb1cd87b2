"""Columns: which column of a table holds the prompts."""

from collections.abc import Mapping
from itertools import chain, islice

from workbench.values import CorpusError

NAMES = ("prompt", "prompts", "text", "texts", "caption", "captions", "positive_prompt", "prompt_text", "description")
PEEK = 100  # rows that decide which columns hold text


def from_items(items, name, column):
    """Prompts in an iterable of strings or of mappings from column to value -> iterable of values, not all of them str.

    `name` is what errors call the source. Raises CorpusError if it is empty or the column of prompts is not clear.
    """
    items = iter(items)
    first = list(islice(items, PEEK))
    if not first:
        raise CorpusError(f"{name} is empty: it holds no prompts.")
    records = [item for item in first if isinstance(item, Mapping)]
    if not records:
        if column is not None:
            raise CorpusError(f"{name} has no columns, but column={column!r} was given. Leave it out.")
        return chain(first, items)
    names = list(dict.fromkeys(key for record in records for key in record if isinstance(key, str)))
    textual = [key for key in names if any(is_textual(record.get(key)) for record in records)]
    column = choose(name, names, textual, column)
    return (item.get(column) if isinstance(item, Mapping) else item for item in chain(first, items))


def from_columns(table, name, column):
    """Prompts in a mapping from column to values, each a list or, as pandas writes JSON, a mapping from row to value.

    Returns and raises as `from_items`.
    """
    lists = {key: list(v.values()) if isinstance(v, Mapping) else v for key, v in table.items() if isinstance(v, (list, Mapping))}
    textual = [key for key, values in lists.items() if any(is_textual(value) for value in values[:PEEK])]
    column = choose(name, list(table), textual, column)
    if column not in lists:
        raise CorpusError(f"Column {column!r} of {name} holds one {type(table[column]).__name__}, expected a list of prompts.")
    if not lists[column]:
        raise CorpusError(f"{name} is empty: its column {column!r} has no rows.")
    return lists[column]


def is_textual(value):
    """Whether a value can be a prompt: a string that is no number."""
    if not isinstance(value, str) or not value.strip():
        return False
    try:
        float(value)
    except ValueError:
        return True
    return False


def choose(name, names, textual, column):
    """The column that holds the prompts: the one asked for, or one with a usual name, or the only one with text.

    Args:
        name: str, what errors call the table.
        names: list of str, its columns; `textual` are those with text.
        textual: list of str.
        column: str or None, the one asked for.

    Returns:
        str, one of `names`.

    Raises:
        CorpusError: there is no such column, or the choice is not clear; it lists the columns.
    """
    listing = ", ".join(map(repr, names[:20])) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    if column is not None:
        if column in names:
            return column
        raise CorpusError(f"{name} has no column {column!r}. It has: {listing}.")
    usual = {key.strip().lower(): key for key in reversed(textual)}
    for wanted in NAMES:
        if wanted in usual:
            return usual[wanted]
    if len(textual) == 1:
        return textual[0]
    what = "several columns with text" if textual else "no column with text"
    raise CorpusError(f"{name} has {what}; say which holds the prompts with column=... It has: {listing}.")
