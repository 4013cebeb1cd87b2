"""Fit: what `constrain` found, with errors, and its report."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Fit:
    """What `constrain` found. k moments to be weighted, f filters.

    Attributes:
        names: tuple of k str.
        moments: float64 (k,), as asked for.
        before: float64 (k,), means under the proposal, among samples that pass the filters.
        reached: float64 (k,), means of the target on the sample.
        reached_errors: float64 (k,), standard errors of those.
        weights: float64 (k,), lambda.
        errors: float64 (k,), standard errors of lambda.
        covariance: float64 (k, k), of lambda.
        filters: tuple of pairs (name, share of samples that pass).
        passed: float, share of samples that pass all filters.
        n: int, samples drawn.
        ess: float, effective sample size, 1..n.
        log_z: float, nats, log of the normaliser; mean over contexts.
        log_z_error: float, standard error of that.
        kl: float, KL(target, proposal), nats: how far the wish is from what the proposal does by itself.
        seconds: float.
        pool: `Pool` of the samples drawn, with what each counts for in the target: `importance_resample(ebm, n=500,
            draws=ebm.fit.pool)` costs no new draw. None with contexts, where each has its own normaliser.
    """

    names: tuple
    moments: np.ndarray
    before: np.ndarray
    reached: np.ndarray
    reached_errors: np.ndarray
    weights: np.ndarray
    errors: np.ndarray
    covariance: np.ndarray
    filters: tuple
    passed: float
    n: int
    ess: float
    log_z: float
    log_z_error: float
    kl: float
    seconds: float
    pool: object = None

    def interval(self):
        """95 % intervals of lambda: float64 (k, 2)."""
        return self.weights[:, None] + 1.959964 * self.errors[:, None] * np.array([-1, 1])

    def needed(self, within=0.03):
        """How many samples `constrain` needs, so that each moment of the target is as asked within this, 95 times of 100: int.

        Moments of the fit's own pool are met exactly; this is about those of the law, of which fresh draws come.

        Args:
            within: float above 0, in the unit of the scorers: of a yes-or-no one, a share.

        Raises:
            ValueError: 0 or less.
        """
        if not within > 0:
            raise ValueError(f"within must be above 0, got {within!r}.")
        return max(2, int(np.ceil(self.n * (1.959964 * self.reached_errors.max(initial=0) / within) ** 2)))

    def report(self):
        """Text, one line per moment and filter, then sample size and distance."""
        width = max([len(name) for name in (*self.names, *(name for name, _ in self.filters), "moment")])
        lines = []
        if self.names:
            lines.append(f"{'moment':{width}}  {'before':>8}  {'asked':>8}  {'reached':>17}  {'lambda':>17}")
        columns = zip(
            self.names, self.before, self.moments, self.reached, self.reached_errors, self.weights, self.errors, strict=True
        )
        for name, before, asked, reached, reached_error, weight, error in columns:
            line = f"{name:{width}}  {before:8.4g}  {asked:8.4g}  {reached:8.4g} ± {reached_error:6.2g}"
            lines.append(f"{line}  {weight:8.4g} ± {error:6.2g}")
        if self.filters:
            lines += ["", f"{'filter':{width}}  {'passes':>8}"]
            lines += [f"{name:{width}}  {share:8.4g}" for name, share in self.filters]
        lines += [
            "",
            f"effective sample size {self.ess:,.0f} of {self.n:,} ({self.ess / self.n:.1%})",
            f"log Z {self.log_z:.3f} ± {self.log_z_error:.2g}; KL(target, proposal) {self.kl:.3f} nats; {self.seconds:.1f} s",
        ]
        return "\n".join(lines)
