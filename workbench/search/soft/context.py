"""Context distillation: a few learned vectors that stand for a long context."""

import hashlib
from dataclasses import asdict

import numpy as np
import torch

from workbench import checks
from workbench.artifacts import Checkpoint
from workbench.search.soft.config import SoftConfig
from workbench.search.soft.frozen import Frozen, frozen
from workbench.search.soft.learning import batch, descend, start_vectors
from workbench.search.soft.rows import check_lm, read_rows
from workbench.search.soft.soft_prompt import SoftPrompt, embedded, sha256

_TOP = 50  # tokens of a law that are told apart; the others count as one


def distil(lm, context, texts, config=None, *, folder=None, progress=True):
    """Learn a soft prompt after which a model predicts texts as it does after a long context, which is then not needed.

    It minimises the Kullback-Leibler divergence from the law of each next token after the context to that after the prompt, in
    which the 50 likeliest tokens are told apart and the others count as one. The model is not changed.

    Args:
        lm: `models.LM`.
        context: str, what the model should do without; or float32 array (c, w) of vectors.
        texts: list of n str that may follow, such as `lm` writes after the context.
        config: `SoftConfig` with the layout "prefix"; None takes the defaults with it. The vectors begin as the words of `start`;
            with start None as the first tokens of the context, repeated if there are too few. Loss and dropout are not looked at.
        folder: str, Path or None, for checkpoints every 10 steps, as in `tune`.
        progress: bool.

    Returns:
        `SoftPrompt` without labels, which can write (`sample`); `loss` in its history is the divergence, nats a token.

    Raises:
        TypeError: not an LM, or not str.
        ValueError: another layout, an empty context or text, held-out rows, or more tokens than the window.
        ArtifactError: `folder` holds another run.

    Source:
        Askell et al., "A General Language Assistant as a Laboratory for Alignment", arXiv:2112.00861, section 2.1.
    """
    config, name = config or SoftConfig(layout="prefix", start=None), check_lm(lm).name
    if config.layout != "prefix":
        raise ValueError("A context stands before the texts: distil it with SoftConfig(layout='prefix').")
    if config.held_out:
        raise ValueError("distil holds no rows out: measure its prompt on other texts with `divergence`.")
    teacher = context_vectors(lm, context)
    rows = read_rows(lm, texts, None, config, max(len(teacher), config.vectors))
    if config.start is None:
        start = teacher[torch.arange(config.vectors, device=teacher.device) % len(teacher)]
    else:
        start = start_vectors(lm, config)
    vectors = torch.nn.ParameterDict({"0": torch.nn.Parameter(start.clone())})
    digest = hashlib.sha256(repr(rows.texts).encode() + teacher.cpu().numpy().tobytes()).hexdigest()
    run = {"options": asdict(config), "model": sha256(lm), "data": digest}
    checkpoint = None if folder is None else Checkpoint(folder, "context distillation", run)
    history, stopped = [], "steps"
    with frozen(lm):
        reader, order = Frozen(lm, config, [rows]), np.arange(len(rows.texts))
        laws = _taught(reader, teacher, [(0, int(i)) for i in order]) if config.steps else {}

        def loss(step):
            items = [(0, i) for i in batch(order, config.batch, step, config.seed)]
            tokens = sum(len(laws[item][0]) for item in items)
            total = 0.0
            for part in reader.parts(items):
                value = sum(_apart(law, *laws[item]) for item, law in zip(part, reader.laws([vectors["0"]], part), strict=True))
                (value / tokens).backward()
                total += float(value.detach())
            return {"loss": total / tokens}

        if config.steps:
            decay = config.weight_decay
            done, stopped = descend(
                loss, {"vectors": vectors}, config, "distilling a context", checkpoint, progress, weight_decay=decay
            )
            history = [{"step": row["step"], "loss": round(row["loss"], 5)} for row in done.history]
    return SoftPrompt(vectors["0"].detach().cpu().numpy().copy(), (), config, name, run["model"], tuple(history), stopped)


def divergence(lm, context, prompt, texts):
    """How far a prompt is from a context on texts: mean Kullback-Leibler divergence of next-token laws, over all tokens.

    Args:
        lm: `models.LM`.
        context: str or float32 array (c, w), the teacher, as in `distil`.
        prompt: `SoftPrompt` without labels; or str or float32 array.
        texts: list of n str.

    Returns:
        float >= 0, nats a token; all tokens are told apart.

    Raises:
        TypeError, ValueError, ModelError: as in `distil`; a prompt of another model.
    """
    teacher = context_vectors(lm, context)
    if isinstance(prompt, SoftPrompt):
        prompt._check(lm)
    student = context_vectors(lm, prompt.vectors if isinstance(prompt, SoftPrompt) else prompt)
    config = SoftConfig(layout="prefix")
    rows = read_rows(lm, texts, None, config, max(len(teacher), len(student)))
    total, tokens = 0.0, 0
    with frozen(lm), torch.inference_mode():
        reader = Frozen(lm, config, [rows])
        for part in reader.parts([(0, i) for i in range(len(rows.texts))]):
            for one, other in zip(reader.laws([teacher], part), reader.laws([student], part), strict=True):
                total += float((one.exp() * (one - other)).sum())
                tokens += len(one)
    return total / tokens


def context_vectors(lm, context):
    """The embeddings of a context: float32 tensor (c, w), c >= 1."""
    table = check_lm(lm).model.get_input_embeddings().weight.detach()
    if isinstance(context, np.ndarray):
        if context.ndim != 2 or context.shape[1] != table.shape[1] or not len(context) or not np.isfinite(context).all():
            raise ValueError(f"A context of vectors is a finite float32 array (c, {table.shape[1]}), got {context.shape}.")
        return torch.from_numpy(context.astype(np.float32)).to(table.device)
    (context,) = checks.texts([context], "context")
    found = embedded(lm, context)
    if not len(found):
        raise ValueError(f"The context has no token of {lm.name}: {context!r}.")
    return found


def _taught(reader, teacher, items):
    """The laws after the context: dict of item -> tokens int64 (t, 50), log-probabilities (t, 51), the last of all others."""
    laws = {}
    with torch.no_grad():
        for part in reader.parts(items):
            for item, law in zip(part, reader.laws([teacher], part), strict=True):
                top, ids = law.topk(min(_TOP, law.shape[1] - 1))
                laws[item] = (ids, torch.cat([top, _rest(top)], 1))
    return laws


def _apart(law, ids, wanted):
    """Divergence from a kept law to another one, summed over tokens."""
    top = law.gather(1, ids)
    found = torch.cat([top, _rest(top)], 1)
    return (wanted.exp() * (wanted - found)).sum()


def _rest(top):
    """Log-probability of all other tokens (t, 1)."""
    return torch.log1p(-top.exp().sum(1, keepdim=True).clamp(max=1 - 1e-6))
