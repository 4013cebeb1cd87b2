"""Options of a speaker."""

from dataclasses import dataclass

from workbench import checks


@dataclass(frozen=True)
class SpeakerConfig(checks.Options):
    """Options of `speaker.learn` and `speaker.play`.

    Attributes:
        hidden: int, width of the adapter between pictures and the language model.
        longest: int, tokens of a text, the end included.
        steps: int, updates of the stage.
        games: int, pictures or games of a step.
        tries: int, texts that `play` draws for each game, >= 2.
        rate: float, the highest learning rate.
        beta: float, `play`: the pull to the speaker at the start, see `policy_loss`.
        seed: int.

    Raises:
        ValueError: an option out of its range.
    """

    hidden: int = 128
    longest: int = 8
    steps: int = 300
    games: int = 64
    tries: int = 8
    rate: float = 1e-2
    beta: float = 0.0
    seed: int = 0

    def __post_init__(self):
        self.check(
            wholes={"hidden": 1, "longest": 1, "steps": 1, "games": 1, "tries": 2},
            numbers={"beta": (0,)},
        )
