"""Reinforce: a policy of prompts learns from what comes out."""

import hashlib
import sys
from dataclasses import dataclass

import numpy as np
import torch

from workbench import checks
from workbench.artifacts import Checkpoint
from workbench.search import policy as loop
from workbench.search.adapt.config import AdaptConfig
from workbench.search.adapt.rewriter import distinct_pairs
from workbench.search.soft.learning import batch
from workbench.training import Interrupted, cosine

_WARMUP, _FLOOR = 3, 0.1
_EVERY = 5  # steps between two rows of the history, and two samples shown


@dataclass(frozen=True, eq=False)
class Adapted:
    """A policy that learned from reward.

    Attributes:
        policy: the policy after the last step, such as a `Rewriter`.
        start: the policy before the first step.
        history: list of dicts, one for each 5 steps, means over them: `step`, `reward`, `kl` (nats for each try, from the
            start), `distinct` (share of different pairs of words), what `truth` measures, and `sample`, a text of the last step.
        seconds: float, wall-clock time of the steps.
        stopped: str, "steps" or "interrupted".
    """

    policy: object
    start: object
    history: list
    seconds: float
    stopped: str

    def curve(self, name):
        """A column of the history: float64 (rows,)."""
        return np.array([row[name] for row in self.history], np.float64)


def reinforce(policy, reward, prompts, config=None, *, truth=None, folder=None, progress=True):
    """Make a policy better by the reward of what it writes; the given policy is not changed.

    Each step draws several tries for some prompts, and makes those likelier that earned more than the others at the same prompt,
    with a pull to the start. A picture, or a reply, that the reward asks for is its own business: it gets all tries of a step at
    once.

    Args:
        policy: `Rewriter` or `Phrases`; or what has `draw`, `log_probs`, `copy`, `modules` and `sha256` as they do.
        reward: function, list of n texts -> n numbers, higher is better: a scorer of `control`, `adapt.promptist(...)`. Each text
            is a `Sample` whose `context` is the prompt.
        prompts: list of p prompts that the policy takes.
        config: `AdaptConfig`; None takes the defaults.
        truth: dict of str to functions as `reward`; their means go into the history and are never learned from.
        folder: str, Path or None, for checkpoints every 20 steps; the same call goes on from there, to the same result, bit for
            bit, as without the interruption. Reward and truth must be the same then: they are not compared.
        progress: bool, show a progress bar, and a sample every 5 steps.

    Returns:
        `Adapted`. Ctrl-C ends it after the step and returns the policy so far, with `stopped` "interrupted".

    Raises:
        TypeError: a policy, reward or prompts of another type.
        ValueError: no prompts, or one that the policy cannot take.
        RewardError: a reward that is not finite, of another length, or equal within every group in the first 8 steps.
        CollapseError: the policy is further from its start than `config.most_kl`, or its texts are less different than
            `config.least_distinct`.
        ArtifactError: `folder` holds another run.

    Source:
        Hao et al., arXiv:2212.09611, section 2.2 (PPO with a pull to the start); groups in place of a value head: Shao et al.,
        arXiv:2402.03300.
    """
    config, truth = config or AdaptConfig(), dict(truth or {})
    prompts = check_prompts(policy, reward, prompts, truth)
    start, learner = policy.copy(learns=False), policy.copy()

    def play(step):
        chosen = [prompts[i] for i in batch(range(len(prompts)), config.inputs, step, config.seed)]
        own = np.random.SeedSequence([config.seed, 7, step]).generate_state(1)[0]
        groups = learner.draw(chosen, config.samples, torch.Generator().manual_seed(int(own)))
        tries = [one for group in groups for one in group]
        rewards = loop.checked(reward(tries), len(tries))
        told = {name: float(np.mean(loop.checked(found(tries), len(tries), name))) for name, found in truth.items()}
        told["distinct"] = distinct_pairs(tries)
        told["sample"] = str(tries[int(rewards[: config.samples].argmax())])
        bounds = []
        if told["distinct"] < config.least_distinct:
            bounds = [f"the share of different pairs of words is {told['distinct']:.3g}, the bound is {config.least_distinct:g}"]
        log_probs, mask = learner.log_probs(tries)
        with torch.inference_mode():
            before = start.log_probs(tries)[0]
        shape = (len(groups), config.samples, -1)
        return loop.Play(
            log_probs.reshape(shape),
            rewards.reshape(shape[:2]),
            mask.reshape(shape),
            before.clone().reshape(shape),
            told,
            bounds,
        )

    digest = hashlib.sha256(repr([(str(one), getattr(one, "context", "")) for one in prompts]).encode()).hexdigest()
    run = {"options": vars(config), "policy": policy.sha256(), "prompts": digest, "truth": sorted(truth)}
    checkpoint = None if folder is None else Checkpoint(folder, "learning from reward", run)
    stopped = "steps"
    try:
        done = loop.reinforce(
            play,
            learner.modules,
            config.steps,
            cosine(config.rate, config.steps, min(_WARMUP, config.steps - 1), _FLOOR),
            beta=config.beta,
            most_kl=config.most_kl,
            scaled=config.scaled,
            name="learning from reward",
            every=_EVERY,
            checkpoint=checkpoint,
            seed=config.seed,
            progress=progress,
        )
    except Interrupted as stop:
        print(f"Interrupted after step {stop.run.step} of {config.steps}: here is the policy so far.", file=sys.stderr)
        done, stopped = stop.run, "interrupted"
    return Adapted(learner, start, done.history, done.seconds, stopped)


def check_prompts(policy, reward, prompts, truth):
    """The prompts as a list, once all that `reinforce` is given can be used."""
    lacks = [name for name in ("draw", "log_probs", "copy", "modules", "sha256") if not hasattr(policy, name)]
    if lacks or isinstance(policy, type):
        kind = policy.__name__ if isinstance(policy, type) else type(policy).__name__
        raise TypeError(f"{kind} is no policy: it has no {', '.join(lacks) or 'state'}. Make one with adapt.rewriter(lm, pairs).")
    for name, found in {"reward": reward, **truth}.items():
        if not callable(found):
            raise TypeError(f"{name} must be a function of a list of texts, got {type(found).__name__}.")
    taken = {"reward", "kl", "distinct", "sample", "step"} & set(truth)
    if taken:
        raise ValueError(f"truth may not be called {', '.join(sorted(taken))}: the history has that already.")
    found = checks.texts(prompts, "prompts")
    check = getattr(policy, "check", None)
    if check is not None:
        check(found)
    return found
