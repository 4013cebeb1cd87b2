"""Options of `DeepDSL.fit`, and the record of a code."""

from dataclasses import dataclass, field
from typing import NamedTuple

from workbench.language.codebook import CodebookConfig
from workbench.language.ngram import NgramConfig
from workbench.language.prior import PriorConfig
from workbench.language.units import UnitsConfig
from workbench.language.writer import WriterConfig


@dataclass(frozen=True)
class DSLConfig:
    """Options of `DeepDSL.fit`; `units`, `codebook`, `writer`, `prior` and `ngram` hold those of the learned stages."""

    layer: int = 3  # hidden layer of the encoder
    sample: int = 10_000  # prompts that phrases' vectors, context and codes are learned on; all prompts are counted
    units: UnitsConfig = field(default_factory=UnitsConfig)
    codebook: CodebookConfig = field(default_factory=CodebookConfig)
    writer: WriterConfig | None = field(default_factory=WriterConfig)  # None: a DSL that only reads
    prior: PriorConfig = field(default_factory=PriorConfig)
    ngram: NgramConfig = field(default_factory=lambda: NgramConfig(order=5, min_count=2))  # of the fillers that infill proposes

    def __post_init__(self):
        if self.sample < 1:
            raise ValueError(f"sample must be 1 prompt or more, got {self.sample}.")

    @classmethod
    def full(cls):
        """Options of a writer with a full budget: wider, with more words, trained for about an hour on 2 cores of a laptop."""
        return cls(writer=WriterConfig(width=192, layers=3, heads=6, pieces=8000, rate=2.5e-3, steps=4000))


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
