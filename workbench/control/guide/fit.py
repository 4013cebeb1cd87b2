"""Fit: what `constrain` found, with errors, and its report."""

from dataclasses import dataclass

import numpy as np

from workbench import checks

SURE = 1.959964  # standard errors on each side of a 95 % interval


@dataclass(frozen=True, eq=False)
class Fit:
    """What `constrain` found, for k moments with a weight and f filters.

    Attributes:
        names: tuple of k str.
        moments: float64 (k,), as asked for.
        before: float64 (k,), means under the proposal, among samples that pass the filters.
        reached: float64 (k,), means of the target on the sample.
        reached_errors: float64 (k,), standard errors of those.
        weights: float64 (k,), lambda.
        errors: float64 (k,), standard errors of lambda.
        filters: tuple of f pairs (name, share of samples that pass).
        n: int, samples drawn.
        ess: float, effective sample size, 1..n.
        log_z: float, nats, log of the normaliser; mean over contexts.
        log_z_error: float, standard error of that.
        kl: float, KL(target, proposal), nats: how far the moments are from those of the proposal.
        seconds: float.
        pool: `Pool` of the samples drawn, with their weights in the target: `importance_resample(ebm, n=500, pool=ebm.fit.pool)`
            costs no new draw. None with contexts, where each has its own normaliser.
    """

    names: tuple
    moments: np.ndarray
    before: np.ndarray
    reached: np.ndarray
    reached_errors: np.ndarray
    weights: np.ndarray
    errors: np.ndarray
    filters: tuple
    n: int
    ess: float
    log_z: float
    log_z_error: float
    kl: float
    seconds: float
    pool: object = None

    def needed(self, within=0.03):
        """Samples that `constrain` needs to bring each moment of the target this near, 95 times of 100: int.

        The samples of the fit itself always have the moments; this is about the target, and so about fresh draws.

        Args:
            within: float above 0, in the unit of the scorers: for a yes-or-no scorer a share.

        Raises:
            ValueError: 0 or less.
        """
        within = checks.number("within", within, 0, above=True)
        return max(2, int(np.ceil(self.n * (SURE * self.reached_errors.max(initial=0) / within) ** 2)))

    def report(self):
        """Text, one line per moment and filter, then sample size and distance."""
        width = max([len(name) for name in (*self.names, *(name for name, _ in self.filters), "moment")])
        lines = []
        if self.names:
            lines.append(f"{'moment':{width}}  {'before':>8}  {'asked':>8}  {'reached':>17}  {'lambda':>17}")
        columns = (self.names, self.before, self.moments, self.reached, self.reached_errors, self.weights, self.errors)
        for name, before, asked, reached, reached_error, weight, error in zip(*columns, strict=True):
            line = f"{name:{width}}  {before:8.4g}  {asked:8.4g}  {reached:8.4g} ± {reached_error:6.2g}"
            lines.append(f"{line}  {weight:8.4g} ± {error:6.2g}")
        if self.filters:
            lines += ["", f"{'filter':{width}}  {'passes':>8}"]
            lines += [f"{name:{width}}  {share:8.4g}" for name, share in self.filters]
        lines += [
            "",
            f"effective sample size {self.ess:,.0f} of {self.n:,} ({self.ess / self.n:.1%})",
            f"log Z {self.log_z:.3f} ± {self.log_z_error:.2g}; KL(target, proposal) {self.kl:.3f} nats",
        ]
        return "\n".join(lines)
