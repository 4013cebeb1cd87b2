"""Descent: one step of tuning, from samples to the gradient."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from workbench.control.guide.divergences import divergence
from workbench.control.guide.scoring import draw, in_context, log_scores
from workbench.values import GuideError

_PATIENCE = 20  # steps in which the target may exclude every sample
_CHUNK = 256  # samples per backward pass, unless the policy has a `batch`
_CONTEXTS = 8  # contexts per step
_REFRESH = 10  # steps between two decisions whether to replace the frozen copy


class Weights:
    """The weights of a proposal, with the two methods by which `training.train` keeps them."""

    def __init__(self, proposal):
        self.tensors = dict(proposal.parameters())

    def state_dict(self):
        """Dict of name -> tensor, not copied."""
        return self.tensors

    def load_state_dict(self, tensors):
        """Copy values into the weights."""
        with torch.no_grad():
            for name, tensor in self.tensors.items():
                tensor.copy_(tensors[name])


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


@dataclass(frozen=True)
class Descent:
    """One step of tuning as the `loss` of `training.train`: it adds the gradient to the policy and returns a row of the history.

    Attributes:
        policy: what is tuned.
        source: what samples are drawn from: the policy itself, or with `config.offline` a frozen copy.
        original: the proposal before tuning.
        ebm: the target.
        divergence: str.
        config: `TuneConfig`.
        contexts: list, or None.
        memo: dict of JSON values that change from step to step: `normalisers`, for each context two logs whose difference is
            log Z, of the sum of weighted estimates of Z and of the sum of their weights; `kl`, pairs of KL(target, policy) and
            KL(target, source) since the source was last considered.
    """

    policy: object
    source: object
    original: object
    ebm: object
    divergence: str
    config: object
    contexts: list | None
    memo: dict

    def __call__(self, step):
        """Draw, score, and run backward."""
        if self.config.offline and step and step % _REFRESH == 0:
            self._refresh()
        batches = self._batches(step)
        if step >= _PATIENCE and all(batch.log_z == -math.inf for batch in batches):
            raise GuideError(
                f"The target excludes every sample of {step + 1} steps, so there is nothing to learn from. Tune to some of the "
                "moments first, or start from a model in which such samples are less rare."
            )
        rows, pulls = zip(*(_pull(batch, self.divergence) for batch in batches), strict=True)
        for batch, pull in zip(batches, pulls, strict=True):
            chunk = getattr(batch.policy, "batch", _CHUNK)
            for at in range(0, len(batch.samples) if pull is not None else 0, chunk):
                log_p = batch.policy.log_prob(batch.samples[at : at + chunk])
                part = log_p.new_tensor(pull[at : at + chunk])
                ((part * log_p).sum() / (len(batch.samples) * len(batches))).backward()
        out = {key: _mean([row[key] for row in rows]) for key in rows[0] if key != "moments"}
        self.memo["kl"].append([out["kl"], out["kl_source"]])
        return out | {"moments": {key: _mean([row["moments"][key] for row in rows]) for key in rows[0]["moments"]}}

    def _refresh(self):
        """Replace the source by the policy if that has been nearer to the target."""
        pairs = [pair for pair in self.memo["kl"] if None not in pair]
        self.memo["kl"].clear()
        if pairs and float(np.mean([new - old for new, old in pairs])) < 0:
            Weights(self.source).load_state_dict(Weights(self.policy).state_dict())

    def _batches(self, step):
        """Samples of one step: list of `Batch`, one per context."""
        chosen, seed, out = [None], self.config.seed, []
        if self.contexts is not None:
            chosen = np.random.default_rng([seed, step]).permutation(len(self.contexts))[:_CONTEXTS].tolist()
        size = max(2, self.config.batch // len(chosen))
        for place, number in enumerate(chosen):
            context = None if number is None else self.contexts[number]
            things = (self.policy, self.source, self.original, self.ebm)
            policy, source, original, ebm = (in_context(thing, context) for thing in things)
            samples = draw(source, size, int(np.random.SeedSequence([seed, step, place]).generate_state(1)[0]))
            noted = [getattr(sample, "log_prob", None) for sample in samples]
            log_q = log_scores(source, samples) if None in noted else np.array(noted)
            log_policy = log_scores(policy, samples) if self.config.offline else log_q
            log_original = log_scores(original, samples)
            found = ebm.parts(samples, original)
            log_target = found.log_score + log_original
            # later steps are nearer to the target and estimate its normaliser better
            estimate = np.logaddexp.reduce(log_target - log_q) - math.log(size)
            log_z = self._log_z("" if number is None else str(number), estimate, math.log((step + 1) * size))
            scores = dict(zip(ebm.scorers, [*found.features.T, *found.passes.T.astype(float)], strict=True))
            out.append(Batch(policy, samples, log_q, log_policy, log_original, log_target, log_z, scores))
        return out

    def _log_z(self, context, estimate, log_weight):
        """Log Z of a context after one more estimate."""
        known = self.memo["normalisers"]
        total, count = (-np.inf if value is None else value for value in known.get(context, (None, None)))
        total, count = float(np.logaddexp(total, log_weight + estimate)), float(np.logaddexp(count, log_weight))
        known[context] = [None if value == -np.inf else value for value in (total, count)]
        return total - count


def _pull(batch, name):
    """Row of one context, and the factor of each sample's log-probability in the loss: float64 (m,), or None."""
    w = np.exp(batch.log_policy - batch.log_q)
    share = w / w.sum()
    row = dict.fromkeys(("kl", "tvd", "ess", "divergence", "kl_source")) | {
        "kl_original": float(share @ (batch.log_policy - batch.log_original)),
        "log_z": batch.log_z if math.isfinite(batch.log_z) else None,
        "moments": {key: float(share @ value) for key, value in batch.scores.items()},
    }
    if row["log_z"] is None:
        return row, None
    log_p = batch.log_target - batch.log_z
    u, seen = np.exp(log_p - batch.log_q), np.isfinite(log_p)
    slope, value = divergence(name, batch.log_policy - log_p)
    row |= {
        "kl": _kl(u, w, log_p - batch.log_policy, seen),
        "tvd": float(np.abs(u - w).mean() / 2),
        "ess": float(u.mean() ** 2 / np.mean(u**2 / w)) if seen.any() else 0.0,
        "divergence": float(np.mean(w * value)),
        "kl_source": _kl(u, np.ones_like(u), log_p - batch.log_q, seen),
    }
    # without their mean the factors have the same expected gradient and less noise
    return row, w * (slope - share @ slope)


def _kl(u, w, log_ratio, seen):
    """E_q[u log(u / w)], plus a term with mean 0 that makes each summand positive and the sum less noisy."""
    return float(np.mean(np.where(seen, u * np.where(seen, log_ratio, 0), 0) - u + w))


def _mean(values):
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
