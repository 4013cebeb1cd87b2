"""Texts and labels of a task as tokens, and what is refused before any work."""

from typing import NamedTuple

import torch

from workbench import checks
from workbench.models import LM
from workbench.models.lm import window
from workbench.models.loading import printable
from workbench.values import ModelError

_ATTENTION = ("sdpa", "eager")  # of transformers


class Rows(NamedTuple):
    """Texts and labels of one task as tokens.

    `texts` are n lists of tokens, with template; `classes` c str, the distinct labels, and `labels` their tokens; `targets` is
    int64 (n,), the numbers of the right ones. Without labels `classes` is empty and each text has its end as last token.
    """

    texts: list
    classes: tuple
    labels: list
    targets: torch.Tensor

    def part(self, numbers):
        """Some of the rows."""
        return self._replace(texts=[self.texts[i] for i in numbers], targets=self.targets[numbers])


def check_lm(lm):
    """Refuse what is not an `LM`, and attention that takes no free mask (flash attention reads padded rows only)."""
    if not isinstance(lm, LM):
        raise TypeError(f"Give what models.load_lm returns, got {type(lm).__name__}.")
    attention = getattr(lm.model.config, "_attn_implementation", None)
    if attention not in _ATTENTION:
        raise ModelError(
            f"Attention must take any mask: {' or '.join(_ATTENTION)}; {lm.name} has {attention!r}. Call "
            f"lm.model.set_attn_implementation({_ATTENTION[0]!r}) first."
        )
    return lm


def spell(lm, texts, before="", after="", begin=()):
    """Tokens of texts between two pieces of text, after the tokens `begin`: list of n lists.

    Raises:
        TypeError: not str.
        ValueError: an empty text, or one without tokens.
    """
    texts = only_texts(texts)
    for row, text in enumerate(texts):
        if not text.strip():
            raise ValueError(f"Text {row} is empty: {text!r}. Leave it and its label out.")
    rows = [[*begin, *tokens_of(lm, before + text + after)] for text in texts]
    if [] in rows:
        raise ValueError(
            f"Text {rows.index([])} has no token of {lm.name}: {texts[rows.index([])]!r}. Leave it and its label out."
        )
    return rows


def read_rows(lm, texts, labels, config, vectors, classes=None):
    """Tokens of the texts and labels of a task.

    Args:
        lm: `models.LM`.
        texts: list of n str.
        labels: list of n str, or None: texts without labels.
        config: `SoftConfig`.
        vectors: int, vectors of the prompt.
        classes: list of str, all labels there are; None takes those that occur, sorted.

    Returns:
        `Rows`.

    Raises:
        TypeError: not str.
        ValueError: an empty text, labels that do not fit or cannot be told apart, or more tokens than the window.
    """
    texts = only_texts(texts)
    classes = _classes(texts, labels, classes)
    if not classes and config.layout == "suffix":
        raise ValueError("A prompt behind a text cannot help to write it: without labels take SoftConfig(layout='prefix').")
    spelled = [tokens_of(lm, f" {label}") for label in classes]
    _check_apart(classes, spelled)
    begin = [lm.tokenizer.bos_token_id] if config.layout == "suffix" and lm.tokenizer.bos_token_id is not None else []
    before, after = config.template.split("{text}")
    rows = spell(lm, texts, before, after, begin)
    if not classes:
        rows = [row + [lm.tokenizer.eos_token_id] * (lm.tokenizer.eos_token_id is not None) for row in rows]
    most, answer = window(lm), max(map(len, spelled), default=1)
    if vectors + answer > most:
        raise ValueError(f"{vectors} vectors and {answer} tokens of a label are more than the {most} positions of {lm.name}.")
    for row, tokens in enumerate(rows):
        if len(tokens) + vectors + answer - 1 > most:
            raise ValueError(
                f"Text {row} is too long: {len(tokens)} tokens, {vectors} vectors and {answer} of a label are more than the "
                f"{most} positions of {lm.name}. Shorten it or leave it out."
            )
    targets = [classes.index(label) for label in labels] if labels is not None else [0] * len(rows)
    return Rows(rows, classes, spelled, torch.tensor(targets))


def by_label(texts, labels):
    """Texts and labels of which some may be None, as pairs (texts, labels): those with labels, and those without."""
    labels = labels if labels is None or isinstance(labels, str) else list(labels)
    if labels is None or None not in labels or len(labels) != len(texts):
        return [(texts, labels)]
    parts = [[i for i, label in enumerate(labels) if (label is None) == bare] for bare in (False, True)]
    found = [([texts[i] for i in part], None if bare else [labels[i] for i in part]) for bare, part in enumerate(parts)]
    return [pair for pair in found if pair[0]]


def only_texts(values):
    """A list of str; pictures and sounds are refused by name."""
    try:
        return checks.texts(values, "texts")
    except TypeError as err:
        if isinstance(values, str):
            raise
        raise TypeError(f"{err} A soft prompt is for text; pictures and audio are not supported.") from None


def _classes(texts, labels, classes):
    if labels is None:
        if classes is not None:
            raise ValueError("Classes were given, but no labels.")
        return ()
    labels = checks.texts(labels, "labels")
    if len(labels) != len(texts):
        raise ValueError(f"There are {len(texts)} texts and {len(labels)} labels; each text needs one.")
    found = tuple(sorted(set(labels))) if classes is None else tuple(checks.texts(classes, "classes"))
    if len(set(found)) < max(2, len(found)):
        raise ValueError(f"A task has two or more different labels, these are {list(found)}.")
    unknown = sorted({label for label in labels if label not in found})
    if unknown:
        raise ValueError(f"Labels {unknown} are not among the classes {list(found)}.")
    return found


def _check_apart(classes, spelled):
    """Refuse labels of which one begins with another: the shorter one would always be the likelier."""
    for label, tokens in zip(classes, spelled, strict=True):
        if not label.strip() or not tokens:
            raise ValueError(f"A label is empty: {label!r}.")
    order = sorted(range(len(classes)), key=lambda i: spelled[i])
    for one, other in zip(order, order[1:], strict=False):  # sorted: what begins with it comes next
        if spelled[other][: len(spelled[one])] == spelled[one]:
            raise ValueError(
                f"The label {classes[one]!r} is the beginning of {classes[other]!r} for this tokenizer and would always be "
                "the likelier one. Write one of them in another way."
            )


def tokens_of(lm, text):
    """The tokens of a text alone: list of int."""
    return lm.tokenizer(printable(text), add_special_tokens=False)["input_ids"]
