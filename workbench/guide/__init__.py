"""Guide: say what a whole set of samples should be like, get the nearest distribution that is so, and sample or learn it."""

from workbench.guide.energy import EBM, exponential, rlhf
from workbench.guide.fit import Fit
from workbench.guide.means import Means, means
from workbench.guide.moments import constrain
from workbench.guide.plots import plot_laws, plot_moments, plot_tradeoff, plot_tuning
from workbench.guide.pool import Estimates, Pool, pool
from workbench.guide.sampling import Draws, importance_resample, metropolis_hastings, quasi_rejection
from workbench.guide.tuning import TuneConfig, Tuned, tune

__all__ = [
    "EBM",
    "Draws",
    "Estimates",
    "Fit",
    "Means",
    "Pool",
    "TuneConfig",
    "Tuned",
    "constrain",
    "exponential",
    "importance_resample",
    "means",
    "metropolis_hastings",
    "plot_laws",
    "plot_moments",
    "plot_tradeoff",
    "plot_tuning",
    "pool",
    "quasi_rejection",
    "rlhf",
    "tune",
]
