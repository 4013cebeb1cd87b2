"""Fitting: prompts -> `Learned`, stage by stage. Finished stages are kept in a folder and are not done again."""

import hashlib
import json
import time
import warnings
from collections import Counter
from dataclasses import asdict, replace
from typing import NamedTuple

import numpy as np

from workbench import files, locks
from workbench import progress as bars
from workbench.artifacts import CONFIG
from workbench.data.corpus import Corpus
from workbench.language import encode, growing, ngram, prior, writer
from workbench.language.codebook import Codebook, distinctive, suggest_names
from workbench.language.dsl import given_codes, infilling
from workbench.language.dsl.learned import Code, Fillers, Learned, TemplateCount
from workbench.language.dsl.masks import without_syntax
from workbench.language.dsl.reader import Reader, Tagger, means, template_of
from workbench.language.dsl.writing import Author
from workbench.language.evaluate import evaluate
from workbench.language.ngram import KneserNey
from workbench.language.units import Units
from workbench.language.writer.config import SAMPLE
from workbench.template import Template
from workbench.values import ArtifactError
from workbench.words import is_function

_RECIPE = 8  # raise it when a change of code changes what a finished stage holds
_LAYER = 3  # hidden layer of the encoder that is read: the best one measured
_SAMPLE = 10_000  # prompts that vectors of phrases, context and codes are learned on; all prompts are counted
_LITERAL = 0.8  # share of function words from which a code is shown as plain text
_LEAST, _FEW = 20, 3000  # prompts below which there is no language, and below which it is a poor one
_TRUE = 100  # words for each code from which the V-measure says something: of a few words any codes agree with any labels
_ENOUGH, _SHARE = 1000, 50  # prompts from which on one in 50 is held out to learn the ranking of fillers
_COUNTED = 300_000  # different (code, filler) pairs held while counting; beyond that the rarest are forgotten
_MAP_FILLERS = 4000  # points of the map
_TEMPLATES = 50  # templates kept with their examples


class _Excerpt(NamedTuple):
    """The prompts that the codes are learned on."""

    rows: np.ndarray  # (p,) which prompts of the corpus
    spans: list  # per prompt a list of Span
    vectors: np.ndarray  # float16 (n, d)
    types: list  # t str
    ids: np.ndarray  # (n,) rows of types
    before: np.ndarray  # int8 (n,)


class _Clock(dict):
    """Seconds of each stage, by name."""

    def __init__(self):
        super().__init__()
        self._last = time.perf_counter()

    def stop(self, stage):
        """Note the seconds since the stage before this one."""
        now = time.perf_counter()
        self[stage], self._last = round(now - self._last, 2), now


def fit(prompts, config, encoder, folder, progress, codes):
    """See `DeepDSL.fit`. `Learned`."""
    from workbench.models import Encoder

    clock = _Clock()
    root = files.cache_folder() if folder is None else files.path(folder, "folder")
    listed, codes = isinstance(codes, str), given_codes.check_given(codes, config)
    if config.writer is not None and config.writer.decoder is not None:
        writer.Decoder(writer.DecoderConfig(config.writer.decoder)).check()
    corpus = prompts if isinstance(prompts, Corpus) else Corpus.from_texts(prompts, progress=progress)
    clock.stop("corpus")
    if not isinstance(encoder, Encoder):
        encoder = load_reader(encoder)
    stage = root / "fits" / _fit_key(corpus, config, encoder, codes, listed)
    clock.stop("encoder")
    files.make_folder(stage)
    with locks.locked(stage / ".lock", f"This fit, in {stage},"):  # an equal fit in another process: its stages serve here too
        return _stages(corpus, config, encoder, codes, listed, root, stage, clock, progress)


def _stages(corpus, config, encoder, codes, listed, root, stage, clock, progress):
    """`Learned`, from what is finished in the folder `stage` and what is not."""
    units = _finished(stage / "units", Units, lambda: Units(config.units).fit(corpus, progress=progress))
    _check_enough(corpus, units, config)
    known = given_codes.phrases(units, codes)
    if not listed:
        given_codes.check_met(corpus, units, codes, known)
    clock.stop("phrases")
    features = encode.encode(corpus, encoder, root / "features", progress=progress)
    clock.stop("encode")
    excerpt = _gathered(corpus, features, units, config.seed, progress)
    report = {}
    as_listed, known = known, growing.respelled(excerpt.types, codes) | known
    if listed:
        n_codes = config.codebook.n_codes
        codes, known, report["lexicon"] = given_codes.met(excerpt.types, excerpt.ids, codes, known, n_codes)
    if codes:
        report["given"] = given_codes.report_given(codes, {text: code for text, code in known.items() if text in as_listed})
    clock.stop("sample")

    def learn_codes():
        types, given = given_codes.anchored(excerpt.types, known)
        static = encoder.embed_words(types)
        if listed and known:
            given = growing.grown(types, excerpt.ids, excerpt.vectors, static, given)
        units_of = (excerpt.vectors, static, excerpt.ids, excerpt.before)
        return Codebook(config.codebook).fit(*units_of, progress=progress, given=given, seed=config.seed)

    codebook = _finished(stage / "codebook", Codebook, learn_codes)
    clock.stop("codes")
    tagger = Tagger(encoder, units, codebook)
    counted = _counted(corpus, features, tagger, progress)
    learned = _described(corpus, features, tagger, excerpt, counted, config, list(codes))
    learned.stats.update(report)
    clock.stop("tag all")
    reader = Reader(learned)
    if config.writer is not None:
        _learn_to_write(learned, reader, corpus, features, stage, progress)
        clock.stop("writing")
    learned.stats["seconds"] = dict(clock)
    if corpus.source == "world" and learned.stats["words"] >= _TRUE * len(learned.codes):
        learned.stats["v_measure"] = evaluate(reader, corpus)
    return learned


def load_reader(encoder=None):
    """The `Encoder` that `fit` takes for a name, or for None."""
    from workbench.models import load_encoder

    return load_encoder(encoder, layer=_LAYER) if encoder else load_encoder(layer=_LAYER)


def _check_enough(corpus, units, config):
    """Before the long work: are there enough phrases for the codes, and enough prompts?"""
    k, phrases = config.codebook.n_codes, set()
    for prompt in corpus:
        phrases.update(span.text for span in units.split(prompt))
        if len(phrases) >= 4 * k:  # the sample may hold fewer than the corpus; Codebook.fit looks again
            break
    if len(phrases) < k:
        raise ValueError(
            f"{k} codes need {k} different phrases or more; the {len(corpus)} prompts kept of {corpus.report.read} hold "
            f"{len(phrases)}. Add prompts, or take fewer codes (n_codes={max(2, len(phrases) // 3)})."
        )
    least = max(_LEAST, k)
    if len(corpus) < least:
        dropped = ", ".join(f"{count:,} {rule}" for rule, count in corpus.report.dropped.items() if count)
        advice = "Add prompts, or take fewer codes." if k > _LEAST else "Add prompts."
        raise ValueError(
            f"A language of {k} codes is learned from {least} prompts or more, a good one from {_FEW:,}; {len(corpus)} were kept "
            f"of {corpus.report.read:,} rows{f' ({dropped})' if dropped else ''}. {advice}"
        )
    if len(corpus) < _FEW:
        warnings.warn(
            f"{len(corpus):,} prompts are few: some codes will mix several kinds of phrase, and new prompts will repeat these. "
            f"More prompts help most ({_FEW:,} or more), then fewer codes (now {k}).",
            stacklevel=5,
        )


# ---- finished stages, each in a folder named after all that it depends on -----------------------------------------------


def _fit_key(corpus, config, encoder, codes, listed):
    """Name of a fit: the same for the same prompts, options, encoder and given codes, `listed` if they are the lexicon."""
    options = {name: value for name, value in asdict(config).items() if name not in ("writer", "prior", "ngram")}
    return _digest([corpus.fingerprint, options, encoder.fingerprint, [*codes.items(), *[given_codes.LEXICON] * listed]])[:24]


def _digest(values):
    return hashlib.sha256(json.dumps([_RECIPE, *values], sort_keys=True).encode()).hexdigest()


def _finished(folder, cls, learn):
    """An object of class `cls` from its folder; if that is missing or damaged, what `learn()` gives, which is kept there."""
    if (folder / CONFIG).exists():
        try:
            return cls.load(folder)
        except ArtifactError as err:
            warnings.warn(f"{err} It is learned again.", stacklevel=2)
            files.remove_folder(folder)  # `save` refuses to write over a broken config
    found = learn()
    found.save(folder)
    return found


# ---- codes --------------------------------------------------------------------------------------------------------------


def _blocks(corpus, features, units, chosen, name, progress):
    """Go through the chosen prompts, int (r,) in rising order, a shard at a time, with a progress bar.

    Yields:
        (prompts, spans, words): lists of str, of lists of `Span`, and of float16 (w_i, d).
    """
    at = 0
    with bars.bar(total=len(chosen), name=name, unit="prompts", shown=progress) as bar:
        for first, offsets, words in features.shards():
            end = int(np.searchsorted(chosen, first + len(offsets) - 1))
            rows, texts = (chosen[at:end] - first).tolist(), corpus[first : first + len(offsets) - 1]
            prompts = [texts[i] for i in rows]
            yield prompts, [units.split(prompt) for prompt in prompts], [words[offsets[i] : offsets[i + 1]] for i in rows]
            bar.update(len(rows))
            at = end


def _gathered(corpus, features, units, seed, progress):
    """Units of prompts drawn by `seed`, with their vectors: a `_Excerpt`."""
    size = min(_SAMPLE, len(corpus))
    chosen = np.sort(np.random.default_rng(seed).choice(len(corpus), size, replace=False))
    types, vectors, ids, before, spans_of = {}, [], [], [], []
    for _, found, words in _blocks(corpus, features, units, chosen, "drawing a sample", progress):
        for spans, rows in zip(found, words, strict=True):
            vectors.append(means(rows, spans).astype(np.float16))
            ids += [types.setdefault(span.text, len(types)) for span in spans]
            before += [span.before for span in spans]
        spans_of += found
    return _Excerpt(chosen, spans_of, np.concatenate(vectors), list(types), np.array(ids), np.array(before, np.int8))


def _counted(corpus, features, tagger, progress):
    """Tag all prompts: list of k Counters, filler -> count; units by code, int64 (k,); transitions, float32 (k + 1, k + 1)."""
    k = tagger.codebook.config.n_codes
    counts, used, pairs, least = [Counter() for _ in range(k)], np.zeros(k, np.int64), np.zeros((k + 1, k + 1)), 1
    for _, spans, words in _blocks(corpus, features, tagger.units, np.arange(len(corpus)), "tagging", progress):
        for found, codes in zip(spans, tagger.codes(spans, words), strict=True):
            for span, code in zip(found, codes, strict=True):
                counts[code][span.text] += 1
            path = np.concatenate([[k], codes, [k]])
            np.add.at(pairs, (path[:-1], path[1:]), 1)
            used += np.bincount(codes, minlength=k)
        while sum(map(len, counts)) > _COUNTED:
            least += 1
            counts = [Counter({f: n for f, n in c.items() if n >= least}) for c in counts]
    rows = pairs.sum(1, keepdims=True)
    return counts, used, np.divide(pairs, rows, out=pairs, where=rows > 0).astype(np.float32)


def _described(corpus, features, tagger, sample, counted, config, given):
    """Names, fillers, templates and figures, once the codes are known: `Learned`, without the parts that write."""
    counts, used, transitions = counted
    share = used / max(1.0, used.sum())
    names = suggest_names(counts, tagger.encoder.embed_words, given)
    plain = [sum(n for f, n in c.items() if is_function(f)) for c in counts]
    literal = [n > _LITERAL * sum(c.values()) and i >= len(given) for i, (n, c) in enumerate(zip(plain, counts, strict=True))]
    rows = zip(range(len(counts)), names, used.tolist(), share.tolist(), distinctive(counts), literal, strict=True)
    known = tuple(Code(*row) for row in rows)
    static = tagger.static(sample.types)
    x = tagger.codebook.features(sample.vectors, static, sample.ids)
    codes = tagger.codebook.encode(sample.vectors, static, sample.ids, sample.before)
    ends = np.cumsum([len(spans) for spans in sample.spans])
    rows = zip(sample.rows.tolist(), sample.spans, np.split(codes, ends[:-1]), strict=True)
    whole = [template_of(corpus[row], spans, found, known) for row, spans, found in rows]
    pieces = (Template.build(segment) for template in whole for segment in template.segments())
    report = corpus.report
    rows_of = {"read": report.read, "kept": report.kept, "changed": report.changed}
    stats = {
        "prompts": len(corpus),
        "words": int(features.n_words),
        "units": int(used.sum()),
        "dead_codes": int((used == 0).sum()),
        "perplexity": float(np.exp(-(share[share > 0] * np.log(share[share > 0])).sum())),
        "corpus": {"source": str(corpus.source), **rows_of, "dropped": dict(report.dropped)},
        "encoder": tagger.encoder.name,
        "v_measure": None,
    }
    fillers = _frequent(sample, x, codes, len(counts))
    parts = (tagger.encoder, tagger.units, tagger.codebook)
    common = _common(whole), _common(piece for piece in pieces if piece.slots)
    return Learned(config, *parts, known, fillers, transitions, *common, stats)


def _common(templates):
    """The most common of an iterable of `Template`: a tuple of `TemplateCount`."""
    counts, examples = Counter(), {}
    for template in templates:
        skeleton, printed = template.skeleton.strip(" ,|.;"), str(template).strip(" ,|.;")
        counts[skeleton] += 1
        shown = examples.setdefault(skeleton, [])
        if len(shown) < 3 and printed not in shown:
            shown.append(printed)
    return tuple(TemplateCount(s, n, tuple(examples[s])) for s, n in counts.most_common(_TEMPLATES))


def _frequent(sample, x, codes, k):
    """`Fillers`: the most frequent fillers of each code, an equal share for each."""
    pairs, where, counts = np.unique(sample.ids * k + codes, return_inverse=True, return_counts=True)
    sums = np.zeros((len(pairs), x.shape[1]), np.float32)
    np.add.at(sums, where, x)
    best = []
    for code in range(k):
        rows = np.flatnonzero(pairs % k == code)
        best.append(rows[np.argsort(-counts[rows], kind="stable")][: _MAP_FILLERS // k])
    best = np.concatenate(best)
    texts = tuple(sample.types[i] for i in pairs[best] // k)
    means = (sums[best] / counts[best, None]).astype(np.float16)  # as they are saved
    return Fillers(texts, pairs[best] % k, counts[best].astype(np.int64), means.astype(np.float32))


# ---- writing ------------------------------------------------------------------------------------------------------------


def _learn_to_write(learned, reader, corpus, features, stage, progress):
    """Writer, prior, n-grams and ranking, from the templates of prompts drawn by seed, put into `learned`."""
    config = learned.config
    held_out = min(infilling.HELD_OUT, len(corpus) // _SHARE) if len(corpus) >= _ENOUGH else 0
    chosen, apart = split_rows(len(corpus), SAMPLE, config.seed, held_out)
    templates = _templates(corpus, features, reader, chosen, progress)
    read = (config.seed, SAMPLE, len(chosen))

    def fit_ngram():
        return KneserNey(config.ngram).fit(ngram.tokens(template.prompt) for template in templates)

    def fit_prior():
        return prior.TemplatePrior(config.prior).fit(templates, progress=progress, seed=config.seed)

    def fit_writer():
        words = sorted(w for w in learned.encoder.tokenizer.get_vocab() if len(w) > 2 and w.isalpha())
        embed, k = learned.encoder.embed_words, len(learned.codes)
        return writer.Writer(own["writer"]).fit(templates, embed, k, words, part_of("writer"), progress, seed=config.seed)

    def fit_decoder():
        texts, known = [template.prompt for template in templates], learned.writer.tokens_.known
        return writer.Decoder(own["decoder"]).fit(texts, known, part_of("decoder"), progress, seed=config.seed)

    def part_of(name):
        return folders[name].with_name(f"{folders[name].name}-part")

    own = {"ngram": config.ngram, "prior": config.prior, "writer": replace(config.writer, decoder=None, decoder_steps=None)}
    if config.writer.decoder is not None:
        own["decoder"] = writer.DecoderConfig(config.writer.decoder, config.writer.decoder_steps)
    keys = {name: _digest([*read, asdict(options)])[:12] for name, options in own.items()}
    folders = {name: stage / f"{name}-{key}" for name, key in keys.items()}
    learned.ngram = _finished(folders["ngram"], KneserNey, fit_ngram)
    learned.prior = _finished(folders["prior"], prior.TemplatePrior, fit_prior)
    learned.writer = _finished(folders["writer"], writer.Writer, fit_writer)
    if "decoder" in own:
        learned.decoder = _finished(folders["decoder"], writer.Decoder, fit_decoder)
    for name in own:
        files.remove_folder(part_of(name))  # checkpoints of what is finished
    if held_out:
        held = _templates(corpus, features, reader, apart, progress)
        learned.ranking = infilling.learned_ranking(Author(learned, reader), held, templates, config.seed, held_out)


def split_rows(n, size, seed, held_out):
    """Which prompts the writing parts learn, and which are held out: two sorted int (r,).

    Args:
        n: int, prompts.
        size: int, prompts to learn from at most.
        seed: int.
        held_out: int, prompts to hold out; taken from those that are not learned anyway, if there are any.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.choice(n, min(size, n), replace=False)
    if size < n:
        rest = np.setdiff1d(np.arange(n), chosen)
        return np.sort(chosen), np.sort(rng.permutation(rest)[:held_out])
    return np.sort(chosen[held_out:]), np.sort(chosen[:held_out])


def _templates(corpus, features, reader, chosen, progress):
    """Templates of some prompts of the corpus, from features that are there already."""
    tagger, known, out = reader.tagger, reader.learned.codes, []
    for prompts, spans, words in _blocks(corpus, features, tagger.units, chosen, "templates", progress):
        codes = tagger.codes(spans, words)
        out += [without_syntax(template_of(*one, known)) for one in zip(prompts, spans, codes, strict=True)]
    return out
