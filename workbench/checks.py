"""Checks: arguments that are tested in many places, each with an error that says what came and what was expected."""

import contextlib
import dataclasses
import difflib
import math
import numbers
import operator

import numpy as np

_SEEDS = 2**61 - 1  # numpy and torch take these, and a million more; a prime, so that powers of two stay apart


class Options:
    """What frozen dataclasses of options share: one way to check them, and `replace`."""

    def check(self, choices=(), wholes=(), numbers=(), places=()):
        """Check options by name, each bool, and bring `seed` into its range; ValueError for what is out of it.

        `choices` are sequences of str, `wholes` least ints (None will do where it is the default), `numbers` limits as of
        `number`, and `places` what a text must hold once each. A `rate` is above 0 wherever there is one.
        """
        values, kind = vars(self), type(self).__name__
        for field in dataclasses.fields(self):
            if field.type is bool and not isinstance(values[field.name], bool):
                raise ValueError(f"{kind}: {field.name} must be True or False, got {values[field.name]!r}.")
        for name, options in dict(choices).items():
            one_of(f"{kind}: {name}", values[name], options)
        for name, least in dict(wholes).items():
            if values[name] is not None or getattr(type(self), name) is not None:
                whole(f"{kind}: {name}", values[name], least)
        for name, limits in dict(numbers).items():
            number(f"{kind}: {name}", values[name], *limits)
        for name, held in dict(places).items():
            if not isinstance(values[name], str) or any(values[name].count(place) != 1 for place in held):
                with_them = f" with {' and '.join(held)} once{' each' * (len(held) > 1)}" if held else ""
                raise ValueError(f"{kind}: {name} must be a str{with_them}, got {values[name]!r}.")
        if "rate" in values:
            number(f"{kind}: rate", values["rate"], 0, math.inf, True)
        object.__setattr__(self, "seed", seed(self.seed, f"{kind}: seed"))

    def replace(self, **changes):
        """The same options with some changed."""
        return dataclasses.replace(self, **changes)


def whole(name, value, least=1, most=None):
    """A whole number in a range; bool does not count as one.

    Args:
        name: str, the argument, for the error.
        value: what came.
        least: int, the smallest value that is allowed.
        most: int, the largest, or None for no limit.

    Returns:
        int.

    Raises:
        ValueError: another type, or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least or (most is not None and value > most):
        span = f"of {least} or more" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be an int {span}, got {value!r}.")
    return int(value)


def seed(value, name="seed"):
    """Any integer as a seed that the generators of numpy and torch take; bool does not count as one.

    Args:
        value: what came: int or numpy integer of any size, negative too.
        name: str, the argument, for the error.

    Returns:
        int, 0 or more and below 2**61 - 1: values in this range are themselves, others are taken modulo 2**61 - 1. Generators
        of 32 bits (scikit-learn) take it modulo 2**32.

    Raises:
        ValueError: another type.
    """
    with contextlib.suppress(TypeError):
        if not isinstance(value, (bool, np.bool_)):
            return operator.index(value) % _SEEDS
    raise ValueError(f"{name} must be an int, got {value!r}. Any will do; equal ones give equal results.")


def number(name, value, least=-math.inf, most=math.inf, above=False):
    """A finite number in a range; bool does not count as one.

    Args:
        name: str, the argument, for the error.
        value: what came.
        least: float, the smallest value that is allowed.
        most: float, the largest.
        above: bool, `least` itself is not allowed.

    Returns:
        float.

    Raises:
        ValueError: another type, NaN, infinite, or out of range.
    """
    fine = not isinstance(value, bool) and isinstance(value, numbers.Real) and math.isfinite(value)
    if not fine or not least <= value <= most or (above and value == least):
        if most < math.inf:
            span = f"above {least:g} and at most {most:g}" if above else f"from {least:g} to {most:g}"
        else:
            span = f"above {least:g}" if above else "that is finite" if least == -math.inf else f"of {least:g} or more"
        raise ValueError(f"{name} must be a number {span}, got {value!r}.")
    return float(value)


def share(name, value):
    """A number from 0 to 1, as a float. Raises ValueError for anything else."""
    return number(name, value, 0, 1)


def one_of(name, value, options):
    """A value that is one of `options`, a sequence of str. Raises ValueError, which lists them, for anything else."""
    if value not in options:
        raise ValueError(f"{name} must be one of {', '.join(map(str, options))}; got {value!r}.{did_you_mean(value, options)}")
    return value


def texts(values, name):
    """A list of str that is not empty.

    Args:
        values: what came: any iterable of str but a str.
        name: str, the argument, for the error.

    Returns:
        list of str.

    Raises:
        TypeError: a str, or something in it that is no str; the error names the row.
        ValueError: nothing in it.
    """
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        raise TypeError(f"{name} is a list of str, got {type(values).__name__}.")
    values = list(values)
    for row, text in enumerate(values):
        if not isinstance(text, str):
            raise TypeError(f"{name} is a list of str, but row {row} is {type(text).__name__}.")
    if not values:
        raise ValueError(f"There are no {name}: an empty list was given.")
    return values


def did_you_mean(value, known):
    """A sentence to put after an error, such as " Did you mean 'artist'?"; "" if no known name is near to what came."""
    near = difflib.get_close_matches(str(value), [str(name) for name in known if name], 1)
    return f" Did you mean {near[0]!r}?" if near else ""


def unit_rows(x):
    """Rows of a float array (..., d) at L2 norm 1; a row of zeros stays zero."""
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-9)
