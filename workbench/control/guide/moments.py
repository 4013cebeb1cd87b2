"""Moments: from wishes about a whole set of samples to the target that grants them and is else the nearest to the proposal."""

import time
import warnings
from dataclasses import replace

import numpy as np

from workbench.control import proposals
from workbench.control.guide.dual import Blocked, solve
from workbench.control.guide.energy import EBM, Not
from workbench.control.guide.fit import Fit
from workbench.control.guide.pool import Pool
from workbench.control.guide.scoring import draw, log_scores, name_of, names_of, scores, whole
from workbench.values import GuideError

_FEW = 100  # effective samples below which intervals are not to be trusted
_ASK = 300  # effective samples that advice aims at


def constrain(proposal, moments, n=4096, seed=0, *, via=None, contexts=None):
    """The distribution with wished moments that is nearest to a proposal in KL.

    A wish of 1 on a yes-or-no scorer is pointwise: what is not so gets no probability (0: what is so). Any other wish is
    distributional and gets a weight, lambda. Each scorer is called once, on all samples together (once per context).

    Args:
        proposal: anything `proposals.of` takes.
        moments: dict of scorer -> wished mean. A scorer is a function, list of n samples -> n numbers; yes-or-no scorers give
            bool or 0 and 1.
        n: int, samples drawn; with contexts in all, shared out evenly. `fit.needed(0.03)` says how many it takes for moments
            within .03.
        seed: int.
        via: another proposal to draw from instead, such as a tuned one, when the wish is rare under `proposal`.
        contexts: list of contexts; moments are then means over them, each with its own normaliser.

    Returns:
        `EBM` with `fit`; see `EBM.report`.

    Raises:
        GuideError: a moment that cannot be had, with what was seen; a scorer or proposal that fails.
        ValueError: n or a moment of the wrong kind.

    Warns:
        UserWarning: few samples count, with advice.

    Source:
        Khalifa et al., arXiv:2012.11635; contexts: Korbak et al., arXiv:2112.00791.
    """
    started = time.perf_counter()
    moments, n = _checked(moments), whole("n", n, 2)
    scorers, names = list(moments), names_of(moments)
    proposal = proposals.of(proposal)
    source = proposal if via is None else proposals.of(via)
    if contexts is not None and (isinstance(contexts, str) or not len(contexts) or len(contexts) > n):
        raise ValueError(f"contexts must be a list of 1 to n={n} contexts, got {contexts!r}.")
    samples, log_base, groups, features = _pool(proposal, source, scorers, names, n, seed, contexts)
    sizes = np.bincount(groups)

    wished = np.array([float(m) for m in moments.values()])
    yes_no = np.array([bool(np.isin(column, (0, 1)).all()) for column in features.T])
    keep = np.isfinite(log_base)
    passes = np.ones(len(samples), bool)
    filters, shares = [], []
    for j in np.flatnonzero(yes_no):
        if not 0 <= wished[j] <= 1:
            raise GuideError(
                f"{names[j]!r} answers yes or no, so its moment is a share from 0 to 1, but {wished[j]:g} was asked."
            )
        if wished[j] in (0, 1):
            answers = features[:, j] == wished[j]
            filters.append(scorers[j] if wished[j] else Not(scorers[j]))
            shares.append((name_of(filters[-1]), float(answers.mean())))
            passes &= answers
            if not answers.any():
                raise GuideError(_never(names[j], wished[j], len(samples)))
    if not passes.any():
        listed = ", ".join(f"{name!r} {share:.2%}" for name, share in shares)
        raise GuideError(
            f"These wishes contradict each other: none of {len(samples)} samples grants all of them ({listed} alone). Ask for "
            "fewer, or raise n."
        )
    keep &= passes
    if not keep.any():
        raise GuideError(f"None of {len(samples)} samples of `via` has any probability under the proposal. Draw from another.")
    groups, sizes = _living(groups, sizes, keep, contexts)
    rows = np.flatnonzero(keep & (groups >= 0))

    loose = [j for j in range(len(names)) if not (yes_no[j] and wished[j] in (0, 1))]
    loose = [j for j in loose if not _settled(names[j], features[rows, j], wished[j], yes_no[j], len(rows), bool(filters))]
    x, target = features[np.ix_(rows, loose)], wished[loose]
    try:
        found = solve(x, target, log_base[rows], groups[rows], sizes)
    except Blocked as err:
        raise GuideError(_outside(err, [names[j] for j in loose], target, len(rows))) from None
    if found.rank < len(loose):
        warnings.warn(
            f"Of the {len(loose)} weighted scorers only {found.rank} say something of their own on these samples; the others "
            "follow from them, so only sums of their weights have a meaning.",
            stacklevel=2,
        )
    base = np.exp(log_base[rows] - log_base[rows].max())
    ess = float(1 / np.sum(found.p**2))
    tilts = tuple((scorers[j], float(weight)) for j, weight in zip(loose, found.weights, strict=True))
    ebm = EBM((proposal,), tilts, tuple(filters))
    log_ratio = np.full(len(samples), -np.inf)
    log_ratio[rows] = log_base[rows] + x @ found.weights
    fit = Fit(
        names=tuple(names[j] for j in loose),
        moments=target,
        before=base @ x / base.sum(),
        reached=found.p @ x,
        reached_errors=np.sqrt(np.diag(found.moment_covariance)),
        weights=found.weights,
        errors=np.sqrt(np.diag(found.covariance)),
        covariance=found.covariance,
        filters=tuple(shares),
        passed=float(passes.mean()),
        n=len(samples),
        ess=ess,
        log_z=float(found.log_z.mean()),
        log_z_error=_log_z_error(found.p, groups[rows], sizes),
        kl=float(found.weights @ target - found.log_z.mean()),
        seconds=time.perf_counter() - started,
        pool=None if contexts is not None else Pool(samples, log_ratio, source, ebm.key),
    )
    if ess < _FEW:
        _warn_few(fit)
    return replace(ebm, fit=fit)


def _checked(moments):
    if not isinstance(moments, dict) or not moments:
        raise GuideError(f"moments is a dict of scorer -> wished mean with one entry or more, got {moments!r}.")
    for scorer, moment in moments.items():
        if not callable(scorer):
            raise GuideError(f"A scorer is a function of a list of samples, got {scorer!r}.")
        try:
            good = not isinstance(moment, (str, bytes)) and np.ndim(moment) == 0 and np.isfinite(float(moment))
        except (TypeError, ValueError):
            good = False
        if not good:
            raise GuideError(f"The moment of {name_of(scorer)!r} must be a finite number, got {moment!r}.")
    return moments


def _pool(proposal, source, scorers, names, n, seed, contexts):
    """Samples, what each counts for before any tilt, its group, and its features (n, k)."""
    samples, log_base, groups, features = [], [], [], []
    for number, context in enumerate([None] if contexts is None else contexts):
        one, base = (source, proposal) if contexts is None else (_in(source, context), _in(proposal, context))
        size = n if contexts is None else n // len(contexts) + (number < n % len(contexts))
        drawn = draw(one, size, seed + 7919 * number)
        features.append(np.stack([scores(s, drawn, name) for s, name in zip(scorers, names, strict=True)], 1))
        log_base.append(np.zeros(size) if source is proposal else log_scores(base, drawn) - log_scores(one, drawn))
        groups.append(np.full(size, number))
        samples += drawn
    return samples, np.concatenate(log_base), np.concatenate(groups), np.concatenate(features)


def _in(proposal, context):
    if not hasattr(proposal, "given"):
        raise GuideError(f"{type(proposal).__name__} knows no contexts: it has no given(context) -> proposal.")
    return proposal.given(context)


def _living(groups, sizes, keep, contexts):
    """Groups numbered anew without those of which no sample is left; -1 for their samples."""
    alive = np.bincount(groups[keep], minlength=len(sizes)) > 0
    if not alive.all():
        lost = [contexts[i] for i in np.flatnonzero(~alive)]
        warnings.warn(
            f"{len(lost)} of {len(contexts)} contexts have no sample that passes the filters, such as {lost[0]!r}; they are left "
            "out of the moments. Raise n.",
            stacklevel=3,
        )
    numbers = np.where(alive, np.cumsum(alive) - 1, -1)
    return numbers[groups], sizes[alive]


def _settled(name, column, wished, yes_no, n, filtered):
    """Whether a feature never changes and is as wished already; an error if it cannot become so."""
    where = f"{n} samples" + (" that pass the filters" if filtered else "")
    low, high, mean = column.min(), column.max(), column.mean()
    if yes_no and low == high:
        raise GuideError(_never(name, 1 - low, n, " that pass the filters" if filtered else "") + f" Asked: {wished:g}.")
    if low == high:
        if abs(low - wished) > 1e-9 * max(1, abs(wished)):
            raise GuideError(f"{name!r} is constant: {low:g} in all of {where}, so its mean cannot become {wished:g}.")
        warnings.warn(f"{name!r} is {low:g} in all of {where}, as asked: it needs no weight and gets none.", stacklevel=3)
        return True
    if not low < wished < high:
        raise GuideError(
            f"The mean of {name!r} cannot become {wished:g}: in {where} it lies between {low:g} and {high:g}, with mean "
            f"{mean:g}. Ask for a value inside, or use another proposal."
        )
    return False


def _never(name, wished, n, which=""):
    word = "never" if wished else "always"
    return (
        f"{name!r} was {word} seen in {n} samples{which}, so nothing can be learned about when it is "
        f"{'' if wished else 'not '}there; its rate is {'below' if wished else 'above'} "
        f"{3 / n if wished else 1 - 3 / n:.2%} (95 %). Raise n, or use a proposal in which it occurs."
    )


def _outside(err, names, target, n):
    parts = [f"{c:+.3g} x {name!r}" for c, name in zip(err.direction, names, strict=True) if c]
    if not parts:
        wishes = ", ".join(f"{name!r} {t:g}" for name, t in zip(names, target, strict=True))
        return f"No weights were found for the moments {wishes} on {n} samples. Ask for less extreme ones, or raise n."
    culprits = [f"{name!r} {t:g}" for c, name, t in zip(err.direction, names, target, strict=True) if c]
    edge = "at most" if err.wished > err.bound + 1e-9 else "never above"
    return (
        f"The moments {' and '.join(culprits)} cannot be had together: {' '.join(parts).lstrip('+')} is {edge} {err.bound:.4g} "
        f"in all {n} samples, and these moments make it {err.wished:.4g}. Change one of them, raise n, or use another proposal."
    )


def _log_z_error(p, groups, sizes):
    """Standard error of the mean log Z: relative variance of the mean weight, per group."""
    g = len(sizes)
    squares = np.bincount(groups, (p * g) ** 2, g)
    return float(np.sqrt(np.maximum(squares - 1 / sizes, 0).sum()) / g)


def _warn_few(fit):
    need = int(np.ceil(fit.n * _ASK / fit.ess / 1000) * 1000)
    warnings.warn(
        f"Only {fit.ess:.0f} of {fit.n} samples count (effective sample size), so lambda is rough. Raise n to about {need:,}, "
        "ask for moments nearer to those the proposal has, or tune first and draw from the tuned one with via=.",
        stacklevel=3,
    )
