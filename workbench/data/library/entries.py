"""What a library knows of a prompt: the card that its submitter writes, and the entry that a reader gets."""

import hashlib
import re
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import NamedTuple

import numpy as np

from workbench import checks
from workbench.values import LibraryError

ACCESS = ("free", "restricted", "exchange")
HIDDEN = "not shared"
_SHA256 = re.compile("[0-9a-f]{64}")
_LARGEST = 4_000_000  # numbers of one prompt: 16 MB
_FARTHEST = 1e4  # no embedding is near to this; float16, in which nearest ones are looked up, ends at 65,504


@dataclass(frozen=True)
class DataSet:
    """A data set that a prompt was learned from.

    Attributes:
        name: str.
        sha256: str, of its rows as `rows_sha256` computes it; None only where the rows themselves go into the library.
        weight: float > 0, its share among the data sets of a prompt; they are made to sum to 1.
        link: str, where it can be had, or "".
        licence: str, or "".

    Raises:
        ValueError: no name, a sha256 that is none, or a weight that is not above 0.
    """

    name: str
    sha256: str | None = None
    weight: float = 1.0
    link: str = ""
    licence: str = ""

    def __post_init__(self):
        _filled("DataSet: name", self.name)
        if self.sha256 is not None and not (isinstance(self.sha256, str) and _SHA256.fullmatch(self.sha256)):
            raise ValueError(f"DataSet: sha256 must be 64 hexadecimal digits, got {self.sha256!r}. See library.rows_sha256.")
        checks.number("DataSet: weight", self.weight, 0, above=True)
        for name in ("link", "licence"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"DataSet: {name} must be a str, got {getattr(self, name)!r}.")


@dataclass(frozen=True)
class Card:
    """What its submitter says of a prompt. Name, data and date must be given; the model is read off the prompt.

    Attributes:
        name: str. A second prompt of this name by the same user becomes its version 2.
        data: `DataSet`, or a list of several with weights.
        date: str, when it was learned, in UTC as ISO 8601: "2026-03-01T12:00:00Z" (`now()` gives this moment).
        tags: tuple of str to filter by.
        access: str, "free": everybody sees it; "restricted": only the submitter and `readers` do; "exchange": those see it who
            have given something themselves, and reading it costs one credit, see `Library.buy`.
        readers: tuple of str, users, for "restricted".
        submitter: str, the name to show, or "".
        contact: str, how to reach the submitter, or "".
        share: bool, show submitter and contact to others; otherwise they read "not shared".
        parents: tuple of str, ids of the entries that it was made from.
        accuracy: float 0..1 on held-out rows, or None.
        loss: float, nats a row on held-out rows, or None.
        note: str.

    Raises:
        ValueError: name, data or date is missing, or an option is out of its range; the error names it.
    """

    name: str = ""
    data: tuple = ()
    date: str = ""
    tags: tuple = ()
    access: str = "free"
    readers: tuple = ()
    submitter: str = ""
    contact: str = ""
    share: bool = False
    parents: tuple = ()
    accuracy: float | None = None
    loss: float | None = None
    note: str = ""

    def __post_init__(self):
        data = (self.data,) if isinstance(self.data, DataSet) else tuple(self.data or ())
        object.__setattr__(self, "data", data)
        for name in ("name", "date"):
            _filled(f"Card: {name}", getattr(self, name))
        if not data or not all(isinstance(one, DataSet) for one in data):
            raise ValueError(f"Card: data is missing. Give a library.DataSet, or a list of them; got {self.data!r}.")
        object.__setattr__(self, "date", _utc(self.date))
        checks.one_of("Card: access", self.access, ACCESS)
        for name in ("tags", "readers", "parents"):
            value = getattr(self, name)
            object.__setattr__(self, name, tuple(checks.texts(value, f"Card: {name}")) if value else ())
        if self.readers and self.access != "restricted":
            raise ValueError(f"Card: readers need access='restricted', this is {self.access!r}.")
        for name in ("submitter", "contact", "note"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"Card: {name} must be a str, got {getattr(self, name)!r}.")
        for name, most in {"accuracy": 1, "loss": float("inf")}.items():
            if getattr(self, name) is not None:
                checks.number(f"Card: {name}", getattr(self, name), 0, most)


@dataclass(frozen=True, eq=False)
class Entry:
    """A prompt of a library as one user sees it.

    Attributes:
        id: str, 16 hexadecimal digits; entries of equal score come in the order of their ids.
        version: int, 1 or more.
        mine: bool, this user added it.
        card: `Card`; submitter and contact are "not shared" where the submitter did not agree to show them.
        model: str, name of the model; `model_sha256`: str, of its weights.
        labels: tuple of str.
        shape: (k, w), vectors and their width.
        start_sha256: str, of the vectors that learning began with.
        state: dict, what `to_state` gives beside the vectors.
        vectors: float32 array (k, w), or None in what a search or a list shows: `Library.get` reads them.
    """

    id: str
    version: int
    mine: bool
    card: Card
    model: str
    model_sha256: str
    labels: tuple
    shape: tuple
    start_sha256: str
    state: dict = field(repr=False)
    vectors: np.ndarray | None = field(default=None, repr=False)

    @property
    def name(self):
        """The name on its card: str."""
        return self.card.name

    def __str__(self):
        data = ", ".join(one.name for one in self.card.data)
        return f"{self.name} (version {self.version}, {self.id}): {data}; {self.model}, {self.shape[0]} x {self.shape[1]}"

    def to_state(self):
        """Config and tensors from which the prompt is made again: `SoftPrompt.from_state(*entry.to_state())`.

        Raises:
            LibraryError: an entry without its vectors.
        """
        if self.vectors is None:
            raise LibraryError(f"This is what a search shows of {self.name!r}, without its vectors. Read it: library.get(...).")
        return self.state, {"vectors": self.vectors}


class Known(NamedTuple):
    """The fields of a `soft.Sketch`, read from a library."""

    model: str
    sha256: str
    layout: str
    start: np.ndarray
    gradient: np.ndarray | None
    features: np.ndarray | None


class Group(NamedTuple):
    """Entries that can be compared with one another, their vectors float32 (n, d), and how many others there are."""

    entries: tuple
    vectors: np.ndarray
    left_out: int


def now():
    """This moment in UTC, as a card wants it: str."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def rows_sha256(texts, labels):
    """The sha256 of the rows of a data set, in their order.

    Args:
        texts: list of n str.
        labels: list of n str, or None.

    Returns:
        str, 64 hexadecimal digits.

    Raises:
        TypeError: not str.
        ValueError: no texts, or other numbers of texts and labels.
    """
    texts = checks.texts(texts, "texts")
    labels = [""] * len(texts) if labels is None else checks.texts(labels, "labels")
    if len(labels) != len(texts):
        raise ValueError(f"There are {len(texts)} texts and {len(labels)} labels; each text needs one.")
    digest = hashlib.sha256()
    for cell in (cell for row in zip(texts, labels, strict=True) for cell in row):
        data = cell.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def array_sha256(array):
    """The sha256 of the numbers and the shape of a float32 array: str."""
    return hashlib.sha256(repr(array.shape).encode() + np.ascontiguousarray(array, np.float32).tobytes()).hexdigest()


def check_array(name, array, shape=None):
    """A finite float32 array of a shape, (k, w) if None.

    Raises:
        ValueError: another type or shape, NaN, infinity, or numbers that are too many or too large.
    """
    wanted = "(k, w)" if shape is None else str(tuple(shape))
    fits = isinstance(array, np.ndarray) and array.dtype == np.float32
    if not fits or (array.ndim != 2 or not array.size if shape is None else array.shape != tuple(shape)):
        came = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"{name} must be a float32 array {wanted}, got {came}.")
    if array.size > _LARGEST:
        raise ValueError(f"{name} has {array.size:,} numbers; a prompt has at most {_LARGEST:,}.")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity.")
    if np.abs(array).max() > _FARTHEST:
        raise ValueError(f"{name} holds {np.abs(array).max():g}; numbers of a prompt are at most {_FARTHEST:g}.")
    return array


def card_state(card):
    """A card as plain values: dict, of which `card_of` makes the card again."""
    return asdict(card)


def card_of(state):
    """The `Card` of `card_state`."""
    return Card(**{**state, "data": [DataSet(**one) for one in state["data"]]})


def _filled(name, value):
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} is missing: it must be a str with something in it, got {value!r}.")


def _utc(date):
    """A date in one form: UTC, whole seconds, ending in Z."""
    try:
        found = datetime.fromisoformat(date)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None or found.utcoffset():
        raise ValueError(f"Card: date must be UTC in ISO 8601, such as '2026-03-01T12:00:00Z'; got {date!r}.")
    return found.strftime("%Y-%m-%dT%H:%M:%SZ")
