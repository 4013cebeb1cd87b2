"""What requests hold, and arrays as text: base64 of safetensors, never pickle. All is checked here before the model is asked."""

import base64
import binascii
from typing import Annotated, Literal

import numpy as np
import safetensors.numpy
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError

from workbench.search.meta import CHOICES
from workbench.search.soft import LAYOUTS, LOSSES

FARTHEST = 1e4  # no embedding is near to this; beyond, sums overflow
WORDS = 1_000  # letters of a template or a name
_LETTERS = 1_000_000  # of a text: the body is bounded as well, and tokens are counted
Text = Annotated[str, Field(min_length=1, max_length=_LETTERS)]
Texts = Annotated[list[Text], Field(min_length=1)]
Name = Annotated[str, Field(min_length=1, max_length=WORDS)]
Encoded = Annotated[str, Field(description="base64 of a safetensors file")]


class Refused(Exception):
    """A request that is not answered: an HTTP status of 4xx, and one sentence that says why."""

    def __init__(self, status, sentence, headers=()):
        super().__init__(sentence)
        self.status, self.sentence, self.headers = status, sentence, dict(headers)


class Body(BaseModel):
    """A request, in which an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


class Prompted(Body):
    """A prompt and where it stands."""

    vectors: Encoded
    layout: Literal[LAYOUTS] = "suffix"
    template: Annotated[str, Field(min_length=6, max_length=WORDS)] = "{text}"


class Examples(Prompted):
    """A prompt and the rows that it is to be judged by."""

    texts: Texts
    labels: list[Text] | None = None
    classes: Texts | None = None
    loss: Literal[LOSSES] = "cross_entropy"


class ForGradient(Examples):
    """Rows, and whether the server may keep them. There is no rate and no optimiser: these are the caller's."""

    keep: bool = False


class ForPredictions(Prompted):
    """A prompt, texts without labels, and all labels there are."""

    texts: Texts
    classes: Texts


class Rule(Body):
    """How vectors move: SGD or AdamW, for those who let the server take the step."""

    name: Literal["sgd", "adamw"]
    rate: Annotated[float, Field(gt=0, le=1e3)]
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.98)
    epsilon: Annotated[float, Field(gt=0, le=1)] = 1e-8
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0


class ForUpdate(Examples):
    """Rows, a rule, and the state of the rule as the last answer gave it."""

    rule: Rule
    state: Encoded | None = None


class ForChoice(Prompted):
    """Rows of which a few are to stand for all."""

    texts: Texts
    labels: Texts
    n: Annotated[int, Field(ge=1)] = 8
    how: Literal[CHOICES] = "kmeans"
    seed: int = 0


def decode(text, name, limit=None, farthest=FARTHEST):
    """Read arrays that came as text.

    Args:
        text: str, base64 of safetensors.
        name: str, of the field, for the sentence.
        limit: int, numbers in all at most, or None.
        farthest: float, the largest number.

    Returns:
        dict of str to float32 array, finite.

    Raises:
        Refused: 422, no base64, no safetensors, or numbers that are too many, too large or none.
    """
    try:
        arrays = safetensors.numpy.load(bytes_of(text))
    except (binascii.Error, ValueError, KeyError, SafetensorError, AttributeError, TypeError) as err:
        raise Refused(422, f"{name} must be base64 of a safetensors file.") from err
    for array in arrays.values():
        if array.dtype != np.float32:
            raise Refused(422, f"{name} must hold float32 numbers.")
        if not np.isfinite(array).all() or (array.size and np.abs(array).max() > farthest):
            raise Refused(422, f"{name} must hold finite numbers of at most {farthest:g}.")
    if limit is not None and sum(array.size for array in arrays.values()) > limit:
        raise Refused(422, f"{name} must hold at most {limit} numbers.")
    return {key: array.copy() for key, array in arrays.items()}  # own memory, not that of the request


def bytes_of(text):
    """Bytes that came as base64. Raises binascii.Error or ValueError."""
    return base64.b64decode(text, validate=True)


def encode(arrays):
    """Arrays as text: dict of str to numpy array -> str."""
    data = safetensors.numpy.save({name: np.asarray(array, order="C") for name, array in arrays.items()})
    return base64.b64encode(data).decode()


def read_vectors(text, width, most, name="vectors"):
    """The vectors of a prompt: float32 (k, width), 1 <= k <= most. Raises `Refused` for anything else."""
    arrays = decode(text, name)
    if list(arrays) != ["vectors"]:
        raise Refused(422, f"{name} must hold one array, named vectors.")
    vectors = arrays["vectors"]
    if vectors.ndim != 2 or not 1 <= len(vectors) <= most or vectors.shape[1] != width:
        came = " x ".join(map(str, vectors.shape)) or "a single number"
        raise Refused(422, f"{name} must be 1 to {most} vectors of width {width}; got {came}.")
    return vectors


def sentence(errors):
    """What is wrong with the fields of a request, in one sentence: str. The first error counts; no value is repeated."""
    error = errors[0]
    where = ".".join(str(part) for part in error["loc"][1:] if not isinstance(part, int) or len(error["loc"]) < 5) or "The body"
    kind = error["type"]
    if kind == "missing":
        return f"{where} is missing."
    if kind == "extra_forbidden":
        return f"{where[:60]} is no field of this request."
    if kind == "json_invalid":
        return "The body must be JSON."
    known = {
        "string_type": "a text",
        "string_unicode": "a text of valid Unicode",
        "list_type": "a list",
        "bool_type": "true or false",
        "bool_parsing": "true or false",
        "int_type": "a whole number",
        "int_parsing": "a whole number",
        "int_from_float": "a whole number",
        "float_type": "a number",
        "float_parsing": "a number",
        "finite_number": "a finite number",
        "too_short": "longer",
        "too_long": "shorter",
        "string_too_short": "longer",
        "string_too_long": "shorter",
    }
    if kind == "literal_error":
        return f"{where} must be one of {error['ctx']['expected']}."
    if kind in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        (bound,) = error["ctx"].values()
        return f"{where} must be {kind.replace('_', ' ').replace('than equal', 'than or equal to')} {bound}."
    return f"{where} must be {known.get(kind, 'of another type')}."
