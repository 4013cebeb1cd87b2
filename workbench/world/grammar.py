"""Grammar: a seeded writer of text-to-image prompts that knows the slot of each word. The corpus with known truth.

A prompt is a subject with what it does and where, and a tail of modifiers between commas, in the loose order in which people
type them (`drafting`); `spelling` then makes it look typed. A fifth of the fillers of each open slot never occurs in the training
split.
"""

import random
from typing import NamedTuple

from workbench import checks, words
from workbench.world import drafting, lexicon, spelling

OPEN_SLOTS = lexicon.OPEN_SLOTS
LABELS = (*OPEN_SLOTS, "quality", "site", "separator", "weight", "function")
SPLITS = ("train", "test")


class Filler(NamedTuple):
    """A whole filler: characters `start` to `end` (exclusive), its slot, and whether training prompts never have it."""

    start: int
    end: int
    label: str
    unseen: bool


class LabelledPrompt(NamedTuple):
    """A prompt with its truth: `labels`, one of `LABELS` per token of `words.split(text)`, and its `fillers` in order."""

    text: str
    labels: tuple[str, ...]
    fillers: tuple[Filler, ...]


def _finish(pieces):
    """Join the pieces and carry their labels over to the tokens of the text."""
    fillers, owner_ends, position = [], [], 0
    for gap, text, label, unseen in pieces:
        start, position = position + len(gap), position + len(gap) + len(text)
        owner_ends.append(position)
        if label in lexicon.SLOTS:
            fillers.append(Filler(start, position, label, unseen))
    text = "".join([gap + piece for gap, piece, _, _ in pieces])
    labels, owner = [], 0
    for token in words.split(text):
        while token.start >= owner_ends[owner]:
            owner += 1
        labels.append(pieces[owner][2])
    return LabelledPrompt(text, tuple(labels), tuple(fillers))


def _check(split, **counts):
    checks.one_of("split", split, SPLITS)
    for name, value in counts.items():
        checks.whole(name, value, least=0)


def prompt(i, seed=0, split="train", noise=True):
    """Write prompt number `i`. It depends on `seed`, `split` and `i` alone, so the truth of a row can be found again.

    Args:
        i: int >= 0, number of the prompt.
        seed: int; each seed is another corpus.
        split: "train" never has held-out fillers; "test" draws every second filler of an open slot from them.
        noise: False leaves out casing and spelling noise. The fillers and their order stay the same.

    Returns:
        `LabelledPrompt`.

    Raises:
        ValueError: unknown split, `i` is not a whole number of 0 or more, or `seed` no int.
    """
    _check(split, i=i)
    # one whole number per (seed, split, i); all its 32-bit words seed the generator
    draft = drafting.Draft(random.Random((checks.seed(seed) << 65) + (SPLITS.index(split) << 64) + int(i)), split)
    drafting.write(draft)
    return _finish(spelling.roughen(draft.pieces, draft.rng, draft.separator) if noise else draft.pieces)


def generate(n, seed=0, split="train", noise=True):
    """Write prompts 0 to n - 1, one at a time, in constant memory.

    Args:
        n: int >= 0, how many.
        seed: int, as in `prompt`.
        split: "train" or "test", as in `prompt`.
        noise: bool, as in `prompt`.

    Returns:
        iterator of `LabelledPrompt`.

    Raises:
        ValueError: at once, as in `prompt`.
    """
    _check(split, n=n)
    seed = checks.seed(seed)
    return (prompt(i, seed, split, noise) for i in range(n))


def fillers(label, split="train"):
    """All fillers of a slot, as written in the lexicon.

    In a prompt, one of `lexicon.ADJECTIVES` may precede the filler of a subject.

    Args:
        label: a slot: one of `OPEN_SLOTS`, "quality" or "site".
        split: "train": those of training prompts, which test prompts have too; "test": the held-out ones; closed slots have none.

    Returns:
        tuple of str; the two splits have none in common.

    Raises:
        ValueError: unknown split, or a label that is not a slot.
    """
    _check(split)
    if label not in lexicon.SLOTS:
        raise ValueError(f"{label!r} is not a slot with fillers. Choose one of: {', '.join(lexicon.SLOTS)}.")
    return tuple(filler for group in lexicon.SLOTS[label] for filler in drafting.PARTS[label, group][SPLITS.index(split)])
