"""Wildcards: lists of fillers in folders of .txt, .json and .yaml files, as dynamicprompts and its UI extensions use them.

`fillers(folder)` gives lists that you have already to `DeepDSL.fit(prompts, codes=...)`; `read` shows what is in a folder;
`write` makes a folder that dynamicprompts reads. `workbench.export.write_wildcards` writes a learned language that way.
"""

from workbench.data.wildcards.folder import fillers, read, write

__all__ = ["fillers", "read", "write"]
