"""An agent that edits scenes towards a goal in words, and learns by what a CLIP thinks of its pictures."""

from dataclasses import asdict, dataclass

import numpy as np
import torch

from workbench import checks
from workbench.artifacts import Checkpoint, Saved
from workbench.search.editor.config import REWARDS, AgentConfig
from workbench.search.policy import Play, reinforce
from workbench.training import cosine

_SURE = 0.5  # P(goal | picture) from which on the judge is sure


@dataclass(frozen=True, eq=False)
class Agent(Saved):
    """A policy over edits: features of a picture and of a sentence -> how likely each edit is.

    Attributes:
        tensors: dict of name -> float32 array, the weights of its network.
        config: `AgentConfig` it was learned with.
        history: tuple of dicts, one for each 10 steps: `step`; `reward`, of the last edit; `right`, the share of episodes that
            end at the goal; `hacked`, the share of those in which the judge is sure and that do not.
    """

    kind = "editing agent"
    tensors: dict
    config: AgentConfig
    history: tuple = ()

    def log_probs(self, pictures, sentences):
        """Log-probabilities of the edits: float32 tensor (n, actions), of features float32 (n, d) and (n, d)."""
        with torch.no_grad():
            return _Policy.of(self.tensors)(pictures, sentences).log_softmax(-1)

    def run(self, view, starts, goals, seed=0):
        """Edit scenes towards goals that it is told in words.

        Args:
            view: `View` of the CLIP and the editor it was learned with; a large offset shows pictures and sentences that it has
                never met.
            starts: int (n, a), states.
            goals: int (n, a), states; the agent gets their sentences only.
            seed: int, for the edits, which are drawn from the policy.

        Returns:
            int array (edits + 1, n, a), the states from the start to the end.

        Raises:
            ValueError: other shapes, or a view of another editor or CLIP.
        """
        seed = checks.seed(seed)
        starts, goals = tasks(view.editor, starts, goals)
        actions, width = len(self.tensors["net.4.bias"]), self.tensors["seen"].shape[1]
        if (len(view.editor.actions), view.clip.width) != (actions, width):
            raise ValueError(
                f"It learned an editor of {actions} actions and features {width} wide, this one has {len(view.editor.actions)} "
                f"and {view.clip.width}. Take the editor and the CLIP that it was learned with."
            )
        generator, path, n = torch.Generator().manual_seed(seed), [starts], len(starts)
        rng = np.random.default_rng(seed)
        looks, wordings = rng.integers(0, view.editor.looks, n), rng.integers(0, view.editor.wordings, n)
        told, net = view.sentences(view.editor.number(goals), wordings), _Policy.of(self.tensors)
        for _ in range(self.config.edits):
            with torch.no_grad():
                chances = net(view.pictures(view.editor.number(path[-1]), looks), told).softmax(-1)
            path.append(view.editor.edit(path[-1], torch.multinomial(chances, 1, generator=generator)[:, 0].numpy()))
        return np.stack(path)

    def to_state(self):
        """Config (JSON values) and tensors that `from_state` reads."""
        return {"options": asdict(self.config), "history": list(self.history)}, dict(self.tensors)

    @classmethod
    def from_state(cls, config, tensors):
        """The `Agent` that `to_state` described; KeyError, TypeError or ValueError for what is none."""
        _Policy.of(tensors)
        return cls(tensors, AgentConfig(**config["options"]), tuple(dict(row) for row in config["history"]))


def learn(view, goals, config=None, *, judge=None, folder=None, progress=True):
    """Learn to edit any scene towards goals in words. Nobody shows how: the agent tries, and a judge looks at the pictures.

    Args:
        view: `View`, with whose features the agent sees and reads.
        goals: int (g, a), states to draw goals from.
        config: `AgentConfig`; None takes the defaults.
        judge: `View` of the same editor whose CLIP gives the rewards "goal" and "similarity"; None takes `view`.
        folder: str, Path or None, for checkpoints; the same call goes on from there, to the same result.
        progress: bool, show a progress bar.

    Returns:
        `Agent`.

    Raises:
        ValueError: goals of another shape, or a judge of another editor.
        RewardError: all tries earn the same, as they may with the sparse reward.
        ArtifactError: `folder` holds another run.

    Source:
        Fan et al., arXiv:2206.08853, section 4.2: the reward; here REINFORCE with the other tries as baseline, in place of PPO.
    """
    config, judge, editor = config or AgentConfig(), judge or view, view.editor
    goals = tasks(editor, goals, goals)[0]
    if judge.editor is not editor:
        raise ValueError("The judge looks at another editor. Make its View with the same one.")
    pictures, sentences = view.all()
    with torch.random.fork_rng([]):
        torch.manual_seed(config.seed)
        net = _Policy(view.clip.width, config.hidden, len(editor.actions))
    for name, rows in (("seen", pictures), ("told", sentences)):
        rows = rows.reshape(-1, rows.shape[-1])
        getattr(net, name)[0].copy_(rows.mean(0))
        getattr(net, name)[1].copy_(1 / rows.std(0, correction=0).clamp_min(1e-4))
    pool = editor.number(goals)

    def play(step):
        rng, n, m = np.random.default_rng([config.seed, step]), config.tasks, config.tries
        goal, start = rng.choice(pool, n), editor.states[rng.integers(0, len(editor.states), n)]
        look, wording = rng.integers(0, editor.looks, n), rng.integers(0, editor.wordings, n)
        others = rng.choice(pool, (n, config.others))
        state, goal, look, wording, others = (np.repeat(part, m, 0) for part in (start, goal, look, wording, others))
        told, log_probs, rewards = sentences[goal, wording], [], []
        for _ in range(config.edits):
            found = net(pictures[editor.number(state), look], told).log_softmax(-1)
            act = torch.multinomial(found.detach().exp(), 1)
            log_probs.append(found.gather(1, act)[:, 0])
            state = editor.edit(state, act[:, 0].numpy())
            rewards.append(earned(config.reward, judge, state, look, goal, others))
        ahead, later = np.zeros_like(rewards), 0.0
        for t in reversed(range(config.edits)):
            later = ahead[t] = rewards[t] + config.gamma * later
        right = editor.number(state) == goal
        sure = rewards[-1] + 1 / (config.others + 1) >= _SURE if config.reward == "goal" else np.zeros(len(right), bool)
        figures = {"reward": float(np.mean(rewards[-1])), "right": float(right.mean()), "hacked": float((sure & ~right).mean())}
        # each edit is a try of its own, compared with the same edit of the other episodes of its task: what came before it was
        # not its doing
        return Play(torch.stack(log_probs).reshape(-1, m, 1), ahead.reshape(-1, m), told=figures)

    checkpoint = None
    if folder is not None:
        run = {"options": asdict(config), "view": view.digest(), "judge": judge.digest(), "goals": pool.tolist()}
        checkpoint = Checkpoint(folder, "editing agent training", run)
    rate = cosine(config.rate, config.steps, min(10, config.steps - 1), 0.05)
    done = reinforce(
        play,
        {"net": net},
        config.steps,
        rate,
        name="learning to edit",
        checkpoint=checkpoint,
        seed=config.seed,
        progress=progress,
    )
    return Agent({name: value.numpy().copy() for name, value in net.state_dict().items()}, config, tuple(done.history))


def earned(reward, judge, states, looks, goals, others):
    """What states earn.

    Args:
        reward: str, one of `config.REWARDS`.
        judge: `View`.
        states: int (n, a).
        looks: int (n,), which picture of each.
        goals: int (n,), numbers of states.
        others: int (n, k), numbers of states whose sentences the goal is compared with.

    Returns:
        float64 array (n,).

    Raises:
        ValueError: another reward.

    Source:
        "goal": Fan et al., arXiv:2206.08853, equation 1, with the temperature that the CLIP was trained with.
    """
    numbers = judge.editor.number(states)
    if checks.one_of("reward", reward, REWARDS) == "sparse":
        return (numbers == goals).astype(float)
    if reward == "dense":
        return (states == judge.editor.states[goals]).mean(1)
    seen = judge.pictures(numbers, looks)
    near = torch.einsum("nd,nkd->nk", seen, judge.sentences(np.concatenate([goals[:, None], others], 1), 0))
    if reward == "similarity":
        return near[:, 0].double().numpy()
    chance = (judge.scale * near).softmax(1)[:, 0].double().numpy()
    return np.maximum(chance - 1 / near.shape[1], 0)


def search(view, starts, goals, edits=6):
    """The strong rival without learning: look at all edits of a scene, keep the picture that is nearest to the goal.

    Args:
        view: `View`.
        starts: int (n, a), states.
        goals: int (n, a), states.
        edits: int, edits of an episode; each draws as many pictures as there are actions.

    Returns:
        int array (edits + 1, n, a), the states from the start to the end.
    """
    editor, (state, goals) = view.editor, tasks(view.editor, starts, goals)
    told, path, k = view.sentences(editor.number(goals), 0), [state], len(editor.actions)
    for _ in range(checks.whole("edits", edits)):
        tried = editor.edit(np.repeat(path[-1], k, 0), np.tile(np.arange(k), len(state)))
        near = torch.einsum("nkd,nd->nk", view.pictures(editor.number(tried), 0).reshape(len(state), k, -1), told)
        path.append(editor.edit(path[-1], near.argmax(1).numpy()))
    return np.stack(path)


class _Policy(torch.nn.Module):
    """Features of pictures (n, d) and of sentences (n, d) -> logits of edits (n, actions)."""

    def __init__(self, width, hidden, actions):
        super().__init__()
        nn = torch.nn
        self.register_buffer("seen", torch.stack([torch.zeros(width), torch.ones(width)]))
        self.register_buffer("told", torch.stack([torch.zeros(width), torch.ones(width)]))
        layers = nn.Linear(2 * width, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, actions)
        self.net = nn.Sequential(*layers)

    def forward(self, pictures, sentences):
        parts = [(x - shift) * scale for x, (shift, scale) in ((pictures, self.seen), (sentences, self.told))]
        return self.net(torch.cat(parts, -1))

    @classmethod
    def of(cls, tensors):
        net = cls(tensors["seen"].shape[1], len(tensors["net.0.bias"]), len(tensors["net.4.bias"]))
        net.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in tensors.items()})
        return net


def tasks(editor, starts, goals):
    """Starts and goals as int64 (n, a) that the editor has."""
    starts, goals = np.asarray(starts), np.asarray(goals)
    for name, rows in (("starts", starts), ("goals", goals)):
        if rows.ndim != 2 or rows.shape[1] != len(editor.sizes) or not len(rows) or rows.dtype.kind not in "iu":
            raise ValueError(
                f"{name} are states, ints (n, {len(editor.sizes)}), n > 0; got {rows.dtype} {rows.shape}. See `rows`."
            )
        if (rows < 0).any() or (rows >= editor.sizes).any():
            raise ValueError(f"{name} hold numbers that no value has: attributes have {editor.sizes} values.")
    if len(starts) != len(goals):
        raise ValueError(f"Each start needs a goal: got {len(starts)} starts and {len(goals)} goals.")
    return starts.astype(np.int64), goals.astype(np.int64)
