"""Long-term preference: learn from an old log what to show next, so that people come back."""

import copy
import hashlib
from dataclasses import asdict, dataclass

import numpy as np
import torch

from workbench import checks
from workbench.artifacts import Checkpoint, Saved
from workbench.search.preference.config import LongTermConfig
from workbench.training import adamw, cosine, train

_FOLLOW = 0.01  # share by which the target of the Q values follows them at each step
_RARE = 0.05  # actions that the log took less often than this share of its most frequent one are not chosen: nothing is known


@dataclass(frozen=True, eq=False)
class LongTermPolicy(Saved):
    """What to show in a state, learned from a log.

    Attributes:
        tensors: dict of name -> float32 array, the weights of the networks "log...", "q..." and "v...".
        config: `LongTermConfig` it was learned with.
        history: tuple of dicts, one for each 100 steps: `step`, and the losses of `log`, `q` and `v`.
    """

    kind = "long-term policy"
    tensors: dict
    config: LongTermConfig
    history: tuple = ()

    def as_logged(self, states):
        """How likely the log is to show each action: float32 (n, k), rows sum to 1. To show the same is to copy the log.

        Args:
            states: float (n, d).

        Raises:
            ValueError: another shape, NaN or infinity.
        """
        return self._of("log", states).softmax(1).numpy()

    def values(self, states):
        """What each action is worth in the long run, in units of the spread of the rewards: float32 (n, k). See `as_logged`."""
        return self._of("q", states).numpy()

    def choose(self, states):
        """The action of the highest value of those that the log shows at least now and then: int array (n,). See `as_logged`."""
        logged = self.as_logged(states)
        return np.where(logged >= _RARE * logged.max(1, keepdims=True), self.values(states), -np.inf).argmax(1)

    def to_state(self):
        """Config (JSON values) and tensors that `from_state` reads."""
        return {"options": asdict(self.config), "history": list(self.history)}, dict(self.tensors)

    @classmethod
    def from_state(cls, config, tensors):
        """The `LongTermPolicy` that `to_state` described; KeyError, TypeError or ValueError for what is none."""
        found = cls(tensors, LongTermConfig(**config["options"]), tuple(dict(row) for row in config["history"]))
        found.choose(np.zeros((1, tensors["q.0.weight"].shape[1]), np.float32))
        return found

    def _of(self, name, states):
        width = self.tensors[f"{name}.0.weight"].shape[1]
        states = np.asarray(states, np.float32)
        if states.ndim != 2 or states.shape[1] != width:
            raise ValueError(f"This policy reads states (n, {width}), got shape {states.shape}.")
        if not np.isfinite(states).all():
            raise ValueError("The states hold NaN or infinity.")
        net = _network(width, self.config.hidden, len(self.tensors[f"{name}.4.bias"]))
        net.load_state_dict({key: torch.from_numpy(np.array(self.tensors[f"{name}.{key}"])) for key in net.state_dict()})
        with torch.no_grad():
            return net(torch.from_numpy(states))


def steps(states, actions, k):
    """Features of what was done in each state, for a reward model: states with the action beside them, one-hot.

    Args:
        states: float (n, t, d) or (n, t + 1, d), of which the last are left out.
        actions: int (n, t), 0..k-1.
        k: int, actions there are.

    Returns:
        float32 array (n, t, d + k).

    Raises:
        ValueError: an empty log, or shapes that do not fit together.
    """
    states, actions = _log(states, actions, k, 0)
    return np.concatenate([states[:, : actions.shape[1]], np.eye(k, dtype=np.float32)[actions]], 2)


def learn_policy(states, actions, rewards, k, config=None, *, folder=None, progress=True):
    """Learn what to show from an old log: nobody is asked, and nothing is tried.

    Three networks learn side by side: Q, what an action is worth with all that follows; V, what a state is worth by the better
    ones of the actions that the log took there (an expectile); and a copy of the log, which says what it never tried.

    Args:
        states: float (n, t + 1, d), what was known before each of t steps of n histories, and after the last.
        actions: int (n, t), what was shown, 0..k-1.
        rewards: float (n, t), what each step was worth: `RewardModel` scores of `steps`, or clicks.
        k: int, actions there are.
        config: `LongTermConfig`; None takes the defaults.
        folder: str, Path or None, for checkpoints; the same call goes on from there, to the same result.
        progress: bool, show a progress bar.

    Returns:
        `LongTermPolicy`.

    Raises:
        ValueError: an empty log, shapes that do not fit together, NaN, or rewards that are all equal.
        ArtifactError: `folder` holds another run.

    Source:
        Xue et al., arXiv:2212.02779, section 4; Q and V: Kostrikov et al., arXiv:2110.06169, equations 5 and 6; no action that
        the log does not know: Fujimoto et al., arXiv:1910.01708, section 4.
    """
    config = config or LongTermConfig()
    states, actions = _log(states, actions, k, 1)
    rewards = np.asarray(rewards, np.float32)
    if rewards.shape != actions.shape or not np.isfinite(rewards).all():
        raise ValueError(f"Each step needs a finite reward: got rewards {rewards.shape} for actions {actions.shape}.")
    if rewards.std() < 1e-6:
        raise ValueError(f"All rewards of the log are {rewards.flat[0]:.4g}: nothing tells one action from another.")
    worth = torch.from_numpy((rewards - rewards.mean()) / rewards.std()).reshape(-1)
    now = torch.from_numpy(states[:, :-1].reshape(len(worth), -1))
    then = torch.from_numpy(states[:, 1:].reshape(len(worth), -1))
    did = torch.from_numpy(actions.reshape(-1))
    with torch.random.fork_rng([]):
        torch.manual_seed(config.seed)
        q, v, log = (_network(now.shape[1], config.hidden, out) for out in (k, 1, k))
    target = copy.deepcopy(q).requires_grad_(False)

    def loss(step):
        rows = torch.from_numpy(np.random.default_rng([config.seed, step]).integers(0, len(worth), config.batch))
        act = did[rows, None]
        value = v(now[rows])[:, 0]
        with torch.no_grad():
            aim = worth[rows] + config.gamma * v(then[rows])[:, 0]
            known = target(now[rows]).gather(1, act)[:, 0]
        ahead = known - value
        of_v = (torch.where(ahead > 0, config.expectile, 1 - config.expectile) * ahead**2).mean()
        of_q = ((q(now[rows]).gather(1, act)[:, 0] - aim) ** 2).mean()
        of_log = torch.nn.functional.cross_entropy(log(now[rows]), act[:, 0])
        parts = {"log": float(of_log.detach()), "q": float(of_q.detach()), "v": float(of_v.detach())}
        return of_v + of_q + of_log, parts

    def follow(step):
        with torch.no_grad():
            for slow, fast in zip(target.parameters(), q.parameters(), strict=True):
                slow.lerp_(fast, _FOLLOW)

    checkpoint = None
    if folder is not None:
        digest = hashlib.sha256(states.tobytes() + actions.tobytes() + rewards.tobytes()).hexdigest()
        checkpoint = Checkpoint(folder, "long-term policy training", {"options": asdict(config), "data": digest})
    nets = {"log": log, "q": q, "v": v}
    run = train(
        loss,
        nets | {"target": target},
        adamw(*nets.values(), weight_decay=0.0),
        config.steps,
        cosine(config.rate, config.steps, min(20, config.steps - 1), 0.05),
        name="learning from the log",
        clip=None,  # the three losses do not share weights: one norm for all would tie them together
        every=100,
        after=follow,
        checkpoint=checkpoint,
        save_every=100,
        seed=config.seed,
        progress=progress,
    )
    tensors = {f"{name}.{key}": value.numpy().copy() for name, net in nets.items() for key, value in net.state_dict().items()}
    return LongTermPolicy(tensors, config, tuple(run.history))


def _network(width, hidden, out):
    nn = torch.nn
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, out))


def _log(states, actions, k, more):
    """States as float32 (n, t + 0 or 1, d) and actions as int64 (n, t) of a log that is not empty."""
    checks.whole("k", k)
    states, actions = np.asarray(states, np.float32), np.asarray(actions)
    if not actions.size or not states.size:
        raise ValueError("The log is empty: there is no history to learn from.")
    fits = states.ndim == 3 and actions.ndim == 2 and len(states) == len(actions)
    if not fits or states.shape[1] - actions.shape[1] not in ((more,) if more else (0, 1)):
        wanted = "(n, t + 1, d)" if more else "(n, t, d)"
        raise ValueError(f"A log has states {wanted} and actions (n, t), got {states.shape} and {actions.shape}.")
    if actions.dtype.kind not in "iu" or actions.min() < 0 or actions.max() >= k:
        raise ValueError(f"Actions are ints from 0 to {k - 1}, got {actions.dtype}, {actions.min()} to {actions.max()}.")
    if not np.isfinite(states).all():
        raise ValueError("The states of the log hold NaN or infinity.")
    return states, actions.astype(np.int64)
