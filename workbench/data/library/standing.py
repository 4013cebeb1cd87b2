"""What a library as a whole says: which entries were useful and to whom, which tasks are hard, and a map of them."""

from typing import NamedTuple

import numpy as np

from workbench import checks
from workbench.data.library.entries import HIDDEN, Entry

_NEAR = 20  # nearest entries among which the useful ones are suggested


class Standing(NamedTuple):
    """How useful something was: the mean gain of others, its standard error (NaN of one use), and how many uses.

    `who` is an `Entry`, or the name of a submitter.
    """

    who: Entry | str
    gain: float
    error: float
    uses: int


class Map(NamedTuple):
    """Tasks in two dimensions: entries, their places float64 (n, 2), and how many entries are not on it."""

    entries: tuple
    xy: np.ndarray
    left_out: int

    def neighbours(self):
        """The nearest other entry of each: list of n pairs of names."""
        far = np.linalg.norm(self.xy[:, None] - self.xy[None], axis=2)
        np.fill_diagonal(far, np.inf)
        return [(entry.name, self.entries[j].name) for entry, j in zip(self.entries, far.argmin(1), strict=True)]


def useful(library):
    """Rank entries, and the people who gave them, by what others gained who began from them. Own use does not count.

    Args:
        library: `Library`.

    Returns:
        (list of `Standing` of entries, list of `Standing` of submitters), the most useful first, then by id or name. Submitters
        who did not agree to be shown are not in the second list; entries that nobody used are in neither.
    """
    gains, entries, people = library.uses(), {entry.id: entry for entry in library.entries(versions=True)}, {}
    for name, found in gains.items():
        card = entries[name].card
        if card.share and card.submitter not in ("", HIDDEN):
            people.setdefault(card.submitter, []).extend(found)
    ranked = sorted(gains, key=lambda name: (-np.mean(gains[name]), name))
    named = sorted(people, key=lambda name: (-np.mean(people[name]), name))
    return [_standing(entries[one], gains[one]) for one in ranked], [_standing(name, people[name]) for name in named]


def suggest(library, query, k=3, *, by="prompt", start=None):
    """Suggest entries to begin from: of the 20 nearest those from which others gained most, then the nearest.

    Args:
        library: `Library`.
        query: as in `Library.search`.
        k: int.
        by: str, as in `Library.search`.
        start: as in `Library.search`.

    Returns:
        list of at most k `Standing`; an entry that nobody used has gain and error NaN.

    Raises:
        TypeError, ValueError: as in `Library.search`.
    """
    checks.whole("k", k)
    gains = library.uses()
    near = [hit.entry for hit in library.search(query, _NEAR, by=by, start=start)]
    near.sort(key=lambda entry: -np.mean(gains.get(entry.id, [0.0])))  # stable: equal ones stay nearest first
    return [_standing(entry, gains.get(entry.id, [])) for entry in near[:k]]


def difficulty(library, where=None):
    """Order tasks by the held-out loss that their cards state, in nats a row, the hardest first.

    Args:
        library: `Library`.
        where: dict of filters, as in `Library.entries`; compare tasks with equal numbers of labels.

    Returns:
        (list of `Entry`, int): in order; and how many entries state no loss.

    Raises:
        ValueError: an unknown filter.
    """
    entries = library.entries(where)
    known = [entry for entry in entries if entry.card.loss is not None]
    return sorted(known, key=lambda entry: (-entry.card.loss, entry.id)), len(entries) - len(known)


def atlas(library, *, by="prompt", where=None, seed=0):
    """Draw the tasks in two dimensions, near ones near: t-SNE of the angles between them.

    Args:
        library: `Library`.
        by: str, as in `Library.search`.
        where: dict of filters, as in `Library.entries`.
        seed: int.

    Returns:
        `Map` of the largest group of entries that can be compared. Only nearness has a meaning.

    Raises:
        ValueError: fewer than four such entries, or an unknown option.

    Source:
        van der Maaten and Hinton, "Visualizing Data using t-SNE", JMLR 9 (2008).
    """
    seed = checks.seed(seed)
    group = library.group(by, where)
    n = len(group.entries)
    if n < 4:
        raise ValueError(f"A map needs four entries or more that can be compared, there are {n}.")
    from sklearn.manifold import TSNE

    unit = checks.unit_rows((group.vectors - group.vectors.mean(0)).astype(np.float64))
    far = (1 - unit @ unit.T).clip(0)
    np.fill_diagonal(far, 0)
    spread = min(30.0, max(1.5, (n - 1) / 4))  # few points: near ones count
    place = TSNE(metric="precomputed", perplexity=spread, init="random", random_state=seed % 2**32, method="exact")
    return Map(group.entries, place.fit_transform(far).astype(np.float64), group.left_out)


def _standing(who, gains):
    n = len(gains)
    mean = float(np.mean(gains)) if n else float("nan")
    return Standing(who, mean, float(np.std(gains, ddof=1) / np.sqrt(n)) if n > 1 else float("nan"), n)
