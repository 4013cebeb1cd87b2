"""Adapt: prompts that get better by what comes out.

`rewriter` teaches a language model to continue short prompts, `reinforce` makes it better by a reward, such as `promptist`: the
beauty of the picture and what it keeps of the words as typed. `Phrases` is a policy that chooses among given phrases, `Box` a
model of which nothing is known but its replies, and `grpo` learns with trl in place of our loop.
"""

from workbench.search.adapt.boxes import Box, BoxError, by_reply, chat
from workbench.search.adapt.config import AdaptConfig, RewriterConfig
from workbench.search.adapt.on_trl import for_trl, grpo
from workbench.search.adapt.phrases import Phrases
from workbench.search.adapt.reinforcing import Adapted, reinforce
from workbench.search.adapt.rewards import classifier, minus, promptist, relevance_threshold
from workbench.search.adapt.rewriter import Rewriter, pairs, rewriter
from workbench.search.policy import CollapseError, RewardError

__all__ = [
    "AdaptConfig",
    "Adapted",
    "Box",
    "BoxError",
    "CollapseError",
    "Phrases",
    "RewardError",
    "Rewriter",
    "RewriterConfig",
    "by_reply",
    "chat",
    "classifier",
    "for_trl",
    "grpo",
    "minus",
    "pairs",
    "promptist",
    "reinforce",
    "relevance_threshold",
    "rewriter",
]
