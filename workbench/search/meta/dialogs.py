"""Prompts for replies: the maker reads a dialog and makes the vectors that stand before it."""

import hashlib
from dataclasses import asdict

import numpy as np
import torch

from workbench import checks
from workbench.artifacts import Checkpoint
from workbench.models.lm import window
from workbench.search.meta.config import MetaConfig
from workbench.search.meta.maker import spelled
from workbench.search.meta.meta_prompt import MetaPrompt, check_model, history_of, maker_of, network_of
from workbench.search.soft.config import SoftConfig
from workbench.search.soft.frozen import Frozen, frozen
from workbench.search.soft.learning import batch, descend
from workbench.search.soft.rows import Rows, check_lm, tokens_of
from workbench.search.soft.soft_prompt import sha256

_LOOKS = 64  # dialogs that a map begins with


def learn_replies(lm, dialogs, replies, config=None, *, seen=None, folder=None, progress=True):
    """Learn to make, from a dialog, a prompt under which a frozen model replies; the loss counts the words of the reply alone.

    Args:
        lm: `models.LM`, which reads the dialogs for the maker too.
        dialogs: list of n lists of str, the turns so far.
        replies: list of n str.
        config: `MetaConfig` with the layout "prefix" and join "concatenate", of which `prompt`, `map`, `batch`, `steps`, `rate`
            and `seed` count; None takes the defaults with these and the map "layers".
        seen: list of n lists of str, what the maker reads in place of the dialogs, which the model reads all the same: with the
            same words for all, one prompt is learned for all of them. None: the dialogs.
        folder: str, Path or None, for checkpoints, as in `learn`.
        progress: bool.

    Returns:
        `MetaPrompt` for `reply`.

    Raises:
        TypeError: not an LM, or not str.
        ValueError: another layout or join, no dialogs, unequal numbers, or more tokens than the window.
        ArtifactError: `folder` holds another run.

    Source:
        Gu et al., "Response Generation with Context-Aware Prompt Learning", arXiv:2111.02643; the maker here is that of `learn`.
    """
    config = config or MetaConfig(prompt=SoftConfig(layout="prefix"), map="layers")
    if config.prompt.layout != "prefix" or config.join != "concatenate":
        raise ValueError("Replies need MetaConfig(prompt=SoftConfig(layout='prefix'), join='concatenate').")
    data = _read(lm, dialogs, replies, config, seen)
    shown, rows, sizes = data
    network, run = maker_of(lm, lm, config), {"options": asdict(config), "model": sha256(lm), "data": _digest(data)}
    checkpoint = None if folder is None else Checkpoint(folder, "training of replies", run)
    order, history, stopped = np.arange(len(rows)), [], "steps"
    with frozen(lm):
        reader = Frozen(lm, config.prompt, rows)
        if config.map != "none":
            looks = np.random.default_rng([config.seed, 8]).permutation(order)[:_LOOKS]
            network.look(reader, [shown[i] for i in looks])

        def loss(step):
            picked = sorted(set(batch(order, config.batch, step, config.seed)))
            made = network(reader, [shown[i] for i in picked])
            points, total = made.detach().requires_grad_(), 0.0
            for value in _nats(reader, dict(zip(picked, points, strict=True)), sizes):
                value = value / sum(sizes[i] for i in picked)
                value.backward()
                total += float(value.detach())
            made.backward(points.grad)
            return {"loss": total}

        if config.steps:
            done, stopped = descend(loss, {"maker": network}, config, "learning to reply", checkpoint, progress)
            history = history_of(done)
    weights = {key: value.detach().cpu().numpy().copy() for key, value in network.state_dict().items()}
    told = (("dialogs", run["data"]),)
    return MetaPrompt(weights, config, lm.name, run["model"], lm.name, run["model"], told, None, tuple(history), stopped)


def reply(lm, learned, dialog, n=1, seed=0, max_tokens=48):
    """Write replies to a dialog.

    Args:
        lm: the `models.LM` it was learned with.
        learned: `MetaPrompt` of `learn_replies`.
        dialog: list of str, the turns so far.
        n: int, replies.
        seed: int.
        max_tokens: int, the longest reply.

    Returns:
        list of n `Sample`.

    Raises:
        ModelError: another model.
        TypeError: not str.
        ValueError: an empty dialog, or more tokens than the window.
    """
    begin = _joined(dialog)
    return learned.make(lm, begin, ()).sample(lm, n, seed, max_tokens, begin=f"{begin}\n")


def nats_of_replies(lm, learned, dialogs, replies, *, seen=None):
    """How unlikely replies are under made prompts: mean nats a token, over all tokens.

    Args:
        lm: the `models.LM` it was learned with.
        learned: `MetaPrompt` of `learn_replies`.
        dialogs: as in `learn_replies`.
        replies: as in `learn_replies`.
        seen: as in `learn_replies`.

    Returns:
        float >= 0.

    Raises:
        ModelError: another model.
        TypeError, ValueError: as in `learn_replies`.
    """
    check_model(lm, learned.model, learned.sha256)
    shown, rows, sizes = _read(lm, dialogs, replies, learned.config, seen)
    with frozen(lm), torch.inference_mode():
        reader, network = Frozen(lm, learned.config.prompt, rows), network_of(learned, lm, lm)
        made = {i: network(reader, [one])[0] for i, one in enumerate(shown)}
        return sum(map(float, _nats(reader, made, sizes))) / sum(sizes)


def _read(lm, dialogs, replies, config, seen):
    """Tokens: what the maker reads of each dialog, `Rows` of each with its reply and end, and how many of them count."""
    said, replies = [_joined(one) for one in dialogs], checks.texts(replies, "replies")
    shown = said if seen is None else [_joined(one) for one in seen]
    if not len(said) == len(replies) == len(shown):
        raise ValueError(f"There are {len(said)} dialogs, {len(replies)} replies and {len(shown)} to be seen; each needs one.")
    end, most, rows, sizes = lm.tokenizer.eos_token_id, window(check_lm(lm)), [], []
    for i, (one, answer) in enumerate(zip(said, replies, strict=True)):
        before, behind = tokens_of(lm, f"{one}\n"), tokens_of(lm, answer)
        if not behind:
            raise ValueError(f"Reply {i} has no token of {lm.name}: {answer!r}.")
        behind = behind + [end] * (end is not None)
        if config.prompt.vectors + len(before) + len(behind) > most:
            raise ValueError(
                f"Dialog {i} is too long: {len(before)} tokens, {len(behind)} of the reply and {config.prompt.vectors} vectors "
                f"are more than the {most} positions of {lm.name}. Leave out its first turns."
            )
        rows.append(Rows([before + behind], (), [], torch.zeros(1, dtype=torch.long)))
        sizes.append(len(behind))
    return [spelled(lm, config, one) for one in shown], rows, sizes


def _joined(dialog):
    """A turn a line: str."""
    turns = checks.texts(dialog, "turns of a dialog")
    if not all(turn.strip() for turn in turns):
        raise ValueError(f"A turn of a dialog is empty: {turns}.")
    return "\n".join(turns)


def _nats(reader, made, sizes):
    """Nats of replies after their prompts, a sum for each part that is read together: scalars."""
    for part in reader.parts([(i, 0) for i in made]):
        total = 0
        for (i, _), law in zip(part, reader.laws(made, part), strict=True):
            said = torch.tensor(reader.tasks[i].texts[0][-sizes[i] :], device=law.device)
            total = total - law[-sizes[i] :].gather(1, said[:, None]).sum()
        yield total


def _digest(data):
    shown, rows, sizes = data
    return hashlib.sha256(repr((shown, [row.texts for row in rows], sizes)).encode()).hexdigest()
