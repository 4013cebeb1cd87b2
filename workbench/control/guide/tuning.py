"""Tuning: teaching a language model a target, so that it samples near it by itself."""

import hashlib
import math
import numbers
import time
from dataclasses import asdict, dataclass

import numpy as np
from tqdm.auto import tqdm

from workbench.control import proposals
from workbench.control.guide.checkpoint import Checkpoint, Run
from workbench.control.guide.descent import descend, draw_batches, is_nearer
from workbench.control.guide.divergences import DIVERGENCES
from workbench.control.guide.energy import EBM
from workbench.control.guide.scoring import names_of, whole
from workbench.values import GuideError


@dataclass(frozen=True)
class TuneConfig:
    """Options of `tune`."""

    batch: int = 256  # samples per step, over all its contexts
    rate: float = 1e-3  # learning rate; 1e-5 to 1e-4 suits models of 100 million weights and more
    warmup: int = 10  # steps in which the rate rises
    clip: float = 1.0  # largest norm of a gradient
    baseline: bool = True  # take the mean reward off, which leaves the gradient's mean and lowers its noise
    offline: bool = False  # draw from a frozen copy that is replaced when the policy has come nearer to the target
    refresh: int = 10  # steps between two looks at whether to replace it
    contexts: int = 8  # contexts per step, where there are any
    save_every: int = 25  # steps between checkpoints
    seed: int = 0

    def __post_init__(self):
        for name, least in {"batch": 2, "warmup": 0, "refresh": 1, "contexts": 1, "save_every": 1, "seed": 0}.items():
            whole(name, getattr(self, name), least)
        for name in ("rate", "clip"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < value < math.inf:
                raise ValueError(f"{name} must be above 0, got {value!r}.")


@dataclass(frozen=True, eq=False)
class Tuned:
    """A tuned model.

    Attributes:
        proposal: the tuned policy, a `Proposal`; for a language model `proposal.lm` is the new model.
        history: list of dicts, one per step: `step`; `kl`, KL(target, policy), `tvd`, `ess` (share), estimated from the step's
            samples before its update; `divergence`, the one tuned for; `kl_original`, KL(policy, original), nats; `log_z`;
            `moments`, dict of scorer name -> mean under the policy; `seconds`. Values without an estimate are None.
        divergence: str.
    """

    proposal: object
    history: list
    divergence: str

    def curve(self, name, window=1):
        """A column of the history, or a moment by its scorer's name: float64 (steps,), means of `window` steps, NaN for None."""
        rows = [row[name] if name in row else row["moments"][name] for row in self.history]
        values = np.array([np.nan if value is None else value for value in rows], np.float64)
        return np.array([np.mean(values[max(0, i + 1 - window) : i + 1]) for i in range(len(values))])

    def save(self, folder):
        """Write model and tokenizer where `models.load_lm` finds them."""
        self.proposal.lm.model.save_pretrained(folder)
        self.proposal.lm.tokenizer.save_pretrained(folder)

    def report(self):
        """Text: first and last steps, means of up to 10."""
        names = ["kl", "tvd", "ess", "divergence", "kl_original", *self.history[0]["moments"]]
        width, k = max(map(len, names)), min(10, len(self.history))
        lines = [f"{len(self.history)} steps, {self.divergence}", f"{'':{width}}  {'first':>8}  {'last':>8}"]
        for name in names:
            values = self.curve(name)
            lines.append(f"{name:{width}}  {np.mean(values[:k]):8.4f}  {np.mean(values[-k:]):8.4f}")
        return "\n".join(lines)


def tune(lm, ebm, divergence="kl", steps=200, *, config=TuneConfig(), contexts=None, folder=None, progress=True):  # noqa: B008
    """Bring a model near a target by distributional policy gradients; the model given is not changed.

    Args:
        lm: `models.LM`, `LMProposal` without top-k and top-p, or any proposal that can also `copy()`, give `parameters()` as
            pairs (name, tensor) and `log_prob(samples)` as a tensor with gradients.
        ebm: `EBM`, the target.
        divergence: "kl" (DPG), "reverse_kl", "js", "tv" or "chi2" (f-DPG): what is brought down.
        steps: int, updates in all.
        config: `TuneConfig`.
        contexts: list of contexts for a conditional target: each step tunes `ebm.given(context)` for some of them.
        folder: where checkpoints go; the same call goes on where it was stopped, also with more steps.
        progress: bool, show a progress bar.

    Returns:
        `Tuned`.

    Raises:
        GuideError: a model that cannot be tuned, or no sample has any probability under the target.
        ArtifactError: the folder holds the checkpoint of another target, model or config.

    Source:
        DPG: Khalifa et al., arXiv:2012.11635; its baseline: Korbak et al., arXiv:2206.00761; contexts: Korbak et al.,
        arXiv:2112.00791; other divergences: Go et al., arXiv:2302.08215.
    """
    import torch

    if divergence not in DIVERGENCES:
        raise ValueError(f"divergence must be one of {', '.join(DIVERGENCES)}, got {divergence!r}.")
    if not isinstance(ebm, EBM):
        raise GuideError(f"The target must be an EBM, got {type(ebm).__name__}. Make it with constrain, or EBM((proposal,)).")
    if contexts is not None and (isinstance(contexts, str) or not len(contexts)):
        raise ValueError(f"contexts must be a list of contexts with one or more, got {contexts!r}.")
    steps, original = whole("steps", steps, 1), _trainable(lm, ebm)
    policy = original.copy()
    source = original.copy() if config.offline else policy
    weights = dict(policy.parameters())
    optimizer = torch.optim.Adam(weights.values(), config.rate)
    fit = ebm.fit if contexts is None else None
    run = Run() if fit is None else Run(normalisers={"": [fit.log_z + math.log(fit.ess), math.log(fit.ess)]})
    checkpoint = Checkpoint(folder, _key(original, ebm, divergence, config, contexts), config.offline) if folder else None
    if checkpoint:
        checkpoint.restore(run, weights, optimizer, source)
    if run.step > steps:
        raise GuideError(f"{folder} has gone {run.step} steps already, and steps={steps}. Ask for more, or take another folder.")
    for step in tqdm(range(run.step, steps), initial=run.step, total=steps, desc="tune", unit="step", disable=not progress):
        started = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = config.rate * min(1, (step + 1) / (config.warmup + 1))
        batches = draw_batches(step, policy, source, original, ebm, contexts, run, config)
        optimizer.zero_grad()
        row = descend(batches, divergence, config.baseline)
        torch.nn.utils.clip_grad_norm_(list(weights.values()), config.clip, error_if_nonfinite=True)
        optimizer.step()
        run.history.append({"step": step, **row, "seconds": time.perf_counter() - started})
        run.step = step + 1
        if config.offline and run.step % config.refresh == 0 and is_nearer(run.history[-config.refresh :]):
            with torch.no_grad():
                for (_, old), new in zip(source.parameters(), weights.values(), strict=True):
                    old.copy_(new)
        if checkpoint and (run.step % config.save_every == 0 or run.step == steps):
            checkpoint.store(run, weights, optimizer, source)
    for tensor in weights.values():
        tensor.requires_grad_(False)
    return Tuned(policy, run.history, divergence)


def _trainable(lm, ebm):
    """The proposal to tune; of a plain language model the one that the target was made with, if there is one."""
    found = next((base for base in ebm.bases if getattr(base, "lm", None) is lm), None) or proposals.of(lm)
    lacking = [verb for verb in ("copy", "parameters", "log_prob") if not callable(getattr(found, verb, None))]
    if lacking and hasattr(found, "dsl"):
        raise GuideError(
            "A learned language cannot be tuned: a prior draws its templates and a writer fills them, the least likely words cut "
            "off (top_p), so that its samples give no gradients. Steer it without tuning: quasi_rejection(ebm, budget=10), or "
            "importance_resample(ebm, draws=ebm.fit.pool). To learn a wish into weights, tune a language model (models.load_lm)."
        )
    if lacking:
        raise GuideError(
            f"{type(found).__name__} cannot be tuned: it has no {', '.join(lacking)}. Give a models.LM or LMProposal."
        )
    if hasattr(found, "cut") and not found.cut.whole:
        raise GuideError(
            "A model with top_k or top_p cannot be tuned, as it never draws what it might learn. Tune it without, and set them "
            "on what comes out: dataclasses.replace(tuned.proposal, top_p=0.9)."
        )
    return found


def _key(original, ebm, divergence, config, contexts):
    """What a checkpoint must agree in: dict of JSON values."""
    digest = hashlib.sha256()
    for name, tensor in original.parameters():
        digest.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
    options = asdict(config)
    del options["save_every"]
    return {
        "model": digest.hexdigest(),
        "divergence": divergence,
        "config": options,
        "tilts": [[name, weight] for name, weight in ebm.weights.items()],
        "filters": names_of(ebm.filters),
        "contexts": None if contexts is None else [str(context) for context in contexts],
    }
