"""Readers: numbered rows of a file, a hub data set, the built-in grammar or a list, one at a time."""

import os
import re
from collections.abc import Iterable, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from workbench.data.corpus.columns import from_items, from_mapping
from workbench.data.corpus.formats import is_file, read_file, suffix_of, why_no_file
from workbench.data.corpus.store import cache_folder
from workbench.values import CorpusError
from workbench.world import grammar

WORLD = "world"
WORLD_SIZE = 20_000

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_HUB_ROWS = 4  # rows read from the hub for each prompt that is wanted: most data sets of prompts repeat themselves


class Rows(NamedTuple):
    """An open source: its name, pairs (row number from 0, value), how many if known, and (seed, split) of the built-in world."""

    name: str
    rows: Iterable[tuple[int, Any]]
    total: int | None = None
    world: tuple[int, str] | None = None


def open_source(source, column, n, seed, split, report):
    """Recognise a source, check it and open it; what it was taken for goes to the report. Arguments as in `corpus.load`.

    Returns:
        `Rows`; reading them raises CorpusError where the source is damaged.

    Raises:
        CorpusError: the source is of no known kind, missing, empty, binary, or its column is not clear.
    """
    if isinstance(source, str) and source == WORLD:
        if column is not None:
            raise CorpusError(f'The built-in corpus "world" has no columns, but column={column!r} was given. Leave it out.')
        n = WORLD_SIZE if n is None else n
        prompts = grammar.generate(n, seed=seed, split=split)
        return Rows(WORLD, enumerate(prompt.text for prompt in prompts), n, (seed, split))
    if _is_hub_id(source):
        return Rows(source, _from_hub(source, column, n, split, report))
    if split != "train":
        what = repr(str(source)[:80]) if isinstance(source, (str, os.PathLike)) else f"a {type(source).__name__}"
        raise CorpusError(f'split={split!r} is for "world" and hub data sets; {what} has no splits. Leave it out.')
    if isinstance(source, (str, os.PathLike)):
        return Rows(str(source), read_file(source, column, report))
    if isinstance(source, (bytes, bytearray)) or not isinstance(source, Iterable) or hasattr(source, "columns"):
        raise CorpusError(
            f'Cannot load prompts from a {type(source).__name__}. Expected "world", the path of a file, the id of a hub data '
            'set, or a list of strings (of a data frame: list(frame["prompt"])).'
        )
    name = type(source).__name__
    if isinstance(source, Mapping):
        return Rows(name, from_mapping(source, f"this {name}", column, report))
    total = len(source) if hasattr(source, "__len__") else None
    return Rows(name, from_items(source, f"this {name}", column, report), total)


def look_for(source):
    """Check that a source that is named by a str or Path is there, without opening it. Whether a hub data set is, is not asked.

    Raises:
        CorpusError: it is neither "world" nor a file nor the id of a hub data set; says what comes nearest.
    """
    if not (source == WORLD or _is_hub_id(source) or is_file(source)):
        raise CorpusError(why_no_file(source))


def _is_hub_id(source):
    return isinstance(source, str) and not is_file(source) and _HUB_ID.fullmatch(source) and suffix_of(Path(source)) is None


def _from_hub(source, column, n, split, report):
    rows = _streamed(source, split)
    rows = chain(list(islice(rows, 1)), rows)  # reads the first row now: errors come before any work
    rows = rows if n is None else islice(rows, _HUB_ROWS * n)
    return from_items(rows, f"The hub data set {source!r}", column, report)


def _streamed(source, split):
    import datasets

    datasets.disable_progress_bars()
    try:
        yield from datasets.load_dataset(source, split=split, streaming=True, cache_dir=str(cache_folder() / "hub"))
    except Exception as err:  # a dozen kinds, from five packages
        said = str(err).split("\n")[0][:200] or "no message"
        raise CorpusError(
            f"The hub data set {source!r} cannot be read ({type(err).__name__}: {said}). Is this machine offline, or the id "
            "misspelt? For a file on this machine, check its path."
        ) from err
