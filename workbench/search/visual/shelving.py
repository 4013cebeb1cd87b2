"""Visual prompts as a library keeps prompts: all their numbers in one row, which is compared with rows of the same kind only."""

from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np

from workbench.search.visual.config import VisualConfig
from workbench.search.visual.kinds import Numbers, count, starts
from workbench.search.visual.towers import sha256, tower_of
from workbench.search.visual.visual_prompt import VisualPrompt, arrays

MOST = 4_000_000  # numbers of a prompt


class _Layout(NamedTuple):
    layout: str


@dataclass(frozen=True, eq=False)
class Shelved:
    """A visual prompt in the form that `library.Library.add` and `search` take.

    Attributes:
        vectors: float32 (1, n), all its numbers, by the names of its tensors in order.
        start: float32 (1, n), what such a prompt begins as: the same for all of a kind and a model, so that they can be compared;
            of tokens and makers, which begin at random, the same for one seed.
        labels: tuple of str; `model` str, a name; `sha256` str, of the weights.
        config: has `layout`, such as "visual pad 4": a search finds prompts of the same layout.
        state: dict, all else of the prompt.
    """

    vectors: np.ndarray
    start: np.ndarray
    labels: tuple
    model: str
    sha256: str
    config: _Layout
    state: dict

    def to_state(self):
        """What the library keeps: (dict, dict of arrays)."""
        return self.state, {"vectors": self.vectors}


def shelved(vision, prompt, name="vision"):
    """Put a visual prompt into the form of a library.

    Args:
        vision: the model it was learned with.
        prompt: `VisualPrompt`.
        name: str, of the model, to be shown.

    Returns:
        `Shelved`: `library.add(it, card, it.start)`, and `library.search(it, start=it.start)`.

    Raises:
        ModelError: another model.
        TypeError: no vision model.
        ValueError: a prompt of more than 4 million numbers.
    """
    begun = start_arrays(prompt._on(vision)[0], prompt.config)
    shapes = {key: list(array.shape) for key, array in sorted(prompt.tensors.items())}
    state, _ = prompt.to_state()
    state = {**state, "shapes": shapes, "options": {**state["options"], "layout": layout_of(prompt.config)}}
    layout = _Layout(layout_of(prompt.config))
    return Shelved(_row(prompt.tensors), _row(begun), prompt.labels, name, prompt.sha256, layout, state)


def from_entry(entry):
    """The `VisualPrompt` of an entry that `Library.get` has read.

    Raises:
        ValueError: an entry of another kind.
    """
    state, tensors = entry.to_state()
    if "shapes" not in state:
        raise ValueError(f"{entry.name!r} is no visual prompt.")
    row, at, found = tensors["vectors"].ravel(), 0, {}
    for name, shape in state["shapes"].items():
        n = int(np.prod(shape))
        found[name], at = row[at : at + n].reshape(shape).copy(), at + n
    options = {key: value for key, value in state["options"].items() if key != "layout"}
    return VisualPrompt.from_state({**state, "options": options}, found)


def start_arrays(tower, config):
    """What a prompt of some options begins as, of several beginnings the first: dict of name -> float32 array.

    Raises:
        ValueError: more than 4 million numbers.
    """
    start = starts(tower, config)[0]
    if (n := count(start, config.maker)) > MOST:
        raise ValueError(f"Such a prompt has {n} numbers, and {MOST} are allowed.")
    return arrays(Numbers(start, config.maker, config.seed))


def layout_of(config):
    """What two visual prompts must share to be compared: str."""
    more = {"pad": [config.width] + ["shrunk"] * config.shrink, "mask": ["binary"] * config.binary}.get(config.kind, [])
    more += [f"maker {config.maker}"] * (config.maker > 0)
    return " ".join(["visual", config.kind, *map(str, more)])


def read(vision, tensors, labels, config):
    """A prompt of numbers that came from outside, checked: `VisualPrompt`.

    Args:
        vision: the model.
        tensors: dict of name -> float32 array.
        labels: list of str.
        config: `VisualConfig`.

    Raises:
        ValueError: other names or shapes than the options ask for.
    """
    tower = tower_of(vision, labels, config.template)
    wanted = {name: array.shape for name, array in start_arrays(tower, config).items()}
    came = {name: array.shape for name, array in tensors.items()}
    if came != wanted:
        said = ", ".join(f"{name} {shape}" for name, shape in sorted(wanted.items()))
        raise ValueError(f"The numbers of such a prompt are {said}.")
    return VisualPrompt(tensors, tuple(labels), config, sha256(tower.model))


def options_of(options):
    """`VisualConfig` of a dict. Raises ValueError for an unknown option or a wrong value."""
    try:
        return VisualConfig(**options)
    except TypeError:
        known = ", ".join(asdict(VisualConfig()))
        raise ValueError(f"There is an unknown option; there are {known}.") from None


def _row(tensors):
    return np.concatenate([tensors[name].ravel() for name in sorted(tensors)])[None]
