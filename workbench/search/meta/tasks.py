"""How a meta-prompt is learned from many tasks; and one step of the sign of the gradient, which needs no other tasks."""

import hashlib
from dataclasses import asdict, replace
from typing import NamedTuple

import numpy as np
import torch

from workbench import checks
from workbench.artifacts import Checkpoint
from workbench.search.meta.canonical import balanced, choose
from workbench.search.meta.config import SAMPLE, MetaConfig
from workbench.search.meta.maker import distance, spelled
from workbench.search.meta.meta_prompt import MetaPrompt, history_of, maker_of
from workbench.search.soft.config import SoftConfig
from workbench.search.soft.frozen import Frozen, frozen
from workbench.search.soft.learning import begin_with, descend, gradient, tune
from workbench.search.soft.rows import check_lm, read_rows
from workbench.search.soft.soft_prompt import SoftPrompt, sha256
from workbench.values import LibraryError

_LOOKS = 64  # draws of examples that a map begins with


class Task(NamedTuple):
    """A task to learn a meta-prompt from.

    Attributes:
        name: str.
        texts: list of n str.
        labels: list of n str.
        examples: list of pairs (text, label), chosen by hand; or a str that describes the task; None for those that
            `MetaConfig.choose` finds.
        prompt: `SoftPrompt` that was tuned for it, or None. All losses but "end to end" need it, and all ways to choose but
            "sample" and "random".
        user: str or None, whose task it is.
    """

    name: str
    texts: list
    labels: list
    examples: object = None
    prompt: SoftPrompt | None = None
    user: str | None = None


def from_library(library, where=None):
    """The entries of a library as tasks, each with its rows and the prompt that was tuned for it.

    Args:
        library: `library.Library`.
        where: dict of filters, as in `Library.entries`.

    Returns:
        (list of `Task`, in the order of their ids; int, entries whose rows cannot be read, which are left out).

    Raises:
        ValueError: an unknown filter.
    """
    tasks, left_out = [], 0
    for entry in sorted(library.entries(where), key=lambda one: one.id):
        try:
            rows, prompt = library.rows(entry), SoftPrompt.from_state(*library.get(entry.id).to_state())
        except LibraryError:
            left_out += 1
            continue
        tasks.append(Task(entry.name, *rows, prompt=prompt))
    return tasks, left_out


def sign_step(lm, texts, labels, config=None, *, start=None, step=0.03):
    """A prompt after one step from its start: each number moves by `step` against the sign of its gradient on all rows.

    Args:
        lm: `models.LM`.
        texts: list of n str; 64 are enough for a start, as their mean gradient counts.
        labels: list of n str.
        config: `SoftConfig` of the prompt, its start too; None takes the defaults.
        start: `SoftPrompt` to step from; None begins as `config.start` says.
        step: float > 0.

    Returns:
        `SoftPrompt`.

    Raises:
        TypeError, ValueError, ModelError: as in `soft.tune`.

    Source:
        Own trials, which it won against makers; the step is that of Goodfellow et al., arXiv:1412.6572, section 4.
    """
    checks.number("step", step, 0, above=True)
    begun = tune(lm, texts, labels, (config or SoftConfig()).replace(steps=0), start=start)
    slope = gradient(lm, begun.vectors, texts, labels, begun.config)[1]
    return replace(begun, vectors=begun.vectors - np.float32(step) * np.sign(slope))


def learn(lm, tasks, config=None, *, maker=None, start=None, user=None, weights=None, folder=None, progress=True):
    """Learn a meta-prompt: a variable that a frozen model reads behind a few examples of a task, whose states are a prompt.

    The models are not changed. Each step takes one task or some, examples of it, and other rows. A made prompt is made once and
    stands in all rows of its batch.

    Args:
        lm: `models.LM` that the prompts are for.
        tasks: list of `Task`; each needs more rows than `config.examples`.
        config: `MetaConfig`; None takes the defaults.
        maker: `models.LM` that reads the examples; None takes `lm`, which is then loaded once.
        start: `SoftPrompt` that the made prompts begin as, with a map, such as the mean of tuned ones; None begins as
            `config.prompt.start` says.
        user: str, learn from the tasks of this user only, for this user only; None learns from those that are nobody's.
        weights: list of floats >= 0, how often each of the tasks is taken; None takes all equally often, in turns.
        folder: str, Path or None, for checkpoints every 10 steps; the same call goes on from there, bit-equal.
        progress: bool.

    Returns:
        `MetaPrompt`. Ctrl-C ends the training after the step and returns it so far, with `stopped` "interrupted".

    Raises:
        TypeError: not an LM, a task or str.
        ValueError: no task, too few rows, a task without the prompt that the loss or the choice needs, models of unlike width
            without a map, and what `soft.tune` refuses.
        ModelError: a prompt belongs to another model.
        ArtifactError: `folder` holds another run.

    Source:
        WO2023022727A1.
    """
    config, name, reading = config or MetaConfig(), check_lm(lm).name, check_lm(maker or lm)
    tasks = _of_user(tasks, user)
    if weights is not None and (len(weights) != len(tasks) or min(weights) < 0 or not sum(weights)):
        raise ValueError(f"weights are {len(tasks)} numbers >= 0, one for each task, not all 0; got {list(weights)}.")
    if start is not None and config.map == "none":
        raise ValueError("Without a map a prompt has no start: take MetaConfig(map='last') or map='layers'.")
    base = None if start is None else _base(lm, start, config)
    rows = [read_rows(lm, task.texts, task.labels, config.prompt, config.prompt.vectors) for task in tasks]
    stand = [_standing(lm, task, config) for task in tasks]
    if config.loss != "end to end":
        targets = [_target(lm, task, config) for task in tasks]
    for task, chosen in zip(tasks, stand, strict=True):  # refused here, before any work
        spelled(reading, config, _pairs(task, range(config.examples) if chosen is None else chosen))
    network = maker_of(lm, reading, config, base)
    digests = [(task.name, _digest(task)) for task in tasks]
    run = {"options": asdict(config), "model": sha256(lm), "maker": sha256(reading), "tasks": [list(one) for one in digests]}
    run |= {"start": None if start is None else _digest(start.vectors.tolist()), "weights": weights and list(map(float, weights))}
    checkpoint = None if folder is None else Checkpoint(folder, "meta-prompt training", run)
    history, stopped = [], "steps"
    if config.steps:
        with frozen(lm), frozen(reading):
            reader, far = Frozen(lm, config.prompt, rows, keep=config.loss == "end to end"), Frozen(reading, config.prompt, [])

            if config.map != "none":
                looks = [(j, -1 - turn) for turn in range(-(-_LOOKS // len(tasks))) for j in range(len(tasks))]
                seen = [_draw(j, turn, tasks[j], stand[j], config)[0] for j, turn in looks]
                network.look(far, [spelled(reading, config, one) for one in seen])

            def loss(step):
                picked = task_of(step, len(tasks), config, weights)
                drawn = {j: _draw(j, step, tasks[j], stand[j], config) for j in picked}
                vectors = network(far, [spelled(reading, config, examples) for examples, _ in drawn.values()])
                made = dict(zip(drawn, vectors, strict=True))
                if config.loss != "end to end":
                    return torch.stack([distance(config.loss, made[j], targets[j]) for j in picked]).mean()
                return end_to_end(reader, made, [(j, i) for j, (_, batch) in drawn.items() for i in batch])

            done, stopped = descend(loss, {"maker": network}, config, "learning a meta-prompt", checkpoint, progress)
            history = history_of(done)
    state = {key: value.detach().cpu().numpy().copy() for key, value in network.state_dict().items()}
    return MetaPrompt(
        state, config, name, sha256(lm), reading.name, sha256(reading), tuple(digests), user, tuple(history), stopped
    )


def end_to_end(reader, made, items):
    """Mean loss of made prompts on rows of their tasks, its gradient already gone back through the maker: dict for `train`.

    Args:
        reader: `Frozen` of the tasks.
        made: dict of number of a task -> float32 tensor (k, w).
        items: list of (number of the task, number of the row).
    """
    points = [None] * len(reader.tasks)
    for j, vectors in made.items():
        points[j] = vectors.detach().requires_grad_()  # one leaf for all rows: the maker is gone through once
    losses, found = reader.losses(points, items, backward=True)
    torch.autograd.backward(list(made.values()), [points[j].grad / len(made) for j in made])
    right = [found[item] == int(reader.tasks[item[0]].targets[item[1]]) for item in items]
    return {"loss": float(np.mean([losses[j] for j in made])), "accuracy": float(np.mean(right))}


def task_of(step, n, config, weights=None):
    """The tasks of a step: list of int, each once; one order of all after another, or drawn as weighted."""
    size = min(config.tasks, n)
    if weights is not None:
        chances = np.array(weights, float) / np.sum(weights)
        size = min(size, int((chances > 0).sum()))
        return np.random.default_rng([config.seed, 6, step]).choice(n, size, replace=False, p=chances).tolist()
    out = []
    for at in range(step * size, (step + 1) * size):
        turn, place = divmod(at, n)
        out.append(int(np.random.default_rng([config.seed, 7, turn]).permutation(n)[place]))
    return list(dict.fromkeys(out))  # where one order ends and the next begins, a task may stand twice


def _of_user(tasks, user):
    """The tasks that one may learn from."""
    tasks = list(tasks)
    for task in tasks:
        if not isinstance(task, Task):
            raise TypeError(f"tasks is a list of Task, got {type(task).__name__}: write meta.Task(name, texts, labels).")
    own = [task for task in tasks if task.user == user]
    if not own:
        raise ValueError(f"There are no tasks of {user!r}." if tasks and user is not None else "There are no tasks.")
    return own


def _standing(lm, task, config):
    """The rows that always stand for a task, or None: drawn anew, or brought with it."""
    if task.examples is not None:
        return None
    if len(task.texts) <= config.examples:
        raise ValueError(f"The task {task.name!r} has {len(task.texts)} rows: to show {config.examples} it must have more.")
    if config.choose == SAMPLE:
        return None
    if task.prompt is None:
        raise ValueError(
            f"To choose by {config.choose!r}, the task {task.name!r} needs its own prompt: Task(prompt=soft.tune(...))."
        )
    return choose(lm, task.prompt, task.texts, task.labels, config.examples, config.choose, config.seed)


def _draw(j, step, task, stand, config):
    """Examples of a step, and the rows to learn from, none of them an example unless by hand."""
    order = np.random.default_rng([config.seed, 8, step + _LOOKS, j]).permutation(len(task.texts)).tolist()
    if task.examples is not None:
        return task.examples, order[: config.batch]
    shown = balanced(order, task.labels, config.examples) if stand is None else stand
    return _pairs(task, shown), [i for i in order if i not in set(shown)][: config.batch]


def _pairs(task, rows):
    return task.examples if task.examples is not None else [(task.texts[i], task.labels[i]) for i in rows]


def _base(lm, start, config):
    vectors = begin_with(lm, config.prompt, start)
    if len(vectors) != config.prompt.vectors:
        raise ValueError(f"start has {len(vectors)} vectors, the made prompts {config.prompt.vectors}.")
    return vectors


def _target(lm, task, config):
    if task.prompt is None:
        raise ValueError(
            f"With the loss {config.loss!r} the task {task.name!r} needs its tuned prompt: Task(prompt=soft.tune(...))."
        )
    return _base(lm, task.prompt, config)


def _digest(task):
    return hashlib.sha256(repr(tuple(task)[1:4] if isinstance(task, Task) else task).encode()).hexdigest()
