"""Proposers: what is shown next, given all votes so far. Each is a pure function, so that a vote can be undone or resumed."""

from functools import lru_cache

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import expit

from workbench.search.genetic.genes import crossed, mutated
from workbench.search.pairs import strengths

_PRIOR = 1.0  # precision of the normal prior of the weight of a value, in units of a vote's logit
_SUM, _NEAR, _OWN = 0.5, 2.0, 0.03  # variances of a strength: a sum over values, what near prompts share, a prompt's own
_FADE = 0.5  # how fast the second fades, with each value in which two prompts differ
_CHILDREN = 100  # of which a generation takes those that a draw from what the votes leave possible likes best
_NEWTON = 12  # steps; the cost is convex, 6 are enough from 0
_TRIES = 20  # draws of a prompt that is another than those before


def pairs_of(turns):
    """Votes as pairs: (different rows (m, g), pairs (v, 2) of numbers of rows, the better first). A skipped page gives none."""
    number, pairs = {}, []
    for turn in turns:
        at = [number.setdefault(tuple(row), len(number)) for row in turn.page]
        rest = [one for i, one in enumerate(at) if i not in turn.marked]
        if turn.marked:
            pairs += [(at[i], other) for i in turn.marked for other in rest if at[i] != other]
    return np.array(list(number), np.int64), np.array(pairs, np.int64).reshape(-1, 2)


@lru_cache(64)
def worth(genes, config, turns):
    """Strengths of all rows that were shown, by Bradley and Terry.

    With `config.relatives` strengths are a Gaussian process over rows: a sum over values, a part that rows share the more the
    more values they have in common, and a little of a row's own. So a row that was shown once or twice is also judged by others.

    Args:
        genes: `Genes`.
        config: `VoteConfig`.
        turns: tuple of `Turn`.

    Returns:
        (rows (m, g), the strongest first; strengths (m,)), of those that met another one; both empty without votes.

    Source:
        Chu and Ghahramani, "Preference Learning with Gaussian Processes", ICML 2005, with a logistic likelihood.
    """
    rows, pairs = pairs_of(turns)
    if not len(pairs):
        return np.zeros((0, len(genes.options)), np.int64), np.zeros(0)
    if config.relatives:
        _, root, weights, _ = _believed(genes, turns)
        found = root @ weights
    else:
        found = strengths(pairs, len(rows))
    met = np.unique(pairs)  # what was only skipped has no strength
    order = met[np.argsort(-found[met], kind="stable")]
    return rows[order], found[order]


def _kernel(genes, some, others):
    """Prior covariance of the strengths of rows (a, g) and (b, g): (a, b)."""
    shared = genes.one_hot(some) @ genes.one_hot(others).T
    apart = len(genes.sizes) - shared
    return _SUM * shared + _NEAR * np.exp(-_FADE * apart) + _OWN * (apart == 0)


@lru_cache(64)
def _believed(genes, turns):
    """What votes say: the m rows that were shown, root (m, m) of their prior, weights (m,) of it, and the curvature (m, m)."""
    rows, pairs = pairs_of(turns)
    root = np.linalg.cholesky(_kernel(genes, rows, rows))
    return rows, root, *_fitted(root[pairs[:, 0]] - root[pairs[:, 1]], np.ones(len(rows)))


def _carried(genes, turns, rows):
    """How votes carry over to any rows (p, g): (m, p); its transpose times the weights of `_believed` is what is expected."""
    shown, root, _, _ = _believed(genes, turns)
    return solve_triangular(root, _kernel(genes, shown, rows), lower=True)


def expected(genes, config, turns, rows):
    """The strengths that votes lead to expect of any rows (p, g): (p,); 0 for what they say nothing of."""
    known, pairs = pairs_of(turns)
    if not len(pairs):
        return np.zeros(len(rows))
    if config.relatives:
        return _carried(genes, turns, rows).T @ _believed(genes, turns)[2]
    strength = dict(zip(map(tuple, known.tolist()), strengths(pairs, len(known)), strict=True))
    return np.array([strength.get(tuple(row), 0.0) for row in rows.tolist()])


def _liked(genes, turns, rows, rng):
    """Strengths of any rows (p, g), drawn from what the votes leave possible: function without arguments -> (p,)."""
    _, _, weights, curvature = _believed(genes, turns)
    carried = _carried(genes, turns, rows)
    covariance = _kernel(genes, rows, rows) + carried.T @ (np.linalg.solve(curvature, carried) - carried)
    mean, root = carried.T @ weights, np.linalg.cholesky(covariance + 1e-6 * np.eye(len(rows)))
    return lambda: mean + root @ rng.normal(size=len(rows))


def taste_of(genes, turns):
    """The taste behind votes: a weight for each value of each gene, likeliest under Bradley-Terry with a normal prior.

    Returns:
        (mean (d,), covariance (d, d)) of the Laplace approximation of what the votes leave possible. Without votes the prior.

    Source:
        Laplace's approximation of logistic regression: Bishop, Pattern Recognition and Machine Learning, 2006, section 4.5.
    """
    rows, pairs = pairs_of(turns)
    prior = np.full(int(genes.sizes.sum()), _PRIOR)
    if not len(pairs):
        return np.zeros(len(prior)), np.diag(1 / prior)
    hot = genes.one_hot(rows)
    mean, curvature = _fitted(hot[pairs[:, 0]] - hot[pairs[:, 1]], prior)
    return mean, np.linalg.inv(curvature)


def _fitted(gap, prior):
    """Weights (d,) that make differences (v, d) of winner and loser likeliest, and the curvature (d, d) there."""
    weights = np.zeros(gap.shape[1])
    for _ in range(_NEWTON):
        chance = expit(gap @ weights)
        curvature = (gap * (chance * (1 - chance))[:, None]).T @ gap + np.diag(prior)
        step = np.linalg.solve(curvature, gap.T @ (chance - 1) + prior * weights)
        weights = weights - step
        if np.abs(step).max() < 1e-8:
            break
    return weights, curvature


def genetic(genes, config, turns):
    """A page of the present generation; the first generation is random."""
    size = _size(genes, config)
    length = size // config.page * config.looks
    start = len(turns) // length * length
    rows = _generation(genes, config, turns[:start])
    rng = np.random.default_rng([config.seed, 1, start])
    order = np.concatenate([rng.permutation(size) for _ in range(config.looks)])
    at = (len(turns) - start) * config.page
    return rows[order[at : at + config.page]]


def _size(genes, config):
    """Rows of a generation: as many as the options say, or as there are different ones; whole pages."""
    different = np.prod(genes.sizes, dtype=float)  # may be beyond any int64
    return config.generation if different >= config.generation else max(1, int(different) // config.page) * config.page


@lru_cache(64)
def _generation(genes, config, turns):
    """Rows (size, g): the strongest so far and their children; random ones to begin with."""
    rng, size = np.random.default_rng([config.seed, 2, len(turns)]), _size(genes, config)
    parents = worth(genes, config, turns)[0][: min(config.parents, size)]
    if len(parents) < 2:
        return _filled([], size, lambda: genes.random(1, rng)[0])

    def child():
        mother, father = parents[rng.permutation(len(parents))[:2], None]
        return mutated(genes, crossed(mother, father, config.crossover, rng), config.mutation, rng)[0]

    seen = {row for turn in turns for row in turn.page}
    if not config.relatives:
        return _filled(parents, size, child, seen)
    pool = np.unique([child() for _ in range(_CHILDREN)], axis=0)
    new = np.array([row for row in pool if tuple(row) not in seen])
    if not len(new):
        return _filled(parents, size, child)
    draw = _liked(genes, turns, new, rng)
    return _filled(parents, size, lambda: new[draw().argmax()], seen)


def _filled(rows, n, draw, seen=frozenset()):
    """Rows and new ones, n in all (n, g): such as nobody has seen, or at least not equal ones, as far as draws find them."""
    rows, there = list(rows), {tuple(row) for row in rows}
    while len(rows) < n:
        spare = None
        for _ in range(_TRIES):
            row = draw()
            if tuple(row) not in there:
                spare = row
                if tuple(row) not in seen:
                    break
        rows.append(row if spare is None else spare)
        there.add(tuple(rows[-1]))
    return np.array(rows)


def thompson(genes, config, turns):
    """For each place of a page the best prompt under a taste drawn from what the votes leave possible."""
    rng = np.random.default_rng([config.seed, 3, len(turns)])
    mean, covariance = taste_of(genes, turns)
    root = np.linalg.cholesky(covariance)
    return _filled([], config.page, lambda: genes.best(mean + root @ rng.normal(size=len(mean))))


def climb(genes, config, turns):
    """The present prompt, and others that differ from it in one gene."""
    rng = np.random.default_rng([config.seed, 4, len(turns)])
    now = present(genes, config, turns)

    def neighbour():
        row, at = now.copy(), rng.integers(len(now))
        row[at] = (row[at] + rng.integers(1, genes.sizes[at])) % genes.sizes[at]
        return row

    return _filled([now], config.page, neighbour)


def present(genes, config, turns):
    """Where "climb" stands: the first that was marked last, or a random row."""
    marked = [turn.page[turn.marked[0]] for turn in turns if turn.marked]
    return np.array(marked[-1]) if marked else genes.random(1, np.random.default_rng([config.seed, 5]))[0]


def random(genes, config, turns):
    """The strongest so far, and random prompts."""
    rng = np.random.default_rng([config.seed, 6, len(turns)])
    return _filled(worth(genes, config, turns)[0][:1], config.page, lambda: genes.random(1, rng)[0])


METHODS = {"genetic": genetic, "thompson": thompson, "climb": climb, "random": random}
