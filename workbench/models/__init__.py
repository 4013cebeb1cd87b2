"""Models: the only place that loads and freezes a backbone. Built-in names work offline; others are hub ids or folders.

`load_encoder` reads words, `load_lm` writes them, `load_clip` compares pictures with texts, `load_pipeline` draws.
"""

from workbench.models.clip import CLIP, load_clip
from workbench.models.encoder import Encoder, load_encoder
from workbench.models.lm import LM, load_lm
from workbench.models.pipeline import Pipeline, load_pipeline

__all__ = ["CLIP", "LM", "Encoder", "Pipeline", "load_clip", "load_encoder", "load_lm", "load_pipeline"]
