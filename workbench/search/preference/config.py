"""Options of what is learned from preferences."""

from dataclasses import dataclass

from workbench import checks

KINDS = ("ranked", "binary", "imitation")


@dataclass(frozen=True)
class PreferenceConfig(checks.Options):
    """Options of `preference.learn`.

    Attributes:
        kind: str, what is learned from a pair.
            "ranked": that one is better than the other (Bradley-Terry).
            "binary": to tell all those preferred from all others, whatever they were compared with.
            "imitation": what those preferred are like, by a normal law; the others are not looked at.
        hidden: int, width of the hidden layer of the network.
        steps: int, steps of training; "imitation" has none.
        batch: int, pairs of a step.
        rate: float, the highest learning rate.
        decay: float, weight decay: what keeps few pairs from being learned by heart.
        seed: int.

    Raises:
        ValueError: an option out of its range.

    Source:
        Askell et al., "A General Language Assistant as a Laboratory for Alignment", arXiv:2112.00861, section 3. There,
        imitation is the mean log-probability under a language model; a normal law of features stands in its place.
    """

    kind: str = "ranked"
    hidden: int = 64
    steps: int = 200
    batch: int = 64
    rate: float = 3e-3
    decay: float = 0.1
    seed: int = 0

    def __post_init__(self):
        self.check(
            choices={"kind": KINDS},
            wholes={"hidden": 1, "steps": 0, "batch": 1},
            numbers={"decay": (0,)},
        )


@dataclass(frozen=True)
class LongTermConfig(checks.Options):
    """Options of `preference.learn_policy`.

    Attributes:
        expectile: float between 0 and 1, how far the value of a state looks up: .5 is the mean over what the log did there, near
            1 the best of it.
        gamma: float 0..1, how much the next step counts; 0 looks at the reward of this step alone.
        hidden: int, width of the hidden layers.
        steps: int, steps of training.
        batch: int, steps of the log in a step of training.
        rate: float, the highest learning rate.
        seed: int.

    Raises:
        ValueError: an option out of its range.

    Source:
        Expectile value and offline logs: Xue et al., "PrefRec", arXiv:2212.02779, section 4; the losses as in Kostrikov et al.,
        "Offline Reinforcement Learning with Implicit Q-Learning", arXiv:2110.06169, section 4.
    """

    expectile: float = 0.9
    gamma: float = 0.9
    hidden: int = 64
    steps: int = 1000
    batch: int = 256
    rate: float = 3e-3
    seed: int = 0

    def __post_init__(self):
        self.check(
            wholes={"hidden": 1, "steps": 1, "batch": 1},
            numbers={"expectile": (0, 0.999, True), "gamma": (0, 0.999)},
        )
