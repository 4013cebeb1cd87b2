"""Values: the errors and small records that every stage shares. Imports nothing of the package and no torch."""

from typing import NamedTuple


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


class ModelError(WorkbenchError):
    """A backbone cannot be found, or its weights are not the expected ones."""


class PictureError(WorkbenchError, ValueError):
    """Something given as a picture is none, or of a size that cannot be used."""


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


class Sample(NamedTuple):
    """A prompt that was written: what `DeepDSL.sample`, `infill` and `vary` return.

    `text` is the prompt, `template` the `Template` it fills, `log_prob` the log-probability in nats of all that was written,
    under the options it was written with.
    """

    text: str
    template: object
    log_prob: float
