"""Policy: learn from reward. The one loop of policy gradients, for rewriters, editors and speakers."""

from dataclasses import dataclass, field

import numpy as np
import torch

from workbench.training import adamw, constant, train
from workbench.values import WorkbenchError

_EVEN = 1e-6  # spread of a group's rewards below which the group teaches nothing
_DULL = 8  # first steps in which every group may have equal rewards


class RewardError(WorkbenchError, ValueError):
    """A reward that cannot be learned from: not finite, of the wrong length, or the same for everything."""


class CollapseError(WorkbenchError):
    """A policy that has left the bounds of the run: too far from its start, or one text for all. `told`: its last figures."""

    def __init__(self, text, told):
        super().__init__(text)
        self.told = told


@dataclass
class Play:
    """What a policy did in one step: n groups of m tries at the same task, of t actions each.

    Attributes:
        log_probs: torch.Tensor (n, m, t) float32, log-probability of each action under the policy, with its gradient.
        rewards: array (n, m) float, higher is better.
        mask: torch.Tensor (n, m, t) bool, which actions were taken; None: all.
        start: torch.Tensor (n, m, t) float32, log-probabilities under the policy of the start; None without.
        told: dict of str to float, for the history, such as the share that is right in truth.
        bounds: list of str, what is out of bounds, such as "distinct-2 is .02, below .1"; the run stops on the first.
    """

    log_probs: torch.Tensor
    rewards: np.ndarray
    mask: torch.Tensor | None = None
    start: torch.Tensor | None = None
    told: dict = field(default_factory=dict)
    bounds: list = field(default_factory=list)


def checked(rewards, n, name="the reward"):
    """Rewards of n texts as an array (n,) float64. Raises `RewardError` for another length or what is not finite."""
    found = np.asarray(rewards, dtype=np.float64)
    if found.shape != (n,):
        raise RewardError(f"{name} got {n} texts and gave numbers of shape {found.shape}. It must give one number for each text.")
    if not np.isfinite(found).all():
        at = int(np.flatnonzero(~np.isfinite(found))[0])
        raise RewardError(f"{name} gave {found[at]} for text {at}. Rewards must be finite.")
    return found


def advantages(rewards, scaled=True):
    """How much better each try was than the others at the same task.

    Args:
        rewards: array (n, m) float, of n groups of m tries.
        scaled: bool, divide by the standard deviation of the group.

    Returns:
        array (n, m) float64; zeros for a group whose rewards are equal.

    Source:
        Shao et al., arXiv:2402.03300 (GRPO), section 4.1.2; the mean of the group as baseline: Williams, 1992 (REINFORCE).
    """
    rewards = np.asarray(rewards, dtype=np.float64)
    found = rewards - rewards.mean(1, keepdims=True)
    if scaled:
        spread = rewards.std(1, keepdims=True)
        found = np.where(spread > _EVEN, found / np.maximum(spread, _EVEN), 0.0)
    return found


def divergence(log_probs, start):
    """An estimate of KL(policy | start) for each action that is never negative: exp(d) - d - 1 with d = start - log_probs.

    Its gradient at actions drawn from the policy is that of KL(start | policy), as in GRPO: both are 0 at the start alone, and
    differ far from it.

    Source:
        Schulman, "Approximating KL divergence", 2020, estimator k3; used in GRPO, arXiv:2402.03300, equation 4.
    """
    gap = start - log_probs
    return gap.exp() - gap - 1


def policy_loss(play, beta=0.0, scaled=True):
    """The loss whose gradient is the policy gradient, with a pull to the start.

    Args:
        play: `Play`, drawn from the policy as it is (on-policy: one update for each play).
        beta: float, how much the divergence from the start counts, in units of the advantage per action.
        scaled: bool, see `advantages`.

    Returns:
        (scalar tensor, dict of str to float): `reward`, the mean; `kl`, nats for each try, an estimate that can be
        a little below 0, and 0 without a start; and `play.told`.
    """
    said, start = (
        part if part is None or play.mask is None else torch.where(play.mask, part, 0) for part in (play.log_probs, play.start)
    )
    better = torch.as_tensor(advantages(play.rewards, scaled), dtype=said.dtype, device=said.device)
    each = -better[..., None] * said
    told = {"reward": float(np.mean(play.rewards)), "kl": 0.0, **play.told}
    if start is not None:
        each = each + beta * divergence(said, start)
        # told without the exponential: one action that has become rare would count hundreds of nats and stop a sound run
        told["kl"] = float((said - start).detach().sum(-1).mean())
    return each.sum() / (said.shape[0] * said.shape[1]), told


def reinforce(
    play,
    modules,
    steps,
    rate,
    *,
    beta=0.0,
    most_kl=None,
    scaled=True,
    name="reinforce",
    every=10,
    checkpoint=None,
    save_every=20,
    seed=0,
    progress=True,
):
    """Make a policy better by what its tries earn, in place.

    Args:
        play: function of the step (int, from 0) -> `Play`; it is called with torch seeded by `seed` and the step, and must draw
            from nothing else, so that a stopped run continues bit-equal.
        modules: dict of str to torch.nn.Module, the policy.
        steps: int, updates.
        rate: float, or function of the step -> learning rate, of AdamW without weight decay.
        beta: float, pull to the start, see `policy_loss`.
        most_kl: float, nats for each try beyond which the run stops; None: no bound.
        scaled: bool, see `advantages`.
        name: str, for the progress bar and errors, as in `training.train`, and so are those that follow.
        every: int, steps between two rows of the history.
        checkpoint: `artifacts.Checkpoint`, or None.
        save_every: int, steps between checkpoints.
        seed: int.
        progress: bool.

    Returns:
        `training.Run`; each row of its history has `reward`, `kl` and what `play` told.

    Raises:
        RewardError: a reward that is not finite, or rewards that are equal within every group for the first steps: nothing can
            be learned from them.
        CollapseError: the policy went out of bounds.
        Interrupted: Ctrl-C; the checkpoint is written.
    """
    memo = {"dull": 0}

    def loss(step):
        done = play(step)
        rewards = checked(np.ravel(done.rewards), np.size(done.rewards)).reshape(np.shape(done.rewards))
        if memo["dull"] == step and (np.ptp(rewards, axis=1) <= _EVEN).all():
            memo["dull"] += 1
        if memo["dull"] >= _DULL:
            raise RewardError(
                f"In the first {_DULL} steps all tries at a task earned the same, {rewards.flat[0]:.4g} at last. A reward that "
                "does not tell tries apart teaches nothing: look at what it gives for two different texts."
            )
        value, told = policy_loss(done, beta, scaled)
        wrong = list(done.bounds)
        if most_kl is not None and told["kl"] > most_kl:
            wrong.insert(0, f"the policy is {told['kl']:.3g} nats from its start, the bound is {most_kl:g}")
        if wrong:
            raise CollapseError(f"Stopped at step {step}: {wrong[0]}. Take a lower rate, a higher beta, or another reward.", told)
        return value, told

    return train(
        loss,
        modules,
        adamw(*modules.values(), weight_decay=0.0),
        steps,
        rate if callable(rate) else constant(rate),
        name=name,
        every=every,
        memo=memo,
        checkpoint=checkpoint,
        save_every=save_every,
        seed=seed,
        progress=progress,
    )
