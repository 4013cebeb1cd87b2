"""Permuted: a family of tasks with known truth: name the kind of a caption's last word, by label words in another order."""

import itertools
import random

from workbench import checks
from workbench.world import scenes

KINDS = tuple(scenes.VALUES)
LABELS = ("heart", "pink", "desert", "sketch", "vangora")  # one value of each kind, as the words of the labels


def orders(n, seed=0):
    """Draw different orders of the label words: each is a task.

    Args:
        n: int, from 1 to 120.
        seed: int.

    Returns:
        list of n tuples of 5 str: the label of each of `KINDS`.
    """
    every = list(itertools.permutations(LABELS))
    checks.whole("n", n, 1, len(every))
    return random.Random(f"orders {checks.seed(seed)}").sample(every, n)


def rows(n, order, seed=0, words=1):
    """Draw captions and their labels. All kinds are equally likely for the last word, and all values within a kind.

    Args:
        n: int >= 0.
        order: 5 str, the label of each of `KINDS`, as `orders` gives them.
        seed: int.
        words: int, values in a caption, from 1 to 5, of different kinds.

    Returns:
        (list of n str such as "snow, red"; list of n str, their labels).
    """
    checks.whole("words", words, 1, len(KINDS))
    rng, texts, labels = random.Random(f"permuted {checks.seed(seed)}"), [], []
    for _ in range(n):
        kinds = rng.sample(range(len(KINDS)), words)
        texts.append(", ".join(rng.choice(scenes.VALUES[KINDS[kind]]).lower() for kind in kinds))
        labels.append(order[kinds[-1]])
    return texts, labels
