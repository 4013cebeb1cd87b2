"""Learned: the record of a language, and the options it was learned with. Reading, writing, saving and exports take it."""

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from workbench import checks
from workbench.language.codebook import Codebook, CodebookConfig
from workbench.language.dsl.weighing import Ranking
from workbench.language.ngram import NgramConfig
from workbench.language.prior import PriorConfig
from workbench.language.units import Units, UnitsConfig
from workbench.language.writer import WriterConfig
from workbench.template import Template, parse
from workbench.values import TemplateError


@dataclass(frozen=True)
class DSLConfig:
    """Options of `DeepDSL.fit`; `units`, `codebook`, `writer`, `prior` and `ngram` hold those of the stages."""

    units: UnitsConfig = field(default_factory=UnitsConfig)
    codebook: CodebookConfig = field(default_factory=CodebookConfig)
    writer: WriterConfig | None = field(default_factory=WriterConfig)  # None: a DSL that only reads
    prior: PriorConfig = field(default_factory=PriorConfig)
    ngram: NgramConfig = field(default_factory=lambda: NgramConfig(order=5, min_count=2))  # of the fillers that infill proposes
    seed: int = 0  # of everything that is random in any stage

    def __post_init__(self):
        object.__setattr__(self, "seed", checks.seed(self.seed, "DSLConfig: seed"))

    @classmethod
    def full(cls):
        """Options of a writer with a full budget: wider, with more words, trained for up to an hour on 2 cores of a laptop."""
        return cls(writer=WriterConfig(width=192, layers=3, heads=6, pieces=8000, rate=2.5e-3, most=4000))


class Code(NamedTuple):
    """A code: its number and name, how many units of the corpus have it and their share of all units (0..1), its typical units
    with counts, and whether it is `literal`: function words, which templates show as plain text.
    """

    id: int
    name: str
    count: int
    usage: float
    fillers: tuple
    literal: bool


class Fillers(NamedTuple):
    """Frequent fillers: the points of the map. `texts` m str, `codes` and `counts` int64 (m,), `vectors` float32 (m, d)."""

    texts: tuple
    codes: np.ndarray
    counts: np.ndarray
    vectors: np.ndarray


class TemplateCount(NamedTuple):
    """A template without its fillers, the number of sampled prompts that have it, and up to 3 of them, printed."""

    skeleton: str
    count: int
    examples: tuple


@dataclass
class Learned:
    """What was learned from a corpus. `DeepDSL` says what its parts are; a language that only reads has no writer, prior, ngram.

    `stats` has prompts, words, units, dead_codes, perplexity (of code usage), seconds (per stage), corpus (rows read, kept,
    changed and dropped by rule), encoder, v_measure (None where the truth is not known); given, with given codes: their fillers;
    lexicon, with those of the lexicon: the share of phrases met, and the kinds left out with how many of their phrases occur.
    """

    config: DSLConfig
    encoder: object  # `models.Encoder`
    units: Units
    codebook: Codebook
    codes: tuple
    fillers: Fillers
    transitions: np.ndarray
    templates: tuple
    segments: tuple
    stats: dict
    writer: object = None  # `Writer`
    prior: object = None  # `TemplatePrior`
    ngram: object = None  # `KneserNey`
    decoder: object = None  # `Decoder`, or None: then templates are drawn and filled
    ranking: Ranking = field(default_factory=Ranking)

    @cached_property
    def centre(self):
        """Mean static vector of the known fillers: float32 (d,)."""
        return self.encoder.embed_words(list(self.fillers.texts)).mean(0)


def rename(learned, names):
    """Give codes other names, in place; see `DeepDSL.rename`."""
    codes = learned.codes
    if not isinstance(names, dict):
        example = {codes[0].name: "subject"}
        raise TypeError(f"rename needs a dict such as {example}, got {type(names).__name__}.")
    known = {code.name: code.id for code in codes} | {code.id: code.id for code in codes}
    new = [code.name for code in codes]
    for old, name in names.items():
        if old not in known:
            raise TemplateError(f"{old!r} is neither a code (0..{len(new) - 1}) nor a name of this language: {', '.join(new)}.")
        if not isinstance(name, str) or not name:
            raise TemplateError(f"The new name of {old!r} must be a str that is not empty, got {name!r}.")
        new[known[old]] = name
    twice = [name for name, times in Counter(new).items() if times > 1]
    if twice:
        raise TemplateError(f"Two codes would be called {twice[0]!r}. Give one of them another name.")
    changed = {code.name: name for code, name in zip(codes, new, strict=True)}
    learned.codes = tuple(code._replace(name=name) for code, name in zip(codes, new, strict=True))
    learned.templates, learned.segments = (_renamed(some, changed) for some in (learned.templates, learned.segments))


def _renamed(counted, names):
    """A tuple of `TemplateCount` with other names in its slots; `names` is a dict of old to new name."""
    out = []
    for _, count, examples in counted:
        parts = [parse(printed).parts for printed in examples]
        found = [Template.build(p if isinstance(p, str) else replace(p, name=names[p.name]) for p in some) for some in parts]
        out.append(TemplateCount(found[0].skeleton, count, tuple(map(str, found))))
    return tuple(out)
