"""Models: the only place that loads and freezes a backbone. Built-in names also work offline; else a hub id or a folder.

`load_encoder` reads words, `load_lm` writes them, `load_clip` compares pictures with texts, `load_pipeline` draws.
"""

from workbench.models.clip import CLIP, load_clip
from workbench.models.encoder import DEFAULT, Encoder, load_encoder
from workbench.models.lm import LM, load_lm
from workbench.models.loading import printable
from workbench.models.pipeline import Pipeline, load_pipeline

__all__ = ["CLIP", "DEFAULT", "LM", "Encoder", "Pipeline", "load_clip", "load_encoder", "load_lm", "load_pipeline", "printable"]
