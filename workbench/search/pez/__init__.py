"""PEZ: hard prompts by projected gradients. A picture, texts, or a mix of them -> a text that lies where they lie.

    clip = models.load_clip()
    prompt = pez.search(clip, picture)
    prompt.text, prompt.similarity

`search` finds one prompt, `search_many` many at once, `search_text` a prompt that makes a language model classify texts. Six
methods stand behind the same call: PEZ (Wen et al., arXiv:2302.03668) and what it is compared with.
"""

from workbench.search.classify import search_text
from workbench.search.pez.config import METHODS, PEZConfig
from workbench.search.pez.prompt import Found, HardPrompt, Step
from workbench.search.pez.search import Transfer, search, search_many, transfer
from workbench.search.pez.targets import Target, Targets, as_targets

__all__ = [
    "METHODS",
    "Found",
    "HardPrompt",
    "PEZConfig",
    "Step",
    "Target",
    "Targets",
    "Transfer",
    "as_targets",
    "search",
    "search_many",
    "search_text",
    "transfer",
]
