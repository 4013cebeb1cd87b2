"""Tuning: teaches a target to a language model, so that it samples near the target by itself."""

import dataclasses
import hashlib
import math
from dataclasses import dataclass

import numpy as np
import torch

from workbench import artifacts, checks, files, training
from workbench.control import proposals
from workbench.control.guide.descent import Descent, Weights
from workbench.control.guide.divergences import DIVERGENCES
from workbench.control.guide.energy import EBM
from workbench.control.guide.scoring import check_contexts
from workbench.values import GuideError

_SAVE_EVERY = 25  # steps between checkpoints


@dataclass(frozen=True)
class TuneConfig(checks.Options):
    """Options of `tune`."""

    batch: int = 256  # samples per step, over all its contexts
    rate: float = 1e-3  # learning rate; 1e-5 to 1e-4 suits models of 100 million weights and more
    warmup: int = 10  # steps in which the rate rises
    offline: bool = False  # draw from a frozen copy that is replaced when the policy has come nearer to the target
    seed: int = 0

    def __post_init__(self):
        self.check(wholes={"batch": 2, "warmup": 0})


@dataclass(frozen=True, eq=False)
class Tuned:
    """A tuned model.

    Attributes:
        proposal: the tuned policy, a `Proposal`; for a language model `proposal.lm` is the new model.
        history: list of dicts, one per step: `step`, from 1; `kl`, KL(target, policy), nats, `tvd`, `ess` (share), estimated from
            the step's samples before its update; `divergence`, the one tuned for; `kl_source`, KL(target, what was drawn from);
            `kl_original`, KL(policy, original), nats; `log_z`; `moments`, dict of scorer name -> mean under the policy. Values
            without an estimate are None.
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
        """Write model and tokenizer where `models.load_lm` finds them; an older one there is replaced, whole or not at all.

        Raises:
            ArtifactError: the folder holds something else, it cannot be written, or the disk is full.
        """
        with files.replacing_ours(files.path(folder, "folder"), "tuned model", "files.json") as part:
            self.proposal.lm.model.save_pretrained(part)
            self.proposal.lm.tokenizer.save_pretrained(part)

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
    """Bring a model near a target by distributional policy gradients; the given model is not changed.

    Ctrl-C ends it after the current step, prints how to go on, and returns the model as tuned so far.

    Args:
        lm: `models.LM`, `LMProposal` without top-k and top-p, or any proposal that can also `copy()`, give `parameters()` as
            pairs (name, tensor) and `log_prob(samples)` as a tensor with gradients.
        ebm: `EBM`, the target.
        divergence: "kl" (DPG), "reverse_kl", "js", "tv" or "chi2" (f-DPG): what is minimised.
        steps: int, updates in all.
        config: `TuneConfig`.
        contexts: list of contexts for a conditional target: each step tunes `ebm.given(context)` for up to 8 of them.
        folder: where checkpoints go; the same call goes on where it was stopped, also with more steps.
        progress: bool, show a progress bar.

    Returns:
        `Tuned`.

    Raises:
        GuideError: a model that cannot be tuned, or no sample has any probability under the target.
        ArtifactError: the folder holds something else, or the checkpoint of another target, model or config.
        ValueError: a bad argument, or the checkpoint has gone more than `steps` steps.

    Source:
        DPG: Khalifa et al., arXiv:2012.11635; its baseline: Korbak et al., arXiv:2206.00761; contexts: Korbak et al.,
        arXiv:2112.00791; other divergences: Go et al., arXiv:2302.08215.
    """
    checks.one_of("divergence", divergence, tuple(DIVERGENCES))
    if not isinstance(ebm, EBM):
        raise GuideError(f"The target must be an EBM, got {type(ebm).__name__}. Make it with constrain, or EBM((proposal,)).")
    check_contexts(contexts)
    steps, original = checks.whole("steps", steps), _trainable(lm, ebm)
    policy = original.copy()
    source = original.copy() if config.offline else policy
    memo = {"normalisers": {}, "kl": []}
    if ebm.fit is not None and contexts is None:
        memo["normalisers"][""] = [ebm.fit.log_z + math.log(ebm.fit.ess), math.log(ebm.fit.ess)]
    weights, checkpoint = Weights(policy), None
    if folder is not None:
        checkpoint = artifacts.Checkpoint(folder, "guide tuning", _run(original, ebm, divergence, config, contexts))
    try:
        run = training.train(
            Descent(policy, source, original, ebm, divergence, config, contexts, memo),
            {"policy": weights} | ({"source": Weights(source)} if config.offline else {}),
            torch.optim.Adam(weights.tensors.values(), config.rate),
            steps,
            training.constant(config.rate, config.warmup),
            name="tuning",
            every=1,
            memo=memo,
            checkpoint=checkpoint,
            save_every=_SAVE_EVERY,
            seed=config.seed,
            progress=progress,
        )
    except training.Interrupted as err:
        run = err.run
        more = f"the same call goes on from {folder}" if folder else "give folder= to be able to go on"
        print(f"Stopped after step {run.step} of {steps}, with the model as tuned so far; {more}.")
    for tensor in weights.tensors.values():
        tensor.requires_grad_(False)
    return Tuned(policy, run.history, divergence)


def _trainable(lm, ebm):
    """The proposal to tune; for a plain language model the one that the target was made with, if there is one."""
    found = next((base for base in ebm.bases if getattr(base, "lm", None) is lm), None) or proposals.of(lm)
    lacking = [verb for verb in ("copy", "parameters", "log_prob") if not callable(getattr(found, verb, None))]
    if lacking and hasattr(found, "dsl"):
        raise GuideError(
            "A learned language cannot be tuned: a prior draws its templates and a writer fills them, with the least likely "
            "words cut off (top_p), so that its samples give no gradients. Steer it without tuning: "
            "quasi_rejection(ebm, budget=10), or importance_resample(ebm, pool=ebm.fit.pool). To learn moments into weights, "
            "tune a language model (models.load_lm)."
        )
    if lacking:
        raise GuideError(
            f"{type(found).__name__} cannot be tuned: it has no {', '.join(lacking)}. Give a models.LM or LMProposal."
        )
    if hasattr(found, "cut") and not found.cut.whole:
        raise GuideError(
            "A model with top_k or top_p cannot be tuned, because it never draws what it might learn. Tune it without, and set "
            "them on the result: dataclasses.replace(tuned.proposal, top_p=0.9)."
        )
    if getattr(found, "processor", None) is not None:
        raise GuideError(
            "A model with a processor cannot be tuned: its gradient would miss what the processor reads. Tune without."
        )
    return found


def _run(original, ebm, divergence, config, contexts):
    """What a checkpoint must agree in: dict of JSON values."""
    digest = hashlib.sha256()
    for name, tensor in original.parameters():
        digest.update(name.encode() + tensor.detach().cpu().float().numpy().tobytes())  # numpy has no bfloat16
    fields = vars(original) if dataclasses.is_dataclass(original) else {}
    return {
        "model": digest.hexdigest(),
        "proposal": {name: value for name, value in fields.items() if isinstance(value, (str, int, float))},
        "divergence": divergence,
        "config": dataclasses.asdict(config),
        "tilts": ebm.weights,
        "filters": list(ebm.scorers)[len(ebm.tilts) :],
        "contexts": None if contexts is None else [str(context) for context in contexts],
    }
