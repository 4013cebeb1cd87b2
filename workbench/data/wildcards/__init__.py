"""Wildcards: lists of fillers and templates in the language of dynamicprompts: written, read, combined and drawn from.

`read(folder)` and `fillers(folder)` take in what people have, `combinations`, `sample` and `count` work on templates such as
`a portrait by __artist__, {oil|3::ink}`, and `write` makes a folder that dynamicprompts reads. `DeepDSL.export_wildcards` does
that with a learned language.
"""

from workbench.data.wildcards.combining import combinations, count, sample
from workbench.data.wildcards.folder import fillers, read, write
from workbench.data.wildcards.names import file_names
from workbench.data.wildcards.syntax import Reference, Variant, escape, line, parse, unwritable

__all__ = [
    "Reference",
    "Variant",
    "combinations",
    "count",
    "escape",
    "file_names",
    "fillers",
    "line",
    "parse",
    "read",
    "sample",
    "unwritable",
    "write",
]
