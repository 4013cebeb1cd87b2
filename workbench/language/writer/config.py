"""Options of the writer."""

from dataclasses import dataclass

CONTENTS = ("slots", "global")
SPELLED = 12  # pieces of a filler that its content is read from, one by one


@dataclass(frozen=True)
class WriterConfig:
    """Options of `Writer`.

    The cost of training is `rounds` times `steps` times `batch` positions; a core of a laptop does some 5,000 to 10,000 positions
    a second.
    """

    decoder: str = "small"  # a small decoder of our own, or the hub id or folder of a causal language model
    width: int = 160  # d of the small decoder; a language model has its own width and layers
    layers: int = 3
    heads: int = 5
    dropout: float = 0.0
    pieces: int = 3000  # vocabulary of learned pieces
    min_count: int = 3  # times a word must occur to be known
    content: str = "slots"  # a content vector per slot; "global": one for the prompt, for comparison
    content_dims: int = 64  # of a filler's meaning
    letters: int = 16  # and of each of the first pieces of its spelling; 0: content is meaning alone
    window: int = 256  # positions of the longest prompt with its gaps
    sample: int = 40_000  # prompts trained on at most
    steps: int = 900  # of a round
    rounds: int = 1  # times the schedule of the rate is run: rounds can be added to a writer that was trained with fewer
    batch: int = 4096  # positions of a step, padding counted
    rate: float = 3e-3
    p_template: float = 0.42  # share of examples in which slots are gaps
    p_free: float = 0.08  # share in which the whole prompt is one gap
    p_content: float = 0.5  # share of the gaps of templates with content
    beta: float = 0.05  # weight of the KL term
    free_nats: float = 0.05  # KL per dimension that costs nothing
    contrast: float = 0.1  # weight of InfoNCE between mapped content and the features of fillers
    masked: float = 0.1  # weight of the guess of a masked slot's code
    adversary: float = 0.0  # weight of the adversarial match of content drawn from the prior and from the posterior
    told: float = 0.15  # share of content rows that tell the spelling too, not the meaning alone
    spelling: float = 0.15  # share of content rows in which a filler is replaced by random words, to learn to spell

    @property
    def spelled_dims(self):
        """Dimensions of content that hold a filler's spelling; content of a whole prompt has none."""
        return SPELLED * self.letters if self.content == "slots" else 0

    def __post_init__(self):
        sizes = "width layers heads pieces content_dims window sample steps rounds batch min_count".split()
        for name in sizes:
            if not isinstance(getattr(self, name), int) or isinstance(getattr(self, name), bool) or getattr(self, name) < 1:
                raise ValueError(f"{name} must be an int of 1 or more, got {getattr(self, name)!r}.")
        if not isinstance(self.letters, int) or isinstance(self.letters, bool) or self.letters < 0:
            raise ValueError(f"letters must be an int of 0 or more, got {self.letters!r}.")
        if self.width % (4 * self.heads):
            raise ValueError(f"width must be a multiple of 4 x heads = {4 * self.heads}, got {self.width}.")
        if self.content not in CONTENTS:
            raise ValueError(f"content must be one of {', '.join(CONTENTS)}, got {self.content!r}.")
        for name in ("dropout", "p_template", "p_free", "p_content", "told", "spelling"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, got {getattr(self, name)!r}.")
        if self.p_template + self.p_free > 1:
            raise ValueError(f"p_template + p_free must be at most 1, got {self.p_template} + {self.p_free}.")
        for name in ("rate", "beta", "free_nats", "contrast", "masked", "adversary"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)!r}.")
