"""Palette: which look each code of a language has, the same in its chips, on its maps and on its pages."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from workbench.chips import CHIPS, LOOKS

_FADE = 0.6  # weight of the next chip but one against the next


def looks(dsl):
    """Give each code a look, so that codes that meet in prompts differ in hue where they can.

    The eight most used codes have the eight hues, plain; the next eight have the same hues with a pattern, each the hue whose
    codes it meets least, and so on.

    Args:
        dsl: `DeepDSL`, fitted or loaded.

    Returns:
        dict of the name of each code -> look, int 0..47; function words, which are no chips, come last.
    """
    order = sorted(dsl.codes, key=lambda code: (code.literal, -code.count, code.id))
    meets, hues = _meets(dsl), len(CHIPS)
    given, of_hue = {}, np.zeros((hues, len(meets)))  # how much each hue meets each code
    for first in range(0, len(order), hues):
        batch = order[first : first + hues]
        rows, columns = linear_sum_assignment(of_hue[:, [code.id for code in batch]].T) if first else (range(len(batch)),) * 2
        for row, hue in zip(rows, columns, strict=True):
            code = batch[row]
            given[code.name] = int(first + hue) % LOOKS
            of_hue[hue] += meets[code.id]
    return given


def _meets(dsl):
    """How often chips of two codes stand near each other, float (k, k), symmetric: function words between them do not count."""
    k = max((code.id for code in dsl.codes), default=-1) + 1
    steps = getattr(dsl, "transitions", None)
    if steps is None:
        return np.zeros((k, k))
    steps = np.asarray(steps, np.float64)[:k, :k]
    chips, literal, uses = np.zeros(k, bool), np.zeros(k, bool), np.zeros(k)
    for code in dsl.codes:
        chips[code.id], literal[code.id], uses[code.id] = not code.literal, code.literal, code.count
    # From chip to chip, straight or through any number of function words. Damped, as two of these may lead to each other only.
    inner = np.linalg.inv(np.eye(literal.sum()) - 0.999 * steps[np.ix_(literal, literal)])
    through = steps[np.ix_(chips, literal)] @ inner @ steps[np.ix_(literal, chips)]
    following = steps[np.ix_(chips, chips)] + through
    near = following + _FADE * following @ following + _FADE**2 * following @ following @ following
    met = np.zeros((k, k))
    met[np.ix_(chips, chips)] = uses[chips, None] * near
    return met + met.T
