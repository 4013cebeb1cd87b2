"""Canonical examples: the few rows of a data set that stand for it."""

import numpy as np
import torch

from workbench import checks
from workbench.search.soft.frozen import Frozen, by_prompt, frozen
from workbench.search.soft.rows import read_rows

CHOICES = ("kmeans", "boundary", "opposite", "random")


def choose(lm, prompt, texts, labels, n=8, how="kmeans", seed=0):
    """Choose the rows that stand for a data set, as the model sees it under a prompt.

    Each label has its equal share, so that each occurs at least once if n allows; with "opposite" as far as pairs allow.

    Args:
        lm: the `models.LM` that the prompt was learned with.
        prompt: `SoftPrompt` of this data set, with labels. A row is seen as the state in which the model begins its answer.
        texts: list of r str.
        labels: list of r str, those of the prompt.
        n: int, from 1 to r.
        how: str. "kmeans": the rows nearest to the centres of clusters of each label. "boundary": those of the smallest
            difference, in size, between the log-probability of the right label and the best of the others. "opposite": the
            nearest pairs of rows with different labels; it takes r * r numbers. "random".
        seed: int, for "kmeans" and "random".

    Returns:
        list of n int, numbers of rows.

    Raises:
        ModelError: another model than the prompt's.
        ValueError: another n or way, or texts and labels that do not fit the prompt.

    Source:
        WO2023022727A1, on canonical examples.
    """
    checks.one_of("how", how, CHOICES)
    seed, texts, labels = checks.seed(seed), checks.texts(texts, "texts"), checks.texts(labels, "labels")
    checks.whole("n", n, 1, len(texts))
    states, margins = seen(lm, prompt, texts, labels)
    return picked(states, margins, labels, n, how, seed)


def seen(lm, prompt, texts, labels):
    """What a model makes of rows under a prompt: states float64 (r, w), margins float64 (r,), nats, below 0 where it is wrong."""
    prompt._check(lm)
    if not prompt.labels:
        raise ValueError("This prompt was learned from texts without labels: canonical examples have labels.")
    task = read_rows(lm, texts, labels, prompt.config, len(prompt.vectors), prompt.labels)
    reader, vectors = Frozen(lm, prompt.config, [task]), [prompt._torch(lm)]
    states, margins = np.zeros((len(texts), prompt.vectors.shape[1])), np.zeros(len(texts))
    with frozen(lm), torch.inference_mode():
        for part in reader.parts([(0, i) for i in range(len(texts))]):
            rows = by_prompt(part)[0]
            states[rows] = reader.ends(vectors, part)[0].double().cpu().numpy()
            (scores,) = reader.scores(vectors, part)
            right = task.targets[rows].to(scores.device)[:, None]
            others = scores.scatter(1, right, -torch.inf).max(1).values
            margins[rows] = (scores.gather(1, right)[:, 0] - others).double().cpu().numpy()
    return states, margins


def picked(states, margins, labels, n, how, seed=0):
    """Numbers of rows by their states (r, w), margins (r,) and labels: list of n int."""
    random, labels = np.random.default_rng([seed, 5]), np.array(labels)
    if how == "opposite":
        return _opposite(states, labels, n)
    names, counts = np.unique(labels, return_counts=True)
    shares = _shares(counts, n)
    if n < len(names) and how == "boundary":  # not enough for all labels: the nearest of all
        return np.argsort(np.abs(margins), kind="stable")[:n].tolist()
    out = []
    for name, share in zip(names, shares, strict=True):
        rows = np.flatnonzero(labels == name)
        if how == "boundary":
            out += rows[np.argsort(np.abs(margins[rows]), kind="stable")[:share]].tolist()
        elif how == "random":
            out += random.permutation(rows)[:share].tolist()
        elif share:
            out += rows[_medoids(states[rows], share, seed)].tolist()
    return out


def _shares(counts, n):
    """How many rows of each label: equal as far as there are so many, the first labels one more."""
    shares = np.zeros(len(counts), int)
    while shares.sum() < n:
        open_ = np.flatnonzero(shares < counts)
        shares[open_[np.argmin(shares[open_])]] += 1
    return shares


def _medoids(points, n, seed):
    """The rows nearest to the centres of n clusters, each row once."""
    from sklearn.cluster import KMeans

    if n == len(points):
        return np.arange(n)
    centres = KMeans(n, n_init=4, random_state=seed % 2**32).fit(points).cluster_centers_
    away, out = ((points[None] - centres[:, None]) ** 2).sum(-1), []
    for row in away:
        out.append(int(np.argmin(np.where(np.isin(np.arange(len(points)), out), np.inf, row))))
    return np.array(out)


def _opposite(states, labels, n):
    """The nearest pairs of unlike labels, each row once, and every label as far as pairs allow."""
    squares = (states**2).sum(1)
    away = squares[:, None] + squares - 2 * states @ states.T
    away[labels[:, None] == labels] = np.inf
    out, missing = [], set(labels.tolist())
    while len(out) < n:
        table = away
        if len(missing) >= -(-(n - len(out)) // 2):  # no pair is left for labels that are there already
            bound = np.where(np.isin(labels, list(missing))[:, None], away, np.inf)
            table = bound if np.isfinite(bound).any() else away
        i, j = np.unravel_index(np.argmin(table), table.shape)
        if not np.isfinite(table[i, j]):  # only one label is left: any rows
            return out + [row for row in range(len(labels)) if row not in out][: n - len(out)]
        out += [int(i), int(j)][: n - len(out)]
        away[[i, j]] = away[:, [i, j]] = np.inf
        missing -= {labels[i], labels[j]}
    return out


def balanced(order, labels, n):
    """The first n rows of an order so that labels occur equally often as far as there are so many: list of int, in that order."""
    seen, turns = {}, []
    for place, i in enumerate(order):
        seen[labels[i]] = seen.get(labels[i], 0) + 1
        turns.append((seen[labels[i]], place, i))
    return [i for _, _, i in sorted(sorted(turns)[:n], key=lambda turn: turn[1])]
