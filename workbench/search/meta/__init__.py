"""Prompts for a task without training on it: from a few examples or a description, by a meta-prompt; or by one step.

    made = meta.learn(lm, tasks).make(lm, examples)     # what was learned from other tasks makes a prompt for this one
    made = meta.sign_step(lm, texts, labels)            # one step from the start, by the sign of the gradient
    made.classify(lm, ["a warm and funny film"])        # both are a `SoftPrompt`

`choose` picks the examples that stand for a task, `from_library` reads tasks that have a prompt already, and `soft.augment`
begins with a made prompt: `augment(..., first=learned.from_rows)`. Only the meta-prompt is learned, never the model that reads
it. `learn_replies` is the same for dialogs: each gets a prompt of its own, under which a model replies.
"""

from workbench.search.meta.canonical import CHOICES, choose
from workbench.search.meta.config import JOINS, LOSSES, MAPS, MetaConfig
from workbench.search.meta.dialogs import learn_replies, nats_of_replies, reply
from workbench.search.meta.meta_prompt import MetaPrompt
from workbench.search.meta.tasks import Task, from_library, learn, sign_step

__all__ = [
    "CHOICES",
    "JOINS",
    "LOSSES",
    "MAPS",
    "MetaConfig",
    "MetaPrompt",
    "Task",
    "choose",
    "from_library",
    "learn",
    "learn_replies",
    "nats_of_replies",
    "reply",
    "sign_step",
]
