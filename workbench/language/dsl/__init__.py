"""DeepDSL: the language of a pile of prompts as one object: learn it, read and write with it, save it."""

import shutil
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from workbench import artifacts
from workbench.data.corpus import Corpus
from workbench.language import encode, ngram
from workbench.language.codebook import Codebook, distinctive, suggest_names
from workbench.language.dsl.config import Code, DSLConfig
from workbench.language.dsl.given import Given
from workbench.language.dsl.infilling import HELD_OUT, Infilling
from workbench.language.dsl.keeping import BUILT_IN, Keeping
from workbench.language.dsl.known import anchored, check_known, check_met, report_known
from workbench.language.dsl.learning import (
    Clock,
    Fillers,
    TemplateCount,
    check_enough,
    common_templates,
    finished,
    fit_key,
    frequent,
    gather,
    learn_units,
    parted,
    writing_key,
)
from workbench.language.dsl.ranking import Ranking
from workbench.language.dsl.reading import Reading
from workbench.language.dsl.writing import Writing
from workbench.language.ngram import KneserNey, NgramConfig
from workbench.language.prior import PriorConfig, TemplatePrior
from workbench.language.writer import Decoding, Writer, WriterConfig
from workbench.language.writer.config import SAMPLE
from workbench.models import DEFAULT, Encoder, load_encoder
from workbench.values import ArtifactError
from workbench.words import is_function

__all__ = [
    "BUILT_IN",
    "Code",
    "DSLConfig",
    "Decoding",
    "DeepDSL",
    "Fillers",
    "NgramConfig",
    "PriorConfig",
    "Ranking",
    "TemplateCount",
    "WriterConfig",
]

_LITERAL = 0.8  # share of function words from which a code is shown as plain text
_ENOUGH, _SHARE = 1000, 50  # prompts from which on one in so many is kept apart to learn the ranking of fillers
_COUNTED = 300_000  # different (code, filler) pairs held while counting; the rarest are forgotten beyond


class DeepDSL(Reading, Given, Writing, Infilling, Keeping):
    """The learned language of a corpus. Made by `DeepDSL.fit` or `DeepDSL.load`.

    Attributes:
        config: `DSLConfig`.
        codes: tuple of k `Code`.
        fillers: `Fillers`, at most 4,000.
        transitions: float32 (k + 1, k + 1), share of units of code i that code j follows; last row start, last column end.
        templates: tuple of `TemplateCount`, the most common ones of the sample, whole prompts.
        segments: tuple of `TemplateCount`, the same for segments, the stretches between separators; they repeat far more often.
        stats: dict of JSON values: prompts, words, units, dead_codes, perplexity (of code usage), seconds per stage, corpus
            (rows read, kept, changed and dropped by rule), encoder, v_measure (None where the truth is not known).
    """

    def __init__(self, config, encoder, units, codebook):
        self.config, self.encoder = config, encoder
        self._units, self._codebook = units, codebook
        self.writer_ = self.prior_ = self.ngram_ = None
        self.ranking_ = Ranking()
        self._static = {}  # static vectors of types seen lately
        self._middle = None  # mean static vector of known fillers

    # ---- learning -------------------------------------------------------------------------------------------------------

    @classmethod
    def fit(cls, prompts, config=DSLConfig(), encoder=DEFAULT, folder=None, progress=True, codes=None):  # noqa: B008 - frozen
        """Learn a language from prompts. Takes minutes; stopped at any time, the same call goes on where it was.

        Args:
            prompts: list of str, or a `Corpus`.
            config: `DSLConfig`.
            encoder: name of a language model, or an `Encoder`.
            folder: where features and finished stages are kept; default `$WORKBENCH_CACHE` or `~/.cache/deep-dsl-workbench`.
            progress: bool, show progress bars.
            codes: dict of name to fillers, a list of str, of codes that are known, such as `wildcards.fillers(folder)`;
                or None. They are the first codes of the language, under their names; fillers that are one phrase are nearly
                always read as theirs (of two lists the first), all others find their code as ever. `stats["given"]` says how
                many could be used.

        Returns:
            `DeepDSL`.

        Raises:
            CorpusError: no prompt is usable.
            TypeError: `codes` is no dict of lists of str.
            ValueError: `codes` has as many names as the language has codes, or a code without fillers, or one whose fillers never
                occur; too few different phrases for the codes; or an `Encoder` of another layer than `config.layer`.
            ModelError: the encoder cannot be found.
            ArtifactError: the folder cannot be used or the disk is full; finished parts stay.
        """
        seconds, clock = {}, Clock()
        codes = check_known(codes, config)
        corpus = prompts if isinstance(prompts, Corpus) else Corpus.from_texts(prompts, progress=progress)
        seconds["corpus"] = clock()
        if not isinstance(encoder, Encoder):
            encoder = load_encoder(encoder, layer=config.layer)
        if encoder.layer != config.layer:
            raise ValueError(
                f"The encoder reads layer {encoder.layer}, the config says layer={config.layer}. "
                f"Give DSLConfig(layer={encoder.layer}), or the encoder's name."
            )
        root = Path(folder).expanduser() if folder else encode.default_folder().parent
        stage = root / "fits" / fit_key(corpus, config, encoder, codes)
        seconds["encoder"] = clock()
        units = learn_units(corpus, config.units, stage, progress)
        check_enough(corpus, units, config)
        check_met(corpus, units, codes)
        seconds["phrases"] = clock()
        features = encode.encode(corpus, encoder, root / "features", progress=progress)
        seconds["encode"] = clock()
        dsl = cls(config, encoder, units, Codebook(config.codebook))
        sample = gather(corpus, features, units, config.sample, config.codebook.seed, progress)
        seconds["sample"] = clock()
        dsl._learn_codes(sample, stage, progress, codes)
        seconds["codes"] = clock()
        counts = dsl._count(corpus, features, progress)
        dsl._describe(corpus, features, sample, counts, codes)
        seconds["tag all"] = clock()
        if config.writer is not None:
            dsl._learn_to_write(corpus, features, stage, progress)
            seconds["writing"] = clock()
        dsl.stats["seconds"] = seconds
        if corpus.source == "world":
            dsl.stats["v_measure"] = dsl.evaluate(corpus)
        return dsl

    def _learn_codes(self, sample, stage, progress, known):
        done = stage / "codebook"
        if done.is_dir():
            try:
                self._codebook = Codebook.from_state(*artifacts.load(done, "codebook"))
                return
            except ArtifactError:
                shutil.rmtree(done)  # damaged: made again, which `artifacts.save` would refuse over a broken config
        types, given = anchored(self._units, sample.types, known)
        static = self.encoder.embed_words(types)
        self._codebook.fit(sample.vectors, static, sample.ids, sample.before, progress=progress, given=given)
        artifacts.save(done, "codebook", *self._codebook.to_state())

    def _learn_to_write(self, corpus, features, stage, progress):
        """Writer, prior and n-grams, from the templates of prompts drawn by seed; what is finished is not done again."""
        config = self.config.writer
        held_out = min(HELD_OUT, len(corpus) // _SHARE) if len(corpus) >= _ENOUGH else 0
        chosen, apart = parted(len(corpus), SAMPLE, 0, held_out)
        templates = self._templates(corpus, features, chosen, progress)
        read = (SAMPLE, len(chosen))
        texts = (ngram.tokens(template.prompt) for template in templates)
        counts, folder = KneserNey(self.config.ngram), stage / f"ngram-{writing_key(*read, asdict(self.config.ngram))}"
        self.ngram_ = finished(folder, "ngram", KneserNey, lambda: counts.fit(texts))
        prior, folder = TemplatePrior(self.config.prior), stage / f"prior-{writing_key(*read, asdict(self.config.prior))}"
        self.prior_ = finished(folder, "prior", TemplatePrior, lambda: prior.fit(templates, progress=progress))
        words = [w for w in self.encoder.tokenizer.get_vocab() if len(w) > 2 and w.isalpha()]
        folder, part = (stage / f"writer-{writing_key(asdict(config), len(chosen))}{end}" for end in ("", "-part"))
        embed, writer = self.encoder.embed_words, Writer(config)
        self.writer_ = finished(
            folder, "writer", Writer, lambda: writer.fit(templates, embed, len(self.codes), sorted(words), part, progress)
        )
        shutil.rmtree(part, ignore_errors=True)  # checkpoints of what is finished
        self.ranking_ = Ranking()
        if held_out:
            held = self._templates(corpus, features, apart, progress)
            self.ranking_ = self._weights(held, templates, 0, held_out)

    def _templates(self, corpus, features, chosen, progress):
        """Templates of some prompts of the corpus, from features that are there already."""
        out, at = [], 0
        with tqdm(total=len(chosen), desc="templates", unit="prompt", disable=not progress) as bar:
            for first, offsets, words in features.shards():
                end = int(np.searchsorted(chosen, first + len(offsets) - 1))
                rows = chosen[at:end]
                prompts = [corpus[int(i)] for i in rows]
                spans = [self._units.split(prompt) for prompt in prompts]
                codes = self._encode(spans, [words[offsets[i - first] : offsets[i - first + 1]] for i in rows])
                out += [self._template(*one) for one in zip(prompts, spans, codes, strict=True)]
                bar.update(len(rows))
                at = end
        return out

    def _count(self, corpus, features, progress):
        """Tag all prompts: list of k Counters, filler -> count; units by code (k,); the transition matrix."""
        k = self.config.codebook.n_codes
        counts, used, pairs, least = [Counter() for _ in range(k)], np.zeros(k, np.int64), np.zeros((k + 1, k + 1)), 1
        with tqdm(total=len(corpus), desc="tag", unit="prompt", disable=not progress) as bar:
            for first, offsets, words in features.shards():
                prompts = corpus[first : first + len(offsets) - 1]
                spans = [self._units.split(prompt) for prompt in prompts]
                split = [words[a:b] for a, b in zip(offsets, offsets[1:], strict=False)]
                sequences = self._encode(spans, split)
                for found, codes in zip(spans, sequences, strict=True):
                    for span, code in zip(found, codes, strict=True):
                        counts[code][span.text] += 1
                    path = np.concatenate([[k], codes, [k]])
                    np.add.at(pairs, (path[:-1], path[1:]), 1)
                    used += np.bincount(codes, minlength=k)
                while sum(map(len, counts)) > _COUNTED:
                    least += 1
                    counts = [Counter({f: n for f, n in c.items() if n >= least}) for c in counts]
                bar.update(len(prompts))
        rows = pairs.sum(1, keepdims=True)
        return counts, used, np.divide(pairs, rows, out=pairs, where=rows > 0).astype(np.float32)

    def _describe(self, corpus, features, sample, counted, known):
        """Names, fillers, templates and figures, once the codes are known."""
        counts, used, self.transitions = counted
        share = used / max(1.0, used.sum())
        names = suggest_names(counts, self.encoder.embed_words, list(known))
        plain = [sum(n for f, n in c.items() if is_function(f)) for c in counts]
        literal = [n > _LITERAL * sum(c.values()) and i >= len(known) for i, (n, c) in enumerate(zip(plain, counts, strict=True))]
        rows = zip(range(len(counts)), names, used.tolist(), share.tolist(), distinctive(counts), literal, strict=True)
        self.codes = tuple(Code(*row) for row in rows)
        static = self._vectors_of(sample.types)
        x = self._codebook.features(sample.vectors, static, sample.ids)
        codes = self._codebook.encode(sample.vectors, static, sample.ids, sample.before)
        self.fillers = frequent(sample, x, codes, len(counts))
        ends = np.cumsum([len(spans) for spans in sample.spans])
        rows = zip(sample.rows, sample.spans, np.split(codes, ends[:-1]), strict=True)
        self.templates, self.segments = common_templates(self._template(corpus[int(i)], *tagged) for i, *tagged in rows)
        report = corpus.report
        self.stats = {
            "prompts": len(corpus),
            "words": int(features.n_words),
            "units": int(used.sum()),
            "dead_codes": int((used == 0).sum()),
            "perplexity": float(np.exp(-(share[share > 0] * np.log(share[share > 0])).sum())),
            "corpus": {
                "source": str(corpus.source),
                "read": report.read,
                "kept": report.kept,
                "changed": report.changed,
                "dropped": dict(report.dropped),
            },
            "encoder": self.encoder.name,
            "v_measure": None,
        }
        if known:
            self.stats["given"] = report_known(self._units, known)
