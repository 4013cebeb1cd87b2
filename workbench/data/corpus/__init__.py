"""Corpus: prompts from a file, a data set, a list or the built-in grammar, cleaned, every dropped row accounted for."""

import operator
import warnings
from array import array
from collections.abc import Sequence
from contextlib import closing
from itertools import compress, islice

import numpy as np

from workbench import checks
from workbench import progress as bars
from workbench.data.corpus import store
from workbench.data.corpus.cleaning import EXACT, IDENTIFIER, NEAR, NOT_SAMPLED, Report, clean, content_hash, normalise, unusable
from workbench.data.corpus.duplicates import ExactDuplicates, NearDuplicates, sketches
from workbench.data.corpus.readers import open_source
from workbench.values import CorpusError
from workbench.world import grammar
from workbench.world.grammar import OPEN_SLOTS

__all__ = ["OPEN_SLOTS", "Corpus", "Report", "load"]

_TOGETHER = 256  # prompts whose sketches are made at once


def load(source, column=None, n=None, seed=0, split="train", progress=True, keep_near_duplicates=False):
    """Read, clean and store prompts.

    All rows are copied to disk, one at a time. Then rows are cleaned, all in order or, with `n`, as many as are needed of them
    in random order. A row is dropped if it is an exact duplicate (equal but for case, white space and punctuation) or a near
    duplicate (Jaccard index of word 3-grams of .8 or more) of one that came before. The report says what the file was taken for
    and counts every row; where more than half of ten rows or more are dropped, there is a warning.

    Cost: about 5,000 prompts/s on one core; 1.3 kB of memory for each of the first 200,000 prompts that are kept and 20 bytes
    for others. Only a `.json` file is read into memory as a whole; 100 prompts of a text file of 1 GB take half a minute.

    Args:
        source: "world", the built-in grammar; the path of a .txt, .csv, .tsv, .json, .jsonl or .parquet file, plain or .gz; the
            id `owner/name` of a hub data set (read as a stream); an iterable of strings or of dicts; or a dict of columns.
        column: str or None, the column that holds the prompts, or a place in nested records such as `meta.prompt` (each item of
            a list there is a row); None takes a usual name (prompt, text, caption, ...) or the only column with text, which
            is not one of identifiers or of negative prompts.
        n: int or None, keep at most n prompts. From a file or a list they are sampled uniformly without replacement and keep
            the order of the source; from a hub data set they are sampled from its first 4 n rows. The world writes n
            prompts (20,000 if None) before duplicates are dropped.
        seed: int, of the sample and of the world.
        split: "train" or "test" for the world; the name of a split for a hub data set.
        progress: bool, show progress bars.
        keep_near_duplicates: bool, drop exact duplicates only.

    Returns:
        `Corpus`.

    Raises:
        CorpusError: the source cannot be read, or none of its rows is usable; the message says what and where.
        ArtifactError: the cache folder cannot be written, or the disk is full.
    """
    seed = checks.seed(seed)
    if n is not None:
        n = operator.index(n)
        if n <= 0:
            raise CorpusError(f"n={n}: expected a number of prompts, 1 or more, or None for all.")
    report, rows = Report(), array("q")
    opened = open_source(source, column, n, seed, split, report)
    numbered = bars.bar(opened.rows, total=opened.total, name="reading prompts", unit="rows", shown=progress)
    data = store.stored(_usable(numbered, rows, report))
    sampled = n is not None and n < len(data)
    order = np.random.default_rng(seed).permutation(len(data)) if sampled else None
    goal = n if sampled else len(data)
    with bars.bar(total=goal, name="cleaning prompts", unit="rows", shown=progress) as bar:
        kept = _kept(data, order, n, rows, report, bar, None if keep_near_duplicates else NearDuplicates())
    if not kept.size:
        advice = " To read the files that it names, load each of them." if IDENTIFIER in report.dropped else ""
        raise CorpusError(f"No row of {opened.name} is a usable prompt.{advice}\n{report}")
    if said := report.most_dropped():
        warnings.warn(f"{opened.name}: {said}", stacklevel=2)
    data = store.stored(_tidied(store.each(data, kept), report))
    return Corpus(data, np.asarray(rows)[kept], report, opened.name, opened.world)


def _usable(numbered, rows, report):
    """Yield the values that can be stored and put their row numbers into `rows`; the others go to the report."""
    for row, value in numbered:
        report.read += 1
        rule = unusable(value)
        if rule is None:
            rows.append(row)
            yield value
        else:
            report.drop(rule, row, value)


def _kept(data, order, n, rows, report, bar, near):
    """Places in `data`, in its order, of clean prompts without duplicates: the first n when looked at in `order`."""
    kept, count = np.zeros(len(data), bool), 0  # a byte a row, where millions may be kept
    with closing(ExactDuplicates()) as exact:
        for looked, (value, found, sketch) in enumerate(_cleaned(store.each(data, order), near is not None)):
            if count == n:
                report.dropped[NOT_SAMPLED] = len(data) - looked
                break
            place = looked if order is None else int(order[looked])
            if found.rule is not None:
                report.drop(found.rule, rows[place], value)
            elif (like := exact.add(place, content_hash(found.text))) is not None:
                report.drop(EXACT, rows[place], found.text, like=rows[like])
            elif near is not None and (like := near.add(place, sketch)) is not None:
                report.drop(NEAR, rows[place], found.text, like=rows[like])
            else:
                kept[place] = True
                count += 1
            bar.update()
    return np.flatnonzero(kept)


def _cleaned(values, sketched):
    """Yield (value, `Cleaned`, sketch of its words or None) of each, some of them in advance."""
    while some := list(islice(values, _TOGETHER)):
        found = [clean(value) for value in some]
        made = sketches([one.words for one in found]) if sketched else [None] * len(found)
        yield from zip(some, found, made, strict=True)


def _tidied(values, report):
    for value in values:
        text = normalise(value)
        report.changed += text != value
        yield text


class Corpus(Sequence):
    """Clean prompts: a sequence of str in a memory-mapped file, so that its size costs no memory. Made by `load`.

    `corpus[3]` is a str, `corpus[3:5]` a list of str.

    Attributes:
        source: str, the path, data set id, "world" or type it came from.
        report: `Report` of the rows read, kept and dropped by `load`.
        rows: int64 (n,), for each prompt the number of its row in the source, from 0.
        fingerprint: str, sha256 of the prompts in their order, in hex. Equal content has an equal fingerprint.
    """

    def __init__(self, data, rows, report, source, world=None):
        self._data = data  # datasets.Dataset with the column `text`, all of its rows in order
        self._world = world  # (seed, split) of the grammar
        self.rows = rows
        self.report = report
        self.source = source
        self.fingerprint = store.fingerprint(self)

    @classmethod
    def from_texts(cls, texts, progress=False):
        """Make a corpus from strings: `load` for those who hold a list.

        Args:
            texts: iterable of str; a single str is an error, since it is the name of a source.
            progress: bool, show progress bars.

        Returns:
            `Corpus`; `rows` are places in `texts`.

        Raises:
            TypeError: `texts` is one str.
            CorpusError: no text is usable.
        """
        if isinstance(texts, str):
            raise TypeError("Corpus.from_texts takes a list of prompts, got one str. For a file or data set use corpus.load.")
        return load(texts, progress=progress)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        if isinstance(i, slice):
            return self._data[i]["text"]
        place = operator.index(i)
        if not -len(self) <= place < len(self):
            raise IndexError(f"corpus[{i}] is beyond its {len(self):,} prompts.")
        return self._data.data["text"][place].as_py()  # 30 times as fast as `self._data[place]`

    def __iter__(self):
        return store.each(self._data)

    def __repr__(self):
        return f"Corpus({self.source!r}, {len(self):,} prompts)"

    def truth(self, i):
        """The labels of prompt i, for the built-in corpus: the prompt is written again from its row number.

        Args:
            i: int, place in this corpus.

        Returns:
            `workbench.world.grammar.LabelledPrompt`; its `text` is `self[i]`.

        Raises:
            CorpusError: the corpus is not the built-in one.
            IndexError: there is no prompt i.
        """
        if self._world is None:
            raise CorpusError(f'The truth is known for corpus.load("world") only; this corpus comes from {self.source}.')
        seed, split = self._world
        labelled = grammar.prompt(int(self.rows[i]), seed=seed, split=split)
        if labelled.text != self[i]:
            raise CorpusError(f"Cleaning changed prompt {i}, so its labels no longer fit: {labelled.text!r} became {self[i]!r}.")
        return labelled

    def split(self, held_out=0.1):
        """Split the corpus in two by a hash of each prompt's letters and digits.

        A prompt falls on the same side in every corpus, whatever its order and size, and so do prompts that differ from it in
        case, white space or punctuation only. What is held out at .1 is held out at .2 too.

        Args:
            held_out: float, about this share of the prompts goes to the second corpus, between 0 and 1.

        Returns:
            (train, held_out), two `Corpus` in the order of this one, with its `report`; of a tiny corpus one may be empty.

        Raises:
            ValueError: held_out is not between 0 and 1.
        """
        if not 0 < held_out < 1:
            raise ValueError(f"held_out={held_out}: expected a share between 0 and 1, such as 0.1.")
        limit = int(held_out * 2**64)
        second = np.fromiter((content_hash(text) < limit for text in self), bool, len(self))
        return self._part(~second), self._part(second)

    def _part(self, mask):
        return Corpus(store.stored(compress(self, mask)), self.rows[mask], self.report, self.source, self._world)
