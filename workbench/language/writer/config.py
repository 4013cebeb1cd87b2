"""Options of the writer and of how it chooses pieces, and the sizes that are the same for all writers."""

import math
from dataclasses import asdict, dataclass

from workbench import checks
from workbench.models.cut import Cut, check_cut

WINDOW = 256  # positions of the longest prompt with its gaps
SAMPLE = 40_000  # prompts that a language trains its writer on at most
CONTENT_DIMS = 64  # of a filler's meaning
_READ, _LEAST = 60, 200  # times a prompt is read at most, by a training of so many steps at least
SPELLED = 12  # pieces of a filler that its content is read from, one by one
LETTERS = 16  # dimensions of content for each of these pieces
SPELLED_DIMS = SPELLED * LETTERS  # of a filler's spelling


@dataclass(frozen=True)
class WriterConfig:
    """Options of `Writer`.

    Training costs `steps` times `batch` positions; a core of a laptop does some 5,000 to 10,000 positions a second. Without
    `steps` there are `most`, or fewer for a small pile: as many as read each prompt 60 times, but 200 or more.
    """

    width: int = 160  # d, of the network's hidden states
    layers: int = 3
    heads: int = 5
    pieces: int = 3000  # vocabulary of learned pieces
    min_count: int = 3  # times a word must occur to be known
    steps: int | None = None  # of training, whatever the size of the pile
    most: int = 900  # steps of a large pile, where `steps` is None
    batch: int = 4096  # positions of a step, padding counted
    rate: float = 3e-3  # highest learning rate
    # a pretrained language model, such as "smollm2", that learns to write prompts from nothing; on a CPU more `most` gives more
    decoder: str | None = None
    decoder_steps: int | None = None  # of its training, 512 positions each; None: each prompt three times, 2,100 at most

    def __post_init__(self):
        for name, value in asdict(self).items():
            if name not in ("rate", "decoder") and not (name in ("steps", "decoder_steps") and value is None):
                checks.whole(name, value)
        if self.decoder is not None and (not isinstance(self.decoder, str) or not self.decoder):
            raise TypeError(f"decoder is the name of a language model, such as 'smollm2', or None, got {self.decoder!r}.")
        checks.number("rate", self.rate, 0)
        if self.width % (4 * self.heads):
            raise ValueError(f"width must be a multiple of 4 x heads = {4 * self.heads}, got {self.width}.")

    def steps_for(self, prompts, size):
        """Steps of training for a number of prompts, `size` of which make a step."""
        return self.steps or min(self.most, max(_LEAST, math.ceil(_READ * prompts / size)))


@dataclass(frozen=True)
class Decoding:
    """How pieces are chosen.

    `temperature` > 0 divides the scores; then the `top_k` best pieces are kept (0: all), then the fewest that hold `top_p` of
    the probability; see `models.cut`. `known` holds words to those of the corpus. `steer`, before all of these, changes the
    scores of the next piece: a function (scores float (n, v), ahead, taken) -> scores, where `ahead` gives the states that
    pieces would lead to (`GapFiller`), and `taken` int64 (n,) are the pieces of a text that is scored, None in writing;
    `decode` makes one.
    `passes` above 0 fills the slots of a prompt side by side instead of from left to right, the surest first, see `coarse`: fewer
    steps for many slots. Such prompts cannot be scored under the same decoding.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    known: bool = True
    steer: object = None
    passes: int = 0

    def __post_init__(self):
        checks.whole("passes", self.passes, 0)
        check_cut(self.temperature, self.top_k, self.top_p)

    @property
    def cut(self):
        """The `Cut` of these options."""
        return Cut(self.temperature, self.top_k, self.top_p)
