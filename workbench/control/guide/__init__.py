"""Guide: say what a whole set of samples should be like, get the nearest distribution that is so, and sample or learn it."""

from workbench.control.guide.energy import EBM, exponential, rlhf
from workbench.control.guide.fit import Fit
from workbench.control.guide.means import Means, means
from workbench.control.guide.moments import constrain
from workbench.control.guide.plots import plot_laws, plot_moments, plot_tradeoff, plot_tuning
from workbench.control.guide.pool import Estimates, Pool, pool
from workbench.control.guide.sampling import Draws, importance_resample, metropolis_hastings, quasi_rejection
from workbench.control.guide.tuning import TuneConfig, Tuned, tune

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
