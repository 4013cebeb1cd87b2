"""Corpus: prompts from a file, a data set, a list or the built-in grammar, cleaned, every dropped row accounted for."""

import operator
from array import array
from collections.abc import Sequence
from itertools import compress

import numpy as np
from tqdm.auto import tqdm

from workbench.data.corpus import store
from workbench.data.corpus.cleaning import EXACT, NEAR, NOT_SAMPLED, Report, clean, content_hash
from workbench.data.corpus.duplicates import Sketches
from workbench.data.corpus.readers import open_source
from workbench.values import CorpusError
from workbench.world import grammar
from workbench.world.grammar import OPEN_SLOTS

__all__ = ["OPEN_SLOTS", "Corpus", "Report", "load"]

_BATCH = 2_048  # prompts sketched at a time


def load(source, column=None, n=None, seed=0, split="train", progress=True):
    """Read, clean and store prompts.

    Two passes: rows are read and cleaned one at a time into a scratch file; then exact duplicates (equal but for case, white
    space and punctuation) and near duplicates (Jaccard index of word 3-grams of .8 or more) of an earlier row are left out.
    Memory: about 100 bytes per row; a `.json` file is read whole. About 8,000 prompts/s on one core.

    Args:
        source: "world", the built-in grammar; the path of a .txt, .csv, .tsv, .json (array of strings or objects, or object of
            columns), .jsonl or .parquet file, plain or .gz; the id `owner/name` of a hub data set (read as a stream); or an
            iterable of strings or of dicts.
        column: str or None, the column that holds the prompts; None takes a usual name (prompt, text, caption, ...), else
            the only column with text.
        n: int or None, at most so many prompts are kept. Of files and lists all rows are read and cleaned, and what is left
            is sampled uniformly without replacement, in the order of the file. Of a hub data set the same is done with its
            first 4 n rows. Of the world, n prompts are written (20,000 if None) before duplicates go.
        seed: int, of the sample and of the world.
        split: "train" or "test" for the world; the name of a split for a hub data set.
        progress: bool, show a progress bar.

    Returns:
        `Corpus`.

    Raises:
        CorpusError: the source cannot be read, or none of its rows is usable; the message says what and where.
        ImportError: a hub data set, but `datasets` is not installed.
        ArtifactError: the cache folder cannot be written, or the disk is full.
    """
    if n is not None:
        n = operator.index(n)
        if n <= 0:
            raise CorpusError(f"n={n}: expected a number of prompts, 1 or more, or None for all.")
    opened = open_source(source, column, n, operator.index(seed), split)
    rows = tqdm(opened.rows, "reading prompts", opened.total, unit=" rows", disable=not progress)
    report, kept_rows = Report(), array("q")
    with store.scratch_files(2) as (texts_file, shingles_file):
        kept, changed = _clean_all(rows, report, kept_rows, texts_file, shingles_file, n, seed)
        report.changed = int(changed[kept].sum())
        if not len(kept_rows):
            raise CorpusError(f"No row of {opened.name} is a usable prompt.\n{report}")
        column, name = store.keep(lambda: compress(store.read_texts(texts_file), kept))
    return Corpus(column, np.asarray(kept_rows)[kept], report, opened.name, name, opened.world)


def _clean_all(rows, report, numbers, texts_file, shingles_file, n, seed):
    """Write the clean texts of all rows to `texts_file` and their row numbers to `numbers`.

    Returns:
        (kept, changed): bool (m,) each, for every text written.
    """
    keys, changed, sketches, words = array("Q"), array("B"), Sketches(shingles_file), []

    def accepted():
        for row, value in rows:
            report.read += 1
            found = clean(value)
            if found.rule is not None:
                report.drop(found.rule, row, value)
                continue
            numbers.append(row)
            keys.append(content_hash(found.text))
            changed.append(found.text != value)
            words.append(found.words)
            if len(words) == _BATCH:
                sketches.add(words)
                words.clear()
            yield found.text

    store.write_texts(texts_file, accepted())
    if words:
        sketches.add(words)
    kept = _without_duplicates(np.asarray(keys), sketches, numbers, report, texts_file)
    return _sampled(kept, n, seed, report), np.asarray(changed).astype(bool)


def _without_duplicates(keys, sketches, numbers, report, texts_file):
    """Find the first of each set of duplicates -> bool (m,), True for those; the others go to the report."""
    origin = np.full(len(keys), -1, np.int64)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    repeated = first[inverse] != np.arange(len(keys))
    origin[repeated] = first[inverse][repeated]
    near = sketches.find(~repeated)
    origin[near >= 0] = near[near >= 0]
    for place, text in enumerate(store.read_texts(texts_file)):
        if origin[place] >= 0:
            report.drop(EXACT if repeated[place] else NEAR, numbers[place], text, like=numbers[origin[place]])
    return origin < 0


def _sampled(kept, n, seed, report):
    """Thin `kept` out to n rows, uniformly; the others go to the report."""
    places = np.flatnonzero(kept)
    if n is None or len(places) <= n:
        return kept
    chosen = np.random.default_rng(seed).choice(places, n, replace=False, shuffle=False)
    report.dropped[NOT_SAMPLED] = len(places) - n
    kept = np.zeros(len(kept), bool)
    kept[chosen] = True
    return kept


class Corpus(Sequence):
    """Clean prompts: a sequence of str in a memory-mapped file, so that its size costs no memory. Made by `load`.

    `corpus[3]` is a str, `corpus[3:5]` a list of str.

    Attributes:
        source: str, the path, data set id, "world" or type it came from.
        report: `Report` of the rows read, kept and dropped by `load`.
        rows: int64 (n,), for each prompt the number of its row in the source, from 0.
        fingerprint: str, sha256 of the prompts in their order, in hex. Equal content has an equal fingerprint.
    """

    def __init__(self, column, rows, report, source, fingerprint, world=None):
        self._column = column  # pyarrow.ChunkedArray, in batches of store.BATCH
        self._world = world  # (seed, split) of the grammar
        self.rows = rows
        self.report = report
        self.source = source
        self.fingerprint = fingerprint

    @classmethod
    def from_texts(cls, texts, progress=False):
        """Make a corpus from strings: `load` for those who hold a list.

        Args:
            texts: iterable of str; a single str is an error, since it is the name of a source.
            progress: bool, show a progress bar.

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
            start, stop, step = i.indices(len(self))
            if step == 1:
                return self._column.slice(start, max(stop - start, 0)).to_pylist()
            return [self[place] for place in range(start, stop, step)]
        place = operator.index(i)
        place += len(self) if place < 0 else 0
        if not 0 <= place < len(self):
            raise IndexError(f"corpus[{i}] is beyond its {len(self):,} prompts.")
        chunk, offset = divmod(place, store.BATCH)
        return self._column.chunk(chunk)[offset].as_py()

    def __iter__(self):
        return store.each(self._column)

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
        """Part the corpus by a hash of each prompt's letters and digits.

        A prompt falls on the same side in every corpus, whatever its order and size, and so do prompts that differ from it in
        case, white space or punctuation. What is held out at .1 is held out at .2 too.

        Args:
            held_out: float, about this share of the prompts goes to the second corpus, 0..1 exclusive.

        Returns:
            (train, held_out), two `Corpus` in the order of this one, with its `report`; of a tiny corpus one may be empty.

        Raises:
            ValueError: held_out is not between 0 and 1.
        """
        if not 0 < held_out < 1:
            raise ValueError(f"held_out={held_out}: expected a share between 0 and 1, such as 0.1.")
        line = int(held_out * 2**64)
        second = np.fromiter((content_hash(text) < line for text in self), bool, len(self))
        return self._only(~second), self._only(second)

    def _only(self, mask):
        column, name = store.keep(lambda: compress(self, mask))
        return Corpus(column, self.rows[mask], self.report, self.source, name, self._world)
