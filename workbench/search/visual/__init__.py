"""Visual prompts: a border, a channel, a mask or a few tokens that adapt a frozen vision model to pictures it does not know.

`tune` learns one from pictures and labels, `VisualPrompt` classifies with it, `gradient` is one step alone. The model is a CLIP
of `models.load_clip`, whose classes are texts, or the checker of the built-in world, which reads pixels only. Nothing but the
prompt is learned. Answers are labels; places, captions and drawn pictures are not offered.
"""

from workbench.search.visual.config import KINDS, VisualConfig
from workbench.search.visual.learning import gradient, tune
from workbench.search.visual.questions import Questions, learn_questions
from workbench.search.visual.shelving import Shelved, from_entry, shelved
from workbench.search.visual.visual_prompt import VisualPrompt

__all__ = [
    "KINDS",
    "Questions",
    "Shelved",
    "VisualConfig",
    "VisualPrompt",
    "from_entry",
    "gradient",
    "learn_questions",
    "shelved",
    "tune",
]
