"""Soft prompts: a few learned vectors that make a frozen language model do a task.

    lm = models.load_lm("smollm2")
    prompt = soft.tune(lm, texts, labels)
    prompt.classify(lm, ["a warm and funny film"])

`tune` learns one, `tune_many` several in a batch; `gradient` is one step for those who take it themselves. The vectors stand
behind the text or before it: `SoftConfig(layout=...)`. What simpler ways reach: `from_words`, `few_shot`, and `features` for a
regression. `sketch` and `augment` find the relatives of a task in a library, and let them help. `distil` learns one that stands
for a long context. For prompts of real words see `classify.search_text`, for prompts without training `meta`.

The model itself is never trained along with a prompt, so that a prompt stays a small file for a model that others have too
(`guide.tune` trains a model). Only text is read: no pictures, no audio.
"""

from workbench.search.soft.augmenting import Augmented, Candidate, augment
from workbench.search.soft.baselines import features, few_shot, from_words
from workbench.search.soft.config import LAYOUTS, LOSSES, SoftConfig
from workbench.search.soft.context import distil, divergence
from workbench.search.soft.learning import gradient, gradient_many, tune, tune_many
from workbench.search.soft.sketching import Sketch, sketch
from workbench.search.soft.soft_prompt import Ensemble, SoftPrompt

__all__ = [
    "LAYOUTS",
    "LOSSES",
    "Augmented",
    "Candidate",
    "Ensemble",
    "Sketch",
    "SoftConfig",
    "SoftPrompt",
    "augment",
    "distil",
    "divergence",
    "features",
    "few_shot",
    "from_words",
    "gradient",
    "gradient_many",
    "sketch",
    "tune",
    "tune_many",
]
