"""Columns: which column of a table, or which place in nested records, holds the prompts."""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice

from workbench.data.corpus.cleaning import clean, unusable
from workbench.data.corpus.identifiers import kind_of
from workbench.values import CorpusError

NAMES = ("prompt", "prompts", "text", "texts", "caption", "captions", "positive_prompt", "prompt_text", "description")
PEEK = 100  # rows that decide which columns hold text

_PARTS = {"prompt", "prompts", "caption", "captions"}  # one of these in a name is nearly as good: `prompt_en`
_NEGATIVE = {"neg", "negative", "negatives", "nprompt", "uc", "uncond", "unconditional", "undesired", "unwanted"}
_TEXT = re.compile(r"[\s,]|[^\x00-\x7f]")
_DEEPEST = 8  # levels of nested records that are looked into
_SHOWN = 12  # columns that an error lists


def from_items(items, name, column, report):
    """Prompts in an iterable of strings or of mappings from column to value -> iterable of (row, value).

    A column may be a place in nested records, `meta.prompt`; where a list is found there, each of its items is a value. The
    values are not all of them str. `name` is what errors call the source; the column goes to `report`.

    Raises:
        CorpusError: the source is empty, or the column of prompts is not clear.
    """
    items = iter(items)
    first = list(islice(items, PEEK))
    if not first:
        raise CorpusError(f"{name} is empty: it holds no prompts.")
    records = [item for item in first if isinstance(item, Mapping)]
    if not records:
        if column is not None:
            raise CorpusError(f"{name} has no columns, but column={column!r} was given. Leave it out.")
        return ((row, _decoded(item)) for row, item in enumerate(chain(first, items)))
    column = choose_of(records, name, column, report)
    return ((row, value) for row, item in enumerate(chain(first, items)) for value in at(item, column))


def choose_of(records, name, column, report):
    """The column of prompts of a list of mappings -> its dotted path; it goes to `report` too. Raises as `choose`."""
    samples = {}
    for record in records:
        for path, value in _leaves(record):
            samples.setdefault(path, []).append(value)
    column, why = choose(name, samples, column)
    report.shape = f"column {column!r}, {why}"
    return column


def from_mapping(table, name, column, report):
    """Prompts in one mapping: of columns, of records by their keys, of prompts by their keys, or a record that holds a list.

    Returns and raises as `from_items`.
    """
    if not table:
        raise CorpusError(f"{name} is empty: it has no columns.")
    table = {key: list(value) if isinstance(value, Iterator) else value for key, value in table.items()}
    inner = list(table.values())
    if all(isinstance(value, Mapping) for value in inner):
        keys = {str(key) for value in inner for key in islice(value, PEEK)}
        # columns as pandas writes them: the keys inside are rows, and no names
        if all(map(str.isdigit, keys)) or (
            _is_named(table) and not any(plain(k) in NAMES or _NEGATIVE & set(_words(k)) for k in keys)
        ):
            table = {key: list(value.values()) for key, value in table.items()}
        elif not _is_named(table):
            return from_items(inner, name, column, report)
    elif len(inner) > 1 and column is None and all(map(is_prompt, inner)) and not _is_named(table):
        report.shape = "one prompt for each key"
        return enumerate(inner)
    if column in table and isinstance(table[column], Mapping):
        table = {**table, column: list(table[column].values())}
    rows = from_items([table], name, column, report)
    return ((place, value) for place, (_, value) in enumerate(rows))


def _is_named(table):
    return any(plain(key) in NAMES for key in table)


def _leaves(value, path="", depth=0):
    """Pairs (dotted path, value) of a nested record; the items of a list, and an empty one, stand at the path of the list."""
    if isinstance(value, Mapping) and depth < _DEEPEST:
        for key, inner in value.items():
            if isinstance(key, str):
                yield from _leaves(inner, f"{path}.{key}" if path else key, depth + 1)
    elif _is_list(value) and depth < _DEEPEST:
        for inner in islice(value, PEEK) if len(value) else [None]:
            yield from _leaves(inner, path, depth + 1)
    else:
        yield path, _decoded(value)


def at(item, path):
    """The values at a dotted path of a record -> list, one or more; what is no record is a value itself."""
    return list(_at(item, path)) or [None] if isinstance(item, Mapping) else [item]


def _at(value, path):
    if _is_list(value):
        for inner in value:
            yield from _at(inner, path)
    elif not path:
        yield _decoded(value)
    elif not isinstance(value, Mapping):
        yield None
    elif path in value:
        yield from _at(value[path], "")
    else:
        cuts = [place for place, sign in enumerate(path) if sign == "." and path[:place] in value]
        yield from _at(value[path[: cuts[0]]], path[cuts[0] + 1 :]) if cuts else [None]


def _is_list(value):
    return isinstance(value, Iterable) and hasattr(value, "__len__") and not isinstance(value, (str, bytes, bytearray, Mapping))


def _decoded(value):
    """Bytes that are UTF-8 as str, and an entry of a pyarrow column as a plain value; everything else as it is."""
    if hasattr(value, "as_py"):
        value = value.as_py()
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value


def is_prompt(value):
    """Whether a value is a usable prompt."""
    return isinstance(value, str) and unusable(value) is None and clean(value).rule is None


def plain(name):
    """The last part of the name of a column in one spelling: `meta.Positive prompt` and `positivePrompt` are alike."""
    return "_".join(_words(str(name).rsplit(".", 1)[-1]))


def _words(name):
    return re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())


def choose(name, samples, column):
    """The column that holds the prompts: the one asked for, or one with a usual name, or the only one with text.

    A column with a usual name must hold at least one prompt, any other column mostly prompts and no identifiers (file names,
    addresses, hashes, numbers, dates). A column of negative prompts must be asked for.

    Args:
        name: str, what errors call the table.
        samples: dict of column to list, some of its values.
        column: str or None, the one asked for.

    Returns:
        (column, why), two str.

    Raises:
        CorpusError: there is no such column, or the choice is not clear; it lists the columns with an example of each.
    """
    if column is not None:
        if column in samples:
            return column, "as asked"
        raise CorpusError(f"{name} has no column {column!r}. It has: {_listing(samples)}.")
    good = {key: sum(map(is_prompt, values)) for key, values in samples.items()}
    text = [key for key in samples if good[key] and not _NEGATIVE & set(_words(key))]
    named = [[key for key in text if plain(key) == wanted] for wanted in NAMES]
    named.append([key for key in text if _PARTS & set(_words(key))])
    found = next(filter(None, named), None)
    why = "by its name"
    if found is None:
        # one token such as `owner/name` is no text by itself
        good = {key: sum(is_prompt(value) and bool(_TEXT.search(value.strip())) for value in samples[key]) for key in text}
        found, why = [key for key in text if 2 * good[key] > sum(map(_is_said, samples[key]))], "the only one with text"
    least = min((key.count(".") for key in found), default=0)
    found = [key for key in found if key.count(".") == least]
    if len(found) == 1:
        return found[0], why
    what = "several columns with text" if found else "no column with text"
    hint = " A column of negative prompts must be asked for." if not found and any(good.values()) else ""
    raise CorpusError(
        f"{name} has {what}; say which holds the prompts with column=... It has: {_listing(samples, found or samples)}.{hint}"
    )


def _is_said(value):
    return value is not None and value != ""


def _listing(samples, first=()):
    """Columns, each with an example and what that is."""
    names = [*first, *(key for key in samples if key not in first)]
    shown = []
    for key in names[:_SHOWN]:
        value = next((value for value in samples[key] if isinstance(value, str) and value.strip()), None)
        kind = value and kind_of(value[:999])
        shown.append(repr(key) if value is None else f"{key!r} ({value[:40]!r}{f', {kind}' if kind else ''})")
    return ", ".join(shown) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
