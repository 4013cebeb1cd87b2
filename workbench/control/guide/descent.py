"""Descent: one step of tuning: samples, what each should pull with, and the gradient."""

import math
from dataclasses import dataclass

import numpy as np

from workbench.control.guide.divergences import divergence
from workbench.control.guide.scoring import draw, log_scores, names_of
from workbench.values import GuideError

_PATIENCE = 20  # steps without any sample that the target allows, after which there is no hope
_CHUNK = 256  # samples that gradients are computed of at once, unless the policy has a `batch`


@dataclass(frozen=True)
class Batch:
    """The samples of one context in one step. The arrays float64 (m,) are logs in nats: of what the samples were drawn from,
    the policy, the original and the target, unnormalised. `scores` is a dict of scorer name -> float64 (m,).
    """

    policy: object
    samples: list
    log_q: np.ndarray
    log_policy: np.ndarray
    log_original: np.ndarray
    log_target: np.ndarray
    log_z: float
    scores: dict


def draw_batches(step, policy, source, original, ebm, contexts, run, config):
    """Samples of one step: list of `Batch`, one per context. Their estimates of Z are taken into the run.

    Raises:
        GuideError: in all steps so far the target has excluded every sample.
    """
    chosen, out = [None], []
    if contexts is not None:
        order = np.random.default_rng([config.seed, step]).permutation(len(contexts))
        chosen = order[: config.contexts].tolist()
    size = max(2, config.batch // len(chosen))
    for place, number in enumerate(chosen):
        law, q, first, target = policy, source, original, ebm
        if number is not None:
            law, q, first, target = (thing.given(contexts[number]) for thing in (policy, source, original, ebm))
        seed = int(np.random.SeedSequence([config.seed, step, place]).generate_state(1)[0])
        samples = draw(q, size, seed)
        noted = [getattr(sample, "log_prob", None) for sample in samples]
        log_q = log_scores(q, samples) if None in noted else np.array(noted)
        log_policy = log_scores(law, samples) if config.offline else log_q
        log_original = log_scores(first, samples)
        found = target.parts(samples, first)
        log_target = found.log_score + log_original
        # later steps are nearer to the target and tell its normaliser better
        estimate = np.logaddexp.reduce(log_target - log_q) - math.log(size)
        log_z = run.log_z("" if number is None else str(number), estimate, (step + 1) * size)
        names = names_of([s for s, _ in target.tilts] + list(target.filters))
        scores = dict(zip(names, [*found.features.T, *found.passes.T.astype(float)], strict=True))
        out.append(Batch(law, samples, log_q, log_policy, log_original, log_target, log_z, scores))
    if step >= _PATIENCE and all(batch.log_z == -math.inf for batch in out):
        raise GuideError(
            f"The target excludes every sample of {step + 1} steps, so there is nothing to learn from. Tune to a part of the "
            "wish first, or start from a model in which it is not so rare."
        )
    return out


def descend(batches, name, baseline=True):
    """Add the gradient of a divergence to the policy's parameters.

    Args:
        batches: list of `Batch`; each counts the same.
        name: str, divergence.
        baseline: bool, take the mean off the pulls.

    Returns:
        dict, the row of the history but for step and seconds.
    """
    rows = []
    for batch in batches:
        row, pull = _pull(batch, name, baseline)
        rows.append(row)
        if pull is None:
            continue
        chunk = getattr(batch.policy, "batch", _CHUNK)
        for at in range(0, len(batch.samples), chunk):
            log_p = batch.policy.log_prob(batch.samples[at : at + chunk])
            part = log_p.new_tensor(pull[at : at + chunk])
            ((part * log_p).sum() / (len(batch.samples) * len(batches))).backward()
    out = {key: _mean([row[key] for row in rows]) for key in rows[0] if key != "moments"}
    return out | {"moments": {key: _mean([row["moments"][key] for row in rows]) for key in rows[0]["moments"]}}


def is_nearer(history):
    """Whether the policy is nearer to the target than what was drawn from, by the mean of these rows."""
    pairs = [(row["kl"], row["kl_source"]) for row in history if row["kl"] is not None and row["kl_source"] is not None]
    return bool(pairs) and float(np.mean([new - old for new, old in pairs])) < 0


def _pull(batch, name, baseline):
    """Row of one context, and what each sample pulls its log-probability down with: float64 (m,), or None."""
    w = np.exp(batch.log_policy - batch.log_q)
    share = w / w.sum()
    row = {
        "moments": {key: float(share @ value) for key, value in batch.scores.items()},
        "kl_original": float(share @ (batch.log_policy - batch.log_original)),
        "log_z": batch.log_z if math.isfinite(batch.log_z) else None,
    }
    if row["log_z"] is None:
        return row | dict.fromkeys(("kl", "kl_source", "tvd", "ess", "divergence")), None
    log_p = batch.log_target - batch.log_z
    u, seen = np.exp(log_p - batch.log_q), np.isfinite(log_p)
    slope, value = divergence(name, batch.log_policy - log_p)
    row |= {
        "kl": _kl(u, w, log_p - batch.log_policy, seen),
        "kl_source": _kl(u, np.ones_like(u), log_p - batch.log_q, seen),
        "tvd": float(np.abs(u - w).mean() / 2),
        "ess": float(u.mean() ** 2 / np.mean(u**2 / w)) if seen.any() else 0.0,
        "divergence": float(np.mean(w * value)),
    }
    pull = w * (slope - (share @ slope if baseline else 0))
    return row, pull


def _kl(u, w, log_ratio, seen):
    """E_q[u log(u / w)], plus a term with mean 0 that makes each summand positive and the sum less noisy."""
    return float(np.mean(np.where(seen, u * np.where(seen, log_ratio, 0), 0) - u + w))


def _mean(values):
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
