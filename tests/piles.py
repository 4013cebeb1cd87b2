"""Piles of prompts, each with what `corpus.load` has to make of it: what the tests of tables and of columns share."""

import re

from workbench.data.corpus import load
from workbench.values import CorpusError

F, S, B = "a red fox in snow", "an old ship at sea", "a blue barn, dawn"


def error(pattern):
    """The source is refused in these words."""
    return re.compile("(?s)" + pattern)


def check(folder, name, data, expected):
    """Load a file, or what has no name, and compare: prompts, an error, or a claim about the corpus."""
    if name is not None:
        path = folder / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        data = path
    try:
        corpus = load(data, progress=False)
    except CorpusError as err:
        assert isinstance(expected, re.Pattern) and expected.search(str(err)), str(err)
        return
    report = corpus.report
    assert report.read == len(corpus) + sum(report.dropped.values())
    assert expected(corpus) if callable(expected) else list(corpus) == expected, report
