"""Options of a meta-prompt."""

from dataclasses import dataclass, field

from workbench import checks
from workbench.search.meta.canonical import CHOICES
from workbench.search.soft.config import SoftConfig

LOSSES = ("end to end", "l2", "cosine", "vmf")
JOINS = ("concatenate", "each")
MAPS = ("none", "last", "layers")
SAMPLE = "sample"


@dataclass(frozen=True)
class MetaConfig(checks.Options):
    """Options of `meta.learn`.

    Attributes:
        prompt: `SoftConfig` of the prompts that are made: `layout`, `vectors`, `start`, `template` and `loss` count.
        loss: str. "end to end": the loss of `prompt` on other rows of the task, under the prompt that was made. The others
            compare it with the prompt that was tuned for the task, vector by vector, and take the mean: "l2", squared Euclidean
            distance; "cosine", 1 - cosine; "vmf", negative log-likelihood of the direction of the tuned one under a von
            Mises-Fisher law whose mean direction and concentration are direction and length of the one made.
        choose: str, which examples stand for a task while it is learned from. "sample": others in each step; or one of
            `CHOICES`, chosen once, under the prompt of the task. Tasks that bring examples or a description keep these.
        join: str. "concatenate": the model reads all examples one after another, and the meta-prompt stands behind them. "each":
            it reads each example alone, with the meta-prompt behind.
        examples: int, how many stand for a task, >= 1. With "each" it must divide `prompt.vectors`.
        map: str. "none": the made vectors are the last states of the meta-prompt, as long as embeddings are on average, and the
            meta-prompt is all that is learned. "last", "layers": they are the words of `prompt.start`, or the prompt given as
            start, plus a linear map of these states, or of those of all layers, through 16 numbers a place; start and map are
            learned too, and examples are read in the order of their labels.
        example: str, how an example is written, with {text} and {label}.
        tasks: int, tasks of a step, >= 1.
        batch: int, rows of each, >= 1.
        steps: int, >= 0.
        rate: float > 0, the highest learning rate; it rises for 5 steps and falls to a tenth.
        seed: int, draws tasks, rows and examples.

    Raises:
        ValueError: an option out of its range.

    Source:
        One variable behind the examples, losses and joint training: WO2023022727A1. Von
        Mises-Fisher loss: Kumar and Tsvetkov, arXiv:1812.04616, section 3.
    """

    prompt: SoftConfig = field(default_factory=SoftConfig)
    loss: str = "end to end"
    choose: str = SAMPLE
    join: str = "concatenate"
    examples: int = 8
    map: str = "none"
    example: str = "{text} . The label is: {label}"
    tasks: int = 1
    batch: int = 16
    steps: int = 200
    rate: float = 0.01
    seed: int = 0

    def __post_init__(self):
        if not isinstance(self.prompt, SoftConfig):
            raise TypeError(f"MetaConfig: prompt is a SoftConfig, got {type(self.prompt).__name__}.")
        self.check(
            choices={"loss": LOSSES, "choose": (SAMPLE, *CHOICES), "join": JOINS, "map": MAPS},
            wholes={"examples": 1, "tasks": 1, "batch": 1, "steps": 0},
            places={"example": ("{text}", "{label}")},
        )
        if self.join == "each" and self.prompt.vectors % self.examples:
            raise ValueError(
                f"MetaConfig: {self.examples} examples cannot make {self.prompt.vectors} vectors in equal parts: with "
                "join='each' prompt.vectors must be a multiple of examples."
            )

    @property
    def size(self):
        """Vectors of the meta-prompt itself: int."""
        return self.prompt.vectors // (self.examples if self.join == "each" else 1)
