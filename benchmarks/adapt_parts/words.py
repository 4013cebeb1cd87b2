"""Figures of several seeds in words."""

import numpy as np


def spread(values, digits=3):
    """Mean and standard deviation over seeds in words."""
    if len(values) < 2:
        return f"{values[0]:.{digits}f}"
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"
