"""Options of `DeepDSL.fit`."""

from dataclasses import dataclass, field

from workbench import checks
from workbench.language.codebook import CodebookConfig
from workbench.language.ngram import NgramConfig
from workbench.language.prior import PriorConfig
from workbench.language.units import UnitsConfig
from workbench.language.writer import WriterConfig


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
        checks.whole("seed", self.seed, least=0)

    @classmethod
    def full(cls):
        """Options of a writer with a full budget: wider, with more words, trained for about an hour on 2 cores of a laptop."""
        return cls(writer=WriterConfig(width=192, layers=3, heads=6, pieces=8000, rate=2.5e-3, steps=4000))
