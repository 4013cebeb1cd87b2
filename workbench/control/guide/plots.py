"""Plots: distributions side by side, what rejection costs and buys, moments before and after, how a tuning went."""

import numpy as np

from workbench.control.guide.fit import SURE
from workbench.control.guide.pool import Estimates
from workbench.control.guide.scoring import names_of
from workbench.lesson import COLOURS
from workbench.values import GuideError

MARKS = ("o", "s", "^", "D", "v", "P", "X")
_GREY, _WIDTH = "#5f5f5f", 44


def plot_laws(values, laws, drawn=None, *, title="Laws", xlabel="value"):
    """Draw distributions over the same values as lines, and how often values were drawn as hollow marks.

    Args:
        values: (m,) numbers, in order.
        laws: dict of name -> float (m,), probability of each value.
        drawn: dict of name -> list of samples, or None; with the name of a law they take its colour.
        title: str.
        xlabel: str.

    Returns:
        matplotlib Figure with one pair of axes.

    Raises:
        ValueError: a law of another length, or nothing to draw.
    """
    values, drawn = np.asarray(values), drawn or {}
    names = list(dict.fromkeys([*laws, *drawn]))
    if values.ndim != 1 or not names:
        raise ValueError(f"plot_laws needs a row of values and a law or samples, got {values.shape} and {len(names)} names.")
    figure, (ax,) = _page(7.2, 4.0, 1)
    for number, name in enumerate(names):
        look = {"color": COLOURS[number % len(COLOURS)], "marker": MARKS[number % len(MARKS)]}
        if name in laws:
            law = np.asarray(laws[name], np.float64)
            if law.shape != values.shape:
                raise ValueError(f"The law {name!r} has shape {law.shape}, expected {values.shape}: a probability for each.")
            ax.plot(values, law, label=_short(name), lw=1.6, ms=4, **look)
        if name in drawn:
            if not len(drawn[name]):
                raise ValueError(f"There are no samples of {name!r}.")
            often = (np.asarray(drawn[name])[:, None] == values).mean(0)
            ax.plot(values, often, label=_short(f"{name}: drawn"), ls="", ms=8, mfc="none", **look)
    ax.set(title=title, xlabel=xlabel, ylabel="probability", ylim=(0, None))
    return _finished(figure)


def plot_tradeoff(estimates, exact=None, *, title="The price of rejection"):
    """Draw what rejection costs and buys: acceptance over beta, and distance from the target over acceptance.

    Bands are 95 % intervals. The nearer a proposal is to the target, the further right and the lower its curves.

    Args:
        estimates: what `pool.estimates(betas)` returns, or a dict of name -> such, as of a model before and after tuning.
        exact: true values where they are known, drawn as crosses: dict of `beta`, `acceptance`, `tvd` and `kl` -> (b,).
        title: str, above both.

    Returns:
        matplotlib Figure with two pairs of axes.

    Raises:
        ValueError: something else than estimates.
    """
    groups = {"": estimates} if isinstance(estimates, Estimates) else dict(estimates)
    if not groups or not all(isinstance(one, Estimates) for one in groups.values()):
        raise ValueError("plot_tradeoff takes estimates, or a dict of name -> estimates: pool(ebm, proposal).estimates(betas).")
    figure, (left, right) = _page(9.6, 3.9, 2, title)
    for number, (name, one) in enumerate(groups.items()):
        order = np.argsort(one.beta)
        beta, accept, accept_error, tvd, tvd_error, kl, kl_error = (column[order] for column in one)
        main, other = (COLOURS[(2 * number + i) % len(COLOURS)] for i in (0, 1))
        before = f"{_short(name)}: " if name else ""
        left.plot(beta, accept, color=main, label=f"{before}acceptance", marker=MARKS[number % len(MARKS)], ms=3)
        left.fill_between(beta, *_band(accept, accept_error), color=main, alpha=0.2, lw=0)
        rows = ((tvd, tvd_error, main, "-", "TVD"), (kl, kl_error, other, "--", "KL (nats)"))
        for distance, error, colour, style, word in rows:
            right.plot(accept, distance, style, color=colour, label=f"{before}{word}", marker=MARKS[number % len(MARKS)], ms=3)
            right.fill_between(accept, *_band(distance, error), color=colour, alpha=0.2, lw=0)
    if exact is not None:
        crosses = {"ls": "", "marker": "x", "color": "#000000", "ms": 7, "label": "exact"}
        left.plot(exact["beta"], exact["acceptance"], **crosses)
        right.plot(np.tile(exact["acceptance"], 2), np.concatenate([exact["tvd"], exact["kl"]]), **crosses)
    left.set(xlabel="beta", ylabel="share of draws that are kept", ylim=(0, 1.03), title="Cost")
    right.set(xlabel="share of draws that are kept", ylabel="distance from the target", title="What it buys", ylim=(0, None))
    _log(left)
    _log(right)
    return _finished(figure)


def plot_moments(before, after, moments=None, *, title="Moments before and after", after_name="after"):
    """Draw means of scorers before and after, with 95 % intervals, and the moments that were asked for.

    All share one axis, so scores should be of similar size, such as shares.

    Args:
        before: `Means`.
        after: `Means` of the same scorers.
        moments: dict of scorer or its name -> float, for some of them, as `constrain` takes it; or None.
        title: str.
        after_name: str, for the legend.

    Returns:
        matplotlib Figure with one pair of axes.

    Raises:
        ValueError: means of different scorers, or a moment of another one.
    """
    asked = {key if isinstance(key, str) else names_of([key])[0]: value for key, value in (moments or {}).items()}
    if tuple(before.names) != tuple(after.names):
        raise ValueError(f"before and after must be means of the same scorers, got {before.names} and {after.names}.")
    if unknown := [name for name in asked if name not in before.names]:
        raise ValueError(f"There are no means of {', '.join(map(repr, unknown))}; there are {', '.join(before.names)}.")
    places = np.arange(len(before.names))
    figure, (ax,) = _page(7.2, 1.3 + 0.42 * len(places), 1)
    ax.hlines(places, before.values, after.values, color="#CCCCCC", lw=1.5, zorder=0)
    if asked:
        rows = [before.names.index(name) for name in asked]
        ax.plot(list(asked.values()), rows, "D", ms=12, mfc="none", mec=COLOURS[1], mew=1.6, label="asked for")
    for one, shift, mark, colour, word in ((before, 0.12, "s", _GREY, "before"), (after, -0.12, "o", COLOURS[0], after_name)):
        ax.errorbar(one.values, places + shift, xerr=SURE * one.errors, fmt=mark, ms=6, color=colour, capsize=2, label=word)
    ax.set_yticks(places, [_short(name) for name in before.names])
    ax.set(title=title, xlabel="mean; of yes-or-no questions, the share of yes", ylim=(len(places) - 0.5, -0.5))
    ax.grid(axis="x", color="#EEEEEE")
    ax.set_axisbelow(True)
    return _finished(figure, beside=True)


def plot_tuning(tuned, ebm=None, *, window=5, title="Tuning"):
    """Draw how a tuning went: moments with what was asked for, and how far the policy is from the target and from the original.

    Args:
        tuned: what `tune` returns.
        ebm: `EBM` that it was tuned to, or None. Its fit gives the dashed lines: moments asked for, and KL(target, original),
            where the distance from the original ends if the policy becomes the target.
        window: int, steps averaged in each point, up to its own; single steps are noisy.
        title: str.

    Returns:
        matplotlib Figure with two pairs of axes.

    Raises:
        GuideError: a history without steps.
        ValueError: window below 1.
    """
    from matplotlib.ticker import MaxNLocator

    if window < 1:
        raise ValueError(f"window must be 1 step or more, got {window}.")
    if not tuned.history:
        raise GuideError("There is nothing to plot: this tuning has no steps.")
    fit = None if ebm is None else ebm.fit
    asked = {} if fit is None else dict(zip(fit.names, fit.moments, strict=True)) | {name: 1.0 for name, _ in fit.filters}
    steps = np.array([row["step"] for row in tuned.history])
    figure, (left, right) = _page(9.6, 3.9, 2, title)
    for number, name in enumerate(tuned.history[0]["moments"]):
        colour = COLOURS[number % len(COLOURS)]
        left.plot(steps, tuned.curve(name, window), color=colour, marker=MARKS[number % len(MARKS)], ms=3, label=_short(name))
        if name in asked:
            left.axhline(asked[name], color=colour, ls="--", lw=1)
    left.set(xlabel="step", ylabel="mean under the policy", title="Moments (dashed: asked for)")
    right.plot(steps, tuned.curve("kl", window), color=COLOURS[1], marker="s", ms=3, label="KL(target, policy)")
    right.plot(steps, tuned.curve("kl_original", window), color=COLOURS[0], marker="o", ms=3, label="KL(policy, original)")
    if fit is not None:
        right.axhline(fit.kl, color=_GREY, ls="--", lw=1, label="KL(target, original)")
    right.set(xlabel="step", ylabel="nats", title="Distances")
    right.set_ylim(bottom=min(0, right.get_ylim()[0]))
    for ax in (left, right):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return _finished(figure)


def _band(middle, error):
    return np.maximum(middle - SURE * error, 0), middle + SURE * error


def _short(name):
    return name if len(name) <= _WIDTH else name[: _WIDTH - 1] + "…"


def _page(width, height, columns, title=None):
    # no pyplot: nothing global to close, no window, no backend to choose
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    if title is not None:
        figure.suptitle(title, parse_math=False)
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def _log(ax):
    """A log axis with the labels 0.1, 0.2, 0.5, 1: shares rarely span a power of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    ax.xaxis.set_minor_locator(NullLocator())


def _finished(figure, beside=False):
    for ax in figure.axes:
        ax.spines[["top", "right"]].set_visible(False)
        texts = [ax.title, *ax.get_yticklabels()]
        if ax.get_legend_handles_labels()[0]:
            place = {"loc": "center left", "bbox_to_anchor": (1, 0.5)} if beside else {}
            texts += ax.legend(fontsize=8, frameon=False, **place).get_texts()
        for text in texts:
            text.set_parse_math(False)  # a $ in a phrase is not a formula
    return figure
