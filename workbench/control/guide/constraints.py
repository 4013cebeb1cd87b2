"""Constraints: find the distribution closest to a proposal that has given moments."""

import time
import warnings
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from workbench import checks
from workbench.control import proposals
from workbench.control.guide.dual import Blocked, solve
from workbench.control.guide.energy import EBM
from workbench.control.guide.fit import Fit
from workbench.control.guide.pool import Pool
from workbench.control.guide.scoring import (
    check_contexts,
    check_scorer,
    draw,
    in_context,
    log_scores,
    name_of,
    names_of,
    opposite,
    scores,
)
from workbench.values import GuideError

_FEW = 100  # effective samples below which intervals are not reliable
_ENOUGH = 300  # effective samples that the advice aims at


def constrain(proposal, moments, n=4096, seed=0, *, via=None, contexts=None):
    """The distribution closest to a proposal, in KL, that has given moments.

    A moment of 1 on a yes-or-no scorer is a filter: samples for which it is 0 get no probability; with a moment of 0 the reverse.
    Any other moment is a mean over the whole distribution and gets a weight, lambda. Each scorer is called once, on all samples
    together (once per context).

    Args:
        proposal: anything `proposals.of` takes.
        moments: dict of scorer -> the mean it should have. A scorer is a function, list of n samples -> n numbers; yes-or-no
            scorers give bool or 0 and 1, and their moment is a share.
        n: int, samples drawn, split evenly over contexts. `fit.needed(0.03)` says how many it takes for moments within .03.
        seed: int.
        via: another proposal to draw from, such as a tuned one, for moments that are far from those of `proposal`.
        contexts: list of contexts; moments are then means over them, each with its own normaliser.

    Returns:
        `EBM` with `fit`; see `EBM.report`.

    Raises:
        GuideError: a moment that cannot be reached, with what was seen; a scorer or proposal that fails.
        ValueError: n, contexts or a moment of the wrong kind.

    Warns:
        UserWarning: the effective sample size is small, with advice.

    Source:
        Khalifa et al., arXiv:2012.11635; contexts: Korbak et al., arXiv:2112.00791.
    """
    started = time.perf_counter()
    targets, n, seed = _checked(moments), checks.whole("n", n, 2), checks.seed(seed)
    scorers, names = list(moments), names_of(moments)
    proposal = proposals.of(proposal)
    source = proposal if via is None else proposals.of(via)
    check_contexts(contexts, most=n)
    drawn = _drawn(proposal, source, scorers, names, n, seed, contexts)

    filters, shares, passes, loose = _filters(scorers, names, targets, drawn.features)
    rows, groups, sizes = _usable(drawn, passes, contexts)
    loose = _weighted(loose, names, targets, drawn.features, rows, bool(filters))
    x, target = drawn.features[np.ix_(rows, loose)], targets[loose]
    try:
        found = solve(x, target, drawn.log_base[rows], groups, sizes)
    except Blocked as err:
        raise GuideError(_outside(err, [names[j] for j in loose], target, len(rows))) from None
    if found.rank < len(loose):
        warnings.warn(
            f"Only {found.rank} of the {len(loose)} weighted scorers are independent on these samples; the others follow from "
            "them, so that only sums of their weights have a meaning.",
            stacklevel=2,
        )
    tilts = tuple((scorers[j], float(weight)) for j, weight in zip(loose, found.weights, strict=True))
    ebm = EBM((proposal,), tilts, filters)
    log_ratio = np.full(len(drawn.samples), -np.inf)
    log_ratio[rows] = drawn.log_base[rows] + x @ found.weights
    base = np.exp(drawn.log_base[rows] - drawn.log_base[rows].max())
    fit = Fit(
        names=tuple(names[j] for j in loose),
        moments=target,
        before=base @ x / base.sum(),
        reached=found.p @ x,
        reached_errors=np.sqrt(np.diag(found.moment_covariance)),
        weights=found.weights,
        errors=np.sqrt(np.diag(found.covariance)),
        filters=shares,
        n=len(drawn.samples),
        ess=float(1 / np.sum(found.p**2)),
        log_z=float(found.log_z.mean()),
        log_z_error=_log_z_error(found.p, groups, sizes),
        kl=float(found.weights @ target - found.log_z.mean()),
        seconds=time.perf_counter() - started,
        pool=None if contexts is not None else Pool(drawn.samples, log_ratio, source, ebm.key),
    )
    if fit.ess < _FEW:
        need = int(np.ceil(fit.n * _ENOUGH / fit.ess / 1000) * 1000)
        warnings.warn(
            f"The effective sample size is only {fit.ess:.0f} of {fit.n} samples, so lambda is rough. Raise n to about {need:,}, "
            "ask for moments nearer to those of the proposal, or tune a model first and draw from it with via=.",
            stacklevel=2,
        )
    return replace(ebm, fit=fit)


def _checked(moments):
    """The means to reach: float64 (k,)."""
    if not isinstance(moments, dict) or not moments:
        raise GuideError(f"moments is a dict of scorer -> mean with one entry or more, got {moments!r}.")
    for scorer, moment in moments.items():
        check_scorer(scorer)
        checks.number(f"The moment of {name_of(scorer)!r}", moment)
    return np.array(list(moments.values()), np.float64)


class _Drawn(NamedTuple):
    """N samples, their log weights before any tilt (n,), their contexts as int64 (n,), and their scores (n, k)."""

    samples: list
    log_base: np.ndarray
    groups: np.ndarray
    features: np.ndarray


def _drawn(proposal, source, scorers, names, n, seed, contexts):
    samples, log_base, groups, features = [], [], [], []
    contexts = [None] if contexts is None else contexts
    for number, context in enumerate(contexts):
        one, base = in_context(source, context), in_context(proposal, context)
        size = n // len(contexts) + (number < n % len(contexts))
        some = draw(one, size, seed + 7919 * number)
        features.append(np.stack([scores(s, some, name) for s, name in zip(scorers, names, strict=True)], 1))
        log_base.append(np.zeros(size) if source is proposal else log_scores(base, some) - log_scores(one, some))
        groups.append(np.full(size, number))
        samples += some
    return _Drawn(samples, *map(np.concatenate, (log_base, groups, features)))


def _filters(scorers, names, targets, features):
    """Moments of 0 and 1 on yes-or-no scorers: filters, pairs (name, share that passes), samples that pass all, other columns."""
    n, filters, shares, loose, passes = len(features), [], [], [], np.ones(len(features), bool)
    for j, target in enumerate(targets):
        yes_or_no = np.isin(features[:, j], (0, 1)).all()
        if yes_or_no and not 0 <= target <= 1:
            raise GuideError(f"{names[j]!r} answers yes or no, so its moment is a share from 0 to 1, but {target:g} was asked.")
        if not yes_or_no or target not in (0, 1):
            loose.append(j)
            continue
        good = features[:, j] == target
        if not good.any():
            raise GuideError(_never(names[j], target, n))
        filters.append(scorers[j] if target else opposite(scorers[j]))
        shares.append((name_of(filters[-1]), float(good.mean())))
        passes &= good
    if not passes.any():
        listed = ", ".join(f"{name!r} {share:.2%}" for name, share in shares)
        raise GuideError(
            f"These moments contradict each other: none of {n} samples passes all filters ({listed} alone). Ask for fewer, or "
            "raise n."
        )
    return tuple(filters), tuple(shares), passes, loose


def _usable(drawn, passes, contexts):
    """Rows with a weight, their groups numbered without those that have none left, and the samples drawn per group."""
    keep, sizes = passes & np.isfinite(drawn.log_base), np.bincount(drawn.groups)
    if not keep.any():
        raise GuideError(
            f"None of {len(drawn.samples)} samples of `via` has any probability under the proposal. Draw from another."
        )
    alive = np.bincount(drawn.groups[keep], minlength=len(sizes)) > 0
    if not alive.all():
        lost = [contexts[i] for i in np.flatnonzero(~alive)]
        warnings.warn(
            f"{len(lost)} of {len(contexts)} contexts have no sample that passes the filters, such as {lost[0]!r}; they are left "
            "out of the moments. Raise n.",
            stacklevel=3,
        )
    rows = np.flatnonzero(keep)
    return rows, (np.cumsum(alive) - 1)[drawn.groups[rows]], sizes[alive]


def _weighted(loose, names, targets, features, rows, filtered):
    """Columns of moments that need a weight, without those that are constant and as asked; an error if one cannot be reached."""
    out, n, which = [], len(rows), " that pass the filters" if filtered else ""
    for j in loose:
        name, target, column = names[j], targets[j], features[rows, j]
        low, high = column.min(), column.max()
        if low == high and np.isin(features[:, j], (0, 1)).all():
            raise GuideError(_never(name, 1 - low, n, which) + f" Asked: {target:g}.")
        if low == high and abs(low - target) > 1e-9 * max(1, abs(target)):
            raise GuideError(f"{name!r} is constant: {low:g} in all of {n} samples{which}, so its mean cannot become {target:g}.")
        if low == high:
            warnings.warn(f"{name!r} is {low:g} in all of {n} samples{which}, as asked, so it gets no weight.", stacklevel=3)
            continue
        if not low < target < high:
            raise GuideError(
                f"The mean of {name!r} cannot become {target:g}: in {n} samples{which} it lies between {low:g} and {high:g}, "
                f"with mean {column.mean():g}. Ask for a value inside, or use another proposal."
            )
        out.append(j)
    return out


def _never(name, target, n, which=""):
    word = "never" if target else "always"
    return (
        f"{name!r} was {word} seen in {n} samples{which}, so nothing can be learned about when it is "
        f"{'' if target else 'not '}there; its rate is {'below' if target else 'above'} "
        f"{3 / n if target else 1 - 3 / n:.2%} (95 %). Raise n, or use a proposal in which it occurs."
    )


def _outside(err, names, target, n):
    parts = [f"{c:+.3g} x {name!r}" for c, name in zip(err.direction, names, strict=True) if c]
    listed = [f"{name!r} {t:g}" for c, name, t in zip(err.direction, names, target, strict=True) if c or not parts]
    if not parts:
        return f"No weights were found for the moments {', '.join(listed)} on {n} samples. Ask for less extreme ones, or raise n."
    edge = "at most" if err.asked > err.bound + 1e-9 else "never above"
    return (
        f"The moments {' and '.join(listed)} cannot be reached together: {' '.join(parts).lstrip('+')} is {edge} {err.bound:.4g} "
        f"in all {n} samples, and these moments make it {err.asked:.4g}. Change one of them, raise n, or use another proposal."
    )


def _log_z_error(p, groups, sizes):
    """Standard error of the mean log Z: relative variance of the mean weight, per group."""
    g = len(sizes)
    squares = np.bincount(groups, (p * g) ** 2, g)
    return float(np.sqrt(np.maximum(squares - 1 / sizes, 0).sum()) / g)
