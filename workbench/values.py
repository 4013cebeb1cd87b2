"""Values: the errors and small records that every stage shares. Imports nothing of the package and no torch."""

from typing import NamedTuple, Protocol, runtime_checkable


class WorkbenchError(Exception):
    """Base of the errors that are the workbench's own; arguments of a wrong type or range raise ValueError/TypeError."""


class NotFittedError(WorkbenchError):
    """A stage was used before `fit`."""


class TemplateError(WorkbenchError, ValueError):
    """A template cannot be parsed, filled or understood by this codebook."""


class CorpusError(WorkbenchError, ValueError):
    """A source of prompts cannot be read, or too little of it is left after cleaning."""


class ArtifactError(WorkbenchError):
    """A saved folder is missing, damaged, unsafe or of a newer format."""


class DamagedError(ArtifactError):
    """A saved folder is cut off or changed since it was written; nothing of it can be trusted."""


class ModelError(WorkbenchError):
    """A backbone cannot be found, or its weights are not the expected ones."""


class PictureError(WorkbenchError, ValueError):
    """Not a usable picture: of another kind, damaged, or too small or too large."""


class LibraryError(WorkbenchError, ValueError):
    """A library of prompts has no such entry, or not for this user, or refuses one that is to be added."""


class GuideError(WorkbenchError, ValueError):
    """The requested moments cannot be reached, or a scorer or proposal broke its contract."""


@runtime_checkable
class Proposal(Protocol):
    """Anything that samples and says how likely its samples are: a language model, a `DeepDSL`, a Poisson law.

    With contexts, such as the beginnings of texts, it has a third verb: `given(context)` returns a `Proposal`.
    """

    def sample(self, n, seed=0):
        """Draw n samples: a list; equal seeds give equal samples."""
        ...

    def log_score(self, samples):
        """Log-probabilities in nats, exactly as `sample` draws: float64 (n,), -inf for what it cannot draw."""
        ...


class Sample(str):
    """A text that something wrote: a str for all who read it, which remembers how it was written.

    `template` is the `Template` that it fills, or None; `log_prob` is the log-probability in nats of all that was written, under
    the options it was written with, or None. For texts of a language model, `ids` are the tokens after the context and `kept`
    how many tokens could have stood at the place of each (tuples of int, or None), and `context` is the beginning that was
    given. `text` is the plain str. Samples are equal if their letters are.
    """

    __slots__ = ("context", "ids", "kept", "log_prob", "template")

    def __new__(cls, text, *, template=None, log_prob=None, ids=None, kept=None, context=""):
        """A text with what is known of it."""
        self = super().__new__(cls, text)
        self.ids, self.kept, self.context, self.template, self.log_prob = ids, kept, context, template, log_prob
        return self

    @property
    def text(self):
        """The text as a plain str."""
        return str.__str__(self)


class Unit(NamedTuple):
    """A phrase of a prompt with its code: what `DeepDSL.tag` returns for each unit.

    `start` and `end` count characters of the prompt (`text == prompt[start:end]`), `code` is the number of the code
    (0..k-1) and `name` its name.
    """

    text: str
    start: int
    end: int
    code: int
    name: str
