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
class Descent:
    """One step of tuning as the `loss` of `training.train`: it adds the gradient to the policy and returns a row of the history.

    The policy is tuned; samples are drawn from the source, which is the policy itself or with `config.offline` a frozen copy;
    the original is the proposal before tuning. `memo` holds what changes from step to step: `normalisers`, for each context two
    logs whose difference is log Z (the sum of weighted estimates of Z, and the sum of their weights), and `kl`, pairs of
    KL(target, policy) and KL(target, source) since the source was last considered.
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
        chosen = [None]
        if self.contexts is not None:
            order = np.random.default_rng([self.config.seed, step]).permutation(len(self.contexts))
            chosen = order[:_CONTEXTS].tolist()
        rows = [self._context(step, place, number, len(chosen)) for place, number in enumerate(chosen)]
        if step >= _PATIENCE and all(row["log_z"] is None for row in rows):
            raise GuideError(
                f"The target excludes every sample of {step + 1} steps, so there is nothing to learn from. Tune to some of the "
                "moments first, or start from a model in which such samples are less rare."
            )
        out = {key: _mean([row[key] for row in rows]) for key in rows[0] if key != "moments"}
        if self.config.offline:
            self.memo["kl"].append([out["kl"], out["kl_source"]])
        return out | {"moments": {key: _mean([row["moments"][key] for row in rows]) for key in rows[0]["moments"]}}

    def _refresh(self):
        """Replace the source by the policy if that has been nearer to the target."""
        pairs = [pair for pair in self.memo["kl"] if None not in pair]
        self.memo["kl"].clear()
        if pairs and float(np.mean([new - old for new, old in pairs])) < 0:
            Weights(self.source).load_state_dict(Weights(self.policy).state_dict())

    def _context(self, step, place, number, n_contexts):
        """Draw and run backward in one context; its row of the history."""
        seed, context = [self.config.seed, step, place], None if number is None else self.contexts[number]
        things = (self.policy, self.source, self.original, self.ebm)
        policy, source, original, ebm = (in_context(thing, context) for thing in things)
        m = max(2, self.config.batch // n_contexts)
        samples = draw(source, m, int(np.random.SeedSequence(seed).generate_state(1)[0]))
        noted = [getattr(sample, "log_prob", None) for sample in samples]
        log_q = log_scores(source, samples) if None in noted else np.array(noted)
        log_policy = log_scores(policy, samples) if self.config.offline else log_q
        log_original = log_scores(original, samples)
        found = ebm.parts(samples, original)
        log_target = found.log_score + log_original
        # later steps are nearer to the target and estimate its normaliser better
        estimate = np.logaddexp.reduce(log_target - log_q) - math.log(m)
        log_z = self._log_z("" if number is None else str(number), estimate, math.log((step + 1) * m))
        row, factors = _row(self.divergence, log_q, log_policy, log_target, log_z)
        if factors is not None:
            chunk = getattr(policy, "batch", _CHUNK)
            for at in range(0, m, chunk):
                log_p = policy.log_prob(samples[at : at + chunk])
                ((log_p.new_tensor(factors[at : at + chunk]) * log_p).sum() / (m * n_contexts)).backward()
        w = np.exp(log_policy - log_q)
        share, columns = w / w.sum(), [*found.features.T, *found.passes.T.astype(float)]
        row["kl_original"] = float(share @ (log_policy - log_original))
        row["moments"] = {name: float(share @ column) for name, column in zip(ebm.scorers, columns, strict=True)}
        return row

    def _log_z(self, context, estimate, log_weight):
        """Log Z of a context after one more estimate."""
        known = self.memo["normalisers"]
        total, count = (-np.inf if value is None else value for value in known.get(context, (None, None)))
        total, count = float(np.logaddexp(total, log_weight + estimate)), float(np.logaddexp(count, log_weight))
        known[context] = [None if value == -np.inf else value for value in (total, count)]
        return total - count


def _row(name, log_q, log_policy, log_target, log_z):
    """Estimates for the history, and the factor of each sample's log-probability in the loss: float64 (m,), or None.

    The arrays float64 (m,) are logs in nats: of what the samples were drawn from, the policy, and the target, unnormalised.
    """
    if log_z == -math.inf:
        return dict.fromkeys(("kl", "tvd", "ess", "divergence", "kl_source", "log_z")), None
    w, log_p = np.exp(log_policy - log_q), log_target - log_z
    u, seen = np.exp(log_p - log_q), np.isfinite(log_p)
    slope, value = divergence(name, log_policy - log_p)
    row = {
        "kl": _kl(u, w, log_p - log_policy, seen),
        "tvd": float(np.abs(u - w).mean() / 2),
        "ess": float(u.mean() ** 2 / np.mean(u**2 / w)) if seen.any() else 0.0,
        "divergence": float(np.mean(w * value)),
        "kl_source": _kl(u, np.ones_like(u), log_p - log_q, seen),
        "log_z": log_z,
    }
    # without their mean the factors have the same expected gradient and less noise
    return row, w * (slope - w / w.sum() @ slope)


def _kl(u, w, log_ratio, seen):
    """E_q[u log(u / w)], plus a term with mean 0 that makes each summand positive and the sum less noisy."""
    return float(np.mean(np.where(seen, u * np.where(seen, log_ratio, 0), 0) - u + w))


def _mean(values):
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
