"""Rules by which vectors follow their gradient, in numpy. Any function of the same form is one."""

from dataclasses import dataclass

import numpy as np

from workbench import checks


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent: a rule.

    A rule is called with values, their gradient, its state (a dict of arrays, {} at first) and a rate, and returns new values
    and a new state. It changes nothing in place.

    Attributes:
        momentum: float 0..1.
        weight_decay: float >= 0.

    Raises:
        ValueError: an option out of its range.
    """

    momentum: float = 0.0
    weight_decay: float = 0.0

    name = "sgd"

    def __post_init__(self):
        checks.number("SGD: momentum", self.momentum, 0, 1)
        checks.number("SGD: weight_decay", self.weight_decay, 0)

    def __call__(self, values, gradient, state, rate):
        """One step: (float32 array, dict of arrays)."""
        slope = gradient + np.float32(self.weight_decay) * values
        if not self.momentum:
            return values - np.float32(rate) * slope, {}
        held = np.float32(self.momentum) * state["momentum"] + slope if state else slope
        return values - np.float32(rate) * held, {"momentum": held}


@dataclass(frozen=True)
class AdamW:
    """AdamW: a rule, as `SGD` describes it.

    Attributes:
        betas: pair of floats 0..1, what is kept of the means of gradients and of their squares.
        epsilon: float > 0.
        weight_decay: float >= 0, times the rate the share of the values that is taken off in a step.

    Raises:
        ValueError: an option out of its range.

    Source:
        Loshchilov and Hutter, arXiv:1711.05101, algorithm 2.
    """

    betas: tuple = (0.9, 0.98)
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    name = "adamw"

    def __post_init__(self):
        for beta in self.betas:
            checks.number("AdamW: betas", beta, 0, 1)
        checks.number("AdamW: epsilon", self.epsilon, 0, above=True)
        checks.number("AdamW: weight_decay", self.weight_decay, 0)

    def __call__(self, values, gradient, state, rate):
        """One step: (float32 array, dict of arrays)."""
        one, two = self.betas
        zero = np.zeros_like(values)
        steps = np.float32(state.get("steps", 0) + 1)
        # in the order of torch, so that its last digits are torch's: many steps make others of them
        first = state.get("first", zero)
        first = first + np.float32(1 - one) * (gradient - first)
        second = np.float32(two) * state.get("second", zero) + np.float32(1 - two) * gradient * gradient
        size = np.sqrt(second) / np.float32((1 - two ** float(steps)) ** 0.5) + np.float32(self.epsilon)
        values = values * np.float32(1 - rate * self.weight_decay)
        moved = values + np.float32(-rate / (1 - one ** float(steps))) * first / size
        return moved, {"first": first, "second": second, "steps": np.asarray(steps)}
