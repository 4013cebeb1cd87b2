"""What the training service allows."""

from dataclasses import dataclass

from workbench import checks

LOOPBACK = ("127.0.0.1", "::1", "localhost")
WINDOW = 0.004  # seconds that the first of several requests waits for the others


@dataclass(frozen=True)
class Limits:
    """How much one request may ask for, and one user. What is above is refused before any work.

    Attributes:
        body: int, bytes of a request.
        rows: int, texts of a request; `classes`: int, labels there are; `vectors`: int, vectors of a prompt.
        tokens: int, tokens that one request makes the model read: those of its texts and vectors, and of all labels behind each.
        steps: int, of a meta-prompt that is learned here.
        waiting: int, requests that wait for the model at a time.
        rate: int, requests of one user in a second, on average; `burst`: int, at once.
        seconds: float, for the answer; a tenth of it for the request to arrive.

    Raises:
        ValueError: a limit below 1, or no number.
    """

    body: int = 8 << 20
    rows: int = 256
    classes: int = 256
    vectors: int = 256
    tokens: int = 65_536
    steps: int = 200
    waiting: int = 1_000
    rate: int = 200
    burst: int = 1_000
    seconds: float = 100.0

    def __post_init__(self):
        for name in ("body", "rows", "classes", "vectors", "tokens", "steps", "waiting", "rate", "burst"):
            checks.whole(f"Limits: {name}", getattr(self, name))
        checks.number("Limits: seconds", self.seconds, 0, above=True)
