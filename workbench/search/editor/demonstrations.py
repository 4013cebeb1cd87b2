"""A demonstration in front tells the task: an agent that does in a new task what it is shown (Prompt-DT)."""

from dataclasses import asdict, dataclass

import numpy as np
import torch
import transformers

from workbench import checks
from workbench.artifacts import Checkpoint, Saved
from workbench.search.editor.agent import tasks
from workbench.search.editor.config import FollowConfig
from workbench.training import adamw, cosine, train

_HEADS = 4
_START = {"state": 0.5, "action": 0.25, "time": 0.5, "left": 0.25, "core": 0.08}  # spread of weights at the start, by trial


@dataclass(frozen=True)
class Episode:
    """What somebody did in n tasks, t edits in each.

    Attributes:
        states: int64 (n, t, a), before each edit.
        actions: int64 (n, t).
        rewards: float32 (n, t), the share of attributes that are right after each edit.
        final: int64 (n, a), the states after the last edit.
    """

    states: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    final: np.ndarray

    def last(self, k):
        """The last k edits, as an `Episode`; ValueError if there are fewer."""
        first = self.actions.shape[1] - checks.whole("k", k, 1, self.actions.shape[1])
        return Episode(*(part[:, first:] for part in (self.states, self.actions, self.rewards)), self.final)

    @property
    def left(self):
        """What is still earned, before each edit: float32 (n, t)."""
        return np.ascontiguousarray(self.rewards[:, ::-1].cumsum(1)[:, ::-1])


def demonstrate(editor, starts, goals, edits=6, act=None):
    """Episodes of an expert who knows the goals.

    Args:
        editor: `SceneEditor`.
        starts: int (n, a), states.
        goals: int (n, a), states; they decide about the rewards.
        edits: int >= 1.
        act: function of (states, goals) -> actions int (n,); None takes `editor.expert`.

    Returns:
        `Episode`.

    Raises:
        ValueError: starts or goals of another shape.
    """
    state, goals = tasks(editor, starts, goals)
    rows = []
    for _ in range(checks.whole("edits", edits)):
        done = (act or editor.expert)(state, goals)
        after = editor.edit(state, done)
        rows.append((state, done, (after == goals).mean(1).astype(np.float32)))
        state = after
    return Episode(*(np.stack(part, 1) for part in zip(*rows, strict=True)), state)


@dataclass(frozen=True, eq=False)
class Follower(Saved):
    """A transformer that continues what stands before: a demonstration of the task, if there is one, and its own edits.

    Attributes:
        tensors: dict of name -> float32 array, its weights.
        config: `FollowConfig` it was learned with.
        actions: int, how many edits it can do.
        history: tuple of dicts, one for each 50 steps: `step` and `loss`.
    """

    kind = "demonstration follower"
    tensors: dict
    config: FollowConfig
    actions: int
    history: tuple = ()

    def run(self, editor, starts, goals, shown=None):
        """Do tasks. The goals are used for the rewards only, which it gets after each edit.

        Args:
            editor: `SceneEditor`.
            starts: int (n, a), states.
            goals: int (n, a), states.
            shown: `Episode` of n demonstrations, see `demonstrate`, of any goals; None for none.

        Returns:
            `Episode`.

        Raises:
            ValueError: other shapes, a demonstration longer than it has learned to read, or another number of them.
        """
        starts, goals = tasks(editor, starts, goals)
        n, edits = len(starts), self.config.edits
        if len(editor.actions) != self.actions:
            raise ValueError(f"It learned an editor of {self.actions} actions, this one has {len(editor.actions)}.")
        if shown is not None and not (len(shown.states) == n and 1 <= shown.states.shape[1] <= self.config.shown):
            raise ValueError(
                f"{n} tasks need {n} demonstrations of 1 to {self.config.shown} steps, got {len(shown.states)} of "
                f"{shown.states.shape[1]}. `Episode.last` cuts them."
            )
        net = _Decider(self.config, self.actions)
        net.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in self.tensors.items()})
        net.eval()
        aim = demonstrate(editor, starts, goals, edits).rewards.sum(1)  # the return that it is asked for: what an expert gets
        state, states, actions, rewards = starts, [], [], np.zeros((n, 0), np.float32)
        for _ in range(edits):
            states.append(state)
            actions.append(np.zeros(n, np.int64))  # not known yet, and not looked at
            left = (aim[:, None] - np.concatenate([np.zeros((n, 1)), rewards.cumsum(1)], 1)).astype(np.float32)
            so_far = np.stack(states, 1), np.stack(actions, 1), left
            with torch.no_grad():
                actions[-1] = net(editor, so_far, shown)[:, -1].argmax(1).numpy()
            state = editor.edit(state, actions[-1])
            rewards = np.concatenate([rewards, (state == goals).mean(1, keepdims=True).astype(np.float32)], 1)
        return Episode(np.stack(states, 1), np.stack(actions, 1), rewards, state)

    def to_state(self):
        """Config (JSON values) and tensors that `from_state` reads."""
        config = {"options": asdict(self.config), "actions": self.actions, "history": list(self.history)}
        return config, dict(self.tensors)

    @classmethod
    def from_state(cls, config, tensors):
        """The `Follower` that `to_state` described; KeyError, TypeError, ValueError or RuntimeError for what is none."""
        options = FollowConfig(**config["options"])
        _Decider(options, config["actions"]).load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
        return cls(tensors, options, config["actions"], tuple(dict(row) for row in config["history"]))


def learn_to_follow(editor, goals, config=None, *, folder=None, progress=True):
    """Learn from an expert's episodes of many tasks, each with a demonstration of the same task from another start in front.

    Args:
        editor: `SceneEditor`; pictures are not needed.
        goals: int (g, a), states to draw goals from; none is told.
        config: `FollowConfig`; None takes the defaults.
        folder: str, Path or None, for checkpoints; the same call goes on from there, to the same result.
        progress: bool, show a progress bar.

    Returns:
        `Follower`.

    Raises:
        ValueError: goals of another shape.
        ArtifactError: `folder` holds another run.

    Source:
        Xu et al., arXiv:2206.13499, section 4. Here a step of an episode is one token, the sum of what is still earned, the
        state and the action before; there it is three.
    """
    config = config or FollowConfig()
    goals = tasks(editor, goals, goals)[0]
    with torch.random.fork_rng([]):
        torch.manual_seed(config.seed)
        net = _Decider(config, len(editor.actions))

    def loss(step):
        rng, n = np.random.default_rng([config.seed, step]), config.batch
        goal = goals[rng.integers(0, len(goals), n)]
        begin, other = (editor.states[rng.integers(0, len(editor.states), n)] for _ in range(2))
        shown, k = None, int(rng.integers(1, config.shown + 1)) if config.shown else 0
        if k:
            shown = demonstrate(editor, other, goal, max(k, config.edits)).last(k)
        own = demonstrate(editor, begin, goal, config.edits)
        found = net(editor, (own.states, own.actions, own.left), shown)
        return torch.nn.functional.cross_entropy(found.flatten(0, 1), torch.from_numpy(own.actions).flatten())

    checkpoint = None
    if folder is not None:
        run = {"options": asdict(config), "sizes": list(editor.sizes), "goals": editor.number(goals).tolist()}
        checkpoint = Checkpoint(folder, "demonstration follower training", run)
    done = train(
        loss,
        {"net": net},
        adamw(net),
        config.steps,
        cosine(config.rate, config.steps, min(20, config.steps - 1), 0.05),
        name="learning to follow",
        every=50,
        checkpoint=checkpoint,
        save_every=50,
        seed=config.seed,
        progress=progress,
    )
    tensors = {name: value.numpy().copy() for name, value in net.state_dict().items()}
    return Follower(tensors, config, len(editor.actions), tuple(done.history))


class _Decider(torch.nn.Module):
    """Steps of a demonstration and of an episode -> logits of the episode's edits (n, t, actions)."""

    def __init__(self, config, actions):
        super().__init__()
        self.shown, nn, w = config.shown, torch.nn, config.width
        self.state, self.left, self.norm = nn.Linear(actions, w), nn.Linear(1, w), nn.LayerNorm(w)
        self.action, self.time = nn.Embedding(actions + 1, w), nn.Embedding(config.shown + config.edits, w)
        for name in ("state", "action", "time", "left"):
            nn.init.normal_(getattr(self, name).weight, std=_START[name])
        off = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
        settings = transformers.GPT2Config(
            vocab_size=1,
            n_positions=config.shown + config.edits,
            n_embd=w,
            n_layer=config.layers,
            n_head=_HEADS,
            initializer_range=_START["core"],
            bos_token_id=None,
            eos_token_id=None,
            use_cache=False,
            **off,
        )
        self.core, self.out = transformers.GPT2Model(settings), nn.Linear(w, actions)

    def forward(self, editor, own, shown=None):
        """`own`: (states int (n, t, a), actions int (n, t), what is left float (n, t)); `shown`: `Episode` or None."""
        parts, k = [own], 0
        if shown is not None:
            k = shown.states.shape[1]
            parts.insert(0, (shown.states, shown.actions, shown.left))
        states, actions, left = (np.concatenate(part, 1) for part in zip(*parts, strict=True))
        before = np.concatenate([np.full((len(actions), 1), self.action.num_embeddings - 1), actions[:, :-1]], 1)
        # a demonstration ends where the episode begins, whatever its length
        time = torch.arange(self.shown - k, self.shown + own[1].shape[1])
        token = self.state(editor.one_hot(states)) + self.left(torch.from_numpy(left)[..., None] / 6)
        token = self.norm(token + self.action(torch.from_numpy(before)) + self.time(time))
        # without position ids: where these jump, transformers would take it for a second text and hide the first
        return self.out(self.core(inputs_embeds=token).last_hidden_state)[:, k:]
