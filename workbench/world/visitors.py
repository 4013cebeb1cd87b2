"""Visitors: people who look at one picture a day and come back, or not: taste and boredom by a formula. No torch."""

from dataclasses import dataclass

import numpy as np

from workbench import checks
from workbench.world.scenes import STYLES

KINDS = 4  # kinds of visitors
DAYS = 12
TIMES = 5  # how often a visitor may come back on a day
_TASTE = (1.0, 0.8, 0.6, 0.2, 0.1, 0.0)  # for the styles, in an order of its own for each kind
_COMES, _LIKES = 0.35, 0.40  # chance to come back for a style of taste 0, and more for one of taste 1
_BORED = (0.15, 0.10)  # less for the style of yesterday, and for that of the day before
_CLICKS = (0.10, 0.80)  # chance to click for a style of taste 0, and more for one of taste 1; boredom does not show in clicks
_MIXED = 0.5  # share of histories that were shown favourites, half of the time


@dataclass(frozen=True)
class Log:
    """What visitors were shown and what they did: n histories of `DAYS` days.

    Attributes:
        states: float32 (n, days + 1, d), see `state_features`.
        actions: int64 (n, days), the style shown, its number in `scenes.STYLES`.
        clicks: float32 (n, days), 0 or 1.
        visits: int64 (n,), how often the visitor came back: all that is known of boredom.
    """

    states: np.ndarray
    actions: np.ndarray
    clicks: np.ndarray
    visits: np.ndarray


def tastes(seed=0):
    """How much each kind of visitor likes each style: float array (KINDS, styles), 0..1."""
    rng = np.random.default_rng([checks.seed(seed), 1])
    return np.array([rng.permutation(_TASTE) for _ in range(KINDS)])


def chances(seed=0):
    """The truth: how likely a visitor comes back.

    Args:
        seed: int, of the tastes.

    Returns:
        float array (KINDS, k + 1, k + 1, k), k styles: by the kind, the style of yesterday and of the day before (k: none), and
        the style that is shown.
    """
    taste, k = tastes(seed), len(STYLES)
    same = np.eye(k + 1, k)
    return _COMES + _LIKES * taste[:, None, None] - _BORED[0] * same[None, :, None] - _BORED[1] * same[None, None]


def state_features(kind, last, before):
    """What is known before a day, one-hot: kind, styles of yesterday and of the day before; float32 (n, KINDS + 2 k + 2)."""
    k = len(STYLES) + 1
    return np.concatenate([np.eye(KINDS)[kind], np.eye(k)[last], np.eye(k)[before]], -1).astype(np.float32)


def log(n, seed=0, world=0):
    """Draw histories. Half of them were shown anything, half the favourite of their visitor half of the time.

    Args:
        n: int >= 1.
        seed: int.
        world: int, the seed of the tastes.

    Returns:
        `Log`.

    Raises:
        ValueError: n below 1.
    """
    n, rng, k = checks.whole("n", n), np.random.default_rng([checks.seed(seed), 2]), len(STYLES)
    taste, chance = tastes(world), chances(world)
    kind, greedy = rng.integers(0, KINDS, n), rng.random(n) < _MIXED
    last, before = np.full(n, k), np.full(n, k)
    states, actions, clicks, visits = [state_features(kind, last, before)], [], [], np.zeros(n, np.int64)
    for _ in range(DAYS):
        act = np.where(greedy & (rng.random(n) < 0.5), taste.argmax(1)[kind], rng.integers(0, k, n))
        visits += rng.binomial(TIMES, chance[kind, last, before, act])
        clicks.append(rng.random(n) < _CLICKS[0] + _CLICKS[1] * taste[kind, act])
        actions.append(act)
        last, before = act, last
        states.append(state_features(kind, last, before))
    return Log(np.stack(states, 1), np.stack(actions, 1), np.stack(clicks, 1).astype(np.float32), visits)


def all_states():
    """The features of all states, in the order of `chances` without its last axis: float32 (KINDS * (k + 1)**2, d)."""
    k = len(STYLES) + 1
    kind, last, before = (part.ravel() for part in np.indices((KINDS, k, k)))
    return state_features(kind, last, before)


def expected_visits(policy, world=0):
    """How often visitors come back in `DAYS` days under a policy, exactly, as a mean over the kinds.

    Args:
        policy: float (KINDS * (k + 1)**2, k), chances of the styles in each of `all_states`, rows sum to 1; or "best", what an
            oracle shows.
        world: int, the seed of the tastes.

    Returns:
        float.

    Raises:
        ValueError: another shape, or rows that are no chances.
    """
    chance, k = chances(world), len(STYLES)
    best = isinstance(policy, str) and policy == "best"
    if not best:
        policy = np.asarray(policy, float)
        if policy.shape != (KINDS * (k + 1) ** 2, k):
            raise ValueError(f"A policy has a row for each of {KINDS * (k + 1) ** 2} states and {k} styles, got {policy.shape}.")
        if not ((policy >= 0).all() and np.allclose(policy.sum(1), 1, atol=1e-3)):
            raise ValueError("Each row of a policy holds chances, 0 or more, that sum to 1. Of values take the best action.")
        policy = policy.reshape(chance.shape)
    ahead = np.zeros(chance.shape[:3])
    for _ in range(DAYS):
        # after style a is shown: yesterday is a, and the day before is what was yesterday
        then = chance + ahead[:, :k].transpose(0, 2, 1)[:, :, None, :]
        ahead = then.max(3) if best else (policy * then).sum(3)
    return float(TIMES * ahead[:, k, k].mean())
