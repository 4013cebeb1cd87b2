"""How soft prompts are learned: one or several in a batch, and one gradient alone."""

import hashlib
import sys
from dataclasses import asdict

import numpy as np
import torch

from workbench.artifacts import Checkpoint
from workbench.search.soft.config import EVERY, SoftConfig
from workbench.search.soft.frozen import Frozen, by_prompt, frozen
from workbench.search.soft.rows import by_label, check_lm, read_rows
from workbench.search.soft.soft_prompt import SoftPrompt, check_vectors, sha256
from workbench.training import Interrupted, adamw, cosine, train

WARMUP, FLOOR, BETAS, CLIP = 5, 0.1, (0.9, 0.98), 1.0


def tune(lm, texts, labels, config=None, *, start=None, folder=None, progress=True):
    """Learn a soft prompt: a few vectors after which a frozen language model answers with the right label.

    The model is not changed. A label is text, and its log-probability is that of all its tokens. In the layout "suffix" a step
    reads the vectors of each row, in "prefix" all its text. With a model in bfloat16 products are taken in bfloat16 and sums of
    layers in float32; see `models.load_lm` about that on a CPU.

    Args:
        lm: `models.LM`.
        texts: list of n str.
        labels: list of n str; or None to learn to write such texts (layout "prefix"). Where only some are None, the loss is that
            of the rows with labels plus that of the texts without, each a mean, and a step reads `config.batch` of both.
        config: `SoftConfig`; None takes the defaults.
        start: `SoftPrompt` of this model and layout to begin with; None begins as `config.start` says.
        folder: str, Path or None, for checkpoints every 10 steps; the same call goes on from there, to the same result, bit for
            bit, as without the interruption.
        progress: bool, show a progress bar.

    Returns:
        `SoftPrompt`. Ctrl-C ends the training after the step and returns the prompt so far, with `stopped` "interrupted".

    Raises:
        TypeError: not an LM, or not str.
        ValueError: an empty text, one label only, labels of which one begins with another, or more tokens than the window.
        ModelError: `start` belongs to another model, or the model's attention is neither "sdpa" nor "eager".
        ArtifactError: `folder` holds another run.

    Source:
        Lester et al., "The Power of Scale for Parameter-Efficient Prompt Tuning", arXiv:2104.08691.
    """
    tasks = by_label(texts, labels)
    return _learn(lm, tasks, config, [start] * len(tasks), folder, progress, shared=len(tasks) > 1)[0]


def tune_many(lm, tasks, config=None, *, starts=None, folder=None, progress=True):
    """Learn several soft prompts in one batch: each as `tune` would alone, up to rounding, in less time.

    With held-out rows all stop together, where they are best on average.

    Args:
        lm: `models.LM`.
        tasks: list of p pairs (texts, labels), as `tune` takes them; all with labels or none.
        config: `SoftConfig` of all; None takes the defaults.
        starts: list of p `SoftPrompt` or None, as `start` of `tune`.
        folder: as in `tune`.
        progress: bool.

    Returns:
        list of p `SoftPrompt`.

    Raises:
        ValueError: no task, another number of starts than tasks, tasks of which only some have labels; and what `tune` refuses.
        ModelError: a start belongs to another model.
        ArtifactError: `folder` holds another run.
    """
    starts = list(starts) if starts is not None else [None] * len(tasks)
    if not tasks or len(starts) != len(tasks):
        raise ValueError(
            f"There are {len(tasks)} tasks and {len(starts)} starts; there must be one or more tasks, a start for each."
        )
    return _learn(lm, tasks, config, starts, folder, progress)


def _learn(lm, tasks, config, starts, folder, progress, shared=False):
    """Learn a prompt for each task, or one that all tasks share, with and without labels."""
    config, name = config or SoftConfig(), check_lm(lm).name
    first = [start_vectors(lm, config) if start is None else begin_with(lm, config, start) for start in starts]
    rows = [read_rows(lm, *task, config, len(one)) for task, one in zip(tasks, first, strict=True)]
    if not shared and len({bool(task.classes) for task in rows}) > 1:
        raise ValueError("Either all tasks have labels or none: learn the others apart.")
    first = first[:1] if shared else first
    vectors = torch.nn.ParameterDict({str(j): torch.nn.Parameter(one.clone()) for j, one in enumerate(first)})
    digest = hashlib.sha256(repr([(task.texts, task.labels, task.targets.tolist()) for task in rows]).encode())
    for one in first:
        digest.update(one.cpu().numpy().tobytes())
    run = {"options": asdict(config), "model": sha256(lm), "data": digest.hexdigest()}
    checkpoint = None if folder is None else Checkpoint(folder, "soft prompt training", run)
    history, stopped = [], "steps"
    if config.steps:
        with frozen(lm):
            done, stopped = _train(Frozen(lm, config, rows, keep=True), vectors, config, checkpoint, progress)
        history = done.history
    vectors = [vectors[str(j)].detach().cpu().numpy().copy() for j in range(len(first))]
    histories = [_history(history, j, shared) for j in range(len(first))]
    return [
        SoftPrompt(one, task.classes, config, name, run["model"], told, stopped)
        for one, task, told in zip(vectors, rows, histories, strict=False)
    ]


def gradient(lm, vectors, texts, labels, config=None, *, classes=None):
    """The loss of a soft prompt on some rows, its gradient, and what is predicted. Nothing is changed.

    Args:
        lm: `models.LM`.
        vectors: float32 array (k, w).
        texts: list of n str.
        labels: list of n str, or None (layout "prefix").
        config: `SoftConfig`, of which `layout`, `template` and `loss` count; None takes the defaults.
        classes: list of c str, all labels there are; None takes those that occur, sorted.

    Returns:
        (loss, float, nats; its gradient, float32 array (k, w); the likeliest labels, list of n str, or None without labels).

    Raises:
        TypeError: not an LM, or not str.
        ValueError: vectors of another width or that are not finite; texts and labels as in `tune`.
    """
    return gradient_many(lm, [vectors], [(texts, labels)], config, classes=[classes])[0]


def gradient_many(lm, vectors, tasks, config=None, *, classes=None):
    """Losses and gradients of several prompts in one batch: each equal to its own alone, up to rounding.

    Args:
        lm: `models.LM`.
        vectors: list of p float32 arrays (k, w); k may differ.
        tasks: list of p pairs (texts, labels), all with labels or none.
        config: as in `gradient`.
        classes: list of p, each as in `gradient`; None for all.

    Returns:
        list of p triples, as `gradient` returns them.

    Raises:
        ValueError: other numbers of prompts and tasks, tasks of which only some have labels; and what `gradient` refuses.
    """
    config, table = config or SoftConfig(), check_lm(lm).model.get_input_embeddings().weight
    classes = list(classes) if classes is not None else [None] * len(tasks)
    if not tasks or not len(tasks) == len(vectors) == len(classes):
        raise ValueError(
            f"There are {len(vectors)} prompts, {len(tasks)} tasks and {len(classes)} lists of classes: one of each."
        )
    for one in vectors:
        if check_vectors(one).shape[1] != table.shape[1]:
            raise ValueError(f"vectors have width {one.shape[1]}, the embeddings of {lm.name} {table.shape[1]}.")
        if not len(one) and config.layout == "suffix":
            raise ValueError("A prompt behind the text needs one vector or more.")
    rows = [read_rows(lm, *task, config, len(one), known) for task, one, known in zip(tasks, vectors, classes, strict=True)]
    if len({bool(task.classes) for task in rows}) > 1:
        raise ValueError("Either all tasks have labels or none: ask for the others apart.")
    points = [torch.from_numpy(one.copy()).to(table.device).requires_grad_() for one in vectors]
    items = [(j, i) for j, task in enumerate(rows) for i in range(len(task.texts))]
    with frozen(lm):
        losses, found = Frozen(lm, config, rows).losses(points, items, backward=True)
    return [
        (
            losses[j],
            np.zeros_like(vectors[j]) if point.grad is None else point.grad.cpu().numpy(),
            [task.classes[found[j, i]] for i in range(len(task.texts))] if task.classes else None,
        )
        for j, (point, task) in enumerate(zip(points, rows, strict=True))
    ]


def _train(reader, vectors, config, checkpoint, progress):
    """Train the vectors in place: (`training.Run`, why it stopped)."""
    sizes = [len(task.texts) for task in reader.tasks]
    points = [vectors[str(j)] for j in range(len(vectors))] * (len(sizes) // len(vectors))  # one may be that of two tasks
    orders = [np.random.default_rng([config.seed, 1]).permutation(n) for n in sizes]
    held = [min(n - 1, max(1, round(config.held_out * n))) if config.held_out else 0 for n in sizes]
    aside = [(j, int(i)) for j, order in enumerate(orders) for i in order[: held[j]]]
    learned = [order[n:] for order, n in zip(orders, held, strict=True)]

    def dropped(items, step):
        # the same numbers for prompts of one shape, so that each is as alone
        masks = [_mask(point, config, step) for point in points]
        leaves = [(point.detach() * mask).requires_grad_() for point, mask in zip(points, masks, strict=True)]
        out = reader.losses(leaves, items, backward=True)
        for point, mask, leaf in zip(points, masks, leaves, strict=True):
            point.grad = leaf.grad * mask + (0 if point.grad is None else point.grad)
        return out

    def loss(step):
        items = [(j, i) for j, rows in enumerate(learned) for i in batch(rows, config.batch, step, config.seed)]
        losses, predicted = reader.losses(points, items, backward=True) if not config.dropout else dropped(items, step)
        out = {}
        for j, rows in by_prompt(items).items():
            torch.nn.utils.clip_grad_norm_([points[j]], CLIP)  # one by one, so that each is as alone
            out[f"loss {j}"] = losses[j]
            if reader.tasks[j].classes:
                out[f"accuracy {j}"] = float(np.mean([predicted[j, i] == int(reader.tasks[j].targets[i]) for i in rows]))
        return out

    return descend(
        loss,
        {"vectors": vectors},
        config,
        "learning a soft prompt" if len(points) == 1 else f"learning {len(points)} soft prompts",
        checkpoint,
        progress,
        weight_decay=config.weight_decay,
        clip=None,
        held_out=(lambda: float(np.mean(reader.losses(points, aside)[0]))) if aside else None,
        patience=None if config.patience is None else -(-config.patience // EVERY),
    )


def descend(loss, modules, config, name, checkpoint, progress, *, weight_decay=0.0, clip=CLIP, held_out=None, patience=None):
    """`training.train` with the rates of soft prompts; Ctrl-C ends it after the step: (`training.Run`, why it stopped).

    `config` has `steps`, `rate` and `seed`; `modules` is a dict of one module; the others are those of `training.train`.
    """
    (module,) = modules.values()
    try:
        run = train(
            loss,
            modules,
            adamw(module, weight_decay=weight_decay, betas=BETAS),
            config.steps,
            cosine(config.rate, config.steps, min(WARMUP, config.steps - 1), FLOOR),
            name=name,
            clip=clip,
            every=EVERY,
            held_out=held_out,
            patience=patience,
            checkpoint=checkpoint,
            save_every=EVERY,
            seed=config.seed,
            progress=progress,
        )
    except Interrupted as stop:
        print(f"Interrupted after step {stop.run.step} of {config.steps}: here is the prompt so far.", file=sys.stderr)
        return stop.run, "interrupted"
    return run, "steps" if run.step == config.steps else "patience"


def _mask(point, config, step):
    """Which numbers of a prompt a step keeps, and how much larger: float32 (k, w)."""
    kept = np.random.default_rng([config.seed, 10, step]).random(tuple(point.shape)) >= config.dropout
    return torch.from_numpy(kept.astype(np.float32)).to(point.device) / (1 - config.dropout)


def _history(history, j, shared):
    """The rows of the history of one of several prompts: tuple of dicts."""
    names = {"step": "step", f"loss {j}": "loss", f"accuracy {j}": "accuracy", "held_out": "held_out"}
    names |= {"loss 1": "texts"} if shared else {}
    return tuple({name: round(row[key], 5) for key, name in names.items() if key in row} for row in history)


def batch(rows, size, step, seed):
    """The rows of a step: list of int, of one random order of all rows after another. It depends on the arguments alone."""
    size = min(size, len(rows))
    places = [divmod(at, len(rows)) for at in range(step * size, (step + 1) * size)]
    orders = {turn: np.random.default_rng([seed, 2, turn]).permutation(len(rows)) for turn in {turn for turn, _ in places}}
    return [int(rows[orders[turn][place]]) for turn, place in places]


def start_vectors(lm, config):
    """Vectors float32 (k, w) that are the embeddings of words."""
    table = lm.model.get_input_embeddings().weight.detach()
    if config.start is None:
        ids = np.random.default_rng([config.seed, 3]).integers(len(table), size=config.vectors).tolist()
    else:
        words = lm.tokenizer(config.start, add_special_tokens=False)["input_ids"]
        if not words:
            raise ValueError(f"SoftConfig: start {config.start!r} has no token of {lm.name}. Take other words, or None.")
        ids = (words * -(-config.vectors // len(words)))[-config.vectors :]
    return table[torch.tensor(ids, device=table.device)].float()


def begin_with(lm, config, start):
    """The vectors of another prompt."""
    if not isinstance(start, SoftPrompt):
        raise TypeError(f"start is a SoftPrompt, got {type(start).__name__}. Words go into SoftConfig(start=...).")
    start._check(lm)
    if start.config.layout != config.layout:
        raise ValueError(f"start stands in the layout {start.config.layout!r}, this prompt in {config.layout!r}.")
    return start._torch(lm)
