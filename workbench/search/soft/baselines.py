"""Simpler ways to the labels of a task, with the same frozen model: words as a prompt, examples as a prompt, and features."""

import numpy as np
import torch

from workbench import checks
from workbench.models.lm import window
from workbench.search.soft.config import SoftConfig
from workbench.search.soft.frozen import Frozen, frozen
from workbench.search.soft.rows import check_lm, read_rows, spell
from workbench.search.soft.soft_prompt import SoftPrompt, sha256

_SIZE = 32  # texts that are read together


def from_words(lm, words, labels, config=None):
    """A prompt of real words: its vectors are their embeddings, so that it does what typing the words does.

    Args:
        lm: `models.LM`.
        words: str, all of them, of t tokens.
        labels: list of str; they are sorted and may repeat.
        config: `SoftConfig`, of which `layout` and `template` count; None takes the defaults.

    Returns:
        `SoftPrompt` with vectors (t, w).

    Raises:
        TypeError: not an LM, or not str.
        ValueError: words without tokens, fewer than two labels, or more tokens than the window.
    """
    classes, (tokens,) = sorted(set(checks.texts(labels, "labels"))), spell(check_lm(lm), [words])
    config = (config or SoftConfig()).replace(start=words, vectors=len(tokens))
    labels = read_rows(lm, [words], classes[:1], config.replace(template="{text}"), 0, classes).classes
    table = lm.model.get_input_embeddings().weight.detach()
    vectors = table[torch.tensor(tokens, device=table.device)].float().cpu().numpy()
    return SoftPrompt(vectors, labels, config, lm.name, sha256(lm))


def few_shot(lm, texts, labels, shots=4, config=None):
    """A prompt of examples, each with its label, before the text: what is called few-shot, or learning in context.

    Args:
        lm: `models.LM`.
        texts: list of n str; of each label the first ones are shown, the labels in turn.
        labels: list of n str.
        shots: int, examples to show, >= 1.
        config: `SoftConfig`, of which `start` and `template` count: the words that ask for a label, behind each text, and those
            around it; None takes the defaults.

    Returns:
        `SoftPrompt` in the layout "prefix".

    Raises:
        TypeError: not an LM, or not str.
        ValueError: too few texts of a label, no words that ask, or more tokens than the window.
    """
    config = config or SoftConfig()
    if config.start is None:
        raise ValueError("few_shot needs words that ask for the label: SoftConfig(start=...), not None.")
    task = read_rows(check_lm(lm), texts, labels, config, 0)
    asked, shown = config.template + config.start, []
    for shot in range(checks.whole("shots", shots)):
        turn, label = divmod(shot, len(task.classes))
        rows = [text for text, one in zip(texts, labels, strict=True) if one == task.classes[label]]
        if turn >= len(rows):
            raise ValueError(f"{shots} shots need {turn + 1} texts of {task.classes[label]!r}, there are {len(rows)}.")
        shown.append(f"{asked.replace('{text}', rows[turn])} {task.classes[label]}\n\n")
    return from_words(lm, "".join(shown), labels, config.replace(layout="prefix", template=asked))


def features(lm, texts):
    """Texts as vectors: the mean of the hidden states of their tokens after the last layer, for a regression beside a prompt.

    Args:
        lm: `models.LM`.
        texts: list of n str.

    Returns:
        float32 array (n, w).

    Raises:
        TypeError: not an LM, or not str.
        ValueError: an empty text, or one beyond the window.
    """
    rows = spell(check_lm(lm), texts)
    longest = max(range(len(rows)), key=lambda i: len(rows[i]))
    if len(rows[longest]) > window(lm):
        raise ValueError(f"Text {longest} is too long: {len(rows[longest])} tokens are more than the {window(lm)} of {lm.name}.")
    reader, out = Frozen(lm, SoftConfig(), []), np.zeros((len(rows), lm.model.get_input_embeddings().weight.shape[1]), np.float32)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    with frozen(lm), torch.inference_mode():
        for at in range(0, len(order), _SIZE):
            some = order[at : at + _SIZE]
            for i, state in zip(some, reader.states([rows[i] for i in some]), strict=True):
                out[i] = state.float().mean(0).cpu().numpy()
    return out
