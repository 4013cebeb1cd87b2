"""The client's loop: it draws rows, asks for a gradient, and moves vectors by a rule. One prompt, or tasks that share a part."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from workbench import checks
from workbench.client.combining import add
from workbench.client.optimisers import AdamW

WARMUP, FLOOR, CLIP = 5, 0.1, 1.0  # as in `soft.tune`
_EVERY = 10  # steps between two rows of the history


@dataclass(frozen=True)
class TuneConfig(checks.Options):
    """Options of `tune` and `multitask`; the names are those of `soft.SoftConfig`, and so are the numbers that come out.

    Attributes:
        layout: str, "suffix": the vectors stand behind the text; "prefix": before it.
        vectors: int, how many, where none are given to begin with.
        template: str, words around the text, such as "{text} It was".
        loss: str, "cross_entropy", "likelihood", "mse" or "hinge".
        steps: int >= 0.
        batch: int >= 1, rows of a step.
        rate: float > 0, the highest rate; it rises for 5 steps and falls to a tenth.
        seed: int, draws the order of rows, and of tasks.

    Raises:
        ValueError: an option out of its range.
    """

    layout: str = "suffix"
    vectors: int = 8
    template: str = "{text}"
    loss: str = "cross_entropy"
    steps: int = 60
    batch: int = 16
    rate: float = 0.03
    seed: int = 0

    def __post_init__(self):
        self.check(wholes={"vectors": 1, "steps": 0, "batch": 1})


@dataclass(frozen=True, eq=False)
class Tuned:
    """A prompt that was learned over a server.

    Attributes:
        vectors: float32 array (k, w).
        labels: tuple of c str, () for texts without labels.
        config: `TuneConfig`.
        history: tuple of dicts, one for each 10 steps: `step`, `loss` (mean, nats) and, with labels, `accuracy`.
    """

    vectors: np.ndarray
    labels: tuple
    config: TuneConfig
    history: tuple = ()


@dataclass(frozen=True, eq=False)
class Shared:
    """A part that tasks share, and a part for each of them.

    Attributes:
        shared: float32 array.
        own: dict of name of a task -> float32 array.
        combine: function of (shared, own) -> (vectors, function of their gradient -> the gradients of the two), such as `add`,
            `concatenate`, `features` or `project`.
        rates: dict of name -> float >= 0, how often each task is drawn; None: all equally often.
        hold: tuple of names that are not to move; "shared" is the shared part.
        history: tuple of dicts, one for each 10 steps: `step` and `loss`; in the last one `tasks`, how often each was drawn.

    Raises:
        ValueError: no task, rates that are none, or a name to hold that there is not.
    """

    shared: np.ndarray
    own: dict
    combine: Callable = add
    rates: dict | None = None
    hold: tuple = ()
    history: tuple = field(default=(), repr=False)

    def __post_init__(self):
        if not self.own or "shared" in self.own:
            raise ValueError(f"own needs a part for each task, and none may be called 'shared'; got {sorted(self.own)}.")
        rates = dict.fromkeys(self.own, 1.0) if self.rates is None else self.rates
        if set(rates) != set(self.own) or min(rates.values()) < 0 or not 0 < sum(rates.values()) < math.inf:
            raise ValueError(f"rates must hold a number >= 0 for each of {sorted(self.own)}, not all 0; got {rates}.")
        unknown = sorted(set(self.hold) - {"shared", *self.own})
        if unknown:
            raise ValueError(f"hold names {unknown}; there are 'shared' and {sorted(self.own)}.")

    def vectors(self, name):
        """The vectors of a task, as they are sent: float32 (k, w)."""
        return self.combine(self.shared, self.own[name])[0]


def tune(server, texts, labels, config=None, *, start=None, rule=None, classes=None):
    """Learn a prompt with gradients from a server. With the default rule it follows `soft.tune`, step by step.

    Args:
        server: `Client`, or anything with its `gradient` and `start`.
        texts: list of n str.
        labels: list of n str, or None (layout "prefix").
        config: `TuneConfig`; None takes the defaults.
        start: float32 array (k, w); None begins as the server says.
        rule: `SGD`, `AdamW` or a function as these are; None takes AdamW with betas .9 and .98.
        classes: list of str, all labels there are; None takes those that occur.

    Returns:
        `Tuned`.

    Raises:
        ClientError: what the server refuses.
        ValueError: texts and labels that do not fit.
    """
    config = config or TuneConfig()
    texts, labels, classes = _rows("texts", texts, labels, classes)
    start = server.start(config.vectors) if start is None else np.array(start, np.float32)
    values, history, state, rule = start, [], {}, rule or AdamW()
    order = np.random.default_rng([config.seed, 1]).permutation(len(texts))
    for step in range(config.steps):
        loss, slope, accuracy = _ask(server, values, texts, labels, classes, batch(order, config, step), config)
        values, state = rule(values, clipped(slope), state, _rate(config, step))
        _note(history, step, config, {"loss": loss, **({} if accuracy is None else {"accuracy": accuracy})})
    return Tuned(values, tuple(classes or ()), config, _means(history))


def multitask(server, tasks, parts, config=None, *, rule=None):
    """Learn a part that tasks share and a part for each. A step is one of one task; it moves the shared part and that one's.

    The server gets combined vectors only: other parts of equal combination give equal requests.

    Args:
        server: `Client`, or anything with its `gradient`.
        tasks: dict of name -> (texts, labels).
        parts: `Shared`, to begin with.
        config: `TuneConfig`; None takes the defaults.
        rule: as in `tune`; each part has a state of its own.

    Returns:
        `Shared` with the parts as learned.

    Raises:
        ClientError: what the server refuses.
        ValueError: other tasks than parts, or what `tune` refuses.
    """
    config, rule = config or TuneConfig(), rule or AdamW()
    if set(tasks) != set(parts.own):
        raise ValueError(f"There are tasks {sorted(tasks)} and parts for {sorted(parts.own)}: one for each.")
    rows = {name: _rows(f"texts of {name!r}", *task, None) for name, task in tasks.items()}
    names = sorted(rows)
    weights = np.array([1.0 if parts.rates is None else parts.rates[name] for name in names])
    orders = {name: np.random.default_rng([config.seed, 1]).permutation(len(rows[name][0])) for name in names}
    values, states, turns = {"shared": parts.shared, **parts.own}, {}, dict.fromkeys(names, 0)
    history = []
    for step in range(config.steps):
        name = names[np.random.default_rng([config.seed, 9, step]).choice(len(names), p=weights / weights.sum())]
        vectors, back = parts.combine(values["shared"], values[name])
        some = batch(orders[name], config, turns[name])
        loss, slope, _ = _ask(server, np.asarray(vectors, np.float32), *rows[name], some, config)
        for part, found in zip(("shared", name), back(clipped(slope)), strict=True):
            if part not in parts.hold:
                values[part], states[part] = rule(values[part], found, states.get(part, {}), _rate(config, step))
        turns[name] += 1
        _note(history, step, config, {"loss": loss})
    own = {name: values[name] for name in names}
    found = tuple(row | {"tasks": dict(turns)} if row["step"] == config.steps else row for row in _means(history))
    return replace(parts, shared=values["shared"], own=own, history=found)


def batch(order, config, step):
    """The rows of a step: list of int, of one random order of all rows after another, as `soft.tune` draws them."""
    out, size = [], min(config.batch, len(order))
    for at in range(step * size, (step + 1) * size):
        turn, place = divmod(at, len(order))
        out.append(int(order[np.random.default_rng([config.seed, 2, turn]).permutation(len(order))[place]]))
    return out


def clipped(slope):
    """A gradient of norm 1 at most."""
    norm = np.linalg.norm(slope)
    return slope * np.float32(min(1.0, CLIP / (norm + 1e-6)))


def _rate(config, step):
    """The rate of a step: it rises, and falls along half a cosine."""
    warmup = min(WARMUP, config.steps - 1)
    if step < warmup:
        return config.rate * (step + 1) / (warmup + 1)
    share = (step - warmup) / max(1, config.steps - warmup)
    return config.rate * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * share)))


def _rows(name, texts, labels, classes):
    texts = checks.texts(texts, name)
    if labels is None:
        return texts, None, None
    labels = checks.texts(labels, "labels")
    if len(labels) != len(texts):
        raise ValueError(f"There are {len(texts)} texts and {len(labels)} labels; each text needs one.")
    return texts, labels, sorted(set(labels)) if classes is None else checks.texts(classes, "classes")


def _ask(server, vectors, texts, labels, classes, rows, config):
    """(loss, gradient, accuracy or None) of some rows. Nothing else of the data leaves."""
    some = None if labels is None else [labels[i] for i in rows]
    loss, slope, said = server.gradient(vectors, [texts[i] for i in rows], some, config, classes=classes)
    return loss, slope, None if some is None else float(np.mean([a == b for a, b in zip(some, said, strict=True)]))


def _note(history, step, config, row):
    if step % _EVERY == 0:
        history.append((step, []))
    history[-1][1].append(row)
    history[-1] = (step + 1, history[-1][1])


def _means(history):
    out = []
    for step, rows in history:
        means = {name: round(float(np.mean([row[name] for row in rows])), 5) for name in rows[0]}
        out.append({"step": step, **means})
    return tuple(out)
