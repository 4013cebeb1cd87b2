"""Learning: the stages of `DeepDSL.fit` that need more than one module, and the records they hand on."""

import hashlib
import json
import shutil
import time
from collections import Counter
from dataclasses import asdict, replace
from typing import NamedTuple

import numpy as np
from tqdm.auto import tqdm

from workbench import artifacts
from workbench.language.units import Units
from workbench.template import Template, parse
from workbench.values import ArtifactError

_RECIPE = 4  # raise it when a change of code changes what a finished stage holds
_MAP_FILLERS = 4000  # points of the map
_TEMPLATES = 50  # templates kept with their examples


class Fillers(NamedTuple):
    """Frequent fillers: the points of the map. `texts` m str, `codes` and `counts` int64 (m,), `vectors` float32 (m, d)."""

    texts: tuple
    codes: np.ndarray
    counts: np.ndarray
    vectors: np.ndarray


class TemplateCount(NamedTuple):
    """A template of the corpus without its fillers, how many prompts of the sample have it, and some of them, printed."""

    skeleton: str
    count: int
    examples: tuple


class Excerpt(NamedTuple):
    """The prompts the codes are learned on."""

    rows: np.ndarray  # (p,) which prompts of the corpus
    spans: list  # per prompt a list of Span
    vectors: np.ndarray  # float16 (n, d)
    types: list  # t str
    ids: np.ndarray  # (n,) rows of types
    before: np.ndarray  # int8 (n,)


class Clock:
    """Seconds between calls."""

    def __init__(self):
        self._last = time.perf_counter()

    def __call__(self):
        """Seconds since the last call, or since it was made."""
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        return round(seconds, 2)


def gather(corpus, features, units, size, seed, progress):
    """Units of `size` prompts drawn by `seed`, with their vectors: an `Excerpt`."""
    size = min(size, len(corpus))
    chosen = np.sort(np.random.default_rng(seed).choice(len(corpus), size, replace=False))
    types, vectors, ids, before, spans_of, at = {}, [], [], [], [], 0
    with tqdm(total=size, desc="sample", unit="prompt", disable=not progress) as bar:
        for first, offsets, words in features.shards():
            while at < size and chosen[at] < first + len(offsets) - 1:
                row = int(chosen[at]) - first
                spans = units.split(corpus[int(chosen[at])])
                vectors.append(means(words[offsets[row] : offsets[row + 1]], spans).astype(np.float16))
                ids += [types.setdefault(span.text, len(types)) for span in spans]
                before += [span.before for span in spans]
                spans_of.append(spans)
                at += 1
                bar.update()
    return Excerpt(chosen, spans_of, np.concatenate(vectors), list(types), np.array(ids), np.array(before, np.int8))


def common_templates(templates):
    """The most common of an iterable of `Template`, and the most common segments of them: two tuples of `TemplateCount`."""
    whole, parts = (Counter(), {}), (Counter(), {})
    for template in templates:
        _note(whole, template)
        for segment in template.segments():
            piece = Template.build(segment)
            if piece.slots:
                _note(parts, piece)
    return tuple(
        tuple(TemplateCount(s, n, tuple(examples[s])) for s, n in counts.most_common(_TEMPLATES))
        for counts, examples in (whole, parts)
    )


def _note(table, template):
    counts, examples = table
    skeleton = template.skeleton.strip(" ,|.;")
    counts[skeleton] += 1
    shown = examples.setdefault(skeleton, [])
    printed = str(template).strip(" ,|.;")
    if len(shown) < 3 and printed not in shown:
        shown.append(printed)


def renamed(counted, names):
    """A tuple of `TemplateCount` with other names in its slots; `names` is a dict of old to new name."""
    out = []
    for _, count, examples in counted:
        parts = [parse(printed).parts for printed in examples]
        found = [Template.build(p if isinstance(p, str) else replace(p, name=names[p.name]) for p in some) for some in parts]
        out.append(TemplateCount(found[0].skeleton, count, tuple(map(str, found))))
    return tuple(out)


def fit_key(corpus, config, encoder, known):
    """Name of a fit: the same for the same prompts, options, encoder and known codes."""
    options = {name: value for name, value in asdict(config).items() if name not in ("writer", "prior", "ngram")}
    return _hash([_RECIPE, corpus.fingerprint, options, encoder.fingerprint, *([list(known.items())] if known else ())])[:24]


def writing_key(*options):
    """Name of a part of the writing half within a fit, by the options that it depends on (JSON values)."""
    return _hash([_RECIPE, *options])[:12]


def _hash(values):
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def finished(folder, kind, cls, learn):
    """A learned part of class `cls` from its folder, or learned now and kept there."""
    if folder.is_dir():
        try:
            return artifacts.restored(cls.from_state, folder, kind)
        except ArtifactError:
            shutil.rmtree(folder)  # damaged: made again
    part = learn()
    artifacts.save(folder, kind, *part.to_state())
    return part


def parted(n, size, seed, held_out):
    """Which of n prompts the writing half learns, and which it keeps apart to rank fillers by: two sorted int64 arrays.

    Args:
        n: int, prompts.
        size: int, prompts to learn from at most.
        seed: int.
        held_out: int, prompts to keep apart; they are taken of those not learned, if there are some.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.choice(n, min(size, n), replace=False)
    if size < n:
        rest = np.setdiff1d(np.arange(n), chosen)
        return np.sort(chosen), np.sort(rng.permutation(rest)[:held_out])
    return np.sort(chosen[held_out:]), np.sort(chosen[:held_out])


def learn_units(corpus, config, stage, progress):
    """The phrases of a corpus, learned now or read from a finished stage."""
    path = stage / "units.json"
    if path.exists():
        try:
            return Units.from_config(artifacts.read_json(path))
        except ArtifactError:
            pass  # damaged: learned again
    units = Units(config).fit(corpus, progress=progress)
    artifacts.write_json(path, units.to_config())
    return units


def check_enough(corpus, units, config):
    """Before the long work: are there phrases enough for the codes?"""
    k, phrases = config.codebook.n_codes, set()
    for prompt in corpus:
        phrases.update(span.text for span in units.split(prompt))
        if len(phrases) >= 4 * k:  # the sample may hold fewer than the corpus; Codebook.fit looks again
            return
    if len(phrases) < k:
        raise ValueError(
            f"{k} codes need {k} different phrases or more; the {len(corpus)} prompts kept of {corpus.report.read} hold "
            f"{len(phrases)}. Add prompts, or take fewer codes (n_codes={max(2, len(phrases) // 3)})."
        )


def means(words, spans):
    """Mean of the word vectors of each span: float32 (u, d)."""
    words = words.astype(np.float32)
    if not spans:
        return words[:0]
    sums = np.add.reduceat(words, [span.first for span in spans])  # spans follow each other without a gap
    return sums / np.array([[span.last - span.first] for span in spans], np.float32)


def frequent(sample, x, codes, k):
    """`Fillers`: the most frequent fillers of each code, an even share for each."""
    pairs, where, counts = np.unique(sample.ids * k + codes, return_inverse=True, return_counts=True)
    sums = np.zeros((len(pairs), x.shape[1]), np.float32)
    np.add.at(sums, where, x)
    best = []
    for code in range(k):
        rows = np.flatnonzero(pairs % k == code)
        best.append(rows[np.argsort(-counts[rows], kind="stable")][: _MAP_FILLERS // k])
    best = np.concatenate(best)
    texts = tuple(sample.types[i] for i in pairs[best] // k)
    return Fillers(texts, pairs[best] % k, counts[best].astype(np.int64), sums[best] / counts[best, None].astype(np.float32))
