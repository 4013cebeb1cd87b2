"""Guide: state moments (shares and means) of a set of samples, and get the nearest distribution that has them.

`constrain` finds that distribution, an `EBM`; `quasi_rejection` and `importance_resample` draw from it; `tune` teaches it to a
language model; `means` and the plots show what was reached.
"""

from workbench.control.guide.constraints import constrain
from workbench.control.guide.draws import importance_resample, quasi_rejection
from workbench.control.guide.energy import EBM
from workbench.control.guide.plots import plot_laws, plot_moments, plot_tradeoff, plot_tuning
from workbench.control.guide.pool import pool
from workbench.control.guide.scoring import means
from workbench.control.guide.tuning import TuneConfig, tune

__all__ = [
    "EBM",
    "TuneConfig",
    "constrain",
    "importance_resample",
    "means",
    "plot_laws",
    "plot_moments",
    "plot_tradeoff",
    "plot_tuning",
    "pool",
    "quasi_rejection",
    "tune",
]
