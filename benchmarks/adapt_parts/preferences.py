"""Preferences: edit chains, reward models from few pairs, and a log from which to learn what brings visitors back.

Truth is by rule: Levenshtein by another recursion, the formula of `beauty`, and the exact number of visits under a policy.
Seconds are CPU seconds of this process.
"""

import time

import numpy as np
from scipy.stats import spearmanr

from adapt_parts.words import spread
from workbench import preference
from workbench.models import load_clip
from workbench.models.aesthetic import beauty
from workbench.world import render, scenes, visitors

CHAINS = 10_000
FEW = (50, 200, 1000)  # pairs of the one whose taste counts
PUBLIC = preference.PreferenceConfig(steps=400, batch=256)
TUNED = preference.PreferenceConfig(steps=50, rate=1e-3)  # from a public start; on many pairs more steps are better
LONG = preference.PreferenceConfig(hidden=32, steps=600, batch=256, rate=1e-2, decay=0.3)
K = len(scenes.STYLES)


def chains(n=CHAINS, seed=0):
    """How many of n chains between random texts miss the target or Levenshtein's distance: int."""
    rng, errors = np.random.default_rng(seed), 0
    for _ in range(n):
        words = rng.integers(2, 9)
        a, b = ([str(word) for word in rng.integers(0, words, rng.integers(0, 13))] for _ in range(2))
        found = preference.chain(a, b)
        errors += found.apply(a) != b or found.cost != distance(a, b)
    return errors


def distance(a, b):
    """Levenshtein's distance with replacements of 2, row by row, without looking at the chain."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + 2 * (x != y))
    return row[-1]


def pictures(clip, n, seed):
    """Features of n pictures of the world, and the pictures."""
    drawn = render.render_all(scenes.scenes(n, seed, "any"), 100_000 * seed)
    return clip.image_features(drawn).numpy(), drawn


def ranked(worth, first, second, rng=None, flipped=0.0):
    """Which of each pair is worth more, and the other; a share of answers is flipped."""
    better = worth[first] > worth[second]
    if rng is not None:
        better ^= rng.random(len(better)) < flipped
    return np.where(better, first, second), np.where(better, second, first)


def public(clip, seed, n=3000, votes=8000):
    """Pairs of other people: they look at contrast alone, and every fifth answer is wrong. (features, better, worse)."""
    rng = np.random.default_rng([seed, 5])
    features, drawn = pictures(clip, n, 50 + seed)
    contrast = (drawn.astype(np.float32) @ np.float32([0.299, 0.587, 0.114])).std((1, 2))
    i, j = rng.integers(0, n, (2, votes))
    return features, *ranked(contrast, i[i != j], j[i != j], rng, 0.2)


def few(clip, seed, counts=FEW):
    """Accuracy on unseen pairs and rank correlation with true beauty: dict of (pairs, way) -> (float, float)."""
    features, up, down = public(clip, seed)
    starts = {
        kind: preference.learn(features[up], features[down], PUBLIC.replace(kind=kind, seed=seed), progress=False)
        for kind in ("ranked", "binary")
    }
    unseen, drawn = pictures(clip, 1000, 100 + seed)
    truth = beauty(drawn)
    right = ranked(truth, np.arange(500), np.arange(500, 1000))
    found = {(0, f"public pairs alone, {kind}"): measured(start, unseen, right, truth) for kind, start in starts.items()}
    for n in counts:
        mine, drawn = pictures(clip, 2 * n, 150 + seed)
        a, b = ranked(beauty(drawn), np.arange(n), np.arange(n, 2 * n))
        for kind in preference.KINDS:
            config = preference.PreferenceConfig(kind=kind, seed=seed)
            model = preference.learn(mine[a], mine[b], config, progress=False)
            found[n, kind] = measured(model, unseen, right, truth)
        for kind, start in starts.items():
            config = (TUNED if n <= FEW[1] else preference.PreferenceConfig()).replace(seed=seed)
            model = preference.learn(mine[a], mine[b], config, start=start, progress=False)
            found[n, f"ranked, after public pairs ({kind})"] = measured(model, unseen, right, truth)
    return found


def measured(model, unseen, right, truth):
    """(accuracy on pairs, Spearman's correlation with the truth)."""
    return model.accuracy(unseen[right[0]], unseen[right[1]]), float(spearmanr(model.score(unseen), truth)[0])


def gain(choice, world):
    """Share of the oracle's gain over random, exact; `choice` int (states,) or chances (states, K)."""
    chances = np.eye(K)[choice] if np.ndim(choice) == 1 else choice
    floor = visitors.expected_visits(np.full(chances.shape, 1 / K), world)
    return (visitors.expected_visits(chances, world) - floor) / (visitors.expected_visits("best", world) - floor)


def long_term(seed, histories=12_000, votes=12_000):
    """Share of the oracle's gain by what is learned from: dict of way -> float; and the accuracy of the reward."""
    log, rng = visitors.log(histories, seed, seed), np.random.default_rng(seed)
    did, states = preference.steps(log.states, log.actions, K), visitors.all_states()
    i, j = rng.integers(0, histories, (2, votes))
    differ = log.visits[i] != log.visits[j]
    up, down = ranked(log.visits, i[differ], j[differ])
    begin = time.process_time()
    model = preference.learn(did[up], did[down], LONG.replace(seed=seed), progress=False)
    rewards = model.score(did.reshape(-1, did.shape[-1])).reshape(did.shape[:2])
    config = preference.LongTermConfig(seed=seed)

    def learned(rewards, **options):
        return preference.learn_policy(log.states, log.actions, rewards, K, config.replace(**options), progress=False)

    found, policy = {}, learned(rewards)
    seconds = time.process_time() - begin
    kind, last, before = (part.argmax(-1) for part in np.split(log.states[:, :-1], [visitors.KINDS, visitors.KINDS + K + 1], -1))
    true = visitors.chances(seed)[kind, last, before, log.actions]
    found["preferences, long term (PrefRec)"] = gain(policy.choose(states), seed)
    found["the same, value by the mean (expectile .5)"] = gain(learned(rewards, expectile=0.5).choose(states), seed)
    found["preferences, this day alone (gamma 0)"] = gain(learned(rewards, gamma=0.0).choose(states), seed)
    found["clicks, this day alone"] = gain(learned(log.clicks, gamma=0.0).choose(states), seed)
    found["clicks, long term"] = gain(learned(log.clicks).choose(states), seed)
    found["true chances, long term"] = gain(learned(true).choose(states), seed)
    found["true chances, this day alone"] = gain(visitors.chances(seed).reshape(-1, K).argmax(1), seed)
    found["the favourite every day"] = gain(np.repeat(visitors.tastes(seed).argmax(1), (K + 1) ** 2), seed)
    found["a copy of the log"] = gain(policy.as_logged(states), seed)
    a, b = ranked(true.sum(1), i, j)
    found["accuracy of the reward on pairs, by true chances"] = model.accuracy(did[a], did[b])
    return found | {"CPU seconds": seconds}


def quick():
    """What `benchmarks/adapt.py --quick` prints of this part: dict."""
    return {"chain_errors": chains()}


def tables(seeds):
    """All tables over seeds: list of lines."""
    lines = [f"{chains()} of {CHAINS:,} chains miss the target or Levenshtein's distance."]
    clip = load_clip("world", device="cpu")
    rows = [told(few(clip, seed)) for seed in range(seeds)]
    lines += ["", "| pairs | way | accuracy on unseen pairs | Spearman with true beauty |", "| --- | --- | --- | --- |"]
    for n, way in rows[0]:
        accuracy, rank = zip(*(row[n, way] for row in rows), strict=True)
        lines.append(f"| {n:,} | {way} | {spread(accuracy)} | {spread(rank)} |")
    rows = [told(long_term(seed)) for seed in range(seeds)]
    lines += ["", "| learned from | share of the oracle's gain over random |", "| --- | --- |"]
    return lines + [f"| {name} | {spread([row[name] for row in rows])} |" for name in rows[0]]


def told(found):
    """The same, printed: a run that ends early has shown something."""
    print({str(key): np.round(value, 3).tolist() for key, value in found.items()}, flush=True)
    return found
