"""Options of a soft prompt."""

from dataclasses import dataclass

from workbench import checks

LAYOUTS = ("suffix", "prefix")
LOSSES = ("cross_entropy", "likelihood", "mse", "hinge")
EVERY = 10  # steps between two rows of the history, and between two looks at the held-out rows


@dataclass(frozen=True)
class SoftConfig(checks.Options):
    """Options of `soft.tune`.

    Attributes:
        layout: str, where the vectors stand. "suffix": behind the text, whose keys and values are then computed once and kept: a
            step is several times faster. "prefix": before the text, as in prompt tuning of peft.
        vectors: int, how many vectors, >= 1.
        start: str or None, words whose embeddings the vectors begin as; the last word is the last vector, and too few words are
            repeated. None takes random tokens of the vocabulary.
        template: str, hand-written words around the text, such as `"{text} It was"`; the vectors stand before or behind all of
            it.
        loss: str. With scores s, the log-probabilities in nats of whole labels, and p their softmax over the labels:
            "cross_entropy": mean over rows of -log p of the right label.
            "likelihood": minus the sum of s of the right labels, divided by their tokens: what peft and transformers minimise.
            "mse": mean over rows and labels of (p - 1)^2 for the right label and p^2 for the others.
            "hinge": mean over rows of the sum over wrong labels of max(0, 1 - s of the right + s of the wrong), divided by the
            number of labels.
        steps: int, steps of training at most; 0 gives the prompt as it starts.
        batch: int, rows of a step, >= 1.
        rate: float > 0, the highest learning rate; it rises for 5 steps and falls to a tenth.
        weight_decay: float >= 0, share of the vectors, times the rate, that is taken off in each step (AdamW).
        dropout: float, share of the numbers of the vectors, from 0 to .9, that are 0 in a step, drawn anew each time, the others
            made larger by as much; while the prompt is used none are.
        held_out: float, share of the rows, from 0 to .5, that are not learned from; the vectors that are best on them are kept.
        patience: int or None, stop after so many steps without gain on the held-out rows; they are looked at every 10 steps.
        seed: int, draws the order of rows, the held-out rows, and random tokens.

    Raises:
        ValueError: an option out of its range, or patience without held-out rows.

    Source:
        Adam with these rates: own trials. Start from words: Lester et al., arXiv:2104.08691, section 3.2. Template and vectors:
        Yu et al., arXiv:2207.08408.
    """

    layout: str = "suffix"
    vectors: int = 8
    start: str | None = " . The label is:"
    template: str = "{text}"
    loss: str = "cross_entropy"
    steps: int = 60
    batch: int = 16
    rate: float = 0.03
    weight_decay: float = 0.0
    dropout: float = 0.0
    held_out: float = 0.0
    patience: int | None = None
    seed: int = 0

    def __post_init__(self):
        self.check(
            choices={"layout": LAYOUTS, "loss": LOSSES},
            wholes={"vectors": 1, "steps": 0, "batch": 1, "patience": 1},
            numbers={"weight_decay": (0,), "dropout": (0, 0.9), "held_out": (0, 0.5)},
            places={"template": ("{text}",)},
        )
        if self.patience is not None and not self.held_out:
            raise ValueError("SoftConfig: patience needs rows to look at: set held_out too, such as held_out=0.2.")
        if self.start is not None and (not isinstance(self.start, str) or not self.start.strip()):
            raise ValueError(f"SoftConfig: start must be words, or None for random ones; got {self.start!r}.")
