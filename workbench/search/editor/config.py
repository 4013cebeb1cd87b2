"""Options of agents that edit."""

from dataclasses import dataclass

from workbench import checks

REWARDS = ("goal", "similarity", "sparse", "dense")


@dataclass(frozen=True)
class AgentConfig(checks.Options):
    """Options of `editor.learn`.

    Attributes:
        reward: str, what an edit earns.
            "goal": how much likelier than by chance the judge finds the goal among n sentences: max(P(goal | picture) - 1/n, 0).
            "similarity": the judge's cosine of goal and picture, alone.
            "sparse": 1 where the scene is the goal, 0 elsewhere; the truth, which a real task seldom gives.
            "dense": the share of attributes that are right; the truth as well, in small portions.
        others: int, n - 1, sentences that the goal is compared with.
        edits: int, edits of an episode.
        tasks: int, pairs of a start and a goal in a step of training.
        tries: int, episodes for each of them.
        gamma: float 0..1, how much later rewards count.
        hidden: int, width of the two hidden layers of the agent.
        steps: int, steps of training.
        rate: float, the highest learning rate.
        seed: int.

    Raises:
        ValueError: an option out of its range.

    Source:
        The reward "goal": Fan et al., "MineDojo", arXiv:2206.08853, section 4.2.
    """

    reward: str = "goal"
    others: int = 31
    edits: int = 6
    tasks: int = 32
    tries: int = 4
    gamma: float = 0.9
    hidden: int = 256
    steps: int = 600
    rate: float = 3e-3
    seed: int = 0

    def __post_init__(self):
        self.check(
            choices={"reward": REWARDS},
            wholes={"others": 1, "edits": 1, "tasks": 1, "tries": 2, "hidden": 1, "steps": 1},
            numbers={"gamma": (0, 1)},
        )


@dataclass(frozen=True)
class FollowConfig(checks.Options):
    """Options of `editor.learn_to_follow`.

    Attributes:
        shown: int, the most steps of a demonstration that stand in front; 0 for none.
        edits: int, edits of an episode.
        width: int, width of the transformer, a multiple of 4.
        layers: int.
        batch: int, episodes of a step of training.
        steps: int, steps of training.
        rate: float, the highest learning rate.
        seed: int.

    Raises:
        ValueError: an option out of its range.

    Source:
        Xu et al., "Prompting Decision Transformer for Few-Shot Policy Generalization", arXiv:2206.13499, section 4.
    """

    shown: int = 10
    edits: int = 6
    width: int = 64
    layers: int = 2
    batch: int = 64
    steps: int = 400
    rate: float = 3e-3
    seed: int = 0

    def __post_init__(self):
        self.check(wholes={"shown": 0, "edits": 1, "width": 4, "layers": 1, "batch": 1, "steps": 1})
        if self.width % 4:
            raise ValueError(f"FollowConfig: width must be a multiple of 4, got {self.width}.")
