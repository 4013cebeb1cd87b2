"""Concepts: new words for a text-to-image pipeline, learned from a few pictures; alone, or with some of its weights.

`learn` makes a `Concept` from pictures and captions that hold the new words, `<lava>`; `Concept.on` gives the pipeline that
knows them, `Concept.export` writes what diffusers loads; `merge` puts several into one. The pipeline itself never changes.
"""

from workbench.search.concepts.concept import Concept
from workbench.search.concepts.config import HOW, ConceptConfig
from workbench.search.concepts.inversion import learn
from workbench.search.concepts.merging import closed_form, merge

__all__ = ["HOW", "Concept", "ConceptConfig", "closed_form", "learn", "merge"]
