"""Black boxes: models of which nothing is known but their replies."""

import math
import threading

import numpy as np
import torch

from workbench import checks
from workbench.control.scorers import Scorer
from workbench.models.loading import printable
from workbench.search.adapt.rewriter import continued, ends_of
from workbench.search.policy import checked
from workbench.search.soft.rows import check_lm
from workbench.values import WorkbenchError

_CHUNK = 32  # texts sent at once


class BoxError(WorkbenchError):
    """A black box that failed, took too long, or gave something else than a reply for each text."""


class Box:
    """A model behind its replies: no weight and no gradient can be reached.

    A text that was sent before is not sent again: a box is asked for what it costs, and here it must give equal replies to equal
    texts.

    Args:
        reply: function, list of n str -> list of n str.
        timeout: float, seconds that a call with up to 32 texts may take.

    Raises:
        TypeError: `reply` is no function.
        ValueError: a timeout that is not above 0.
    """

    __slots__ = ("__ask", "__kept", "calls")

    def __init__(self, reply, timeout=60.0):
        if not callable(reply):
            raise TypeError(f"A box is a function from texts to replies, got {type(reply).__name__}.")
        timeout = checks.number("timeout", timeout, 0, math.inf, True)
        self.__ask, self.__kept, self.calls = (lambda texts: _asked(reply, texts, timeout)), {}, 0

    def __getattr__(self, name):
        raise AttributeError(
            f"A black box gives replies and nothing else: there is no {name!r}. Its weights and gradients are out of "
            "reach; learn from rewards of its replies."
        )

    def reply(self, texts):
        """Replies to texts.

        Args:
            texts: str or list of n str.

        Returns:
            str, or list of n str. `calls` counts the texts that were sent.

        Raises:
            BoxError: it raised, took too long, or gave something else than n str; the texts answered before are kept.
            TypeError: not str.
        """
        if isinstance(texts, str):
            return self.reply([texts])[0]
        texts = [str(text) for text in checks.texts(texts, "texts")]
        new = [text for text in dict.fromkeys(texts) if text not in self.__kept]
        for at in range(0, len(new), _CHUNK):
            part = new[at : at + _CHUNK]
            self.__kept.update(zip(part, self.__ask(part), strict=True))
            self.calls += len(part)
        return [self.__kept[text] for text in texts]


def chat(lm, max_tokens=16, timeout=60.0):
    """A language model that was trained to chat, as a `Box`: it takes a message of a user and gives its likeliest reply.

    Args:
        lm: `models.LM` with a chat template, such as `models.load_lm("smollm2")`.
        max_tokens: int, tokens of a reply at most.
        timeout: float, seconds for up to 32 messages.

    Returns:
        `Box`.

    Raises:
        ValueError: a model without a chat template.
    """
    check_lm(lm)
    checks.whole("max_tokens", max_tokens)
    if not getattr(lm.tokenizer, "chat_template", None):
        raise ValueError(f"{lm.name} has no chat template. Give an instructed model, such as 'smollm2', or write a Box.")

    def reply(texts):
        asked = [[{"role": "user", "content": printable(text)}] for text in texts]
        options = {"tokenize": False, "add_generation_prompt": True}
        starts = [lm.tokenizer.apply_chat_template(one, **options) for one in asked]
        ids = continued(lm, lm.tokenizer(starts, add_special_tokens=False)["input_ids"], max_tokens)
        ends = set(ends_of(lm))
        return [lm.tokenizer.decode([i for i in row if i not in ends], skip_special_tokens=True).strip() for row in ids]

    return Box(reply, timeout)


def by_reply(box, rules):
    """The reward of a message: what a rule says of the reply that it gets.

    Args:
        box: `Box`.
        rules: dict of task to function, list of n replies -> n numbers, such as a scorer of `control`.

    Returns:
        `Scorer`, list of n `Sample` whose `context` is the task -> float64 (n,).

    Raises:
        TypeError: no box, or a rule that is no function.
    """
    if not isinstance(box, Box):
        raise TypeError(f"by_reply needs an adapt.Box, got {type(box).__name__}.")
    for task, rule in rules.items():
        if not callable(rule):
            raise TypeError(f"The rule of {task!r} must be a function of a list of replies, got {type(rule).__name__}.")

    def score(texts):
        unknown = sorted({str(getattr(text, "context", None)) for text in texts} - set(rules))
        if unknown:
            raise ValueError(f"There is no rule for {', '.join(unknown)}. There are: {', '.join(rules)}.")
        replies, found = box.reply(texts), np.zeros(len(texts))
        for task, rule in rules.items():
            rows = [row for row, text in enumerate(texts) if text.context == task]
            if rows:
                found[rows] = checked(rule([replies[row] for row in rows]), len(rows), f"the rule of {task!r}")
        return found

    return Scorer(score, "by_reply()")


def _asked(reply, texts, timeout):
    """Replies of a box, with a limit of time; everything else is a BoxError."""
    done = {}

    def work():
        try:
            with torch.inference_mode():
                found = reply(list(texts))
                done["replies"] = found if isinstance(found, str) else list(found)
        except BaseException as err:
            done["error"] = err

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(timeout)
    if not done:
        raise BoxError(
            f"The box gave no reply to {len(texts)} texts within {timeout:g} seconds. Ask again, or give it more time."
        )
    if "error" in done:
        raise BoxError(f"The box failed: {done['error']!r}. The first text it was sent was {texts[0]!r}.") from done["error"]
    found = done["replies"]
    if isinstance(found, str):  # whose letters could be as many as the texts
        raise BoxError(f"The box must give a list with a str for each of {len(texts)} texts, got one str for all: {found!r:.60}.")
    if len(found) != len(texts) or not all(isinstance(one, str) for one in found):
        kinds = ", ".join(sorted({type(one).__name__ for one in found})) or "nothing"
        raise BoxError(f"The box must give a str for each of {len(texts)} texts, got {len(found)} ({kinds}).")
    return found
