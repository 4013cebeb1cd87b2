"""DeepDSL: the language of a pile of prompts as one object: learn it, read and write with it, save it."""

import shutil
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.metrics import v_measure_score
from tqdm.auto import tqdm

from workbench import artifacts, encode, ngram
from workbench.codebook import Codebook, CodebookConfig, distinctive, suggest_names
from workbench.codebook.naming import is_function
from workbench.corpus import Corpus
from workbench.dsl.learning import (
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
    means,
    renamed,
    writing_key,
)
from workbench.dsl.writing import Writing
from workbench.models import DEFAULT, Encoder, load_encoder
from workbench.ngram import KneserNey
from workbench.prior import PriorConfig, TemplatePrior
from workbench.template import Slot, Template
from workbench.units import Units, UnitsConfig
from workbench.values import ArtifactError, NotFittedError, TemplateError, Unit
from workbench.words import WORD
from workbench.words import split as split_words
from workbench.world.grammar import OPEN_SLOTS
from workbench.writer import Decoding, Writer, WriterConfig

__all__ = ["Code", "DSLConfig", "Decoding", "DeepDSL", "Fillers", "PriorConfig", "TemplateCount", "WriterConfig"]

BUILT_IN = Path(__file__).parents[1] / "world" / "dsl"  # made by tools/world_dsl.py
_KIND = "deep-dsl"
_WRITING = {"writer": Writer, "prior": TemplatePrior, "ngram": KneserNey}  # the parts of the writing half
_LITERAL = 0.8  # share of function words from which a code is shown as plain text
_COUNTED = 300_000  # different (code, filler) pairs held while counting; the rarest are forgotten beyond


@dataclass(frozen=True)
class DSLConfig:
    """Options of `DeepDSL.fit`; `units`, `codebook`, `writer` and `prior` hold those of the learned stages."""

    layer: int = 3  # hidden layer of the encoder
    sample: int = 10_000  # prompts that phrases' vectors, context and codes are learned on; all prompts are counted
    units: UnitsConfig = field(default_factory=UnitsConfig)
    codebook: CodebookConfig = field(default_factory=CodebookConfig)
    writer: WriterConfig | None = field(default_factory=WriterConfig)  # None: a DSL that only reads
    prior: PriorConfig = field(default_factory=PriorConfig)

    def __post_init__(self):
        if self.sample < 1:
            raise ValueError(f"sample must be 1 prompt or more, got {self.sample}.")

    @classmethod
    def full(cls):
        """Options of a writer with a full budget: wider, with more words, trained for about an hour on 2 cores of a laptop."""
        return cls(writer=WriterConfig(width=192, layers=3, heads=6, pieces=8000, rate=2.5e-3, steps=2000, rounds=2))


class Code(NamedTuple):
    """A code of the language: its number, name, how many units have it, their share (0..1), its typical fillers with counts,
    and whether it is `literal`: function words, which a template shows as plain text.
    """

    id: int
    name: str
    count: int
    usage: float
    fillers: tuple
    literal: bool


class DeepDSL(Writing):
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
        self._static = {}  # static vectors of types seen lately
        self._middle = None  # mean static vector of known fillers

    # ---- learning -------------------------------------------------------------------------------------------------------

    @classmethod
    def fit(cls, prompts, config=DSLConfig(), encoder=DEFAULT, folder=None, progress=True):  # noqa: B008 - frozen
        """Learn a language from prompts. Takes minutes; stopped at any time, the same call goes on where it was.

        Args:
            prompts: list of str, or a `Corpus`.
            config: `DSLConfig`.
            encoder: name of a language model, or an `Encoder`.
            folder: where features and finished stages are kept; default `$WORKBENCH_CACHE` or `~/.cache/deep-dsl-workbench`.
            progress: bool, show progress bars.

        Returns:
            `DeepDSL`.

        Raises:
            CorpusError: no prompt is usable.
            ValueError: too few different phrases for the codes, or an `Encoder` of another layer than `config.layer`.
            ModelError: the encoder cannot be found.
            ArtifactError: the folder cannot be used or the disk is full; finished parts stay.
        """
        seconds, clock = {}, Clock()
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
        stage = root / "fits" / fit_key(corpus, config, encoder)
        seconds["encoder"] = clock()
        units = learn_units(corpus, config.units, stage, progress)
        check_enough(corpus, units, config)
        seconds["phrases"] = clock()
        features = encode.encode(corpus, encoder, root / "features", progress=progress)
        seconds["encode"] = clock()
        dsl = cls(config, encoder, units, Codebook(config.codebook))
        sample = gather(corpus, features, units, config.sample, config.codebook.seed, progress)
        seconds["sample"] = clock()
        dsl._learn_codes(sample, stage, progress)
        seconds["codes"] = clock()
        counts = dsl._count(corpus, features, progress)
        dsl._describe(corpus, features, sample, counts)
        seconds["tag all"] = clock()
        if config.writer is not None:
            dsl._learn_to_write(corpus, features, stage, progress)
            seconds["writing"] = clock()
        dsl.stats["seconds"] = seconds
        if corpus.source == "world":
            dsl.stats["v_measure"] = dsl.evaluate(corpus)
        return dsl

    def _learn_codes(self, sample, stage, progress):
        done = stage / "codebook"
        if done.is_dir():
            try:
                self._codebook = Codebook.from_state(*artifacts.load(done, "codebook"))
                return
            except ArtifactError:
                shutil.rmtree(done)  # damaged: made again, which `artifacts.save` would refuse over a broken config
        static = self.encoder.embed_words(sample.types)
        self._codebook.fit(sample.vectors, static, sample.ids, sample.before, progress=progress)
        artifacts.save(done, "codebook", *self._codebook.to_state())

    def _learn_to_write(self, corpus, features, stage, progress):
        """Writer, prior and n-grams, from the templates of prompts drawn by seed; what is finished is not done again."""
        config = self.config.writer
        size = min(config.sample, len(corpus))
        chosen = np.sort(np.random.default_rng(config.seed).choice(len(corpus), size, replace=False))
        templates = self._templates(corpus, features, chosen, progress)
        read = (config.sample, config.seed)
        texts = (ngram.tokens(template.prompt) for template in templates)
        self.ngram_ = finished(stage / f"ngram-{writing_key(*read)}", "ngram", KneserNey, lambda: KneserNey().fit(texts))
        prior, folder = TemplatePrior(self.config.prior), stage / f"prior-{writing_key(*read, asdict(self.config.prior))}"
        self.prior_ = finished(folder, "prior", TemplatePrior, lambda: prior.fit(templates, progress=progress))
        words = [w for w in self.encoder.tokenizer.get_vocab() if len(w) > 2 and w.isalpha()]
        folder, part = (stage / f"writer-{writing_key(asdict(config))}{end}" for end in ("", "-part"))
        embed, writer = self.encoder.embed_words, Writer(config)
        self.writer_ = finished(
            folder, "writer", Writer, lambda: writer.fit(templates, embed, len(self.codes), sorted(words), part, progress)
        )
        shutil.rmtree(part, ignore_errors=True)  # checkpoints of what is finished

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

    def _describe(self, corpus, features, sample, counted):
        """Names, fillers, templates and figures, once the codes are known."""
        counts, used, self.transitions = counted
        share = used / max(1.0, used.sum())
        names = suggest_names(counts, self.encoder.embed_words)
        plain = [sum(n for f, n in c.items() if is_function(f)) for c in counts]
        literal = [n > _LITERAL * sum(c.values()) for n, c in zip(plain, counts, strict=True)]
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

    # ---- reading --------------------------------------------------------------------------------------------------------

    def tag(self, prompt):
        """The units of a prompt with their codes, like a part-of-speech tagger.

        Args:
            prompt: str, or a list of str.

        Returns:
            list of `Unit` (text, start, end, code, name); a list of such lists for a list. `[]` for a prompt without words.

        Raises:
            TypeError: not a str or list of str.
        """
        prompts = _prompts(prompt)
        found = [
            [
                Unit(text[s.start : s.end], s.start, s.end, int(code), self.codes[code].name)
                for s, code in zip(spans, codes, strict=True)
            ]
            for text, (spans, codes) in zip(prompts, self._tagged(prompts), strict=True)
        ]
        return found[0] if isinstance(prompt, str) else found

    def read(self, prompt):
        """The template of a prompt: runs of equal codes as slots; function words and separators stay plain text.

        A function word between two units of one code in the same segment belongs to the slot ("castle on a hill").

        Args:
            prompt: str, or a list of str.

        Returns:
            `Template`, whose `prompt` is the given text to the letter; a list of them for a list.

        Raises:
            TypeError: not a str or list of str.
        """
        prompts = _prompts(prompt)
        found = [self._template(text, *tagged) for text, tagged in zip(prompts, self._tagged(prompts), strict=True)]
        return found[0] if isinstance(prompt, str) else found

    def _tagged(self, prompts):
        """Pairs of (list of Span, int64 codes) for each prompt."""
        if not hasattr(self, "codes"):
            raise NotFittedError("This DeepDSL has learned nothing yet: use DeepDSL.fit(prompts) or DeepDSL.load(folder).")
        spans = [self._units.split(text) for text in prompts]
        return list(zip(spans, self._encode(spans, encode.words(prompts, self.encoder)), strict=True))

    def _encode(self, spans, words):
        """Codes of prompts: list of int64 (u,); `words` are the word vectors of each prompt."""
        flat = [span for found in spans for span in found]
        if not flat:
            return [np.zeros(0, np.int64) for _ in spans]
        types = list(dict.fromkeys(span.text for span in flat))
        number = {text: i for i, text in enumerate(types)}
        layer = np.concatenate([means(w, s) for w, s in zip(words, spans, strict=True) if s])
        ids = np.array([number[span.text] for span in flat])
        codes = self._codebook.encode(layer, self._vectors_of(types), ids, np.array([span.before for span in flat], np.int8))
        return np.split(codes, np.cumsum([len(found) for found in spans])[:-1])

    def _vectors_of(self, types):
        """Static vectors (t, d) of unit types; the latest stay in memory, since a corpus repeats itself."""
        if len(self._static) > 20_000:
            self._static = {}
        missing = [text for text in types if text not in self._static]
        if missing:
            self._static.update(zip(missing, self.encoder.embed_words(missing), strict=True))
        return np.stack([self._static[text] for text in types])

    def _template(self, text, spans, codes):
        parts, at, n = [], 0, len(spans)
        plain = [self.codes[c].literal or is_function(s.text) for s, c in zip(spans, codes, strict=True)]
        i = 0
        while i < n:
            if plain[i]:
                i += 1
                continue
            last, j = i, i + 1
            # the run goes on over function words, but not over a separator
            while j < n and spans[j].before == 0 and (plain[j] or codes[j] == codes[i]):
                if not plain[j]:
                    last = j
                j += 1
            start, end = spans[i].start, spans[last].end
            code = int(codes[i])
            parts += [text[at:start], Slot(self.codes[code].name, text[start:end], code=code)]
            at, i = end, last + 1
        return Template.build([*parts, text[at:]])

    def evaluate(self, corpus, n=2000):
        """How well the codes agree with the built-in grammar's labels, which they never saw.

        Args:
            corpus: `Corpus` of the built-in world.
            n: int, prompts at most, from the start.

        Returns:
            dict of V-measures (0..1) over words: `words`, `open_slots` (those with many fillers), and `unseen` (words of fillers
            that no training prompt holds; None where there are none).

        Source:
            V-measure: Rosenberg and Hirschberg 2007, "V-measure: a conditional entropy-based external cluster evaluation".
        """
        prompts = corpus[: min(n, len(corpus))]
        labels, codes, unseen = [], [], []
        for i, (text, (spans, found)) in enumerate(zip(prompts, self._tagged(prompts), strict=True)):
            truth = corpus.truth(i)
            words = [(w, label) for w, label in zip(split_words(text), truth.labels, strict=True) if w.kind == WORD]
            held_out = [(f.start, f.end) for f in truth.fillers if f.unseen]
            for span, code in zip(spans, found, strict=True):
                for word, label in words[span.first : span.last]:
                    labels.append(label)
                    codes.append(int(code))
                    unseen.append(label in OPEN_SLOTS and any(a <= word.start < b for a, b in held_out))
        labels, codes, unseen = np.array(labels), np.array(codes), np.array(unseen, bool)
        opened = np.isin(labels, list(OPEN_SLOTS))
        return {
            "words": float(v_measure_score(labels, codes)),
            "open_slots": float(v_measure_score(labels[opened], codes[opened])),
            "unseen": float(v_measure_score(labels[unseen], codes[unseen])) if unseen.any() else None,
        }

    # ---- keeping --------------------------------------------------------------------------------------------------------

    def rename(self, names):
        """Give codes other names.

        Args:
            names: dict of code number or present name -> new name, a str.

        Returns:
            a `DeepDSL` that shares all else with this one.

        Raises:
            TypeError: not a dict.
            TemplateError: unknown code (it lists those there are), or a name that two codes would have.
        """
        if not isinstance(names, dict):
            example = {self.codes[0].name: "subject"}
            raise TypeError(f"rename needs a dict such as {example}, got {type(names).__name__}.")
        known = {code.name: code.id for code in self.codes} | {code.id: code.id for code in self.codes}
        new = [code.name for code in self.codes]
        for old, name in names.items():
            if old not in known:
                raise TemplateError(
                    f"{old!r} is neither a code (0..{len(new) - 1}) nor a name of this language: {', '.join(new)}."
                )
            if not isinstance(name, str) or not name:
                raise TemplateError(f"The new name of {old!r} must be a str that is not empty, got {name!r}.")
            new[known[old]] = name
        twice = [name for name, times in Counter(new).items() if times > 1]
        if twice:
            raise TemplateError(f"Two codes would be called {twice[0]!r}. Give one of them another name.")
        other = DeepDSL(self.config, self.encoder, self._units, self._codebook)
        other.__dict__.update({**self.__dict__, "_static": {}})  # the writing half knows codes by number
        other.codes = tuple(code._replace(name=name) for code, name in zip(self.codes, new, strict=True))
        changed = {code.name: name for code, name in zip(self.codes, new, strict=True)}
        other.templates, other.segments = renamed(self.templates, changed), renamed(self.segments, changed)
        return other

    def save(self, folder):
        """Write the language to a folder: config.json and safetensors. The encoder is named, not stored.

        Raises:
            ArtifactError: the folder holds something else, or the disk is full.
        """
        config, tensors = self._codebook.to_state()
        writing, written = {}, {}
        if self.writer_ is not None:
            for name in _WRITING:
                writing[name], arrays = getattr(self, f"{name}_").to_state()
                written.update({f"{name}.{key}": tensor for key, tensor in arrays.items()})
        artifacts.save(
            folder,
            _KIND,
            {
                "writing": writing,
                "options": {"layer": self.config.layer, "sample": self.config.sample},
                "encoder": {"name": self.encoder.name, "fingerprint": self.encoder.fingerprint},
                "units": self._units.to_config(),
                "codebook": config,
                "codes": [list(code) for code in self.codes],
                "templates": [list(template) for template in self.templates],
                "segments": [list(template) for template in self.segments],
                "fillers": list(self.fillers.texts),
                "stats": self.stats,
            },
            {
                **{f"codebook.{name}": tensor for name, tensor in tensors.items()},
                "fillers.codes": self.fillers.codes,
                "fillers.counts": self.fillers.counts,
                "fillers.vectors": self.fillers.vectors,
                "transitions": self.transitions,
                **written,
            },
        )

    @classmethod
    def load(cls, folder, encoder=None):
        """Read a language that `save` wrote.

        Args:
            folder: str or Path; "world" is the DSL that comes with the package, learned from the built-in grammar.
            encoder: name or `Encoder`; None is the one it was learned with.

        Raises:
            ArtifactError: no such folder, damaged, of a newer format, or the encoder is not the one it was learned with.
        """
        if folder == "world" and not Path(folder).is_dir():
            folder = BUILT_IN
        config, tensors = artifacts.load(folder, _KIND)
        try:
            return cls._restored(folder, config, tensors, encoder)
        except (KeyError, TypeError, ValueError, AttributeError) as err:
            raise ArtifactError(f"{folder} is damaged: its config.json holds no whole language ({err!r}). Save again.") from err

    @classmethod
    def _restored(cls, folder, config, tensors, encoder):
        if not isinstance(encoder, Encoder):
            encoder = load_encoder(encoder or config["encoder"]["name"], layer=config["options"]["layer"])
        if encoder.fingerprint != config["encoder"]["fingerprint"]:
            raise ArtifactError(
                f"{folder} was learned with another encoder than {encoder.name!r}: its codes would mean nothing. "
                f"Load it with encoder={config['encoder']['name']!r}, layer {config['options']['layer']}."
            )
        book = {name.removeprefix("codebook."): t for name, t in tensors.items() if name.startswith("codebook.")}
        codebook = Codebook.from_state(config["codebook"], book)
        units = Units.from_config(config["units"])
        options = DSLConfig(**config["options"], units=units.config, codebook=codebook.config, writer=None)
        dsl = cls(options, encoder, units, codebook)
        dsl.codes = tuple(
            Code(i, name, count, usage, tuple(map(tuple, fillers)), literal)
            for i, name, count, usage, fillers, literal in config["codes"]
        )
        dsl.templates, dsl.segments = (
            tuple(TemplateCount(s, n, tuple(examples)) for s, n, examples in config[key]) for key in ("templates", "segments")
        )
        dsl.fillers = Fillers(tuple(config["fillers"]), *(tensors[f"fillers.{name}"] for name in ("codes", "counts", "vectors")))
        dsl.transitions, dsl.stats = tensors["transitions"], config["stats"]
        for name, cls_ in _WRITING.items() if config.get("writing") else ():
            part = {key.removeprefix(f"{name}."): t for key, t in tensors.items() if key.startswith(f"{name}.")}
            setattr(dsl, f"{name}_", cls_.from_state(config["writing"][name], part))
        if dsl.writer_ is not None:
            dsl.config = replace(dsl.config, writer=dsl.writer_.config, prior=dsl.prior_.config)
        return dsl


def _prompts(prompt):
    prompts = [prompt] if isinstance(prompt, str) else prompt
    if isinstance(prompts, (list, tuple, Corpus)) and all(isinstance(text, str) for text in prompts):
        return list(prompts)
    came = type(prompt).__name__
    if isinstance(prompts, (list, tuple)):
        row, text = next((row, text) for row, text in enumerate(prompts) if not isinstance(text, str))
        came += f" whose row {row} is {type(text).__name__}"
    raise TypeError(f"Expected a prompt (str) or a list of prompts, got {came}.")
